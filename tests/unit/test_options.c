/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "options.h"

struct values {
	const char *output;
	bool quiet, verbose;
	uint64_t timeout;
};

static const struct option_row rows[] = {
	{ 'o', "output", "FILE", "where to", option_string, offsetof(struct values, output) },
	{ 'q', "quiet", NULL, "less", option_flag, offsetof(struct values, quiet) },
	{ 'v', "verbose", NULL, "more", option_flag, offsetof(struct values, verbose) },
	{ 0, "timeout", "SECONDS", "how long", option_duration, offsetof(struct values, timeout) },
	{ 'h', "help", NULL, "this", option_help, 0 },
	{ 'V', "version", NULL, NULL, option_version, 0 },
	{ 0 },
};
static const struct option_table table = { "do [options] THING", "Do a thing.", rows, "Exit status: 0." };

static struct values values;
static int operands;
static char message[256];

static enum options_result parse(const char *const *words)
{
	/* As main() has them: the pointers are constant, the characters are not. */
	char *const *argv = (char *const *)(uintptr_t)words;
	struct buffer error = { 0 };
	enum options_result result;
	int argc = 0;

	while (argv[argc])
		argc++;
	values = (struct values){ 0 };
	operands = -1;
	result = options_parse(&table, argc, argv, &values, &operands, &error);
	snprintf(message, sizeof(message), "%s", buffer_string(&error));
	buffer_free(&error);
	return result;
}

#define PARSE(...) parse((const char *const[]){ "do", __VA_ARGS__, NULL })

static void every_spelling_of_an_argument_is_read(void **unused)
{
	(void)unused;
	assert_int_equal(PARSE("-o", "f"), OPTIONS_RUN);
	assert_string_equal(values.output, "f");
	assert_int_equal(PARSE("-of"), OPTIONS_RUN);
	assert_string_equal(values.output, "f");
	assert_int_equal(PARSE("--output", "f"), OPTIONS_RUN);
	assert_string_equal(values.output, "f");
	assert_int_equal(PARSE("--output=a=b"), OPTIONS_RUN);
	assert_string_equal(values.output, "a=b");
	assert_int_equal(PARSE("-qvo", "f", "x"), OPTIONS_RUN);
	assert_true(values.quiet && values.verbose);
	assert_string_equal(values.output, "f");
	assert_int_equal(operands, 3);
}

static void the_victims_words_are_left_alone(void **unused)
{
	(void)unused;
	assert_int_equal(PARSE("-q", "ls", "-v", "--help"), OPTIONS_RUN);
	assert_int_equal(operands, 2);
	assert_false(values.verbose);
	assert_int_equal(PARSE("-q", "--", "-v"), OPTIONS_RUN);
	assert_int_equal(operands, 3);
	assert_int_equal(PARSE("-", "-q"), OPTIONS_RUN);
	assert_int_equal(operands, 1);
	assert_int_equal(parse((const char *const[]){ "do", NULL }), OPTIONS_RUN);
	assert_int_equal(operands, 1);
}

static void a_mistake_is_named_as_it_was_written(void **unused)
{
	(void)unused;
	assert_int_equal(PARSE("--colour=red"), OPTIONS_BAD);
	assert_string_equal(message, "unknown option --colour");
	assert_int_equal(PARSE("-qx"), OPTIONS_BAD);
	assert_string_equal(message, "unknown option -x");
	assert_int_equal(PARSE("-o"), OPTIONS_BAD);
	assert_string_equal(message, "an argument is missing to -o");
	assert_int_equal(PARSE("--output"), OPTIONS_BAD);
	assert_string_equal(message, "an argument is missing to --output");
	assert_int_equal(PARSE("--quiet=1"), OPTIONS_BAD);
	assert_string_equal(message, "an argument was given to --quiet");
	assert_int_equal(PARSE("--output="), OPTIONS_BAD);
	assert_string_equal(message, "bad argument '' of --output: it is empty");
	/* An option is not shortened: a script must not break when another option is added. */
	assert_int_equal(PARSE("--out=f"), OPTIONS_BAD);
}

static void help_and_version_win_where_they_stand(void **unused)
{
	(void)unused;
	assert_int_equal(PARSE("-q", "--help", "--nonsense"), OPTIONS_HELP);
	assert_int_equal(PARSE("-h"), OPTIONS_HELP);
	assert_int_equal(PARSE("-qV"), OPTIONS_VERSION);
	assert_int_equal(PARSE("--nonsense", "--help"), OPTIONS_BAD);
}

static void seconds_have_fractions_and_sense(void **unused)
{
	static const char *const senseless[] = { "0",  "-1", "1e3", "0x10", "inf",   "nan",
						 " 1", "1s", "",    ".",    "1.2.3", "99999999999" };

	(void)unused;
	assert_int_equal(PARSE("--timeout=1.5"), OPTIONS_RUN);
	assert_int_equal(values.timeout, 1500000000);
	assert_int_equal(PARSE("--timeout", ".25"), OPTIONS_RUN);
	assert_int_equal(values.timeout, 250000000);
	for (size_t i = 0; i < sizeof(senseless) / sizeof(senseless[0]); i++)
		assert_int_equal(PARSE("--timeout", senseless[i]), OPTIONS_BAD);
}

static void the_table_prints_its_help(void **unused)
{
	struct buffer help = { 0 };

	(void)unused;
	options_help(&table, &help);
	assert_string_equal(buffer_string(&help), "usage: tether do [options] THING\n"
						  "Do a thing.\n"
						  "\n"
						  "  -o, --output=FILE             where to\n"
						  "  -q, --quiet                   less\n"
						  "  -v, --verbose                 more\n"
						  "      --timeout=SECONDS         how long\n"
						  "  -h, --help                    this\n"
						  "\n"
						  "Exit status: 0.\n");
	buffer_free(&help);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_spelling_of_an_argument_is_read),
		cmocka_unit_test(the_victims_words_are_left_alone),
		cmocka_unit_test(a_mistake_is_named_as_it_was_written),
		cmocka_unit_test(help_and_version_win_where_they_stand),
		cmocka_unit_test(seconds_have_fractions_and_sense),
		cmocka_unit_test(the_table_prints_its_help),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
