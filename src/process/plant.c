/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "decode/decode.h"
#include "os/memory.h"
#include "os/procfs.h"
#include "os/sys.h"
#include "process/handle.h"
#include "process/plant.h"

struct space *space_new(void)
{
	struct space *space = calloc(1, sizeof(*space));

	if (space)
		space->users = 1;
	return space;
}

struct space *space_get(struct space *space)
{
	__atomic_fetch_add(&space->users, 1, __ATOMIC_RELAXED);
	return space;
}

void space_put(struct space *space)
{
	struct site *site, *next;

	if (!space || __atomic_sub_fetch(&space->users, 1, __ATOMIC_ACQ_REL))
		return;
	HASH_ITER(hh, space->sites, site, next)
	{
		HASH_DEL(space->sites, site);
		free(site);
	}
	struct point *point, *next_point;
	HASH_ITER(hh, space->points, point, next_point)
	{
		HASH_DEL(space->points, point);
		free(point);
	}
	struct caller *caller, *next_caller;
	HASH_ITER(hh, space->callers, caller, next_caller)
	{
		HASH_DEL(space->callers, caller);
		free(caller);
	}
	free(space->placed);
	free(space);
}

static struct site *site_at(const struct space *space, vaddr_t address)
{
	struct site *site;

	HASH_FIND(hh, space->sites, &address, sizeof(address), site);
	return site;
}

static struct site *site_add(struct space *space, const struct site *like)
{
	struct site *site = site_at(space, like->address);

	if (!site) {
		site = malloc(sizeof(*site));
		if (!site)
			return NULL;
		site->address = like->address;
		HASH_ADD(hh, space->sites, address, sizeof(site->address), site);
		if (!site->hh.tbl) {
			free(site);
			return NULL;
		}
		site->parts = 0;
	}
	site->parts |= like->parts;
	memcpy(site->home, like->home, sizeof(site->home));
	return site;
}

struct space *space_copy(const struct space *space)
{
	struct space *copy = space_new();
	struct site *site, *next;

	if (!copy)
		return NULL;
	HASH_ITER(hh, space->sites, site, next)
	{
		if (!site_add(copy, site)) {
			space_put(copy);
			return NULL;
		}
	}
	return copy;
}

static uint32_t part_of(uint64_t id)
{
	return id == SITE_PROBE ? SITE_PART_PROBE : id == SITE_RETURN ? SITE_PART_RETURN : SITE_PART_OWN;
}

static bool note(struct tether *process, vaddr_t address, uint64_t id, const uint8_t *home)
{
	struct site site = { .parts = part_of(id), .address = address };

	memcpy(site.home, home, sizeof(site.home));
	pthread_mutex_lock(&process->table->lock);
	struct site *added = site_add(process->space, &site);
	pthread_mutex_unlock(&process->table->lock);
	return added;
}

void plant_note(struct tether *process, vaddr_t address, uint64_t id, const uint8_t *home)
{
	/* without memory a read shows the trap, and no more */
	(void)note(process, address, id, home);
}

/* The text at some sites, without the traps of this library. */
struct text {
	ssize_t length; /* or negative errno */
	uint8_t bytes[RECIPE_INSN_MAX];
};

static void read_one(struct tether *process, vaddr_t address, struct text *ret)
{
	struct reader memory = process_reader(process);

	ret->length = memory.read(memory.data, address, ret->bytes, sizeof(ret->bytes));
}

/* Most of it by few calls; at what cannot be read whole that ends, and goes on behind it. */
static void read_text(struct tether *process, const vaddr_t *address, size_t count, struct text *ret)
{
	struct reader memory = process_reader(process);
	struct reader_piece *piece = count > 1 ? calloc(count, sizeof(*piece)) : NULL;

	for (size_t i = 0; piece && i < count; i++)
		piece[i] = (struct reader_piece){ address[i], ret[i].bytes, sizeof(ret[i].bytes) };
	for (size_t at = 0; at < count;) {
		ssize_t whole = piece ? memory.read_many(memory.data, piece + at, count - at) : 0;

		for (; whole > 0; whole--, at++) {
			ret[at].length = (ssize_t)sizeof(ret[at].bytes);
			plant_hide(process, address[at], ret[at].bytes, sizeof(ret[at].bytes));
		}
		if (at < count) {
			read_one(process, address[at], &ret[at]);
			at++;
		}
	}
	free(piece);
}

/* Make the recipe for the instruction. */
static int prepare(struct tether *process, const struct site_request *request, const struct text *text,
		   struct proto_site *ret)
{
	if (text->length < ARCH_TRAP_SIZE)
		return text->length == -ESRCH ? -TETHER_EGONE : -TETHER_EMEMORY;
	memset(ret, 0, sizeof(*ret));
	int result = decode_recipe(text->bytes, (size_t)text->length, request->address, &ret->recipe);
	if (result < 0)
		return -TETHER_EMEMORY;
	ret->address = request->address;
	ret->id = request->id;
	ret->flags = request->flags;
	ret->guard = request->guard;
	ret->guard_value = request->guard_value;
	return note(process, request->address, request->id, text->bytes) ? 0 : -ENOMEM;
}

