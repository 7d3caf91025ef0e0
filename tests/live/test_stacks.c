/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Snapshots: what they say of threads, and that nothing is different for a victim of which they are taken.
 */
#include "harness.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SEEN_MAX = 64 };

/* What one snapshot has told. */
struct seen {
	unsigned stacks, stopped, blocked, running;
	int64_t tid[SEEN_MAX];
	uint32_t state[SEEN_MAX], end[SEEN_MAX];
	size_t frames[SEEN_MAX];
	char *innermost[SEEN_MAX]; /* names of all frames, each between two spaces, from the innermost on */
	struct tether_snapshot snapshot;
};

static int see(const struct tether_stack *stack, void *data)
{
	struct seen *seen = data;
	unsigned n = seen->stacks++;
	char *names = NULL;
	size_t size;

	seen->stopped += stack->state == TETHER_THREAD_STOPPED;
	seen->blocked += stack->state == TETHER_THREAD_BLOCKED;
	seen->running += stack->state == TETHER_THREAD_RUNNING;
	if (n >= SEEN_MAX)
		return 0;
	seen->tid[n] = stack->tid;
	seen->state[n] = stack->state;
	seen->end[n] = stack->end;
	seen->frames[n] = stack->frame_count;
	FILE *text = open_memstream(&names, &size);
	for (size_t i = 0; i < stack->frame_count && i < 64; i++)
		fprintf(text, " %s", stack->frames[i].symbol ? stack->frames[i].symbol : "?");
	fprintf(text, " ");
	fclose(text);
	seen->innermost[n] = names;
	return 0;
}

static void forget(struct seen *seen)
{
	for (unsigned i = 0; i < seen->stacks && i < SEEN_MAX; i++)
		free(seen->innermost[i]);
	memset(seen, 0, sizeof(*seen));
}

static int take_with(struct tether *process, const struct tether_snapshot_opts *opts, struct seen *seen)
{
	forget(seen);
	seen->snapshot.size = sizeof(seen->snapshot);
	return tether_snapshot(process, opts, see, seen, &seen->snapshot);
}

static int take(struct tether *process, uint32_t manner, struct seen *seen)
{
	struct tether_snapshot_opts opts = { .size = sizeof(opts), .manner = manner };

	return take_with(process, &opts, seen);
}

static int look_away(const struct tether_stack *stack, void *data)
{
	(void)data;
	check(stack->frame_count > 0 || stack->state != TETHER_THREAD_STOPPED);
	return 0;
}

/* Without names: what is tested is the stopping. */
static void take_many(struct tether *process, uint32_t manner, unsigned times)
{
	struct tether_snapshot_opts opts = {
		.size = sizeof(opts), .manner = manner, .flags = TETHER_SNAPSHOT_NO_NAMES
	};

	for (unsigned i = 0; i < times; i++)
		check_int(tether_snapshot(process, &opts, look_away, NULL, NULL), 0);
}

enum { BARE_GRAB = TETHER_NO_PARK | TETHER_NO_MONITOR };

/* ---- what is told --------------------------------------------------------------------------------------- */

static void tells_of_blocked_threads(uint32_t manner)
{
	struct victim v = victim_start("stacks", "blocked", "5", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, BARE_GRAB);
	struct seen seen = { 0 };

	check_int(take(process, manner, &seen), 0);
	check_int(seen.stacks, 6);
	check_int(seen.stopped, 6);
	check_int(seen.snapshot.threads, 6);
	check_int(seen.snapshot.truncated, 0);
	check(seen.snapshot.pause_ns > 0 && seen.snapshot.pause_ns <= seen.snapshot.total_ns);
	check_int(seen.tid[0], v.pid);
	check(strstr(seen.innermost[0], " stand ") && strstr(seen.innermost[0], " main "));
	for (unsigned i = 1; i < 6; i++) {
		check(strstr(seen.innermost[i], " blocked "));
		check_int(seen.end[i], TETHER_END_WHOLE);
	}
	forget(&seen);
	client_close(&c);
	check_untraced(v.pid);
	check_int(victim_end(&v), 0);
}

TEST(blocked_threads_are_told_of_together)
{
	tells_of_blocked_threads(TETHER_TOGETHER);
}

TEST(blocked_threads_are_told_of_one_after_the_other)
{
	tells_of_blocked_threads(TETHER_ROLLING);
}

