/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Returns and records of calls: what comes back is what the victim has counted itself, however its functions are left.
 */
#include "harness.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { COUNTED = TETHER_BREAKPOINT_COUNT | TETHER_BREAKPOINT_RETURN };

static struct tether_breakpoint *add(struct tether *process, struct tether_breakpoint_opts opts)
{
	struct tether_error error = TETHER_ERROR_INIT;
	struct tether_breakpoint *breakpoint = NULL;

	opts.size = sizeof(opts);
	if (!opts.where)
		opts.where = "*/returns*:returns_*";
	if (tether_breakpoint_add(process, &opts, &breakpoint, &error) < 0)
		fail("%s", error.message);
	return breakpoint;
}

/* What the victim has counted, or tether. */
struct totals {
	unsigned long calls, returns, missed, total_ns, buckets;
	char only[64]; /* of this function; "": of all */
	unsigned low, high; /* the first and the last bucket with something in it */
};

static int sum(const struct tether_breakpoint_place *place, void *data)
{
	struct totals *totals = data;

	if (totals->only[0] && strcmp(totals->only, place->symbol) != 0)
		return 0;
	totals->calls += place->hits;
	totals->returns += place->returns;
	totals->missed += place->missed;
	totals->total_ns += place->total_ns;
	for (unsigned i = 0; place->latency && i < TETHER_LATENCY_BUCKETS; i++) {
		if (place->latency[i] && !totals->buckets)
			totals->low = i;
		if (place->latency[i])
			totals->high = i;
		totals->buckets += place->latency[i];
	}
	return 0;
}

static struct totals totals_of(struct tether_breakpoint *breakpoint, const char *only)
{
	struct totals totals = { 0 };

	snprintf(totals.only, sizeof(totals.only), "%s", only);
	check_int(tether_breakpoint_functions(breakpoint, sum, &totals), 0);
	return totals;
}

static struct totals done(struct victim *v)
{
	struct totals totals = { 0 };
	const char *line = victim_line(v);

	if (sscanf(line, "done %lu %lu", &totals.calls, &totals.returns) != 2)
		fail("the victim says '%s'", line);
	return totals;
}

static struct totals after(struct victim *v, const char *word)
{
	victim_say(v, word);
	return done(v);
}

static void check_counted(struct tether_breakpoint *breakpoint, const struct totals *told)
{
	struct totals counted = totals_of(breakpoint, "");

	check_int(counted.calls, told->calls);
	check_int(counted.returns, told->returns);
	check_int(counted.missed, 0);
}

static void end(struct client *c, struct victim *v)
{
	client_close(c);
	check_untraced(v->pid);
	check_text_whole(v->pid);
	after(v, "call 10");
	check_int(victim_end(v), 0);
}

