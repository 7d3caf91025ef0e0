/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * symbol/arrange.c - entries sorted by address, aliases chosen, and what each covers
 */
#include "symbol/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- sorting -------------------------------------------------------------------------------------------- */

enum { MOST_DIGIT_BITS = 12, FEW = 64 };

static void sort_few(struct symbol_entry *entry, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		struct symbol_entry one = entry[i];
		size_t at = i;
		for (; at && entry_address(&entry[at - 1]) > entry_address(&one); at--)
			entry[at] = entry[at - 1];
		entry[at] = one;
	}
}

/* Memory for as many entries again: what the symbols were read into has done its work, and is present already. */
static struct elf_blob *second_place(struct symbol_table *table, size_t size)
{
	struct elf_blob *blob = &table->spare;

	if (table->dynamic.size + table->dynamic.room >= size)
		return &table->dynamic;
	if (blob->size + blob->room >= size)
		return blob;
	free(blob->data);
	*blob = (struct elf_blob){ .data = elf_allocate(size), .size = size };
	return blob->data ? blob : NULL;
}

/* Stable: by the digit at shift of what is left of an address without low. */
static void sort_by_digit(const struct symbol_entry *from, struct symbol_entry *to, size_t count, uint64_t low,
			  unsigned shift, unsigned bits)
{
	uint32_t place[1 << MOST_DIGIT_BITS] = { 0 }, sum = 0;
	uint64_t mask = (UINT64_C(1) << bits) - 1;

	for (size_t i = 0; i < count; i++)
		place[(entry_address(&from[i]) - low) >> shift & mask]++;
	for (size_t i = 0; i <= mask; i++) {
		uint32_t here = place[i];
		place[i] = sum;
		sum += here;
	}
	for (size_t i = 0; i < count; i++)
		to[place[(entry_address(&from[i]) - low) >> shift & mask]++] = from[i];
}

/* What ended in the other place is the table's from now on. */
static void swap_places(struct symbol_table *table, struct elf_blob *other)
{
	unsigned char *old = (unsigned char *)table->entry;

	table->entry = (struct symbol_entry *)(void *)other->data;
	table->entry_room = (other->size + other->room) / sizeof(*table->entry);
	*other = (struct elf_blob){ .data = old };
}

/* By address, stable: aliases stay in the order of the table. Digit by digit, in as many as the addresses differ in. */
static int sort(struct symbol_table *table)
{
	struct symbol_entry *from = table->entry, *to;
	uint64_t low = UINT64_MAX, high = 0;
	size_t count = table->entries;
	unsigned bits, digits;
	bool sorted = true;

	if (count <= FEW) {
		sort_few(from, count);
		return 0;
	}
	for (size_t i = 0; i < count; i++) {
		uint64_t address = entry_address(&from[i]);
		sorted = sorted && address >= high;
		low = address < low ? address : low;
		high = address > high ? address : high;
	}
	if (sorted)
		return 0;
	struct elf_blob *other = second_place(table, count * sizeof(*to));
	if (!other)
		return -ENOMEM;
	to = (struct symbol_entry *)(void *)other->data;
	bits = 64 - (unsigned)__builtin_clzll(high - low); /* they differ */
	digits = (bits + MOST_DIGIT_BITS - 1) / MOST_DIGIT_BITS;
	for (unsigned n = 0, width = (bits + digits - 1) / digits; n < digits; n++) {
		sort_by_digit(from, to, count, low, n * width, width);
		struct symbol_entry *swap = from;
		from = to;
		to = swap;
	}
	if (from != table->entry)
		swap_places(table, other);
	return 0;
}

/* ---- aliases -------------------------------------------------------------------------------------------- */

/* Lower is better: all of rule 3 that the kind tells. */
static unsigned rank(uint64_t key)
{
	unsigned class = (unsigned)(key & KIND_CLASS) >> KIND_CLASS_SHIFT, binding = key & KIND_BINDING;

	if (class == KIND_IFUNC)
		class = KIND_FUNCTION;
	if (binding == KIND_UNIQUE)
		binding = KIND_GLOBAL;
	return (key & KIND_NO_SIZE ? 16 : 0) | class << 2 | binding;
}

static size_t underscores(const char *name)
{
	size_t count = 0;

	while (name[count] == '_')
		count++;
	return count;
}

bool symbol_is_better(const struct symbol_table *table, const struct symbol_entry *entry,
		      const struct symbol_entry *other)
{
	unsigned a = rank(entry->key), b = rank(other->key);
	size_t of_entry, of_other;

	if (a != b)
		return a < b;
	of_entry = underscores(table->names + entry->name);
	of_other = underscores(table->names + other->name);
	if (of_entry != of_other)
		return of_entry < of_other;
	return !(entry->key & KIND_PLT) && other->key & KIND_PLT;
}

/* The same symbol of two tables of one file (.dynsym and .symtab) is one. */
static bool is_same(const struct symbol_table *table, const struct symbol_entry *entry,
		    const struct symbol_entry *other)
{
	return (entry->key & (KIND_CLASS | KIND_PLT)) == (other->key & (KIND_CLASS | KIND_PLT)) &&
	       !strcmp(table->names + entry->name, table->names + other->name);
}

