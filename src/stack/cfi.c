/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stack/cfi.c - the rules of one file, by libdw, kept for each address that was asked for
 *
 * .eh_frame first, which all that is to be unwound has; then .debug_frame, which code that was built without the
 * other may have for debuggers. libdw reads a Dwarf of whole files for that, sections of gigabytes with it; so
 * .debug_frame is handed to it in an ELF file of its own, made in memory.
 */
#include <dwarf.h>
#include <elf.h>
#include <gelf.h>
#include <libelf.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "elf/tables.h"
#include "stack/inside.h"

/* Rows that are kept: a power of two. A new one takes the place of another at the same place. */
enum { ROWS = 2048 };

struct source {
	Elf *elf;
	Dwarf *dwarf;   /* of .debug_frame alone */
	Dwarf_CFI *cfi; /* of the Elf: to be ended; of the Dwarf: its own */
};

struct cfi {
	pthread_mutex_t lock;
	Elf *elf;
	struct source eh, debug;
	unsigned char *frame_file; /* owned: the file of debug.elf */
	struct row *rows[ROWS];
};

/* ---- one row ----------------------------------------------------------------------------- */

static uint64_t mix(uint64_t address)
{
	return (address * UINT64_C(0x9e3779b97f4a7c15)) >> 32;
}

static void cfa_rule(Dwarf_Frame *frame, struct row *row)
{
	Dwarf_Op *ops;
	size_t count;

	row->cfa.kind = RULE_UNDEFINED;
	if (dwarf_frame_cfa(frame, &ops, &count) || !count || count > MAX_CFI_OPERATIONS)
		return;
	if (count == 1 && ops[0].atom >= DW_OP_breg0 && ops[0].atom <= DW_OP_breg31) {
		row->cfa_register = (uint8_t)(ops[0].atom - DW_OP_breg0);
		row->cfa.kind = RULE_CFA;
		row->cfa.u.offset = (int64_t)ops[0].number;
	} else if (count == 1 && ops[0].atom == DW_OP_bregx) {
		row->cfa_register = ops[0].number < ARCH_DWARF_REGISTERS ? (uint8_t)ops[0].number : UINT8_MAX;
		row->cfa.kind = RULE_CFA;
		row->cfa.u.offset = (int64_t)ops[0].number2;
	} else {
		row->cfa.kind = RULE_EXPRESSION;
		row->cfa.u.ops = ops;
		row->cfa.count = (uint16_t)count;
	}
}

/* What libdw makes of the simple rules lies in the caller's memory, three operations at most. */
static bool simple_rule(const Dwarf_Op *ops, size_t count, struct rule *rule)
{
	bool value = count && ops[count - 1].atom == DW_OP_stack_value;

	count -= value;
	if (count == 1 && ops[0].atom >= DW_OP_reg0 && ops[0].atom <= DW_OP_reg31) {
		*rule = (struct rule){ .kind = RULE_REGISTER, .u.offset = ops[0].atom - DW_OP_reg0 };
		return true;
	}
	if (count == 1 && ops[0].atom == DW_OP_regx) {
		*rule = (struct rule){ .kind = RULE_REGISTER, .u.offset = (int64_t)ops[0].number };
		return true;
	}
	if (!count || count > 2 || ops[0].atom != DW_OP_call_frame_cfa ||
	    (count == 2 && ops[1].atom != DW_OP_plus_uconst))
		return false;
	*rule = (struct rule){
		.kind = value ? RULE_CFA : RULE_AT_CFA,
		.u.offset = count == 2 ? (int64_t)ops[1].number : 0,
	};
	return true;
}

static struct rule register_rule(Dwarf_Frame *frame, int number)
{
	struct rule rule = { .kind = RULE_UNDEFINED };
	Dwarf_Op room[3], *ops;
	bool value;
	size_t count;

	if (dwarf_frame_register(frame, number, room, &ops, &count))
		return rule;
	if (!count) {
		rule.kind = ops ? RULE_UNDEFINED : RULE_SAME;
		return rule;
	}
	if (count > MAX_CFI_OPERATIONS || simple_rule(ops, count, &rule) || ops == room)
		return rule;
	value = ops[count - 1].atom == DW_OP_stack_value;
	rule.kind = value ? RULE_EXPRESSION : RULE_AT_EXPRESSION;
	rule.u.ops = ops;
	rule.count = (uint16_t)(count - value);
	return rule;
}

