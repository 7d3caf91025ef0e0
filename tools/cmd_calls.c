/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_calls.c - calls of functions, with their returns, stacks and times, or counted: of a command, or of running processes,
 * with their children
 *
 * The victims stand at breakpoints of the library (call_points.h). The controller counts, and writes the records that
 * call_stream.h shows.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "call_points.h"
#include "call_stream.h"
#include "refusal.h"
#include "running.h"

static bool add_word(struct words *words, char *word)
{
	char **grown = word ? reallocarray(words->word, words->count + 2, sizeof(*grown)) : NULL;

	if (!grown) {
		free(word);
		return false;
	}
	words->word = grown;
	grown[words->count++] = word;
	grown[words->count] = NULL;
	return true;
}

static void free_words(struct words *words)
{
	for (size_t i = 0; i < words->count; i++)
		free(words->word[i]);
	free(words->word);
}

/* OBJECT:FUNCTION[,FUNCTION...] */
static bool option_functions(void *field, const char *argument, struct buffer *why)
{
	const char *colon = strrchr(argument, ':'), *function = colon ? colon + 1 : NULL;

	if (!colon || colon == argument) {
		buffer_text(why, "give OBJECT:FUNCTION; OBJECT is a path, a base name or a.out");
		return false;
	}
	for (;;) {
		size_t length = strcspn(function, ",");
		char *word;

		if (!length) {
			buffer_text(why, "a function has no name");
			return false;
		}
		if (asprintf(&word, "%.*s%.*s", (int)(colon + 1 - argument), argument, (int)length, function) < 0)
			word = NULL;
		if (!add_word(field, word)) {
			buffer_text(why, "out of memory");
			return false;
		}
		if (!function[length])
			return true;
		function += length + 1;
	}
}

static bool option_except(void *field, const char *argument, struct buffer *why)
{
	if (*argument && add_word(field, strdup(argument)))
		return true;
	buffer_text(why, *argument ? "out of memory" : "give a pattern");
	return false;
}

static bool option_arguments(void *field, const char *argument, struct buffer *why)
{
	if (*argument < '0' || *argument > '0' + TETHER_CALL_ARGUMENTS || argument[1]) {
		buffer_printf(why, "give a number from 0 to %d", TETHER_CALL_ARGUMENTS);
		return false;
	}
	*(uint64_t *)field = (uint64_t)(*argument - '0');
	return true;
}

static bool option_kinds(void *field, const char *argument, struct buffer *why)
{
	static const struct {
		const char *name;
		uint64_t kinds;
	} words[] = {
		{ "call", CALLS_CALL },
		{ "return", CALLS_RETURN },
		{ "count", CALLS_COUNT },
		{ "all", CALLS_KINDS },
	};

	for (;; argument++) {
		size_t length = strcspn(argument, ","), i;

		for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
			if (strlen(words[i].name) == length && !strncmp(words[i].name, argument, length))
				break;
		}
		if (i == sizeof(words) / sizeof(words[0])) {
			buffer_text(why, "the kinds are all call return count");
			return false;
		}
		*(uint64_t *)field |= words[i].kinds;
		argument += length;
		if (!*argument)
			return true;
	}
}

static bool option_calls_format(void *field, const char *argument, struct buffer *why)
{
	if (!strcmp(argument, "folded") || !strcmp(argument, "chrome")) {
		*(enum output_format *)field = *argument == 'f' ? OUTPUT_FOLDED : OUTPUT_CHROME;
		return true;
	}
	if (option_format(field, argument, why))
		return true;
	buffer_cut(why, 0);
	buffer_text(why, "give text, jsonl, folded or chrome");
	return false;
}

#define FIELD(name) offsetof(struct calls_options, name)

