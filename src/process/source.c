/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * process/source.c - file and line of an address
 */
#include <errno.h>
#include <stdlib.h>

#include "process/answer.h"

struct sources {
	uint32_t flags;
	const struct symbol_fetching *fetching;
	tether_source_fn *visit;
	void *data;
};

static int visit_frame(const struct lines_frame *frame, void *data)
{
	const struct sources *sources = data;
	const char *function = frame->function != NULL ? frame->function : "";
	char *people = sources->flags & TETHER_SYMBOL_RAW ? NULL : symbol_demangle(function);
	struct tether_source source = {
		.size = sizeof(source),
		.file = frame->file != NULL ? frame->file : "",
		.function = function,
		.demangled = people != NULL ? people : function,
		.line = frame->line,
		.column = frame->column,
		.inlined = frame->inlined,
	};
	int result = sources->visit(&source, sources->data);

	free(people);
	return result;
}

static int lines_in(struct looking *looking, const struct view_object *object, uint64_t address,
		    struct sources *sources)
{
	struct lines *lines;

	answer_let_fetch(looking, sources->fetching);
	int result = view_lines(object, &looking->access, &lines);

	if (result == -ENOMEM)
		return result;
	return result < 0 ? 0 : lines_at(lines, address - object->bias, visit_frame, sources);
}

/* False: the address is in no object of it. */
static bool lines_of(struct looking *looking, const struct tether_symbol_opts *opts, uint64_t address,
		     struct sources *sources, int *result)
{
	const struct view_object *object = NULL;

	if (!(opts->flags & TETHER_SYMBOL_IMAGE) || looking->view->image == opts->image)
		object = view_object_at(looking->view, address);
	if (object != NULL)
		*result = lines_in(looking, object, address, sources);
	return object != NULL;
}

static int find_lines(struct tether *process, const struct tether_symbol_opts *opts, uint64_t address,
		      struct sources *sources)
{
	const uint64_t *image = opts->flags & TETHER_SYMBOL_IMAGE ? &opts->image : NULL;
	struct looking looking;
	int result = names_look(process, true, &looking), found = 0;

	if (result < 0 && result != -TETHER_EGONE)
		return result;
	bool done = result == 0 && lines_of(&looking, opts, address, sources, &found);
	if (result == 0)
		names_put(&looking);
	for (unsigned skip = 0; !done && skip < MAX_PAST_IMAGES; skip++) {
		if (names_past(process, image, skip, &looking) < 0)
			break;
		done = lines_of(&looking, opts, address, sources, &found);
		names_put(&looking);
	}
	if (done)
		return found;
	return result < 0 ? result : -TETHER_ENOTFOUND;
}

int tether_source_at(struct tether *process, uint64_t address, const struct tether_symbol_opts *given,
		     tether_source_fn *visit, void *data)
{
	struct tether_symbol_opts opts;
	int result = answer_options(&opts, given);

	if (result < 0 || visit == NULL)
		return -TETHER_EINVALID;
	struct symbol_fetching fetching;
	struct sources sources = { opts.flags, &fetching, visit, data };
	result = answer_begin(process, opts.flags, &fetching);
	if (result < 0)
		return result;
	result = find_lines(process, &opts, address, &sources);
	answer_end(process);
	return result;
}
