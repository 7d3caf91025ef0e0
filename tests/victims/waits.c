/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A thread in each system call that can wait, and then what it waited for: the one call that was made must give
 * what it gives when nobody disturbs it. At "finish" each call gets what ends it; then one line a call comes,
 * "NAME: RESULT ERRNO, WHAT IT GOT", and "done". The lines are the same in every run, but for a call that this
 * kernel does not have, which says so in every run too.
 */
#include "victim.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

enum { SHORT_MS = 700, EVENTUALLY_MS = 10000 };

/* What a call has to itself: a pipe, a place to wait on, and what it found. */
struct call {
	const char *name;
	long (*wait)(struct call *call);
	void (*finish)(struct call *call);
	int end[2];
	uint32_t word;
	pid_t child;
	pthread_t thread;
	long result;
	int error;
	char found[64];
	_Atomic int left;
};

static void found(struct call *call, const char *format, long value)
{
	snprintf(call->found, sizeof(call->found), format, value);
}

/* ---- pipes and what is told of them ---------------------------------------------------------------------- */

static void put_byte(struct call *call)
{
	if (write(call->end[1], "x", 1) != 1)
		say("wrong: %s: nothing can be written", call->name);
}

static long wait_read(struct call *call)
{
	char byte = 0;
	long result = read(call->end[0], &byte, 1);
	found(call, "'%c'", byte);
	return result;
}

static long wait_readv(struct call *call)
{
	char byte = 0;
	struct iovec piece = { &byte, 1 };
	long result = syscall(SYS_preadv2, call->end[0], &piece, 1, -1L, -1L, 0);
	found(call, "'%c'", byte);
	return result;
}

static void fill(int fd)
{
	char page[4096] = "";
	int flags = fcntl(fd, F_GETFL);

	fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	while (write(fd, page, sizeof(page)) > 0)
		;
	while (write(fd, page, 1) > 0)
		;
	fcntl(fd, F_SETFL, flags);
}

static long wait_write(struct call *call)
{
	fill(call->end[1]);
	return write(call->end[1], "y", 1);
}

static void take_all(struct call *call)
{
	char page[4096];

	while (!atomic_load(&call->left) && read(call->end[0], page, sizeof(page)) > 0)
		if (poll(&(struct pollfd){ call->end[0], POLLIN, 0 }, 1, 50) == 0)
			break;
}

static long wait_splice(struct call *call)
{
	int other[2];
	if (pipe(other))
		return -1;
	return splice(call->end[0], NULL, other[1], NULL, 1, 0);
}

static long wait_tee(struct call *call)
{
	int other[2];
	if (pipe(other))
		return -1;
	return tee(call->end[0], other[1], 1, 0);
}

static long wait_poll(struct call *call)
{
	struct pollfd fd = { call->end[0], POLLIN, 0 };
	long result = poll(&fd, 1, -1);
	found(call, "%ld", fd.revents);
	return result;
}

static long wait_ppoll(struct call *call)
{
	struct pollfd fd = { call->end[0], POLLIN, 0 };
	sigset_t mask;
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	long result = ppoll(&fd, 1, NULL, &mask);
	found(call, "%ld", fd.revents);
	return result;
}

static long wait_select(struct call *call)
{
	fd_set set;
	FD_ZERO(&set);
	FD_SET(call->end[0], &set);
	long result = select(call->end[0] + 1, &set, NULL, NULL, NULL);
	found(call, "%ld", FD_ISSET(call->end[0], &set));
	return result;
}

static long wait_pselect(struct call *call)
{
	fd_set set;
	sigset_t mask;
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	FD_ZERO(&set);
	FD_SET(call->end[0], &set);
	long result = pselect(call->end[0] + 1, &set, NULL, NULL, NULL, &mask);
	found(call, "%ld", FD_ISSET(call->end[0], &set));
	return result;
}

static int epoll_on(struct call *call)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = 4711 };
	int fd = epoll_create1(0);
	epoll_ctl(fd, EPOLL_CTL_ADD, call->end[0], &event);
	return fd;
}

static long wait_epoll(struct call *call)
{
	struct epoll_event event = { 0 };
	long result = epoll_wait(epoll_on(call), &event, 1, -1);
	found(call, "%ld", (long)event.data.u64);
	return result;
}

