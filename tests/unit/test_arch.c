/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Registers by role, rule 11's list, and emulation against the processor.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/user.h>

#include "arch/arch.h"

enum { CARRY = 1, PARITY = 4, AUXILIARY = 16, ZERO = 64, SIGN = 128, TRAP = 256, OVERFLOW = 2048 };
static const uint64_t arithmetic = CARRY | PARITY | AUXILIARY | ZERO | SIGN | OVERFLOW;

static uint64_t random_state = 88172645463325252;

static uint64_t random_word(void)
{
	static const uint64_t edges[] = { 0,          1,          0xf,        0x10,
					  0x7f,       0x80,       0x7fffffff, 0x80000000,
					  0xffffffff, UINT64_MAX, INT64_MAX,  (uint64_t)INT64_MIN };

	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % 5 == 0 ? edges[random_state / 5 % ARRAY_LEN(edges)] : random_state;
}

static struct arch_regs wide(const struct user_regs_struct *user)
{
	struct arch_regs regs = { .tag = ARCH_X86_64, .size = sizeof(*user) };

	memcpy(regs.u.bytes, user, sizeof(*user));
	return regs;
}

static struct user_regs_struct user_of(const struct arch_regs *regs)
{
	struct user_regs_struct user;

	memcpy(&user, regs->u.bytes, sizeof(user));
	return user;
}

/* The layout of a 32-bit thread, <asm/ptrace.h> as compiled for it. */
struct user32 {
	uint32_t ebx, ecx, edx, esi, edi, ebp, eax, ds, es, fs, gs, orig_eax, eip, cs, eflags, esp, ss;
};

static struct arch_regs narrow(const struct user32 *user)
{
	struct arch_regs regs = { .tag = ARCH_I386, .size = sizeof(*user) };

	memcpy(regs.u.bytes, user, sizeof(*user));
	return regs;
}

static void the_size_of_the_register_set_tells_the_mode(void **state)
{
	(void)state;
	assert_int_equal(arch_tag_of_size(sizeof(struct user_regs_struct)), ARCH_X86_64);
	assert_int_equal(arch_tag_of_size(sizeof(struct user32)), ARCH_I386);
	assert_int_equal(arch_tag_of_size(0), ARCH_UNKNOWN);
	assert_int_equal(arch_tag_of_size(sizeof(struct user_regs_struct) + 8), ARCH_UNKNOWN);
}

static void registers_are_found_by_their_role(void **state)
{
	struct user_regs_struct user = { .rip = 0x1000,
					 .rsp = 0x2000,
					 .rdi = 1,
					 .rsi = 2,
					 .rdx = 3,
					 .rcx = 4,
					 .r8 = 5,
					 .r9 = 6,
					 .r10 = 7,
					 .rax = 8,
					 .orig_rax = 9,
					 .eflags = TRAP };
	struct arch_regs regs = wide(&user);

	(void)state;
	assert_int_equal(arch_pc(&regs), 0x1000);
	assert_int_equal(arch_sp(&regs), 0x2000);
	for (unsigned n = 0; n < 6; n++)
		assert_int_equal(arch_argument(&regs, n), n + 1);
	assert_int_equal(arch_argument(&regs, 6), 0);
	assert_int_equal(arch_syscall_argument(&regs, 0), 1);
	assert_int_equal(arch_syscall_argument(&regs, 3), 7);
	assert_int_equal(arch_syscall_argument(&regs, 6), 0);
	assert_int_equal(arch_syscall_number(&regs), 9);
	assert_int_equal(arch_syscall_result(&regs), 8);
	assert_true(arch_steps_itself(&regs));
	arch_set_pc(&regs, 0x123456789abc);
	arch_not_in_syscall(&regs);
	user = user_of(&regs);
	assert_int_equal(user.rip, 0x123456789abc);
	assert_int_equal(user.orig_rax, UINT64_MAX);
	assert_int_equal(arch_syscall_number(&regs), -1);
}

