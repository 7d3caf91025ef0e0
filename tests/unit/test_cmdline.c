/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The property: sh, run with the line of an exec, executes the same file with the same arguments, environment
 * and working directory, byte for byte. Executed is this very program under names that begin with "dump": it
 * then writes what it was given to standard output.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cmdline.h"
#include "quote.h"

enum { CASES = 300, WORDS_MAX = 6, WORD_MAX = 12, ARENA = 8192 };

extern char **environ;

/* ---- what is executed ---------------------------------------------------------------------------------- */

static void put_list(struct buffer *out, const char *const *list)
{
	for (; *list; list++)
		buffer_bytes(out, *list, strlen(*list) + 1);
	buffer_bytes(out, "\0\0", 2);
}

static void put_exec(struct buffer *out, const char *const *argv, const char *const *env, const char *cwd)
{
	put_list(out, argv);
	put_list(out, env);
	buffer_text(out, cwd);
}

static int dump(char *const *argv)
{
	struct buffer out = { 0 };
	char cwd[4096];
	size_t done = 0;

	put_exec(&out, (const char *const *)argv, (const char *const *)environ, getcwd(cwd, sizeof(cwd)));
	while (done < out.length) {
		ssize_t written = write(STDOUT_FILENO, out.data + done, out.length - done);

		if (written <= 0)
			return 1;
		done += (size_t)written;
	}
	buffer_free(&out);
	return 0;
}

/* ---- random execs -------------------------------------------------------------------------------------- */

static uint64_t state = 0x9e3779b97f4a7c15;

static unsigned below(unsigned limit)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (unsigned)(state >> 20) % limit;
}

/* Pieces that shells, env(1), perl or printf(1) might take for something else. */
static const char *const pieces[] = {
	"a",
	"B",
	"0",
	"-",
	"--",
	"=",
	"'",
	"\"",
	"`",
	"$",
	"$(x)",
	"\\",
	"\\n",
	"\n",
	"\t",
	" ",
	"!",
	"#",
	"~",
	"*",
	"?",
	"[a]",
	"{",
	"}",
	";",
	"&",
	"|",
	"<",
	">",
	"%",
	"%41",
	"%s",
	"\033[31m",
	"\1",
	"\x7f",
	"\x80",
	"\xff",
	"\xc3",
	"\xc3\xa9",
	"\xe2\x80\xae",
	"\xed\xa0\x80",
	"\xf0\x9f\x98\x80",
	"@",
	":",
	",",
	"\r",
	"\"$",
	"'\\''",
	"^",
};
/* Half of the cases hold nothing but these: the line then needs no perl. */
static const char *const tame[] = { "a",  "B", "0", "-",        "=", "'", "\"", "$",
				    "\\", " ", "*", "\xc3\xa9", "%", "~", "!" };

static struct arena {
	char text[ARENA];
	size_t used;
	bool wild;
} arena;

static const char *word(const char *prefix, unsigned least, bool in_path, bool in_name)
{
	char *start = arena.text + arena.used, *at = stpcpy(start, prefix);
	unsigned length = least + below(WORD_MAX);

	for (unsigned i = 0; i < length; i++) {
		const char *piece = arena.wild ? pieces[below(sizeof(pieces) / sizeof(pieces[0]))]
					       : tame[below(sizeof(tame) / sizeof(tame[0]))];

		if ((in_path && strchr(piece, '/')) || (in_name && strchr(piece, '=')))
			piece = "_";
		at = stpcpy(at, piece);
	}
	arena.used = (size_t)(at + 1 - arena.text);
	return start;
}

static const char *joined(const char *directory, const char *name)
{
	char *start = arena.text + arena.used, *at = stpcpy(stpcpy(stpcpy(start, directory), "/"), name);

	arena.used = (size_t)(at + 1 - arena.text);
	return start;
}

struct sample {
	const char *argv[WORDS_MAX + 2], *env[WORDS_MAX + 1];
	struct cmdline exec;
};

/* This program, by a path that means it in other processes too. */
static char self[4096];

