/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * symbol/table.c - the table of one file, from all places that its names are in
 */
#include "symbol/table.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what it is made of --------------------------------------------------------------------------------- */

int symbol_input_open_bytes(struct symbol_input *input, const struct symbol_source *source,
			    const struct reader *bytes, uint64_t length)
{
	input->source = source;
	input->bytes = *bytes;
	return elf_tables_open(&input->tables, &input->bytes, length);
}

int symbol_input_open(struct symbol_input *input, const struct symbol_source *source, uint64_t length)
{
	struct reader bytes;
	int error;

	memset(input, 0, sizeof(*input));
	if (source->fd >= 0) {
		bytes = elf_fd_reader(&source->fd);
		return symbol_input_open_bytes(input, source, &bytes, length);
	}
	input->in_memory = true;
	error = elf_mapped_open(&input->mapped, source->memory, source->image);
	if (error)
		return error;
	bytes = elf_mapped_reader(&input->mapped);
	return symbol_input_open_bytes(input, source, &bytes, input->mapped.length);
}

void symbol_input_close(struct symbol_input *input)
{
	elf_tables_close(&input->tables);
}

/* ---- words about it ------------------------------------------------------------------------------------- */

void symbol_table_complain(struct symbol_table *table, const char *format, ...)
{
	va_list arguments;

	if (table->complaint[0])
		return;
	va_start(arguments, format);
	vsnprintf(table->complaint, sizeof(table->complaint), format, arguments);
	va_end(arguments);
}

void symbol_table_came_from(struct symbol_table *table, const char *origin)
{
	size_t length = strlen(table->origin);

	snprintf(table->origin + length, sizeof(table->origin) - length, "%s%s", length ? ", " : "", origin);
}

/* ---- its parts ------------------------------------------------------------------------------------------ */

static bool is_fatal(int error)
{
	return error == -ENOMEM || error == -E2BIG;
}

static int take_areas(struct symbol_table *table, const struct symbol_input *input)
{
	const struct elf_tables *tables = &input->tables;

	table->area = malloc((tables->count + ELF_FILE_PARTS) * sizeof(*table->area));
	if (!table->area)
		return -ENOMEM;
	for (uint32_t n = 0; n < tables->count; n++) {
		const struct elf_section *section = &tables->section[n];
		if (section->flags & SHF_ALLOC && section->size && section->address + section->size > section->address)
			table->area[table->areas++] =
				(struct symbol_area){ section->address, section->address + section->size,
						      section->flags & SHF_EXECINSTR };
	}
	if (table->areas)
		return 0;
	for (unsigned i = 0; i < input->mapped.parts; i++)
		table->area[table->areas++] = (struct symbol_area){
			input->mapped.part[i].address,
			input->mapped.part[i].address + input->mapped.part[i].size,
			input->mapped.part[i].executable,
		};
	return 0;
}

static uint64_t globals(const struct elf_tables *tables, const struct elf_section *section)
{
	uint64_t count = section->size / (tables->is_64 ? sizeof(Elf64_Sym) : sizeof(Elf32_Sym));

	return count > section->info ? count - section->info : 0;
}

/* .symtab of a file: *ret_globals is how many of its symbols others can see. */
static int take_symtab(struct symbol_table *table, const struct elf_tables *tables, uint64_t shift,
		       uint64_t *ret_globals, const char *origin)
{
	const struct elf_section *section = elf_section_of_type(tables, SHT_SYMTAB);
	int error = section ? symbol_collect_section(table, tables, section, shift) : -ENOENT;

	if (error)
		return error;
	*ret_globals = globals(tables, section);
	symbol_table_came_from(table, origin);
	return 0;
}

/* A prelinked file has moved away from its debug file. */
static uint64_t shift_of(const struct elf_tables *tables, const struct elf_tables *other)
{
	return tables->loaded && other->loaded ? tables->first_address - other->first_address : 0;
}

