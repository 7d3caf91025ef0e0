/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * forge_symbols.h - symbol tables of made-up files, for the tests of them; after cmocka's header
 */
#ifndef TEST_FORGE_SYMBOLS_H
#define TEST_FORGE_SYMBOLS_H

#include "forge_elf.h"
#include "symbol/table.h"

enum { TEXT = 0x1000, TEXT_END = 0x3000, DATA = 0x4000, IN_TEXT = 1, IN_DATA = 2 };

/* A file with a .text and a .data, for tables to be added to. */
static inline void begin(struct forged *elf)
{
	forge_begin(elf);
	forge_section(elf, ".text", SHT_NOBITS, SHF_ALLOC | SHF_EXECINSTR, TEXT, NULL, TEXT_END - TEXT);
	forge_section(elf, ".data", SHT_NOBITS, SHF_ALLOC | SHF_WRITE, DATA, NULL, 0x1000);
}

static inline struct symbol_file *get(int fd)
{
	struct symbol_source source = { .size = sizeof(source), .fd = fd, .root_fd = -1 };
	struct symbol_pool *pool = symbol_pool_new(NULL);
	struct symbol_file *file = NULL;

	assert_true(fd >= 0);
	assert_int_equal(symbol_file_get(pool, &source, &file), 0);
	symbol_pool_free(pool);
	close(fd);
	return file;
}

static inline struct symbol_file *table_of(struct forged_table *table)
{
	struct forged elf;

	begin(&elf);
	forge_table(&elf, table, SHT_SYMTAB);
	return get(forge_end(&elf));
}

static inline const char *name_at(const struct symbol_file *file, uint64_t address)
{
	struct symbol symbol;

	return symbol_file_at(file, address, &symbol) ? "-" : symbol.name;
}

static inline void function(struct forged_table *table, const char *name, uint64_t address, uint64_t size)
{
	forge_symbol(table, name, address, size, STB_GLOBAL, STT_FUNC, IN_TEXT);
}

#endif