static const struct option_row rows[] = {
	{ 'f', "functions", "OBJECT:FUNCTION[,...]", "these functions; both may be patterns", option_functions,
	  FIELD(functions) },
	{ 'x', "exclude", "PATTERN", "but not functions that match", option_except, FIELD(except) },
	{ 0, "args", "N", "the first N arguments of each call, 0 to 6", option_arguments, FIELD(arguments) },
	{ 0, "ret", NULL, "returns too: values, and how long calls took", option_flag, FIELD(returns) },
	{ 'k', "stacks", NULL, "each call with its stack", option_flag, FIELD(stacks) },
	{ 'c', "count", NULL, "count the calls instead of showing them", option_flag, FIELD(counts) },
	{ 0, "hist", NULL, "count, with a histogram of how long calls took", option_flag, FIELD(histograms) },
	{ 'e', "events", "KIND[,KIND...]", "of call, return, count: only these", option_kinds, FIELD(kinds) },
	SELECT_OPTIONS(struct calls_options, selection),
	{ 0, "duration", "SECONDS", "look for so long, and let go", option_duration, FIELD(duration_ns) },
	{ 0, "no-follow", NULL, "not in children that are made meanwhile", option_flag, FIELD(no_follow) },
	{ 0, "low-latency", NULL, "no processor sleeps while calls come fast; for root", option_flag, FIELD(low_latency) },
	{ 0, "raw-names", NULL, "C++ and Rust names as the linker has them", option_flag, FIELD(raw) },
	{ 'o', "output", "FILE", "write records to FILE, not to standard error", option_string,
	  FIELD(common.output.path) },
	{ 0, "format", "text|jsonl|folded|chrome", "for eyes, programs, flame graphs, Perfetto", option_calls_format,
	  FIELD(common.output.format) },
	{ 'q', "quiet", NULL, "errors only", option_flag, FIELD(common.output.quiet) },
	{ 0, "color", "auto|always|never", "colours; auto: on a terminal", option_color, FIELD(common.output.color) },
	TIME_OPTIONS(struct calls_options, common),
	LAST_OPTIONS,
};

static const struct option_table table = {
	.usage = "calls -f OBJECT:FUNCTION[,FUNCTION...] [options] -p PID[,PID...] | -n NAME | [--] COMMAND [ARGUMENT...]",
	.sentence = "Show or count calls of functions, also in libraries that are loaded later, in the programs that a\n"
		    "process executes and in its children. Ctrl-C lets go of running processes.",
	.rows = rows,
	.epilogue = "Exit status: the command's own, or that of attach; 124 after --timeout, 125 when tether failed.\n"
		    "Example: tether calls -f libc.so.6:malloc,free --args 1 --ret -- python3 -c pass\n"
		    "         tether calls -f 'libssl.so.*:SSL_*' --hist --duration 10 -n nginx",
};

/* ---- the frame ----------------------------------------------------------------------------------------- */

struct calls {
	struct timeline timeline;
	const struct calls_options *options;
	struct output *output;
	struct call_points points;
	struct call_stream stream;
	bool records; /* calls or returns are shown, not only counted */
	bool failed;
};

/* What has to be planted for what is shown. */
static uint32_t flags_for(const struct calls_options *options, const struct output *output)
{
	bool records = options->kinds & (CALLS_CALL | CALLS_RETURN);
	uint32_t flags = records ? 0 : TETHER_BREAKPOINT_COUNT;

	if (options->histograms)
		flags |= TETHER_BREAKPOINT_RETURN | TETHER_BREAKPOINT_LATENCY;
	if (options->kinds & CALLS_RETURN || output->options.format == OUTPUT_CHROME)
		flags |= TETHER_BREAKPOINT_RETURN;
	/* How deep a call is follows from the returns. */
	if (records && !(output->options.format == OUTPUT_FOLDED && options->stacks))
		flags |= TETHER_BREAKPOINT_RETURN;
	if (options->kinds & CALLS_CALL && options->stacks)
		flags |= TETHER_BREAKPOINT_STACK;
	return flags;
}

static void on_event(const struct tether_event *event, void *data)
{
	struct calls *calls = data;

	if (event->kind == TETHER_EVENT_EXIT || event->kind == TETHER_EVENT_EXEC)
		stream_ended(&calls->stream, event->pid, event->t_ns);
}

static uint64_t on_rest(void *data)
{
	struct calls *calls = data;

	/* A command goes on when nobody reads of its calls any more; it need not be stopped at them. */
	if (output_broken(calls->output))
		call_points_disable(&calls->points);
	return stream_rest(&calls->stream);
}

