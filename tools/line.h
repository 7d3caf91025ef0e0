/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * line.h - one line for a terminal, cut where it would be wider
 *
 * What is put behind the place of a cut is ignored, so that a caller need not ask at each piece. Columns are
 * those of the terminal: styles take none, some characters two.
 */
#ifndef TOOLS_LINE_H
#define TOOLS_LINE_H

#include <stdbool.h>

#include "buffer.h"

#define LINE_DIM "2"
#define LINE_BOLD "1"
#define LINE_RED "31"
#define LINE_BOLD_RED "1;31"
#define LINE_GREEN "32"
#define LINE_BOLD_GREEN "1;32"
#define LINE_YELLOW "33"
#define LINE_CYAN "36"

struct line {
	struct buffer *out;
	int column, limit;
	bool color;   /* styles are written */
	bool unicode; /* the terminal shows UTF-8 */

	bool full;
	size_t fit;     /* length of out up to which an ellipsis still has room behind it */
	int fit_column; /* the same place in columns */
};

/* From here to line_plain(). */
void line_style(struct line *line, const char *style);
void line_plain(struct line *line);
/* Printable text. */
void line_put(struct line *line, const char *text);
void line_styled(struct line *line, const char *style, const char *text);
void line_printf(struct line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A string of a victim's, quoted where that is needed. */
void line_word(struct line *line, const char *word);
/* The same, but one that is too long loses its beginning: what a file is called stands at its end. */
void line_path(struct line *line, const char *path);
void line_pad(struct line *line, int column);
/* Change where the line ends; one that was full goes on behind the ellipsis. */
void line_limit(struct line *line, int limit);
void line_end(struct line *line);

#endif