TEST(blocked_threads_are_told_of_without_a_stop)
{
	struct victim v = victim_start("stacks", "blocked", "5", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_OBSERVE);
	struct seen seen = { 0 };

	check_int(take(process, TETHER_STILL, &seen), 0);
	check_int(seen.stacks, 6);
	check_int(seen.blocked, 6);
	check_int(seen.snapshot.pause_ns, 0);
	check(strstr(seen.innermost[0], " stand "));
	check_int(task_status(v.pid, v.pid, "TracerPid"), 0);
	forget(&seen);
	client_close(&c);
	check_int(victim_end(&v), 0);
}

TEST(running_threads_stand_for_a_moment_and_run_on)
{
	static const uint32_t manners[] = { TETHER_TOGETHER, TETHER_ROLLING };
	struct victim v = victim_start("stacks", "spin", "3", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, BARE_GRAB);
	struct seen seen = { 0 };

	for (unsigned i = 0; i < 2; i++) {
		check_int(take(process, manners[i], &seen), 0);
		check_int(seen.stopped, 4);
		unsigned spinning = 0;
		for (unsigned n = 0; n < 4; n++)
			spinning += strstr(seen.innermost[n], " spin ") != NULL;
		check_int(spinning, 3);
		check_int(seen.snapshot.truncated, 0);
	}
	forget(&seen);
	client_close(&c);
	check_untraced(v.pid);
	check_int(victim_end(&v), 0);
}

TEST(nobody_is_stopped_where_that_is_asked_for_and_who_runs_is_only_counted)
{
	struct victim v = victim_start("stacks", "spin", "2", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_OBSERVE);
	struct seen seen = { 0 };

	check_int(take(process, TETHER_STILL, &seen), 0);
	check_int(seen.stacks, 3);
	check_int(seen.running, 2);
	check_int(seen.blocked, 1);
	check_int(seen.snapshot.running, 2);
	forget(&seen);
	client_close(&c);
	check_int(victim_end(&v), 0);
}

TEST(only_the_threads_that_are_named_are_taken)
{
	struct victim v = victim_start("stacks", "blocked", "5", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, BARE_GRAB);
	struct seen seen = { 0 };
	int64_t tids[3];

	check_int(take(process, TETHER_TOGETHER, &seen), 0);
	tids[0] = seen.tid[2];
	tids[1] = seen.tid[4];
	tids[2] = 1; /* none of it */
	for (uint32_t manner = TETHER_TOGETHER; manner <= TETHER_STILL; manner++) {
		struct tether_snapshot_opts opts = {
			.size = sizeof(opts), .manner = manner, .tids = tids, .tid_count = 3
		};
		check_int(take_with(process, &opts, &seen), 0);
		check_int(seen.stacks, 2);
		check_int(seen.tid[0], tids[0]);
		check_int(seen.tid[1], tids[1]);
	}
	forget(&seen);
	client_close(&c);
	check_int(victim_end(&v), 0);
}

TEST(bounds_are_kept_and_said)
{
	struct victim v = victim_start("stacks", "deep", "10000", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, BARE_GRAB);
	struct tether_snapshot_opts opts = { .size = sizeof(opts), .max_frames = 100 };
	struct seen seen = { 0 };

	check_int(take_with(process, &opts, &seen), 0);
	check_int(seen.frames[0], 100);
	check_int(seen.end[0], TETHER_END_FRAMES);
	check_int(seen.snapshot.truncated, 1);
	opts.max_frames = 20000;
	check_int(take_with(process, &opts, &seen), 0);
	check(seen.frames[0] > 10000 && seen.frames[0] < 10020);
	check_int(seen.end[0], TETHER_END_WHOLE);
	opts.max_kbytes = 16;
	check_int(take_with(process, &opts, &seen), 0);
	check(seen.frames[0] > 50 && seen.frames[0] < 10000);
	check_int(seen.end[0], TETHER_END_BYTES);
	opts.max_kbytes = TETHER_STACK_KBYTES_MAX + 1;
	check_int(take_with(process, &opts, &seen), -TETHER_EINVALID);
	forget(&seen);
	client_close(&c);
	check_int(victim_end(&v), 0);
}

static int enough(const struct tether_stack *stack, void *data)
{
	(void)stack;
	++*(int *)data;
	return 7;
}

