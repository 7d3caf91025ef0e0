/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * harm/scoreboard.h - the page that a victim shares with its judge
 *
 * A memfd, mapped MAP_SHARED by both, its number handed down through the client and the controller: a victim
 * needs no working system call to say that something went wrong, and its judge none to hear it. The victim
 * writes all fields but those marked.
 */
#ifndef HARM_SCOREBOARD_H
#define HARM_SCOREBOARD_H

#include <stdatomic.h>
#include <stdint.h>

enum { BOARD_WORKERS = 16, BOARD_SITES = 16 };

struct scoreboard {
	_Atomic uint32_t sites_known; /* set by a constructor: site[] can be planted before main runs */
	_Atomic uint32_t ready;       /* all workers run */
	_Atomic uint32_t stop;        /* judge: end now */
	_Atomic uint32_t finished;    /* main is about to return the right exit status */
	_Atomic int32_t pid;
	uint32_t workers;
	uint32_t sites;
	_Atomic uint32_t last_error; /* enum victim_error of the most recent one, status in the upper half */
	_Atomic uint64_t errors;     /* results that were not right */
	_Atomic uint64_t signals;    /* handler runs */
	uint64_t site[BOARD_SITES];
	_Atomic uint64_t progress[BOARD_WORKERS];
	_Atomic uint64_t
		gap_ns[BOARD_WORKERS]; /* longest time between two turns; the judge may set it back to 0 */
	_Atomic uint32_t begin;        /* the injection victim: session says go */
	_Atomic uint32_t done;         /* the injection victim: its script has run */
	_Atomic uint32_t crash;        /* judge: one of its threads is to crash now */
	_Atomic uint32_t measure;      /* judge: keep gap_ns (two clock readings a turn) */
	_Atomic uint32_t ending;       /* judge: the hold is about to be ended: what was parked may run any moment */
	_Atomic uint32_t parks;        /* client: at which it has found the victim standing and its text whole */
	_Atomic uint32_t snapshots;    /* client: of its stacks */
	_Atomic uint32_t stacks;       /* client: that came with events */
	_Atomic uint64_t hits;         /* client: of breakpoints, that it was told of */
	_Atomic uint64_t returns;      /* client: of calls */
	_Atomic uint32_t traps_seen;   /* client: how often it has seen a trap in the text between two parks */
	_Atomic uint64_t looks;        /* at the disposition of SIGTRAP, kind both, ... */
	_Atomic uint64_t glimpses;     /* ... which found the default, between the kernel's reset and the repair */
};

/* What a worker found wrong. */
enum victim_error {
	WRONG_PUSH = 1,
	WRONG_ENDBR,
	WRONG_LEA,
	WRONG_SLOT,
	WRONG_SLOT_RIP,
	WRONG_SLOT_BRANCH,
	WRONG_IN_PLACE,
	WRONG_SYSCALL,
	WRONG_OPEN,
	WRONG_SYMBOL,
	WRONG_CLOSE,
	WRONG_FORK,
	WRONG_CHILD,
	WRONG_THREAD,
	WRONG_SIGNAL_STATE,
};

#endif
