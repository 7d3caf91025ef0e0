/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * client/spawn.h - start a controller without the host noticing
 *
 * A direct child of the host would raise SIGCHLD when it ends (exec resets the exit signal) and could be eaten
 * by the host's waitpid(-1). So the caller clones a middle process (shared memory, exit signal 0, reaped with
 * __WCLONE), which clones the controller and ends:
 *
 *	caller ──clone(VM|VFORK, no exit signal)──► middle ──clone(VM|VFORK)──► exec of the controller
 *	   └────────── waits for both: each VFORK ends at the exec or the exit ──────────┘
 *
 * A victim is made on the way, so that its exec and the controller's run side by side:
 *
 *	middle ──► controller-to-be ──clone(VM)──► victim-to-be: waits for `go`, then os_become()
 *	                │ PTRACE_SEIZE, go
 *	                └──► exec of the controller, whose child and tracee the victim stays
 *
 * Until its exec the victim-to-be runs in the caller's memory, on a stack of its own, and writes nothing there
 * but into its struct newborn.
 *
 * Threads: any; the calling thread's signals are blocked meanwhile.
 */
#ifndef CLIENT_SPAWN_H
#define CLIENT_SPAWN_H

#include "base/types.h"
#include "os/newborn.h"

struct spawned {
	int socket;      /* the library's end, close-on-exec, in the caller's table */
	int64_t pid;     /* of the controller; no child of the caller, so it may be gone */
};

/* A victim on its way to its exec. */
struct newborn {
	struct os_plan plan;
	/* what became of it */
	pid_t pid;                 /* 0: it was not made */
	int error;                 /* why: errno of clone or PTRACE_SEIZE */
	struct os_failure failure; /* of its own steps, when it has ended without an exec */
	/* inside */
	uint32_t go;   /* futex: 1: it is held and may begin */
	uint32_t here; /* futex: 1: it runs in this memory; the kernel sets it to 0 */
	char *stack;
};

/*
 * Where that is not to be had, the controller makes the victim itself: it cannot seize what runs in the memory
 * of a client that is not dumpable (ptrace(2), access mode checking).
 */
bool newborn_possible(void);
/* Everything but the plan is set. 0 or -ENOMEM. */
int newborn_init(struct newborn *newborn);
/*
 * Let go of it: true: it has left this memory, which may be freed; false: it is stuck in its exec, and all that
 * the plan points to must stay. Waits up to timeout_ms for it.
 */
bool newborn_end(struct newborn *newborn, int timeout_ms);

/*
 * executable: O_PATH fd. payload: an fd that the controller inherits under the same number, or -1. newborn: a
 * victim to be made on the way, or NULL. extra: NULL-terminated further arguments, or NULL. 0 or negative errno
 * (of socketpair, clone, execveat).
 */
int client_spawn(int executable, int payload, struct newborn *newborn, const char *const *extra,
		 struct spawned *ret);

#endif
