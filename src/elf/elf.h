/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * elf/elf.h - ELF from memory or a file, bounded everywhere, so that it can be fuzzed
 *
 * "image" is an ELF object as mapped in a victim, read through a struct reader; "file" is one on disk, opened
 * by the caller. Threads: any; no state.
 */
#ifndef ELF_ELF_H
#define ELF_ELF_H

#include "base/limits.h"
#include "base/reader.h"

struct elf_build_id {
	uint32_t size; /* 0: none */
	uint8_t bytes[MAX_BUILD_ID];
};

/* What the program headers of a mapped image say. Addresses are of the victim: bias added. */
struct elf_image {
	vaddr_t bias;        /* what is added to the addresses in the file */
	vaddr_t low, high;   /* lowest and one past the highest mapped address, page-aligned */
	vaddr_t dynamic;     /* PT_DYNAMIC, 0 when there is none */
	vaddr_t interpreter; /* the string of PT_INTERP, 0: static */
	vaddr_t entry;       /* of the ELF header, when that is mapped; else 0 */
	bool is_64, is_x86;
	struct elf_build_id build_id;
	uint64_t fingerprint; /* of program headers and build-id: a key of caches, with the build-id */
};
/* From the address of the ELF header (base of the first mapping). 0, -ENOEXEC, -EFAULT, -ESRCH. */
int elf_image_at(const struct reader *memory, vaddr_t header, struct elf_image *ret);
/* From the program headers (AT_PHDR, AT_PHNUM). */
int elf_image_by_phdrs(const struct reader *memory, vaddr_t phdrs, uint32_t count, struct elf_image *ret);

/* Addresses in the victim of defined dynamic symbols; missing ones stay 0. How many were found, or -errno. */
int elf_dynamic_symbols(const struct reader *memory, const struct elf_image *image, const char *const *names,
			size_t count, vaddr_t *ret);
/*
 * What the linker will write, or has written, into a pointer of an image that it relocates: from its
 * relocations (RELATIVE, GLOB_DAT and 64 with a symbol that this image defines, RELR). 0 or -ENOENT, -errno.
 */
int elf_relocated_pointer(const struct reader *memory, const struct elf_image *image, vaddr_t pointer,
			  vaddr_t *ret);
/*
 * The slots of a relocated image that hold the address of a function between low and high, with the symbol that they are
 * for (JUMP_SLOT, GLOB_DAT) or the IFUNC resolver (IRELATIVE). Until visit answers other than 0, which is returned.
 * budget: so many relocations are looked at yet, of all images that it is given for.
 */
enum { ELF_SLOT_NAME = 1024 };
struct elf_slot {
	const char *name; /* lives during the call; NULL: by its resolver */
	vaddr_t resolver, value;
};
typedef int elf_slot_fn(const struct elf_slot *slot, void *data);
int elf_each_slot(const struct reader *memory, const struct elf_image *image, vaddr_t low, vaddr_t high,
		  uint64_t *budget, elf_slot_fn *visit, void *data);
/* DT_SONAME. 0, -ENOENT, -errno. */
int elf_soname(const struct reader *memory, const struct elf_image *image, char name[ELF_SLOT_NAME]);
/* Value of one entry of the dynamic section (DT_DEBUG, ...), as it stands there. 0, -ENOENT or -errno. */
int elf_dynamic_value(const struct reader *memory, const struct elf_image *image, int64_t tag, uint64_t *ret);

/*
 * A file as exec would map it, to be looked at before it is: addresses are those of its program headers, moved
 * by bias. What is not in the file is 0. bytes reads the file, an address is an offset in it.
 */
enum { ELF_FILE_PARTS = 16, ELF_FILE_NAME = 256 };
struct elf_file {
	const struct reader *bytes;
	vaddr_t bias, low, high;
	vaddr_t phdrs, entry;
	uint32_t phdr_count;
	char interpreter[ELF_FILE_NAME]; /* of PT_INTERP; "": static */
	struct {
		vaddr_t start, end, file_end;
		uint64_t offset;
	} part[ELF_FILE_PARTS];
	unsigned parts;
};
/* bias: used where the file can be moved; one that can not has none. 0, -ENOEXEC or negative errno. */
int elf_file_map(struct elf_file *file, const struct reader *bytes, vaddr_t bias);
/* As a struct reader's read(): -EFAULT where nothing would be mapped. */
ssize_t elf_file_read(const struct elf_file *file, vaddr_t address, void *buffer, size_t length);

/* Build-id of a file. 0 (size may be 0), -ENOEXEC or negative errno. */
int elf_file_build_id(int fd, struct elf_build_id *ret);

#endif
