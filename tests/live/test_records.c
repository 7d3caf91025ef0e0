/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Records of calls: each once, in order, with what belongs to it, or counted as dropped.
 */
#include "returns.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
