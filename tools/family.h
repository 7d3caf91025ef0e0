/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * family.h - the processes that are held now, and what the command remembers of each
 */
#ifndef TOOLS_FAMILY_H
#define TOOLS_FAMILY_H

#include <stdbool.h>
#include <stdint.h>

enum { FAMILY_BUCKETS = 1024, PROCESS_NAME = 32 };

struct process {
	struct process *next;
	int64_t pid;
	struct tether *handle;   /* a reference; NULL for a process without one */
	unsigned depth;          /* steps below the first process */
	uint64_t directory;      /* hash of the working directory last seen, 0: not known */
	int64_t crashed;         /* the thread for which a signal is about to end it: it is to be looked at before; 0: none */
	int64_t stopped;         /* the thread that has come to the function of --stop-at; 0: none */
	char name[PROCESS_NAME]; /* base name of its program, cut */
};

struct family {
	struct process *bucket[FAMILY_BUCKETS];
	unsigned count;
};

struct process *family_find(struct family *family, int64_t pid);
/* The process, made where it is new: below its parent, and like it. NULL without memory. */
struct process *family_add(struct family *family, int64_t pid, int64_t parent);
void family_remove(struct family *family, int64_t pid);
/* Some process, NULL when there is none. */
struct process *family_any(struct family *family);

/* The parent that the kernel knows of, 0 when the process is gone. */
int64_t process_parent(int64_t pid);
void process_set_name(struct process *process, const char *path);
uint64_t directory_hash(const char *directory);

#endif
