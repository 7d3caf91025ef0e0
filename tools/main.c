/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * main.c - the tether command: one row a subcommand
 */
#include <locale.h>
#include <string.h>

#include "common.h"
#include "message.h"

static const struct command {
	const char *name, *sentence;
	command_fn *run;
} commands[] = {
	{ "run", "run a command and show what it does", command_run },
	{ "watch", "run a command untraced; show its stacks if it hangs", command_watch },
	{ "attach", "show what running processes do", command_attach },
	{ "calls", "count the calls of functions", command_calls },
	{ "hold", "stop running processes and leave them stopped", command_hold },
	{ "resume", "let stopped processes go on", command_resume },
	{ "wait", "wait for processes that are no children, show how they end", command_wait },
	{ "stack", "show the stacks of running processes", command_stack },
	{ "libs", "show the load objects of running processes", command_libs },
	{ "sym", "name addresses of running processes, or find names", command_sym },
	{ "doctor", "can a process be held; if not, why, and what would allow it", command_doctor },
};

enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static int print_overview(void)
{
	struct buffer text = { 0 };
	int status;

	buffer_text(&text,
		    "usage: tether SUBCOMMAND [options] [...]\n"
		    "Follow programs - what they execute, load and how they end - without harming them.\n\n");
	for (size_t i = 0; i < COMMANDS; i++)
		buffer_printf(&text, "  %-10s%s\n", commands[i].name, commands[i].sentence);
	buffer_text(&text,
		    "\n  -h, --help     show this; 'tether SUBCOMMAND --help' shows its options\n"
		    "  -V, --version  show the version\n\n"
		    "Exit status: 124 after --timeout, 125 when tether failed, 126 when a command cannot be\n"
		    "run, 127 when it is not found; else 0, or that of the command.\n"
		    "Example: tether run -- python3 -c 'import ssl'\n");
	status = print_text(&text);
	buffer_free(&text);
	return status;
}

int main(int argc, char **argv)
{
	struct invocation invocation = { argc - 1, argv + 1, argv };
	const char *word = argc > 1 ? argv[1] : NULL;

	/* For the width of characters and for what the terminal can show; numbers and messages stay as they
	 * are. */
	setlocale(LC_CTYPE, "");
	if (!word) {
		message("no subcommand is given; see 'tether --help'");
		return STATUS_TETHER;
	}
	if (!strcmp(word, "-h") || !strcmp(word, "--help"))
		return print_overview();
	if (!strcmp(word, "-V") || !strcmp(word, "--version"))
		return print_version();
	for (size_t i = 0; i < COMMANDS; i++) {
		if (!strcmp(word, commands[i].name))
			return commands[i].run(&invocation);
	}
	message("unknown %s '%s'; see 'tether --help'", *word == '-' ? "option" : "subcommand", word);
	return STATUS_TETHER;
}
