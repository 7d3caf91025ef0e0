/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What makes children, at each word it hears:
 *
 *	"vfork"    100 times vfork + exec of quiet
 *	"spawn"    100 times posix_spawn of quiet
 *	"fork"     100 times fork, the child ends at once with a status of its own
 *	"dlopen"   plugin-a opened and closed by this process
 *	"fork-dlopen"   a forked child opens plugin-b itself and ends
 *	"vfork-wait"    says "waiting", and its vfork child reads the next word before it execs
 *	"fork-wait"     says "waiting", and its forked child lives until the next word
 *
 * Each ends with "done". Every child's end is checked.
 */
#include "victim.h"

#include <dlfcn.h>
#include <errno.h>
#include <spawn.h>
#include <sys/wait.h>

enum { TIMES = 100 };

extern char **environ;
static char *quiet[3];

static void expect_end(pid_t child, int code)
{
	int status;
	while (waitpid(child, &status, 0) < 0) {
		if (errno != EINTR) {
			say("wrong: child %d cannot be waited for", child);
			return;
		}
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status) != code)
		say("wrong: child ended with wait status %#x, expected exit %d", (unsigned)status, code);
}

__attribute__((noinline)) static pid_t vfork_exec(int wait_first)
{
	pid_t child = vfork();
	if (child == 0) {
		char byte;
		while (wait_first && read(0, &byte, 1) == 1 && byte != '\n')
			;
		execv(quiet[0], quiet);
		_exit(126);
	}
	return child;
}

static void load(const char *name)
{
	char *path = beside(name);
	void *handle = dlopen(path, RTLD_NOW);
	say("expect load %s", name);
	if (!handle || dlclose(handle))
		say("wrong: %s", dlerror());
	say("expect unload %s", name);
	free(path);
}

static void many(const char *how)
{
	for (int i = 0; i < TIMES; i++) {
		pid_t child = -1;
		int code = 7;
		if (strcmp(how, "vfork") == 0) {
			child = vfork_exec(0);
		} else if (strcmp(how, "spawn") == 0) {
			if (posix_spawn(&child, quiet[0], NULL, NULL, quiet, environ))
				say("wrong: posix_spawn");
		} else {
			code = i % 100;
			child = fork();
			if (child == 0)
				_exit(code);
		}
		expect_end(child, code);
	}
}

static void fork_and(const char *word)
{
	pid_t child = fork();
	if (child == 0) {
		if (strcmp(word, "fork-dlopen") == 0)
			load("plugin-b.so");
		else
			hear();
		_exit(5);
	}
	if (strcmp(word, "fork-wait") == 0)
		say("waiting");
	expect_end(child, 5);
}

int main(void)
{
	quiet[0] = beside("quiet");
	quiet[1] = (char[]){ "7" };
	say("ready");
	for (;;) {
		const char *word = hear();
		if (!*word)
			return 0;
		if (strcmp(word, "dlopen") == 0) {
			load("plugin-a.so");
		} else if (strcmp(word, "fork-dlopen") == 0 || strcmp(word, "fork-wait") == 0) {
			fork_and(word);
		} else if (strcmp(word, "vfork-wait") == 0) {
			say("waiting");
			expect_end(vfork_exec(1), 7);
		} else {
			many(word);
		}
		say("done");
	}
}
