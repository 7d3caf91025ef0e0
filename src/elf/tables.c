/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * elf/tables.c - the sections of a file
 */
#include "elf/tables.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "elf/raw.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* since 5.14 */
#endif

/* ---- readers -------------------------------------------------------------------------------------------- */

static ssize_t read_fd(void *data, vaddr_t address, void *buffer, size_t length)
{
	const int *fd = data;
	ssize_t got;

	if (address > INT64_MAX)
		return -EFAULT;
	/* A bare call: in the control thread the number is one of its private table, of which no sanitizer knows. */
	do {
		got = syscall(SYS_pread64, *fd, buffer, length, (off_t)address);
	} while (got < 0 && errno == EINTR);
	return got < 0 ? -errno : got;
}

struct reader elf_fd_reader(const int *fd)
{
	union {
		const int *from;
		void *to;
	} data = { .from = fd }; /* read_fd() changes nothing behind it */

	return (struct reader){ .read = read_fd, .data = data.to };
}

static ssize_t read_blob(void *data, vaddr_t address, void *buffer, size_t length)
{
	const struct elf_blob *blob = data;

	if (address >= blob->size)
		return -EFAULT;
	if (length > blob->size - address)
		length = (size_t)(blob->size - address);
	memcpy(buffer, blob->data + address, length);
	return (ssize_t)length;
}

struct reader elf_blob_reader(const struct elf_blob *blob)
{
	union {
		const struct elf_blob *from;
		void *to;
	} data = { .from = blob };

	return (struct reader){ .read = read_blob, .data = data.to };
}

/* ---- headers -------------------------------------------------------------------------------------------- */

static const uint64_t page_mask = 4095;

static void take_note(struct elf_tables *tables, uint64_t offset, uint64_t size, uint64_t align)
{
	size_t length = size < MAX_NOTE_BYTES ? (size_t)size : MAX_NOTE_BYTES;
	unsigned char *notes = tables->build_id.size || offset >= tables->length ? NULL : malloc(length + 1);

	/* A note that cannot be read leaves a file without a build-id, not an error. */
	if (notes && !read_exactly(tables->bytes, offset, notes, length))
		raw_build_id(notes, length, align, &tables->build_id);
	free(notes);
}

static int take_phdrs(struct elf_tables *tables, const struct raw_header *header, const struct window *window)
{
	if (header->phnum > MAX_ELF_PHDRS)
		return -ENOEXEC;
	for (uint32_t n = 0; n < header->phnum; n++) {
		unsigned char bytes[RAW_PHDR_MAX];
		struct raw_phdr phdr;
		int error = window_read(window, header->phoff + (uint64_t)n * header->phentsize, bytes,
					header->phentsize);
		if (error)
			return error == -EFAULT ? -ENOEXEC : error;
		tables->fingerprint = raw_mix(tables->fingerprint, bytes, header->phentsize);
		raw_phdr(header->is_64, bytes, &phdr);
		if (phdr.type == PT_NOTE)
			take_note(tables, phdr.offset, phdr.filesz, phdr.align);
		if (phdr.type == PT_LOAD && !tables->loaded)
			tables->first_address = phdr.vaddr & ~page_mask;
		tables->loaded = tables->loaded || phdr.type == PT_LOAD;
	}
	return 0;
}

/* More sections than the header has room for: the first section says how many, and which one has the names. */
static void take_extended(const struct elf_tables *tables, struct raw_header *header)
{
	unsigned char bytes[RAW_SHDR_MAX];
	struct raw_shdr shdr;

	if (!header->shoff || (header->shnum && header->shstrndx != SHN_XINDEX) ||
	    header->shentsize != (header->is_64 ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr)) ||
	    read_exactly(tables->bytes, header->shoff, bytes, header->shentsize))
		return;
	raw_shdr(header->is_64, bytes, &shdr);
	if (!header->shnum && shdr.size <= MAX_ELF_SECTIONS)
		header->shnum = (uint32_t)shdr.size;
	if (header->shstrndx == SHN_XINDEX)
		header->shstrndx = shdr.link;
}

/* A file whose section headers are cut off is one without sections. */
static int take_sections(struct elf_tables *tables, struct raw_header *header)
{
	unsigned char *bytes;
	size_t size;

	take_extended(tables, header);
	size = (size_t)header->shnum * header->shentsize;
	if (!size || header->shnum > MAX_ELF_SECTIONS || header->shoff > tables->length ||
	    size > tables->length - header->shoff)
		return 0;
	bytes = malloc(size);
	tables->section = calloc(header->shnum, sizeof(*tables->section));
	if (!bytes || !tables->section) {
		free(bytes);
		return -ENOMEM;
	}
	if (!read_exactly(tables->bytes, header->shoff, bytes, size)) {
		tables->count = header->shnum;
		tables->fingerprint = raw_mix(tables->fingerprint, bytes, size);
	}
	for (uint32_t n = 0; n < tables->count; n++) {
		struct raw_shdr raw;
		raw_shdr(header->is_64, bytes + (size_t)n * header->shentsize, &raw);
		tables->section[n] = (struct elf_section){
			.name = raw.name,   .type = raw.type,       .link = raw.link,
			.info = raw.info,   .flags = raw.flags,     .address = raw.address,
			.offset = raw.offset, .size = raw.size,     .align = raw.align,
			.entry_size = raw.entry_size,
		};
		/* Separate debug files keep the note as a section where the segment has no bytes. */
		if (raw.type == SHT_NOTE)
			take_note(tables, raw.offset, raw.size, raw.align);
	}
	free(bytes);
	return 0;
}

