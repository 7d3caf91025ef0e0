/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Snapshots one after the other, as a profiler takes them: threads that are spared, one instant all the same, and nobody
 * that is left stopped. Holds are as such a client takes them: nothing is planted, followed, or told of.
 */
#include "harness.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct seen {
	unsigned stacks, stopped, blocked, holders;
	char *frames; /* of all stacks, by name; the client's to free */
	FILE *text;
};

static struct tether *light_grab(struct client *c, pid_t pid)
{
	struct tether_grab_opts opts = {
		.size = sizeof(opts),
		.flags = TETHER_NO_PARK | TETHER_NO_MONITOR | TETHER_NO_FOLLOW,
		.mode = TETHER_MODE_RUN,
		.events = TETHER_EVENT_BIT(TETHER_EVENT_LOST) | TETHER_EVENT_BIT(TETHER_EVENT_PARKED) |
			  TETHER_EVENT_BIT(TETHER_EVENT_LOAD),
	};
	struct tether_error error = TETHER_ERROR_INIT;
	struct tether *process = NULL;

	if (tether_grab(c->session, pid, &opts, &process, &error))
		fail("grab of %d: %s", pid, error.message);
	return process;
}

static int see(const struct tether_stack *stack, void *data)
{
	struct seen *seen = data;
	bool holds = false;

	seen->stacks++;
	seen->stopped += stack->state == TETHER_THREAD_STOPPED;
	seen->blocked += stack->state == TETHER_THREAD_BLOCKED;
	fprintf(seen->text, "%lld:", (long long)stack->tid);
	for (size_t i = 0; i < stack->frame_count; i++) {
		const char *name = stack->frames[i].symbol ? stack->frames[i].symbol : "?";

		fprintf(seen->text, " %s", name);
		holds = holds || !strcmp(name, "with_baton");
	}
	fprintf(seen->text, "\n");
	seen->holders += holds;
	return 0;
}

static struct tether_snapshot take(struct tether *process, uint32_t manner, uint32_t flags, struct seen *seen)
{
	struct tether_snapshot_opts opts = { .size = sizeof(opts), .manner = manner, .flags = flags };
	struct tether_snapshot snapshot = { .size = sizeof(snapshot) };
	size_t size;

	free(seen->frames);
	*seen = (struct seen){ .text = NULL };
	seen->text = open_memstream(&seen->frames, &size);
	check_int(tether_snapshot(process, &opts, see, seen, &snapshot), 0);
	fclose(seen->text);
	return snapshot;
}

/* ---- threads that are spared ------------------------------------------------------------------------------ */

TEST(blocked_threads_that_are_spared_have_the_same_stacks_and_are_not_stopped)
{
	struct victim v = victim_start("stacks", "blocked", "5", NULL);
	struct client c = client_open();
	struct tether *process = light_grab(&c, v.pid);
	struct seen spared = { 0 }, stopped = { 0 };
	struct tether_snapshot snapshot;
	uint64_t end = now_ns() + UINT64_C(20000000000);

	/* once all are where they stay: a thread that is on its way there may be seen at any place */
	do
		snapshot = take(process, TETHER_TOGETHER, TETHER_SNAPSHOT_SPARE_BLOCKED, &spared);
	while (spared.blocked != 6 && now_ns() < end);
	snapshot = take(process, TETHER_TOGETHER, 0, &stopped);
	check_int(stopped.stopped, 6);
	check_int(snapshot.truncated, 0);
	do
		snapshot = take(process, TETHER_TOGETHER, TETHER_SNAPSHOT_SPARE_BLOCKED, &spared);
	while (spared.blocked != 6 && now_ns() < end);
	check_int(spared.blocked, 6);
	check_int(snapshot.blocked, 6);
	check_int(snapshot.truncated, 0);
	check_int(snapshot.pause_ns, 0);
	check_same(stopped.frames, spared.frames);
	free(spared.frames);
	free(stopped.frames);
	check_int(tether_release(process), 0);
	client_close(&c);
	check_untraced(v.pid);
	check_int(victim_end(&v), 0);
}

/* Without them the stack could only be guessed. */
TEST(threads_whose_registers_are_needed_are_stopped_for_them)
{
	struct victim v = victim_start("stacks-static", "norules", NULL);
	struct client c = client_open();
	struct tether *process = light_grab(&c, v.pid);
	struct seen spared = { 0 }, stopped = { 0 };

	take(process, TETHER_TOGETHER, 0, &stopped);
	for (int i = 0; i < 3; i++) {
		take(process, TETHER_TOGETHER, TETHER_SNAPSHOT_SPARE_BLOCKED, &spared);
		check_same(stopped.frames, spared.frames);
		check_int(spared.stopped, 1);
	}
	free(spared.frames);
	free(stopped.frames);
	check_int(tether_release(process), 0);
	client_close(&c);
	check_int(victim_end(&v), 0);
}

