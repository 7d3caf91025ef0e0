/* SPDX-License-Identifier: BSD-2-Clause */
#include "trial.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "family.h"

enum {
	HELD_MS = 15000,  /* for a client to say "held" on a busy machine */
	ORDER_MS = 10000, /* for release and close to return */
	SNAPSHOT_MS = 3000, /* for the first snapshot; not all get one */
	GONE_MS = 4000,   /* for the controller to end after its client */
	SETTLE_MS = 2000, /* for the last thread to be untraced */
	EXIT_MS = 5000,   /* for the victim to end when told to */
	EARLY_US = 8000,
	CRASH_US = 6000, /* from the crash to the ending */
	LATE_US = 40000,
	QUESTION_MS = 300,       /* ENDING_FROZEN: the deadline of a question */
	QUESTION_SLACK_MS = 250, /* two CPUs, up to nine busy threads */
	FROZEN_MS = 1200,
	USUAL_MS = 300,
	MAX_FORKED = 4,
};

struct scene {
	const struct lab *lab;
	const struct trial *trial;
	struct outcome *outcome;
	struct scoreboard *board;
	int board_fd;
	pid_t victim;      /* child of ours when grabbed, else as the scoreboard says; 0: not known */
	bool victim_ended; /* reaped by us */
	int victim_status;
	pid_t client, controller;
	bool client_ended;
	int client_status;
	int orders, words; /* pipes to and from the client */
	char line[2048];
	size_t line_length;
	char failure[1024]; /* what the client said before it gave up */
	bool lost, late;    /* what the client said of its victim */
	pid_t forked[MAX_FORKED];
	unsigned forked_count;
	struct signal_state signals;
	int crash_status; /* trial.crashes: what it ends with when nobody holds it */
};

static const char *const hold_names[][2] = {
#define X(name, text, what) [HOLD_##name] = { text, what },
	HOLDS(X)
#undef X
};
static const char *const ending_names[][2] = {
#define X(name, text, what) [ENDING_##name] = { text, what },
	ENDINGS(X)
#undef X
};

const char *hold_name(enum hold hold)
{
	return hold_names[hold][0];
}

const char *hold_text(enum hold hold)
{
	return hold_names[hold][1];
}

const char *ending_name(enum ending ending)
{
	return ending_names[ending][0];
}

const char *ending_text(enum ending ending)
{
	return ending_names[ending][1];
}

static bool is_grabbed(const struct trial *trial)
{
	return trial->hold == HOLD_GRAB || trial->hold == HOLD_HANG;
}

/* splitmix64 */
uint64_t random_next(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

#define blame(scene, harm, ...) finding_add(&(scene)->outcome->finding, harm, __VA_ARGS__)

/* ---- processes ----------------------------------------------------------------------------------------- */

static bool is_forked(const struct scene *scene, pid_t pid)
{
	for (unsigned i = 0; i < scene->forked_count; i++)
		if (scene->forked[i] == pid)
			return true;
	return false;
}

static void reap(struct scene *scene)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0) {
		if (pid == scene->victim) {
			scene->victim_ended = true;
			scene->victim_status = status;
		}
		if (pid == scene->client) {
			scene->client_ended = true;
			scene->client_status = status;
		}
	}
}

/* Wait until no child is left but those that may be: the victim, its plain parent, forked children of the
 * client. */
static void hear_rest(struct scene *scene);

static bool await_nobody(struct scene *scene, bool victim_may_live, unsigned bound_ms)
{
	uint64_t end = now_ns() + bound_ms * UINT64_C(1000000);

	for (;;) {
		pid_t list[MAX_CHILDREN];
		unsigned count, left = 0;

		reap(scene);
		/* A child of the client may tell of itself after the client's end. */
		hear_rest(scene);
		count = family_children(list, MAX_CHILDREN);
		for (unsigned i = 0; i < count; i++)
			left += !is_forked(scene, list[i]) && !(victim_may_live && list[i] == scene->victim);
		if (!left)
			return true;
		if (now_ns() > end)
			return false;
		pause_us(100);
	}
}

static void describe_left(struct scene *scene)
{
	pid_t list[MAX_CHILDREN];
	unsigned count = family_children(list, MAX_CHILDREN);
	char what[96];

	for (unsigned i = 0; i < count; i++)
		if (list[i] != scene->victim && !is_forked(scene, list[i]))
			blame(scene, HARM_LEFT, "left over: %d (%s)", list[i],
			      family_describe(list[i], what, sizeof(what)));
}

