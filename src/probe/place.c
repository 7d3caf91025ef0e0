/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * probe/place.c - where breakpoints stand in one space, and telling the controller
 *
 *	list of objects ──► which are new, which gone ──► points: used, or not any more ──► plant, lift
 *	                                                                                     │ answered
 *	                                      planted, inactive (tried again later), forgotten ◄┘
 *
 * A plant message fails as a whole with the first failure of its sites, though the others stand: then it is sent again in
 * halves, until those that fail are alone.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "probe/inside.h"

/* ---- requests -------------------------------------------------------------------------------------------- */

static struct point *point_at(const struct space *space, vaddr_t address)
{
	struct point *point;

	HASH_FIND(hh, space->points, &address, sizeof(address), point);
	return point;
}

static void arrived(struct operation *waiter)
{
	if (waiter)
		operation_arrive(waiter, 0);
	operation_put(waiter);
}

struct batch *batch_new(struct tether *process, size_t count, struct operation *waiter)
{
	struct batch *batch = (struct batch *)operation_new_sized(process->table, NULL,
								   sizeof(*batch) + count * sizeof(vaddr_t));

	if (!batch)
		return NULL;
	batch->space = space_get(process->space);
	batch->operation.other = waiter;
	pthread_mutex_lock(&process->table->lock);
	handle_pin(process);
	batch->operation.process = process;
	if (waiter) {
		waiter->users++;
		waiter->outstanding++;
	}
	pthread_mutex_unlock(&process->table->lock);
	return batch;
}

void batch_end(struct batch *batch)
{
	arrived(batch->operation.other);
	batch->operation.other = NULL;
	space_put(batch->space);
	batch->space = NULL;
}

/* Lock held. Nobody uses it and nothing is on its way. */
static void forget(struct batch *batch, struct point *point)
{
	plant_forget(batch->space, point->address, SITE_PART_PROBE);
	HASH_DEL(batch->space->points, point);
	free(point);
}

static void settle(struct batch *batch, bool asked, bool planted)
{
	struct table *table = batch->operation.table;

	pthread_mutex_lock(&table->lock);
	for (size_t i = 0; i < batch->count; i++) {
		struct point *point = point_at(batch->space, batch->address[i]);

		if (!point)
			continue;
		point->waiting--;
		if (asked)
			point->planted = planted;
		if (!point->uses && !point->waiting && !point->changed)
			forget(batch, point);
	}
	pthread_mutex_unlock(&table->lock);
}

static void send_plants(struct tether *process, const vaddr_t *address, size_t count, struct operation *waiter);

/* Is it the fault of some of its sites? Else none would fare better alone. */
static bool concerns_sites(int result)
{
	return result != -ESRCH && result != -EPERM && result != -TETHER_ESTATE && result != -ENOMEM;
}

static void plants_answered(struct family *family, struct operation *operation, const void *body)
{
	struct batch *batch = (struct batch *)operation;
	const struct proto_planted *answer = body;
	struct tether *process = operation->process;
	int result = answer ? answer->result : -TETHER_ELOST;

	(void)family;
	/* In halves only where its space is still the one that was meant. */
	if (answer && result < 0 && batch->count > 1 && concerns_sites(result) && process->space == batch->space) {
		size_t half = batch->count / 2;

		send_plants(process, batch->address, half, operation->other);
		send_plants(process, batch->address + half, batch->count - half, operation->other);
		settle(batch, false, false);
	} else {
		settle(batch, true, result == 0);
	}
	batch_end(batch);
}