static int read_and_prepare(struct tether *process, const struct site_request *request, struct proto_site *ret)
{
	struct text text = { 0 };

	read_one(process, request->address, &text);
	return prepare(process, request, &text, ret);
}

int plant_sites(struct tether *process, const struct site_request *sites, size_t count, answer_fn *answered,
		struct operation *operation)
{
	struct proto_plant plant = { .pid = (uint32_t)process->pid, .gadget = process->rtld.gadget };
	struct proto_site *batch;
	int result = 0;

	if (!process->family)
		return -TETHER_EGONE;
	size_t room = count < PROTO_SITES_MAX ? count : PROTO_SITES_MAX;
	batch = calloc(room, sizeof(*batch));
	if (!batch)
		return -ENOMEM;
	for (size_t i = 0; i < count && result == 0; i++) {
		result = read_and_prepare(process, &sites[i], &batch[plant.items]);
		if (result == 0)
			plant.items++;
		if (plant.items && (plant.items == room || i + 1 == count || result < 0)) {
			int sent = family_send(process->family, PROTO_REQ_plant, &plant, batch, plant.items,
					       answered, operation);
			if (sent < 0)
				result = sent;
			else if (operation)
				operation->outstanding++;
			plant.items = 0;
		}
	}
	free(batch);
	return result;
}

void plant_and_answer(struct tether *process, const struct site_request *sites, size_t count, uint64_t question,
		      enum proto_action action)
{
	enum { MOST = 4 };
	struct proto_site batch[MOST];
	struct proto_answer answer = { .question = question, .action = action, .gadget = process->rtld.gadget };

	for (size_t i = 0; i < count && i < MOST; i++)
		if (read_and_prepare(process, &sites[i], &batch[answer.items]) == 0)
			answer.items++;
	/* A broken line shows itself by end-of-file: the controller then lets everything go by itself. */
	(void)family_send(process->family, PROTO_REQ_answer, &answer, batch, answer.items, NULL, NULL);
}

/*
 * A thread that has run into a trap meanwhile is lost, and proc_mem.force_override can forbid the write. The
 * rest is saved by it, so it is done before anything else. Not checked is what stands around the byte: a
 * trap at an address where one of ours stood is ours.
 */
void plant_restore(const struct tether *process)
{
	struct site *site, *next;
	uint64_t start_time;
	int memory;

	if (process->observe || !process->space->sites || os_start_time(process->pid, &start_time) < 0 ||
	    start_time != process->start_time)
		return;
	memory = os_open_memory(process->pid, true);
	if (memory < 0)
		return;
	HASH_ITER(hh, process->space->sites, site, next)
	{
		unsigned char now[ARCH_TRAP_SIZE];

		if (sys(pread64, memory, now, sizeof(now), site->address) == (long)sizeof(now) &&
		    memcmp(now, arch_trap, sizeof(now)) == 0)
			sys(pwrite64, memory, site->home, sizeof(now), site->address);
	}
	sys(close, memory);
}

void plant_hide(const struct tether *process, vaddr_t address, uint8_t *bytes, size_t length)
{
	const struct site *site, *next;

	/* Few sites in a long read, or many sites and a short read: walk the shorter. */
	if (HASH_COUNT(process->space->sites) > length) {
		for (size_t i = 0; i < length; i++) {
			site = bytes[i] == arch_trap[0] ? site_at(process->space, address + i) : NULL;
			if (site)
				bytes[i] = site->home[0];
		}
		return;
	}
	HASH_ITER(hh, process->space->sites, site, next)
	{
		if (site->address >= address && site->address - address < length &&
		    bytes[site->address - address] == arch_trap[0])
			bytes[site->address - address] = site->home[0];
	}
}

static void prepare_probes(struct tether *process, const struct probe_site *sites, const struct text *text, size_t count,
			   bool *bad, struct proto_site *batch, uint32_t *items)
{
	for (size_t i = 0; i < count; i++) {
		struct site_request request = {
			.address = sites[i].address,
			.id = SITE_PROBE,
			.flags = PROTO_SITE_PROBE,
		};
		struct proto_site *site = &batch[*items];

		bad[i] = prepare(process, &request, &text[i], site) < 0;
		if (bad[i])
			continue;
		memcpy(site->counter, sites[i].counter, sizeof(site->counter));
		memcpy(site->thread, sites[i].thread, sizeof(site->thread));
		memcpy(site->wants, sites[i].wants, sizeof(site->wants));
		memcpy(site->returns, sites[i].returns, sizeof(site->returns));
		++*items;
	}
}

