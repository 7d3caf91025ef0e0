/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stack/inside.h - inside this room
 */
#ifndef STACK_INSIDE_H
#define STACK_INSIDE_H

#include <pthread.h>
#include <sys/queue.h>

#include <elfutils/libdw.h>

#include "stack/stack.h"

/* ---- rules: cfi.c ------------------------------------------------------------------------ */

enum rule_kind {
	RULE_UNDEFINED,
	RULE_SAME,
	RULE_AT_CFA,  /* stored at cfa + offset */
	RULE_CFA,     /* is cfa + offset */
	RULE_REGISTER, /* is in register offset */
	RULE_AT_EXPRESSION,
	RULE_EXPRESSION,
};
struct rule {
	uint8_t kind;
	uint16_t count; /* of operations */
	union {
		int64_t offset;
		const Dwarf_Op *ops; /* of the file's CFI, as long as that */
	} u;
};
/* How to get from the registers at one pc to those of the caller. */
struct row {
	uint64_t address, end; /* in the file; it holds up to there */
	bool signal;       /* a frame of the kernel's: the caller was interrupted */
	bool none;         /* there is no rule for this address */
	uint8_t cfa_register;
	struct rule cfa;   /* CFA: cfa_register + offset, or an expression */
	struct rule rule[ARCH_DWARF_REGISTERS];
};

struct cfi;
/*
 * The call frame information of an ELF file or image. fd: of a file, -1: bytes hold the image as a file would look.
 * The fd may be closed afterwards; bytes must stay. NULL: it has none, or no memory.
 */
struct cfi *cfi_of_file(int fd);
struct cfi *cfi_of_bytes(unsigned char *bytes, size_t length);
void cfi_free(struct cfi *cfi);
/* The row for that address; copied out. False: none. */
bool cfi_row(struct cfi *cfi, uint64_t address, struct row *ret);

/* ---- files: pool.c ----------------------------------------------------------------------- */

/* A PT_LOAD: which addresses the bytes from offset on have. */
struct segment {
	uint64_t offset, address, size;
};
enum { SEGMENTS_MAX = 64 };

struct file {
	LIST_ENTRY(file) entry;
	unsigned users;      /* under the pool's lock */
	uint64_t used;       /* when, in look-ups of the pool */
	uint64_t inode;
	uint32_t device_major, device_minor;
	bool listed;         /* found by others */
	void *pin;           /* a mapping of it: keeps the inode from being given to another */
	unsigned char *bytes; /* owned: an image read from memory */
	size_t length;
	struct cfi *cfi;     /* NULL: nothing is known of its frames */
	struct segment segment[SEGMENTS_MAX];
	unsigned segments;
};

/* What is asked of maps for one file. */
struct mapped {
	vaddr_t start, end;
	uint64_t offset, inode;
	uint32_t device_major, device_minor;
	bool vdso;
	char *path;          /* owned by the map; "" for none */
	struct file *file;   /* NULL: not looked for yet, or none */
	bool looked;
};

/* A reference, or NULL: nothing is known. all: the mappings of the process, for an image that only memory has. */
struct file *pool_file(struct stack_pool *pool, int64_t tid, const struct reader *memory, const struct mapped *mapping);
void pool_put(struct stack_pool *pool, struct file *file);
/* The address in the file of a byte of it; UINT64_MAX: none. */
uint64_t file_address(const struct file *file, uint64_t offset);

/* ---- mappings: map.c --------------------------------------------------------------------- */

struct stack_map {
	struct stack_pool *pool;
	int64_t tid;
	struct reader memory;
	pthread_mutex_t lock; /* of the files in it */
	struct mapped *mapping; /* executable ones, by address */
	size_t count, room;
};
struct mapped *map_at(struct stack_map *map, vaddr_t address);
/* Its file with reference of the map's, or NULL. */
struct file *map_file(struct stack_map *map, struct mapped *mapping);

/* ---- expressions: expression.c ----------------------------------------------------------- */

struct registers {
	uint64_t value[ARCH_DWARF_REGISTERS];
	uint32_t known; /* bit n: value[n] */
};
struct context {
	const struct registers *registers;
	const struct stack_copy *copy;
	uint64_t cfa;
	bool has_cfa;
};
enum got { GOT, GOT_NO_BYTES, GOT_NO_REGISTER, GOT_NO_RULE };
/* A word of the copied memory. */
enum got copy_word(const struct stack_copy *copy, vaddr_t address, uint64_t *ret);
enum got evaluate(const struct context *context, const Dwarf_Op *ops, size_t count, uint64_t *ret);

#endif
