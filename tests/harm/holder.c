/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * harm/holder.c - a client that holds one victim under traps until something ends it
 *
 *	harm-holder [OPTION...] grab PID | create FILE ARG...
 *
 * Words on stdout tell how far it is (one line each, unbuffered); letters on stdin tell it to end:
 *	r  tether_release(), then wait      c  tether_session_close(), then wait      q  exit without either
 * With --parks it has the victim parked and continues it all the time, and looks at each park whether it stands and
 * its text equals the file.
 * With --stacks it takes snapshots of the victim's stacks all the time, together and one thread after the other.
 * With --events it has the stack of each event that can have one, looks at some of them, and what is about to crash parks: it takes
 * its stacks then, and mostly lets it go on.
 * With --probes its sites are public breakpoints, with --calls calls and returns of its functions; they come and go all the time.
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
#include <time.h>
#include <unistd.h>

#include <tether/tether.h>

#include "judge.h"
#include "probing.h"
#include "process/park.h"
#include "process/plant.h"

enum {
	PARK_MS = 5000,    /* until it stands, on a busy machine */
	RUN_US = 2048,     /* at most, between two parks */
	LOOK_EVERY = 8,    /* how often a trap is looked for between two parks */
	NO_PARK = -1000000 /* no code of the library */
};

struct holder {
	struct tether_session *session;
	struct tether *victim;
	struct scoreboard *board;
	int64_t pid;   /* of the victim, once known */
	bool over;     /* it exited or was lost */
	uint64_t late; /* late-answer events */
	uint32_t flags, stop, mode, question_ms;
	bool forks;
	bool stacks;         /* take its stacks all the time */
	struct probing probing; /* with a board: public breakpoints, that come and go */
	bool parks;          /* park and continue it all the time */
	uint64_t random;     /* how long it runs between two parks */
	bool awaits_park;    /* asked for, not there yet */
	uint64_t next_ns;    /* of the next park, or the last moment for this one */
	unsigned park_count;
	uint64_t kinds;      /* of events that come with a stack */
	uint64_t crash_ns;   /* when to look at one that stands at its crash; 0: none does */
	struct tether *crashed; /* owned */
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

static int look_away(const struct tether_stack *stack, void *data)
{
	(void)stack;
	(void)data;
	return 0;
}

/* Names are looked up for some: that takes longer than all else. */
static void look_at_event(struct holder *holder, const struct tether_event *event)
{
	uint64_t bits = random_next(&holder->random);

	if (event->stack && !tether_event_stack(event, bits & 7 ? TETHER_SNAPSHOT_NO_NAMES : 0, look_away, NULL))
		atomic_fetch_add(&holder->board->stacks, 1);
	if (event->kind == TETHER_EVENT_CRASH && event->process && !holder->crashed) {
		holder->crashed = tether_ref(event->process);
		holder->crash_ns = now_ns() + (bits >> 8) % RUN_US * 1000;
	}
}

static void on_event(const struct tether_event *event, void *data)
{
	struct holder *holder = data;

	if (holder->kinds)
		look_at_event(holder, event);
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
	struct tether_error error = TETHER_ERROR_INIT;
	int result = 0;

	holder->probing.victim = holder->victim;
	if (holder->probing.board)
		result = probing_begin(&holder->probing, &error);
	else if (holder->board->sites)
		result = process_plant(holder->victim, holder->board->site, holder->board->sites);
	/* A victim that is gone already is no failure of planting. */
	if (result && result != -TETHER_EGONE && result != -TETHER_ELOST)
		fail("plant", result, &error);
}

static bool is_parked(const struct holder *holder)
{
	struct tether_info info = { .size = sizeof(info) };

	return !tether_info_get(holder->victim, &info) && info.state == TETHER_STATE_PARKED;
}

/*
 * It stands: no byte of its text may differ from the file, though sites are planted, and no worker may move. Once its
 * judge is about to end the hold it may be let go any moment, by others than us.
 */
static void look_at_park(const struct holder *holder)
{
	struct scoreboard *board = holder->board;
	uint64_t before[BOARD_WORKERS];
	char where[640] = "", line[800];
	unsigned moved = 0;
	long different;

	for (unsigned i = 0; i < board->workers; i++)
		before[i] = atomic_load(&board->progress[i]);
	different = judge_text_difference((pid_t)holder->pid, where, sizeof(where));
	for (unsigned i = 0; i < board->workers; i++)
		moved += atomic_load(&board->progress[i]) != before[i];
	/* -1: it has ended, as one may that had crashed before it was held. Who judges it sees whether that is right. */
	if (atomic_load(&board->ending) || holder->over || different < 0)
		return;
	if (different || moved) {
		int length = snprintf(line, sizeof(line), "unpark %u moved, %ld differ: %s\n", moved, different,
				      where);

		if (write(STDOUT_FILENO, line, (size_t)length) < 0)
			_exit(4);
		return;
	}
	atomic_fetch_add(&board->parks, 1);
}

static void take_by_grab(struct holder *holder, int64_t pid)
{
	struct tether_grab_opts opts = { .size = sizeof(opts),
					 .flags = holder->flags,
					 .mode = holder->mode,
					 .timeout_ms = 10000,
					 .stacks = holder->kinds };
	struct tether_error error = TETHER_ERROR_INIT;
	int result = tether_grab(holder->session, pid, &opts, &holder->victim, &error);

	if (result)
		fail("grab", result, &error);
	holder->pid = pid;
	plant_all(holder);
	if (holder->flags & TETHER_NO_PARK)
		return;
	if (is_parked(holder))
		look_at_park(holder);
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
					   .mode = holder->mode,
					   .stacks = holder->kinds };
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
	if (is_parked(holder))
		look_at_park(holder);
	tether_continue(holder->victim);
}

