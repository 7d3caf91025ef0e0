/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/frames.h"

#include "base/limits.h"

/* Words that are read at one entry or return; more are left for the next. */
enum { LOOKS = 8, DOUBTS_MAX = 16 };

static void drop(struct pool *pool, struct shadow *shadow, struct frame **link)
{
	struct frame *frame = *link;

	*link = frame->older;
	shadow->count--;
	pool_put(pool, frame);
}

struct look {
	const struct frame_memory *memory;
	unsigned left;
};

static bool is_due(const struct shadow *shadow, const struct frame *frame)
{
	return !frame->doubted || frame->check_at <= shadow->entries;
}

/* Its slot is looked at, when that is due. False: it is gone. */
static bool may_live(const struct shadow *shadow, struct frame *frame, struct look *look)
{
	if (!is_due(shadow, frame) || !look->left) {
		frame->doubted = true;
		return true;
	}
	look->left--;
	if (!look->memory->holds(look->memory->data, frame->slot, frame->back))
		return false;
	frame->doubts += frame->doubts < DOUBTS_MAX;
	frame->check_at = shadow->entries + (UINT64_C(1) << frame->doubts);
	frame->doubted = true;
	return true;
}

/*
 * Of those that share the slot and the return address of a call, by tail calls: is one the same function's? Then it was left
 * by longjmp(3) and is called anew from the same place, and those that it has called are gone too. A function that makes a
 * tail call to itself looks the same.
 */
static struct frame *same_call(struct frame *frame, vaddr_t slot, vaddr_t back, vaddr_t function)
{
	while (frame && frame->slot == slot && frame->back == back) {
		if (frame->function == function)
			return frame;
		frame = frame->older;
	}
	return NULL;
}

static void drop_through(struct pool *pool, struct shadow *shadow, struct frame **link, const struct frame *last)
{
	bool done;

	do {
		done = *link == last;
		drop(pool, shadow, link);
	} while (!done);
}

/* Goes through what may have been left. The frame that it is inside of, or NULL. */
static const struct frame *settle(struct pool *pool, struct shadow *shadow, const struct frame_memory *memory, vaddr_t slot,
				  vaddr_t back, vaddr_t function)
{
	struct look look = { memory, LOOKS };
	struct frame **link = &shadow->newest, *frame;

	while ((frame = *link)) {
		const struct frame *same = same_call(frame, slot, back, function);

		if (same) {
			drop_through(pool, shadow, link, same);
		} else if (frame->slot == slot && frame->back == back) {
			return frame; /* that made a tail call */
		} else if (frame->slot == slot) {
			drop(pool, shadow, link);
		} else if (frame->slot > slot && !frame->doubted) {
			return frame;
		} else if (frame->slot > slot && is_due(shadow, frame) && look.left) {
			/* The thread was above it, and is below again: on its stack, if it lives. */
			if (may_live(shadow, frame, &look)) {
				frame->doubted = false;
				return frame;
			}
			drop(pool, shadow, link);
		} else if (frame->slot > slot || may_live(shadow, frame, &look)) {
			link = &frame->older;
		} else {
			drop(pool, shadow, link);
		}
	}
	return NULL;
}

void frames_enter(struct pool *pool, struct shadow *shadow, const struct frame_memory *memory, vaddr_t slot, vaddr_t back,
		  vaddr_t function, uint32_t *depth)
{
	const struct frame *outer;

	shadow->entries++;
	outer = settle(pool, shadow, memory, slot, back, function);
	/* All that found no room lay deeper than the newest frame; who is not inside that has left them. */
	if (shadow->beyond && (outer != shadow->newest || !outer || slot >= outer->slot))
		shadow->beyond = 0;
	*depth = (outer ? outer->depth + 1 : 0) + shadow->beyond;
}

static void drop_doubted(struct pool *pool, struct shadow *shadow)
{
	struct frame **link = &shadow->newest;

	while (*link) {
		if ((*link)->doubted)
			drop(pool, shadow, link);
		else
			link = &(*link)->older;
	}
}

struct frame *frames_push(struct pool *pool, struct shadow *shadow, vaddr_t slot, vaddr_t back, vaddr_t function,
			  uint32_t depth)
{
	struct frame *frame;

	if (shadow->count >= MAX_FRAMES)
		drop_doubted(pool, shadow);
	frame = shadow->beyond || shadow->count >= MAX_FRAMES ? NULL : pool_get(pool);
	if (!frame) {
		shadow->beyond++;
		shadow->beyond_slot = slot;
		return NULL;
	}
	frame->slot = slot;
	frame->back = back;
	frame->function = function;
	frame->depth = depth;
	frame->older = shadow->newest;
	shadow->newest = frame;
	shadow->count++;
	return frame;
}

void frames_pop(struct pool *pool, struct shadow *shadow)
{
	if (shadow->newest)
		drop(pool, shadow, &shadow->newest);
}

/* It is back on the stack of that frame, above all that was called from there since. */
static void pass(struct pool *pool, struct shadow *shadow, const struct frame_memory *memory, const struct frame *until,
		 vaddr_t slot)
{
	struct look look = { memory, LOOKS };
	struct frame **link = &shadow->newest;

	while (*link != until) {
		struct frame *frame = *link;

		if (frame->slot == slot || (frame->slot < slot && !may_live(shadow, frame, &look)))
			drop(pool, shadow, link);
		else
			link = &frame->older;
	}
}

unsigned frames_leave(struct pool *pool, struct shadow *shadow, const struct frame_memory *memory, vaddr_t slot,
		      vaddr_t back, frame_fn *visit, void *data)
{
	struct frame *frame = shadow->newest, **link = &shadow->newest;
	unsigned left = 0;

	if (shadow->beyond && frame && slot < frame->slot && slot >= shadow->beyond_slot) {
		shadow->beyond--;
		shadow->beyond_slot = slot + 1;
		return 0;
	}
	while (frame && (frame->slot != slot || frame->back != back))
		frame = frame->older;
	if (!frame)
		return 0;
	pass(pool, shadow, memory, frame, slot);
	shadow->beyond = 0;
	while (*link != frame)
		link = &(*link)->older;
	while ((frame = *link) && frame->slot == slot && frame->back == back) {
		visit(frame, data);
		drop(pool, shadow, link);
		left++;
	}
	return left;
}

void frames_clear(struct pool *pool, struct shadow *shadow)
{
	while (shadow->newest)
		drop(pool, shadow, &shadow->newest);
	shadow->beyond = 0;
}

void frames_copy(struct pool *pool, struct shadow *to, const struct shadow *from)
{
	struct frame **link = &to->newest;

	*to = (struct shadow){ .entries = from->entries, .beyond = from->beyond, .beyond_slot = from->beyond_slot };
	for (const struct frame *frame = from->newest; frame; frame = frame->older) {
		struct frame *copy = pool_get(pool);

		if (!copy) {
			frames_clear(pool, to);
			return;
		}
		*copy = *frame;
		copy->older = NULL;
		*link = copy;
		link = &copy->older;
		to->count++;
	}
}
