/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * symbol/lookup.c - from address to symbol, and from name to symbol
 */
#include "symbol/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

void symbol_describe(const struct symbol_table *table, const struct symbol_entry *entry, struct symbol *ret)
{
	static const uint8_t types[] = {
		[KIND_FUNCTION] = SYMBOL_FUNCTION,
		[KIND_IFUNC] = SYMBOL_IFUNC,
		[KIND_UNTYPED] = SYMBOL_UNTYPED,
		[KIND_OBJECT] = SYMBOL_OBJECT,
	};
	static const uint8_t bindings[] = {
		[KIND_GLOBAL] = SYMBOL_GLOBAL,
		[KIND_UNIQUE] = SYMBOL_UNIQUE,
		[KIND_WEAK] = SYMBOL_WEAK,
		[KIND_LOCAL] = SYMBOL_LOCAL,
	};
	uint64_t kind = entry->key;

	ret->name = table->names + entry->name;
	ret->address = entry_address(entry);
	ret->size = kind & KIND_NO_SIZE ? 0 : kind & KIND_HUGE ? table->huge[entry->extent] : entry->extent;
	ret->type = types[(kind & KIND_CLASS) >> KIND_CLASS_SHIFT];
	ret->binding = bindings[kind & KIND_BINDING];
	ret->flags = (kind & KIND_PLT ? SYMBOL_IS_PLT : 0) | (kind & KIND_NO_SIZE ? SYMBOL_HAS_NO_SIZE : 0) |
		     (kind & KIND_HIDDEN ? SYMBOL_HIDDEN_VERSION : 0);
}

/* ---- addresses ------------------------------------------------------------------------------------------ */

/* A larger symbol that goes on here behind one that lies in it, or NULL. */
static const struct symbol_entry *resumed(const struct symbol_table *table, uint64_t address)
{
	const struct symbol_resume *resume = table->resume;
	size_t count = table->resumes;

	while (count > 1) {
		size_t half = count / 2;
		if (resume[half].start <= address)
			resume += half;
		count -= half;
	}
	return count && resume->start <= address && address < resume->end ? &table->entry[resume->entry] : NULL;
}

const struct symbol_entry *symbol_covering(const struct symbol_table *table, uint64_t address)
{
	const struct symbol_slices *slices = &table->slices;
	const struct symbol_entry *entry = table->entry;
	size_t count = table->entries;
	uint64_t key = address << KIND_BITS | ((1 << KIND_BITS) - 1), extent;

	if (address >= SYMBOL_ADDRESS_END || !count)
		return NULL;
	if (slices->start) {
		uint64_t at = address < slices->low ? 0 : (address - slices->low) >> slices->shift;
		size_t n = at < slices->count ? (size_t)at : slices->count - 1;
		/* The one before the slice may reach into it. */
		size_t first = slices->start[n] ? slices->start[n] - 1 : 0;
		entry += first;
		count = slices->start[n + 1] - first;
	}
	while (count > 1) {
		size_t half = count / 2;
		/* No branch: which half it is, is as good as random. */
		entry += entry[half].key <= key ? half : 0;
		count -= half;
	}
	if (entry->key > key)
		return NULL;
	extent = entry->key & KIND_HUGE ? table->huge[entry->extent] : entry->extent;
	if (address - entry_address(entry) < extent)
		return entry;
	return resumed(table, address);
}

int symbol_table_at(const struct symbol_table *table, uint64_t address, struct symbol *ret)
{
	const struct symbol_entry *entry = symbol_covering(table, address);

	if (!entry)
		return -ENOENT;
	symbol_describe(table, entry, ret);
	return 0;
}

/* ---- names ---------------------------------------------------------------------------------------------- */

/* The names are a victim's: with a seed that it cannot know they cannot be made to fall on one place. */
static uint64_t seed(void)
{
	union {
		unsigned long address;
		const void *pointer;
	} random = { .address = getauxval(AT_RANDOM) };
	uint64_t value = 0;

	if (random.pointer)
		memcpy(&value, random.pointer, sizeof(value));
	return value;
}

