/* SPDX-License-Identifier: BSD-2-Clause */
#include "scene.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "family.h"

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

/* ---- endings ------------------------------------------------------------------------------------------- */

static void end_by_order(struct scene *scene, char letter, const char *answer)
{
	scene_order(scene, letter);
	if (!scene->client_ended && !scene_await_word(scene, answer, ORDER_MS))
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
		scene_await_word(scene, "lost", 50);
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
		scene_order(scene, 'q');
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
		scene_reap(scene);
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

	for (scene_reap(scene); !scene->victim_ended && now_ns() < end; scene_reap(scene))
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
	scene_reap(scene);
	if (scene->victim_ended) {
		blame(scene, HARM_DIED, "ended with status 0x%x", scene->victim_status);
		return;
	}
	judge_living(&scene->outcome->finding, scene->victim, scene->board, &scene->signals, SETTLE_MS);
	scene_reap(scene);
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
		scene_reap(scene);
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
		scene_reap(scene);
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
	if (!scene_await_flag(scene, &scene->board->ready, EXIT_MS) ||
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
	if (!outcome->early && !scene_await_word(scene, "held", HELD_MS))
		blame(scene, HARM_SILENT, "not held: %s", scene->failure[0] ? scene->failure : "no answer");
	/*
	 * A slow client would hardly ever be met with a snapshot behind it: every other one is given the time for its first, and
	 * the moment is one of those after that. A victim that executes all the time may never be caught in one.
	 */
	if (scene->trial->stacks && !outcome->early && bits & 4)
		(void)scene_await_flag(scene, &scene->board->snapshots, SNAPSHOT_MS);
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
	scene_start_client(&scene, &random);
	choose_moment(&scene, &random);
	/* Nobody has done anything to it yet. */
	scene_hear_rest(&scene);
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
		scene_order(&scene, 'q');
	}
	if (trial->hold == HOLD_RUN && !judged) {
		/* The plain parent lives as long as its victim: judged first, gone after. */
		judge(&scene);
		judged = true;
	}
	if (!scene_await_nobody(&scene, is_grabbed(trial), GONE_MS))
		scene_describe_left(&scene);
	ret->let_go_ns = now_ns() - ended;
	if (!judged)
		judge(&scene);
	if (is_grabbed(trial) && !scene.victim_ended)
		finish_grabbed(&scene);
	scene_hear_rest(&scene);
	/* One that has crashed before it was held cannot be held. */
	if (scene.failure[0] && !(ret->finding.harms & HARM_SILENT) && !trial->crashes)
		blame(&scene, HARM_SILENT, "%s", scene.failure);
	ret->parks = atomic_load(&scene.board->parks);
	ret->snapshots = atomic_load(&scene.board->snapshots);
	ret->stacks = atomic_load(&scene.board->stacks);
	ret->hits = atomic_load(&scene.board->hits);
	ret->returns = atomic_load(&scene.board->returns);
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
