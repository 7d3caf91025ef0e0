/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_sym.c - names of addresses and addresses of names in running processes, read and never stopped
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common.h"
#include "output_symbol.h"
#include "refusal.h"
#include "select.h"

struct sym_options {
	struct common_options common;
	struct selection selection;
	bool lines, raw, all, fetch;
	char *const *words;
};

static const struct option_row rows[] = {
	SELECT_OPTIONS(struct sym_options, selection),
	{ 'l', "lines", NULL, "file, line and inlined functions too, from debug information", option_flag,
	  offsetof(struct sym_options, lines) },
	{ 'a', "all", NULL, "every object and namespace that has the name, not the first", option_flag,
	  offsetof(struct sym_options, all) },
	{ 0, "raw", NULL, "names as in the table, not demangled", option_flag, offsetof(struct sym_options, raw) },
	{ 0, "fetch", NULL, "ask debuginfod servers for debug files that are missing here", option_flag,
	  offsetof(struct sym_options, fetch) },
	RECORD_OPTIONS(struct sym_options, common),
	LAST_OPTIONS,
};

static const struct option_table table = {
	.usage = "sym [options] -p PID[,PID...] | -n NAME  ADDRESS|[OBJECT:]NAME...",
	.sentence = "Name addresses of running processes, or tell where names are. Nothing is stopped. An address\n"
		    "begins with 0x; OBJECT is a path, a base name or a.out; NAME may be a pattern.",
	.rows = rows,
	.epilogue = "Exit status: 0; 1 when something is not found; 125 when a process cannot be read.\n"
		    "Example: tether sym -p 1234 --lines 0x7f0000001234 libc.so.6:malloc",
};

struct asking {
	const struct sym_options *options;
	struct output *output;
	struct tether *handle;
	int64_t pid;
	size_t found;
};

/* ---- answers ----------------------------------------------------------------------------------- */

static uint32_t flags_of(const struct sym_options *options)
{
	return (options->raw ? (uint32_t)TETHER_SYMBOL_RAW : 0) | (options->fetch ? (uint32_t)TETHER_SYMBOL_FETCH : 0);
}

static void show(struct asking *asking, uint64_t address, const struct tether_symbol *symbol)
{
	struct output_sources sources = { 0 };
	struct tether_symbol_opts opts = { .size = sizeof(opts), .flags = TETHER_SYMBOL_IMAGE, .image = symbol->image };

	opts.flags |= flags_of(asking->options) & TETHER_SYMBOL_FETCH;
	if (asking->options->lines)
		tether_source_at(asking->handle, address, &opts, output_sources_collect, &sources);
	output_symbol(asking->output, asking->pid, address, symbol, asking->options->lines ? &sources : NULL);
	output_sources_free(&sources);
	asking->found++;
}

/* Names of C++ can be longer than any buffer that would do for nearly all. */
enum { USUAL_NAME = 4096 };

static int ask(struct asking *asking, const char *name, uint64_t address, const struct tether_symbol_opts *opts)
{
	struct tether_symbol symbol = { .size = sizeof(symbol) };
	char usual[USUAL_NAME], *room = usual;
	size_t length = sizeof(usual);
	int result;

	for (;;) {
		result = name ? tether_symbol_find(asking->handle, name, opts, &symbol, room, length)
			      : tether_symbol_at(asking->handle, address, opts, &symbol, room, length);
		if (result < 0 || !(symbol.flags & TETHER_SYMBOL_IS_CUT) || room != usual)
			break;
		length = (size_t)symbol.wanted;
		room = malloc(length);
		if (!room) {
			room = usual;
			break;
		}
	}
	if (result == 0)
		show(asking, name ? symbol.address : address, &symbol);
	if (room != usual)
		free(room);
	return result;
}

static int visit(const struct tether_symbol *symbol, void *data)
{
	show(data, symbol->address, symbol);
	return 0;
}

/* ---- questions --------------------------------------------------------------------------------- */