static void on_ending(void *data)
{
	struct calls *calls = data;

	if (!stream_end(&calls->stream))
		calls->failed = true;
	if (calls->options->kinds & CALLS_COUNT && !call_points_counts(&calls->points))
		calls->failed = true;
	call_points_remarks(&calls->points);
}

/* The library tells of all that the command lives on, and none of it is shown. */
static bool begin(struct calls *calls, const struct calls_options *options, struct output *output)
{
	uint64_t timeout = options->common.timeout_ns;

	*calls = (struct calls){ .options = options, .output = output };
	output->wanted = 0;
	if (options->duration_ns && (!timeout || options->duration_ns < timeout))
		timeout = options->duration_ns;
	if (!timeline_open(&calls->timeline, output, timeout))
		return false;
	calls->records = options->kinds & (CALLS_CALL | CALLS_RETURN);
	stream_begin(&calls->stream, options, output, &calls->timeline.family);
	calls->points = (struct call_points){
		.options = options,
		.output = output,
		.flags = flags_for(options, output),
		.call = calls->records ? stream_record : NULL,
		.data = &calls->stream,
	};
	calls->timeline.watch = on_event;
	calls->timeline.rest = on_rest;
	calls->timeline.ending = on_ending;
	calls->timeline.data = calls;
	return true;
}

/* The end of the time that was asked for is none that came too early. */
static bool time_is_up(const struct calls *calls)
{
	const struct calls_options *options = calls->options;

	return calls->timeline.end == END_TIMEOUT && options->duration_ns &&
	       (!options->common.timeout_ns || options->duration_ns <= options->common.timeout_ns);
}

static void finish(struct calls *calls, uint32_t mode)
{
	/* Ctrl-C once more ends us at once; the controllers let the victims go on their own. */
	timeline_close(&calls->timeline, mode);
	call_points_free(&calls->points);
}

static uint32_t family_flags(const struct calls_options *options)
{
	return (options->no_follow ? TETHER_NO_FOLLOW : 0) | (options->low_latency ? TETHER_LOW_LATENCY : 0);
}

static bool grab(struct calls *calls, int64_t pid)
{
	struct tether_grab_opts grab = {
		.size = sizeof(grab),
		.flags = TETHER_NO_PARK | family_flags(calls->options),
		.mode = TETHER_MODE_RUN,
		.events = timeline_events(calls->output),
	};
	struct tether_error error = TETHER_ERROR_INIT;
	struct tether *handle;
	int result = tether_grab(calls->timeline.session, pid, &grab, &handle, &error);

	if (result < 0) {
		refusal(calls->output, "grab", pid, TETHER_ACCESS_CONTROL, result, &error);
		return false;
	}
	timeline_hold(&calls->timeline, handle, false);
	calls->failed |= !call_points_add(&calls->points, handle);
	return true;
}

static int follow_processes(const void *given, struct output *output)
{
	static const int listened[] = { SIGINT, SIGTERM, SIGHUP, 0 };
	const struct calls_options *options = given;
	struct calls calls;
	size_t refused = 0;

	if (!begin(&calls, options, output))
		return STATUS_TETHER;
	calls.timeline.ends_with_output = true;
	for (size_t i = 0; i < options->selection.count && !calls.failed; i++)
		refused += !grab(&calls, options->selection.pids[i]);
	if (calls.failed || refused == options->selection.count)
		calls.timeline.end = END_ALL;
	else if (signals_listen(&calls.timeline.signals, listened) < 0)
		calls.timeline.end = END_FAILURE;
	timeline_run(&calls.timeline);
	signals_restore(&calls.timeline.signals);
	signals_survive_readers();
	enum timeline_end ended = calls.timeline.end;
	bool up = time_is_up(&calls);
	finish(&calls, TETHER_MODE_RUN);
	if (calls.failed || refused || ended == END_OUTPUT || ended == END_FAILURE)
		return STATUS_TETHER;
	return ended == END_TIMEOUT && !up ? STATUS_TIMEOUT : 0;
}

