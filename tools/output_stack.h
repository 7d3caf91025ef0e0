/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * output_stack.h - stacks as records: text, jsonl, folded
 *
 * The stacks of one snapshot are gathered, and written by stacks_end() behind the victim's back: the text form merges
 * equal ones and knows how many there are. A caller:
 *
 *	struct stacks stacks;
 *	stacks_begin(&stacks, output, merge);
 *	result = tether_snapshot(process, &opts, stacks_add, &stacks, &snapshot);
 *	stacks_end(&stacks, result < 0 ? NULL : &snapshot);
 *
 * or stacks_take(), which does all four.
 */
#ifndef TOOLS_OUTPUT_STACK_H
#define TOOLS_OUTPUT_STACK_H

#include "output.h"

struct stacks {
	struct output *output;
	struct stacks_kept *kept; /* copies, in the order of arrival */
	size_t count, room;
	bool merge;  /* equal stacks once, with their number */
	bool failed; /* without memory: said at the end */
};

void stacks_begin(struct stacks *stacks, struct output *output, bool merge);
/* A tether_stack_fn; data is the struct stacks. */
int stacks_add(const struct tether_stack *stack, void *data);
/* Writes what was added, then the snapshot's own record (NULL: none was made), and frees all. */
void stacks_end(struct stacks *stacks, const struct tether_snapshot *snapshot);
/* One snapshot, whole. The result of tether_snapshot(). Nothing is said of a failure. */
int stacks_take(struct output *output, struct tether *process, const struct tether_snapshot_opts *opts, bool merge);

#endif
