/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * returns.h - what the tests of returns and of records share; the victim is tests/victims/returns.c
 */
#ifndef LIVE_RETURNS_H
#define LIVE_RETURNS_H

#include "harness.h"

enum { COUNTED = TETHER_BREAKPOINT_COUNT | TETHER_BREAKPOINT_RETURN };

/* What the victim has counted, or tether. */
struct totals {
	unsigned long calls, returns, missed, total_ns, buckets;
	char only[64]; /* of this function; "": of all */
	unsigned low, high; /* the first and the last bucket with something in it */
};

/* Without `where`: all of the victim's functions. */
struct tether_breakpoint *add(struct tether *process, struct tether_breakpoint_opts opts);
/* of one function; "": of all */
struct totals totals_of(struct tether_breakpoint *breakpoint, const char *only);
/* What the victim says that it has counted: it was told already, or is told a word. */
struct totals done(struct victim *v);
struct totals after(struct victim *v, const char *word);
void check_counted(struct tether_breakpoint *breakpoint, const struct totals *told);
/* Let go, and the victim is whole. */
void end(struct client *c, struct victim *v);
/* One word, and both have counted the same. */
void count_one(const char *threads, const char *word);

#endif
