/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * watch_stacks.h - what a command that does not end is doing: each of its processes, with the stacks of its threads
 */
#ifndef TOOLS_WATCH_STACKS_H
#define TOOLS_WATCH_STACKS_H

#include <sys/types.h>

#include "brood.h"
#include "output.h"

struct watch_stacks {
	struct output *output;
	struct brood *brood; /* looked at just now */
	pid_t command;
	uint64_t timeout_ns;
};

/*
 * Show all that is in the brood, stacks or only what there is. Each process is held for its own stacks only; one that
 * may not be held (a debugger of its own has it, another user, Yama) is looked at without being stopped.
 */
void watch_stacks(struct watch_stacks *stacks, bool wanted);

#endif
