/* SPDX-License-Identifier: BSD-2-Clause */
#include "cmdline.h"

#include <string.h>

#include "env.h"
#include "quote.h"

/*
 * Undoes %HH, changes the directory (first word), sets the environment entry by entry (so its order is kept),
 * and executes. The entries end at an empty word: an entry never is one. -C0 keeps a PERL_UNICODE of the
 * user's from decoding the words.
 */
static const char perl_program[] =
	"s/%(..)/chr hex $1/ge for @ARGV; %ENV = (); "
	"my $d = shift; $d eq \"\" or chdir $d or die \"$d: $!\\n\"; "
	"while (($_ = shift) ne \"\") { my ($k, $v) = split /=/, $_, 2; $ENV{$k} = $v } "
	"my $p = shift; exec { $p } @ARGV or die \"$p: $!\\n\"";

/* Why an environment entry is not in the line. */
enum env_fate { ENV_PASSED, ENV_NO_EQUALS, ENV_NO_NAME, ENV_TWICE };

static enum env_fate judge(struct env_names *names, const char *entry)
{
	size_t length = env_name_length(entry);

	if (!entry[length])
		return ENV_NO_EQUALS;
	if (!length)
		return ENV_NO_NAME;
	return env_names_add(names, entry) ? ENV_PASSED : ENV_TWICE;
}

static bool all_printable(const char *const *list)
{
	for (; list && *list; list++) {
		if (!quote_is_printable(*list))
			return false;
	}
	return true;
}

static bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text), tail = strlen(end);

	return length >= tail && !strcmp(text + length - tail, end);
}

/* A working directory that was removed, or that lies outside this root directory, has no name to enter it by.
 */
static bool can_enter(const char *cwd)
{
	return cwd && *cwd == '/' && !ends_with(cwd, " (deleted)");
}

/* A word of the perl form: %HH for what is not printable ASCII, and for the percent sign. */
static void put_coded(struct buffer *out, const char *text)
{
	struct buffer coded = { 0 };
	bool utf8 = quote_is_printable(text);

	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '%' || c < 0x20 || c == 0x7f || (c >= 0x80 && !utf8))
			buffer_printf(&coded, "%%%02x", (unsigned)c);
		else
			buffer_char(&coded, *text);
	}
	out->failed |= coded.failed;
	quote_sh(out, buffer_string(&coded));
	buffer_free(&coded);
}

/* The entries that can be passed. file: what env(1) shall run behind them, NULL in the perl form. */
static void put_env(struct buffer *out, struct env_names *names, const char *const *env, const char *file)
{
	bool dash = file && *file == '-';

	for (const char *const *e = env; file && e && *e; e++)
		dash |= **e == '-';
	if (dash)
		buffer_text(out, " --");
	for (const char *const *e = env; e && *e; e++) {
		if (judge(names, *e) != ENV_PASSED)
			continue;
		buffer_char(out, ' ');
		if (file)
			quote_sh(out, *e);
		else
			put_coded(out, *e);
	}
}

/* A name in the comment: nothing in it may end the line. */
static void put_note(struct buffer *out, bool *first, const char *name, size_t length, const char *why)
{
	struct buffer copy = { 0 };

	buffer_text(out, *first ? " # not expressible: " : ", ");
	*first = false;
	buffer_bytes(&copy, name, length);
	quote_display(out, buffer_string(&copy), true);
	buffer_free(&copy);
	buffer_printf(out, " (%s)", why);
}