static bool ask(Dwarf_CFI *cfi, uint64_t address, struct row *row)
{
	Dwarf_Frame *frame;
	Dwarf_Addr end;
	int pc;

	if (!cfi || dwarf_cfi_addrframe(cfi, address, &frame))
		return false;
	*row = (struct row){ .address = address };
	pc = dwarf_frame_info(frame, NULL, &end, &row->signal);
	row->end = end;
	cfa_rule(frame, row);
	for (int i = 0; i < ARCH_DWARF_REGISTERS; i++)
		row->rule[i] = register_rule(frame, i == ARCH_DWARF_PC ? pc : i);
	free(frame);
	return true;
}

static void find(struct cfi *cfi, uint64_t address, struct row *row)
{
	if (ask(cfi->eh.cfi, address, row) || ask(cfi->debug.cfi, address, row))
		return;
	*row = (struct row){ .address = address, .none = true };
}

bool cfi_row(struct cfi *cfi, uint64_t address, struct row *ret)
{
	struct row **place = &cfi->rows[mix(address) % ROWS], *row;

	pthread_mutex_lock(&cfi->lock);
	row = *place;
	if (!row || row->address != address) {
		if (!row)
			row = *place = malloc(sizeof(*row));
		if (row)
			find(cfi, address, row);
	}
	if (row)
		*ret = *row;
	pthread_mutex_unlock(&cfi->lock);
	return row && !ret->none;
}

/* ---- .debug_frame ------------------------------------------------------------------------ */

static const char names[] = "\0.shstrtab\0.debug_frame";
enum { NAME_STRINGS = 1, NAME_FRAME = 11, FRAME_SECTIONS = 3 };

/* A file of three sections around it. */
static unsigned char *frame_file(const struct elf_blob *data, size_t *ret_length)
{
	size_t at_names = sizeof(Elf64_Ehdr), at_frame = (at_names + sizeof(names) + 15) & ~(size_t)15;
	size_t at_sections = (at_frame + data->size + 15) & ~(size_t)15;
	size_t length = at_sections + FRAME_SECTIONS * sizeof(Elf64_Shdr);
	unsigned char *file = calloc(1, length);
	Elf64_Ehdr header = {
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
		.e_type = ET_DYN,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_ehsize = sizeof(Elf64_Ehdr),
		.e_shoff = at_sections,
		.e_shentsize = sizeof(Elf64_Shdr),
		.e_shnum = FRAME_SECTIONS,
		.e_shstrndx = 1,
	};
	Elf64_Shdr section[FRAME_SECTIONS] = {
		[1] = { .sh_name = NAME_STRINGS, .sh_type = SHT_STRTAB, .sh_offset = at_names, .sh_size = sizeof(names),
			.sh_addralign = 1 },
		[2] = { .sh_name = NAME_FRAME, .sh_type = SHT_PROGBITS, .sh_offset = at_frame, .sh_size = data->size,
			.sh_addralign = 8 },
	};

	if (!file)
		return NULL;
	memcpy(file, &header, sizeof(header));
	memcpy(file + at_names, names, sizeof(names));
	memcpy(file + at_frame, data->data, data->size);
	memcpy(file + at_sections, section, sizeof(section));
	*ret_length = length;
	return file;
}

/* What libelf before 0.189 cannot unpack. data: owned, or NULL. */
static struct elf_blob unpack_zstd(Elf *elf, Elf_Scn *scn, const GElf_Chdr *packing)
{
	const Elf_Data *data = elf_rawdata(scn, NULL);
	size_t skip = gelf_fsize(elf, ELF_T_CHDR, 1, EV_CURRENT);
	struct elf_blob blob = { .data = NULL };

	if (!data || !data->d_buf || data->d_size <= skip ||
	    elf_unpack_zstd((const char *)data->d_buf + skip, data->d_size - skip, packing->ch_size, &blob))
		return (struct elf_blob){ .data = NULL };
	return blob;
}

