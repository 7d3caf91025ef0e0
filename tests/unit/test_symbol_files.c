/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the symbol tables of made-up files are: sections, packed or not, memory, PLT; and files that lie.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <lzma.h>
#include <stdio.h>
#include <sys/auxv.h>
#include <zlib.h>
#include <zstd.h>

#include "fake_memory.h"
#include "forge_symbols.h"

/* ---- where tables are ------------------------------------------------------------------------------------ */

static void exported_symbols_are_added_where_symtab_lacks_them(void **state)
{
	struct forged_table table = { 0 };
	struct forged elf;
	struct symbol symbol;
	uint16_t versions[64] = { [1] = 0x8002, [2] = 3 };

	(void)state;
	begin(&elf);
	forge_symbol(&table, "local", 0x1000, 8, STB_LOCAL, STT_FUNC, IN_TEXT);
	function(&table, "both", 0x1010, 8);
	forge_table(&elf, &table, SHT_SYMTAB);
	function(&table, "twice", 0x1400, 8);
	function(&table, "twice", 0x1500, 8);
	function(&table, "both", 0x1010, 8);
	for (int i = 0; i < 30; i++) {
		char name[16];
		snprintf(name, sizeof(name), "export%d", i);
		function(&table, name, 0x1600 + (unsigned)i * 8, 8);
	}
	unsigned dynsym = forge_table(&elf, &table, SHT_DYNSYM);
	unsigned versym = forge_section(&elf, ".gnu.version", SHT_GNU_versym, SHF_ALLOC, 0, versions, 34 * 2);
	elf.section[versym].sh_link = dynsym;
	struct symbol_file *file = get(forge_end(&elf));
	assert_string_equal(symbol_file_origin(file), ".symtab, .dynsym");
	assert_int_equal(symbol_file_count(file), 34);
	assert_string_equal(name_at(file, 0x1000), "local");
	assert_string_equal(name_at(file, 0x1608), "export1");
	assert_int_equal(symbol_file_find(file, "twice", &symbol), 0);
	assert_int_equal(symbol.address, 0x1500);
	assert_int_equal(symbol_file_at(file, 0x1400, &symbol), 0);
	assert_int_equal(symbol.flags, SYMBOL_HIDDEN_VERSION);
	symbol_file_put(file);
}

static struct buffer a_table_in_a_file(const char *name)
{
	struct forged_table table = { 0 };
	struct forged elf;

	begin(&elf);
	function(&table, name, 0x1200, 0x100);
	forge_table(&elf, &table, SHT_SYMTAB);
	return forge_bytes(&elf);
}

static struct symbol_file *with_debugdata(const void *packed, size_t size)
{
	struct forged_table table = { 0 };
	struct forged elf;

	begin(&elf);
	function(&table, "exported", 0x1000, 0x100);
	forge_table(&elf, &table, SHT_DYNSYM);
	forge_section(&elf, ".gnu_debugdata", SHT_PROGBITS, 0, 0, packed, size);
	return get(forge_end(&elf));
}

static void compressed_mini_debug_info_is_read(void **state)
{
	struct buffer inner = a_table_in_a_file("hidden");
	size_t room = lzma_stream_buffer_bound(inner.length), size = 0;
	uint8_t *packed = malloc(room);

	(void)state;
	assert_int_equal(lzma_easy_buffer_encode(6, LZMA_CHECK_CRC32, NULL, (uint8_t *)inner.data, inner.length, packed, &size,
						 room), LZMA_OK);
	struct symbol_file *file = with_debugdata(packed, size);
	assert_string_equal(symbol_file_origin(file), ".gnu_debugdata, .dynsym");
	assert_string_equal(name_at(file, 0x1280), "hidden");
	assert_string_equal(name_at(file, 0x1080), "exported");
	symbol_file_put(file);

	packed[size / 2] ^= 1;
	file = with_debugdata(packed, size);
	assert_string_equal(symbol_file_origin(file), ".dynsym");
	assert_string_equal(symbol_file_complaint(file), ".gnu_debugdata is damaged");
	assert_string_equal(name_at(file, 0x1080), "exported");
	symbol_file_put(file);
	free(packed);
	buffer_free(&inner);
}

