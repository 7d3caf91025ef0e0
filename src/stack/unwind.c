/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stack/unwind.c - frame after frame
 *
 *	rules of the file (CFI) ── none ──► a signal's return ── no ──► entry of a function ── no ──► frame pointer
 *	                                                                                     ── no ──► scan
 *
 * What is not certain is marked so (how), and no step goes back: the stack pointer rises from frame to frame, but where
 * a signal handler has run on a stack of its own.
 */
#include <string.h>

#include "stack/inside.h"

enum { SCAN_WORDS = 64 };

struct state {
	struct stack_map *map;
	const struct stack_copy *copy;
	struct registers registers;
	bool exact;  /* pc is an instruction that is to run, not one behind a call */
	vaddr_t cfa; /* of the last step; 0: none */
};

/* What a step has led to. */
enum step { STEP_DONE, STEP_OUTERMOST, STEP_NO_BYTES, STEP_NO_REGISTER, STEP_NO_RULE };

static uint64_t get(const struct state *state, unsigned number)
{
	return state->registers.value[number];
}

static bool known(const struct state *state, unsigned number)
{
	return state->registers.known >> number & 1;
}

static void set(struct registers *registers, unsigned number, uint64_t value)
{
	registers->value[number] = value;
	registers->known |= 1u << number;
}

static enum step step_of(enum got got)
{
	static const enum step steps[] = {
		[GOT] = STEP_DONE,
		[GOT_NO_BYTES] = STEP_NO_BYTES,
		[GOT_NO_REGISTER] = STEP_NO_REGISTER,
		[GOT_NO_RULE] = STEP_NO_RULE,
	};

	return steps[got];
}

static bool is_code(const struct state *state, vaddr_t address)
{
	return map_at(state->map, address) != NULL;
}

/* Text around an address; zeroes where nothing is there. */
static void text(const struct state *state, vaddr_t address, unsigned char *bytes, size_t length)
{
	const struct reader *memory = &state->map->memory;

	memset(bytes, 0, length);
	if (memory->read)
		(void)memory->read(memory->data, address, bytes, length);
}

static bool behind_a_call(const struct state *state, vaddr_t address)
{
	unsigned char before[ARCH_ENTRY_BYTES];

	if (!is_code(state, address - 1))
		return false;
	text(state, address - sizeof(before), before, sizeof(before));
	return arch_ends_in_call(before);
}

/* ---- by rules ---------------------------------------------------------------------------- */

static bool row_of(const struct state *state, vaddr_t look_up, struct row *row)
{
	struct mapped *mapping = map_at(state->map, look_up);
	struct file *file = mapping ? map_file(state->map, mapping) : NULL;
	uint64_t address = file ? file_address(file, look_up - mapping->start + mapping->offset) : UINT64_MAX;

	return address != UINT64_MAX && file->cfi && cfi_row(file->cfi, address, row);
}

static enum got cfa_of(const struct state *state, const struct row *row, uint64_t *ret)
{
	const struct context context = { .registers = &state->registers, .copy = state->copy };

	switch (row->cfa.kind) {
	case RULE_CFA:
		if (row->cfa_register >= ARCH_DWARF_REGISTERS || !known(state, row->cfa_register))
			return GOT_NO_REGISTER;
		*ret = get(state, row->cfa_register) + (uint64_t)row->cfa.u.offset;
		return GOT;
	case RULE_EXPRESSION:
		return evaluate(&context, row->cfa.u.ops, row->cfa.count, ret);
	default:
		return GOT_NO_RULE;
	}
}

static enum got apply(const struct state *state, const struct rule *rule, unsigned number, uint64_t cfa, uint64_t *ret)
{
	const struct context context = { &state->registers, state->copy, cfa, true };
	enum got got;

	switch (rule->kind) {
	case RULE_SAME:
		*ret = get(state, number);
		return known(state, number) ? GOT : GOT_NO_REGISTER;
	case RULE_AT_CFA:
		return copy_word(state->copy, cfa + (uint64_t)rule->u.offset, ret);
	case RULE_CFA:
		*ret = cfa + (uint64_t)rule->u.offset;
		return GOT;
	case RULE_REGISTER:
		if (rule->u.offset >= ARCH_DWARF_REGISTERS || !known(state, (unsigned)rule->u.offset))
			return GOT_NO_REGISTER;
		*ret = get(state, (unsigned)rule->u.offset);
		return GOT;
	case RULE_AT_EXPRESSION:
		got = evaluate(&context, rule->u.ops, rule->count, ret);
		return got == GOT ? copy_word(state->copy, *ret, ret) : got;
	case RULE_EXPRESSION:
		return evaluate(&context, rule->u.ops, rule->count, ret);
	default:
		return GOT_NO_RULE;
	}
}

