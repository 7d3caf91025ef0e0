/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * arch/x86_64_registers.c - where each register lies: user_regs_struct of <sys/user.h>, and the XSAVE area
 *
 *	0    the area of FXSAVE: x87, mxcsr, xmm0-15
 *	464  which components this kernel saves (XCR0)
 *	512  header: which of them are not in their initial state
 *	576  and on: the components; where each lies CPUID tells (leaf 13), in the format that is not compacted
 *
 * ymm and zmm are scattered: the low 128 bits of each are the xmm, the next are with AVX, the rest with AVX-512.
 */
#include "arch/registers.h"

#include <cpuid.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86_64.h"

enum {
	XCR0_AT = 464,
	IN_USE_AT = 512,
	LEGACY_END = 512,
	ST_AT = 32,
	XMM_AT = 160,
	XSAVE_LEAF = 13,
};

enum component { X87 = 0, SSE = 1, AVX = 2, OPMASK = 5, ZMM_HIGH = 6, ZMM_16 = 7 };
#define BIT(component) (UINT64_C(1) << (component))

struct general {
	const char *name;
	uint32_t word;
};

static const struct general words64[] = {
	{ "r15", 0 }, { "r14", 1 }, { "r13", 2 }, { "r12", 3 }, { "rbp", 4 }, { "rbx", 5 }, { "r11", 6 }, { "r10", 7 },
	{ "r9", 8 }, { "r8", 9 }, { "rax", 10 }, { "rcx", 11 }, { "rdx", 12 }, { "rsi", 13 }, { "rdi", 14 },
	{ "orig_rax", 15 }, { "rip", 16 }, { "cs", 17 }, { "eflags", 18 }, { "rsp", 19 }, { "ss", 20 },
	{ "fs_base", 21 }, { "gs_base", 22 }, { "ds", 23 }, { "es", 24 }, { "fs", 25 }, { "gs", 26 },
	{ "pc", 16 }, { "sp", 19 },
};

static const struct general words32[] = {
	{ "ebx", 0 }, { "ecx", 1 }, { "edx", 2 }, { "esi", 3 }, { "edi", 4 }, { "ebp", 5 }, { "eax", 6 }, { "ds", 7 },
	{ "es", 8 }, { "fs", 9 }, { "gs", 10 }, { "orig_eax", 11 }, { "eip", 12 }, { "cs", 13 }, { "eflags", 14 },
	{ "esp", 15 }, { "ss", 16 }, { "pc", 12 }, { "sp", 15 },
};

/* x87 and its kin in the legacy area. */
static const struct legacy {
	const char *name;
	uint32_t offset, size;
	enum component component;
} legacy[] = {
	{ "fctrl", 0, 2, X87 }, { "fstat", 2, 2, X87 }, { "ftag", 4, 1, X87 }, { "fop", 6, 2, X87 },
	{ "fip", 8, 8, X87 }, { "fdp", 16, 8, X87 }, { "mxcsr", 24, 4, SSE },
};

static bool find_general(const struct general *rows, size_t count, size_t word, const char *name,
			 struct arch_register *ret)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(rows[i].name, name) != 0)
			continue;
		*ret = (struct arch_register){ .set = NT_PRSTATUS, .size = (uint32_t)word };
		ret->piece[0].offset = (uint32_t)(rows[i].word * word);
		ret->piece[0].size = (uint32_t)word;
		return true;
	}
	return false;
}

/* Where a component begins; 0: the processor has none such. */
static uint32_t component_at(enum component component)
{
	unsigned size, offset, flags, reserved;

	if (!__get_cpuid_count(XSAVE_LEAF, component, &size, &offset, &flags, &reserved))
		return 0;
	return offset;
}

static void add_piece(struct arch_register *reg, uint32_t offset, uint32_t size)
{
	size_t i = 0;

	while (reg->piece[i].size)
		i++;
	reg->piece[i].offset = offset;
	reg->piece[i].size = size;
	reg->size += size;
}

/* "xmm12" after "xmm" is 12; -1: no number, or one that is too large. */
static int number_after(const char *name, const char *prefix, int limit)
{
	size_t length = strlen(prefix);
	char *end;
	long number;

	if (strncmp(name, prefix, length) != 0 || name[length] < '0' || name[length] > '9' ||
	    (name[length] == '0' && name[length + 1]))
		return -1;
	number = strtol(name + length, &end, 10);
	return *end || number >= limit ? -1 : (int)number;
}

/* 16, 32 or 64 bytes of the n-th. */
static bool vector(unsigned n, uint32_t size, struct arch_register *ret)
{
	*ret = (struct arch_register){ .set = NT_X86_XSTATE, .needs = BIT(SSE) };
	if (n >= 16) {
		ret->needs = BIT(ZMM_16);
		add_piece(ret, component_at(ZMM_16) + 64 * (n - 16), size);
		return component_at(ZMM_16);
	}
	add_piece(ret, XMM_AT + 16 * n, 16);
	if (size > 16) {
		ret->needs |= BIT(AVX);
		add_piece(ret, component_at(AVX) + 16 * n, 16);
	}
	if (size > 32) {
		ret->needs |= BIT(ZMM_HIGH);
		add_piece(ret, component_at(ZMM_HIGH) + 32 * n, 32);
	}
	return (size <= 16 || component_at(AVX)) && (size <= 32 || component_at(ZMM_HIGH));
}

