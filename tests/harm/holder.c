/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * harm/holder.c - a client that holds one victim under traps until something ends it
 *
 *	harm-holder [OPTION...] grab PID | create FILE ARG...
 *
 * Words on stdout tell how far it is (one line each, unbuffered); letters on stdin tell it to end:
 *	r  tether_release(), then wait      c  tether_session_close(), then wait      q  exit without either
 * It has no signal handlers: SIGTERM and SIGINT kill it as they kill any client.
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <tether/tether.h>

#include "process/plant.h"
#include "scoreboard.h"

struct holder {
	struct tether_session *session;
	struct tether *victim;
	struct scoreboard *board;
	int64_t pid;   /* of the victim, once known */
	bool over;     /* it exited or was lost */
	uint64_t late; /* late-answer events */
	uint32_t flags, stop, mode, question_ms;
	bool forks;
};

static void say(const char *word, long long value)
{
	char line[64];
	int length = snprintf(line, sizeof(line), "%s %lld\n", word, value);

	if (write(STDOUT_FILENO, line, (size_t)length) < 0)
		_exit(4); /* nobody listens any more */
}

static _Noreturn void fail(const char *what, int code, const struct tether_error *error)
{
	char line[1024];
	int length = snprintf(line, sizeof(line), "failed %d %s: %s\n", code, what,
			      error && error->message[0] ? error->message : tether_strerror(code));

	if (write(STDOUT_FILENO, line, (size_t)length) < 0)
		_exit(4);
	_exit(3);
}

static void on_event(const struct tether_event *event, void *data)
{
	struct holder *holder = data;

	if (event->kind == TETHER_EVENT_LATE_ANSWER) {
		if (!holder->late++)
			say("late", (long long)event->u.late.waited_ns);
		return;
	}
	if (!holder->pid || event->pid != holder->pid)
		return;
	if (event->kind == TETHER_EVENT_LOST) {
		holder->over = true;
		say("lost", event->pid);
	} else if (event->kind == TETHER_EVENT_EXIT) {
		holder->over = true;
		say("exit", event->u.exit.signal ? event->u.exit.signal : event->u.exit.code);
	} else if (event->kind == TETHER_EVENT_RELEASE) {
		holder->over = true;
		say("release", event->u.release.mode);
	}
}

/* A child that lives on with whatever it has inherited of the session. */
static void leave_child(void)
{
	pid_t child = fork();

	if (child == 0) {
		/* Said by itself: its parent may be killed before it can. */
		say("child", getpid());
		close(STDIN_FILENO);
		close(STDOUT_FILENO);
		for (;;)
			pause();
	}
}

static void plant_all(struct holder *holder)
{
	int result;

	if (!holder->board->sites)
		return;
	result = process_plant(holder->victim, holder->board->site, holder->board->sites);
	/* A victim that is gone already is no failure of planting. */
	if (result && result != -TETHER_EGONE && result != -TETHER_ELOST)
		fail("plant", result, NULL);
}

static void take_by_grab(struct holder *holder, int64_t pid)
{
	struct tether_grab_opts opts = {
		.size = sizeof(opts), .flags = holder->flags, .mode = holder->mode, .timeout_ms = 10000
	};
	struct tether_error error = TETHER_ERROR_INIT;
	int result = tether_grab(holder->session, pid, &opts, &holder->victim, &error);

	if (result)
		fail("grab", result, &error);
	holder->pid = pid;
	plant_all(holder);
	if (!(holder->flags & TETHER_NO_PARK))
		tether_continue(holder->victim);
}

/* Sites are known at main; a victim that does not stop there is planted as soon as it says them. */
static void take_by_create(struct holder *holder, char **argv)
{
	struct tether_create_opts opts = { .size = sizeof(opts),
					   .file = argv[0],
					   .argv = argv,
					   .flags = holder->flags,
					   .stop = holder->stop,
					   .mode = holder->mode };
	struct tether_error error = TETHER_ERROR_INIT;
	int result = tether_create(holder->session, &opts, &holder->victim, &error);

	if (result)
		fail("create", result, &error);
	holder->pid = tether_pid(holder->victim);
	if (holder->stop == TETHER_STOP_CREATE || holder->stop == TETHER_STOP_PREINIT)
		tether_continue(holder->victim);
	while (!atomic_load(&holder->board->sites_known) && !holder->over)
		tether_dispatch(holder->session, 1);
	plant_all(holder);
	tether_continue(holder->victim);
}

