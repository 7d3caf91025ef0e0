/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * symbol/symbol.h - the names in one file, shared by all who map it
 *
 *	struct symbol_pool *pool = symbol_pool_new(NULL);          one per session
 *	struct symbol_source source = { .size = sizeof(source), .fd = fd, .root_fd = -1, .path = path };
 *	if (symbol_file_get(pool, &source, &file) == 0) {
 *		if (symbol_file_at(file, address - bias, &symbol) == 0)
 *			... symbol.name, address - bias - symbol.address
 *		symbol_file_put(file);
 *	}
 *
 * Life: symbol_file_get() finds a table or builds it, and takes a reference; at the last symbol_file_put() it
 * stays in the pool, idle, until the pool's budget throws it out, least recently used first. A table outlives
 * its pool while it is referenced. What a look-up gives lives as long as the table.
 *
 * Threads: any, all of it; look-ups take no lock and allocate nothing (the first symbol_file_find() of a table
 * builds its index of names). Only a struct symbol_jit belongs to one thread at a time.
 *
 * Which names. The file's .symtab; where that lacks exported symbols (more than a few), or is missing, .dynsym too; and
 * without a .symtab that of .gnu_debugdata, else of a separate debug file (by build-id, then .gnu_debuglink). PLT entries
 * are named sym@plt. Not taken: undefined, absolute, thread-local, section and file symbols, nameless ones.
 * A version ("memcpy@@GLIBC_2.14") is cut off a name.
 *
 * Which name an address has (tests/unit/test_symbol.c proves each sentence):
 *  1. A symbol covers [address, address + size). Of those that cover an address the one that starts last wins.
 *  2. A symbol of size 0 covers no address that one with a size covers. Otherwise it covers its own address and,
 *     in an executable section, what follows, up to the next symbol or the end of the section.
 *  3. Of those that start together and cover it: one with a size before one without; function (IFUNC too) before untyped
 *     before object; global before weak before local; fewer leading underscores; any symbol before a PLT entry;
 *     the first in the file's table.
 *  4. What none covers has no name (-ENOENT): padding, data between objects, the first PLT entry.
 * So a symbol's own address gives itself, a better alias, or (if it has no size) the function around it.
 * A name that several symbols have gives the first by: function before untyped before object; global before
 * weak before local; the default version before a hidden one; the lowest address.
 */
#ifndef SYMBOL_SYMBOL_H
#define SYMBOL_SYMBOL_H

#include "base/reader.h"
#include "elf/elf.h"

