/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stack/expression.c - DWARF expressions, as far as call frame information uses them (DWARF 5, 2.5 and 6.4.2)
 *
 * They come from the victim's files: the machine has a bounded stack, and runs forward only.
 */
#include <dwarf.h>
#include <string.h>

#include "base/limits.h"
#include "stack/inside.h"

enum { DEPTH = 64 };

struct machine {
	const struct context *context;
	uint64_t stack[DEPTH];
	unsigned depth;
	enum got got; /* of the first failure */
	bool is_value; /* what is on top is no address but the value itself: the caller knows */
};

enum got copy_word(const struct stack_copy *copy, vaddr_t address, uint64_t *ret)
{
	for (unsigned i = 0; i < copy->windows; i++) {
		const struct stack_window *window = &copy->window[i];

		if (address < window->address || address - window->address >= window->length ||
		    window->length - (address - window->address) < sizeof(*ret))
			continue;
		memcpy(ret, window->bytes + (address - window->address), sizeof(*ret));
		return GOT;
	}
	return GOT_NO_BYTES;
}

static void fail(struct machine *machine, enum got got)
{
	if (machine->got == GOT)
		machine->got = got;
}

static void push(struct machine *machine, uint64_t value)
{
	if (machine->depth == DEPTH)
		fail(machine, GOT_NO_RULE);
	else
		machine->stack[machine->depth++] = value;
}

static uint64_t pop(struct machine *machine)
{
	if (machine->depth)
		return machine->stack[--machine->depth];
	fail(machine, GOT_NO_RULE);
	return 0;
}

static uint64_t peek(struct machine *machine, uint64_t n)
{
	if (n < machine->depth)
		return machine->stack[machine->depth - 1 - n];
	fail(machine, GOT_NO_RULE);
	return 0;
}

static uint64_t reg(struct machine *machine, uint64_t n)
{
	const struct registers *registers = machine->context->registers;

	if (n < ARCH_DWARF_REGISTERS && registers->known >> n & 1)
		return registers->value[n];
	fail(machine, GOT_NO_REGISTER);
	return 0;
}

static uint64_t deref(struct machine *machine, vaddr_t address, uint64_t size)
{
	uint64_t word = 0;
	enum got got = size && size <= 8 ? copy_word(machine->context->copy, address, &word) : GOT_NO_RULE;

	if (got != GOT)
		fail(machine, got);
	return size < 8 ? word & ((UINT64_C(1) << size * 8) - 1) : word;
}

/* b was on top. False: no such operation. */
static bool two(uint8_t atom, uint64_t a, uint64_t b, uint64_t *ret)
{
	int64_t sa = (int64_t)a, sb = (int64_t)b;

	switch (atom) {
	case DW_OP_plus: *ret = a + b; break;
	case DW_OP_minus: *ret = a - b; break;
	case DW_OP_mul: *ret = a * b; break;
	case DW_OP_and: *ret = a & b; break;
	case DW_OP_or: *ret = a | b; break;
	case DW_OP_xor: *ret = a ^ b; break;
	case DW_OP_shl: *ret = b < 64 ? a << b : 0; break;
	case DW_OP_shr: *ret = b < 64 ? a >> b : 0; break;
	case DW_OP_shra: *ret = (uint64_t)(sa >> (b < 63 ? b : 63)); break;
	case DW_OP_eq: *ret = a == b; break;
	case DW_OP_ne: *ret = a != b; break;
	case DW_OP_lt: *ret = sa < sb; break;
	case DW_OP_le: *ret = sa <= sb; break;
	case DW_OP_gt: *ret = sa > sb; break;
	case DW_OP_ge: *ret = sa >= sb; break;
	default: return false;
	}
	return true;
}

static void rotate(struct machine *machine)
{
	uint64_t first = pop(machine), second = pop(machine), third = pop(machine);

	push(machine, first);
	push(machine, third);
	push(machine, second);
}

static void swap(struct machine *machine)
{
	uint64_t first = pop(machine), second = pop(machine);

	push(machine, first);
	push(machine, second);
}

static void other(struct machine *machine, const Dwarf_Op *op)
{
	uint64_t b, result;

	switch (op->atom) {
	case DW_OP_nop: break;
	case DW_OP_call_frame_cfa:
		if (machine->context->has_cfa)
			push(machine, machine->context->cfa);
		else
			fail(machine, GOT_NO_RULE);
		break;
	case DW_OP_bregx: push(machine, reg(machine, op->number) + op->number2); break;
	case DW_OP_regx: push(machine, reg(machine, op->number)); break;
	case DW_OP_deref: push(machine, deref(machine, pop(machine), 8)); break;
	case DW_OP_deref_size: push(machine, deref(machine, pop(machine), op->number)); break;
	case DW_OP_dup: push(machine, peek(machine, 0)); break;
	case DW_OP_over: push(machine, peek(machine, 1)); break;
	case DW_OP_pick: push(machine, peek(machine, op->number)); break;
	case DW_OP_drop: pop(machine); break;
	case DW_OP_swap: swap(machine); break;
	case DW_OP_rot: rotate(machine); break;
	case DW_OP_plus_uconst: push(machine, pop(machine) + op->number); break;
	case DW_OP_neg: push(machine, -pop(machine)); break;
	case DW_OP_not: push(machine, ~pop(machine)); break;
	case DW_OP_stack_value: machine->is_value = true; break;
	default:
		b = pop(machine);
		if (!two(op->atom, pop(machine), b, &result)) {
			fail(machine, GOT_NO_RULE);
			break;
		}
		push(machine, result);
	}
}

static void run(struct machine *machine, const Dwarf_Op *op)
{
	switch (op->atom) {
	case DW_OP_addr:
	case DW_OP_const1u: case DW_OP_const2u: case DW_OP_const4u: case DW_OP_const8u: case DW_OP_constu:
	case DW_OP_const1s: case DW_OP_const2s: case DW_OP_const4s: case DW_OP_const8s: case DW_OP_consts:
		push(machine, op->number);
		break;
	case DW_OP_lit0 ... DW_OP_lit31:
		push(machine, op->atom - (uint64_t)DW_OP_lit0);
		break;
	case DW_OP_reg0 ... DW_OP_reg31:
		push(machine, reg(machine, op->atom - (uint64_t)DW_OP_reg0));
		break;
	case DW_OP_breg0 ... DW_OP_breg31:
		push(machine, reg(machine, op->atom - (uint64_t)DW_OP_breg0) + op->number);
		break;
	default:
		other(machine, op);
	}
}

enum got evaluate(const struct context *context, const Dwarf_Op *ops, size_t count, uint64_t *ret)
{
	struct machine machine = { .context = context };

	for (size_t i = 0; i < count && machine.got == GOT; i++)
		run(&machine, &ops[i]);
	if (machine.got == GOT && !machine.depth)
		machine.got = GOT_NO_RULE;
	if (machine.got == GOT)
		*ret = machine.stack[machine.depth - 1];
	return machine.got;
}
