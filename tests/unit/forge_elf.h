/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * forge_elf.h - ELF files of the test's making, section by section
 *
 *	struct forged elf;
 *	forge_begin(&elf);
 *	forge_section(&elf, ".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, 0x1000, NULL, 0x1000);
 *	struct forged_table table = { 0 };
 *	forge_symbol(&table, "main", 0x1000, 16, STB_GLOBAL, STT_FUNC, 1);
 *	forge_table(&elf, &table, SHT_SYMTAB);
 *	int fd = forge_end(&elf);                a memfd; everything else is freed
 */
#ifndef TEST_FORGE_ELF_H
#define TEST_FORGE_ELF_H

#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buffer.h"

enum { FORGED_SECTIONS = 64 };

struct forged {
	struct buffer bytes, names;
	Elf64_Shdr section[FORGED_SECTIONS];
	unsigned sections;
	unsigned phdrs;
	uint64_t base; /* address of its one segment; forge_begin(): 0 */
};

struct forged_table {
	struct buffer symbols, strings;
	unsigned locals; /* symbols before the first that is global */
	bool is_global;
};

static inline void forge_align(struct forged *elf)
{
	while (elf->bytes.length % 16)
		buffer_add(&elf->bytes, "", 1);
}

static inline void forge_begin(struct forged *elf)
{
	char header[sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr)] = { 0 };

	memset(elf, 0, sizeof(*elf));
	buffer_add(&elf->bytes, header, sizeof(header));
	buffer_add(&elf->names, "", 1);
	elf->sections = 1;
}

/* Its number. bytes NULL: so many zeros. */
static inline unsigned forge_section(struct forged *elf, const char *name, uint32_t type, uint64_t flags, uint64_t address,
				     const void *bytes, size_t size)
{
	Elf64_Shdr *section = &elf->section[elf->sections];

	forge_align(elf);
	*section = (Elf64_Shdr){ .sh_name = (uint32_t)elf->names.length, .sh_type = type, .sh_flags = flags,
				 .sh_addr = address, .sh_offset = elf->bytes.length, .sh_size = size, .sh_addralign = 1 };
	buffer_add_string(&elf->names, name);
	if (bytes)
		buffer_add(&elf->bytes, bytes, size);
	else if (type != SHT_NOBITS)
		for (size_t i = 0; i < size; i++)
			buffer_add(&elf->bytes, "", 1);
	return elf->sections++;
}

static inline void forge_symbol(struct forged_table *table, const char *name, uint64_t value, uint64_t size,
				unsigned binding, unsigned type, unsigned section)
{
	Elf64_Sym symbol = { 0 };

	if (!table->symbols.length) {
		buffer_add(&table->symbols, &symbol, sizeof(symbol));
		buffer_add(&table->strings, "", 1);
		table->locals = 1;
	}
	symbol = (Elf64_Sym){ .st_name = *name ? (uint32_t)table->strings.length : 0, .st_value = value, .st_size = size,
			      .st_info = (unsigned char)ELF64_ST_INFO(binding, type), .st_shndx = (uint16_t)section };
	buffer_add(&table->symbols, &symbol, sizeof(symbol));
	if (*name)
		buffer_add_string(&table->strings, name);
	table->is_global = table->is_global || binding != STB_LOCAL;
	table->locals += !table->is_global;
}

/* The table's section (its strings are in the next one); the table is freed. */
static inline unsigned forge_table(struct forged *elf, struct forged_table *table, uint32_t type)
{
	bool dynamic = type == SHT_DYNSYM;
	unsigned symbols = forge_section(elf, dynamic ? ".dynsym" : ".symtab", type, dynamic ? SHF_ALLOC : 0, 0,
					 table->symbols.data, table->symbols.length);
	unsigned strings = forge_section(elf, dynamic ? ".dynstr" : ".strtab", SHT_STRTAB, dynamic ? SHF_ALLOC : 0, 0,
					 table->strings.data, table->strings.length);

	elf->section[symbols].sh_link = strings;
	elf->section[symbols].sh_info = table->locals;
	elf->section[symbols].sh_entsize = sizeof(Elf64_Sym);
	buffer_free(&table->symbols);
	buffer_free(&table->strings);
	memset(table, 0, sizeof(*table));
	return symbols;
}

static inline void forge_build_id(struct forged *elf, const char *id, size_t size)
{
	struct {
		Elf64_Nhdr header;
		char name[4];
		char id[64];
	} note = { { 4, (Elf64_Word)size, NT_GNU_BUILD_ID }, "GNU", "" };

	memcpy(note.id, id, size);
	forge_section(elf, ".note.gnu.build-id", SHT_NOTE, SHF_ALLOC, 0, &note, sizeof(note.header) + 4 + size);
}

/* All its bytes; the forged file is freed. */
static inline struct buffer forge_bytes(struct forged *elf)
{
	struct buffer bytes;
	unsigned names = forge_section(elf, ".shstrtab", SHT_STRTAB, 0, 0, "", 1);

	elf->section[names].sh_offset = elf->bytes.length;
	elf->section[names].sh_size = elf->names.length;
	buffer_add(&elf->bytes, elf->names.data, elf->names.length);
	forge_align(elf);
	Elf64_Ehdr header = { .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
			      .e_type = ET_DYN, .e_machine = EM_X86_64, .e_version = EV_CURRENT,
			      .e_phoff = sizeof(header), .e_shoff = elf->bytes.length, .e_ehsize = sizeof(header),
			      .e_phentsize = sizeof(Elf64_Phdr), .e_phnum = 1, .e_shentsize = sizeof(Elf64_Shdr),
			      .e_shnum = (Elf64_Half)elf->sections, .e_shstrndx = (Elf64_Half)names };
	Elf64_Phdr phdr = { .p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_vaddr = elf->base, .p_filesz = elf->bytes.length,
			    .p_memsz = elf->bytes.length, .p_align = 4096 };
	buffer_add(&elf->bytes, elf->section, elf->sections * sizeof(elf->section[0]));
	memcpy(elf->bytes.data, &header, sizeof(header));
	memcpy(elf->bytes.data + sizeof(header), &phdr, sizeof(phdr));
	bytes = elf->bytes;
	buffer_free(&elf->names);
	return bytes;
}

static inline int forge_file(const void *bytes, size_t size)
{
	int fd = memfd_create("forged", MFD_CLOEXEC);

	if (fd >= 0 && write(fd, bytes, size) != (ssize_t)size) {
		close(fd);
		return -1;
	}
	return fd;
}

static inline int forge_end(struct forged *elf)
{
	struct buffer bytes = forge_bytes(elf);
	int fd = forge_file(bytes.data, bytes.length);

	buffer_free(&bytes);
	return fd;
}

#endif