/* The site as its users want it; false: it has none any more. Lock held. */
static bool describe(const struct space *space, vaddr_t address, struct probe_site *ret)
{
	const struct point *point = point_at(space, address);

	if (!point || !point->uses)
		return false;
	*ret = (struct probe_site){ .address = address };
	for (size_t i = 0; i < point->uses; i++) {
		const struct tether_breakpoint *breakpoint = point->use[i].breakpoint;

		ret->counter[i] = point->use[i].spot->counter;
		ret->thread[i] = (uint32_t)breakpoint->tid;
		ret->wants[i] = (breakpoint->handler ? PROTO_PROBE_REPORT : 0) | (breakpoint->stop ? PROTO_PROBE_ASK : 0) |
				(breakpoint->flags & TETHER_BREAKPOINT_FOREVER ? PROTO_PROBE_FOREVER : 0) |
				(breakpoint->call ? PROTO_PROBE_CALL : 0) |
				(breakpoint->flags & TETHER_BREAKPOINT_STACK ? PROTO_PROBE_STACK : 0) |
				(breakpoint->flags & TETHER_BREAKPOINT_LATENCY ? PROTO_PROBE_LATENCY : 0);
		ret->returns[i] = point->use[i].spot->returns;
	}
	return true;
}

static void mark(struct tether *process, vaddr_t address, int waiting, bool planted)
{
	struct point *point = point_at(process->space, address);

	if (!point)
		return;
	point->waiting = (unsigned)((int)point->waiting + waiting);
	if (!waiting)
		point->planted = planted;
}

/* At most PROTO_SITES_MAX. */
static void send_plants(struct tether *process, const vaddr_t *address, size_t count, struct operation *waiter)
{
	struct probe_site *sites = calloc(count, sizeof(*sites));
	bool *bad = calloc(count, sizeof(*bad));
	struct batch *batch = batch_new(process, count, waiter);
	pthread_mutex_t *lock = &process->table->lock;
	size_t described = 0;
	int sent = -ENOMEM;

	if (sites && bad && batch) {
		pthread_mutex_lock(lock);
		for (size_t i = 0; i < count; i++)
			described += describe(process->space, address[i], &sites[described]);
		pthread_mutex_unlock(lock);
		sent = described ? plant_probe(process, sites, described, bad, plants_answered, &batch->operation) : 0;
	}
	pthread_mutex_lock(lock);
	for (size_t i = 0; i < described; i++) {
		if (sent > 0 && !bad[i]) {
			batch->address[batch->count++] = sites[i].address;
			mark(process, sites[i].address, 1, false);
		} else {
			mark(process, sites[i].address, 0, false);
		}
	}
	for (size_t i = 0; i < count && sent < 0; i++) {
		struct point *point = point_at(process->space, address[i]);

		if (point)
			point->changed = true; /* at the next chance */
	}
	pthread_mutex_unlock(lock);
	if (batch && sent <= 0)
		batch_end(batch);
	operation_put(batch ? &batch->operation : NULL);
	free(sites);
	free(bad);
}

static void lifts_answered(struct family *family, struct operation *operation, const void *body)
{
	struct batch *batch = (struct batch *)operation;

	(void)family;
	(void)body;
	settle(batch, true, false);
	batch_end(batch);
}

static void send_lifts(struct tether *process, const vaddr_t *address, size_t count, struct operation *waiter)
{
	struct proto_lift lift = { .pid = (uint32_t)process->pid, .items = (uint32_t)count, .parts = PROTO_SITE_PROBE };
	struct batch *batch = batch_new(process, count, waiter);
	int result;

	if (!batch)
		return; /* they stay, and count nothing that anybody reads, until something else is changed there */
	batch->count = count;
	memcpy(batch->address, address, count * sizeof(*address));
	pthread_mutex_lock(&process->table->lock);
	for (size_t i = 0; i < count; i++)
		mark(process, address[i], 1, false);
	pthread_mutex_unlock(&process->table->lock);
	result = process->family ? family_send(process->family, PROTO_REQ_lift, &lift, address, count, lifts_answered,
					       &batch->operation)
				 : -TETHER_EGONE;
	if (result < 0)
		lifts_answered(NULL, &batch->operation, NULL);
	operation_put(&batch->operation);
}

enum { SENT_AT_ONCE = PROTO_SITES_MAX };