static void make_sample(struct sample *sample, const char *root)
{
	unsigned argc = below(WORDS_MAX), envc = below(WORDS_MAX);
	const char *file, *name;

	arena.used = 0;
	arena.wild = below(2);
	file = joined(root, word("dump", 0, true, !arena.wild));
	assert_int_equal(symlink(self, file), 0);
	*sample = (struct sample){ 0 };
	sample->argv[0] = below(3) ? file : word("", 0, false, false);
	for (unsigned i = 1; i <= argc; i++)
		sample->argv[i] = word("", 0, false, false);
	for (unsigned i = 0; i < envc; i++) {
		char prefix[2] = { (char)('A' + i), '\0' };

		name = word(below(4) ? prefix : (i ? "_" : "-"), 1, false, true);
		for (unsigned k = 0; k < i; k++) {
			size_t length = strcspn(sample->env[k], "=");

			if (strlen(name) == length && !strncmp(sample->env[k], name, length))
				name = word(prefix, 20, false, true);
		}
		arena.used--; /* the value follows the name */
		word("=", 0, false, false);
		sample->env[i] = name;
	}
	sample->exec = (struct cmdline){
		.path = file,
		.argv = sample->argv,
		.env = sample->env,
		.cwd = joined(root, word("d", 0, true, false)),
	};
	assert_int_equal(mkdir(sample->exec.cwd, 0700), 0);
}

/* ---- running a line ------------------------------------------------------------------------------------ */

