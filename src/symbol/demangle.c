/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * symbol/demangle.c - C++ and Rust names, by libiberty
 *
 * A name of a hundred bytes can stand for one of gigabytes (substitutions within substitutions), and the demangler
 * cannot be told to stop. So its text comes piece by piece to a function here that leaves by longjmp when there is
 * too much. All that the demanglers need is on their stack, so nothing is lost by that, but for one thing: while
 * Rust's prints an identifier in punycode it holds memory. Such a piece is letters, digits, _ or beyond ASCII, so the
 * jump waits for another.
 */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tether/symbol.h>

#include "base/buffer.h"
#include "base/limits.h"
#include "symbol/symbol.h"

/* It declares basename() for itself where it is not told. */
#define HAVE_DECL_BASENAME 1
#include <libiberty/demangle.h>

struct text {
	struct buffer buffer;
	jmp_buf enough;
	bool too_much;
};

static bool is_of_identifier(char c)
{
	return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c & 0x80;
}

static void add(const char *piece, size_t length, void *data)
{
	struct text *text = data;

	if (length && !text->too_much)
		buffer_add(&text->buffer, piece, length);
	text->too_much = text->buffer.length > MAX_DEMANGLED || text->buffer.failed;
	if (text->too_much && length && !is_of_identifier(piece[0]))
		longjmp(text->enough, 1);
}

/* C++'s hands over what it has collected, at whatever byte that begins. */
static void add_cxx(const char *piece, size_t length, void *data)
{
	struct text *text = data;

	if (length)
		buffer_add(&text->buffer, piece, length);
	if (text->buffer.length > MAX_DEMANGLED || text->buffer.failed)
		longjmp(text->enough, 1);
}

static int demangle(const char *name, struct text *text)
{
	/* _R is Rust's own; _ZN...17h<16 digits>E is C++'s form, so that is asked first. */
	int done = rust_demangle_callback(name, DMGL_PARAMS, add, text);

	if (!done && !text->buffer.length && name[1] == 'Z')
		done = cplus_demangle_v3_callback(name, DMGL_PARAMS | DMGL_ANSI, add_cxx, text);
	return done;
}

static bool is_demangled(const char *name, struct text *text)
{
	return !setjmp(text->enough) && demangle(name, text) && !text->too_much;
}

char *symbol_demangle(const char *name)
{
	struct text *text;
	char *result = NULL;

	if (name[0] != '_' || (name[1] != 'Z' && name[1] != 'R') || strnlen(name, MAX_MANGLED + 1) > MAX_MANGLED)
		return NULL;
	text = calloc(1, sizeof(*text));
	if (!text)
		return NULL;
	if (is_demangled(name, text)) {
		buffer_add(&text->buffer, "", 1);
		if (!text->buffer.failed) {
			result = text->buffer.data;
			text->buffer.data = NULL;
		}
	}
	buffer_free(&text->buffer);
	free(text);
	return result;
}

TETHER_API int tether_demangle(const char *name, char *buffer, size_t length)
{
	if (!name || (!buffer && length))
		return -TETHER_EINVALID;
	char *people = symbol_demangle(name);
	if (!people)
		return -TETHER_ENOTFOUND;
	int wanted = (int)strlen(people) + 1;
	if (length)
		snprintf(buffer, length, "%s", people);
	free(people);
	return wanted;
}
