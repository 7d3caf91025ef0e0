/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rtld/survey.c - where the linker of an image can be trapped, and where its main is
 */
#include "rtld/inside.h"

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <string.h>

#include "decode/decode.h"
#include "os/memory.h"
#include "os/procfs.h"

/* The entries of the auxiliary vector that are asked for. */
enum { AUX_BASE, AUX_PHDR, AUX_PHNUM, AUX_ENTRY, AUX_VDSO, AUX_COUNT };
static const uint64_t aux_types[AUX_COUNT] = { AT_BASE, AT_PHDR, AT_PHNUM, AT_ENTRY, AT_SYSINFO_EHDR };

/* ---- read ahead ------------------------------------------------------------------------------ */

/* Headers of program, linker and vdso, and the start code: by one call of the kernel instead of one each. */
enum { BLOCK_SIZE = 4096, BLOCKS = 4 };

struct prefetch {
	const struct reader *memory;
	size_t blocks;
	vaddr_t start[BLOCKS];
	uint8_t bytes[BLOCKS][BLOCK_SIZE];
};

static ssize_t read_prefetched(void *data, vaddr_t address, void *buffer, size_t length)
{
	const struct prefetch *prefetch = data;

	for (size_t i = 0; i < prefetch->blocks; i++) {
		uint64_t offset = address - prefetch->start[i];
		if (address >= prefetch->start[i] && offset < BLOCK_SIZE && length <= BLOCK_SIZE - offset) {
			memcpy(buffer, prefetch->bytes[i] + offset, length);
			return (ssize_t)length;
		}
	}
	return prefetch->memory->read(prefetch->memory->data, address, buffer, length);
}

/* The whole page that each address is on; as many as can be read. */
static void prefetch_pages(struct prefetch *prefetch, const vaddr_t address[BLOCKS])
{
	struct reader_piece piece[BLOCKS];
	size_t pieces = 0;

	prefetch->blocks = 0;
	if (prefetch->memory->read_many == NULL)
		return;
	for (size_t i = 0; i < BLOCKS; i++) {
		if (address[i] == 0)
			continue;
		prefetch->start[pieces] = address[i] & ~(vaddr_t)(BLOCK_SIZE - 1);
		piece[pieces] =
			(struct reader_piece){ prefetch->start[pieces], prefetch->bytes[pieces], BLOCK_SIZE };
		pieces++;
	}
	ssize_t done = prefetch->memory->read_many(prefetch->memory->data, piece, pieces);
	prefetch->blocks = done > 0 ? (size_t)done : 0;
}

/* ---- a 32-bit victim ------------------------------------------------------------------------- */

static int visit_first_header(const struct os_mapping *mapping, void *data)
{
	const struct reader *memory = data;
	uint8_t ident[EI_NIDENT];

	if (mapping->offset != 0 || mapping->inode == 0)
		return 0;
	if (memory->read(memory->data, mapping->start, ident, sizeof(ident)) != (ssize_t)sizeof(ident) ||
	    memcmp(ident, ELFMAG, SELFMAG) != 0)
		return 0;
	return ident[EI_CLASS] == ELFCLASS32 ? -EMEDIUMTYPE : -ENOEXEC;
}

/* Its auxiliary vector has entries of half the size, in which none of ours is found. */
static int why_no_headers(int64_t tid, const struct reader *memory)
{
	struct reader copy = *memory;
	int result = os_each_mapping(tid, visit_first_header, &copy);

	return result == 0 ? -ESRCH : result;
}

/* ---- the linker ------------------------------------------------------------------------------ */

static uint64_t offset_in(const struct elf_image *image, vaddr_t address)
{
	return address == 0 ? 0 : address - image->bias;
}

static vaddr_t address_in(const struct elf_image *image, uint64_t offset)
{
	return offset == 0 ? 0 : image->bias + offset;
}

/*
 * glibc exports _r_debug itself, musl a pointer to it. What exports neither is a linker that is not known:
 * its r_debug, r_brk included, is found through DT_DEBUG once it has run.
 */
static int look_for_linker(const struct reader *memory, const struct elf_image *image,
			   struct image_facts *ret)
{
	enum { STATE, DEBUG, POINTER, NAMES };
	static const char *const names[NAMES] = { "_dl_debug_state", "_r_debug", "_dl_debug_addr" };
	vaddr_t found[NAMES];
	int count = elf_dynamic_symbols(memory, image, names, NAMES, found);

