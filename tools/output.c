/* SPDX-License-Identifier: BSD-2-Clause */
#include "output.h"

#include <langinfo.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "message.h"

enum { COLUMNS_MIN = 60, COLUMNS_DEFAULT = 100 };

static const struct output_writer *const writers[] = {
	[OUTPUT_TEXT] = &output_text,
	[OUTPUT_JSONL] = &output_jsonl,
	[OUTPUT_FOLDED] = &output_folded,
	[OUTPUT_CHROME] = &output_chrome,
};

/* COLUMNS has the last word, so that a file may get long lines. */
static int columns_of(int fd)
{
	const char *asked = getenv("COLUMNS");
	struct winsize size = { 0 };
	long columns = asked ? strtol(asked, NULL, 10) : 0;

	if (columns <= 0 && isatty(fd) && !ioctl(fd, TIOCGWINSZ, &size))
		columns = size.ws_col;
	if (columns <= 0)
		columns = COLUMNS_DEFAULT;
	if (columns < COLUMNS_MIN)
		columns = COLUMNS_MIN;
	return columns > 1 << 20 ? 1 << 20 : (int)columns;
}

static bool color_for(enum output_color choice, int fd)
{
	const char *none = getenv("NO_COLOR"), *terminal = getenv("TERM");

	if (choice != OUTPUT_COLOR_AUTO)
		return choice == OUTPUT_COLOR_ALWAYS;
	return isatty(fd) && !(none && *none) && terminal && strcmp(terminal, "dumb") != 0;
}

bool output_open(struct output *output, const struct output_options *options, char *const *argv)
{
	struct timespec now;
	int result;

	*output = (struct output){ .options = *options, .writer = writers[options->format] };
	result = sink_open(&output->sink, options->path);
	if (result < 0) {
		message("cannot write to '%s': %s", options->path, strerror(-result));
		return false;
	}
	output->columns = columns_of(output->sink.fd);
	output->color = color_for(options->color, output->sink.fd);
	output->unicode = !strcmp(nl_langinfo(CODESET), "UTF-8");
	if (!options->quiet)
		output->wanted = (options->events ? options->events : output->writer->shows) | options->stacks;
	clock_gettime(CLOCK_MONOTONIC, &now);
	output->start_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	if (!options->quiet)
		output->writer->header(output, argv);
	return true;
}

void output_event(struct output *output, const struct tether_event *event, const struct process *process)
{
	if (event->t_ns > output->last_ns)
		output->last_ns = event->t_ns;
	if (event->kind >= 64 || !(output->wanted & TETHER_EVENT_BIT(event->kind)) || output->sink.error)
		return;
	output->writer->event(output, event, process);
	sink_added(&output->sink);
}

void output_ending(struct output *output, const struct output_ending *ending)
{
	if (!(output->wanted & TETHER_EVENT_BIT(TETHER_EVENT_EXIT)) || output->sink.error)
		return;
	output->writer->ending(output, ending);
	sink_added(&output->sink);
}

void output_process(struct output *output, const struct output_process *process)
{
	if (output->options.quiet || output->sink.error)
		return;
	output->writer->process(output, process);
	sink_added(&output->sink);
}

void output_overdue(struct output *output, const struct output_process *command, uint64_t timeout_ns, size_t count)
{
	if (output->options.quiet || output->sink.error)
		return;
	output->writer->overdue(output, command, timeout_ns, count);
	sink_added(&output->sink);
}

void output_object(struct output *output, int64_t pid, const struct tether_object *object)
{
	if (output->options.quiet || output->sink.error)
		return;
	output->writer->object(output, pid, object);
	sink_added(&output->sink);
}

void output_verdict(struct output *output, const struct output_verdict *verdict)
{
	if (output->options.quiet || output->sink.error)
		return;
	output->writer->verdict(output, verdict);
	sink_added(&output->sink);
}

void output_summary(struct output *output, const struct tether_stats *stats)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	output->last_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	if (!output->options.quiet && !output->sink.error)
		output->writer->summary(output, stats);
	output_flush(output);
}

void output_error(struct output *output, const char *code, const char *text, const char *cure)
{
	bool records = output->options.format == OUTPUT_JSONL;

	if (records) {
		output->writer->error(output, code, text, cure);
		output_flush(output);
	}
	if (records && !output->options.path)
		return;
	output_flush(output);
	message("%s%s%s", text, *cure ? "; " : "", cure);
}

void output_failure(struct output *output, const char *what, int code, const struct tether_error *error)
{
	const char *cure = tether_error_cure(code);
	char text[sizeof(error->message)];
	size_t length, tail = strlen(cure);

	if (error && error->message[0])
		snprintf(text, sizeof(text), "%s", error->message);
	else
		snprintf(text, sizeof(text), "%s: %s", what, tether_strerror(code));
	/* The library's sentence ends with the cure, which has a place of its own here. */
	length = strlen(text);
	if (tail && length > tail + 2 && !strcmp(text + length - tail, cure) &&
	    !strncmp(text + length - tail - 2, "; ", 2))
		text[length - tail - 2] = '\0';
	output_error(output, tether_error_name(code), text, cure);
}

void output_note(struct output *output, const char *format, ...)
{
	bool records = output->options.format == OUTPUT_JSONL || output->options.format == OUTPUT_CHROME;
	char text[1024];
	va_list args;

	if (output->options.quiet || (records && !output->options.path))
		return;
	output_flush(output);
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	message("%s", text);
}

/* Said once, and only where it can be heard: not when standard error itself is the sink that failed. */
static void complain(struct output *output)
{
	if (output->complained || !output->sink.error)
		return;
	output->complained = true;
	if (output->options.path)
		message("cannot write to '%s': %s; no more records are written", output->options.path,
			strerror(output->sink.error));
}

void output_flush(struct output *output)
{
	sink_flush(&output->sink);
	complain(output);
}

bool output_broken(const struct output *output)
{
	return output->sink.error != 0;
}

bool output_close(struct output *output)
{
	int result = sink_close(&output->sink);

	complain(output);
	return result == 0;
}

const char *signal_name(int signal, char room[16])
{
	const char *name = sigabbrev_np(signal);

	if (name)
		snprintf(room, 16, "SIG%s", name);
	else if (signal == SIGRTMIN)
		snprintf(room, 16, "SIGRTMIN");
	else if (signal > SIGRTMIN && signal <= SIGRTMAX)
		snprintf(room, 16, "SIGRTMIN+%d", signal - SIGRTMIN);
	else
		snprintf(room, 16, "SIG%d", signal);
	return room;
}

const char *fork_kind_name(uint32_t kind)
{
	static const char *const names[] = {
		[TETHER_FORK] = "fork",
		[TETHER_VFORK] = "vfork",
		[TETHER_CLONE] = "clone",
	};

	return kind >= TETHER_FORK && kind <= TETHER_CLONE ? names[kind] : "unknown";
}

const char *mode_name(uint32_t mode)
{
	static const char *const names[] = {
		[TETHER_MODE_DEFAULT] = "default",
		[TETHER_MODE_RUN] = "run",
		[TETHER_MODE_KILL] = "kill",
		[TETHER_MODE_HANG] = "hang",
	};

	return mode <= TETHER_MODE_HANG ? names[mode] : "unknown";
}
