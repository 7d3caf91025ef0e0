/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A program without a C main, as a Go program is: an entry of its own, threads of its own by clone(2), stacks
 * that it brought along, a handler for every signal, SIGTRAP too, and threads that interrupt each other with
 * SIGURG all the time. Nothing of a C library is called.
 *
 * It writes "ready", answers each word with "done" (the answer is written by another thread than the one that
 * reads), and ends with 0 at end-of-file; with 1 when a signal came that nobody had sent, or none of those sent.
 */
#include <asm/unistd.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <stddef.h>
#include <stdint.h>

enum { WORKERS = 3, STACK = 65536, URGENT = 23, SIGNALS = 64, KILL = 9, STOP = 19 };

struct action {
	void (*handler)(int number);
	unsigned long flags;
	void (*restorer)(void);
	uint64_t mask;
};

static long call(long number, long a, long b, long c, long d, long e)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
			 : "rcx", "r11", "memory");
	return result;
}

static char stack[WORKERS][STACK] __attribute__((aligned(16)));
static volatile int tid[WORKERS], words, answered, interrupted, strange;
static volatile uint64_t turns;

static void on_signal(int number)
{
	if (number == URGENT)
		__atomic_add_fetch(&interrupted, 1, __ATOMIC_SEQ_CST);
	else
		strange = number;
}

void restore(void);
__asm__(".text\nrestore:\n\tmov $15, %eax\n\tsyscall\n"); /* rt_sigreturn */

/* The first worker answers, the others spin. */
__attribute__((used, noreturn)) static void work(long number)
{
	tid[number] = (int)call(__NR_gettid, 0, 0, 0, 0, 0);
	for (;;) {
		if (number) {
			turns++;
			continue;
		}
		int seen = answered;
		if (words == seen) {
			call(__NR_futex, (long)&words, FUTEX_WAIT, seen, 0, 0);
			continue;
		}
		answered = seen + 1;
		call(__NR_write, 1, (long)"done\n", 5, 0, 0);
	}
}

/* clone(flags, stack) and work(number) on the new stack. */
static void start(long number)
{
	const long flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
	register long r10 __asm__("r10") = 0;
	register long r8 __asm__("r8") = 0;
	register long given __asm__("r12") = number;
	long result;

	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "mov %%r12, %%rdi\n\t"
			 "call work\n"
			 "1:"
			 : "=a"(result)
			 : "a"(__NR_clone), "D"(flags), "S"(&stack[number][STACK]), "d"(0), "r"(r10), "r"(r8),
			   "r"(given)
			 : "rcx", "r11", "memory");
	if (result < 0)
		call(__NR_exit_group, 2, 0, 0, 0, 0);
}

static void interrupt_all(void)
{
	long pid = call(__NR_getpid, 0, 0, 0, 0, 0);

	for (int i = 0; i < WORKERS; i++)
		if (tid[i])
			call(__NR_tgkill, pid, tid[i], URGENT, 0, 0);
}

__attribute__((used, noreturn)) static void begin(void)
{
	char byte;
	struct action action = { on_signal, 0x14000000 /* SA_RESTORER | SA_RESTART */, restore, 0 };

	for (int number = 1; number <= SIGNALS; number++)
		if (number != KILL && number != STOP)
			call(__NR_rt_sigaction, number, (long)&action, 0, 8, 0);
	for (long i = 0; i < WORKERS; i++)
		start(i);
	call(__NR_write, 1, (long)"ready\n", 6, 0, 0);
	while (call(__NR_read, 0, (long)&byte, 1, 0, 0) == 1) {
		for (int i = 0; i < 100; i++)
			interrupt_all();
		if (byte != '\n')
			continue;
		words++;
		call(__NR_futex, (long)&words, FUTEX_WAKE, 1, 0, 0);
	}
	while (answered != words)
		call(__NR_sched_yield, 0, 0, 0, 0, 0);
	call(__NR_exit_group, strange || (words && !interrupted), 0, 0, 0, 0);
	__builtin_unreachable();
}

/* As Go's: argc and argv in registers, and away; no frame pointer cleared, nothing that a C start code does. */
__asm__(".globl _start\n_start:\n\tmov (%rsp), %rdi\n\tlea 8(%rsp), %rsi\n\tand $-16, %rsp\n\tcall begin\n\thlt\n");
