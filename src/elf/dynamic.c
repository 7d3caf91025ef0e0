/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * elf/dynamic.c - the dynamic section of a mapped image: its values, symbols and relocations
 *
 * All tables are in the victim's memory and may be wrong in any way: each walk is bounded, each index is
 * 64-bit arithmetic, and the reader is what refuses an address.
 */
#include "elf/raw.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#ifndef DT_RELRSZ
#define DT_RELRSZ 35
#define DT_RELR 36
#endif

/* Calls visit for each entry until it returns false. */
static int each_entry(const struct reader *memory, const struct elf_image *image,
		      bool (*visit)(const Elf64_Dyn *entry, void *data), void *data)
{
	enum { BATCH = 64 };
	Elf64_Dyn batch[BATCH];

	if (image->dynamic == 0 || !image->is_64)
		return -ENOENT;
	for (size_t done = 0; done < MAX_DYNAMIC_ENTRIES; done += BATCH) {
		vaddr_t at = image->dynamic + done * sizeof(batch[0]);
		ssize_t got = memory->read(memory->data, at, batch, sizeof(batch));
		if (got < 0)
			return (int)got;
		size_t entries = (size_t)got / sizeof(batch[0]);
		if (entries == 0)
			return -EFAULT;
		for (size_t i = 0; i < entries && i < BATCH; i++)
			if (batch[i].d_tag == DT_NULL || !visit(&batch[i], data))
				return 0;
		if (entries < BATCH)
			return -EFAULT;
	}
	return -ENOENT;
}

struct wanted {
	int64_t tag;
	uint64_t value;
	bool found;
};

static bool take_wanted(const Elf64_Dyn *entry, void *data)
{
	struct wanted *wanted = data;

	if (entry->d_tag != wanted->tag)
		return true;
	wanted->value = entry->d_un.d_val;
	wanted->found = true;
	return false;
}

int elf_dynamic_value(const struct reader *memory, const struct elf_image *image, int64_t tag, uint64_t *ret)
{
	struct wanted wanted = { .tag = tag };
	int error = each_entry(memory, image, take_wanted, &wanted);

	if (error == 0 && wanted.found)
		*ret = wanted.value;
	if (error == 0 && !wanted.found)
		error = -ENOENT;
	return error;
}

static bool take_tables(const Elf64_Dyn *entry, void *data)
{
	struct raw_dynamic *dynamic = data;

	switch (entry->d_tag) {
	case DT_SYMTAB:
		dynamic->symbols = entry->d_un.d_ptr;
		break;
	case DT_STRTAB:
		dynamic->strings = entry->d_un.d_ptr;
		break;
	case DT_GNU_HASH:
		dynamic->gnu_hash = entry->d_un.d_ptr;
		break;
	case DT_HASH:
		dynamic->hash = entry->d_un.d_ptr;
		break;
	case DT_RELA:
		dynamic->rela = entry->d_un.d_ptr;
		break;
	case DT_RELASZ:
		dynamic->rela_size = entry->d_un.d_val;
		break;
	case DT_RELR:
		dynamic->relr = entry->d_un.d_ptr;
		break;
	case DT_RELRSZ:
		dynamic->relr_size = entry->d_un.d_val;
		break;
	case DT_STRSZ:
		dynamic->strings_size = entry->d_un.d_val;
		break;
	case DT_JMPREL:
		dynamic->jump_rela = entry->d_un.d_ptr;
		break;
	case DT_PLTRELSZ:
		dynamic->jump_rela_size = entry->d_un.d_val;
		break;
	case DT_RELACOUNT:
		dynamic->relative_count = entry->d_un.d_val;
		break;
	case DT_SONAME:
		dynamic->soname = entry->d_un.d_val;
		break;
	case DT_VERSYM:
		dynamic->versions = entry->d_un.d_ptr;
		break;
	default:
		break;
	}
	return true;
}

/*
 * glibc before 2.35 adds the bias to some of these entries in place, once it runs: a value that lies in the
 * image as it is has been relocated already.
 */
static vaddr_t relocated(const struct elf_image *image, vaddr_t value)
{
	if (value == 0 || (value >= image->low && value < image->high))
		return value;
	return image->bias + value;
}

int raw_dynamic(const struct reader *memory, const struct elf_image *image, struct raw_dynamic *ret)
{
	*ret = (struct raw_dynamic){ 0 };
	int error = each_entry(memory, image, take_tables, ret);

	ret->symbols = relocated(image, ret->symbols);
	ret->strings = relocated(image, ret->strings);
	ret->gnu_hash = relocated(image, ret->gnu_hash);
	ret->hash = relocated(image, ret->hash);
	ret->rela = relocated(image, ret->rela);
	ret->relr = relocated(image, ret->relr);
	ret->jump_rela = relocated(image, ret->jump_rela);
	ret->versions = relocated(image, ret->versions);
	return error;
}