TEST(a_client_that_has_seen_enough_ends_it)
{
	struct victim v = victim_start("stacks", "blocked", "3", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, BARE_GRAB);
	int times = 0;

	check_int(tether_snapshot(process, NULL, enough, &times, NULL), 7);
	check_int(times, 1);
	client_close(&c);
	check_int(victim_end(&v), 0);
}

TEST(refusals_are_said)
{
	struct victim v = victim_start("stacks", "blocked", "1", NULL);
	struct client c = client_open();
	struct tether *watched = client_grab(&c, v.pid, TETHER_OBSERVE);
	struct tether *process = client_grab(&c, v.pid, BARE_GRAB);
	struct seen seen = { 0 };

	check_int(take(watched, TETHER_TOGETHER, &seen), -TETHER_EMODE);
	check_int(take(process, TETHER_STILL + 1, &seen), -TETHER_EINVALID);
	check_int(tether_detach(process, TETHER_MODE_RUN), 0);
	check_int(take(process, TETHER_TOGETHER, &seen), -TETHER_EGONE);
	check_int(victim_end(&v), 0);
	check_int(take(watched, TETHER_STILL, &seen), -TETHER_EGONE);
	client_close(&c);
}

/* ---- nothing is different ------------------------------------------------------------------------------- */

static void waits_for_one_event(uint32_t manner)
{
	struct victim v = victim_start("stacks", "epoll", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, BARE_GRAB);

	take_many(process, manner, 1000);
	victim_say(&v, "now");
	check_same("epoll_wait 1 0", victim_line(&v));
	client_close(&c);
	check_untraced(v.pid);
	check_int(victim_end(&v), 0);
}

TEST_SECONDS(epoll_wait_returns_for_its_event_alone_after_1000_snapshots, 90)
{
	waits_for_one_event(TETHER_TOGETHER);
}

TEST_SECONDS(epoll_wait_returns_for_its_event_alone_after_1000_rolling_snapshots, 90)
{
	waits_for_one_event(TETHER_ROLLING);
}

static char *results_of(struct victim *v)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	victim_say(v, "finish");
	for (const char *line; strcmp(line = victim_line(v), "done") != 0;)
		fprintf(out, "%s\n", line);
	fclose(out);
	return text;
}

/* Every system call that can wait. */
TEST_SECONDS(calls_give_what_they_give_untraced, 60)
{
	struct victim alone = victim_start("waits", NULL);
	char *expected = results_of(&alone);
	check_int(victim_end(&alone), 0);
	struct victim v = victim_start("waits", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, BARE_GRAB);

	for (int i = 0; i < 10; i++) {
		take_many(process, TETHER_TOGETHER, 1);
		take_many(process, TETHER_ROLLING, 1);
	}
	client_close(&c);
	char *results = results_of(&v);
	check_same(expected, results);
	free(expected);
	free(results);
	check_int(victim_end(&v), 0);
}

TEST(a_thread_in_vfork_is_told_as_blocked_and_not_waited_for)
{
	static const uint32_t manners[] = { TETHER_TOGETHER, TETHER_ROLLING };
	struct victim v = victim_start("stacks", "vfork", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, BARE_GRAB);
	struct seen seen = { 0 };

	for (unsigned i = 0; i < 2; i++) {
		uint64_t before = now_ns();
		check_int(take(process, manners[i], &seen), 0);
		check_int(seen.stacks, 2);
		check_int(seen.stopped, 1);
		check_int(seen.blocked, 1);
		check_int(seen.state[1], TETHER_THREAD_BLOCKED);
		check(strstr(seen.innermost[1], " in_vfork "));
		/* far from the bound that a thread would be given which only lacks a processor */
		check(now_ns() - before < UINT64_C(20000000000));
	}
	forget(&seen);
	client_close(&c);
	check_int(victim_end(&v), 0);
}

/* A thread that takes snapshots all the time. */
struct taker {
	struct tether *process;
	atomic_bool end;
	atomic_uint taken;
	pthread_t thread;
};

