/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * process/name.c - the name of an address
 */
#include "process/name.h"

#include <errno.h>

#include "process/answer.h"

/* A table that cannot be had leaves the object and the offset. */
static int name_in(const struct request *request, struct looking *looking, const struct view_object *object,
		   uint64_t address)
{
	struct symbol symbol;
	struct symbol_file *table;

	answer_let_fetch(looking, request->fetching);
	int result = view_table(object, &looking->access, &table);

	if (result == -ENOMEM)
		return result;
	bool found = result == 0 && symbol_file_at(table, address - object->bias, &symbol) == 0;
	answer(request, looking, object, found ? &symbol : NULL, address);
	return 0;
}

static int name_jit(const struct request *request, struct looking *looking, uint64_t address)
{
	struct symbol symbol;
	int result = names_jit(looking, address, &symbol);

	if (result == 0)
		answer(request, looking, NULL, &symbol, address);
	return result == -ENOENT ? -TETHER_ENOTFOUND : result;
}

/* What runs now, or ran last; late: the list may be. */
static int name_as_listed(const struct request *request, struct tether *process, const uint64_t *image, uint64_t address,
			  bool *late)
{
	struct looking looking;
	int result = names_look(process, false, &looking);

	if (result < 0)
		return result;
	const struct view_object *object = view_object_at(looking.view, address);
	if (!looking.current && (object == NULL || !names_check(&looking, object))) {
		names_put(&looking);
		result = names_look(process, true, &looking);
		if (result < 0)
			return result;
		object = view_object_at(looking.view, address);
		if (object != NULL && looking.access.memory != NULL)
			view_note_witness(object, &looking.memory);
	}
	*late = looking.current && object != NULL && !names_listed(&looking, object);
	if (*late || (image != NULL && looking.view->image != *image))
		result = -TETHER_ENOTFOUND;
	else if (object != NULL)
		result = name_in(request, &looking, object, address);
	else
		result = name_jit(request, &looking, address);
	names_put(&looking);
	return result;
}

static int name_current(const struct request *request, struct tether *process, const uint64_t *image, uint64_t address)
{
	bool late;
	int result = name_as_listed(request, process, image, address, &late);

	/* Once more: what the victim shows now may be another change, of which nobody has told yet. */
	for (int round = 0; result == -TETHER_ENOTFOUND && round < 2 && (round == 0 || late); round++) {
		if (!names_catch_up(process))
			break;
		result = name_as_listed(request, process, image, address, &late);
	}
	return result;
}

static int name_past(const struct request *request, struct tether *process, const uint64_t *image, uint64_t address)
{
	int result = -TETHER_ENOTFOUND;

	for (unsigned skip = 0; skip < MAX_PAST_IMAGES && result == -TETHER_ENOTFOUND; skip++) {
		struct looking looking;

		result = names_past(process, image, skip, &looking);
		if (result < 0)
			return result == -ENOENT ? -TETHER_ENOTFOUND : result;
		const struct view_object *object = view_object_at(looking.view, address);
		result = object != NULL ? name_in(request, &looking, object, address)
					: name_jit(request, &looking, address);
		names_put(&looking);
		if (image != NULL)
			break;
	}
	return result;
}

static int name_address(const struct request *request, struct tether *process, const uint64_t *image, uint64_t address)
{
	int result = name_current(request, process, image, address);

	if (result == -TETHER_ENOTFOUND || result == -TETHER_EGONE) {
		int before = name_past(request, process, image, address);
		if (before != -TETHER_ENOTFOUND)
			result = before;
	}
	return result;
}

int process_name(struct tether *process, uint64_t image, uint64_t address, uint32_t flags, struct tether_symbol *ret,
		 char *buffer, size_t length)
{
	struct request request = { flags, ret, buffer, length, NULL };

	return name_address(&request, process, image != IMAGE_ANY ? &image : NULL, address);
}

int process_name_seen(struct tether *process, struct view *view, uint64_t image, uint64_t address, uint32_t flags,
		      struct tether_symbol *ret, char *buffer, size_t length)
{
	struct request request = { flags, ret, buffer, length, NULL };
	const struct view_object *object = view != NULL ? view_object_at(view, address) : NULL;
	struct looking looking;
	int result = -TETHER_ENOTFOUND;

	if (object != NULL) {
		names_seen(process, view, &looking);
		result = name_in(&request, &looking, object, address);
		names_put(&looking);
	}
	/* What its file does not tell the memory may. */
	return result == 0 && ret->name[0] ? 0 : process_name(process, image, address, flags, ret, buffer, length);
}

int tether_symbol_at(struct tether *process, uint64_t address, const struct tether_symbol_opts *given,
		     struct tether_symbol *ret, char *buffer, size_t length)
{
	struct tether_symbol_opts opts;
	int result = answer_options(&opts, given);

	if (result < 0 || ret->size < SMALLEST_ANSWER)
		return -TETHER_EINVALID;
	struct symbol_fetching fetching;
	struct request request = { opts.flags, ret, buffer, length, &fetching };
	result = answer_begin(process, opts.flags, &fetching);
	if (result < 0)
		return result;
	result = name_address(&request, process, opts.flags & TETHER_SYMBOL_IMAGE ? &opts.image : NULL, address);
	answer_end(process);
	return result;
}