static void registers_of_a_32_bit_thread_are_found_by_their_role(void **state)
{
	struct user32 user = { .eip = 0xfffff000,
			       .esp = 0x2000,
			       .ebx = 1,
			       .ecx = 2,
			       .edx = 3,
			       .esi = 4,
			       .edi = 5,
			       .ebp = 6,
			       .eax = (uint32_t)-EINTR,
			       .orig_eax = 256 };
	struct arch_regs regs = narrow(&user);

	(void)state;
	assert_int_equal(arch_pc(&regs), 0xfffff000);
	assert_int_equal(arch_sp(&regs), 0x2000);
	for (unsigned n = 0; n < 6; n++)
		assert_int_equal(arch_syscall_argument(&regs, n), n + 1);
	assert_int_equal(arch_syscall_number(&regs), 256);
	assert_int_equal(arch_syscall_result(&regs), -EINTR);
	arch_syscall_rewind(&regs);
	memcpy(&user, regs.u.bytes, sizeof(user));
	assert_int_equal(user.eip, 0xffffeffe);
	assert_int_equal(user.eax, 256);
	assert_int_equal(user.orig_eax, UINT32_MAX);
	assert_false(arch_steps_itself(&regs));
}

static void a_call_wound_back_runs_again_with_the_same_arguments(void **state)
{
	struct user_regs_struct user = { .rip = 0x1002,
					 .rax = (uint64_t)-EINTR,
					 .orig_rax = SYS_epoll_wait,
					 .rdi = 3,
					 .rsi = 0x5000,
					 .rdx = 10,
					 .r10 = UINT64_MAX };
	struct arch_regs regs = wide(&user);

	(void)state;
	arch_syscall_rewind(&regs);
	user = user_of(&regs);
	assert_int_equal(user.rip, 0x1000);
	assert_int_equal(user.rax, SYS_epoll_wait);
	assert_int_equal(user.rdi, 3);
	assert_int_equal(user.rsi, 0x5000);
	assert_int_equal(user.rdx, 10);
	/* A second stop before it runs must not wind back again. */
	assert_int_equal(arch_syscall_number(&regs), -1);
}

static void an_injected_call_has_its_arguments_where_the_kernel_looks(void **state)
{
	const uint64_t arguments[6] = { 11, 12, 13, 14, 15, 16 };
	struct user_regs_struct user = { .rip = 1, .rsp = 2, .rcx = 3, .rbx = 4 };
	struct user32 user32 = { .esp = 2 };
	struct arch_regs regs = wide(&user), regs32 = narrow(&user32);

	(void)state;
	arch_syscall_inject(&regs, 0x7000, SYS_mmap, arguments);
	user = user_of(&regs);
	assert_int_equal(user.rip, 0x7000);
	assert_int_equal(user.rax, SYS_mmap);
	assert_int_equal(user.orig_rax, UINT64_MAX);
	assert_int_equal(user.rdi, 11);
	assert_int_equal(user.rsi, 12);
	assert_int_equal(user.rdx, 13);
	assert_int_equal(user.r10, 14);
	assert_int_equal(user.r8, 15);
	assert_int_equal(user.r9, 16);
	assert_int_equal(user.rsp, 2);
	assert_int_equal(user.rcx, 3);
	assert_int_equal(user.rbx, 4);
	arch_syscall_inject(&regs32, 0x7000, 192, arguments);
	memcpy(&user32, regs32.u.bytes, sizeof(user32));
	assert_int_equal(user32.eax, 192);
	assert_int_equal(user32.ebx, 11);
	assert_int_equal(user32.ebp, 16);
}

static void a_system_call_instruction_is_told_from_others(void **state)
{
	const unsigned char wide_call[] = { 0x0f, 0x05 }, narrow_call[] = { 0xcd, 0x80 }, trap[] = { 0xcc, 0x05 };

	(void)state;
	assert_true(arch_is_syscall(ARCH_X86_64, wide_call));
	assert_false(arch_is_syscall(ARCH_X86_64, narrow_call));
	assert_false(arch_is_syscall(ARCH_X86_64, trap));
	assert_true(arch_is_syscall(ARCH_I386, narrow_call));
	assert_false(arch_is_syscall(ARCH_I386, wide_call));
}

