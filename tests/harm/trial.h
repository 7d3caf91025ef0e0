/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * harm/trial.h - one victim, one client, one ending, one judgement
 *
 *	victim starts (grab) ─ client starts ┬─ early: the ending comes 0..8 ms after the client's start
 *	                                     └─ else "held" ─ 0..40 ms ─ the ending
 *	ending ─ all but the victim gone? ─ judgement ─ victim told to end ─ right exit status?
 *
 * A victim that crashes has no such end: it has to end by the signal, and with the core, of one that nobody holds.
 * Everything random follows from the seed, so a harmful moment can be tried again.
 */
#ifndef HARM_TRIAL_H
#define HARM_TRIAL_H

#include "judge.h"

#define HOLDS(X)                              \
	X(GRAB, "grab", "grabbed, mode run")  \
	X(KILL, "kill", "created, mode kill") \
	X(RUN, "run", "created, mode run")    \
	X(HANG, "hang", "grabbed, mode hang")

enum hold {
#define X(name, text, what) HOLD_##name,
	HOLDS(X)
#undef X
		HOLD_COUNT
};

#define ENDINGS(X)                                                               \
	X(KILL, "kill", "client killed by SIGKILL")                              \
	X(TERM, "term", "client killed by SIGTERM")                              \
	X(INT, "int", "client killed by SIGINT")                                 \
	X(RELEASE, "release", "tether_release")                                  \
	X(CLOSE, "close", "tether_session_close")                                \
	X(EXIT, "exit", "client exits without a word")                           \
	X(FORKED, "forked", "client killed while a forked child of it lives on") \
	X(CONTROLLER_TERM, "controller-term", "controller ended by SIGTERM")     \
	X(CONTROLLER_KILL, "controller-kill", "controller killed by SIGKILL")    \
	X(FROZEN, "frozen", "client stopped by SIGSTOP, then tether_release")

enum ending {
#define X(name, text, what) ENDING_##name,
	ENDINGS(X)
#undef X
		ENDING_COUNT
};

/* Where the programs of a trial are. */
struct lab {
	const char *victim, *holder, *tiny, *plugin[2];
	bool verbose;
	bool keep; /* stand still at the first harm, all its processes with it, to look at them */
};

struct trial {
	const char *kind;
	enum hold hold;
	enum ending ending;
	bool parks; /* the client parks and continues it all the time */
	bool stacks; /* the client takes snapshots of its stacks all the time */
	bool events; /* the client has the stack of every event, and parks what is about to crash */
	bool crashes; /* it crashes by itself, at a moment that is not the ending's */
	bool probes; /* its sites are public breakpoints, counted and told of, that come and go all the time */
	bool calls; /* the same of calls and returns of its functions */
	uint64_t seed;
};

struct outcome {
	struct finding finding;
	bool early, held;
	unsigned moment_us;      /* from the client's start, or from "held" */
	uint64_t let_go_ns;      /* from the ending until nothing of client and controller was left */
	uint64_t longest_gap_ns; /* ENDING_FROZEN: of any worker while the client stood still */
	unsigned parks;          /* at which it stood and its text was whole */
	unsigned snapshots;      /* that were taken */
	unsigned stacks;         /* that came with events */
	uint64_t hits, returns;  /* that the client was told of */
	unsigned traps_seen;     /* looks between two parks that found a trap in its text */
	uint64_t looks, glimpses; /* at the disposition of SIGTRAP; those that met the default */
};

const char *hold_name(enum hold hold);
const char *hold_text(enum hold hold);
const char *ending_name(enum ending ending);
const char *ending_text(enum ending ending);

/*
 * Run it. The calling process has to be a child subreaper without children of its own: what is left over
 * becomes its child, and is killed at the end.
 */
void trial_run(const struct lab *lab, const struct trial *trial, struct outcome *ret);

#endif
