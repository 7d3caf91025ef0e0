/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * decode/start.c - main through the C runtime's start code, and the bytes of a system call
 *
 * No symbol tells main in a stripped program, but every C start code is straight: it clears the frame
 * pointer, aligns the stack and calls __libc_start_main(main, argc, argv, ...), glibc in _start itself, musl
 * in _start_c that _start calls with the stack pointer. So registers are followed as far as they hold a
 * constant, a value loaded from a constant place (main through the GOT), or an address in the initial stack.
 * What branches on a condition or makes a system call is no such code.
 *
 * But for one: a static-PIE of musl relocates itself in the function that _start calls with the stack pointer
 * and the dynamic section, before it jumps to the rest by a register. That function is read from top to
 * bottom, whatever branches it has.
 */
#include "decode/insn.h"

#include <errno.h>
#include <string.h>

enum {
	START_INSTRUCTIONS = 320, /* glibc's takes 15, musl's 20, the one that relocates itself 120 */
	START_CALLS = 3,          /* _start -> _start_c -> the rest of it */
	START_WINDOW = 256,
	REGISTERS = 16,
	RDX = 2,
	RSP = 4,
	RSI = 6,
	RDI = 7,
};

enum kind { OTHER = 0, CONSTANT, LOADED, STACK };

struct value {
	enum kind kind;
	vaddr_t address; /* the constant, or where the value is loaded from */
};

struct follower {
	const struct reader *memory;
	vaddr_t entry, pc;
	struct value reg[REGISTERS];
	bool cleared_frame, aligned_stack;
	unsigned calls;
	vaddr_t dynamic; /* not 0: in a function that got the stack and this, and may relocate the program */
	/* Bytes at hand: code is read a window at a time. */
	vaddr_t window;
	size_t window_length;
	uint8_t bytes[START_WINDOW];
};

static bool fetch(struct follower *follower, struct insn *insn)
{
	uint64_t offset = follower->pc - follower->window;

	if (follower->window_length == 0 || offset >= follower->window_length ||
	    follower->window_length - offset < ZYDIS_MAX_INSTRUCTION_LENGTH) {
		ssize_t got = follower->memory->read(follower->memory->data, follower->pc, follower->bytes,
						     sizeof(follower->bytes));
		if (got <= 0 || (size_t)got > sizeof(follower->bytes))
			return false;
		follower->window = follower->pc;
		follower->window_length = (size_t)got;
		offset = 0;
	}
	return insn_decode(insn, follower->bytes + offset, follower->window_length - offset, follower->pc);
}

/* What a memory operand's address is, as far as it is known: lea and mov from it. */
static struct value address_of(const struct follower *follower, const struct insn *insn,
			       const ZydisDecodedOperand *operand)
{
	const struct value other = { OTHER, 0 };
	vaddr_t displacement = (vaddr_t)operand->mem.disp.value;

	if (operand->mem.segment == ZYDIS_REGISTER_FS || operand->mem.segment == ZYDIS_REGISTER_GS ||
	    operand->mem.index != ZYDIS_REGISTER_NONE)
		return other;
	if (operand->mem.base == ZYDIS_REGISTER_RIP)
		return (struct value){ CONSTANT, insn->next + displacement };
	if (operand->mem.base == ZYDIS_REGISTER_NONE)
		return (struct value){ CONSTANT, displacement };
	if (ZydisRegisterGetClass(operand->mem.base) != ZYDIS_REGCLASS_GPR64)
		return other;
	struct value base = follower->reg[ZydisRegisterGetId(operand->mem.base)];
	if (base.kind == CONSTANT)
		base.address += displacement;
	return base.kind == LOADED ? other : base;
}

static struct value source_value(const struct follower *follower, const struct insn *insn)
{
	const ZydisDecodedOperand *source = &insn->operand[1];
	struct value value = { OTHER, 0 };

	switch (source->type) {
	case ZYDIS_OPERAND_TYPE_IMMEDIATE:
		return (struct value){ CONSTANT, source->imm.value.u };
	case ZYDIS_OPERAND_TYPE_REGISTER:
		if (insn_register(source) != NO_REGISTER)
			value = follower->reg[insn_register(source)];
		return value;
	case ZYDIS_OPERAND_TYPE_MEMORY:
		value = address_of(follower, insn, source);
		if (insn->info.mnemonic == ZYDIS_MNEMONIC_LEA)
			return value;
		if (value.kind == CONSTANT && insn->info.operand_width == 64)
			return (struct value){ LOADED, value.address };
		return (struct value){ OTHER, 0 }; /* argc */
	default:
		return value;
	}
}