/* Is symbol number index the defined symbol of that name? 1 (value in ret), 0 or a negative errno. */
static int is_symbol(const struct reader *memory, const struct elf_image *image,
		     const struct raw_dynamic *dynamic, uint64_t index, const char *name, vaddr_t *ret)
{
	enum { LONGEST = 256 };
	char text[LONGEST];
	size_t length = strlen(name) + 1;
	Elf64_Sym symbol;

	if (length > LONGEST)
		return 0;
	int error = read_exactly(memory, dynamic->symbols + index * sizeof(symbol), &symbol, sizeof(symbol));
	if (error != 0)
		return error;
	if (symbol.st_shndx == SHN_UNDEF || symbol.st_value == 0)
		return 0;
	error = read_exactly(memory, dynamic->strings + symbol.st_name, text, length);
	if (error != 0 || memcmp(text, name, length) != 0)
		return error == -EFAULT ? 0 : error;
	*ret = image->bias + symbol.st_value;
	return 1;
}

static int by_gnu_hash(const struct reader *memory, const struct elf_image *image,
		       const struct raw_dynamic *dynamic, const char *name, vaddr_t *ret)
{
	uint32_t header[4]; /* buckets, index of the first symbol, words of the bloom filter, its shift */
	uint32_t wanted = 5381;

	for (const char *c = name; *c != '\0'; c++)
		wanted = wanted * 33 + (unsigned char)*c;
	int error = read_exactly(memory, dynamic->gnu_hash, header, sizeof(header));
	if (error != 0)
		return error;
	if (header[0] == 0 || header[0] > MAX_DYNAMIC_SYMBOLS || header[2] > MAX_DYNAMIC_SYMBOLS)
		return -ENOEXEC;

	vaddr_t buckets = dynamic->gnu_hash + sizeof(header) + (uint64_t)header[2] * 8;
	vaddr_t chains = buckets + (uint64_t)header[0] * 4;
	uint32_t index;
	error = read_exactly(memory, buckets + (uint64_t)(wanted % header[0]) * 4, &index, sizeof(index));
	if (error != 0 || index < header[1])
		return error;
	for (uint32_t steps = 0; steps < MAX_DYNAMIC_SYMBOLS; steps++, index++) {
		uint32_t hash;
		error = read_exactly(memory, chains + (uint64_t)(index - header[1]) * 4, &hash, sizeof(hash));
		if (error != 0)
			return error;
		if ((hash | 1) == (wanted | 1)) {
			int found = is_symbol(memory, image, dynamic, index, name, ret);
			if (found != 0)
				return found;
		}
		if (hash & 1)
			return 0;
	}
	return 0;
}

static int by_hash(const struct reader *memory, const struct elf_image *image, const struct raw_dynamic *dynamic,
		   const char *name, vaddr_t *ret)
{
	uint32_t header[2]; /* buckets, chains */
	uint32_t wanted = 0;

	for (const char *c = name; *c != '\0'; c++) {
		wanted = (wanted << 4) + (unsigned char)*c;
		uint32_t top = wanted & 0xf0000000;
		wanted ^= top >> 24;
		wanted &= ~top;
	}
	int error = read_exactly(memory, dynamic->hash, header, sizeof(header));
	if (error != 0)
		return error;
	if (header[0] == 0 || header[0] > MAX_DYNAMIC_SYMBOLS || header[1] > MAX_DYNAMIC_SYMBOLS)
		return -ENOEXEC;

	vaddr_t buckets = dynamic->hash + sizeof(header);
	vaddr_t chains = buckets + (uint64_t)header[0] * 4;
	vaddr_t next = buckets + (uint64_t)(wanted % header[0]) * 4;
	/* A chain longer than the table is a ring. */
	for (uint32_t steps = 0; steps <= header[1]; steps++) {
		uint32_t index;
		error = read_exactly(memory, next, &index, sizeof(index));
		if (error != 0 || index == 0 || index >= header[1])
			return error;
		int found = is_symbol(memory, image, dynamic, index, name, ret);
		if (found != 0)
			return found;
		next = chains + (uint64_t)index * 4;
	}
	return 0;
}

