/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * base/buffer.h - a byte buffer that grows; out of memory is remembered instead of reported at each step
 *
 *	struct buffer b = BUFFER_INIT;
 *	buffer_add(&b, bytes, n); ...
 *	if (b.failed) ...
 *	buffer_free(&b);
 */
#ifndef BASE_BUFFER_H
#define BASE_BUFFER_H

#include "base/types.h"

struct buffer {
	char *data;
	size_t length, room;
	bool failed;
};

#define BUFFER_INIT { NULL, 0, 0, false }

void buffer_free(struct buffer *buffer);
/* Make room for so many more bytes; NULL (and failed) when out of memory. Add to length what is used. */
char *buffer_reserve(struct buffer *buffer, size_t more);
void buffer_add(struct buffer *buffer, const void *bytes, size_t length);
/* A string with its NUL. */
void buffer_add_string(struct buffer *buffer, const char *string);

#endif
