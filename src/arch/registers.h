/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * arch/registers.h - registers by name, within the sets that PTRACE_GETREGSET gives
 *
 * For the library only: the controller hands sets on as they are.
 */
#ifndef ARCH_REGISTERS_H
#define ARCH_REGISTERS_H

#include "arch/arch.h"

/* The widest one, and into how many places the longest is scattered. */
enum { ARCH_REGISTER_MAX = 64, ARCH_REGISTER_PIECES = 3 };

struct arch_register {
	uint32_t set;     /* NT_* of <elf.h> */
	uint32_t size;    /* bytes */
	uint64_t needs;   /* vector state: components (XCR0) that the machine must have; 0: any has it */
	struct {
		uint32_t offset, size;
	} piece[ARCH_REGISTER_PIECES]; /* size 0: no more */
};

/* False: none of this name. */
bool arch_register_find(uint32_t tag, const char *name, struct arch_register *ret);
/* Out of, or into, a set of that length; false: this set has no such register. */
bool arch_register_read(const struct arch_register *where, const uint8_t *set, size_t length, uint8_t *value);
bool arch_register_write(const struct arch_register *where, uint8_t *set, size_t length, const uint8_t *value);
/* By its number in call frame information; NULL: none. */
const char *arch_register_name(uint32_t tag, uint32_t number);

#endif
