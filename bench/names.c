/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench-names FILE ROUNDS - a file's symbol table beside a bare floor, in turn
 *
 * The floor reads the section headers, one table of symbols and its strings, keeps what has a name and a place, and
 * sorts that by address: by qsort(3), and digit by digit. It takes no PLT entries, chooses no aliases, looks for no
 * debug file, and trusts the file. Printed are medians: of a build (open to usable), of both floors, and of a look-up
 * of a random text address (the median of its blocks).
 */
#include <elf.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "symbol/symbol.h"

enum { MOST_ROUNDS = 101, LOOKUPS = 1 << 16, BLOCKS = 9 };

struct plain {
	uint64_t address;
	uint32_t size, name;
};

struct table {
	struct plain *entry;
	size_t count;
	char *names;
};

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void *read_part(int fd, uint64_t offset, uint64_t size)
{
	char *bytes = malloc(size + 1);

	if (!bytes || pread(fd, bytes, size, (off_t)offset) != (ssize_t)size)
		exit(1);
	bytes[size] = '\0';
	return bytes;
}

static int by_address(const void *left, const void *right)
{
	const struct plain *a = left, *b = right;

	return (a->address > b->address) - (a->address < b->address);
}

static void sort_by_digits(struct table *table)
{
	struct plain *from = table->entry, *to = malloc((table->count + 1) * sizeof(*to));
	uint64_t high = 0;

	for (size_t i = 0; i < table->count; i++)
		high = from[i].address > high ? from[i].address : high;
	for (unsigned shift = 0; shift < 64 && high >> shift; shift += 11) {
		uint32_t place[2048] = { 0 }, sum = 0;
		for (size_t i = 0; i < table->count; i++)
			place[from[i].address >> shift & 2047]++;
		for (size_t i = 0; i < 2048; i++) {
			uint32_t here = place[i];
			place[i] = sum;
			sum += here;
		}
		for (size_t i = 0; i < table->count; i++)
			to[place[from[i].address >> shift & 2047]++] = from[i];
		struct plain *swap = from;
		from = to;
		to = swap;
	}
	free(to);
	table->entry = from;
}

/* How long it took. */
static uint64_t floor_build(const char *path, bool by_digits)
{
	uint64_t start = now();
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	Elf64_Ehdr header;
	struct table table = { 0 };

	if (pread(fd, &header, sizeof(header), 0) != sizeof(header))
		exit(1);
	Elf64_Shdr *section = read_part(fd, header.e_shoff, header.e_shnum * sizeof(*section)), *found = NULL;
	for (unsigned i = 0; i < header.e_shnum; i++)
		if (section[i].sh_type == SHT_SYMTAB || (section[i].sh_type == SHT_DYNSYM && !found))
			found = &section[i];
	if (!found)
		exit(1);
	Elf64_Sym *symbol = read_part(fd, found->sh_offset, found->sh_size);
	table.names = read_part(fd, section[found->sh_link].sh_offset, section[found->sh_link].sh_size);
	table.entry = malloc((found->sh_size / sizeof(*symbol) + 1) * sizeof(*table.entry));
	for (size_t i = 1; i < found->sh_size / sizeof(*symbol); i++)
		if (symbol[i].st_shndx != SHN_UNDEF && symbol[i].st_shndx < SHN_LORESERVE &&
		    (ELF64_ST_TYPE(symbol[i].st_info) <= STT_FUNC || ELF64_ST_TYPE(symbol[i].st_info) == STT_GNU_IFUNC) &&
		    table.names[symbol[i].st_name])
			table.entry[table.count++] = (struct plain){ symbol[i].st_value, (uint32_t)symbol[i].st_size,
								     symbol[i].st_name };
	free(symbol);
	free(section);
	if (by_digits)
		sort_by_digits(&table);
	else
		qsort(table.entry, table.count, sizeof(*table.entry), by_address);
	close(fd);
	start = now() - start;
	free(table.entry);
	free(table.names);
	return start;
}

static uint64_t table_build(const char *path, struct symbol_pool *pool, struct symbol_file **ret)
{
	uint64_t start = now();
	struct symbol_source source = { .size = sizeof(source), .root_fd = -1, .path = path };

	source.fd = open(path, O_RDONLY | O_CLOEXEC);
	if (source.fd < 0 || symbol_file_get(pool, &source, ret))
		exit(1);
	close(source.fd);
	return now() - start;
}

static int by_value(const void *left, const void *right)
{
	const uint64_t *a = left, *b = right;

	return (*a > *b) - (*a < *b);
}

static uint64_t median(uint64_t *value, size_t count)
{
	qsort(value, count, sizeof(*value), by_value);
	return value[count / 2];
}

struct text {
	uint64_t low, high;
};

static int widen(const struct symbol *symbol, void *data)
{
	struct text *text = data;

	if (symbol->type == SYMBOL_FUNCTION && symbol->size) {
		text->low = symbol->address < text->low ? symbol->address : text->low;
		text->high = symbol->address + symbol->size > text->high ? symbol->address + symbol->size : text->high;
	}
	return 0;
}

/* Hundredths of a nanosecond. */
static uint64_t look_up(const struct symbol_file *file)
{
	static uint64_t address[LOOKUPS];
	struct text text = { UINT64_MAX, 0 };
	uint64_t block[BLOCKS], dice = 1, named = 0;
	struct symbol symbol;

	symbol_file_each(file, widen, &text);
	for (size_t i = 0; i < LOOKUPS; i++) {
		dice = dice * UINT64_C(6364136223846793005) + 1442695040888963407;
		address[i] = text.low + (dice >> 20) % (text.high - text.low);
	}
	for (size_t n = 0; n < BLOCKS; n++) {
		uint64_t start = now();
		for (size_t i = 0; i < LOOKUPS; i++)
			named += symbol_file_at(file, address[i], &symbol) == 0;
		block[n] = (now() - start) * 100 / LOOKUPS;
	}
	if (!named)
		exit(1);
	return median(block, BLOCKS);
}

int main(int argc, char **argv)
{
	static uint64_t build[MOST_ROUNDS], floors[2][MOST_ROUNDS];
	size_t rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
	struct symbol_file *file = NULL;
	struct symbol_pool *pool = NULL;

	if (!rounds || rounds > MOST_ROUNDS)
		return 2;
	for (size_t i = 0; i < rounds; i++) {
		symbol_file_put(file);
		symbol_pool_free(pool);
		pool = symbol_pool_new(NULL);
		floors[0][i] = floor_build(argv[1], false);
		build[i] = table_build(argv[1], pool, &file);
		floors[1][i] = floor_build(argv[1], true);
	}
	printf("{\"symbols\":%zu,\"bytes\":%zu,\"build_ns\":%lu,\"floor_ns\":%lu,\"digits_ns\":%lu,\"lookup_cns\":%lu}\n",
	       symbol_file_count(file), symbol_file_bytes(file), (unsigned long)median(build, rounds),
	       (unsigned long)median(floors[0], rounds), (unsigned long)median(floors[1], rounds),
	       (unsigned long)look_up(file));
	symbol_file_put(file);
	symbol_pool_free(pool);
	return 0;
}
