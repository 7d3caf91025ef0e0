/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The shadow of a thread's stacks, with a made-up memory: each test is a sequence of calls and returns.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/limits.h"
#include "controller/frames.h"

enum { TOP = 0x7000, F = 1, G = 2, H = 3, ALTERNATE = 0x3000, HIGHER = 0x9000 };

/* One thread: words of its stacks by slot, and what has come back. */
struct thread {
	struct pool pool;
	struct shadow shadow;
	vaddr_t word[0x1000];
	vaddr_t came[64];
	unsigned count, looks;
};

static bool holds(void *data, vaddr_t slot, vaddr_t back)
{
	struct thread *thread = data;

	thread->looks++;
	return thread->word[slot / 16] == back;
}

static struct thread *begin(void)
{
	struct thread *thread = calloc(1, sizeof(*thread));

	assert_non_null(thread);
	thread->pool = (struct pool){ .size = sizeof(struct frame), .limit = MAX_ALL_FRAMES };
	return thread;
}

static void end(struct thread *thread)
{
	frames_clear(&thread->pool, &thread->shadow);
	assert_int_equal(thread->shadow.count, 0);
	free(thread);
}

/* Its depth. */
static uint32_t call(struct thread *thread, vaddr_t slot, vaddr_t back, vaddr_t function)
{
	const struct frame_memory memory = { holds, thread };
	uint32_t depth;

	if (slot / 16 < 0x1000)
		thread->word[slot / 16] = back;
	frames_enter(&thread->pool, &thread->shadow, &memory, slot, back, function, &depth);
	(void)frames_push(&thread->pool, &thread->shadow, slot, back, function, depth);
	return depth;
}

static void came(const struct frame *frame, void *data)
{
	struct thread *thread = data;

	thread->came[thread->count++ % 64] = frame->function;
}

static unsigned back(struct thread *thread, vaddr_t slot, vaddr_t to)
{
	const struct frame_memory memory = { holds, thread };

	thread->count = 0;
	return frames_leave(&thread->pool, &thread->shadow, &memory, slot, to, came, thread);
}

static void calls_come_back_one_by_one(void **state)
{
	struct thread *thread = begin();

	(void)state;
	assert_int_equal(call(thread, TOP, 0x100, F), 0);
	assert_int_equal(call(thread, TOP - 64, 0x200, G), 1);
	assert_int_equal(call(thread, TOP - 128, 0x300, H), 2);
	assert_int_equal(back(thread, TOP - 128, 0x300), 1);
	assert_int_equal(thread->came[0], H);
	assert_int_equal(call(thread, TOP - 128, 0x301, H), 2);
	assert_int_equal(back(thread, TOP - 128, 0x301), 1);
	assert_int_equal(back(thread, TOP - 64, 0x200), 1);
	assert_int_equal(back(thread, TOP, 0x100), 1);
	assert_int_equal(thread->shadow.count, 0);
	/* What is as it should be is never looked at. */
	assert_int_equal(thread->looks, 0);
	end(thread);
}

static void recursion_has_one_frame_each(void **state)
{
	struct thread *thread = begin();

	(void)state;
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(call(thread, TOP - 64 * i, 0x100, F), i);
	for (unsigned i = 100; i-- > 0;)
		assert_int_equal(back(thread, TOP - 64 * i, 0x100), 1);
	assert_int_equal(thread->shadow.count, 0);
	end(thread);
}

static void a_return_that_fits_no_call_is_nobodys(void **state)
{
	struct thread *thread = begin();

	(void)state;
	call(thread, TOP, 0x100, F);
	assert_int_equal(back(thread, TOP - 64, 0x100), 0);
	assert_int_equal(back(thread, TOP, 0x101), 0);
	assert_int_equal(thread->shadow.count, 1);
	end(thread);
}

