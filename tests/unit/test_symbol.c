/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Symbol tables of made-up files: each sentence of the rules in symbol/symbol.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>

#include "forge_symbols.h"

/* ---- rules ---------------------------------------------------------------------------------------------- */

static void a_symbol_covers_its_size_and_no_byte_more(void **state)
{
	struct forged_table table = { 0 };

	(void)state;
	function(&table, "second", 0x1100, 0x10);
	function(&table, "first", 0x1000, 0x20);
	struct symbol_file *file = table_of(&table);
	assert_string_equal(name_at(file, 0xfff), "-");
	assert_string_equal(name_at(file, 0x1000), "first");
	assert_string_equal(name_at(file, 0x101f), "first");
	assert_string_equal(name_at(file, 0x1020), "-");
	assert_string_equal(name_at(file, 0x10ff), "-");
	assert_string_equal(name_at(file, 0x110f), "second");
	assert_string_equal(name_at(file, 0x1110), "-");
	assert_string_equal(name_at(file, 0), "-");
	assert_string_equal(name_at(file, UINT64_MAX), "-");
	struct symbol symbol;
	assert_int_equal(symbol_file_at(file, 0x1105, &symbol), 0);
	assert_int_equal(symbol.address, 0x1100);
	assert_int_equal(symbol.size, 0x10);
	assert_int_equal(symbol.type, SYMBOL_FUNCTION);
	assert_int_equal(symbol.binding, SYMBOL_GLOBAL);
	assert_int_equal(symbol.flags, 0);
	symbol_file_put(file);
}

static void of_those_that_cover_an_address_the_one_that_starts_last_wins(void **state)
{
	struct forged_table table = { 0 };

	(void)state;
	function(&table, "outer", 0x1000, 0x100);
	function(&table, "inner", 0x1010, 0x10);
	function(&table, "innermost", 0x1014, 4);
	function(&table, "across", 0x10f0, 0x20); /* beyond the end of outer */
	function(&table, "again", 0x1040, 0x10);
	struct symbol_file *file = table_of(&table);
	const struct {
		uint64_t address;
		const char *name;
	} row[] = { { 0x100f, "outer" }, { 0x1010, "inner" },    { 0x1014, "innermost" }, { 0x1017, "innermost" },
		    { 0x1018, "inner" }, { 0x101f, "inner" },    { 0x1020, "outer" },     { 0x103f, "outer" },
		    { 0x1040, "again" }, { 0x1050, "outer" },    { 0x10ef, "outer" },     { 0x10f0, "across" },
		    { 0x1100, "across" }, { 0x110f, "across" },  { 0x1110, "-" } };
	for (size_t i = 0; i < ARRAY_LEN(row); i++)
		assert_string_equal(name_at(file, row[i].address), row[i].name);
	symbol_file_put(file);
}

static void one_without_a_size_covers_what_no_other_does_in_code_up_to_the_next(void **state)
{
	struct forged_table table = { 0 };

	(void)state;
	function(&table, "sized", 0x1000, 0x20);
	forge_symbol(&table, "inside", 0x1010, 0, STB_GLOBAL, STT_NOTYPE, IN_TEXT);
	forge_symbol(&table, "label", 0x1040, 0, STB_GLOBAL, STT_NOTYPE, IN_TEXT);
	function(&table, "next", 0x1080, 0x10);
	forge_symbol(&table, "last", 0x2ff0, 0, STB_LOCAL, STT_NOTYPE, IN_TEXT);
	forge_symbol(&table, "in_data", 0x4010, 0, STB_GLOBAL, STT_NOTYPE, IN_DATA);
	struct symbol_file *file = table_of(&table);
	assert_string_equal(name_at(file, 0x1010), "sized");
	assert_string_equal(name_at(file, 0x101f), "sized");
	assert_string_equal(name_at(file, 0x1030), "-");
	assert_string_equal(name_at(file, 0x1040), "label");
	assert_string_equal(name_at(file, 0x107f), "label");
	assert_string_equal(name_at(file, 0x1080), "next");
	assert_string_equal(name_at(file, 0x1090), "-");
	assert_string_equal(name_at(file, 0x2fff), "last");
	assert_string_equal(name_at(file, 0x3000), "-");
	assert_string_equal(name_at(file, 0x4010), "in_data");
	assert_string_equal(name_at(file, 0x4011), "-");
	struct symbol symbol;
	assert_int_equal(symbol_file_at(file, 0x1050, &symbol), 0);
	assert_int_equal(symbol.size, 0);
	assert_int_equal(symbol.flags, SYMBOL_HAS_NO_SIZE);
	assert_int_equal(symbol_file_find(file, "inside", &symbol), 0);
	assert_int_equal(symbol.address, 0x1010);
	symbol_file_put(file);
}

