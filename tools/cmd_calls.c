/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_calls.c - count the calls of functions: of a command, or of running processes, with their children
 *
 * The victims stand at breakpoints of the library, one for each function or pattern and each process; the controller
 * counts, and we look at its counters once, at the end.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common.h"
#include "output_count.h"
#include "progress.h"
#include "refusal.h"
#include "running.h"
#include "select.h"

/* Words given, each owned; ends with NULL. */
struct words {
	char **word;
	size_t count;
};

struct calls_options {
	struct common_options common;
	struct selection selection;
	struct words functions; /* "OBJECT:FUNCTION" each */
	struct words except;
	uint64_t duration_ns;
	bool counts, no_follow;
};

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

#define FIELD(name) offsetof(struct calls_options, name)

static const struct option_row rows[] = {
	{ 'c', "count", NULL, "count the calls; required, there is nothing else yet", option_flag, FIELD(counts) },
	{ 'f', "functions", "OBJECT:FUNCTION[,...]", "these functions; both may be patterns", option_functions,
	  FIELD(functions) },
	{ 'x', "exclude", "PATTERN", "but not functions that match", option_except, FIELD(except) },
	SELECT_OPTIONS(struct calls_options, selection),
	{ 0, "duration", "SECONDS", "count for so long, and let go", option_duration, FIELD(duration_ns) },
	{ 0, "no-follow", NULL, "do not count in children that are made meanwhile", option_flag, FIELD(no_follow) },
	RECORD_OPTIONS(struct calls_options, common),
	TIME_OPTIONS(struct calls_options, common),
	LAST_OPTIONS,
};

static const struct option_table table = {
	.usage = "calls -c -f OBJECT:FUNCTION[,FUNCTION...] [options] -p PID[,PID...] | -n NAME | [--] COMMAND [ARGUMENT...]",
	.sentence = "Count how often functions are called, also in libraries that are loaded later, in the programs\n"
		    "that a process executes and in its children. Ctrl-C lets go of running processes.",
	.rows = rows,
	.epilogue = "Exit status: the command's own, or that of attach; 124 after --timeout, 125 when tether failed.\n"
		    "Example: tether calls -c -f 'libc.so.6:malloc,free,*alloc' -- python3 -c pass",
};

/* ---- breakpoints --------------------------------------------------------------------------------------- */

struct counted {
	struct counted *next;
	struct tether_breakpoint *breakpoint;
	const char *where;
	int64_t pid;
};

struct calls {
	struct timeline timeline;
	const struct calls_options *options;
	struct output *output;
	struct counted *counted;
	bool failed;
};

static bool add(struct calls *calls, struct tether *handle, const char *where)
{
	struct tether_breakpoint_opts opts = {
		.size = sizeof(opts),
		.where = where,
		.flags = TETHER_BREAKPOINT_COUNT,
		.except = (const char *const *)calls->options->except.word,
	};
	struct tether_error error = TETHER_ERROR_INIT;
	struct counted *counted = calloc(1, sizeof(*counted));
	int result = counted ? progress_breakpoint_add(handle, &opts, &counted->breakpoint, &error) : -ENOMEM;

	if (result < 0) {
		free(counted);
		/* One that has ended meanwhile was not called any more. */
		if (result == -TETHER_EGONE)
			return true;
		output_failure(calls->output, "cannot count", result, &error);
		return false;
	}
	counted->where = where;
	counted->pid = tether_pid(handle);
	counted->next = calls->counted;
	calls->counted = counted;
	return true;
}

static void add_all(struct calls *calls, struct tether *handle)
{
	for (size_t i = 0; i < calls->options->functions.count; i++)
		if (!add(calls, handle, calls->options->functions.word[i])) {
			calls->failed = true;
			return;
		}
}

/* ---- counts -------------------------------------------------------------------------------------------- */

struct counts {
	struct output_count *count;
	size_t used, room;
	int64_t pid;
	bool named; /* its function was given by its name, not by a pattern */
	bool failed;
};

static int take(const struct tether_breakpoint_place *place, void *data)
{
	struct counts *counts = data;

	/* Of all that a pattern matches only what was called is worth a line. */
	if (!place->hits && !counts->named)
		return 0;
	if (counts->used == counts->room) {
		size_t room = counts->room ? counts->room * 2 : 64;
		struct output_count *grown = reallocarray(counts->count, room, sizeof(*grown));

		if (!grown) {
			counts->failed = true;
			return 1;
		}
		counts->count = grown;
		counts->room = room;
	}
	counts->count[counts->used++] = (struct output_count){
		.pid = counts->pid,
		.object = place->object,
		.symbol = place->symbol,
		.offset = place->offset,
		.count = place->hits,
	};
	return 0;
}

