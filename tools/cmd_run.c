/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_run.c - start a program and follow it and its descendants until it ends
 *
 * To its victim and to its caller the command is as good as not there: the victim has the terminal, the
 * signals and the descriptors that it would have without, and the caller gets the victim's exit status.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "common.h"
#include "running.h"
#include "stop_at.h"

struct run_options {
	struct common_options common;
	struct stop_place {
		enum tether_stop stop;
		const char *function; /* NULL: at stop */
	} stop;
	enum tether_release_mode on_exit;
	const char *stop_on_exec;
	const char *then;
	bool no_follow, crash_stacks;
};

static bool read_stop(void *field, const char *argument, struct buffer *why)
{
	static const struct {
		const char *name;
		enum tether_stop stop;
	} stops[] = {
		{ "create", TETHER_STOP_CREATE },
		{ "preinit", TETHER_STOP_PREINIT },
		{ "postinit", TETHER_STOP_POSTINIT },
		{ "main", TETHER_STOP_MAIN },
	};
	const char *colon = strrchr(argument, ':');
	struct stop_place *place = field;

	for (size_t i = 0; i < sizeof(stops) / sizeof(stops[0]); i++) {
		if (!strcmp(argument, stops[i].name)) {
			*place = (struct stop_place){ .stop = stops[i].stop };
			return true;
		}
	}
	if (colon && colon != argument && colon[1]) {
		*place = (struct stop_place){ .stop = TETHER_STOP_NONE, .function = argument };
		return true;
	}
	buffer_text(why, "give create, preinit, postinit, main, or OBJECT:FUNCTION");
	return false;
}

static bool read_mode(void *field, const char *argument, struct buffer *why)
{
	enum tether_release_mode *mode = field;

	if (!strcmp(argument, "kill")) {
		*mode = TETHER_MODE_KILL;
	} else if (!strcmp(argument, "run")) {
		*mode = TETHER_MODE_RUN;
	} else {
		buffer_text(why, "give kill or run");
		return false;
	}
	return true;
}

static bool read_on_crash(void *field, const char *argument, struct buffer *why)
{
	if (strcmp(argument, "stacks") != 0) {
		buffer_text(why, "give stacks");
		return false;
	}
	*(bool *)field = true;
	return true;
}

#define FIELD(name) offsetof(struct run_options, name)

static const struct option_row rows[] = {
	{ 0, "stop-at", "PLACE", "stop it at create, preinit, postinit, main, or OBJECT:FUNCTION", read_stop, FIELD(stop) },
	{ 0, "stop-on-exec", "GLOB", "stop any process that executes a matching file", option_string,
	  FIELD(stop_on_exec) },
	{ 0, "then", "CMD", "what is stopped goes to this command; {pid} is its pid", option_string,
	  FIELD(then) },
	{ 0, "env", NULL, "with each exec, what its environment changed", option_flag,
	  FIELD(common.output.env) },
	{ 0, "cmdline", NULL, "with each exec, a line for sh that repeats it", option_flag,
	  FIELD(common.output.cmdline) },
	{ 0, "no-follow", NULL, "let children go free from their first instruction", option_flag,
	  FIELD(no_follow) },
	{ 0, "on-exit", "kill|run", "when tether ends first: kill it (default), or let it run", read_mode,
	  FIELD(on_exit) },
	{ 0, "on-crash", "stacks", "show the stacks before a signal ends it with a core dump", read_on_crash,
	  FIELD(crash_stacks) },
	COMMON_OPTIONS(struct run_options, common),
};

static const struct option_table table = {
	.usage = "run [options] [--] COMMAND [ARGUMENT...]",
	.sentence = "Run a command and show what it and its descendants execute, load and how they end.",
	.rows = rows,
	.epilogue = "Exit status: the command's own, its signal too; 124 after --timeout, 125 when tether\n"
		    "failed, 126 when the command cannot be run, 127 when it is not found.\n"
		    "Example: tether run --stop-on-exec='*/cc1' --then 'gdb -p {pid}' -- make",
};

/* ---- run ----------------------------------------------------------------------------------------------- */

static int create(struct timeline *timeline, const struct run_options *options, char *const *argv,
		  struct tether_error *error)
{
	struct tether_create_opts create = {
		.size = sizeof(create),
		.file = argv[0],
		.argv = argv,
		.stop = options->stop.function ? TETHER_STOP_CREATE : options->stop.stop,
		.mode = options->on_exit,
		.events = timeline_events(timeline->output),
		.stacks = timeline_stacks(timeline->output),
		.park_on_exec = options->stop_on_exec,
	};
	bool early = !options->stop.function && (create.stop == TETHER_STOP_NONE || create.stop == TETHER_STOP_CREATE);
	struct tether *handle;
	int result;

	if (options->no_follow)
		create.flags |= TETHER_NO_FOLLOW;
	if (options->common.output.env || options->common.output.cmdline)
		create.flags |= TETHER_WANT_ENV;
	if (options->crash_stacks)
		create.flags |= TETHER_PARK_ON_CRASH;
	if (early && !timeline_needs_monitor(timeline->output))
		create.flags |= TETHER_NO_MONITOR;
	result = tether_create(timeline->session, &create, &handle, error);
	if (result < 0)
		return result;
	timeline_hold(timeline, handle, true);
	return options->stop.function ? stop_at_function(timeline, handle, options->stop.function, error) : 0;
}

static bool stops(const struct run_options *options)
{
	return options->stop.stop != TETHER_STOP_NONE || options->stop.function || options->stop_on_exec;
}

/* Of the processes that are left: those of a victim that has ended are none of our business any more. */
static uint32_t last_mode(const struct timeline *timeline, const struct run_options *options)
{
	return timeline->end == END_FIRST || timeline->end == END_LEFT ? TETHER_MODE_RUN : options->on_exit;
}

static int run(const struct run_options *options, struct output *output, char *const *argv, int *signal)
{
	static const int listened[] = { SIGTERM, SIGCHLD, 0 };
	struct tether_error error = TETHER_ERROR_INIT;
	struct timeline timeline;
	int result, status;

	*signal = 0;
	if (!timeline_open(&timeline, output, options->common.timeout_ns))
		return STATUS_TETHER;
	timeline.hands_over = stops(options);
	timeline.then = options->then;
	signals_step_aside();
	result = create(&timeline, options, argv, &error);
	if (result < 0) {
		status = running_refused(output, argv[0], result, &error);
		timeline_close(&timeline, options->on_exit);
		return status;
	}
	result = signals_listen(&timeline.signals, listened);
	if (result < 0) {
		timeline.failure = result;
		timeline.end = END_FAILURE;
	}
	timeline_run(&timeline);
	timeline_close(&timeline, last_mode(&timeline, options));
	*signal = running_signal(&timeline);
	return running_status(&timeline);
}

int command_run(const struct invocation *invocation)
{
	struct run_options options = { .stop.stop = TETHER_STOP_NONE, .on_exit = TETHER_MODE_KILL };
	struct output output;
	int operands, status, signal;

	if (!common_parse(&table, invocation, &options, &operands, &status))
		return status;
	if (!invocation->argv[operands])
		return common_misuse(invocation, "no command is given");
	if (options.then && !stops(&options))
		return common_misuse(invocation, "--then needs --stop-at or --stop-on-exec");
	if (!output_open(&output, &options.common.output, invocation->whole_argv))
		return STATUS_TETHER;
	status = run(&options, &output, invocation->argv + operands, &signal);
	/* Records that could not be written were reported; the status is the command's all the same. */
	output_close(&output);
	if (signal)
		die_of(signal);
	return status;
}
