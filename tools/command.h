/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * command.h - the subcommands of tether
 *
 * Each is one file cmd_*.c with one row in the table of main.c.
 */
#ifndef TOOLS_COMMAND_H
#define TOOLS_COMMAND_H

/* Exit statuses of our own, those of env(1) and timeout(1); all others are the victim's. */
enum status {
	STATUS_NO = 1, /* doctor: it may not be held */
	STATUS_TIMEOUT = 124,
	STATUS_TETHER = 125,
	STATUS_CANNOT_RUN = 126,
	STATUS_NOT_FOUND = 127,
};

struct invocation {
	int argc;          /* from the subcommand on */
	char *const *argv; /* the same */
	char *const *whole_argv;
};

typedef int command_fn(const struct invocation *invocation);

command_fn command_run, command_watch, command_attach, command_calls, command_hold, command_resume, command_wait, command_libs, command_sym,
	command_stack, command_doctor;

#endif
