/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * signals.h - signals and job control of the command itself
 *
 * The order matters: signals_save() and the session come first, so that victims start with the dispositions
 * and the mask that tether was started with; signals_step_aside() next; signals_listen() when nothing is
 * created any more, as a created process takes over the mask of the thread that creates it.
 */
#ifndef TOOLS_SIGNALS_H
#define TOOLS_SIGNALS_H

#include <signal.h>
#include <stdint.h>
#include <sys/types.h>

enum { SIGNALS_KEPT = 9 };

struct signals {
	sigset_t mask;                         /* as tether was started */
	struct sigaction action[SIGNALS_KEPT]; /* the same */
	int fd;                                /* signalfd of those listened to, -1: none */
};

void signals_save(struct signals *signals);

/* SIGPIPE: a reader of the records that goes away must not end us, who still hold victims. */
void signals_survive_readers(void);

/*
 * What the terminal sends to its foreground job is meant for the victim: it dies of Ctrl-C or does not, and
 * tether ends after it. SIGTTOU: records reach the terminal from the background too.
 */
void signals_step_aside(void);

/*
 * Receive these through signals->fd instead of dying of them; those that tether was started with ignored stay
 * so (nohup(1), background jobs of scripts). 0-terminated. 0, or a negated errno.
 */
int signals_listen(struct signals *signals, const int *list);
/* The next signal that came, 0 when there is none. */
int signals_next(struct signals *signals);

/* Back to what tether was started with. */
void signals_restore(const struct signals *signals);

/* Die of a signal as the victim did, and without writing a core file over the victim's. */
_Noreturn void die_of(int signal);

/*
 * Stop this process, as the victim is stopped, so that the shell which waits for us gets its prompt. It
 * returns when the shell (or anybody) continues us, when the process is no longer stopped, or at the deadline
 * (CLOCK_MONOTONIC, 0: none).
 */
void stop_along_with(int64_t pid, uint64_t deadline_ns);

/* State letter of a process as proc(5) has it, 0 when it is gone. Uses nothing but system calls. */
char process_state(int64_t pid);

/*
 * Wait until a process that was let go in a job-control stop stands in it: the kernel wakes it up to put it
 * there. At most a second, as anybody may continue or kill it.
 */
void await_stop(int64_t pid);

uint64_t now_ns(void);

#endif