static void obey(struct holder *holder, char letter)
{
	/* Else the hold would go on, and it would stand: as long as anybody has a handle. */
	if (holder->crashed)
		tether_release(holder->crashed);
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

/* That it has gone is told by an event, or was ordered by the judge. */
static void must_work(const struct holder *holder, const char *what, int result)
{
	if (result && result != -TETHER_EGONE && result != -TETHER_ELOST && !atomic_load(&holder->board->ending))
		fail(what, result, NULL);
}

static void end_park(struct holder *holder)
{
	char where[640];

	look_at_park(holder);
	must_work(holder, "continue", tether_continue(holder->victim));
	/* Without a trap in it, whole text at the parks would prove nothing. */
	if (holder->park_count++ % LOOK_EVERY == 0 &&
	    judge_text_difference((pid_t)holder->pid, where, sizeof(where)) > 0)
		atomic_fetch_add(&holder->board->traps_seen, 1);
	holder->awaits_park = false;
	/* Every fourth park meets the end of the one before. */
	uint64_t bits = random_next(&holder->random);
	holder->next_ns = now_ns() + (bits & 3 ? (bits >> 2) % RUN_US * 1000 : 0);
}

/* What is next to do about parks. Orders are looked at between any two of its steps, and end it at any of them. */
static void move_on(struct holder *holder)
{
	uint64_t now = now_ns();

	if (holder->over || atomic_load(&holder->board->ending))
		return;
	if (is_parked(holder)) {
		end_park(holder);
	} else if (now >= holder->next_ns && holder->awaits_park) {
		/* The last look: it may have stood for a while, and this process not have run. */
		if (!is_parked(holder))
			must_work(holder, "it does not park", NO_PARK);
	} else if (now >= holder->next_ns) {
		must_work(holder, "park", process_park(holder->victim));
		holder->awaits_park = true;
		holder->next_ns = now_ns() + PARK_MS * UINT64_C(1000000);
	}
}

/* Every fourth snapshot meets the end of the one before. */
static void take_stacks(struct holder *holder)
{
	struct tether_snapshot_opts opts = { .size = sizeof(opts), .flags = TETHER_SNAPSHOT_NO_NAMES };
	uint64_t bits = random_next(&holder->random);
	int result;

	if (holder->over || atomic_load(&holder->board->ending) || now_ns() < holder->next_ns)
		return;
	opts.manner = bits & 1 ? TETHER_ROLLING : TETHER_TOGETHER;
	opts.flags |= bits >> 62 & 1 ? TETHER_SNAPSHOT_SPARE_BLOCKED : 0;
	result = tether_snapshot(holder->victim, &opts, look_away, NULL, NULL);
	/* One that executes other programs all the time may never be caught in one. */
	if (result != -TETHER_ESTATE)
		must_work(holder, "take stacks", result);
	if (!result)
		atomic_fetch_add(&holder->board->snapshots, 1);
	holder->next_ns = now_ns() + (bits & 6 ? (bits >> 3) % RUN_US * 1000 : 0);
}

static void change_breakpoints(struct holder *holder)
{
	uint64_t bits = random_next(&holder->random);

	if (holder->over || atomic_load(&holder->board->ending) || now_ns() < holder->next_ns)
		return;
	must_work(holder, "change breakpoints", probing_change(&holder->probing));
	holder->next_ns = now_ns() + (bits & 3 ? (bits >> 2) % RUN_US * 1000 : 0);
}

static bool stands_at_crash(const struct holder *holder)
{
	struct tether_info info = { .size = sizeof(info) };

	return !tether_info_get(holder->crashed, &info) && info.state == TETHER_STATE_PARKED;
}

/* It stands until this lets it go on, which is not always. Whoever is gone, or let go by now, is no failure. */
static void look_at_crash(struct holder *holder)
{
	struct tether_snapshot_opts opts = { .size = sizeof(opts), .flags = TETHER_SNAPSHOT_NO_NAMES };
	uint64_t bits = random_next(&holder->random);

	if (!holder->crash_ns || now_ns() < holder->crash_ns)
		return;
	holder->crash_ns = 0;
	if (bits & 1 && !tether_snapshot(holder->crashed, &opts, look_away, NULL, NULL) && stands_at_crash(holder))
		atomic_fetch_add(&holder->board->parks, 1);
	if (bits & 6)
		tether_continue(holder->crashed);
	tether_release(holder->crashed);
	holder->crashed = NULL;
}

/* Until something is due; false for never. */
static bool due_in(const struct holder *holder, struct timespec *ret)
{
	uint64_t next = holder->crash_ns ? holder->crash_ns : holder->next_ns;
	uint64_t now = now_ns(), left = next > now ? next - now : 0;

	*ret = (struct timespec){ .tv_sec = (time_t)(left / 1000000000), .tv_nsec = (long)(left % 1000000000) };
	if (holder->crash_ns)
		return true;
	return (holder->parks || holder->stacks || holder->probing.board) && !holder->over && !atomic_load(&holder->board->ending);
}

static void serve(struct holder *holder)
{
	struct pollfd polls[] = { { .fd = STDIN_FILENO, .events = POLLIN },
				  { .fd = tether_fd(holder->session), .events = POLLIN } };

	for (;;) {
		struct timespec left;
		bool due = due_in(holder, &left);

		if (ppoll(polls, 2, due ? &left : NULL, NULL) < 0 && errno != EINTR)
			fail("poll", -errno, NULL);
		if (polls[1].revents)
			tether_dispatch(holder->session, 0);
		if (polls[0].revents) {
			char letter = 'q';

			if (read(STDIN_FILENO, &letter, 1) <= 0)
				letter = 'q';
			obey(holder, letter);
		}
		if (holder->parks)
			move_on(holder);
		if (holder->stacks)
			take_stacks(holder);
		if (holder->probing.board)
			change_breakpoints(holder);
		look_at_crash(holder);
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
		{ "parks", required_argument, NULL, 'p' }, { "stacks", required_argument, NULL, 't' },
		{ "events", required_argument, NULL, 'e' },
		{ "probes", required_argument, NULL, 'B' }, { "calls", required_argument, NULL, 'C' },
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
		case 'e':
			holder->kinds = TETHER_EVENTS_WITH_STACK;
			holder->flags |= TETHER_PARK_ON_CRASH;
			holder->random = strtoull(optarg, NULL, 0);
			break;
		case 'C':
			holder->probing.calls = true;
			/* fall through */
		case 'B':
			holder->probing.board = holder->board; /* which comes first */
			holder->random = holder->probing.random = strtoull(optarg, NULL, 0);
			break;
		case 't':
			holder->stacks = true;
			holder->random = strtoull(optarg, NULL, 0);
			break;
		case 'p':
			holder->parks = true;
			holder->random = strtoull(optarg, NULL, 0);
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
