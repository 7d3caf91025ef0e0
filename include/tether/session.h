/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * tether/session.h - a client's whole business with tether
 *
 * A session owns all handles, the queue of events, one control thread, and one controller process per family
 * of victims. The host process is left alone: no signal handler, no child, no SIGCHLD, no change of the
 * environment or of a signal mask, no output.
 *
 *	struct tether_session *s;
 *	struct tether *victim;
 *	int r = tether_session_open(NULL, &s, NULL);
 *	...
 *	tether_session_set_handler(s, on_event, &mine);
 *	r = tether_grab(s, pid, NULL, &victim, NULL);
 *	tether_continue(victim);
 *	while (tether_dispatch(s, -1) >= 0 && !mine.done)
 *		;
 *	tether_release(victim);
 *	tether_session_close(s);
 */
#ifndef TETHER_SESSION_H
#define TETHER_SESSION_H

#include <tether/event.h>

#ifdef __cplusplus
extern "C" {
#endif

struct tether_session;

/*
 * Called by tether_dispatch() on the caller's thread. No victim stands still for it, so it may wait, and call any
 * function of the library but tether_dispatch() (-TETHER_EBUSY) and tether_session_close() of its session
 * (-TETHER_EDEADLK); it may release any handle, that of the event too.
 */
typedef void tether_event_fn(const struct tether_event *event, void *data);

/*
 * Diagnostics for developers; called on any thread of the library or the caller, must not call back. On the session's
 * own thread, for which victims may stand still, nothing may wait: what a call would wait for could never come, and
 * every function of the session and of its handles answers -TETHER_EDEADLK there (tether_ref() takes no reference).
 */
typedef void tether_log_fn(int level, const char *message, void *data);

struct tether_session_opts {
	size_t size;
	tether_log_fn *log;         /* NULL: nothing is logged */
	void *log_data;
	uint32_t question_ms;       /* how long a victim waits for the library; 0: 1000 */
	uint32_t queue_limit;       /* events kept until dispatched; 0: 65536 */
	uint32_t cache_limit;       /* idle observe handles kept; 0: 64 */
	uint32_t flags;             /* 0 */
	const char *controller;     /* NULL: $TETHER_CONTROLLER (secure_getenv), else the installed one */
	/*
	 * Bytes of symbol tables kept that no handle uses, and bytes of tables in use beyond which idle observe
	 * handles go, the least recent first; 0: 128 MiB. Handles that somebody holds are never given up.
	 */
	uint64_t cache_bytes;
};

/**
 * tether_session_open - open a session and start its control thread
 * @opts: NULL for defaults; read during the call only   @ret: the caller's to close; untouched on failure
 * @err: may be NULL
 * Return: 0, -TETHER_ECONTROLLER (no usable executable), -TETHER_EINVALID, -ENOMEM, -EMFILE
 * Threads: any; in a handler: yes; in a forked child: yes, a session of its own
 * Release: tether_session_close()
 * See: pthread_create(3), signal(7), secure_getenv(3)
 *
 * The signal dispositions in force at this moment are those that created victims start with.
 */
TETHER_API int tether_session_open(const struct tether_session_opts *opts, struct tether_session **ret,
				   struct tether_error *err);

/**
 * tether_session_close - let every victim go in its release mode and end the session
 * @session: NULL is allowed
 * Blocks: until every controller has let go, at most the question time; and until a tether_stop_fn that runs has returned
 * Threads: any but inside a handler (-TETHER_EDEADLK, nothing closed); calls running in other threads end
 *          with -TETHER_ECLOSED. Handles die with the session, references or not.
 * Return: 0, -TETHER_EDEADLK, -TETHER_EFORKED (a forked child: nothing is touched)
 * See: ptrace(2) on PTRACE_DETACH, pthread_join(3)
 */
TETHER_API int tether_session_close(struct tether_session *session);

/**
 * tether_fd - a descriptor that polls readable (poll(2), epoll(7)) while tether_dispatch() has work
 * @session: an open session
 * Return: the descriptor; the session owns it. Do not read, write or close it.
 * Threads: any; in a handler: yes
 * See: poll(2), epoll(7), eventfd(2)
 */
TETHER_API int tether_fd(struct tether_session *session);

/**
 * tether_dispatch - hand queued events to the handler
 * @session: an open session
 * @timeout_ms: milliseconds to wait for the first event; 0 returns at once, -1 waits without bound
 * Return: number of events handled, 0 on time-out, -TETHER_EBUSY (another thread dispatches, or called from
 *         a handler), -TETHER_EDEADLK (called from a tether_stop_fn), -TETHER_EFORKED, -TETHER_ECLOSED
 * Blocks: until the first event, at most @timeout_ms
 * Threads: any, one at a time
 * See: poll(2)
 */
TETHER_API int tether_dispatch(struct tether_session *session, int timeout_ms);

/**
 * tether_session_set_handler - who hears the events of this session
 * @session: an open session   @handler: called by tether_dispatch(); NULL discards events
 * @data: handed to @handler; the caller's
 * Return: 0, -TETHER_EFORKED, -TETHER_ECLOSED
 * Threads: any; in a handler: yes; takes effect with the next event; in a forked child: -TETHER_EFORKED
 * See: pthreads(7)
 */
TETHER_API int tether_session_set_handler(struct tether_session *session, tether_event_fn *handler, void *data);

/**
 * tether_target - the first process created or grabbed in this session: $target
 * @session: an open session
 * Return: its pid, 0 when there is none yet, -TETHER_EFORKED, -TETHER_ECLOSED
 * Threads: any; in a handler: yes; in a forked child: -TETHER_EFORKED
 * See: pid_namespaces(7)
 */
TETHER_API int64_t tether_target(struct tether_session *session);

/**
 * struct tether_stats - what holding the victims of a session has cost so far
 */
struct tether_stats {
	size_t size;
	uint64_t events;         /* handed to the handler */
	uint64_t dropped;        /* lost because the queue was full */
	uint64_t processes;      /* processes held, ever */
	uint64_t pause_ns_max;   /* the longest time that a victim's thread stood still for tether */
	uint64_t pause_ns_total; /* all such times together */
	uint64_t stops;          /* ptrace stops handled */
	uint64_t hits;           /* traps hit */
	uint64_t steps_emulated, steps_slot, steps_in_place; /* how the trapped instruction was run */
};

/**
 * tether_stats_get - read the counters
 * @session: an open session   @ret: the caller's; it sets size, no more than that is written
 * Return: 0, -TETHER_EINVALID, -TETHER_EFORKED, -TETHER_ECLOSED, -ENOMEM
 * Blocks: until every controller has answered
 * Threads: any; in a handler: yes; in a forked child: -TETHER_EFORKED
 * See: ptrace(2), proc(5)
 */
TETHER_API int tether_stats_get(struct tether_session *session, struct tether_stats *ret);

#ifdef __cplusplus
}
#endif
#endif
