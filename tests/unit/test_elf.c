/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ELF from memory and files: right on real objects, bounded on forged ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include "elf/elf.h"
#include "fake_memory.h"

/* ---- real objects ----------------------------------------------------------------------------- */

struct seen {
	unsigned objects;
	pid_t self;
};

static int check_object(struct dl_phdr_info *info, size_t size, void *data)
{
	struct seen *seen = data;
	struct reader memory = process_reader_of(&seen->self);
	struct elf_image image;
	vaddr_t low = UINT64_MAX, high = 0, dynamic = 0;

	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *phdr = &info->dlpi_phdr[i];
		if (phdr->p_type == PT_LOAD && phdr->p_vaddr < low)
			low = phdr->p_vaddr;
		if (phdr->p_type == PT_LOAD && phdr->p_vaddr + phdr->p_memsz > high)
			high = phdr->p_vaddr + phdr->p_memsz;
		if (phdr->p_type == PT_DYNAMIC)
			dynamic = info->dlpi_addr + phdr->p_vaddr;
	}
	low = info->dlpi_addr + (low & ~UINT64_C(4095));
	high = info->dlpi_addr + ((high + 4095) & ~UINT64_C(4095));
	assert_int_equal(elf_image_at(&memory, low, &image), 0);
	assert_int_equal(image.bias, info->dlpi_addr);
	assert_int_equal(image.low, low);
	assert_int_equal(image.high, high);
	assert_int_equal(image.dynamic, dynamic);
	assert_true(image.is_64 && image.is_x86);
	assert_int_equal(
		elf_image_by_phdrs(&memory, (vaddr_t)(uintptr_t)info->dlpi_phdr, info->dlpi_phnum, &image),
		0);
	assert_int_equal(image.bias, info->dlpi_addr);
	assert_int_equal(image.low, low);
	assert_int_equal(image.high, high);
	seen->objects++;
	return 0;
}

static void every_object_of_a_process_is_described_as_its_linker_does(void **state)
{
	struct seen seen = { .self = getpid() };

	(void)state;
	dl_iterate_phdr(check_object, &seen);
	assert_true(seen.objects >= 3);
}

static void the_build_id_in_memory_is_that_of_the_file(void **state)
{
	pid_t self = getpid();
	struct reader memory = process_reader_of(&self);
	struct elf_build_id id;
	struct elf_image image;
	Dl_info info;

	(void)state;
	assert_true(dladdr((void *)(uintptr_t)&getauxval, &info));
	int fd = open(info.dli_fname, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(elf_file_build_id(fd, &id), 0);
	close(fd);
	assert_int_equal(elf_image_at(&memory, (vaddr_t)(uintptr_t)info.dli_fbase, &image), 0);
	if (id.size == 0)
		skip();
	assert_int_equal(image.build_id.size, id.size);
	assert_memory_equal(image.build_id.bytes, id.bytes, id.size);
}

static void dynamic_symbols_are_where_dlsym_finds_them(void **state)
{
	static const char *const names[] = { "getauxval", "no_such_function", "environ", "memfd_create" };
	pid_t self = getpid();
	struct reader memory = process_reader_of(&self);
	struct elf_image image;
	vaddr_t found[4];
	Dl_info info;

	(void)state;
	assert_true(dladdr((void *)(uintptr_t)&getauxval, &info));
	assert_int_equal(elf_image_at(&memory, (vaddr_t)(uintptr_t)info.dli_fbase, &image), 0);
	assert_int_equal(elf_dynamic_symbols(&memory, &image, names, 4, found), 3);
	void *library = dlopen(info.dli_fname, RTLD_LAZY);
	assert_non_null(library);
	assert_int_equal(found[0], (uintptr_t)dlsym(library, names[0]));
	assert_int_equal(found[1], 0);
	assert_int_equal(found[3], (uintptr_t)dlsym(library, names[3]));
	dlclose(library);
}

static int exported_function(void)
{
	return 1;
}
/* A relocated pointer with a known value: RELATIVE, or RELR where the linker packs them. */
static int (*volatile const relocated_pointer)(void) = exported_function;

static void a_pointer_to_be_relocated_is_known_from_the_relocations(void **state)
{
	pid_t self = getpid();
	struct reader memory = process_reader_of(&self);
	struct elf_image image;
	vaddr_t value = 0;

	(void)state;
	assert_int_equal(
		elf_image_by_phdrs(&memory, getauxval(AT_PHDR), (uint32_t)getauxval(AT_PHNUM), &image), 0);
	if (image.bias == 0)
		skip();
	vaddr_t pointer = (vaddr_t)(uintptr_t)&relocated_pointer;
	assert_int_equal(elf_relocated_pointer(&memory, &image, pointer, &value), 0);
	assert_int_equal(value, (uintptr_t)exported_function);
	assert_int_equal(elf_relocated_pointer(&memory, &image, pointer + 1, &value), -ENOENT);
}

static void entries_of_the_dynamic_section_are_found(void **state)
{
	pid_t self = getpid();
	struct reader memory = process_reader_of(&self);
	struct elf_image image;
	uint64_t value = 0;

	(void)state;
	assert_int_equal(
		elf_image_by_phdrs(&memory, getauxval(AT_PHDR), (uint32_t)getauxval(AT_PHNUM), &image), 0);
	assert_int_equal(elf_dynamic_value(&memory, &image, DT_DEBUG, &value), 0);
	/* not &_r_debug: this program has a copy of it, by a copy relocation */
	const struct r_debug *debug = (const struct r_debug *)(uintptr_t)value;
	struct link_map *first = NULL;
	void *program = dlopen(NULL, RTLD_LAZY);
	assert_int_equal(dlinfo(program, RTLD_DI_LINKMAP, &first), 0);
	assert_ptr_equal(debug->r_map, first);
	dlclose(program);
	assert_int_equal(elf_dynamic_value(&memory, &image, 0x12345678, &value), -ENOENT);
	image.dynamic = 0;
	assert_int_equal(elf_dynamic_value(&memory, &image, DT_DEBUG, &value), -ENOENT);
}

/* ---- files ------------------------------------------------------------------------------------ */

static int file_of(const void *bytes, size_t length)
{
	int fd = memfd_create("elf", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, length), length);
	return fd;
}

