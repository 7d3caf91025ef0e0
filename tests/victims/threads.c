/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * threads steady N: N threads in all, counting 4000 times a second together: the machine has time for others
 * threads churn N:  N threads that make short-lived threads as fast as they can
 *
 * At "progress" it waits until every counter has moved, then says "progress".
 */
#include "victim.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

enum { THREADS_MAX = 4096 };

static _Atomic unsigned long counter[THREADS_MAX];
static unsigned count;

static void *count_slowly(void *data)
{
	const struct timespec pause = { 0, 250000L * (count < 4 ? 4 : count) };
	for (;;) {
		nanosleep(&pause, NULL);
		atomic_fetch_add((_Atomic unsigned long *)data, 1);
	}
	return NULL;
}

static void *count_once(void *data)
{
	atomic_fetch_add((_Atomic unsigned long *)data, 1);
	return NULL;
}

static void *make_threads(void *data)
{
	for (;;) {
		pthread_t thread;
		if (pthread_create(&thread, NULL, count_once, data) == 0)
			pthread_join(thread, NULL);
	}
	return NULL;
}

static void await_progress(void)
{
	static unsigned long before[THREADS_MAX];
	const struct timespec pause = { 0, 1000000 };
	for (unsigned i = 1; i < count; i++)
		before[i] = atomic_load(&counter[i]);
	for (unsigned i = 1; i < count; i++) {
		for (unsigned tries = 0; atomic_load(&counter[i]) == before[i]; tries++) {
			if (tries == 10000) {
				say("wrong: thread %u stands still", i);
				exit(1);
			}
			nanosleep(&pause, NULL);
		}
	}
}

int main(int argc, char **argv)
{
	if (argc != 3 || (unsigned)atoi(argv[2]) > THREADS_MAX)
		return 99;
	bool churn = strcmp(argv[1], "churn") == 0;
	count = (unsigned)atoi(argv[2]);
	pthread_attr_t attr;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 10);
	for (unsigned i = 1; i < count; i++) {
		pthread_t thread;
		if (pthread_create(&thread, &attr, churn ? make_threads : count_slowly, &counter[i])) {
			say("wrong: only %u threads can be made", i);
			return 98;
		}
	}
	say("ready");
	for (;;) {
		const char *word = hear();
		if (!*word)
			exit(0);
		await_progress();
		say("%s", word);
	}
}
