/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arch/kernel.h"
#include "client/spawn.h"
#include "os/sys.h"

enum { SPAWN_STACK = 65536, SPAWN_ARGUMENTS = 16 };
/* The victim's own, and those of middle process and controller-to-be, one above the other. */
enum { NEWBORN_STACKS = 3 };

/* Shared between the caller, the middle process and the controller-to-be: all three run in one memory. */
struct birth {
	int executable;
	int keep[3];         /* fds that must survive the exec: cleared in the child's own table only */
	char *arguments[SPAWN_ARGUMENTS];
	char *stack;         /* two stacks, one above the other */
	struct newborn *newborn; /* or NULL */
	pid_t controller;
	int error;
};

/*
 * ThreadSanitizer takes every clone(3) for a fork and from then on ignores what the calling thread synchronises
 * with: it shares its bookkeeping with the child, which shares our memory. The other name is not intercepted.
 */
#if defined(__SANITIZE_THREAD__)
int __clone(int (*start)(void *), void *stack, int flags, void *argument, ...);
#define clone __clone
#endif

/*
 * These two run on a borrowed thread descriptor: no allocation, no locks, bare system calls only. What a
 * sanitizer puts around the C library's functions would leave its mark on the thread that lends.
 */
#define BORROWED_THREAD __attribute__((no_sanitize("address", "thread", "undefined")))

#define kernel(number, a, b, c, d, e) \
	arch_kernel(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)

