/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * output_stack.h - stacks as records: text, jsonl, folded
 *
 *	struct stacks stacks;
 *	stacks_begin(&stacks, output, merge);
 *	result = tether_snapshot(process, &opts, stacks_add, &stacks, &snapshot);
 *	if (result >= 0)
 *		stacks_snapshot(&stacks, &snapshot);
 *	stacks_end(&stacks);
 *
 * or stacks_take(), which does all of it. Merged stacks, and folded ones in any case, are gathered and written by
 * stacks_end(): several snapshots may come before it.
 */
#ifndef TOOLS_OUTPUT_STACK_H
#define TOOLS_OUTPUT_STACK_H

#include "output.h"

struct stacks {
	struct output *output;
	struct stacks_kept *kept; /* gathered ones, by what is equal in them, in the order of arrival */
	bool merge;               /* equal stacks once, with their number */
	bool failed;              /* without memory for some: stacks_end() says so */
};

void stacks_begin(struct stacks *stacks, struct output *output, bool merge);
/* A tether_stack_fn; data is the struct stacks. */
int stacks_add(const struct tether_stack *stack, void *data);
/* The record of a snapshot whose stacks were added. */
void stacks_snapshot(struct stacks *stacks, const struct tether_snapshot *snapshot);
/* Writes what was gathered, and frees it. False: not all could be gathered, as was said. */
bool stacks_end(struct stacks *stacks);
/* One snapshot, whole. The result of tether_snapshot(), of whose failure nothing is said. */
int stacks_take(struct output *output, struct tether *process, const struct tether_snapshot_opts *opts, bool merge);

#endif