/* Each row is preferred to the one before it. */
static void of_those_that_start_together_the_best_is_taken(void **state)
{
	static const struct {
		const char *name;
		uint64_t size;
		unsigned binding, type;
	} row[] = {
		{ "no size", 0, STB_GLOBAL, STT_FUNC },      { "object", 16, STB_LOCAL, STT_OBJECT },
		{ "weak object", 16, STB_WEAK, STT_OBJECT }, { "global object", 16, STB_GLOBAL, STT_OBJECT },
		{ "untyped", 16, STB_LOCAL, STT_NOTYPE },    { "local", 16, STB_LOCAL, STT_FUNC },
		{ "__weak", 16, STB_WEAK, STT_FUNC },        { "weak", 16, STB_WEAK, STT_FUNC },
		{ "___three", 16, STB_GLOBAL, STT_FUNC },    { "__two", 16, STB_GLOBAL, STT_GNU_IFUNC },
		{ "_one", 16, STB_GNU_UNIQUE, STT_FUNC },    { "none", 16, STB_GLOBAL, STT_FUNC },
	};

	(void)state;
	for (size_t worse = 0; worse < ARRAY_LEN(row); worse++)
		for (size_t better = worse + 1; better < ARRAY_LEN(row); better++)
			for (int turn = 0; turn < 2; turn++) {
				struct forged_table table = { 0 };
				for (int i = 0; i < 2; i++) {
					size_t n = turn == i ? worse : better;
					forge_symbol(&table, row[n].name, TEXT, row[n].size, row[n].binding, row[n].type, 1);
				}
				struct symbol_file *file = table_of(&table);
				assert_string_equal(name_at(file, TEXT), row[better].name);
				symbol_file_put(file);
			}
	struct forged_table table = { 0 };
	function(&table, "first", TEXT, 16);
	function(&table, "second", TEXT, 16);
	struct symbol_file *file = table_of(&table);
	assert_string_equal(name_at(file, TEXT), "first");
	assert_int_equal(symbol_file_count(file), 2);
	symbol_file_put(file);
}

static void what_names_no_place_in_the_file_is_not_taken(void **state)
{
	struct forged_table table = { 0 };
	struct symbol symbol;

	(void)state;
	forge_symbol(&table, "undefined", TEXT, 16, STB_GLOBAL, STT_FUNC, SHN_UNDEF);
	forge_symbol(&table, "absolute", TEXT, 16, STB_GLOBAL, STT_OBJECT, SHN_ABS);
	forge_symbol(&table, "tls", TEXT, 16, STB_GLOBAL, STT_TLS, IN_DATA);
	forge_symbol(&table, "section", TEXT, 16, STB_LOCAL, STT_SECTION, IN_TEXT);
	forge_symbol(&table, "file", TEXT, 16, STB_LOCAL, STT_FILE, IN_TEXT);
	forge_symbol(&table, "", TEXT, 16, STB_LOCAL, STT_FUNC, IN_TEXT);
	forge_symbol(&table, "beyond", UINT64_MAX - 7, 16, STB_GLOBAL, STT_FUNC, IN_TEXT);
	struct symbol_file *file = table_of(&table);
	assert_int_equal(symbol_file_count(file), 0);
	assert_int_equal(symbol_file_find(file, "undefined", &symbol), -ENOENT);
	assert_int_equal(symbol_file_at(file, TEXT, &symbol), -ENOENT);
	symbol_file_put(file);
}

