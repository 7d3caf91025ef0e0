/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * verdict/source.c - the real system
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <linux/nsfs.h>

#include "os/procfs.h"
#include "os/sys.h"
#include "verdict/facts.h"

enum { NAMESPACES_DEEP = 33, THREADS_LOOKED_AT = 4096 }; /* the kernel nests 32 user namespaces */

static long read_file(void *data, const char *path, char *text, size_t size)
{
	long fd = sys(openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0), got;
	size_t length = 0;

	(void)data;
	if (fd < 0)
		return fd;
	do {
		got = sys(read, fd, text + length, size - 1 - length);
		length += got > 0 ? (size_t)got : 0;
	} while (got > 0 && length < size - 1);
	sys(close, fd);
	text[length] = '\0';
	return got < 0 ? got : (long)length;
}

static int owner(void *data, const char *path, uint32_t *ret_uid)
{
	struct stat status;
	long result = sys(newfstatat, AT_FDCWD, path, &status, 0);

	(void)data;
	if (result == 0)
		*ret_uid = status.st_uid;
	return (int)result;
}

static bool exists(void *data, int64_t pid)
{
	(void)data;
	return sys(kill, pid, 0) != -ESRCH;
}

/*
 * The access check comes before the address is looked at: EFAULT is a yes. The lowest page is never mapped
 * for anybody without CAP_SYS_RAWIO, and one byte of it would do no harm.
 */
static int may_read(void *data, int64_t tid)
{
	char byte;
	struct iovec here = { &byte, 1 }, there = { NULL, 1 };
	long result = sys(process_vm_readv, tid, &here, 1, &there, 1, 0);

	(void)data;
	return result >= 0 || result == -EFAULT ? 0 : (int)result;
}

struct search {
	int64_t leader, found;
	unsigned count;
};

static int find_live(int64_t tid, void *data)
{
	struct search *search = data;
	struct os_task_status status;

	if (++search->count > THREADS_LOOKED_AT)
		return 1;
	if (tid == search->leader || os_task_status(tid, &status) || status.state == 'Z' ||
	    status.state == 'X')
		return 0;
	search->found = tid;
	return 1;
}

static int64_t other_thread(void *data, int64_t pid)
{
	struct search search = { .leader = pid };

	(void)data;
	os_each_thread(pid, find_live, &search);
	return search.found;
}

/* A tracer may have taken a single thread. */
static int find_tracer(int64_t tid, void *data)
{
	struct search *search = data;
	struct os_task_status status;

	if (++search->count > THREADS_LOOKED_AT)
		return 1;
	if (!os_task_status(tid, &status))
		search->found = status.tracer;
	return search->found != 0;
}

static int64_t tracer(void *data, int64_t pid)
{
	struct search search = { .leader = pid };

	(void)data;
	os_each_thread(pid, find_tracer, &search);
	return search.found;
}

static long open_namespace(int64_t pid)
{
	char path[48];

	if (pid)
		snprintf(path, sizeof(path), "/proc/%lld/ns/user", (long long)pid);
	else
		snprintf(path, sizeof(path), "/proc/thread-self/ns/user");
	return sys(openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
}

static bool same_namespace(long fd, long other)
{
	struct stat a, b;

	return sys(newfstatat, fd, "", &a, AT_EMPTY_PATH) == 0 &&
	       sys(newfstatat, other, "", &b, AT_EMPTY_PATH) == 0 && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

/* Up from fd, which is closed, until ours is met. */
static enum relation climb(long fd, long ours, uint32_t uid)
{
	for (int i = 0; i < NAMESPACES_DEEP; i++) {
		uint32_t maker = UINT32_MAX;
		long parent = sys(ioctl, fd, NS_GET_PARENT, 0);

		sys(ioctl, fd, NS_GET_OWNER_UID, &maker);
		sys(close, fd);
		if (parent < 0) /* EPERM: it is above ours, or beside it */
			return RELATION_OTHER;
		fd = parent;
		if (same_namespace(fd, ours)) {
			sys(close, fd);
			return maker == uid ? RELATION_OWNED : RELATION_BELOW;
		}
	}
	sys(close, fd);
	return RELATION_OTHER;
}

static enum relation relation(void *data, int64_t pid, uint32_t uid)
{
	long ours = open_namespace(0), theirs = open_namespace(pid);
	enum relation result = RELATION_UNKNOWN;

	(void)data;
	if (ours >= 0 && theirs >= 0 && same_namespace(theirs, ours)) {
		result = RELATION_SAME;
	} else if (ours >= 0 && theirs >= 0) {
		result = climb(theirs, ours, uid);
		theirs = -1;
	}
	if (theirs >= 0)
		sys(close, theirs);
	if (ours >= 0)
		sys(close, ours);
	return result;
}

static bool same_memory(void *data, int64_t pid, int64_t other)
{
	(void)data;
	return os_same_memory(pid, other) == 1;
}

static int64_t self(void *data)
{
	(void)data;
	return getpid();
}

const struct source source_proc = {
	.read = read_file,
	.owner = owner,
	.exists = exists,
	.may_read = may_read,
	.other_thread = other_thread,
	.tracer = tracer,
	.relation = relation,
	.same_memory = same_memory,
	.self = self,
};