/* The addresses of what is to be planted, or lifted, from the space. NULL: none. */
static vaddr_t *gather(struct tether *process, bool plants, size_t *ret_count)
{
	struct point *point, *next;
	vaddr_t *address;
	size_t count = 0;

	pthread_mutex_lock(&process->table->lock);
	address = calloc(HASH_COUNT(process->space->points) + 1, sizeof(*address));
	HASH_ITER(hh, process->space->points, point, next)
	{
		bool due = plants ? point->uses && (point->changed || (!point->planted && !point->waiting))
				  : !point->uses && point->changed;
		if (!due || !address)
			continue;
		address[count++] = point->address;
		point->changed = false;
	}
	pthread_mutex_unlock(&process->table->lock);
	*ret_count = count;
	return address;
}

static void send(struct tether *process, bool plants, struct operation *operation)
{
	size_t count;
	vaddr_t *address = gather(process, plants, &count);

	if (plants)
		progress_begin(process, count);
	for (size_t at = 0; at < count; at += SENT_AT_ONCE) {
		size_t some = count - at < SENT_AT_ONCE ? count - at : SENT_AT_ONCE;

		if (plants)
			send_plants(process, address + at, some, operation);
		else
			send_lifts(process, address + at, some, operation);
		if (plants)
			progress_add(process, some);
	}
	free(address);
}

void place_send(struct tether *process, struct operation *operation)
{
	send(process, false, operation);
	send(process, true, operation);
}

/* ---- points ---------------------------------------------------------------------------------------------- */

static struct point *point_new(struct space *space, vaddr_t address)
{
	struct point *point = calloc(1, sizeof(*point));

	if (!point)
		return NULL;
	point->address = address;
	HASH_ADD(hh, space->points, address, sizeof(point->address), point);
	if (point->hh.tbl)
		return point;
	free(point);
	return NULL;
}

struct placing {
	struct tether *process;
	struct tether_breakpoint *breakpoint;
	const char *object;
	size_t count;
	/* where functions are looked for */
	const struct looking *looking;
	const struct view_object *in;
	struct symbol_file *table;
	struct choices choices;
	uint32_t unresolved;
};

/* 0; -ENOMEM: or there are no more counters; -TETHER_ELIMIT. Lock held. */
static int use(struct placing *placing, const struct found *found)
{
	struct space *space = placing->process->space;
	struct point *point = point_at(space, found->address);

	for (size_t i = 0; point && i < point->uses; i++)
		if (point->use[i].breakpoint == placing->breakpoint)
			return 0;
	if ((point && point->uses == MAX_SITE_COUNTERS) || placing->count >= MAX_PLACES)
		return -TETHER_ELIMIT;
	struct spot *spot = breakpoint_spot(placing->breakpoint, placing->object, found);
	if (!spot)
		return -ENOMEM;
	if (!point)
		point = point_new(space, found->address);
	if (!point)
		return -ENOMEM;
	point->use[point->uses++] = (struct use){ placing->breakpoint, spot };
	point->changed = true;
	placing->count++;
	return 0;
}

/* So many functions take some milliseconds to be looked at. */
enum { COMES_EVERY = 4096 };

/* The function that it has become; false: the linker has not chosen one, or nobody tells. */
static bool resolve(struct placing *placing, const struct found *found, struct found *ret)
{
	struct reader memory = process_reader(placing->process);

	*ret = *found;
	ret->address = choices_find(&placing->choices, placing->looking->view, placing->in, placing->table, &memory, found);
	if (!ret->address)
		placing->unresolved++;
	ret->address += found->offset;
	return ret->address != found->offset;
}

