/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Link maps of forged linkers: what comes and goes is seen once, and no forgery hangs or misleads a scan.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake_memory.h"
#include "rtld/rtld.h"
#include "scan_record.h"

/* ---- a forged linker ----------------------------------------------------------------------------- */

enum {
	ARENA = 0x100000,
	ARENA_SIZE = 0x80000,
	FORGED_NAMESPACES = 4,
	DEBUG_AT = 0x100,
	MAPS_AT = 0x1000,
	NAMES_AT = 0x20000,
	MAPS_PER_NAMESPACE = 64,
};

struct forged_map {
	uint64_t addr, name, ld, next, prev;
};

struct forged_debug {
	int32_t version, pad;
	uint64_t map, brk;
	int32_t state, pad2;
	uint64_t ldbase, next;
};

struct forged {
	struct fake_memory memory;
	struct reader reader;
	struct rtld rtld;
	struct object_list list;
	struct record record;
	uint8_t arena[ARENA_SIZE];
};

static vaddr_t debug_at(unsigned ns)
{
	return ARENA + DEBUG_AT + ns * 0x80;
}

static vaddr_t map_at(unsigned ns, unsigned n)
{
	return ARENA + MAPS_AT + (ns * MAPS_PER_NAMESPACE + n) * 0x80;
}

static vaddr_t name_at(unsigned ns, unsigned n)
{
	return ARENA + NAMES_AT + (ns * MAPS_PER_NAMESPACE + n) * 0x40;
}

static struct forged_debug *debug_of(struct forged *forged, unsigned ns)
{
	return (struct forged_debug *)(void *)(forged->arena + (debug_at(ns) - ARENA));
}

static struct forged_map *map_of(struct forged *forged, unsigned ns, unsigned n)
{
	return (struct forged_map *)(void *)(forged->arena + (map_at(ns, n) - ARENA));
}

static void set_name(struct forged *forged, unsigned ns, unsigned n, const char *name)
{
	snprintf((char *)forged->arena + (name_at(ns, n) - ARENA), 0x40, "%s", name);
}

/* Names of one letter: "abc" are three objects. The bias of each follows from its letter. */
static void set_maps(struct forged *forged, unsigned ns, const char *letters)
{
	size_t count = strlen(letters);

	for (unsigned n = 0; n < count; n++) {
		char name[2] = { letters[n], '\0' };
		*map_of(forged, ns, n) = (struct forged_map){
			.addr = 0x700000000000 + (uint64_t)letters[n] * 0x100000,
			.ld = 0x700000000000 + (uint64_t)letters[n] * 0x100000 + 0x1000,
			.name = name_at(ns, n),
			.next = n + 1 < count ? map_at(ns, n + 1) : 0,
			.prev = n > 0 ? map_at(ns, n - 1) : 0,
		};
		set_name(forged, ns, n, name);
	}
	debug_of(forged, ns)->map = count > 0 ? map_at(ns, 0) : 0;
}

static struct forged *forged_new(unsigned namespaces)
{
	struct forged *forged = calloc(1, sizeof(*forged));

	assert_non_null(forged);
	fake_add(&forged->memory, ARENA, forged->arena, ARENA_SIZE);
	forged->reader = (struct reader){ fake_read, fake_read_many, &forged->memory };
	forged->rtld = (struct rtld){ .flavour = RTLD_GLIBC, .r_debug = debug_at(0) };
	object_list_init(&forged->list);
	for (unsigned ns = 0; ns < namespaces; ns++) {
		*debug_of(forged, ns) = (struct forged_debug){
			.version = namespaces > 1 ? 2 : 1,
			.next = ns + 1 < namespaces ? debug_at(ns + 1) : 0,
		};
	}
	return forged;
}

static void forged_free(struct forged *forged)
{
	object_list_clear(&forged->list);
	free(forged);
}

static int scan(struct forged *forged)
{
	struct rtld_changes changes = { added, removed, &forged->record };

	forged->record = (struct record){ 0 };
	return rtld_scan(&forged->rtld, getpid(), &forged->reader, &forged->list, &changes);
}

