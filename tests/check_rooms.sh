#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# check_rooms.sh BUILD: what the structure promises. Each breach is printed; none is success.
#
#  - a room includes only what src/ROOMS allows it; the command only <tether/...>
#  - libtether.so imports nothing that could disturb its host
#  - what it exports is what the public headers declare and document, no more and no less
#  - no file names a machine path
#  - every header compiles alone; the public ones as C11 and as C++
set -u
cd "$(dirname "$0")/.." || exit 1
build=${1:?usage: check_rooms.sh BUILD}
breaches=$(mktemp) || exit 1
trap 'rm -f "$breaches"' EXIT
breach()
{
	echo "$*" | tee -a "$breaches"
}

listed=$(cut -d: -f1 src/ROOMS | tr '\n' ' ')
for folder in src/*/; do
	room=$(basename "$folder")
	case " $listed " in *" $room "*) ;; *) breach "src/ROOMS: no line for $room" ;; esac
done
while IFS=: read -r room may; do
	grep -rHoE '#[[:space:]]*include "[^"]+"' "src/$room" --include='*.[chS]' | while IFS=: read -r file line; do
		path=${line#*\"} path=${path%\"}
		case $path in
		*/*) ;;
		*) [ -f "$(dirname "$file")/$path" ] && continue ;;
		esac
		case " $room $may " in
		*" ${path%%/*} "*) ;;
		*) breach "$file includes \"$path\", but $room may include only:$may" ;;
		esac
	done
done < src/ROOMS

# Files of the command are beside each other; of the library it sees the public headers only.
grep -rHoE '#[[:space:]]*include "[^"]+"' tools --include='*.[ch]' | while IFS=: read -r file line; do
	path=${line#*\"} path=${path%\"}
	[ -f "tools/$path" ] || breach "$file includes \"$path\", which is no part of the command"
done

# Only the architecture's own file may ask which machine this is.
grep -rnE '#[[:space:]]*(if|ifdef|elif).*__(x86_64|i386|aarch64)__' src include --include='*.[ch]' |
	grep -v '^src/arch/' | grep -v '^src/decode/' | while read -r line; do breach "machine asked for outside arch: $line"; done

# Nothing in the tree may depend on where it was made.
here=$(pwd)
grep -rnF "$here/" . --include='*' --exclude-dir=.git --exclude-dir='build*' | while read -r line; do
	breach "a machine path: $line"
done

library=$(find "$build/src" -maxdepth 1 -name 'libtether.so.0' | head -n 1)
if [ -z "$library" ]; then
	breach "no libtether.so.0 in $build"
else
	# A sanitizer's run time is not the library's own import; such builds are not judged.
	if ! nm -D --undefined-only "$library" | grep -qE '__(asan|tsan)_'; then
		nm -D --undefined-only "$library" | awk '{ print $2 }' | sed 's/@.*//' |
			grep -xE 'fork|vfork|waitpid|wait|wait4|sigaction|signal|ptrace|abort|setenv|putenv|unsetenv|printf|puts|putchar|vprintf|exit|system|popen|sleep|__printf_chk|__assert_fail' |
			while read -r name; do breach "libtether.so imports $name"; done
	fi
	exported=$(nm -D --defined-only "$library" | awk '$2 ~ /[TDBR]/ { print $3 }' | sed 's/@.*//' | sort -u)
	for name in $exported; do
		case $name in
		tether_*) ;;
		*) breach "libtether.so exports $name"; continue ;;
		esac
		grep -qE "TETHER_API.*\\b$name\\(" include/tether/*.h || breach "$name is exported but not declared"
	done
	for name in $(grep -hoE 'TETHER_API.*' include/tether/*.h | grep -oE 'tether_[a-z_]+\(' | tr -d '(' | sort -u); do
		echo "$exported" | grep -qx "$name" || breach "$name is declared but not exported"
		grep -qE "^ \\* $name - " include/tether/*.h || breach "$name has no entry in its header"
	done
fi

scratch=$(mktemp -d) || exit 1
trap 'rm -f "$breaches"; rm -rf "$scratch"' EXIT
for header in include/tether/*.h; do
	name=tether/$(basename "$header")
	printf '#include <%s>\n#include <%s>\nint main(void) { return 0; }\n' "$name" "$name" > "$scratch/a.c"
	cp "$scratch/a.c" "$scratch/a.cc"
	for compiler in gcc clang; do
		command -v $compiler > /dev/null || continue
		$compiler -std=c11 -Wall -Wextra -Werror -Iinclude -fsyntax-only "$scratch/a.c" ||
			breach "$header does not compile alone as C11 with $compiler"
	done
	for compiler in g++ clang++; do
		command -v $compiler > /dev/null || continue
		$compiler -std=c++11 -Wall -Wextra -Werror -Iinclude -fsyntax-only "$scratch/a.cc" ||
			breach "$header does not compile alone as C++ with $compiler"
	done
done
for header in src/*/*.h; do
	echo "#include \"${header#src/}\"" > "$scratch/a.c"
	gcc -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -Wno-unused -Isrc -Iinclude -fsyntax-only "$scratch/a.c" ||
		breach "$header does not compile alone"
done
[ ! -s "$breaches" ]
