/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A process that a signal is about to end stands still before, whole, and then ends as it would have.
 */
#include "harness.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct way {
	const char *name;
	int signal;
};

static const struct way ways[] = {
	{ "segv", SIGSEGV },	    { "abort", SIGABRT },	   { "deep", SIGSEGV },	  { "deep-caught", SIGSEGV },
	{ "deep-uncatchable", SIGSEGV }, { "thread", SIGSEGV },	   { "trap", SIGTRAP },	  { "illegal", SIGILL },
	{ "blocked", SIGSEGV },	    { "ignored", SIGSEGV }, { "sent", SIGQUIT }, { "race", SIGSEGV },
};

/* In the way "race" another thread ends it by then, if that may run. */
enum { RACE_MS = 700 };

enum { WAYS = sizeof(ways) / sizeof(ways[0]) };

static void check_ended_by(struct victim *v, int signal, const char *way)
{
	int status = victim_end(v);

	if (!WIFSIGNALED(status) || WTERMSIG(status) != signal)
		fail("%s: wait status 0x%x, not signal %d", way, (unsigned)status, signal);
}

TEST_SECONDS(a_crash_parks_whole_and_then_ends_as_it_would_have, 60)
{
	for (size_t i = 0; i < WAYS; i++) {
		struct victim v = victim_start("crash", NULL);
		struct client c = client_open();
		struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK | TETHER_PARK_ON_CRASH);
		char expected[64];

		victim_say(&v, ways[i].name);
		client_await(&c, "parked", 1);
		check_int(client_count(&c, "crash"), 1);
		check_int(state_of(process), TETHER_STATE_PARKED);
		check_text_whole(v.pid);
		client_drain(&c, strcmp(ways[i].name, "race") ? 10 : RACE_MS);
		check_int(client_count(&c, "exit"), 0);
		check_int(tether_continue(process), 0);
		snprintf(expected, sizeof(expected), "exit SIG%s", sigabbrev_np(ways[i].signal));
		client_await(&c, expected, 1);
		check_int(client_count(&c, "crash"), 1);
		client_close(&c);
		check_ended_by(&v, ways[i].signal, ways[i].name);
	}
}

TEST(what_the_program_deals_with_itself_is_no_crash)
{
	struct victim v = victim_start("crash", NULL);
	struct client c = client_open();

	client_grab(&c, v.pid, TETHER_NO_PARK | TETHER_PARK_ON_CRASH);
	victim_ask(&v, "survive", "done");
	client_await(&c, "exit 0", 1);
	check_int(client_count(&c, "crash"), 0);
	client_close(&c);
	check_int(victim_end(&v), 0);
}

TEST(without_the_flag_nothing_parks)
{
	struct victim v = victim_start("crash", NULL);
	struct client c = client_open();

	client_grab(&c, v.pid, TETHER_NO_PARK);
	victim_say(&v, "segv");
	client_await(&c, "exit SIGSEGV", 1);
	check_int(client_count(&c, "crash") + client_count(&c, "parked"), 0);
	client_close(&c);
	check_ended_by(&v, SIGSEGV, "segv");
}

TEST(released_it_ends_by_that_signal)
{
	for (int close = 0; close < 2; close++) {
		struct victim v = victim_start("crash", NULL);
		struct client c = client_open();
		struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK | TETHER_PARK_ON_CRASH);

		victim_say(&v, "abort");
		client_await(&c, "parked", 1);
		if (!close)
			check_int(tether_release(process), 0);
		client_close(&c);
		check_ended_by(&v, SIGABRT, close ? "closed" : "released");
	}
}

TEST(a_crash_during_the_park_for_another_reason_is_told_after_it)
{
	struct victim v = victim_start("crash", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_PARK_ON_CRASH);

	client_await(&c, "parked", 1);
	check_int(kill(v.pid, SIGQUIT), 0);
	check_int(tether_continue(process), 0);
	client_await(&c, "crash", 1);
	client_await(&c, "parked", 2);
	check_int(tether_continue(process), 0);
	client_await(&c, "exit SIGQUIT", 1);
	client_close(&c);
	check_ended_by(&v, SIGQUIT, "sent");
}

/* A client of its own process, that grabs, sees the park, says so and waits to be killed. */
static _Noreturn void be_client(pid_t pid, int report)
{
	struct client c = client_open();

	client_grab(&c, pid, TETHER_NO_PARK | TETHER_PARK_ON_CRASH);
	if (write(report, "g", 1) != 1)
		_exit(1);
	client_await(&c, "parked", 1);
	if (write(report, "p", 1) != 1)
		_exit(1);
	pause();
	_exit(1);
}

TEST_SECONDS(the_death_of_the_client_lets_it_end_by_that_signal, 60)
{
	for (size_t i = 0; i < WAYS; i++) {
		struct victim v = victim_start("crash", NULL);
		int report[2];
		char byte;

		check(!pipe(report));
		pid_t client = fork();
		if (client == 0)
			be_client(v.pid, report[1]);
		close(report[1]);
		check_int(read(report[0], &byte, 1), 1);
		victim_say(&v, ways[i].name);
		check_int(read(report[0], &byte, 1), 1);
		if (!strcmp(ways[i].name, "race"))
			usleep(RACE_MS * 1000);
		kill(client, SIGKILL);
		check_int(waitpid(client, NULL, 0), client);
		close(report[0]);
		check_ended_by(&v, ways[i].signal, ways[i].name);
	}
}

TEST(killed_while_it_stands_it_is_gone)
{
	struct client c = client_open();
	struct tether *process = client_create(&c, TETHER_PARK_ON_CRASH, TETHER_STOP_NONE, "crash", "abort", NULL);

	client_await(&c, "parked", 1);
	check_int(kill((pid_t)tether_pid(process), SIGKILL), 0);
	client_await(&c, "exit SIGKILL", 1);
	check_int(tether_continue(process), -TETHER_EGONE);
	client_close(&c);
}

TEST(a_crash_before_the_stop_of_create_is_that_stop)
{
	struct client c = client_open();
	struct tether *process;
	char *const argv[] = { (char *)(uintptr_t)"sh", (char *)(uintptr_t)"-c", (char *)(uintptr_t)"kill -QUIT $$", NULL };
	struct tether_create_opts opts = {
		.size = sizeof(opts), .file = "sh", .argv = argv, .flags = TETHER_PARK_ON_CRASH, .stop = TETHER_STOP_CREATE,
	};

	check_int(tether_create(c.session, &opts, &process, NULL), 0);
	check_int(kill((pid_t)tether_pid(process), SIGSEGV), 0);
	check_int(tether_continue(process), 0);
	client_await(&c, "crash", 1);
	client_await(&c, "parked", 2);
	check_int(tether_continue(process), 0);
	client_await(&c, "exit SIGSEGV", 1);
	client_close(&c);
}