/* One word, and both have counted the same. */
static void count_one(const char *threads, const char *word)
{
	struct victim v = victim_start("returns", threads, NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct tether_breakpoint *all = add(process, (struct tether_breakpoint_opts){ .flags = COUNTED });
	struct totals told = after(&v, word);

	check(told.calls > 0);
	check_counted(all, &told);
	told = after(&v, "call 5");
	check_counted(all, &told);
	end(&c, &v);
}

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

/* ---- recorded ------------------------------------------------------------------------------------------- */

struct heard {
	unsigned long calls, returns, dropped, wrong;
	uint64_t last_ns;
	uint32_t deepest;
	long depth; /* of the one thread */
	pid_t pid;
	int frames;
	bool exited;
	char symbols[8][64]; /* of a stack */
};

static int on_stack(const struct tether_stack *stack, void *data)
{
	struct heard *heard = data;

	heard->frames = (int)stack->frame_count;
	for (size_t i = 0; i < stack->frame_count && i < 8; i++)
		snprintf(heard->symbols[i], sizeof(heard->symbols[i]), "%s",
			 stack->frames[i].symbol ? stack->frames[i].symbol : "");
	return 0;
}

static void on_call(const struct tether_call *call, void *data)
{
	struct heard *heard = data;

	if (call->kind == TETHER_CALLS_DROPPED) {
		heard->dropped += call->dropped;
		return;
	}
	heard->wrong += call->t_ns < heard->last_ns || heard->exited;
	heard->last_ns = call->t_ns;
	if (call->kind == TETHER_CALL) {
		heard->calls++;
		heard->wrong += (long)call->depth != heard->depth;
		heard->depth++;
	} else {
		heard->returns++;
		heard->depth--;
		heard->wrong += (long)call->depth != heard->depth;
		if (strcmp(call->symbol, "returns_inner") == 0)
			heard->wrong += call->elapsed_ns == 0;
	}
	if (call->depth > heard->deepest)
		heard->deepest = call->depth;
	if (call->kind == TETHER_CALL && !heard->frames)
		(void)tether_call_stack(call, 0, on_stack, heard);
}

static struct tether_breakpoint *record(struct tether *process, struct heard *heard, const char *where, uint32_t flags)
{
	return add(process, (struct tether_breakpoint_opts){
				    .where = where, .flags = flags, .call = on_call, .data = heard });
}

static void record_one(const char *word, uint32_t deepest)
{
	struct victim v = victim_start("returns", "1", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct heard heard = { .pid = v.pid };

	record(process, &heard, NULL, TETHER_BREAKPOINT_RETURN);
	struct totals told = after(&v, word);
	client_drain(&c, 300);
	check_int(heard.dropped, 0);
	check_int(heard.calls, told.calls);
	check_int(heard.returns, told.returns);
	check_int(heard.wrong, 0);
	check_int(heard.deepest, deepest);
	end(&c, &v);
}

TEST(each_call_and_return_is_recorded_once_with_its_depth)
{
	record_one("call 300", 1);
}

TEST(records_of_recursion_have_its_depth)
{
	record_one("recurse 200", 199);
}

struct values {
	unsigned long calls, returns;
	uint64_t next;
};

static void on_value(const struct tether_call *call, void *data)
{
	struct values *values = data;

	check(strcmp(call->symbol, "returns_outer") == 0);
	if (call->kind == TETHER_CALL) {
		check_int(call->argument[0], values->next);
		values->calls++;
	} else {
		check_int(call->value, 2 * values->next + 2);
		values->next++;
		values->returns++;
	}
}

TEST(records_have_arguments_and_values)
{
	struct victim v = victim_start("returns", "1", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct values values = { 0 };

	add(process, (struct tether_breakpoint_opts){ .where = "a.out:returns_outer", .flags = TETHER_BREAKPOINT_RETURN,
						      .call = on_value, .data = &values });
	after(&v, "call 100");
	client_drain(&c, 300);
	check_int(values.calls, 100);
	check_int(values.returns, 100);
	end(&c, &v);
}

TEST(a_record_has_the_stack_of_its_call)
{
	struct victim v = victim_start("returns", "1", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct heard heard = { .pid = v.pid };

	record(process, &heard, "a.out:returns_inner", TETHER_BREAKPOINT_STACK | TETHER_BREAKPOINT_RETURN);
	after(&v, "call 2");
	client_drain(&c, 300);
	check_int(heard.calls, 2);
	if (heard.frames < 4)
		fail("%d frames", heard.frames);
	check_same("returns_inner", heard.symbols[0]);
	check_same("returns_outer", heard.symbols[1]);
	end(&c, &v);
}

TEST(a_record_has_its_stack_when_the_process_has_ended)
{
	struct victim v = victim_start("returns", "1", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct heard heard = { .pid = v.pid };

	record(process, &heard, "a.out:returns_inner", TETHER_BREAKPOINT_STACK);
	after(&v, "call 2");
	check_int(victim_end(&v), 0);
	client_await(&c, "exit", 1);
	check_int(heard.calls, 2);
	if (heard.frames < 4)
		fail("%d frames", heard.frames);
	check_same("returns_inner", heard.symbols[0]);
	check_same("returns_outer", heard.symbols[1]);
	client_close(&c);
}

static void on_once(const struct tether_call *call, void *data)
{
	struct values *values = data;

	check_int(call->kind, TETHER_CALL);
	values->calls++;
	values->next = call->argument[0];
}

TEST(one_call_is_recorded_after_those_that_are_ignored)
{
	struct victim v = victim_start("returns", "1", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct values values = { 0 };
	struct tether_breakpoint_info info = { .size = sizeof(info) };

	struct tether_breakpoint *once = add(process, (struct tether_breakpoint_opts){ .where = "a.out:returns_outer",
		.flags = TETHER_BREAKPOINT_ONCE, .ignore = 7, .call = on_once, .data = &values });
	after(&v, "call 50");
	client_drain(&c, 300);
	check_int(values.calls, 1);
	check_int(values.next, 7);
	check_int(tether_breakpoint_info_get(once, &info), 0);
	check_int(info.done, 1);
	check_int(info.hits, 8);
	check_int(tether_breakpoint_enable(once, 1), -TETHER_ESTATE);
	end(&c, &v);
}

/* ---- order ---------------------------------------------------------------------------------------------- */

struct ordered {
	unsigned long calls, returns, of_child, before_fork, after_exit;
	pid_t child;
	bool child_ended;
};

static void on_ordered_call(const struct tether_call *call, void *data)
{
	struct ordered *ordered = data;
	bool child = ordered->child && call->pid == ordered->child;

	ordered->calls += call->kind == TETHER_CALL;
	ordered->returns += call->kind == TETHER_RETURN;
	ordered->of_child += child;
	ordered->after_exit += child && ordered->child_ended;
	if (call->process && tether_pid(call->process) != call->pid)
		ordered->before_fork++;
}

static void on_ordered_event(const struct tether_event *event, void *data)
{
	struct ordered *ordered = data;

	if (event->kind == TETHER_EVENT_FORK)
		ordered->child = (pid_t)event->u.fork.child;
	if (event->kind == TETHER_EVENT_EXIT && event->pid == ordered->child)
		ordered->child_ended = true;
}

TEST(records_of_a_child_come_between_its_birth_and_its_end)
{
	struct victim v = victim_start("returns", "1", NULL);
	struct tether_session *session;
	struct ordered ordered = { 0 };

	check_int(tether_session_open(NULL, &session, NULL), 0);
	tether_session_set_handler(session, on_ordered_event, &ordered);
	struct tether *process = grab(session, v.pid, TETHER_NO_PARK, TETHER_MODE_RUN);
	add(process, (struct tether_breakpoint_opts){ .flags = TETHER_BREAKPOINT_RETURN, .call = on_ordered_call,
						      .data = &ordered });
	for (int i = 1; i <= 20; i++) {
		struct totals told = after(&v, "fork");

		for (int turn = 0; turn < 100 && !(ordered.child_ended && ordered.returns == told.returns); turn++)
			check(tether_dispatch(session, 100) >= 0);
		check(ordered.child_ended);
		check_int(ordered.calls, told.calls);
		check_int(ordered.returns, told.returns);
		/* returns_forks() comes back, and two are called */
		check_int(ordered.of_child, 5);
		check_int(ordered.before_fork, 0);
		check_int(ordered.after_exit, 0);
		ordered.of_child = 0;
		ordered.child_ended = false;
	}
	check_int(tether_session_close(session), 0);
	check_int(victim_end(&v), 0);
}

TEST(what_was_recorded_is_handed_over_when_the_hold_is_over)
{
	struct victim v = victim_start("returns", "1", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct heard heard = { .pid = v.pid };

	record(process, &heard, NULL, TETHER_BREAKPOINT_RETURN);
	struct totals told = after(&v, "call 300");
	check_int(tether_detach(process, TETHER_MODE_RUN), 0);
	client_drain(&c, 100);
	check_int(heard.calls, told.calls);
	check_int(heard.returns, told.returns);
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

/* ---- room ----------------------------------------------------------------------------------------------- */

/* The queue holds 100 and the client does not dispatch: what finds no room is told, in its place. */
TEST(what_finds_no_room_is_counted)
{
	struct victim v = victim_start("returns", "1", NULL);
	struct tether_session_opts opts = { .size = sizeof(opts), .queue_limit = 100 };
	struct tether_session *session;
	struct heard heard = { .pid = v.pid };

	check_int(tether_session_open(&opts, &session, NULL), 0);
	struct tether *process = grab(session, v.pid, TETHER_NO_PARK, TETHER_MODE_RUN);
	record(process, &heard, NULL, TETHER_BREAKPOINT_RETURN);
	struct totals told = after(&v, "call 1000");
	for (int i = 0; i < 50; i++) {
		check(tether_dispatch(session, 20) >= 0);
		if (heard.calls + heard.returns + heard.dropped == told.calls + told.returns)
			break;
		if (i % 10 == 9)
			told = after(&v, "call 1");
	}
	check(heard.dropped > 0);
	check_int(heard.calls + heard.returns + heard.dropped, told.calls + told.returns);
	check_int(tether_session_close(session), 0);
	check_untraced(v.pid);
	check_text_whole(v.pid);
	check_int(victim_end(&v), 0);
}

/* ---- harm ----------------------------------------------------------------------------------------------- */

static void calm_down(struct victim *v)
{
	victim_say(v, "calm");
	done(v);
}

TEST_SECONDS(planted_and_lifted_under_load_returns_harm_nobody, 60)
{
	struct victim v = victim_start("returns", "8", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct heard heard = { .pid = v.pid };

	victim_ask(&v, "storm", "storming");
	for (int i = 0; i < 40; i++) {
		struct tether_breakpoint *counted = add(process, (struct tether_breakpoint_opts){ .flags = COUNTED });
		struct tether_breakpoint *recorded = record(process, &heard, NULL, TETHER_BREAKPOINT_RETURN);

		usleep(2000 * (i % 7));
		if (i % 2)
			tether_dispatch(c.session, 0);
		check_int(tether_breakpoint_remove(counted), 0);
		check_int(tether_breakpoint_remove(recorded), 0);
	}
	calm_down(&v);
	end(&c, &v);
}

TEST_SECONDS(released_under_load_with_returns_the_victim_is_whole, 60)
{
	for (int i = 0; i < 10; i++) {
		struct victim v = victim_start("returns", "8", NULL);
		struct client c = client_open();
		struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
		struct heard heard = { .pid = v.pid };

		victim_ask(&v, "storm", "storming");
		record(process, &heard, NULL, TETHER_BREAKPOINT_RETURN);
		usleep(3000 * (unsigned)i);
		client_close(&c);
		calm_down(&v);
		check_untraced(v.pid);
		check_text_whole(v.pid);
		check_int(victim_end(&v), 0);
	}
}

TEST(what_makes_no_sense_is_refused)
{
	struct victim v = victim_start("returns", "1", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	const struct tether_breakpoint_opts wrong[] = {
		{ .where = "a.out:returns_inner", .flags = TETHER_BREAKPOINT_RETURN },
		{ .where = "a.out:returns_inner+4", .flags = COUNTED },
		{ .address = 4096, .flags = COUNTED },
		{ .where = "a.out:returns_inner", .flags = COUNTED, .call = on_call },
		{ .where = "a.out:returns_inner", .flags = COUNTED, .ignore = 1 },
		{ .where = "a.out:returns_inner", .flags = TETHER_BREAKPOINT_COUNT | TETHER_BREAKPOINT_LATENCY },
		{ .where = "a.out:returns_inner", .flags = TETHER_BREAKPOINT_COUNT | TETHER_BREAKPOINT_STACK },
		{ .where = "a.out:returns_inner", .flags = TETHER_BREAKPOINT_RETURN | TETHER_BREAKPOINT_ONCE, .call = on_call },
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct tether_breakpoint_opts opts = wrong[i];
		struct tether_breakpoint *none = NULL;

		opts.size = sizeof(opts);
		check_int(tether_breakpoint_add(process, &opts, &none, NULL), -TETHER_EINVALID);
	}
	end(&c, &v);
}