static void numbers_of_injected_calls_are_those_of_this_system(void **state)
{
	(void)state;
	assert_int_equal(arch_call_number(ARCH_X86_64, ARCH_CALL_MMAP), SYS_mmap);
	assert_int_equal(arch_call_number(ARCH_X86_64, ARCH_CALL_MUNMAP), SYS_munmap);
	assert_int_equal(arch_call_number(ARCH_X86_64, ARCH_CALL_RT_SIGACTION), SYS_rt_sigaction);
	assert_int_equal(arch_call_number(ARCH_I386, ARCH_CALL_MMAP), 192);
	assert_int_equal(arch_call_number(ARCH_UNKNOWN, ARCH_CALL_MMAP), -1);
	assert_true(arch_syscall_forks(ARCH_X86_64, SYS_clone));
	assert_true(arch_syscall_forks(ARCH_X86_64, SYS_fork));
	assert_true(arch_syscall_forks(ARCH_X86_64, SYS_vfork));
	assert_true(arch_syscall_forks(ARCH_X86_64, SYS_clone3));
	assert_true(arch_syscall_forks(ARCH_X86_64, 0x40000000 | SYS_vfork)); /* x32 */
	assert_false(arch_syscall_forks(ARCH_X86_64, SYS_execve));
	assert_false(arch_syscall_forks(ARCH_X86_64, -1));
	assert_true(arch_syscall_forks(ARCH_I386, 190));
	assert_false(arch_syscall_forks(ARCH_I386, 56));
}

static void whose_end_a_system_call_is(void **state)
{
	(void)state;
	assert_int_equal(arch_syscall_ends(ARCH_X86_64, SYS_exit_group), ARCH_ENDS_PROCESS);
	assert_int_equal(arch_syscall_ends(ARCH_X86_64, SYS_exit), ARCH_ENDS_THREAD);
	assert_int_equal(arch_syscall_ends(ARCH_X86_64, 0x40000000 | SYS_exit_group), ARCH_ENDS_PROCESS); /* x32 */
	assert_int_equal(arch_syscall_ends(ARCH_X86_64, 1), ARCH_ENDS_NOBODY); /* write(2) */
	assert_int_equal(arch_syscall_ends(ARCH_X86_64, -1), ARCH_ENDS_NOBODY);
	assert_int_equal(arch_syscall_ends(ARCH_I386, 252), ARCH_ENDS_PROCESS);
	assert_int_equal(arch_syscall_ends(ARCH_I386, 1), ARCH_ENDS_THREAD);
	assert_int_equal(arch_syscall_ends(ARCH_I386, 231), ARCH_ENDS_NOBODY); /* fgetxattr(2) */
}

static enum arch_eintr eintr(long number, unsigned argument, uint64_t value)
{
	struct user_regs_struct user = { .orig_rax = (uint64_t)number, .rax = (uint64_t)-EINTR };
	unsigned long long *arguments[] = { &user.rdi, &user.rsi, &user.rdx, &user.r10, &user.r8, &user.r9 };

	*arguments[argument] = value;
	struct arch_regs regs = wide(&user);
	return arch_syscall_eintr(&regs);
}

