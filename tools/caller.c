/* SPDX-License-Identifier: BSD-2-Clause */
#include "caller.h"

#include <string.h>

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/*
 * Linkers, C libraries, and what glibc had beside its own before it became one. Where dlopen(3) is called through the
 * procedure linkage table of a program, the program's frame is below that, so this is all that stands between.
 */
static bool passes_on(const char *object)
{
	static const char *const prefixes[] = { "ld-linux", "ld-musl", "ld-2.", "ld.so", "libc.so", "libc-2.", "libc.musl",
						"libdl.so", "libdl-2.", "libpthread.so", "libpthread-2." };
	const char *name = base_name(object);

	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
		if (!strncmp(name, prefixes[i], strlen(prefixes[i])))
			return true;
	}
	return false;
}

bool caller_write(struct buffer *out, const struct tether_stack *stack)
{
	for (size_t i = 0; i < stack->frame_count; i++) {
		const struct tether_frame *frame = &stack->frames[i];

		if (frame->object && passes_on(frame->object))
			continue;
		if (frame->object)
			buffer_printf(out, "%s`", base_name(frame->object));
		if (frame->symbol)
			buffer_printf(out, "%s+", frame->symbol);
		buffer_printf(out, "0x%llx", (unsigned long long)frame->offset);
		return true;
	}
	return false;
}
