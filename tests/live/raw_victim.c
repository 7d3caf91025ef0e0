/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * raw_victim.c - what the test's executable does when it is the victim, by role
 */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "raw.h"

__asm__(".text\n.p2align 6\n.globl place_nop, place_push, place_step\n"
	"place_nop: endbr64\n lea 1(%rdi), %rax\n ret\n.p2align 6\n"
	"place_push: push %rbp\n lea 1(%rdi), %rax\n pop %rbp\n ret\n.p2align 6\n"
	"place_step: lea 1(%rdi), %rax\n ret\n.p2align 6\n");

static long rounds_of(long rounds)
{
	long n = 0;

	for (long i = 0; i < rounds; i++) {
		n = place_nop(n);
		n = place_push(n);
		n = place_step(n);
	}
	return n;
}

static void *thread_rounds(void *rounds)
{
	return (void *)(rounds_of((long)rounds) == 3 * (long)rounds ? 1L : 0L);
}

static int victim_rounds(int threads, long rounds)
{
	pthread_t thread[64];
	int right = 0;

	for (int i = 0; i < threads; i++)
		pthread_create(&thread[i], NULL, thread_rounds, (void *)rounds);
	for (int i = 0; i < threads; i++) {
		void *result;

		pthread_join(thread[i], &result);
		right += result == (void *)1;
	}
	return right == threads ? 0 : 1;
}

static int victim_forks(long count)
{
	for (volatile long i = 0; i < count; i++) {
		int status;
		pid_t pid = i % 2 ? fork() : vfork();

		if (!pid)
			_exit(rounds_of(3) == 9 ? 7 : 1);
		if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 7)
			return 1;
		if (rounds_of(2) != 6)
			return 2;
	}
	return 0;
}

/* Parent and child both hit; the child only runs after the parent has let its pipe go. */
static int victim_waits(void)
{
	char byte;

	while (read(0, &byte, 1) > 0)
		if (rounds_of(1) != 3)
			return 1;
	return 0;
}

static volatile sig_atomic_t signals_seen;

static void on_signal(int signal)
{
	(void)signal;
	signals_seen++;
	place_step(1);
}

static void *storm(void *target)
{
	for (int i = 0; i < 2000; i++)
		pthread_kill(*(pthread_t *)target, SIGUSR1);
	return NULL;
}

static int victim_storm(void)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	pthread_t self = pthread_self(), other;
	long n = 0;

	sigaction(SIGUSR1, &action, NULL);
	pthread_create(&other, NULL, storm, &self);
	for (int i = 0; i < 3000; i++)
		n = place_step(n);
	pthread_join(other, NULL);
	return n == 3000 && signals_seen > 0 ? 0 : 1;
}

static int victim_masked(bool ignored)
{
	sigset_t all, seen;
	struct sigaction action;

	sigfillset(&all);
	if (ignored)
		/* the signal after it is a stop at which the change is seen */
		signal(SIGTRAP, SIG_IGN), raise(SIGWINCH);
	else
		sigprocmask(SIG_SETMASK, &all, NULL);
	if (rounds_of(5) != 15)
		return 1;
	sigprocmask(SIG_SETMASK, NULL, &seen);
	sigaction(SIGTRAP, NULL, &action);
	if (ignored)
		return action.sa_handler == SIG_IGN ? 0 : 2;
	return sigismember(&seen, SIGTRAP) ? 0 : 3;
}

/* Blocked in a call that the kernel does not restart after a stop (rule 11). */
static int victim_epoll(void)
{
	struct epoll_event event = { .events = EPOLLIN };
	int epoll = epoll_create1(0);

	epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &event);
	return epoll_wait(epoll, &event, 1, -1) == 1 ? 0 : 1;
}

/* SIGTRAP caught, and blocked in this thread: the kernel forgets the handler at a trap. */
static int victim_caught(void)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	sigset_t trap;

	sigaction(SIGTRAP, &action, NULL);
	sigemptyset(&trap);
	sigaddset(&trap, SIGTRAP);
	sigprocmask(SIG_BLOCK, &trap, NULL);
	raise(SIGWINCH); /* a stop at which both are seen */
	if (rounds_of(5) != 15)
		return 1;
	sigaction(SIGTRAP, NULL, &action);
	sigprocmask(SIG_SETMASK, NULL, &trap);
	return action.sa_handler == on_signal && action.sa_flags & SA_RESTART && sigismember(&trap, SIGTRAP)
		       ? 0
		       : 2;
}