static void a_name_gives_the_best_symbol_of_it(void **state)
{
	struct forged_table table = { 0 };
	struct symbol symbol;

	(void)state;
	forge_symbol(&table, "f", 0x1000, 8, STB_LOCAL, STT_FUNC, IN_TEXT);
	forge_symbol(&table, "low", 0x1040, 8, STB_LOCAL, STT_FUNC, IN_TEXT);
	forge_symbol(&table, "low", 0x1030, 8, STB_LOCAL, STT_FUNC, IN_TEXT);
	forge_symbol(&table, "f", 0x1020, 8, STB_WEAK, STT_FUNC, IN_TEXT);
	forge_symbol(&table, "f", 0x1010, 8, STB_GLOBAL, STT_OBJECT, IN_TEXT);
	forge_symbol(&table, "v@OLD_1", 0x1100, 8, STB_GLOBAL, STT_FUNC, IN_TEXT);
	forge_symbol(&table, "v@@NEW_2", 0x1200, 8, STB_GLOBAL, STT_FUNC, IN_TEXT);
	forge_symbol(&table, "only@OLD_1", 0x1300, 8, STB_GLOBAL, STT_FUNC, IN_TEXT);
	forge_symbol(&table, ".type_@0:8", 0x4000, 8, STB_GLOBAL, STT_OBJECT, IN_DATA);
	struct symbol_file *file = table_of(&table);
	assert_int_equal(symbol_file_find(file, "f", &symbol), 0);
	assert_int_equal(symbol.address, 0x1020);
	assert_int_equal(symbol.binding, SYMBOL_WEAK);
	assert_int_equal(symbol_file_find(file, "low", &symbol), 0);
	assert_int_equal(symbol.address, 0x1030);
	assert_int_equal(symbol_file_find(file, "v", &symbol), 0);
	assert_int_equal(symbol.address, 0x1200);
	assert_int_equal(symbol.flags, 0);
	assert_int_equal(symbol_file_find(file, "only", &symbol), 0);
	assert_int_equal(symbol.flags, SYMBOL_HIDDEN_VERSION);
	assert_string_equal(name_at(file, 0x1100), "v");
	assert_string_equal(name_at(file, 0x4000), ".type_@0:8");
	assert_int_equal(symbol_file_find(file, "v@@NEW_2", &symbol), -ENOENT);
	assert_int_equal(symbol_file_find(file, "", &symbol), -ENOENT);
	symbol_file_put(file);
}

static void sizes_of_gigabytes_are_kept(void **state)
{
	struct forged_table table = { 0 };
	struct symbol symbol;

	(void)state;
	forge_symbol(&table, "huge", 0x100000000, UINT64_C(5) << 32, STB_GLOBAL, STT_OBJECT, IN_DATA);
	forge_symbol(&table, "endless", UINT64_C(1) << 50, UINT64_MAX, STB_GLOBAL, STT_OBJECT, IN_DATA);
	function(&table, "in", 0x200000000, 0x10);
	struct symbol_file *file = table_of(&table);
	assert_int_equal(symbol_file_at(file, 0x300000000, &symbol), 0);
	assert_string_equal(symbol.name, "huge");
	assert_int_equal(symbol.size, UINT64_C(5) << 32);
	assert_string_equal(name_at(file, 0x200000008), "in");
	assert_string_equal(name_at(file, 0x5ffffffff), "huge");
	assert_string_equal(name_at(file, 0x600000000), "-");
	assert_string_equal(name_at(file, (UINT64_C(1) << 56) - 1), "endless");
	symbol_file_put(file);
}

/* ---- random tables against a search of each symbol ------------------------------------------------------- */

enum { MANY = 300, ROUNDS = 200, SPAN = 400 };

struct drawn {
	uint64_t address, size;
};

static unsigned draw(unsigned *dice, unsigned below)
{
	*dice = *dice * 1664525 + 1013904223;
	return (*dice >> 8) % below;
}

