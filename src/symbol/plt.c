/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * symbol/plt.c - entries of the procedure linkage table as symbols: "puts@plt"
 */
#include "symbol/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* An entry that goes to an IFUNC: named after the symbol at the resolver's address, since no relocation says it. */
struct resolver {
	uint64_t address;
	const struct symbol_entry *best;
};

static int by_address(const void *left, const void *right)
{
	const struct resolver *a = left, *b = right;

	return (a->address > b->address) - (a->address < b->address);
}

/* The entries are not sorted yet: one pass over them, for all resolvers. */
static void find_resolvers(const struct symbol_table *table, struct resolver *resolver, size_t count)
{
	for (size_t i = 0; i < table->entries; i++) {
		struct resolver key = { .address = entry_address(&table->entry[i]) };
		struct resolver *found = bsearch(&key, resolver, count, sizeof(key), by_address);
		if (found && (!found->best || symbol_is_better(table, &table->entry[i], found->best)))
			found->best = &table->entry[i];
	}
}

static int append(struct symbol_table *table, const char *bytes, size_t size)
{
	char *names;

	if (table->name_bytes + size > MAX_SECTION_BYTES)
		return -E2BIG;
	names = table->names;
	if (table->name_bytes + size + 1 > table->name_room) {
		names = realloc(table->names, table->name_bytes + size + 1);
		if (!names)
			return -ENOMEM;
		table->name_room = table->name_bytes + size + 1;
	}
	if (!table->names) /* name 0 is "" */
		names[table->name_bytes++] = '\0';
	table->names = names;
	memcpy(names + table->name_bytes, bytes, size);
	table->name_bytes += size;
	return 0;
}

static void add(struct symbol_table *table, const struct elf_plt_entry *plt, uint32_t name)
{
	if (plt->address >= SYMBOL_ADDRESS_END)
		return;
	table->entry[table->entries++] =
		(struct symbol_entry){ plt->address << KIND_BITS | KIND_PLT | KIND_FUNCTION << KIND_CLASS_SHIFT | KIND_GLOBAL,
				       plt->size, name };
}

/* Those of IFUNCs. The room is there. */
static int add_resolved(struct symbol_table *table, const struct elf_plt_entry *plt, size_t count)
{
	struct resolver *resolver = calloc(count + 1, sizeof(*resolver));
	size_t resolvers = 0;
	int error = 0;

	if (!resolver)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		if (!plt[i].name && plt[i].resolver)
			resolver[resolvers++].address = plt[i].resolver;
	if (resolvers) {
		qsort(resolver, resolvers, sizeof(*resolver), by_address);
		find_resolvers(table, resolver, resolvers);
	}
	for (size_t i = 0; i < count && resolvers && !error; i++) {
		struct resolver key = { .address = plt[i].resolver };
		struct resolver *found = bsearch(&key, resolver, resolvers, sizeof(key), by_address);
		char name[512];
		size_t length;
		if (plt[i].name || !found || !found->best)
			continue;
		length = strlen(table->names + found->best->name);
		if (length + sizeof("@plt") > sizeof(name))
			continue;
		memcpy(name, table->names + found->best->name, length);
		memcpy(name + length, "@plt", sizeof("@plt"));
		error = append(table, name, length + sizeof("@plt"));
		if (!error)
			add(table, &plt[i], (uint32_t)(table->name_bytes - (length + sizeof("@plt"))));
	}
	free(resolver);
	return error;
}

int symbol_collect_plt(struct symbol_table *table, const struct elf_tables *tables)
{
	struct elf_plt_known known = { .symbols = table->dynamic,
				       .strings = table->names ? table->names + table->dynamic_names : NULL,
				       .string_bytes = table->dynamic_name_bytes };
	struct elf_plt_entry *plt;
	size_t room = table->name_room > table->name_bytes ? table->name_room - table->name_bytes : 0;
	unsigned char *lent = room ? (unsigned char *)table->names + table->name_bytes : NULL;
	struct elf_blob names = { .data = lent, .room = room };
	ssize_t count = elf_plt_entries(tables, table->dynamic.data ? &known : NULL, &plt, &names);
	uint32_t base = (uint32_t)table->name_bytes;
	int error;

	if (count <= 0)
		return (int)count;
	if (names.size && names.data == lent) {
		table->name_bytes += names.size;
		error = 0;
	} else if (names.size) {
		error = append(table, (const char *)names.data, names.size);
		base = error ? 0 : (uint32_t)(table->name_bytes - names.size);
		free(names.data);
	} else {
		error = 0;
	}
	if (!error)
		error = symbol_reserve(table, (size_t)count);
	for (ssize_t i = 0; i < count && !error; i++)
		if (plt[i].name)
			add(table, &plt[i], base + plt[i].name);
	if (!error)
		error = add_resolved(table, plt, (size_t)count);
	free(plt);
	return error == -E2BIG ? 0 : error;
}