/* A compressed ELF file in a section, with what .dynsym lacks. */
static int take_debugdata(struct symbol_table *table, const struct elf_tables *tables, uint64_t *ret_globals)
{
	const struct elf_section *section = elf_section_named(tables, ".gnu_debugdata");
	struct elf_blob packed, file;
	struct elf_tables inner;
	struct reader bytes;
	int error = section ? elf_section_read(tables, section, &packed) : -ENOENT;

	if (error)
		return error;
	error = elf_unpack_file(packed.data, packed.size, &file);
	free(packed.data);
	if (error) {
		if (error == -EFBIG)
			symbol_table_complain(table, ".gnu_debugdata takes more than %d bytes, or %d of memory to unpack",
					      MAX_UNPACKED_BYTES, MAX_XZ_MEMORY);
		else if (error != -ENOMEM)
			symbol_table_complain(table, ".gnu_debugdata is damaged");
		return error;
	}
	bytes = elf_blob_reader(&file);
	error = elf_tables_open(&inner, &bytes, file.size);
	if (!error) {
		error = take_symtab(table, &inner, shift_of(tables, &inner), ret_globals,
				    ".gnu_debugdata");
		elf_tables_close(&inner);
	}
	free(file.data);
	return error;
}

/* fd: closed here; or an error. */
static int take_other_file(struct symbol_table *table, const struct elf_tables *tables, int fd, uint64_t *ret_globals,
			   const char *origin)
{
	struct elf_tables other;
	struct reader bytes;
	int64_t size;
	int error;

	if (fd < 0)
		return fd;
	bytes = elf_fd_reader(&fd);
	size = symbol_file_size(fd);
	error = size < 0 ? (int)size : elf_tables_open(&other, &bytes, (uint64_t)size);
	if (!error) {
		error = take_symtab(table, &other, shift_of(tables, &other), ret_globals, origin);
		elf_tables_close(&other);
	}
	symbol_close(fd);
	return error;
}

static int take_debug_file_at(struct symbol_table *table, const struct symbol_input *input, int root,
			      const struct elf_blob *link, uint64_t *ret_globals)
{
	const struct elf_build_id *id = &input->tables.build_id;

	return take_other_file(table, &input->tables, symbol_open_debug_file(root, id, input->source->path, link),
			       ret_globals, "debug file");
}

static int take_debug_file(struct symbol_table *table, const struct symbol_input *input, uint64_t *ret_globals)
{
	const struct elf_section *section = elf_section_named(&input->tables, ".gnu_debuglink");
	struct elf_blob link = { .data = NULL };
	int error = -ENOENT;

	if (!section && !input->tables.build_id.size)
		return -ENOENT;
	if (input->source->flags & SYMBOL_NO_DEBUG_FILES) {
		table->partial = true;
		return -ENOENT;
	}
	if (section && section->size < 4096)
		(void)elf_section_read(&input->tables, section, &link);
	if (input->source->root_fd >= 0)
		error = take_debug_file_at(table, input, input->source->root_fd, &link, ret_globals);
	if (error && !is_fatal(error))
		error = take_debug_file_at(table, input, -1, &link, ret_globals);
	free(link.data);
	if (error && !is_fatal(error) && input->source->fetched)
		error = take_other_file(table, &input->tables,
					symbol_open_fetched(input->source->fetched, &input->tables.build_id), ret_globals,
					"fetched debug file");
	return error;
}

/* What the dynamic section of a mapped image says, where its sections are not mapped. */
static int take_dynamic(struct symbol_table *table, const struct symbol_input *input)
{
	struct elf_dynamic_symbols found;
	struct symbol_raw raw = { .is_64 = true };
	int error = elf_dynamic_symbols_read(input->source->memory, input->source->image, &found);

	if (error)
		return is_fatal(error) ? error : 0;
	raw.symbols = found.symbols;
	raw.versions = found.versions;
	raw.name_bytes = found.strings.size;
	error = symbol_take_names(table, &found.strings, &raw.name_base);
	if (!error)
		error = symbol_collect(table, &raw);
	free(found.symbols.data);
	free(found.versions.data);
	if (!error)
		symbol_table_came_from(table, "dynamic section");
	return error;
}