static void *take_on(void *data)
{
	struct taker *taker = data;
	struct tether_snapshot_opts opts = { .size = sizeof(opts), .flags = TETHER_SNAPSHOT_NO_NAMES };

	while (!taker->end) {
		opts.manner = taker->taken % 2 ? TETHER_ROLLING : TETHER_TOGETHER;
		int result = tether_snapshot(taker->process, &opts, look_away, NULL, NULL);
		if (result != 0 && result != -TETHER_EGONE && result != -TETHER_ESTATE)
			check_int(result, 0);
		taker->taken++;
	}
	return NULL;
}

static void taker_start(struct taker *taker, struct tether *process)
{
	*taker = (struct taker){ .process = process };
	check(pthread_create(&taker->thread, NULL, take_on, taker) == 0);
}

static bool has_taken(void *data)
{
	return ((struct taker *)data)->taken > 2;
}

static void taker_end(struct taker *taker)
{
	check(eventually(has_taken, taker, 10000));
	taker->end = true;
	pthread_join(taker->thread, NULL);
}

TEST(a_stop_by_job_control_stays_one)
{
	struct victim v = victim_start("threads", "steady", "4", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, BARE_GRAB);
	struct seen seen = { 0 };

	kill(v.pid, SIGSTOP);
	client_await(&c, "stop SIGSTOP", 1);
	for (int i = 0; i < 20; i++) {
		check_int(take(process, i % 2 ? TETHER_ROLLING : TETHER_TOGETHER, &seen), 0);
		check_int(seen.stopped, 4);
		check_int(seen.snapshot.truncated, 0);
	}
	client_drain(&c, 20);
	check_int(client_count(&c, "cont"), 0);
	check_int(tether_release(process), 0);
	check(eventually(is_stopped_and_free, &v.pid, 5000));
	kill(v.pid, SIGCONT);
	victim_ask(&v, "progress", "progress");
	forget(&seen);
	client_close(&c);
	check_int(victim_end(&v), 0);
}

TEST_SECONDS(stops_and_continues_while_snapshots_are_taken_lose_none, 60)
{
	struct victim v = victim_start("threads", "steady", "4", NULL);
	struct client c = client_open();
	struct taker taker;

	taker_start(&taker, client_grab(&c, v.pid, BARE_GRAB));
	for (unsigned i = 1; i <= 100; i++) {
		kill(v.pid, SIGSTOP);
		client_await(&c, "stop SIGSTOP", i);
		kill(v.pid, SIGCONT);
		client_await(&c, "cont", i);
	}
	taker_end(&taker);
	victim_ask(&v, "progress", "progress");
	client_close(&c);
	check_untraced(v.pid);
	check_int(victim_end(&v), 0);
}

TEST_SECONDS(ten_thousand_signals_all_arrive_while_snapshots_are_taken, 90)
{
	struct victim v = victim_start("signals", NULL);
	struct client c = client_open();
	struct taker taker;

	taker_start(&taker, client_grab(&c, v.pid, TETHER_NO_PARK));
	victim_ask(&v, "storm", "done");
	victim_ask(&v, "own", "done");
	victim_ask(&v, "caught-blocked", "done");
	taker_end(&taker);
	client_close(&c);
	check_untraced(v.pid);
	check_int(victim_end(&v), 0);
}

TEST_SECONDS(children_by_fork_vfork_and_spawn_while_snapshots_are_taken, 90)
{
	struct victim v = victim_start("children", NULL);
	struct client c = client_open();
	struct taker taker;

	taker_start(&taker, client_grab(&c, v.pid, TETHER_NO_PARK));
	victim_ask(&v, "fork", "done");
	victim_ask(&v, "vfork", "done");
	victim_ask(&v, "spawn", "done");
	taker_end(&taker);
	client_close(&c);
	check_untraced(v.pid);
	check_int(victim_end(&v), 0);
}

TEST_SECONDS(threads_that_come_and_go_while_snapshots_are_taken, 60)
{
	struct victim v = victim_start("threads", "churn", "4", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, BARE_GRAB);

	for (int i = 0; i < 100; i++)
		take_many(process, i % 2 ? TETHER_ROLLING : TETHER_TOGETHER, 1);
	victim_ask(&v, "progress", "progress");
	client_close(&c);
	check_untraced(v.pid);
	check_int(victim_end(&v), 0);
}

