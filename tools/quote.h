/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * quote.h - strings of a victim as shell words
 */
#ifndef TOOLS_QUOTE_H
#define TOOLS_QUOTE_H

#include <stdbool.h>

#include "buffer.h"

/* UTF-8 without anything that a terminal would obey: can stand in a line as it is. */
bool quote_is_printable(const char *text);

/* A word of POSIX sh, in single quotes where needed. For printable text; any other is right too, but raw. */
void quote_sh(struct buffer *out, const char *text);

/*
 * A word for people: as quote_sh() for printable text, else $'…' of bash with everything else escaped.
 * unicode: the reader's terminal shows UTF-8; otherwise what is not ASCII is escaped too.
 */
void quote_display(struct buffer *out, const char *text, bool unicode);

#endif
