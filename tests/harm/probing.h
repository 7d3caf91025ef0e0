/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * harm/probing.h - a client that has public breakpoints in its victim, and changes them all the time
 */
#ifndef HARM_PROBING_H
#define HARM_PROBING_H

#include <stdatomic.h>
#include <stdbool.h>

#include <tether/tether.h>

#include "scoreboard.h"

enum { PROBINGS = BOARD_SITES + 8 };

struct probing {
	struct scoreboard *board;
	struct tether *victim;
	bool calls;      /* of its functions, with returns, instead of sites */
	uint64_t random;
	_Atomic int64_t stays; /* a thread that a handler has left standing; 0: none */
	_Atomic bool stopped; /* one has asked for all to stop */
	struct probed {
		struct probing *all;
		struct tether_breakpoint_opts opts;
		struct tether_breakpoint *breakpoint; /* NULL: it is not there now */
		bool disabled;
	} probed[PROBINGS];
	unsigned count;
};

/* 0, or what the library said. */
int probing_begin(struct probing *probing, struct tether_error *error);
/* Remove one, add one again, disable or enable one. 0, or what the library said. */
int probing_change(struct probing *probing);

#endif
