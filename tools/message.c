/* SPDX-License-Identifier: BSD-2-Clause */
#include "message.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "buffer.h"
#include "utf8.h"

/* Paths and names of victims stand in messages: none of their bytes may command the terminal. */
static void put_harmless(struct buffer *out, const struct buffer *text)
{
	size_t at = 0;

	while (at < text->length) {
		uint32_t code = 0;
		size_t length = utf8_next(text->data + at, text->length - at, &code);

		if (length && !utf8_is_control(code)) {
			buffer_bytes(out, text->data + at, length);
			at += length;
		} else {
			buffer_printf(out, "\\x%02x", (unsigned)(unsigned char)text->data[at]);
			at++;
		}
	}
}

void message(const char *format, ...)
{
	struct buffer text = { 0 }, line = { 0 };
	char fixed[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(fixed, sizeof(fixed), format, args);
	va_end(args);
	buffer_text(&text, fixed);
	buffer_text(&line, "tether: ");
	put_harmless(&line, &text);
	buffer_char(&line, '\n');
	/* A message that cannot be written has nowhere else to go. */
	if (line.length && write(STDERR_FILENO, line.data, line.length) < 0)
		line.failed = true;
	buffer_free(&text);
	buffer_free(&line);
}
