/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is to be held in the middle of a call, looked at, and changed; at each word it hears:
 *
 *	"sum A B"      "done SUM", as stands_sum() says
 *	"value"        "done VALUE TEXT", of variables
 *	"constant"     "done NUMBER", by stands_constant(), a function of a single constant
 *	"vector"       stands_mark() is called with a pattern in a vector register, "done" and what it holds afterwards
 *	"calls N"      stands_sum(i, 1) N times by each of its threads, "done SUM" of all results
 *	"begin"        the same without end, "done 0" at once
 *	"end"          no more of that, "done CALLS"
 *	"other N"      the second thread alone calls stands_sum() N times
 *	"fork", "exec", "exit"
 *
 * Says "ready", and at "where" the addresses of its variables. Argument: threads.
 */
#include "victim.h"

#include <pthread.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#ifdef __clang__
#define EXPORT __attribute__((noinline, visibility("default")))
#else
#define EXPORT __attribute__((noinline, noclone, visibility("default")))
#endif

enum { THREADS_MAX = 16 };

EXPORT long stands_sum(long a, long b);
EXPORT long stands_constant(void);
EXPORT void stands_mark(void);

static volatile long stands_value = 42;
static char stands_text[64] = "as it was";
static const char stands_constant_text[64] = "never written";
static int threads;
static bool running;
static unsigned long calls;
static pthread_t thread[THREADS_MAX];

long stands_sum(long a, long b)
{
	__atomic_fetch_add(&calls, 1, __ATOMIC_RELAXED);
	return a + b;
}

__asm__(".text\n.globl stands_constant\n.type stands_constant, @function\nstands_constant:\n\tmovl $7, %eax\n\tret\n"
	".size stands_constant, .-stands_constant\n"
	".globl stands_mark\n.type stands_mark, @function\nstands_mark:\n\tnop\n\tret\n.size stands_mark, .-stands_mark\n");

/* ymm5 (or xmm5) and mxcsr across the call. */
static void vector(void)
{
	unsigned long word[4] = { 0x1111, 0x2222, 0x3333, 0x4444 };

	if (__builtin_cpu_supports("avx"))
		__asm__ volatile("vmovdqu %0, %%ymm5\n\tcall stands_mark\n\tvmovdqu %%ymm5, %0\n\tvzeroupper"
				 : "+m"(word)
				 :
				 : "memory", "xmm5", "cc", "rax");
	else
		__asm__ volatile("movdqu %0, %%xmm5\n\tcall stands_mark\n\tmovdqu %%xmm5, %0"
				 : "+m"(word)
				 :
				 : "memory", "xmm5", "cc", "rax");
	say("done %lx %lx %lx %lx", word[0], word[1], word[2], word[3]);
}

struct work {
	long times;
	long sum;
};

static void *work(void *data)
{
	struct work *w = data;

	for (long i = 0; w->times ? i < w->times : __atomic_load_n(&running, __ATOMIC_RELAXED); i++)
		w->sum += stands_sum(i, 1);
	return NULL;
}

static struct work works[THREADS_MAX];

static void start(long times, int count)
{
	running = true;
	for (int i = 0; i < count; i++) {
		works[i] = (struct work){ .times = times };
		if (pthread_create(&thread[i], NULL, work, &works[i]))
			exit(98);
	}
}

static long join(int count)
{
	long sum = 0;

	__atomic_store_n(&running, false, __ATOMIC_RELAXED);
	for (int i = 0; i < count; i++) {
		pthread_join(thread[i], NULL);
		sum += works[i].sum;
	}
	return sum;
}

static long in_threads(long times)
{
	start(times, threads);
	return join(threads);
}

static void *tell_and_work(void *data)
{
	say("thread %ld", syscall(SYS_gettid));
	await("go");
	return work(data);
}

static long other(long times)
{
	works[0] = (struct work){ .times = times };
	if (pthread_create(&thread[0], NULL, tell_and_work, &works[0]))
		exit(98);
	pthread_join(thread[0], NULL);
	return works[0].sum;
}

static void child(void)
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0)
		_exit((int)stands_sum(1, 2));
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		say("wrong end of a child");
	say("done %d", WEXITSTATUS(status));
}

int main(int argc, char **argv)
{
	threads = argc > 1 ? atoi(argv[1]) : 1;
	say("ready");
	for (;;) {
		char word[32];
		long a = 0, b = 0;

		if (sscanf(hear(), "%31s %ld %ld", word, &a, &b) < 1)
			return 0;
		if (strcmp(word, "sum") == 0)
			say("done %ld", stands_sum(a, b));
		else if (strcmp(word, "where") == 0)
			say("at %p %p %p", (void *)(unsigned long)&stands_value, (void *)stands_text, (const void *)stands_constant_text);
		else if (strcmp(word, "value") == 0)
			say("done %ld %s", stands_value, stands_text);
		else if (strcmp(word, "constant") == 0)
			say("done %ld", stands_constant());
		else if (strcmp(word, "vector") == 0)
			vector();
		else if (strcmp(word, "calls") == 0)
			say("done %ld", in_threads(a));
		else if (strcmp(word, "begin") == 0)
			start(0, threads), say("done 0");
		else if (strcmp(word, "end") == 0)
			join(threads), say("done %lu", calls);
		else if (strcmp(word, "other") == 0)
			say("done %ld", other(a));
		else if (strcmp(word, "fork") == 0)
			child();
		else if (strcmp(word, "exec") == 0)
			execl("/proc/self/exe", argv[0], argv[1], NULL);
		else if (strcmp(word, "exit") == 0)
			_exit(5);
		else
			say("wrong word '%s'", word);
	}
}
