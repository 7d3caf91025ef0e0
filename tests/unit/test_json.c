/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "json.h"

/* The record {"s":bytes}. */
static const char *record(const char *bytes)
{
	static char text[1024];
	struct buffer out = { 0 };
	struct json json;

	json_begin(&json, &out);
	do {
		json_bytes(&json, "s", bytes);
	} while (json_end(&json) == JSON_AGAIN);
	snprintf(text, sizeof(text), "%s", buffer_string(&out));
	buffer_free(&out);
	return text;
}

static void text_is_written_as_it_is(void **unused)
{
	(void)unused;
	assert_string_equal(record("gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80"),
			    "{\"s\":\"gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80\"}\n");
	assert_string_equal(record(""), "{\"s\":\"\"}\n");
}

static void what_json_forbids_is_escaped(void **unused)
{
	(void)unused;
	assert_string_equal(record("\"\\\n\t\r\b\f\1\x1f\x7f"),
			    "{\"s\":\"\\\"\\\\\\n\\t\\r\\b\\f\\u0001\\u001f\x7f\"}\n");
}

static void bytes_that_are_no_utf8_make_the_record_raw(void **unused)
{
	(void)unused;
	assert_string_equal(record("a\xff"), "{\"s\":\"a\\\\xff\",\"raw\":true}\n");
	/* Overlong, a surrogate, above U+10FFFF, cut off at the end. */
	assert_string_equal(record("\xc0\xaf"), "{\"s\":\"\\\\xc0\\\\xaf\",\"raw\":true}\n");
	assert_string_equal(record("\xed\xa0\x80"), "{\"s\":\"\\\\xed\\\\xa0\\\\x80\",\"raw\":true}\n");
	assert_string_equal(record("\xf4\x90\x80\x80"),
			    "{\"s\":\"\\\\xf4\\\\x90\\\\x80\\\\x80\",\"raw\":true}\n");
	assert_string_equal(record("x\xe2\x82"), "{\"s\":\"x\\\\xe2\\\\x82\",\"raw\":true}\n");
}

/* Without it the file name \xff of four characters and the one byte would be the same. */
static void a_backslash_is_doubled_in_raw_records_only(void **unused)
{
	(void)unused;
	assert_string_equal(record("\\xff"), "{\"s\":\"\\\\xff\"}\n");
	assert_string_equal(record("\\xff\xff"), "{\"s\":\"\\\\\\\\xff\\\\xff\",\"raw\":true}\n");
}

static void one_raw_string_makes_all_strings_of_its_record_raw(void **unused)
{
	struct buffer out = { 0 };
	struct json json;
	int rounds = 0;

	(void)unused;
	buffer_text(&out, "before\n");
	json_begin(&json, &out);
	do {
		rounds++;
		json_bytes(&json, "a", "\\");
		json_open(&json, "set", '{');
		json_bytes(&json, "\xfe", "v");
		json_null(&json, "n");
		json_close(&json, '}');
		json_list(&json, "l", (const char *const[]){ "1", "2", NULL });
		json_list(&json, "none", NULL);
	} while (json_end(&json) == JSON_AGAIN);
	assert_int_equal(rounds, 2);
	assert_string_equal(
		buffer_string(&out),
		"before\n{\"a\":\"\\\\\\\\\",\"set\":{\"\\\\xfe\":\"v\",\"n\":null},\"l\":[\"1\",\"2\"],"
		"\"none\":[],\"raw\":true}\n");
	buffer_free(&out);
}

static void numbers_keep_every_bit(void **unused)
{
	static const uint8_t digest[] = { 0x00, 0xab, 0xff };
	struct buffer out = { 0 };
	struct json json;

	(void)unused;
	json_begin(&json, &out);
	json_signed(&json, "least", INT64_MIN);
	json_unsigned(&json, "most", UINT64_MAX);
	json_hex(&json, "base", 0x7fffffffffffffff);
	json_hex(&json, "zero", 0);
	json_bool(&json, "yes", true);
	json_bool(&json, "no", false);
	json_digest(&json, "id", digest, sizeof(digest));
	assert_int_equal(json_end(&json), JSON_DONE);
	assert_string_equal(buffer_string(&out),
			    "{\"least\":-9223372036854775808,\"most\":18446744073709551615,"
			    "\"base\":\"0x7fffffffffffffff\",\"zero\":\"0x0\",\"yes\":true,\"no\":false,"
			    "\"id\":\"00abff\"}\n");
	buffer_free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_is_written_as_it_is),
		cmocka_unit_test(what_json_forbids_is_escaped),
		cmocka_unit_test(bytes_that_are_no_utf8_make_the_record_raw),
		cmocka_unit_test(a_backslash_is_doubled_in_raw_records_only),
		cmocka_unit_test(one_raw_string_makes_all_strings_of_its_record_raw),
		cmocka_unit_test(numbers_keep_every_bit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
