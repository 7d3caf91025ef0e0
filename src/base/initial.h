/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * base/initial.h - where a new image lies, from the stack that execve(2) has laid out
 *
 * argc, argv and a NULL, envp and a NULL, the auxiliary vector (System V ABI, getauxval(3)). Inline, for code that
 * may call nothing (client/borrowed.h).
 */
#ifndef BASE_INITIAL_H
#define BASE_INITIAL_H

#include <elf.h>

#include "base/types.h"

struct initial_vector {
	vaddr_t phdr, linker, vdso, name; /* AT_PHDR, AT_BASE, AT_SYSINFO_EHDR, AT_EXECFN; 0: none */
};

/* The stack from its pointer on. False: the vector does not end there, or names no program. */
__attribute__((always_inline)) static inline bool initial_vector(const uint64_t *word, size_t words,
								 struct initial_vector *ret)
{
	size_t at = 1;

	ret->phdr = ret->linker = ret->vdso = ret->name = 0;
	for (int arrays = 0; arrays < 2; arrays++) {
		while (at < words && word[at])
			at++;
		at++;
	}
	for (; at + 1 < words && word[at] != AT_NULL; at += 2) {
		if (word[at] == AT_PHDR)
			ret->phdr = word[at + 1];
		else if (word[at] == AT_BASE)
			ret->linker = word[at + 1];
		else if (word[at] == AT_SYSINFO_EHDR)
			ret->vdso = word[at + 1];
		else if (word[at] == AT_EXECFN)
			ret->name = word[at + 1];
	}
	return at + 1 < words && ret->phdr && ret->name;
}

#endif
