/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Recipes are right: every form is run at home, by emulation and in a slot, from the same random registers,
 * flags and memory, and must end the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "arch/arch.h"
#include "decode/decode.h"
#include "stepper.h"

/* ---- the machine at random ------------------------------------------------------------------- */

static uint64_t random_state;

static uint64_t random_word(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* Values at which flags turn, addresses that can be jumped to, and any. */
static uint64_t interesting(void)
{
	static const uint64_t edges[] = {
		0,          1,          2,          0x7f,       0x80,      0xff,
		0x7fffffff, 0x80000000, 0xffffffff, UINT64_MAX, INT64_MAX, (uint64_t)INT64_MIN,
	};

	switch (random_word() % 4) {
	case 0:
		return edges[random_word() % (sizeof(edges) / sizeof(edges[0]))];
	case 1:
		return STEPPER_HOME + random_word() % 1024;
	default:
		return random_word();
	}
}

static void randomize(struct machine *machine, bool small_count)
{
	uint64_t flags = 0x202;
	static const unsigned bits[] = { 0, 2, 4, 6, 7, 11 };
	struct user_regs_struct *regs = &machine->regs;
	unsigned long long *free_choice[] = { &regs->rax, &regs->rcx, &regs->rdx, &regs->r8,
					      &regs->r9,  &regs->r10, &regs->r11, &regs->r12,
					      &regs->r13, &regs->r14, &regs->r15 };

	for (size_t i = 0; i < sizeof(free_choice) / sizeof(free_choice[0]); i++)
		*free_choice[i] = interesting();
	if (small_count || random_word() % 2)
		regs->rcx = random_word() % 8;
	if (random_word() % 2)
		regs->rdx = random_word() % 8;
	regs->rbx = STEPPER_DATA + 0x400;
	regs->rsi = STEPPER_DATA + 0x800 + random_word() % 32 * 16;
	regs->rdi = STEPPER_DATA + 0xc00 + random_word() % 32 * 16;
	regs->rbp = STEPPER_STACK + 0x1800;
	regs->rsp = STEPPER_STACK + 0x1000 + random_word() % 32 * 8;
	for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++)
		flags |= (random_word() & 1) << bits[i];
	regs->eflags = flags;
	for (size_t at = 0; at < STEPPER_REGION; at += 8) {
		uint64_t word = interesting();
		memcpy(machine->data + at, &word, 8);
		word = interesting();
		memcpy(machine->stack + at, &word, 8);
	}
	for (size_t i = 0; i < sizeof(machine->fp.xmm_space) / 4; i++)
		machine->fp.xmm_space[i] = (unsigned)random_word();
	for (size_t i = 0; i < sizeof(machine->upper); i++)
		machine->upper[i] = (uint8_t)random_word();
}

/* ---- comparing ------------------------------------------------------------------------------- */

struct form {
	const uint8_t *row;
	char text[64];
};

static void describe(const struct form *form, char text[64])
{
	int used = 0;

	for (int i = 0; i < form->row[1] && used < 60; i++)
		used += snprintf(text + used, 64 - (size_t)used, "%02x ", form->row[2 + i]);
}

enum { FLAG_TF = 1 << 8, FLAG_RF = 1 << 16 };

static void compare_word(const char *form, const char *way, const char *name, uint64_t is, uint64_t should_be)
{
	if (is != should_be)
		fail_msg("%s by %s: %s is %#lx, at home %#lx", form, way, name, (unsigned long)is,
			 (unsigned long)should_be);
}

static void compare_registers(const char *form, const char *way, const struct user_regs_struct *is,
			      const struct user_regs_struct *home)
{
#define COMPARE(name) compare_word(form, way, #name, is->name, home->name)
	COMPARE(rip);
	COMPARE(rax);
	COMPARE(rbx);
	COMPARE(rcx);
	COMPARE(rdx);
	COMPARE(rsi);
	COMPARE(rdi);
	COMPARE(rbp);
	COMPARE(rsp);
	COMPARE(r8);
	COMPARE(r9);
	COMPARE(r10);
	COMPARE(r11);
	COMPARE(r12);
	COMPARE(r13);
	COMPARE(r14);
	COMPARE(r15);
	COMPARE(fs_base);
	COMPARE(gs_base);
#undef COMPARE
	compare_word(form, way, "eflags", is->eflags & ~(uint64_t)(FLAG_TF | FLAG_RF),
		     home->eflags & ~(uint64_t)(FLAG_TF | FLAG_RF));
}

