/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * symbol/collect.c - the symbols of one table of a file, and their names
 */
#include "symbol/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int symbol_reserve(struct symbol_table *table, size_t more)
{
	struct symbol_entry *entry;

	if (more > MAX_SYMBOLS || table->entries + more > MAX_SYMBOLS)
		return -E2BIG;
	if (table->entries + more <= table->entry_room)
		return 0;
	if (table->entry)
		entry = realloc(table->entry, (table->entries + more) * sizeof(*entry));
	else
		entry = elf_allocate((more + 1) * sizeof(*entry));
	if (!entry)
		return -ENOMEM;
	table->entry = entry;
	table->entry_room = table->entries + more;
	return 0;
}

/*
 * "name@@VERSION" is what linkers write into .symtab for a default version, "name@VERSION" for another; cut there,
 * with a byte that tells the latter from what follows any other name: the next string, never beginning with 1.
 */
static void cut_versions(char *names, size_t length)
{
	char *end = names + length;
	char *at = names;

	while (at + 1 < end && (at = memchr(at, '@', (size_t)(end - at - 1)))) {
		bool is_default = at[1] == '@';
		char next = at[is_default ? 2 : 1];
		/* Elsewhere an @ is a part of the name (Objective-C types). */
		bool is_version = (next >= 'A' && next <= 'Z') || (next >= 'a' && next <= 'z') || next == '_';
		if (is_version && at > names && at[-1]) {
			at[0] = '\0';
			at[1] = is_default ? '@' : 1;
		}
		at += is_default ? 2 : 1;
	}
}

int symbol_take_names(struct symbol_table *table, struct elf_blob *strings, uint32_t *ret_base)
{
	char *names;

	if (strings->size > MAX_SECTION_BYTES || table->name_bytes + strings->size > MAX_SECTION_BYTES) {
		free(strings->data);
		return -E2BIG;
	}
	cut_versions((char *)strings->data, strings->size);
	if (!table->names) {
		/* What begins with another byte is no ELF string table; name 0 must be empty all the same. */
		strings->data[0] = 0;
		table->names = (char *)strings->data;
		table->name_bytes = strings->size + 1;
		table->name_room = table->name_bytes + strings->room;
		*ret_base = 0;
		return 0;
	}
	names = realloc(table->names, table->name_bytes + strings->size + 1);
	if (!names) {
		free(strings->data);
		return -ENOMEM;
	}
	table->names = names;
	*ret_base = (uint32_t)table->name_bytes;
	memcpy(names + table->name_bytes, strings->data, strings->size + 1);
	table->name_bytes += strings->size + 1;
	table->name_room = table->name_bytes;
	free(strings->data);
	return 0;
}

/* ---- symbols -------------------------------------------------------------------------------------------- */

/* By the type of a symbol in the file; 0: not taken. */
static const uint8_t class_of_type[16] = {
	[STT_FUNC] = 1 + KIND_FUNCTION,
	[STT_GNU_IFUNC] = 1 + KIND_IFUNC,
	[STT_NOTYPE] = 1 + KIND_UNTYPED,
	[STT_OBJECT] = 1 + KIND_OBJECT,
	[STT_COMMON] = 1 + KIND_OBJECT,
};

static const uint8_t binding_of[16] = {
	[STB_LOCAL] = KIND_LOCAL,      [1] = KIND_GLOBAL,     [STB_WEAK] = KIND_WEAK,
	[3 ... 9] = KIND_LOCAL,        [STB_GNU_UNIQUE] = KIND_UNIQUE, [11 ... 15] = KIND_LOCAL,
};

/* A size that does not fit into an entry. */
static int add_huge(struct symbol_table *table, struct symbol_entry *entry, uint64_t size)
{
	if (table->huges == table->huge_room) {
		size_t room = table->huge_room ? table->huge_room * 2 : 16;
		uint64_t *huge = realloc(table->huge, room * sizeof(*huge));
		if (!huge)
			return -ENOMEM;
		table->huge = huge;
		table->huge_room = room;
	}
	entry->key |= KIND_HUGE;
	entry->extent = (uint32_t)table->huges;
	table->huge[table->huges++] = size;
	return 0;
}

struct one {
	uint64_t address, size;
	uint32_t name;
	uint16_t section;
	uint8_t info;
};

/* Forced inline: the loops below are where a build spends its time. */
static inline __attribute__((always_inline)) int take(struct symbol_table *table, const struct symbol_raw *raw,
						      const struct one *one, size_t number)
{
	uint8_t class = class_of_type[one->info & 15];
	struct symbol_entry *entry = &table->entry[table->entries];
	uint64_t address = one->address + raw->shift;

	if (!class || one->section == SHN_UNDEF ||
	    (one->section >= SHN_LORESERVE && one->section != SHN_XINDEX) || one->name >= raw->name_bytes ||
	    address >= SYMBOL_ADDRESS_END || !table->names[raw->name_base + one->name])
		return 0;
	entry->key = address << KIND_BITS | (uint64_t)(class - 1) << KIND_CLASS_SHIFT | binding_of[one->info >> 4];
	entry->extent = (uint32_t)one->size;
	entry->name = raw->name_base + one->name;
	if (!one->size)
		entry->key |= KIND_NO_SIZE;
	if (raw->versions.size > number * 2) {
		uint16_t version;
		memcpy(&version, raw->versions.data + number * 2, sizeof(version));
		if (version & 0x8000)
			entry->key |= KIND_HIDDEN;
	}
	table->entries++;
	if (one->size > UINT32_MAX)
		return add_huge(table, entry, one->size);
	return 0;
}