/*
 * Copies among those that share an address, moved down over. Only in the first of them: many thousands at one
 * address are forged, and comparing each with each would take for ever.
 */
static size_t drop_copies(const struct symbol_table *table, struct symbol_entry *entry, size_t count)
{
	enum { COMPARED = 32 };
	size_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		bool copy = false;
		for (size_t k = 0; k < kept && k < COMPARED && !copy; k++)
			copy = is_same(table, &entry[k], &entry[i]);
		if (!copy)
			entry[kept++] = entry[i];
	}
	return kept;
}

/* The best of those that start together comes last among them: there the search ends up. */
static void choose(struct symbol_table *table)
{
	struct symbol_entry *entry = table->entry;
	size_t kept = 0;

	for (size_t i = 0; i < table->entries;) {
		size_t end = i + 1, count, best = 0;
		if (end == table->entries || entry_address(&entry[end]) != entry_address(&entry[i])) {
			entry[kept++] = entry[i];
			i = end;
			continue;
		}
		while (end < table->entries && entry_address(&entry[end]) == entry_address(&entry[i]))
			end++;
		count = end - i;
		if (kept != i)
			memmove(&entry[kept], &entry[i], count * sizeof(*entry));
		if (table->sources > 1 && count > 1)
			count = drop_copies(table, &entry[kept], count);
		for (size_t k = 1; k < count; k++)
			if (symbol_is_better(table, &entry[kept + k], &entry[kept + best]))
				best = k;
		struct symbol_entry one = entry[kept + best];
		memmove(&entry[kept + best], &entry[kept + best + 1], (count - 1 - best) * sizeof(*entry));
		kept += count;
		entry[kept - 1] = one;
		i = end;
	}
	table->entries = kept;
}

/* ---- what each covers ----------------------------------------------------------------------------------- */

/* Those that lie around a place, the innermost last: where one ends, the next goes on. */
struct around {
	struct symbol_table *table;
	uint32_t *entry;
	uint64_t *end;
	size_t depth, room;
};

static int push(struct around *around, uint32_t entry, uint64_t end)
{
	if (around->depth == around->room) {
		size_t room = around->room ? around->room * 2 : 64;
		uint32_t *entries = realloc(around->entry, room * sizeof(*entries));
		if (entries)
			around->entry = entries;
		uint64_t *ends = realloc(around->end, room * sizeof(*ends));
		if (ends)
			around->end = ends;
		if (!entries || !ends)
			return -ENOMEM;
		around->room = room;
	}
	around->entry[around->depth] = entry;
	around->end[around->depth++] = end;
	return 0;
}

static int resume(struct symbol_table *table, uint64_t start, uint64_t end, uint32_t entry)
{
	if (table->resumes == table->resume_room) {
		size_t room = table->resume_room ? table->resume_room * 2 : 64;
		struct symbol_resume *more = realloc(table->resume, room * sizeof(*more));
		if (!more)
			return -ENOMEM;
		table->resume = more;
		table->resume_room = room;
	}
	table->resume[table->resumes++] = (struct symbol_resume){ start, end, entry };
	return 0;
}

/* Come to a place: what ends before it is left, and what lies around that goes on until here. */
static int advance(struct around *around, uint64_t to)
{
	while (around->depth && around->end[around->depth - 1] <= to) {
		uint64_t here = around->end[--around->depth];
		while (around->depth && around->end[around->depth - 1] <= here)
			around->depth--;
		if (!around->depth || here == to)
			continue;
		uint64_t end = around->end[around->depth - 1];
		int error = resume(around->table, here, end < to ? end : to, around->entry[around->depth - 1]);
		if (error)
			return error;
	}
	return 0;
}

/* Rule 2. next: where the next symbol starts; area moves on with the addresses. */
static uint64_t extent_without_size(const struct symbol_table *table, uint64_t address, uint64_t next, size_t *area)
{
	const struct symbol_area *here;

	while (*area + 1 < table->areas && table->area[*area + 1].start <= address)
		++*area;
	here = *area < table->areas ? &table->area[*area] : NULL;
	if (!here || !here->executable || address < here->start || address >= here->end)
		return 1;
	return (next < here->end ? next : here->end) - address;
}

static uint64_t size_of(const struct symbol_table *table, const struct symbol_entry *entry)
{
	return entry->key & KIND_HUGE ? table->huge[entry->extent] : entry->extent;
}

static uint64_t end_of(const struct symbol_table *table, const struct symbol_entry *entry)
{
	uint64_t start = entry_address(entry), size = size_of(table, entry);

	return size < SYMBOL_ADDRESS_END - start ? start + size : SYMBOL_ADDRESS_END;
}

static int by_preference(const void *left, const void *right, void *data)
{
	const struct symbol_table *table = data;
	const uint32_t *a = left, *b = right;

	if (symbol_is_better(table, &table->entry[*a], &table->entry[*b]))
		return -1;
	if (symbol_is_better(table, &table->entry[*b], &table->entry[*a]))
		return 1;
	return (*a > *b) - (*a < *b);
}