/* Every register that an instruction writes is unknown behind it, but where its effect is understood. */
static void follow_registers(struct follower *follower, const struct insn *insn)
{
	struct value value = { OTHER, 0 };
	int target = insn_register(&insn->operand[0]);

	switch (insn->info.mnemonic) {
	case ZYDIS_MNEMONIC_MOV:
	case ZYDIS_MNEMONIC_LEA:
		value = source_value(follower, insn);
		break;
	case ZYDIS_MNEMONIC_XOR:
		if (target == 5 && insn_register(&insn->operand[1]) == 5)
			follower->cleared_frame = true;
		break;
	case ZYDIS_MNEMONIC_AND:
		if (target == RSP && insn->operand[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
			follower->aligned_stack = true;
		value = target == RSP ? follower->reg[RSP] : value;
		break;
	case ZYDIS_MNEMONIC_ADD:
	case ZYDIS_MNEMONIC_SUB:
		value = target != NO_REGISTER && follower->reg[target].kind == STACK ? follower->reg[target]
										     : value;
		break;
	default:
		break;
	}
	for (unsigned n = 0; n < insn->info.operand_count; n++) {
		const ZydisDecodedOperand *operand = &insn->operand[n];
		int written = insn_register(operand);
		if (written == NO_REGISTER || !(operand->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
			continue;
		/* push, pop and call move rsp, which stays in the stack */
		if (written == RSP && operand->visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN)
			continue;
		follower->reg[written] = n == 0 ? value : (struct value){ OTHER, 0 };
	}
}

/* glibc's static-PIE start code passes a jump to main that stands behind it. */
static vaddr_t behind_wrapper(struct follower *follower, vaddr_t found)
{
	struct insn insn;
	vaddr_t target;

	if (found < follower->entry || found - follower->entry > START_WINDOW)
		return found;
	follower->pc = found;
	if (!fetch(follower, &insn))
		return found;
	if (insn.info.mnemonic == ZYDIS_MNEMONIC_ENDBR64) {
		follower->pc = insn.next;
		if (!fetch(follower, &insn))
			return found;
	}
	if (insn.info.mnemonic == ZYDIS_MNEMONIC_JMP && insn_branch_target(&insn, &target))
		return target;
	return found;
}

/* A call or jump that leads on: false when where to is not known. */
static bool go_on(struct follower *follower, const struct insn *insn)
{
	int by_register = insn_register(&insn->operand[0]);
	vaddr_t target = 0;
	bool direct = insn_branch_target(insn, &target);

	if (follower->dynamic != 0 && direct) {
		target = insn->next; /* within the function that is read through */
	} else if (follower->dynamic != 0 && by_register != NO_REGISTER &&
		   follower->reg[by_register].kind == CONSTANT) {
		target = follower->reg[by_register].address;
		follower->dynamic = 0;
		follower->calls++;
	} else if (direct) {
		if (follower->reg[RDI].kind == STACK && follower->reg[RSI].kind == CONSTANT)
			follower->dynamic = follower->reg[RSI].address;
		follower->calls++;
	} else {
		return false;
	}
	follower->pc = target;
	return follower->calls <= START_CALLS;
}

/* At a call or jump: -EAGAIN to go on at follower->pc. */
static int follow_branch(struct follower *follower, const struct insn *insn, vaddr_t *ret)
{
	struct value first = follower->reg[RDI];
	bool is_start =
		follower->cleared_frame && follower->aligned_stack && follower->reg[RDX].kind == STACK;

	if (is_start && first.kind == CONSTANT && first.address != 0 && first.address != follower->dynamic) {
		*ret = behind_wrapper(follower, first.address);
		return 0;
	}
	if (is_start && first.kind == LOADED) {
		*ret = first.address;
		return 1;
	}
	return go_on(follower, insn) ? -EAGAIN : -ENOENT;
}

int decode_find_main(const struct reader *memory, vaddr_t entry, vaddr_t *ret)
{
	struct follower follower = { .memory = memory, .entry = entry, .pc = entry };
	struct insn insn;

	follower.reg[RSP].kind = STACK;
	for (int n = 0; n < START_INSTRUCTIONS && fetch(&follower, &insn); n++) {
		switch (insn.info.meta.category) {
		case ZYDIS_CATEGORY_COND_BR:
			if (follower.dynamic == 0)
				return -ENOENT;
			follower.pc = insn.next;
			break;
		case ZYDIS_CATEGORY_SYSCALL:
		case ZYDIS_CATEGORY_INTERRUPT:
		case ZYDIS_CATEGORY_RET:
			return -ENOENT;
		case ZYDIS_CATEGORY_CALL:
		case ZYDIS_CATEGORY_UNCOND_BR: {
			int result = follow_branch(&follower, &insn, ret);
			if (result != -EAGAIN)
				return result;
			break;
		}
		default:
			follow_registers(&follower, &insn);
			follower.pc = insn.next;
			break;
		}
	}
	return -ENOENT;
}

int decode_find_syscall(const struct reader *memory, vaddr_t start, vaddr_t end, vaddr_t *ret)
{
	/*
	 * Any place where these two bytes stand does: a thread is put right on them, so it does not matter
	 * whether they are an instruction of the code around.
	 */
	static const uint8_t code[2] = { 0x0f, 0x05 };
	uint8_t bytes[1024];

	while (start < end && end - start >= sizeof(code)) {
		size_t length = end - start < sizeof(bytes) ? (size_t)(end - start) : sizeof(bytes);
		ssize_t got = memory->read(memory->data, start, bytes, length);
		if (got < (ssize_t)sizeof(code) || (size_t)got > length)
			return -ENOENT;
		const uint8_t *found = memmem(bytes, (size_t)got, code, sizeof(code));
		if (found != NULL) {
			*ret = start + (vaddr_t)(found - bytes);
			return 0;
		}
		start += (vaddr_t)got - 1;
	}
	return -ENOENT;
}

int decode_find_return(const struct reader *memory, vaddr_t entry, vaddr_t *ret)
{
	enum { INSTRUCTIONS = 4 };
	struct follower follower = { .memory = memory, .pc = entry };
	struct insn insn;

	for (int i = 0; i < INSTRUCTIONS && fetch(&follower, &insn); i++, follower.pc = insn.next) {
		vaddr_t target;

		if (insn.info.mnemonic == ZYDIS_MNEMONIC_CALL && insn_branch_target(&insn, &target)) {
			*ret = insn.next;
			return 0;
		}
		if (insn.info.mnemonic != ZYDIS_MNEMONIC_MOV && insn.info.mnemonic != ZYDIS_MNEMONIC_ENDBR64)
			break;
	}
	return -ENOENT;
}
