/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * common.h - options that mean the same in every subcommand
 */
#ifndef TOOLS_COMMON_H
#define TOOLS_COMMON_H

#include "command.h"
#include "options.h"
#include "output.h"

struct common_options {
	struct output_options output;
	uint64_t timeout_ns; /* 0: none */
};

option_reader option_events, option_stacks, option_format, option_color;

/*
 * The last rows of a table; `type` is the subcommand's struct, `field` its struct common_options. Those that follow or
 * wait have EVENT_OPTIONS, TIME_OPTIONS before the rest.
 */
#define EVENT_OPTIONS(type, field)                                                           \
	{ 'e', "events", "KIND[,KIND...]", "only these events; all: threads too", option_events, \
	  offsetof(type, field.output.events) },                                             \
	{ 'k', "stacks", "KIND[,KIND...]", "these with the stack of their thread", option_stacks, \
	  offsetof(type, field.output.stacks) }
#define TIME_OPTIONS(type, field)                                                                     \
	{ 0, "timeout", "SECONDS", "end after that time with status 124", option_duration,            \
	  offsetof(type, field.timeout_ns) }
#define RECORD_OPTIONS(type, field)                                                                   \
	{ 'o', "output", "FILE", "write records to FILE, not to standard error", option_string,       \
	  offsetof(type, field.output.path) },                                                        \
	{ 0, "format", "text|jsonl", "for eyes, or one JSON object a line", option_format,            \
	  offsetof(type, field.output.format) },                                                      \
	{ 'q', "quiet", NULL, "errors only", option_flag, offsetof(type, field.output.quiet) },       \
	{ 0, "color", "auto|always|never", "colours; auto: on a terminal", option_color,              \
	  offsetof(type, field.output.color) }
#define LAST_OPTIONS                                                                                  \
	{ 'h', "help", NULL, "show this; -V, --version: the version", option_help, 0 },               \
	{ 'V', "version", NULL, NULL, option_version, 0 },                                            \
	{ 0 }
#define COMMON_OPTIONS(type, field)                                                                   \
	EVENT_OPTIONS(type, field), RECORD_OPTIONS(type, field), TIME_OPTIONS(type, field), LAST_OPTIONS

/*
 * Parse, and serve -h, -V and errors. True: go on with the operands; false: end with *status.
 */
bool common_parse(const struct option_table *table, const struct invocation *invocation, void *into,
		  int *operands, int *status);
/* Options that contradict each other or lack something: says it with the way to the help. Returns the status.
 */
int common_misuse(const struct invocation *invocation, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
int print_version(void);
/* Text to standard output, at once. The exit status: a help that could not be written is a failure. */
int print_text(const struct buffer *text);

#endif
