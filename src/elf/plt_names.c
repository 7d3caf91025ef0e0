/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * elf/plt_names.c - the names of PLT entries, without reading all of .dynsym and .dynstr
 *
 * A program may export a hundred thousand symbols and import three hundred: only what the entries need is read, in
 * the order of the file.
 */
#include "elf/tables.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "elf/raw.h"

enum {
	WINDOW = 16384, /* longer names are left out */
};

struct wanted {
	uint32_t name; /* in .dynstr */
	uint32_t entry;
};

struct strings {
	const struct elf_plt_known *known; /* or NULL, and the rest counts */
	const struct elf_tables *tables;
	const struct elf_section *section;
	uint64_t start;
	size_t length;
	char window[WINDOW + 1];
};

static int by_name(const void *left, const void *right)
{
	const struct wanted *a = left, *b = right;

	return (a->name > b->name) - (a->name < b->name);
}

static size_t symbol_size(const struct elf_tables *tables)
{
	return tables->is_64 ? sizeof(Elf64_Sym) : sizeof(Elf32_Sym);
}

static bool is_plain(const struct elf_tables *tables, const struct elf_section *section)
{
	return section && section->type != SHT_NOBITS && !(section->flags & SHF_COMPRESSED) &&
	       section->offset <= tables->length && section->size <= tables->length - section->offset;
}

static uint32_t name_of(const unsigned char *symbol)
{
	uint32_t name; /* st_name is the first word of both classes */

	memcpy(&name, symbol, sizeof(name));
	return name;
}

/* The part of .dynsym that the entries need: *ret_low is the number of its first symbol. */
static int read_symbols(const struct elf_tables *tables, const struct elf_section *symbols,
			const struct elf_plt_entry *entry, size_t count, struct elf_blob *ret, uint32_t *ret_low)
{
	size_t size = symbol_size(tables);
	uint32_t low = UINT32_MAX, high = 0;
	int error;

	for (size_t i = 0; i < count; i++) {
		uint32_t symbol = entry[i].symbol;
		if (!symbol || symbol >= symbols->size / size)
			continue;
		low = symbol < low ? symbol : low;
		high = symbol > high ? symbol : high;
	}
	if (low > high)
		return -ENOENT;
	ret->size = ((size_t)(high - low) + 1) * size;
	ret->data = malloc(ret->size);
	if (!ret->data)
		return -ENOMEM;
	error = read_exactly(tables->bytes, symbols->offset + (uint64_t)low * size, ret->data, ret->size);
	if (error)
		free(ret->data);
	*ret_low = low;
	return error;
}

/* Where in .dynstr each entry's name is: how many have one. symbols begins with number low. */
static size_t find_wanted(const struct elf_tables *tables, const struct elf_blob *symbols, uint32_t low,
			  const struct elf_plt_entry *entry, size_t count, struct wanted *wanted)
{
	size_t size = symbol_size(tables), found = 0;

	for (size_t i = 0; i < count; i++) {
		uint32_t symbol = entry[i].symbol;
		if (!symbol || symbol < low || symbol - low >= symbols->size / size)
			continue;
		wanted[found].name = name_of(symbols->data + (size_t)(symbol - low) * size);
		if (wanted[found].name)
			wanted[found++].entry = (uint32_t)i;
	}
	return found;
}

/* The string at an offset of the section, or NULL; valid until the next one is asked for. */
static const char *string_at(struct strings *strings, uint32_t at)
{
	uint64_t left;

	if (strings->known)
		return at < strings->known->string_bytes ? strings->known->strings + at : NULL;
	for (int tries = 0; tries < 2; tries++) {
		if (at >= strings->start && at - strings->start < strings->length &&
		    memchr(strings->window + (at - strings->start), 0, strings->length - (at - strings->start)))
			return strings->window + (at - strings->start);
		if (at >= strings->section->size)
			return NULL;
		left = strings->section->size - at;
		strings->start = at;
		strings->length = left < WINDOW ? (size_t)left : WINDOW;
		if (read_exactly(strings->tables->bytes, strings->section->offset + at, strings->window,
				 strings->length))
			strings->length = 0;
	}
	return NULL;
}