static long wait_epoll_pwait(struct call *call)
{
	struct epoll_event event = { 0 };
	sigset_t mask;
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	long result = epoll_pwait(epoll_on(call), &event, 1, -1, &mask);
	found(call, "%ld", (long)event.data.u64);
	return result;
}

static long wait_epoll_pwait2(struct call *call)
{
	struct epoll_event event = { 0 };
	long result = syscall(441, epoll_on(call), &event, 1, NULL, NULL, 8);
	found(call, "%ld", (long)event.data.u64);
	return result;
}

/* ---- sockets --------------------------------------------------------------------------------------------- */

static void use_sockets(struct call *call)
{
	close(call->end[0]);
	close(call->end[1]);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, call->end))
		exit(98);
}

static long wait_recv(struct call *call)
{
	char byte = 0;
	use_sockets(call);
	long result = recv(call->end[0], &byte, 1, MSG_WAITALL);
	found(call, "'%c'", byte);
	return result;
}

static long wait_recvmsg(struct call *call)
{
	char byte = 0;
	struct iovec piece = { &byte, 1 };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };
	use_sockets(call);
	long result = recvmsg(call->end[0], &message, 0);
	found(call, "'%c'", byte);
	return result;
}

static long wait_recvmmsg(struct call *call)
{
	char byte = 0;
	struct iovec piece = { &byte, 1 };
	struct mmsghdr message = { .msg_hdr = { .msg_iov = &piece, .msg_iovlen = 1 } };
	use_sockets(call);
	long result = recvmmsg(call->end[0], &message, 1, 0, NULL);
	found(call, "'%c'", byte);
	return result;
}

static long wait_send(struct call *call)
{
	use_sockets(call);
	fill(call->end[1]);
	return send(call->end[1], "y", 1, 0);
}

static long wait_accept(struct call *call)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_STREAM, 0);
	/* an abstract name of the kernel's choice */
	bind(listener, (struct sockaddr *)&address, sizeof(sa_family_t));
	listen(listener, 1);
	call->end[0] = listener;
	return accept(listener, NULL, NULL) >= 0;
}

static void connect_to(struct call *call)
{
	struct sockaddr_un address;
	socklen_t size = sizeof(address);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	getsockname(call->end[0], (struct sockaddr *)&address, &size);
	if (connect(fd, (struct sockaddr *)&address, size))
		say("wrong: %s: %s", call->name, strerror(errno));
}

/* ---- files that tell of things ----------------------------------------------------------------------------- */

static long wait_eventfd(struct call *call)
{
	uint64_t value = 0;
	call->end[0] = call->end[1] = eventfd(0, 0);
	long result = read(call->end[0], &value, sizeof(value));
	found(call, "%ld", (long)value);
	return result;
}

static void add_three(struct call *call)
{
	const uint64_t value = 3;
	if (write(call->end[1], &value, sizeof(value)) != sizeof(value))
		say("wrong: %s", call->name);
}

static long wait_timerfd(struct call *call)
{
	uint64_t value = 0;
	const struct itimerspec time = { .it_value = { SHORT_MS / 1000, SHORT_MS % 1000 * 1000000 } };
	int fd = timerfd_create(CLOCK_MONOTONIC, 0);
	timerfd_settime(fd, 0, &time, NULL);
	long result = read(fd, &value, sizeof(value));
	found(call, "%ld", (long)value);
	return result;
}

static long wait_signalfd(struct call *call)
{
	struct signalfd_siginfo info = { 0 };
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 7);
	long result = read(signalfd(-1, &set, 0), &info, sizeof(info));
	found(call, "%ld", info.ssi_int);
	return result;
}

static void queue_signal(int number)
{
	sigqueue(getpid(), number, (union sigval){ .sival_int = 5 });
}

static void finish_signalfd(struct call *call)
{
	(void)call;
	queue_signal(SIGRTMIN + 7);
}

static long wait_sigwaitinfo(struct call *call)
{
	siginfo_t info = { 0 };
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 5);
	long result = sigwaitinfo(&set, &info);
	found(call, "%ld", info.si_value.sival_int);
	return result - SIGRTMIN;
}

static void finish_sigwaitinfo(struct call *call)
{
	(void)call;
	queue_signal(SIGRTMIN + 5);
}

static long wait_inotify(struct call *call)
{
	char event[512], name[64];
	snprintf(name, sizeof(name), "/proc/self/fd/%d", call->end[1]);
	int fd = inotify_init1(0);
	if (inotify_add_watch(fd, name, IN_MODIFY) < 0)
		return -1;
	return read(fd, event, sizeof(event)) > 0;
}

