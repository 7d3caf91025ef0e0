/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * elf/slots.c - what the linker has put where an image keeps the addresses of functions
 *
 * The only places that tell which function an IFUNC has become: whoever calls it by name has a JUMP_SLOT or a
 * GLOB_DAT, and its own object has an IRELATIVE for calls that never leave it.
 */
#include "elf/raw.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct walk {
	const struct reader *memory;
	const struct elf_image *image;
	const struct raw_dynamic *dynamic;
	vaddr_t low, high;
	uint64_t *budget;
	elf_slot_fn *visit;
	void *data;
};

/* The name of a symbol; false: it has none that could be read. */
static bool name_of(const struct walk *walk, uint64_t number, char name[ELF_SLOT_NAME])
{
	const struct reader *memory = walk->memory;
	Elf64_Sym symbol;

	if (!number || number > MAX_DYNAMIC_SYMBOLS || !walk->dynamic->symbols ||
	    read_exactly(memory, walk->dynamic->symbols + number * sizeof(symbol), &symbol, sizeof(symbol)) ||
	    symbol.st_name >= walk->dynamic->strings_size)
		return false;
	ssize_t got =
		memory->read(memory->data, walk->dynamic->strings + symbol.st_name, name, ELF_SLOT_NAME);
	return got > 0 && memchr(name, '\0', (size_t)got) && *name;
}

static int look_at(const struct walk *walk, const Elf64_Rela *rela)
{
	uint64_t type = ELF64_R_TYPE(rela->r_info);
	char name[ELF_SLOT_NAME];
	struct elf_slot slot = { .name = NULL };

	if (type != R_X86_64_JUMP_SLOT && type != R_X86_64_GLOB_DAT && type != R_X86_64_IRELATIVE)
		return 0;
	if (read_exactly(walk->memory, walk->image->bias + rela->r_offset, &slot.value, sizeof(slot.value)) ||
	    slot.value < walk->low || slot.value >= walk->high)
		return 0;
	if (type == R_X86_64_IRELATIVE)
		slot.resolver = walk->image->bias + (uint64_t)rela->r_addend;
	else if (name_of(walk, ELF64_R_SYM(rela->r_info), name))
		slot.name = name;
	else
		return 0;
	return walk->visit(&slot, walk->data);
}

static int walk_table(const struct walk *walk, vaddr_t table, uint64_t size, uint64_t first)
{
	enum { BATCH = 512 };
	uint64_t count = size / sizeof(Elf64_Rela);
	Elf64_Rela *batch;
	int result = 0;

	if (!table || first >= count || count - first > *walk->budget)
		return 0;
	*walk->budget -= count - first;
	batch = malloc(BATCH * sizeof(*batch));

	for (uint64_t done = first; batch && done < count && result == 0; done += BATCH) {
		size_t part = count - done < BATCH ? (size_t)(count - done) : BATCH;

		if (read_exactly(walk->memory, table + done * sizeof(*batch), batch, part * sizeof(*batch)))
			break;
		for (size_t i = 0; i < part && result == 0; i++)
			result = look_at(walk, &batch[i]);
	}
	free(batch);
	return result;
}

int elf_each_slot(const struct reader *memory, const struct elf_image *image, vaddr_t low, vaddr_t high,
		  uint64_t *budget, elf_slot_fn *visit, void *data)
{
	struct raw_dynamic dynamic;
	struct walk walk = { memory, image, &dynamic, low, high, budget, visit, data };
	int result = raw_dynamic(memory, image, &dynamic);

	if (result == 0)
		result = walk_table(&walk, dynamic.jump_rela, dynamic.jump_rela_size, 0);
	/* Relative ones are first, by the hundred thousand. */
	if (result == 0)
		result = walk_table(&walk, dynamic.rela, dynamic.rela_size, dynamic.relative_count);
	return result;
}

int elf_soname(const struct reader *memory, const struct elf_image *image, char name[ELF_SLOT_NAME])
{
	struct raw_dynamic dynamic;
	int result = raw_dynamic(memory, image, &dynamic);

	if (result < 0)
		return result;
	if (!dynamic.strings || !dynamic.soname || dynamic.soname >= dynamic.strings_size)
		return -ENOENT;
	ssize_t got = memory->read(memory->data, dynamic.strings + dynamic.soname, name, ELF_SLOT_NAME);
	return got > 0 && memchr(name, '\0', (size_t)got) ? 0 : got < 0 ? (int)got : -ENOENT;
}
