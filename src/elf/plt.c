/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * elf/plt.c - which symbol each entry of a procedure linkage table jumps to (System V ABI, x86-64 and i386)
 *
 *	.plt, .plt.got      jmp *slot             ff 25 disp32          (f2 before it: bnd)
 *	.plt.sec            endbr; jmp *slot      f3 0f 1e f? ...
 *	.plt before it      endbr; push number; jmp to the first entry   f3 0f 1e f? 68 imm32
 *
 * The slot is told by its relocation: of .rela.plt, or for .plt.got one GLOB_DAT among those of .rela.dyn.
 */
#include "elf/tables.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "elf/raw.h"

enum {
	USUAL_ENTRY = 16,
	SHORT_ENTRY = 8,      /* .plt.got without endbr */
	RELOCATION_BATCH = 1024,
	SLOT_BATCH = 256,
};
/* The symbol of an entry whose slot no relocation of .rela.plt has; its resolver is that slot meanwhile. */
#define MISSING UINT32_MAX

struct slot {
	uint64_t address, resolver;
	uint32_t symbol;
};

struct plt {
	const struct elf_tables *tables;
	struct slot *numbered;       /* in the order of the relocations */
	struct slot *sorted;         /* the same by address; usually they are the same */
	size_t slots, next;          /* next: the slot that is likely to be asked for */
	struct elf_plt_entry *entry;
	size_t entries, room, missing;
	uint64_t got;                /* what i386 code adds to */
};

/* ---- relocations ---------------------------------------------------------------------------------------- */

static size_t relocation_size(const struct elf_tables *tables)
{
	return tables->is_64 ? sizeof(Elf64_Rela) : sizeof(Elf32_Rel);
}

/* False: of a kind that fills no slot. */
static bool take_relocation(const struct elf_tables *tables, const unsigned char *bytes, struct slot *ret)
{
	if (tables->is_64) {
		Elf64_Rela rela;
		memcpy(&rela, bytes, sizeof(rela));
		*ret = (struct slot){ rela.r_offset, 0, (uint32_t)ELF64_R_SYM(rela.r_info) };
		switch (ELF64_R_TYPE(rela.r_info)) {
		case R_X86_64_JUMP_SLOT:
		case R_X86_64_GLOB_DAT:
			return true;
		case R_X86_64_IRELATIVE:
			*ret = (struct slot){ rela.r_offset, (uint64_t)rela.r_addend, 0 };
			return true;
		default:
			return false;
		}
	}
	Elf32_Rel rel;
	memcpy(&rel, bytes, sizeof(rel));
	*ret = (struct slot){ rel.r_offset, 0, ELF32_R_SYM(rel.r_info) };
	/* IRELATIVE of i386 keeps the resolver in the slot: not read, such an entry has no name. */
	return ELF32_R_TYPE(rel.r_info) == R_386_JMP_SLOT || ELF32_R_TYPE(rel.r_info) == R_386_GLOB_DAT;
}

static int by_address(const void *left, const void *right)
{
	const struct slot *a = left, *b = right;

	return (a->address > b->address) - (a->address < b->address);
}

/* Entries and slots are in the same order nearly always. */
static const struct slot *slot_at(struct plt *plt, uint64_t address)
{
	const struct slot key = { .address = address };
	const struct slot *found = NULL;

	if (plt->next < plt->slots && plt->sorted[plt->next].address == address)
		return &plt->sorted[plt->next++];
	if (plt->slots)
		found = bsearch(&key, plt->sorted, plt->slots, sizeof(key), by_address);
	if (found)
		plt->next = (size_t)(found - plt->sorted) + 1;
	return found;
}

/* All of .rela.plt; 0 (there may be none) or -ENOMEM. */
static int take_slots(struct plt *plt)
{
	const struct elf_section *section =
		elf_section_named(plt->tables, plt->tables->is_64 ? ".rela.plt" : ".rel.plt");
	const struct elf_tables *tables = plt->tables;
	size_t size = relocation_size(tables), count;
	unsigned char *batch;

	if (!section || section->size / size > MAX_PLT_ENTRIES || section->type == SHT_NOBITS ||
	    section->flags & SHF_COMPRESSED || section->offset > tables->length ||
	    section->size > tables->length - section->offset)
		return 0;
	count = (size_t)(section->size / size);
	plt->numbered = elf_allocate((count + 1) * sizeof(*plt->numbered));
	batch = malloc(SLOT_BATCH * size);
	if (!plt->numbered || !batch) {
		free(batch);
		return -ENOMEM;
	}
	for (size_t done = 0; done < count; done += SLOT_BATCH) {
		size_t part = count - done < SLOT_BATCH ? count - done : SLOT_BATCH;
		if (read_exactly(tables->bytes, section->offset + done * size, batch, part * size))
			break;
		/* One of another kind stays in the count, for the numbers that the code pushes. */
		for (size_t i = 0; i < part; i++, plt->slots++)
			if (!take_relocation(tables, batch + i * size, &plt->numbered[plt->slots]))
				plt->numbered[plt->slots] = (struct slot){ 0 };
	}
	free(batch);
	plt->sorted = plt->numbered;
	if (raw_is_sorted(plt->numbered, plt->slots, sizeof(*plt->sorted), by_address))
		return 0;
	plt->sorted = malloc(plt->slots * sizeof(*plt->sorted));
	if (!plt->sorted)
		return -ENOMEM;
	memcpy(plt->sorted, plt->numbered, plt->slots * sizeof(*plt->sorted));
	qsort(plt->sorted, plt->slots, sizeof(*plt->sorted), by_address);
	return 0;
}

