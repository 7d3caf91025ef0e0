/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * symbol-dump FILE each|at|find [no-debug-files] - the symbol table of a file as text, for tests in Python
 *
 * each: a line "ADDRESS SIZE TYPE BINDING FLAGS NAME" a symbol. at: for each hex address of the standard input such a
 * line, or "-". find: for each name. Before all a line "COUNT BYTES ORIGIN", and on stderr what it complains of.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "symbol/symbol.h"

static int show(const struct symbol *symbol, void *data)
{
	(void)data;
	printf("%" PRIx64 " %" PRIx64 " %u %u %x %s\n", symbol->address, symbol->size, symbol->type, symbol->binding,
	       symbol->flags, symbol->name);
	return 0;
}

static void answer(const struct symbol_file *file, const char *what)
{
	struct symbol symbol;
	char *line = NULL;
	size_t room = 0;
	ssize_t length;

	while ((length = getline(&line, &room, stdin)) > 0) {
		if (line[length - 1] == '\n')
			line[length - 1] = '\0';
		int error = strcmp(what, "at") ? symbol_file_find(file, line, &symbol) :
						 symbol_file_at(file, strtoull(line, NULL, 16), &symbol);
		if (error)
			puts("-");
		else
			show(&symbol, NULL);
	}
	free(line);
}

int main(int argc, char **argv)
{
	struct symbol_source source = { .size = sizeof(source), .root_fd = -1 };
	struct symbol_pool *pool = symbol_pool_new(NULL);
	struct symbol_file *file;
	int error;

	if (argc < 3)
		return 2;
	source.path = argv[1];
	source.fd = open(argv[1], O_RDONLY | O_CLOEXEC);
	source.flags = argc > 3 ? SYMBOL_NO_DEBUG_FILES : 0;
	error = source.fd < 0 ? -1 : symbol_file_get(pool, &source, &file);
	if (error) {
		fprintf(stderr, "%s: %s\n", argv[1], strerror(-error));
		return 1;
	}
	printf("%zu %zu %s\n", symbol_file_count(file), symbol_file_bytes(file), symbol_file_origin(file));
	fprintf(stderr, "%s", symbol_file_complaint(file));
	if (!strcmp(argv[2], "each"))
		symbol_file_each(file, show, NULL);
	else
		answer(file, argv[2]);
	symbol_file_put(file);
	symbol_pool_free(pool);
	close(source.fd);
	return 0;
}