static bool await_flag(struct scene *scene, _Atomic uint32_t *flag, unsigned bound_ms)
{
	uint64_t end = now_ns() + bound_ms * UINT64_C(1000000);

	while (!atomic_load(flag)) {
		reap(scene);
		if (scene->victim_ended || now_ns() > end)
			return false;
		pause_us(200);
	}
	return true;
}

/* ---- the client ---------------------------------------------------------------------------------------- */

static void hear(struct scene *scene, const char *line)
{
	long long value = 0;
	char word[32] = "";

	sscanf(line, "%31s %lld", word, &value);
	if (scene->lab->verbose)
		fprintf(stderr, "# client: %s\n", line);
	if (!strcmp(word, "controller"))
		scene->controller = (pid_t)value;
	else if (!strcmp(word, "child") && scene->forked_count < MAX_FORKED)
		scene->forked[scene->forked_count++] = (pid_t)value;
	else if (!strcmp(word, "held"))
		scene->outcome->held = true;
	else if (!strcmp(word, "failed"))
		snprintf(scene->failure, sizeof(scene->failure), "%.*s", (int)sizeof(scene->failure) - 1,
			 line);
	else if (!strcmp(word, "lost") || !strcmp(word, "exit") || !strcmp(word, "release"))
		scene->lost = true;
	else if (!strcmp(word, "late"))
		scene->late = true;
	else if (!strcmp(word, "unpark"))
		blame(scene, HARM_PARK, "parked, %s", line + strlen("unpark "));
}

/* Hear the client until it says a line that begins with word; false at its end or after bound_ms. */
static bool await_word(struct scene *scene, const char *word, unsigned bound_ms)
{
	uint64_t end = now_ns() + bound_ms * UINT64_C(1000000);

	for (;;) {
		char *newline = memchr(scene->line, '\n', scene->line_length);
		struct pollfd poll_words = { .fd = scene->words, .events = POLLIN };
		int64_t left;
		ssize_t length;

		if (newline) {
			bool found;

			*newline = '\0';
			hear(scene, scene->line);
			found = !strncmp(scene->line, word, strlen(word));
			scene->line_length -= (size_t)(newline + 1 - scene->line);
			memmove(scene->line, newline + 1, scene->line_length);
			if (found)
				return true;
			continue;
		}
		left = (int64_t)(end - now_ns()) / 1000000;
		if (left < 0 || poll(&poll_words, 1, (int)left) <= 0)
			return false;
		if (scene->line_length == sizeof(scene->line))
			scene->line_length = 0;
		length = read(scene->words, scene->line + scene->line_length,
			      sizeof(scene->line) - scene->line_length);
		if (length <= 0)
			return false;
		scene->line_length += (size_t)length;
	}
}

/* Hear what it has said so far. */
static void hear_rest(struct scene *scene)
{
	await_word(scene, "\n", 0);
}

static void order(struct scene *scene, char letter)
{
	reap(scene);
	if (scene->client_ended)
		blame(scene, HARM_SILENT, "the client ended with status 0x%x before its order '%c'",
		      scene->client_status, letter);
	else if (write(scene->orders, &letter, 1) != 1)
		blame(scene, HARM_SILENT, "the client does not take its order '%c'", letter);
}

