/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * session/session.h - the session's own parts: control thread, event queue, dispatch
 *
 * The control thread has a file table of its own (close_range(2) with CLOSE_RANGE_UNSHARE): it holds nothing
 * of the host's open, a closefrom(3) of the host does not cut its lines, and a forked child of the host does
 * not keep them. It is woken by a thread-directed signal that it blocks and reads from a signalfd: no handler
 * is needed and it works where the host ignores the signal. No client code ever runs on it.
 */
#ifndef SESSION_SESSION_H
#define SESSION_SESSION_H

#include "process/call_stack.h"
#include "process/handle.h"
#include "process/start.h"

enum queued_kind { QUEUED_EVENT, QUEUED_HIT, QUEUED_CALL };

struct queued_event {
	STAILQ_ENTRY(queued_event) next;
	enum queued_kind kind;
	struct tether *process;               /* pinned; NULL: of none */
	struct tether_breakpoint *breakpoint; /* of a hit or a call: a reference */
	union {
		struct tether_event event;    /* its strings and arrays follow */
		struct tether_hit hit;
		struct {
			struct tether_call call;
			struct call_stack stack; /* that call.reserved points to; its bytes follow */
		} called;
	} u;
};
STAILQ_HEAD(event_queue, queued_event);

enum control_state { CONTROL_STARTING, CONTROL_RUNNING, CONTROL_FAILED, CONTROL_ENDED };

struct tether_session {
	struct host host;
	struct table table;

	/* control.c */
	pthread_t thread;
	enum control_state control; /* under table.lock */
	int control_error;
	int64_t control_tid;
	bool ending;                /* under table.lock: the control thread is to let all go and end */
	char *controller_path;
	int executable;             /* O_PATH, in the private table */
	dev_t executable_device;    /* what it is */
	ino_t executable_inode;
	int private_fd;             /* the control thread's own of event_fd */
	int wake_fd, poll_fd, self_fd; /* in the private table */

	/* queue.c and dispatch.c, under table.lock */
	struct event_queue events;
	uint32_t queued, queue_limit;
	size_t stack_bytes;          /* of the calls among them */
	uint64_t dropped, dropped_total, handled;
	bool news;                  /* queued since the last queue_announce() */
	pthread_cond_t arrived;
	int event_fd;               /* the host's: readable while events are queued */
	bool event_fd_used;         /* somebody asked for it */
	bool event_fd_set;
	tether_event_fn *handler;
	void *handler_data;
	bool dispatching;
	pthread_t dispatcher;

	/* handler.c, under table.lock */
	STAILQ_HEAD(, stop) stops;
	pthread_cond_t stopped;     /* one more, or the session closes */

	char arguments_text[256];   /* of the controller, in builds for fault injection */
	const char *arguments[8];

	tether_log_fn *log;
	void *log_data;
};

int control_start(struct tether_session *session);
void control_end(struct tether_session *session);

/* ---- handler.c: the thread that calls the handlers of stops; started at first use ---- */
void handler_init(struct tether_session *session);
int handler_start(struct host *host);
void handler_post(struct host *host, struct stop *stop);
/* The session is closing, and every victim was let go: waits for the handler that runs. */
void handler_end(struct tether_session *session);
void handler_destroy(struct tether_session *session);

void queue_init(struct tether_session *session);
void queue_destroy(struct tether_session *session);
/* Lock held. */
void queue_post(struct host *host, const struct tether_event *event);
void queue_post_hit(struct host *host, const struct tether_hit *hit);
bool queue_post_call(struct host *host, const struct tether_call *call, const struct call_stack *stack);
void queue_purge_hits(struct host *host, const struct tether_breakpoint *breakpoint);
/*
 * Control thread, lock not held: tell whoever waits for events. Apart from posting, since a victim may stand
 * still until the control thread has answered for it: the answer goes first.
 */
void queue_announce(struct tether_session *session);

static inline struct tether_session *session_of(struct host *host)
{
	return (struct tether_session *)((char *)host - offsetof(struct tether_session, host));
}

#endif