/* The section's bytes, decompressed; own: they are the caller's to be freed, else libelf's. Size 0: there is no such section. */
static struct elf_blob debug_frame(Elf *elf, bool *own)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr header;
	size_t strings;
	int looked = 0;

	*own = false;
	if (elf_getshdrstrndx(elf, &strings))
		return (struct elf_blob){ .data = NULL };
	while ((scn = elf_nextscn(elf, scn)) && looked++ < MAX_ELF_SECTIONS) {
		const char *name = gelf_getshdr(scn, &header) ? elf_strptr(elf, strings, header.sh_name) : NULL;
		Elf_Data *data;

		if (!name || strcmp(name, ".debug_frame") || header.sh_type == SHT_NOBITS ||
		    header.sh_size > MAX_CFI_BYTES)
			continue;
		if (header.sh_flags & SHF_COMPRESSED) {
			GElf_Chdr compressed;

			if (!gelf_getchdr(scn, &compressed) || compressed.ch_size > MAX_CFI_BYTES)
				break;
			*own = compressed.ch_type == ELF_COMPRESS_ZSTD;
			if (*own)
				return unpack_zstd(elf, scn, &compressed);
			if (elf_compress(scn, 0, 0) < 0)
				break;
		}
		data = elf_rawdata(scn, NULL);
		if (data && data->d_buf)
			return (struct elf_blob){ .data = data->d_buf, .size = data->d_size };
		break;
	}
	return (struct elf_blob){ .data = NULL };
}

static void open_debug(struct cfi *cfi)
{
	bool own;
	struct elf_blob frames = debug_frame(cfi->elf, &own);
	size_t length = 0;

	if (frames.size)
		cfi->frame_file = frame_file(&frames, &length);
	if (own)
		free(frames.data);
	if (!cfi->frame_file)
		return;
	cfi->debug.elf = elf_memory((char *)cfi->frame_file, length);
	if (cfi->debug.elf)
		cfi->debug.dwarf = dwarf_begin_elf(cfi->debug.elf, DWARF_C_READ, NULL);
	if (cfi->debug.dwarf)
		cfi->debug.cfi = dwarf_getcfi(cfi->debug.dwarf);
}

/* ---- life -------------------------------------------------------------------------------- */

static struct cfi *cfi_of(Elf *elf)
{
	struct cfi *cfi = elf ? calloc(1, sizeof(*cfi)) : NULL;

	if (!cfi) {
		elf_end(elf);
		return NULL;
	}
	pthread_mutex_init(&cfi->lock, NULL);
	cfi->elf = elf;
	if (elf_kind(elf) == ELF_K_ELF) {
		cfi->eh.cfi = dwarf_getcfi_elf(elf);
		open_debug(cfi);
	}
	if (!cfi->eh.cfi && !cfi->debug.cfi) {
		cfi_free(cfi);
		return NULL;
	}
	return cfi;
}

struct cfi *cfi_of_file(int fd)
{
	struct cfi *cfi;

	elf_version(EV_CURRENT);
	/* Read, not mapped: a file that somebody cuts off would end the reader's life. */
	cfi = cfi_of(elf_begin(fd, ELF_C_READ, NULL));
	if (cfi)
		elf_cntl(cfi->elf, ELF_C_FDDONE);
	return cfi;
}

struct cfi *cfi_of_bytes(unsigned char *bytes, size_t length)
{
	elf_version(EV_CURRENT);
	return cfi_of(elf_memory((char *)bytes, length));
}

void cfi_free(struct cfi *cfi)
{
	if (!cfi)
		return;
	for (size_t i = 0; i < ROWS; i++)
		free(cfi->rows[i]);
	if (cfi->eh.cfi)
		dwarf_cfi_end(cfi->eh.cfi);
	if (cfi->debug.dwarf)
		dwarf_end(cfi->debug.dwarf);
	if (cfi->debug.elf)
		elf_end(cfi->debug.elf);
	elf_end(cfi->elf);
	free(cfi->frame_file);
	pthread_mutex_destroy(&cfi->lock);
	free(cfi);
}
