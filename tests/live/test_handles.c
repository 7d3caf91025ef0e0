/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Handles, sessions, the queue of events, refusals.
 */
#include "harness.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

TEST(a_process_has_one_handle_and_the_last_release_lets_it_go)
{
	struct victim v = victim_start("threads", "steady", "2", NULL);
	struct client c = client_open();
	struct tether *first = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct tether *second = NULL;

	check_int(tether_grab(c.session, v.pid, NULL, &second, NULL), 0);
	check(first == second);
	check_int(tether_release(second), 0);
	check_int(state_of(first), TETHER_STATE_RUNNING);
	check(task_status(v.pid, v.pid, "TracerPid") > 0);
	check_int(tether_target(c.session), v.pid);
	client_close(&c);
	check_untraced(v.pid);
	check_int(victim_end(&v), 0);
}

TEST(a_created_process_parks_where_it_was_told_to)
{
	static const uint32_t stops[] = { TETHER_STOP_CREATE, TETHER_STOP_PREINIT, TETHER_STOP_POSTINIT,
					  TETHER_STOP_MAIN };
	char *const argv[] = { (char[]){ "true" }, NULL };

	for (size_t i = 0; i < sizeof(stops) / sizeof(stops[0]); i++) {
		struct client c = client_open();
		struct tether_create_opts opts = {
			.size = sizeof(opts), .file = "true", .argv = argv, .stop = stops[i]
		};
		struct tether *process;
		struct tether_error error = TETHER_ERROR_INIT;

		if (tether_create(c.session, &opts, &process, &error) < 0)
			fail("%s", error.message);
		check_int(state_of(process), TETHER_STATE_PARKED);
		check_text_whole((pid_t)tether_pid(process));
		client_drain(&c, 20);
		check_int(client_count(&c, "main"), stops[i] >= TETHER_STOP_POSTINIT);
		check_int(client_count(&c, "preinit"), stops[i] >= TETHER_STOP_PREINIT);
		check_int(tether_continue(process), 0);
		client_await(&c, "exit", 1);
		check_int(state_of(process), TETHER_STATE_EXITED);
		check_int(tether_continue(process), -TETHER_EGONE);
		tether_release(process);
		client_close(&c);
	}
}

TEST(what_cannot_be_run_is_named_with_the_errno_of_execve)
{
	static const struct {
		const char *file;
		int error;
	} cases[] = {
		{ "/nowhere/at/all", ENOENT }, { "no-such-command-anywhere", ENOENT }, { "/etc", EACCES },
		{ "/etc/passwd", EACCES },     { "/proc/self/maps", EACCES },
	};

	struct client c = client_open();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *const argv[] = { (char[]){ "x" }, NULL };
		struct tether_create_opts opts = { .size = sizeof(opts), .file = cases[i].file, .argv = argv };
		struct tether *process = NULL;
		struct tether_error error = TETHER_ERROR_INIT;

		check_int(tether_create(c.session, &opts, &process, &error), -TETHER_EEXEC);
		check(process == NULL);
		check_int(error.system_error, cases[i].error);
		check(strstr(error.message, cases[i].file) != NULL);
	}
	client_close(&c);
}

TEST(a_program_that_was_not_parked_tells_its_status_when_it_has_ended)
{
	char *const argv[] = { (char[]){ "sh" }, (char[]){ "-c" }, (char[]){ "exit 3" }, NULL };
	struct tether_create_opts opts = {
		.size = sizeof(opts), .file = "/bin/sh", .argv = argv, .stop = TETHER_STOP_NONE
	};
	struct client c = client_open();
	struct tether *process;

	check_int(tether_create(c.session, &opts, &process, NULL), 0);
	client_await(&c, "exit", 1);
	struct tether_info info = { .size = sizeof(info) };
	check_int(tether_info_get(process, &info), 0);
	check_int(info.exit_code, 3);
	tether_release(process);
	client_close(&c);
}

TEST(hopeless_grabs_are_refused_with_their_cause)
{
	struct client c = client_open();
	struct tether_error error = TETHER_ERROR_INIT;
	struct tether *process = NULL;
	pid_t child = fork();

	if (child == 0)
		_exit(0);
	siginfo_t ended;
	waitid(P_PID, (id_t)child, &ended, WEXITED | WNOWAIT);
	check_int(tether_grab(c.session, child, NULL, &process, &error), -TETHER_EZOMBIE);
	waitpid(child, NULL, 0);
	check_int(tether_grab(c.session, child, NULL, &process, &error), -TETHER_EGONE);
	check_int(tether_grab(c.session, getpid(), NULL, &process, &error), -TETHER_ESELF);
	check_int(tether_grab(c.session, 0, NULL, &process, &error), -TETHER_EGONE);
	check_int(tether_grab(c.session, -1, NULL, &process, &error), -TETHER_EGONE);
	check(process == NULL);
	check(strstr(error.message, "-1") != NULL);
	client_close(&c);
}

