/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inject/session.c - one session that makes the controller do everything it can do
 *
 *	inject-session BOARD_FD grab PID | create FILE ARG...
 *
 * With INJECT_EVENTS in its environment it has the stack of every event that can have one, and parks what is about to crash, as
 * its victim's child is. With INJECT_CALLS it has public breakpoints in it, by name: counted, told of, with returns.
 *
 * Exit status 0: all went well; 3: a call of the library failed, cleanly (said on stdout); 4: the hold was
 * lost. Anything else, or no end at all, is a fault of the library.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <tether/tether.h>

#include "process/plant.h"
#include "scoreboard.h"

enum { EXIT_CLEAN_FAILURE = 3, EXIT_LOST = 4, SCRIPT_MS = 6000, SNAPSHOTS = 9 };

struct hearing {
	int64_t pid;
	bool over, lost;
	struct tether *crashed; /* owned: stands at its crash, or is about to */
};

static int look_away(const struct tether_stack *stack, void *data)
{
	(void)stack;
	(void)data;
	return 0;
}

static void on_event(const struct tether_event *event, void *data)
{
	struct hearing *hearing = data;

	if (event->stack)
		(void)tether_event_stack(event, TETHER_SNAPSHOT_NO_NAMES, look_away, NULL);
	if (event->kind == TETHER_EVENT_CRASH && event->process && !hearing->crashed)
		hearing->crashed = tether_ref(event->process);
	if (event->pid != hearing->pid)
		return;
	hearing->lost |= event->kind == TETHER_EVENT_LOST;
	hearing->over |= event->kind == TETHER_EVENT_LOST || event->kind == TETHER_EVENT_EXIT;
}

static int failed(struct tether_session *session, const char *what, int result,
		  const struct tether_error *error)
{
	printf("%s: %s (%d) %s\n", what, tether_error_name(result), result, error ? error->message : "");
	tether_session_close(session);
	return EXIT_CLEAN_FAILURE;
}

static int take(struct tether_session *session, int argc, char **argv, struct tether **ret,
		struct tether_error *error)
{
	struct tether_create_opts create = {
		.size = sizeof(create), .stop = TETHER_STOP_MAIN, .mode = TETHER_MODE_RUN, .timeout_ms = 5000
	};
	struct tether_grab_opts grab = { .size = sizeof(grab), .timeout_ms = 5000 };

	if (getenv("INJECT_EVENTS")) {
		create.flags = grab.flags = TETHER_PARK_ON_CRASH;
		create.stacks = grab.stacks = TETHER_EVENTS_WITH_STACK;
	}
	if (!strcmp(argv[2], "grab"))
		return tether_grab(session, atoll(argv[3]), &grab, ret, error);
	(void)argc;
	create.file = argv[3];
	create.argv = argv + 3;
	return tether_create(session, &create, ret, error);
}

/* All manners in turn. A failure is said by an answer, or the hold is lost, which is told by an event. */
static void take_stacks(struct tether *victim, unsigned turn)
{
	struct tether_snapshot_opts opts = {
		.size = sizeof(opts), .manner = turn % 3, .flags = TETHER_SNAPSHOT_NO_NAMES, .timeout_ms = 500
	};

	if (turn < SNAPSHOTS)
		(void)tether_snapshot(victim, &opts, look_away, NULL, NULL);
}

/* A failure leaves it standing until the release, or it is gone: both are its victim's to find out. */
static void end_crash(struct hearing *hearing)
{
	struct tether_snapshot_opts opts = { .size = sizeof(opts), .flags = TETHER_SNAPSHOT_NO_NAMES, .timeout_ms = 500 };

	if (!hearing->crashed)
		return;
	(void)tether_snapshot(hearing->crashed, &opts, look_away, NULL, NULL);
	(void)tether_continue(hearing->crashed);
	tether_release(hearing->crashed);
	hearing->crashed = NULL;
}

static void count_hit(const struct tether_hit *hit, void *data)
{
	(void)hit;
	++*(unsigned *)data;
}

static void count_call(const struct tether_call *call, void *data)
{
	if (call->kind == TETHER_CALL)
		(void)tether_call_stack(call, TETHER_SNAPSHOT_NO_NAMES, look_away, NULL);
	++*(unsigned *)data;
}

/* One is there only for a while. A failure is clean, or its victim will tell. */
static void add_breakpoints(struct tether *victim, unsigned *told)
{
	struct tether_breakpoint_opts opts[] = {
		{ .where = "a.out:site_*", .handler = count_hit },
		{ .where = "*harm-plugin*:plugin_answer", .call = count_call, .flags = TETHER_BREAKPOINT_RETURN },
		{ .where = "a.out:site_push", .call = count_call,
		  .flags = TETHER_BREAKPOINT_RETURN | TETHER_BREAKPOINT_STACK },
		{ .where = "a.out:site_*", .flags = TETHER_BREAKPOINT_COUNT | TETHER_BREAKPOINT_RETURN | TETHER_BREAKPOINT_LATENCY },
		{ .where = "a.out:run_*", .flags = TETHER_BREAKPOINT_COUNT },
	};
	struct tether_breakpoint *breakpoint;

	for (size_t i = 0; i < sizeof(opts) / sizeof(opts[0]); i++) {
		struct tether_error error = TETHER_ERROR_INIT;
		int result;

		opts[i].size = sizeof(opts[i]);
		opts[i].data = told;
		result = tether_breakpoint_add(victim, &opts[i], &breakpoint, &error);
		if (result)
			printf("breakpoint: %s (%d) %s\n", tether_error_name(result), result, error.message);
		else if (i == 0)
			(void)tether_breakpoint_remove(breakpoint);
	}
}

int main(int argc, char **argv)
{
	struct tether_error error = TETHER_ERROR_INIT;
	struct hearing hearing = { .pid = 0 };
	struct tether_session *session;
	struct scoreboard *board;
	struct timespec now, start;
	struct tether *victim;
	unsigned turn = 0, told = 0;
	int result;

	if (argc < 4)
		return 2;
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED, atoi(argv[1]), 0);
	if (board == MAP_FAILED)
		return 2;
	result = tether_session_open(NULL, &session, &error);
	if (result) {
		printf("session: %s\n", error.message);
		return EXIT_CLEAN_FAILURE;
	}
	tether_session_set_handler(session, on_event, &hearing);
	result = take(session, argc, argv, &victim, &error);
	if (result)
		return failed(session, argv[2], result, &error);
	hearing.pid = tether_pid(victim);
	result = process_plant(victim, board->site, board->sites);
	if (result)
		printf("plant: %s\n", tether_error_name(result));
	if (getenv("INJECT_CALLS"))
		add_breakpoints(victim, &told);
	result = tether_continue(victim);
	if (result)
		printf("continue: %s\n", tether_error_name(result));
	atomic_store(&board->begin, 1);
	clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		take_stacks(victim, turn++);
		tether_dispatch(session, 2);
		end_crash(&hearing);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (!atomic_load(&board->done) && !hearing.over &&
		 (now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < SCRIPT_MS);
	result = tether_release(victim);
	if (result)
		return failed(session, "release", result, NULL);
	result = tether_session_close(session);
	if (result)
		printf("close: %s\n", tether_error_name(result));
	return hearing.lost ? EXIT_LOST : 0;
}
