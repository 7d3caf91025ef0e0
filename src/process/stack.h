/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * process/stack.h - inside this room: a snapshot on its way from copies to frames
 *
 *	stack.c   the call, the controller's copies
 *	still.c   copies of threads that nobody stops
 *	frames.c  frames of a copy, their names, the client's function
 */
#ifndef PROCESS_STACK_H
#define PROCESS_STACK_H

#include "process/handle.h"
#include "stack/stack.h"

/* What the controller has copied for one call. */
struct copies {
	int file;                /* memfd of the control thread's table, -1: none any more */
	unsigned char *bytes;    /* mapped */
	size_t length;
	struct proto_snapshot_taken taken;
	struct proto_snapshot request;
	uint32_t *tids;          /* owned */
};
void copies_free(struct copies *copies);

/* The name of an address, which many threads stand at. */
struct named_address {
	UT_hash_handle hh;
	vaddr_t address;
	char *object, *symbol;   /* owned, NULL: none */
	uint64_t start;          /* of the symbol, or the object's base */
	uint64_t base;
};

/* One call. */
struct snapshot_call {
	struct tether *process;
	struct tether_snapshot_opts opts; /* defaults filled in */
	tether_stack_fn *visit;
	void *data;
	struct stack_map *map;
	struct stack_frame *frames;
	struct tether_frame *named;
	struct named_address *addresses;
	struct tether_snapshot done;
	bool spare;              /* this time: who is blocked in a system call is not stopped */
	int begun;               /* what frames_begin() has returned */
	int result;              /* of the client's function, when that was not 0 */
};
/* What one thread's copy is, besides. */
struct snapshot_thread {
	int64_t tid, syscall;
	uint32_t state;          /* enum tether_thread_state */
	uint64_t t_ns, pause_ns;
	bool cut;                /* there is more of its stack than was copied */
};
/* The map, and memory for frames. 0 or negative code. */
int frames_begin(struct snapshot_call *call);
void frames_end(struct snapshot_call *call);
/* Unwind, name, hand over. What the client's function returned. */
int frames_visit(struct snapshot_call *call, const struct snapshot_thread *thread, const struct stack_copy *copy);
/* Object and symbol of the address as far as they are known; flags: enum tether_snapshot_flags. Any thread, no lock held. */
void frames_look_up(struct tether *process, struct view *view, uint64_t image, uint32_t flags,
		    struct named_address *named);
/* enum tether_stack_end; cut: there is more of the stack than was copied. */
uint32_t frames_end_of(enum stack_end end, bool cut);
/* All of it for TETHER_STILL. */
int still_visit(struct snapshot_call *call);

#endif