static long wait_io_getevents(struct call *call)
{
	aio_context_t context = 0;
	struct io_event event = { 0 };
	struct iocb poll_it = { .aio_lio_opcode = IOCB_CMD_POLL, .aio_fildes = (uint32_t)call->end[0], .aio_buf = POLLIN,
				.aio_data = 4711 };
	struct iocb *list[] = { &poll_it };
	if (syscall(SYS_io_setup, 4, &context) || syscall(SYS_io_submit, context, 1, list) != 1)
		return -2;
	long result = syscall(SYS_io_getevents, context, 1, 1, &event, NULL);
	found(call, "%ld", (long)event.data);
	return result;
}

/* A ring with one request: tell when the pipe can be read. */
static long wait_io_uring(struct call *call)
{
	struct io_uring_params params = { 0 };
	int fd = (int)syscall(425, 4, &params);
	if (fd < 0)
		return -2;
	size_t size = params.sq_off.array + params.sq_entries * sizeof(uint32_t);
	char *ring = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, IORING_OFF_SQ_RING);
	struct io_uring_sqe *entry = mmap(NULL, params.sq_entries * sizeof(*entry), PROT_READ | PROT_WRITE,
					  MAP_SHARED | MAP_POPULATE, fd, IORING_OFF_SQES);
	if (ring == MAP_FAILED || entry == MAP_FAILED)
		return -2;
	memset(entry, 0, sizeof(*entry));
	entry->opcode = IORING_OP_POLL_ADD;
	entry->fd = call->end[0];
	entry->poll_events = POLLIN;
	entry->user_data = 4711;
	*(uint32_t *)(void *)(ring + params.sq_off.array) = 0;
	__atomic_store_n((uint32_t *)(void *)(ring + params.sq_off.tail), 1, __ATOMIC_RELEASE);
	if (syscall(426, fd, 1, 0, 0, NULL, 0) != 1) /* submit; the wait is a call of its own */
		return -2;
	return syscall(426, fd, 0, 1, IORING_ENTER_GETEVENTS, NULL, 0);
}

/* ---- System V and POSIX ------------------------------------------------------------------------------------ */

static long wait_semtimedop(struct call *call)
{
	struct sembuf down = { 0, -1, 0 };
	call->word = (uint32_t)semget(IPC_PRIVATE, 1, 0600);
	return semtimedop((int)call->word, &down, 1, NULL);
}

