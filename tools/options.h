/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * options.h - one table per subcommand parses its options and prints its help
 *
 * The table is an array of rows that ends at a row without a name. Each row says where in the subcommand's
 * own struct the value goes and which function reads it. Parsing stops at the first operand or behind "--",
 * as the words from there on are another program's.
 */
#ifndef TOOLS_OPTIONS_H
#define TOOLS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"

/* Reads argument (NULL: the option takes none) into *field. On failure says why, without the option's name.
 */
typedef bool option_reader(void *field, const char *argument, struct buffer *why);

struct option_row {
	char letter;          /* 0: only the name */
	const char *name;     /* without dashes */
	const char *argument; /* how the help calls it; NULL: takes none */
	const char *help;     /* NULL: known, but not listed */
	option_reader *read;
	size_t offset; /* of the field in the subcommand's struct */
};

struct option_table {
	const char *usage;    /* behind "usage: tether " */
	const char *sentence; /* what it does */
	const struct option_row *rows;
	const char *epilogue; /* exit statuses, an example */
};

enum options_result { OPTIONS_RUN, OPTIONS_HELP, OPTIONS_VERSION, OPTIONS_BAD };

/*
 * argv[0] is the subcommand. operands: index of the first word that is no option. error: what is wrong,
 * filled for OPTIONS_BAD only.
 */
enum options_result options_parse(const struct option_table *table, int argc, char *const *argv, void *into,
				  int *operands, struct buffer *error);
void options_help(const struct option_table *table, struct buffer *out);

option_reader option_flag;     /* bool */
option_reader option_string;   /* const char *, not empty */
option_reader option_duration; /* uint64_t nanoseconds, from seconds with a fraction, above 0 */

/* Stand for themselves in a table: -h and -V are told apart by these functions, never called. */
option_reader option_help, option_version;

#endif
