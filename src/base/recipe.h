/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * base/recipe.h - how the instruction under a trap is run without lifting the trap
 *
 * Made by src/decode (which knows instructions), carried by src/proto, carried out by src/controller with the
 * help of src/arch (which never decodes). A recipe always tells the cheapest way that is right and what to
 * fall back to: emulation (no step at all), else a slot (a copy of the instruction elsewhere that ends in a
 * jump home), else a single step in place with the whole address space stopped.
 */
#ifndef BASE_RECIPE_H
#define BASE_RECIPE_H

#include "base/types.h"

enum recipe_op {
	RECIPE_NONE = 0,       /* no emulation: slot or in-place step */
	RECIPE_NOP,            /* pc += length: nop, endbr64, prefetch */
	RECIPE_PUSH_REG,       /* push reg_a */
	RECIPE_POP_REG,        /* pop reg_a */
	RECIPE_SUB_IMM,        /* reg_a -= imm, flags set */
	RECIPE_ADD_IMM,        /* reg_a += imm, flags set */
	RECIPE_MOV_REG,        /* reg_a = reg_b, width bytes */
	RECIPE_MOV_IMM,        /* reg_a = imm, width bytes */
	RECIPE_XOR_SELF,       /* reg_a = 0, flags set, width bytes */
	RECIPE_LEA,            /* reg_a = reg_b + imm; width bytes; reg_b may be RECIPE_REG_NONE */
	RECIPE_RET,            /* pc = pop; then sp += imm */
	RECIPE_JUMP,           /* pc = imm (absolute) */
	RECIPE_CALL,           /* push pc of next; pc = imm (absolute) */
	RECIPE_OPS
};

/* Properties of the instruction that restrict how it may be run. */
enum {
	RECIPE_PUSHES_RETURN = 1 << 0, /* a call: on a shadow stack neither emulation nor slot, step in place */
	RECIPE_POPS_RETURN = 1 << 1,   /* a return: on a shadow stack no emulation, the slot is right */
	RECIPE_MAY_BLOCK = 1 << 2,     /* a system call: stepping in place would hold all threads for as long */
};

enum { RECIPE_REG_NONE = 0xff, RECIPE_CODE_MAX = 48, RECIPE_FIXUPS_MAX = 4, RECIPE_INSN_MAX = 16 };

/* A 32-bit field of the slot's code that holds a distance: target - (address of the field + 4 + trailing). */
struct recipe_fixup {
	uint8_t offset;   /* of the field in code[] */
	uint8_t trailing; /* bytes of the same instruction behind the field (immediates) */
	uint8_t reserved[6];
	uint64_t target;  /* absolute address in the victim */
};

struct recipe {
	uint8_t op;           /* enum recipe_op */
	uint8_t length;       /* of the instruction at home */
	uint8_t reg_a, reg_b; /* numbers as the architecture encodes them (x86: 0 rax, 4 rsp, 5 rbp, 15 r15) */
	uint8_t width;        /* operand size in bytes */
	uint8_t code_length;  /* 0: no slot possible; step in place */
	uint8_t fixups;
	/*
	 * A thread whose pc is slot + 0 has not begun: it may be put at home. One at exactly slot + boundary has
	 * run the instruction and may be put at home + length (a system call that waits to be restarted too).
	 * Elsewhere inside it must run on until it has left. code_length: there is no such place (call, jump).
	 */
	uint8_t boundary;
	uint8_t flags;        /* RECIPE_PUSHES_RETURN ... */
	uint8_t reserved[7];
	int64_t imm;
	uint8_t home[RECIPE_INSN_MAX]; /* the bytes at home that this recipe was made from, length valid */
	uint8_t code[RECIPE_CODE_MAX]; /* slot: displaced instruction(s), then the jump home */
	struct recipe_fixup fixup[RECIPE_FIXUPS_MAX];
};

/* Can the recipe of an instruction serve for the same instruction of the same image elsewhere? */
static inline bool recipe_can_move(const struct recipe *recipe)
{
	/* A call has its return address among its code; an address that is loaded may be relative or not. */
	return !(recipe->flags & RECIPE_PUSHES_RETURN) &&
	       !(recipe->op == RECIPE_LEA && recipe->reg_b == RECIPE_REG_NONE);
}

/* All that it jumps or points to lies in the image, and moves along. */
static inline void recipe_move(struct recipe *recipe, uint64_t distance)
{
	if (recipe->op == RECIPE_JUMP)
		recipe->imm = (int64_t)((uint64_t)recipe->imm + distance);
	for (unsigned i = 0; i < recipe->fixups && i < RECIPE_FIXUPS_MAX; i++)
		recipe->fixup[i].target += distance;
}

#endif
