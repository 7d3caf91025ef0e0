/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * json.h - one record as a line of JSON
 *
 * Strings are a victim's bytes. A record whose strings are all UTF-8 is plain JSON. If any is not, the whole
 * record is written in raw form: bytes that are no UTF-8 as \xHH, a literal backslash doubled, and the key
 * "raw":true at the end, so that a reader gets every byte back. Whether that is needed is known only when
 * all strings were seen: json_end() then answers JSON_AGAIN, and the caller writes the same record once more.
 *
 *	struct json json;
 *	json_begin(&json, buffer);
 *	do {
 *		json_bytes(&json, "event", "exec");
 *		json_bytes(&json, "path", path);
 *	} while (json_end(&json) == JSON_AGAIN);
 */
#ifndef TOOLS_JSON_H
#define TOOLS_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"

struct json {
	struct buffer *out;
	size_t start;   /* of the record in out */
	bool raw;       /* the record is written in raw form */
	bool found_raw; /* bytes that are no UTF-8 were met */
	bool comma;     /* something stands before the next member */
};

enum json_ended { JSON_DONE, JSON_AGAIN };

void json_begin(struct json *json, struct buffer *out);
enum json_ended json_end(struct json *json);

/* key NULL: an element of the array that is open. */
void json_bytes(struct json *json, const char *key, const char *bytes);
void json_signed(struct json *json, const char *key, int64_t value);
void json_unsigned(struct json *json, const char *key, uint64_t value);
/* "0x…": numbers of JSON readers end at 2^53. */
void json_hex(struct json *json, const char *key, uint64_t value);
/* A number that is written already. */
void json_number(struct json *json, const char *key, const char *text);
void json_bool(struct json *json, const char *key, bool value);
void json_null(struct json *json, const char *key);
void json_digest(struct json *json, const char *key, const uint8_t *bytes, size_t length);
/* A NULL-terminated list, as argv; NULL is an empty one. */
void json_list(struct json *json, const char *key, const char *const *list);
void json_open(struct json *json, const char *key, char bracket);
void json_close(struct json *json, char bracket);

#endif
