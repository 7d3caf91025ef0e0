/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the formats of calls make of records: nesting, what has no return, what was dropped. No library is linked: the few
 * functions that they ask it for are here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "call_stream.h"
#include "output_hist.h"
#include "proc.h"
#include "signals.h"

#define START UINT64_C(1000000000)

static uint64_t clock_ns = START;
static const struct tether_stack *call_stack;

const char *tether_version(void)
{
	return "1.2.3";
}

const char *tether_event_name(uint32_t kind)
{
	(void)kind;
	return "unknown";
}

const char *tether_error_name(int code)
{
	(void)code;
	return "EUNKNOWN";
}

const char *tether_error_cure(int code)
{
	(void)code;
	return "";
}

const char *tether_strerror(int code)
{
	(void)code;
	return "unknown";
}

/* "_Z1a" is "a()". */
int tether_demangle(const char *name, char *buffer, size_t length)
{
	if (strncmp(name, "_Z1", 3) != 0)
		return -TETHER_ENOTFOUND;
	if (length)
		snprintf(buffer, length, "%s()", name + 3);
	return (int)strlen(name + 3) + 3;
}

int tether_call_stack(const struct tether_call *call, uint32_t flags, tether_stack_fn *visit, void *data)
{
	(void)call;
	(void)flags;
	return call_stack ? visit(call_stack, data) : -TETHER_ENOTFOUND;
}

uint64_t now_ns(void)
{
	return clock_ns;
}

void proc_name(int64_t pid, char name[PROC_NAME])
{
	snprintf(name, PROC_NAME, "thread%lld", (long long)pid);
}

/* ---- a stream into a file --------------------------------------------------------------------------------- */

struct fixture {
	struct output output;
	struct calls_options options;
	struct family family;
	struct call_stream stream;
	char *where[3];
	char path[64];
	char text[8192];
};

static char first_where[] = "libc.so.6:malloc", second_where[] = "libm.so.6:sin";

static struct fixture *begin(enum output_format format, uint64_t kinds)
{
	static char *const argv[] = { NULL };
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	int fd;

	assert_non_null(fixture);
	strcpy(fixture->path, "/tmp/calls.XXXXXX");
	fd = mkstemp(fixture->path);
	assert_true(fd >= 0);
	close(fd);
	fixture->where[0] = first_where;
	fixture->options.functions = (struct words){ .word = fixture->where, .count = 1 };
	fixture->options.common.output = (struct output_options){ .path = fixture->path, .format = format };
	fixture->options.kinds = kinds;
	assert_true(output_open(&fixture->output, &fixture->options.common.output, argv));
	fixture->output.start_ns = START;
	if (format == OUTPUT_JSONL)
		buffer_cut(&fixture->output.sink.pending, 0);
	process_set_name(family_add(&fixture->family, 4102, 0), "/usr/bin/make");
	clock_ns = START;
	call_stack = NULL;
	return fixture;
}

static void go(struct fixture *fixture)
{
	stream_begin(&fixture->stream, &fixture->options, &fixture->output, &fixture->family);
}

static void send(struct fixture *fixture, struct tether_call call)
{
	call.size = sizeof(call);
	call.pid = call.pid ? call.pid : 4102;
	call.tid = call.tid ? call.tid : 4102;
	call.t_ns += START;
	call.object = "/lib/libc.so.6";
	if (!call.breakpoint)
		call.breakpoint = (struct tether_breakpoint *)fixture;
	stream_record(&call, &fixture->stream);
}

static void enters(struct fixture *fixture, uint64_t t_ns, uint32_t depth, const char *symbol)
{
	send(fixture, (struct tether_call){ .kind = TETHER_CALL, .t_ns = t_ns, .depth = depth, .symbol = symbol,
					    .argument = { 0x18, 0x20 } });
}

static void returns(struct fixture *fixture, uint64_t t_ns, uint32_t depth, const char *symbol, uint64_t elapsed_ns)
{
	send(fixture, (struct tether_call){ .kind = TETHER_RETURN, .t_ns = t_ns, .depth = depth, .symbol = symbol,
					    .value = 0x77, .elapsed_ns = elapsed_ns });
}

