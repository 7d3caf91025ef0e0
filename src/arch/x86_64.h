/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * arch/x86_64.h - inside this room: where the registers lie in what PTRACE_GETREGSET NT_PRSTATUS returns
 *
 * The kernel picks the layout by the mode the thread is in, not by its executable: 27 words of 8 bytes in
 * 64-bit mode, 17 of 4 in 32-bit mode. A process can hold threads of both.
 */
#ifndef ARCH_X86_64_H
#define ARCH_X86_64_H

#include "arch/arch.h"

enum { X86_64_WORDS = 27, I386_WORDS = 17 };

/* Indexes of words, <sys/user.h> struct user_regs_struct. */
enum x86_64_word {
	X86_64_R15,
	X86_64_R14,
	X86_64_R13,
	X86_64_R12,
	X86_64_RBP,
	X86_64_RBX,
	X86_64_R11,
	X86_64_R10,
	X86_64_R9,
	X86_64_R8,
	X86_64_RAX,
	X86_64_RCX,
	X86_64_RDX,
	X86_64_RSI,
	X86_64_RDI,
	X86_64_ORIG_RAX,
	X86_64_RIP,
	X86_64_CS,
	X86_64_RFLAGS,
	X86_64_RSP,
};

enum i386_word {
	I386_EBX,
	I386_ECX,
	I386_EDX,
	I386_ESI,
	I386_EDI,
	I386_EBP,
	I386_EAX,
	I386_DS,
	I386_ES,
	I386_FS,
	I386_GS,
	I386_ORIG_EAX,
	I386_EIP,
	I386_CS,
	I386_EFLAGS,
	I386_ESP,
};

/* Bits of rflags. */
enum {
	X86_CF = 1 << 0,
	X86_PF = 1 << 2,
	X86_AF = 1 << 4,
	X86_ZF = 1 << 6,
	X86_SF = 1 << 7,
	X86_TF = 1 << 8,
	X86_OF = 1 << 11,
	X86_ARITHMETIC = X86_CF | X86_PF | X86_AF | X86_ZF | X86_SF | X86_OF,
};

/* One word by index, in either layout; words of the 32-bit layout are zero-extended. */
uint64_t x86_word(const struct arch_regs *regs, unsigned word);
void x86_set_word(struct arch_regs *regs, unsigned word, uint64_t value);

#endif
