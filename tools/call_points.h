/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * call_points.h - breakpoints of `tether calls`, one for each process and word of -f, and what they have counted
 */
#ifndef TOOLS_CALL_POINTS_H
#define TOOLS_CALL_POINTS_H

#include <tether/tether.h>

#include "calls.h"

struct call_point;

struct call_points {
	const struct calls_options *options;
	struct output *output;
	uint32_t flags;        /* of each: set of enum tether_breakpoint_flags */
	tether_call_fn *call;  /* NULL: only counted */
	void *data;            /* for it */
	struct call_point *points;
	bool disabled;
};

/* All of a process. False: it was said why not. */
bool call_points_add(struct call_points *points, struct tether *handle);
/* Nobody is to be stopped any more. */
void call_points_disable(struct call_points *points);
/* Before the session is closed: names and counters are the library's. False: not all of them, as was said. */
bool call_points_counts(struct call_points *points);
/* What was found nowhere, or could not be planted. */
void call_points_remarks(const struct call_points *points);
void call_points_free(struct call_points *points);

#endif
