/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * select.h - which running processes are meant: -p PID[,PID...], -n NAME and --tree
 */
#ifndef TOOLS_SELECT_H
#define TOOLS_SELECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "command.h"
#include "options.h"
#include "output.h"

struct selection {
	int64_t *pids; /* each once, in the order given */
	size_t count;
	const char **names;
	size_t name_count;
	bool tree; /* with all descendants */
};

option_reader option_pids; /* struct selection */
option_reader option_name; /* struct selection */

#define SELECT_OPTIONS(type, field)                                                               \
	{ 'p', "pid", "PID[,PID...]", "these processes", option_pids, offsetof(type, field) },    \
		{ 'n',         "name",                                                            \
		  "NAME",      "all whose name or program's base name is NAME",                   \
		  option_name, offsetof(type, field) },                                           \
	{                                                                                         \
		0, "tree", NULL, "their descendants too", option_flag, offsetof(type, field.tree) \
	}

/*
 * Turn the names into pids. False without memory, or when /proc cannot be read. *missing: the first name that
 * no process has, NULL when each has one.
 */
bool select_resolve(struct selection *selection, const char **missing);
/* With --tree: their descendants at this moment, behind them. False without memory, or when /proc cannot be read. */
bool select_descend(struct selection *selection);
/* Was any process named? */
bool select_given(const struct selection *selection);
/* Names into pids and, where asked for, the tree into its processes. Says itself what is wrong. */
bool select_processes(struct selection *selection, struct output *output, bool descend);

/*
 * The frame of a subcommand on processes: refuses operands and an empty choice, opens the output, finds the processes,
 * has run(options, output) deal with them, closes the output. Returns the exit status; frees the selection.
 */
typedef int select_run_fn(const void *options, struct output *output);
int select_run(const struct invocation *invocation, int operands, struct selection *selection,
	       const struct output_options *output_options, bool descend, select_run_fn *run, const void *options);
/* The same of one whose operands are its own. */
int select_run_words(const struct invocation *invocation, struct selection *selection,
		     const struct output_options *output_options, bool descend, select_run_fn *run, const void *options);
/*
 * Opens a session and asks each process in it, one(session, output, pid, data): 0 or an exit status, of which the highest is
 * returned.
 */
typedef int select_one_fn(struct tether_session *session, struct output *output, int64_t pid, const void *data);
int select_ask_each(const struct selection *selection, struct output *output, select_one_fn *one, const void *data);
void select_free(struct selection *selection);

#endif