static void run_line(const char *shell, const char *line, struct buffer *output)
{
	char bytes[4096];
	int pipes[2], status;
	ssize_t got;
	pid_t child;

	assert_int_equal(pipe(pipes), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		dup2(pipes[1], STDOUT_FILENO);
		close(pipes[0]);
		close(pipes[1]);
		execlp(shell, shell, "-c", line, (char *)NULL);
		_exit(127);
	}
	close(pipes[1]);
	while ((got = read(pipes[0], bytes, sizeof(bytes))) > 0)
		buffer_bytes(output, bytes, (size_t)got);
	close(pipes[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	if (status)
		print_message("%s gave %d for: %s\n", shell, status, line);
	assert_int_equal(status, 0);
}

static bool have(const char *program)
{
	char command[128];

	snprintf(command, sizeof(command), "command -v %s >/dev/null", program);
	return system(command) == 0;
}

static void compare(const char *shell, const char *line, const struct buffer *expected)
{
	struct buffer got = { 0 };

	run_line(shell, line, &got);
	if (got.length != expected->length || memcmp(got.data, expected->data, got.length) != 0)
		print_message("%s ran another command than: %s\n", shell, line);
	assert_int_equal(got.length, expected->length);
	assert_memory_equal(got.data, expected->data, got.length);
	buffer_free(&got);
}

static const char *make_root(char *text)
{
	assert_non_null(mkdtemp(text));
	return text;
}

static void remove_root(const char *root)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", root);
	assert_int_equal(system(command), 0);
}

static void any_exec_is_repeated_by_every_shell(void **unused)
{
	static const char *const shells[] = { "sh", "bash", "dash" };
	char template[] = "/tmp/cmdline.XXXXXX";
	const char *root = make_root(template);

	(void)unused;
	if (!have("perl"))
		skip();
	for (int i = 0; i < CASES; i++) {
		struct buffer expected = { 0 }, line = { 0 };
		struct sample sample;

		make_sample(&sample, root);
		put_exec(&expected, sample.argv, sample.env, sample.exec.cwd);
		cmdline_write(&line, &sample.exec);
		assert_false(line.failed);
		assert_true(quote_is_printable(line.data));
		for (size_t s = 0; s < sizeof(shells) / sizeof(shells[0]); s++) {
			if (s == 0 || have(shells[s]))
				compare(shells[s], line.data, &expected);
		}
		buffer_free(&line);
		buffer_free(&expected);
		unlink(sample.exec.path);
		rmdir(sample.exec.cwd);
	}
	remove_root(root);
}

/* ---- the form of the line ------------------------------------------------------------------------------ */

static const char *line_of(const struct cmdline *exec)
{
	static char text[4096];
	struct buffer line = { 0 };

	cmdline_write(&line, exec);
	snprintf(text, sizeof(text), "%s", buffer_string(&line));
	buffer_free(&line);
	return text;
}

#define LIST(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void an_ordinary_exec_needs_only_env(void **unused)
{
	struct cmdline exec = {
		.path = "/usr/bin/make",
		.argv = LIST("/usr/bin/make", "-j4", "a b"),
		.env = LIST("HOME=/root", "X=it's"),
		.cwd = "/src",
	};

	(void)unused;
	assert_string_equal(line_of(&exec),
			    "(cd /src && exec env -i HOME=/root 'X=it'\\''s' /usr/bin/make -j4 'a b')");
}

static void an_entry_with_a_leading_dash_is_no_option_of_env(void **unused)
{
	struct cmdline exec = {
		.path = "/bin/true", .argv = LIST("/bin/true"), .env = LIST("-i=1"), .cwd = "/"
	};

	(void)unused;
	assert_string_equal(line_of(&exec), "(cd / && exec env -i -- -i=1 /bin/true)");
}

static void a_script_is_run_by_the_interpreter_its_arguments_name(void **unused)
{
	struct cmdline exec = {
		.path = "./build",
		.interpreter = "/usr/bin/dash",
		.argv = LIST("/bin/sh", "-e", "./build", "all"),
		.env = LIST("A=1"),
		.cwd = "/src",
	};

	(void)unused;
	assert_string_equal(line_of(&exec), "(cd /src && exec env -i A=1 /bin/sh -e ./build all)");
}

static void what_no_line_can_express_is_named(void **unused)
{
	struct cmdline exec = {
		.path = "/bin/true",
		.argv = LIST("/bin/true"),
		.env = LIST("A=1", "bare", "A=2", "=x", "odd\nbare"),
		.cwd = "/gone (deleted)",
		.truncated = true,
	};

	(void)unused;
	assert_string_equal(
		line_of(&exec),
		"(exec perl -C0 -e 's/%(..)/chr hex $1/ge for @ARGV; %ENV = (); my $d = shift; $d eq \"\" "
		"or chdir $d or die \"$d: $!\\n\"; while (($_ = shift) ne \"\") { my ($k, $v) = split /=/, "
		"$_, 2; $ENV{$k} = $v } my $p = shift; exec { $p } @ARGV or die \"$p: $!\\n\"' -- '' A=1 "
		"'' /bin/true /bin/true) # not expressible: bare (environment entry without =), A (given "
		"twice), '=x' (environment entry without a name), $'odd\\nbare' (environment entry without "
		"=), '/gone (deleted)' (working directory), ... (arguments or environment longer than "
		"tether reads)");
}

static void an_exec_without_arguments_has_an_empty_first_one(void **unused)
{
	struct cmdline exec = { .path = "/bin/true",
				.argv = (const char *const[]){ NULL },
				.env = LIST("A=1") };
	const char *line = line_of(&exec);

	(void)unused;
	assert_non_null(strstr(line, " '' /bin/true '')"));
}

static void a_comment_never_runs(void **unused)
{
	char template[] = "/tmp/cmdline.XXXXXX", marker[64], entry[160];
	const char *root = make_root(template);
	struct cmdline exec = {
		.path = "/bin/true", .argv = LIST("/bin/true"), .env = LIST("A=1", entry), .cwd = "/"
	};
	struct buffer output = { 0 };
	struct stat status;

	(void)unused;
	snprintf(marker, sizeof(marker), "%s/marker", root);
	snprintf(entry, sizeof(entry), "x\n touch %s\n", marker);
	run_line("sh", line_of(&exec), &output);
	assert_int_equal(stat(marker, &status), -1);
	buffer_free(&output);
	remove_root(root);
}

int main(int argc, char **argv)
{
	const char *name = strrchr((const char *)getauxval(AT_EXECFN), '/');
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_ordinary_exec_needs_only_env),
		cmocka_unit_test(an_entry_with_a_leading_dash_is_no_option_of_env),
		cmocka_unit_test(a_script_is_run_by_the_interpreter_its_arguments_name),
		cmocka_unit_test(what_no_line_can_express_is_named),
		cmocka_unit_test(an_exec_without_arguments_has_an_empty_first_one),
		cmocka_unit_test(a_comment_never_runs),
		cmocka_unit_test(any_exec_is_repeated_by_every_shell),
	};

	(void)argc;
	if (name && !strncmp(name, "/dump", 5))
		return dump(argv);
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
