/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_stack.c - the stacks of running processes, once or again and again
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common.h"
#include "output_stack.h"
#include "output_symbol.h"
#include "refusal.h"
#include "select.h"
#include "signals.h"
#include "stacks_fetch.h"

struct tids {
	int64_t *tids;
	size_t count;
};

struct stack_options {
	struct common_options common;
	struct selection selection;
	struct tids tids;
	bool rolling, still, stop_all, merge, raw, lines, fetch;
	uint64_t frames, kbytes, count, every_ns;
};

/* ---- options ---------------------------------------------------------------------------------------------- */

static bool number(const char *argument, uint64_t high, uint64_t *ret, struct buffer *why)
{
	char *end;

	errno = 0;
	*ret = strtoull(argument, &end, 10);
	if (*argument >= '0' && *argument <= '9' && !*end && !errno && *ret && *ret <= high)
		return true;
	buffer_printf(why, "give a number from 1 to %llu", (unsigned long long)high);
	return false;
}

static bool option_frames(void *field, const char *argument, struct buffer *why)
{
	return number(argument, TETHER_STACK_FRAMES_MAX, field, why);
}

static bool option_kbytes(void *field, const char *argument, struct buffer *why)
{
	return number(argument, TETHER_STACK_KBYTES_MAX, field, why);
}

static bool option_count(void *field, const char *argument, struct buffer *why)
{
	return number(argument, 1000000000, field, why);
}

static bool option_tids(void *field, const char *argument, struct buffer *why)
{
	struct tids *tids = field;

	for (;;) {
		size_t length = strcspn(argument, ",");
		char word[16] = "";
		uint64_t tid;
		int64_t *more = reallocarray(tids->tids, tids->count + 1, sizeof(*more));

		if (!more) {
			buffer_text(why, "out of memory");
			return false;
		}
		tids->tids = more;
		if (length < sizeof(word))
			memcpy(word, argument, length);
		if (!number(word, INT32_MAX, &tid, why))
			return false;
		more[tids->count++] = (int64_t)tid;
		if (!argument[length])
			return true;
		argument += length + 1;
	}
}

static bool option_stack_format(void *field, const char *argument, struct buffer *why)
{
	if (strcmp(argument, "folded") != 0)
		return option_format(field, argument, why);
	*(enum output_format *)field = OUTPUT_FOLDED;
	return true;
}

static const struct option_row rows[] = {
	SELECT_OPTIONS(struct stack_options, selection),
	{ 't', "tid", "TID[,TID...]", "only these threads", option_tids, offsetof(struct stack_options, tids) },
	{ 0, "rolling", NULL, "stop one thread after the other, not all together", option_flag,
	  offsetof(struct stack_options, rolling) },
	{ 0, "still", NULL, "stop nobody: threads that are blocked in a system call", option_flag,
	  offsetof(struct stack_options, still) },
	{ 0, "stop-all", NULL, "stop also threads that are blocked in a system call", option_flag,
	  offsetof(struct stack_options, stop_all) },
	{ 0, "merge", NULL, "equal stacks once, with their number", option_flag,
	  offsetof(struct stack_options, merge) },
	{ 0, "frames", "N", "at most so many of each stack (1024)", option_frames,
	  offsetof(struct stack_options, frames) },
	{ 0, "kbytes", "N", "copy at most so much of each stack (2048)", option_kbytes,
	  offsetof(struct stack_options, kbytes) },
	{ 'l', "lines", NULL, "file, line and inlined functions too, from debug information", option_flag,
	  offsetof(struct stack_options, lines) },
	{ 0, "fetch", NULL, "ask debuginfod servers for missing debug files, when all are let go", option_flag,
	  offsetof(struct stack_options, fetch) },
	{ 0, "raw-names", NULL, "C++ and Rust names as the linker has them", option_flag,
	  offsetof(struct stack_options, raw) },
	{ 0, "every", "SECONDS", "again and again, until Ctrl-C or the process's end", option_duration,
	  offsetof(struct stack_options, every_ns) },
	{ 0, "count", "N", "so many times", option_count, offsetof(struct stack_options, count) },
	{ 'o', "output", "FILE", "write records to FILE, not to standard error", option_string,
	  offsetof(struct stack_options, common.output.path) },
	{ 0, "format", "text|jsonl|folded", "for eyes, one JSON object a line, or for flame graphs",
	  option_stack_format, offsetof(struct stack_options, common.output.format) },
	{ 'q', "quiet", NULL, "errors only", option_flag, offsetof(struct stack_options, common.output.quiet) },
	{ 0, "color", "auto|always|never", "colours; auto: on a terminal", option_color,
	  offsetof(struct stack_options, common.output.color) },
	TIME_OPTIONS(struct stack_options, common),
	LAST_OPTIONS,
};