BORROWED_THREAD static int become_victim(void *data)
{
	struct newborn *newborn = data;

	/* Should the controller-to-be die before its word: it is its child. */
	kernel(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	while (!__atomic_load_n(&newborn->go, __ATOMIC_ACQUIRE))
		kernel(SYS_futex, &newborn->go, FUTEX_WAIT, 0, 0, 0);
	kernel(SYS_prctl, PR_SET_PDEATHSIG, 0, 0, 0, 0);
	os_become(&newborn->plan, &newborn->failure);
	kernel(SYS_exit_group, 127, 0, 0, 0, 0);
	__builtin_unreachable();
}

BORROWED_THREAD static void undo_victim(struct newborn *newborn)
{
	kernel(SYS_kill, newborn->pid, SIGKILL, 0, 0, 0);
	kernel(SYS_wait4, newborn->pid, 0, __WALL, 0, 0);
	newborn->pid = 0;
}

/*
 * The tracer is this very task, and stays it over its exec. Whatever the mode: should no controller come of
 * it, nobody would know of the victim, so that ends too. At its exec the controller sets what the mode says.
 */
BORROWED_THREAD static void make_victim(struct newborn *newborn)
{
	pid_t pid;
	long error;

	newborn->here = 1;
	pid = clone(become_victim, newborn->stack + SPAWN_STACK, CLONE_VM | CLONE_CHILD_CLEARTID | SIGCHLD, newborn,
		    NULL, NULL, &newborn->here);
	if (pid < 0) {
		newborn->here = 0;
		newborn->error = errno;
		return;
	}
	newborn->pid = pid;
	error = kernel(SYS_ptrace, PTRACE_SEIZE, pid, 0, os_trace_options(true), 0);
	if (error < 0) {
		newborn->error = (int)-error;
		undo_victim(newborn);
		return;
	}
	__atomic_store_n(&newborn->go, 1, __ATOMIC_RELEASE);
	kernel(SYS_futex, &newborn->go, FUTEX_WAKE, 1, 0, 0);
}

BORROWED_THREAD static int become_controller(void *data)
{
	struct birth *birth = data;
	static char *const no_environment[] = { NULL };

	if (birth->newborn)
		make_victim(birth->newborn);
	for (size_t i = 0; i < ARRAY_LEN(birth->keep); i++)
		if (birth->keep[i] >= 0 && syscall(SYS_fcntl, birth->keep[i], F_SETFD, 0) < 0) {
			birth->error = errno;
			syscall(SYS_exit_group, 127);
		}
	syscall(SYS_execveat, birth->executable, "", birth->arguments, no_environment, AT_EMPTY_PATH);
	birth->error = errno;
	if (birth->newborn && birth->newborn->pid)
		undo_victim(birth->newborn);
	syscall(SYS_exit_group, 127);
	__builtin_unreachable();
}

BORROWED_THREAD static int be_middle(void *data)
{
	struct birth *birth = data;

	birth->controller = clone(become_controller, birth->stack + SPAWN_STACK, CLONE_VM | CLONE_VFORK | SIGCHLD,
				  birth);
	if (birth->controller < 0)
		birth->error = errno;
	syscall(SYS_exit_group, 0);
	__builtin_unreachable();
}

static char *stacks_new(size_t count)
{
	char *stack = mmap(NULL, count * SPAWN_STACK, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);

	return stack == MAP_FAILED ? NULL : stack;
}

static int clone_twice(struct birth *birth)
{
	sigset_t all, before;

	/* Unmapping costs a stop of the other processor, while the victim runs in this memory there: later. */
	birth->stack = birth->newborn ? birth->newborn->stack + SPAWN_STACK : stacks_new(2);
	if (!birth->stack)
		return -ENOMEM;

	/* A handler of the host must not run in the children, which share its memory. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pid_t middle = clone(be_middle, birth->stack + 2 * SPAWN_STACK, CLONE_VM | CLONE_VFORK, birth);
	int error = middle < 0 ? errno : birth->error;
	if (middle > 0)
		sys(wait4, middle, NULL, __WCLONE, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!birth->newborn)
		munmap(birth->stack, 2 * SPAWN_STACK);
	return -error;
}

bool newborn_possible(void)
{
	enum { DUMPABLE = 1 };

	return prctl(PR_GET_DUMPABLE) == DUMPABLE;
}

int newborn_init(struct newborn *newborn)
{
	memset(newborn, 0, sizeof(*newborn));
	newborn->stack = stacks_new(NEWBORN_STACKS);
	return newborn->stack ? 0 : -ENOMEM;
}

bool newborn_end(struct newborn *newborn, int timeout_ms)
{
	const struct timespec patience = { .tv_sec = timeout_ms / 1000,
					   .tv_nsec = (long)(timeout_ms % 1000) * 1000000 };

	/* The kernel wakes one when it writes the 0 (set_tid_address(2)). */
	while (__atomic_load_n(&newborn->here, __ATOMIC_ACQUIRE))
		if (arch_kernel(SYS_futex, (long)&newborn->here, FUTEX_WAIT, 1, (long)&patience, 0, 0) == -ETIMEDOUT)
			return false;
	munmap(newborn->stack, NEWBORN_STACKS * SPAWN_STACK);
	newborn->stack = NULL;
	return true;
}

int client_spawn(int executable, int payload, struct newborn *newborn, const char *const *extra,
		 struct spawned *ret)
{
	int ends[2];
	char number[2][16];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	int self = (int)syscall(SYS_pidfd_open, getpid(), 0);
	if (self < 0) {
		int error = errno;
		close(ends[0]);
		close(ends[1]);
		return -error;
	}

	snprintf(number[0], sizeof(number[0]), "%d", ends[1]);
	snprintf(number[1], sizeof(number[1]), "%d", self);
	struct birth birth = {
		.executable = executable,
		.keep = { ends[1], self, payload },
		.newborn = newborn,
		.arguments = { (char[]){ "tether-controller" }, number[0], number[1] },
	};
	for (size_t i = 0; extra && extra[i] && i + 4 < SPAWN_ARGUMENTS; i++)
		birth.arguments[3 + i] = (char *)(uintptr_t)extra[i];

	int result = clone_twice(&birth);
	close(self);
	close(ends[1]);
	if (result < 0) {
		close(ends[0]);
		return result;
	}
	ret->socket = ends[0];
	ret->pid = birth.controller;
	return 0;
}