static void tail_calls_come_back_together_the_innermost_first(void **state)
{
	struct thread *thread = begin();

	(void)state;
	call(thread, TOP, 0x100, F);
	assert_int_equal(call(thread, TOP, 0x100, G), 1);
	assert_int_equal(call(thread, TOP, 0x100, H), 2);
	assert_int_equal(back(thread, TOP, 0x100), 3);
	assert_int_equal(thread->came[0], H);
	assert_int_equal(thread->came[1], G);
	assert_int_equal(thread->came[2], F);
	end(thread);
}

static void the_same_call_anew_was_left_by_longjmp(void **state)
{
	struct thread *thread = begin();

	(void)state;
	for (int i = 0; i < 10; i++) {
		assert_int_equal(call(thread, TOP, 0x100, F), 0);
		assert_int_equal(call(thread, TOP - 64, 0x200, G), 1);
	}
	/* The last one comes back, once. */
	assert_int_equal(back(thread, TOP - 64, 0x200), 1);
	assert_int_equal(back(thread, TOP, 0x100), 1);
	end(thread);
}

static void another_call_in_the_slot_ends_the_one_before(void **state)
{
	struct thread *thread = begin();

	(void)state;
	call(thread, TOP, 0x100, F);
	call(thread, TOP - 64, 0x200, G);
	thread->word[(TOP - 64) / 16] = 0;
	assert_int_equal(call(thread, TOP, 0x150, H), 0);
	assert_int_equal(back(thread, TOP, 0x100), 0);
	assert_int_equal(back(thread, TOP, 0x150), 1);
	assert_int_equal(thread->shadow.count, 0);
	end(thread);
}

/* F calls G calls H, which jumps back into F; whatever their words are, F comes back alone. */
static void what_was_passed_does_not_come_back_with_the_outer_one(void **state)
{
	for (int overwritten = 0; overwritten < 2; overwritten++) {
		struct thread *thread = begin();

		(void)state;
		call(thread, TOP, 0x100, F);
		call(thread, TOP - 64, 0x200, G);
		call(thread, TOP - 128, 0x300, H);
		if (overwritten)
			thread->word[(TOP - 64) / 16] = thread->word[(TOP - 128) / 16] = 0;
		assert_int_equal(back(thread, TOP, 0x100), 1);
		assert_int_equal(thread->came[0], F);
		assert_int_equal(thread->shadow.count, overwritten ? 0 : 2);
		/* In doubt they are not counted, and the next call there takes their place. */
		assert_int_equal(call(thread, TOP, 0x101, F), 0);
		assert_int_equal(call(thread, TOP - 64, 0x201, G), 1);
		assert_int_equal(back(thread, TOP - 64, 0x201), 1);
		assert_int_equal(back(thread, TOP, 0x101), 1);
		end(thread);
	}
}

/* Two stacks by turns, the other below or above: nothing of either is lost. */
static void frames_of_other_stacks_stay(void **state)
{
	static const vaddr_t others[] = { ALTERNATE, HIGHER };

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct thread *thread = begin();

		call(thread, TOP, 0x100, F);
		call(thread, others[i], 0x500, G);
		for (int turn = 0; turn < 100; turn++) {
			call(thread, TOP - 64, 0x200, H);
			assert_int_equal(back(thread, TOP - 64, 0x200), 1);
			call(thread, others[i] - 64, 0x600, H);
			assert_int_equal(back(thread, others[i] - 64, 0x600), 1);
		}
		assert_int_equal(back(thread, others[i], 0x500), 1);
		assert_int_equal(back(thread, TOP, 0x100), 1);
		assert_int_equal(thread->shadow.count, 0);
		/* What stays in doubt is looked at ever more rarely. */
		assert_true(thread->looks < 40);
		end(thread);
	}
}

static void coroutines_may_come_back_in_any_order(void **state)
{
	struct thread *thread = begin();

	(void)state;
	for (unsigned i = 0; i < 8; i++)
		call(thread, ALTERNATE + 0x400 * i, 0x100 + i, F + i);
	for (unsigned i = 0; i < 8; i++) {
		unsigned which = (i * 5) % 8;

		assert_int_equal(back(thread, ALTERNATE + 0x400 * which, 0x100 + which), 1);
		assert_int_equal(thread->came[0], F + which);
	}
	assert_int_equal(thread->shadow.count, 0);
	end(thread);
}

