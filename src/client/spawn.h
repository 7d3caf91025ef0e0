/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * client/spawn.h - start a controller without the host noticing
 *
 * A direct child of the host would raise SIGCHLD when it ends (exec resets the exit signal) and could be eaten
 * by the host's waitpid(-1). So the caller clones a middle process (shared memory, exit signal 0, reaped with
 * __WCLONE), which clones the controller and ends. A victim is made on the way, so that its exec and the
 * controller's run side by side, and beside both the caller, who has his own part to prepare:
 *
 *	caller            middle           controller-to-be         victim-to-be
 *	start ──clone──► clone ──────────► clone ────────────────► waits for `go`
 *	  │              exits             SEIZE, go ─────────────► os_become(): execve
 *	newborn_tell() ──────────────────► newborn_attend() ◄────── stands at its exec
 *	reap: waits for it                     ├──────────────────► runs on
 *	victim: waits for MADE ◄───────────────┤
 *	end: waits for GONE ◄────────────── execve of the controller, whose child and tracee the victim stays
 *
 * Until its exec each runs in the caller's memory, on a stack of its own and on the caller's thread descriptor:
 * so it calls the kernel bare, and writes nothing there but into its struct.
 *
 * Threads: any.
 */
#ifndef CLIENT_SPAWN_H
#define CLIENT_SPAWN_H

#include "base/types.h"
#include "client/newborn.h"

/* Of the stacks of both tasks. */
enum { SPAWN_ARGUMENTS = 16, SPAWN_STACKS = 2 * 65536 };

/* A controller on its way to its exec. */
struct spawn {
	int socket;    /* the library's end, close-on-exec, in the caller's table; the caller closes it */
	int64_t pid;   /* of the controller; no child of the caller, so it may be gone */
	/* inside */
	int executable;
	int keep[3];   /* fds that must survive the exec: cleared in the child's own table only */
	char number[2][16];
	char *argument[SPAWN_ARGUMENTS];
	char *stack;   /* two stacks, one above the other */
	struct newborn *newborn; /* or NULL */
	int64_t middle;
	int error;     /* positive errno */
	uint32_t here; /* futex, enum spawn_here; the kernel sets it to 0 when the controller-to-be has left */
};

/*
 * executable: O_PATH fd. payload: an fd that the controller inherits under the same number, or -1. newborn: a
 * victim to be made on the way, or NULL. extra: NULL-terminated further arguments, or NULL. The fds may be closed
 * at once. On success (0) *spawn must not move until spawn_end() is called for it. Else negative errno (of
 * socketpair, pidfd_open, clone); -EXDEV: the caller has unshared its pid namespace.
 */
int spawn_start(struct spawn *spawn, int executable, int payload, struct newborn *newborn,
		const char *const *extra);
/* Take the middle process out of the host's children: it has ended, or is about to. */
void spawn_reap(struct spawn *spawn);
/* Wait until the victim is held, and is attended to or not to be, or will never be: newborn->pid is set. */
void spawn_victim(struct spawn *spawn);
/*
 * Wait until the controller has left this memory. 0, or negative errno of clone or execveat, or of sending what was to be
 * sent for the caller: then it has ended.
 */
int spawn_end(struct spawn *spawn);

#endif
