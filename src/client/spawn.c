/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/spawn.h"
#include "os/sys.h"

enum { SPAWN_STACK = 65536, SPAWN_ARGUMENTS = 16 };

/* Shared between the caller, the middle process and the controller-to-be: all three run in one memory. */
struct birth {
	int executable;
	int keep[3];         /* fds that must survive the exec: cleared in the child's own table only */
	char *arguments[SPAWN_ARGUMENTS];
	char *stack;         /* two stacks, one above the other */
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

BORROWED_THREAD static int become_controller(void *data)
{
	struct birth *birth = data;
	static char *const no_environment[] = { NULL };

	for (size_t i = 0; i < ARRAY_LEN(birth->keep); i++)
		if (birth->keep[i] >= 0 && syscall(SYS_fcntl, birth->keep[i], F_SETFD, 0) < 0) {
			birth->error = errno;
			syscall(SYS_exit_group, 127);
		}
	syscall(SYS_execveat, birth->executable, "", birth->arguments, no_environment, AT_EMPTY_PATH);
	birth->error = errno;
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

static int clone_twice(struct birth *birth)
{
	sigset_t all, before;

	birth->stack = mmap(NULL, 2 * SPAWN_STACK, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (birth->stack == MAP_FAILED)
		return -errno;

	/* A handler of the host must not run in the children, which share its memory. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pid_t middle = clone(be_middle, birth->stack + 2 * SPAWN_STACK, CLONE_VM | CLONE_VFORK, birth);
	int error = middle < 0 ? errno : birth->error;
	if (middle > 0)
		sys(wait4, middle, NULL, __WCLONE, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	munmap(birth->stack, 2 * SPAWN_STACK);
	return -error;
}

int client_spawn(int executable, int payload, const char *const *extra, struct spawned *ret)
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
