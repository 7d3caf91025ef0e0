/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * os/newborn.h - the last steps of a process before it is the victim: all that execve(2) does not do
 *
 * Runs either in a fork of the controller, or in a task that still shares the client's memory: so it allocates
 * nothing, writes nothing but its failure, and calls the kernel bare.
 */
#ifndef OS_NEWBORN_H
#define OS_NEWBORN_H

#include "base/types.h"

/* Which step a creation failed at. */
enum os_stage {
	OS_STAGE_FORK = 1,
	OS_STAGE_STDIO,
	OS_STAGE_CWD,
	OS_STAGE_EXEC,
	OS_STAGE_DIED,
	OS_STAGE_SEIZE,
};

struct os_plan {
	char **candidate, **argv, **envp; /* NULL-ended each; candidates are tried as execvp(3) does */
	char *cwd;                        /* NULL: as it is */
	int32_t stdio[3];                 /* fds to become 0, 1, 2; -1: as they are */
	uint64_t mask, ignored;           /* signals: bit n-1 = signal n */
};

struct os_failure {
	int32_t stage, error; /* enum os_stage, errno */
};

/* How many strings there are, one behind the other, in what order. */
struct os_strings {
	uint32_t candidates, argc, envc, has_cwd;
};

/*
 * Set the pointers of a plan to the strings in bytes, each NUL-ended. pointer: room for all of them and three
 * NULLs. 0, or -EPROTO: they are not there.
 */
int os_plan_point(struct os_plan *plan, char *bytes, size_t size, const struct os_strings *strings, char **pointer);

/* Returns only on failure, which it has filled in. */
void os_become(const struct os_plan *plan, struct os_failure *failure);

/* Options of PTRACE_SEIZE for what is to be held; ends_with_us: killed by the kernel when its tracer dies. */
uint32_t os_trace_options(bool ends_with_us);

#endif