static void files_that_are_no_elf_are_told_apart(void **state)
{
	static const char text[] = "#!/bin/sh\nexit 0\n";
	struct elf_build_id id;
	int fd = file_of("", 0);

	(void)state;
	assert_int_equal(elf_file_build_id(fd, &id), -ENOEXEC);
	close(fd);
	fd = file_of(text, sizeof(text));
	assert_int_equal(elf_file_build_id(fd, &id), -ENOEXEC);
	close(fd);
	fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(elf_file_build_id(fd, &id), -EISDIR);
	close(fd);
	assert_int_equal(elf_file_build_id(-1, &id), -EBADF);
}

struct small_file {
	Elf64_Ehdr header;
	Elf64_Phdr phdr;
	Elf64_Shdr shdr[2];
	struct {
		Elf64_Nhdr header;
		char name[4];
		uint8_t id[20];
	} note;
};

static struct small_file small_file(void)
{
	struct small_file file = {
		.header = {
			.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
			.e_type = ET_DYN,
			.e_machine = EM_X86_64,
			.e_phoff = offsetof(struct small_file, phdr),
			.e_phentsize = sizeof(Elf64_Phdr),
			.e_phnum = 1,
			.e_shoff = offsetof(struct small_file, shdr),
			.e_shentsize = sizeof(Elf64_Shdr),
			.e_shnum = 2,
		},
		.phdr = { .p_type = PT_NOTE, .p_offset = offsetof(struct small_file, note),
			  .p_filesz = sizeof(file.note), .p_memsz = sizeof(file.note), .p_align = 4 },
		.note = { { 4, 20, NT_GNU_BUILD_ID }, "GNU", { 1, 2, 3, 4, 5 } },
	};

	return file;
}

static int id_of_file(const struct small_file *file, size_t length, struct elf_build_id *id)
{
	int fd = file_of(file, length);
	int result = elf_file_build_id(fd, id);

	close(fd);
	return result;
}

static void the_build_id_is_found_in_segments_else_in_sections(void **state)
{
	struct small_file file = small_file();
	struct elf_build_id id;

	(void)state;
	assert_int_equal(id_of_file(&file, sizeof(file), &id), 0);
	assert_int_equal(id.size, 20);
	assert_int_equal(id.bytes[4], 5);
	file.header.e_phnum = 0;
	assert_int_equal(id_of_file(&file, sizeof(file), &id), 0);
	assert_int_equal(id.size, 0);
	file.shdr[1] = (Elf64_Shdr){ .sh_type = SHT_NOTE,
				     .sh_offset = offsetof(struct small_file, note),
				     .sh_size = sizeof(file.note),
				     .sh_addralign = 4 };
	assert_int_equal(id_of_file(&file, sizeof(file), &id), 0);
	assert_int_equal(id.size, 20);
}