static uint32_t hash(uint64_t state, const char *name, size_t length)
{
	uint64_t word;

	for (; length >= sizeof(word); name += sizeof(word), length -= sizeof(word)) {
		memcpy(&word, name, sizeof(word));
		state = (state ^ word) * UINT64_C(0x9e3779b97f4a7c15);
		state ^= state >> 29;
	}
	word = length;
	memcpy(&word, name, length < 7 ? length : 7);
	state = (state ^ word ^ (uint64_t)length << 56) * UINT64_C(0xbf58476d1ce4e5b9);
	state ^= state >> 32;
	state *= UINT64_C(0x94d049bb133111eb);
	return (uint32_t)(state >> 32);
}

/* The byte behind the NUL of a name that had a version, see cut_versions(); 0 for what is beyond the names. */
static bool is_hidden(const struct symbol_table *table, const struct symbol_entry *entry, size_t length)
{
	return entry->key & KIND_HIDDEN ||
	       (entry->name + length + 1 < table->name_bytes && table->names[entry->name + length + 1] == 1);
}

/* Of two of one name. The entries are compared in ascending order: an earlier one has the lower address. */
static bool is_preferred(const struct symbol_table *table, const struct symbol_entry *entry,
			 const struct symbol_entry *other, size_t length)
{
	static const unsigned char class[] = { 0, 0, 1, 2 }, binding[] = { 0, 0, 1, 2 };
	unsigned a = class[(entry->key & KIND_CLASS) >> KIND_CLASS_SHIFT],
		 b = class[(other->key & KIND_CLASS) >> KIND_CLASS_SHIFT];

	if (a != b)
		return a < b;
	a = binding[entry->key & KIND_BINDING];
	b = binding[other->key & KIND_BINDING];
	if (a != b)
		return a < b;
	a = is_hidden(table, entry, length);
	b = is_hidden(table, other, length);
	if (a != b)
		return a < b;
	/* What is called is the entry of .plt.sec, which stands behind the one of .plt. */
	return entry->key & KIND_PLT && entry->key > other->key;
}

static uint32_t *make_index(const struct symbol_table *table, uint32_t mask, uint64_t start)
{
	uint32_t *index = calloc((size_t)mask + 1, sizeof(*index));

	if (!index)
		return NULL;
	for (size_t i = 0; i < table->entries; i++) {
		const struct symbol_entry *entry = &table->entry[i];
		const char *name = table->names + entry->name;
		size_t length = strlen(name);
		uint32_t at = hash(start, name, length) & mask;
		while (index[at] && strcmp(table->names + table->entry[index[at] - 1].name, name))
			at = (at + 1) & mask;
		if (!index[at] || is_preferred(table, entry, &table->entry[index[at] - 1], length))
			index[at] = (uint32_t)i + 1;
	}
	return index;
}

uint32_t symbol_index_mask(size_t entries)
{
	uint32_t slots = 2;

	while (slots < 2 * entries) /* entries: at most MAX_SYMBOLS */
		slots *= 2;
	return slots - 1;
}

int symbol_table_find(struct symbol_table *table, const char *name, struct symbol *ret)
{
	uint32_t mask = symbol_index_mask(table->entries);
	uint32_t *index = atomic_load_explicit(&table->index, memory_order_acquire);
	uint64_t start = seed();
	size_t length = strlen(name);

	if (!table->entries)
		return -ENOENT;
	if (!index) {
		uint32_t *made = make_index(table, mask, start);
		if (!made)
			return -ENOMEM;
		/* Two threads may have made one each: the first stands. */
		if (atomic_compare_exchange_strong(&table->index, &index, made))
			index = made;
		else
			free(made);
	}
	for (uint32_t at = hash(start, name, length) & mask; index[at]; at = (at + 1) & mask) {
		const struct symbol_entry *entry = &table->entry[index[at] - 1];
		if (strcmp(table->names + entry->name, name))
			continue;
		symbol_describe(table, entry, ret);
		if (is_hidden(table, entry, length))
			ret->flags |= SYMBOL_HIDDEN_VERSION;
		return 0;
	}
	return -ENOENT;
}

int symbol_table_each(const struct symbol_table *table, int (*visit)(const struct symbol *symbol, void *data),
		      void *data)
{
	for (size_t i = 0; i < table->entries; i++) {
		struct symbol symbol;
		int result;
		symbol_describe(table, &table->entry[i], &symbol);
		if (is_hidden(table, &table->entry[i], strlen(symbol.name)))
			symbol.flags |= SYMBOL_HIDDEN_VERSION;
		result = visit(&symbol, data);
		if (result)
			return result;
	}
	return 0;
}