static void mini_debug_info_packed_by_zstd_is_read(void **state)
{
	struct buffer inner = a_table_in_a_file("hidden");
	size_t room = ZSTD_compressBound((size_t)MAX_UNPACKED_BYTES + 1);
	unsigned char *packed = malloc(room);
	size_t size = ZSTD_compress(packed, room, inner.data, inner.length, 6);

	(void)state;
	assert_false(ZSTD_isError(size));
	struct symbol_file *file = with_debugdata(packed, size);
	assert_string_equal(symbol_file_origin(file), ".gnu_debugdata, .dynsym");
	assert_string_equal(name_at(file, 0x1280), "hidden");
	symbol_file_put(file);
	for (size_t cut = 1; cut < size; cut++) {
		file = with_debugdata(packed, size - cut);
		assert_string_equal(symbol_file_origin(file), ".dynsym");
		assert_string_equal(symbol_file_complaint(file), ".gnu_debugdata is damaged");
		symbol_file_put(file);
	}
	/* One byte more than the limit. */
	unsigned char *zeros = calloc(1, (size_t)MAX_UNPACKED_BYTES + 1);
	size = ZSTD_compress(packed, room, zeros, (size_t)MAX_UNPACKED_BYTES + 1, 1);
	assert_false(ZSTD_isError(size));
	file = with_debugdata(packed, size);
	assert_non_null(strstr(symbol_file_complaint(file), ".gnu_debugdata takes more than"));
	symbol_file_put(file);
	free(zeros);
	free(packed);
	buffer_free(&inner);
}

/* One byte more than the limit, all zeros. */
static void a_bomb_of_mini_debug_info_is_refused(void **state)
{
	enum { BLOCK = 1 << 20 };
	lzma_stream stream = LZMA_STREAM_INIT;
	uint8_t *block = calloc(1, BLOCK), *packed = malloc(BLOCK);
	uint64_t left = (uint64_t)MAX_UNPACKED_BYTES + 1;

	(void)state;
	assert_int_equal(lzma_easy_encoder(&stream, 0, LZMA_CHECK_NONE), LZMA_OK);
	stream.next_out = packed;
	stream.avail_out = BLOCK;
	while (left) {
		stream.next_in = block;
		stream.avail_in = left < BLOCK ? (size_t)left : BLOCK;
		left -= stream.avail_in;
		while (stream.avail_in)
			assert_int_equal(lzma_code(&stream, LZMA_RUN), LZMA_OK);
	}
	assert_int_equal(lzma_code(&stream, LZMA_FINISH), LZMA_STREAM_END);
	struct symbol_file *file = with_debugdata(packed, BLOCK - stream.avail_out);
	assert_non_null(strstr(symbol_file_complaint(file), ".gnu_debugdata takes more than"));
	assert_string_equal(name_at(file, 0x1080), "exported");
	symbol_file_put(file);
	lzma_end(&stream);
	free(block);
	free(packed);
}

/* Sections .symtab and .strtab under a header that says how they are packed, and to what size. */
static struct symbol_file *with_packed_tables(uint32_t type, uint64_t more)
{
	struct forged_table table = { 0 };
	struct forged elf;

	begin(&elf);
	function(&table, "packed", 0x1000, 0x100);
	unsigned symtab = forge_table(&elf, &table, SHT_SYMTAB);
	for (unsigned n = symtab; n <= symtab + 1; n++) {
		Elf64_Chdr header = { .ch_type = type, .ch_size = elf.section[n].sh_size + more, .ch_addralign = 1 };
		unsigned char packed[1024];
		uLongf size = sizeof(packed);
		if (type == ELF_COMPRESS_ZSTD)
			size = ZSTD_compress(packed, size, elf.bytes.data + elf.section[n].sh_offset, elf.section[n].sh_size, 9);
		else
			assert_int_equal(compress2(packed, &size, (Bytef *)elf.bytes.data + elf.section[n].sh_offset,
						   elf.section[n].sh_size, 9), Z_OK);
		assert_in_range(size, 1, sizeof(packed));
		forge_align(&elf);
		elf.section[n].sh_offset = elf.bytes.length;
		elf.section[n].sh_size = sizeof(header) + size;
		elf.section[n].sh_flags |= SHF_COMPRESSED;
		buffer_add(&elf.bytes, &header, sizeof(header));
		buffer_add(&elf.bytes, packed, size);
	}
	return get(forge_end(&elf));
}