static int by_function(const void *a, const void *b)
{
	const struct output_count *one = a, *other = b;
	int order = one->pid < other->pid ? -1 : one->pid > other->pid;

	order = order ? order : strcmp(one->object, other->object);
	order = order ? order : strcmp(one->symbol, other->symbol);
	order = order ? order : one->offset < other->offset ? -1 : one->offset > other->offset;
	/* of two patterns that meet, the one that was there first */
	return order ? order : one->count > other->count ? -1 : one->count < other->count;
}

static int by_count(const void *a, const void *b)
{
	const struct output_count *one = a, *other = b;

	if (one->count != other->count)
		return one->count > other->count ? -1 : 1;
	return by_function(a, b);
}

static bool same_function(const struct output_count *one, const struct output_count *other)
{
	return one->pid == other->pid && one->offset == other->offset && !strcmp(one->object, other->object) &&
	       !strcmp(one->symbol, other->symbol);
}

/* A function that several patterns match is shown once. */
static void merge(struct counts *counts)
{
	size_t kept = 0;

	if (counts->used)
		qsort(counts->count, counts->used, sizeof(*counts->count), by_function);
	for (size_t i = 0; i < counts->used; i++)
		if (!kept || !same_function(&counts->count[kept - 1], &counts->count[i]))
			counts->count[kept++] = counts->count[i];
	counts->used = kept;
	if (kept)
		qsort(counts->count, kept, sizeof(*counts->count), by_count);
}

/* Before the session is closed: names and counters are the library's. */
static void show_counts(struct calls *calls)
{
	struct counts counts = { 0 };
	const struct counted *counted;

	for (counted = calls->counted; counted; counted = counted->next) {
		struct tether_breakpoint_info info = { .size = sizeof(info) };

		counts.pid = counted->pid;
		counts.named = !strpbrk(counted->where, "*?[");
		tether_breakpoint_functions(counted->breakpoint, take, &counts);
		if (tether_breakpoint_info_get(counted->breakpoint, &info) == 0 && !info.functions)
			output_note(calls->output, "%lld: nothing was found for '%s'", (long long)counted->pid,
				    counted->where);
		if (info.inactive)
			output_note(calls->output, "%lld: %llu places of '%s' could not be counted",
				    (long long)counted->pid, (unsigned long long)info.inactive, counted->where);
	}
	merge(&counts);
	if (counts.failed) {
		output_error(calls->output, "ENOMEM", "out of memory: not all counts are shown", "");
		calls->failed = true;
	}
	for (size_t i = 0; i < counts.used; i++)
		output_count(calls->output, &counts.count[i]);
	free(counts.count);
}

/* ---- the frame ----------------------------------------------------------------------------------------- */

/* The library tells of all that the command lives on, and none of it is shown. */
static bool begin(struct calls *calls, const struct calls_options *options, struct output *output)
{
	uint64_t timeout = options->common.timeout_ns;

	*calls = (struct calls){ .options = options, .output = output };
	output->wanted = 0;
	if (options->duration_ns && (!timeout || options->duration_ns < timeout))
		timeout = options->duration_ns;
	return timeline_open(&calls->timeline, output, timeout);
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
	struct counted *counted;

	show_counts(calls);
	/* Ctrl-C once more ends us at once; the controllers let the victims go on their own. */
	timeline_close(&calls->timeline, mode);
	while ((counted = calls->counted)) {
		calls->counted = counted->next;
		free(counted);
	}
}

static bool grab(struct calls *calls, int64_t pid)
{
	struct tether_grab_opts grab = {
		.size = sizeof(grab),
		.flags = TETHER_NO_PARK | (calls->options->no_follow ? TETHER_NO_FOLLOW : 0),
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
	add_all(calls, handle);
	return true;
}

static int count_processes(const void *given, struct output *output)
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

static int count_command(const struct calls_options *options, struct output *output, char *const *argv, int *signal)
{
	static const int listened[] = { SIGTERM, SIGCHLD, 0 };
	struct tether_create_opts create = {
		.size = sizeof(create),
		.file = argv[0],
		.argv = argv,
		.stop = TETHER_STOP_CREATE,
		.mode = TETHER_MODE_KILL,
		.flags = options->no_follow ? TETHER_NO_FOLLOW : 0,
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
	add_all(&calls, handle);
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
	status = count_command(options, &output, argv, &signal);
	output_close(&output);
	if (signal)
		die_of(signal);
	return status;
}

static int dispatch(const struct invocation *invocation, struct calls_options *options, int operands)
{
	char *const *argv = invocation->argv + operands;

	if (!options->counts)
		return common_misuse(invocation, "give -c: functions can only be counted yet");
	if (!options->functions.count)
		return common_misuse(invocation, "no function is given; use -f OBJECT:FUNCTION");
	if (select_given(&options->selection))
		return select_run(invocation, operands, &options->selection, &options->common.output, true,
				  count_processes, options);
	if (!*argv)
		return common_misuse(invocation, "no process and no command is given");
	if (options->selection.tree)
		return common_misuse(invocation, "--tree is for running processes; children of a command are counted");
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