static void a_file_cut_anywhere_has_no_build_id_and_no_error(void **state)
{
	struct small_file file = small_file();
	struct elf_build_id id;

	(void)state;
	for (size_t length = 0; length < offsetof(struct small_file, note) + sizeof(file.note); length++) {
		int result = id_of_file(&file, length, &id);
		assert_int_equal(result, length < sizeof(Elf64_Ehdr) ? -ENOEXEC : 0);
		if (result == 0)
			assert_int_equal(id.size, 0);
	}
}

static void a_build_id_longer_than_the_bound_is_cut(void **state)
{
	struct {
		struct small_file file;
		uint8_t more[200];
	} big = { .file = small_file() };
	struct elf_build_id id;

	(void)state;
	big.file.note.header.n_descsz = 150;
	big.file.phdr.p_filesz = 200;
	int fd = file_of(&big, sizeof(big));
	assert_int_equal(elf_file_build_id(fd, &id), 0);
	assert_int_equal(id.size, MAX_BUILD_ID);
	close(fd);
	/* A size that runs out of the note is a lie. */
	big.file.note.header.n_descsz = UINT32_MAX;
	fd = file_of(&big, sizeof(big));
	assert_int_equal(elf_file_build_id(fd, &id), 0);
	assert_int_equal(id.size, 0);
	close(fd);
}

static void a_32_bit_image_is_told_as_such(void **state)
{
	struct {
		Elf32_Ehdr header;
		Elf32_Phdr phdr;
	} narrow = {
		.header = {
			.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, EV_CURRENT },
			.e_machine = EM_386,
			.e_phoff = sizeof(Elf32_Ehdr),
			.e_phentsize = sizeof(Elf32_Phdr),
			.e_phnum = 1,
			.e_entry = 0x10,
		},
		.phdr = { .p_type = PT_LOAD, .p_filesz = 0x100, .p_memsz = 0x100 },
	};
	struct fake_memory fake = { 0 };
	struct reader memory = { fake_read, fake_read_many, &fake };
	struct elf_image image;

	(void)state;
	fake_add(&fake, 0x10000, &narrow, sizeof(narrow));
	assert_int_equal(elf_image_at(&memory, 0x10000, &image), 0);
	assert_false(image.is_64);
	assert_true(image.is_x86);
	assert_int_equal(image.low, 0x10000);
	assert_int_equal(image.high, 0x11000);
	assert_int_equal(image.entry, 0x10010);
	assert_int_equal(elf_image_by_phdrs(&memory, 0x10000 + sizeof(Elf32_Ehdr), 1, &image), -EFAULT);
}

/* ---- forged images ---------------------------------------------------------------------------- */

enum { IMAGE_AT = 0x7f0000000000, IMAGE_MAX = 16384 };

struct forged {
	uint8_t bytes[IMAGE_MAX];
	size_t length;
};

/* The vdso: a small object with all the tables. */
static bool take_vdso(struct forged *forged)
{
	pid_t self = getpid();
	struct reader memory = process_reader_of(&self);
	struct elf_image image;
	vaddr_t at = getauxval(AT_SYSINFO_EHDR);

	if (at == 0 || elf_image_at(&memory, at, &image) != 0 || image.high - image.low > IMAGE_MAX)
		return false;
	forged->length = image.high - image.low;
	memcpy(forged->bytes, (const void *)(uintptr_t)image.low, forged->length);
	return true;
}

static int ask_everything(const struct forged *forged)
{
	static const char *const names[] = { "__vdso_clock_gettime", "nothing" };
	struct fake_memory fake = { 0 };
	struct reader memory = { fake_read, fake_read_many, &fake };
	struct elf_image image;
	vaddr_t found[2];
	uint64_t value;

	fake_add(&fake, IMAGE_AT, forged->bytes, forged->length);
	int error = elf_image_at(&memory, IMAGE_AT, &image);
	if (error != 0)
		return error;
	int symbols = elf_dynamic_symbols(&memory, &image, names, 2, found);
	elf_dynamic_value(&memory, &image, DT_STRTAB, &value);
	elf_relocated_pointer(&memory, &image, IMAGE_AT + 0x100, &value);
	elf_image_by_phdrs(&memory, IMAGE_AT + 64, 4, &image);
	return symbols;
}