static void calls_that_a_stop_disturbs_are_known_with_their_time_outs(void **state)
{
	(void)state;
	assert_int_equal(eintr(SYS_epoll_wait, 3, UINT64_MAX), ARCH_EINTR_INFINITE);
	assert_int_equal(eintr(SYS_epoll_wait, 3, 0xffffffff),
			 ARCH_EINTR_INFINITE); /* an int, zero-extended */
	assert_int_equal(eintr(SYS_epoll_wait, 3, 0), ARCH_EINTR_TIMED);
	assert_int_equal(eintr(SYS_epoll_pwait, 3, 5000), ARCH_EINTR_TIMED);
	assert_int_equal(eintr(441 /* epoll_pwait2 */, 3, 0), ARCH_EINTR_INFINITE);
	assert_int_equal(eintr(441, 3, 0x7000), ARCH_EINTR_TIMED);
	assert_int_equal(eintr(SYS_rt_sigtimedwait, 2, 0), ARCH_EINTR_INFINITE);
	assert_int_equal(eintr(SYS_rt_sigtimedwait, 2, 0x7000), ARCH_EINTR_TIMED);
	assert_int_equal(eintr(SYS_io_getevents, 4, 0), ARCH_EINTR_INFINITE);
	assert_int_equal(eintr(SYS_io_pgetevents, 4, 0x7000), ARCH_EINTR_TIMED);
	assert_int_equal(eintr(SYS_semop, 3, 0x7000), ARCH_EINTR_INFINITE);
	assert_int_equal(eintr(SYS_semtimedop, 3, 0), ARCH_EINTR_INFINITE);
	assert_int_equal(eintr(SYS_semtimedop, 3, 0x7000), ARCH_EINTR_TIMED);
	assert_int_equal(eintr(426 /* io_uring_enter */, 3, 1), ARCH_EINTR_INFINITE);
	assert_int_equal(eintr(SYS_recvfrom, 0, 3), ARCH_EINTR_SOCKET);
	assert_int_equal(eintr(SYS_sendmsg, 0, 3), ARCH_EINTR_SOCKET);
	assert_int_equal(eintr(SYS_accept4, 0, 3), ARCH_EINTR_SOCKET);
	assert_int_equal(eintr(SYS_connect, 0, 3), ARCH_EINTR_SOCKET);
	/* the kernel restarts these by itself */
	assert_int_equal(eintr(SYS_nanosleep, 0, 3), ARCH_EINTR_NEVER);
	assert_int_equal(eintr(SYS_poll, 0, 3), ARCH_EINTR_NEVER);
	assert_int_equal(eintr(SYS_futex, 0, 3), ARCH_EINTR_NEVER);
	assert_int_equal(eintr(SYS_read, 0, 3), ARCH_EINTR_NEVER);
	assert_int_equal(eintr(SYS_wait4, 0, 3), ARCH_EINTR_NEVER);
	assert_int_equal(eintr(-1, 0, 3), ARCH_EINTR_NEVER);
}

/* ---- emulation ------------------------------------------------------------------------------- */

struct fake {
	uint64_t address, word;
	int error;
};

static int fake_read(void *data, vaddr_t address, void *buffer, size_t length)
{
	struct fake *fake = data;

	fake->address = address;
	if (fake->error == 0)
		memcpy(buffer, &fake->word, length);
	return fake->error;
}

static int fake_write(void *data, vaddr_t address, const void *buffer, size_t length)
{
	struct fake *fake = data;

	fake->address = address;
	if (fake->error == 0)
		memcpy(&fake->word, buffer, length);
	return fake->error;
}

#define FAKE(fake) (&(struct arch_memory){ fake_read, fake_write, fake })

/*
 * The processor's own result and flags, of the register forms. lahf and seto instead of pushf, which would
 * write into the red zone.
 */
#define NATIVE(name, instruction, type)                                                                  \
	static uint64_t name(uint64_t a, uint64_t b, uint64_t *flags)                                    \
	{                                                                                                \
		type result = (type)a;                                                                   \
		uint64_t low;                                                                            \
		uint8_t overflow;                                                                        \
		__asm__ volatile(instruction " %3, %0\n\tseto %2\n\tlahf\n\tmovzbl %%ah, %%eax"          \
				 : "+r"(result), "=&a"(low), "=&q"(overflow)                             \
				 : "r"((type)b)                                                          \
				 : "cc");                                                                \
		*flags = (low & (CARRY | PARITY | AUXILIARY | ZERO | SIGN)) | (overflow ? OVERFLOW : 0); \
		return result;                                                                           \
	}
NATIVE(native_add64, "addq", uint64_t)
NATIVE(native_sub64, "subq", uint64_t)
NATIVE(native_add32, "addl", uint32_t)
NATIVE(native_sub32, "subl", uint32_t)

