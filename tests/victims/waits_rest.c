/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls that wait for what has no descriptor: System V and POSIX queues, locks, children, time, signals.
 */
#include "waits.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

/* ---- System V and POSIX ------------------------------------------------------------------------------------ */

static long wait_semtimedop(struct call *call)
{
	struct sembuf down = { 0, -1, 0 };
	call->word = (uint32_t)semget(IPC_PRIVATE, 1, 0600);
	return semtimedop((int)call->word, &down, 1, NULL);
}

/* glibc may make the other call of it. */
static long wait_semop(struct call *call)
{
	struct sembuf down = { 0, -1, 0 };
	call->word = (uint32_t)semget(IPC_PRIVATE, 1, 0600);
	return syscall(SYS_semop, (int)call->word, &down, 1);
}

static void finish_semaphore(struct call *call)
{
	struct sembuf up = { 0, 1, 0 };
	semop((int)call->word, &up, 1);
}

static void remove_semaphore(struct call *call)
{
	semctl((int)call->word, 0, IPC_RMID);
}

static void remove_queue(struct call *call)
{
	msgctl((int)call->word, IPC_RMID, NULL);
}

struct message {
	long type;
	char text[8];
};

static long wait_msgrcv(struct call *call)
{
	struct message message = { 0 };
	call->word = (uint32_t)msgget(IPC_PRIVATE, 0600);
	long result = msgrcv((int)call->word, &message, sizeof(message.text), 0, 0);
	found(call, "type %ld", message.type);
	return result;
}

static void finish_msgrcv(struct call *call)
{
	struct message message = { .type = 9 };
	msgsnd((int)call->word, &message, sizeof(message.text), 0);
}

static long wait_msgsnd(struct call *call)
{
	struct message message = { .type = 9 };
	call->word = (uint32_t)msgget(IPC_PRIVATE, 0600);
	while (msgsnd((int)call->word, &message, sizeof(message.text), IPC_NOWAIT) == 0)
		;
	return msgsnd((int)call->word, &message, sizeof(message.text), 0);
}

static void finish_msgsnd(struct call *call)
{
	struct message message;
	msgrcv((int)call->word, &message, sizeof(message.text), 0, 0);
}

static long wait_mq_receive(struct call *call)
{
	struct mq_attr attributes = { .mq_maxmsg = 2, .mq_msgsize = 8 };
	char name[64], text[8] = "";
	snprintf(name, sizeof(name), "/tether-waits-%d", getpid());
	call->end[0] = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
	mq_unlink(name);
	long result = mq_receive(call->end[0], text, sizeof(text), NULL);
	found(call, "'%c'", text[0]);
	return result;
}

static long wait_mq_send(struct call *call)
{
	struct mq_attr attributes = { .mq_maxmsg = 1, .mq_msgsize = 8 };
	char name[64];
	snprintf(name, sizeof(name), "/tether-waits-send-%d", getpid());
	call->end[0] = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
	mq_unlink(name);
	mq_send(call->end[0], "a", 1, 0);
	return mq_send(call->end[0], "b", 1, 0);
}

static void finish_mq_send(struct call *call)
{
	char text[8];
	mq_receive(call->end[0], text, sizeof(text), NULL);
}

static void finish_mq(struct call *call)
{
	mq_send(call->end[0], "q", 1, 0);
}

/* ---- locks, children, time ------------------------------------------------------------------------------- */

static int temporary(void)
{
	char name[] = "/tmp/tether-waits-XXXXXX";
	int fd = mkstemp(name);
	unlink(name);
	return fd;
}

static long wait_flock(struct call *call)
{
	char name[64];
	call->end[0] = temporary();
	flock(call->end[0], LOCK_EX);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", call->end[0]);
	int other = open(name, O_RDWR);
	return flock(other, LOCK_EX);
}

static void finish_flock(struct call *call)
{
	flock(call->end[0], LOCK_UN);
}

static struct flock whole(short type)
{
	return (struct flock){ .l_type = type, .l_whence = SEEK_SET };
}

/* By descriptions, so that one process can have both. */
static long wait_setlkw(struct call *call)
{
	char name[64];
	struct flock lock = whole(F_WRLCK);
	call->end[0] = temporary();
	fcntl(call->end[0], F_OFD_SETLK, &lock);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", call->end[0]);
	int other = open(name, O_RDWR);
	return fcntl(other, F_OFD_SETLKW, &lock);
}

static void finish_setlkw(struct call *call)
{
	struct flock lock = whole(F_UNLCK);
	fcntl(call->end[0], F_OFD_SETLK, &lock);
}

static long wait_futex(struct call *call)
{
	return syscall(SYS_futex, &call->word, FUTEX_WAIT, 0, NULL, NULL, 0);
}

static long wait_futex_bitset(struct call *call)
{
	const struct timespec far = { INT32_MAX, 0 };
	return syscall(SYS_futex, &call->word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &far, NULL, 1);
}

static void finish_futex(struct call *call)
{
	while (!atomic_load(&call->left) && syscall(SYS_futex, &call->word, FUTEX_WAKE, 1, NULL, NULL, 0) == 0)
		sched_yield();
}

/* Held by the first thread, which gives it back. */
static void hold_futex(struct call *call)
{
	call->word = (uint32_t)syscall(SYS_gettid);
}

static long wait_futex_pi(struct call *call)
{
	return syscall(SYS_futex, &call->word, FUTEX_LOCK_PI, 0, NULL, NULL, 0);
}

