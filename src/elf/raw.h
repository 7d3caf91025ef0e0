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
	uint32_t phnum, phentsize, shnum, shentsize, shstrndx;
};

struct raw_phdr {
	uint32_t type, flags;
	uint64_t offset, vaddr, filesz, memsz, align;
};

struct raw_shdr {
	uint32_t name, type, link, info;
	uint64_t flags, address, offset, size, align, entry_size;
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

/* The pointers and sizes of one dynamic section that are used here, bias added; 0: not there. */
struct raw_dynamic {
	vaddr_t symbols, strings, gnu_hash, hash, rela, relr, versions, jump_rela;
	uint64_t rela_size, relr_size, strings_size, jump_rela_size;
	uint64_t relative_count; /* of those of rela, the first ones */
	uint64_t soname;         /* among the strings */
};
/* 0, -ENOENT (no dynamic section, or a 32-bit one) or -errno. */
int raw_dynamic(const struct reader *memory, const struct elf_image *image, struct raw_dynamic *ret);

/* Name PLT entries after their symbols: elf_plt_entries(). 0 or -ENOMEM. */
struct elf_tables;
struct elf_plt_entry;
struct elf_plt_known;
struct elf_blob;
int raw_plt_names(const struct elf_tables *tables, const struct elf_plt_known *known, struct elf_plt_entry *entry,
		  size_t count, struct elf_blob *ret);
/* qsort(3), unless all is in order already, as what a linker writes mostly is. */
bool raw_is_sorted(const void *base, size_t count, size_t size, int (*compare)(const void *, const void *));
void raw_sort(void *base, size_t count, size_t size, int (*compare)(const void *, const void *));

/* FNV-1a: tells builds apart in a cache, where it is never the only witness. Start with RAW_MIX_START. */
#define RAW_MIX_START UINT64_C(0xcbf29ce484222325)
uint64_t raw_mix(uint64_t hash, const void *bytes, size_t length);

#endif
