/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the two formats make of events. No library is linked: the few names that they ask it for are here.
 */
#include <locale.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "output.h"

const char *tether_version(void)
{
	return "1.2.3";
}

const char *tether_event_name(uint32_t kind)
{
	switch (kind) {
#define X(value, name, text, what) \
	case value:                \
		return text;
		TETHER_EVENTS(X)
#undef X
	default:
		return "unknown";
	}
}

const char *tether_error_name(int code)
{
	return code == -TETHER_EGONE ? "EGONE" : "EUNKNOWN";
}

const char *tether_error_cure(int code)
{
	return code == -TETHER_EGONE ? "check the pid" : "";
}

const char *tether_strerror(int code)
{
	return code == -TETHER_EGONE ? "no such process" : "unknown";
}

#define LIST(...) ((const char *const[]){ __VA_ARGS__, NULL })

#define START UINT64_C(1000000000)

struct fixture {
	struct output output;
	char path[64];
	char text[8192];
};

static struct fixture begin(struct output_options options)
{
	static char *const argv[] = { NULL };
	struct fixture fixture = { .path = "/tmp/output.XXXXXX" };
	int fd = mkstemp(fixture.path);

	assert_true(fd >= 0);
	close(fd);
	options.path = fixture.path;
	assert_true(output_open(&fixture.output, &options, argv));
	fixture.output.start_ns = START;
	/* The header has the time in it. */
	buffer_cut(&fixture.output.sink.pending, 0);
	return fixture;
}

static const char *end(struct fixture *fixture)
{
	size_t length;
	FILE *file;

	assert_true(output_close(&fixture->output));
	file = fopen(fixture->path, "r");
	assert_non_null(file);
	length = fread(fixture->text, 1, sizeof(fixture->text) - 1, file);
	fixture->text[length] = '\0';
	fclose(file);
	unlink(fixture->path);
	return fixture->text;
}

static struct tether_event exec_event(void)
{
	static const char *const argv[] = { "make", "-j4", "CFLAGS=-O2 -g", NULL };

	return (struct tether_event){
		.size = sizeof(struct tether_event),
		.kind = TETHER_EVENT_EXEC,
		.pid = 4102,
		.tid = 4103,
		.t_ns = START + 1214567,
		.u.exec = {
			.path = "/usr/bin/make",
			.argv = argv,
			.cwd = "/src",
		},
	};
}

static struct process make_process(void)
{
	return (struct process){
		.pid = 4102, .depth = 1, .directory = directory_hash("/src"), .name = "make"
	};
}

/* The record or line of one event. */
static const char *shown(struct output_options options, const struct tether_event *event)
{
	static struct fixture fixture;
	struct process process = make_process();

	fixture = begin(options);
	output_event(&fixture.output, event, &process);
	return end(&fixture);
}

static const struct output_options text = { .format = OUTPUT_TEXT }, jsonl = { .format = OUTPUT_JSONL };

static void an_exec_record_is_complete(void **unused)
{
	struct tether_event event = exec_event();
	struct output_options with_env = { .format = OUTPUT_JSONL, .env = true, .cmdline = true };

	(void)unused;
	assert_string_equal(
		shown(jsonl, &event),
		"{\"event\":\"exec\",\"t_ns\":1214567,\"pid\":4102,\"tid\":4103,\"path\":\"/usr/bin/make\","
		"\"argv\":[\"make\",\"-j4\",\"CFLAGS=-O2 -g\"],\"cwd\":\"/src\",\"suppressed\":false}\n");
	event.u.exec.path = "./go";
	event.u.exec.interpreter = "/usr/bin/dash";
	event.u.exec.argv = LIST("/bin/sh", "./go");
	event.u.exec.env = LIST("A=1", "B=2", "odd", "N\xff=3");
	event.u.exec.creator_env = LIST("A=1", "B=1", "C=3");
	event.u.exec.suppressed = true;
	event.u.exec.truncated = true;
	assert_string_equal(shown(with_env, &event),
			    "{\"event\":\"exec\",\"t_ns\":1214567,\"pid\":4102,\"tid\":4103,\"path\":\"./"
			    "go\",\"argv\":[\"/bin/sh\","
			    "\"./go\"],\"cwd\":\"/src\",\"interpreter\":\"/usr/bin/"
			    "dash\",\"env\":{\"set\":{\"B\":\"2\",\"odd\":null,"
			    "\"N\\\\xff\":\"3\"},\"unset\":[\"C\"]},\"suppressed\":true,\"truncated\":true,"
			    "\"cmdline\":\"(exec perl -C0 -e 's/%(..)/chr hex $1/ge for @ARGV; %ENV = (); my "
			    "$d = shift; $d eq "
			    "\\\"\\\" or chdir $d or die \\\"$d: $!\\\\\\\\n\\\"; while (($_ = shift) ne "
			    "\\\"\\\") { my ($k, $v) = "
			    "split /=/, $_, 2; $ENV{$k} = $v } my $p = shift; exec { $p } @ARGV or die "
			    "\\\"$p: $!\\\\\\\\n\\\"' -- "
			    "/src A=1 B=2 N%ff=3 '' /bin/sh /bin/sh ./go) # not expressible: odd "
			    "(environment entry without =), "
			    "... (arguments or environment longer than tether reads)\",\"raw\":true}\n");
}

