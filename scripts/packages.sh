#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# packages.sh build|test: what this machine lacks for building, or for building and testing.
#
# As root on a Debian system it is installed, without starting any service; else the names are printed and the
# status is 1. Nothing is asked of the network when nothing is missing.
set -u
purpose=${1:?usage: packages.sh build|test}
missing=

# need PACKAGE TEST...: the package, unless the test succeeds
need()
{
	package=$1
	shift
	"$@" > /dev/null 2>&1 || missing="$missing $package"
}
# A program, wherever sbin folders may hide it from an ordinary user's PATH.
program()
{
	PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin command -v "$1"
}
header()
{
	for folder in /usr/include /usr/local/include /usr/include/*-linux-gnu; do
		[ -e "$folder/$1" ] && return 0
	done
	return 1
}

need gcc program gcc
need libc6-dev header stdio.h
need meson program meson
need ninja-build program ninja
need pkg-config program pkg-config
need python3 program python3
need musl-tools program musl-gcc
need libelf-dev header libelf.h
need libdw-dev header elfutils/libdw.h
need zlib1g-dev header zlib.h
need liblzma-dev header lzma.h
need libzstd-dev header zstd.h
need libiberty-dev header libiberty/demangle.h
need libzydis-dev header Zydis/Zydis.h
need uthash-dev header uthash.h
need linux-libc-dev header linux/ptrace.h
if [ "$purpose" = test ]; then
	need g++ program g++
	# 32-bit victims: refused, or followed, and never harmed.
	need gcc-multilib sh -c 'echo "int main(void){return 0;}" | gcc -m32 -x c -o /dev/null -'
	need clang program clang
	# libFuzzer
	need libclang-rt-dev sh -c 'echo "int LLVMFuzzerTestOneInput(void); int LLVMFuzzerTestOneInput(void) { return 0; }" |
		clang -fsanitize=fuzzer -x c -o /dev/null -'
	need libcmocka-dev header cmocka.h
	# Loaded when it is asked for (--fetch).
	need libdebuginfod1 sh -c 'PATH=$PATH:/sbin ldconfig -p | grep -q libdebuginfod.so.1'
	need binutils program nm
	need elfutils program eu-addr2line
	need gdb program gdb
	need libc6-dbg sh -c 'ls /usr/lib/debug/.build-id/*/*.debug'
	need procps program pgrep
	need util-linux program setpriv
	need strace program strace
	need uftrace program uftrace
	need bpftrace program bpftrace
	need git program git
	need make program make
	need perl program perl
	need dash program dash
	need bash program bash
	need redis-server program redis-server
	need redis-tools program redis-benchmark
	need vim-tiny sh -c 'command -v vim || command -v vim.tiny || command -v vi'
	need less program less
	need man-db program man
	# Any node will do; Debian's is large.
	need nodejs sh -c 'command -v node || command -v nodejs'
	need python3-pytest sh -c '[ ! -e /usr/bin/python3 ] || /usr/bin/python3 -c "import pytest"'
	need cmake program ctest
	need postgresql sh -c 'ls /usr/lib/postgresql/*/bin/initdb || command -v initdb'
	need postgresql-contrib sh -c 'ls /usr/lib/postgresql/*/bin/pgbench || command -v pgbench'
fi
[ -z "$missing" ] && exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
	echo "missing packages (names as in Debian):$missing" >&2
	echo "install them, for example: sudo apt-get install --no-install-recommends$missing" >&2
	exit 1
fi

echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
# Policy 101: "not allowed". A test machine must not come to run a database because its client was installed.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	printf '#!/bin/sh\nexit 101\n' > $policy
	chmod 755 $policy
	trap 'rm -f $policy' EXIT INT TERM HUP
fi
# Debian's postgresql makes a cluster at installation; the tests make their own.
if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
	mkdir -p /etc/postgresql-common
	echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf
fi
log=$(mktemp)
install()
{
	# shellcheck disable=SC2086 # a list of words
	apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=300 $missing > "$log" 2>&1
}
if ! install; then
	apt-get update > /dev/null 2>&1
	if ! install; then
		tail -n 30 "$log" >&2
		echo "could not install:$missing" >&2
		exit 1
	fi
fi
rm -f "$log"