static const struct option_table table = {
	.usage = "stack [options] -p PID[,PID...] | -n NAME",
	.sentence = "Show the stacks of all threads of running processes as they were at one instant. A\n"
		    "thread stands only for as long as its registers and its stack are copied.",
	.rows = rows,
	.epilogue = "Exit status: 0; 124 after --timeout; 125 when a process could not be held or read.\n"
		    "Example: tether stack -n postgres --merge\n"
		    "         tether stack -p 4102 --every 0.01 --count 500 --format=folded -o /dev/stdout",
};

/* ---- work ------------------------------------------------------------------------------------------------- */

struct target {
	int64_t pid;
	struct tether *handle; /* NULL: it could not be had, or has ended */
	struct tether *reader; /* with --lines and --fetch: to be asked while nobody stands */
	struct kept_stacks kept; /* with --fetch: to be named when nobody is held */
	bool taken;
};

struct sampling {
	const struct stack_options *options;
	struct output *output;
	struct tether_session *session;
	struct signals signals;
	struct target *targets;
	size_t count, alive;
	struct stacks stacks; /* of all snapshots, where they are gathered */
	uint64_t deadline_ns;
	int status;
};

static bool gathers(const struct sampling *sampling)
{
	return sampling->options->common.output.format == OUTPUT_FOLDED ||
	       (sampling->options->merge && sampling->options->every_ns);
}

/* A return address is behind its call, which may be the last of its line, or of its function. */
static void ask_sources(const struct output *output, const struct tether_frame *frame, struct output_sources *ret)
{
	bool exact = frame->how == TETHER_HOW_PC || frame->how == TETHER_HOW_SIGNAL;
	struct tether_symbol_opts opts = { .size = sizeof(opts), .flags = output->sources_flags };

	*ret = (struct output_sources){ 0 };
	if (output->sources_of && frame->pc)
		tether_source_at(output->sources_of, exact ? frame->pc : frame->pc - 1, &opts, output_sources_collect, ret);
}

static void take_reader(struct sampling *sampling, struct target *target)
{
	struct tether_grab_opts opts = { .size = sizeof(opts), .flags = TETHER_OBSERVE };

	/* Who may hold a process may read it; if not, there are no lines. */
	if ((!sampling->options->lines && !sampling->options->fetch) ||
	    tether_grab(sampling->session, target->pid, &opts, &target->reader, NULL) < 0)
		target->reader = NULL;
}

static void take_hold(struct sampling *sampling, struct target *target)
{
	struct tether_grab_opts opts = {
		.size = sizeof(opts),
		.flags = sampling->options->still ? TETHER_OBSERVE :
						    TETHER_NO_MONITOR | TETHER_NO_PARK | TETHER_NO_FOLLOW,
		.mode = sampling->options->still ? TETHER_MODE_DEFAULT : TETHER_MODE_RUN,
		.events = TETHER_EVENT_BIT(TETHER_EVENT_LOST),
	};
	struct tether_error error = TETHER_ERROR_INIT;
	uint32_t access = sampling->options->still ? TETHER_ACCESS_OBSERVE : TETHER_ACCESS_CONTROL;
	int result = tether_grab(sampling->session, target->pid, &opts, &target->handle, &error);

	if (result >= 0) {
		sampling->alive++;
		take_reader(sampling, target);
		return;
	}
	target->handle = NULL;
	refusal(sampling->output, "take the stacks of", target->pid, access, result, &error);
	sampling->status = STATUS_TETHER;
}