	if (count < 0)
		return count;
	*ret = (struct image_facts){ .flavour = RTLD_UNKNOWN };
	if (found[STATE] == 0 || (found[DEBUG] == 0 && found[POINTER] == 0))
		return 0;
	ret->flavour = found[DEBUG] != 0 ? RTLD_GLIBC : RTLD_MUSL;
	ret->r_brk = offset_in(image, found[STATE]);
	ret->r_debug = offset_in(image, found[DEBUG]);
	ret->debug_pointer = found[DEBUG] != 0 ? 0 : offset_in(image, found[POINTER]);
	ret->witness_at = ret->r_brk;
	/* musl's never comes back: it jumps. */
	vaddr_t begin;
	if (ret->flavour == RTLD_GLIBC && decode_find_return(memory, image->entry, &begin) == 0)
		ret->begin = offset_in(image, begin);
	return 0;
}

/* As look_for_linker(), from the cache where it can be. A static-PIE without either symbol: RTLD_UNKNOWN. */
static int linker_facts(const struct reader *memory, struct rtld_cache *cache, const struct elf_image *image,
			struct image_facts *ret)
{
	if (cache_find(cache, memory, image, ret))
		return 0;
	int error = look_for_linker(memory, image, ret);
	if (error == 0)
		cache_keep(cache, memory, image, ret);
	return error;
}

static void use_linker(struct rtld *rtld, const struct elf_image *image, const struct image_facts *facts)
{
	rtld->linker = *image;
	rtld->flavour = facts->flavour;
	rtld->r_brk = address_in(image, facts->r_brk);
	rtld->r_debug = address_in(image, facts->r_debug);
	rtld->begin = address_in(image, facts->begin);
	rtld->debug_pointer = address_in(image, facts->debug_pointer);
	if (facts->flavour == RTLD_GLIBC)
		rtld->r_state = rtld->r_debug + offsetof(struct r_debug, r_state);
	rtld->consistent = RT_CONSISTENT;
}

/*
 * Without AT_BASE the program is static, or it is the linker itself, started as a command: then it exports
 * what a linker does.
 */
static int survey_linker(struct rtld *rtld, const struct reader *memory, struct rtld_cache *cache,
			 vaddr_t base)
{
	struct elf_image image = rtld->program;
	struct image_facts facts = { .flavour = RTLD_UNKNOWN };
	int error = 0;

	if (base != 0)
		error = elf_image_at(memory, base, &image);
	if (error == 0 && image.dynamic != 0)
		error = linker_facts(memory, cache, &image, &facts);
	if (error != 0)
		return error;
	if (base == 0 && facts.flavour == RTLD_UNKNOWN) {
		rtld->flavour = RTLD_STATIC;
		return 0;
	}
	rtld->linker_is_program = base == 0;
	use_linker(rtld, &image, &facts);
	return 0;
}

/* ---- a system call instruction --------------------------------------------------------------- */

struct executable_part {
	vaddr_t within, start, end;
};

static int visit_executable(const struct os_mapping *mapping, void *data)
{
	struct executable_part *part = data;

	if (!mapping->executable || part->within < mapping->start || part->within >= mapping->end)
		return 0;
	part->start = mapping->start;
	part->end = mapping->end;
	return 1;
}

static void gadget_in_vdso(struct rtld *rtld, const struct reader *memory, struct rtld_cache *cache)
{
	struct image_facts facts = { 0 };
	struct elf_image image;

	if (rtld->vdso == 0 || elf_image_at(memory, rtld->vdso, &image) != 0)
		return;
	rtld->vdso_end = image.high;
	if (!cache_find(cache, memory, &image, &facts)) {
		vaddr_t found;
		if (decode_find_syscall(memory, image.low, image.high, &found) != 0)
			return;
		facts.gadget = facts.witness_at = offset_in(&image, found);
		cache_keep(cache, memory, &image, &facts);
	}
	rtld->gadget = address_in(&image, facts.gadget);
}

/* The vdso can be switched off: then in the code of the linker, or of a static program. */
static void survey_gadget(struct rtld *rtld, int64_t tid, const struct reader *memory,
			  struct rtld_cache *cache)
{
	struct executable_part part = { .within = rtld->r_brk != 0 ? rtld->r_brk : rtld->entry };

	gadget_in_vdso(rtld, memory, cache);
	if (rtld->gadget == 0 && os_each_mapping(tid, visit_executable, &part) == 1)
		decode_find_syscall(memory, part.start, part.end, &rtld->gadget);
}

/* ---- main ------------------------------------------------------------------------------------ */

static bool in_image(const struct elf_image *image, vaddr_t address)
{
	return address >= image->low && address < image->high;
}

/* Start code names main itself, or a pointer that the linker fills: known before when it leads into the
 * program. */