static void compressed_sections_are_unpacked_and_what_cannot_be_is_told(void **state)
{
	(void)state;
	static const uint32_t types[] = { ELFCOMPRESS_ZLIB, ELF_COMPRESS_ZSTD };
	const uint64_t lies[] = { 1, 1 << 20, 1 << 29, UINT64_MAX / 2, UINT64_MAX };
	struct symbol_file *file = with_packed_tables(3, 0);

	assert_int_equal(symbol_file_count(file), 0);
	assert_string_equal(symbol_file_complaint(file),
			    ".symtab is compressed in another way than by zlib or zstd, which is not read");
	symbol_file_put(file);
	for (size_t t = 0; t < ARRAY_LEN(types); t++) {
		file = with_packed_tables(types[t], 0);
		assert_string_equal(name_at(file, 0x1010), "packed");
		assert_string_equal(symbol_file_complaint(file), "");
		symbol_file_put(file);
		for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
			file = with_packed_tables(types[t], lies[i]);
			assert_int_equal(symbol_file_count(file), 0);
			assert_string_not_equal(symbol_file_complaint(file), "");
			symbol_file_put(file);
		}
	}
}

/* 128 KiB of four bytes, again and again: a gigabyte of 32 KiB is not begun. */
static void a_bomb_of_a_section_packed_by_zstd_is_refused_unread(void **state)
{
	enum { BOMB = 64 << 20 };
	size_t room = ZSTD_compressBound(BOMB);
	unsigned char *zeros = calloc(1, BOMB), *packed = malloc(room);
	size_t size = ZSTD_compress(packed, room, zeros, BOMB, 1);
	struct elf_blob blob;

	(void)state;
	assert_false(ZSTD_isError(size));
	assert_int_equal(elf_unpack_zstd(packed, size, BOMB, &blob), -ENOEXEC);
	assert_int_equal(elf_unpack_zstd(packed, size, (uint64_t)MAX_SECTION_BYTES + 1, &blob), -EFBIG);
	/* Cut off, damaged, and one frame after another. */
	size = ZSTD_compress(packed, room, "abcdefgh", 8, 1);
	assert_int_equal(elf_unpack_zstd(packed, size - 1, 8, &blob), -ENOEXEC);
	assert_int_equal(elf_unpack_zstd(packed, size, 7, &blob), -ENOEXEC);
	size_t more = ZSTD_compress(packed + size, room - size, "ij", 2, 1);
	assert_int_equal(elf_unpack_zstd(packed, size + more, 10, &blob), 0);
	assert_string_equal(blob.data, "abcdefghij");
	free(blob.data);
	free(zeros);
	free(packed);
}

/* ---- memory ---------------------------------------------------------------------------------------------- */

static struct symbol_file *get_image(const struct reader *memory, vaddr_t header, struct elf_image *image)
{
	struct symbol_source source = { .size = sizeof(source), .fd = -1, .root_fd = -1, 		.memory = memory, .image = image, .flags = SYMBOL_NO_DEBUG_FILES };
	struct symbol_pool *pool = symbol_pool_new(NULL);
	struct symbol_file *file = NULL;

	assert_int_equal(elf_image_at(memory, header, image), 0);
	assert_int_equal(symbol_file_get(pool, &source, &file), 0);
	symbol_pool_free(pool);
	return file;
}

static void the_vdso_is_read_from_memory(void **state)
{
	pid_t self = getpid();
	struct reader memory = process_reader_of(&self);
	struct elf_image image;
	struct symbol symbol, found;

	(void)state;
	if (!getauxval(AT_SYSINFO_EHDR))
		skip();
	struct symbol_file *file = get_image(&memory, getauxval(AT_SYSINFO_EHDR), &image);
	assert_int_equal(symbol_file_find(file, "__vdso_clock_gettime", &symbol), 0);
	assert_int_equal(symbol.type, SYMBOL_FUNCTION);
	assert_int_equal(symbol_file_at(file, symbol.address + 1, &found), 0);
	assert_int_equal(found.address, symbol.address);
	symbol_file_put(file);
}

static int find_libc(struct dl_phdr_info *info, size_t size, void *data)
{
	(void)size;
	if (!strstr(info->dlpi_name, "libc.so"))
		return 0;
	*(vaddr_t *)data = info->dlpi_addr;
	return 1;
}

