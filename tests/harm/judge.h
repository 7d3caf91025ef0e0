/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * harm/judge.h - was a victim harmed?
 *
 * The judge looks from outside and never touches: no ptrace, no signal, no write but the scoreboard's stop
 * flag at the very end. Its findings are a set, so that one victim harmed in two ways says so.
 */
#ifndef HARM_JUDGE_H
#define HARM_JUDGE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "scoreboard.h"

#define HARMS(X)                                                                   \
	X(DIED, "died", "it ended before it was told to")                          \
	X(WRONG, "wrong", "it computed a wrong result")                            \
	X(TEXT, "text", "its text in memory differs from the file")                \
	X(TRACED, "traced", "a thread still has a tracer")                         \
	X(STOPPED, "stopped", "a thread stands in a stop")                         \
	X(STUCK, "stuck", "a worker makes no progress, or it did not end")         \
	X(SIGNALS, "signals", "its dispositions or masks changed")                 \
	X(ALIVE, "alive", "it should have been killed and was not")                \
	X(LEFT, "left", "a process of the client or the controller was left over") \
	X(STALLED, "stalled", "it stood still for longer than the deadline")       \
	X(LOOSE, "loose", "it was to be left stopped and runs")                    \
	X(PARK, "park", "its text was not whole at a park, or it did not stand")   \
	X(SILENT, "silent", "the client did not do what it was told")

enum harm_kind {
#define X(name, text, what) HARM_KIND_##name,
	HARMS(X)
#undef X
		HARM_KINDS
};

enum harm {
	HARM_NONE = 0,
#define X(name, text, what) HARM_##name = 1 << HARM_KIND_##name,
	HARMS(X)
#undef X
};

/* "died" of a kind. */
const char *harm_name(unsigned kind);
/* "died,text" of a set into buffer. */
const char *harm_names(unsigned set, char *buffer, size_t size);

/* Dispositions as /proc/PID/status shows them: they have to be the same before and after. */
struct signal_state {
	uint64_t ignored, caught;
};

int signal_state_read(pid_t pid, struct signal_state *ret);

/* How a judgement was reached, in words, for the report of a harmed victim. */
struct finding {
	unsigned harms; /* set of enum harm */
	char detail[512];
};

void finding_add(struct finding *finding, unsigned harms, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * A victim that must live on: untraced and not stopped within settle_ms, text equal to the file, signal state
 * as before (NULL: not looked at), every worker making progress.
 */
void judge_living(struct finding *finding, pid_t pid, struct scoreboard *board,
		  const struct signal_state *before, unsigned settle_ms);
/* The text alone: how many bytes of all executable file mappings differ, -1 when it cannot be read. */
long judge_text_difference(pid_t pid, char *where, size_t size);
/* The tasks alone: a set of HARM_TRACED, HARM_STOPPED, and HARM_DIED when there are none. */
unsigned judge_tasks(pid_t pid);
/* Does every thread stand in a job-control stop (or in vfork), and none has a tracer? */
bool judge_stands(pid_t pid);
/* Does every worker move within so many milliseconds? No longer than the process lives. */
bool judge_progress(struct scoreboard *board, pid_t pid, unsigned bound_ms);

/* The next of a row of well-mixed numbers. */
uint64_t random_next(uint64_t *state);
uint64_t now_ns(void);
void pause_us(unsigned us);
/* Process in state Z, X or gone: nothing of it runs any more. */
bool is_gone(pid_t pid);

#endif