static void check_arithmetic(enum recipe_op op, unsigned width, uint64_t a, int64_t imm)
{
	struct recipe recipe = {
		.op = (uint8_t)op, .length = 7, .reg_a = 11, .width = (uint8_t)width, .imm = imm
	};
	struct user_regs_struct user = { .rip = 0x1000,
					 .r11 = a,
					 .eflags = 0x202 | (random_word() & arithmetic) };
	struct arch_regs regs = wide(&user);
	uint64_t flags, result;

	if (op == RECIPE_ADD_IMM)
		result = width == 8 ? native_add64(a, (uint64_t)imm, &flags)
				    : native_add32(a, (uint64_t)imm, &flags);
	else
		result = width == 8 ? native_sub64(a, (uint64_t)imm, &flags)
				    : native_sub32(a, (uint64_t)imm, &flags);
	assert_int_equal(arch_emulate(&recipe, &regs, FAKE(&(struct fake){ 0 })), 1);
	user = user_of(&regs);
	assert_int_equal(user.r11, result);
	assert_int_equal(user.eflags, 0x202 | flags);
	assert_int_equal(user.rip, 0x1007);
}

static void sums_and_differences_equal_the_processors_with_all_flags(void **state)
{
	(void)state;
	for (int n = 0; n < 300000; n++) {
		uint64_t a = random_word();
		int64_t imm = (int32_t)random_word();
		check_arithmetic(RECIPE_ADD_IMM, 8, a, imm);
		check_arithmetic(RECIPE_SUB_IMM, 8, a, imm);
		check_arithmetic(RECIPE_ADD_IMM, 4, a, imm);
		check_arithmetic(RECIPE_SUB_IMM, 4, a, imm);
	}
}

static void push_of_the_stack_pointer_writes_its_old_value(void **state)
{
	struct recipe recipe = { .op = RECIPE_PUSH_REG, .length = 1, .reg_a = 4, .width = 8 };
	struct user_regs_struct user = { .rip = 0x1000, .rsp = 0x8000 };
	struct arch_regs regs = wide(&user);
	struct fake fake = { 0 };

	(void)state;
	assert_int_equal(arch_emulate(&recipe, &regs, FAKE(&fake)), 1);
	assert_int_equal(fake.address, 0x7ff8);
	assert_int_equal(fake.word, 0x8000);
	assert_int_equal(arch_sp(&regs), 0x7ff8);
}

static void pop_into_the_stack_pointer_keeps_the_value_read(void **state)
{
	struct recipe recipe = { .op = RECIPE_POP_REG, .length = 1, .reg_a = 4, .width = 8 };
	struct user_regs_struct user = { .rip = 0x1000, .rsp = 0x8000 };
	struct arch_regs regs = wide(&user);

	(void)state;
	assert_int_equal(arch_emulate(&recipe, &regs, FAKE(&(struct fake){ .word = 0x1234 })), 1);
	assert_int_equal(arch_sp(&regs), 0x1234);
}

static void what_memory_refuses_is_left_to_the_slot_untouched(void **state)
{
	static const uint8_t ops[] = { RECIPE_PUSH_REG, RECIPE_POP_REG, RECIPE_RET, RECIPE_CALL };
	struct user_regs_struct user = { .rip = 0x1000, .rsp = 0x8000 };

	(void)state;
	for (size_t i = 0; i < sizeof(ops); i++) {
		struct recipe recipe = { .op = ops[i], .length = 1, .reg_a = 0, .width = 8 };
		struct arch_regs regs = wide(&user), before = regs;
		assert_int_equal(arch_emulate(&recipe, &regs, FAKE(&(struct fake){ .error = -EFAULT })), 0);
		assert_memory_equal(&regs, &before, sizeof(regs));
		assert_int_equal(arch_emulate(&recipe, &regs, FAKE(&(struct fake){ .error = -ESRCH })),
				 -ESRCH);
		assert_memory_equal(&regs, &before, sizeof(regs));
	}
}

