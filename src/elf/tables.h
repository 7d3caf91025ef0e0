/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * elf/tables.h - the sections of an ELF file: their bytes, unpacked where they are compressed, and PLT entries
 *
 * "bytes" reads the file: an address is an offset in it. Nothing in the file is trusted: what lies outside it,
 * is larger than the limits of base/limits.h, or unpacks to more than its format can, is refused before memory is
 * taken for it. Threads: any; no state.
 */
#ifndef ELF_TABLES_H
#define ELF_TABLES_H

#include <elf.h>

#include "elf/elf.h"

/* ch_type: older headers lack ELFCOMPRESS_ZSTD. */
enum { ELF_COMPRESS_ZSTD = 2 };

struct elf_section {
	uint32_t name, type, link, info;
	uint64_t flags, address, offset, size, align, entry_size;
};

struct elf_tables {
	const struct reader *bytes;
	uint64_t length; /* of the file */
	bool is_64;
	uint16_t machine;
	uint32_t count;              /* sections; 0: none, or their headers cannot be read */
	struct elf_section *section; /* owned */
	char *names;                 /* of sections; owned, NUL-ended; NULL: none */
	uint64_t names_length;
	uint64_t first_address;      /* of the first part that is loaded, as the file wants it, page-aligned */
	bool loaded;                 /* there is such a part */
	struct elf_build_id build_id;
	uint64_t fingerprint;        /* of all headers, those of sections too */
};

/* 0; -ENOEXEC: no executable or library; -ENOMEM; what the reader failed with. Release: elf_tables_close(). */
int elf_tables_open(struct elf_tables *tables, const struct reader *bytes, uint64_t length);
void elf_tables_close(struct elf_tables *tables);

/* The first of a type with at least one byte, or of a name ("" for no name table); NULL: none. */
const struct elf_section *elf_section_of_type(const struct elf_tables *tables, uint32_t type);
const struct elf_section *elf_section_named(const struct elf_tables *tables, const char *name);
/* The one that sh_link names, NULL: there is no such. */
const struct elf_section *elf_section_linked(const struct elf_tables *tables, const struct elf_section *section);

/* Bytes that were read: malloc'ed, and one NUL stands behind them, so that a string in them always ends. */
struct elf_blob {
	unsigned char *data;
	size_t size;
	size_t room; /* bytes behind that NUL */
};
/*
 * The bytes of a section, unpacked. 0; -ENOENT: it has none (NOBITS); -ENOEXEC: it lies outside the file, or is
 * packed wrongly; -EFBIG: more than MAX_SECTION_BYTES; -ENOTSUP: packed neither by zlib nor by zstd; -ENOMEM;
 * what the reader failed with.
 */
int elf_section_read(const struct elf_tables *tables, const struct elf_section *section, struct elf_blob *ret);
/* The same with room for so many bytes more behind that NUL (in what is unpacked: without). */
int elf_section_read_room(const struct elf_tables *tables, const struct elf_section *section, size_t room,
			  struct elf_blob *ret);
/*
 * malloc() for what is filled at once: large memory is made present in one call (madvise(2), MADV_POPULATE_WRITE)
 * instead of by a fault a page, which is half the time of a build. Release: free().
 */
void *elf_allocate(size_t size);

/* Unpack exactly size bytes of zlib's format. 0, -ENOEXEC, -EFBIG, -ENOMEM. */
int elf_unpack_zlib(const void *packed, size_t packed_size, uint64_t size, struct elf_blob *ret);
/* The same of one or more zstd frames. */
int elf_unpack_zstd(const void *packed, size_t packed_size, uint64_t size, struct elf_blob *ret);
/* Unpack a file packed by xz or zstd (.gnu_debugdata) of at most MAX_UNPACKED_BYTES. 0, -ENOEXEC, -EFBIG, -ENOMEM. */
int elf_unpack_file(const void *packed, size_t packed_size, struct elf_blob *ret);

/* A blob as a reader, addresses are offsets. blob is kept by the caller. */
struct reader elf_blob_reader(const struct elf_blob *blob);
/* A file descriptor as a reader; fd is kept by the caller. */
struct reader elf_fd_reader(const int *fd);

/*
 * A mapped image as a file: offsets of the file are looked up in its program headers. What no segment holds is not
 * there, so usually there are no sections; the vdso has them.
 */
struct elf_mapped {
	const struct reader *memory;
	vaddr_t bias;
	struct {
		uint64_t offset, size, address;
		bool executable;
	} part[ELF_FILE_PARTS];
	unsigned parts;
	uint64_t length; /* of the file, as far as it is mapped */
};
/* 0, -ENOEXEC or what the reader failed with. */
int elf_mapped_open(struct elf_mapped *mapped, const struct reader *memory, const struct elf_image *image);
struct reader elf_mapped_reader(struct elf_mapped *mapped);

/* The dynamic symbols of a mapped image, 64-bit: what DT_SYMTAB, DT_STRTAB and DT_VERSYM point to. */
struct elf_dynamic_symbols {
	struct elf_blob symbols, strings, versions; /* versions may be empty */
};
/* 0, -ENOENT (there are none), -ENOEXEC, -E2BIG, -ENOMEM, what the reader failed with. */
int elf_dynamic_symbols_read(const struct reader *memory, const struct elf_image *image,
			     struct elf_dynamic_symbols *ret);

/* One entry of a procedure linkage table. */
struct elf_plt_entry {
	uint64_t address;
	uint32_t size;
	uint32_t symbol;   /* index in .dynsym; 0: it goes to what a resolver answers */
	uint64_t resolver; /* the address of that IFUNC resolver (IRELATIVE) */
	uint32_t name;     /* where its name ("puts@plt") begins among the names; 0: none */
};
/*
 * The entries of .plt, .plt.sec and .plt.got of an x86 file (none of another machine's), by ascending address:
 * malloc'ed in ret, their number returned. An entry jumps through a slot, and the relocation of that slot names
 * the symbol; one of an .plt before a .plt.sec pushes the number of its relocation. -ENOMEM; of what cannot be read, or
 * has no name, there are no entries.
 * names: the caller may lend data, of room bytes, for them; if they do not fit, and with room 0, data is malloc'ed. They
 * begin with a NUL. Size 0: there are none, and data is as it was.
 * known: .dynsym and .dynstr where they are at hand; NULL: what is needed of them is read.
 */
struct elf_plt_known {
	struct elf_blob symbols;
	const char *strings; /* a NUL stands behind them */
	size_t string_bytes;
};
ssize_t elf_plt_entries(const struct elf_tables *tables, const struct elf_plt_known *known,
			struct elf_plt_entry **ret, struct elf_blob *names);

#endif
