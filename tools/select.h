/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * select.h - which running processes are meant: -p PID[,PID...] and -n NAME
 */
#ifndef TOOLS_SELECT_H
#define TOOLS_SELECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "options.h"

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
void select_free(struct selection *selection);

#endif