static bool read_address(const char *word, uint64_t *ret)
{
	char *end;

	if (word[0] != '0' || (word[1] != 'x' && word[1] != 'X') || !isxdigit((unsigned char)word[2]))
		return false;
	errno = 0;
	*ret = strtoull(word, &end, 16);
	return *end == '\0' && errno == 0;
}

/* OBJECT:NAME; names of C++ have "::", which is none. */
static const char *split(const char *word, char **object)
{
	const char *colon = strchr(word, ':');

	*object = NULL;
	if (!colon || colon == word || colon[1] == ':')
		return word;
	*object = strndup(word, (size_t)(colon - word));
	return colon + 1;
}

static int ask_name(struct asking *asking, const char *word)
{
	struct tether_symbol_opts opts = { .size = sizeof(opts), .flags = flags_of(asking->options) };
	char *object;
	const char *name = split(word, &object);
	bool all = asking->options->all || strpbrk(name, "*?[") != NULL;
	size_t before = asking->found;
	int result;

	opts.object = object;
	if (all) {
		opts.flags |= TETHER_SYMBOL_EVERY_LMID;
		result = tether_symbols(asking->handle, name, &opts, visit, asking);
	} else {
		result = ask(asking, name, 0, &opts);
	}
	free(object);
	return result == 0 && asking->found == before ? -TETHER_ENOTFOUND : result;
}

static int ask_word(struct asking *asking, const char *word)
{
	struct tether_symbol_opts opts = { .size = sizeof(opts), .flags = flags_of(asking->options) };
	uint64_t address;

	return read_address(word, &address) ? ask(asking, NULL, address, &opts) : ask_name(asking, word);
}

static void say_missing(struct output *output, int64_t pid, const char *word)
{
	char text[512];

	snprintf(text, sizeof(text), "process %lld has no '%s'", (long long)pid, word);
	output_error(output, tether_error_name(TETHER_ENOTFOUND), text,
		     "see 'tether libs' for what it has loaded; an address begins with 0x");
}

static int ask_process(struct tether_session *session, struct output *output, int64_t pid, const void *data)
{
	const struct sym_options *options = data;
	struct tether_grab_opts observe = { .size = sizeof(observe), .flags = TETHER_OBSERVE };
	struct tether_error error = TETHER_ERROR_INIT;
	struct asking asking = { options, output, NULL, pid, 0 };
	int status = 0, result = tether_grab(session, pid, &observe, &asking.handle, &error);

	for (size_t i = 0; result == 0 && options->words[i]; i++) {
		result = ask_word(&asking, options->words[i]);
		if (result != -TETHER_ENOTFOUND)
			continue;
		say_missing(output, pid, options->words[i]);
		status = STATUS_NO;
		result = 0;
	}
	tether_release(asking.handle);
	if (result < 0)
		refusal(output, "read the names of", pid, TETHER_ACCESS_OBSERVE, result, &error);
	return result < 0 ? STATUS_TETHER : status;
}

static int sym(const void *given, struct output *output)
{
	const struct sym_options *options = given;
	struct tether_error error = TETHER_ERROR_INIT;

	if (options->fetch) {
		int result = tether_fetch_check(&error);
		if (result < 0) {
			output_failure(output, "cannot fetch debug files", result, &error);
			return STATUS_TETHER;
		}
	}
	return select_ask_each(&options->selection, output, ask_process, options);
}

int command_sym(const struct invocation *invocation)
{
	struct sym_options options = { 0 };
	int operands, status;

	if (!common_parse(&table, invocation, &options, &operands, &status)) {
		select_free(&options.selection);
		return status;
	}
	options.words = invocation->argv + operands;
	if (!options.words[0]) {
		select_free(&options.selection);
		return common_misuse(invocation, "no address and no name is given");
	}
	for (size_t i = 0; options.words[i]; i++) {
		if (options.words[i][0] != '-')
			continue;
		select_free(&options.selection);
		return common_misuse(invocation, "'%s' stands behind a word; options go first", options.words[i]);
	}
	return select_run_words(invocation, &options.selection, &options.common.output, true, sym, &options);
}
