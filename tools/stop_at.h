/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stop_at.h - run --stop-at=OBJECT:FUNCTION: every process of the family stops when it first comes there
 *
 *	hit, on the library's thread ──► stop all
 *	hit, dispatched ──► process->stopped ──► PARKED ──► its stack is shown, and it is handed over
 */
#ifndef TOOLS_STOP_AT_H
#define TOOLS_STOP_AT_H

#include "timeline.h"

/* A created victim that stands before its first instruction is told to; it goes on when that park is dispatched. */
int stop_at_function(struct timeline *timeline, struct tether *handle, const char *where, struct tether_error *error);
/* The stack with which that thread has come there. */
void stop_at_show(struct timeline *timeline, struct tether *handle, int64_t tid);
/* A note if nobody ever came across such a function. */
void stop_at_end(struct timeline *timeline);

#endif
