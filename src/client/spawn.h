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
 * Threads: any; the calling thread's signals are blocked meanwhile.
 */
#ifndef CLIENT_SPAWN_H
#define CLIENT_SPAWN_H

#include "base/types.h"

struct spawned {
	int socket;      /* the library's end, close-on-exec, in the caller's table */
	int64_t pid;     /* of the controller; no child of the caller, so it may be gone */
};

/*
 * executable: O_PATH fd. payload: an fd that the controller inherits under the same number, or -1. extra:
 * NULL-terminated further arguments, or NULL. 0 or negative errno (of socketpair, clone, execveat).
 */
int client_spawn(int executable, int payload, const char *const *extra, struct spawned *ret);

#endif
