/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * process/start.h - what create and grab have in common: a controller, a family, a first answer
 */
#ifndef PROCESS_START_H
#define PROCESS_START_H

#include "client/spawn.h"
#include "process/handle.h"

/* The table of a session; defined by src/session. */
struct table *start_table(struct tether_session *session);

/* How the family is to be held, from the operation's mode, flags and events. */
struct proto_hold start_hold(const struct operation *operation);

/*
 * Calling thread, lock not held: a controller on its way; payload and newborn as of spawn_start(). 0: *spawn must
 * not move until start_controller_end(). Or negative code.
 */
int start_controller(struct operation *operation, struct spawn *spawn, int payload, struct newborn *newborn,
		     struct tether_error *err);
/* The socket goes to the operation. 0 or negative code. */
int start_controller_end(struct operation *operation, struct spawn *spawn, struct tether_error *err);

/*
 * The other way, for a create whose requests go out by themselves: the operation is the control thread's at once, so that
 * nobody has to get a processor again for it before the victim stops. start_run() waits for it in any case.
 */
void start_early(struct operation *operation, const struct spawn *spawn, struct newborn *newborn);
/* After start_run(), whose result it is given, lock not held. The result of the whole. */
int start_early_end(const struct operation *operation, struct spawn *spawn, int result, struct tether_error *err);

/* Control thread: take the socket, say hello. NULL: the operation has been told. */
struct family *start_family(struct operation *operation);

/*
 * Calling thread, lock held: run the operation, close the host's copy of the socket; on success one user
 * reference of the operation's process goes to ret.
 */
int start_run(struct operation *operation, uint32_t timeout_ms, struct tether **ret, struct tether_error *err);

/*
 * Calling thread, lock not held: execve(2) of file has failed with the errno that err (NULL is allowed) has; its message
 * becomes one that names the cause and what would allow it. cwd: where the victim was to run, NULL: here.
 */
void unrunnable_explain(struct tether_error *err, const char *file, const char *cwd);

#endif
