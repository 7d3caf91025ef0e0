/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Registers by name within the sets that ptrace(2) gives.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <elf.h>
#include <stdio.h>
#include <string.h>
#include <sys/user.h>

#include "arch/registers.h"

enum { XCR0_AT = 464, IN_USE_AT = 512, SET = 4096 };

static uint64_t general(const struct user_regs_struct *regs, const char *name)
{
	struct arch_register where;
	uint64_t value = 0;

	assert_true(arch_register_find(ARCH_X86_64, name, &where));
	assert_int_equal(where.set, NT_PRSTATUS);
	assert_int_equal(where.size, 8);
	assert_true(arch_register_read(&where, (const uint8_t *)regs, sizeof(*regs), (uint8_t *)&value));
	return value;
}

static void general_registers_lie_where_the_system_s_header_has_them(void **state)
{
	struct user_regs_struct regs;

	(void)state;
	for (size_t i = 0; i < sizeof(regs) / 8; i++)
		((unsigned long long *)(void *)&regs)[i] = 0x1000 + i;
	assert_int_equal(general(&regs, "rax"), regs.rax);
	assert_int_equal(general(&regs, "rdi"), regs.rdi);
	assert_int_equal(general(&regs, "r8"), regs.r8);
	assert_int_equal(general(&regs, "r15"), regs.r15);
	assert_int_equal(general(&regs, "orig_rax"), regs.orig_rax);
	assert_int_equal(general(&regs, "eflags"), regs.eflags);
	assert_int_equal(general(&regs, "fs_base"), regs.fs_base);
	assert_int_equal(general(&regs, "gs"), regs.gs);
	assert_int_equal(general(&regs, "pc"), regs.rip);
	assert_int_equal(general(&regs, "sp"), regs.rsp);
}

static void each_number_has_a_name_that_is_found(void **state)
{
	static const uint32_t tags[] = { ARCH_X86_64, ARCH_I386 };
	struct arch_register where;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		unsigned found = 0;

		for (uint32_t number = 0; number < 200; number++) {
			const char *name = arch_register_name(tags[i], number);

			if (name)
				assert_true(arch_register_find(tags[i], name, &where));
			found += name != NULL;
		}
		assert_true(found > 30);
	}
	assert_null(arch_register_name(ARCH_UNKNOWN, 0));
	assert_null(arch_register_name(ARCH_X86_64, UINT32_MAX));
}

static void what_no_machine_has_is_not_found(void **state)
{
	static const char *const wrong[] = { "", "rxx", "RAX", "xmm", "xmm32", "xmm-1", "xmm01", "xmm1x", "xmm99999999999999999999",
					     "st8", "k8", "zmm32", "eax" };
	struct arch_register where;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_false(arch_register_find(ARCH_X86_64, wrong[i], &where));
	assert_false(arch_register_find(ARCH_I386, "rax", &where));
	assert_false(arch_register_find(ARCH_I386, "xmm8", &where));
}

/* A set of a kernel that saves these components. */
static void make_set(uint8_t set[SET], uint64_t components)
{
	for (size_t i = 0; i < SET; i++)
		set[i] = (uint8_t)(i * 7);
	memset(set + IN_USE_AT, 0, 64);
	memcpy(set + XCR0_AT, &components, sizeof(components));
}

static void what_is_written_is_read_and_nothing_else_changes(void **state)
{
	static const char *const names[] = { "xmm0", "xmm15", "ymm0", "ymm15", "st0", "st7", "mxcsr", "fctrl" };
	uint8_t before[SET], set[SET], value[ARCH_REGISTER_MAX], again[ARCH_REGISTER_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct arch_register where;
		size_t changed = 0;
		uint64_t in_use;

		if (!arch_register_find(ARCH_X86_64, names[i], &where))
			continue; /* a processor without it */
		make_set(set, 7);
		memcpy(before, set, SET);
		memset(value, 0xff, sizeof(value));
		assert_true(arch_register_read(&where, set, SET, again));
		for (size_t at = 0; at < where.size; at++)
			value[at] = (uint8_t)~again[at];
		assert_true(arch_register_write(&where, set, SET, value));
		assert_true(arch_register_read(&where, set, SET, again));
		assert_memory_equal(value, again, where.size);
		for (size_t at = 0; at < SET; at++)
			changed += set[at] != before[at] && (at < IN_USE_AT || at >= IN_USE_AT + 8);
		assert_int_equal(changed, where.size);
		/* else the processor would take the initial value for it */
		memcpy(&in_use, set + IN_USE_AT, sizeof(in_use));
		assert_int_equal(in_use, where.needs);
	}
}

static void what_the_kernel_does_not_save_or_the_set_does_not_reach_is_refused(void **state)
{
	uint8_t set[SET], value[ARCH_REGISTER_MAX] = { 0 };
	struct arch_register where;

	(void)state;
	make_set(set, 3);
	if (arch_register_find(ARCH_X86_64, "ymm1", &where)) {
		assert_false(arch_register_read(&where, set, SET, value));
		assert_false(arch_register_write(&where, set, SET, value));
		make_set(set, 7);
		assert_true(arch_register_read(&where, set, SET, value));
		assert_false(arch_register_read(&where, set, 576, value));
	}
	assert_true(arch_register_find(ARCH_X86_64, "xmm1", &where));
	assert_false(arch_register_read(&where, set, 512, value));
	assert_false(arch_register_read(&where, set, 0, value));
	assert_true(arch_register_find(ARCH_X86_64, "rax", &where));
	assert_false(arch_register_read(&where, set, 68, value)); /* of a thread in 32-bit mode */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(general_registers_lie_where_the_system_s_header_has_them),
		cmocka_unit_test(each_number_has_a_name_that_is_found),
		cmocka_unit_test(what_no_machine_has_is_not_found),
		cmocka_unit_test(what_is_written_is_read_and_nothing_else_changes),
		cmocka_unit_test(what_the_kernel_does_not_save_or_the_set_does_not_reach_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