static void finish_futex_pi(struct call *call)
{
	syscall(SYS_futex, &call->word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0);
}

static long wait_wait4(struct call *call)
{
	int status = 0;
	long result = wait4(call->child, &status, 0, NULL) == call->child;
	found(call, "%#lx", status);
	return result;
}

static long wait_waitid(struct call *call)
{
	siginfo_t info = { 0 };
	long result = waitid(P_PID, (id_t)call->child, &info, WEXITED);
	found(call, "%ld", info.si_status);
	return result;
}

static void make_child(struct call *call)
{
	call->child = fork();
	if (call->child == 0) {
		signal(SIGTERM, SIG_DFL);
		for (;;)
			pause();
	}
}

static void end_child(struct call *call)
{
	kill(call->child, SIGTERM);
}

static long since(const struct timespec *start)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - start->tv_sec) * 1000 + (now.tv_nsec - start->tv_nsec) / 1000000;
}

static const struct timespec a_while = { SHORT_MS / 1000, SHORT_MS % 1000 * 1000000 };

static long timed(struct call *call, long (*wait)(void))
{
	struct timespec start;
	clock_gettime(CLOCK_MONOTONIC, &start);
	long result = wait();
	int error = errno;
	long ms = since(&start);
	found(call, "in time: %ld", ms >= SHORT_MS && ms < SHORT_MS + 3000);
	errno = error;
	return result;
}

static long sleep_a_while(void)
{
	struct timespec left = { 0, 0 };
	return nanosleep(&a_while, &left) - left.tv_sec;
}

static long sleep_by_clock(void)
{
	return clock_nanosleep(CLOCK_BOOTTIME, 0, &a_while, NULL);
}

static long sleep_until(void)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += SHORT_MS * 1000000L;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

static long poll_a_while(void)
{
	return poll(NULL, 0, SHORT_MS);
}

static long select_a_while(void)
{
	struct timeval limit = { SHORT_MS / 1000, SHORT_MS % 1000 * 1000 };
	return select(0, NULL, NULL, NULL, &limit);
}

static long futex_a_while(void)
{
	static uint32_t word;
	return syscall(SYS_futex, &word, FUTEX_WAIT, 0, &a_while, NULL, 0);
}

#define TIMED(name)                                \
	static long wait_##name(struct call *call) \
	{                                          \
		return timed(call, name);          \
	}
TIMED(sleep_a_while)
TIMED(sleep_by_clock)
TIMED(sleep_until)
TIMED(poll_a_while)
TIMED(select_a_while)
TIMED(futex_a_while)

static void on_signal(int number)
{
	(void)number;
}

static void handle_signal(struct call *call)
{
	(void)call;
	signal(SIGUSR1, on_signal);
}

static long wait_pause(struct call *call)
{
	(void)call;
	return pause();
}

static long wait_sigsuspend(struct call *call)
{
	sigset_t mask;
	(void)call;
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	return sigsuspend(&mask);
}

/* It may not be in the call yet: until it has left. */
static void interrupt(struct call *call)
{
	while (!atomic_load(&call->left)) {
		pthread_kill(call->thread, SIGUSR1);
		usleep(1000);
	}
}

struct call waits_rest[] = {
	{ .name = "semtimedop", .wait = wait_semtimedop, .finish = finish_semaphore, .tidy = remove_semaphore },
	{ .name = "semop", .wait = wait_semop, .finish = finish_semaphore, .tidy = remove_semaphore },
	{ .name = "msgrcv", .wait = wait_msgrcv, .finish = finish_msgrcv, .tidy = remove_queue },
	{ .name = "msgsnd", .wait = wait_msgsnd, .finish = finish_msgsnd, .tidy = remove_queue },
	{ .name = "mq_receive", .wait = wait_mq_receive, .finish = finish_mq },
	{ .name = "mq_send", .wait = wait_mq_send, .finish = finish_mq_send },
	{ .name = "flock", .wait = wait_flock, .finish = finish_flock },
	{ .name = "F_OFD_SETLKW", .wait = wait_setlkw, .finish = finish_setlkw },
	{ .name = "futex", .wait = wait_futex, .finish = finish_futex },
	{ .name = "futex bitset", .wait = wait_futex_bitset, .finish = finish_futex },
	{ .name = "futex lock pi", .prepare = hold_futex, .wait = wait_futex_pi, .finish = finish_futex_pi },
	{ .name = "wait4", .prepare = make_child, .wait = wait_wait4, .finish = end_child },
	{ .name = "waitid", .prepare = make_child, .wait = wait_waitid, .finish = end_child },
	{ .name = "nanosleep", .wait = wait_sleep_a_while, .finish = by_itself },
	{ .name = "clock_nanosleep", .wait = wait_sleep_by_clock, .finish = by_itself },
	{ .name = "clock_nanosleep until", .wait = wait_sleep_until, .finish = by_itself },
	{ .name = "timed poll", .wait = wait_poll_a_while, .finish = by_itself },
	{ .name = "timed select", .wait = wait_select_a_while, .finish = by_itself },
	{ .name = "timed futex", .wait = wait_futex_a_while, .finish = by_itself },
	{ .name = "pause", .prepare = handle_signal, .wait = wait_pause, .finish = interrupt },
	{ .name = "sigsuspend", .prepare = handle_signal, .wait = wait_sigsuspend, .finish = interrupt },
	{ .name = NULL },
};
