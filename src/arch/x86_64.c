/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * arch/x86_64.c - registers of x86-64, and of 32-bit threads that a 64-bit kernel runs
 */
#include "arch/x86_64.h"

#include <string.h>

const unsigned char arch_trap[ARCH_TRAP_SIZE] = { 0xcc };

enum { SYSCALL_ARGS = 6 };

/* What the accessors need to know of a layout. */
struct layout {
	uint8_t word_size;
	uint8_t pc, sp, flags, call, result;
	uint8_t argument[SYSCALL_ARGS]; /* of a system call */
};

static const struct layout layouts[] = {
	[ARCH_X86_64] = {
		.word_size = 8,
		.pc = X86_64_RIP,
		.sp = X86_64_RSP,
		.flags = X86_64_RFLAGS,
		.call = X86_64_ORIG_RAX,
		.result = X86_64_RAX,
		.argument = { X86_64_RDI, X86_64_RSI, X86_64_RDX, X86_64_R10, X86_64_R8, X86_64_R9 },
	},
	[ARCH_I386] = {
		.word_size = 4,
		.pc = I386_EIP,
		.sp = I386_ESP,
		.flags = I386_EFLAGS,
		.call = I386_ORIG_EAX,
		.result = I386_EAX,
		.argument = { I386_EBX, I386_ECX, I386_EDX, I386_ESI, I386_EDI, I386_EBP },
	},
};

/* A register set with no valid tag reads as 64-bit zeroes: it came from a thread that is gone. */
static const struct layout *layout_of(const struct arch_regs *regs)
{
	return &layouts[regs->tag == ARCH_I386 ? ARCH_I386 : ARCH_X86_64];
}

enum arch_tag arch_tag_of_size(size_t size)
{
	switch (size) {
	case X86_64_WORDS * 8:
		return ARCH_X86_64;
	case I386_WORDS * 4:
		return ARCH_I386;
	default:
		return ARCH_UNKNOWN;
	}
}

uint64_t x86_word(const struct arch_regs *regs, unsigned word)
{
	if (layout_of(regs)->word_size == 4) {
		uint32_t half;
		memcpy(&half, regs->u.bytes + word * 4, sizeof(half));
		return half;
	}
	uint64_t whole;
	memcpy(&whole, regs->u.bytes + word * 8, sizeof(whole));
	return whole;
}

void x86_set_word(struct arch_regs *regs, unsigned word, uint64_t value)
{
	if (layout_of(regs)->word_size == 4) {
		uint32_t half = (uint32_t)value;
		memcpy(regs->u.bytes + word * 4, &half, sizeof(half));
		return;
	}
	memcpy(regs->u.bytes + word * 8, &value, sizeof(value));
}

/* A word that the kernel treats as signed: system call numbers and results. */
static int64_t signed_word(const struct arch_regs *regs, unsigned word)
{
	uint64_t value = x86_word(regs, word);

	return layout_of(regs)->word_size == 4 ? (int32_t)value : (int64_t)value;
}

vaddr_t arch_pc(const struct arch_regs *regs)
{
	return x86_word(regs, layout_of(regs)->pc);
}

void arch_set_pc(struct arch_regs *regs, vaddr_t pc)
{
	x86_set_word(regs, layout_of(regs)->pc, pc);
}

vaddr_t arch_sp(const struct arch_regs *regs)
{
	return x86_word(regs, layout_of(regs)->sp);
}

/*
 * What the kernel pushes for a 64-bit handler, from uc_flags on (asm/ucontext.h): flags of which three are known, no
 * link, the alternate stack, in which all of this lies, then the registers of asm/sigcontext.h. So much can hardly be
 * there by chance, and if it is, some bytes are copied in vain.
 */
vaddr_t arch_interrupted_sp(const unsigned char *bytes, size_t length, vaddr_t address)
{
	enum { FLAGS, LINK, STACK, STACK_FLAGS, STACK_SIZE, RSP = 20, WORDS = 22, FLAGS_KNOWN = 7 };
	const size_t count = length / sizeof(uint64_t);
	uint64_t word[WORDS];

	for (size_t i = 0; i + WORDS <= count; i++) {
		uint64_t flags[2];

		memcpy(flags, bytes + i * 8, sizeof(flags));
		if (flags[FLAGS] > FLAGS_KNOWN || flags[LINK])
			continue;
		memcpy(word, bytes + i * 8, sizeof(word));
		if (word[STACK] && address + i * 8 - word[STACK] < word[STACK_SIZE] &&
		    word[RSP] - word[STACK] >= word[STACK_SIZE] && word[RSP] % 8 == 0 && word[RSP])
			return word[RSP];
	}
	return 0;
}

bool arch_steps_itself(const struct arch_regs *regs)
{
	return x86_word(regs, layout_of(regs)->flags) & X86_TF;
}

uint64_t arch_argument(const struct arch_regs *regs, unsigned n)
{
	static const uint8_t by_register[] = { X86_64_RDI, X86_64_RSI, X86_64_RDX,
					       X86_64_RCX, X86_64_R8,  X86_64_R9 };

	/* The seventh, and all of i386's, are on the stack, which is not in these bytes. */
	if (regs->tag != ARCH_X86_64 || n >= ARRAY_LEN(by_register))
		return 0;
	return x86_word(regs, by_register[n]);
}

void arch_not_in_syscall(struct arch_regs *regs)
{
	x86_set_word(regs, layout_of(regs)->call, UINT64_MAX);
}

int64_t arch_syscall_number(const struct arch_regs *regs)
{
	int64_t number = signed_word(regs, layout_of(regs)->call);

	return number < 0 ? -1 : number;
}

uint64_t arch_syscall_argument(const struct arch_regs *regs, unsigned n)
{
	return n < SYSCALL_ARGS ? x86_word(regs, layout_of(regs)->argument[n]) : 0;
}

int64_t arch_syscall_result(const struct arch_regs *regs)
{
	return signed_word(regs, layout_of(regs)->result);
}

/*
 * The arguments are all still in their registers: the call clobbers only rax, rcx and r11. A 32-bit call made
 * by sysenter stands behind the int $0x80 that the vdso keeps there for this.
 */
void arch_syscall_rewind(struct arch_regs *regs)
{
	const struct layout *layout = layout_of(regs);

	x86_set_word(regs, layout->result, x86_word(regs, layout->call));
	arch_set_pc(regs, arch_pc(regs) - ARCH_SYSCALL_SIZE);
	/* Else the kernel might read the number, now in rax, as a result that asks for a restart. */
	arch_not_in_syscall(regs);
}

bool arch_is_syscall(enum arch_tag tag, const unsigned char bytes[ARCH_SYSCALL_SIZE])
{
	static const unsigned char syscall_insn[] = { 0x0f, 0x05 }, int80_insn[] = { 0xcd, 0x80 };

	return memcmp(bytes, tag == ARCH_X86_64 ? syscall_insn : int80_insn, ARCH_SYSCALL_SIZE) == 0;
}

void arch_syscall_inject(struct arch_regs *regs, vaddr_t gadget, int64_t number, const uint64_t argument[6])
{
	const struct layout *layout = layout_of(regs);

	arch_set_pc(regs, gadget);
	x86_set_word(regs, layout->result, (uint64_t)number);
	for (unsigned n = 0; n < SYSCALL_ARGS; n++)
		x86_set_word(regs, layout->argument[n], argument[n]);
	arch_not_in_syscall(regs);
}
