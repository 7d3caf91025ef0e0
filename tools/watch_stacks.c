/* SPDX-License-Identifier: BSD-2-Clause */
#include "watch_stacks.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "output_stack.h"
#include "proc.h"
#include "refusal.h"
#include "signals.h"

enum { ARGUMENTS = 256, ARGUMENT_BYTES = 65536 };

/* Its arguments as pointers into text; its name where it has none. */
static const char **arguments(int64_t pid, char *text)
{
	const char **argv = calloc(ARGUMENTS + 1, sizeof(*argv));
	size_t length = proc_arguments(pid, text, ARGUMENT_BYTES), count = 0;

	if (!argv)
		return NULL;
	for (const char *at = text; at < text + length && count < ARGUMENTS; at += strlen(at) + 1)
		argv[count++] = at;
	if (!count) {
		proc_name(pid, text);
		argv[0] = text;
	}
	return argv;
}

static void show_process(struct watch_stacks *stacks, const struct brood_member *member)
{
	char *text = malloc(ARGUMENT_BYTES + 1);
	const char **argv = text ? arguments(member->pid, text) : NULL;
	struct output_process process = {
		.pid = member->pid,
		.parent = member->parent,
		.t_ns = now_ns(),
		.depth = member->depth,
		.state = member->state,
		.argv = argv,
	};

	output_process(stacks->output, &process);
	free(argv);
	free(text);
}

/* Eyes want equal stacks once; a program has a record for each thread. */
static bool merges(const struct watch_stacks *stacks)
{
	return stacks->output->options.format == OUTPUT_TEXT;
}

/* Without stopping anybody. */
static int look_at(struct watch_stacks *stacks, struct tether_session *session, int64_t pid)
{
	const struct tether_snapshot_opts still = { .size = sizeof(still), .manner = TETHER_STILL };
	const struct tether_grab_opts observe = { .size = sizeof(observe), .flags = TETHER_OBSERVE };
	struct tether *handle;
	int result = tether_grab(session, pid, &observe, &handle, NULL);

	if (result < 0)
		return result;
	result = stacks_take(stacks->output, handle, &still, merges(stacks));
	tether_release(handle);
	return result;
}

static bool is_over(int result)
{
	return result == -TETHER_EGONE || result == -TETHER_EZOMBIE;
}

static void take(struct watch_stacks *stacks, struct tether_session *session, int64_t pid)
{
	const struct tether_grab_opts grab = {
		.size = sizeof(grab),
		.flags = TETHER_NO_PARK | TETHER_NO_MONITOR | TETHER_NO_FOLLOW,
		.mode = TETHER_MODE_RUN,
	};
	const struct tether_snapshot_opts together = { .size = sizeof(together), .manner = TETHER_TOGETHER };
	struct tether_error error = TETHER_ERROR_INIT;
	struct tether_info info = { .size = sizeof(info) };
	struct tether *handle;
	int result = tether_grab(session, pid, &grab, &handle, &error), looked;

	if (result == 0) {
		/* An orphan by its making, it becomes our child. */
		if (tether_info_get(handle, &info) == 0)
			brood_exclude(stacks->brood, info.controller);
		result = stacks_take(stacks->output, handle, &together, merges(stacks));
		tether_release(handle);
		if (result < 0 && !is_over(result))
			output_failure(stacks->output, "cannot take the stacks", result, NULL);
		return;
	}
	looked = is_over(result) ? 0 : look_at(stacks, session, pid);
	if (looked < 0 && !is_over(looked))
		refusal(stacks->output, "grab", pid, TETHER_ACCESS_CONTROL, result, &error);
}

static void take_all(struct watch_stacks *stacks)
{
	struct tether_error error = TETHER_ERROR_INIT;
	struct tether_session *session;
	int result = tether_session_open(NULL, &session, &error);

	if (result < 0) {
		output_failure(stacks->output, "cannot open a session", result, &error);
		return;
	}
	for (size_t i = 0; i < stacks->brood->count; i++) {
		show_process(stacks, &stacks->brood->list[i]);
		take(stacks, session, stacks->brood->list[i].pid);
		output_flush(stacks->output);
	}
	tether_session_close(session);
}

void watch_stacks(struct watch_stacks *stacks, bool wanted)
{
	struct output_process command = { .pid = stacks->command, .t_ns = now_ns() };

	output_overdue(stacks->output, &command, stacks->timeout_ns, brood_living(stacks->brood));
	if (wanted) {
		take_all(stacks);
		return;
	}
	for (size_t i = 0; i < stacks->brood->count; i++)
		show_process(stacks, &stacks->brood->list[i]);
}
