/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What calls functions and counts itself which of them come back, in every way in which a function can be left. At each
 * word it hears:
 *
 *	"call N"      every thread calls returns_outer() N times, which calls returns_inner() once
 *	"recurse N"   returns_recurse() N deep, one call after the other from the same place
 *	"tail N"      returns_tail() goes on to returns_tailed() by a jump, N times
 *	"jump N"      longjmp(3) out of returns_middle() and returns_leaves(), N times
 *	"coroutine N" returns_resume() and returns_step() on a stack of its own by turns
 *	"handler N"   returns_handled() on an alternate stack, inside of returns_signals()
 *	"quit"        a thread ends inside of returns_quits()
 *	"fork"        returns_forks() comes back twice
 *	"vfork N"     a vfork child calls returns_outer() and ends
 *	"sleep NS"    returns_sleeps(), and tells how long that took: "took NS"
 *	"throw N"     an exception passes returns_passed() and returns_throws(), of a library that is loaded and unloaded
 *	"exec"        executes itself, inside of returns_execs()
 *	"storm"       every thread calls returns_outer() until "calm"
 *
 * Each ends with "done CALLS RETURNS" of all functions whose names begin with returns_, so far. Each function looks at its
 * own return address: "wrong", if it is not where the compiler says it is, or is not in code of this program.
 */
#include "victim.h"

#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>

#define EXPORT __attribute__((noinline, visibility("default")))

struct counts {
	unsigned long calls, returns;
};
static struct counts *counts; /* shared with children */
static int threads;
static bool calm;
static jmp_buf out;

/* The word that the call has pushed, at the beginning and at the end of its function. */
struct seen {
	void *const *slot;
	void *word;
};

static struct seen enter(void *const *slot, void *word)
{
	__atomic_fetch_add(&counts->calls, 1, __ATOMIC_RELAXED);
	if (*slot != word)
		say("wrong: the return address is not what it was");
	return (struct seen){ slot, word };
}

static void leave(struct seen seen)
{
	if (*seen.slot != seen.word)
		say("wrong: the return address has changed");
	__atomic_fetch_add(&counts->returns, 1, __ATOMIC_RELAXED);
}

/* With a frame pointer: the word behind the saved one. */
#define ENTER() enter((void *const *)__builtin_frame_address(0) + 1, __builtin_return_address(0))

EXPORT long returns_inner(long number);
EXPORT long returns_outer(long number);
EXPORT long returns_recurse(long left);
EXPORT void returns_leaves(long number);
EXPORT void returns_middle(long number);
EXPORT long returns_resume(long number);
EXPORT long returns_step(long number);
EXPORT void returns_handled(int number);
EXPORT void returns_signals(void);
EXPORT void returns_quits(void);
EXPORT pid_t returns_forks(void);
EXPORT void returns_sleeps(long ns);
EXPORT void returns_execs(char **argv, const char *calls, const char *returned);
long returns_tail(long number);
EXPORT long returns_tailed(long number);

long returns_inner(long number)
{
	struct seen seen = ENTER();

	leave(seen);
	return number + 1;
}

long returns_outer(long number)
{
	struct seen seen = ENTER();
	long result = returns_inner(number) * 2;

	leave(seen);
	return result;
}

long returns_recurse(long left)
{
	struct seen seen = ENTER();
	long result = left > 1 ? returns_recurse(left - 1) + 1 : 1;

	leave(seen);
	return result;
}

long returns_tailed(long number)
{
	struct seen seen = ENTER();

	leave(seen);
	return number * 3;
}

/* Counted by whoever calls it: its own return is that of the other. */
__asm__(".globl returns_tail\n.type returns_tail, @function\nreturns_tail:\n\tendbr64\n\tjmp returns_tailed\n"
	".size returns_tail, . - returns_tail\n");

void returns_leaves(long number)
{
	ENTER();
	longjmp(out, (int)number + 1);
}

void returns_middle(long number)
{
	struct seen seen = ENTER();

	returns_leaves(number);
	leave(seen);
}

static void work(long times)
{
	for (long i = 0; times ? i < times : !__atomic_load_n(&calm, __ATOMIC_RELAXED); i++)
		if (returns_outer(i) != 2 * i + 2)
			say("wrong result");
}

static void *thread_work(void *data)
{
	work(*(long *)data);
	return NULL;
}

