/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * arch/x86_64_emulate.c - running the instruction under a trap without a step, and finishing a slot's bytes
 *
 * Exact or not at all: what would fault, or what depends on state that is not in the registers, is left to
 * the slot, where the processor itself does it. Only 64-bit mode.
 */
#include "arch/x86_64.h"

#include <errno.h>
#include <string.h>

enum { RSP = 4, GENERAL_REGISTERS = 16, USER_ADDRESS_BITS = 47 };

/* Numbers as instructions encode them -> words of the register set. */
static const uint8_t word_of_register[GENERAL_REGISTERS] = {
	X86_64_RAX, X86_64_RCX, X86_64_RDX, X86_64_RBX, X86_64_RSP, X86_64_RBP, X86_64_RSI, X86_64_RDI,
	X86_64_R8,  X86_64_R9,  X86_64_R10, X86_64_R11, X86_64_R12, X86_64_R13, X86_64_R14, X86_64_R15,
};

static uint64_t get(const struct arch_regs *regs, unsigned number)
{
	return x86_word(regs, word_of_register[number]);
}

/* A 32-bit destination clears the upper half of its register. */
static void set(struct arch_regs *regs, unsigned number, unsigned width, uint64_t value)
{
	x86_set_word(regs, word_of_register[number], width == 4 ? (uint32_t)value : value);
}

static void set_flags(struct arch_regs *regs, unsigned flags)
{
	uint64_t old = x86_word(regs, X86_64_RFLAGS);

	x86_set_word(regs, X86_64_RFLAGS, (old & ~(uint64_t)X86_ARITHMETIC) | flags);
}

/* Flags that follow from the result alone. */
static unsigned result_flags(uint64_t result, unsigned width)
{
	unsigned sign = width * 8 - 1;
	unsigned flags = 0;

	if (width == 4)
		result = (uint32_t)result;
	if (result == 0)
		flags |= X86_ZF;
	if (result >> sign & 1)
		flags |= X86_SF;
	if (!__builtin_parity((unsigned)(result & 0xff)))
		flags |= X86_PF;
	return flags;
}

static uint64_t truncated(uint64_t value, unsigned width)
{
	return width == 4 ? (uint32_t)value : value;
}

static void add(struct arch_regs *regs, const struct recipe *recipe)
{
	unsigned sign = recipe->width * 8u - 1;
	uint64_t a = truncated(get(regs, recipe->reg_a), recipe->width);
	uint64_t b = truncated((uint64_t)recipe->imm, recipe->width);
	uint64_t sum = truncated(a + b, recipe->width);
	unsigned flags = result_flags(sum, recipe->width);

	if (sum < a)
		flags |= X86_CF;
	if ((a ^ b ^ sum) & 0x10)
		flags |= X86_AF;
	if (((a ^ sum) & (b ^ sum)) >> sign & 1)
		flags |= X86_OF;
	set_flags(regs, flags);
	set(regs, recipe->reg_a, recipe->width, sum);
}

static void subtract(struct arch_regs *regs, const struct recipe *recipe)
{
	unsigned sign = recipe->width * 8u - 1;
	uint64_t a = truncated(get(regs, recipe->reg_a), recipe->width);
	uint64_t b = truncated((uint64_t)recipe->imm, recipe->width);
	uint64_t difference = truncated(a - b, recipe->width);
	unsigned flags = result_flags(difference, recipe->width);

	if (a < b)
		flags |= X86_CF;
	if ((a ^ b ^ difference) & 0x10)
		flags |= X86_AF;
	if (((a ^ b) & (a ^ difference)) >> sign & 1)
		flags |= X86_OF;
	set_flags(regs, flags);
	set(regs, recipe->reg_a, recipe->width, difference);
}

/* Where a jump would fault (#GP at the jump itself) the processor must do it. */
static bool is_user_address(uint64_t address)
{
	return address >> USER_ADDRESS_BITS == 0;
}

/* 1, 0 (memory refuses: guard page, stack that must grow) or -ESRCH. */
static int access_result(int error)
{
	if (error == -ESRCH)
		return -ESRCH;
	return error == 0;
}

static int push(struct arch_regs *regs, const struct arch_memory *memory, uint64_t value)
{
	uint64_t sp = get(regs, RSP) - 8;
	int done = access_result(memory->write(memory->data, sp, &value, sizeof(value)));

	if (done == 1)
		set(regs, RSP, 8, sp);
	return done;
}

static int pop(struct arch_regs *regs, const struct arch_memory *memory, uint64_t *ret)
{
	uint64_t sp = get(regs, RSP);
	int done = access_result(memory->read(memory->data, sp, ret, sizeof(*ret)));

	if (done == 1)
		set(regs, RSP, 8, sp + 8);
	return done;
}