static enum step step_by_rules(struct state *state, const struct row *row)
{
	struct registers caller = { .known = 0 };
	uint64_t cfa, value;
	enum got got = cfa_of(state, row, &cfa);

	if (got != GOT)
		return step_of(got);
	if (row->rule[ARCH_DWARF_PC].kind == RULE_UNDEFINED)
		return STEP_OUTERMOST;
	for (unsigned i = 0; i < ARCH_DWARF_REGISTERS; i++) {
		got = apply(state, &row->rule[i], i, cfa, &value);
		if (got == GOT)
			set(&caller, i, value);
		else if (i == ARCH_DWARF_PC)
			return step_of(got);
	}
	/* Where it says nothing of it, the stack pointer is what the CFA was defined by. */
	if (row->rule[ARCH_DWARF_SP].kind == RULE_UNDEFINED || row->rule[ARCH_DWARF_SP].kind == RULE_SAME)
		set(&caller, ARCH_DWARF_SP, cfa);
	state->registers = caller;
	state->cfa = cfa;
	return STEP_DONE;
}

/* ---- without rules ----------------------------------------------------------------------- */

/* The C library's, where it has no rules for it: the kernel's frame is at sp. */
static bool step_by_signal(struct state *state)
{
	unsigned char bytes[ARCH_SIGRETURN_BYTES];
	struct registers caller = { .known = 0 };
	uint64_t value;

	text(state, get(state, ARCH_DWARF_PC), bytes, sizeof(bytes));
	if (!arch_is_sigreturn(bytes))
		return false;
	for (unsigned i = 0; i < ARCH_DWARF_REGISTERS; i++) {
		if (copy_word(state->copy, get(state, ARCH_DWARF_SP) + arch_sigreturn_offsets[i], &value) != GOT)
			return false;
		set(&caller, i, value);
	}
	state->registers = caller;
	state->cfa = 0;
	return true;
}

/* The caller is found: pc at address, whose word is the last of this frame. */
static bool return_by(struct state *state, vaddr_t at, uint64_t *pc)
{
	return copy_word(state->copy, at, pc) == GOT && is_code(state, *pc) && behind_a_call(state, *pc);
}

/* Of the registers that a call keeps, but for these, none is known any longer: this function may have changed them. */
static void leave_to(struct state *state, uint64_t pc, vaddr_t sp, uint32_t kept)
{
	state->registers.known &= kept;
	set(&state->registers, ARCH_DWARF_PC, pc);
	set(&state->registers, ARCH_DWARF_SP, sp);
	state->cfa = sp;
}

static bool step_by_entry(struct state *state)
{
	unsigned char bytes[2 * ARCH_ENTRY_BYTES];
	vaddr_t pc = get(state, ARCH_DWARF_PC), at;
	uint64_t caller;
	int words;

	if (!state->exact)
		return false;
	text(state, pc - ARCH_ENTRY_BYTES, bytes, sizeof(bytes));
	/* Called through a bad pointer: nothing has run there, and nothing was pushed. */
	words = is_code(state, pc) ? arch_entry_words(bytes, bytes + ARCH_ENTRY_BYTES) : 0;
	if (words < 0)
		return false;
	at = get(state, ARCH_DWARF_SP) + 8 * (vaddr_t)(unsigned)words;
	if (!return_by(state, at, &caller))
		return false;
	leave_to(state, caller, at + 8, ~0u);
	return true;
}

static enum step step_by_frame_pointer(struct state *state)
{
	vaddr_t fp = get(state, ARCH_DWARF_FP);
	uint64_t pc, outer;

	if (!known(state, ARCH_DWARF_FP))
		return STEP_NO_REGISTER;
	if (!fp)
		return STEP_OUTERMOST;
	if (fp % 8 || fp < get(state, ARCH_DWARF_SP))
		return STEP_NO_RULE;
	if (copy_word(state->copy, fp, &outer) != GOT || copy_word(state->copy, fp + 8, &pc) != GOT)
		return STEP_NO_BYTES;
	if (!pc)
		return STEP_OUTERMOST;
	if (!behind_a_call(state, pc))
		return STEP_NO_RULE;
	leave_to(state, pc, fp + 16, 0);
	set(&state->registers, ARCH_DWARF_FP, outer);
	return STEP_DONE;
}

