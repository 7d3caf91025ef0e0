/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * elf/raw.c - the structures of both ELF classes, notes, and bounded reading
 */
#include "elf/raw.h"

#include <assert.h>
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static_assert(sizeof(Elf64_Ehdr) <= RAW_HEADER_MAX && sizeof(Elf32_Ehdr) <= RAW_HEADER_MAX, "header");
static_assert(sizeof(Elf64_Phdr) <= RAW_PHDR_MAX && sizeof(Elf32_Phdr) <= RAW_PHDR_MAX, "program header");
static_assert(sizeof(Elf64_Shdr) <= RAW_SHDR_MAX && sizeof(Elf32_Shdr) <= RAW_SHDR_MAX, "section header");

int read_exactly(const struct reader *memory, vaddr_t address, void *buffer, size_t length)
{
	size_t done = 0;

	while (done < length) {
		if (address + done < address)
			return -EFAULT;
		ssize_t got =
			memory->read(memory->data, address + done, (char *)buffer + done, length - done);
		if (got < 0)
			return (int)got;
		if (got == 0 || (size_t)got > length - done)
			return -EFAULT;
		done += (size_t)got;
	}
	return 0;
}

int window_open(struct window *window, const struct reader *memory, vaddr_t start)
{
	ssize_t got = memory->read(memory->data, start, window->bytes, sizeof(window->bytes));

	window->memory = memory;
	window->start = start;
	window->length = 0;
	if (got <= 0 || (size_t)got > sizeof(window->bytes))
		return got < 0 ? (int)got : -EFAULT;
	window->length = (size_t)got;
	return 0;
}

int window_read(const struct window *window, vaddr_t address, void *buffer, size_t length)
{
	uint64_t offset = address - window->start;

	if (address >= window->start && offset <= window->length && length <= window->length - offset) {
		memcpy(buffer, window->bytes + offset, length);
		return 0;
	}
	return read_exactly(window->memory, address, buffer, length);
}

#define TAKE_HEADER(bits)                                \
	do {                                             \
		Elf##bits##_Ehdr header;                 \
		if (length < sizeof(header))             \
			return -ENOEXEC;                 \
		memcpy(&header, bytes, sizeof(header));  \
		*ret = (struct raw_header){              \
			.is_64 = (bits) == 64,           \
			.type = header.e_type,           \
			.machine = header.e_machine,     \
			.entry = header.e_entry,         \
			.phoff = header.e_phoff,         \
			.shoff = header.e_shoff,         \
			.phnum = header.e_phnum,         \
			.phentsize = header.e_phentsize, \
			.shnum = header.e_shnum,         \
			.shentsize = header.e_shentsize, \
			.shstrndx = header.e_shstrndx,   \
		};                                       \
		phdr_size = sizeof(Elf##bits##_Phdr);    \
		shdr_size = sizeof(Elf##bits##_Shdr);    \
	} while (0)

int raw_header(const unsigned char *bytes, size_t length, struct raw_header *ret)
{
	size_t phdr_size, shdr_size;

	if (length < EI_NIDENT || memcmp(bytes, ELFMAG, SELFMAG) != 0 || bytes[EI_DATA] != ELFDATA2LSB)
		return -ENOEXEC;
	if (bytes[EI_CLASS] == ELFCLASS64)
		TAKE_HEADER(64);
	else if (bytes[EI_CLASS] == ELFCLASS32)
		TAKE_HEADER(32);
	else
		return -ENOEXEC;
	if (ret->phnum > 0 && ret->phentsize != phdr_size)
		return -ENOEXEC;
	if (ret->shnum > 0 && ret->shentsize != shdr_size)
		ret->shnum = 0;
	return 0;
}

#define TAKE_PHDR(bits)                                 \
	do {                                            \
		Elf##bits##_Phdr header;                \
		memcpy(&header, bytes, sizeof(header)); \
		*ret = (struct raw_phdr){               \
			.type = header.p_type,          \
			.flags = header.p_flags,        \
			.offset = header.p_offset,      \
			.vaddr = header.p_vaddr,        \
			.filesz = header.p_filesz,      \
			.memsz = header.p_memsz,        \
			.align = header.p_align,        \
		};                                      \
	} while (0)

void raw_phdr(bool is_64, const unsigned char *bytes, struct raw_phdr *ret)
{
	if (is_64)
		TAKE_PHDR(64);
	else
		TAKE_PHDR(32);
}

#define TAKE_SHDR(bits)                                 \
	do {                                            \
		Elf##bits##_Shdr header;                \
		memcpy(&header, bytes, sizeof(header)); \
		*ret = (struct raw_shdr){               \
			.name = header.sh_name,         \
			.type = header.sh_type,         \
			.link = header.sh_link,         \
			.info = header.sh_info,         \
			.flags = header.sh_flags,       \
			.address = header.sh_addr,      \
			.offset = header.sh_offset,     \
			.size = header.sh_size,         \
			.align = header.sh_addralign,   \
			.entry_size = header.sh_entsize, \
		};                                      \
	} while (0)

void raw_shdr(bool is_64, const unsigned char *bytes, struct raw_shdr *ret)
{
	if (is_64)
		TAKE_SHDR(64);
	else
		TAKE_SHDR(32);
}

uint64_t raw_mix(uint64_t hash, const void *bytes, size_t length)
{
	const unsigned char *byte = bytes;

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ byte[i]) * UINT64_C(0x100000001b3);
	return hash;
}

bool raw_is_sorted(const void *base, size_t count, size_t size, int (*compare)(const void *, const void *))
{
	const char *one = base;

	for (size_t i = 1; i < count; i++, one += size)
		if (compare(one, one + size) > 0)
			return false;
	return true;
}

void raw_sort(void *base, size_t count, size_t size, int (*compare)(const void *, const void *))
{
	if (!raw_is_sorted(base, count, size, compare))
		qsort(base, count, size, compare);
}

size_t raw_phdr_size(bool is_64)
{
	return is_64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
}

bool raw_build_id(const unsigned char *notes, size_t length, uint64_t align, struct elf_build_id *ret)
{
	uint64_t mask = align == 8 ? 7 : 3;
	uint64_t at = 0;

	while (at <= length && length - at >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr note;
		memcpy(&note, notes + at, sizeof(note));
		/* 64-bit sums of 32-bit sizes cannot wrap. */
		uint64_t name = at + sizeof(note);
		uint64_t description = (name + note.n_namesz + mask) & ~mask;
		if (description > length || note.n_descsz > length - description)
			return false;
		if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == sizeof(ELF_NOTE_GNU) &&
		    memcmp(notes + name, ELF_NOTE_GNU, sizeof(ELF_NOTE_GNU)) == 0 && note.n_descsz > 0) {
			ret->size = note.n_descsz < MAX_BUILD_ID ? note.n_descsz : MAX_BUILD_ID;
			memcpy(ret->bytes, notes + description, ret->size);
			return true;
		}
		at = (description + note.n_descsz + mask) & ~mask;
	}
	return false;
}
