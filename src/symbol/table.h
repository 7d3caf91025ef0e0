/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * symbol/table.h - inside this room: how a table is laid out, and how it is made
 *
 *	source ──► collect.c: entries (16 bytes a symbol) and names, from each table of the file
 *	       ──► plt.c:     entries of the procedure linkage table
 *	       ──► arrange.c: sorted by address, the best alias last among its like, extents, resumed ranges
 *	       ──► lookup.c:  at: a binary search in one slice; find: a hash of names, made at the first question
 *
 * An entry is found by the last one at or below an address. Where that one does not cover it, but lies inside a
 * larger one that does, a struct resume says so: they are made for every place where a larger symbol goes on
 * behind one that lies in it.
 */
#ifndef SYMBOL_TABLE_H
#define SYMBOL_TABLE_H

#include <stdatomic.h>

#include "elf/tables.h"
#include "symbol/symbol.h"

/* The low byte of an entry's key. */
enum {
	KIND_BINDING = 3 << 0, /* enum kind_binding */
	KIND_CLASS = 3 << 2,   /* enum kind_class, shifted */
	KIND_NO_SIZE = 1 << 4,
	KIND_PLT = 1 << 5,
	KIND_HIDDEN = 1 << 6, /* version */
	KIND_HUGE = 1 << 7,   /* extent is an index of huge[] */
	KIND_BITS = 8,
};
/* Both in the order of preference. */
enum kind_binding { KIND_GLOBAL, KIND_UNIQUE, KIND_WEAK, KIND_LOCAL };
enum kind_class { KIND_FUNCTION, KIND_IFUNC, KIND_UNTYPED, KIND_OBJECT, KIND_CLASS_SHIFT = 2 };

/* Of 2^56 addresses, which is all that 5-level page tables have; a symbol beyond names nothing. */
#define SYMBOL_ADDRESS_END (UINT64_C(1) << (64 - KIND_BITS))

struct symbol_entry {
	uint64_t key;    /* address << KIND_BITS | kind */
	uint32_t extent; /* bytes that it covers: its size, or what rule 2 of symbol.h gives one without */
	uint32_t name;   /* in names */
};

static inline uint64_t entry_address(const struct symbol_entry *entry)
{
	return entry->key >> KIND_BITS;
}

/* From start to end (exclusive) the symbol of that entry goes on. */
struct symbol_resume {
	uint64_t start, end;
	uint32_t entry;
};

/*
 * Where the search of an address begins: the addresses from low on in slices of 2^shift, start[n] the first entry
 * in slice n or behind it, start[count] the end. A few entries a slice, one or two lines of cache where the search in
 * all of them would wait for six.
 */
struct symbol_slices {
	uint64_t low;
	uint32_t *start; /* NULL: few entries, or no memory for it */
	size_t count;
	unsigned shift;
};

/* A part of the file's address space. */
struct symbol_area {
	uint64_t start, end;
	bool executable;
};

enum { SYMBOL_ORIGIN = 64, SYMBOL_COMPLAINT = 160 };

struct symbol_table {
	struct symbol_entry *entry;
	struct symbol_resume *resume;
	struct symbol_slices slices;
	uint64_t *huge; /* sizes of 4 GiB and more */
	char *names;    /* the first byte is NUL: name 0 is "" */
	size_t entries, entry_room, resumes, resume_room, huges, huge_room, name_bytes, name_room;
	struct symbol_area *area; /* while it is made: by start */
	size_t areas;
	struct elf_blob dynamic; /* while it is made: the file's .dynsym, when that was taken */
	uint32_t dynamic_names;  /* where its strings begin in names */
	size_t dynamic_name_bytes;
	struct elf_blob spare;   /* while it is made: memory that sorting may use */
	unsigned sources; /* tables that were taken */
	struct elf_build_id build_id;
	uint64_t fingerprint;
	bool partial;
	bool lacks_symbols; /* symbol_file_lacks_symbols() */
	char origin[SYMBOL_ORIGIN], complaint[SYMBOL_COMPLAINT];
	_Atomic(uint32_t *) index; /* of names: numbers of entries + 1, 0: free */
};

/* What a table is made of: the headers are read first, since they are the key under which it may be known. */
struct symbol_input {
	const struct symbol_source *source;
	struct reader bytes;
	struct elf_mapped mapped; /* with a memory source */
	struct elf_tables tables;
	bool in_memory;
};

