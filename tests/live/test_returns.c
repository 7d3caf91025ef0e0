/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Returns: what comes back is what the victim has counted itself, however its functions are left.
 */
#include "returns.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- counted -------------------------------------------------------------------------------------------- */

TEST(returns_are_counted_as_the_victim_does)
{
	count_one("1", "call 500");
}

TEST(returns_are_counted_for_sixteen_threads)
{
	count_one("16", "call 200");
}

TEST(recursion_comes_back_as_often_as_it_went)
{
	count_one("1", "recurse 300");
}

TEST(a_function_that_made_a_tail_call_comes_back_with_the_other)
{
	count_one("1", "tail 50");
}

TEST(what_longjmp_has_left_does_not_come_back)
{
	count_one("1", "jump 40");
}

TEST(stacks_of_coroutines_are_not_mixed_up)
{
	count_one("1", "coroutine 50");
}

TEST(a_signal_handler_on_another_stack_comes_back_before_what_it_interrupted)
{
	count_one("1", "handler 30");
}

TEST(a_thread_that_ends_inside_does_not_come_back)
{
	count_one("1", "quit");
}

TEST(a_function_that_forks_comes_back_twice)
{
	count_one("1", "fork");
}

TEST(a_vfork_child_has_frames_of_its_own)
{
	count_one("1", "vfork 20");
}

TEST(an_exec_ends_all_that_was_called)
{
	count_one("1", "exec");
}

TEST(what_an_exception_passes_does_not_come_back)
{
	if (access(victim_path("returns-throws.so"), R_OK))
		skip("no C++ compiler");
	count_one("1", "throw 25");
}

/* What stands in a library for what it calls goes with it, and is asked for again when it comes again. */
TEST(callers_that_are_unloaded_and_loaded_again_are_found_again)
{
	if (access(victim_path("returns-throws.so"), R_OK))
		skip("no C++ compiler");
	struct victim v = victim_start("returns", "1", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct tether_breakpoint *all = add(process, (struct tether_breakpoint_opts){ .flags = COUNTED });

	for (int i = 0; i < 5; i++) {
		struct totals told = after(&v, "throw 5");

		check_counted(all, &told);
		told = after(&v, "call 3");
		check_counted(all, &told);
	}
	end(&c, &v);
}

TEST_SECONDS(deeper_than_the_shadow_calls_are_counted_and_returns_missed, 60)
{
	struct victim v = victim_start("returns", "1", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct tether_breakpoint *all = add(process, (struct tether_breakpoint_opts){ .flags = COUNTED });
	struct totals told = after(&v, "recurse 20000"), counted = totals_of(all, "");

	check_int(counted.calls, told.calls);
	check(counted.missed > 0);
	check_int(counted.returns + counted.missed, told.returns);
	told = after(&v, "call 5");
	struct totals later = totals_of(all, "");
	check_int(later.missed, counted.missed);
	check_int(later.returns - counted.returns, 10);
	end(&c, &v);
}

TEST(latencies_are_those_that_the_victim_has_measured)
{
	struct victim v = victim_start("returns", "1", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct tether_breakpoint *all =
		add(process, (struct tether_breakpoint_opts){ .flags = COUNTED | TETHER_BREAKPOINT_LATENCY });
	unsigned long long took[2];

	for (int i = 0; i < 2; i++) {
		victim_say(&v, i ? "sleep 100000000" : "sleep 3000000");
		check_int(sscanf(victim_line(&v), "took %llu", &took[i]), 1);
		done(&v);
	}
	struct totals counted = totals_of(all, "returns_sleeps");
	check_int(counted.returns, 2);
	check_int(counted.buckets, 2);
	/* Measured outside by the victim, inside by the controller. */
	check(counted.total_ns >= 103000000 && counted.total_ns <= took[0] + took[1]);
	check(counted.low >= 21 && counted.low <= 63u - (unsigned)__builtin_clzll(took[0]));
	check(counted.high >= 26 && counted.high <= 63u - (unsigned)__builtin_clzll(took[1]));
	end(&c, &v);
}

/* ---- how long they stand -------------------------------------------------------------------------------- */

TEST(disabled_nothing_comes_back_and_enabled_again_it_does)
{
	struct victim v = victim_start("returns", "1", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct tether_breakpoint *all = add(process, (struct tether_breakpoint_opts){ .flags = COUNTED });
	struct tether_stats stats = { .size = sizeof(stats) }, later = stats;

	struct totals told = after(&v, "call 50");
	check_counted(all, &told);
	check_int(tether_breakpoint_enable(all, 0), 0);
	check_int(tether_stats_get(c.session, &stats), 0);
	after(&v, "call 50");
	/* Nothing stands in the callers either. */
	check_int(tether_stats_get(c.session, &later), 0);
	check_int(later.hits - stats.hits, 0);
	check_counted(all, &told);
	check_int(tether_breakpoint_enable(all, 1), 0);
	struct totals more = after(&v, "call 50");
	struct totals counted = totals_of(all, "");
	check_int(counted.calls, told.calls + 100);
	check_int(counted.returns, told.returns + 100);
	check_int(more.calls - told.calls, 200);
	end(&c, &v);
}

TEST(one_that_is_removed_leaves_the_returns_of_another)
{
	struct victim v = victim_start("returns", "1", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct tether_breakpoint *first = add(process, (struct tether_breakpoint_opts){ .flags = COUNTED });

	after(&v, "call 20");
	struct tether_breakpoint *second = add(process, (struct tether_breakpoint_opts){ .flags = COUNTED });
	check_int(tether_breakpoint_remove(first), 0);
	struct totals counted = totals_of(second, "");
	check_int(counted.calls, 0);
	after(&v, "call 20");
	counted = totals_of(second, "");
	check_int(counted.calls, 40);
	check_int(counted.returns, 40);
	check_int(counted.missed, 0);
	end(&c, &v);
}

static enum tether_answer on_stop(const struct tether_hit *hit, void *data)
{
	(void)hit;
	++*(unsigned long *)data;
	return TETHER_ANSWER_GO;
}

/* Two questions at one hit, one after the other: where it comes back to, and what the handler says. */
TEST(a_handler_that_holds_the_thread_and_returns_share_a_function)
{
	struct victim v = victim_start("returns", "1", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	unsigned long stops = 0;

	add(process, (struct tether_breakpoint_opts){ .where = "a.out:returns_outer", .stop = on_stop, .data = &stops });
	struct tether_breakpoint *all = add(process, (struct tether_breakpoint_opts){ .flags = COUNTED });
	struct totals told = after(&v, "call 30");
	check_counted(all, &told);
	check_int(stops, 30);
	end(&c, &v);
}
