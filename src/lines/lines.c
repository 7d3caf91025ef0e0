/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lines/lines.c - source lines by libdw
 *
 * What a line table says of an address is where the innermost function stands. Each inlined_subroutine around it tells
 * where it was called, which is the place of the next function outwards:
 *
 *	subprogram outer              frame 2: outer,  call_line of middle
 *	  inlined middle              frame 1: middle, call_line of inner
 *	    inlined inner             frame 0: inner,  the line table's line
 */
#include "lines/lines.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <errno.h>
#include <gelf.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "symbol/table.h"

/* A section that libelf has no words for; outlives the Elf that uses it. */
struct unpacked {
	SLIST_ENTRY(unpacked) entry;
	struct elf_blob bytes;
};

struct lines {
	pthread_mutex_t lock;
	Elf *elf;
	Dwarf *dwarf;
	SLIST_HEAD(, unpacked) unpacked;
};

/* ---- opening ---------------------------------------------------------------------------------- */

static void hand_out(Elf_Data *data, const struct elf_blob *bytes)
{
	data->d_buf = bytes->data;
	data->d_size = bytes->size;
	data->d_type = ELF_T_BYTE;
}

static void unpack(struct lines *lines, Elf_Scn *section, GElf_Shdr *header)
{
	GElf_Chdr packing;
	size_t skip = gelf_fsize(lines->elf, ELF_T_CHDR, 1, EV_CURRENT);
	bool is_zstd = gelf_getchdr(section, &packing) != NULL && packing.ch_type == ELF_COMPRESS_ZSTD;
	/* Two descriptions of the same bytes: which one a reader asks for is its own affair. */
	Elf_Data *raw = is_zstd ? elf_rawdata(section, NULL) : NULL;
	Elf_Data *data = raw != NULL && raw->d_buf != NULL && raw->d_size > skip ? elf_getdata(section, NULL) : NULL;
	struct unpacked *one = data != NULL ? malloc(sizeof(*one)) : NULL;

	if (one == NULL)
		return;
	if (elf_unpack_zstd((const char *)raw->d_buf + skip, raw->d_size - skip, packing.ch_size, &one->bytes) != 0) {
		free(one);
		return;
	}
	SLIST_INSERT_HEAD(&lines->unpacked, one, entry);
	hand_out(raw, &one->bytes);
	hand_out(data, &one->bytes);
	header->sh_flags &= ~(uint64_t)SHF_COMPRESSED;
	header->sh_size = one->bytes.size;
	gelf_update_shdr(section, header);
}

/* What is packed by zstd: libelf before 0.189 cannot unpack it. It hands out the bytes that it is given here. */
static void unpack_sections(struct lines *lines)
{
	Elf_Scn *section = NULL;
	GElf_Shdr header;
	unsigned looked = 0;

	while ((section = elf_nextscn(lines->elf, section)) != NULL && looked++ < MAX_ELF_SECTIONS)
		if (gelf_getshdr(section, &header) != NULL && header.sh_flags & SHF_COMPRESSED &&
		    header.sh_type != SHT_NOBITS && header.sh_size <= MAX_SECTION_BYTES)
			unpack(lines, section, &header);
}

static void end(struct lines *lines)
{
	struct unpacked *one;

	dwarf_end(lines->dwarf);
	elf_end(lines->elf);
	lines->dwarf = NULL;
	lines->elf = NULL;
	while ((one = SLIST_FIRST(&lines->unpacked)) != NULL) {
		SLIST_REMOVE_HEAD(&lines->unpacked, entry);
		free(one->bytes.data);
		free(one);
	}
}

/* libdw has read all debug sections when it begins: no descriptor is kept. */
static int begin(int fd, struct lines *lines)
{
	int64_t size = symbol_file_size(fd);

	if (size < 0 || size > MAX_DEBUG_FILE)
		return -E2BIG;
	/* Not mapped: a file that is cut meanwhile would end the host by SIGBUS. */
	lines->elf = elf_begin(fd, ELF_C_READ, NULL);
	if (lines->elf != NULL) {
		unpack_sections(lines);
		lines->dwarf = dwarf_begin_elf(lines->elf, DWARF_C_READ, NULL);
	}
	if (lines->elf != NULL)
		elf_cntl(lines->elf, ELF_C_FDDONE);
	if (lines->dwarf != NULL)
		return 0;
	end(lines);
	return -ENOENT;
}

/* dwarf_begin_elf() succeeds on any debug section, .debug_frame alone included. */
static bool has_units(struct lines *lines)
{
	Dwarf_Off next;
	size_t header;

	return dwarf_nextcu(lines->dwarf, 0, &next, &header, NULL, NULL, NULL) == 0;
}