static void a_return_to_no_user_address_is_left_to_the_slot(void **state)
{
	struct recipe recipe = { .op = RECIPE_RET, .length = 1, .width = 8 };
	struct user_regs_struct user = { .rip = 0x1000, .rsp = 0x8000 };
	struct arch_regs regs = wide(&user), before = regs;

	(void)state;
	assert_int_equal(arch_emulate(&recipe, &regs, FAKE(&(struct fake){ .word = UINT64_C(1) << 47 })), 0);
	assert_memory_equal(&regs, &before, sizeof(regs));
	recipe.imm = 0x20;
	assert_int_equal(arch_emulate(&recipe, &regs, FAKE(&(struct fake){ .word = 0x4000 })), 1);
	assert_int_equal(arch_sp(&regs), 0x8028);
	assert_int_equal(arch_pc(&regs), 0x4000);
}

static void nothing_is_emulated_under_the_trap_flag_or_in_32_bit_mode(void **state)
{
	struct recipe recipe = { .op = RECIPE_NOP, .length = 1 };
	struct user_regs_struct user = { .rip = 0x1000, .eflags = 0x202 | TRAP };
	struct user32 user32 = { .eip = 0x1000 };
	struct arch_regs regs = wide(&user), regs32 = narrow(&user32);

	(void)state;
	assert_int_equal(arch_emulate(&recipe, &regs, FAKE(&(struct fake){ 0 })), 0);
	assert_int_equal(arch_emulate(&recipe, &regs32, FAKE(&(struct fake){ 0 })), 0);
}

/* The controller believes no recipe: one with wild numbers must not index out of a table. */
static void a_forged_recipe_is_refused(void **state)
{
	struct user_regs_struct user = { .rip = 0x1000, .rsp = 0x8000, .eflags = 0x202 };
	unsigned char code[RECIPE_CODE_MAX];

	(void)state;
	for (unsigned op = 0; op < 256; op++) {
		struct recipe recipe = { .op = (uint8_t)op,
					 .length = 1,
					 .reg_a = 200,
					 .reg_b = 201,
					 .width = 77,
					 .imm = INT64_MIN };
		struct arch_regs regs = wide(&user), before = regs;
		int done = arch_emulate(&recipe, &regs, FAKE(&(struct fake){ 0 }));
		assert_true(done == 0 || op == RECIPE_NOP);
		if (done == 0)
			assert_memory_equal(&regs, &before, sizeof(regs));
	}
	struct recipe recipe = { .code_length = RECIPE_CODE_MAX + 1 };
	assert_int_equal(arch_slot_code(&recipe, 0x1000, code), -EINVAL);
	recipe = (struct recipe){ .code_length = 8, .fixups = RECIPE_FIXUPS_MAX + 1 };
	assert_int_equal(arch_slot_code(&recipe, 0x1000, code), -EINVAL);
	recipe = (struct recipe){ .code_length = 8,
				  .fixups = 1,
				  .fixup = { { .offset = 5, .target = 0x1000 } } };
	assert_int_equal(arch_slot_code(&recipe, 0x1000, code), -EINVAL);
	recipe = (struct recipe){ .code_length = 8,
				  .fixups = 1,
				  .fixup = { { .offset = 255, .trailing = 255 } } };
	assert_int_equal(arch_slot_code(&recipe, 0x1000, code), -EINVAL);
	recipe = (struct recipe){ 0 };
	assert_int_equal(arch_slot_code(&recipe, 0x1000, code), -EINVAL);
}

static void a_slot_too_far_from_what_it_refers_to_is_refused(void **state)
{
	struct recipe recipe = { .code_length = 5,
				 .code = { 0xe9 },
				 .fixups = 1,
				 .fixup = { { .offset = 1, .target = 0x7f0000000000 } } };
	unsigned char code[RECIPE_CODE_MAX];
	int32_t distance;

	(void)state;
	assert_int_equal(arch_slot_code(&recipe, 0x1000, code), -ERANGE);
	assert_int_equal(arch_slot_code(&recipe, 0x7f0000000000 - 5 - INT64_C(0x80000000), code), -ERANGE);
	assert_int_equal(arch_slot_code(&recipe, 0x7f0000000000 - 5 - 0x7fffffff, code), 0);
	memcpy(&distance, code + 1, sizeof(distance));
	assert_int_equal(distance, INT32_MAX);
	assert_int_equal(arch_slot_code(&recipe, 0x7f0000000000 + 0x100, code), 0);
	memcpy(&distance, code + 1, sizeof(distance));
	assert_int_equal(distance, -0x105);
}