static void start_client(struct scene *scene, uint64_t *random)
{
	static const char *const stops[] = { "main", "create", "none", "preinit" };
	const struct lab *lab = scene->lab;
	char board[16], pid[16], question[16], parks[32];
	char *argv[24];
	unsigned n = 0;
	int in[2], out[2];
	uint64_t bits = random_next(random);

#define PUT(word) (argv[n++] = (char *)(uintptr_t)(word))
	snprintf(board, sizeof(board), "%d", scene->board_fd);
	snprintf(pid, sizeof(pid), "%d", scene->victim);
	snprintf(question, sizeof(question), "%d", QUESTION_MS);
	PUT(lab->holder);
	PUT("--board");
	PUT(board);
	if (scene->trial->ending == ENDING_FROZEN) {
		PUT("--question");
		PUT(question);
	} else if (bits & 1) {
		PUT("--no-follow");
	}
	if (scene->trial->ending == ENDING_FORKED)
		PUT("--fork");
	if (scene->trial->parks) {
		snprintf(parks, sizeof(parks), "%lu", bits);
		PUT("--parks");
		PUT(parks);
	}
	if (scene->trial->stacks) {
		snprintf(parks, sizeof(parks), "%lu", bits);
		PUT("--stacks");
		PUT(parks);
	}
	if (scene->trial->events) {
		snprintf(parks, sizeof(parks), "%lu", bits);
		PUT("--events");
		PUT(parks);
	}
	if (scene->trial->probes)
		PUT("--probes");
	if (is_grabbed(scene->trial)) {
		if (scene->trial->hold == HOLD_HANG)
			PUT("--hang");
		if (bits & 2)
			PUT("--no-park");
		PUT("grab");
		PUT(pid);
	} else {
		if (scene->trial->hold == HOLD_RUN)
			PUT("--run");
		PUT("--stop");
		PUT(stops[bits >> 2 & 3]);
		PUT("create");
		PUT(lab->victim);
		PUT(board);
		PUT(scene->trial->kind);
		PUT(lab->tiny);
		PUT(lab->plugin[0]);
		PUT(lab->plugin[1]);
	}
	PUT(NULL);
#undef PUT
	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
		abort();
	scene->client = family_start(argv, in[0], out[1]);
	close(in[0]);
	close(out[1]);
	scene->orders = in[1];
	scene->words = out[0];
}

/* ---- endings ------------------------------------------------------------------------------------------- */

static void end_by_order(struct scene *scene, char letter, const char *answer)
{
	order(scene, letter);
	if (!scene->client_ended && !await_word(scene, answer, ORDER_MS))
		blame(scene, HARM_SILENT, "no '%s' within %d ms %s", answer, ORDER_MS, scene->failure);
	/* Whether it let go is judged now; whether it leaves anything behind, after it has ended. */
}

static void end_controller(struct scene *scene, int signal)
{
	if (!scene->controller) {
		blame(scene, HARM_SILENT, "the client names no controller");
		return;
	}
	kill(scene->controller, signal);
	for (uint64_t end = now_ns() + UINT64_C(3000000000); !scene->lost && now_ns() < end;)
		await_word(scene, "lost", 50);
	if (!scene->lost)
		blame(scene, HARM_SILENT, "the client never heard that its hold is gone");
}

/* The longest time that a worker stood still. */
static uint64_t longest_gap(const struct scene *scene)
{
	struct scoreboard *board = scene->board;
	uint64_t result = 0;

	for (unsigned i = 0; i < board->workers; i++) {
		uint64_t gap = atomic_exchange(&board->gap_ns[i], 0);

		if (gap > result)
			result = gap;
	}
	return result;
}

/* What the machine does to the victim anyway is measured first, with the client awake. */
static void freeze_client(struct scene *scene)
{
	struct scoreboard *board = scene->board;
	uint64_t usual, longest, bound;

	atomic_store(&board->measure, 1);
	pause_us(USUAL_MS * 1000);
	usual = longest_gap(scene);
	bound = (QUESTION_MS + QUESTION_SLACK_MS) * UINT64_C(1000000) + 3 * usual;
	kill(scene->client, SIGSTOP);
	longest_gap(scene);
	pause_us(FROZEN_MS * 1000);
	longest = longest_gap(scene);
	if (!judge_progress(board, atomic_load(&board->pid), (unsigned)(bound / 1000000)))
		blame(scene, HARM_STALLED, "a worker does not move while the client stands still");
	scene->outcome->longest_gap_ns = longest;
	if (longest > bound)
		blame(scene, HARM_STALLED,
		      "a worker stood still for %lu ms with questions of %d ms, usually %lu ms",
		      longest / 1000000, QUESTION_MS, usual / 1000000);
	kill(scene->client, SIGCONT);
	end_by_order(scene, 'r', "released");
}

static void end_hold(struct scene *scene)
{
	switch (scene->trial->ending) {
	case ENDING_KILL:
	case ENDING_FORKED:
		kill(scene->client, SIGKILL);
		break;
	case ENDING_TERM:
		kill(scene->client, SIGTERM);
		break;
	case ENDING_INT:
		kill(scene->client, SIGINT);
		break;
	case ENDING_RELEASE:
		end_by_order(scene, 'r', "released");
		break;
	case ENDING_CLOSE:
		end_by_order(scene, 'c', "closed");
		break;
	case ENDING_EXIT:
		order(scene, 'q');
		break;
	case ENDING_CONTROLLER_TERM:
		end_controller(scene, SIGTERM);
		break;
	case ENDING_CONTROLLER_KILL:
		end_controller(scene, SIGKILL);
		break;
	case ENDING_FROZEN:
		freeze_client(scene);
		break;
	case ENDING_COUNT:
		break;
	}
}