void rtld_survey_main(struct rtld *rtld, const struct reader *memory, vaddr_t entry)
{
	vaddr_t found, pointed;
	int result = decode_find_main(memory, entry, &found);

	if (result < 0 || !in_image(&rtld->program, found))
		return;
	if (result == 0) {
		rtld->main = found;
		return;
	}
	rtld->main_slot = found;
	if (elf_relocated_pointer(memory, &rtld->program, found, &pointed) == 0 &&
	    in_image(&rtld->program, pointed))
		rtld->main = pointed;
	else if (rtld->flavour == RTLD_STATIC && rtld->program.bias == 0 &&
		 memory->read(memory->data, found, &pointed, sizeof(pointed)) == (ssize_t)sizeof(pointed) &&
		 in_image(&rtld->program, pointed))
		rtld->main = pointed; /* linked to its place: nothing will be relocated */
}

static int survey(struct rtld *rtld, int64_t tid, const struct reader *memory, struct rtld_cache *cache,
		  const uint64_t aux[AUX_COUNT])
{
	int error = elf_image_by_phdrs(memory, aux[AUX_PHDR], (uint32_t)aux[AUX_PHNUM], &rtld->program);

	if (error == 0)
		error = survey_linker(rtld, memory, cache, aux[AUX_BASE]);
	if (error != 0)
		return error;
	survey_gadget(rtld, tid, memory, cache);
	if (!rtld->linker_is_program)
		rtld_survey_main(rtld, memory, rtld->entry);
	return 0;
}

static int survey_by(struct rtld *rtld, int64_t tid, const struct reader *memory, struct rtld_cache *cache,
		     const uint64_t aux[AUX_COUNT])
{
	struct prefetch prefetch;
	struct reader prefetched = { .read = read_prefetched, .data = &prefetch };
	int error;

	*rtld = (struct rtld){ 0 };
	if (aux[AUX_PHDR] == 0)
		return why_no_headers(tid, memory);
	rtld->entry = aux[AUX_ENTRY];
	rtld->vdso = aux[AUX_VDSO];
	prefetch.memory = memory;
	prefetch_pages(&prefetch, (const vaddr_t[BLOCKS]){ aux[AUX_PHDR], aux[AUX_VDSO], aux[AUX_ENTRY],
							   aux[AUX_BASE] });
	error = survey(rtld, tid, &prefetched, cache, aux);
	return error == -EPERM ? -EACCES : error;
}

int rtld_survey(struct rtld *rtld, int64_t tid, const struct reader *memory, struct rtld_cache *cache)
{
	uint64_t aux[AUX_COUNT];
	int error = os_auxv_many(tid, aux_types, AUX_COUNT, aux);

	*rtld = (struct rtld){ 0 };
	if (error != 0)
		return error == -EPERM ? -EACCES : error;
	return survey_by(rtld, tid, memory, cache, aux);
}

int rtld_survey_auxv(struct rtld *rtld, int64_t tid, const struct reader *memory, struct rtld_cache *cache,
		     const uint64_t (*auxv)[2], size_t count)
{
	uint64_t aux[AUX_COUNT] = { 0 };

	for (size_t i = 0; i < count; i++)
		for (size_t n = 0; n < AUX_COUNT; n++)
			if (auxv[i][0] == aux_types[n])
				aux[n] = auxv[i][1];
	return survey_by(rtld, tid, memory, cache, aux);
}

/* ---- the same image elsewhere ---------------------------------------------------------------- */

static vaddr_t moved(vaddr_t address, uint64_t by)
{
	return address == 0 ? 0 : address + by;
}

static void move_image(struct elf_image *image, uint64_t by)
{
	/* one that does not move at all lies where it was linked to, at bias 0 */
	image->bias += by;
	image->low += by;
	image->high += by;
	image->dynamic = moved(image->dynamic, by);
	image->interpreter = moved(image->interpreter, by);
	image->entry = moved(image->entry, by);
}

void rtld_move(struct rtld *rtld, const struct rtld *from, const struct rtld_distance *by)
{
	*rtld = *from;
	rtld->entry = moved(from->entry, by->program);
	rtld->main = moved(from->main, by->program);
	rtld->main_slot = moved(from->main_slot, by->program);
	rtld->r_brk = moved(from->r_brk, by->linker);
	rtld->begin = moved(from->begin, by->linker);
	rtld->r_debug = moved(from->r_debug, by->linker);
	rtld->r_state = moved(from->r_state, by->linker);
	rtld->debug_pointer = moved(from->debug_pointer, by->linker);
	rtld->gadget = moved(from->gadget, by->vdso);
	rtld->vdso = moved(from->vdso, by->vdso);
	rtld->vdso_end = moved(from->vdso_end, by->vdso);
	move_image(&rtld->program, by->program);
	if (from->linker.high != 0)
		move_image(&rtld->linker, by->linker);
}