/* Names go into the memory that the caller has lent, until they do not fit. */
struct sink {
	char *lent;
	size_t used, room;
	struct buffer own; /* everything, once it has begun */
};

static bool sink_add(struct sink *sink, const char *name, size_t length)
{
	static const char suffix[] = "@plt";
	size_t more = length + sizeof(suffix);
	char *to;

	if (!sink->own.data && sink->used + more <= sink->room) {
		to = sink->lent + sink->used;
	} else {
		if (!sink->own.data && sink->used)
			buffer_add(&sink->own, sink->lent, sink->used);
		to = buffer_reserve(&sink->own, more);
		if (!to)
			return false;
		sink->own.length += more;
	}
	memcpy(to, name, length);
	memcpy(to + length, suffix, sizeof(suffix));
	sink->used += more;
	return true;
}

static int add_names(struct strings *strings, struct elf_plt_entry *entry, const struct wanted *wanted, size_t count,
		     struct elf_blob *ret)
{
	struct sink sink = { .lent = (char *)ret->data, .used = ret->room ? 1 : 0, .room = ret->room };

	if (ret->room)
		ret->data[0] = 0; /* name 0 is none */
	else
		buffer_add_string(&sink.own, "");
	sink.used = 1;
	for (size_t i = 0; i < count; i++) {
		const char *name;
		size_t length;
		/* One symbol may have two entries: .plt and .plt.sec. */
		if (i && wanted[i].name == wanted[i - 1].name) {
			entry[wanted[i].entry].name = entry[wanted[i - 1].entry].name;
			continue;
		}
		name = string_at(strings, wanted[i].name);
		length = name ? strnlen(name, WINDOW + 1) : 0;
		if (!length || length > WINDOW || sink.used + WINDOW > MAX_PLT_NAMES)
			continue;
		entry[wanted[i].entry].name = (uint32_t)sink.used;
		if (!sink_add(&sink, name, length) || sink.own.failed) {
			buffer_free(&sink.own);
			return -ENOMEM;
		}
	}
	if (sink.own.failed)
		return -ENOMEM;
	if (sink.own.data)
		ret->data = (unsigned char *)sink.own.data;
	ret->size = sink.used;
	return 0;
}

/* symbols begins with number low. */
static int name_entries(struct strings *strings, const struct elf_blob *symbols, uint32_t low,
			struct elf_plt_entry *entry, size_t count, struct elf_blob *ret)
{
	struct wanted *wanted = malloc(count * sizeof(*wanted));
	size_t found;
	int error = 0;

	if (!wanted)
		return -ENOMEM;
	found = find_wanted(strings->tables, symbols, low, entry, count, wanted);
	if (!strings->known)
		raw_sort(wanted, found, sizeof(*wanted), by_name);
	if (found)
		error = add_names(strings, entry, wanted, found, ret);
	free(wanted);
	return error;
}

int raw_plt_names(const struct elf_tables *tables, const struct elf_plt_known *known, struct elf_plt_entry *entry,
		  size_t count, struct elf_blob *ret)
{
	const struct elf_section *section = elf_section_of_type(tables, SHT_DYNSYM);
	const struct elf_section *linked = section ? elf_section_linked(tables, section) : NULL;
	struct strings *strings;
	struct elf_blob symbols;
	uint32_t low = 0;
	int error;

	if (!known && (!is_plain(tables, section) || !is_plain(tables, linked)))
		return 0;
	strings = malloc(sizeof(*strings));
	if (!strings)
		return -ENOMEM;
	strings->known = known;
	strings->tables = tables;
	strings->section = linked;
	strings->start = strings->length = 0;
	error = known ? 0 : read_symbols(tables, section, entry, count, &symbols, &low);
	if (!error) {
		error = name_entries(strings, known ? &known->symbols : &symbols, low, entry, count, ret);
		if (!known)
			free(symbols.data);
	}
	free(strings);
	return error == -ENOMEM ? error : 0;
}