static int use_found(const struct found *found, void *data)
{
	struct placing *placing = data;
	struct table *table = placing->process->table;
	struct found chosen;

	if (found->resolver && !resolve(placing, found, &chosen))
		return 0;
	if (found->resolver)
		found = &chosen;
	if (!where_begins(placing->process, found))
		return strpbrk(placing->breakpoint->where.function, "*?[\\") ? 0 : -TETHER_EMEMORY;
	pthread_mutex_lock(&table->lock);
	int result = use(placing, found);
	pthread_mutex_unlock(&table->lock);
	if (placing->count % COMES_EVERY == 1)
		plant_comes(placing->process);
	if (result < 0)
		table->host->log(table->host, 1, "a breakpoint at %s in %s: %s", found->name, placing->object,
				 tether_strerror(result));
	/* One that is crowded does not keep the others from standing. */
	return result == -TETHER_ELIMIT && placing->count < MAX_PLACES ? 0 : result;
}

/* Lock held. */
static void take_out(struct point *point, const struct tether_breakpoint *breakpoint)
{
	for (size_t i = 0; i < point->uses; i++)
		if (point->use[i].breakpoint == breakpoint) {
			point->use[i] = point->use[--point->uses];
			point->changed = true;
			return;
		}
}

void place_remove(struct tether *process, const struct tether_breakpoint *breakpoint, struct operation *operation)
{
	struct point *point, *next;

	pthread_mutex_lock(&process->table->lock);
	HASH_ITER(hh, process->space->points, point, next)
		take_out(point, breakpoint);
	pthread_mutex_unlock(&process->table->lock);
	place_send(process, operation);
}

/* ---- objects --------------------------------------------------------------------------------------------- */

static struct placed placed_of(const struct view_object *object)
{
	return (struct placed){ object->low, object->high, object->bias, object->link_map };
}

/* A program is known before its linker has an entry for it. */
static bool same_placed(const struct placed *before, const struct placed *now)
{
	return before->low == now->low && before->high == now->high && before->bias == now->bias &&
	       (before->link_map == now->link_map || before->link_map == 0);
}

/* Its traps have gone with it. */
static void drop_range(struct tether *process, const struct placed *gone)
{
	struct point *point, *next;

	returns_drop(process, gone->low, gone->high);

	pthread_mutex_lock(&process->table->lock);
	HASH_ITER(hh, process->space->points, point, next)
	{
		if (point->address < gone->low || point->address >= gone->high)
			continue;
		point->uses = 0;
		point->planted = false;
		point->changed = true;
	}
	pthread_mutex_unlock(&process->table->lock);
}

/* What is known and what is there, both by address: is_new[] of the latter; what is gone is dropped. */
static void compare(struct tether *process, const struct placed *now, size_t count, bool *is_new)
{
	const struct space *space = process->space;
	size_t old = 0, at = 0;

	while (old < space->placed_count || at < count) {
		bool both = old < space->placed_count && at < count;

		if (both && same_placed(&space->placed[old], &now[at])) {
			old++;
			at++;
		} else if (old < space->placed_count && (!both || space->placed[old].low <= now[at].low)) {
			drop_range(process, &space->placed[old++]);
		} else {
			is_new[at++] = true;
		}
	}
}

static int place_in_object(struct placing *placing, const struct looking *looking, const struct view_object *object)
{
	struct reader memory = process_reader(placing->process);

	if (!where_is_object(&placing->breakpoint->where, object, &memory) ||
	    view_table(object, &looking->access, &placing->table) < 0)
		return 0;
	placing->object = object->path;
	placing->looking = looking;
	placing->in = object;
	return where_find(&placing->breakpoint->where, object, placing->table, use_found, placing);
}

/* By address: named if it has a name. */
static int place_at(struct placing *placing, const struct looking *looking)
{
	struct found found = { .address = placing->breakpoint->where.address, .name = "" };
	const struct view_object *object = looking ? view_object_at(looking->view, found.address) : NULL;
	struct symbol_file *table;
	struct symbol symbol;

	placing->object = object ? object->path : "";
	found.offset = object ? found.address - object->bias : found.address;
	if (object && view_table(object, &looking->access, &table) == 0 &&
	    symbol_file_at(table, found.offset, &symbol) == 0) {
		found.name = symbol.name;
		found.offset -= symbol.address;
		if (!where_begins(placing->process, &found))
			return -TETHER_EMEMORY;
	}
	pthread_mutex_lock(&placing->process->table->lock);
	int result = use(placing, &found);
	pthread_mutex_unlock(&placing->process->table->lock);
	return result;
}

