/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every signal in every way, written down: what this prints must be the same whether a tracer looks on or not.
 * Nothing in it is a number that differs from run to run. System calls are bare, so that the two signals which
 * the C library keeps for itself take part. At "go" the rows come, at their end "done":
 *
 *	default N   a child with the default action gets it from its parent
 *	caught N    the handler's siginfo: by kill, by a queue with a value, by tgkill, from a child
 *	ignored N   nothing happens, and it is ignored still
 *	blocked N   pending; taken by a wait, with its siginfo; and once more by a handler when unblocked
 *
 * Before each signal is sent a library is opened and closed, where a tracer traps.
 */
#include "victim.h"

#include <dlfcn.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>

enum { SIGNALS = 64 };

struct action {
	uintptr_t handler;
	unsigned long flags;
	void (*restorer)(void);
	uint64_t mask;
};

void restore(void);
__asm__(".text\nrestore:\n\tmov $15, %eax\n\tsyscall\n"); /* rt_sigreturn */

static char *plugin;
static uint64_t starting_mask;

static struct {
	volatile sig_atomic_t count;
	siginfo_t info;
	uint64_t mask; /* in the handler */
	uintptr_t pc;
} got;

static uint64_t bit(int number)
{
	return UINT64_C(1) << (number - 1);
}

static uint64_t set_mask(uint64_t mask)
{
	uint64_t old = 0;

	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, &old, sizeof(mask));
	return old;
}

static uint64_t mask_now(void)
{
	uint64_t old = 0;

	syscall(SYS_rt_sigprocmask, SIG_SETMASK, NULL, &old, sizeof(old));
	return old;
}

static uint64_t pending_now(void)
{
	uint64_t set = 0;

	syscall(SYS_rt_sigpending, &set, sizeof(set));
	return set;
}

static void on_signal(int number, siginfo_t *info, void *context)
{
	const ucontext_t *at = context;

	(void)number;
	got.count++;
	got.info = *info;
	got.mask = mask_now();
	got.pc = (uintptr_t)at->uc_mcontext.gregs[REG_RIP];
}

static int put(int number, uintptr_t handler)
{
	struct action action = { handler, SA_SIGINFO | 0x04000000 /* SA_RESTORER */, restore, bit(SIGUSR2) };

	if (handler != (uintptr_t)on_signal)
		action.flags &= ~(unsigned long)SA_SIGINFO;
	return syscall(SYS_rt_sigaction, number, &action, NULL, 8) ? errno : 0;
}

static const char *disposition(int number)
{
	struct action now = { 0 };

	if (syscall(SYS_rt_sigaction, number, NULL, &now, 8))
		return "?";
	return now.handler == (uintptr_t)SIG_DFL   ? "default"
	       : now.handler == (uintptr_t)SIG_IGN ? "ignored"
	       : now.flags == (SA_SIGINFO | 0x04000000) && now.mask == bit(SIGUSR2) ? "caught"
										   : "changed";
}

/* What a trap does to the state of SIGTRAP is put right by what was seen at the last stop; this is one. */
static void settle(void)
{
	syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGURG);
}

static void run_into_traps(void)
{
	settle();
	void *handle = dlopen(plugin, RTLD_NOW);
	if (!handle || dlclose(handle))
		say("wrong: %s", dlerror());
}

static const char *whose(pid_t pid, pid_t child)
{
	return pid == getpid() ? "self" : child && pid == child ? "child" : pid == 0 ? "nobody" : "other";
}

static void tell(const char *row, int number, const char *way, const siginfo_t *info, pid_t child)
{
	say("%s %d %s: signo %d code %d errno %d from %s uid %d value %d", row, number, way, info->si_signo,
	    info->si_code, info->si_errno, whose(info->si_pid, child), info->si_uid == getuid(),
	    info->si_code == SI_QUEUE ? info->si_value.sival_int : 0);
}

static int queue(pid_t pid, int number, int value)
{
	siginfo_t info;

	memset(&info, 0, sizeof(info));
	info.si_signo = number;
	info.si_code = SI_QUEUE;
	info.si_pid = getpid();
	info.si_uid = getuid();
	info.si_value.sival_int = value;
	return (int)syscall(SYS_rt_sigqueueinfo, pid, number, &info);
}

/* ---- the default action ---------------------------------------------------------------------------------- */

static void default_child(int number, int ready, int go)
{
	char byte;

	if (number != SIGKILL && number != SIGSTOP)
		put(number, (uintptr_t)SIG_DFL);
	run_into_traps();
	if (write(ready, "x", 1) != 1 || read(go, &byte, 1) < 0)
		_exit(98);
	run_into_traps();
	_exit(7);
}

