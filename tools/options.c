/* SPDX-License-Identifier: BSD-2-Clause */
#include "options.h"

#include <stdlib.h>
#include <string.h>

enum { HELP_COLUMN = 32 };

static const struct option_row *by_letter(const struct option_table *table, char letter)
{
	for (const struct option_row *row = table->rows; row->name; row++) {
		if (row->letter == letter)
			return row;
	}
	return NULL;
}

static const struct option_row *by_name(const struct option_table *table, const char *name, size_t length)
{
	for (const struct option_row *row = table->rows; row->name; row++) {
		if (strlen(row->name) == length && !strncmp(row->name, name, length))
			return row;
	}
	return NULL;
}

/* How the user wrote it: the message names that. */
struct spelling {
	const char *text;
	size_t length;
};

static enum options_result take(const struct option_row *row, const char *argument, void *into,
				struct spelling spelling, struct buffer *error)
{
	struct buffer why = { 0 };
	bool good;

	if (row->read == option_help)
		return OPTIONS_HELP;
	if (row->read == option_version)
		return OPTIONS_VERSION;
	good = row->read((char *)into + row->offset, argument, &why);
	if (!good && argument)
		buffer_printf(error, "bad argument '%s' of %.*s: %s", argument, (int)spelling.length,
			      spelling.text, buffer_string(&why));
	buffer_free(&why);
	return good ? OPTIONS_RUN : OPTIONS_BAD;
}

static enum options_result bad(struct buffer *error, const char *what, struct spelling spelling)
{
	buffer_printf(error, "%s %.*s", what, (int)spelling.length, spelling.text);
	return OPTIONS_BAD;
}

/* --name, --name=ARGUMENT or --name ARGUMENT; *next is the word behind it, moved when it is taken. */
static enum options_result take_long(const struct option_table *table, const char *word, char *const **next,
				     void *into, struct buffer *error)
{
	size_t length = strcspn(word + 2, "=");
	struct spelling spelling = { word, length + 2 };
	const struct option_row *row = by_name(table, word + 2, length);
	const char *argument = word[2 + length] ? word + 2 + length + 1 : NULL;

	if (!row)
		return bad(error, "unknown option", spelling);
	if (!row->argument && argument)
		return bad(error, "an argument was given to", spelling);
	if (row->argument && !argument) {
		argument = **next;
		if (!argument)
			return bad(error, "an argument is missing to", spelling);
		(*next)++;
	}
	return take(row, argument, into, spelling, error);
}

/* -qo FILE: letters without argument, then perhaps one with the rest of the word or the next one as its own.
 */
static enum options_result take_letters(const struct option_table *table, const char *word,
					char *const **next, void *into, struct buffer *error)
{
	for (const char *letter = word + 1; *letter; letter++) {
		const char name[3] = { '-', *letter, '\0' };
		struct spelling spelling = { name, 2 };
		const struct option_row *row = by_letter(table, *letter);
		enum options_result result;

		if (!row)
			return bad(error, "unknown option", spelling);
		if (row->argument) {
			const char *argument = letter[1] ? letter + 1 : **next;

			if (!argument)
				return bad(error, "an argument is missing to", spelling);
			if (!letter[1])
				(*next)++;
			return take(row, argument, into, spelling, error);
		}
		result = take(row, NULL, into, spelling, error);
		if (result != OPTIONS_RUN)
			return result;
	}
	return OPTIONS_RUN;
}

enum options_result options_parse(const struct option_table *table, int argc, char *const *argv, void *into,
				  int *operands, struct buffer *error)
{
	char *const *next = argv + (argc > 0 ? 1 : 0);

	while (*next) {
		const char *word = *next;
		enum options_result result;

		if (word[0] != '-' || !word[1])
			break;
		next++;
		if (!strcmp(word, "--"))
			break;
		result = word[1] == '-' ? take_long(table, word, &next, into, error)
					: take_letters(table, word, &next, into, error);
		if (result != OPTIONS_RUN)
			return result;
	}
	*operands = (int)(next - argv);
	return OPTIONS_RUN;
}

void options_help(const struct option_table *table, struct buffer *out)
{
	buffer_printf(out, "usage: tether %s\n%s\n\n", table->usage, table->sentence);
	for (const struct option_row *row = table->rows; row->name; row++) {
		size_t start = out->length;

		if (!row->help)
			continue;
		if (row->letter)
			buffer_printf(out, "  -%c, ", row->letter);
		else
			buffer_text(out, "      ");
		buffer_printf(out, "--%s%s%s", row->name, row->argument ? "=" : "",
			      row->argument ? row->argument : "");
		do
			buffer_char(out, ' ');
		while (out->length - start < HELP_COLUMN);
		buffer_printf(out, "%s\n", row->help);
	}
	buffer_printf(out, "\n%s\n", table->epilogue);
}

bool option_flag(void *field, const char *argument, struct buffer *why)
{
	(void)argument;
	(void)why;
	*(bool *)field = true;
	return true;
}

bool option_string(void *field, const char *argument, struct buffer *why)
{
	if (!*argument) {
		buffer_text(why, "it is empty");
		return false;
	}
	*(const char **)field = argument;
	return true;
}

bool option_duration(void *field, const char *argument, struct buffer *why)
{
	/* Digits and one point only: strtod(3) alone would take hex, infinities and leading blanks. */
	bool digits = argument[strspn(argument, "0123456789.")] == '\0';
	char *end;
	double seconds = digits ? strtod(argument, &end) : 0;

	if (!digits || end == argument || *end) {
		buffer_text(why, "give seconds, such as 2 or 0.5");
		return false;
	}
	if (seconds < 1e-9 || seconds > 1e9) {
		buffer_text(why, "give seconds above 0 and up to 1000000000");
		return false;
	}
	*(uint64_t *)field = (uint64_t)(seconds * 1e9);
	return true;
}

bool option_help(void *field, const char *argument, struct buffer *why)
{
	(void)field;
	(void)argument;
	(void)why;
	return true;
}

/* Not the same body folded with the above by the linker: their addresses tell them apart. */
bool option_version(void *field, const char *argument, struct buffer *why)
{
	(void)field;
	(void)argument;
	(void)why;
	return false;
}