static void in_threads(long times)
{
	pthread_t thread[64];

	calm = false;
	for (int i = 0; i < threads; i++)
		if (pthread_create(&thread[i], NULL, thread_work, &times))
			exit(98);
	if (!times) {
		say("storming");
		await("calm");
		__atomic_store_n(&calm, true, __ATOMIC_RELAXED);
	}
	for (int i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
}

static void tails(long times)
{
	for (long i = 0; i < times; i++) {
		__atomic_fetch_add(&counts->calls, 1, __ATOMIC_RELAXED);
		if (returns_tail(i) != 3 * i)
			say("wrong result of a tail call");
		__atomic_fetch_add(&counts->returns, 1, __ATOMIC_RELAXED);
	}
}

static void jumps(long times)
{
	for (volatile long i = 0; i < times; i = i + 1)
		if (setjmp(out) == 0)
			returns_middle(i);
	returns_outer(1);
}

/* ---- other stacks ---- */

static ucontext_t above, below;
static long turns;

long returns_step(long number)
{
	struct seen seen = ENTER();

	swapcontext(&below, &above);
	leave(seen);
	return number;
}

static void run(void)
{
	for (long i = 0; i < turns; i++)
		if (returns_step(i) != i)
			say("wrong step");
}

long returns_resume(long number)
{
	struct seen seen = ENTER();

	swapcontext(&above, &below);
	returns_inner(number);
	leave(seen);
	return number;
}

static void coroutine(long times)
{
	static char stack[65536];

	turns = times;
	getcontext(&below);
	below.uc_stack.ss_sp = stack;
	below.uc_stack.ss_size = sizeof(stack);
	below.uc_link = &above;
	makecontext(&below, run, 0);
	/* one more, in which it ends */
	for (long i = 0; i <= times; i++)
		if (returns_resume(i) != i)
			say("wrong resumption");
}

void returns_handled(int number)
{
	struct seen seen = ENTER();

	(void)number;
	leave(seen);
}

static void on_signal(int number)
{
	returns_handled(number);
}

void returns_signals(void)
{
	struct seen seen = ENTER();

	raise(SIGUSR1);
	leave(seen);
}

static void handlers(long times)
{
	static char stack[65536];
	stack_t other = { .ss_sp = stack, .ss_size = sizeof(stack) };
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_ONSTACK };

	sigaltstack(&other, NULL);
	sigaction(SIGUSR1, &action, NULL);
	for (long i = 0; i < times; i++)
		returns_signals();
}

/* ---- ends ---- */

void returns_quits(void)
{
	ENTER();
	pthread_exit(NULL);
}

static void *quitting(void *data)
{
	returns_quits();
	return data;
}

static void quit(void)
{
	pthread_t thread;

	pthread_create(&thread, NULL, quitting, NULL);
	pthread_join(thread, NULL);
}

pid_t returns_forks(void)
{
	struct seen seen = ENTER();
	pid_t child = fork();

	leave(seen);
	return child;
}

static void reap(pid_t child)
{
	int status;

	if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 5)
		say("wrong end of a child: %x", status);
}

static void forks(void)
{
	pid_t child = returns_forks();

	if (child == 0) {
		returns_outer(1);
		_exit(5);
	}
	reap(child);
}

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
static pid_t vforked(void)
{
	pid_t child = vfork();

	if (child == 0) {
		returns_outer(1);
		_exit(5);
	}
	return child;
}

static void vforks(long times)
{
	for (long i = 0; i < times; i++)
		reap(vforked());
}

static uint64_t now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec;
}

void returns_sleeps(long ns)
{
	struct seen seen = ENTER();
	struct timespec time = { ns / 1000000000, ns % 1000000000 };

	nanosleep(&time, NULL);
	leave(seen);
}

static void sleeps(long ns)
{
	uint64_t began = now();

	returns_sleeps(ns);
	say("took %llu", (unsigned long long)(now() - began));
}

/* ---- a library that calls ---- */

static void throws(long times)
{
	char *path = beside("returns-throws.so");
	void *handle = dlopen(path, RTLD_NOW);
	void (*catches)(long, unsigned long *, unsigned long *) =
		handle ? (void (*)(long, unsigned long *, unsigned long *))dlsym(handle, "throws_and_catches") : NULL;

	if (!catches)
		say("wrong: %s", dlerror());
	else
		catches(times, &counts->calls, &counts->returns);
	if (!handle || dlclose(handle))
		say("wrong: cannot close it");
	free(path);
}

void returns_execs(char **argv, const char *calls, const char *returned)
{
	ENTER();
	execl("/proc/self/exe", argv[0], argv[1], calls, returned, NULL);
	say("wrong: cannot execute");
}

static void again(char **argv)
{
	char calls[32], returned[32];

	snprintf(calls, sizeof(calls), "%lu", counts->calls + 1);
	snprintf(returned, sizeof(returned), "%lu", counts->returns);
	returns_execs(argv, calls, returned);
}

static bool obey(const char *word, long times, char **argv)
{
	if (strcmp(word, "call") == 0)
		in_threads(times);
	else if (strcmp(word, "storm") == 0)
		in_threads(0);
	else if (strcmp(word, "recurse") == 0)
		returns_recurse(times);
	else if (strcmp(word, "tail") == 0)
		tails(times);
	else if (strcmp(word, "jump") == 0)
		jumps(times);
	else if (strcmp(word, "coroutine") == 0)
		coroutine(times);
	else if (strcmp(word, "handler") == 0)
		handlers(times);
	else if (strcmp(word, "quit") == 0)
		quit();
	else if (strcmp(word, "fork") == 0)
		forks();
	else if (strcmp(word, "vfork") == 0)
		vforks(times);
	else if (strcmp(word, "sleep") == 0)
		sleeps(times);
	else if (strcmp(word, "throw") == 0)
		throws(times);
	else if (strcmp(word, "exec") == 0)
		again(argv);
	else
		return false;
	return true;
}

int main(int argc, char **argv)
{
	counts = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	threads = argc > 1 ? atoi(argv[1]) : 1;
	counts->calls = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
	counts->returns = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;
	say(argc > 2 ? "done %lu %lu" : "ready", counts->calls, counts->returns);
	for (;;) {
		char word[32];
		long times = 0;

		if (sscanf(hear(), "%31s %ld", word, &times) < 1)
			return 0;
		if (!obey(word, times, argv))
			say("wrong word '%s'", word);
		say("done %lu %lu", counts->calls, counts->returns);
	}
}
