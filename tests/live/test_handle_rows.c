/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The handle layer against docs/mapping.md: each test names the rows that it shows.
 */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "process/handle.h"
#include "process/start.h"

static uint32_t idle_count(struct tether_session *session)
{
	struct table *table = start_table(session);

	pthread_mutex_lock(&table->lock);
	uint32_t count = table->idle_count;
	pthread_mutex_unlock(&table->lock);
	return count;
}

static bool is_gone(void *data)
{
	return kill(*(pid_t *)data, 0) < 0;
}

static void nap_ms(long ms)
{
	nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL);
}

/* ---- rows 3, 7, 10: one handle for all who ask, whenever they do ------------------------------------------- */

enum { ASKERS = 8 };

struct asker {
	struct tether_session *session;
	pthread_barrier_t *together;
	pid_t pid;
	struct tether *process;
};

static void *ask(void *data)
{
	struct asker *asker = data;

	pthread_barrier_wait(asker->together);
	asker->process = grab(asker->session, asker->pid, TETHER_NO_PARK, TETHER_MODE_RUN);
	return NULL;
}

static void *let_go(void *data)
{
	struct asker *asker = data;

	pthread_barrier_wait(asker->together);
	check_int(tether_release(asker->process), 0);
	return NULL;
}

TEST(grabs_of_one_process_at_the_same_time_share_one_handle_and_one_controller)
{
	struct victim v = victim_start("threads", "steady", "3", NULL);
	struct client c = client_open();
	pthread_barrier_t together;
	pthread_t thread[ASKERS];
	struct asker asker[ASKERS];

	pthread_barrier_init(&together, NULL, ASKERS);
	for (int round = 0; round < 10; round++) {
		for (int i = 0; i < ASKERS; i++) {
			asker[i] = (struct asker){ c.session, &together, v.pid, NULL };
			pthread_create(&thread[i], NULL, ask, &asker[i]);
		}
		for (int i = 0; i < ASKERS; i++)
			pthread_join(thread[i], NULL);
		for (int i = 1; i < ASKERS; i++)
			check(asker[i].process == asker[0].process);
		check(task_status(v.pid, v.pid, "TracerPid") > 0);
		for (int i = 0; i < ASKERS; i++)
			pthread_create(&thread[i], NULL, let_go, &asker[i]);
		for (int i = 0; i < ASKERS; i++)
			pthread_join(thread[i], NULL);
		check_untraced(v.pid);
		client_drain(&c, 0);
		check_int(client_count(&c, "grab"), round + 1);
		check_int(client_count(&c, "release"), round + 1);
	}
	victim_ask(&v, "progress", "progress");
	pthread_barrier_destroy(&together);
	client_close(&c);
	check_int(victim_end(&v), 0);
}

struct turns {
	struct tether_session *session;
	pid_t pid;
	int times;
};

static void *take_turns(void *data)
{
	const struct turns *turns = data;

	for (int i = 0; i < turns->times; i++)
		check_int(tether_release(grab(turns->session, turns->pid, TETHER_NO_PARK, TETHER_MODE_RUN)), 0);
	return NULL;
}

