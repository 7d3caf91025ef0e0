# SPDX-License-Identifier: BSD-2-Clause
# A thin front of Meson, which does the building: `make help` tells the targets.

BUILD ?= build
PREFIX ?= /usr/local
SECONDS ?= 600
JOBS ?= 2
CMD ?= python3 -c 'import ssl, sqlite3'
CHECK ?=

.PHONY: all help build-packages test-packages run check check-asan check-tsan check-clang bench soak install clean
.DEFAULT_GOAL := all

# $(1) folder, $(2) options. A folder that Meson knows is only brought up to date.
configure = @if [ ! -f $(1)/build.ninja ]; then meson setup $(1) --prefix=$(PREFIX) $(2) > $(1).log 2>&1 || \
	{ cat $(1).log; rm -rf $(1) $(1).log; exit 1; }; rm -f $(1).log; fi

all: build-packages ## build library, controller and command into $(BUILD)
	$(call configure,$(BUILD),)
	@ninja -C $(BUILD) $(NINJA_QUIET)

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

build-packages:
	@scripts/packages.sh build

test-packages:
	@scripts/packages.sh test

run: NINJA_QUIET = --quiet
run: all ## trace a command: make run CMD='make -j4'
	@TETHER_CONTROLLER=$(CURDIR)/$(BUILD)/src/controller/tether-controller \
		$(BUILD)/tools/tether run -- $(CMD)

check: NINJA_QUIET = --quiet
check: test-packages all ## run all tests; as root also as an ordinary user
	@python3 tests/run.py --build $(BUILD) --jobs $(JOBS) $(CHECK)

# The controller starts with an empty environment: options of the sanitizers are compiled in (src/base/sanitizer.c).
# Rare moments are met by the plain build, as often as it takes; here their paths are gone through.
check-asan: test-packages ## the tests under AddressSanitizer and UBSan
	$(call configure,$(BUILD)-asan,-Db_sanitize=address$(comma)undefined -Db_lundef=false -Dcontroller=native)
	@ninja -C $(BUILD)-asan --quiet
	@TETHER_TEST_SANITIZER=address python3 tests/run.py --build $(BUILD)-asan --jobs $(JOBS) --slow 4 --part 3 --no-user-pass $(CHECK)

check-tsan: test-packages ## unit and live tests under ThreadSanitizer
	$(call configure,$(BUILD)-tsan,-Db_sanitize=thread -Db_lundef=false -Dcontroller=native)
	@ninja -C $(BUILD)-tsan --quiet
	@TETHER_TEST_SANITIZER=thread python3 tests/run.py --build $(BUILD)-tsan --jobs $(JOBS) --slow 6 --no-user-pass --kind unit --kind live $(CHECK)

check-clang: test-packages ## all of it compiled by clang too: its warnings are errors as well
	$(call configure,$(BUILD)-clang,--native-file scripts/clang.ini)
	@ninja -C $(BUILD)-clang --quiet && echo '1 passed, 0 failed, 0 skipped'

bench: NINJA_QUIET = --quiet
bench: all ## measure beside bare C floors; writes bench/RESULTS.md
	@python3 bench/run.py --build $(BUILD)

soak: NINJA_QUIET = --quiet
soak: test-packages all ## the harm loops for SECONDS seconds
	@python3 tests/harm/soak.py --build $(BUILD) --seconds $(SECONDS)

install: all ## install below $(DESTDIR)$(PREFIX)
	@meson install -C $(BUILD) --quiet

clean: ## remove all build folders
	rm -rf $(BUILD) $(BUILD)-asan $(BUILD)-tsan

comma := ,