#define ASSERT_SCAN(forged, result, expected)                         \
	do {                                                          \
		assert_int_equal(scan(forged), result);               \
		assert_string_equal((forged)->record.text, expected); \
	} while (0)

/* The order of the list without program and linker. */
static void assert_order(struct forged *forged, const char *letters)
{
	char is[64] = "";
	size_t n = 0;
	struct object *object;

	TAILQ_FOREACH(object, &forged->list.queue, entry) {
		if (!object->is_program && !object->is_linker)
			is[n++] = object->path[0];
	}
	assert_string_equal(is, letters);
	assert_int_equal(forged->list.count, n + 2);
}

static void loads_and_unloads_are_seen_once_and_in_order(void **state)
{
	struct forged *forged = forged_new(1);

	(void)state;
	set_maps(forged, 0, "abc");
	ASSERT_SCAN(forged, 1, "+a@0 +b@0 +c@0 ");
	ASSERT_SCAN(forged, 1, "");
	set_maps(forged, 0, "abcde");
	ASSERT_SCAN(forged, 1, "+d@0 +e@0 ");
	assert_order(forged, "abcde");
	/* c and d leave: the links of their neighbours change, their own bytes stay */
	map_of(forged, 0, 1)->next = map_at(0, 4);
	map_of(forged, 0, 4)->prev = map_at(0, 1);
	ASSERT_SCAN(forged, 1, "-c@0 -d@0 ");
	assert_order(forged, "abe");
	forged_free(forged);
}

static void only_the_objects_of_the_first_scan_are_initial(void **state)
{
	struct forged *forged = forged_new(1);
	struct object *object;

	(void)state;
	set_maps(forged, 0, "ab");
	assert_false(forged->rtld.started);
	scan(forged);
	assert_true(forged->rtld.started);
	set_maps(forged, 0, "abc");
	scan(forged);
	TAILQ_FOREACH(object, &forged->list.queue, entry)
		assert_int_equal(object->initial, object->path[0] != 'c');
	forged_free(forged);
}

static void a_scan_that_finds_nothing_new_takes_one_read(void **state)
{
	struct forged *forged = forged_new(1);

	(void)state;
	set_maps(forged, 0, "abcdefghijklmnop");
	scan(forged);
	forged->memory.reads = forged->memory.many_reads = 0;
	ASSERT_SCAN(forged, 1, "");
	assert_int_equal(forged->memory.many_reads, 1);
	assert_int_equal(forged->memory.reads, 0);
	forged_free(forged);
}

static void a_reader_without_vectored_reads_serves_as_well(void **state)
{
	struct forged *forged = forged_new(1);

	(void)state;
	forged->reader.read_many = NULL;
	set_maps(forged, 0, "abc");
	ASSERT_SCAN(forged, 1, "+a@0 +b@0 +c@0 ");
	ASSERT_SCAN(forged, 1, "");
	set_name(forged, 0, 1, "x");
	ASSERT_SCAN(forged, 1, "-b@0 +x@0 ");
	forged_free(forged);
}

static void an_object_in_the_place_of_another_is_seen_as_both(void **state)
{
	struct forged *forged = forged_new(1);

	(void)state;
	set_maps(forged, 0, "abc");
	scan(forged);
	map_of(forged, 0, 1)->ld += 0x10;
	ASSERT_SCAN(forged, 1, "-b@0 +b@0 ");
	assert_order(forged, "abc");
	map_of(forged, 0, 1)->addr += 0x1000;
	ASSERT_SCAN(forged, 1, "-b@0 +b@0 ");
	set_name(forged, 0, 1, "x"); /* in the same memory */
	ASSERT_SCAN(forged, 1, "-b@0 +x@0 ");
	set_name(forged, 0, 5, "y");
	map_of(forged, 0, 1)->name = name_at(0, 5);
	ASSERT_SCAN(forged, 1, "-x@0 +y@0 ");
	assert_order(forged, "ayc");
	/* a longer name that begins the same */
	set_name(forged, 0, 5, "yy");
	ASSERT_SCAN(forged, 1, "-y@0 +yy@0 ");
	forged_free(forged);
}

