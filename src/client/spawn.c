/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/futex.h>

#include "client/borrowed.h"
#include "client/spawn.h"
#include "os/sys.h"

enum { SPAWN_STACK = SPAWN_STACKS / 2 };

/* Where the controller-to-be is. */
enum spawn_here {
	SPAWN_GONE, /* it has executed, or ended; or was never made */
	SPAWN_ON_ITS_WAY,
	SPAWN_MADE, /* the victim is made and attended to, or there will be none */
};

BORROWED_THREAD static int become_controller(void *data)
{
	struct spawn *spawn = data;
	static char *const no_environment[] = { NULL };
	long error = 0;

	if (spawn->newborn) {
		newborn_make(spawn->newborn);
		/* Without it there is nothing to control: the end of the line says so. */
		if (!spawn->newborn->pid)
			return 127;
		if (!newborn_attend(spawn->newborn))
			error = -EPIPE;
		__atomic_store_n(&spawn->here, SPAWN_MADE, __ATOMIC_RELEASE);
		kernel(SYS_futex, &spawn->here, FUTEX_WAKE, 1, 0, 0);
	}
	for (size_t i = 0; !error && i < ARRAY_LEN(spawn->keep); i++)
		if (spawn->keep[i] >= 0)
			error = kernel(SYS_fcntl, spawn->keep[i], F_SETFD, 0, 0, 0);
	if (!error)
		error = kernel(SYS_execveat, spawn->executable, "", spawn->argument, no_environment, AT_EMPTY_PATH);
	spawn->error = (int)-error;
	if (spawn->newborn)
		newborn_undo(spawn->newborn);
	return 127;
}

BORROWED_THREAD static int be_middle(void *data)
{
	struct spawn *spawn = data;

	spawn->here = SPAWN_ON_ITS_WAY;
	spawn->pid = arch_clone(become_controller, spawn, spawn->stack + SPAWN_STACK,
				CLONE_VM | CLONE_CHILD_CLEARTID | SIGCHLD, &spawn->here);
	if (spawn->pid < 0) {
		spawn->error = (int)-spawn->pid;
		spawn->here = SPAWN_GONE;
	}
	return 0;
}

static char *stacks_new(void)
{
	char *stack = mmap(NULL, SPAWN_STACKS, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);

	return stack == MAP_FAILED ? NULL : stack;
}

static int clone_middle(struct spawn *spawn)
{
	sigset_t all, before;

	/* Unmapping costs a stop of the other processor, while the victim runs in this memory there: later. */
	spawn->stack = spawn->newborn ? spawn->newborn->stack + NEWBORN_STACK : stacks_new();
	if (!spawn->stack)
		return -ENOMEM;

	/* A handler of the host must not run in the children, which share its memory. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	/* It runs at once, not when the caller sleeps: VFORK. It changes nothing of what it shares. */
	spawn->middle = arch_clone(be_middle, spawn, spawn->stack + SPAWN_STACKS,
				   CLONE_VM | CLONE_VFORK | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_SYSVSEM,
				   NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (spawn->middle < 0 && !spawn->newborn)
		munmap(spawn->stack, SPAWN_STACKS);
	return spawn->middle < 0 ? (int)spawn->middle : 0;
}

void spawn_reap(struct spawn *spawn)
{
	if (spawn->middle)
		while (arch_kernel(SYS_wait4, (long)spawn->middle, 0, __WCLONE, 0, 0, 0) == -EINTR)
			;
	spawn->middle = 0;
}

/* The kernel's wake at the end of a task is not private (set_tid_address(2)). */
static void wait_while(const uint32_t *futex, uint32_t value)
{
	while (__atomic_load_n(futex, __ATOMIC_ACQUIRE) == value)
		arch_kernel(SYS_futex, (long)futex, FUTEX_WAIT, (long)value, 0, 0, 0);
}

/*
 * After unshare(CLONE_NEWPID) the caller's first child is the init of another namespace: that would be the middle
 * process, and with its end the namespace is of no use to the host any more. Before it has an init its link is
 * not there (namespaces(7)).
 */
static bool children_are_born_elsewhere(void)
{
	char own[64], children[64];
	ssize_t length = readlink("/proc/thread-self/ns/pid", own, sizeof(own));
	ssize_t theirs = readlink("/proc/thread-self/ns/pid_for_children", children, sizeof(children));

	if (length < 0 || (theirs < 0 && errno != ENOENT))
		return false;
	return theirs != length || memcmp(own, children, (size_t)length) != 0;
}

int spawn_start(struct spawn *spawn, int executable, int payload, struct newborn *newborn,
		const char *const *extra)
{
	static const char name[] = "tether-controller";
	int ends[2];

	if (children_are_born_elsewhere())
		return -EXDEV;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	int self = (int)syscall(SYS_pidfd_open, getpid(), 0);
	int result = self < 0 ? -errno : 0;

	*spawn = (struct spawn){
		.socket = ends[0],
		.executable = executable,
		.keep = { ends[1], self, payload },
		.newborn = newborn,
		.argument = { (char *)(uintptr_t)name, spawn->number[0], spawn->number[1] },
	};
	snprintf(spawn->number[0], sizeof(spawn->number[0]), "%d", ends[1]);
	snprintf(spawn->number[1], sizeof(spawn->number[1]), "%d", self);
	for (size_t i = 0; extra && extra[i] && i + 4 < SPAWN_ARGUMENTS; i++)
		spawn->argument[3 + i] = (char *)(uintptr_t)extra[i];
	if (newborn)
		newborn->socket = ends[0];
	if (!result)
		result = clone_middle(spawn);
	if (self >= 0)
		close(self);
	close(ends[1]);
	if (result < 0)
		close(ends[0]);
	return result;
}

void spawn_victim(struct spawn *spawn)
{
	spawn_reap(spawn);
	wait_while(&spawn->here, SPAWN_ON_ITS_WAY);
}

int spawn_end(struct spawn *spawn)
{
	spawn_victim(spawn);
	wait_while(&spawn->here, SPAWN_MADE);
	if (!spawn->newborn)
		munmap(spawn->stack, SPAWN_STACKS);
	return -spawn->error;
}
