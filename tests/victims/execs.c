/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * execs leader|thread PROGRAM ARG…: with eight busy threads, exec from the leader or from another thread
 * execs race TIMES: threads fork as fast as they can while this program executes itself, TIMES times, unasked
 *
 * Waits for "go". The new image is the same process: same pid, one thread, this program's stdin and stdout.
 */
#include "victim.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
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

static void *fork_on(void *data)
{
	for (;;) {
		pid_t child = fork();
		if (child == 0)
			_exit(0);
		if (child > 0)
			waitpid(child, NULL, 0);
	}
	return data;
}

/* Its forks may be under way in any thread when the exec kills that, or when exit does. */
static int race(int times)
{
	const struct timespec moment = { 0, 200000 + 37000 * (times % 16) };
	pthread_t thread;
	char number[16];

	signal(SIGCHLD, SIG_IGN); /* children of a thread that is gone are waited for by nobody */
	for (int i = 0; i < 3; i++)
		if (pthread_create(&thread, NULL, fork_on, NULL))
			return 98;
	nanosleep(&moment, NULL);
	if (times == 0)
		return 9;
	snprintf(number, sizeof(number), "%d", times - 1);
	execl("/proc/self/exe", "execs", "race", number, NULL);
	return 97;
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
	if (strcmp(argv[1], "race") == 0)
		return race(atoi(argv[2]));
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
