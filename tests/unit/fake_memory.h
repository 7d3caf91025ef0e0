/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fake_memory.h - memory for readers: pieces of this process served at addresses of the test's choice, or
 * this process as it is
 *
 * What is outside the pieces is not there, and a read ends where its piece does, as with a victim.
 */
#ifndef TEST_FAKE_MEMORY_H
#define TEST_FAKE_MEMORY_H

#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/reader.h"

enum { FAKE_PIECES = 64 };

struct fake_memory {
	struct {
		vaddr_t start;
		size_t length;
		const void *bytes;
	} piece[FAKE_PIECES];
	size_t pieces;
	unsigned reads, many_reads; /* calls so far */
	bool gone;                  /* every read answers -ESRCH */
};

static inline void fake_add(struct fake_memory *fake, vaddr_t start, const void *bytes, size_t length)
{
	fake->piece[fake->pieces].start = start;
	fake->piece[fake->pieces].length = length;
	fake->piece[fake->pieces++].bytes = bytes;
}

static inline ssize_t fake_copy(struct fake_memory *fake, vaddr_t address, void *buffer, size_t length)
{
	if (fake->gone)
		return -ESRCH;
	for (size_t i = 0; i < fake->pieces; i++) {
		uint64_t offset = address - fake->piece[i].start;
		if (address < fake->piece[i].start || offset >= fake->piece[i].length)
			continue;
		size_t part =
			fake->piece[i].length - offset < length ? fake->piece[i].length - offset : length;
		memcpy(buffer, (const char *)fake->piece[i].bytes + offset, part);
		return (ssize_t)part;
	}
	return -EFAULT;
}

static inline ssize_t fake_read(void *data, vaddr_t address, void *buffer, size_t length)
{
	struct fake_memory *fake = data;

	fake->reads++;
	return fake_copy(fake, address, buffer, length);
}

static inline ssize_t fake_read_many(void *data, const struct reader_piece *pieces, size_t count)
{
	struct fake_memory *fake = data;

	fake->many_reads++;
	for (size_t i = 0; i < count; i++)
		if (fake_copy(fake, pieces[i].address, pieces[i].buffer, pieces[i].length) !=
		    (ssize_t)pieces[i].length)
			return (ssize_t)i;
	return (ssize_t)count;
}

static inline ssize_t process_read(void *data, vaddr_t address, void *buffer, size_t length)
{
	const pid_t *pid = data;
	struct iovec here = { buffer, length }, there = { (void *)(uintptr_t)address, length };
	ssize_t got = process_vm_readv(*pid, &here, 1, &there, 1, 0);

	return got < 0 ? -errno : got;
}

static inline ssize_t process_read_many(void *data, const struct reader_piece *pieces, size_t count)
{
	size_t done = 0;

	while (done < count && process_read(data, pieces[done].address, pieces[done].buffer,
					    pieces[done].length) == (ssize_t)pieces[done].length)
		done++;
	return (ssize_t)done;
}

/* pid: kept by the caller. */
static inline struct reader process_reader_of(pid_t *pid)
{
	return (struct reader){ process_read, process_read_many, pid };
}

#endif
