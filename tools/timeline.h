/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * timeline.h - follow victims and show what they do, until there is a reason to end
 *
 * What run and attach have in common: the session, the loop over its events, our own signals and the time
 * limit, and the letting go. The subcommand creates or grabs, runs the loop, and makes an exit status of the
 * reason for which it ended.
 *
 *	timeline_open -> create or grab, timeline_hold() each -> timeline_run -> timeline_close
 */
#ifndef TOOLS_TIMELINE_H
#define TOOLS_TIMELINE_H

#include "family.h"
#include "handover.h"
#include "output.h"
#include "signals.h"

enum timeline_end {
	END_NOT_YET,
	END_FIRST, /* the first process ended */
	END_ALL,   /* nothing is held any more */
	END_LEFT,  /* the first process was left stopped */
	END_TIMEOUT,
	END_SIGNAL,  /* we were told to */
	END_OUTPUT,  /* the records can no longer be written */
	END_FAILURE, /* of the library */
};

struct held {
	struct held *next;
	struct tether *handle; /* a reference */
	int64_t pid;
};

/* A process parked at the place asked for, not yet handed over. */
struct parked {
	struct parked *next;
	struct tether *handle; /* a reference */
	int64_t pid;
	int64_t crashed; /* the thread that a signal is about to end */
	int64_t stopped; /* the thread that has come to a function; 0: it stands for another reason */
};

struct timeline {
	struct output *output;
	struct signals signals;
	struct tether_session *session;
	int fd; /* of the session, to poll */
	struct family family;
	struct held *held;     /* the first process of each family */
	uint64_t deadline_ns;  /* CLOCK_MONOTONIC, 0: none */
	bool ends_with_output; /* END_OUTPUT is a reason */

	/* run only */
	int64_t first;       /* the process whose end is the end; 0: none, it ends when all have ended */
	int first_pidfd;     /* -1: none */
	bool first_known;    /* how it ended was told */
	bool first_unreaped; /* it has ended, its parent has not taken notice yet */
	bool first_stopped;  /* by job control, as far as was told */
	bool stop_due;       /* we are to stop too */
	int first_code, first_signal;
	uint64_t nudge_ns; /* when to continue the first process unless it has gone on; 0: never */
	bool hands_over;   /* parked processes are let go, to `then` or to nobody */
	const char *stop_where; /* function where they park; NULL: nowhere */
	struct tether_breakpoint *stop_at; /* there */
	bool start_due;    /* the first park is that before the first instruction, for the breakpoint */
	const char *then;  /* command to hand parked processes to */
	struct parked *parked, **parked_end;
	struct parked *crashed; /* parked before a signal ends them, the last one first */
	struct handover handover;
	int then_status; /* of the last such command, -1: none ran */

	/* calls only */
	void (*watch)(const struct tether_event *event, void *data); /* each event, when it was dealt with */
	/* The end of each turn, at the latest when it has asked for (CLOCK_MONOTONIC, 0: it need not be called). */
	uint64_t (*rest)(void *data);
	void (*ending)(void *data); /* all are let go and all is told; the session is still open */
	void *data;                 /* for these */
	uint64_t rest_ns;

	enum timeline_end end;
	int end_signal; /* END_SIGNAL: which */
	int failure;    /* END_FAILURE: code */
};

/* Opens the session. Says itself what is wrong. timeout_ns 0: no limit. */
bool timeline_open(struct timeline *timeline, struct output *output, uint64_t timeout_ns);
/* The kinds that the library is to report, and whether that needs its linker breakpoint. */
uint64_t timeline_events(const struct output *output);
/* Those that come with a stack: it is shown, or its caller is. */
uint64_t timeline_stacks(const struct output *output);
bool timeline_needs_monitor(const struct output *output);
/* Takes a reference over. first: its end is the end. */
void timeline_hold(struct timeline *timeline, struct tether *handle, bool first);
void timeline_run(struct timeline *timeline);
/* Let go of all that is held, in this mode, show that and the summary, and close. False: no session to close.
 */
void timeline_close(struct timeline *timeline, uint32_t mode);

#endif
