/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_proto.c - a message is whole, well-formed and permitted, or it is refused
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/proto.h"

static _Alignas(8) unsigned char bytes[PROTO_MESSAGE_MAX + 64];

static size_t message(uint32_t type, size_t size)
{
	struct proto_header header = { .type = type, .size = (uint32_t)size, .id = 1 };

	memset(bytes, 0, sizeof(bytes));
	memcpy(bytes, &header, sizeof(header));
	return sizeof(header) + size;
}

static void a_message_of_its_exact_length_is_taken(void **state)
{
	(void)state;
#define X(number, name, body, item, answer, when)                               \
	assert_int_equal(proto_check(bytes, message(number, sizeof(body))), 0); \
	assert_int_equal(proto_check(bytes, message((number) + 1, sizeof(answer))), 0);
	PROTO_REQUESTS(X)
#undef X
#define X(number, name, body, item, want, keep, now) \
	assert_int_equal(proto_check(bytes, message(number, sizeof(body))), 0);
	PROTO_EVENTS(X)
#undef X
}

static void one_byte_more_or_less_is_refused(void **state)
{
	(void)state;
#define X(number, name, body, item, answer, when)                                         \
	assert_int_equal(proto_check(bytes, message(number, sizeof(body) - 1)), -EPROTO); \
	assert_int_equal(proto_check(bytes, message(number, sizeof(body) + 1)), -EPROTO); \
	assert_int_equal(proto_check(bytes, message((number) + 1, sizeof(answer) + 1)), -EPROTO);
	PROTO_REQUESTS(X)
#undef X
}

static void the_header_and_what_was_received_must_agree(void **state)
{
	size_t length = message(PROTO_REQ_sync, sizeof(struct proto_empty));

	(void)state;
	assert_int_equal(proto_check(bytes, length - 1), -EPROTO);
	assert_int_equal(proto_check(bytes, length + 1), -EPROTO);
	for (size_t n = 0; n < sizeof(struct proto_header); n++)
		assert_int_equal(proto_check(bytes, n), -EPROTO);
	assert_int_equal(proto_check(bytes, PROTO_MESSAGE_MAX + 1), -EPROTO);
}

static void unknown_types_are_refused(void **state)
{
	(void)state;
	assert_int_equal(proto_check(bytes, message(0, 8)), -EPROTO);
	assert_int_equal(proto_check(bytes, message(255, 8)), -EPROTO);
	assert_int_equal(proto_check(bytes, message(UINT32_MAX, 8)), -EPROTO);
	assert_string_equal(proto_name(255), "?");
	assert_int_equal(proto_body_size(255), 0);
}

static void items_must_be_as_many_as_the_body_tells(void **state)
{
	struct proto_plant plant = { .items = 3 };
	size_t length = message(PROTO_REQ_plant, sizeof(plant) + 3 * sizeof(struct proto_site));

	(void)state;
	memcpy(bytes + sizeof(struct proto_header), &plant, sizeof(plant));
	assert_int_equal(proto_check(bytes, length), 0);
	plant.items = 2;
	memcpy(bytes + sizeof(struct proto_header), &plant, sizeof(plant));
	assert_int_equal(proto_check(bytes, length), -EPROTO);
	/* a number whose product would wrap around */
	plant.items = UINT32_MAX;
	memcpy(bytes + sizeof(struct proto_header), &plant, sizeof(plant));
	assert_int_equal(proto_check(bytes, length), -EPROTO);
}

static void the_longest_plant_fits_into_a_message(void **state)
{
	struct proto_plant plant = { .items = PROTO_SITES_MAX };
	size_t length = message(PROTO_REQ_plant, sizeof(plant) + PROTO_SITES_MAX * sizeof(struct proto_site));

	(void)state;
	memcpy(bytes + sizeof(struct proto_header), &plant, sizeof(plant));
	assert_true(length <= PROTO_MESSAGE_MAX);
	assert_int_equal(proto_check(bytes, length), 0);
}

static void requests_and_nothing_else_are_permitted_somewhere(void **state)
{
	(void)state;
#define X(number, name, body, item, answer, when)                \
	assert_int_equal(proto_permitted(number), when);         \
	assert_true(proto_permitted(number) != 0);               \
	assert_int_equal(proto_permitted((number) + 1), 0);      \
	assert_int_equal(proto_body_size(number), sizeof(body)); \
	assert_string_equal(proto_name(number), #name);
	PROTO_REQUESTS(X)
#undef X
#define X(number, name, body, item, want, keep, now) assert_int_equal(proto_permitted(number), 0);
	PROTO_EVENTS(X)
#undef X
}

static void a_key_tells_apart_what_differs_anywhere(void **state)
{
	static unsigned char program[PROTO_KEY_PAGE], linker[PROTO_KEY_PAGE];
	struct proto_key first, again, other;

	(void)state;
	for (size_t i = 0; i < sizeof(program); i++)
		program[i] = linker[i] = (unsigned char)(i * 7);
	first = proto_key_of("/bin/sh", "/", program, linker);
	again = proto_key_of("/bin/sh", "/tmp", program, linker); /* the directory counts for a relative name only */
	assert_memory_equal(&first, &again, sizeof(first));
	other = proto_key_of("/bin/sh", "/", program, NULL);
	assert_memory_not_equal(&first, &other, sizeof(first));
	other = proto_key_of("/bin/so", "/", program, linker);
	assert_memory_not_equal(&first, &other, sizeof(first));
	first = proto_key_of("a", "/one", program, linker);
	other = proto_key_of("a", "/two", program, linker);
	assert_memory_not_equal(&first, &other, sizeof(first));
	for (size_t i = 0; i < 2 * sizeof(program); i++) {
		unsigned char *byte = i < sizeof(program) ? &program[i] : &linker[i - sizeof(program)];

		*byte ^= 1;
		other = proto_key_of("a", "/one", program, linker);
		*byte ^= 1;
		assert_memory_not_equal(&first, &other, sizeof(first));
	}
}

static void an_exec_event_brings_as_much_as_it_says(void **state)
{
	struct proto_ev_exec exec = { .items = 100, .stack_size = 90 };
	size_t length = message(PROTO_EV_exec, sizeof(exec) + 100);

	(void)state;
	memcpy(bytes + sizeof(struct proto_header), &exec, sizeof(exec));
	assert_int_equal(proto_check(bytes, length), 0);
	exec.items = 99;
	memcpy(bytes + sizeof(struct proto_header), &exec, sizeof(exec));
	assert_int_equal(proto_check(bytes, length), -EPROTO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_of_its_exact_length_is_taken),
		cmocka_unit_test(one_byte_more_or_less_is_refused),
		cmocka_unit_test(the_header_and_what_was_received_must_agree),
		cmocka_unit_test(unknown_types_are_refused),
		cmocka_unit_test(a_key_tells_apart_what_differs_anywhere),
		cmocka_unit_test(an_exec_event_brings_as_much_as_it_says),
		cmocka_unit_test(items_must_be_as_many_as_the_body_tells),
		cmocka_unit_test(the_longest_plant_fits_into_a_message),
		cmocka_unit_test(requests_and_nothing_else_are_permitted_somewhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