static void by_default(int number)
{
	int ready[2], go[2], status = 0;
	char byte;

	if (pipe(ready) || pipe(go))
		exit(97);
	pid_t child = fork();
	if (child == 0) {
		close(go[1]);
		default_child(number, ready[1], go[0]);
	}
	if (read(ready[0], &byte, 1) != 1)
		say("wrong: the child is not ready");
	queue(child, number, 4);
	close(go[1]);
	close(go[0]);
	for (;;) {
		pid_t ended = waitpid(child, &status, WUNTRACED);
		if (ended != child) {
			if (errno == EINTR)
				continue;
			say("default %d: no child: %d", number, errno);
			break;
		}
		say("default %d: status %#x", number, (unsigned)status);
		if (WIFSTOPPED(status))
			kill(child, SIGCONT);
		else
			break;
	}
	close(ready[0]);
	close(ready[1]);
}

/* ---- a handler ------------------------------------------------------------------------------------------- */

static void await_handler(void)
{
	for (int i = 0; i < 1000 && !got.count; i++)
		nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
}

static void by_handler(int number)
{
	int error = put(number, (uintptr_t)on_signal);

	if (error) {
		say("caught %d: cannot, %d", number, error);
		return;
	}
	static const char *const ways[] = { "kill", "queue", "tgkill", "child" };
	for (int way = 0; way < 4; way++) {
		pid_t child = 0;
		int status = 0;

		run_into_traps();
		got.count = 0;
		if (way == 0)
			kill(getpid(), number);
		else if (way == 1)
			queue(getpid(), number, 4711 + number);
		else if (way == 2)
			syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), number);
		else if ((child = fork()) == 0)
			_exit(queue(getppid(), number, number) != 0);
		/* A child's end is a signal too: the handler of that must have seen the first before. */
		await_handler();
		siginfo_t info = got.info;
		int count = number == SIGURG || number == SIGCHLD ? 1 : got.count;
		if (number != SIGCHLD || way != 3)
			tell("caught", number, ways[way], &info, child);
		say("caught %d %s: %d times, blocked in it %d %d, is %s", number, ways[way], count,
		    (got.mask & bit(number)) != 0, (got.mask & bit(SIGUSR2)) != 0, disposition(number));
		if (child)
			while (waitpid(child, &status, 0) < 0 && errno == EINTR)
				;
	}
	put(number, (uintptr_t)SIG_DFL);
}

/* ---- ignored --------------------------------------------------------------------------------------------- */

static void by_ignoring(int number)
{
	int error = put(number, (uintptr_t)SIG_IGN);

	if (error) {
		say("ignored %d: cannot, %d", number, error);
		return;
	}
	run_into_traps();
	kill(getpid(), number);
	queue(getpid(), number, 1);
	run_into_traps();
	say("ignored %d: is %s, pending %d, mask %d", number, disposition(number),
	    (pending_now() & bit(number)) != 0, mask_now() == starting_mask);
	put(number, (uintptr_t)SIG_DFL);
}

/* ---- blocked --------------------------------------------------------------------------------------------- */

static void by_waiting(int number)
{
	const uint64_t only = bit(number);
	const struct timespec limit = { 5, 0 };
	siginfo_t info;
	int caught = put(number, (uintptr_t)on_signal);

	set_mask(starting_mask | only);
	if (caught) {
		say("blocked %d: cannot, mask %d", number, mask_now() == starting_mask);
		set_mask(starting_mask);
		return;
	}
	got.count = 0;
	run_into_traps();
	queue(getpid(), number, 42);
	run_into_traps();
	say("blocked %d: pending %d, mask %d, is %s", number, (pending_now() & only) != 0,
	    mask_now() == (starting_mask | only), disposition(number));
	memset(&info, 0, sizeof(info));
	long taken = syscall(SYS_rt_sigtimedwait, &only, &info, &limit, sizeof(only));
	say("blocked %d: taken %ld", number, taken);
	tell("blocked", number, "wait", &info, 0);
	queue(getpid(), number, 43);
	queue(getpid(), number, 44); /* the second is lost but for real-time ones */
	run_into_traps();
	set_mask(starting_mask);
	tell("blocked", number, "unblocked", &got.info, 0);
	say("blocked %d: %d times, is %s", number, number == SIGURG ? 1 : (int)got.count, disposition(number));
	put(number, (uintptr_t)SIG_DFL);
}

/* ---- signals that the processor and the kernel make ------------------------------------------------------- */

static sigjmp_buf back;

static void on_fault(int number, siginfo_t *info, void *context)
{
	on_signal(number, info, context);
	siglongjmp(back, 1);
}

static void signal_default(int number)
{
	put(number, (uintptr_t)SIG_DFL);
}

static void arm(int number, void (*handler)(int, siginfo_t *, void *))
{
	struct sigaction action = { .sa_flags = SA_SIGINFO };

	action.sa_sigaction = handler;
	sigaction(number, &action, NULL);
	run_into_traps();
	got.count = 0;
	memset(&got.info, 0, sizeof(got.info));
	got.pc = 0;
}

