/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ends by a signal, in the way that its last word says: argv[1], or the word that it reads. Four other threads work
 * meanwhile; in the way "race" one of them ends the process with 7, half a second after the crash.
 *
 * The functions have names that a stack is to show: crash_here() calls the one that crashes.
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#ifdef __clang__ /* which makes no clones, and does not know the word */
#define KEPT __attribute__((noinline))
#else
#define KEPT __attribute__((noinline, noclone))
#endif

static const char *way = "";
static volatile int crashing;
static volatile int *volatile nowhere = (volatile int *)(uintptr_t)16;

static void pause_ms(long ms)
{
	const struct timespec time = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&time, NULL);
}

static void *work(void *name)
{
	prctl(PR_SET_NAME, name);
	for (;;) {
		pause_ms(1);
		if (crashing && !strcmp(way, "race") && !strcmp(name, "worker-0")) {
			pause_ms(500);
			_exit(7);
		}
	}
	return NULL;
}

KEPT static int wild_write(void)
{
	crashing = 1;
	*nowhere = 1;
	return crashing;
}

KEPT static int too_deep(int n)
{
	volatile char room[4096];

	memset((void *)(uintptr_t)room, n, sizeof(room));
	return too_deep(n + 1) + room[5];
}

static void once(int signal)
{
	struct sigaction action = { .sa_handler = SIG_DFL };

	sigaction(signal, &action, NULL);
	raise(signal);
}

static void catch_once(int flags)
{
	struct sigaction action = { .sa_handler = once, .sa_flags = flags };

	sigaction(SIGSEGV, &action, NULL);
}

static void other_stack(void)
{
	stack_t stack = { .ss_sp = malloc(65536), .ss_size = 65536 };

	sigaltstack(&stack, NULL);
}

static void *in_thread(void *data)
{
	prctl(PR_SET_NAME, "crasher");
	pause_ms(10);
	return wild_write() ? data : NULL;
}

static sigjmp_buf back;

static void jump(int signal)
{
	siglongjmp(back, signal);
}

/* Faults that the program deals with itself: none of them ends it. */
static void survive(void)
{
	struct sigaction action = { .sa_handler = jump, .sa_flags = SA_NODEFER };

	sigaction(SIGSEGV, &action, NULL);
	for (volatile int i = 0; i < 200; i++) {
		if (!sigsetjmp(back, 1))
			wild_write();
	}
	signal(SIGABRT, SIG_IGN);
	raise(SIGABRT);
	puts("done");
	exit(0);
}

KEPT static int crash_here(void)
{
	pthread_t thread;
	sigset_t all;

	if (!strcmp(way, "thread")) {
		pthread_create(&thread, NULL, in_thread, NULL);
		pthread_join(thread, NULL);
	}
	if (!strcmp(way, "abort"))
		abort();
	if (!strcmp(way, "deep"))
		return too_deep(0) + 1;
	if (!strcmp(way, "deep-caught")) {
		other_stack();
		catch_once(SA_ONSTACK);
		return too_deep(0) + 1;
	}
	if (!strcmp(way, "deep-uncatchable")) {
		catch_once(0);
		return too_deep(0) + 1;
	}
	if (!strcmp(way, "trap"))
		__asm__ volatile("int3");
	if (!strcmp(way, "illegal"))
		__builtin_trap();
	if (!strcmp(way, "blocked")) {
		sigfillset(&all);
		pthread_sigmask(SIG_BLOCK, &all, NULL);
	}
	if (!strcmp(way, "ignored"))
		signal(SIGSEGV, SIG_IGN);
	if (!strcmp(way, "sent")) {
		kill(getpid(), SIGQUIT);
		pause();
	}
	if (!strcmp(way, "survive"))
		survive();
	return wild_write() + 1;
}

int main(int argc, char **argv)
{
	static char names[4][16], word[32];
	pthread_t thread;

	setvbuf(stdout, NULL, _IOLBF, 0);
	/* A shell without job control has its background jobs ignore it, the test run among them. */
	signal(SIGQUIT, SIG_DFL);
	way = argc > 1 ? argv[1] : "";
	for (int i = 0; i < 4; i++) {
		snprintf(names[i], sizeof(names[i]), "worker-%d", i);
		pthread_create(&thread, NULL, work, names[i]);
	}
	if (argc < 2) {
		puts("ready");
		if (!fgets(word, sizeof(word), stdin))
			return 0;
		word[strcspn(word, "\n")] = '\0';
		way = word;
	}
	return crash_here();
}