static void compare(const char *form, const char *way, const struct machine *is, const struct machine *home)
{
	compare_word(form, way, "signal", (uint64_t)is->signal, (uint64_t)home->signal);
	compare_word(form, way, "si_code", (uint64_t)is->code, (uint64_t)home->code);
	compare_word(form, way, "si_addr", is->address, home->address);
	compare_registers(form, way, &is->regs, &home->regs);
	if (memcmp(is->data, home->data, STEPPER_REGION) != 0)
		fail_msg("%s by %s: other data", form, way);
	if (memcmp(is->stack, home->stack, STEPPER_REGION) != 0)
		fail_msg("%s by %s: other stack", form, way);
	if (memcmp(is->fp.st_space, home->fp.st_space, sizeof(home->fp.st_space)) != 0 ||
	    memcmp(is->fp.xmm_space, home->fp.xmm_space, sizeof(home->fp.xmm_space)) != 0 ||
	    is->fp.mxcsr != home->fp.mxcsr || is->fp.swd != home->fp.swd)
		fail_msg("%s by %s: other floating point registers", form, way);
	if (memcmp(is->upper, home->upper, sizeof(home->upper)) != 0)
		fail_msg("%s by %s: other upper halves of vector registers", form, way);
}

static struct stepper stepper;

static int set_up(void **state)
{
	(void)state;
	if (!stepper_start(&stepper))
		stepper.child = 0;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	if (stepper.child != 0)
		stepper_end(&stepper);
	return 0;
}

/* ---- the ways --------------------------------------------------------------------------------- */

static void *place(struct machine *machine, vaddr_t address, size_t length)
{
	static const struct {
		uint64_t start;
		size_t offset;
	} regions[] = { { STEPPER_DATA, offsetof(struct machine, data) },
			{ STEPPER_STACK, offsetof(struct machine, stack) } };

	for (size_t i = 0; i < 2; i++)
		if (address >= regions[i].start && address + length <= regions[i].start + STEPPER_REGION)
			return (char *)machine + regions[i].offset + (address - regions[i].start);
	return NULL;
}

static int machine_read(void *data, vaddr_t address, void *buffer, size_t length)
{
	const void *from = place(data, address, length);

	if (from == NULL)
		return -EFAULT;
	memcpy(buffer, from, length);
	return 0;
}

static int machine_write(void *data, vaddr_t address, const void *buffer, size_t length)
{
	void *to = place(data, address, length);

	if (to == NULL)
		return -EFAULT;
	memcpy(to, buffer, length);
	return 0;
}

/* 1: emulated. */
static int run_emulated(const struct recipe *recipe, struct machine *machine)
{
	struct arch_regs regs = { .tag = ARCH_X86_64, .size = sizeof(machine->regs) };
	struct arch_memory memory = { machine_read, machine_write, machine };

	machine->regs.rip = STEPPER_HOME;
	memcpy(regs.u.bytes, &machine->regs, sizeof(machine->regs));
	int done = arch_emulate(recipe, &regs, &memory);
	memcpy(&machine->regs, regs.u.bytes, sizeof(machine->regs));
	return done;
}

enum { LONG_SEQUENCE = 20, HOME_STEPS = 16 };

static void run_slot(const char *form, const struct recipe *recipe, struct machine *machine, uint64_t slot)
{
	unsigned char code[RECIPE_CODE_MAX];

	assert_int_equal(arch_slot_code(recipe, slot, code), 0);
	memset((void *)(uintptr_t)STEPPER_SLOT, 0xf4, STEPPER_REGION);
	memcpy((void *)(uintptr_t)slot, code, recipe->code_length);
	if (!stepper_run(&stepper, machine, slot, recipe->code_length, LONG_SEQUENCE + HOME_STEPS))
		fail_msg("%s: does not leave its slot", form);
	/* A fault inside stands on the first instruction, where nothing has happened yet. */
	if (machine->signal == 0 || machine->regs.rip != slot)
		return;
	machine->regs.rip = STEPPER_HOME;
	/* and of these the kernel tells its address, which the controller mends (slot.c) */
	if ((machine->signal == SIGFPE || machine->signal == SIGILL) && machine->address == slot)
		machine->address = STEPPER_HOME;
}

