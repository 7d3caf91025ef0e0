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

/* ---- processes ----------------------------------------------------------------------------------------- */

static bool is_forked(const struct scene *scene, pid_t pid)
{
	for (unsigned i = 0; i < scene->forked_count; i++)
		if (scene->forked[i] == pid)
			return true;
	return false;
}

void scene_reap(struct scene *scene)
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

bool scene_await_nobody(struct scene *scene, bool victim_may_live, unsigned bound_ms)
{
	uint64_t end = now_ns() + bound_ms * UINT64_C(1000000);

	for (;;) {
		pid_t list[MAX_CHILDREN];
		unsigned count, left = 0;

		scene_reap(scene);
		/* A child of the client may tell of itself after the client's end. */
		scene_hear_rest(scene);
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

void scene_describe_left(struct scene *scene)
{
	pid_t list[MAX_CHILDREN];
	unsigned count = family_children(list, MAX_CHILDREN);
	char what[96];

	for (unsigned i = 0; i < count; i++)
		if (list[i] != scene->victim && !is_forked(scene, list[i]))
			blame(scene, HARM_LEFT, "left over: %d (%s)", list[i],
			      family_describe(list[i], what, sizeof(what)));
}

bool scene_await_flag(struct scene *scene, _Atomic uint32_t *flag, unsigned bound_ms)
{
	uint64_t end = now_ns() + bound_ms * UINT64_C(1000000);

	while (!atomic_load(flag)) {
		scene_reap(scene);
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

bool scene_await_word(struct scene *scene, const char *word, unsigned bound_ms)
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

void scene_hear_rest(struct scene *scene)
{
	scene_await_word(scene, "\n", 0);
}

void scene_order(struct scene *scene, char letter)
{
	scene_reap(scene);
	if (scene->client_ended)
		blame(scene, HARM_SILENT, "the client ended with status 0x%x before its order '%c'",
		      scene->client_status, letter);
	else if (write(scene->orders, &letter, 1) != 1)
		blame(scene, HARM_SILENT, "the client does not take its order '%c'", letter);
}

void scene_start_client(struct scene *scene, uint64_t *random)
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
	if (scene->trial->probes || scene->trial->calls) {
		snprintf(parks, sizeof(parks), "%lu", bits);
		PUT(scene->trial->calls ? "--calls" : "--probes");
		PUT(parks);
	}
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