static int place_breakpoint(struct tether *process, struct member *member, const struct looking *looking,
			    const bool *is_new)
{
	struct placing placing = { .process = process, .breakpoint = member->breakpoint };
	const struct view *view = looking->view;
	int result = 0;

	for (size_t i = 0; i < view->placed && result == 0; i++)
		if (!is_new || is_new[i])
			result = place_in_object(&placing, looking, &view->object[view->by_address[i]]);
	choices_clear(&placing.choices);
	member->unresolved = placing.unresolved;
	return result;
}

static int place_in_view(struct tether *process, struct tether_breakpoint *fresh, const struct looking *looking)
{
	const struct view *view = looking->view;
	struct placed *now = calloc(view->placed + 1, sizeof(*now)), *before;
	bool *is_new = calloc(view->placed + 1, sizeof(*is_new));
	int result = now && is_new ? 0 : -ENOMEM;

	if (result == 0) {
		for (size_t i = 0; i < view->placed; i++)
			now[i] = placed_of(&view->object[view->by_address[i]]);
		compare(process, now, view->placed, is_new);
		for (size_t i = 0; process->members && i < process->members->count; i++) {
			struct member *member = &process->members->member[i];
			struct tether_breakpoint *breakpoint = member->breakpoint;
			bool everywhere = breakpoint == fresh || member->unresolved;

			if (!breakpoint->enabled || !breakpoint->where.object)
				continue;
			int placed = place_breakpoint(process, member, looking, everywhere ? NULL : is_new);
			if (breakpoint == fresh || placed == -ENOMEM)
				result = result ? result : placed;
		}
		before = process->space->placed;
		process->space->placed = now;
		process->space->placed_count = view->placed;
		now = before;
	}
	free(now);
	free(is_new);
	return result;
}

int place_all(struct tether *process, struct tether_breakpoint *fresh, struct operation *operation)
{
	bool by_address = fresh && !fresh->where.object;
	struct placing placing = { .process = process, .breakpoint = fresh };
	struct looking looking;
	int result = names_look(process, true, &looking), placed = 0;

	if (result == 0)
		result = place_in_view(process, fresh, &looking);
	if (by_address) /* which needs no list */
		placed = place_at(&placing, looking.view ? &looking : NULL);
	names_put(&looking);
	place_send(process, operation);
	return by_address ? placed : result;
}

/* ---- children -------------------------------------------------------------------------------------------- */

/*
 * The controller has copied the sites as they were at the fork. A request about the parent that is not answered yet came
 * after that: answers and events are in one order. Not so what was kept while the handle was locked: then all is said
 * again.
 */
int place_copy(struct tether *child, const struct tether *parent, bool late)
{
	const struct space *from = parent->space;
	struct point *point, *next, *copy;
	int result = 0;

	pthread_mutex_lock(&child->table->lock);
	HASH_ITER(hh, from->points, point, next)
	{
		copy = point_new(child->space, point->address);
		if (!copy) {
			result = -ENOMEM;
			break;
		}
		memcpy(copy->use, point->use, sizeof(copy->use));
		copy->uses = point->uses;
		copy->planted = point->planted;
		copy->changed = late || point->waiting || point->changed;
	}
	pthread_mutex_unlock(&child->table->lock);
	struct placed *placed = calloc(from->placed_count + 1, sizeof(*placed));
	if (placed) {
		if (from->placed_count)
			memcpy(placed, from->placed, from->placed_count * sizeof(*placed));
		child->space->placed = placed;
		child->space->placed_count = from->placed_count;
	}
	returns_copy(child, parent);
	place_send(child, NULL);
	returns_trim(child, NULL);
	return result;
}
