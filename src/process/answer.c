/* SPDX-License-Identifier: BSD-2-Clause */
#include "process/answer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

/* ---- the answer ------------------------------------------------------------------------------- */

/* The caller's buffer, and how much all would need. */
struct room {
	char *buffer;
	size_t length, used;
	uint64_t wanted;
	bool cut;
};

/* What does not fit is cut, but ends. */
static const char *put(struct room *room, const char *text)
{
	size_t length = strlen(text) + 1, left = room->length - room->used;
	char *to = room->buffer + room->used;

	room->wanted += length;
	if (left == 0) {
		room->cut = true;
		return "";
	}
	if (length > left) {
		room->cut = true;
		length = left;
	}
	memcpy(to, text, length - 1);
	to[length - 1] = '\0';
	room->used += length;
	return to;
}

static void put_names(struct tether_symbol *answer, struct room *room, const char *object, const char *name,
		      uint32_t flags)
{
	/* Only names that begin so are worth the look: it costs more than all else here. */
	bool mangled = !(flags & TETHER_SYMBOL_RAW) && name[0] == '_' && (name[1] == 'Z' || name[1] == 'R' || name[1] == '_');
	char *people = mangled ? symbol_demangle(name) : NULL;

	answer->name = put(room, name);
	answer->object = put(room, object);
	answer->demangled = people != NULL ? put(room, people) : answer->name;
	free(people);
}

static uint32_t flags_of(const struct symbol *symbol)
{
	bool exported = symbol->binding != SYMBOL_LOCAL && !(symbol->flags & (SYMBOL_IS_PLT | SYMBOL_IS_JIT));

	return (symbol->flags & SYMBOL_IS_PLT ? (uint32_t)TETHER_SYMBOL_IS_PLT : 0) |
	       (symbol->flags & SYMBOL_IS_JIT ? (uint32_t)TETHER_SYMBOL_IS_JIT : 0) |
	       (symbol->type == SYMBOL_IFUNC ? (uint32_t)TETHER_SYMBOL_IS_IFUNC : 0) |
	       (exported ? (uint32_t)TETHER_SYMBOL_IS_GLOBAL : 0);
}

void answer_describe(struct tether_symbol *answer, const struct looking *looking, const struct view_object *object,
		     const struct symbol *symbol, uint64_t address)
{
	uint64_t bias = object != NULL ? object->bias : 0;

	*answer = (struct tether_symbol){
		.size = sizeof(*answer),
		.address = symbol != NULL ? symbol->address + bias : bias,
		.symbol_size = symbol != NULL ? symbol->size : 0,
		.base = bias,
		.lmid = object != NULL ? object->lmid : 0,
		.image = looking->view->image,
		.type = symbol != NULL ? symbol->type : 0,
		.binding = symbol != NULL ? symbol->binding : 0,
		.flags = (symbol != NULL ? flags_of(symbol) : 0) |
			 (looking->past ? (uint32_t)TETHER_SYMBOL_IS_PAST : 0),
	};
	answer->offset = address - answer->address;
	if (object != NULL) {
		answer->build_id_size = object->build_id.size;
		memcpy(answer->build_id, object->build_id.bytes, object->build_id.size);
	}
}

static void hand_out(const struct tether_symbol *answer, struct tether_symbol *ret)
{
	size_t given = ret->size;

	memcpy(ret, answer, given < sizeof(*answer) ? given : sizeof(*answer));
	ret->size = given;
}

void answer(const struct request *request, const struct looking *looking, const struct view_object *object,
	    const struct symbol *symbol, uint64_t address)
{
	struct room room = { request->buffer, request->buffer != NULL ? request->length : 0, 0, 0, false };
	struct tether_symbol found;

	answer_describe(&found, looking, object, symbol, address);
	put_names(&found, &room, object != NULL ? object->path : "", symbol != NULL ? symbol->name : "",
		  request->flags);
	found.wanted = room.wanted;
	if (room.cut && room.length != 0)
		found.flags |= TETHER_SYMBOL_IS_CUT;
	hand_out(&found, request->ret);
}

bool answer_is_global(const struct symbol *symbol)
{
	return flags_of(symbol) & TETHER_SYMBOL_IS_GLOBAL;
}

/* ---- calls ------------------------------------------------------------------------------------ */

int answer_options(struct tether_symbol_opts *opts, const struct tether_symbol_opts *given)
{
	const uint32_t known = TETHER_SYMBOL_RAW | TETHER_SYMBOL_IMAGE | TETHER_SYMBOL_EVERY_LMID | TETHER_SYMBOL_FETCH;

	if (options_copy(opts, sizeof(*opts), given) < 0 || opts->flags & ~known ||
	    (opts->flags & TETHER_SYMBOL_EVERY_LMID && opts->lmid != 0))
		return -TETHER_EINVALID;
	return 0;
}

/* Lock held. Does the session hold a process, or is it about to? */
static bool holds_any(const struct table *table)
{
	const struct tether *process, *next;

	if (!LIST_EMPTY(&table->births))
		return true;
	HASH_ITER(hh, table->handles, process, next)
		if (!process->observe)
			return true;
	return false;
}

static bool may_fetch(void *data)
{
	struct table *table = data;

	pthread_mutex_lock(&table->lock);
	bool may = !table->closing && !holds_any(table);
	pthread_mutex_unlock(&table->lock);
	return may;
}

int answer_begin(struct tether *process, uint32_t flags, struct symbol_fetching *fetching)
{
	struct table *table = process->table;
	int result = table_enter(table);

	*fetching = (struct symbol_fetching){ .may = flags & TETHER_SYMBOL_FETCH ? may_fetch : NULL,
					      .data = table,
					      .failed = &table->fetch_failed };
	if (result < 0)
		return result;
	if (flags & TETHER_SYMBOL_FETCH && holds_any(table)) {
		table_leave(table);
		return -TETHER_ESTATE;
	}
	pthread_mutex_unlock(&table->lock);
	return 0;
}

void answer_let_fetch(struct looking *looking, const struct symbol_fetching *fetching)
{
	looking->access.fetching = fetching != NULL && fetching->may != NULL ? fetching : NULL;
}

void answer_end(struct tether *process)
{
	pthread_mutex_lock(&process->table->lock);
	table_leave(process->table);
}

int tether_fetch_check(struct tether_error *err)
{
	struct error_details details = { 0 };
	int result = error_check(err) < 0 ? -TETHER_EINVALID : symbol_fetch_check();

	if (result == -EDESTADDRREQ)
		details.cure = "set DEBUGINFOD_URLS, for example to https://debuginfod.debian.net";
	else if (result == -ELIBACC)
		details.cure = "install libdebuginfod (Debian: libdebuginfod1)";
	return result < 0 ? error_fill(err, result, &details, "cannot fetch debug files") : 0;
}
