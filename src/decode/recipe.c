/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * decode/recipe.c - how an instruction is run while a trap stands on it
 *
 * What a slot holds (R: distance to a place in the victim, filled in when the slot's address is known):
 *
 *	most                 the instruction, RIP-relative operands pointed back     jmp home+length
 *	jcc T                jcc T (long form)                                       jmp home+length
 *	loop, jrcxz T        loop 1f; jmp 2f;  1: jmp T;  2:                         jmp home+length
 *	jmp, ret             the instruction; nothing behind it is reached
 *	call T, call *%reg   push the true return address (a literal behind the code), jmp T or *%reg
 *	call *mem            push mem; push (%rsp); the true return address written over the first; ret
 *	ud2                  the instruction; the fault's address is made the home's when it comes
 *	syscall              syscall; lea home+length, %rcx (it has the slot's pc)    jmp home+length
 *
 * `call *mem` reads its operand first, so that a fault on it finds nothing changed and the stack pointer as
 * the operand means it; the word at old rsp - 16 is overwritten, which is dead once a function is entered. A
 * call of a non-canonical address faults with the return address pushed already, where at home it is not.
 *
 * x87 instructions leave the slot's address as their last instruction pointer; only fnstenv and fxsave show it.
 */
#include "decode/insn.h"

#include <errno.h>
#include <string.h>

enum { MODRM_BUT_REG = 0xc7, RSP_NUMBER = 4 };

/* ---- emulation ------------------------------------------------------------------------------- */

static unsigned operand_width(const ZydisDecodedOperand *operand)
{
	return operand->size / 8u;
}

static void emulate(struct recipe *recipe, enum recipe_op op, int a, int b, unsigned width, int64_t imm)
{
	recipe->op = (uint8_t)op;
	recipe->reg_a = a == NO_REGISTER ? RECIPE_REG_NONE : (uint8_t)a;
	recipe->reg_b = b == NO_REGISTER ? RECIPE_REG_NONE : (uint8_t)b;
	recipe->width = (uint8_t)width;
	recipe->imm = imm;
}

static void emulate_stack(const struct insn *insn, struct recipe *recipe, enum recipe_op op)
{
	const ZydisDecodedOperand *operand = &insn->operand[0];
	int reg = insn_register(operand);

	if (reg != NO_REGISTER && operand->size == 64)
		emulate(recipe, op, reg, NO_REGISTER, 8, 0);
}

/* op reg, imm; only for full registers of 4 or 8 bytes. */
static void emulate_with_imm(const struct insn *insn, struct recipe *recipe, enum recipe_op op)
{
	int reg = insn_register(&insn->operand[0]);

	if (reg != NO_REGISTER && insn->operand[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
		emulate(recipe, op, reg, NO_REGISTER, operand_width(&insn->operand[0]),
			insn->operand[1].imm.value.s);
}

static void emulate_mov(const struct insn *insn, struct recipe *recipe)
{
	int to = insn_register(&insn->operand[0]);
	int from = insn_register(&insn->operand[1]);

	if (to != NO_REGISTER && from != NO_REGISTER && insn->operand[0].size == insn->operand[1].size)
		emulate(recipe, RECIPE_MOV_REG, to, from, operand_width(&insn->operand[0]), 0);
	else
		emulate_with_imm(insn, recipe, RECIPE_MOV_IMM);
}

static void emulate_xor(const struct insn *insn, struct recipe *recipe)
{
	int reg = insn_register(&insn->operand[0]);

	if (reg != NO_REGISTER && reg == insn_register(&insn->operand[1]) &&
	    insn->operand[0].size == insn->operand[1].size)
		emulate(recipe, RECIPE_XOR_SELF, reg, NO_REGISTER, operand_width(&insn->operand[0]), 0);
}

static void emulate_lea(const struct insn *insn, struct recipe *recipe)
{
	const ZydisDecodedOperand *source = &insn->operand[1];
	int to = insn_register(&insn->operand[0]);
	int64_t displacement = source->mem.disp.value;

	if (to == NO_REGISTER || source->mem.index != ZYDIS_REGISTER_NONE || insn->info.address_width != 64)
		return;
	if (source->mem.base == ZYDIS_REGISTER_RIP)
		emulate(recipe, RECIPE_LEA, to, NO_REGISTER, operand_width(&insn->operand[0]),
			(int64_t)(insn->next + (uint64_t)displacement));
	else if (source->mem.base == ZYDIS_REGISTER_NONE)
		emulate(recipe, RECIPE_LEA, to, NO_REGISTER, operand_width(&insn->operand[0]), displacement);
	else
		emulate(recipe, RECIPE_LEA, to, ZydisRegisterGetId(source->mem.base),
			operand_width(&insn->operand[0]), displacement);
}

static void emulate_ret(const struct insn *insn, struct recipe *recipe)
{
	bool has_imm = insn->info.operand_count_visible > 0;

	emulate(recipe, RECIPE_RET, NO_REGISTER, NO_REGISTER, 8,
		has_imm ? (int64_t)insn->operand[0].imm.value.u : 0);
}

static void choose_emulation(const struct insn *insn, struct recipe *recipe)
{
	vaddr_t target;

	switch (insn->info.mnemonic) {
	case ZYDIS_MNEMONIC_NOP:
	case ZYDIS_MNEMONIC_PAUSE:
	case ZYDIS_MNEMONIC_ENDBR32:
	case ZYDIS_MNEMONIC_ENDBR64:
	case ZYDIS_MNEMONIC_PREFETCH:
	case ZYDIS_MNEMONIC_PREFETCHNTA:
	case ZYDIS_MNEMONIC_PREFETCHT0:
	case ZYDIS_MNEMONIC_PREFETCHT1:
	case ZYDIS_MNEMONIC_PREFETCHT2:
	case ZYDIS_MNEMONIC_PREFETCHW:
		emulate(recipe, RECIPE_NOP, NO_REGISTER, NO_REGISTER, 0, 0);
		break;
	case ZYDIS_MNEMONIC_PUSH:
		emulate_stack(insn, recipe, RECIPE_PUSH_REG);
		break;
	case ZYDIS_MNEMONIC_POP:
		emulate_stack(insn, recipe, RECIPE_POP_REG);
		break;
	case ZYDIS_MNEMONIC_SUB:
		emulate_with_imm(insn, recipe, RECIPE_SUB_IMM);
		break;
	case ZYDIS_MNEMONIC_ADD:
		emulate_with_imm(insn, recipe, RECIPE_ADD_IMM);
		break;
	case ZYDIS_MNEMONIC_MOV:
		emulate_mov(insn, recipe);
		break;
	case ZYDIS_MNEMONIC_XOR:
		emulate_xor(insn, recipe);
		break;
	case ZYDIS_MNEMONIC_LEA:
		emulate_lea(insn, recipe);
		break;
	case ZYDIS_MNEMONIC_RET:
		emulate_ret(insn, recipe);
		break;
	case ZYDIS_MNEMONIC_JMP:
		if (insn_branch_target(insn, &target))
			emulate(recipe, RECIPE_JUMP, NO_REGISTER, NO_REGISTER, 8, (int64_t)target);
		break;
	case ZYDIS_MNEMONIC_CALL:
		if (insn_branch_target(insn, &target))
			emulate(recipe, RECIPE_CALL, NO_REGISTER, NO_REGISTER, 8, (int64_t)target);
		break;
	default:
		break;
	}
}

/* ---- slot code ------------------------------------------------------------------------------- */

static void emit(struct recipe *recipe, const void *bytes, size_t length)
{
	memcpy(recipe->code + recipe->code_length, bytes, length);
	recipe->code_length = (uint8_t)(recipe->code_length + length);
}

static void emit_byte(struct recipe *recipe, unsigned byte)
{
	recipe->code[recipe->code_length++] = (uint8_t)byte;
}

/* A distance to target, told when the slot's address is known. */
static void emit_distance(struct recipe *recipe, vaddr_t target)
{
	static const uint8_t later[4] = { 0 };

	recipe->fixup[recipe->fixups++] =
		(struct recipe_fixup){ .offset = recipe->code_length, .target = target };
	emit(recipe, later, sizeof(later));
}

static void emit_jump(struct recipe *recipe, vaddr_t target)
{
	emit_byte(recipe, 0xe9);
	emit_distance(recipe, target);
}

static void emit_jump_home(struct recipe *recipe, const struct insn *insn)
{
	recipe->boundary = recipe->code_length;
	emit_jump(recipe, insn->next);
}

/* The instruction has left the slot when it has run. */
static void emit_end(struct recipe *recipe)
{
	recipe->boundary = recipe->code_length;
}

/* The instruction's own bytes; a RIP-relative operand is made to mean the same from the slot. */
static void emit_instruction(struct recipe *recipe, const struct insn *insn)
{
	const ZydisDecodedOperand *operand = insn_rip_operand(insn);
	unsigned start = recipe->code_length;
	unsigned field = insn->info.raw.disp.offset;

	emit(recipe, recipe->home, insn->info.length);
	if (operand == NULL)
		return;
	memset(recipe->code + start + field, 0, 4);
	recipe->fixup[recipe->fixups++] = (struct recipe_fixup){
		.offset = (uint8_t)(start + field),
		.trailing = (uint8_t)(insn->info.length - field - 4),
		.target = insn->next + (vaddr_t)operand->mem.disp.value,
	};
}

/* The same with another operation of the group that ModRM.reg selects. */
static void emit_in_group(struct recipe *recipe, const struct insn *insn, unsigned operation)
{
	unsigned start = recipe->code_length;
	uint8_t *modrm = &recipe->code[start + insn->info.raw.modrm.offset];

	emit_instruction(recipe, insn);
	*modrm = (uint8_t)((*modrm & MODRM_BUT_REG) | operation << 3);
}

/* push LITERAL(%rip), where the literal stands behind the bytes that follow. */
static void emit_push_literal(struct recipe *recipe, unsigned bytes_between)
{
	uint32_t distance = bytes_between;

	emit_byte(recipe, 0xff);
	emit_byte(recipe, 0x35);
	emit(recipe, &distance, sizeof(distance));
}

static void displace_call(const struct insn *insn, struct recipe *recipe)
{
	enum { JUMP_SIZE = 5, GROUP5_PUSH = 6, GROUP5_JUMP = 4 };
	static const uint8_t push_top[] = { 0xff, 0x34, 0x24 };
	static const uint8_t write_low[] = { 0xc7, 0x44, 0x24, 0x08 };
	static const uint8_t write_high[] = { 0xc7, 0x44, 0x24, 0x0c };
	uint64_t home = insn->next;
	uint32_t low = (uint32_t)home, high = (uint32_t)(home >> 32);
	vaddr_t target;

	if (insn_branch_target(insn, &target)) {
		emit_push_literal(recipe, JUMP_SIZE);
		emit_jump(recipe, target);
		emit(recipe, &home, sizeof(home));
	} else if (insn_register(&insn->operand[0]) != NO_REGISTER &&
		   insn_register(&insn->operand[0]) != RSP_NUMBER) {
		emit_push_literal(recipe, insn->info.length);
		emit_in_group(recipe, insn, GROUP5_JUMP);
		emit(recipe, &home, sizeof(home));
	} else {
		emit_in_group(recipe, insn, GROUP5_PUSH);
		emit(recipe, push_top, sizeof(push_top));
		emit(recipe, write_low, sizeof(write_low));
		emit(recipe, &low, sizeof(low));
		emit(recipe, write_high, sizeof(write_high));
		emit(recipe, &high, sizeof(high));
		emit_byte(recipe, 0xc3);
	}
	emit_end(recipe);
}

static void displace_jump(const struct insn *insn, struct recipe *recipe)
{
	vaddr_t target;

	if (insn_branch_target(insn, &target))
		emit_jump(recipe, target);
	else
		emit_instruction(recipe, insn);
	emit_end(recipe);
}

/* False: a form that is not known. */
static bool displace_conditional(const struct insn *insn, struct recipe *recipe)
{
	enum { OVER_JUMP = 5, OVER_SHORT_JUMP = 2 };
	unsigned opcode = insn->info.opcode;
	vaddr_t target;

	if (!insn_branch_target(insn, &target))
		return false;
	bool is_short = insn->info.opcode_map == ZYDIS_OPCODE_MAP_DEFAULT;
	if ((is_short && opcode >= 0x70 && opcode <= 0x7f) ||
	    (insn->info.opcode_map == ZYDIS_OPCODE_MAP_0F && opcode >= 0x80 && opcode <= 0x8f)) {
		emit_byte(recipe, 0x0f);
		emit_byte(recipe, 0x80 | (opcode & 0xf));
		emit_distance(recipe, target);
		emit_jump_home(recipe, insn);
		return true;
	}
	if (!is_short || opcode < 0xe0 || opcode > 0xe3)
		return false;
	/* loopne, loope, loop, jrcxz: there is no long form */
	emit(recipe, recipe->home, insn->info.length - 1u);
	emit_byte(recipe, OVER_SHORT_JUMP);
	recipe->boundary = recipe->code_length;
	emit_byte(recipe, 0xeb);
	emit_byte(recipe, OVER_JUMP);
	emit_jump(recipe, target);
	emit_jump(recipe, insn->next);
	return true;
}

static void displace_syscall(const struct insn *insn, struct recipe *recipe)
{
	static const uint8_t lea_rcx[] = { 0x48, 0x8d, 0x0d };

	emit(recipe, recipe->home, insn->info.length);
	recipe->boundary = recipe->code_length;
	emit(recipe, lea_rcx, sizeof(lea_rcx));
	emit_distance(recipe, insn->next);
	emit_jump(recipe, insn->next);
}

/* What depends on where it stands in a way that no fix-up mends, traps by itself, or leaves user mode. */
static bool must_run_at_home(const struct insn *insn)
{
	const ZydisDecodedOperand *rip = insn_rip_operand(insn);

	if (insn->info.attributes & ZYDIS_ATTRIB_IS_PRIVILEGED ||
	    insn->info.meta.branch_type == ZYDIS_BRANCH_TYPE_FAR)
		return true;
	/* eip-relative (67): wraps at 4 GB, not worth telling */
	if (rip != NULL && (rip->mem.base == ZYDIS_REGISTER_EIP || insn->info.raw.disp.size != 32))
		return true;
	switch (insn->info.meta.category) {
	case ZYDIS_CATEGORY_IO:
	case ZYDIS_CATEGORY_IOSTRINGOP:
	case ZYDIS_CATEGORY_INTERRUPT:
	case ZYDIS_CATEGORY_VTX:
		return true;
	case ZYDIS_CATEGORY_CALL:
	case ZYDIS_CATEGORY_RET:
	case ZYDIS_CATEGORY_COND_BR:
	case ZYDIS_CATEGORY_UNCOND_BR:
		/* With 66 one maker's processors cut the target to 16 bits, the other's do not. */
		if (insn->info.attributes & ZYDIS_ATTRIB_HAS_OPERANDSIZE)
			return true;
		break;
	default:
		break;
	}
	switch (insn->info.mnemonic) {
	case ZYDIS_MNEMONIC_CLI:
	case ZYDIS_MNEMONIC_STI:
	case ZYDIS_MNEMONIC_HLT:
	case ZYDIS_MNEMONIC_IRET:
	case ZYDIS_MNEMONIC_IRETD:
	case ZYDIS_MNEMONIC_IRETQ:
	case ZYDIS_MNEMONIC_UIRET:
	case ZYDIS_MNEMONIC_SENDUIPI:
	case ZYDIS_MNEMONIC_SYSENTER:
	case ZYDIS_MNEMONIC_SYSEXIT:
	case ZYDIS_MNEMONIC_SYSRET:
	case ZYDIS_MNEMONIC_XBEGIN:
	case ZYDIS_MNEMONIC_XABORT:
	case ZYDIS_MNEMONIC_ENCLU:
	/* may set the trap flag, and would be stepping in the slot then */
	case ZYDIS_MNEMONIC_POPF:
	case ZYDIS_MNEMONIC_POPFD:
	case ZYDIS_MNEMONIC_POPFQ:
		return true;
	default:
		return false;
	}
}

static void choose_slot_code(const struct insn *insn, struct recipe *recipe)
{
	vaddr_t target;

	switch (insn->info.meta.category) {
	case ZYDIS_CATEGORY_CALL:
		displace_call(insn, recipe);
		return;
	case ZYDIS_CATEGORY_RET:
		emit_instruction(recipe, insn);
		emit_end(recipe);
		return;
	case ZYDIS_CATEGORY_UNCOND_BR:
		displace_jump(insn, recipe);
		return;
	case ZYDIS_CATEGORY_COND_BR:
		displace_conditional(insn, recipe);
		return;
	default:
		break;
	}
	if (insn->info.mnemonic == ZYDIS_MNEMONIC_SYSCALL) {
		displace_syscall(insn, recipe);
		return;
	}
	if (insn_branch_target(insn, &target)) /* relative in a way that is not known here */
		return;
	emit_instruction(recipe, insn);
	emit_jump_home(recipe, insn);
}

static unsigned properties(const struct insn *insn)
{
	switch (insn->info.meta.category) {
	case ZYDIS_CATEGORY_CALL:
		return RECIPE_PUSHES_RETURN;
	case ZYDIS_CATEGORY_RET:
		return RECIPE_POPS_RETURN;
	case ZYDIS_CATEGORY_SYSCALL:
		return RECIPE_MAY_BLOCK;
	default:
		return 0;
	}
}

int decode_recipe(const uint8_t *bytes, size_t length, vaddr_t address, struct recipe *ret)
{
	struct insn insn;

	if (length > ZYDIS_MAX_INSTRUCTION_LENGTH)
		length = ZYDIS_MAX_INSTRUCTION_LENGTH;
	if (!insn_decode(&insn, bytes, length, address))
		return -EILSEQ;
	*ret = (struct recipe){
		.length = insn.info.length,
		.reg_a = RECIPE_REG_NONE,
		.reg_b = RECIPE_REG_NONE,
		.flags = (uint8_t)properties(&insn),
	};
	memcpy(ret->home, bytes, insn.info.length);
	if (must_run_at_home(&insn))
		return 0;
	choose_emulation(&insn, ret);
	choose_slot_code(&insn, ret);
	return 0;
}