static void faults(void)
{
	char *page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	arm(SIGSEGV, on_fault);
	if (sigsetjmp(back, 1) == 0)
		*(volatile char *)(page + 5) = 1;
	say("fault store: signo %d code %d at %ld, %d", got.info.si_signo, got.info.si_code,
	    (long)((char *)got.info.si_addr - page), (int)got.count);
	signal_default(SIGSEGV);

	arm(SIGFPE, on_fault);
	if (sigsetjmp(back, 1) == 0)
		__asm__ volatile("xor %%edx, %%edx\n\txor %%ecx, %%ecx\n\tmov $1, %%eax\n\tidiv %%ecx" : : : "rax", "rcx", "rdx", "cc");
	say("fault division: signo %d code %d at pc %d, %d", got.info.si_signo, got.info.si_code,
	    (uintptr_t)got.info.si_addr == got.pc, (int)got.count);
	signal_default(SIGFPE);

	arm(SIGILL, on_fault);
	if (sigsetjmp(back, 1) == 0)
		__asm__ volatile("ud2");
	say("fault ud2: signo %d code %d at pc %d, %d", got.info.si_signo, got.info.si_code,
	    (uintptr_t)got.info.si_addr == got.pc, (int)got.count);
	signal_default(SIGILL);

	uintptr_t here;
	arm(SIGTRAP, on_signal);
	__asm__ volatile("lea 1f(%%rip), %0\n1:\tint3" : "=r"(here) : : "memory");
	say("fault int3: signo %d code %d pc +%ld, %d", got.info.si_signo, got.info.si_code,
	    (long)(got.pc - here), (int)got.count);
	signal_default(SIGTRAP);

	/* It steps through itself: one trap behind each instruction while the flag is set. */
	arm(SIGTRAP, on_signal);
	__asm__ volatile("pushfq\n\torq $0x100, (%%rsp)\n\tpopfq\n\tnop\n\tnop\n\tnop\n\t"
			 "pushfq\n\tandq $~0x100, (%%rsp)\n\tpopfq\n\tnop"
			 : : : "memory", "cc");
	say("fault step: signo %d code %d, %d times", got.info.si_signo, got.info.si_code, (int)got.count);
	signal_default(SIGTRAP);
}

static void of_the_kernel(void)
{
	timer_t timer;
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 1 };
	const struct itimerspec soon = { .it_value = { 0, 2000000 } };
	int ends[2], status;

	event.sigev_value.sival_int = 77;
	arm(SIGRTMIN + 1, on_signal);
	timer_create(CLOCK_MONOTONIC, &event, &timer);
	timer_settime(timer, 0, &soon, NULL);
	await_handler();
	say("timer: code %d value %d overrun %d, %d", got.info.si_code, got.info.si_value.sival_int,
	    got.info.si_overrun, (int)got.count);
	timer_delete(timer);

	arm(SIGALRM, on_signal);
	setitimer(ITIMER_REAL, &(struct itimerval){ .it_value = { 0, 2000 } }, NULL);
	await_handler();
	say("alarm: code %d, %d", got.info.si_code, (int)got.count);
	signal_default(SIGALRM);

	arm(SIGPIPE, on_signal);
	if (pipe(ends))
		exit(97);
	close(ends[0]);
	ssize_t put_in = write(ends[1], "x", 1);
	say("pipe: %d %d, code %d from %s, %d", (int)put_in, errno, got.info.si_code, whose(got.info.si_pid, 0),
	    (int)got.count);
	close(ends[1]);
	signal_default(SIGPIPE);

	arm(SIGCHLD, on_signal);
	pid_t child = fork();
	if (child == 0)
		_exit(9);
	await_handler();
	say("child: code %d status %d from %s, %d", got.info.si_code, got.info.si_status,
	    whose(got.info.si_pid, child), (int)got.count);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	signal_default(SIGCHLD);

	/* Ignored, its children leave nothing to wait for. */
	put(SIGCHLD, (uintptr_t)SIG_IGN);
	run_into_traps();
	child = fork();
	if (child == 0)
		_exit(9);
	pid_t reaped = waitpid(child, &status, 0);
	say("ignored child: %d %d", (int)reaped, reaped < 0 ? errno : 0);
	signal_default(SIGCHLD);
}

int main(void)
{
	const struct rlimit no_core = { 0, 0 };

	setrlimit(RLIMIT_CORE, &no_core);
	plugin = beside("plugin-a.so");
	starting_mask = mask_now();
	say("ready");
	for (;;) {
		const char *word = hear();
		if (!*word)
			return 0;
		for (int number = 1; number <= SIGNALS; number++) {
			by_default(number);
			by_handler(number);
			by_ignoring(number);
			by_waiting(number);
		}
		faults();
		of_the_kernel();
		say("mask %d", mask_now() == starting_mask);
		say("done");
	}
}