/* The number of the symbol by the rules; all have the same kind, so of those that start together the first is best. */
static int searched(const struct drawn *drawn, size_t count, uint64_t address)
{
	int best = -1;
	uint64_t next = TEXT_END;

	for (size_t i = 0; i < count; i++)
		if (drawn[i].size && address >= drawn[i].address && address - drawn[i].address < drawn[i].size &&
		    (best < 0 || drawn[i].address > drawn[best].address))
			best = (int)i;
	if (best >= 0)
		return best;
	for (size_t i = 0; i < count; i++)
		if (drawn[i].address <= address && (best < 0 || drawn[i].address > drawn[best].address))
			best = (int)i;
	if (best < 0)
		return -1;
	/* With a size and the same start there would be another: it would have covered, or stands in the way. */
	for (size_t i = 0; i < count; i++) {
		if (drawn[i].address == drawn[best].address && drawn[i].size)
			return -1;
		if (drawn[i].address < drawn[best].address &&
		    drawn[best].address - drawn[i].address < drawn[i].size)
			return -1;
		if (drawn[i].address > address && drawn[i].address < next)
			next = drawn[i].address;
	}
	return address < next ? best : -1;
}

static void check_searched(struct symbol_file *file, const struct drawn *drawn, size_t count, uint64_t address)
{
	char expected[16] = "-";
	int best = searched(drawn, count, address);

	if (best >= 0)
		snprintf(expected, sizeof(expected), "s%d", best);
	assert_string_equal(name_at(file, address), expected);
}

static void random_tables_answer_as_a_search_does(void **state)
{
	unsigned dice = 6;

	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		struct forged_table table = { 0 };
		struct drawn drawn[MANY];
		size_t count = 1 + draw(&dice, MANY);
		unsigned longest = 1 + draw(&dice, 60);
		for (size_t i = 0; i < count; i++) {
			char name[16];
			drawn[i].address = TEXT + draw(&dice, SPAN);
			drawn[i].size = draw(&dice, 4) ? draw(&dice, longest) : 0;
			snprintf(name, sizeof(name), "s%zu", i);
			function(&table, name, drawn[i].address, drawn[i].size);
		}
		struct symbol_file *file = table_of(&table);
		for (uint64_t address = TEXT - 2; address < TEXT + SPAN + 80; address++)
			check_searched(file, drawn, count, address);
		symbol_file_put(file);
	}
}

/* The search begins in slices of the address space: most of them empty here, some with hundreds. */
static void symbols_in_clusters_far_apart_answer_as_a_search_does(void **state)
{
	unsigned dice = 7;

	(void)state;
	for (unsigned bits = 13; bits < 48; bits += 5) {
		struct forged_table table = { 0 };
		static struct drawn drawn[4 * MANY];
		size_t count = MANY + draw(&dice, 3 * MANY);
		uint64_t cluster = 0;
		for (size_t i = 0; i < count; i++) {
			char name[16];
			if (!draw(&dice, 100))
				cluster = (uint64_t)draw(&dice, 1 << 20) << 28 >> (48 - bits);
			drawn[i].address = TEXT_END + cluster + draw(&dice, 2000);
			drawn[i].size = 1 + draw(&dice, 30);
			snprintf(name, sizeof(name), "s%zu", i);
			function(&table, name, drawn[i].address, drawn[i].size);
		}
		struct symbol_file *file = table_of(&table);
		for (size_t i = 0; i < 3 * count; i++) {
			uint64_t address = drawn[i / 3].address + (i % 3 ? i % 3 == 1 ? drawn[i / 3].size : 0 : UINT64_MAX);
			check_searched(file, drawn, count, address);
		}
		symbol_file_put(file);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_symbol_covers_its_size_and_no_byte_more),
		cmocka_unit_test(of_those_that_cover_an_address_the_one_that_starts_last_wins),
		cmocka_unit_test(one_without_a_size_covers_what_no_other_does_in_code_up_to_the_next),
		cmocka_unit_test(of_those_that_start_together_the_best_is_taken),
		cmocka_unit_test(what_names_no_place_in_the_file_is_not_taken),
		cmocka_unit_test(a_name_gives_the_best_symbol_of_it),
		cmocka_unit_test(sizes_of_gigabytes_are_kept),
		cmocka_unit_test(random_tables_answer_as_a_search_does),
		cmocka_unit_test(symbols_in_clusters_far_apart_answer_as_a_search_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
