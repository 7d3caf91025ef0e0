/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * main through start code, and the bytes of a system call. Real programs: test_rtld.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "decode/decode.h"
#include "fake_memory.h"

static uint64_t random_state;

static uint64_t random_word(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static int find_main(const uint8_t *code, size_t length, vaddr_t *ret)
{
	struct fake_memory fake = { 0 };
	struct reader memory = { fake_read, fake_read_many, &fake };

	fake_add(&fake, 0x401000, code, length);
	return decode_find_main(&memory, 0x401000, ret);
}

static void code_that_only_looks_like_start_code_has_no_main(void **state)
{
	/* mov $0x402000, %edi; call puts: an assembly program that calls a C function */
	static const uint8_t calls_puts[] = { 0xbf, 0x00, 0x20, 0x40, 0x00, 0xe8, 0x10, 0x00, 0x00, 0x00 };
	/* xor %ebp, %ebp; and $-16, %rsp; mov $0x402000, %edi; call: no argument vector is passed */
	static const uint8_t no_arguments[] = { 0x31, 0xed, 0x48, 0x83, 0xe4, 0xf0, 0xbf, 0x00,
						0x20, 0x40, 0x00, 0xe8, 0x10, 0x00, 0x00, 0x00 };
	/* mov (%rsp), %rdi; lea 8(%rsp), %rsi; jmp .: the entry of Go, in a ring */
	static const uint8_t ring[] = { 0x48, 0x8b, 0x3c, 0x24, 0x48, 0x8d, 0x74, 0x24, 0x08, 0xeb, 0xf5 };
	/* xor %ebp, %ebp; mov %rsp, %rdx; and $-16, %rsp; xor %edi, %edi; call */
	static const uint8_t null_main[] = { 0x31, 0xed, 0x48, 0x89, 0xe2, 0x48, 0x83, 0xe4,
					     0xf0, 0x31, 0xff, 0xe8, 0x10, 0x00, 0x00, 0x00 };
	vaddr_t found = 0;

	(void)state;
	assert_int_equal(find_main(calls_puts, sizeof(calls_puts), &found), -ENOENT);
	assert_int_equal(find_main(no_arguments, sizeof(no_arguments), &found), -ENOENT);
	assert_int_equal(find_main(ring, sizeof(ring), &found), -ENOENT);
	assert_int_equal(find_main(null_main, sizeof(null_main), &found), -ENOENT);
	assert_int_equal(find_main(null_main, 0, &found), -ENOENT);
	assert_int_equal(found, 0);
}

static void only_a_linker_that_comes_back_has_a_place_to_come_back_to(void **state)
{
	/* mov %rsp, %rdi; call; mov %rax, %r12: glibc's */
	static const uint8_t returns[] = { 0x48, 0x89, 0xe7, 0xe8, 0xf8, 0x0b, 0x00, 0x00, 0x49, 0x89, 0xc4 };
	/* xor %rbp, %rbp: musl's, which jumps away in what it calls */
	static const uint8_t jumps[] = { 0x48, 0x31, 0xed, 0x48, 0x89, 0xe7, 0xe8, 0xf8, 0x0b, 0x00, 0x00 };
	/* call *%rax */
	static const uint8_t indirect[] = { 0x48, 0x89, 0xe7, 0xff, 0xd0, 0x49, 0x89, 0xc4 };
	struct fake_memory fake = { 0 };
	struct reader memory = { fake_read, fake_read_many, &fake };
	vaddr_t found = 0;

	(void)state;
	fake_add(&fake, 0x401000, returns, sizeof(returns));
	fake_add(&fake, 0x402000, jumps, sizeof(jumps));
	fake_add(&fake, 0x403000, indirect, sizeof(indirect));
	assert_int_equal(decode_find_return(&memory, 0x402000, &found), -ENOENT);
	assert_int_equal(decode_find_return(&memory, 0x403000, &found), -ENOENT);
	assert_int_equal(decode_find_return(&memory, 0x404000, &found), -ENOENT);
	assert_int_equal(found, 0);
	assert_int_equal(decode_find_return(&memory, 0x401000, &found), 0);
	assert_int_equal(found, 0x401008);
}

static void main_is_the_first_argument_of_the_start_call(void **state)
{
	/* xor %ebp, %ebp; pop %rsi; mov %rsp, %rdx; and $-16, %rsp; MAIN; call *0(%rip) */
	static const uint8_t before[] = { 0x31, 0xed, 0x5e, 0x48, 0x89, 0xe2, 0x48, 0x83, 0xe4, 0xf0 };
	static const uint8_t call[] = { 0xff, 0x15, 0x00, 0x00, 0x00, 0x00 };
	static const struct {
		uint8_t bytes[7];
		int result;
		vaddr_t found;
	} forms_of_main[] = {
		{ { 0x48, 0xc7, 0xc7, 0x00, 0x11, 0x40, 0x00 }, 0, 0x401100 }, /* mov $main, %rdi */
		{ { 0x48, 0x8d, 0x3d, 0x00, 0x01, 0x00, 0x00 }, 0, 0x401111 }, /* lea main(%rip), %rdi */
		{ { 0x48, 0x8b, 0x3d, 0x00, 0x20, 0x00, 0x00 },
		  1,
		  0x401011 + 0x2000 }, /* mov main@GOT, %rdi */
	};
	uint8_t code[64] = { 0 };
	vaddr_t found;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(forms_of_main); i++) {
		memcpy(code, before, sizeof(before));
		memcpy(code + sizeof(before), forms_of_main[i].bytes, 7);
		memcpy(code + sizeof(before) + 7, call, sizeof(call));
		assert_int_equal(find_main(code, sizeof(code), &found), forms_of_main[i].result);
		assert_int_equal(found, forms_of_main[i].found);
	}
}