/* Does this ending come from outside at any moment, or is it an order that a holding client obeys? */
static bool may_be_early(enum ending ending)
{
	return ending == ENDING_KILL || ending == ENDING_TERM || ending == ENDING_INT ||
	       ending == ENDING_FORKED;
}

/* Does the client live on after the ending? Then it is judged with it alive first, and it is told to end. */
static bool client_survives(enum ending ending)
{
	return ending == ENDING_RELEASE || ending == ENDING_CLOSE || ending == ENDING_CONTROLLER_TERM ||
	       ending == ENDING_CONTROLLER_KILL || ending == ENDING_FROZEN;
}

/* ---- the judgement ------------------------------------------------------------------------------------- */

static void finish_grabbed(struct scene *scene)
{
	uint64_t end;

	atomic_store(&scene->board->stop, 1);
	end = now_ns() + EXIT_MS * UINT64_C(1000000);
	do {
		reap(scene);
		if (!scene->victim_ended)
			pause_us(200);
	} while (!scene->victim_ended && now_ns() < end);
	if (!scene->victim_ended)
		blame(scene, HARM_STUCK, "did not end within %d ms", EXIT_MS);
	else if (scene->victim_status)
		blame(scene, WIFSIGNALED(scene->victim_status) ? HARM_DIED : HARM_WRONG,
		      "ended with status 0x%x, %lu errors, last 0x%x", scene->victim_status,
		      atomic_load(&scene->board->errors), atomic_load(&scene->board->last_error));
}

/* Held or not, it ends, and with nothing but its own signal and core. */
static void judge_crashed(struct scene *scene)
{
	uint64_t end = now_ns() + EXIT_MS * UINT64_C(1000000);

	for (reap(scene); !scene->victim_ended && now_ns() < end; reap(scene))
		pause_us(200);
	if (!scene->victim_ended)
		blame(scene, HARM_STUCK, "it has crashed and did not end within %d ms", EXIT_MS);
	else if (scene->victim_status != scene->crash_status)
		blame(scene, HARM_WRONG, "ended with status 0x%x, not 0x%x", scene->victim_status, scene->crash_status);
}

static void judge_grabbed(struct scene *scene)
{
	if (scene->trial->crashes) {
		judge_crashed(scene);
		return;
	}
	reap(scene);
	if (scene->victim_ended) {
		blame(scene, HARM_DIED, "ended with status 0x%x", scene->victim_status);
		return;
	}
	judge_living(&scene->outcome->finding, scene->victim, scene->board, &scene->signals, SETTLE_MS);
	reap(scene);
	if (scene->victim_ended)
		blame(scene, HARM_DIED, "ended with status 0x%x", scene->victim_status);
}

/*
 * Created in mode run. Killed early, the client may have made none, or one that had not reached its exec:
 * that one must still become a whole victim or never have been.
 */
static void judge_created_living(struct scene *scene)
{
	uint64_t end = now_ns() + GONE_MS * UINT64_C(1000000);
	pid_t list[MAX_CHILDREN];

	while (!atomic_load(&scene->board->ready) && now_ns() < end) {
		reap(scene);
		if (scene->client_ended && family_children(list, MAX_CHILDREN) == scene->forked_count)
			break;
		if (scene->trial->crashes && atomic_load(&scene->board->pid) && is_gone(atomic_load(&scene->board->pid)))
			break;
		pause_us(200);
	}
	scene->victim = atomic_load(&scene->board->pid);
	if (!atomic_load(&scene->board->ready) && (!scene->victim || !scene->trial->crashes)) {
		if (scene->victim)
			blame(scene, HARM_DIED, "it ran and never became ready");
		return;
	}
	if (!scene->trial->crashes)
		judge_living(&scene->outcome->finding, scene->victim, scene->board, NULL, SETTLE_MS);
	atomic_store(&scene->board->stop, !scene->trial->crashes);
	end = now_ns() + EXIT_MS * UINT64_C(1000000);
	while (!is_gone(scene->victim) && now_ns() < end)
		pause_us(200);
	if (!is_gone(scene->victim))
		blame(scene, HARM_STUCK, "did not end within %d ms", EXIT_MS);
	else if (scene->trial->crashes && atomic_load(&scene->board->finished))
		blame(scene, HARM_WRONG, "it has not crashed");
	else if (!scene->trial->crashes && !atomic_load(&scene->board->finished))
		blame(scene, HARM_WRONG, "ended without the right result, %lu errors, last 0x%x",
		      atomic_load(&scene->board->errors), atomic_load(&scene->board->last_error));
}