/* ---- tests ------------------------------------------------------------------------------------ */

enum { KIND_FORM, KIND_EMULATED, KIND_HOME, KIND_SMALL, ROW_SIZE = 17 };
extern const uint8_t forms[], forms_end[];

static void make_recipe(const uint8_t *row, struct recipe *recipe)
{
	uint8_t bytes[16];

	memset(bytes, 0x90, sizeof(bytes));
	memcpy(bytes, row + 2, row[1]);
	assert_int_equal(decode_recipe(bytes, sizeof(bytes), STEPPER_HOME, recipe), 0);
	assert_int_equal(recipe->length, row[1]);
	assert_memory_equal(recipe->home, row + 2, row[1]);
}

static void every_form_is_decoded_to_the_way_that_is_expected(void **state)
{
	(void)state;
	for (const uint8_t *row = forms; row < forms_end; row += ROW_SIZE) {
		struct form form = { .row = row };
		struct recipe recipe;
		describe(&form, form.text);
		make_recipe(row, &recipe);
		if (row[0] == KIND_HOME && (recipe.op != RECIPE_NONE || recipe.code_length != 0))
			fail_msg("%s is not left at home", form.text);
		if (row[0] == KIND_EMULATED && recipe.op == RECIPE_NONE)
			fail_msg("%s is not emulated", form.text);
		if (row[0] != KIND_HOME && recipe.code_length == 0)
			fail_msg("%s has no slot", form.text);
		if (row[0] != KIND_EMULATED && recipe.op != RECIPE_NONE)
			fail_msg("%s is emulated", form.text);
		assert_true(recipe.code_length <= RECIPE_CODE_MAX && recipe.fixups <= RECIPE_FIXUPS_MAX);
		assert_true(recipe.boundary <= recipe.code_length);
	}
}

static unsigned runs_per_form(void)
{
	const char *wanted = getenv("TETHER_TEST_RUNS");

	return wanted != NULL ? (unsigned)strtoul(wanted, NULL, 10) : 48;
}

/* `call *mem` works with one word more, below the stack pointer of the function it enters. */
static void forget_dead_word(const struct recipe *recipe, const struct machine *start, struct machine *a,
			     struct machine *b)
{
	uint64_t at = start->regs.rsp - 16 - STEPPER_STACK;

	if (!(recipe->flags & RECIPE_PUSHES_RETURN) || at + 8 > STEPPER_REGION)
		return;
	memset(a->stack + at, 0, 8);
	memset(b->stack + at, 0, 8);
}

/*
 * A slot goes on behind the instruction, and some processors do not go back to user code with a stack pointer that is no
 * canonical address: what pop %rsp takes off is one.
 */
static void keep_stack_canonical(const struct form *form, struct machine *start)
{
	enum { POP_RSP = 0x5c };
	uint64_t word = STEPPER_STACK + random_word() % STEPPER_REGION;

	if (form->row[1] == 1 && form->row[2] == POP_RSP)
		memcpy(start->stack + (start->regs.rsp - STEPPER_STACK), &word, sizeof(word));
}

/* A hypervisor that runs it for the processor may forget the trap of the step, which then ends one nop later. */
static void forget_overrun(const struct form *form, struct machine *home)
{
	static const uint8_t cpuid[] = { 0x0f, 0xa2 };
	uint64_t behind = STEPPER_HOME + sizeof(cpuid);

	if (!memcmp(form->row + 2, cpuid, sizeof(cpuid)) && home->regs.rip == behind + 1)
		home->regs.rip = behind;
}

struct tally {
	unsigned emulated, displaced;
};

static void run_form(const struct form *form, const struct recipe *recipe, const struct machine *base,
		     struct tally *tally)
{
	static struct machine start, home, other;

	start = *base;
	randomize(&start, form->row[0] == KIND_SMALL);
	keep_stack_canonical(form, &start);
	home = start;
	memset((void *)(uintptr_t)STEPPER_HOME, 0x90, ROW_SIZE);
	memcpy((void *)(uintptr_t)STEPPER_HOME, form->row + 2, form->row[1]);
	/* A repeated string instruction stops at each round; else this is a jump to itself. */
	if (!stepper_run(&stepper, &home, STEPPER_HOME, 1, form->row[0] == KIND_SMALL ? HOME_STEPS : 1))
		return;
	forget_overrun(form, &home);

