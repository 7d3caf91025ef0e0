/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What loads libraries, at each word it hears:
 *
 *	"dlopen"     plugin-a and plugin-b, opened and closed
 *	"threads"    eight threads, none the leader, each opens and closes its own library twenty times
 *	"namespace"  plugin-a once more, in a namespace of its own; stays open
 *	"unknown"    a library that does not exist
 *
 * Each ends with "done". Constructors are checked to have run.
 */
#include "victim.h"

#include <dlfcn.h>
#include <pthread.h>

enum { THREADS = 8, TIMES = 20 };

static void *open_plugin(const char *path, bool own_namespace)
{
	void *handle = own_namespace ? dlmopen(LM_ID_NEWLM, path, RTLD_NOW) : dlopen(path, RTLD_NOW);
	int *constructed = handle ? dlsym(handle, "plugin_constructed") : NULL;
	if (!constructed || *constructed != 1)
		say("wrong: %s", handle ? "constructor did not run once" : dlerror());
	return handle;
}

static void open_and_close(const char *name, bool tell)
{
	char *path = beside(name);
	void *handle = open_plugin(path, false);
	if (tell)
		say("expect load %s", name);
	if (!handle || dlclose(handle))
		say("wrong: cannot close %s", name);
	if (tell)
		say("expect unload %s", name);
	free(path);
}

static void *thread_main(void *data)
{
	char name[32];
	snprintf(name, sizeof(name), "plugin-t%d.so", *(int *)data);
	for (int i = 0; i < TIMES; i++)
		open_and_close(name, false);
	return NULL;
}

static void with_threads(void)
{
	pthread_t thread[THREADS];
	int number[THREADS];
	for (int i = 0; i < THREADS; i++) {
		number[i] = i;
		if (pthread_create(&thread[i], NULL, thread_main, &number[i]))
			exit(98);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
}

int main(void)
{
	say("ready");
	for (;;) {
		const char *word = hear();
		if (!*word)
			return 0;
		if (strcmp(word, "dlopen") == 0) {
			open_and_close("plugin-a.so", true);
			open_and_close("plugin-b.so", true);
		} else if (strcmp(word, "threads") == 0) {
			with_threads();
		} else if (strcmp(word, "namespace") == 0) {
			open_plugin(beside("plugin-a.so"), true);
			say("expect load plugin-a.so");
		} else if (strcmp(word, "unknown") == 0) {
			if (dlopen("/nowhere/at-all.so", RTLD_NOW))
				say("wrong: it was found");
		} else {
			say("wrong word %s", word);
		}
		say("done");
	}
}
