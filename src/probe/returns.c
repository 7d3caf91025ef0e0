/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * probe/returns.c - where functions return to
 *
 *	controller: a call that will come back to an address where nothing stands, its thread waits
 *	     ──► code of an object, right behind a call? ──► planted with the answer
 *
 * What stands there stays until nothing in the space waits for returns, or its object goes.
 */
#include <errno.h>
#include <stdlib.h>

#include "decode/decode.h"
#include "probe/inside.h"

/* ---- is it such a place? --------------------------------------------------------------------------------- */

enum { CALL_MIN = 2, CALL_MAX = 9 };

/* Does an instruction that calls end right before it? Whether that begins there is another question. */
static bool behind_a_call(const struct reader *memory, vaddr_t address)
{
	uint8_t bytes[CALL_MAX];
	struct recipe recipe;

	if (memory->read(memory->data, address - CALL_MAX, bytes, CALL_MAX) != CALL_MAX)
		return false;
	for (size_t length = CALL_MIN; length <= CALL_MAX; length++)
		if (decode_recipe(bytes + CALL_MAX - length, length, address - length, &recipe) == 0 &&
		    recipe.length == length && recipe.flags & RECIPE_PUSHES_RETURN)
			return true;
	return false;
}

/* In the middle of one a trap would make another of it. True where no name tells where the function begins. */
static bool begins_instruction(struct tether *process, const struct view_object *object, vaddr_t address)
{
	struct symbol_file *table = view_table_made(object);
	static const struct symbol none;
	struct symbol symbol = none;
	struct found found = { .address = address };

	/* Not made for this: a thread waits, and the code before it has been seen to be a call. */
	if (!table || symbol_file_at(table, address - 1 - object->bias, &symbol) < 0 || symbol.type != SYMBOL_FUNCTION)
		return true;
	found.offset = address - object->bias - symbol.address;
	return found.offset > MAX_CALLER_CHECK || where_begins(process, &found);
}

static bool may_stand(struct tether *process, vaddr_t address)
{
	struct reader memory = process_reader(process);
	struct looking looking;
	bool may = false;

	if (names_look(process, false, &looking) == 0) {
		const struct view_object *object = view_object_at(looking.view, address);

		may = object && !object->is_vdso && address - object->low > CALL_MAX &&
		      behind_a_call(&memory, address) && begins_instruction(process, object, address);
	}
	names_put(&looking);
	return may;
}

/* Lock held. */
static bool waits_for_returns(const struct tether *process)
{
	const struct members *members = process->members;

	for (size_t i = 0; members && i < members->count; i++) {
		const struct tether_breakpoint *breakpoint = members->member[i].breakpoint;

		if (breakpoint->flags & TETHER_BREAKPOINT_RETURN && breakpoint->enabled)
			return true;
	}
	return false;
}

/* Any process that runs in that space. */
static bool space_waits(const struct table *table, const struct space *space)
{
	const struct tether *process;

	LIST_FOREACH(process, &table->all, known)
		if (process->space == space && waits_for_returns(process))
			return true;
	return false;
}

/* Lock held. */
static bool remember(struct space *space, vaddr_t address)
{
	struct caller *caller;

	HASH_FIND(hh, space->callers, &address, sizeof(address), caller);
	if (caller)
		return true;
	caller = calloc(1, sizeof(*caller));
	if (!caller)
		return false;
	caller->address = address;
	HASH_ADD(hh, space->callers, address, sizeof(caller->address), caller);
	if (caller->hh.tbl)
		return true;
	free(caller);
	return false;
}

void returns_asked(struct tether *process, const struct proto_ev_caller *from)
{
	struct site_request site = { .address = from->address, .id = SITE_RETURN, .flags = PROTO_SITE_RETURN };
	bool plants;

	if (!from->event.question)
		return;
	plants = may_stand(process, from->address);
	pthread_mutex_lock(&process->table->lock);
	plants = plants && waits_for_returns(process) && remember(process->space, from->address);
	pthread_mutex_unlock(&process->table->lock);
	plant_and_answer(process, &site, plants, from->event.question, PROTO_GO);
}

/* ---- lifting --------------------------------------------------------------------------------------------- */

static void lifted(struct family *family, struct operation *operation, const void *body)
{
	struct batch *batch = (struct batch *)operation;
	struct table *table = operation->table;

	(void)family;
	(void)body;
	pthread_mutex_lock(&table->lock);
	for (size_t i = 0; i < batch->count; i++) {
		struct caller *caller;

		HASH_FIND(hh, batch->space->callers, &batch->address[i], sizeof(batch->address[i]), caller);
		if (!caller)
			continue;
		HASH_DEL(batch->space->callers, caller);
		free(caller);
		plant_forget(batch->space, batch->address[i], SITE_PART_RETURN);
	}
	pthread_mutex_unlock(&table->lock);
	batch_end(batch);
}

enum { AT_ONCE = 1024 };

/* Lift those of that range. */
static void lift(struct tether *process, vaddr_t low, vaddr_t high, struct operation *waiter)
{
	struct space *space = process->space;
	struct caller *caller = space->callers, *next;

	while (caller) {
		struct proto_lift body = { .pid = (uint32_t)process->pid, .parts = PROTO_SITE_RETURN };
		struct batch *batch = batch_new(process, AT_ONCE, waiter);

		if (!batch)
			return; /* they stay: their hits are nobody's return */
		for (; caller && batch->count < AT_ONCE; caller = next) {
			next = caller->hh.next;
			if (caller->address >= low && caller->address < high)
				batch->address[batch->count++] = caller->address;
		}
		body.items = (uint32_t)batch->count;
		int result = !batch->count ? -ENOENT
			     : process->family ? family_send(process->family, PROTO_REQ_lift, &body, batch->address,
							     batch->count, lifted, &batch->operation)
					       : -TETHER_EGONE;
		if (result < 0)
			batch_end(batch);
		operation_put(&batch->operation);
	}
}

void returns_trim(struct tether *process, struct operation *operation)
{
	struct table *table = process->table;

	pthread_mutex_lock(&table->lock);
	bool waits = space_waits(table, process->space);
	pthread_mutex_unlock(&table->lock);
	if (!waits)
		lift(process, 0, UINT64_MAX, operation);
}

void returns_drop(struct tether *process, vaddr_t low, vaddr_t high)
{
	lift(process, low, high, NULL);
}

void returns_copy(struct tether *child, const struct tether *parent)
{
	const struct caller *caller;

	pthread_mutex_lock(&child->table->lock);
	for (caller = parent->space->callers; caller; caller = caller->hh.next)
		(void)remember(child->space, caller->address);
	pthread_mutex_unlock(&child->table->lock);
}