/*
 * Aliases from first to best (the last) of which some are longer than the best: behind its end the best of those goes
 * on, and so forth. Rare, and forged in masses: so they are sorted, not searched again and again.
 */
static int push_longer(struct around *around, size_t first, size_t best)
{
	struct symbol_table *table = around->table;
	uint64_t end = end_of(table, &table->entry[best]);
	uint32_t *order = malloc((best - first) * sizeof(*order));
	size_t count = best - first, kept = 0;
	int error = 0;

	if (!order)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		order[i] = (uint32_t)(first + i);
	qsort_r(order, count, sizeof(*order), by_preference, table);
	for (size_t i = 0; i < count; i++) {
		const struct symbol_entry *entry = &table->entry[order[i]];
		if (entry->key & KIND_NO_SIZE || end_of(table, entry) <= end)
			continue;
		end = end_of(table, entry);
		order[kept++] = order[i];
	}
	while (kept-- > 0 && !error)
		error = push(around, order[kept], end_of(table, &table->entry[order[kept]]));
	free(order);
	return error;
}

/* Those that start together: best is the last of them. */
static int cover_group(struct around *around, size_t first, size_t best, uint64_t next, size_t *area)
{
	struct symbol_table *table = around->table;
	struct symbol_entry *entry = &table->entry[best];
	uint64_t start = entry_address(entry), end;
	int error = 0;

	if (!(entry->key & KIND_NO_SIZE)) {
		end = end_of(table, entry);
		for (size_t i = first; i < best; i++) {
			if (table->entry[i].key & KIND_NO_SIZE || end_of(table, &table->entry[i]) <= end)
				continue;
			error = push_longer(around, first, best);
			break;
		}
		return error ? error : push(around, (uint32_t)best, end);
	}
	if (around->depth) {
		/* Inside another: covers nothing, and the other goes on at once. */
		entry->extent = 0;
		return push(around, (uint32_t)best, start);
	}
	end = extent_without_size(table, start, next, area);
	entry->extent = end < UINT32_MAX ? (uint32_t)end : UINT32_MAX;
	return 0;
}

/* Alone, and with a size that ends before the next: most are so, and leave nothing to be done. */
static bool is_plain(const struct around *around, const struct symbol_entry *entry, bool alone, uint64_t start,
		     uint64_t next)
{
	return alone && !around->depth && !(entry->key & (KIND_NO_SIZE | KIND_HUGE)) && entry->extent <= next - start;
}

static int cover(struct symbol_table *table, struct around *around)
{
	struct symbol_entry *entry = table->entry;
	size_t area = 0, first = 0;
	int error = 0;

	for (size_t i = 0; i < table->entries && !error; i++) {
		uint64_t start = entry_address(&entry[i]);
		uint64_t next = i + 1 < table->entries ? entry_address(&entry[i + 1]) : SYMBOL_ADDRESS_END;
		if (next == start) /* an alias that is not the best */
			continue;
		if (is_plain(around, &entry[i], first == i, start, next)) {
			first = i + 1;
			continue;
		}
		error = advance(around, start);
		if (!error)
			error = cover_group(around, first, i, next, &area);
		first = i + 1;
	}
	return error ? error : advance(around, SYMBOL_ADDRESS_END);
}

/* ---- where a search begins ------------------------------------------------------------------------------ */

/* Without memory for it the search begins with all of them. */
static void slice(struct symbol_table *table)
{
	enum { WORTH = 256, A_SLICE = 4 };
	const struct symbol_entry *entry = table->entry;
	struct symbol_slices slices = { .low = table->entries ? entry_address(&entry[0]) : 0 };
	size_t next = 0;

	if (table->entries < WORTH)
		return;
	uint64_t span = entry_address(&entry[table->entries - 1]) - slices.low;
	while (span >> slices.shift >= table->entries / A_SLICE)
		slices.shift++;
	slices.count = (size_t)(span >> slices.shift) + 1;
	slices.start = malloc((slices.count + 1) * sizeof(*slices.start));
	if (!slices.start)
		return;
	for (size_t i = 0; i < table->entries; i++)
		for (size_t at = (entry_address(&entry[i]) - slices.low) >> slices.shift; next <= at;)
			slices.start[next++] = (uint32_t)i;
	slices.start[slices.count] = (uint32_t)table->entries;
	table->slices = slices;
}

static int area_by_start(const void *left, const void *right)
{
	const struct symbol_area *a = left, *b = right;

	return (a->start > b->start) - (a->start < b->start);
}

int symbol_arrange(struct symbol_table *table)
{
	struct around around = { .table = table };
	int error = sort(table);

	if (error)
		return error;
	choose(table);
	if (table->areas)
		qsort(table->area, table->areas, sizeof(*table->area), area_by_start);
	error = cover(table, &around);
	free(around.entry);
	free(around.end);
	if (!error)
		slice(table);
	return error;
}
