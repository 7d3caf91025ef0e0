/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stacks_take.c - the one piece of output_stack.h that asks the library for more than names
 */
#include "output_stack.h"

int stacks_take(struct output *output, struct tether *process, const struct tether_snapshot_opts *opts, bool merge)
{
	struct tether_snapshot snapshot = { .size = sizeof(snapshot) };
	struct stacks stacks;
	int result;

	stacks_begin(&stacks, output, merge);
	result = tether_snapshot(process, opts, stacks_add, &stacks, &snapshot);
	stacks_end(&stacks);
	if (result >= 0)
		stacks_snapshot(&stacks, &snapshot);
	return result;
}