static void finish_semaphore(struct call *call)
{
	struct sembuf up = { 0, 1, 0 };
	semop((int)call->word, &up, 1);
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

static void by_itself(struct call *call)
{
	(void)call;
}

static struct call calls[] = {
	{ .name = "read", .wait = wait_read, .finish = put_byte },
	{ .name = "preadv2", .wait = wait_readv, .finish = put_byte },
	{ .name = "write", .wait = wait_write, .finish = take_all },
	{ .name = "splice", .wait = wait_splice, .finish = put_byte },
	{ .name = "tee", .wait = wait_tee, .finish = put_byte },
	{ .name = "poll", .wait = wait_poll, .finish = put_byte },
	{ .name = "ppoll", .wait = wait_ppoll, .finish = put_byte },
	{ .name = "select", .wait = wait_select, .finish = put_byte },
	{ .name = "pselect", .wait = wait_pselect, .finish = put_byte },
	{ .name = "epoll_wait", .wait = wait_epoll, .finish = put_byte },
	{ .name = "epoll_pwait", .wait = wait_epoll_pwait, .finish = put_byte },
	{ .name = "epoll_pwait2", .wait = wait_epoll_pwait2, .finish = put_byte },
	{ .name = "recv", .wait = wait_recv, .finish = put_byte },
	{ .name = "recvmsg", .wait = wait_recvmsg, .finish = put_byte },
	{ .name = "recvmmsg", .wait = wait_recvmmsg, .finish = put_byte },
	{ .name = "send", .wait = wait_send, .finish = take_all },
	{ .name = "accept", .wait = wait_accept, .finish = connect_to },
	{ .name = "eventfd", .wait = wait_eventfd, .finish = add_three },
	{ .name = "timerfd", .wait = wait_timerfd, .finish = by_itself },
	{ .name = "signalfd", .wait = wait_signalfd, .finish = finish_signalfd },
	{ .name = "sigwaitinfo", .wait = wait_sigwaitinfo, .finish = finish_sigwaitinfo },
	{ .name = "inotify", .wait = wait_inotify, .finish = put_byte },
	{ .name = "io_getevents", .wait = wait_io_getevents, .finish = put_byte },
	{ .name = "io_uring_enter", .wait = wait_io_uring, .finish = put_byte },
	{ .name = "semtimedop", .wait = wait_semtimedop, .finish = finish_semaphore },
	{ .name = "msgrcv", .wait = wait_msgrcv, .finish = finish_msgrcv },
	{ .name = "msgsnd", .wait = wait_msgsnd, .finish = finish_msgsnd },
	{ .name = "mq_receive", .wait = wait_mq_receive, .finish = finish_mq },
	{ .name = "flock", .wait = wait_flock, .finish = finish_flock },
	{ .name = "F_OFD_SETLKW", .wait = wait_setlkw, .finish = finish_setlkw },
	{ .name = "futex", .wait = wait_futex, .finish = finish_futex },
	{ .name = "futex bitset", .wait = wait_futex_bitset, .finish = finish_futex },
	{ .name = "futex lock pi", .wait = wait_futex_pi, .finish = finish_futex_pi },
	{ .name = "wait4", .wait = wait_wait4, .finish = end_child },
	{ .name = "waitid", .wait = wait_waitid, .finish = end_child },
	{ .name = "nanosleep", .wait = wait_sleep_a_while, .finish = by_itself },
	{ .name = "clock_nanosleep", .wait = wait_sleep_by_clock, .finish = by_itself },
	{ .name = "clock_nanosleep until", .wait = wait_sleep_until, .finish = by_itself },
	{ .name = "timed poll", .wait = wait_poll_a_while, .finish = by_itself },
	{ .name = "timed select", .wait = wait_select_a_while, .finish = by_itself },
	{ .name = "timed futex", .wait = wait_futex_a_while, .finish = by_itself },
	{ .name = "pause", .wait = wait_pause, .finish = interrupt },
	{ .name = "sigsuspend", .wait = wait_sigsuspend, .finish = interrupt },
};
enum { CALLS = sizeof(calls) / sizeof(calls[0]) };

static void *run(void *data)
{
	struct call *call = data;

	errno = 0;
	call->result = call->wait(call);
	call->error = call->result < 0 ? errno : 0;
	atomic_store(&call->left, 1);
	return NULL;
}

static void start(struct call *call)
{
	if (pipe2(call->end, O_CLOEXEC))
		exit(98);
	if (call->finish == end_child) {
		call->child = fork();
		if (call->child == 0) {
			signal(SIGTERM, SIG_DFL);
			for (;;)
				pause();
		}
	}
	if (call->finish == finish_futex_pi)
		call->word = (uint32_t)syscall(SYS_gettid); /* held by the first thread, which gives it back */
	if (pthread_create(&call->thread, NULL, run, call))
		exit(98);
}

/* A thread that is not in its call yet makes it after whatever comes: nothing is lost, only less is looked at. */
static void let_them_in(void)
{
	usleep(50000);
}

static void end_all(void)
{
	for (int i = 0; i < CALLS; i++)
		calls[i].finish(&calls[i]);
	for (int i = 0; i < CALLS; i++) {
		for (int ms = 0; !atomic_load(&calls[i].left) && ms < EVENTUALLY_MS; ms++)
			usleep(1000);
		if (!atomic_load(&calls[i].left))
			say("%s: still waits", calls[i].name);
		else
			say("%s: %ld %d, %s", calls[i].name, calls[i].result, calls[i].error, calls[i].found);
	}
	for (int i = 0; i < CALLS; i++) {
		if (calls[i].finish == finish_semaphore)
			semctl((int)calls[i].word, 0, IPC_RMID);
		if (calls[i].finish == finish_msgrcv || calls[i].finish == finish_msgsnd)
			msgctl((int)calls[i].word, IPC_RMID, NULL);
	}
}

int main(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 5);
	sigaddset(&set, SIGRTMIN + 7);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGUSR1, on_signal);
	for (int i = 0; i < CALLS; i++)
		start(&calls[i]);
	let_them_in();
	say("ready");
	while (*hear()) {
		end_all();
		say("done");
	}
	return 0;
}