/* A thread that was copied while it was blocked, and runs before the others stand, is not of their instant. */
TEST_SECONDS(what_passes_from_thread_to_thread_is_seen_in_one_of_them, 90)
{
	enum { TIMES = 600 };
	struct victim v = victim_start("stacks", "baton", "8", NULL);
	struct client c = client_open();
	struct tether *process = light_grab(&c, v.pid);
	struct seen seen = { 0 };
	unsigned holders = 0;

	for (int i = 0; i < TIMES; i++) {
		take(process, TETHER_TOGETHER, i % 4 ? TETHER_SNAPSHOT_SPARE_BLOCKED : 0, &seen);
		check_int(seen.stacks, 9);
		check(seen.holders <= 1);
		holders += seen.holders;
	}
	/* else nothing was shown */
	check(holders > TIMES / 20);
	free(seen.frames);
	check_int(tether_release(process), 0);
	client_close(&c);
	check_untraced(v.pid);
	check_int(victim_end(&v), 0);
}

/* ---- a hundred a second ----------------------------------------------------------------------------------- */

static unsigned sampling_seconds(void)
{
	const char *seconds = getenv("TETHER_SAMPLING_SECONDS");

	return seconds ? (unsigned)atoi(seconds) : 4;
}

static uint64_t looks_of(struct victim *v)
{
	const char *line;
	unsigned long long longest, looks = 0;

	victim_say(v, "now");
	line = victim_line(v);
	check(sscanf(line, "longest %llu looks %llu", &longest, &looks) == 2);
	return looks;
}

TEST_SECONDS(a_hundred_a_second_lose_nothing_and_leave_nobody_stopped, 120)
{
	enum { THREADS = 159, NS = 10000000 };
	struct victim v = victim_start("stacks", "clock", "159", NULL);
	struct client c = client_open();
	struct tether *process = light_grab(&c, v.pid);
	const uint64_t end = now_ns() + UINT64_C(1000000000) * sampling_seconds();
	struct seen seen = { 0 };
	unsigned taken = 0;

	check_int(count_threads(v.pid), THREADS);
	looks_of(&v);
	for (uint64_t next = now_ns(); now_ns() < end; taken++) {
		/* a second of those that stop all, then one of those that do not */
		uint32_t flags = taken / 100 % 2 ? TETHER_SNAPSHOT_SPARE_BLOCKED : 0;
		struct tether_snapshot snapshot = take(process, TETHER_TOGETHER, flags, &seen);

		check_int(snapshot.threads, THREADS);
		check_int(seen.stacks, THREADS);
		check_int(snapshot.running, 0);
		check(strstr(seen.frames, " watch_clock "));
		next += NS;
		while (now_ns() < next)
			nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL);
		next = now_ns() > next + NS ? now_ns() : next;
	}
	printf("# %u snapshots in %u s\n", taken, sampling_seconds());
	check(looks_of(&v) > 0);
	free(seen.frames);
	/* while it is held, and when it is not */
	check(eventually(none_is_stopped, &v.pid, 5000));
	check_int(tether_release(process), 0);
	client_close(&c);
	check_untraced(v.pid);
	check_int(count_threads(v.pid), THREADS);
	check(looks_of(&v) > 0);
	check_int(victim_end(&v), 0);
}

/* ---- holds that plant nothing ------------------------------------------------------------------------------ */

TEST(a_thread_in_vfork_is_not_waited_for)
{
	struct victim v = victim_start("stacks", "vfork", NULL);
	struct client c = client_open();
	struct tether *process = light_grab(&c, v.pid);
	struct seen seen = { 0 };

	for (uint32_t i = 0; i < 6; i++) {
		uint64_t before = now_ns();

		take(process, i % 3 == 2 ? TETHER_ROLLING : TETHER_TOGETHER, i % 3 ? TETHER_SNAPSHOT_SPARE_BLOCKED : 0, &seen);
		check_int(seen.stacks, 2);
		check(strstr(seen.frames, " in_vfork "));
		check(seen.blocked > 0);
		check(now_ns() - before < UINT64_C(20000000000));
	}
	free(seen.frames);
	check_int(tether_release(process), 0);
	client_close(&c);
	check_int(victim_end(&v), 0);
}

TEST(a_hold_that_was_taken_without_them_reports_loads_when_asked_to)
{
	struct victim v = victim_start("children", NULL);
	struct client c = client_open();
	struct tether *process = light_grab(&c, v.pid);
	struct tether_grab_opts opts = { .size = sizeof(opts), .flags = TETHER_NO_PARK | TETHER_NO_FOLLOW, .mode = TETHER_MODE_RUN };
	struct tether *more = NULL;
	struct seen seen = { 0 };

	take(process, TETHER_TOGETHER, TETHER_SNAPSHOT_SPARE_BLOCKED, &seen);
	free(seen.frames);
	check_text_whole(v.pid);
	check_int(tether_grab(c.session, v.pid, &opts, &more, NULL), 0);
	check(more == process);
	victim_ask(&v, "dlopen", "done");
	client_await(&c, "load plugin-a.so", 1);
	check_int(tether_release(more), 0);
	check_int(tether_release(process), 0);
	client_close(&c);
	check_untraced(v.pid);
	check_text_whole(v.pid);
	check_int(victim_end(&v), 0);
}