static void put_notes(struct buffer *out, struct env_names *names, const struct cmdline *exec)
{
	static const char *const why[] = {
		[ENV_NO_EQUALS] = "environment entry without =",
		[ENV_NO_NAME] = "environment entry without a name",
		[ENV_TWICE] = "given twice",
	};
	static const char *const nameless[] = { "/dev/fd/", "/proc/self/fd/", "/memfd:" };
	bool first = true;

	env_names_clear(names);
	for (const char *const *e = exec->env; e && *e; e++) {
		enum env_fate fate = judge(names, *e);

		if (fate == ENV_PASSED)
			continue;
		put_note(out, &first, *e, fate == ENV_TWICE ? env_name_length(*e) : strlen(*e), why[fate]);
	}
	if (exec->cwd && !can_enter(exec->cwd))
		put_note(out, &first, exec->cwd, strlen(exec->cwd), "working directory");
	for (size_t i = 0; i < sizeof(nameless) / sizeof(nameless[0]); i++) {
		if (!strncmp(exec->path, nameless[i], strlen(nameless[i])))
			put_note(out, &first, exec->path, strlen(exec->path), "executed by descriptor");
	}
	if (exec->truncated)
		put_note(out, &first, "...", 3, "arguments or environment longer than tether reads");
}

/*
 * The file to execute. Of a script the kernel has put the interpreter's name of the #! line into argv[0], and
 * the arguments are those of the interpreter: running the script itself would add them once more.
 */
static const char *file_of(const struct cmdline *exec, const char *argv0)
{
	if (!exec->interpreter)
		return exec->path;
	return strchr(argv0, '/') ? argv0 : exec->interpreter;
}

/* (cd DIR && exec env -i NAME=VALUE... FILE ARG...) */
static void put_plain(struct buffer *out, struct env_names *names, const struct cmdline *exec,
		      const char *const *argv)
{
	buffer_char(out, '(');
	if (can_enter(exec->cwd)) {
		buffer_text(out, "cd ");
		quote_sh(out, exec->cwd);
		buffer_text(out, " && ");
	}
	buffer_text(out, "exec env -i");
	put_env(out, names, exec->env, argv[0]);
	for (; *argv; argv++) {
		buffer_char(out, ' ');
		quote_sh(out, *argv);
	}
	buffer_char(out, ')');
}

/* (exec perl ... -- DIR NAME=VALUE... '' FILE ARG...) */
static void put_perl(struct buffer *out, struct env_names *names, const struct cmdline *exec,
		     const char *file, const char *const *argv)
{
	buffer_text(out, "(exec perl -C0 -e ");
	quote_sh(out, perl_program);
	buffer_text(out, " -- ");
	put_coded(out, can_enter(exec->cwd) ? exec->cwd : "");
	put_env(out, names, exec->env, NULL);
	buffer_text(out, " '' ");
	/* Without a slash perl would search PATH for it. */
	if (!strchr(file, '/'))
		buffer_text(out, "./");
	put_coded(out, file);
	for (; *argv; argv++) {
		buffer_char(out, ' ');
		put_coded(out, *argv);
	}
	buffer_char(out, ')');
}

void cmdline_write(struct buffer *out, const struct cmdline *exec)
{
	static const char *const no_arguments[] = { "", NULL };
	const char *const *argv = exec->argv && exec->argv[0] ? exec->argv : no_arguments;
	const char *file = file_of(exec, argv[0]);
	struct env_names names;
	bool plain;

	if (!env_names_make(&names, exec->env)) {
		out->failed = true;
		return;
	}
	plain = !strcmp(argv[0], file) && strchr(file, '/') && !strchr(file, '=') && all_printable(argv) &&
		all_printable(exec->env) && (!exec->cwd || quote_is_printable(exec->cwd));
	if (plain)
		put_plain(out, &names, exec, argv);
	else
		put_perl(out, &names, exec, file, argv);
	put_notes(out, &names, exec);
	env_names_free(&names);
}

struct cmdline cmdline_of(const struct tether_event *event)
{
	return (struct cmdline){
		.path = event->u.exec.path,
		.interpreter = event->u.exec.interpreter,
		.argv = event->u.exec.argv,
		.env = event->u.exec.env,
		.cwd = event->u.exec.cwd,
		.truncated = event->u.exec.truncated,
	};
}