static bool step_by_scan(struct state *state)
{
	vaddr_t sp = get(state, ARCH_DWARF_SP);
	uint64_t pc;

	for (unsigned i = 0; i < SCAN_WORDS; i++) {
		vaddr_t at = (sp & ~UINT64_C(7)) + 8 * (vaddr_t)i;

		if (!return_by(state, at, &pc))
			continue;
		leave_to(state, pc, at + 8, 1u << ARCH_DWARF_FP);
		return true;
	}
	return false;
}

/* ---- all of it --------------------------------------------------------------------------- */

static enum step step_without_rules(struct state *state, enum stack_how *how)
{
	enum step step;

	if (step_by_signal(state)) {
		*how = STACK_SIGNAL;
		return STEP_DONE;
	}
	*how = STACK_SCAN;
	if (step_by_entry(state))
		return STEP_DONE;
	*how = STACK_FP;
	step = step_by_frame_pointer(state);
	if (step == STEP_DONE)
		return step;
	/* A frame pointer of 0 is the outermost frame's, or the register is used for something else. */
	*how = STACK_SCAN;
	return step_by_scan(state) ? STEP_DONE : step;
}

/*
 * What a signal handler returns through stands where no call has led to, so behind another function's end: rules of the
 * byte before it, as for all other frames, would be that one's. C libraries that have rules for it begin them there.
 */
static bool is_return_of_signal(const struct state *state, const struct row *row, vaddr_t look_up)
{
	unsigned char bytes[ARCH_SIGRETURN_BYTES];

	if (state->exact || row->signal || row->end != row->address + 1)
		return false;
	text(state, look_up + 1, bytes, sizeof(bytes));
	return arch_is_sigreturn(bytes);
}

/* One further. how: the next frame is found; exact: its pc is. */
static enum step step(struct state *state, struct stack_frame *frame, enum stack_how *how, bool *exact)
{
	enum step result;
	struct row row;

	if (!row_of(state, frame->look_up, &row) || is_return_of_signal(state, &row, frame->look_up)) {
		result = step_without_rules(state, how);
		*exact = result == STEP_DONE && *how == STACK_SIGNAL;
	} else {
		*exact = row.signal;
		*how = row.signal ? STACK_SIGNAL : STACK_CFI;
		result = step_by_rules(state, &row);
	}
	if (*exact)
		frame->look_up = frame->pc;
	return result;
}

static enum stack_end end_of(enum step step)
{
	static const enum stack_end ends[] = {
		[STEP_DONE] = STACK_FRAMES,
		[STEP_OUTERMOST] = STACK_WHOLE,
		[STEP_NO_BYTES] = STACK_BYTES,
		[STEP_NO_REGISTER] = STACK_REGISTERS,
		[STEP_NO_RULE] = STACK_RULES,
	};

	return ends[step];
}

static void begin(struct state *state, const struct stack_copy *copy)
{
	if (copy->known)
		arch_dwarf_registers(&copy->regs, state->registers.value);
	state->registers.known = copy->known;
	set(&state->registers, ARCH_DWARF_PC, copy->pc);
	set(&state->registers, ARCH_DWARF_SP, copy->sp);
}

size_t stack_unwind(struct stack_map *map, const struct stack_copy *copy, struct stack_frame *frames, size_t max,
		    enum stack_end *ret_end)
{
	struct state state = { .map = map, .copy = copy, .exact = true };
	enum stack_how how = STACK_PC;
	enum step result = STEP_DONE;
	size_t count = 0;

	begin(&state, copy);
	while (count < max) {
		vaddr_t pc = get(&state, ARCH_DWARF_PC), sp = get(&state, ARCH_DWARF_SP);
		enum stack_how next;
		bool exact;

		frames[count] = (struct stack_frame){ .pc = pc, .look_up = state.exact ? pc : pc - 1, .how = how };
		result = step(&state, &frames[count++], &next, &exact);
		if (result != STEP_DONE)
			break;
		frames[count - 1].cfa = state.cfa;
		if (!get(&state, ARCH_DWARF_PC)) {
			result = STEP_OUTERMOST;
			break;
		}
		/* What leads nowhere but to itself is a lie. The innermost may have its return address in a register. */
		if (!exact && (get(&state, ARCH_DWARF_SP) < sp || (get(&state, ARCH_DWARF_SP) == sp && count > 1))) {
			result = STEP_NO_RULE;
			break;
		}
		how = next;
		state.exact = exact;
	}
	*ret_end = end_of(result);
	return count;
}