int plant_probe(struct tether *process, const struct probe_site *sites, size_t count, bool *bad, answer_fn *answered,
		struct operation *operation)
{
	struct proto_plant plant = { .pid = (uint32_t)process->pid, .gadget = process->rtld.gadget };
	struct proto_site *batch = calloc(count, sizeof(*batch));
	vaddr_t *address = calloc(count, sizeof(*address));
	struct text *text = calloc(count, sizeof(*text));
	int result = batch && address && text ? 0 : -ENOMEM;

	if (result == 0) {
		for (size_t i = 0; i < count; i++)
			address[i] = sites[i].address;
		read_text(process, address, count, text);
		prepare_probes(process, sites, text, count, bad, batch, &plant.items);
		if (plant.items)
			result = process->family ? family_send(process->family, PROTO_REQ_plant, &plant, batch,
							       plant.items, answered, operation)
						 : -TETHER_EGONE;
	}
	free(batch);
	free(address);
	free(text);
	return result < 0 ? result : (int)plant.items;
}

void plant_changed(struct space *space, vaddr_t address, const uint8_t *bytes, size_t length)
{
	struct site *site, *next;

	HASH_ITER(hh, space->sites, site, next)
	{
		if (site->address >= address && site->address - address < length)
			memcpy(site->home, bytes + (site->address - address), ARCH_TRAP_SIZE);
	}
}

void plant_comes(struct tether *process)
{
	const struct proto_plant nothing = { 0 };

	if (process->family)
		(void)family_send(process->family, PROTO_REQ_plant, &nothing, NULL, 0, NULL, NULL);
}

void plant_forget(struct space *space, vaddr_t address, enum site_part part)
{
	struct site *site = site_at(space, address);

	if (!site)
		return;
	site->parts &= ~(uint32_t)part;
	if (!site->parts) {
		HASH_DEL(space->sites, site);
		free(site);
	}
}

/* ---- process/plant.h -------------------------------------------------------------------------------------
 */

static void planted(struct family *family, struct operation *operation, const void *body)
{
	const struct proto_planted *answer = body;

	(void)family;
	operation_arrive(operation, answer ? answer->result : -TETHER_ELOST);
}

void plain_answer(struct family *family, struct operation *operation, const void *body)
{
	const struct proto_result *answer = body;

	(void)family;
	operation_arrive(operation, answer ? answer->result : -TETHER_ELOST);
}

static void start_plant(struct operation *operation)
{
	struct tether *process = operation->process;
	struct site_request *sites = calloc(operation->count, sizeof(*sites));
	int result = sites ? 0 : -ENOMEM;

	operation->outstanding = 1; /* our own part, so that an early answer does not finish it */
	for (size_t i = 0; sites && i < operation->count; i++)
		sites[i] = (struct site_request){ .address = operation->addresses[i],
						  .id = SITE_FIRST_FREE + i,
						  .flags = PROTO_SITE_COUNT };
	if (sites)
		result = plant_sites(process, sites, operation->count, planted, operation);
	free(sites);
	operation_arrive(operation, result);
}

static void start_lift(struct operation *operation)
{
	struct tether *process = operation->process;
	enum { BATCH = 4096 };
	int result = process->family ? 0 : -TETHER_EGONE;

	operation->outstanding = 1;
	for (size_t at = 0; at < operation->count && result == 0; at += BATCH) {
		size_t items = operation->count - at < BATCH ? operation->count - at : BATCH;
		struct proto_lift lift = { .pid = (uint32_t)process->pid, .items = (uint32_t)items };
		result = family_send(process->family, PROTO_REQ_lift, &lift, operation->addresses + at, items,
				     plain_answer, operation);
		if (result == 0)
			operation->outstanding++;
	}
	operation_arrive(operation, result);
}

static int run_on_addresses(struct tether *process, const vaddr_t *address, size_t count,
			    void (*start)(struct operation *))
{
	struct table *table = process->table;
	int result = table_enter(table);

	if (result < 0)
		return result;
	struct operation *operation = process->observe ? NULL : operation_new(table, start);
	if (!operation) {
		table_leave(table);
		return process->observe ? -TETHER_EMODE : -ENOMEM;
	}
	handle_pin(process);
	operation->process = process;
	operation->addresses = address;
	operation->count = count;
	/* Without bound: the addresses are the caller's, and the controller answers or dies. */
	result = operation_run(operation, 0);
	table_leave(table);
	operation_put(operation);
	return result;
}

int process_plant(struct tether *process, const vaddr_t *address, size_t count)
{
	return run_on_addresses(process, address, count, start_plant);
}

int process_lift(struct tether *process, const vaddr_t *address, size_t count)
{
	return run_on_addresses(process, address, count, start_lift);
}