TEST(options_of_an_unknown_version_are_refused_and_a_shorter_one_is_taken)
{
	struct {
		struct tether_grab_opts known;
		uint64_t unknown;
	} longer = { .known = { .size = sizeof(longer), .flags = TETHER_OBSERVE } };
	struct client c = client_open();
	struct tether *process = NULL;

	longer.unknown = 1;
	check_int(tether_grab(c.session, getppid(), &longer.known, &process, NULL), -TETHER_EINVALID);
	longer.unknown = 0;
	check_int(tether_grab(c.session, getppid(), &longer.known, &process, NULL), 0);
	tether_release(process);
	longer.known.size = offsetof(struct tether_grab_opts, mode);
	longer.known.mode = 999;
	check_int(tether_grab(c.session, getppid(), &longer.known, &process, NULL), 0);
	tether_release(process);
	longer.known.size = 3;
	check_int(tether_grab(c.session, getppid(), &longer.known, &process, NULL), -TETHER_EINVALID);
	client_close(&c);
}

TEST(a_forked_child_of_the_client_is_refused_and_touches_nothing)
{
	struct victim v = victim_start("threads", "steady", "1", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	char byte;
	pid_t child = fork();

	if (child == 0) {
		struct tether_info info = { .size = sizeof(info) };
		bool right = tether_dispatch(c.session, 0) == -TETHER_EFORKED &&
			     tether_continue(process) == -TETHER_EFORKED &&
			     tether_release(process) == -TETHER_EFORKED &&
			     tether_detach(process, TETHER_MODE_RUN) == -TETHER_EFORKED &&
			     tether_read(process, 0, &byte, 1) == -TETHER_EFORKED &&
			     tether_info_get(process, &info) == -TETHER_EFORKED &&
			     tether_session_close(c.session) == -TETHER_EFORKED;
		_exit(right ? 0 : 1);
	}
	int status;
	waitpid(child, &status, 0);
	check_int(status, 0);
	check(task_status(v.pid, v.pid, "TracerPid") > 0);
	client_close(&c);
	check_int(victim_end(&v), 0);
}

static void *close_later(void *data)
{
	struct tether_session *session = data;

	/* A call that only begins when the session has ended is the caller's fault: until the main thread sleeps in its own. */
	while (task_state(getpid()) != 'S')
		;
	while (tether_session_close(session) < 0)
		;
	return NULL;
}

TEST(closing_a_session_ends_a_dispatch_in_another_thread)
{
	struct client c = client_open();
	pthread_t thread;

	pthread_create(&thread, NULL, close_later, c.session);
	int result = tether_dispatch(c.session, -1);
	check_int(result, -TETHER_ECLOSED);
	pthread_join(thread, NULL);
	c.session = NULL;
}

struct overflow {
	uint64_t heard, dropped;
	bool exited;
};

static void count_overflow(const struct tether_event *event, void *data)
{
	struct overflow *overflow = data;

	overflow->heard++;
	if (event->kind == TETHER_EVENT_DROPPED)
		overflow->dropped += event->u.dropped.count;
	if (event->kind == TETHER_EVENT_EXIT)
		overflow->exited = true;
}

TEST(an_overflowing_queue_says_how_many_were_dropped_and_never_drops_an_exit)
{
	struct tether_session_opts session_opts = { .size = sizeof(session_opts), .queue_limit = 4 };
	char *const argv[] = { (char[]){ "sh" }, (char[]){ "-c" },
			       (char[]){ "for i in 1 2 3 4 5 6 7 8; do /bin/true; done" }, NULL };
	struct tether_create_opts opts = { .size = sizeof(opts), .file = "sh", .argv = argv,
					   .stop = TETHER_STOP_NONE };
	struct tether_session *session;
	struct tether *process;
	struct overflow overflow = { 0 };

	check_int(tether_session_open(&session_opts, &session, NULL), 0);
	check_int(tether_create(session, &opts, &process, NULL), 0);
	struct tether_info info = { .size = sizeof(info) };
	const uint64_t until = now_ns() + UINT64_C(10000000000);
	do
		check_int(tether_info_get(process, &info), 0);
	while (info.state != TETHER_STATE_EXITED && now_ns() < until);
	tether_session_set_handler(session, count_overflow, &overflow);
	while (!overflow.exited && tether_dispatch(session, 1000) > 0)
		;
	while (tether_dispatch(session, 50) > 0)
		;
	check(overflow.exited);
	check(overflow.dropped > 0);
	struct tether_stats stats = { .size = sizeof(stats) };
	check_int(tether_stats_get(session, &stats), 0);
	check_int(stats.dropped, overflow.dropped);
	tether_release(process);
	tether_session_close(session);
}

TEST(the_descriptor_is_readable_while_events_wait)
{
	struct victim v = victim_start("threads", "steady", "1", NULL);
	struct client c = client_open();
	struct pollfd ready = { .fd = tether_fd(c.session), .events = POLLIN };

	check_int(poll(&ready, 1, 0), 0);
	client_grab(&c, v.pid, TETHER_NO_PARK);
	check_int(poll(&ready, 1, 2000), 1);
	client_drain(&c, 50);
	check_int(poll(&ready, 1, 0), 0);
	kill(v.pid, SIGUSR2);
	client_close(&c);
	victim_end(&v);
}

TEST(an_observe_handle_reads_but_never_stops)
{
	struct victim v = victim_start("threads", "steady", "2", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_OBSERVE);

	check_int(task_status(v.pid, v.pid, "TracerPid"), 0);
	check_int(tether_continue(process), -TETHER_EMODE);
	check_int(tether_detach(process, TETHER_MODE_RUN), -TETHER_EMODE);
	struct tether *control = client_grab(&c, v.pid, TETHER_NO_PARK);
	check(control != process);
	client_close(&c);
	check_int(victim_end(&v), 0);
}