static void the_vdso_answers_and_forged_copies_of_it_do_not_hang_or_crash(void **state)
{
	static struct forged vdso, forged;
	uint64_t seed = 0x9e3779b97f4a7c15;

	(void)state;
	if (!take_vdso(&vdso))
		skip();
	assert_int_equal(ask_everything(&vdso), 1);
	for (size_t length = 0; length < vdso.length; length += 7) {
		forged = vdso;
		forged.length = length;
		ask_everything(&forged);
	}
	for (int n = 0; n < 50000; n++) {
		forged = vdso;
		for (int i = 0; i < 1 + n % 8; i++) {
			seed ^= seed << 13;
			seed ^= seed >> 7;
			seed ^= seed << 17;
			/* most in the headers and tables at the front */
			size_t range = seed & 1 ? 0x400 : forged.length;
			forged.bytes[(seed >> 8) % range] = (uint8_t)(seed >> 40);
		}
		ask_everything(&forged);
	}
}

static void a_hash_chain_in_a_ring_ends(void **state)
{
	static struct {
		Elf64_Dyn dynamic[4];
		uint32_t hash[2 + 1 + 4]; /* buckets, chains, bucket[1], chain[4] */
		Elf64_Sym symbols[4];
		char strings[8];
	} table;
	struct fake_memory fake = { 0 };
	struct reader memory = { fake_read, fake_read_many, &fake };
	struct elf_image image = { .is_64 = true, .low = 0x1000, .high = 0x3000, .dynamic = 0x1000 };
	static const char *const names[] = { "absent" };
	vaddr_t found;

	(void)state;
	table.dynamic[0] =
		(Elf64_Dyn){ DT_HASH, { .d_ptr = 0x1000 + (uint64_t)((char *)table.hash - (char *)&table) } };
	table.dynamic[1] =
		(Elf64_Dyn){ DT_SYMTAB,
			     { .d_ptr = 0x1000 + (uint64_t)((char *)table.symbols - (char *)&table) } };
	table.dynamic[2] =
		(Elf64_Dyn){ DT_STRTAB, { .d_ptr = 0x1000 + (uint64_t)(table.strings - (char *)&table) } };
	table.hash[0] = 1;
	table.hash[1] = 4;
	table.hash[2] = 1;
	table.hash[3 + 1] = 2;
	table.hash[3 + 2] = 1;
	fake_add(&fake, 0x1000, &table, sizeof(table));
	assert_int_equal(elf_dynamic_symbols(&memory, &image, names, 1, &found), 0);
	assert_true(fake.reads < 64);
}

static void a_process_that_is_gone_is_told_by_every_question(void **state)
{
	struct fake_memory fake = { .gone = true };
	struct reader memory = { fake_read, fake_read_many, &fake };
	struct elf_image image = { .is_64 = true, .dynamic = 0x1000 };
	static const char *const names[] = { "x" };
	uint64_t value;

	(void)state;
	assert_int_equal(elf_image_at(&memory, 0x1000, &image), -ESRCH);
	assert_int_equal(elf_image_by_phdrs(&memory, 0x1040, 3, &image), -ESRCH);
	assert_int_equal(elf_dynamic_symbols(&memory, &image, names, 1, &value), -ESRCH);
	assert_int_equal(elf_dynamic_value(&memory, &image, DT_DEBUG, &value), -ESRCH);
	assert_int_equal(elf_relocated_pointer(&memory, &image, 0x2000, &value), -ESRCH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_object_of_a_process_is_described_as_its_linker_does),
		cmocka_unit_test(the_build_id_in_memory_is_that_of_the_file),
		cmocka_unit_test(dynamic_symbols_are_where_dlsym_finds_them),
		cmocka_unit_test(a_pointer_to_be_relocated_is_known_from_the_relocations),
		cmocka_unit_test(entries_of_the_dynamic_section_are_found),
		cmocka_unit_test(files_that_are_no_elf_are_told_apart),
		cmocka_unit_test(the_build_id_is_found_in_segments_else_in_sections),
		cmocka_unit_test(a_file_cut_anywhere_has_no_build_id_and_no_error),
		cmocka_unit_test(a_build_id_longer_than_the_bound_is_cut),
		cmocka_unit_test(a_32_bit_image_is_told_as_such),
		cmocka_unit_test(the_vdso_answers_and_forged_copies_of_it_do_not_hang_or_crash),
		cmocka_unit_test(a_hash_chain_in_a_ring_ends),
		cmocka_unit_test(a_process_that_is_gone_is_told_by_every_question),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