static void obey(struct holder *holder, char letter)
{
	if (letter == 'r')
		say("released", tether_release(holder->victim));
	else if (letter == 'c')
		say("closed", tether_session_close(holder->session));
	else
		_exit(0);
	/* Whoever gave the order looks at the victim now, with this client still alive. */
	for (;;)
		if (read(STDIN_FILENO, &letter, 1) <= 0 || letter == 'q')
			_exit(0);
}

static void serve(struct holder *holder)
{
	struct pollfd polls[] = { { .fd = STDIN_FILENO, .events = POLLIN },
				  { .fd = tether_fd(holder->session), .events = POLLIN } };

	for (;;) {
		if (poll(polls, 2, -1) < 0 && errno != EINTR)
			fail("poll", -errno, NULL);
		if (polls[1].revents)
			tether_dispatch(holder->session, 0);
		if (polls[0].revents) {
			char letter = 'q';

			if (read(STDIN_FILENO, &letter, 1) <= 0)
				letter = 'q';
			obey(holder, letter);
		}
	}
}

static uint32_t stop_by_name(const char *name)
{
	static const char *const names[] = { [TETHER_STOP_CREATE] = "create",
					     [TETHER_STOP_PREINIT] = "preinit",
					     [TETHER_STOP_POSTINIT] = "postinit",
					     [TETHER_STOP_MAIN] = "main",
					     [TETHER_STOP_NONE] = "none" };

	for (uint32_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(names[i], name))
			return i;
	exit(2);
}

static int parse(struct holder *holder, int argc, char **argv)
{
	static const struct option options[] = {
		{ "board", required_argument, NULL, 'b' }, { "no-park", no_argument, NULL, 'n' },
		{ "no-follow", no_argument, NULL, 'f' },   { "run", no_argument, NULL, 'r' },
		{ "stop", required_argument, NULL, 's' },  { "question", required_argument, NULL, 'q' },
		{ "fork", no_argument, NULL, 'c' },        { "hang", no_argument, NULL, 'h' },
		{ 0 }
	};

	for (int option; (option = getopt_long(argc, argv, "+", options, NULL)) != -1;)
		switch (option) {
		case 'b':
			holder->board = mmap(NULL, sizeof(*holder->board), PROT_READ | PROT_WRITE, MAP_SHARED,
					     atoi(optarg), 0);
			break;
		case 'n':
			holder->flags |= TETHER_NO_PARK;
			break;
		case 'f':
			holder->flags |= TETHER_NO_FOLLOW;
			break;
		case 'r':
			holder->mode = TETHER_MODE_RUN;
			break;
		case 'h':
			holder->mode = TETHER_MODE_HANG;
			break;
		case 's':
			holder->stop = stop_by_name(optarg);
			break;
		case 'q':
			holder->question_ms = (uint32_t)atoi(optarg);
			break;
		case 'c':
			holder->forks = true;
			break;
		default:
			exit(2);
		}
	if (!holder->board || holder->board == MAP_FAILED || argc - optind < 2)
		exit(2);
	return optind;
}

int main(int argc, char **argv)
{
	struct holder holder = { .stop = TETHER_STOP_MAIN };
	struct tether_session_opts opts = { .size = sizeof(opts) };
	struct tether_info info = { .size = sizeof(info) };
	struct tether_error error = TETHER_ERROR_INIT;
	int first = parse(&holder, argc, argv);
	int result;

	opts.question_ms = holder.question_ms;
	result = tether_session_open(&opts, &holder.session, &error);
	if (result)
		fail("session", result, &error);
	tether_session_set_handler(holder.session, on_event, &holder);
	if (holder.forks)
		leave_child();
	if (!strcmp(argv[first], "grab"))
		take_by_grab(&holder, atoll(argv[first + 1]));
	else
		take_by_create(&holder, argv + first + 1);
	if (holder.forks)
		leave_child();
	if (!tether_info_get(holder.victim, &info))
		say("controller", info.controller);
	say("held", holder.pid);
	serve(&holder);
}