static void look(struct fixture *fixture, const char *expected)
{
	size_t length;
	FILE *file;

	output_flush(&fixture->output);
	file = fopen(fixture->path, "r");
	assert_non_null(file);
	length = fread(fixture->text, 1, sizeof(fixture->text) - 1, file);
	fixture->text[length] = '\0';
	fclose(file);
	assert_string_equal(fixture->text, expected);
}

static void end(struct fixture *fixture, const char *expected)
{
	assert_true(stream_end(&fixture->stream));
	assert_true(output_close(&fixture->output));
	look(fixture, expected);
	unlink(fixture->path);
	while (family_any(&fixture->family))
		family_remove(&fixture->family, family_any(&fixture->family)->pid);
	free(fixture);
}

/* ---- text ------------------------------------------------------------------------------------------------- */

static void calls_alone_are_indented_by_depth(void **state)
{
	struct fixture *fixture = begin(OUTPUT_TEXT, CALLS_CALL);

	(void)state;
	fixture->options.arguments = 2;
	go(fixture);
	enters(fixture, 1000, 0, "main");
	enters(fixture, 2000, 1, "_Z1a");
	returns(fixture, 3000, 1, "_Z1a", 1000);
	returns(fixture, 4000, 0, "main", 3000);
	end(fixture, "  0.000001     4102     4102  main(0x18, 0x20)\n"
		     "  0.000002     4102     4102    a() (0x18, 0x20)\n");
}

static void a_call_that_comes_back_at_once_has_one_line(void **state)
{
	struct fixture *fixture = begin(OUTPUT_TEXT, CALLS_CALL | CALLS_RETURN);

	(void)state;
	fixture->options.arguments = 1;
	go(fixture);
	enters(fixture, 1000, 0, "main");
	enters(fixture, 2000, 1, "malloc");
	returns(fixture, 3200, 1, "malloc", 1200);
	returns(fixture, 126000, 0, "main", 125000);
	end(fixture, "  0.000001     4102     4102            main(0x18) {\n"
		     "  0.000002     4102     4102     1.2 us   malloc(0x18) = 0x77\n"
		     "  0.000126     4102     4102     125 us } main = 0x77\n");
}

static void other_threads_come_between(void **state)
{
	struct fixture *fixture = begin(OUTPUT_TEXT, CALLS_CALL | CALLS_RETURN);

	(void)state;
	go(fixture);
	enters(fixture, 1000, 0, "malloc");
	send(fixture, (struct tether_call){ .kind = TETHER_CALL, .tid = 4103, .t_ns = 2000, .symbol = "free" });
	returns(fixture, 3000, 0, "malloc", 2000);
	send(fixture, (struct tether_call){ .kind = TETHER_RETURN, .tid = 4103, .t_ns = 4000, .symbol = "free", .elapsed_ns = 2000 });
	end(fixture, "  0.000001     4102     4102     2.0 us malloc() = 0x77\n"
		     "  0.000002     4102     4103     2.0 us free() = 0x0\n");
}

static void a_call_that_takes_long_is_shown_before_its_return(void **state)
{
	struct fixture *fixture = begin(OUTPUT_TEXT, CALLS_CALL | CALLS_RETURN);

	(void)state;
	go(fixture);
	enters(fixture, 1000, 0, "read");
	send(fixture, (struct tether_call){ .kind = TETHER_CALL, .tid = 4103, .t_ns = 40000000, .symbol = "poll" });
	clock_ns = START + 2000;
	assert_int_equal(stream_rest(&fixture->stream), START + 50001000);
	look(fixture, "");
	clock_ns = START + 50001000;
	assert_int_equal(stream_rest(&fixture->stream), START + 90000000);
	look(fixture, "  0.000001     4102     4102            read() {\n");
	returns(fixture, 70000000, 0, "read", 69999000);
	end(fixture, "  0.000001     4102     4102            read() {\n"
		     "  0.070000     4102     4102    70.0 ms } read = 0x77\n"
		     "  0.040000     4102     4103            poll()  <unfinished>\n");
}

