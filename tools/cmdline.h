/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmdline.h - an exec as a line for sh
 *
 * Run by any POSIX sh, the line executes the same file with the same arguments, environment and working
 * directory, byte for byte. It is one line of printable UTF-8 whatever the victim's strings hold.
 *
 * Two forms. Where env(1) can express it:
 *
 *	(cd /home/me && exec env -i HOME=/home/me PATH=/usr/bin /usr/bin/make -j4)
 *
 * and through perl where it cannot: argv[0] is not the path (login shells), the path holds an '=' or no
 *slash, or a string is not printable (it then travels as %HH). What no shell line can express is named in a
 *comment behind it: environment entries without '=' or with an empty name, names given twice (the first is
 *passed), a working directory that was removed, an executable that had no name.
 */
#ifndef TOOLS_CMDLINE_H
#define TOOLS_CMDLINE_H

#include <stdbool.h>
#include <tether/event.h>

#include "buffer.h"

struct cmdline {
	const char *path;        /* as given to execve */
	const char *interpreter; /* the executable really mapped, where it is another; or NULL */
	const char *const *argv; /* NULL-terminated */
	const char *const *env;  /* NULL-terminated */
	const char *cwd;         /* NULL: not known, the line has no cd */
	bool truncated;          /* argv or env are not whole */
};

/* The exec of an exec event. */
struct cmdline cmdline_of(const struct tether_event *event);
void cmdline_write(struct buffer *out, const struct cmdline *exec);

#endif