#ifdef __cplusplus
extern "C" {
#endif

struct symbol_pool;
struct symbol_file;
struct symbol_jit;

/* Values as in ELF (elf(5), st_info), so that a client's own tables fit. */
enum symbol_type { SYMBOL_UNTYPED = 0, SYMBOL_OBJECT = 1, SYMBOL_FUNCTION = 2, SYMBOL_IFUNC = 10 };
enum symbol_binding { SYMBOL_LOCAL = 0, SYMBOL_GLOBAL = 1, SYMBOL_WEAK = 2, SYMBOL_UNIQUE = 10 };

enum symbol_flags {
	SYMBOL_IS_PLT = 1 << 0,        /* an entry of the procedure linkage table: NAME@plt; made, not in the file */
	SYMBOL_HAS_NO_SIZE = 1 << 1,   /* size is 0 in the file */
	SYMBOL_HIDDEN_VERSION = 1 << 2, /* not the default version of its name: a linker takes it only by version */
	SYMBOL_IS_JIT = 1 << 3,        /* of a perf map */
};

struct symbol {
	const char *name; /* not demangled; NUL-ended, lives as long as the table */
	uint64_t address; /* as in the file (of a JIT symbol: in the process) */
	uint64_t size;    /* as in the file; 0: unknown */
	uint8_t type;     /* enum symbol_type */
	uint8_t binding;  /* enum symbol_binding */
	uint32_t flags;   /* enum symbol_flags */
};

enum symbol_source_flags {
	/* Open no other file: a victim is held that may serve it (FUSE). The table says so (symbol_file_is_partial). */
	SYMBOL_NO_DEBUG_FILES = 1 << 0,
};

/* Where one load object's bytes can be had. Nothing of it is kept beyond the call. */
struct symbol_source {
	size_t size;                   /* of this struct */
	int fd;                        /* the file, opened by the caller; -1: none. Read by pread(2): its offset stays */
	int root_fd;                   /* a directory, the victim's root: debug files are looked for there first; or -1 */
	const struct reader *memory;   /* with fd -1: the mapped image ([vdso], memory-only objects) */
	const struct elf_image *image; /* with memory: what its program headers say */
	const char *path;              /* as the victim names it, for .gnu_debuglink; NULL: only by build-id */
	uint32_t flags;                /* enum symbol_source_flags */
	const char *fetched;           /* a debug file that a server has sent, or NULL */
};

/* Of what nobody references. 0 means the default of each. */
struct symbol_limits {
	size_t size;         /* of this struct */
	uint64_t idle_bytes; /* default 64 MiB */
	uint32_t idle_files; /* default 256 */
};

/* NULL: out of memory. limits may be NULL. */
struct symbol_pool *symbol_pool_new(const struct symbol_limits *limits);
/* Throws the idle tables out; referenced ones go with their last reference. NULL is allowed. */
void symbol_pool_free(struct symbol_pool *pool);
/* Throw every idle table out now. */
void symbol_pool_trim(struct symbol_pool *pool);

struct symbol_pool_state {
	uint64_t files, idle_files; /* tables in the pool; those of them that nobody references */
	uint64_t bytes, idle_bytes;
	uint64_t hits, builds, evictions; /* since the pool was made */
};
void symbol_pool_state(const struct symbol_pool *pool, struct symbol_pool_state *ret);

/*
 * The table of a file, from the pool or built now: one that was seen under the same device, inode, size and
 * times, or has the same build-id and the same headers. Two threads that ask for a new one at once both build
 * it, and one result is dropped. A file without symbols has an empty table.
 * Blocks: reads the file; without SYMBOL_NO_DEBUG_FILES opens others.
 * Return: 0; -ENOEXEC: no ELF file of an executable or library; -EINVAL; -ENOMEM; -E2BIG: beyond the limits
 * MAX_SYMBOLS or MAX_SYMBOL_BYTES; what pread(2) or memory's reader failed with.
 */
int symbol_file_get(struct symbol_pool *pool, const struct symbol_source *source, struct symbol_file **ret);
struct symbol_file *symbol_file_ref(struct symbol_file *file);
/* NULL is allowed. */
void symbol_file_put(struct symbol_file *file);

/* The name of an address as in the file (the victim's less the bias). 0 or -ENOENT. */
int symbol_file_at(const struct symbol_file *file, uint64_t address, struct symbol *ret);
/* The address of a name, without version. 0, -ENOENT, -ENOMEM (the index of names could not be built). */
int symbol_file_find(const struct symbol_file *file, const char *name, struct symbol *ret);
/* Every symbol by ascending address, aliases in no order, until visit returns other than 0, which is returned. */
int symbol_file_each(const struct symbol_file *file, int (*visit)(const struct symbol *symbol, void *data),
		     void *data);

size_t symbol_file_count(const struct symbol_file *file);
/* Memory that it holds: 17 bytes a symbol and the names, 8 to 16 more a symbol once a name was looked up. */
size_t symbol_file_bytes(const struct symbol_file *file);
/* The build-id of the file; size 0: it has none. */
const struct elf_build_id *symbol_file_build_id(const struct symbol_file *file);
/* Debug files were not looked for (SYMBOL_NO_DEBUG_FILES) though they could add names: ask again without. */
bool symbol_file_is_partial(const struct symbol_file *file);
/* It has no symbols but those that others may see, and no debug file that is here has more. */
bool symbol_file_lacks_symbols(const struct symbol_file *file);
/* Where the names came from, for people: ".symtab", ".dynsym, .gnu_debugdata", ...; "" for none. */
const char *symbol_file_origin(const struct symbol_file *file);
/* What could not be read, and why, for the log (".gnu_debugdata is damaged"); "" for nothing. */
const char *symbol_file_complaint(const struct symbol_file *file);

/*
 * Names of code that a process made at run time, from the perf map that it writes (/tmp/perf-PID.map in its
 * mount namespace, PID as in its pid namespace; https://docs.kernel.org/ or tools/perf jit-interface.txt in the
 * kernel's source). Addresses are those of the process. Of entries that overlap the one written last holds.
 */
/* NULL: out of memory. */
struct symbol_jit *symbol_jit_new(void);
void symbol_jit_free(struct symbol_jit *jit);
/*
 * Read what was appended since the last call; all of it again when the file is another or has shrunk (names
 * that were given before stay valid until symbol_jit_free). root_fd: the victim's root; pid: as it sees itself;
 * owner: the victim's user. Return: the number of entries that are new; -ENOENT: no map; -EPERM: it belongs to
 * another user than owner and root (anybody may write into /tmp); -E2BIG: beyond MAX_JIT_BYTES or
 * MAX_JIT_SYMBOLS, what came before stays; -ENOMEM; negative errno.
 */
int symbol_jit_read(struct symbol_jit *jit, int root_fd, int64_t pid, uid_t owner);
/* 0 or -ENOENT. */
int symbol_jit_at(const struct symbol_jit *jit, uint64_t address, struct symbol *ret);
size_t symbol_jit_count(const struct symbol_jit *jit);
size_t symbol_jit_bytes(const struct symbol_jit *jit);

/*
 * A debug file from a debuginfod server. may: asked again and again until it is there; false: no more, and the request
 * is given up. Blocks, at most MAX_FETCH_SECONDS. 0 and *ret is its path (free() it), which proves nothing yet;
 * -EDESTADDRREQ: DEBUGINFOD_URLS names no server; -ELIBACC: elfutils' client library is not there; -ECANCELED; -ENOENT:
 * no server has it; another negative errno: no server could be asked, now or before.
 */
struct symbol_fetching {
	bool (*may)(void *data);
	void *data;
	bool *failed; /* the caller's, atomic: no server could be asked, so none is any more */
};
int symbol_fetch(const struct symbol_fetching *fetching, const struct elf_build_id *id, char **ret);
/* 0, -EDESTADDRREQ or -ELIBACC, nobody being asked. */
int symbol_fetch_check(void);

/*
 * C++ and Rust names as people write them, malloc'ed. NULL: not mangled (by these languages), longer than
 * MAX_MANGLED or MAX_DEMANGLED allow, or out of memory: show the name as it is.
 */
char *symbol_demangle(const char *name);

#ifdef __cplusplus
}
#endif
#endif
