/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_symbols - symbol tables of files that lie, for libFuzzer (-fsanitize=fuzzer, https://llvm.org/docs/LibFuzzer.html)
 *
 * The first byte chooses: an ELF file; the same bytes as a mapped image; a perf map; a mangled name. Whatever it is, all
 * ends in bounded time and memory, and what a table answers is consistent: every symbol's own address has a name, every
 * name an address, and an answer covers what was asked.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <fcntl.h>

#include "symbol/table.h"

#include "../unit/fake_memory.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ASKED = 2000, BIAS = 0x10000 };

static void must(bool condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "broken: %s\n", what);
	abort();
}

static struct symbol_table *asked_table;
static unsigned asked;

static int ask(const struct symbol *symbol, void *data)
{
	struct symbol found;

	(void)data;
	if (asked++ >= ASKED)
		return 1;
	must(symbol->name[0] != '\0', "a symbol has a name");
	must(!symbol_table_at(asked_table, symbol->address, &found), "a symbol's own address has a name");
	must(found.address <= symbol->address, "it is not that of a later one");
	must(found.address == symbol->address || symbol->address - found.address < found.size,
	     "it is that of one which starts or goes on there");
	must(!symbol_table_find(asked_table, symbol->name, &found), "a symbol's name is found");
	must(!strcmp(found.name, symbol->name), "it is the name that was asked");
	if (symbol->size && !symbol_table_at(asked_table, symbol->address + symbol->size / 2, &found))
		must(found.address <= symbol->address + symbol->size / 2, "an answer starts before what it covers");
	return 0;
}

static void ask_all(struct symbol_input *input)
{
	struct symbol_table table;
	struct symbol found;

	if (symbol_table_make(&table, input))
		return;
	must(table.entries <= MAX_SYMBOLS, "there are no more symbols than the limit");
	asked_table = &table;
	asked = 0;
	symbol_table_each(&table, ask, NULL);
	(void)symbol_table_at(&table, 0, &found);
	(void)symbol_table_at(&table, UINT64_MAX, &found);
	must(symbol_table_find(&table, "", &found) == -ENOENT, "the empty name is nobody's");
	symbol_table_free(&table);
}

static void as_file(const uint8_t *data, size_t size)
{
	struct elf_blob blob = { .data = malloc(size + 1), .size = size };
	struct symbol_source source = { .size = sizeof(source), .fd = 0, .root_fd = -1, .flags = SYMBOL_NO_DEBUG_FILES };
	struct reader bytes = elf_blob_reader(&blob);
	static struct symbol_input input;

	memcpy(blob.data, data, size);
	memset(&input, 0, sizeof(input));
	if (!symbol_input_open_bytes(&input, &source, &bytes, size)) {
		ask_all(&input);
		symbol_input_close(&input);
	}
	free(blob.data);
}

static int see_slot(const struct elf_slot *slot, void *within)
{
	const uint64_t *range = within;

	must(slot->value >= range[0] && slot->value < range[1], "a slot holds an address that was asked for");
	must(!slot->name || memchr(slot->name, '\0', ELF_SLOT_NAME), "its name ends");
	return 0;
}

static void as_image(const uint8_t *data, size_t size)
{
	uint64_t range[2] = { 0, UINT64_MAX }, budget = ASKED;
	char name[ELF_SLOT_NAME];
	struct fake_memory bytes = { 0 };
	struct reader memory = { .read = fake_read, .data = &bytes };
	struct elf_image image;
	struct symbol_source source = { .size = sizeof(source), .fd = -1, .root_fd = -1, .memory = &memory, .image = &image };
	static struct symbol_input input;

	source.flags = SYMBOL_NO_DEBUG_FILES;
	fake_add(&bytes, BIAS, data, size);
	if (elf_image_at(&memory, BIAS, &image))
		return;
	elf_each_slot(&memory, &image, range[0], range[1], &budget, see_slot, range);
	must(budget <= ASKED, "no more slots are looked at than may be");
	if (!elf_soname(&memory, &image, name))
		must(memchr(name, '\0', sizeof(name)) != NULL, "a soname ends");
	if (!symbol_input_open(&input, &source, 0)) {
		ask_all(&input);
		symbol_input_close(&input);
	}
}

/* Written to a file in two parts, read after each. */
static void as_map(const uint8_t *data, size_t size)
{
	static char folder[] = "/tmp/tether-fuzz-XXXXXX";
	static int root = -1;
	struct symbol_jit *jit = symbol_jit_new();
	struct symbol found;
	int fd;

	if (root < 0) {
		must(mkdtemp(folder) != NULL, "there is a folder");
		root = open(folder, O_RDONLY | O_DIRECTORY);
		must(mkdirat(root, "tmp", 0700) == 0, "there is a folder in it");
	}
	fd = openat(root, "tmp/perf-1.map", O_RDWR | O_CREAT | O_TRUNC, 0600);
	must(fd >= 0 && jit, "there is a map");
	must(write(fd, data, size / 2) == (ssize_t)(size / 2), "it is written");
	(void)symbol_jit_read(jit, root, 1, getuid());
	must(write(fd, data + size / 2, size - size / 2) == (ssize_t)(size - size / 2), "it is written");
	must(symbol_jit_read(jit, root, 1, getuid()) >= 0, "a map is read");
	for (uint64_t address = 0; address < 0x10000; address += 0x111)
		if (!symbol_jit_at(jit, address, &found))
			must(found.address <= address && address - found.address < found.size, "an entry covers it");
	symbol_jit_free(jit);
	close(fd);
	unlinkat(root, "tmp/perf-1.map", 0);
	unlinkat(root, "tmp", AT_REMOVEDIR);
	rmdir(folder);
	close(root);
	root = -1;
	memcpy(folder + sizeof(folder) - 7, "XXXXXX", 6);
}

static void as_name(const uint8_t *data, size_t size)
{
	char *name = malloc(size + 1);
	char *demangled;

	memcpy(name, data, size);
	name[size] = '\0';
	demangled = symbol_demangle(name);
	must(!demangled || strlen(demangled) <= MAX_DEMANGLED + 1024, "a demangled name is bounded");
	free(demangled);
	free(name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const as[])(const uint8_t *, size_t) = { as_file, as_image, as_map, as_name };
	/* An ELF file begins with 0x7f: as it stands, so that a corpus can hold files. */
	if (size && data[0] == 0x7f) {
		as_file(data, size);
		as_image(data, size);
	} else if (size) {
		as[data[0] % ARRAY_LEN(as)](data + 1, size - 1);
	}
	return 0;
}
