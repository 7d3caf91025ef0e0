#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A static-PIE of musl, which the specs of musl-gcc cannot make: SOURCE OUTPUT. Without the parts of the C library
# for it OUTPUT is an ordinary musl program.
set -eu
source=$1 output=$2
start=
for folder in /usr/lib/x86_64-linux-musl /usr/lib/musl/lib /usr/local/musl/lib; do
	[ -e "$folder/rcrt1.o" ] && start=$folder
done
if [ -z "$start" ]; then
	exec musl-gcc -O1 "$source" -o "$output"
fi
musl-gcc -fPIE -O1 -c "$source" -o "$output.o"
ld -static -pie --no-dynamic-linker -z text -o "$output" "$start/rcrt1.o" "$start/crti.o" "$output.o" \
	--start-group "$start/libc.a" "$(gcc -print-libgcc-file-name)" --end-group "$start/crtn.o"