static void judge_killed(struct scene *scene)
{
	uint64_t end = now_ns() + SETTLE_MS * UINT64_C(1000000);

	/* The pid may be made known while we look: the victim may have been in its constructors. */
	do {
		scene->victim = atomic_load(&scene->board->pid);
		if (scene->victim && !is_gone(scene->victim))
			pause_us(200);
		else
			break;
	} while (now_ns() < end);
	if (scene->victim && !is_gone(scene->victim))
		blame(scene, HARM_ALIVE, "process %d lives", scene->victim);
	if (atomic_load(&scene->board->errors))
		blame(scene, HARM_WRONG, "%lu errors before it was killed, last 0x%x",
		      atomic_load(&scene->board->errors), atomic_load(&scene->board->last_error));
}

/* The victim and what it has made, which may have been followed and left stopped like it. */
static void continue_all(pid_t pid, unsigned depth)
{
	pid_t list[MAX_CHILDREN];
	unsigned count = depth < 8 ? family_children_of(pid, list, MAX_CHILDREN) : 0;

	for (unsigned i = 0; i < count; i++)
		continue_all(list[i], depth + 1);
	kill(pid, SIGCONT);
}

/* It stands, untraced and whole, until somebody lets it go on; then it is as one that was never stopped. */
static void judge_hanging(struct scene *scene)
{
	uint64_t end = now_ns() + SETTLE_MS * UINT64_C(1000000);
	char where[640] = "";
	bool stands;

	do {
		stands = judge_stands(scene->victim);
		if (!stands)
			pause_us(200);
		reap(scene);
	} while (!stands && !scene->victim_ended && now_ns() < end &&
		 (scene->outcome->held || judge_tasks(scene->victim)));
	/* A client that was killed early may never have held it. */
	if (!stands && scene->outcome->held && !scene->victim_ended)
		blame(scene, HARM_LOOSE, "not stopped within %d ms", SETTLE_MS);
	if (stands && judge_text_difference(scene->victim, where, sizeof(where)) > 0)
		blame(scene, HARM_TEXT, "while it stands: %s", where);
	if (stands)
		pause_us(2000);
	if (stands && !judge_stands(scene->victim))
		blame(scene, HARM_LOOSE, "it does not stay stopped");
	continue_all(scene->victim, 0);
	judge_grabbed(scene);
}

static void judge(struct scene *scene)
{
	switch (scene->trial->hold) {
	case HOLD_GRAB:
		judge_grabbed(scene);
		break;
	case HOLD_HANG:
		judge_hanging(scene);
		break;
	case HOLD_KILL:
		judge_killed(scene);
		break;
	case HOLD_RUN:
		judge_created_living(scene);
		break;
	case HOLD_COUNT:
		break;
	}
}

/* ---- a trial ------------------------------------------------------------------------------------------- */

static pid_t start_free(const struct lab *lab, const struct trial *trial, int board_fd)
{
	char board[16];
	const char *argv[] = { lab->victim, board, trial->kind, lab->tiny, lab->plugin[0], lab->plugin[1], NULL };

	snprintf(board, sizeof(board), "%d", board_fd);
	return family_start((char *const *)(uintptr_t)argv, -1, -1);
}

/* What one that nobody holds ends with. */
static int crash_status(const struct lab *lab, const struct trial *trial)
{
	int fd, status = 0;
	struct scoreboard *board = board_new(&fd);
	pid_t pid = start_free(lab, trial, fd);

	atomic_store(&board->crash, 1);
	if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status))
		abort();
	board_free(board, fd);
	return status;
}

static bool start_victim(struct scene *scene)
{
	scene->victim = start_free(scene->lab, scene->trial, scene->board_fd);
	if (!await_flag(scene, &scene->board->ready, EXIT_MS) ||
	    signal_state_read(scene->victim, &scene->signals)) {
		blame(scene, HARM_DIED, "the victim did not even start");
		return false;
	}
	return true;
}

