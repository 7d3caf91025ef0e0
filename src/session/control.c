/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/sys.h"
#include "session/session.h"

/*
 * Descriptors of the private table are used by bare system calls only: a sanitizer that wraps the C library's
 * functions takes their numbers for those of the host's table.
 */

/* Any signal will do: only this thread blocks it, and it is sent to this thread alone. */
enum { WAKE_SIGNAL = SIGURG };
#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL
#endif

static void wake(struct host *host)
{
	struct tether_session *session = session_of(host);

	sys(tgkill, session->table.owner, session->control_tid, WAKE_SIGNAL);
}

static int watch(struct host *host, struct family *family, int fd)
{
	struct epoll_event interest = { .events = EPOLLIN, .data.ptr = family };

	return (int)sys(epoll_ctl, session_of(host)->poll_fd, EPOLL_CTL_ADD, fd, &interest);
}

static void forget(struct host *host, int fd)
{
	sys(epoll_ctl, session_of(host)->poll_fd, EPOLL_CTL_DEL, fd, NULL);
}

/*
 * The process's pidfd stands for its main thread, whose table is the host's. When that thread has ended, the
 * calling thread's own pidfd serves where the kernel has such.
 */
static int take_socket(struct host *host, int64_t caller, int fd)
{
	struct tether_session *session = session_of(host);
	long taken = sys(pidfd_getfd, session->self_fd, fd, 0);

	if (taken < 0) {
		long thread = sys(pidfd_open, caller, PIDFD_THREAD);
		if (thread < 0)
			return (int)taken;
		taken = sys(pidfd_getfd, thread, fd, 0);
		sys(close, thread);
	}
	return (int)taken;
}

/*
 * The path, while it still names the very file that was pinned at session open; else that one, through the
 * control thread's table, which costs a walk of /proc. Where /proc is closed to the process itself (it has made
 * itself non-dumpable, or /proc is not mounted) the path must do; hello tells a controller of another build.
 */
static int open_controller(struct host *host)
{
	struct tether_session *session = session_of(host);
	struct stat status;
	char path[64];
	long by_path = sys(openat, AT_FDCWD, session->controller_path, O_PATH | O_CLOEXEC, 0);

	if (by_path >= 0) {
		if (sys(newfstatat, by_path, "", &status, AT_EMPTY_PATH) == 0 &&
		    status.st_dev == session->executable_device && status.st_ino == session->executable_inode)
			return (int)by_path;
		sys(close, by_path);
	}
	snprintf(path, sizeof(path), "/proc/self/task/%lld/fd/%d", (long long)session->control_tid,
		 session->executable);
	long fd = sys(openat, AT_FDCWD, path, O_PATH | O_CLOEXEC, 0);
	if (fd == -EACCES || fd == -EPERM || fd == -ENOENT)
		fd = sys(openat, AT_FDCWD, session->controller_path, O_PATH | O_CLOEXEC, 0);
	return (int)fd;
}

/* ---- the thread --------------------------------------------------------------------------------------------- */

/* Leave nothing open but the event fd: higher ones first, so that the copy of the table stays small. */
static int unshare_files(int keep)
{
	long result = sys(close_range, (unsigned)keep + 1, ~0U, CLOSE_RANGE_UNSHARE);

	if (result == 0 && keep > 0)
		result = sys(close_range, 0, (unsigned)keep - 1, 0);
	return (int)result;
}

static int set_up(struct tether_session *session)
{
	sigset_t wakes;
	int result = unshare_files(session->event_fd);

	if (result < 0)
		return result;
	session->private_fd = session->event_fd;
	sigemptyset(&wakes);
	sigaddset(&wakes, WAKE_SIGNAL);
	session->wake_fd = (int)sys(signalfd4, -1, &wakes, sizeof(uint64_t), SFD_NONBLOCK | SFD_CLOEXEC);
	session->poll_fd = (int)sys(epoll_create1, EPOLL_CLOEXEC);
	session->self_fd = (int)sys(pidfd_open, getpid(), 0);
	if (session->wake_fd < 0 || session->poll_fd < 0 || session->self_fd < 0)
		return -EMFILE;
	session->executable = (int)sys(openat, AT_FDCWD, session->controller_path, O_PATH | O_CLOEXEC, 0);
	if (session->executable < 0)
		return session->executable;
	struct stat status;
	long stated = sys(newfstatat, session->executable, "", &status, AT_EMPTY_PATH);
	if (stated < 0)
		return (int)stated;
	/* Said now, and not by the first victim's fate. */
	if (!S_ISREG(status.st_mode) || !(status.st_mode & (S_IXUSR | S_IXGRP | S_IXOTH)))
		return -EACCES;
	session->executable_device = status.st_dev;
	session->executable_inode = status.st_ino;
	struct epoll_event interest = { .events = EPOLLIN };
	return (int)sys(epoll_ctl, session->poll_fd, EPOLL_CTL_ADD, session->wake_fd, &interest);
}

