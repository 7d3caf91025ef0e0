/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stacks_fetch.h - stacks that are named after their process was let go, with debug files from servers
 *
 *	struct kept_stacks kept = { 0 };
 *	tether_snapshot(handle, &opts, kept_stacks_add, &kept, &kept.snapshot);    opts: TETHER_SNAPSHOT_NO_NAMES
 *	tether_release(handle);
 *	kept_stacks_name(&kept, reader, flags, stacks_add, &stacks);
 *	kept_stacks_free(&kept);
 */
#ifndef TOOLS_STACKS_FETCH_H
#define TOOLS_STACKS_FETCH_H

#include <stdbool.h>
#include <tether/tether.h>

struct kept_stacks {
	struct tether_stack *stacks; /* owned, with what they point to */
	size_t count;
	struct tether_snapshot snapshot;
};

/* A tether_stack_fn; data is the struct kept_stacks. Without memory it returns -ENOMEM. */
int kept_stacks_add(const struct tether_stack *stack, void *data);
/* Name all frames, reader observing the process or what it was, and visit each stack. flags: enum tether_symbol_opt. */
int kept_stacks_name(struct kept_stacks *kept, struct tether *reader, uint32_t flags, tether_stack_fn *visit, void *data);
void kept_stacks_free(struct kept_stacks *kept);

#endif
