/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * elf/file.c - ELF files on disk
 */
#include "elf/raw.h"
#include "elf/tables.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* True when a build-id was found there. */
static bool build_id_in(const struct reader *file, uint64_t offset, uint64_t size, uint64_t align,
			struct elf_build_id *ret)
{
	size_t length = size < MAX_NOTE_BYTES ? (size_t)size : MAX_NOTE_BYTES;
	unsigned char *notes = malloc(length + 1);
	bool found = notes != NULL && read_exactly(file, offset, notes, length) == 0 &&
		     raw_build_id(notes, length, align, ret);

	free(notes);
	return found;
}

static bool in_segments(const struct reader *file, const struct raw_header *header, struct elf_build_id *ret)
{
	for (uint32_t n = 0; n < header->phnum && n < MAX_ELF_PHDRS; n++) {
		unsigned char bytes[RAW_PHDR_MAX];
		struct raw_phdr phdr;
		if (read_exactly(file, header->phoff + (uint64_t)n * header->phentsize, bytes,
				 header->phentsize) != 0)
			return false;
		raw_phdr(header->is_64, bytes, &phdr);
		if (phdr.type == PT_NOTE && build_id_in(file, phdr.offset, phdr.filesz, phdr.align, ret))
			return true;
	}
	return false;
}

/* Separate debug files keep the note as a section where the segment has no bytes. */
static bool in_sections(const struct reader *file, const struct raw_header *header, struct elf_build_id *ret)
{
	for (uint32_t n = 0; n < header->shnum; n++) {
		unsigned char bytes[RAW_SHDR_MAX];
		struct raw_shdr shdr;
		if (read_exactly(file, header->shoff + (uint64_t)n * header->shentsize, bytes,
				 header->shentsize) != 0)
			return false;
		raw_shdr(header->is_64, bytes, &shdr);
		if (shdr.type == SHT_NOTE && build_id_in(file, shdr.offset, shdr.size, shdr.align, ret))
			return true;
	}
	return false;
}

int elf_file_build_id(int fd, struct elf_build_id *ret)
{
	struct reader file = elf_fd_reader(&fd);
	struct elf_build_id id = { 0 };
	struct raw_header header;
	struct window window;
	int error = window_open(&window, &file, 0);

	if (error == -EFAULT) /* an empty file */
		return -ENOEXEC;
	if (error == 0)
		error = raw_header(window.bytes, window.length, &header);
	if (error != 0)
		return error;
	if (!in_segments(&file, &header, &id))
		in_sections(&file, &header, &id);
	*ret = id;
	return 0;
}

/* ---- as it would be mapped ------------------------------------------------------------------ */

static const uint64_t page_mask = 4095;

/* False: more parts than are looked at, or one that no linker makes. */
static bool add_part(struct elf_file *file, const struct raw_phdr *phdr)
{
	uint64_t head = phdr->vaddr & page_mask;

	if (file->parts == ELF_FILE_PARTS || phdr->vaddr + phdr->memsz < phdr->vaddr ||
	    phdr->vaddr + phdr->memsz > UINT64_MAX / 2 || phdr->filesz > phdr->memsz || phdr->offset < head ||
	    phdr->offset > INT64_MAX / 2)
		return false;
	file->part[file->parts].start = file->bias + phdr->vaddr - head;
	file->part[file->parts].end = (file->bias + phdr->vaddr + phdr->memsz + page_mask) & ~page_mask;
	/* A page of a file is mapped whole; behind the bytes of a part with more memory it is cleared. */
	file->part[file->parts].file_end = phdr->memsz == phdr->filesz
						   ? file->part[file->parts].end
						   : file->bias + phdr->vaddr + phdr->filesz;
	file->part[file->parts].offset = phdr->offset - head;
	if (!file->parts)
		file->low = file->part[0].start;
	file->high = file->part[file->parts].end;
	file->parts++;
	return true;
}

static int take_part(struct elf_file *file, const struct raw_header *header, const struct raw_phdr *phdr)
{
	switch (phdr->type) {
	case PT_LOAD:
		/* Where exec says that the program headers are: in the part that has them. */
		if (header->phoff >= phdr->offset && header->phoff - phdr->offset < phdr->filesz)
			file->phdrs = file->bias + phdr->vaddr + (header->phoff - phdr->offset);
		return add_part(file, phdr) ? 0 : -ENOEXEC;
	case PT_INTERP:
		if (phdr->filesz == 0 || phdr->filesz > sizeof(file->interpreter) ||
		    read_exactly(file->bytes, phdr->offset, file->interpreter, (size_t)phdr->filesz) != 0 ||
		    file->interpreter[phdr->filesz - 1] != '\0')
			return -ENOEXEC;
		return 0;
	default:
		return 0;
	}
}

int elf_file_map(struct elf_file *file, const struct reader *bytes, vaddr_t bias)
{
	struct raw_header header;
	struct window window;
	int error = window_open(&window, bytes, 0);

	if (error == 0)
		error = raw_header(window.bytes, window.length, &header);
	if (error != 0)
		return error == -EFAULT ? -ENOEXEC : error;
	if (!header.is_64 || header.machine != EM_X86_64 || header.phnum == 0 || header.phnum > MAX_ELF_PHDRS ||
	    (header.type != ET_EXEC && header.type != ET_DYN))
		return -ENOEXEC;
	*file = (struct elf_file){ .bytes = bytes, .bias = header.type == ET_DYN ? bias : 0, .phdr_count = header.phnum };
	file->entry = file->bias + header.entry;
	for (uint32_t n = 0; n < header.phnum && error == 0; n++) {
		unsigned char raw[RAW_PHDR_MAX];
		struct raw_phdr phdr;
		error = window_read(&window, header.phoff + (uint64_t)n * header.phentsize, raw, header.phentsize);
		if (error != 0)
			break;
		raw_phdr(true, raw, &phdr);
		error = take_part(file, &header, &phdr);
	}
	if (error == 0 && (file->parts == 0 || file->phdrs == 0))
		error = -ENOEXEC;
	return error == -EFAULT ? -ENOEXEC : error;
}

ssize_t elf_file_read(const struct elf_file *file, vaddr_t address, void *buffer, size_t length)
{
	for (unsigned i = 0; i < file->parts; i++) {
		vaddr_t start = file->part[i].start, end = file->part[i].end;
		if (address < start || address >= end)
			continue;
		if (length > end - address)
			length = (size_t)(end - address);
		size_t in_file = address >= file->part[i].file_end ? 0 : (size_t)(file->part[i].file_end - address);
		ssize_t got = 0;
		if (in_file > length)
			in_file = length;
		if (in_file)
			got = file->bytes->read(file->bytes->data, file->part[i].offset + (address - start),
						buffer, in_file);
		if (got < 0)
			return got;
		memset((char *)buffer + got, 0, length - (size_t)got);
		return (ssize_t)length;
	}
	return -EFAULT;
}
