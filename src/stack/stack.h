/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stack/stack.h - from copied registers and stack bytes to frames
 *
 *	copy of a thread ─┐
 *	                  ├──► stack_unwind() ──► pc, pc, pc, …
 *	mappings ─────────┘         │ each pc: its mapping ──► its file's rules (cached in the pool)
 *
 * The victim runs meanwhile: of its memory nothing is read but text and what maps shows, and that only where no file
 * has it. Nothing here trusts a byte of it, of a stack or of a file.
 *
 * Threads: any, several at a time; a pool has a lock of its own, and each file's rules another.
 */
#ifndef STACK_STACK_H
#define STACK_STACK_H

#include "arch/arch.h"
#include "base/reader.h"

/* Rules of files, by device and inode. A file that is kept is mapped, so that its inode is nobody else's meanwhile. */
struct stack_pool;
struct stack_pool *stack_pool_new(void);
void stack_pool_free(struct stack_pool *pool);

/* What is mapped executable in a process at one time. */
struct stack_map;
/*
 * memory: reads the process's. Kept to stack_map_free(), as is the pool. 0, -ESRCH, -EACCES, -ENOMEM or another
 * negative errno.
 */
int stack_map_read(struct stack_pool *pool, int64_t tid, const struct reader *memory, struct stack_map **ret);
void stack_map_free(struct stack_map *map);
/* Open what is mapped now, and not when it is first asked for: the process may have ended by then. */
void stack_map_open(struct stack_map *map);

/* Where an address lies. */
struct stack_place {
	const char *path;  /* of the map; "" for memory that is of no file */
	vaddr_t base;      /* what is added to the addresses in the file; 0: not known */
};
/* False: nothing executable is there. */
bool stack_place(struct stack_map *map, vaddr_t address, struct stack_place *ret);

/* Pieces of memory as they were when the registers were. */
struct stack_window {
	vaddr_t address;
	size_t length;
	const unsigned char *bytes;
};
enum { STACK_WINDOWS = 8, STACK_ALL_REGISTERS = (1 << ARCH_DWARF_REGISTERS) - 1 };
struct stack_copy {
	struct arch_regs regs;  /* x86-64's */
	uint32_t known;         /* bit n: register n of call frame information; pc and sp are known in any case */
	vaddr_t pc, sp;
	unsigned windows;
	struct stack_window window[STACK_WINDOWS];
};

enum stack_how { STACK_PC = 1, STACK_CFI, STACK_FP, STACK_SIGNAL, STACK_SCAN };
enum stack_end { STACK_WHOLE, STACK_FRAMES, STACK_BYTES, STACK_REGISTERS, STACK_RULES };
struct stack_frame {
	vaddr_t pc, cfa; /* cfa 0: not known */
	/* what the address's instruction is told by: pc, or pc - 1 behind a call */
	vaddr_t look_up;
	enum stack_how how;
};
/* How many frames, at most max (not 0). */
size_t stack_unwind(struct stack_map *map, const struct stack_copy *copy, struct stack_frame *frames, size_t max,
		    enum stack_end *ret_end);

#endif