/* The words of an alternate stack on which a handler runs, as rt_sigreturn(2) reads them; one word is another. */
static vaddr_t interrupted_with(unsigned at, uint64_t value)
{
	const uint64_t stack = 0x7f0000010000, size = 0x8000;
	uint64_t word[64] = { 0 };

	word[10 + 0] = 7;
	word[10 + 2] = stack;
	word[10 + 3] = UINT64_C(0xdead0000) << 32; /* what lies behind an int */
	word[10 + 4] = size;
	word[10 + 20] = 0x7ffd00001238; /* rsp, on another stack */
	word[10 + 21] = 0x7f0000420000;
	if (at < 64)
		word[at] = value;
	return arch_interrupted_sp((const unsigned char *)word, sizeof(word), stack + 0x1000);
}

static void what_a_handler_has_interrupted_is_found_on_its_alternate_stack(void **state)
{
	(void)state;
	assert_int_equal(interrupted_with(64, 0), 0x7ffd00001238);
	assert_int_equal(interrupted_with(13, 1), 0x7ffd00001238);
	assert_int_equal(interrupted_with(13, UINT32_C(1) << 31), 0x7ffd00001238);
	/* it has jumped to nowhere */
	assert_int_equal(interrupted_with(31, 0), 0x7ffd00001238);
}

static void a_random_word_on_a_stack_is_no_sign_of_a_handler(void **state)
{
	(void)state;
	assert_int_equal(interrupted_with(30, UINT64_C(0x6d873cf19e836600)), 0); /* a canary */
	assert_int_equal(interrupted_with(30, UINT64_C(0xffffffff81000000)), 0);
	assert_int_equal(interrupted_with(31, UINT64_C(0x6d873cf19e836600)), 0);
	assert_int_equal(interrupted_with(14, UINT64_C(0x6d873cf19e836600)), 0);
	assert_int_equal(interrupted_with(14, 1024), 0);
	assert_int_equal(interrupted_with(13, 3), 0);
	assert_int_equal(interrupted_with(12, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_size_of_the_register_set_tells_the_mode),
		cmocka_unit_test(registers_are_found_by_their_role),
		cmocka_unit_test(registers_of_a_32_bit_thread_are_found_by_their_role),
		cmocka_unit_test(a_call_wound_back_runs_again_with_the_same_arguments),
		cmocka_unit_test(an_injected_call_has_its_arguments_where_the_kernel_looks),
		cmocka_unit_test(a_system_call_instruction_is_told_from_others),
		cmocka_unit_test(numbers_of_injected_calls_are_those_of_this_system),
		cmocka_unit_test(whose_end_a_system_call_is),
		cmocka_unit_test(calls_that_a_stop_disturbs_are_known_with_their_time_outs),
		cmocka_unit_test(sums_and_differences_equal_the_processors_with_all_flags),
		cmocka_unit_test(push_of_the_stack_pointer_writes_its_old_value),
		cmocka_unit_test(pop_into_the_stack_pointer_keeps_the_value_read),
		cmocka_unit_test(what_memory_refuses_is_left_to_the_slot_untouched),
		cmocka_unit_test(a_return_to_no_user_address_is_left_to_the_slot),
		cmocka_unit_test(nothing_is_emulated_under_the_trap_flag_or_in_32_bit_mode),
		cmocka_unit_test(a_forged_recipe_is_refused),
		cmocka_unit_test(a_slot_too_far_from_what_it_refers_to_is_refused),
		cmocka_unit_test(what_a_handler_has_interrupted_is_found_on_its_alternate_stack),
		cmocka_unit_test(a_random_word_on_a_stack_is_no_sign_of_a_handler),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