	if (recipe->op != RECIPE_NONE) {
		other = start;
		/* x87 and vector registers are not emulation's to touch, but a stop may tidy them */
		other.fp = home.fp;
		memcpy(other.upper, home.upper, sizeof(home.upper));
		if (run_emulated(recipe, &other) == 1) {
			tally->emulated++;
			compare(form->text, "emulation", &other, &home);
		} else if (home.signal == 0 && home.regs.rip >> 47 == 0) {
			fail_msg("%s: not emulated", form->text);
		}
	}
	if (recipe->code_length != 0) {
		other = start;
		tally->displaced++;
		run_slot(form->text, recipe, &other, STEPPER_SLOT + random_word() % 64 * 16);
		if (home.signal != 0 && recipe->flags & RECIPE_PUSHES_RETURN) {
			/* a call through a wild pointer: the return address is on the stack already */
			assert_int_equal(other.signal, home.signal);
			return;
		}
		forget_dead_word(recipe, &start, &home, &other);
		compare(form->text, "slot", &other, &home);
	}
}

static void every_form_does_the_same_emulated_displaced_and_at_home(void **state)
{
	static struct machine base;
	unsigned runs = runs_per_form(), forms_run = 0;
	struct tally tally = { 0 };

	(void)state;
	const char *seed = getenv("TETHER_TEST_SEED");
	random_state = seed != NULL ? strtoull(seed, NULL, 0) : (uint64_t)getpid() * 0x9e3779b97f4a7c15 + 1;
	print_message("seed %#lx\n", (unsigned long)random_state);
	if (stepper.child == 0)
		skip();
	stepper_registers(&stepper, &base);
	memset((void *)(uintptr_t)STEPPER_TEXT, 0x90, STEPPER_REGION);
	for (const uint8_t *row = forms; row < forms_end; row += ROW_SIZE) {
		struct form form = { .row = row };
		struct recipe recipe;
		if (row[0] == KIND_HOME)
			continue;
		describe(&form, form.text);
		make_recipe(row, &recipe);
		for (unsigned n = 0; n < runs; n++)
			run_form(&form, &recipe, &base, &tally);
		forms_run++;
	}
	print_message("%u forms, %u runs each: %u emulated, %u displaced\n", forms_run, runs, tally.emulated, tally.displaced);
	if (getenv("TETHER_TEST_RUNS") == NULL)
		assert_true(tally.emulated + tally.displaced >= 10000);
}

static void a_system_call_from_a_slot_leaves_the_home_address_in_rcx(void **state)
{
	static const uint8_t row[ROW_SIZE] = { KIND_FORM, 2, 0x0f, 0x05 };
	static struct machine start, home, other;
	struct recipe recipe;

	(void)state;
	if (stepper.child == 0)
		skip();
	stepper_registers(&stepper, &start);
	random_state = 4711;
	randomize(&start, false);
	start.regs.rax = SYS_getppid;
	memcpy((void *)(uintptr_t)STEPPER_HOME, row + 2, 2);
	make_recipe(row, &recipe);
	assert_true(recipe.flags & RECIPE_MAY_BLOCK);
	assert_int_equal(recipe.boundary, 2);
	home = other = start;
	assert_true(stepper_run(&stepper, &home, STEPPER_HOME, 1, HOME_STEPS));
	run_slot("syscall", &recipe, &other, STEPPER_SLOT);
	assert_int_equal(home.regs.rax, getpid());
	/* The kernel saves the flags of the step in r11. */
	home.regs.r11 &= ~(uint64_t)FLAG_TF;
	other.regs.r11 &= ~(uint64_t)FLAG_TF;
	compare("syscall", "slot", &other, &home);
}