static int return_from_call(const struct recipe *recipe, struct arch_regs *regs,
			    const struct arch_memory *memory)
{
	struct arch_regs tried = *regs;
	uint64_t target;
	int done = pop(&tried, memory, &target);

	if (done != 1)
		return done;
	if (!is_user_address(target))
		return 0;
	set(&tried, RSP, 8, get(&tried, RSP) + (uint64_t)recipe->imm);
	arch_set_pc(&tried, target);
	*regs = tried;
	return 1;
}

/* The library made the recipe, but the controller believes nothing that could index out of a table. */
static bool operands_fit(const struct recipe *recipe)
{
	bool a = recipe->reg_a < GENERAL_REGISTERS;
	bool b = recipe->reg_b < GENERAL_REGISTERS;
	bool width = recipe->width == 4 || recipe->width == 8;

	switch ((enum recipe_op)recipe->op) {
	case RECIPE_NOP:
		return true;
	case RECIPE_PUSH_REG:
	case RECIPE_POP_REG:
		return a && recipe->width == 8;
	case RECIPE_SUB_IMM:
	case RECIPE_ADD_IMM:
	case RECIPE_MOV_IMM:
	case RECIPE_XOR_SELF:
		return a && width;
	case RECIPE_MOV_REG:
		return a && b && width;
	case RECIPE_LEA:
		return a && width && (b || recipe->reg_b == RECIPE_REG_NONE);
	case RECIPE_RET:
		return recipe->imm >= 0 && recipe->imm <= UINT16_MAX;
	case RECIPE_JUMP:
	case RECIPE_CALL:
		return is_user_address((uint64_t)recipe->imm);
	case RECIPE_NONE:
	case RECIPE_OPS:
		break;
	}
	return false;
}

int arch_emulate(const struct recipe *recipe, struct arch_regs *regs, const struct arch_memory *memory)
{
	vaddr_t next = arch_pc(regs) + recipe->length;
	uint64_t value;
	int done = 1;

	if (regs->tag != ARCH_X86_64 || arch_steps_itself(regs) || !operands_fit(recipe))
		return 0;
	switch ((enum recipe_op)recipe->op) {
	case RECIPE_NOP:
		break;
	case RECIPE_PUSH_REG:
		done = push(regs, memory, get(regs, recipe->reg_a)); /* push %rsp: the value before */
		break;
	case RECIPE_POP_REG:
		done = pop(regs, memory, &value);
		if (done == 1)
			set(regs, recipe->reg_a, 8, value); /* pop %rsp: the value read wins */
		break;
	case RECIPE_SUB_IMM:
		subtract(regs, recipe);
		break;
	case RECIPE_ADD_IMM:
		add(regs, recipe);
		break;
	case RECIPE_MOV_REG:
		set(regs, recipe->reg_a, recipe->width, get(regs, recipe->reg_b));
		break;
	case RECIPE_MOV_IMM:
		set(regs, recipe->reg_a, recipe->width, (uint64_t)recipe->imm);
		break;
	case RECIPE_XOR_SELF:
		set_flags(regs, X86_ZF | X86_PF); /* AF is undefined by the manual, 0 on every processor */
		set(regs, recipe->reg_a, recipe->width, 0);
		break;
	case RECIPE_LEA:
		value = recipe->reg_b == RECIPE_REG_NONE ? 0 : get(regs, recipe->reg_b);
		set(regs, recipe->reg_a, recipe->width, value + (uint64_t)recipe->imm);
		break;
	case RECIPE_RET:
		return return_from_call(recipe, regs, memory);
	case RECIPE_JUMP:
		next = (vaddr_t)recipe->imm;
		break;
	case RECIPE_CALL:
		done = push(regs, memory, next);
		next = (vaddr_t)recipe->imm;
		break;
	case RECIPE_NONE:
	case RECIPE_OPS:
		return 0;
	}
	if (done == 1)
		arch_set_pc(regs, next);
	return done;
}

int arch_slot_code(const struct recipe *recipe, vaddr_t slot, unsigned char code[RECIPE_CODE_MAX])
{
	if (recipe->code_length == 0 || recipe->code_length > RECIPE_CODE_MAX ||
	    recipe->fixups > RECIPE_FIXUPS_MAX)
		return -EINVAL;
	memcpy(code, recipe->code, recipe->code_length);
	for (unsigned i = 0; i < recipe->fixups; i++) {
		const struct recipe_fixup *fixup = &recipe->fixup[i];
		if (fixup->offset + 4u + fixup->trailing > recipe->code_length)
			return -EINVAL;
		int64_t distance = (int64_t)(fixup->target - (slot + fixup->offset + 4 + fixup->trailing));
		if (distance != (int32_t)distance)
			return -ERANGE;
		int32_t field = (int32_t)distance;
		memcpy(code + fixup->offset, &field, sizeof(field));
	}
	return 0;
}
