/* SPDX-License-Identifier: BSD-2-Clause */
#include "common.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "message.h"

/* Two kinds share the name "thread". */
static void put_kinds(struct buffer *out, uint64_t among)
{
	const char *last = "";

	buffer_text(out, "all");
	for (uint32_t kind = 1; kind < 64; kind++) {
		const char *name = tether_event_name(kind);

		if (among & TETHER_EVENT_BIT(kind) && tether_event_kinds_by_name(name) && strcmp(name, last) != 0)
			buffer_printf(out, " %s", name);
		last = name;
	}
}

static bool read_kinds(uint64_t *kinds, const char *argument, uint64_t among, struct buffer *why)
{
	for (;;) {
		size_t length = strcspn(argument, ",");
		char name[32] = "";
		uint64_t named = 0;

		if (length < sizeof(name)) {
			memcpy(name, argument, length);
			named = strcmp(name, "all") ? tether_event_kinds_by_name(name) : TETHER_EVENT_ALL;
		}
		if (!(named & among)) {
			buffer_text(why, "the kinds are ");
			put_kinds(why, among);
			return false;
		}
		*kinds |= named & among;
		if (!argument[length])
			return true;
		argument += length + 1;
	}
}

bool option_events(void *field, const char *argument, struct buffer *why)
{
	return read_kinds(field, argument, TETHER_EVENT_ALL, why);
}

/* The one kind that people ask for and cannot have: say why, and what to do. */
static bool names_exec(const char *argument)
{
	for (; *argument; argument += strcspn(argument, ","), argument += *argument == ',') {
		if (!strncmp(argument, "exec", 4) && (argument[4] == ',' || !argument[4]))
			return true;
	}
	return false;
}

bool option_stacks(void *field, const char *argument, struct buffer *why)
{
	if (names_exec(argument)) {
		buffer_text(why, "the kernel tells of an exec when the old image is gone, and with it the stack of who has called "
				 "it; to see that before, every system call would have to be stopped at, as "
				 "'strace -f -k -e trace=execve,execveat' does");
		return false;
	}
	return read_kinds(field, argument, TETHER_EVENTS_WITH_STACK, why);
}

/* The index of a word in a list, -1 when it is none of it. */
static int choice(const char *argument, const char *const *list, int count, struct buffer *why)
{
	for (int i = 0; i < count; i++) {
		if (!strcmp(argument, list[i]))
			return i;
	}
	buffer_text(why, "give ");
	for (int i = 0; i < count; i++)
		buffer_printf(why, "%s%s", i == 0 ? "" : i + 1 < count ? ", " : " or ", list[i]);
	return -1;
}

bool option_format(void *field, const char *argument, struct buffer *why)
{
	static const char *const names[] = { [OUTPUT_TEXT] = "text", [OUTPUT_JSONL] = "jsonl" };
	int chosen = choice(argument, names, 2, why);

	if (chosen >= 0)
		*(enum output_format *)field = (enum output_format)chosen;
	return chosen >= 0;
}

bool option_color(void *field, const char *argument, struct buffer *why)
{
	static const char *const names[] = {
		[OUTPUT_COLOR_AUTO] = "auto",
		[OUTPUT_COLOR_ALWAYS] = "always",
		[OUTPUT_COLOR_NEVER] = "never",
	};
	int chosen = choice(argument, names, 3, why);

	if (chosen >= 0)
		*(enum output_color *)field = (enum output_color)chosen;
	return chosen >= 0;
}

int print_text(const struct buffer *text)
{
	size_t done = 0;

	while (done < text->length) {
		ssize_t written = write(STDOUT_FILENO, text->data + done, text->length - done);

		if (written < 0 && errno != EINTR) {
			message("cannot write to standard output: %s", strerror(errno));
			return STATUS_TETHER;
		}
		done += written > 0 ? (size_t)written : 0;
	}
	return 0;
}

int print_version(void)
{
	struct buffer text = { 0 };
	int status;

	buffer_printf(&text, "tether %s\n", tether_version());
	status = print_text(&text);
	buffer_free(&text);
	return status;
}

static int print_help(const struct option_table *table)
{
	struct buffer text = { 0 };
	int status;

	options_help(table, &text);
	status = print_text(&text);
	buffer_free(&text);
	return status;
}

bool common_parse(const struct option_table *table, const struct invocation *invocation, void *into,
		  int *operands, int *status)
{
	struct buffer error = { 0 };
	enum options_result result =
		options_parse(table, invocation->argc, invocation->argv, into, operands, &error);

	switch (result) {
	case OPTIONS_RUN:
		break;
	case OPTIONS_HELP:
		*status = print_help(table);
		break;
	case OPTIONS_VERSION:
		*status = print_version();
		break;
	case OPTIONS_BAD:
		*status = common_misuse(invocation, "%s", buffer_string(&error));
		break;
	}
	buffer_free(&error);
	return result == OPTIONS_RUN;
}

int common_misuse(const struct invocation *invocation, const char *format, ...)
{
	char text[768];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	message("%s: %s; see 'tether %s --help'", invocation->argv[0], text, invocation->argv[0]);
	return STATUS_TETHER;
}