/* ---- code ----------------------------------------------------------------------------------------------- */

static uint32_t word_at(const unsigned char *code)
{
	uint32_t word;

	memcpy(&word, code, sizeof(word));
	return word;
}

/* The slot that the jump at code, which is at address, goes through; 0: it is no such jump. */
static uint64_t jump_slot(const struct plt *plt, const unsigned char *code, uint64_t address)
{
	if (code[0] != 0xff)
		return 0;
	if (code[1] == 0x25 && plt->tables->is_64)
		return address + 6 + (uint64_t)(int64_t)(int32_t)word_at(code + 2);
	if (code[1] == 0x25)
		return word_at(code + 2);
	if (code[1] == 0xa3 && !plt->tables->is_64)
		return (uint32_t)(plt->got + word_at(code + 2));
	return 0;
}

static void add_entry(struct plt *plt, uint64_t address, uint32_t size, const struct slot *slot, uint64_t wanted)
{
	if (plt->entries == plt->room)
		return;
	plt->entry[plt->entries++] = (struct elf_plt_entry){ .address = address,
							     .size = size,
							     .symbol = slot ? slot->symbol : MISSING,
							     .resolver = slot ? slot->resolver : wanted };
	plt->missing += slot ? 0 : 1;
}

/* One entry: its code is USUAL_ENTRY bytes long at least, with what stands behind a short one. */
static void take_entry(struct plt *plt, const unsigned char *code, uint64_t address, uint32_t size)
{
	static const unsigned char endbr[3] = { 0xf3, 0x0f, 0x1e };
	unsigned at = memcmp(code, endbr, sizeof(endbr)) ? 0 : 4;

	if (code[at] == 0xf2) /* bnd */
		at++;
	if (at && code[at] == 0x68) {
		uint32_t number = word_at(code + at + 1);
		if (!plt->tables->is_64) /* a distance there */
			number /= sizeof(Elf32_Rel);
		if (number < plt->slots && plt->numbered[number].address)
			add_entry(plt, address, size, &plt->numbered[number], 0);
		return;
	}
	uint64_t slot = jump_slot(plt, code + at, address + at);
	if (slot)
		add_entry(plt, address, size, slot_at(plt, slot), slot);
}

static uint32_t entry_size(const struct elf_section *section)
{
	return section->entry_size == SHORT_ENTRY ? SHORT_ENTRY : USUAL_ENTRY;
}

static bool is_code(const struct elf_section *section)
{
	return section && section->size / entry_size(section) <= MAX_PLT_ENTRIES && section->address <= UINT64_MAX / 2;
}

/* The room for its entries is there. 0 (of what cannot be read there are none) or -ENOMEM. */
static int take_code(struct plt *plt, const struct elf_section *section)
{
	uint32_t size = entry_size(section);
	unsigned char code[USUAL_ENTRY + 8];
	struct elf_blob blob;
	int error = elf_section_read(plt->tables, section, &blob);

	if (error)
		return error == -ENOMEM ? error : 0;
	for (size_t at = 0; blob.size - at >= size; at += size) {
		size_t left = blob.size - at;
		/* A short entry is an instruction of 6 bytes: what follows is the next one's. */
		if (left >= sizeof(code)) {
			take_entry(plt, blob.data + at, section->address + at, size);
			continue;
		}
		memset(code, 0, sizeof(code));
		memcpy(code, blob.data + at, left);
		take_entry(plt, code, section->address + at, size);
	}
	free(blob.data);
	return 0;
}

/* ---- slots of .plt.got ---------------------------------------------------------------------------------- */

/* How many relocations at the start of .rela.dyn are relative ones: millions, of which none fills a slot. */
static uint64_t relative_count(const struct elf_tables *tables)
{
	const struct elf_section *section = elf_section_of_type(tables, SHT_DYNAMIC);
	struct elf_blob blob;
	uint64_t count = 0;

	if (!tables->is_64 || !section || section->size > MAX_DYNAMIC_ENTRIES * sizeof(Elf64_Dyn) ||
	    elf_section_read(tables, section, &blob))
		return 0;
	for (size_t at = 0; blob.size - at >= sizeof(Elf64_Dyn); at += sizeof(Elf64_Dyn)) {
		Elf64_Dyn entry;
		memcpy(&entry, blob.data + at, sizeof(entry));
		if (entry.d_tag == DT_NULL)
			break;
		if (entry.d_tag == DT_RELACOUNT)
			count = entry.d_un.d_val;
	}
	free(blob.data);
	return count;
}

/* An entry whose slot is not known yet. */
struct missing {
	uint64_t slot;
	uint32_t entry;
	bool found;
};

