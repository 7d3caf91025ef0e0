/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * buffer.h - bytes that grow
 *
 * A failed allocation is remembered and makes all later appends no-ops, so that a record is built without a
 * check behind each piece and dropped whole at its end. Threads: one at a time.
 */
#ifndef TOOLS_BUFFER_H
#define TOOLS_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

struct buffer {
	char *data; /* NUL-terminated once anything was appended */
	size_t length, capacity;
	bool failed;
};

void buffer_bytes(struct buffer *buffer, const void *bytes, size_t length);
void buffer_text(struct buffer *buffer, const char *text);
void buffer_char(struct buffer *buffer, char c);
void buffer_repeat(struct buffer *buffer, char c, size_t times);
void buffer_printf(struct buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Drop what was appended behind length. */
void buffer_cut(struct buffer *buffer, size_t length);
/* Drop the first length bytes. */
void buffer_consume(struct buffer *buffer, size_t length);
/* The bytes as a string, never NULL. */
const char *buffer_string(const struct buffer *buffer);
void buffer_free(struct buffer *buffer);

#endif
