/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * process/find.c - the address of a name, and all names
 */
#include <errno.h>
#include <fnmatch.h>
#include <string.h>

#include "process/answer.h"

static bool has_wildcard(const char *text)
{
	return strpbrk(text, "*?[\\") != NULL;
}

static bool object_matches(const struct view_object *object, const struct tether_symbol_opts *opts)
{
	const char *wanted = opts->object, *base = strrchr(object->path, '/');

	if (object->high <= object->low)
		return false;
	if (!(opts->flags & TETHER_SYMBOL_EVERY_LMID) && object->lmid != opts->lmid)
		return false;
	if (wanted == NULL || (object->is_program && strcmp(wanted, "a.out") == 0))
		return true;
	base = base != NULL ? base + 1 : object->path;
	return has_wildcard(wanted) ? fnmatch(wanted, object->path, 0) == 0 || fnmatch(wanted, base, 0) == 0
				    : strcmp(wanted, object->path) == 0 || strcmp(wanted, base) == 0;
}

/* The image that is asked for. */
static int look_for_names(struct tether *process, const struct tether_symbol_opts *opts, struct looking *looking)
{
	(void)names_catch_up(process);
	int result = names_look(process, true, looking);

	if (!(opts->flags & TETHER_SYMBOL_IMAGE))
		return result;
	if (result == 0 && looking->view->image == opts->image)
		return 0;
	if (result == 0)
		names_put(looking);
	result = names_past(process, &opts->image, 0, looking);
	return result == -ENOENT ? -TETHER_ENOTFOUND : result;
}

static int find_name(const struct request *request, const struct looking *looking,
		     const struct tether_symbol_opts *opts, const char *name)
{
	const struct view_object *first = NULL;
	struct symbol symbol, kept;

	for (size_t i = 0; i < looking->view->count; i++) {
		const struct view_object *object = &looking->view->object[i];
		struct symbol_file *table;

		if (!object_matches(object, opts) || view_table(object, &looking->access, &table) < 0)
			continue;
		int result = symbol_file_find(table, name, &symbol);
		if (result == -ENOMEM)
			return result;
		if (result < 0)
			continue;
		if (answer_is_global(&symbol)) {
			answer(request, looking, object, &symbol, symbol.address + object->bias);
			return 0;
		}
		if (first == NULL) {
			first = object;
			kept = symbol;
		}
	}
	if (first == NULL)
		return -TETHER_ENOTFOUND;
	answer(request, looking, first, &kept, kept.address + first->bias);
	return 0;
}

int tether_symbol_find(struct tether *process, const char *name, const struct tether_symbol_opts *given,
		       struct tether_symbol *ret, char *buffer, size_t length)
{
	struct tether_symbol_opts opts;
	struct looking looking;
	int result = answer_options(&opts, given);

	if (result < 0 || name == NULL || ret->size < SMALLEST_ANSWER)
		return -TETHER_EINVALID;
	struct symbol_fetching fetching;
	struct request request = { opts.flags, ret, buffer, length, &fetching };
	result = answer_begin(process, opts.flags, &fetching);
	if (result < 0)
		return result;
	result = look_for_names(process, &opts, &looking);
	if (result == 0) {
		answer_let_fetch(&looking, &fetching);
		result = find_name(&request, &looking, &opts, name);
		names_put(&looking);
	}
	answer_end(process);
	return result;
}

/* ---- all of them ------------------------------------------------------------------------------ */

struct visiting {
	const struct looking *looking;
	const struct view_object *object;
	const char *pattern; /* NULL: all */
	tether_symbol_fn *visit;
	void *data;
};

static int visit_symbol(const struct symbol *symbol, void *data)
{
	const struct visiting *visiting = data;
	struct tether_symbol found;

	if (visiting->pattern != NULL && fnmatch(visiting->pattern, symbol->name, 0) != 0)
		return 0;
	answer_describe(&found, visiting->looking, visiting->object, symbol, symbol->address + visiting->object->bias);
	found.object = visiting->object->path;
	found.name = found.demangled = symbol->name;
	found.wanted = strlen(found.name) + strlen(found.object) + 2;
	return visiting->visit(&found, visiting->data);
}

static int visit_object(struct visiting *visiting, const char *name)
{
	struct symbol_file *table;
	struct symbol symbol;

	if (view_table(visiting->object, &visiting->looking->access, &table) < 0)
		return 0;
	if (name == NULL || has_wildcard(name))
		return symbol_file_each(table, visit_symbol, visiting);
	return symbol_file_find(table, name, &symbol) == 0 ? visit_symbol(&symbol, visiting) : 0;
}

static int visit_matching(const struct looking *looking, const struct tether_symbol_opts *opts, const char *name,
			  tether_symbol_fn *visit, void *data)
{
	struct visiting visiting = { looking, NULL, name != NULL && has_wildcard(name) ? name : NULL, visit, data };
	bool any = false;

	for (size_t i = 0; i < looking->view->count; i++) {
		visiting.object = &looking->view->object[i];
		if (!object_matches(visiting.object, opts))
			continue;
		any = true;
		int result = visit_object(&visiting, name);
		if (result != 0)
			return result;
	}
	return any ? 0 : -TETHER_ENOTFOUND;
}

int tether_symbols(struct tether *process, const char *name, const struct tether_symbol_opts *given,
		   tether_symbol_fn *visit, void *data)
{
	struct tether_symbol_opts opts;
	struct looking looking;
	int result = answer_options(&opts, given);

	if (result < 0 || visit == NULL)
		return -TETHER_EINVALID;
	struct symbol_fetching fetching;
	result = answer_begin(process, opts.flags, &fetching);
	if (result < 0)
		return result;
	result = look_for_names(process, &opts, &looking);
	if (result == 0) {
		answer_let_fetch(&looking, &fetching);
		result = visit_matching(&looking, &opts, name, visit, data);
		names_put(&looking);
	}
	answer_end(process);
	return result;
}
