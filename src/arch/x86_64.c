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

void arch_relax(void)
{
	for (int i = 0; i < 32; i++)
		__builtin_ia32_pause();
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

/* System V psABI of AMD64, figure 3.36. */
static const uint8_t dwarf_words[ARCH_DWARF_REGISTERS] = {
	X86_64_RAX, X86_64_RDX, X86_64_RCX, X86_64_RBX, X86_64_RSI, X86_64_RDI, X86_64_RBP, X86_64_RSP, X86_64_R8,
	X86_64_R9,  X86_64_R10, X86_64_R11, X86_64_R12, X86_64_R13, X86_64_R14, X86_64_R15, X86_64_RIP,
};

void arch_dwarf_registers(const struct arch_regs *regs, uint64_t ret[ARCH_DWARF_REGISTERS])
{
	for (unsigned i = 0; i < ARCH_DWARF_REGISTERS; i++)
		ret[i] = x86_word(regs, dwarf_words[i]);
}

void arch_blocked_registers(struct arch_regs *regs, const uint64_t argument[6], vaddr_t sp, vaddr_t pc)
{
	memset(regs, 0, sizeof(*regs));
	regs->tag = ARCH_X86_64;
	regs->size = X86_64_WORDS * 8;
	for (unsigned i = 0; i < SYSCALL_ARGS; i++)
		x86_set_word(regs, layouts[ARCH_X86_64].argument[i], argument[i]);
	x86_set_word(regs, X86_64_RSP, sp);
	x86_set_word(regs, X86_64_RIP, pc);
}

/* endbr64; push %rbp; mov %rsp,%rbp in its two encodings */
int arch_entry_words(const unsigned char before[ARCH_ENTRY_BYTES], const unsigned char after[ARCH_ENTRY_BYTES])
{
	static const unsigned char endbr[] = { 0xf3, 0x0f, 0x1e, 0xfa }, move[2][3] = { { 0x48, 0x89, 0xe5 },
										      { 0x48, 0x8b, 0xec } };
	const unsigned char *at = after;

	if (!memcmp(at, endbr, sizeof(endbr)))
		at += sizeof(endbr);
	if (at[0] == 0x55 && (!memcmp(at + 1, move[0], 3) || !memcmp(at + 1, move[1], 3)))
		return 0;
	if (before[ARCH_ENTRY_BYTES - 1] == 0x55 && (!memcmp(after, move[0], 3) || !memcmp(after, move[1], 3)))
		return 1;
	return after[0] == 0xc3 || (after[0] == 0xf3 && after[1] == 0xc3) ? 0 : -1;
}

/* call rel32; call *reg; call *disp8(reg); call *disp32(reg), each with or without a REX prefix, which stands before. */
bool arch_ends_in_call(const unsigned char before[ARCH_ENTRY_BYTES])
{
	static const struct {
		uint8_t length, mode_low, mode_high;
	} forms[] = { { 2, 0xd0, 0xd7 }, { 2, 0x10, 0x17 }, { 3, 0x50, 0x57 }, { 6, 0x90, 0x97 }, { 3, 0x14, 0x14 },
		      { 4, 0x54, 0x54 }, { 7, 0x94, 0x94 } };
	const unsigned char *end = before + ARCH_ENTRY_BYTES;

	if (end[-5] == 0xe8)
		return true;
	for (unsigned i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		const unsigned char *at = end - forms[i].length;

		if (at[0] == 0xff && at[1] >= forms[i].mode_low && at[1] <= forms[i].mode_high)
			return true;
	}
	return false;
}

/* Of a program: the upper half of the addresses is the kernel's, with four levels of page tables and with five. */
static bool is_user(uint64_t address)
{
	return address >> 56 == 0;
}

/* Can a program have given sigaltstack(2) this? */
static bool is_alternate_stack(uint64_t start, uint64_t flags, uint64_t size)
{
	enum { SIZE_MIN = 2048, ONSTACK_OR_DISABLED = 3 };
	const uint32_t autodisarm = 1u << 31, rest = (uint32_t)flags & ~autodisarm; /* an int; behind it is a hole */

	return start && is_user(start) && size >= SIZE_MIN && is_user(size) && is_user(start + size) &&
	       rest < ONSTACK_OR_DISABLED;
}

/*
 * What the kernel pushes for a 64-bit handler, from uc_flags on (asm/ucontext.h): flags of which three are known, no
 * link, the alternate stack, in which all of this lies, then the registers of asm/sigcontext.h. So much can hardly be
 * there by chance, and if it is, some bytes are copied in vain. Every word is looked at that can be told: small numbers
 * and a random word, the C library's canary, have been taken for one.
 */
vaddr_t arch_interrupted_sp(const unsigned char *bytes, size_t length, vaddr_t address)
{
	enum { FLAGS, LINK, STACK, STACK_FLAGS, STACK_SIZE, HEAD, RSP = 20, WORDS = 22, FLAGS_KNOWN = 7 };
	const size_t count = length / sizeof(uint64_t);

	for (size_t i = 0; i + WORDS <= count; i++) {
		uint64_t head[HEAD], pointer[2];

		memcpy(head, bytes + i * 8, sizeof(head));
		if (head[FLAGS] > FLAGS_KNOWN || head[LINK] || address + i * 8 - head[STACK] >= head[STACK_SIZE] ||
		    !is_alternate_stack(head[STACK], head[STACK_FLAGS], head[STACK_SIZE]))
			continue;
		memcpy(pointer, bytes + (i + RSP) * 8, sizeof(pointer)); /* and rip */
		if (pointer[0] - head[STACK] >= head[STACK_SIZE] && pointer[0] % 8 == 0 && pointer[0] && is_user(pointer[0]) &&
		    is_user(pointer[1]))
			return pointer[0];
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

uint64_t arch_result(const struct arch_regs *regs)
{
	return regs->tag == ARCH_X86_64 ? x86_word(regs, X86_64_RAX) : 0;
}

vaddr_t arch_return_slot(const struct arch_regs *regs)
{
	return regs->tag == ARCH_X86_64 ? x86_word(regs, X86_64_RSP) : 0;
}

/* `ret` alone takes it from the stack: `ret n` is of no 64-bit calling convention. */
vaddr_t arch_returned_slot(const struct arch_regs *regs)
{
	return regs->tag == ARCH_X86_64 ? x86_word(regs, X86_64_RSP) - ARCH_WORD_SIZE : 0;
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