static void every_kind_has_its_keys(void **unused)
{
	static const uint8_t id[] = { 0xde, 0xad };
	const struct {
		struct tether_event event;
		const char *record;
	} rows[] = {
		{ { .kind = TETHER_EVENT_CREATE,
		    .u.create = { .ppid = 3, .path = "/bin/ls", .argv = LIST("ls") } },
		  "\"ppid\":3,\"path\":\"/bin/ls\",\"argv\":[\"ls\"]" },
		{ { .kind = TETHER_EVENT_GRAB, .u.grab = { .path = "/bin/ls", .threads = 4 } },
		  "\"path\":\"/bin/ls\",\"threads\":4" },
		{ { .kind = TETHER_EVENT_FORK,
		    .u.fork = { .child = 9, .kind = TETHER_VFORK, .followed = true } },
		  "\"child\":9,\"kind\":\"vfork\",\"followed\":true" },
		{ { .kind = TETHER_EVENT_THREAD_START }, "\"state\":\"start\"" },
		{ { .kind = TETHER_EVENT_THREAD_EXIT }, "\"state\":\"exit\"" },
		{ { .kind = TETHER_EVENT_LOAD,
		    .u.object = { .path = "/l.so",
				  .base = 0x7f0000001000,
				  .lmid = 1,
				  .build_id = id,
				  .build_id_size = 2,
				  .initial = true } },
		  "\"object\":\"/"
		  "l.so\",\"base\":\"0x7f0000001000\",\"lmid\":1,\"build_id\":\"dead\",\"initial\":true" },
		{ { .kind = TETHER_EVENT_UNLOAD, .u.object = { .path = "/l.so", .base = 16 } },
		  "\"object\":\"/l.so\",\"base\":\"0x10\",\"lmid\":0" },
		{ { .kind = TETHER_EVENT_SIGNAL, .u.signal = { .signal = SIGUSR1, .code = -6, .sender = 7 } },
		  "\"signal\":\"SIGUSR1\",\"code\":-6,\"sender\":7" },
		{ { .kind = TETHER_EVENT_STOP, .u.signal = { .signal = SIGTSTP } },
		  "\"signal\":\"SIGTSTP\"" },
		{ { .kind = TETHER_EVENT_EXIT,
		    .u.exit = { .code = 3, .user_ns = 1, .system_ns = 2, .max_rss_kb = 4 } },
		  "\"code\":3,\"user_ns\":1,\"sys_ns\":2,\"maxrss_kb\":4" },
		{ { .kind = TETHER_EVENT_EXIT, .u.exit = { .code = -1, .signal = SIGSEGV, .core = true } },
		  "\"signal\":\"SIGSEGV\",\"core\":true,\"user_ns\":0,\"sys_ns\":0,\"maxrss_kb\":0" },
		{ { .kind = TETHER_EVENT_LOST, .u.text = { .reason = "why" } }, "\"reason\":\"why\"" },
		{ { .kind = TETHER_EVENT_RELEASE, .u.release = { .mode = TETHER_MODE_HANG } },
		  "\"mode\":\"hang\"" },
		{ { .kind = TETHER_EVENT_SIGNAL_STATE, .u.signal = { .signal = SIGTRAP, .detail = "x" } },
		  "\"signal\":\"SIGTRAP\",\"detail\":\"x\"" },
		{ { .kind = TETHER_EVENT_LATE_ANSWER, .u.late = { .waited_ns = 5 } }, "\"waited_ns\":5" },
		{ { .kind = TETHER_EVENT_DROPPED, .u.dropped = { .count = 6 } }, "\"count\":6" },
		{ { .kind = TETHER_EVENT_BLOCKED, .u.text = { .reason = "vfork" } }, "\"reason\":\"vfork\"" },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct tether_event event = rows[i].event;
		char expected[512];

		event.pid = 1;
		event.tid = 2;
		event.t_ns = START + 3;
		snprintf(expected, sizeof(expected), "{\"event\":\"%s\",\"t_ns\":3,\"pid\":1,\"tid\":2,%s}\n",
			 tether_event_name(event.kind), rows[i].record);
		assert_string_equal(shown(jsonl, &event), expected);
	}
}

static void a_line_of_text_is_aligned(void **unused)
{
	struct tether_event event = exec_event();
	struct tether_event ended = {
		.kind = TETHER_EVENT_EXIT,
		.pid = 4102,
		.t_ns = START + 2000000000,
		.u.exit = { .code = 0, .user_ns = 14123456, .system_ns = 512345, .max_rss_kb = 23962 },
	};

	(void)unused;
	assert_string_equal(shown(text, &event),
			    "  0.001214     4102    exec     /usr/bin/make -j4 'CFLAGS=-O2 -g'\n");
	assert_string_equal(
		shown(text, &ended),
		"  2.000000     4102    exit     0           make  14.1 ms user, 0.51 ms system, 23.4 MB\n");
}