static void start_code_of_any_bytes_is_survived(void **state)
{
	static const uint8_t pieces[][7] = {
		{ 0x31, 0xed },
		{ 0x48, 0x89, 0xe2 },
		{ 0x48, 0x83, 0xe4, 0xf0 },
		{ 0x48, 0x89, 0xe7 },
		{ 0x48, 0x8d, 0x35, 0, 1, 0, 0 },
		{ 0xeb, 0x02 },
		{ 0xe8, 0x04, 0, 0, 0 },
		{ 0x74, 0x03 },
		{ 0x48, 0x8d, 0x05, 8, 0, 0, 0 },
		{ 0xff, 0xe0 },
		{ 0x5e },
		{ 0x90 },
	};
	uint8_t code[600];
	vaddr_t found;

	(void)state;
	random_state = 12345;
	for (int n = 0; n < 100000; n++) {
		for (size_t i = 0; i < sizeof(code); i++)
			code[i] = (uint8_t)random_word();
		for (size_t i = 0; n % 2 && i + 7 < sizeof(code); i += 1 + random_word() % 7)
			memcpy(code + i, pieces[random_word() % ARRAY_LEN(pieces)], 7);
		int result = find_main(code, sizeof(code) - random_word() % 100, &found);
		assert_true(result == 0 || result == 1 || result == -ENOENT);
	}
}

static void the_bytes_of_a_system_call_are_found_wherever_they_are(void **state)
{
	static uint8_t code[5000];
	struct fake_memory fake = { 0 };
	struct reader memory = { fake_read, fake_read_many, &fake };
	vaddr_t found = 0;

	(void)state;
	fake_add(&fake, 0x1000, code, sizeof(code));
	assert_int_equal(decode_find_syscall(&memory, 0x1000, 0x1000 + sizeof(code), &found), -ENOENT);
	assert_int_equal(decode_find_syscall(&memory, 0x1000, 0x9000, &found), -ENOENT);
	assert_int_equal(decode_find_syscall(&memory, 0x1000, 0x1000, &found), -ENOENT);
	assert_int_equal(decode_find_syscall(&memory, 0x100, 0x200, &found), -ENOENT);
	for (size_t at = 0; at + 2 <= sizeof(code); at++) {
		code[at] = 0x0f;
		code[at + 1] = 0x05;
		assert_int_equal(decode_find_syscall(&memory, 0x1000, 0x1000 + sizeof(code), &found), 0);
		assert_int_equal(found, 0x1000 + at);
		/* half of it is outside */
		assert_int_equal(decode_find_syscall(&memory, 0x1000, 0x1000 + at + 1, &found), -ENOENT);
		code[at] = code[at + 1] = 0;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(code_that_only_looks_like_start_code_has_no_main),
		cmocka_unit_test(only_a_linker_that_comes_back_has_a_place_to_come_back_to),
		cmocka_unit_test(main_is_the_first_argument_of_the_start_call),
		cmocka_unit_test(start_code_of_any_bytes_is_survived),
		cmocka_unit_test(the_bytes_of_a_system_call_are_found_wherever_they_are),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