static void let_go(struct sampling *sampling, struct target *target)
{
	tether_release(target->handle);
	target->handle = NULL;
	sampling->alive--;
	/* It is asked for the names yet. */
	if (target->taken)
		return;
	kept_stacks_free(&target->kept);
	tether_release(target->reader);
	target->reader = NULL;
}

/* Nobody is held any more: now it may take its time. */
static void fetch_and_show(struct sampling *sampling, struct target *target)
{
	const struct stack_options *options = sampling->options;
	uint32_t flags = TETHER_SYMBOL_FETCH | (options->raw ? (uint32_t)TETHER_SYMBOL_RAW : 0);
	struct stacks own, *stacks = gathers(sampling) ? &sampling->stacks : &own;

	sampling->output->ask_sources = options->lines ? ask_sources : NULL;
	sampling->output->sources_of = target->reader;
	sampling->output->sources_flags = TETHER_SYMBOL_FETCH;
	if (stacks == &own)
		stacks_begin(&own, sampling->output, options->merge);
	kept_stacks_name(&target->kept, target->reader, flags, stacks_add, stacks);
	if (stacks == &own) {
		stacks_end(&own);
		stacks_snapshot(&own, &target->kept.snapshot);
	}
	kept_stacks_free(&target->kept);
	tether_release(target->reader);
	target->reader = NULL;
}

static void sample(struct sampling *sampling, struct target *target, bool first)
{
	const struct stack_options *options = sampling->options;
	struct tether_snapshot_opts opts = {
		.size = sizeof(opts),
		.manner = options->still ? TETHER_STILL : options->rolling ? TETHER_ROLLING : TETHER_TOGETHER,
		.flags = (options->fetch ? TETHER_SNAPSHOT_NO_NAMES : options->raw ? TETHER_SNAPSHOT_RAW_NAMES : 0) |
			 (options->stop_all ? 0 : TETHER_SNAPSHOT_SPARE_BLOCKED),
		.max_frames = (uint32_t)options->frames,
		.max_kbytes = (uint32_t)options->kbytes,
		.tids = options->tids.tids,
		.tid_count = (uint32_t)options->tids.count,
	};
	struct tether_snapshot snapshot = { .size = sizeof(snapshot) };
	int result;

	sampling->output->ask_sources = options->lines ? ask_sources : NULL;
	sampling->output->sources_of = target->reader;
	target->kept.snapshot.size = sizeof(target->kept.snapshot);
	if (options->fetch)
		result = tether_snapshot(target->handle, &opts, kept_stacks_add, &target->kept, &target->kept.snapshot);
	else if (gathers(sampling))
		result = tether_snapshot(target->handle, &opts, stacks_add, &sampling->stacks, &snapshot);
	else
		result = stacks_take(sampling->output, target->handle, &opts, options->merge);
	target->taken = options->fetch && result >= 0;
	if (result >= 0)
		return;
	/* Of what is looked at again and again the end is no failure. */
	if (first || (result != -TETHER_EGONE && result != -TETHER_ELOST)) {
		refusal(sampling->output, "take the stacks of", target->pid,
			options->still ? TETHER_ACCESS_OBSERVE : TETHER_ACCESS_CONTROL, result, NULL);
		sampling->status = STATUS_TETHER;
	}
	let_go(sampling, target);
}

/* False: a signal ended it, or the time that was given. */
static bool wait_until(struct sampling *sampling, uint64_t until)
{
	struct pollfd fd = { .fd = sampling->signals.fd, .events = POLLIN };
	uint64_t end = sampling->deadline_ns && sampling->deadline_ns < until ? sampling->deadline_ns : until, now;

	while ((now = now_ns()) < end) {
		struct timespec left = { (time_t)((end - now) / 1000000000), (long)((end - now) % 1000000000) };

		if (ppoll(&fd, 1, &left, NULL) > 0 && signals_next(&sampling->signals))
			return false;
	}
	if (signals_next(&sampling->signals))
		return false;
	if (end < until)
		sampling->status = STATUS_TIMEOUT;
	return end == until;
}