static size_t characters(const char *line)
{
	size_t count = 0;

	for (; *line && *line != '\n'; line++)
		count += ((unsigned char)*line & 0xc0) != 0x80;
	return count;
}

static void a_long_command_is_cut_and_its_remarks_are_not(void **unused)
{
	const char *argv[64] = { "cc" };
	struct tether_event event = exec_event();
	const char *line;

	(void)unused;
	for (int i = 1; i < 63; i++)
		argv[i] = "-I/some/directory";
	event.u.exec.path = "/usr/bin/cc";
	event.u.exec.argv = argv;
	event.u.exec.cwd = "/other";
	line = shown(text, &event);
	assert_int_equal(characters(line), 100);
	assert_non_null(strstr(line, "\xe2\x80\xa6  in /other\n"));
}

static void no_byte_of_a_victim_commands_the_terminal(void **unused)
{
	struct tether_event event = exec_event();
	const char *line;

	(void)unused;
	event.u.exec.argv =
		LIST("make", "\033]0;title\a", "a\nb", "\x9b", "\xc2\x9b", "\xe2\x80\xae", "gr\xc3\xbcn");
	line = shown(text, &event);
	assert_string_equal(
		line, "  0.001214     4102    exec     /usr/bin/make $'\\e]0;title\\a' $'a\\nb' $'\\x9b' "
		      "$'\\u009b' $'\\u202e' g\xe2\x80\xa6\n");
	event.u.exec.argv = LIST("make");
	event.u.exec.path = "/a\nb";
	line = shown(text, &event);
	assert_non_null(strstr(line, "$'/a\\nb'"));
}

static void what_was_not_asked_for_is_left_out(void **unused)
{
	struct output_options only_exit = { .format = OUTPUT_TEXT,
					    .events = TETHER_EVENT_BIT(TETHER_EVENT_EXIT) };
	struct output_options only_signals = { .format = OUTPUT_TEXT,
					       .events = TETHER_EVENT_BIT(TETHER_EVENT_SIGNAL) };
	struct output_options quiet = { .format = OUTPUT_JSONL, .quiet = true };
	struct tether_event event = exec_event(), thread = { .kind = TETHER_EVENT_THREAD_START };
	struct tether_event child_ended = { .kind = TETHER_EVENT_SIGNAL, .u.signal = { .signal = SIGCHLD } };

	(void)unused;
	assert_string_equal(shown(only_exit, &event), "");
	assert_string_equal(shown(quiet, &event), "");
	assert_string_equal(shown(text, &thread), "");
	assert_string_not_equal(shown(jsonl, &thread), "");
	assert_string_equal(shown(text, &child_ended), "");
	assert_string_not_equal(shown(only_signals, &child_ended), "");
}

static void an_error_stands_among_the_records_too(void **unused)
{
	struct tether_error error = TETHER_ERROR_INIT;
	struct fixture fixture = begin(jsonl);

	(void)unused;
	snprintf(error.message, sizeof(error.message), "cannot grab 99: no such process; check the pid");
	output_failure(&fixture.output, "cannot grab", -TETHER_EGONE, &error);
	assert_string_equal(end(&fixture),
			    "{\"event\":\"error\",\"code\":\"EGONE\",\"message\":\"cannot grab 99: no such "
			    "process\",\"cure\":\"check the pid\"}\n");
}

static void a_full_disk_ends_the_records_and_nothing_else(void **unused)
{
	struct output_options full = { .format = OUTPUT_JSONL, .path = "/dev/full" };
	static char *const argv[] = { NULL };
	struct tether_event event = exec_event();
	struct output output;

	(void)unused;
	if (access("/dev/full", W_OK))
		skip();
	assert_true(output_open(&output, &full, argv));
	output_event(&output, &event, NULL);
	output_flush(&output);
	assert_true(output_broken(&output));
	output_event(&output, &event, NULL);
	output_flush(&output);
	assert_false(output_close(&output));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_exec_record_is_complete),
		cmocka_unit_test(every_kind_has_its_keys),
		cmocka_unit_test(a_line_of_text_is_aligned),
		cmocka_unit_test(a_long_command_is_cut_and_its_remarks_are_not),
		cmocka_unit_test(no_byte_of_a_victim_commands_the_terminal),
		cmocka_unit_test(what_was_not_asked_for_is_left_out),
		cmocka_unit_test(an_error_stands_among_the_records_too),
		cmocka_unit_test(a_full_disk_ends_the_records_and_nothing_else),
	};

	unsetenv("COLUMNS");
	if (!setlocale(LC_CTYPE, "C.UTF-8"))
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
