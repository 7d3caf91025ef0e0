/* SPDX-License-Identifier: BSD-2-Clause */
#include "os/memory.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/personality.h>
#include <sys/uio.h>

#include "os/sys.h"

static ssize_t transfer(bool to_victim, int64_t tid, vaddr_t address, void *buffer, size_t length)
{
	size_t done = 0;

	while (done < length) {
		struct iovec here = { (char *)buffer + done, length - done };
		struct iovec there = { (void *)(uintptr_t)(address + done), length - done };
		long r = to_victim ? sys(process_vm_writev, tid, &here, 1, &there, 1, 0)
				   : sys(process_vm_readv, tid, &here, 1, &there, 1, 0);

		if (r == -EINTR || r == -ENOMEM)
			r = to_victim ? sys(process_vm_writev, tid, &here, 1, &there, 1, 0)
				      : sys(process_vm_readv, tid, &here, 1, &there, 1, 0);
		if (r <= 0)
			return done ? (ssize_t)done : r ? r : -EFAULT;
		done += (size_t)r;
	}
	return (ssize_t)done;
}

ssize_t os_read_memory(int64_t tid, vaddr_t address, void *buffer, size_t length)
{
	return transfer(false, tid, address, buffer, length);
}

ssize_t os_read_to_end(int64_t tid, vaddr_t address, void *buffer, size_t length)
{
	struct iovec here = { buffer, length }, there = { (void *)(uintptr_t)address, length };
	long r = sys(process_vm_readv, tid, &here, 1, &there, 1, 0);

	if (r == -EINTR || r == -ENOMEM)
		r = sys(process_vm_readv, tid, &here, 1, &there, 1, 0);
	return r;
}

ssize_t os_write_memory(int64_t tid, vaddr_t address, const void *buffer, size_t length)
{
	/* process_vm_writev(2) only reads from here; iovec has no const */
	return transfer(true, tid, address, (void *)(uintptr_t)buffer, length);
}

int os_open_memory(int64_t tid, bool writable)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/%lld/mem", (long long)tid);
	return (int)sys(openat, AT_FDCWD, path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC, 0);
}

/* The vector as it is; the kernel's own bound of it (AT_VECTOR_SIZE) is below. */
enum { AUXV_MAX = 64 };

static long read_auxv(int64_t tid, Elf64_auxv_t vector[AUXV_MAX])
{
	char path[40];
	long fd, n;

	snprintf(path, sizeof(path), "/proc/%lld/auxv", (long long)tid);
	fd = sys(openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return fd == -ENOENT ? -ESRCH : fd;
	n = sys(read, fd, vector, sizeof(vector[0]) * AUXV_MAX);
	sys(close, fd);
	if (n == 0)
		return -ESRCH; /* a zombie's is empty */
	return n < 0 ? n : n / (long)sizeof(vector[0]);
}

int os_auxv(int64_t tid, uint64_t type, uint64_t *ret)
{
	Elf64_auxv_t vector[AUXV_MAX];
	long count = read_auxv(tid, vector);

	for (long i = 0; i < count && vector[i].a_type != AT_NULL; i++)
		if (vector[i].a_type == type) {
			*ret = vector[i].a_un.a_val;
			return 0;
		}
	return count < 0 ? (int)count : -ENOENT;
}

int os_auxv_many(int64_t tid, const uint64_t *types, size_t count, uint64_t *ret)
{
	Elf64_auxv_t vector[AUXV_MAX];
	long entries = read_auxv(tid, vector);

	for (size_t n = 0; n < count; n++)
		ret[n] = 0;
	for (long i = 0; i < entries && vector[i].a_type != AT_NULL; i++)
		for (size_t n = 0; n < count; n++)
			if (vector[i].a_type == types[n])
				ret[n] = vector[i].a_un.a_val;
	return entries < 0 ? (int)entries : 0;
}

/* A number in a file of /proc, or -1. */
static long read_number(const char *path, int base)
{
	char text[32];
	long fd = sys(openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0), n;

	if (fd < 0)
		return -1;
	n = sys(read, fd, text, sizeof(text) - 1);
	sys(close, fd);
	if (n <= 0)
		return -1;
	text[n] = '\0';
	return strtol(text, NULL, base);
}

bool os_draws_places(int64_t tid)
{
	char path[48];

	snprintf(path, sizeof(path), "/proc/%lld/personality", (long long)tid);
	long own = read_number(path, 16);
	return own >= 0 && !(own & ADDR_NO_RANDOMIZE) && read_number("/proc/sys/kernel/randomize_va_space", 10) > 0;
}

int os_robust_list(int64_t tid, vaddr_t *ret)
{
	size_t size;
	void *head = NULL;
	long error = sys(get_robust_list, tid, &head, &size);

	*ret = (vaddr_t)(uintptr_t)head;
	return (int)error;
}