static void sample_all(struct sampling *sampling)
{
	const struct stack_options *options = sampling->options;
	uint64_t times = options->every_ns ? options->count : options->count ? options->count : 1;
	uint64_t next = now_ns();

	for (uint64_t done = 0; sampling->alive; done++) {
		for (size_t i = 0; i < sampling->count; i++) {
			if (sampling->targets[i].handle)
				sample(sampling, &sampling->targets[i], done == 0);
		}
		output_flush(sampling->output);
		if ((times && done + 1 >= times) || output_broken(sampling->output))
			return;
		/* A tick that has passed already is left out. */
		next += options->every_ns;
		if (options->every_ns && next < now_ns())
			next = now_ns();
		if (!wait_until(sampling, next))
			return;
	}
}

static void run(struct sampling *sampling)
{
	static const int ending[] = { SIGINT, SIGTERM, SIGHUP, 0 };
	const struct selection *selection = &sampling->options->selection;

	sampling->targets = calloc(selection->count + 1, sizeof(*sampling->targets));
	if (!sampling->targets || signals_listen(&sampling->signals, ending) < 0) {
		output_failure(sampling->output, "cannot begin", -ENOMEM, NULL);
		sampling->status = STATUS_TETHER;
		free(sampling->targets);
		return;
	}
	sampling->count = selection->count;
	for (size_t i = 0; i < sampling->count; i++) {
		sampling->targets[i].pid = selection->pids[i];
		take_hold(sampling, &sampling->targets[i]);
	}
	stacks_begin(&sampling->stacks, sampling->output, sampling->options->merge);
	sample_all(sampling);
	/* Before anything more is written, which may take its time. */
	for (size_t i = 0; i < sampling->count; i++) {
		if (sampling->targets[i].handle)
			let_go(sampling, &sampling->targets[i]);
	}
	for (size_t i = 0; i < sampling->count; i++) {
		if (sampling->targets[i].taken)
			fetch_and_show(sampling, &sampling->targets[i]);
	}
	sampling->output->ask_sources = NULL;
	if (!stacks_end(&sampling->stacks))
		sampling->status = STATUS_TETHER;
	free(sampling->targets);
}

static int stack(const void *given, struct output *output)
{
	struct sampling sampling = { .options = given, .output = output };
	struct tether_error error = TETHER_ERROR_INIT;
	int result;

	if (sampling.options->fetch) {
		result = tether_fetch_check(&error);
		if (result < 0) {
			output_failure(output, "cannot fetch debug files", result, &error);
			return STATUS_TETHER;
		}
	}
	signals_save(&sampling.signals);
	signals_survive_readers();
	if (sampling.options->common.timeout_ns)
		sampling.deadline_ns = now_ns() + sampling.options->common.timeout_ns;
	result = tether_session_open(NULL, &sampling.session, &error);
	if (result < 0) {
		output_failure(output, "cannot open a session", result, &error);
		return STATUS_TETHER;
	}
	run(&sampling);
	tether_session_close(sampling.session);
	return sampling.status;
}

int command_stack(const struct invocation *invocation)
{
	struct stack_options options = { 0 };
	int operands, status;

	if (common_parse(&table, invocation, &options, &operands, &status)) {
		if (options.rolling && options.still)
			status = common_misuse(invocation, "give --rolling or --still, not both");
		else if (options.lines && options.common.output.format == OUTPUT_FOLDED)
			status = common_misuse(invocation, "--lines is not for --format=folded");
		else if (options.fetch && options.every_ns)
			status = common_misuse(invocation, "--fetch is not for --every: servers are asked when all are let go");
		else if (options.count > 1 && !options.every_ns)
			status = common_misuse(invocation, "--count needs --every");
		else {
			status = select_run(invocation, operands, &options.selection, &options.common.output, true,
					    stack, &options);
			free(options.tids.tids);
			return status;
		}
	}
	free(options.tids.tids);
	select_free(&options.selection);
	return status;
}