static int by_slot(const void *left, const void *right)
{
	const struct missing *a = left, *b = right;

	return (a->slot > b->slot) - (a->slot < b->slot);
}

static void fill_missing(struct plt *plt, struct missing *missing, size_t count, const struct slot *slot)
{
	const struct missing key = { .slot = slot->address };
	struct missing *at = bsearch(&key, missing, count, sizeof(key), by_slot);

	while (at && at > missing && at[-1].slot == slot->address)
		at--;
	for (; at && at < missing + count && at->slot == slot->address && !at->found; at++) {
		plt->entry[at->entry].symbol = slot->symbol;
		plt->entry[at->entry].resolver = slot->resolver;
		at->found = true;
		plt->missing--;
	}
}

/* A linker sorts them by symbol, undefined ones first, so what is looked for comes soon. */
static void search_missing(struct plt *plt, const struct elf_section *section, struct missing *missing, size_t missed)
{
	const struct elf_tables *tables = plt->tables;
	size_t size = relocation_size(tables);
	uint64_t count = section->size / size, first = relative_count(tables);
	unsigned char *batch = malloc(RELOCATION_BATCH * size);

	for (; batch && first < count && plt->missing; first += RELOCATION_BATCH) {
		size_t part = count - first < RELOCATION_BATCH ? (size_t)(count - first) : RELOCATION_BATCH;
		struct slot slot;
		if (read_exactly(tables->bytes, section->offset + first * size, batch, part * size))
			break;
		for (size_t i = 0; i < part; i++)
			if (take_relocation(tables, batch + i * size, &slot))
				fill_missing(plt, missing, missed, &slot);
	}
	free(batch);
}

static void take_missing(struct plt *plt)
{
	const struct elf_tables *tables = plt->tables;
	const struct elf_section *section = elf_section_named(tables, tables->is_64 ? ".rela.dyn" : ".rel.dyn");
	struct missing *missing;
	size_t missed = 0;

	if (!plt->missing || !section || section->type == SHT_NOBITS || section->flags & SHF_COMPRESSED ||
	    section->offset > tables->length || section->size > tables->length - section->offset)
		return;
	missing = malloc(plt->missing * sizeof(*missing));
	if (!missing)
		return;
	for (size_t i = 0; i < plt->entries; i++)
		if (plt->entry[i].symbol == MISSING)
			missing[missed++] = (struct missing){ plt->entry[i].resolver, (uint32_t)i, false };
	qsort(missing, missed, sizeof(*missing), by_slot);
	search_missing(plt, section, missing, missed);
	free(missing);
}

static int entry_by_address(const void *left, const void *right)
{
	const struct elf_plt_entry *a = left, *b = right;

	return (a->address > b->address) - (a->address < b->address);
}

static int take_all(struct plt *plt)
{
	static const char *const names[] = { ".plt", ".plt.sec", ".plt.got", ".iplt" };
	const struct elf_section *section[ARRAY_LEN(names)];
	const struct elf_section *got = elf_section_named(plt->tables, ".got.plt");
	int error;

	if (!got)
		got = elf_section_named(plt->tables, ".got");
	plt->got = got ? got->address : 0;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		section[i] = elf_section_named(plt->tables, names[i]);
		if (!is_code(section[i]))
			section[i] = NULL;
		plt->room += section[i] ? section[i]->size / entry_size(section[i]) : 0;
	}
	if (!plt->room)
		return 0;
	plt->entry = elf_allocate(plt->room * sizeof(*plt->entry));
	if (!plt->entry)
		return -ENOMEM;
	error = take_slots(plt);
	for (size_t i = 0; i < ARRAY_LEN(names) && !error; i++)
		error = section[i] ? take_code(plt, section[i]) : 0;
	if (!error)
		take_missing(plt);
	return error;
}

ssize_t elf_plt_entries(const struct elf_tables *tables, const struct elf_plt_known *known,
			struct elf_plt_entry **ret, struct elf_blob *names)
{
	struct plt plt = { .tables = tables };
	struct elf_blob lent = *names;
	size_t kept = 0;
	int error;

	*ret = NULL;
	names->size = 0;
	if (tables->machine != (tables->is_64 ? EM_X86_64 : EM_386))
		return 0;
	error = take_all(&plt);
	if (plt.sorted != plt.numbered)
		free(plt.sorted);
	free(plt.numbered); /* before the names take memory */
	if (!error && plt.entries)
		error = raw_plt_names(tables, known, plt.entry, plt.entries, names);
	for (size_t i = 0; i < plt.entries && !error; i++)
		if (plt.entry[i].symbol != MISSING && (plt.entry[i].name || plt.entry[i].resolver))
			plt.entry[kept++] = plt.entry[i];
	if (error || !kept) {
		free(plt.entry);
		if (names->size && names->data != lent.data)
			free(names->data);
		*names = (struct elf_blob){ .data = lent.data, .room = lent.room };
		return error;
	}
	raw_sort(plt.entry, kept, sizeof(*plt.entry), entry_by_address);
	*ret = plt.entry;
	return (ssize_t)kept;
}