static int follow_command(const struct calls_options *options, struct output *output, char *const *argv, int *signal)
{
	static const int listened[] = { SIGTERM, SIGCHLD, 0 };
	struct tether_create_opts create = {
		.size = sizeof(create),
		.file = argv[0],
		.argv = argv,
		.stop = TETHER_STOP_CREATE,
		.mode = TETHER_MODE_KILL,
		.flags = family_flags(options),
	};
	struct tether_error error = TETHER_ERROR_INIT;
	struct tether *handle;
	struct calls calls;
	int result, status;

	*signal = 0;
	if (!begin(&calls, options, output))
		return STATUS_TETHER;
	create.events = timeline_events(output);
	signals_step_aside();
	result = tether_create(calls.timeline.session, &create, &handle, &error);
	if (result < 0) {
		status = running_refused(output, argv[0], result, &error);
		finish(&calls, TETHER_MODE_KILL);
		return status;
	}
	timeline_hold(&calls.timeline, handle, true);
	/* It stands before its first instruction, and goes on when all are told of. */
	calls.failed = !call_points_add(&calls.points, handle);
	result = signals_listen(&calls.timeline.signals, listened);
	if (calls.failed || result < 0) {
		calls.timeline.failure = result;
		calls.timeline.end = calls.failed ? END_ALL : END_FAILURE;
	} else {
		tether_continue(handle);
	}
	timeline_run(&calls.timeline);
	bool up = time_is_up(&calls), runs_on = up || calls.timeline.end == END_FIRST;
	status = up ? 0 : running_status(&calls.timeline);
	*signal = running_signal(&calls.timeline);
	finish(&calls, runs_on ? TETHER_MODE_RUN : TETHER_MODE_KILL);
	return calls.failed ? STATUS_TETHER : status;
}

static int run_command(const struct invocation *invocation, const struct calls_options *options, char *const *argv)
{
	struct output output;
	int status, signal;

	if (!output_open(&output, &options->common.output, invocation->whole_argv))
		return STATUS_TETHER;
	status = follow_command(options, &output, argv, &signal);
	output_close(&output);
	if (signal)
		die_of(signal);
	return status;
}

/* What is shown: what was asked for, or else calls. NULL, or what is wrong with it. */
static const char *choose(struct calls_options *options)
{
	bool whole = options->common.output.format == OUTPUT_TEXT || options->common.output.format == OUTPUT_JSONL;

	if (options->counts || options->histograms)
		options->kinds |= CALLS_COUNT;
	if (options->returns)
		options->kinds |= CALLS_CALL | CALLS_RETURN;
	if (!options->kinds)
		options->kinds = CALLS_CALL;
	if (!options->functions.count)
		return "no function is given; use -f OBJECT:FUNCTION";
	if (!whole && (options->kinds & CALLS_COUNT || !(options->kinds & CALLS_CALL)))
		return "--format=folded and --format=chrome are of calls, not of counts or returns alone";
	if (!(options->kinds & CALLS_CALL) && (options->stacks || options->arguments))
		return "--args and -k are of calls, which are not shown";
	return NULL;
}

static int dispatch(const struct invocation *invocation, struct calls_options *options, int operands)
{
	char *const *argv = invocation->argv + operands;
	const char *wrong = choose(options);

	if (wrong)
		return common_misuse(invocation, "%s", wrong);
	if (select_given(&options->selection))
		return select_run(invocation, operands, &options->selection, &options->common.output, true,
				  follow_processes, options);
	if (!*argv)
		return common_misuse(invocation, "no process and no command is given");
	if (options->selection.tree)
		return common_misuse(invocation, "--tree is for running processes; children of a command are followed");
	return run_command(invocation, options, argv);
}

int command_calls(const struct invocation *invocation)
{
	struct calls_options options = { 0 };
	int operands, status;

	if (common_parse(&table, invocation, &options, &operands, &status))
		status = dispatch(invocation, &options, operands);
	select_free(&options.selection);
	free_words(&options.functions);
	free_words(&options.except);
	return status;
}
