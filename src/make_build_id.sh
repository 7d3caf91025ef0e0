#!/bin/sh
# make_build_id.sh SRCDIR OUT: a C file with a hash over the sources that library and controller share a
# protocol through. Written only when it changes, so that it costs no rebuild.
set -eu
hash=$(find "$1" -name '*.[ch]' -type f | LC_ALL=C sort | xargs cat | sha256sum | cut -c1-64)
bytes=$(printf '%s' "$hash" | sed 's/../0x&, /g')
{
	echo '/* made by src/make_build_id.sh */'
	echo '#include "proto/proto.h"'
	echo "const uint8_t proto_build_id[PROTO_BUILD_ID] = { $bytes};"
} > "$2.new"
if cmp -s "$2.new" "$2"; then rm "$2.new"; else mv "$2.new" "$2"; fi