static void choose_moment(struct scene *scene, uint64_t *random)
{
	struct outcome *outcome = scene->outcome;
	uint64_t bits = random_next(random);

	outcome->early = may_be_early(scene->trial->ending) && bits % 4 == 0;
	if (!outcome->early && !await_word(scene, "held", HELD_MS))
		blame(scene, HARM_SILENT, "not held: %s", scene->failure[0] ? scene->failure : "no answer");
	/*
	 * A slow client would hardly ever be met with a snapshot behind it: every other one is given the time for its first, and
	 * the moment is one of those after that. A victim that executes all the time may never be caught in one.
	 */
	if (scene->trial->stacks && !outcome->early && bits & 4)
		(void)await_flag(scene, &scene->board->snapshots, SNAPSHOT_MS);
	outcome->moment_us = (unsigned)(bits >> 8) % (outcome->early ? EARLY_US : LATE_US);
	pause_us(outcome->moment_us);
}

/* Before, at, or after the moment that the hold is ended at. */
static void crash_around(struct scene *scene, uint64_t *random)
{
	uint64_t bits = random_next(random);
	unsigned after_us = (unsigned)(bits >> 8) % CRASH_US;

	if (!scene->trial->crashes)
		return;
	if (bits & 3) {
		atomic_store(&scene->board->crash, 1);
		/* Every other one is given the time to stand there, and the client that to look at it. */
		pause_us(bits & 1 ? after_us : CRASH_US + 2 * after_us);
	}
}

static void leave(struct scene *scene)
{
	if (!family_sweep())
		blame(scene, HARM_LEFT, "something cannot be killed");
	close(scene->orders);
	close(scene->words);
	board_free(scene->board, scene->board_fd);
}

void trial_run(const struct lab *lab, const struct trial *trial, struct outcome *ret)
{
	struct scene scene = { .lab = lab, .trial = trial, .outcome = ret, .orders = -1, .words = -1 };
	uint64_t random = trial->seed, ended;
	bool judged = false;

	*ret = (struct outcome){ .early = false };
	if (trial->crashes)
		scene.crash_status = crash_status(lab, trial);
	scene.board = board_new(&scene.board_fd);
	if (is_grabbed(trial) && !start_victim(&scene)) {
		leave(&scene);
		return;
	}
	start_client(&scene, &random);
	choose_moment(&scene, &random);
	/* Nobody has done anything to it yet. */
	hear_rest(&scene);
	if (scene.lost)
		blame(&scene, HARM_DIED, "it was lost or ended while it was held");
	crash_around(&scene, &random);
	atomic_store(&scene.board->ending, 1);
	end_hold(&scene);
	atomic_store(&scene.board->crash, 1);
	ended = now_ns();
	if (client_survives(trial->ending)) {
		/* With the client alive: it must have let go by itself. */
		judge(&scene);
		judged = true;
		order(&scene, 'q');
	}
	if (trial->hold == HOLD_RUN && !judged) {
		/* The plain parent lives as long as its victim: judged first, gone after. */
		judge(&scene);
		judged = true;
	}
	if (!await_nobody(&scene, is_grabbed(trial), GONE_MS))
		describe_left(&scene);
	ret->let_go_ns = now_ns() - ended;
	if (!judged)
		judge(&scene);
	if (is_grabbed(trial) && !scene.victim_ended)
		finish_grabbed(&scene);
	hear_rest(&scene);
	/* One that has crashed before it was held cannot be held. */
	if (scene.failure[0] && !(ret->finding.harms & HARM_SILENT) && !trial->crashes)
		blame(&scene, HARM_SILENT, "%s", scene.failure);
	ret->parks = atomic_load(&scene.board->parks);
	ret->snapshots = atomic_load(&scene.board->snapshots);
	ret->stacks = atomic_load(&scene.board->stacks);
	ret->traps_seen = atomic_load(&scene.board->traps_seen);
	ret->looks = atomic_load(&scene.board->looks);
	ret->glimpses = atomic_load(&scene.board->glimpses);
	if (lab->keep && ret->finding.harms) {
		fprintf(stderr, "# kept: victim %d client %d controller %d; %s\n", scene.victim, scene.client,
			scene.controller, ret->finding.detail);
		pause();
	}
	leave(&scene);
}