static void beyond_the_bound_depth_is_counted(void **state)
{
	struct thread *thread = begin();
	const unsigned deep = MAX_FRAMES + 100;
	const vaddr_t top = 0x7fff00000000;

	(void)state;
	for (unsigned i = 0; i < deep; i++)
		assert_int_equal(call(thread, top - 64 * i, 0x100, F), i);
	assert_int_equal(thread->shadow.count, MAX_FRAMES);
	for (unsigned i = deep; i-- > MAX_FRAMES;)
		assert_int_equal(back(thread, top - 64 * i, 0x100), 0);
	/* A call from there is as deep as it was. */
	assert_int_equal(call(thread, top - 64 * (vaddr_t)MAX_FRAMES, 0x200, G), MAX_FRAMES);
	back(thread, top - 64 * (vaddr_t)MAX_FRAMES, 0x200);
	for (unsigned i = MAX_FRAMES; i-- > 0;)
		assert_int_equal(back(thread, top - 64 * i, 0x100), 1);
	assert_int_equal(thread->shadow.count, 0);
	assert_int_equal(call(thread, top, 0x100, F), 0);
	assert_int_equal(back(thread, top, 0x100), 1);
	end(thread);
}

static void a_copy_comes_back_by_itself(void **state)
{
	struct thread *thread = begin(), *child = begin();

	(void)state;
	call(thread, TOP, 0x100, F);
	call(thread, TOP - 64, 0x200, G);
	frames_copy(&child->pool, &child->shadow, &thread->shadow);
	assert_int_equal(back(child, TOP - 64, 0x200), 1);
	assert_int_equal(back(child, TOP, 0x100), 1);
	assert_int_equal(back(thread, TOP - 64, 0x200), 1);
	assert_int_equal(back(thread, TOP, 0x100), 1);
	end(thread);
	end(child);
}

/* Against a model of one stack that knows everything: calls, returns and jumps as they fall. */
static void drawn_sequences_agree_with_a_model(void **state)
{
	enum { DEPTH = 60 };
	struct thread *thread = begin();
	vaddr_t slot[DEPTH], to[DEPTH], function[DEPTH];
	unsigned depth = 0, seed = 1;

	(void)state;
	for (int i = 0; i < 200000; i++) {
		seed = seed * 1103515245 + 12345;
		unsigned dice = seed >> 16 & 0xff, less = seed >> 24 & 7;

		if (dice < 130 && depth < DEPTH) {
			slot[depth] = (depth ? slot[depth - 1] : TOP) - 16 * (1 + less);
			to[depth] = 0x1000 + (vaddr_t)i; /* each place calls once: nothing looks like a tail call */
			function[depth] = F + less;
			call(thread, slot[depth], to[depth], function[depth]);
			depth++;
		} else if (dice < 240 && depth) {
			depth--;
			assert_int_equal(back(thread, slot[depth], to[depth]), 1);
			assert_int_equal(thread->came[0], function[depth]);
		} else if (depth) {
			depth -= depth > less ? less : depth;
		}
	}
	end(thread);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_come_back_one_by_one),
		cmocka_unit_test(recursion_has_one_frame_each),
		cmocka_unit_test(a_return_that_fits_no_call_is_nobodys),
		cmocka_unit_test(tail_calls_come_back_together_the_innermost_first),
		cmocka_unit_test(the_same_call_anew_was_left_by_longjmp),
		cmocka_unit_test(another_call_in_the_slot_ends_the_one_before),
		cmocka_unit_test(what_was_passed_does_not_come_back_with_the_outer_one),
		cmocka_unit_test(frames_of_other_stacks_stay),
		cmocka_unit_test(coroutines_may_come_back_in_any_order),
		cmocka_unit_test(beyond_the_bound_depth_is_counted),
		cmocka_unit_test(a_copy_comes_back_by_itself),
		cmocka_unit_test(drawn_sequences_agree_with_a_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