static int begin_with_units(int fd, struct lines *lines)
{
	int error = begin(fd, lines);

	if (error == 0 && !has_units(lines)) {
		end(lines);
		error = -ENOENT;
	}
	return error;
}

/* The section .gnu_debuglink; copied, as libelf's memory goes. Empty: none. */
static struct elf_blob debug_link(int fd)
{
	struct elf_blob link = { 0 };
	Elf *elf = elf_begin(fd, ELF_C_READ, NULL);
	Elf_Scn *section = NULL;
	GElf_Shdr header;
	size_t names;

	while (elf != NULL && elf_getshdrstrndx(elf, &names) == 0 && (section = elf_nextscn(elf, section)) != NULL) {
		const char *name = gelf_getshdr(section, &header) != NULL ? elf_strptr(elf, names, header.sh_name) : NULL;
		if (name == NULL || strcmp(name, ".gnu_debuglink") != 0)
			continue;
		const Elf_Data *data = elf_rawdata(section, NULL);
		void *copy = data != NULL && data->d_size != 0 ? malloc(data->d_size) : NULL;
		if (copy != NULL) {
			memcpy(copy, data->d_buf, data->d_size);
			link = (struct elf_blob){ copy, data->d_size };
		}
		break;
	}
	elf_end(elf);
	return link;
}

/* The victim's root before our own. */
static int begin_apart(const struct lines_source *source, struct lines *lines)
{
	struct elf_blob link = debug_link(source->fd);
	const int roots[] = { source->root_fd, -1 };
	int error = -ENOENT;

	for (unsigned i = source->root_fd < 0; i < ARRAY_LEN(roots) && error == -ENOENT; i++) {
		int fd = symbol_open_debug_file(roots[i], &source->build_id, source->path, &link);
		if (fd < 0)
			continue;
		error = begin_with_units(fd, lines);
		symbol_close(fd);
	}
	free(link.data);
	if (error == -ENOENT && source->fetched != NULL) {
		int fd = symbol_open_fetched(source->fetched, &source->build_id);
		if (fd < 0)
			return error;
		error = begin_with_units(fd, lines);
		symbol_close(fd);
	}
	return error;
}

int lines_open(const struct lines_source *source, struct lines **ret)
{
	struct lines *lines = calloc(1, sizeof(*lines));

	if (lines == NULL)
		return -ENOMEM;
	elf_version(EV_CURRENT);
	int error = begin_with_units(source->fd, lines);
	if (error == -ENOENT)
		error = begin_apart(source, lines);
	if (error != 0) {
		free(lines);
		return error;
	}
	pthread_mutex_init(&lines->lock, NULL);
	*ret = lines;
	return 0;
}

void lines_close(struct lines *lines)
{
	if (lines == NULL)
		return;
	end(lines);
	pthread_mutex_destroy(&lines->lock);
	free(lines);
}

/* ---- looking ---------------------------------------------------------------------------------- */

/* Some compilers write no .debug_aranges: then each unit is asked for itself. */
static bool find_unit(Dwarf *dwarf, uint64_t address, Dwarf_Die *ret)
{
	Dwarf_CU *unit = NULL;
	uint8_t type;
	Dwarf_Die die;

	if (dwarf_addrdie(dwarf, address, ret) != NULL)
		return true;
	for (unsigned n = 0; n < MAX_DEBUG_UNITS; n++) {
		if (dwarf_get_units(dwarf, unit, &unit, NULL, &type, &die, NULL) != 0)
			return false;
		if (type == DW_UT_compile && dwarf_haspc(&die, address) > 0) {
			*ret = die;
			return true;
		}
	}
	return false;
}

static const char *string_of(Dwarf_Die *die, unsigned name)
{
	Dwarf_Attribute attribute;

	return dwarf_formstring(dwarf_attr_integrate(die, name, &attribute));
}

static const char *function_of(Dwarf_Die *die)
{
	const char *name = string_of(die, DW_AT_linkage_name);

	if (name == NULL)
		name = string_of(die, DW_AT_MIPS_linkage_name);
	return name != NULL ? name : string_of(die, DW_AT_name);
}

static uint32_t number_of(Dwarf_Die *die, unsigned name)
{
	Dwarf_Attribute attribute;
	Dwarf_Word value;

	if (dwarf_attr(die, name, &attribute) == NULL || dwarf_formudata(&attribute, &value) != 0)
		return 0;
	return value > UINT32_MAX ? 0 : (uint32_t)value;
}

