/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * elf/raw.h - inside this room: the structures of both ELF classes, taken from bytes that may lie
 *
 * Nothing here trusts a field: numbers are taken as they stand, and whoever uses one as an address, a size or
 * a count bounds it first.
 */
#ifndef ELF_RAW_H
#define ELF_RAW_H

#include "elf/elf.h"

enum { RAW_HEADER_MAX = 64, RAW_PHDR_MAX = 56, RAW_SHDR_MAX = 64 };

struct raw_header {
	bool is_64;
	uint16_t type, machine;
	uint64_t entry, phoff, shoff;
	uint32_t phnum, phentsize, shnum, shentsize;
};

struct raw_phdr {
	uint32_t type, flags;
	uint64_t offset, vaddr, filesz, memsz, align;
};

struct raw_shdr {
	uint32_t type;
	uint64_t offset, size, align;
};

/* From the first bytes of a file or image. 0, or -ENOEXEC: no ELF, another byte order, odd table entries. */
int raw_header(const unsigned char *bytes, size_t length, struct raw_header *ret);
/* bytes hold header->phentsize resp. shentsize bytes. */
void raw_phdr(bool is_64, const unsigned char *bytes, struct raw_phdr *ret);
void raw_shdr(bool is_64, const unsigned char *bytes, struct raw_shdr *ret);
size_t raw_phdr_size(bool is_64);

/* The build-id among notes; true when there is one. align: of segment or section; all but 8 means 4. */
bool raw_build_id(const unsigned char *notes, size_t length, uint64_t align, struct elf_build_id *ret);

/* Read exactly length bytes. 0, -EFAULT (short), -ESRCH, other errno of the reader. */
int read_exactly(const struct reader *memory, vaddr_t address, void *buffer, size_t length);

/* Bytes read ahead: headers, program headers and notes usually lie together on the first page. */
struct window {
	const struct reader *memory;
	vaddr_t start;
	size_t length;
	unsigned char bytes[2048];
};
/* 0, or a negative errno when not a byte is there. */
int window_open(struct window *window, const struct reader *memory, vaddr_t start);
/* From the window where it has them, else from the memory. As read_exactly(). */
int window_read(const struct window *window, vaddr_t address, void *buffer, size_t length);

#endif