static void block(int signal)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, signal);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

/* SIGTRAP is blocked and caught in this thread. */
static bool trap_is_guarded(void)
{
	struct sigaction action;
	sigset_t mask;

	sigaction(SIGTRAP, NULL, &action);
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	return sigismember(&mask, SIGTRAP) && action.sa_handler == on_signal;
}

static void guard_trap(void)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

	sigaction(SIGTRAP, &action, NULL);
	block(SIGTRAP);
}

static bool spins;

/* It stands in here until it may return: in a call, or in its own code. */
static void wait_in_handler(int signal)
{
	struct pollfd input = { .fd = 0, .events = POLLIN };

	(void)signal;
	while (!poll(&input, 1, spins ? 0 : -1))
		;
}

/* What a thread blocks that was never seen outside of a signal handler. */
static int victim_in_handler(const char *how)
{
	struct sigaction action = { .sa_handler = wait_in_handler, .sa_flags = SA_ONSTACK };
	static char stack[65536];
	stack_t other = { .ss_sp = stack, .ss_size = sizeof(stack) };

	spins = !strcmp(how, "spins");
	if (!strcmp(how, "alternate"))
		sigaltstack(&other, NULL);
	if (!strcmp(how, "all"))
		sigfillset(&action.sa_mask);
	guard_trap();
	sigaction(SIGUSR1, &action, NULL);
	raise(SIGUSR1);
	if (rounds_of(5) != 15)
		return 1;
	return trap_is_guarded() ? 0 : 2;
}

/* Traps under a SIGTRAP that is blocked and caught, until its input ends. */
static int victim_guarded(void)
{
	struct pollfd input = { .fd = 0, .events = POLLIN };

	guard_trap();
	raise(SIGWINCH); /* a stop at which both are seen */
	while (!poll(&input, 1, 0))
		if (rounds_of(8) != 24)
			return 1;
	return trap_is_guarded() ? 0 : 2;
}

static void *rounds_with_stops(void *right)
{
	for (int i = 0; i < 400; i++) {
		if (rounds_of(1) != 3)
			return NULL;
		raise(SIGWINCH);
	}
	return right;
}

/* It catches SIGTRAP, and its filter of system calls is reason enough not to put one into it. */
static int victim_filtered(void)
{
	struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog program = { .len = 1, .filter = &allow };
	struct sigaction action = { .sa_handler = on_signal };
	pthread_t thread[4];
	bool right = true;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		return 1;
	for (int i = 0; i < 4; i++)
		pthread_create(&thread[i], NULL, rounds_with_stops, &right);
	sigaction(SIGTRAP, &action, NULL);
	for (int i = 0; i < 4; i++) {
		void *result;

		pthread_join(thread[i], &result);
		right = right && result;
	}
	return right ? 0 : 2;
}

static int victim_execs(long count)
{
	char path[4096] = { 0 }, number[24];

	if (!count)
		return 0;
	if (readlink("/proc/self/exe", path, sizeof(path) - 1) < 0)
		return 1;
	snprintf(number, sizeof(number), "%ld", count - 1);
	execl(path, path, "execs", number, NULL);
	return 2;
}

int victim(int argc, char **argv)
{
	const char *role = argv[1];

	if (!strcmp(role, "rounds"))
		return victim_rounds(atoi(argv[2]), atol(argv[3]));
	if (!strcmp(role, "forks"))
		return victim_forks(atol(argv[2]));
	if (!strcmp(role, "waits"))
		return victim_waits();
	if (!strcmp(role, "storm"))
		return victim_storm();
	if (!strcmp(role, "masked"))
		return victim_masked(false);
	if (!strcmp(role, "ignored"))
		return victim_masked(true);
	if (!strcmp(role, "execs"))
		return victim_execs(atol(argv[2]));
	if (!strcmp(role, "epoll"))
		return victim_epoll();
	if (!strcmp(role, "caught"))
		return victim_caught();
	if (!strcmp(role, "in-handler"))
		return victim_in_handler(argv[2]);
	if (!strcmp(role, "guarded"))
		return victim_guarded();
	if (!strcmp(role, "filtered"))
		return victim_filtered();
	if (!strcmp(role, "trap")) {
		/* its own trap instruction, and nobody to handle it */
		raise(SIGWINCH);
		__asm__ volatile("int3");
	}
	(void)argc;
	return 99;
}
