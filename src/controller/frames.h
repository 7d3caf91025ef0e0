/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * controller/frames.h - the shadow of one thread's stacks: calls whose returns are awaited
 *
 * Plain data: whoever calls has seen the stack pointer, and a function of his reads the words that must be looked at. A
 * frame is known by its *slot*, where the return address lies in memory, and that address.
 *
 *	entry, sp ──► frames whose slots lie below are left behind ──► one more frame
 *	return, slot ──► the frame of that slot and address, with those that made tail calls to it
 *
 * A thread may have several stacks (sigaltstack, coroutines), and no word says where one ends. So a frame that lies below
 * may have been passed by longjmp(3) or an exception, or be of another stack and come back later. It is given up only
 * when its slot holds its address no longer, or is another call's by now; until then it is *in doubt*: it is not counted
 * among those that the thread is inside, but a return that fits it belongs to it. Its word is read again after 2, 4, 8 ...
 * entries, so that what stays in doubt costs nothing.
 */
#ifndef CONTROLLER_FRAMES_H
#define CONTROLLER_FRAMES_H

#include "controller/pool.h"

struct frame {
	struct frame *older;
	vaddr_t slot, back; /* where the return address lies, and what it is */
	vaddr_t function;
	uint64_t t_ns;
	uint64_t check_at;  /* in doubt: when to look again, in entries of the thread */
	uint32_t depth;
	uint32_t born;      /* the caller's: what has been planted before it */
	uint8_t doubts;     /* how often its slot was found unchanged */
	bool doubted;
};

struct shadow {
	struct frame *newest;
	uint64_t entries;
	uint32_t count;
	/* Calls that found no room, one inside the other, all inside the newest: how many, and the slot of the last. */
	uint32_t beyond;
	vaddr_t beyond_slot;
};

/* Is that the word at slot? */
struct frame_memory {
	bool (*holds)(void *data, vaddr_t slot, vaddr_t back);
	void *data;
};

/*
 * A function begins whose return address back lies at slot. Frames that are gone are freed. depth: of how many the thread
 * is inside.
 */
void frames_enter(struct pool *pool, struct shadow *shadow, const struct frame_memory *memory, vaddr_t slot, vaddr_t back,
		  vaddr_t function, uint32_t *depth);
/* After that: its frame, to be filled in. NULL: there is no room for more, and it is only counted. */
struct frame *frames_push(struct pool *pool, struct shadow *shadow, vaddr_t slot, vaddr_t back, vaddr_t function,
			  uint32_t depth);
/* The frame that was pushed last, and nothing else has happened since. */
void frames_pop(struct pool *pool, struct shadow *shadow);
/*
 * A thread has come back to back, and the word it took lay at slot. Each call that has ended is visited, the innermost
 * first, and freed. How many; 0: none of them was awaited.
 */
typedef void frame_fn(const struct frame *frame, void *data);
unsigned frames_leave(struct pool *pool, struct shadow *shadow, const struct frame_memory *memory, vaddr_t slot,
		      vaddr_t back, frame_fn *visit, void *data);
void frames_clear(struct pool *pool, struct shadow *shadow);
/* For the one thread of a forked child. Without memory it has none. */
void frames_copy(struct pool *pool, struct shadow *to, const struct shadow *from);

#endif
