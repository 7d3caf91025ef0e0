/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A process whose first thread has ended: /proc/PID of it shows a zombie, and nothing of its memory. "load"
 * opens and closes a library, "fork" makes a child and waits for it, "exec" runs quiet 7; the first
 * two end with "done".
 */
#include "victim.h"

#include <dlfcn.h>
#include <pthread.h>
#include <sys/wait.h>

static pthread_t leader;
/* /proc/self shows nothing any more once the leader has ended. */
static char *plugin, *program;

static void load(void)
{
	void *handle = dlopen(plugin, RTLD_NOW);

	say("expect load plugin-a.so");
	if (!handle || dlclose(handle))
		say("wrong: %s", dlerror());
	say("expect unload plugin-a.so");
}

static void make_child(void)
{
	int status = 0;
	pid_t child = fork();

	if (child == 0)
		_exit(5);
	if (child < 0 || waitpid(child, &status, 0) != child || status != 5 << 8)
		say("wrong: the child ended with %#x", (unsigned)status);
}

static void *serve(void *data)
{
	/* Joined, it is no more than a zombie. */
	if (pthread_join(leader, NULL))
		say("wrong: the leader cannot be joined");
	say("ready");
	for (;;) {
		const char *word = hear();
		if (!*word)
			exit(0);
		if (strcmp(word, "load") == 0)
			load();
		else if (strcmp(word, "fork") == 0)
			make_child();
		else if (strcmp(word, "exec") == 0)
			execl(program, "quiet", "7", (char *)NULL);
		say("done");
	}
	return data;
}

int main(void)
{
	pthread_t thread;

	leader = pthread_self();
	plugin = beside("plugin-a.so");
	program = beside("quiet");
	if (pthread_create(&thread, NULL, serve, NULL))
		return 99;
	pthread_exit(NULL);
}