static void a_library_without_its_file_is_read_from_memory(void **state)
{
	static const char *const names[] = { "puts", "malloc", "environ", "pthread_create", "qsort" };
	pid_t self = getpid();
	struct reader memory = process_reader_of(&self);
	struct elf_image image;
	vaddr_t header = 0;

	(void)state;
	if (!dl_iterate_phdr(find_libc, &header))
		skip();
	struct symbol_file *file = get_image(&memory, header, &image);
	assert_true(symbol_file_count(file) > 1000);
	assert_string_equal(symbol_file_origin(file), "dynamic section");
	void *libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
	for (size_t i = 0; i < ARRAY_LEN(names) && libc; i++) {
		struct symbol symbol;
		Dl_info info;
		assert_int_equal(symbol_file_find(file, names[i], &symbol), 0);
		void *address = dlsym(libc, names[i]);
		/* Under a sanitizer the first of a name may be its own. */
		if (dladdr(address, &info) && strstr(info.dli_fname, "libc.so"))
			assert_int_equal(image.bias + symbol.address, (uintptr_t)address);
	}
	if (libc)
		dlclose(libc);
	symbol_file_put(file);
}

/* ---- lies ------------------------------------------------------------------------------------------------ */

static void what_is_no_executable_is_refused(void **state)
{
	struct symbol_pool *pool = symbol_pool_new(NULL);
	struct symbol_source source = { .size = sizeof(source), .root_fd = -1 };
	struct symbol_file *file = NULL;
	struct buffer bytes = a_table_in_a_file("x");

	(void)state;
	((Elf64_Ehdr *)(void *)bytes.data)->e_type = ET_REL;
	const struct {
		const void *bytes;
		size_t size;
	} row[] = { { "", 0 }, { "\177ELF", 4 }, { "#!/bin/sh\n", 10 }, { bytes.data, bytes.length } };
	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		source.fd = forge_file(row[i].bytes, row[i].size);
		assert_int_equal(symbol_file_get(pool, &source, &file), -ENOEXEC);
		close(source.fd);
	}
	source.fd = open("/", O_RDONLY | O_DIRECTORY);
	assert_int_equal(symbol_file_get(pool, &source, &file), -EISDIR);
	close(source.fd);
	source.fd = 9999;
	assert_int_equal(symbol_file_get(pool, &source, &file), -EBADF);
	source.fd = -1;
	assert_int_equal(symbol_file_get(pool, &source, &file), -EINVAL);
	source.size = 8;
	assert_int_equal(symbol_file_get(pool, &source, &file), -EINVAL);
	assert_null(file);
	buffer_free(&bytes);
	symbol_pool_free(pool);
}

static void ask_everything(int fd)
{
	struct symbol_source source = { .size = sizeof(source), .fd = fd, .root_fd = -1 };
	struct symbol_pool *pool = symbol_pool_new(NULL);
	struct symbol_file *file;
	struct symbol symbol;

	if (!symbol_file_get(pool, &source, &file)) {
		for (uint64_t address = TEXT; address < TEXT_END; address += 64)
			(void)symbol_file_at(file, address, &symbol);
		(void)symbol_file_find(file, "exported", &symbol);
		symbol_file_put(file);
	}
	symbol_pool_free(pool);
	close(fd);
}

/* A file with all that there is, cut at each length, and with each byte of its headers made 0xff. */
static void a_file_cut_or_forged_anywhere_gives_an_answer(void **state)
{
	struct forged_table table = { 0 };
	struct forged elf;

	(void)state;
	begin(&elf);
	forge_build_id(&elf, "0123456789", 10);
	function(&table, "hidden", 0x1100, 0x100);
	forge_table(&elf, &table, SHT_SYMTAB);
	function(&table, "exported", 0x1000, 0x100);
	function(&table, "exported2", 0x1200, 0x100);
	forge_table(&elf, &table, SHT_DYNSYM);
	forge_section(&elf, ".plt", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, 0x2000,
		      "\377\45\0\0\0\0\220\220\220\220\220\220\220\220\220\220", 16);
	forge_section(&elf, ".rela.plt", SHT_RELA, SHF_ALLOC, 0, "\6\40\0\0\0\0\0\0\7\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0", 24);
	struct buffer bytes = forge_bytes(&elf);
	ask_everything(forge_file(bytes.data, bytes.length));
	for (size_t length = 0; length < bytes.length; length += length < 200 ? 1 : 7)
		ask_everything(forge_file(bytes.data, length));
	for (size_t at = 4; at < bytes.length; at++) {
		char was = bytes.data[at];
		bytes.data[at] = (char)(at % 2 ? 0xff : 0x7f);
		ask_everything(forge_file(bytes.data, bytes.length));
		bytes.data[at] = was;
	}
	buffer_free(&bytes);
}

