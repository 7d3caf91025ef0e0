/* SPDX-License-Identifier: BSD-2-Clause */
#include "line.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "quote.h"
#include "utf8.h"

void line_style(struct line *line, const char *style)
{
	if (line->color)
		buffer_printf(line->out, "\033[%sm", style);
}

void line_plain(struct line *line)
{
	if (line->color)
		buffer_text(line->out, "\033[0m");
}

static void line_cut(struct line *line)
{
	bool unicode = line->unicode;

	buffer_cut(line->out, line->fit);
	buffer_text(line->out, unicode ? "\xe2\x80\xa6" : "...");
	line->column = line->fit_column + (unicode ? 1 : 3);
	line->full = true;
}

void line_put(struct line *line, const char *text)
{
	int ellipsis = line->unicode ? 1 : 3;
	size_t left = strlen(text);

	while (left > 0 && !line->full) {
		uint32_t code = '?';
		size_t length = utf8_next(text, left, &code);
		int columns = utf8_columns(code);

		length = length ? length : 1;
		if (line->column + columns > line->limit) {
			line_cut(line);
			return;
		}
		buffer_bytes(line->out, text, length);
		line->column += columns;
		if (line->column + ellipsis <= line->limit) {
			line->fit = line->out->length;
			line->fit_column = line->column;
		}
		text += length;
		left -= length;
	}
}

void line_styled(struct line *line, const char *style, const char *text)
{
	if (!*text)
		return;
	line_style(line, style);
	line_put(line, text);
	line_plain(line);
}

void line_printf(struct line *line, const char *format, ...)
{
	char text[160];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	line_put(line, text);
}

void line_word(struct line *line, const char *word)
{
	struct buffer quoted = { 0 };

	quote_display(&quoted, word, line->unicode);
	line_put(line, buffer_string(&quoted));
	buffer_free(&quoted);
}

void line_pad(struct line *line, int column)
{
	while (line->column < column && line->column < line->limit)
		line_put(line, " ");
}

void line_path(struct line *line, const char *path)
{
	struct buffer quoted = { 0 };
	const char *text;
	int room = line->limit - line->column, columns;

	quote_display(&quoted, path, line->unicode);
	text = buffer_string(&quoted);
	columns = utf8_width(text);
	if (columns > room) {
		const char *ellipsis = line->unicode ? "\xe2\x80\xa6" : "...";

		line_put(line, ellipsis);
		room -= utf8_width(ellipsis);
	}
	while (columns > room) {
		uint32_t code = '?';
		size_t length = utf8_next(text, strlen(text), &code);

		text += length ? length : 1;
		columns -= utf8_columns(code);
	}
	line_put(line, text);
	buffer_free(&quoted);
}

void line_limit(struct line *line, int limit)
{
	line->limit = limit;
	line->full = false;
	line->fit = line->out->length;
	line->fit_column = line->column;
}

void line_end(struct line *line)
{
	/* No trailing blanks: a line without detail was padded. */
	while (line->out->length && line->out->data[line->out->length - 1] == ' ')
		buffer_cut(line->out, line->out->length - 1);
	buffer_char(line->out, '\n');
}