static void bytes_that_are_no_instruction_are_refused(void **state)
{
	static const uint8_t invalid[][4] = { { 0x06 }, { 0xff, 0xff }, { 0x0f, 0x04 }, { 0xf0, 0x90 } };
	static const uint8_t cut[] = { 0x48, 0x81, 0xec, 0x00 }; /* sub imm32, two bytes missing */
	struct recipe recipe;

	(void)state;
	for (size_t i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++)
		assert_int_equal(decode_recipe(invalid[i], sizeof(invalid[i]), 0x1000, &recipe), -EILSEQ);
	assert_int_equal(decode_recipe(cut, sizeof(cut), 0x1000, &recipe), -EILSEQ);
	assert_int_equal(decode_recipe(cut, 0, 0x1000, &recipe), -EILSEQ);
}

/* No bytes can make a recipe that overruns its own arrays or asks for something that arch refuses. */
static void any_bytes_make_a_recipe_within_bounds(void **state)
{
	(void)state;
	random_state = 42;
	for (int n = 0; n < 2000000; n++) {
		uint64_t words[2] = { random_word(), random_word() };
		uint8_t bytes[16];
		unsigned char code[RECIPE_CODE_MAX];
		struct recipe recipe;
		memcpy(bytes, words, sizeof(bytes));
		if (n % 2) /* the second half of the opcode maps is reached more often so */
			bytes[0] = 0x0f;
		if (decode_recipe(bytes, 15, STEPPER_HOME, &recipe) != 0)
			continue;
		assert_true(recipe.length >= 1 && recipe.length <= 15);
		assert_true(recipe.code_length <= RECIPE_CODE_MAX && recipe.fixups <= RECIPE_FIXUPS_MAX);
		assert_true(recipe.boundary <= recipe.code_length && recipe.op < RECIPE_OPS);
		if (recipe.code_length != 0) {
			int result = arch_slot_code(&recipe, STEPPER_SLOT, code);
			assert_true(result == 0 || result == -ERANGE);
		}
	}
}

/* ---- how common the ways are ----------------------------------------------------------------- */

struct share {
	unsigned long functions, emulated, slot, in_place, invalid;
};

static void count_function(Elf *elf, const GElf_Sym *symbol, struct share *share)
{
	size_t headers;
	struct recipe recipe;

	if (GELF_ST_TYPE(symbol->st_info) != STT_FUNC || symbol->st_shndx == SHN_UNDEF ||
	    elf_getphdrnum(elf, &headers) != 0)
		return;
	for (size_t i = 0; i < headers; i++) {
		GElf_Phdr phdr;
		if (gelf_getphdr(elf, (int)i, &phdr) == NULL || phdr.p_type != PT_LOAD ||
		    symbol->st_value < phdr.p_vaddr || symbol->st_value >= phdr.p_vaddr + phdr.p_filesz)
			continue;
		size_t size;
		const char *raw = elf_rawfile(elf, &size);
		uint64_t at = symbol->st_value - phdr.p_vaddr + phdr.p_offset;
		if (raw == NULL || at + 15 > size)
			return;
		share->functions++;
		if (decode_recipe((const uint8_t *)raw + at, 15, symbol->st_value, &recipe) != 0)
			share->invalid++;
		else if (recipe.op != RECIPE_NONE)
			share->emulated++;
		else if (recipe.code_length != 0)
			share->slot++;
		else
			share->in_place++;
		return;
	}
}

static bool count_file(const char *path, struct share *share)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool whole = false; /* .symtab, which has all that .dynsym has */

	if (fd < 0)
		return false;
	elf_version(EV_CURRENT);
	Elf *elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
	for (int round = 0; round < 2 && !whole; round++) {
		Elf_Scn *section = NULL;

		while (elf != NULL && (section = elf_nextscn(elf, section)) != NULL) {
			GElf_Shdr header;
			if (gelf_getshdr(section, &header) == NULL || header.sh_type != (round ? SHT_DYNSYM : SHT_SYMTAB))
				continue;
			Elf_Data *data = elf_getdata(section, NULL);
			GElf_Sym symbol;
			whole = true;
			for (int i = 0; gelf_getsym(data, i, &symbol) != NULL; i++)
				count_function(elf, &symbol, share);
		}
	}
	elf_end(elf);
	close(fd);
	return true;
}

static void tell_share(const char *path, const struct share *share)
{
	double functions = (double)share->functions;

	print_message("%s: %lu functions: %.1f %% emulated, %.1f %% out of line, %lu in place (%.3f %%), %lu invalid\n", path,
		      share->functions, 100.0 * (double)share->emulated / functions, 100.0 * (double)share->slot / functions,
		      share->in_place, 100.0 * (double)share->in_place / functions, share->invalid);
}

