/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_attach.c - follow running processes until they end or we are told to let go
 */
#include <errno.h>
#include <signal.h>

#include "common.h"
#include "refusal.h"
#include "select.h"
#include "timeline.h"

struct attach_options {
	struct common_options common;
	struct selection selection;
	bool no_follow;
};

static const struct option_row rows[] = {
	SELECT_OPTIONS(struct attach_options, selection),
	{ 0, "no-follow", NULL, "let children go free from their first instruction", option_flag,
	  offsetof(struct attach_options, no_follow) },
	{ 0, "env", NULL, "with each exec, what its environment changed", option_flag,
	  offsetof(struct attach_options, common.output.env) },
	{ 0, "cmdline", NULL, "with each exec, a line for sh that repeats it", option_flag,
	  offsetof(struct attach_options, common.output.cmdline) },
	COMMON_OPTIONS(struct attach_options, common),
};

static const struct option_table table = {
	.usage = "attach [options] -p PID[,PID...] | -n NAME",
	.sentence = "Show what running processes do until they end. Ctrl-C lets go; they run on.",
	.rows = rows,
	.epilogue = "Exit status: 0; 124 after --timeout; 125 when a process could not be held.\n"
		    "Example: tether attach -n postgres --tree -e exec,exit,signal",
};

static bool grab(struct timeline *timeline, const struct attach_options *options, int64_t pid)
{
	struct tether_grab_opts grab = {
		.size = sizeof(grab),
		.flags = TETHER_NO_PARK,
		.mode = TETHER_MODE_RUN,
		.events = timeline_events(timeline->output),
		.stacks = timeline_stacks(timeline->output),
	};
	struct tether_error error = TETHER_ERROR_INIT;
	struct tether *handle;
	int result;

	if (options->no_follow)
		grab.flags |= TETHER_NO_FOLLOW;
	if (options->selection.tree)
		grab.flags |= TETHER_TREE;
	if (options->common.output.env || options->common.output.cmdline)
		grab.flags |= TETHER_WANT_ENV;
	if (!timeline_needs_monitor(timeline->output))
		grab.flags |= TETHER_NO_MONITOR;
	result = tether_grab(timeline->session, pid, &grab, &handle, &error);
	if (result < 0) {
		refusal(timeline->output, "grab", pid, TETHER_ACCESS_CONTROL, result, &error);
		return false;
	}
	timeline_hold(timeline, handle, false);
	return true;
}

/* How many of the processes could not be held. */
static size_t grab_all(struct timeline *timeline, const struct attach_options *options)
{
	size_t refused = 0;

	for (size_t i = 0; i < options->selection.count; i++) {
		if (!grab(timeline, options, options->selection.pids[i]))
			refused++;
	}
	return refused;
}

static int status_of(const struct timeline *timeline, size_t refused)
{
	switch (timeline->end) {
	case END_TIMEOUT:
		return STATUS_TIMEOUT;
	case END_OUTPUT:
	case END_FAILURE:
		return STATUS_TETHER;
	default:
		return refused ? STATUS_TETHER : 0;
	}
}

static int attach(const void *given, struct output *output)
{
	const struct attach_options *options = given;
	static const int listened[] = { SIGINT, SIGTERM, SIGHUP, 0 };
	struct timeline timeline;
	size_t refused;

	if (!timeline_open(&timeline, output, options->common.timeout_ns))
		return STATUS_TETHER;
	timeline.ends_with_output = true;
	refused = grab_all(&timeline, options);
	if (refused == options->selection.count)
		timeline.end = END_ALL;
	else if (signals_listen(&timeline.signals, listened) < 0)
		timeline.end = END_FAILURE;
	timeline_run(&timeline);
	/* From here on a second Ctrl-C ends us at once; the controllers let the victims go on their own. */
	signals_restore(&timeline.signals);
	signals_survive_readers();
	timeline_close(&timeline, TETHER_MODE_RUN);
	return status_of(&timeline, refused);
}

int command_attach(const struct invocation *invocation)
{
	struct attach_options options = { 0 };
	int operands, status;

	if (common_parse(&table, invocation, &options, &operands, &status))
		return select_run(invocation, operands, &options.selection, &options.common.output, false, attach,
				  &options);
	select_free(&options.selection);
	return status;
}
