/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What calls functions and counts the calls itself, with any number of threads; at each word it hears:
 *
 *	"call N"    every thread calls counts_call() and counts_other() N times
 *	"storm"     every thread calls counts_call() until "calm"
 *	"plugin"    counts-plugin.so is loaded, whose constructor calls counts_work(); nine more calls; unloaded
 *	"fork N"    a child calls counts_call() N times and ends
 *	"vfork N"   N children by vfork, each calls it once
 *	"exec"      executes itself, with what it has counted
 *
 * Each ends with "done CALLS", of counts_call() by all of its processes so far. Arguments: threads, calls so far.
 */
#include "victim.h"

#include <dlfcn.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define EXPORT __attribute__((noinline, visibility("default")))

static unsigned long *calls; /* shared with children */
static bool calm;
static int threads;

EXPORT int counts_call(int first, long second);
EXPORT int counts_other(int number);
EXPORT int counts_alone(int number);

int counts_call(int first, long second)
{
	__atomic_fetch_add(calls, 1, __ATOMIC_RELAXED);
	return first + (int)second;
}

int counts_other(int number)
{
	__asm__ volatile("" : "+r"(number));
	return number;
}

int counts_alone(int number)
{
	__asm__ volatile("" : "+r"(number));
	return number * 3;
}

static void *work(void *data)
{
	long times = *(long *)data;

	for (long i = 0; times ? i < times : !__atomic_load_n(&calm, __ATOMIC_RELAXED); i++) {
		counts_call((int)i, 7);
		if (times)
			counts_other((int)i);
	}
	return NULL;
}

static void in_threads(long times)
{
	pthread_t thread[64];

	calm = false;
	for (int i = 0; i < threads; i++)
		if (pthread_create(&thread[i], NULL, work, &times))
			exit(98);
	if (!times) {
		say("storming");
		await("calm");
		__atomic_store_n(&calm, true, __ATOMIC_RELAXED);
	}
	for (int i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
}

#ifdef COUNTS_STATIC
static void plugin(void)
{
	say("wrong: nothing can be loaded");
}
#else
static void plugin(void)
{
	char *path = beside("counts-plugin.so");
	void *handle = dlopen(path, RTLD_NOW);
	int (*worker)(int) = handle ? (int (*)(int))dlsym(handle, "counts_work") : NULL;

	if (!worker)
		say("wrong: %s", dlerror());
	for (int i = 0; worker && i < 9; i++)
		worker(i);
	if (!handle || dlclose(handle))
		say("wrong: cannot close it");
	free(path);
}
#endif

static void forked(long times)
{
	pid_t child = fork();

	if (child == 0) {
		for (long i = 0; i < times; i++)
			counts_call(1, 2);
		_exit(3);
	}
	int status;
	if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 3)
		say("wrong end of a child: %d", status);
}

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
static pid_t vforked_one(void)
{
	pid_t child = vfork();

	if (child == 0) {
		counts_call(1, 2);
		_exit(4);
	}
	return child;
}

static void vforked(long times)
{
	for (long i = 0; i < times; i++) {
		pid_t child = vforked_one();
		int status;

		if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 4)
			say("wrong end of a vfork child: %d", status);
	}
}

static void again(char **argv)
{
	char so_far[32];

	snprintf(so_far, sizeof(so_far), "%lu", *calls);
	execl("/proc/self/exe", argv[0], argv[1], so_far, NULL);
	say("wrong: cannot execute");
}

int main(int argc, char **argv)
{
	calls = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	threads = argc > 1 ? atoi(argv[1]) : 1;
	*calls = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
	say("ready");
	for (;;) {
		char word[32];
		long times = 0;

		if (sscanf(hear(), "%31s %ld", word, &times) < 1)
			return 0;
		if (strcmp(word, "call") == 0)
			in_threads(times);
		else if (strcmp(word, "storm") == 0)
			in_threads(0);
		else if (strcmp(word, "plugin") == 0)
			plugin();
		else if (strcmp(word, "fork") == 0)
			forked(times);
		else if (strcmp(word, "vfork") == 0)
			vforked(times);
		else if (strcmp(word, "alone") == 0)
			counts_alone(1);
		else if (strcmp(word, "exec") == 0)
			again(argv);
		else
			say("wrong word '%s'", word);
		say("done %lu", *calls);
	}
}
