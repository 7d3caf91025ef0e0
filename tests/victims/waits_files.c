/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls that wait on a descriptor.
 */
#include "waits.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>

/* ---- pipes and what is told of them ---------------------------------------------------------------------- */

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

static long wait_connect(struct call *call)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	socklen_t size = sizeof(address);
	int listener = socket(AF_UNIX, SOCK_STREAM, 0);

	bind(listener, (struct sockaddr *)&address, sizeof(sa_family_t));
	listen(listener, 0);
	getsockname(listener, (struct sockaddr *)&address, &size);
	call->end[0] = listener;
	/* Until nobody more is let wait. */
	while (connect(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), (struct sockaddr *)&address, size) == 0)
		;
	return connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&address, size);
}

static void take_one(struct call *call)
{
	if (accept(call->end[0], NULL, NULL) < 0)
		say("wrong: %s: %s", call->name, strerror(errno));
}

/* It has no name any more when somebody waits for it, so that nothing of it is left behind. */
static void make_fifo(struct call *call)
{
	char folder[] = "/tmp/tether-waits-XXXXXX", name[64];

	if (!mkdtemp(folder))
		say("wrong: %s: %s", call->name, strerror(errno));
	snprintf(name, sizeof(name), "%s/fifo", folder);
	if (mkfifo(name, 0600))
		say("wrong: %s: %s", call->name, strerror(errno));
	call->word = (uint32_t)open(name, O_PATH | O_CLOEXEC);
	unlink(name);
	rmdir(folder);
}

static int open_fifo(const struct call *call, int flags)
{
	char name[64];

	snprintf(name, sizeof(name), "/proc/self/fd/%u", call->word);
	return open(name, flags);
}

static long wait_open(struct call *call)
{
	return open_fifo(call, O_RDONLY) >= 0;
}

static void open_other_end(struct call *call)
{
	/* It may not wait yet: without a reader there is nothing to open. */
	while (!atomic_load(&call->left) && open_fifo(call, O_WRONLY | O_NONBLOCK) < 0)
		usleep(1000);
}

static long wait_io_pgetevents(struct call *call)
{
	aio_context_t context = 0;
	struct io_event event = { 0 };
	struct iocb poll_it = { .aio_lio_opcode = IOCB_CMD_POLL, .aio_fildes = (uint32_t)call->end[0], .aio_buf = POLLIN,
				.aio_data = 4711 };
	struct iocb *list[] = { &poll_it };
	if (syscall(SYS_io_setup, 4, &context) || syscall(SYS_io_submit, context, 1, list) != 1)
		return -2;
	long result = syscall(333, context, 1, 1, &event, NULL, NULL);
	found(call, "%ld", (long)event.data);
	return result;
}

struct call waits_files[] = {
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
	{ .name = "connect", .wait = wait_connect, .finish = take_one },
	{ .name = "open of a fifo", .prepare = make_fifo, .wait = wait_open, .finish = open_other_end },
	{ .name = "eventfd", .wait = wait_eventfd, .finish = add_three },
	{ .name = "timerfd", .wait = wait_timerfd, .finish = by_itself },
	{ .name = "signalfd", .wait = wait_signalfd, .finish = finish_signalfd },
	{ .name = "sigwaitinfo", .wait = wait_sigwaitinfo, .finish = finish_sigwaitinfo },
	{ .name = "inotify", .wait = wait_inotify, .finish = put_byte },
	{ .name = "io_getevents", .wait = wait_io_getevents, .finish = put_byte },
	{ .name = "io_pgetevents", .wait = wait_io_pgetevents, .finish = put_byte },
	{ .name = "io_uring_enter", .wait = wait_io_uring, .finish = put_byte },
	{ .name = NULL },
};
