/* SPDX-License-Identifier: BSD-2-Clause */
#include "quote.h"

#include <string.h>

#include "utf8.h"

bool quote_is_printable(const char *text)
{
	size_t left = strlen(text);
	uint32_t code;

	while (left > 0) {
		size_t length = utf8_next(text, left, &code);

		if (!length || utf8_is_control(code))
			return false;
		text += length;
		left -= length;
	}
	return true;
}

/* Means nothing to a shell, anywhere in a word. A tilde does at some places, an equals sign at the first one.
 */
static bool is_safe(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("_@%+:,./-=", c));
}

static bool is_bare(const char *text)
{
	if (!*text || *text == '=')
		return false;
	while (is_safe(*text) || (unsigned char)*text >= 0x80)
		text++;
	return !*text;
}

void quote_sh(struct buffer *out, const char *text)
{
	if (is_bare(text)) {
		buffer_text(out, text);
		return;
	}
	buffer_char(out, '\'');
	for (; *text; text++) {
		if (*text == '\'')
			buffer_text(out, "'\\''");
		else
			buffer_char(out, *text);
	}
	buffer_char(out, '\'');
}

static bool is_ascii(const char *text)
{
	while (*text && (unsigned char)*text < 0x80)
		text++;
	return !*text;
}

/* One code point, or one byte that begins none (length 0), inside $'…'. */
static void put_ansi(struct buffer *out, const char *text, size_t length, uint32_t code, bool unicode)
{
	static const char named[] = "\nn\tt\rr\aa\bb\ff\vv\033e''\\\\";

	for (size_t i = 0; length == 1 && named[i]; i += 2) {
		if (named[i] == *text) {
			buffer_char(out, '\\');
			buffer_char(out, named[i + 1]);
			return;
		}
	}
	if (length && !utf8_is_control(code) && (code < 0x80 || unicode))
		buffer_bytes(out, text, length);
	else if (length > 1)
		buffer_printf(out, code > 0xffff ? "\\U%08x" : "\\u%04x", (unsigned)code);
	else
		buffer_printf(out, "\\x%02x", (unsigned)(unsigned char)*text);
}

void quote_display(struct buffer *out, const char *text, bool unicode)
{
	size_t left = strlen(text);
	uint32_t code = 0;

	if (quote_is_printable(text) && (unicode || is_ascii(text))) {
		quote_sh(out, text);
		return;
	}
	buffer_text(out, "$'");
	while (left > 0) {
		size_t length = utf8_next(text, left, &code);

		put_ansi(out, text, length, code, unicode);
		length = length ? length : 1;
		text += length;
		left -= length;
	}
	buffer_char(out, '\'');
}