static void one_library_in_two_namespaces_is_two_objects(void **state)
{
	struct forged *forged = forged_new(2);

	(void)state;
	set_maps(forged, 0, "ab");
	set_maps(forged, 1, "b");
	ASSERT_SCAN(forged, 1, "+a@0 +b@0 +b@1 ");
	set_maps(forged, 1, "");
	ASSERT_SCAN(forged, 1, "-b@1 ");
	assert_order(forged, "ab");
	forged_free(forged);
}

static void an_emptied_namespace_keeps_its_number(void **state)
{
	struct forged *forged = forged_new(3);

	(void)state;
	set_maps(forged, 0, "a");
	set_maps(forged, 1, "b");
	set_maps(forged, 2, "c");
	ASSERT_SCAN(forged, 1, "+a@0 +b@1 +c@2 ");
	set_maps(forged, 1, "");
	ASSERT_SCAN(forged, 1, "-b@1 ");
	set_maps(forged, 1, "d");
	ASSERT_SCAN(forged, 1, "+d@1 ");
	assert_order(forged, "adc");
	forged_free(forged);
}

static void a_namespace_that_changes_is_left_as_it_was(void **state)
{
	struct forged *forged = forged_new(3);

	(void)state;
	set_maps(forged, 0, "a");
	set_maps(forged, 1, "b");
	set_maps(forged, 2, "c");
	scan(forged);
	debug_of(forged, 1)->state = RT_ADD;
	set_maps(forged, 1, "bx");
	set_maps(forged, 2, "cd");
	ASSERT_SCAN(forged, 0, "+d@2 ");
	assert_order(forged, "abcd");
	debug_of(forged, 1)->state = RT_DELETE;
	set_maps(forged, 1, "");
	ASSERT_SCAN(forged, 0, "");
	debug_of(forged, 1)->state = RT_CONSISTENT;
	ASSERT_SCAN(forged, 1, "-b@1 ");
	assert_order(forged, "acd");
	forged_free(forged);
}

static void before_the_linker_has_begun_nothing_is_known(void **state)
{
	struct forged *forged = forged_new(1);

	(void)state;
	ASSERT_SCAN(forged, 0, "");
	assert_false(forged->rtld.started);
	assert_order(forged, ""); /* but the program and the linker */
	set_maps(forged, 0, "a");
	debug_of(forged, 0)->state = RT_ADD;
	ASSERT_SCAN(forged, 0, "");
	assert_false(forged->rtld.started);
	forged_free(forged);
}

/* ---- forged to harm ------------------------------------------------------------------------------- */

static void a_ring_leaves_the_list_as_it_was(void **state)
{
	struct forged *forged = forged_new(1);

	(void)state;
	set_maps(forged, 0, "abc");
	scan(forged);
	map_of(forged, 0, 2)->next = map_at(0, 1);
	ASSERT_SCAN(forged, 0, "");
	map_of(forged, 0, 2)->next = map_at(0, 0);
	ASSERT_SCAN(forged, 0, "");
	map_of(forged, 0, 2)->next = map_at(0, 2);
	ASSERT_SCAN(forged, 0, "");
	assert_order(forged, "abc");
	/* the same ring in a list that is seen for the first time */
	struct forged *fresh = forged_new(1);
	set_maps(fresh, 0, "abc");
	map_of(fresh, 0, 2)->next = map_at(0, 1);
	ASSERT_SCAN(fresh, 0, "");
	forged_free(fresh);
	forged_free(forged);
}