/* Of the frame that an inlined function was put into. */
static void take_call(Dwarf_Die *unit, Dwarf_Die *inlined, struct lines_frame *frame)
{
	Dwarf_Files *files;
	size_t count;
	uint32_t file = number_of(inlined, DW_AT_call_file);

	frame->file = NULL;
	if (file != 0 && dwarf_getsrcfiles(unit, &files, &count) == 0 && file < count)
		frame->file = dwarf_filesrc(files, file, NULL, NULL);
	frame->line = number_of(inlined, DW_AT_call_line);
	frame->column = number_of(inlined, DW_AT_call_column);
}

/* The address where the line begins, or the one that is asked for. */
static uint64_t take_line(Dwarf_Die *unit, uint64_t address, struct lines_frame *frame)
{
	Dwarf_Line *line = dwarf_getsrc_die(unit, address);
	Dwarf_Addr begins = address;
	int number = 0, column = 0;

	if (line == NULL)
		return address;
	frame->file = dwarf_linesrc(line, NULL, NULL);
	if (dwarf_lineno(line, &number) == 0 && number > 0)
		frame->line = (uint32_t)number;
	if (dwarf_linecol(line, &column) == 0 && column > 0)
		frame->column = (uint32_t)column;
	return dwarf_lineaddr(line, &begins) == 0 ? begins : address;
}

/* What is found at an address. Handed out when the lock is given back: a callback may ask again. */
struct found {
	struct lines_frame frame[MAX_INLINED + 1];
	char *path[MAX_INLINED + 1]; /* to be freed, or NULL */
	unsigned count;
};

/* The file's name is relative to the directory of the compilation. */
static void add(struct found *found, Dwarf_Die *unit, const struct lines_frame *frame)
{
	const char *directory = string_of(unit, DW_AT_comp_dir);
	char *path = NULL;

	if (found->count == MAX_INLINED + 1)
		return;
	found->frame[found->count] = *frame;
	if (frame->file != NULL && frame->file[0] != '/' && directory != NULL &&
	    asprintf(&path, "%s/%s", directory, frame->file) >= 0)
		found->frame[found->count].file = path;
	found->path[found->count++] = path;
}

/* The entries around an address as they are nested in the file, innermost first; free(*ret). */
static int scopes_of(Dwarf *dwarf, Dwarf_Die *unit, uint64_t address, Dwarf_Die **ret)
{
	Dwarf_Die *scopes = NULL, innermost;
	int count = dwarf_getscopes(unit, address, &scopes);

	if (count <= 0)
		return 0;
	/* Beyond an inlined function those go on with where it was defined, not with where it was put. */
	bool found = dwarf_offdie(dwarf, dwarf_dieoffset(&scopes[0]), &innermost) != NULL;
	free(scopes);
	*ret = NULL;
	return found ? dwarf_getscopes_die(&innermost, ret) : 0;
}

static void find_frames(Dwarf *dwarf, Dwarf_Die *unit, uint64_t address, struct found *found)
{
	struct lines_frame frame = { NULL, NULL, 0, 0, false };
	Dwarf_Die *scopes = NULL;
	bool ended = false;

	/*
	 * A compiler's ranges of inlined functions and its lines do not end at the same instruction. Where they differ,
	 * those around the beginning of the line are the ones that the line belongs to; so says eu-addr2line(1) too.
	 */
	uint64_t begins = take_line(unit, address, &frame);
	int count = scopes_of(dwarf, unit, begins, &scopes);

	for (int i = 0; i < count && !ended; i++) {
		int tag = dwarf_tag(&scopes[i]);
		if (tag != DW_TAG_inlined_subroutine && tag != DW_TAG_subprogram)
			continue;
		frame.function = function_of(&scopes[i]);
		frame.inlined = tag == DW_TAG_inlined_subroutine;
		add(found, unit, &frame);
		ended = !frame.inlined;
		take_call(unit, &scopes[i], &frame);
	}
	free(scopes);
	if (ended || frame.file == NULL)
		return;
	/* Assembly: lines without functions. Or an inlined function in nothing. */
	frame.function = NULL;
	frame.inlined = false;
	add(found, unit, &frame);
}

int lines_at(struct lines *lines, uint64_t address, int (*visit)(const struct lines_frame *frame, void *data),
	     void *data)
{
	struct found *found = malloc(sizeof(*found));
	Dwarf_Die unit;
	int result = 0;

	if (found == NULL)
		return -ENOMEM;
	found->count = 0;
	pthread_mutex_lock(&lines->lock);
	if (find_unit(lines->dwarf, address, &unit))
		find_frames(lines->dwarf, &unit, address, found);
	pthread_mutex_unlock(&lines->lock);
	for (unsigned i = 0; i < found->count && result == 0; i++)
		result = visit(&found->frame[i], data);
	for (unsigned i = 0; i < found->count; i++)
		free(found->path[i]);
	free(found);
	return result;
}