static void what_was_left_without_a_return_says_so(void **state)
{
	struct fixture *fixture = begin(OUTPUT_TEXT, CALLS_CALL | CALLS_RETURN);

	(void)state;
	go(fixture);
	enters(fixture, 1000, 0, "main");
	enters(fixture, 2000, 1, "catch");
	enters(fixture, 3000, 2, "throw");
	returns(fixture, 5000, 1, "catch", 3000); /* throw was unwound */
	enters(fixture, 6000, 1, "again");
	enters(fixture, 7000, 2, "deeper");
	enters(fixture, 8000, 3, "deepest");
	enters(fixture, 9000, 1, "next"); /* a longjmp over three */
	end(fixture, "  0.000001     4102     4102            main() {\n"
		     "  0.000002     4102     4102              catch() {\n"
		     "  0.000003     4102     4102                throw()  <unwound>\n"
		     "  0.000005     4102     4102     3.0 us   } catch = 0x77\n"
		     "  0.000006     4102     4102              again() {\n"
		     "  0.000007     4102     4102                deeper() {\n"
		     "  0.000008     4102     4102                  deepest()  <unwound>\n"
		     "  0.000009     4102     4102                } deeper  <unwound>\n"
		     "  0.000009     4102     4102              } again  <unwound>\n"
		     "  0.000009     4102     4102              next()  <unfinished>\n");
}

static void what_was_dropped_is_told_and_the_rest_stands_in_its_place(void **state)
{
	struct fixture *fixture = begin(OUTPUT_TEXT, CALLS_CALL | CALLS_RETURN);

	(void)state;
	go(fixture);
	enters(fixture, 1000, 0, "one");
	send(fixture, (struct tether_call){ .kind = TETHER_CALLS_DROPPED, .t_ns = 2000, .dropped = 3 });
	/* one has come back, two() { three() { was entered: a call inside of these. */
	enters(fixture, 3000, 2, "four");
	returns(fixture, 4000, 2, "four", 1000);
	returns(fixture, 5000, 1, "three", 3000);
	returns(fixture, 6000, 0, "two", 4500);
	assert_int_equal(fixture->stream.dropped, 3);
	end(fixture, "  0.000002        0        0  3 calls and returns dropped: they came faster than they could be written\n"
		     "  0.000001     4102     4102            one() {\n"
		     "  0.000003     4102     4102     1.0 us     four() = 0x77\n"
		     "  0.000005     4102     4102     3.0 us   } three = 0x77\n"
		     "  0.000006     4102     4102            } one  <dropped>\n"
		     "  0.000006     4102     4102     4.5 us } two = 0x77\n");
}

static void a_function_that_two_patterns_match_is_shown_once(void **state)
{
	struct fixture *fixture = begin(OUTPUT_TEXT, CALLS_CALL | CALLS_RETURN);
	struct tether_breakpoint *one = (struct tether_breakpoint *)&fixture->options;
	struct tether_breakpoint *other = (struct tether_breakpoint *)&fixture->output;

	(void)state;
	go(fixture);
	for (int i = 0; i < 2; i++) {
		uint64_t t_ns = 1000 * (uint64_t)i;

		send(fixture, (struct tether_call){ .kind = TETHER_CALL, .t_ns = t_ns, .symbol = "f", .address = 16, .breakpoint = one });
		send(fixture, (struct tether_call){ .kind = TETHER_CALL, .t_ns = t_ns, .symbol = "f", .address = 16, .breakpoint = other });
		send(fixture, (struct tether_call){ .kind = TETHER_RETURN, .t_ns = t_ns + 500, .symbol = "f", .address = 16, .breakpoint = one });
		send(fixture, (struct tether_call){ .kind = TETHER_RETURN, .t_ns = t_ns + 500, .symbol = "f", .address = 16, .breakpoint = other });
	}
	end(fixture, "  0.000000     4102     4102     0.0 us f() = 0x0\n"
		     "  0.000001     4102     4102     0.0 us f() = 0x0\n");
}

static void functions_of_several_objects_are_shown_with_theirs(void **state)
{
	struct fixture *fixture = begin(OUTPUT_TEXT, CALLS_CALL);

	(void)state;
	fixture->where[1] = second_where;
	fixture->options.functions.count = 2;
	go(fixture);
	enters(fixture, 1000, 0, "mal\nloc");
	end(fixture, "  0.000001     4102     4102  libc.so.6`$'mal\\nloc'()\n");
}

