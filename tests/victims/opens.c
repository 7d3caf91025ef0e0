/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What opens any library, at each word it hears:
 *
 *	"open PATH"      dlopen
 *	"close"          dlclose of the last that is open
 *	"wander N PATH"  N times opened and closed, each time at another address
 *	"fault N"        N times the first instruction of divide_by_zero(), and of undefined(); each fault is looked at
 *	"ifunc N"        strlen, memcpy and strchr of the C library are called N times each, by way of this program's own table
 *
 * Each ends with "done".
 */
#include "victim.h"

#include <dlfcn.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <ucontext.h>

static size_t (*volatile length_of)(const char *) = strlen;
static void *(*volatile copy)(void *, const void *, size_t) = memcpy;
static char *(*volatile search)(const char *, int) = strchr;

static void call_chosen(long times)
{
	static const char text[] = "a text of some length";
	char other[sizeof(text)];

	for (long i = 0; i < times; i++) {
		copy(other, text, sizeof(text));
		if (length_of(other) != sizeof(text) - 1 || search(other, 'o') != other + 7)
			say("wrong: the C library");
	}
}

/* What is mapped between keeps the place. */
static void wander(const char *rest)
{
	char *path;
	long times = strtol(rest, &path, 10);

	for (long i = 0; i < times; i++) {
		void *library = dlopen(path + 1, RTLD_NOW);
		const int *constructed = library ? dlsym(library, "plugin_constructed") : NULL;
		uintptr_t page = (uintptr_t)constructed & ~(uintptr_t)4095;

		if (!constructed || dlclose(library)) {
			say("wrong: %s", dlerror());
			return;
		}
		mmap((void *)page, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
	}
}

/* ---- a fault of a function's first instruction ------------------------------------------------------------ */

int divide_by_zero(const int *numbers);
int undefined(const int *numbers);
__asm__(".globl divide_by_zero, undefined\n.type divide_by_zero, @function\ndivide_by_zero:\n"
	"	idivl 4(%rdi)\n"
	"	movl $7, %eax\n"
	"	ret\n"
	".size divide_by_zero, . - divide_by_zero\n"
	".type undefined, @function\nundefined:\n"
	"	ud2\n"
	"	movl $7, %eax\n"
	"	ret\n"
	".size undefined, . - undefined");

struct fault {
	int (*function)(const int *);
	int signal, code, length;
};
static const struct fault *expected;
static int faults;

static void on_fault(int signal, siginfo_t *info, void *data)
{
	greg_t *regs = ((ucontext_t *)data)->uc_mcontext.gregs;
	void *at = (void *)(uintptr_t)expected->function;

	if (info->si_code != expected->code || info->si_addr != at || regs[REG_RIP] != (greg_t)(uintptr_t)at)
		say("wrong: signal %d of code %d at %p, pc %llx, not at %p", signal, info->si_code, info->si_addr,
		    regs[REG_RIP], at);
	faults++;
	regs[REG_RIP] += expected->length;
}

static void fault(const struct fault *what, int times)
{
	static const int zeros[2];
	const struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };
	int (*volatile call)(const int *) = what->function;

	expected = what;
	faults = 0;
	sigaction(what->signal, &action, NULL);
	for (int i = 0; i < times; i++)
		if (call(zeros) != 7)
			say("wrong: result");
	if (faults != times)
		say("wrong: %d faults", faults);
}

static void fault_both(int times)
{
	static const struct fault divides = { divide_by_zero, SIGFPE, FPE_INTDIV, 3 };
	static const struct fault is_undefined = { undefined, SIGILL, ILL_ILLOPN, 2 };

	fault(&divides, times);
	fault(&is_undefined, times);
}

int main(void)
{
	void *open[16];
	int used = 0;

	say("ready");
	for (const char *word = hear(); *word; word = hear()) {
		if (!strncmp(word, "open ", 5) && used < 16) {
			open[used] = dlopen(word + 5, RTLD_NOW);
			if (!open[used])
				say("wrong: %s", dlerror());
			else
				used++;
		} else if (!strcmp(word, "close") && used) {
			dlclose(open[--used]);
		} else if (!strncmp(word, "wander ", 7)) {
			wander(word + 7);
		} else if (!strncmp(word, "fault ", 6)) {
			fault_both(atoi(word + 6));
		} else if (!strncmp(word, "ifunc ", 6)) {
			call_chosen(atol(word + 6));
		}
		say("done");
	}
	return 0;
}
