/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * elf/image.c - an ELF object as it is mapped
 */
#include "elf/raw.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t page_mask = 4095;

/* A table of program headers in memory. */
struct phdrs {
	const struct window *window;
	vaddr_t address;
	uint32_t count;
	bool is_64;
};

static int get_phdr(const struct phdrs *phdrs, uint32_t n, struct raw_phdr *ret)
{
	unsigned char bytes[RAW_PHDR_MAX];
	size_t size = raw_phdr_size(phdrs->is_64);
	int error = window_read(phdrs->window, phdrs->address + n * size, bytes, size);

	if (error == 0)
		raw_phdr(phdrs->is_64, bytes, ret);
	return error;
}

static void take_notes(const struct phdrs *phdrs, const struct raw_phdr *note, struct elf_image *image)
{
	enum { USUAL = 1024 };
	unsigned char usual[USUAL];
	size_t length = note->memsz < MAX_NOTE_BYTES ? (size_t)note->memsz : MAX_NOTE_BYTES;
	unsigned char *bytes = length <= USUAL ? usual : malloc(length);

	/* A note that cannot be read leaves an object without a build-id, not an error. */
	if (bytes != NULL && window_read(phdrs->window, image->bias + note->vaddr, bytes, length) == 0)
		raw_build_id(bytes, length, note->align, &image->build_id);
	if (bytes != usual)
		free(bytes);
}

/* With the bias known: all that the program headers say. */
static int take_phdrs(const struct phdrs *phdrs, struct elf_image *image)
{
	vaddr_t low = UINT64_MAX, high = 0;

	image->fingerprint = RAW_MIX_START;
	for (uint32_t n = 0; n < phdrs->count; n++) {
		struct raw_phdr phdr;
		int error = get_phdr(phdrs, n, &phdr);
		if (error != 0)
			return error;
		image->fingerprint = raw_mix(image->fingerprint, &phdr, sizeof(phdr));
		switch (phdr.type) {
		case PT_LOAD:
			if (phdr.vaddr + phdr.memsz < phdr.vaddr ||
			    phdr.vaddr + phdr.memsz > UINT64_MAX - page_mask)
				return -ENOEXEC;
			if (phdr.vaddr < low)
				low = phdr.vaddr;
			if (phdr.vaddr + phdr.memsz > high)
				high = phdr.vaddr + phdr.memsz;
			break;
		case PT_DYNAMIC:
			image->dynamic = image->bias + phdr.vaddr;
			break;
		case PT_INTERP:
			image->interpreter = image->bias + phdr.vaddr;
			break;
		case PT_NOTE:
			if (image->build_id.size == 0)
				take_notes(phdrs, &phdr, image);
			break;
		default:
			break;
		}
	}
	if (high == 0)
		return -ENOEXEC;
	image->fingerprint = raw_mix(image->fingerprint, image->build_id.bytes, image->build_id.size);
	image->low = image->bias + (low & ~page_mask);
	image->high = image->bias + ((high + page_mask) & ~page_mask);
	return image->low < image->high ? 0 : -ENOEXEC;
}

/* The distance between where the byte at file offset 0 is mapped and where the file wants it. */
static int bias_by_header(const struct phdrs *phdrs, vaddr_t header, vaddr_t *ret)
{
	for (uint32_t n = 0; n < phdrs->count; n++) {
		struct raw_phdr phdr;
		int error = get_phdr(phdrs, n, &phdr);
		if (error != 0)
			return error;
		if (phdr.type == PT_LOAD && (phdr.offset & ~page_mask) == 0) {
			*ret = header - (phdr.vaddr - phdr.offset);
			return 0;
		}
	}
	return -ENOEXEC;
}

int elf_image_at(const struct reader *memory, vaddr_t header, struct elf_image *ret)
{
	struct elf_image image = { 0 };
	struct window window;
	struct raw_header raw;
	int error = window_open(&window, memory, header);

	if (error == 0)
		error = raw_header(window.bytes, window.length, &raw);
	if (error != 0)
		return error;
	if (raw.phnum == 0 || raw.phnum > MAX_ELF_PHDRS)
		return -ENOEXEC;

	struct phdrs phdrs = { &window, header + raw.phoff, raw.phnum, raw.is_64 };
	error = bias_by_header(&phdrs, header, &image.bias);
	if (error == 0)
		error = take_phdrs(&phdrs, &image);
	if (error != 0)
		return error;
	image.is_64 = raw.is_64;
	image.is_x86 = raw.machine == EM_X86_64 || raw.machine == EM_386;
	image.entry = image.bias + raw.entry;
	*ret = image;
	return 0;
}

/*
 * PT_PHDR names its own address. An executable without one (static, not position-independent) has the headers
 * right behind the ELF header.
 */
static int bias_by_phdrs(const struct phdrs *phdrs, const struct raw_header *header, vaddr_t *ret)
{
	for (uint32_t n = 0; n < phdrs->count; n++) {
		struct raw_phdr phdr;
		int error = get_phdr(phdrs, n, &phdr);
		if (error != 0)
			return error;
		if (phdr.type == PT_PHDR) {
			*ret = phdrs->address - phdr.vaddr;
			return 0;
		}
	}
	if (header != NULL)
		return bias_by_header(phdrs, phdrs->address - header->phoff, ret);
	*ret = 0;
	return 0;
}

/* The ELF header before the program headers, when they are where every linker puts them. */
static bool header_before(const struct window *window, vaddr_t phdrs, struct raw_header *ret)
{
	return raw_header(window->bytes, window->length, ret) == 0 && window->start + ret->phoff == phdrs;
}

int elf_image_by_phdrs(const struct reader *memory, vaddr_t address, uint32_t count, struct elf_image *ret)
{
	struct elf_image image = { 0 };
	struct window window;
	struct raw_header raw;

	if (count == 0 || count > MAX_ELF_PHDRS || address < sizeof(Elf64_Ehdr))
		return -ENOEXEC;
	int error = window_open(&window, memory, address - sizeof(Elf64_Ehdr));
	if (error == -EFAULT)
		error = window_open(&window, memory, address);
	if (error != 0)
		return error;

	bool has_header = header_before(&window, address, &raw);
	struct phdrs phdrs = { &window, address, count, has_header ? raw.is_64 : true };
	error = bias_by_phdrs(&phdrs, has_header ? &raw : NULL, &image.bias);
	if (error == 0)
		error = take_phdrs(&phdrs, &image);
	if (error != 0)
		return error;
	/* Without a header in sight: the tables had the size of 64-bit ones and made sense as such. */
	image.is_64 = phdrs.is_64;
	image.is_x86 = !has_header || raw.machine == EM_X86_64 || raw.machine == EM_386;
	image.entry = has_header ? image.bias + raw.entry : 0;
	*ret = image;
	return 0;
}