/* Each last release meets a grab that comes a moment before, with, or after it. */
TEST(a_grab_that_meets_the_last_release_gets_a_handle_that_holds)
{
	struct victim v = victim_start("threads", "steady", "2", NULL);
	struct client c = client_open();
	struct turns turns = { c.session, v.pid, 60 };
	pthread_t thread[3];

	for (int i = 0; i < 3; i++)
		pthread_create(&thread[i], NULL, take_turns, &turns);
	for (int i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	check_untraced(v.pid);
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	check_int(state_of(process), TETHER_STATE_RUNNING);
	check(task_status(v.pid, v.pid, "TracerPid") > 0);
	client_close(&c);
	check_int(victim_end(&v), 0);
}

/* A child of this very number, which has ended before: -1 where that is not permitted. */
static pid_t fork_as(pid_t pid)
{
	struct clone_args args = {
		.exit_signal = SIGCHLD, .set_tid = (uintptr_t)&pid, .set_tid_size = 1
	};
	pid_t child = (pid_t)syscall(SYS_clone3, &args, sizeof(args));

	if (child == 0) {
		pause();
		_exit(0);
	}
	return child;
}

static pid_t fork_idler(void)
{
	pid_t child = fork();

	if (child == 0) {
		pause();
		_exit(0);
	}
	return child;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	check_int(waitpid(pid, NULL, 0), pid);
}

TEST(a_recycled_pid_never_finds_the_handle_of_its_forerunner)
{
	struct client c = client_open();
	pid_t pid = fork_idler();
	struct tether *observed = grab(c.session, pid, TETHER_OBSERVE, 0);
	struct tether *held = grab(c.session, pid, TETHER_NO_PARK, TETHER_MODE_RUN);
	struct tether *idle, *fresh;
	uint64_t before = held->start_time, after;

	check(before != 0);
	end(pid);
	nap_ms(30); /* start times are told in ticks of 10 ms */
	if (fork_as(pid) != pid)
		skip("a pid cannot be chosen here");
	fresh = grab(c.session, pid, TETHER_NO_PARK, TETHER_MODE_RUN);
	check(fresh != held);
	check_int(state_of(held), TETHER_STATE_EXITED);
	check_int(state_of(fresh), TETHER_STATE_RUNNING);
	after = fresh->start_time;
	check(after != before);
	check_int(tether_release(fresh), 0);
	check_int(tether_release(held), 0);
	idle = grab(c.session, pid, TETHER_OBSERVE, 0);
	check(idle != observed);
	check_int(state_of(observed), TETHER_STATE_EXITED);
	check_int(state_of(idle), TETHER_STATE_RUNNING);
	check_int(tether_release(observed), 0);
	check_int(idle_count(c.session), 0);
	check_int(tether_release(idle), 0);
	check_int(idle_count(c.session), 1);
	end(pid);
	nap_ms(30);
	check_int(fork_as(pid), pid);
	idle = grab(c.session, pid, TETHER_OBSERVE, 0);
	check_int(idle_count(c.session), 0);
	check_int(state_of(idle), TETHER_STATE_RUNNING);
	check_int(tether_release(idle), 0);
	end(pid);
	client_close(&c);
}

/* ---- rows 5, 6, 14, 22, 23: parks -------------------------------------------------------------------------- */

TEST(a_parked_process_stands_with_whole_text_until_it_is_continued_once_or_twice)
{
	struct victim v = victim_start("threads", "steady", "3", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, 0);

	check_int(state_of(process), TETHER_STATE_PARKED);
	check_text_whole(v.pid);
	check_int(tether_continue(process), 0);
	check_int(tether_continue(process), 0);
	check_int(state_of(process), TETHER_STATE_RUNNING);
	victim_ask(&v, "progress", "progress");
	client_close(&c);
	check_int(victim_end(&v), 0);
}

TEST(what_dies_before_its_stop_fails_create_with_why_and_is_not_the_target)
{
	static const struct {
		char how[8];
		int result, status;
	} cases[] = { { "exit", -TETHER_EEXITED, 3 }, { "signal", -TETHER_ESIGNALED, SIGUSR1 } };
	static const uint32_t stops[] = { TETHER_STOP_POSTINIT, TETHER_STOP_MAIN };
	struct client c = client_open();

	for (size_t i = 0; i < 4; i++) {
		char how[8], *const argv[] = { (char[]){ "early" }, how, NULL };
		struct tether_create_opts opts = {
			.size = sizeof(opts), .file = victim_path("early"), .argv = argv, .stop = stops[i / 2]
		};
		struct tether_error error = TETHER_ERROR_INIT;
		struct tether *process = NULL;

		memcpy(how, cases[i % 2].how, sizeof(how));
		check_int(tether_create(c.session, &opts, &process, &error), cases[i % 2].result);
		check(process == NULL);
		check_int(error.status, cases[i % 2].status);
		check_int(tether_target(c.session), 0);
	}
	struct tether *first = client_create(&c, 0, TETHER_STOP_CREATE, "quiet", "0", NULL);
	check_int(tether_target(c.session), tether_pid(first));
	pid_t other = fork_idler();
	check_int(tether_release(grab(c.session, other, TETHER_OBSERVE, 0)), 0);
	check_int(tether_target(c.session), tether_pid(first));
	end(other);
	client_close(&c);
}

TEST(a_stop_that_is_not_reached_in_time_leaves_nothing_behind)
{
	struct client c = client_open();
	char *const argv[] = { (char[]){ "early" }, (char[]){ "hang" }, NULL };
	struct tether_create_opts opts = { .size = sizeof(opts),   .file = victim_path("early"), .argv = argv,
					   .stop = TETHER_STOP_MAIN, .timeout_ms = 200 };
	struct tether *process = NULL;

	check_int(tether_create(c.session, &opts, &process, NULL), -TETHER_ETIMEDOUT);
	check(process == NULL);
	check_int(tether_target(c.session), 0);
	client_close(&c);
}

TEST(parked_victims_are_set_free_in_order_by_release_and_by_close)
{
	struct victim v[3];
	struct client c = client_open();

	for (int i = 0; i < 3; i++) {
		v[i] = victim_start("threads", "steady", "4", NULL);
		check_int(state_of(client_grab(&c, v[i].pid, 0)), TETHER_STATE_PARKED);
	}
	check_int(tether_release(c.process[1]), 0);
	check_untraced(v[1].pid);
	victim_ask(&v[1], "progress", "progress");
	client_close(&c);
	for (int i = 0; i < 3; i++) {
		check_untraced(v[i].pid);
		check_text_whole(v[i].pid);
		victim_ask(&v[i], "progress", "progress");
		check_int(victim_end(&v[i]), 0);
	}
}

/* ---- rows 8, 9: handles that only observe ------------------------------------------------------------------ */

static unsigned count_fds(void)
{
	unsigned count = 0;

	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

TEST(idle_observe_handles_are_kept_up_to_the_limit_and_the_longest_idle_goes_first)
{
	struct tether_session_opts opts = { .size = sizeof(opts), .cache_limit = 2 };
	struct tether_session *session;
	pid_t pid[3];
	struct tether *process[3];

	check_int(tether_session_open(&opts, &session, NULL), 0);
	unsigned fds = count_fds();
	for (int i = 0; i < 3; i++) {
		pid[i] = fork_idler();
		process[i] = grab(session, pid[i], TETHER_OBSERVE, 0);
	}
	check(grab(session, pid[0], TETHER_OBSERVE, 0) == process[0]);
	check_int(tether_release(process[0]), 0);
	check_int(idle_count(session), 0);
	for (int i = 0; i < 2; i++)
		check_int(tether_release(process[i]), 0);
	check_int(idle_count(session), 2);
	check_int(count_fds(), fds);
	check(grab(session, pid[0], TETHER_OBSERVE, 0) == process[0]);
	check_int(idle_count(session), 1);
	check_int(tether_release(process[0]), 0); /* now 1 is the one that was idle longest */
	check_int(tether_release(process[2]), 0);
	check_int(idle_count(session), 2);
	struct table *table = start_table(session);
	check(handle_find(table, pid[0], true) == process[0]);
	check(handle_find(table, pid[1], true) == NULL);
	check(handle_find(table, pid[2], true) == process[2]);
	for (int i = 0; i < 3; i++)
		end(pid[i]);
	check_int(tether_session_close(session), 0);
}

TEST(a_control_grab_makes_what_only_observes_out_of_date)
{
	struct victim v = victim_start("threads", "steady", "2", NULL);
	struct client c = client_open();
	struct table *table = start_table(c.session);
	struct tether *observed = grab(c.session, v.pid, TETHER_OBSERVE, 0), *held, *again;
	char byte;

	/* idle: gone at once */
	check_int(tether_release(observed), 0);
	check_int(idle_count(c.session), 1);
	held = grab(c.session, v.pid, TETHER_NO_PARK, TETHER_MODE_RUN);
	check_int(idle_count(c.session), 0);
	check(handle_find(table, v.pid, true) == NULL);
	check_int(tether_release(held), 0);

	/* in use: it serves to the end, is found by nobody, and is not kept */
	observed = grab(c.session, v.pid, TETHER_OBSERVE, 0);
	held = grab(c.session, v.pid, TETHER_NO_PARK, TETHER_MODE_RUN);
	check(held != observed);
	again = grab(c.session, v.pid, TETHER_OBSERVE, 0);
	check(again != observed && again != held);
	check_int(state_of(observed), TETHER_STATE_RUNNING);
	check_int(tether_read(observed, held->rtld.r_brk, &byte, 1), 1);
	check_int(tether_continue(again), -TETHER_EMODE);
	check_int(tether_release(observed), 0);
	check_int(idle_count(c.session), 0);
	check_int(tether_release(again), 0);
	check_int(idle_count(c.session), 1);
	check(task_status(v.pid, v.pid, "TracerPid") > 0);
	check_int(tether_release(held), 0);
	client_close(&c);
	check_int(victim_end(&v), 0);
}

static uint8_t raw_byte(pid_t pid, uint64_t address)
{
	uint8_t byte = 0;
	struct iovec local = { &byte, 1 }, remote = { (void *)(uintptr_t)address, 1 };

	check_int(process_vm_readv(pid, &local, 1, &remote, 1, 0), 1);
	return byte;
}

TEST(an_observe_handle_reads_no_trap_that_another_handle_has_planted)
{
	struct victim v = victim_start("threads", "steady", "2", NULL);
	struct client c = client_open();
	struct tether *observed = grab(c.session, v.pid, TETHER_OBSERVE, 0);
	struct tether *held = grab(c.session, v.pid, TETHER_NO_PARK, TETHER_MODE_RUN);
	uint64_t address = held->rtld.r_brk;
	uint8_t mine = 0, theirs = 0;

	check(address != 0);
	check_int(raw_byte(v.pid, address), 0xcc);
	check_int(tether_read(observed, address, &mine, 1), 1);
	check_int(tether_read(held, address, &theirs, 1), 1);
	check_int(mine, theirs);
	check(mine != 0xcc);
	client_close(&c);
	check_int(raw_byte(v.pid, address), mine);
	check_int(victim_end(&v), 0);
}

/* ---- row 11: nothing is written, until somebody wants to hear of loads -------------------------------------- */

TEST(a_grab_without_monitor_writes_nothing_and_does_not_do_for_one_with_it)
{
	struct victim v = victim_start("children", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK | TETHER_NO_MONITOR), *more;
	struct tether_info info = { .size = sizeof(info) };

	client_drain(&c, 20);
	unsigned loads = client_count(&c, "load plugin-a.so");
	check_text_whole(v.pid);
	victim_ask(&v, "dlopen", "done");
	client_drain(&c, 20);
	check_int(client_count(&c, "load plugin-a.so"), loads);
	check(grab(c.session, v.pid, TETHER_NO_PARK | TETHER_NO_MONITOR, TETHER_MODE_RUN) == process);
	check_text_whole(v.pid);
	more = grab(c.session, v.pid, TETHER_NO_PARK, TETHER_MODE_RUN);
	check(more == process);
	check_int(raw_byte(v.pid, process->rtld.r_brk), 0xcc);
	check_int(tether_info_get(process, &info), 0);
	check_int(info.flags & TETHER_NO_MONITOR, 0);
	victim_ask(&v, "dlopen", "done");
	victim_ask(&v, "fork-dlopen", "done");
	client_await(&c, "load plugin-a.so", loads + 1);
	client_await(&c, "unload plugin-a.so", 1);
	client_await(&c, "load plugin-b.so", 1);
	client_close(&c);
	check_untraced(v.pid);
	check_text_whole(v.pid);
	check_int(victim_end(&v), 0);
}

/* ---- row 17: a grab inside a held family gives the family's handle ------------------------------------------ */

static pid_t only_child(pid_t pid)
{
	char path[64];
	int child = 0;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
	FILE *file = fopen(path, "re");
	check(file && fscanf(file, "%d", &child) == 1);
	fclose(file);
	return child;
}

static bool has_child(void *data)
{
	char path[64];
	int child;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", *(pid_t *)data, *(pid_t *)data);
	FILE *file = fopen(path, "re");
	bool found = file && fscanf(file, "%d", &child) == 1;
	if (file)
		fclose(file);
	return found;
}

TEST(a_grab_inside_a_held_family_gives_the_handle_of_the_family)
{
	struct victim v = victim_start("children", NULL);
	struct client c = client_open();
	struct tether *parent = client_grab(&c, v.pid, TETHER_NO_PARK), *child;

	for (int round = 0; round < 30; round++) {
		struct tether_info info = { .size = sizeof(info) }, of_parent = { .size = sizeof(of_parent) };

		/* As soon as the kernel shows it: its birth may not have been told to this session yet. */
		victim_say(&v, "fork-wait");
		check(eventually(has_child, &v.pid, 5000));
		pid_t pid = only_child(v.pid);
		child = grab(c.session, pid, TETHER_NO_PARK, TETHER_MODE_RUN);
		check_int(tether_info_get(child, &info), 0);
		check_int(tether_info_get(parent, &of_parent), 0);
		check_int(info.parent, v.pid);
		check_int(info.controller, of_parent.controller);
		check_int(task_status(pid, pid, "TracerPid"), info.controller);
		/* A reference to a member is not the family's last. */
		check_int(tether_release(child), 0);
		check_int(task_status(pid, pid, "TracerPid"), info.controller);
		victim_ask(&v, "go", "done");
	}
	client_close(&c);
	check_int(victim_end(&v), 0);
}

TEST(a_member_that_somebody_holds_stays_held_when_the_first_one_is_released)
{
	struct victim v = victim_start("children", NULL);
	struct client c = client_open();
	struct tether *parent = client_grab(&c, v.pid, TETHER_NO_PARK), *child;

	victim_say(&v, "fork-wait");
	check(eventually(has_child, &v.pid, 5000));
	pid_t pid = only_child(v.pid);
	child = grab(c.session, pid, TETHER_NO_PARK, TETHER_MODE_RUN);
	check_int(tether_release(parent), 0);
	check_untraced(v.pid);
	check(task_status(pid, pid, "TracerPid") > 0);
	check_int(state_of(child), TETHER_STATE_RUNNING);
	/* The first one is taken anew, by a controller of its own. */
	parent = grab(c.session, v.pid, TETHER_NO_PARK, TETHER_MODE_RUN);
	check(task_status(v.pid, v.pid, "TracerPid") != task_status(pid, pid, "TracerPid"));
	check_int(tether_release(child), 0);
	check_untraced(pid);
	check_int(tether_release(parent), 0);
	check_untraced(v.pid);
	victim_ask(&v, "go", "done");
	client_close(&c);
	check_int(victim_end(&v), 0);
}

/* ---- row 19: what becomes of them ---------------------------------------------------------------------------- */

/* Every thread stands in a job-control stop, now: nothing is waited for. */
static void check_hangs(pid_t pid)
{
	char path[64], state = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	FILE *file = fopen(path, "re");
	check(file && fscanf(file, "%*d (%*[^)]) %c", &state) == 1);
	fclose(file);
	if (state != 'T')
		fail("%d is in state %c", pid, state);
	check_int(task_status(pid, pid, "TracerPid"), 0);
}

TEST(hang_leaves_it_stopped_when_the_call_returns)
{
	struct victim v = victim_start("threads", "steady", "1", NULL);
	struct client c = client_open();

	for (int round = 0; round < 60; round++) {
		struct tether *process = grab(c.session, v.pid, round % 2 ? TETHER_NO_PARK : 0, TETHER_MODE_HANG);

		if (round % 3 == 0)
			check_int(tether_detach(process, TETHER_MODE_HANG), 0);
		else if (round % 3 == 1)
			check_int(tether_detach(process, TETHER_MODE_DEFAULT), 0);
		check_int(tether_release(process), 0);
		check_hangs(v.pid);
		check_text_whole(v.pid);
		kill(v.pid, SIGCONT);
		victim_ask(&v, "progress", "progress");
	}
	client_close(&c);
	check_int(victim_end(&v), 0);
}

TEST(hang_leaves_every_thread_and_a_followed_child_stopped)
{
	struct victim v = victim_start("children", NULL), w = victim_start("threads", "steady", "8", NULL);
	struct client c = client_open();
	struct tether *family = client_grab(&c, v.pid, TETHER_NO_PARK);

	victim_say(&v, "fork-wait");
	check(eventually(has_child, &v.pid, 5000));
	pid_t child = only_child(v.pid);
	client_grab(&c, w.pid, TETHER_NO_PARK);
	check_int(tether_set_mode(family, TETHER_MODE_HANG), 0);
	check_int(tether_set_mode(c.process[1], TETHER_MODE_HANG), 0);
	/* The member by itself, while its family stays held. */
	struct tether *member = grab(c.session, child, TETHER_NO_PARK, 0);
	check_int(tether_detach(member, TETHER_MODE_HANG), 0);
	check_hangs(child);
	check(task_status(v.pid, v.pid, "TracerPid") > 0);
	client_close(&c);
	check_hangs(v.pid);
	check_hangs(child);
	check_hangs(w.pid);
	kill(child, SIGCONT);
	kill(v.pid, SIGCONT);
	kill(w.pid, SIGCONT);
	victim_ask(&w, "progress", "progress");
	victim_ask(&v, "go", "done");
	check_int(victim_end(&v), 0);
	check_int(victim_end(&w), 0);
}

TEST(a_process_killed_by_its_release_has_a_release_record_and_an_exit_record)
{
	for (int how = 0; how < 3; how++) {
		struct client c = client_open();
		struct tether *process = client_create(&c, 0, TETHER_STOP_CREATE, "early", "hang", NULL);
		pid_t pid = (pid_t)tether_pid(process);
		struct tether_info info = { .size = sizeof(info) };

		if (how == 1)
			check_int(tether_continue(process), 0);
		client_drain(&c, 0);
		tether_ref(process);
		if (how == 2)
			check_int(tether_detach(process, TETHER_MODE_KILL), 0);
		check_int(tether_release(process), 0);
		if (how != 2) /* the last but one */
			check_int(tether_release(process), 0);
		check(eventually(is_gone, &pid, 2000));
		client_await(&c, "exit", 1);
		client_drain(&c, 0);
		check_int(client_count(&c, "release"), 1);
		check_int(client_count(&c, "exit SIGKILL"), 1);
		check_int(client_count(&c, "lost"), 0);
		if (how == 2) {
			check_int(tether_info_get(process, &info), 0);
			check_int(info.state, TETHER_STATE_EXITED);
			check_int(info.exit_signal, SIGKILL);
		}
		client_close(&c);
	}
}
