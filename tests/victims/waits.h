/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * waits.h - one system call that waits, and what ends it
 */
#ifndef VICTIMS_WAITS_H
#define VICTIMS_WAITS_H

#include "victim.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

enum { SHORT_MS = 700 };

/* What a call has to itself: a pipe, a place to wait on, and what it found. */
struct call {
	const char *name;
	void (*prepare)(struct call *call); /* on the first thread, before the call's own is made; may be NULL */
	long (*wait)(struct call *call);
	void (*finish)(struct call *call);
	void (*tidy)(struct call *call); /* when all is over; may be NULL */
	int end[2];
	uint32_t word;
	pid_t child;
	pthread_t thread;
	long result;
	int error;
	char found[64];
	_Atomic int left;
};

/* waits_files.c: on descriptors; waits_rest.c: on what has none. The last has no name. */
extern struct call waits_files[], waits_rest[];

static inline void found(struct call *call, const char *format, long value)
{
	snprintf(call->found, sizeof(call->found), format, value);
}

static inline void put_byte(struct call *call)
{
	if (write(call->end[1], "x", 1) != 1)
		say("wrong: %s: nothing can be written", call->name);
}

static inline void by_itself(struct call *call)
{
	(void)call;
}

#endif