static void wild_pointers_leave_the_list_as_it_was(void **state)
{
	static const uint64_t wild[] = { 1,
					 8,
					 0x1000,
					 ARENA + ARENA_SIZE - 8,
					 UINT64_MAX,
					 UINT64_MAX - 7,
					 0xffffffff80000000,
					 0x8000000000000000 };
	struct forged *forged = forged_new(2);

	(void)state;
	set_maps(forged, 0, "abc");
	set_maps(forged, 1, "d");
	scan(forged);
	for (size_t i = 0; i < ARRAY_LEN(wild); i++) {
		map_of(forged, 0, 1)->next = wild[i];
		ASSERT_SCAN(forged, 0, "");
		map_of(forged, 0, 1)->next = map_at(0, 2);
		debug_of(forged, 0)->map = wild[i];
		ASSERT_SCAN(forged, 0, "");
		debug_of(forged, 0)->map = map_at(0, 0);
		debug_of(forged, 0)->next = wild[i];
		ASSERT_SCAN(forged, 0, "");
		debug_of(forged, 0)->next = debug_at(1);
	}
	ASSERT_SCAN(forged, 1, "");
	/* a name that is nowhere makes an object without one */
	map_of(forged, 0, 1)->name = 8;
	ASSERT_SCAN(forged, 1, "-b@0 +@0 ");
	ASSERT_SCAN(forged, 1, "");
	map_of(forged, 0, 1)->name = UINT64_MAX;
	ASSERT_SCAN(forged, 1, "-@0 +@0 ");
	ASSERT_SCAN(forged, 1, "");
	forged_free(forged);
}

static void namespaces_in_a_ring_are_walked_once(void **state)
{
	struct forged *forged = forged_new(3);

	(void)state;
	set_maps(forged, 0, "a");
	set_maps(forged, 1, "b");
	debug_of(forged, 2)->next = debug_at(1);
	ASSERT_SCAN(forged, -EOVERFLOW, "+a@0 +b@1 ");
	debug_of(forged, 0)->next = debug_at(0);
	assert_int_equal(scan(forged), -EOVERFLOW);
	assert_order(forged, "a");
	forged_free(forged);
}

/* Any multiple of 64 is a link map, well linked with its neighbours. */
static ssize_t endless_read(void *data, vaddr_t address, void *buffer, size_t length)
{
	struct forged *forged = data;
	struct forged_map map = {
		.addr = address, .ld = address, .next = address + 64, .prev = address - 64
	};

	if (address < UINT64_C(1) << 40)
		return fake_copy(&forged->memory, address, buffer, length);
	if (address == UINT64_C(1) << 40)
		map.prev = 0;
	memset(buffer, 0, length);
	memcpy(buffer, &map, length < sizeof(map) ? length : sizeof(map));
	return (ssize_t)length;
}

static void an_endless_list_ends_at_the_bound(void **state)
{
	struct forged *forged = forged_new(1);

	(void)state;
	forged->reader = (struct reader){ endless_read, NULL, forged };
	debug_of(forged, 0)->map = UINT64_C(1) << 40;
	assert_int_equal(scan(forged), -EOVERFLOW);
	assert_true(forged->list.count <= MAX_LINK_MAPS + 2);
	assert_true(forged->record.added >= MAX_LINK_MAPS);
	assert_int_equal(scan(forged), -EOVERFLOW);
	assert_int_equal(forged->record.added + forged->record.removed, 0);
	forged_free(forged);
}

static void a_name_without_an_end_is_cut_and_said_so(void **state)
{
	struct forged *forged = forged_new(1);

	(void)state;
	set_maps(forged, 0, "ab");
	memset(forged->arena + NAMES_AT + 0x2000, 'n', 0x8000);
	map_of(forged, 0, 1)->name = ARENA + NAMES_AT + 0x2000;
	assert_int_equal(scan(forged), -EOVERFLOW);
	struct object *object = TAILQ_LAST(&forged->list.queue, object_queue);
	assert_int_equal(strlen(object->path), MAX_OBJECT_NAME - 1);
	ASSERT_SCAN(forged, 1, "");
	/* one that ends with its memory */
	map_of(forged, 0, 1)->name = ARENA + ARENA_SIZE - 3;
	memcpy(forged->arena + ARENA_SIZE - 3, "xyz", 3);
	assert_int_equal(scan(forged), 1);
	object = TAILQ_LAST(&forged->list.queue, object_queue);
	assert_string_equal(object->path, "xyz");
	ASSERT_SCAN(forged, 1, "");
	forged_free(forged);
}

