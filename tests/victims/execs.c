/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * execs leader|thread PROGRAM ARG…: with eight busy threads, exec from the leader or from another thread
 *
 * Waits for "go". The new image is the same process: same pid, one thread, this program's stdin and stdout.
 */
#include "victim.h"

#include <pthread.h>
#include <time.h>

enum { THREADS = 8 };

static char **program;

static void *idle(void *data)
{
	const struct timespec pause = { 0, 1000000 };
	for (;;)
		nanosleep(&pause, NULL);
	return data;
}

static void *exec_it(void *data)
{
	execv(program[0], program);
	say("wrong: cannot exec %s", program[0]);
	exit(1);
	return data;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	if (argc < 3)
		return 99;
	program = argv + 2;
	for (int i = 0; i < THREADS; i++) {
		if (pthread_create(&thread, NULL, idle, NULL))
			return 98;
	}
	say("ready");
	await("go");
	if (strcmp(argv[1], "leader") == 0)
		exec_it(NULL);
	if (pthread_create(&thread, NULL, exec_it, NULL))
		return 98;
	for (;;)
		pause();
}