/* Large programs and libraries, as far as they are installed; patterns of glob(3). */
static void function_entries_of_real_programs_need_no_step_in_place(void **state)
{
	static const char *const patterns[] = {
		"/lib*/x86_64-linux-gnu/libc.so.6", "/lib64/libc.so.6", "/usr/lib*/x86_64-linux-gnu/libcrypto.so.3",
		"/usr/lib64/libcrypto.so.3", "/usr/lib/x86_64-linux-gnu/libLLVM-1?.so.1", "/usr/lib/x86_64-linux-gnu/libstdc++.so.6",
		"/usr/bin/python3", "/usr/local/bin/python3", "/usr/lib/x86_64-linux-gnu/libpython3*.so.1.0", "/usr/bin/node",
		"/usr/local/bin/node", "/usr/bin/redis-server", "/usr/local/bin/postgres", "/usr/lib/postgresql/*/bin/postgres",
		"/usr/bin/bash", "/usr/bin/git", "/usr/lib/gcc/x86_64-linux-gnu/*/cc1plus",
		"/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", "/usr/lib/x86_64-linux-gnu/libm.so.6",
	};
	unsigned files = 0, flags = 0;
	glob_t found = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++, flags = GLOB_APPEND)
		glob(patterns[i], (int)flags, NULL, &found);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		struct share share = { 0 };

		if (!count_file(found.gl_pathv[i], &share) || share.functions == 0)
			continue;
		files++;
		tell_share(found.gl_pathv[i], &share);
		/* 0.1 % */
		if (share.in_place * 1000 > share.functions || share.invalid * 1000 > share.functions)
			fail_msg("%s: more than 0.1 %% in place, or no instruction", found.gl_pathv[i]);
	}
	globfree(&found);
	if (files == 0)
		skip();
}

/* A recipe that is moved is the one that is made there. */
static void a_moved_recipe_equals_one_made_elsewhere(void **state)
{
	static const struct {
		uint8_t bytes[16];
		bool moves;
	} moving[] = {
		{ { 0x55 }, true },                                     /* push %rbp */
		{ { 0xc3 }, true },                                     /* ret */
		{ { 0xf3, 0x0f, 0x1e, 0xfa }, true },                   /* endbr64 */
		{ { 0x48, 0x83, 0xec, 0x08 }, true },                   /* sub $8,%rsp */
		{ { 0x48, 0x8b, 0x05, 0x10, 0, 0, 0 }, true },          /* mov 16(%rip),%rax */
		{ { 0xe9, 0x40, 0, 0, 0 }, true },                      /* jmp */
		{ { 0x75, 0x10 }, true },                               /* jne */
		{ { 0x4c, 0x8d, 0x54, 0x24, 0x08 }, true },             /* lea 8(%rsp),%r10 */
		{ { 0x48, 0x8d, 0x05, 0x10, 0, 0, 0 }, false },         /* lea 16(%rip),%rax */
		{ { 0xe8, 0x40, 0, 0, 0 }, false },                     /* call */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(moving) / sizeof(moving[0]); i++) {
		const vaddr_t here = 0x555500001000, there = 0x7fff12340000;
		struct recipe first, second;

		assert_int_equal(decode_recipe(moving[i].bytes, 16, here, &first), 0);
		assert_int_equal(decode_recipe(moving[i].bytes, 16, there, &second), 0);
		assert_int_equal(recipe_can_move(&first), moving[i].moves);
		if (!moving[i].moves)
			continue;
		recipe_move(&first, there - here);
		assert_memory_equal(&first, &second, sizeof(first));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_form_is_decoded_to_the_way_that_is_expected),
		cmocka_unit_test_setup_teardown(every_form_does_the_same_emulated_displaced_and_at_home,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_system_call_from_a_slot_leaves_the_home_address_in_rcx,
						set_up, tear_down),
		cmocka_unit_test(bytes_that_are_no_instruction_are_refused),
		cmocka_unit_test(a_moved_recipe_equals_one_made_elsewhere),
		cmocka_unit_test(any_bytes_make_a_recipe_within_bounds),
		cmocka_unit_test(function_entries_of_real_programs_need_no_step_in_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
