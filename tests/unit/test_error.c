/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The error table and the details handed to the caller.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"

static void every_code_has_a_name_a_text_and_a_cure(void **state)
{
	(void)state;
#define X(value, name, text, cure)                                     \
	assert_string_equal(tether_error_name(-TETHER_##name), #name); \
	assert_string_equal(tether_strerror(TETHER_##name), text);     \
	assert_string_equal(tether_error_cure(-TETHER_##name), cure);  \
	assert_true(strlen(cure) > 0);                                 \
	assert_true((value) >= 4096);
	TETHER_ERRORS(X)
#undef X
}

static void errno_values_keep_their_own_names(void **state)
{
	(void)state;
	assert_string_equal(tether_error_name(-ENOENT), "ENOENT");
	assert_string_equal(tether_strerror(-ENOENT), "No such file or directory");
	assert_string_equal(tether_error_cure(ENOENT), "");
}

static void an_unknown_code_is_named_so(void **state)
{
	(void)state;
	assert_string_equal(tether_error_name(99999), "EUNKNOWN");
	assert_non_null(tether_strerror(99999));
	assert_string_equal(tether_error_cure(99999), "");
	assert_non_null(tether_strerror(INT32_MIN));
}

static void details_are_filled_and_the_message_is_one_sentence_with_its_cure(void **state)
{
	(void)state;
	struct tether_error err = TETHER_ERROR_INIT;
	struct error_details details = { .pid = 99, .other_pid = 12 };
	assert_int_equal(error_fill(&err, -TETHER_ETRACED, &details, "cannot grab %d", 99), -TETHER_ETRACED);
	assert_int_equal(err.code, TETHER_ETRACED);
	assert_int_equal(err.pid, 99);
	assert_int_equal(err.other_pid, 12);
	assert_non_null(strstr(err.message, "cannot grab 99"));
	assert_non_null(strstr(err.message, "detach the other tracer first"));
}

static void a_message_longer_than_its_room_is_cut_and_ends_in_nul(void **state)
{
	(void)state;
	char path[2048];
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = 0;
	struct tether_error err = TETHER_ERROR_INIT;
	struct error_details details = { .path = path };
	error_fill(&err, TETHER_EEXEC, &details, "cannot run '%s'", path);
	assert_true(strnlen(err.message, sizeof(err.message)) < sizeof(err.message));
	assert_true(strnlen(err.path, sizeof(err.path)) < sizeof(err.path));
}

static void no_place_for_details_is_fine(void **state)
{
	(void)state;
	assert_int_equal(error_fill(NULL, TETHER_EGONE, NULL, "cannot grab %d", 1), -TETHER_EGONE);
	assert_int_equal(error_check(NULL), 0);
}

static void an_error_struct_without_a_known_size_is_refused(void **state)
{
	(void)state;
	struct tether_error err = { .size = 0 };
	assert_int_equal(error_check(&err), -TETHER_EINVALID);
}

struct small_opts {
	size_t size;
	uint32_t flags, reserved;
};

static void options_of_an_older_client_are_filled_with_zero(void **state)
{
	(void)state;
	struct small_opts old = { .size = offsetof(struct small_opts, reserved), .flags = 7, .reserved = 9 };
	struct small_opts got;
	memset(&got, 0xff, sizeof(got));
	assert_int_equal(options_copy(&got, sizeof(got), &old), 0);
	assert_int_equal(got.flags, 7);
	assert_int_equal(got.reserved, 0);
}

static void options_of_a_newer_client_pass_only_when_what_is_unknown_is_zero(void **state)
{
	(void)state;
	struct {
		struct small_opts known;
		uint64_t newer;
	} opts = { .known = { .size = sizeof(opts), .flags = 7 } };
	struct small_opts got;
	assert_int_equal(options_copy(&got, sizeof(got), &opts), 0);
	assert_int_equal(got.flags, 7);
	opts.newer = 1;
	assert_int_equal(options_copy(&got, sizeof(got), &opts), -TETHER_EINVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_code_has_a_name_a_text_and_a_cure),
		cmocka_unit_test(errno_values_keep_their_own_names),
		cmocka_unit_test(an_unknown_code_is_named_so),
		cmocka_unit_test(details_are_filled_and_the_message_is_one_sentence_with_its_cure),
		cmocka_unit_test(a_message_longer_than_its_room_is_cut_and_ends_in_nul),
		cmocka_unit_test(no_place_for_details_is_fine),
		cmocka_unit_test(an_error_struct_without_a_known_size_is_refused),
		cmocka_unit_test(options_of_an_older_client_are_filled_with_zero),
		cmocka_unit_test(options_of_a_newer_client_pass_only_when_what_is_unknown_is_zero),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
