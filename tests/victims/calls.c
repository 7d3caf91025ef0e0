/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A thread blocked in each system call that a stop may or may not disturb.
 *
 * At "counts" it says "NAME" for each call that has ended with EINTR since, then "done". No handler ever
 * runs.
 */
#include "victim.h"

#include <errno.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>

enum { LONG_S = 600, LONG_MS = LONG_S * 1000 };

static pid_t child;
static int semaphore, queue;

static int empty_epoll(void)
{
	return epoll_create1(0);
}

static int quiet_socket(bool timed)
{
	int end[2];
	const struct timeval limit = { LONG_S, 0 };
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, end))
		exit(98);
	if (timed)
		setsockopt(end[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	return end[0];
}

static long call_epoll_wait(void)
{
	struct epoll_event event;
	return epoll_wait(empty_epoll(), &event, 1, -1);
}

static long call_epoll_wait_timed(void)
{
	struct epoll_event event;
	return epoll_wait(empty_epoll(), &event, 1, LONG_MS);
}

static long call_epoll_pwait(void)
{
	struct epoll_event event;
	sigset_t mask;
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	return epoll_pwait(empty_epoll(), &event, 1, -1, &mask);
}

static long call_sigwaitinfo(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 5);
	return sigwaitinfo(&set, NULL);
}

static long call_sigtimedwait_timed(void)
{
	sigset_t set;
	const struct timespec limit = { LONG_S, 0 };
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 6);
	return sigtimedwait(&set, NULL, &limit);
}

static long call_io_getevents(void)
{
	aio_context_t context = 0;
	struct io_event event;
	if (syscall(SYS_io_setup, 4, &context))
		return 0;
	return syscall(SYS_io_getevents, context, 1, 1, &event, NULL);
}

static long call_semop(void)
{
	struct sembuf down = { 0, -1, 0 };
	return semtimedop(semaphore, &down, 1, NULL);
}

static long call_semop_timed(void)
{
	struct sembuf down = { 0, -1, 0 };
	const struct timespec limit = { LONG_S, 0 };
	return semtimedop(semaphore, &down, 1, &limit);
}

static long call_recv(void)
{
	char byte;
	return recv(quiet_socket(false), &byte, 1, 0);
}

static long call_recv_timed(void)
{
	char byte;
	return recv(quiet_socket(true), &byte, 1, 0);
}

static long call_nanosleep(void)
{
	const struct timespec time = { LONG_S, 0 };
	return nanosleep(&time, NULL);
}

static long call_poll(void)
{
	struct pollfd fd = { quiet_socket(false), POLLIN, 0 };
	return poll(&fd, 1, -1);
}

static long call_poll_timed(void)
{
	struct pollfd fd = { quiet_socket(false), POLLIN, 0 };
	return poll(&fd, 1, LONG_MS);
}

static long call_select(void)
{
	fd_set set;
	int fd = quiet_socket(false);
	FD_ZERO(&set);
	FD_SET(fd, &set);
	return select(fd + 1, &set, NULL, NULL, NULL);
}

static long call_futex(void)
{
	static int word;
	return syscall(SYS_futex, &word, 0 /* FUTEX_WAIT */, 0, NULL, NULL, 0);
}

static long call_msgrcv(void)
{
	struct {
		long type;
		char text[8];
	} message;
	return msgrcv(queue, &message, sizeof(message.text), 0, 0);
}

static long call_waitpid(void)
{
	return waitpid(child, NULL, 0);
}

static long call_read_eventfd(void)
{
	uint64_t value;
	return read(eventfd(0, 0), &value, sizeof(value));
}

static long call_read_timerfd(void)
{
	uint64_t value;
	const struct itimerspec time = { .it_value = { LONG_S, 0 } };
	int fd = timerfd_create(CLOCK_MONOTONIC, 0);
	timerfd_settime(fd, 0, &time, NULL);
	return read(fd, &value, sizeof(value));
}

static long call_read_signalfd(void)
{
	struct signalfd_siginfo info;
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 7);
	return read(signalfd(-1, &set, 0), &info, sizeof(info));
}

static long call_read_inotify(void)
{
	char event[512];
	return read(inotify_init1(0), event, sizeof(event));
}

static struct call {
	const char *name;
	long (*run)(void);
	_Atomic unsigned interrupted, other;
} calls[] = {
	{ "epoll_wait", call_epoll_wait, 0, 0 },
	{ "epoll_pwait", call_epoll_pwait, 0, 0 },
	{ "sigwaitinfo", call_sigwaitinfo, 0, 0 },
	{ "io_getevents", call_io_getevents, 0, 0 },
	{ "semtimedop", call_semop, 0, 0 },
	{ "timed epoll_wait", call_epoll_wait_timed, 0, 0 },
	{ "timed sigtimedwait", call_sigtimedwait_timed, 0, 0 },
	{ "timed semtimedop", call_semop_timed, 0, 0 },
	{ "timed recv", call_recv_timed, 0, 0 },
	{ "recv", call_recv, 0, 0 },
	{ "nanosleep", call_nanosleep, 0, 0 },
	{ "poll", call_poll, 0, 0 },
	{ "timed poll", call_poll_timed, 0, 0 },
	{ "select", call_select, 0, 0 },
	{ "futex", call_futex, 0, 0 },
	{ "msgrcv", call_msgrcv, 0, 0 },
	{ "waitpid", call_waitpid, 0, 0 },
	{ "read eventfd", call_read_eventfd, 0, 0 },
	{ "read timerfd", call_read_timerfd, 0, 0 },
	{ "read signalfd", call_read_signalfd, 0, 0 },
	{ "read inotify", call_read_inotify, 0, 0 },
};
enum { CALLS = sizeof(calls) / sizeof(calls[0]) };

static void *blocked(void *data)
{
	struct call *call = data;
	for (;;) {
		long result = call->run();
		if (result < 0 && errno == EINTR)
			atomic_fetch_add(&call->interrupted, 1);
		else
			atomic_fetch_add(&call->other, 1);
		/* A call that does not block here must not spin. */
		if (atomic_load(&call->other) > 100)
			pause();
	}
	return NULL;
}

/* All threads but this one sleep: state S, inside a call. */
static void await_blocked(void)
{
	const struct timespec moment = { 0, 20000000 };
	for (int i = 0; i < 5; i++)
		nanosleep(&moment, NULL);
}

int main(void)
{
	sigset_t set;
	sigemptyset(&set);
	for (int n = 5; n <= 7; n++)
		sigaddset(&set, SIGRTMIN + n);
	sigprocmask(SIG_BLOCK, &set, NULL);
	semaphore = semget(IPC_PRIVATE, 1, 0600);
	queue = msgget(IPC_PRIVATE, 0600);
	child = fork();
	if (child == 0) {
		for (;;)
			pause();
	}
	for (int i = 0; i < CALLS; i++) {
		pthread_t thread;
		if (pthread_create(&thread, NULL, blocked, &calls[i]))
			return 98;
	}
	await_blocked();
	say("ready");
	while (*hear()) {
		await_blocked();
		for (int i = 0; i < CALLS; i++) {
			if (atomic_exchange(&calls[i].interrupted, 0))
				say("expect %s", calls[i].name);
			if (atomic_load(&calls[i].other))
				say("wrong: %s does not block", calls[i].name);
		}
		say("done");
	}
	semctl(semaphore, 0, IPC_RMID);
	msgctl(queue, IPC_RMID, NULL);
	kill(child, SIGKILL);
	return 0;
}