static void a_process_that_is_gone_is_said_so_and_the_list_kept(void **state)
{
	struct forged *forged = forged_new(1);

	(void)state;
	set_maps(forged, 0, "abc");
	scan(forged);
	forged->memory.gone = true;
	ASSERT_SCAN(forged, -ESRCH, "");
	assert_order(forged, "abc");
	forged_free(forged);
}

/* The victim runs while it is read: the answer changes between the first look and the last. */
static ssize_t changing_read(void *data, vaddr_t address, void *buffer, size_t length)
{
	struct forged *forged = data;

	/* read ahead, and again when the list was walked */
	if (address == debug_at(0) && ++forged->memory.reads == 2)
		debug_of(forged, 0)->state = RT_ADD;
	return fake_copy(&forged->memory, address, buffer, length);
}

static void a_list_that_changed_while_it_was_read_does_not_count(void **state)
{
	struct forged *forged = forged_new(1);

	(void)state;
	set_maps(forged, 0, "ab");
	scan(forged);
	set_maps(forged, 0, "abc");
	forged->memory.reads = 0;
	forged->reader = (struct reader){ changing_read, NULL, forged };
	ASSERT_SCAN(forged, 0, "");
	assert_order(forged, "ab");
	forged_free(forged);
}

static void random_link_maps_are_survived(void **state)
{
	uint64_t seed = 0x9e3779b97f4a7c15;

	(void)state;
	for (int n = 0; n < 3000; n++) {
		struct forged *forged = forged_new(FORGED_NAMESPACES);
		for (unsigned ns = 0; ns < FORGED_NAMESPACES; ns++)
			set_maps(forged, ns, "abcdefgh");
		scan(forged);
		for (int i = 0; i < 1 + n % 12; i++) {
			seed ^= seed << 13;
			seed ^= seed >> 7;
			seed ^= seed << 17;
			unsigned ns = seed % FORGED_NAMESPACES;
			uint64_t *word = seed & 64 ? (uint64_t *)(void *)map_of(forged, ns, (seed >> 8) % 8)
						   : (uint64_t *)(void *)debug_of(forged, ns);
			uint64_t values[] = { seed, 0,
					      map_at((seed >> 20) % FORGED_NAMESPACES, (seed >> 24) % 9),
					      debug_at((seed >> 20) % FORGED_NAMESPACES) };
			word[(seed >> 12) % 5] = values[(seed >> 16) % 4];
		}
		scan(forged);
		scan(forged);
		forged_free(forged);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(loads_and_unloads_are_seen_once_and_in_order),
		cmocka_unit_test(only_the_objects_of_the_first_scan_are_initial),
		cmocka_unit_test(a_scan_that_finds_nothing_new_takes_one_read),
		cmocka_unit_test(a_reader_without_vectored_reads_serves_as_well),
		cmocka_unit_test(an_object_in_the_place_of_another_is_seen_as_both),
		cmocka_unit_test(one_library_in_two_namespaces_is_two_objects),
		cmocka_unit_test(an_emptied_namespace_keeps_its_number),
		cmocka_unit_test(a_namespace_that_changes_is_left_as_it_was),
		cmocka_unit_test(before_the_linker_has_begun_nothing_is_known),
		cmocka_unit_test(a_ring_leaves_the_list_as_it_was),
		cmocka_unit_test(wild_pointers_leave_the_list_as_it_was),
		cmocka_unit_test(namespaces_in_a_ring_are_walked_once),
		cmocka_unit_test(an_endless_list_ends_at_the_bound),
		cmocka_unit_test(a_name_without_an_end_is_cut_and_said_so),
		cmocka_unit_test(a_process_that_is_gone_is_said_so_and_the_list_kept),
		cmocka_unit_test(a_list_that_changed_while_it_was_read_does_not_count),
		cmocka_unit_test(random_link_maps_are_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
