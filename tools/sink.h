/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sink.h - where records go
 *
 * Records are gathered and written when the caller has nothing better to do, many with one write(2), but a
 * record is never split between two: the victim may write to the same terminal or pipe in between. For pipes
 * that bounds a write to PIPE_BUF, the length up to which the kernel keeps writes whole.
 *
 * The first failure ends the sink: nothing is written after a gap. It is remembered and said once, and what
 * the program does about it is its own affair. SIGPIPE is expected to be ignored.
 */
#ifndef TOOLS_SINK_H
#define TOOLS_SINK_H

#include <stdbool.h>

#include "buffer.h"

struct sink {
	struct buffer pending; /* whole records, each ending in a newline */
	int fd;
	int error;  /* errno of the write that failed, or 0 */
	bool owned; /* fd was opened here */
	/*
	 * Ends what is written, NULL: nothing does. In a file it stands there at all times, as nobody may come to write it.
	 */
	const char *tail;
	bool whole; /* a file that is written from where we are, and by nobody else */
	bool piped; /* a write longer than PIPE_BUF may be torn apart */
};

/* path NULL: standard error. 0, or a negated errno. */
int sink_open(struct sink *sink, const char *path);
/* A record was appended to pending: write when there is much. */
void sink_added(struct sink *sink);
void sink_flush(struct sink *sink);
/* 0, or the first failure as a negated errno: file systems may tell of a full disk only now. */
int sink_close(struct sink *sink);

#endif