/* ---- a program that ends, or executes another --------------------------------------------------------------- */

static void the_next_program_is_inside_of_nothing(void **state)
{
	struct fixture *fixture = begin(OUTPUT_TEXT, CALLS_CALL | CALLS_RETURN);

	(void)state;
	go(fixture);
	enters(fixture, 1000, 0, "main");
	enters(fixture, 2000, 1, "execve");
	stream_ended(&fixture->stream, 4102, START + 5000);
	enters(fixture, 9000, 0, "main");
	end(fixture, "  0.000001     4102     4102            main() {\n"
		     "  0.000002     4102     4102              execve()  <unfinished>\n"
		     "  0.000009     4102     4102            main()  <unfinished>\n");
}

/* ---- jsonl ------------------------------------------------------------------------------------------------ */

static void records_have_the_keys_of_the_vocabulary(void **state)
{
	struct fixture *fixture = begin(OUTPUT_JSONL, CALLS_CALL | CALLS_RETURN);

	(void)state;
	fixture->options.arguments = 1;
	go(fixture);
	enters(fixture, 1000, 3, "malloc");
	returns(fixture, 2000, 3, "malloc", 1000);
	send(fixture, (struct tether_call){ .kind = TETHER_CALLS_DROPPED, .t_ns = 3000, .dropped = 5 });
	end(fixture,
	    "{\"event\":\"call\",\"t_ns\":1000,\"pid\":4102,\"tid\":4102,\"object\":\"/lib/libc.so.6\",\"symbol\":\"malloc\","
	    "\"depth\":3,\"args\":[\"0x18\"]}\n"
	    "{\"event\":\"return\",\"t_ns\":2000,\"pid\":4102,\"tid\":4102,\"object\":\"/lib/libc.so.6\",\"symbol\":\"malloc\","
	    "\"depth\":3,\"value\":\"0x77\",\"elapsed_ns\":1000}\n"
	    "{\"event\":\"dropped\",\"t_ns\":3000,\"count\":5,\"what\":\"calls\"}\n");
}

/* ---- chrome ----------------------------------------------------------------------------------------------- */

#define NAMED                                                                                                         \
	"[\n{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":4102,\"tid\":4102,\"args\":{\"name\":\"make\"}}\n"               \
	",{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":4102,\"tid\":4102,\"args\":{\"name\":\"thread4102\"}}\n"
#define EVENT(name, phase, ts, args)                                                                                  \
	",{\"name\":\"" name "\",\"cat\":\"libc.so.6\",\"ph\":\"" phase "\",\"ts\":" ts                                     \
	",\"pid\":4102,\"tid\":4102,\"args\":{" args "}}\n"

static void every_beginning_has_its_end_and_the_array_is_whole_at_any_time(void **state)
{
	struct fixture *fixture = begin(OUTPUT_CHROME, CALLS_CALL);

	(void)state;
	look(fixture, "[\n]\n");
	fixture->options.arguments = 1;
	go(fixture);
	enters(fixture, 1000, 0, "main");
	look(fixture, NAMED EVENT("main", "B", "1.000", "\"arg0\":\"0x18\"") "]\n");
	enters(fixture, 2001, 1, "thrower");
	enters(fixture, 3000, 1, "malloc");
	returns(fixture, 4000, 1, "malloc", 1000);
	end(fixture, NAMED EVENT("main", "B", "1.000", "\"arg0\":\"0x18\"") EVENT("thrower", "B", "2.001", "\"arg0\":\"0x18\"")
			     EVENT("thrower", "E", "3.000", "\"end\":\"unwound\"") EVENT("malloc", "B", "3.000", "\"arg0\":\"0x18\"")
				     EVENT("malloc", "E", "4.000", "\"value\":\"0x77\"")
					     EVENT("main", "E", "4.000", "\"end\":\"unfinished\"") "]\n");
}

/* ---- folded ----------------------------------------------------------------------------------------------- */