static void thousands_at_one_address_take_no_time(void **state)
{
	enum { ALIASES = 200000 };
	struct forged_table table = { 0 };

	(void)state;
	for (int i = 0; i < ALIASES; i++)
		function(&table, "same", TEXT, 16);
	for (int i = 0; i < ALIASES; i++)
		function(&table, "nested", TEXT + 1 + (unsigned)i, 1 << 20);
	struct symbol_file *file = table_of(&table);
	struct symbol symbol;
	assert_int_equal(symbol_file_count(file), 2 * ALIASES);
	assert_string_equal(name_at(file, TEXT), "same");
	assert_int_equal(symbol_file_find(file, "nested", &symbol), 0);
	assert_int_equal(symbol.address, TEXT + 1);
	symbol_file_put(file);
}

/* ---- PLT ------------------------------------------------------------------------------------------------- */

static void plt_entries_are_named_after_the_relocation_of_their_slot(void **state)
{
	/* jmp *slot(%rip); endbr64, jmp *slot; endbr64, push 1 */
	unsigned char plt[48] = { 0xff, 0x25, 0, 0, 0, 0, [16] = 0xf3, 0x0f, 0x1e, 0xfa, 0xf2, 0xff, 0x25, 0, 0, 0, 0,
				  [32] = 0xf3, 0x0f, 0x1e, 0xfa, 0x68, 1, 0, 0, 0 };
	Elf64_Rela slot[2] = { { 0x5000, ELF64_R_INFO(1, R_X86_64_JUMP_SLOT), 0 },
			       { 0x5008, ELF64_R_INFO(2, R_X86_64_JUMP_SLOT), 0 } };
	uint32_t distance[2] = { 0x5000 - (0x2000 + 6), 0x5008 - (0x2010 + 11) };
	struct forged_table table = { 0 };
	struct forged elf;
	struct symbol symbol;

	(void)state;
	memcpy(plt + 2, &distance[0], 4);
	memcpy(plt + 16 + 7, &distance[1], 4);
	begin(&elf);
	forge_symbol(&table, "puts", 0, 0, STB_GLOBAL, STT_FUNC, SHN_UNDEF);
	forge_symbol(&table, "exit", 0, 0, STB_GLOBAL, STT_FUNC, SHN_UNDEF);
	forge_table(&elf, &table, SHT_DYNSYM);
	forge_section(&elf, ".rela.plt", SHT_RELA, SHF_ALLOC, 0, slot, sizeof(slot));
	forge_section(&elf, ".plt", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, 0x2000, plt, sizeof(plt));
	struct symbol_file *file = get(forge_end(&elf));
	assert_string_equal(name_at(file, 0x2008), "puts@plt");
	assert_string_equal(name_at(file, 0x2010), "exit@plt");
	assert_string_equal(name_at(file, 0x202f), "exit@plt");
	assert_string_equal(name_at(file, 0x2030), "-");
	assert_int_equal(symbol_file_find(file, "puts@plt", &symbol), 0);
	assert_int_equal(symbol.flags, SYMBOL_IS_PLT);
	assert_int_equal(symbol.size, 16);
	assert_int_equal(symbol_file_find(file, "exit@plt", &symbol), 0);
	assert_int_equal(symbol.address, 0x2020);
	symbol_file_put(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exported_symbols_are_added_where_symtab_lacks_them),
		cmocka_unit_test(compressed_mini_debug_info_is_read),
		cmocka_unit_test(mini_debug_info_packed_by_zstd_is_read),
		cmocka_unit_test(a_bomb_of_mini_debug_info_is_refused),
		cmocka_unit_test(compressed_sections_are_unpacked_and_what_cannot_be_is_told),
		cmocka_unit_test(a_bomb_of_a_section_packed_by_zstd_is_refused_unread),
		cmocka_unit_test(the_vdso_is_read_from_memory),
		cmocka_unit_test(a_library_without_its_file_is_read_from_memory),
		cmocka_unit_test(what_is_no_executable_is_refused),
		cmocka_unit_test(a_file_cut_or_forged_anywhere_gives_an_answer),
		cmocka_unit_test(thousands_at_one_address_take_no_time),
		cmocka_unit_test(plt_entries_are_named_after_the_relocation_of_their_slot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