static int take_names(struct elf_tables *tables, uint32_t index)
{
	const struct elf_section *section;
	struct elf_blob blob;
	int error;

	if (index >= tables->count)
		return 0;
	section = &tables->section[index];
	if (section->type != SHT_STRTAB || section->size > MAX_SECTION_NAMES)
		return 0;
	error = elf_section_read(tables, section, &blob);
	if (error)
		return error == -ENOMEM ? error : 0;
	tables->names = (char *)blob.data;
	tables->names_length = blob.size;
	return 0;
}

int elf_tables_open(struct elf_tables *tables, const struct reader *bytes, uint64_t length)
{
	struct raw_header header;
	struct window window;
	int error = window_open(&window, bytes, 0);

	*tables = (struct elf_tables){ .bytes = bytes, .length = length };
	if (!error)
		error = raw_header(window.bytes, window.length, &header);
	if (error)
		return error == -EFAULT ? -ENOEXEC : error;
	if (header.type != ET_EXEC && header.type != ET_DYN)
		return -ENOEXEC;
	tables->is_64 = header.is_64;
	tables->machine = header.machine;
	tables->fingerprint = raw_mix(RAW_MIX_START, window.bytes,
				      header.is_64 ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr));
	error = take_phdrs(tables, &header, &window);
	if (!error)
		error = take_sections(tables, &header);
	if (!error)
		error = take_names(tables, header.shstrndx);
	if (error)
		elf_tables_close(tables);
	return error;
}

void elf_tables_close(struct elf_tables *tables)
{
	free(tables->section);
	free(tables->names);
	tables->section = NULL;
	tables->names = NULL;
	tables->count = 0;
}

/* ---- one section ---------------------------------------------------------------------------------------- */

const struct elf_section *elf_section_of_type(const struct elf_tables *tables, uint32_t type)
{
	for (uint32_t n = 0; n < tables->count; n++)
		if (tables->section[n].type == type && tables->section[n].size)
			return &tables->section[n];
	return NULL;
}

const struct elf_section *elf_section_named(const struct elf_tables *tables, const char *name)
{
	for (uint32_t n = 0; n < tables->count && tables->names; n++)
		if (tables->section[n].name < tables->names_length &&
		    !strcmp(tables->names + tables->section[n].name, name))
			return &tables->section[n];
	return NULL;
}

const struct elf_section *elf_section_linked(const struct elf_tables *tables, const struct elf_section *section)
{
	return section->link && section->link < tables->count ? &tables->section[section->link] : NULL;
}

/* The header before a compressed section's bytes: 0 or a negative errno. */
static int unpack(const struct elf_tables *tables, struct elf_blob *blob)
{
	size_t header = tables->is_64 ? sizeof(Elf64_Chdr) : sizeof(Elf32_Chdr);
	unsigned char *packed = blob->data;
	uint32_t type;
	uint64_t size;
	int error = -ENOEXEC;

	if (blob->size < header)
		goto out;
	memcpy(&type, packed, sizeof(type)); /* ch_type is the first word of both classes */
	if (tables->is_64) {
		Elf64_Chdr chdr;
		memcpy(&chdr, packed, sizeof(chdr));
		size = chdr.ch_size;
	} else {
		Elf32_Chdr chdr;
		memcpy(&chdr, packed, sizeof(chdr));
		size = chdr.ch_size;
	}
	error = -ENOTSUP;
	if (type == ELFCOMPRESS_ZLIB)
		error = elf_unpack_zlib(packed + header, blob->size - header, size, blob);
	else if (type == ELF_COMPRESS_ZSTD)
		error = elf_unpack_zstd(packed + header, blob->size - header, size, blob);
out:
	free(packed);
	return error;
}

void *elf_allocate(size_t size)
{
	enum { LARGE = 1 << 15, PAGE = 4096 };
	char *memory = malloc(size);
	uintptr_t start = ((uintptr_t)memory + PAGE - 1) & ~(uintptr_t)(PAGE - 1);

	/* An older kernel refuses, and the pages come one by one. */
	if (memory && size >= LARGE)
		madvise(memory + (start - (uintptr_t)memory), (size - PAGE) & ~(size_t)(PAGE - 1), MADV_POPULATE_WRITE);
	return memory;
}

int elf_section_read_room(const struct elf_tables *tables, const struct elf_section *section, size_t room,
			  struct elf_blob *ret)
{
	struct elf_blob blob;
	int error;

	if (section->type == SHT_NOBITS || section->type == SHT_NULL || !section->size)
		return -ENOENT;
	if (section->size > MAX_SECTION_BYTES)
		return -EFBIG;
	if (section->offset > tables->length || section->size > tables->length - section->offset)
		return -ENOEXEC;
	blob.size = (size_t)section->size;
	blob.room = room;
	blob.data = elf_allocate(blob.size + 1 + room);
	if (!blob.data)
		return -ENOMEM;
	blob.data[blob.size] = 0;
	error = read_exactly(tables->bytes, section->offset, blob.data, blob.size);
	if (error) {
		free(blob.data);
		return error == -EFAULT ? -ENOEXEC : error;
	}
	if (section->flags & SHF_COMPRESSED)
		error = unpack(tables, &blob);
	if (!error)
		*ret = blob;
	return error;
}

int elf_section_read(const struct elf_tables *tables, const struct elf_section *section, struct elf_blob *ret)
{
	return elf_section_read_room(tables, section, 0, ret);
}