static void nesting_is_folded(void **state)
{
	struct fixture *fixture = begin(OUTPUT_FOLDED, CALLS_CALL);

	(void)state;
	go(fixture);
	enters(fixture, 1000, 0, "main");
	for (unsigned i = 0; i < 3; i++) {
		enters(fixture, 2000 + 200 * i, 1, "mal;loc");
		returns(fixture, 2100 + 200 * i, 1, "mal;loc", 100);
	}
	enters(fixture, 5000, 1, "main");
	enters(fixture, 6000, 4, "malloc"); /* the two around it were dropped */
	stream_ended(&fixture->stream, 4102, START + 7000);
	process_set_name(family_find(&fixture->family, 4102), "/bin/sh");
	enters(fixture, 9000, 0, "main");
	end(fixture, "make;main;mal:loc 3\n"
		     "make;main 1\n"
		     "make;main;main 1\n"
		     "make;main;main;[dropped];[dropped];malloc 1\n"
		     "sh;main 1\n");
}

static void stacks_are_folded(void **state)
{
	static const struct tether_frame frames[] = { { .pc = 1, .symbol = "malloc" }, { .pc = 2, .object = "/bin/make" } };
	static const struct tether_stack stack = { .size = sizeof(stack), .name = "worker", .state = TETHER_THREAD_STOPPED,
						   .frames = frames, .frame_count = 2 };
	struct fixture *fixture = begin(OUTPUT_FOLDED, CALLS_CALL);

	(void)state;
	fixture->options.stacks = true;
	go(fixture);
	enters(fixture, 1000, 0, "malloc"); /* without a stack */
	call_stack = &stack;
	enters(fixture, 2000, 0, "malloc");
	enters(fixture, 3000, 0, "malloc");
	end(fixture, "make;make;malloc 2\nmake;malloc 1\n");
}

/* ---- histograms ------------------------------------------------------------------------------------------- */

static void histograms_show_what_lies_between_too(void **state)
{
	uint64_t latency[TETHER_LATENCY_BUCKETS] = { [0] = 1, [9] = 3, [10] = 0, [11] = 200, [63] = 1 };
	struct output_count count = { .latency = latency, .returns = 205, .total_ns = 410000 };
	struct fixture *fixture = begin(OUTPUT_TEXT, CALLS_COUNT);
	const char *text;
	struct json json;

	(void)state;
	go(fixture);
	hist_text(&fixture->output, &count);
	text = buffer_string(&fixture->output.sink.pending);
	assert_non_null(strstr(text, "                  [0, 2)            1 |@                                                 |\n"));
	assert_non_null(strstr(text, "               [512, 1K)            3 |@                                                 |\n"));
	assert_non_null(strstr(text, "                [1K, 2K)            0 |                                                  |\n"));
	assert_non_null(strstr(text, "                [2K, 4K)          200 |@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@|\n"));
	assert_non_null(strstr(text, "               [8E, ...)            1 |@"));
	assert_non_null(strstr(text, "            205 returns, 410 us in all, 2 us each\n"));
	buffer_cut(&fixture->output.sink.pending, 0);
	json_begin(&json, &fixture->output.sink.pending);
	hist_json(&json, &count);
	json_end(&json);
	end(fixture, "{\"returns\":205,\"total_ns\":410000,\"hist\":[[0,1],[512,3],[2048,200],[9223372036854775808,1]]}\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_alone_are_indented_by_depth),
		cmocka_unit_test(a_call_that_comes_back_at_once_has_one_line),
		cmocka_unit_test(other_threads_come_between),
		cmocka_unit_test(a_call_that_takes_long_is_shown_before_its_return),
		cmocka_unit_test(what_was_left_without_a_return_says_so),
		cmocka_unit_test(what_was_dropped_is_told_and_the_rest_stands_in_its_place),
		cmocka_unit_test(a_function_that_two_patterns_match_is_shown_once),
		cmocka_unit_test(functions_of_several_objects_are_shown_with_theirs),
		cmocka_unit_test(the_next_program_is_inside_of_nothing),
		cmocka_unit_test(records_have_the_keys_of_the_vocabulary),
		cmocka_unit_test(every_beginning_has_its_end_and_the_array_is_whole_at_any_time),
		cmocka_unit_test(nesting_is_folded),
		cmocka_unit_test(stacks_are_folded),
		cmocka_unit_test(histograms_show_what_lies_between_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