/*
 * What a linker exports it has in .symtab too: where both have as many, reading both would bring nothing. But for a
 * few that only .dynsym has: other names of data that a program copies from its libraries ("_environ").
 */
enum { COPIES = 16 };

static int take_all(struct symbol_table *table, const struct symbol_input *input)
{
	const struct elf_tables *tables = &input->tables;
	const struct elf_section *dynsym = elf_section_of_type(tables, SHT_DYNSYM);
	uint64_t seen = 0;
	bool whole = true; /* what .dynsym has is there already */
	int error = take_symtab(table, tables, 0, &seen, ".symtab");

	if (error && !is_fatal(error)) {
		error = take_debugdata(table, tables, &seen);
		whole = false;
	}
	if (error && !is_fatal(error)) {
		error = take_debug_file(table, input, &seen);
		whole = !error;
		table->lacks_symbols = !whole;
	}
	if (is_fatal(error))
		return error;
	error = 0;
	if (dynsym && (!whole || globals(tables, dynsym) > seen + COPIES)) {
		error = symbol_collect_section(table, tables, dynsym, 0);
		if (!error)
			symbol_table_came_from(table, ".dynsym");
	} else if (!dynsym && !whole && input->in_memory) {
		error = take_dynamic(table, input);
	}
	if (!is_fatal(error))
		error = symbol_collect_plt(table, tables);
	return is_fatal(error) ? error : 0;
}

/* What was reserved for symbols that were not taken is given back. */
static void shrink(struct symbol_table *table)
{
	struct symbol_entry *entry;

	if (table->entries + table->entries / 8 < table->entry_room && table->entries) {
		entry = realloc(table->entry, table->entries * sizeof(*entry));
		if (entry) {
			table->entry = entry;
			table->entry_room = table->entries;
		}
	}
	if (table->name_bytes + table->name_bytes / 8 < table->name_room) {
		char *names = realloc(table->names, table->name_bytes);
		if (names) {
			table->names = names;
			table->name_room = table->name_bytes;
		}
	}
	free(table->area);
	table->area = NULL;
	free(table->dynamic.data);
	table->dynamic.data = NULL;
	free(table->spare.data);
	table->spare.data = NULL;
}

int symbol_table_make(struct symbol_table *table, struct symbol_input *input)
{
	int error;

	memset(table, 0, sizeof(*table));
	table->build_id = input->tables.build_id;
	table->fingerprint = input->tables.fingerprint;
	error = take_areas(table, input);
	if (!error)
		error = take_all(table, input);
	if (!error)
		error = symbol_arrange(table);
	if (error)
		symbol_table_free(table);
	else
		shrink(table);
	return error;
}

void symbol_table_free(struct symbol_table *table)
{
	free(table->entry);
	free(table->resume);
	free(table->slices.start);
	free(table->huge);
	free(table->names);
	free(table->area);
	free(table->dynamic.data);
	free(table->spare.data);
	free(atomic_load(&table->index));
	memset(table, 0, sizeof(*table));
}

size_t symbol_table_bytes(const struct symbol_table *table)
{
	size_t bytes = table->entry_room * sizeof(*table->entry) + table->resume_room * sizeof(*table->resume) +
		       table->huge_room * sizeof(*table->huge) + table->name_room;

	if (table->slices.start)
		bytes += (table->slices.count + 1) * sizeof(*table->slices.start);
	if (atomic_load_explicit(&table->index, memory_order_relaxed))
		bytes += ((size_t)symbol_index_mask(table->entries) + 1) * sizeof(uint32_t);
	return bytes;
}
