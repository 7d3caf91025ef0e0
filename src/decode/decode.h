/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * decode/decode.h - what an instruction does, and how it can be run elsewhere
 *
 * The only room that decodes (Zydis). Library side only: the controller gets finished recipes.
 * Threads: any; no state.
 */
#ifndef DECODE_DECODE_H
#define DECODE_DECODE_H

#include "base/reader.h"
#include "base/recipe.h"

/*
 * Make the recipe for the instruction at address, whose bytes are given (up to 15; fewer at the end of a
 * mapping). 0; -EILSEQ: no valid instruction. A recipe is always safe: what can be neither emulated nor run
 * in a slot has op RECIPE_NONE and code_length 0.
 */
int decode_recipe(const uint8_t *bytes, size_t length, vaddr_t address, struct recipe *ret);

/*
 * Find main through the C runtime's start code: follow _start from entry to its call of __libc_start_main
 * (glibc: main is the first argument; musl: in _start_c) and tell the address that is passed as main.
 * 0; 1: ret is not main but the pointer to it (GOT), to be read once the linker has relocated it; -ENOENT
 * when this is no C start code (Go, assembly).
 */
int decode_find_main(const struct reader *memory, vaddr_t entry, vaddr_t *ret);

/*
 * Where a linker comes back to from its own work, at the start of a process: its entry does no more than call a
 * function with the stack pointer, and goes on to constructors and program when that returns. 0, -ENOENT.
 */
int decode_find_return(const struct reader *memory, vaddr_t entry, vaddr_t *ret);

/* The bytes of a syscall instruction in [start, end), executable memory: for remote calls. 0, -ENOENT. */
int decode_find_syscall(const struct reader *memory, vaddr_t start, vaddr_t end, vaddr_t *ret);

#endif
