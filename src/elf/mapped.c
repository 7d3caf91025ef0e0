/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * elf/mapped.c - a mapped image read as if it were its file, and its dynamic symbols
 */
#include "elf/tables.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "elf/raw.h"

static const uint64_t page_mask = 4095;

int elf_mapped_open(struct elf_mapped *mapped, const struct reader *memory, const struct elf_image *image)
{
	struct raw_header header;
	struct window window;
	int error = window_open(&window, memory, image->low);

	*mapped = (struct elf_mapped){ .memory = memory, .bias = image->bias };
	if (!error)
		error = raw_header(window.bytes, window.length, &header);
	if (error)
		return error;
	if (!header.phnum || header.phnum > MAX_ELF_PHDRS)
		return -ENOEXEC;
	for (uint32_t n = 0; n < header.phnum && mapped->parts < ELF_FILE_PARTS; n++) {
		unsigned char bytes[RAW_PHDR_MAX];
		struct raw_phdr phdr;
		uint64_t head;
		error = window_read(&window, image->low + header.phoff + (uint64_t)n * header.phentsize, bytes,
				    header.phentsize);
		if (error)
			return error;
		raw_phdr(header.is_64, bytes, &phdr);
		head = phdr.vaddr & page_mask;
		if (phdr.type != PT_LOAD || !phdr.filesz || phdr.filesz > UINT64_MAX / 4 ||
		    phdr.offset > UINT64_MAX / 4 || phdr.offset < head)
			continue;
		mapped->part[mapped->parts].offset = phdr.offset - head;
		/* A page of a file is mapped whole; behind the bytes of a part with more memory it is cleared. */
		mapped->part[mapped->parts].size = head + phdr.filesz;
		if (phdr.memsz == phdr.filesz)
			mapped->part[mapped->parts].size = (head + phdr.filesz + page_mask) & ~page_mask;
		mapped->part[mapped->parts].address = phdr.vaddr - head;
		mapped->part[mapped->parts].executable = phdr.flags & PF_X;
		if (mapped->length < mapped->part[mapped->parts].offset + mapped->part[mapped->parts].size)
			mapped->length = mapped->part[mapped->parts].offset + mapped->part[mapped->parts].size;
		mapped->parts++;
	}
	return mapped->parts ? 0 : -ENOEXEC;
}

static ssize_t read_mapped(void *data, vaddr_t address, void *buffer, size_t length)
{
	const struct elf_mapped *mapped = data;

	for (unsigned i = 0; i < mapped->parts; i++) {
		uint64_t at = address - mapped->part[i].offset;
		if (address < mapped->part[i].offset || at >= mapped->part[i].size)
			continue;
		if (length > mapped->part[i].size - at)
			length = (size_t)(mapped->part[i].size - at);
		return mapped->memory->read(mapped->memory->data, mapped->bias + mapped->part[i].address + at, buffer,
					    length);
	}
	return -EFAULT;
}

struct reader elf_mapped_reader(struct elf_mapped *mapped)
{
	return (struct reader){ .read = read_mapped, .data = mapped };
}

/* ---- dynamic symbols ------------------------------------------------------------------------------------ */

/* The dynamic section does not say how many symbols there are; the hash table that finds them all does. */
static int count_by_gnu_hash(const struct reader *memory, const struct raw_dynamic *dynamic, uint64_t *ret)
{
	enum { BATCH = 1024 };
	uint32_t header[4]; /* buckets, index of the first symbol, words of the bloom filter, its shift */
	uint32_t batch[BATCH];
	uint32_t last = 0;
	vaddr_t at;
	int error = read_exactly(memory, dynamic->gnu_hash, header, sizeof(header));

	if (error)
		return error;
	if (!header[0] || header[0] > MAX_DYNAMIC_SYMBOLS || header[2] > MAX_DYNAMIC_SYMBOLS)
		return -ENOEXEC;
	at = dynamic->gnu_hash + sizeof(header) + (uint64_t)header[2] * 8;
	for (uint32_t done = 0; done < header[0]; done += BATCH) {
		uint32_t part = header[0] - done < BATCH ? header[0] - done : BATCH;
		error = read_exactly(memory, at + (uint64_t)done * 4, batch, part * sizeof(batch[0]));
		if (error)
			return error;
		for (uint32_t i = 0; i < part; i++)
			last = batch[i] > last ? batch[i] : last;
	}
	*ret = header[1];
	if (last < header[1]) /* nothing but undefined ones */
		return 0;
	/* The chain of the last bucket ends with the last symbol. */
	at += (uint64_t)header[0] * 4;
	for (; last < MAX_DYNAMIC_SYMBOLS; last++) {
		uint32_t hash;
		error = read_exactly(memory, at + (uint64_t)(last - header[1]) * 4, &hash, sizeof(hash));
		if (error)
			return error;
		if (hash & 1) {
			*ret = (uint64_t)last + 1;
			return 0;
		}
	}
	return -E2BIG;
}

static int count_symbols(const struct reader *memory, const struct raw_dynamic *dynamic, uint64_t *ret)
{
	uint32_t header[2]; /* buckets, chains: as many as symbols */
	int error;

	if (dynamic->hash) {
		error = read_exactly(memory, dynamic->hash, header, sizeof(header));
		if (!error)
			*ret = header[1];
		return error;
	}
	return dynamic->gnu_hash ? count_by_gnu_hash(memory, dynamic, ret) : -ENOENT;
}

static int read_blob(const struct reader *memory, vaddr_t address, uint64_t size, struct elf_blob *ret)
{
	unsigned char *data = malloc((size_t)size + 1);
	int error;

	if (!data)
		return -ENOMEM;
	data[size] = 0;
	error = read_exactly(memory, address, data, (size_t)size);
	if (error) {
		free(data);
		return error;
	}
	*ret = (struct elf_blob){ .data = data, .size = (size_t)size };
	return 0;
}

int elf_dynamic_symbols_read(const struct reader *memory, const struct elf_image *image,
			     struct elf_dynamic_symbols *ret)
{
	struct elf_dynamic_symbols found = { 0 };
	struct raw_dynamic dynamic;
	uint64_t count = 0, room = image->high - image->low;
	int error = raw_dynamic(memory, image, &dynamic);

	if (error)
		return error;
	if (!dynamic.symbols || !dynamic.strings || !dynamic.strings_size)
		return -ENOENT;
	error = count_symbols(memory, &dynamic, &count);
	if (error)
		return error;
	if (count > MAX_DYNAMIC_SYMBOLS)
		return -E2BIG;
	/* Both lie in the image: no memory is taken for what a wrong word claims. */
	if (!count || dynamic.strings_size > room || count * sizeof(Elf64_Sym) > room ||
	    dynamic.strings_size > MAX_SECTION_BYTES)
		return -ENOEXEC;
	error = read_blob(memory, dynamic.symbols, count * sizeof(Elf64_Sym), &found.symbols);
	if (!error)
		error = read_blob(memory, dynamic.strings, dynamic.strings_size, &found.strings);
	if (error) {
		free(found.symbols.data);
		return error;
	}
	/* Without versions every one is the default. */
	if (dynamic.versions)
		(void)read_blob(memory, dynamic.versions, count * sizeof(Elf64_Half), &found.versions);
	*ret = found;
	return 0;
}
