/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The list of load objects.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "object/object.h"

static struct object *add(struct object_list *list, const char *path, vaddr_t low, vaddr_t high)
{
	struct object *object = calloc(1, sizeof(*object));

	assert_non_null(object);
	object->path = strdup(path);
	object->low = low;
	object->high = high;
	TAILQ_INSERT_TAIL(&list->queue, object, entry);
	list->count++;
	return object;
}

static void the_object_at_an_address_is_the_one_that_spans_it(void **state)
{
	struct object_list list;

	(void)state;
	object_list_init(&list);
	assert_null(object_at(&list, 0));
	struct object *a = add(&list, "a", 0x1000, 0x2000);
	struct object *b = add(&list, "b", 0x2000, 0x3000);
	add(&list, "without a range", 0, 0);
	assert_ptr_equal(object_at(&list, 0x1000), a);
	assert_ptr_equal(object_at(&list, 0x1fff), a);
	assert_ptr_equal(object_at(&list, 0x2000), b);
	assert_null(object_at(&list, 0x3000));
	assert_null(object_at(&list, 0xfff));
	assert_null(object_at(&list, 0));
	object_list_clear(&list);
	assert_int_equal(list.count, 0);
	assert_null(object_at(&list, 0x1000));
}

static void a_copy_is_equal_and_stands_alone(void **state)
{
	struct object_list list, copy;

	(void)state;
	object_list_init(&list);
	add(&list, "a", 0x1000, 0x2000)->lmid = 3;
	add(&list, "b", 0x2000, 0x3000)->initial = true;
	list.generation = 17;
	assert_int_equal(object_list_copy(&copy, &list), 0);
	object_list_clear(&list);
	assert_int_equal(copy.count, 2);
	assert_int_equal(copy.generation, 17);
	struct object *first = TAILQ_FIRST(&copy.queue);
	assert_string_equal(first->path, "a");
	assert_int_equal(first->lmid, 3);
	assert_string_equal(TAILQ_NEXT(first, entry)->path, "b");
	assert_true(TAILQ_NEXT(first, entry)->initial);
	object_list_clear(&copy);
	object_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_object_at_an_address_is_the_one_that_spans_it),
		cmocka_unit_test(a_copy_is_equal_and_stands_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