static bool find_vector(uint32_t tag, const char *name, struct arch_register *ret)
{
	static const struct {
		const char *prefix;
		uint32_t size;
	} kinds[] = { { "xmm", 16 }, { "ymm", 32 }, { "zmm", 64 } };
	int limit = tag == ARCH_I386 ? 8 : 32, n;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		n = number_after(name, kinds[i].prefix, limit);
		if (n >= 0)
			return vector((unsigned)n, kinds[i].size, ret);
	}
	n = number_after(name, "st", 8);
	if (n >= 0) {
		*ret = (struct arch_register){ .set = NT_X86_XSTATE, .needs = BIT(X87) };
		add_piece(ret, ST_AT + 16 * (uint32_t)n, 10);
		return true;
	}
	n = number_after(name, "k", 8);
	if (n < 0 || !component_at(OPMASK))
		return false;
	*ret = (struct arch_register){ .set = NT_X86_XSTATE, .needs = BIT(OPMASK) };
	add_piece(ret, component_at(OPMASK) + 8 * (uint32_t)n, 8);
	return true;
}

bool arch_register_find(uint32_t tag, const char *name, struct arch_register *ret)
{
	if (tag == ARCH_X86_64 ? find_general(words64, ARRAY_LEN(words64), 8, name, ret)
			       : find_general(words32, ARRAY_LEN(words32), 4, name, ret))
		return true;
	for (size_t i = 0; i < ARRAY_LEN(legacy); i++) {
		if (strcmp(legacy[i].name, name) != 0)
			continue;
		*ret = (struct arch_register){ .set = NT_X86_XSTATE, .needs = BIT(legacy[i].component) };
		add_piece(ret, legacy[i].offset, legacy[i].size);
		return true;
	}
	return find_vector(tag, name, ret);
}

static uint64_t word_at(const uint8_t *set, size_t offset)
{
	uint64_t word;

	memcpy(&word, set + offset, sizeof(word));
	return word;
}

static bool has(const struct arch_register *where, const uint8_t *set, size_t length)
{
	for (size_t i = 0; i < ARCH_REGISTER_PIECES; i++)
		if (where->piece[i].size > length || where->piece[i].offset > length - where->piece[i].size)
			return false;
	if (!where->needs)
		return true;
	return length >= IN_USE_AT + sizeof(uint64_t) && (word_at(set, XCR0_AT) & where->needs) == where->needs;
}

bool arch_register_read(const struct arch_register *where, const uint8_t *set, size_t length, uint8_t *value)
{
	if (!has(where, set, length))
		return false;
	for (size_t i = 0; i < ARCH_REGISTER_PIECES; i++) {
		memcpy(value, set + where->piece[i].offset, where->piece[i].size);
		value += where->piece[i].size;
	}
	return true;
}

bool arch_register_write(const struct arch_register *where, uint8_t *set, size_t length, const uint8_t *value)
{
	uint64_t in_use;

	if (!has(where, set, length))
		return false;
	for (size_t i = 0; i < ARCH_REGISTER_PIECES; i++) {
		memcpy(set + where->piece[i].offset, value, where->piece[i].size);
		value += where->piece[i].size;
	}
	if (!where->needs)
		return true;
	/* What is not in use has its initial value, whatever the area says. */
	in_use = word_at(set, IN_USE_AT) | where->needs;
	memcpy(set + IN_USE_AT, &in_use, sizeof(in_use));
	return true;
}

const char *arch_register_name(uint32_t tag, uint32_t number)
{
	static const char *const names64[] = {
		"rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
		"r15", "rip", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
		"xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "st0", "st1", "st2", "st3", "st4", "st5", "st6", "st7",
		[49] = "eflags", [50] = "es", [51] = "cs", [52] = "ss", [53] = "ds", [54] = "fs", [55] = "gs",
		[58] = "fs_base", [59] = "gs_base", [64] = "mxcsr", [65] = "fctrl", [66] = "fstat",
	};
	static const char *const names32[] = {
		"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "eip", "eflags", NULL, "st0", "st1", "st2",
		"st3", "st4", "st5", "st6", "st7", [21] = "xmm0", [22] = "xmm1", [23] = "xmm2", [24] = "xmm3",
		[25] = "xmm4", [26] = "xmm5", [27] = "xmm6", [28] = "xmm7", [37] = "fctrl", [38] = "fstat", [39] = "mxcsr",
		[40] = "es", [41] = "cs", [42] = "ss", [43] = "ds", [44] = "fs", [45] = "gs",
	};

	if (tag == ARCH_X86_64)
		return number < ARRAY_LEN(names64) ? names64[number] : NULL;
	return tag == ARCH_I386 && number < ARRAY_LEN(names32) ? names32[number] : NULL;
}
