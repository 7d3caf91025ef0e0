/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * elf/file.c - ELF files on disk
 */
#include "elf/raw.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* A file as a reader: addresses are offsets. */
static ssize_t read_file(void *data, vaddr_t address, void *buffer, size_t length)
{
	const int *fd = data;
	ssize_t got;

	if (address > INT64_MAX)
		return -EFAULT;
	do {
		got = pread(*fd, buffer, length, (off_t)address);
	} while (got < 0 && errno == EINTR);
	return got < 0 ? -errno : got;
}

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
	struct reader file = { .read = read_file, .data = &fd };
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
