/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proc.h - what /proc tells of processes that nobody holds
 *
 * Each answer is of its moment. Who acts on it has a pidfd of the process first.
 */
#ifndef TOOLS_PROC_H
#define TOOLS_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PROC_NAME = 64 };

/* The kernel's name of a process, cut by it to 15 bytes; "" when it is gone. */
void proc_name(int64_t pid, char name[PROC_NAME]);

/* One with this name, or whose executable's base name it is. */
bool proc_has_name(int64_t pid, const char *name);

/*
 * State letter of a process: T when a thread of it stands in a job-control stop, t when one stands for a
 * tracer, else that of its leader, 0 when it is gone. A leader that has ended does not stand for its threads.
 */
char proc_state(int64_t pid);

/* Every thread of it stands in a job-control stop, for nobody but that. */
bool proc_stands(int64_t pid);

struct parentage {
	int64_t pid, parent;
	uint64_t start; /* clock ticks after boot: with pid, the identity */
	char state;     /* letter of its leader */
};

/* When a process was started, as above; 0 when it is gone. */
uint64_t proc_start(int64_t pid);

/* Its arguments, NUL-ended one after the other; at most size bytes, how many there are; 0: it has ended, or has none. */
size_t proc_arguments(int64_t pid, char *text, size_t size);

/* All processes with their parents; the caller frees. False without memory or /proc. */
bool proc_parents(struct parentage **ret, size_t *count);

#endif