static struct operation *next_operation(struct tether_session *session)
{
	struct operation *operation;

	pthread_mutex_lock(&session->table.lock);
	operation = STAILQ_FIRST(&session->table.queue);
	if (operation)
		STAILQ_REMOVE_HEAD(&session->table.queue, queued);
	pthread_mutex_unlock(&session->table.lock);
	return operation;
}

static bool is_ending(struct tether_session *session)
{
	pthread_mutex_lock(&session->table.lock);
	bool ending = session->ending;
	pthread_mutex_unlock(&session->table.lock);
	return ending;
}

static void run_operations(struct tether_session *session)
{
	struct signalfd_siginfo wakes[8];
	struct operation *operation;

	while (sys(read, session->wake_fd, wakes, sizeof(wakes)) > 0)
		;
	while ((operation = next_operation(session))) {
		operation->start(operation);
		operation_put(operation);
	}
}

/* One event at a time: what it does may free the family that a second one would point to. */
static void turn(struct tether_session *session, int timeout_ms)
{
	struct epoll_event ready;

	if (sys(epoll_pwait, session->poll_fd, &ready, 1, timeout_ms, NULL, 0) != 1)
		return;
	if (ready.data.ptr)
		family_receive(ready.data.ptr);
	else
		run_operations(session);
	queue_announce(session);
}

/* At the end of the session every victim goes in its family's mode; a controller that does not answer in time
 * sees end-of-file and does the same by itself. */
static void let_all_go(struct tether_session *session)
{
	struct table *table = &session->table;
	uint64_t until = os_now_ns() + session->host.question_ns;
	struct hanging hanging = { NULL, 0 };
	struct family *family;

	LIST_FOREACH(family, &table->families, entry) {
		family_hanging(family, &hanging);
		struct proto_pid whole = { .pid = 0, .mode = family->mode };
		if (family_send(family, PROTO_REQ_release, &whole, NULL, 0, family_released, NULL) < 0)
			family->released = true;
	}
	while (!LIST_EMPTY(&table->families)) {
		uint64_t now = os_now_ns();
		if (now >= until)
			break;
		turn(session, (int)((until - now) / 1000000) + 1);
	}
	while ((family = LIST_FIRST(&table->families))) {
		family->released = true; /* it will see end-of-file and do the same by itself */
		family_end(family, "the session was closed");
	}
	hanging_await(&hanging, until);
	hanging_clear(&hanging);
}

/*
 * A message and what is made of it lie on this thread's stack, and somebody may wait for the first of them: its pages are
 * there by then.
 */
enum { STACK_WARM = 96 << 10, PAGE = 4096 };

__attribute__((noinline)) static void warm_stack(void)
{
	volatile char page[STACK_WARM];

	for (size_t at = 0; at < sizeof(page); at += PAGE)
		page[at] = 0;
}

static void *control_main(void *data)
{
	struct tether_session *session = data;

	warm_stack();

	int result = set_up(session);
	pthread_mutex_lock(&session->table.lock);
	session->table.control = pthread_self();
	session->control_tid = sys(gettid, 0);
	session->control_error = result;
	session->control = result < 0 ? CONTROL_FAILED : CONTROL_RUNNING;
	pthread_cond_broadcast(&session->table.changed);
	pthread_mutex_unlock(&session->table.lock);

	while (result == 0 && !is_ending(session))
		turn(session, -1);
	if (result == 0)
		let_all_go(session);
	/* Its table dies with the thread, and with it all that is open here. */
	return NULL;
}

int control_start(struct tether_session *session)
{
	sigset_t all, before;

	session->host.wake = wake;
	session->host.watch = watch;
	session->host.forget = forget;
	session->host.take_socket = take_socket;
	session->host.open_controller = open_controller;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int result = pthread_create(&session->thread, NULL, control_main, session);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (result)
		return -result;

	pthread_mutex_lock(&session->table.lock);
	while (session->control == CONTROL_STARTING)
		pthread_cond_wait(&session->table.changed, &session->table.lock);
	result = session->control_error;
	pthread_mutex_unlock(&session->table.lock);
	if (result < 0)
		pthread_join(session->thread, NULL);
	return result;
}

void control_end(struct tether_session *session)
{
	pthread_mutex_lock(&session->table.lock);
	session->ending = true;
	pthread_mutex_unlock(&session->table.lock);
	wake(&session->host);
	pthread_join(session->thread, NULL);
}