static void exec_while_taken(const char *by)
{
	struct victim v = victim_start("execs", by, victim_path("threads"), "steady", "3", NULL);
	struct client c = client_open();
	struct taker taker;

	taker_start(&taker, client_grab(&c, v.pid, TETHER_NO_PARK));
	victim_say(&v, "go");
	check_same("ready", victim_line(&v));
	taker_end(&taker);
	victim_ask(&v, "progress", "progress");
	client_close(&c);
	check_untraced(v.pid);
	check_int(victim_end(&v), 0);
}

TEST(exec_by_the_leader_while_snapshots_are_taken)
{
	exec_while_taken("leader");
}

TEST(exec_by_another_thread_while_snapshots_are_taken)
{
	exec_while_taken("thread");
}

TEST(a_parked_victim_stays_parked)
{
	struct victim v = victim_start("threads", "steady", "4", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, 0);
	struct seen seen = { 0 };

	check_int(state_of(process), TETHER_STATE_PARKED);
	for (int i = 0; i < 4; i++) {
		check_int(take(process, i % 2 ? TETHER_ROLLING : TETHER_TOGETHER, &seen), 0);
		check_int(seen.stopped, 4);
		check_int(seen.snapshot.pause_ns, 0);
	}
	check_int(state_of(process), TETHER_STATE_PARKED);
	check_text_whole(v.pid);
	check_int(tether_continue(process), 0);
	victim_ask(&v, "progress", "progress");
	forget(&seen);
	client_close(&c);
	check_int(victim_end(&v), 0);
}

/* The end of the one whose stacks are being taken, at any moment. */
TEST_SECONDS(victims_that_end_meanwhile, 60)
{
	struct client c = client_open();

	for (unsigned i = 0; i < 20; i++) {
		struct victim v = victim_start("threads", "steady", "8", NULL);
		struct tether *process = grab(c.session, v.pid, BARE_GRAB, TETHER_MODE_RUN);
		struct taker taker;

		taker_start(&taker, process);
		usleep(i * 500);
		kill(v.pid, SIGKILL);
		check(WIFSIGNALED(victim_end(&v)));
		while (state_of(process) != TETHER_STATE_EXITED)
			client_drain(&c, 1);
		taker.end = true;
		pthread_join(taker.thread, NULL);
		tether_release(process);
	}
	client_close(&c);
}

/* Of eight threads each takes its own; nobody is told to come again. */
TEST_SECONDS(several_threads_take_snapshots_of_one_victim, 60)
{
	struct victim v = victim_start("threads", "steady", "4", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct taker takers[8];

	for (unsigned i = 0; i < 8; i++)
		taker_start(&takers[i], process);
	victim_ask(&v, "progress", "progress");
	usleep(300000);
	for (unsigned i = 0; i < 8; i++)
		taker_end(&takers[i]);
	client_close(&c);
	check_untraced(v.pid);
	check_int(victim_end(&v), 0);
}

/* Where ends are waited for (a stack of each exit), its end is known: it is gone, though its record is not. */
TEST(a_leader_that_has_ended_has_no_stack)
{
	static const uint32_t manners[] = { TETHER_TOGETHER, TETHER_ROLLING };
	char *const argv[] = { (char[]){ "leaderless" }, NULL };
	struct tether_create_opts opts = {
		.size = sizeof(opts),
		.file = victim_path("leaderless"),
		.argv = argv,
		.stop = TETHER_STOP_NONE,
		.use_stdio = 3,
		.stacks = TETHER_EVENT_BIT(TETHER_EVENT_EXIT),
	};
	struct client c = client_open();
	struct tether *process;
	struct seen seen = { 0 };
	char line[16] = "";
	int in[2], out[2];

	check(!pipe2(in, O_CLOEXEC) && !pipe2(out, O_CLOEXEC));
	opts.stdio[0] = in[0];
	opts.stdio[1] = out[1];
	check_int(tether_create(c.session, &opts, &process, NULL), 0);
	close(in[0]);
	close(out[1]);
	check_int(read(out[0], line, sizeof(line) - 1), strlen("ready\n"));
	check_same("ready\n", line);
	for (size_t i = 0; i < sizeof(manners) / sizeof(manners[0]); i++) {
		check_int(take(process, manners[i], &seen), 0);
		check_int(seen.stacks, 1);
		check_int(seen.stopped, 1);
		check(seen.tid[0] != tether_pid(process));
	}
	forget(&seen);
	close(in[1]);
	client_await(&c, "exit 0", 1);
	close(out[0]);
	client_close(&c);
}
