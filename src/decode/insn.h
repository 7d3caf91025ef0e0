/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * decode/insn.h - inside this room: one decoded instruction
 */
#ifndef DECODE_INSN_H
#define DECODE_INSN_H

#include <Zydis/Zydis.h>

#include "decode/decode.h"

struct insn {
	ZydisDecodedInstruction info;
	ZydisDecodedOperand operand[ZYDIS_MAX_OPERAND_COUNT];
	vaddr_t address, next;
};

enum { NO_REGISTER = -1 };

/* False: no valid instruction of 64-bit mode in these bytes. */
bool insn_decode(struct insn *insn, const uint8_t *bytes, size_t length, vaddr_t address);
/* Where a direct jump or call leads: true when the instruction is one. */
bool insn_branch_target(const struct insn *insn, vaddr_t *ret);
/* The memory operand whose address is relative to the next instruction, or NULL. */
const ZydisDecodedOperand *insn_rip_operand(const struct insn *insn);
/* Number (0 rax ... 15 r15) of a full 64- or 32-bit general register; NO_REGISTER for all else. */
int insn_register(const ZydisDecodedOperand *operand);

#endif
