/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * decode/insn.c - the decoder library behind a few questions
 */
#include "decode/insn.h"

bool insn_decode(struct insn *insn, const uint8_t *bytes, size_t length, vaddr_t address)
{
	ZydisDecoder decoder;

	if (!ZYAN_SUCCESS(ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)) ||
	    !ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, length, &insn->info, insn->operand)))
		return false;
	insn->address = address;
	insn->next = address + insn->info.length;
	return true;
}

bool insn_branch_target(const struct insn *insn, vaddr_t *ret)
{
	const ZydisDecodedOperand *operand = &insn->operand[0];

	if (insn->info.operand_count_visible == 0 || operand->type != ZYDIS_OPERAND_TYPE_IMMEDIATE ||
	    !operand->imm.is_relative)
		return false;
	*ret = insn->next + operand->imm.value.u;
	return true;
}

const ZydisDecodedOperand *insn_rip_operand(const struct insn *insn)
{
	for (unsigned n = 0; n < insn->info.operand_count; n++) {
		const ZydisDecodedOperand *operand = &insn->operand[n];
		if (operand->type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    (operand->mem.base == ZYDIS_REGISTER_RIP || operand->mem.base == ZYDIS_REGISTER_EIP))
			return operand;
	}
	return NULL;
}

int insn_register(const ZydisDecodedOperand *operand)
{
	if (operand->type != ZYDIS_OPERAND_TYPE_REGISTER)
		return NO_REGISTER;
	ZydisRegisterClass class = ZydisRegisterGetClass(operand->reg.value);
	if (class != ZYDIS_REGCLASS_GPR64 && class != ZYDIS_REGCLASS_GPR32)
		return NO_REGISTER;
	return ZydisRegisterGetId(operand->reg.value);
}
