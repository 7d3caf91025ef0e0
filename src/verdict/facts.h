/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * verdict/facts.h - what decides whether a process may be held, read from the system
 *
 * Everything is asked through a struct source: the real one reads /proc; a test hands in its own, for kernels
 * that this machine does not have (Yama, hidepid, namespaces).
 */
#ifndef VERDICT_FACTS_H
#define VERDICT_FACTS_H

#include "base/types.h"

/* Where the user namespace of a process stands, seen from ours. */
enum relation {
	RELATION_SAME,
	RELATION_BELOW, /* a capability here counts there */
	RELATION_OWNED, /* the same, and its maker was the caller's user: all capabilities there */
	RELATION_OTHER,
	RELATION_UNKNOWN, /* it may not be looked at */
};

struct source {
	/* A small file whole, NUL-ended: its length or a negative errno. */
	long (*read)(void *data, const char *path, char *text, size_t size);
	/* User who owns a file: 0 or a negative errno. */
	int (*owner)(void *data, const char *path, uint32_t *ret_uid);
	/* Does it exist, whatever /proc shows? */
	bool (*exists)(void *data, int64_t pid);
	/* The kernel's own answer whether the caller may read its memory: 0, -EPERM, or another when it
	 * cannot say. */
	int (*may_read)(void *data, int64_t tid);
	/* Another thread of the process than its leader that is no zombie, 0: none. */
	int64_t (*other_thread)(void *data, int64_t pid);
	/* Who traces any thread of it, 0: nobody. */
	int64_t (*tracer)(void *data, int64_t pid);
	enum relation (*relation)(void *data, int64_t pid, uint32_t uid);
	bool (*same_memory)(void *data, int64_t pid, int64_t other);
	int64_t (*self)(void *data);
	void *data;
};

extern const struct source source_proc;

enum { FACTS_NAME = 80 };

struct who {
	int64_t pid, tgid, ppid;
	char state, name[FACTS_NAME]; /* what is not plain ASCII is '?' in the name */
	uint32_t uid[4], gid[4];      /* real, effective, saved, file system */
	uint64_t inheritable, permitted, effective, bounding, ambient;
	uint32_t seccomp, threads;
	bool kernel_thread, no_new_privileges;
};

enum known { KNOWN_NO, KNOWN_YES, KNOWN_NOT };

struct facts {
	int64_t pid; /* 0: of the machine only */
	struct who caller, victim;
	uint32_t kernel_major, kernel_minor;
	int yama; /* kernel.yama.ptrace_scope; -1: this kernel has none */

	/* of a process */
	bool exists, visible;
	bool self, controller, ancestor, descendant; /* ancestor: of the caller */
	bool other_machine;
	int64_t tracer, shared_tracer, tracer_of_caller;
	char tracer_name[FACTS_NAME];
	enum known dumpable;
	enum relation relation;
	int memory; /* of source.may_read; 1: it was not asked */
};

/* 0, or -ENOENT: there is no /proc. */
int facts_gather(struct facts *ret, const struct source *source, int64_t pid);

#endif
