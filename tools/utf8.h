/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * utf8.h - bytes of a victim, taken for text only where they are
 */
#ifndef TOOLS_UTF8_H
#define TOOLS_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Length of the UTF-8 sequence at text (length bytes are there) and its code point; 0 when the bytes are
 * none: overlong forms, surrogates and what is above U+10FFFF included. A NUL is a sequence of one byte.
 */
size_t utf8_next(const char *text, size_t length, uint32_t *code);

/* All of the string is UTF-8. */
bool utf8_valid(const char *text);

/*
 * The code point would change how a terminal shows or reads what follows: controls of ASCII and of Latin-1
 * (an escape sequence in an argument must not reach the terminal), line separators, and the marks that turn
 * the direction of writing (a command line that reads other than it runs).
 */
bool utf8_is_control(uint32_t code);

/* Columns that it takes on a terminal of the current locale. */
int utf8_columns(uint32_t code);
/* The same of a string; a byte that begins no sequence counts as one. */
int utf8_width(const char *text);

#endif