/* 0 and input is open, or what symbol_file_get() says. length: of the file of source->fd. */
int symbol_input_open(struct symbol_input *input, const struct symbol_source *source, uint64_t length);
/* The same from a reader of a file's bytes (a fuzzer's). */
int symbol_input_open_bytes(struct symbol_input *input, const struct symbol_source *source,
			    const struct reader *bytes, uint64_t length);
void symbol_input_close(struct symbol_input *input);

/* All of it: collect, arrange. 0 or a negative errno; on failure there is nothing to free. */
int symbol_table_make(struct symbol_table *table, struct symbol_input *input);
void symbol_table_free(struct symbol_table *table);
size_t symbol_table_bytes(const struct symbol_table *table);
/* Slots of an index of names, less one. */
uint32_t symbol_index_mask(size_t entries);
/* A complaint; only the first is kept. */
void symbol_table_complain(struct symbol_table *table, const char *format, ...) PRINTF_LIKE(2, 3);
void symbol_table_came_from(struct symbol_table *table, const char *origin);

/*
 * Symbols of a table of class is_64, whose names begin at name_base in table->names. shift is added to their
 * addresses (a debug file of a prelinked object). versions: one word a symbol, or empty.
 */
struct symbol_raw {
	struct elf_blob symbols, versions;
	bool is_64;
	uint32_t name_base;
	size_t name_bytes, more; /* more: so many entries may come behind */
	uint64_t shift;
};
int symbol_collect(struct symbol_table *table, const struct symbol_raw *raw);
/* Take over a table of strings (its memory too): where it begins in table->names. 0, -E2BIG, -ENOMEM. */
int symbol_take_names(struct symbol_table *table, struct elf_blob *strings, uint32_t *ret_base);
/* Room for so many more entries. */
int symbol_reserve(struct symbol_table *table, size_t more);
/* .symtab or .dynsym of a file, with its strings and versions. 0; -ENOENT; -ENOMEM, -E2BIG; else complained. */
int symbol_collect_section(struct symbol_table *table, const struct elf_tables *tables,
			   const struct elf_section *section, uint64_t shift);

/* PLT entries: after all other symbols, which the entries of IFUNCs are named after. 0 or -ENOMEM. */
int symbol_collect_plt(struct symbol_table *table, const struct elf_tables *tables);

/* Sort, choose among aliases, extents. 0 or -ENOMEM. */
int symbol_arrange(struct symbol_table *table);
/* Is the first preferred to the second, both at one address (rule 3)? */
bool symbol_is_better(const struct symbol_table *table, const struct symbol_entry *entry,
		      const struct symbol_entry *other);
/* The entry that covers address, or NULL. */
const struct symbol_entry *symbol_covering(const struct symbol_table *table, uint64_t address);
void symbol_describe(const struct symbol_table *table, const struct symbol_entry *entry, struct symbol *ret);

int symbol_table_at(const struct symbol_table *table, uint64_t address, struct symbol *ret);
int symbol_table_find(struct symbol_table *table, const char *name, struct symbol *ret);
int symbol_table_each(const struct symbol_table *table,
		      int (*visit)(const struct symbol *symbol, void *data), void *data);

/*
 * The separate debug file of an object: its descriptor (the caller closes it, by symbol_close) or -ENOENT. root: a
 * directory that paths begin at, or -1 for this process's own. link: the contents of .gnu_debuglink, or empty.
 */
int symbol_open_debug_file(int root, const struct elf_build_id *id, const char *path, const struct elf_blob *link);
/* One that a server has sent: the same, proved by its build-id. */
int symbol_open_fetched(const char *path, const struct elf_build_id *id);
void symbol_close(int fd);
/* Size of a regular file, or a negative errno (-EINVAL: it is none). */
int64_t symbol_file_size(int fd);
/* What a file is known by: it changes when the file does. 0 or a negative errno. */
struct symbol_identity {
	uint64_t device, inode, size;
	int64_t modified, modified_ns, changed, changed_ns;
};
int symbol_identify(int fd, struct symbol_identity *ret);
/* Open a regular file under a root (-1: this process's own) for reading, without waiting: fd or negative errno. */
int symbol_open_under(int root, const char *path);

#endif
