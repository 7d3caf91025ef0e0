/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * base/reader.h - memory to read from: a victim's, or a test's fake one
 */
#ifndef BASE_READER_H
#define BASE_READER_H

#include "base/types.h"

struct reader_piece {
	vaddr_t address;
	void *buffer;
	size_t length;
};

struct reader {
	/* Bytes copied, short where the mapping ends; -EFAULT when nothing is there, -ESRCH when it is gone. */
	ssize_t (*read)(void *data, vaddr_t address, void *buffer, size_t length);
	/*
	 * Many small pieces at once (one system call for a victim): pieces[i].length bytes each. The number of
	 * whole pieces copied, from the first on. NULL: not to be had, read() serves.
	 */
	ssize_t (*read_many)(void *data, const struct reader_piece *pieces, size_t count);
	void *data;
};

#endif
