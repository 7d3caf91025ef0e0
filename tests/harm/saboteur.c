/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * harm/saboteur.c - stands in for the holder and harms its victim on purpose, to test the judge
 *
 *	SABOTAGE=none|text|traced|stopped|died|wrong|stuck|left harm-saboteur [OPTION...] grab PID
 *
 * Speaks like the holder: "held", then the order 'r' answered by "released 0".
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scoreboard.h"

static void seize(pid_t pid)
{
	if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) || ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) ||
	    waitpid(pid, NULL, __WALL) != pid)
		exit(3);
}

/* One byte of text that nobody executes: the 15th of main's padding would do; the ELF header page is not
 * executable, so take the last byte of the page that holds site_return. */
static void spoil_text(pid_t pid, const struct scoreboard *board)
{
	uintptr_t at = (board->site[3] & ~4095UL) + 4088;
	long word;

	seize(pid);
	word = ptrace(PTRACE_PEEKTEXT, pid, (void *)at, NULL);
	ptrace(PTRACE_POKETEXT, pid, (void *)at, (void *)((unsigned long)word ^ 0xccUL << 56));
	ptrace(PTRACE_DETACH, pid, NULL, NULL);
}

/* The trap of a hot site, and nobody to take it out: what every other tracer leaves when it is killed. */
static void leave_trap(pid_t pid, const struct scoreboard *board)
{
	long word;

	seize(pid);
	word = ptrace(PTRACE_PEEKTEXT, pid, (void *)board->site[3], NULL);
	ptrace(PTRACE_POKETEXT, pid, (void *)board->site[3], (void *)((word & ~0xffL) | 0xcc));
	ptrace(PTRACE_DETACH, pid, NULL, NULL);
}

static void leave_child(void)
{
	if (fork() == 0)
		for (;;)
			pause();
}

static void harm(const char *how, pid_t pid, struct scoreboard *board)
{
	if (!strcmp(how, "text")) {
		spoil_text(pid, board);
	} else if (!strcmp(how, "died")) {
		leave_trap(pid, board);
	} else if (!strcmp(how, "traced")) {
		if (ptrace(PTRACE_SEIZE, pid, NULL, NULL))
			exit(3);
	} else if (!strcmp(how, "stopped")) {
		kill(pid, SIGSTOP);
	} else if (!strcmp(how, "wrong")) {
		atomic_fetch_add(&board->errors, 1);
	} else if (!strcmp(how, "left")) {
		leave_child();
	}
}

int main(int argc, char **argv)
{
	struct scoreboard *board = NULL;
	const char *how = getenv("SABOTAGE");
	pid_t pid = atoi(argv[argc - 1]);
	char letter;

	for (int i = 1; i + 1 < argc; i++)
		if (!strcmp(argv[i], "--board"))
			board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED,
				     atoi(argv[i + 1]), 0);
	if (!how || !board || board == MAP_FAILED)
		return 2;
	puts("held 0");
	fflush(stdout);
	while (read(STDIN_FILENO, &letter, 1) == 1 && letter == 'r') {
		harm(how, pid, board);
		puts("released 0");
		fflush(stdout);
	}
	return 0;
}