static int collect_64(struct symbol_table *table, const struct symbol_raw *raw)
{
	size_t count = raw->symbols.size / sizeof(Elf64_Sym);
	int error = 0;

	for (size_t i = 1; i < count && !error; i++) {
		Elf64_Sym symbol;
		memcpy(&symbol, raw->symbols.data + i * sizeof(symbol), sizeof(symbol));
		error = take(table, raw,
			     &(struct one){ symbol.st_value, symbol.st_size, symbol.st_name, symbol.st_shndx,
					    symbol.st_info },
			     i);
	}
	return error;
}

static int collect_32(struct symbol_table *table, const struct symbol_raw *raw)
{
	size_t count = raw->symbols.size / sizeof(Elf32_Sym);
	int error = 0;

	for (size_t i = 1; i < count && !error; i++) {
		Elf32_Sym symbol;
		memcpy(&symbol, raw->symbols.data + i * sizeof(symbol), sizeof(symbol));
		error = take(table, raw,
			     &(struct one){ symbol.st_value, symbol.st_size, symbol.st_name, symbol.st_shndx,
					    symbol.st_info },
			     i);
	}
	return error;
}

int symbol_collect(struct symbol_table *table, const struct symbol_raw *raw)
{
	size_t count = raw->symbols.size / (raw->is_64 ? sizeof(Elf64_Sym) : sizeof(Elf32_Sym));
	int error = symbol_reserve(table, count + raw->more);

	if (error == -E2BIG)
		error = symbol_reserve(table, count);

	if (error)
		return error;
	table->sources++;
	return raw->is_64 ? collect_64(table, raw) : collect_32(table, raw);
}

/* ---- sections ------------------------------------------------------------------------------------------- */

static int failed(struct symbol_table *table, const struct elf_tables *tables, const struct elf_section *section,
		  int error)
{
	const char *name = tables->names && section->name < tables->names_length ? tables->names + section->name :
										    "a symbol table";

	if (error == -ENOMEM || error == -ENOENT)
		return error;
	if (error == -ENOTSUP)
		symbol_table_complain(table, "%.32s is compressed in another way than by zlib or zstd, which is not read", name);
	else if (error == -EFBIG)
		symbol_table_complain(table, "%.32s is larger than %d bytes", name, MAX_SECTION_BYTES);
	else if (error == -ENOEXEC)
		symbol_table_complain(table, "%.32s is damaged or cut off", name);
	else
		symbol_table_complain(table, "%.32s cannot be read: %s", name, strerrordesc_np(-error));
	return error;
}

/* The versions of .dynsym: sh_link of .gnu.version names it. */
static void read_versions(const struct elf_tables *tables, const struct elf_section *section, struct elf_blob *ret)
{
	const struct elf_section *versions = elf_section_of_type(tables, SHT_GNU_versym);

	*ret = (struct elf_blob){ .data = NULL };
	if (versions && elf_section_linked(tables, versions) == section)
		(void)elf_section_read(tables, versions, ret);
}

/* PLT entries and their names come behind those of the table: room for most, so that they need not be moved. */
static size_t likely_plt(const struct elf_tables *tables)
{
	enum { MOST = 32768 };
	const struct elf_section *section = elf_section_named(tables, ".rela.plt");
	uint64_t count = section ? section->size / sizeof(Elf64_Rela) + 8 : 0;

	return count < MOST ? (size_t)count : MOST;
}

/* Behind a table of symbols, so that entries of all of them and of the PLT fit into its memory when they are sorted. */
static size_t room_to_sort(const struct elf_section *section, size_t plt)
{
	uint64_t count = section->size / sizeof(Elf64_Sym);
	uint64_t all = (count + plt) * sizeof(struct symbol_entry);

	return all > section->size ? (size_t)(all - section->size) : 0;
}

int symbol_collect_section(struct symbol_table *table, const struct elf_tables *tables,
			   const struct elf_section *section, uint64_t shift)
{
	const struct elf_section *strings = elf_section_linked(tables, section);
	enum { USUAL_NAME = 32 };
	struct symbol_raw raw = { .is_64 = tables->is_64, .shift = shift, .more = likely_plt(tables) };
	struct elf_blob names;
	int error;

	if (!strings || strings->type != SHT_STRTAB)
		return failed(table, tables, section, -ENOEXEC);
	error = elf_section_read_room(tables, section, room_to_sort(section, raw.more), &raw.symbols);
	if (error)
		return failed(table, tables, section, error);
	error = elf_section_read_room(tables, strings, raw.more * USUAL_NAME, &names);
	if (error) {
		free(raw.symbols.data);
		return failed(table, tables, strings, error);
	}
	raw.name_bytes = names.size;
	error = symbol_take_names(table, &names, &raw.name_base);
	if (!error && section->type == SHT_DYNSYM)
		read_versions(tables, section, &raw.versions);
	if (!error)
		error = symbol_collect(table, &raw);
	if (!error && section->type == SHT_DYNSYM) {
		/* PLT entries are named after it: kept until then. */
		table->dynamic = raw.symbols;
		table->dynamic_names = raw.name_base;
		table->dynamic_name_bytes = raw.name_bytes;
	} else if (!error && !table->spare.data) {
		table->spare = raw.symbols;
	} else {
		free(raw.symbols.data);
	}
	free(raw.versions.data);
	if (error == -E2BIG)
		symbol_table_complain(table, "more than %d symbols or %d bytes of names", MAX_SYMBOLS, MAX_SECTION_BYTES);
	return error;
}