int elf_dynamic_symbols(const struct reader *memory, const struct elf_image *image, const char *const *names,
			size_t count, vaddr_t *ret)
{
	struct raw_dynamic dynamic;
	int found = 0;

	for (size_t i = 0; i < count; i++)
		ret[i] = 0;
	int error = raw_dynamic(memory, image, &dynamic);
	if (error == -ENOENT)
		return 0;
	if (error != 0)
		return error;
	if (dynamic.symbols == 0 || dynamic.strings == 0)
		return 0;
	for (size_t i = 0; i < count; i++) {
		int result = 0;
		if (dynamic.gnu_hash != 0)
			result = by_gnu_hash(memory, image, &dynamic, names[i], &ret[i]);
		else if (dynamic.hash != 0)
			result = by_hash(memory, image, &dynamic, names[i], &ret[i]);
		if (result < 0)
			return result;
		found += result;
	}
	return found;
}

/* What one RELA entry for the pointer amounts to. 0 or -ENOENT, -errno. */
static int relocation_value(const struct reader *memory, const struct elf_image *image,
			    const struct raw_dynamic *dynamic, const Elf64_Rela *rela, vaddr_t *ret)
{
	Elf64_Sym symbol;

	switch (ELF64_R_TYPE(rela->r_info)) {
	case R_X86_64_RELATIVE:
		*ret = image->bias + (uint64_t)rela->r_addend;
		return 0;
	case R_X86_64_GLOB_DAT:
	case R_X86_64_64:
		break;
	default:
		return -ENOENT;
	}
	int error = read_exactly(memory, dynamic->symbols + ELF64_R_SYM(rela->r_info) * sizeof(symbol),
				 &symbol, sizeof(symbol));
	if (error != 0)
		return error;
	/* Of an undefined one only the linker will know. */
	if (symbol.st_shndx == SHN_UNDEF || ELF64_ST_TYPE(symbol.st_info) == STT_GNU_IFUNC)
		return -ENOENT;
	*ret = image->bias + symbol.st_value +
	       (ELF64_R_TYPE(rela->r_info) == R_X86_64_64 ? (uint64_t)rela->r_addend : 0);
	return 0;
}

static int in_rela(const struct reader *memory, const struct elf_image *image, const struct raw_dynamic *dynamic,
		   vaddr_t pointer, vaddr_t *ret)
{
	enum { BATCH = 512 };
	uint64_t count = dynamic->rela_size / sizeof(Elf64_Rela);
	Elf64_Rela *batch;
	int result = -ENOENT;

	if (dynamic->rela == 0 || count > MAX_DYNAMIC_SYMBOLS)
		return -ENOENT;
	batch = malloc(BATCH * sizeof(*batch));
	if (batch == NULL)
		return -ENOMEM;
	for (uint64_t done = 0; done < count && result == -ENOENT; done += BATCH) {
		size_t part = count - done < BATCH ? (size_t)(count - done) : BATCH;
		int error = read_exactly(memory, dynamic->rela + done * sizeof(*batch), batch,
					 part * sizeof(*batch));
		if (error != 0) {
			result = error;
			break;
		}
		for (size_t i = 0; i < part && result == -ENOENT; i++)
			if (image->bias + batch[i].r_offset == pointer)
				result = relocation_value(memory, image, dynamic, &batch[i], ret);
	}
	free(batch);
	return result;
}

/*
 * RELR: an even word is an address to relocate; an odd one is a bitmap of the 63 words behind the last. The
 * addend stands in the word itself, so it can be told only before the linker has run.
 */
static int in_relr(const struct reader *memory, const struct elf_image *image, const struct raw_dynamic *dynamic,
		   vaddr_t pointer, vaddr_t *ret)
{
	uint64_t count = dynamic->relr_size / 8;
	vaddr_t next = 0;

	if (dynamic->relr == 0 || count > MAX_DYNAMIC_SYMBOLS)
		return -ENOENT;
	for (uint64_t i = 0; i < count; i++) {
		uint64_t word, addend;
		int error = read_exactly(memory, dynamic->relr + i * 8, &word, sizeof(word));
		if (error != 0)
			return error;
		bool here;
		if ((word & 1) == 0) {
			here = image->bias + word == pointer;
			next = image->bias + word + 8;
		} else {
			uint64_t bit = (pointer - next) / 8;
			here = pointer >= next && (pointer - next) % 8 == 0 && bit < 63 &&
			       (word >> (bit + 1) & 1);
			next += 63 * 8;
		}
		if (!here)
			continue;
		error = read_exactly(memory, pointer, &addend, sizeof(addend));
		if (error == 0)
			*ret = relocated(image, addend);
		return error;
	}
	return -ENOENT;
}

int elf_relocated_pointer(const struct reader *memory, const struct elf_image *image, vaddr_t pointer,
			  vaddr_t *ret)
{
	struct raw_dynamic dynamic;
	int error = raw_dynamic(memory, image, &dynamic);

	if (error == 0)
		error = in_rela(memory, image, &dynamic, pointer, ret);
	if (error == -ENOENT)
		error = in_relr(memory, image, &dynamic, pointer, ret);
	return error;
}
