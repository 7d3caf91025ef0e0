/* SPDX-License-Identifier: BSD-2-Clause */
#include "json.h"

#include <string.h>

#include "utf8.h"

/* One character of a JSON string; what JSON itself must not hold bare. */
static void put_escaped(struct buffer *out, char c)
{
	static const char named[] = "\"\"\\\\\nn\tt\rr\bb\ff";

	for (size_t i = 0; named[i]; i += 2) {
		if (named[i] == c) {
			buffer_char(out, '\\');
			buffer_char(out, named[i + 1]);
			return;
		}
	}
	if ((unsigned char)c < 0x20)
		buffer_printf(out, "\\u%04x", (unsigned)(unsigned char)c);
	else
		buffer_char(out, c);
}

static void put_string(struct json *json, const char *bytes, size_t left)
{
	struct buffer *out = json->out;
	uint32_t code;

	buffer_char(out, '"');
	while (left > 0) {
		size_t length = utf8_next(bytes, left, &code);

		if (length > 1) {
			buffer_bytes(out, bytes, length);
		} else if (length == 1) {
			put_escaped(out, *bytes);
			if (json->raw && *bytes == '\\')
				put_escaped(out, *bytes);
		} else {
			json->found_raw = true;
			buffer_printf(out, "\\\\x%02x", (unsigned)(unsigned char)*bytes);
			length = 1;
		}
		bytes += length;
		left -= length;
	}
	buffer_char(out, '"');
}

/* Comma and key before a value. A key may be a victim's bytes too: names of environment entries. */
static void put_key(struct json *json, const char *key)
{
	if (json->comma)
		buffer_char(json->out, ',');
	json->comma = true;
	if (!key)
		return;
	put_string(json, key, strlen(key));
	buffer_char(json->out, ':');
}

void json_begin(struct json *json, struct buffer *out)
{
	*json = (struct json){ .out = out, .start = out->length };
	buffer_char(out, '{');
}

enum json_ended json_end(struct json *json)
{
	if (json->found_raw && !json->raw) {
		buffer_cut(json->out, json->start + 1);
		json->raw = true;
		json->comma = false;
		return JSON_AGAIN;
	}
	if (json->raw)
		json_bool(json, "raw", true);
	buffer_text(json->out, "}\n");
	return JSON_DONE;
}

void json_bytes(struct json *json, const char *key, const char *bytes)
{
	put_key(json, key);
	put_string(json, bytes, strlen(bytes));
}

void json_signed(struct json *json, const char *key, int64_t value)
{
	put_key(json, key);
	buffer_printf(json->out, "%lld", (long long)value);
}

void json_unsigned(struct json *json, const char *key, uint64_t value)
{
	put_key(json, key);
	buffer_printf(json->out, "%llu", (unsigned long long)value);
}

void json_hex(struct json *json, const char *key, uint64_t value)
{
	put_key(json, key);
	buffer_printf(json->out, "\"0x%llx\"", (unsigned long long)value);
}

void json_number(struct json *json, const char *key, const char *text)
{
	put_key(json, key);
	buffer_text(json->out, text);
}

void json_bool(struct json *json, const char *key, bool value)
{
	put_key(json, key);
	buffer_text(json->out, value ? "true" : "false");
}

void json_null(struct json *json, const char *key)
{
	put_key(json, key);
	buffer_text(json->out, "null");
}

void json_digest(struct json *json, const char *key, const uint8_t *bytes, size_t length)
{
	put_key(json, key);
	buffer_char(json->out, '"');
	for (size_t i = 0; i < length; i++)
		buffer_printf(json->out, "%02x", bytes[i]);
	buffer_char(json->out, '"');
}

void json_list(struct json *json, const char *key, const char *const *list)
{
	json_open(json, key, '[');
	for (; list && *list; list++)
		json_bytes(json, NULL, *list);
	json_close(json, ']');
}

void json_open(struct json *json, const char *key, char bracket)
{
	put_key(json, key);
	buffer_char(json->out, bracket);
	json->comma = false;
}

void json_close(struct json *json, char bracket)
{
	buffer_char(json->out, bracket);
	json->comma = true;
}
