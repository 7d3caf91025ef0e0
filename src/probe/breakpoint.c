/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * probe/breakpoint.c - the public calls
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "os/procfs.h"
#include "os/sys.h"
#include "probe/inside.h"
#include "process/answer.h"

/* ---- a breakpoint and its spots -------------------------------------------------------------------------- */

void probe_get(struct tether_breakpoint *breakpoint)
{
	breakpoint->users++;
}

void probe_put(struct tether_breakpoint *breakpoint)
{
	struct spot *spot;

	if (--breakpoint->users)
		return;
	if (breakpoint->listed)
		LIST_REMOVE(breakpoint, entry);
	HASH_CLEAR(hh, breakpoint->by_name);
	while ((spot = STAILQ_FIRST(&breakpoint->spots))) {
		STAILQ_REMOVE_HEAD(&breakpoint->spots, next);
		if (spot->by_counter.tbl)
			HASH_DELETE(by_counter, breakpoint->counters->spots, spot);
		free(spot);
	}
	counters_put(breakpoint->counters);
	if (breakpoint->process)
		handle_unpin(breakpoint->process);
	where_clear(&breakpoint->where);
	free(breakpoint);
}

void probe_deliver_call(const struct tether_call *call)
{
	struct tether_breakpoint *breakpoint = call->breakpoint;
	struct table *table = breakpoint->table;

	if (breakpoint->removed)
		return;
	pthread_mutex_unlock(&table->lock);
	breakpoint->call(call, breakpoint->data);
	pthread_mutex_lock(&table->lock);
}

void probe_deliver(const struct tether_hit *hit)
{
	struct tether_breakpoint *breakpoint = hit->breakpoint;
	struct table *table = breakpoint->table;

	if (breakpoint->removed)
		return;
	pthread_mutex_unlock(&table->lock);
	breakpoint->handler(hit, breakpoint->data);
	pthread_mutex_lock(&table->lock);
}

enum tether_answer probe_stop(const struct tether_hit *hit, bool late)
{
	struct tether_breakpoint *breakpoint = hit->breakpoint;
	struct table *table = breakpoint->table;

	if (breakpoint->removed)
		return TETHER_ANSWER_GO;
	if (late) {
		breakpoint->missed++;
		return TETHER_ANSWER_GO;
	}
	pthread_mutex_unlock(&table->lock);
	enum tether_answer answer = breakpoint->stop(hit, breakpoint->data);
	pthread_mutex_lock(&table->lock);
	return answer;
}

/* 0, or -ENOMEM: there are not so many. */
static int take_counters(struct spot *spot)
{
	const struct tether_breakpoint *breakpoint = spot->breakpoint;
	struct counters *counters = breakpoint->counters;

	spot->counter = counters_next(counters, 1);
	if (!spot->counter)
		return -ENOMEM;
	if (breakpoint->flags & TETHER_BREAKPOINT_RETURN) {
		bool timed = breakpoint->flags & TETHER_BREAKPOINT_LATENCY;

		spot->returns = counters_next(counters, timed ? PROTO_RETURNS_ALL : PROTO_RETURNS_PLAIN);
		if (!spot->returns)
			return -ENOMEM;
	}
	if (!breakpoint->call)
		return 0;
	HASH_ADD(by_counter, counters->spots, counter, sizeof(spot->counter), spot);
	return spot->by_counter.tbl ? 0 : -ENOMEM;
}

static struct spot *spot_new(struct tether_breakpoint *breakpoint, const char *object, const struct found *found)
{
	size_t object_size = strlen(object) + 1, symbol_size = strlen(found->name) + 1;
	struct spot *spot = calloc(1, sizeof(*spot) + object_size + symbol_size);

	if (!spot)
		return NULL;
	memcpy(spot->key, object, object_size);
	memcpy(spot->key + object_size, found->name, symbol_size);
	spot->key_length = object_size + symbol_size;
	spot->object = spot->key;
	spot->symbol = spot->key + object_size;
	spot->offset = found->offset;
	struct spot *known = NULL;
	HASH_FIND(hh, breakpoint->by_name, spot->key, spot->key_length, known);
	if (known) {
		free(spot);
		return known;
	}
	spot->breakpoint = breakpoint;
	if (take_counters(spot) == 0)
		HASH_ADD(hh, breakpoint->by_name, key, spot->key_length, spot);
	if (!spot->hh.tbl) {
		if (spot->by_counter.tbl)
			HASH_DELETE(by_counter, breakpoint->counters->spots, spot);
		free(spot);
		return NULL;
	}
	STAILQ_INSERT_TAIL(&breakpoint->spots, spot, next);
	breakpoint->spot_count++;
	return spot;
}

struct spot *breakpoint_spot(struct tether_breakpoint *breakpoint, const char *object, const struct found *found)
{
	return spot_new(breakpoint, object, found);
}

uint64_t breakpoint_hits(const struct tether_breakpoint *breakpoint)
{
	const struct spot *spot;
	uint64_t hits = 0;

	/* What came between the one hit and its lift was told to nobody. */
	if (breakpoint->done)
		return breakpoint->seen;
	STAILQ_FOREACH(spot, &breakpoint->spots, next)
		hits += counters_read(breakpoint->counters, spot->counter);
	return hits;
}

/* ---- control thread -------------------------------------------------------------------------------------- */

struct call {
	struct operation operation;
	struct tether_breakpoint *breakpoint; /* kept by who waits */
	bool enable;
};

/* Control thread, lock not held. Needs no memory: what is removed must be out everywhere. */
static void each_concerned(struct tether_breakpoint *breakpoint,
			   void (*visit)(struct tether *process, struct tether_breakpoint *breakpoint,
					 struct operation *operation),
			   struct operation *operation)
{
	struct table *table = breakpoint->table;
	struct tether *process, *next;

	pthread_mutex_lock(&table->lock);
	process = LIST_FIRST(&table->all);
	while (process) {
		handle_pin(process); /* so it stays in the list */
		if (member_of(process, breakpoint)) {
			pthread_mutex_unlock(&table->lock);
			visit(process, breakpoint, operation);
			pthread_mutex_lock(&table->lock);
		}
		next = LIST_NEXT(process, known);
		handle_unpin(process);
		process = next;
	}
	pthread_mutex_unlock(&table->lock);
}

static void take_out(struct tether *process, struct tether_breakpoint *breakpoint, struct operation *operation)
{
	place_remove(process, breakpoint, operation);
	returns_trim(process, operation);
}

static void put_in(struct tether *process, struct tether_breakpoint *breakpoint, struct operation *operation)
{
	(void)place_all(process, breakpoint, operation);
}

void breakpoint_take_out(struct tether_breakpoint *breakpoint, struct operation *operation)
{
	each_concerned(breakpoint, take_out, operation);
}

static int add(struct call *call)
{
	struct operation *operation = &call->operation;
	struct tether_breakpoint *breakpoint = call->breakpoint;
	struct tether *process = breakpoint->process;
	struct family *family = process->family;
	int result = family ? counters_make(family, plain_answer, operation) : -TETHER_EGONE;

	if (result < 0)
		return result;
	operation->outstanding += (unsigned)result;
	result = breakpoint->call ? calls_make(family, plain_answer, operation) : 0;
	if (result < 0)
		return result;
	operation->outstanding += (unsigned)result;
	pthread_mutex_lock(&breakpoint->table->lock);
	breakpoint->counters = family->counters;
	breakpoint->counters->users++;
	result = member_add(process, breakpoint);
	pthread_mutex_unlock(&breakpoint->table->lock);
	if (result == 0 && breakpoint->flags & TETHER_BREAKPOINT_STACK)
		member_map(process);
	return result == 0 && breakpoint->enabled ? place_all(process, breakpoint, operation) : result;
}

static void start_add(struct operation *operation)
{
	operation->outstanding = 1; /* our own part, so that an early answer does not finish it */
	operation_arrive(operation, add((struct call *)operation));
}

static void start_enable(struct operation *operation)
{
	struct call *call = (struct call *)operation;
	struct tether_breakpoint *breakpoint = call->breakpoint;
	struct table *table = breakpoint->table;

	operation->outstanding = 1;
	pthread_mutex_lock(&table->lock);
	bool same = breakpoint->enabled == call->enable;
	int result = breakpoint->done && call->enable ? -TETHER_ESTATE : 0;
	if (result == 0)
		breakpoint->enabled = call->enable;
	breakpoint->disabled_ns = os_now_ns();
	pthread_mutex_unlock(&table->lock);
	if (result == 0 && !same)
		each_concerned(breakpoint, call->enable ? put_in : take_out, operation);
	operation_arrive(operation, result);
}

static void start_remove(struct operation *operation)
{
	struct tether_breakpoint *breakpoint = ((struct call *)operation)->breakpoint;
	struct table *table = breakpoint->table;
	struct tether *process;

	operation->outstanding = 1;
	pthread_mutex_lock(&table->lock);
	breakpoint->removed = true;
	breakpoint->enabled = false;
	pthread_mutex_unlock(&table->lock);
	breakpoint_take_out(breakpoint, operation);
	pthread_mutex_lock(&table->lock);
	LIST_FOREACH(process, &table->all, known)
		member_remove(process, breakpoint);
	pthread_mutex_unlock(&table->lock);
	operation_arrive(operation, 0);
}

/* Lock held, given up meanwhile. */
static int run(struct tether_breakpoint *breakpoint, void (*start)(struct operation *), bool enable)
{
	struct table *table = breakpoint->table;
	struct call *call = (struct call *)operation_new_sized(table, start, sizeof(*call));

	if (!call)
		return -ENOMEM;
	call->breakpoint = breakpoint;
	call->enable = enable;
	/* Without bound: the controller answers or dies. */
	int result = operation_run(&call->operation, 0);
	pthread_mutex_unlock(&table->lock);
	operation_put(&call->operation);
	pthread_mutex_lock(&table->lock);
	return result;
}

/* ---- calling thread -------------------------------------------------------------------------------------- */

static int check(const struct tether_breakpoint_opts *opts)
{
	const uint32_t flags = TETHER_BREAKPOINT_ONCE | TETHER_BREAKPOINT_DISABLED | TETHER_BREAKPOINT_COUNT |
			       TETHER_BREAKPOINT_FOREVER | TETHER_BREAKPOINT_RETURN | TETHER_BREAKPOINT_LATENCY |
			       TETHER_BREAKPOINT_STACK;
	bool counts = opts->flags & TETHER_BREAKPOINT_COUNT, called = opts->handler || opts->stop || opts->call;
	bool returns = opts->flags & TETHER_BREAKPOINT_RETURN;

	if (opts->call && (opts->handler || opts->stop || !opts->where))
		return -TETHER_EINVALID;
	if (returns && (opts->handler || opts->stop || opts->ignore || opts->flags & TETHER_BREAKPOINT_ONCE || !opts->where))
		return -TETHER_EINVALID;
	if ((opts->flags & TETHER_BREAKPOINT_LATENCY && !returns) ||
	    (opts->flags & TETHER_BREAKPOINT_STACK && !opts->call))
		return -TETHER_EINVALID;
	if (opts->flags & ~flags || opts->reserved || (opts->where != NULL) == (opts->address != 0) ||
	    (opts->except && !opts->where))
		return -TETHER_EINVALID;
	if (opts->tid < 0 || opts->tid > INT32_MAX || (opts->flags & TETHER_BREAKPOINT_FOREVER && !opts->stop))
		return -TETHER_EINVALID;
	if (counts && (called || opts->ignore || opts->flags & TETHER_BREAKPOINT_ONCE))
		return -TETHER_EINVALID;
	return counts || called ? 0 : -TETHER_EINVALID;
}

/* Its thread is there, and somebody to call its handler. */
static int ready(const struct tether *process, const struct tether_breakpoint_opts *opts)
{
	struct host *host = process->table->host;
	struct os_task_status status;

	if (opts->tid && (os_task_status(opts->tid, &status) < 0 || status.tgid != process->pid))
		return -TETHER_ENOTFOUND;
	return opts->stop && !process->observe ? host->start_handler(host) : 0;
}

/* Files are read by who asks, not by the thread that all victims depend on. */
static void read_tables(struct tether *process, const struct where *where)
{
	struct reader memory = process_plain_reader(process);
	struct symbol_file *table;
	struct looking looking;

	if (where->object && names_look(process, true, &looking) == 0) {
		for (size_t i = 0; i < looking.view->count; i++)
			if (where_is_object(where, &looking.view->object[i], &memory))
				(void)view_table(&looking.view->object[i], &looking.access, &table);
		names_put(&looking);
	}
}

static struct tether_breakpoint *breakpoint_new(struct tether *process, const struct tether_breakpoint_opts *opts,
						const struct where *where)
{
	struct tether_breakpoint *breakpoint = calloc(1, sizeof(*breakpoint));

	if (!breakpoint)
		return NULL;
	breakpoint->table = process->table;
	breakpoint->where = *where;
	breakpoint->where.address = opts->address;
	breakpoint->flags = opts->flags;
	breakpoint->ignore = opts->ignore;
	breakpoint->where.calls = opts->flags & TETHER_BREAKPOINT_RETURN;
	breakpoint->handler = opts->handler;
	breakpoint->stop = opts->stop;
	breakpoint->tid = opts->tid;
	breakpoint->call = opts->call;
	breakpoint->data = opts->data;
	breakpoint->users = 1;
	breakpoint->enabled = !(opts->flags & TETHER_BREAKPOINT_DISABLED);
	STAILQ_INIT(&breakpoint->spots);
	return breakpoint;
}

/* Lock held. */
static int may_plant(const struct tether *process)
{
	if (process->observe)
		return -TETHER_EMODE;
	if (process->state == TETHER_STATE_LOST)
		return -TETHER_ELOST;
	if (process->state != TETHER_STATE_RUNNING && process->state != TETHER_STATE_PARKED)
		return -TETHER_EGONE;
	return process->monitored ? 0 : -TETHER_EMONITOR;
}

/* Lock held. One by address that does not stand says why. */
static int stands(const struct tether_breakpoint *breakpoint)
{
	const struct tether *process = breakpoint->process;
	const struct point *point;

	if (breakpoint->where.object || !breakpoint->enabled)
		return 0;
	if (may_plant(process) < 0)
		return may_plant(process);
	HASH_FIND(hh, process->space->points, &breakpoint->where.address, sizeof(breakpoint->where.address), point);
	return point && point->planted ? 0 : -TETHER_EMEMORY;
}

/* Lock held, given up meanwhile. Takes the breakpoint. */
static int try_add(struct tether_breakpoint *breakpoint, struct tether *process)
{
	int result = may_plant(process);

	if (result == 0) {
		handle_pin(process);
		breakpoint->process = process;
		LIST_INSERT_HEAD(&breakpoint->table->breakpoints, breakpoint, entry);
		breakpoint->listed = true;
		result = run(breakpoint, start_add, false);
		if (result == 0 && !breakpoint->done)
			result = stands(breakpoint);
		if (result == 0)
			return 0;
		/* The session is closing: what the control thread may still be about goes at its end, as all do. */
		if (result == -TETHER_ECLOSED || run(breakpoint, start_remove, false) < 0)
			return result;
		breakpoint->table->host->purge_hits(breakpoint->table->host, breakpoint);
	}
	probe_put(breakpoint);
	return result;
}

int tether_breakpoint_add(struct tether *process, const struct tether_breakpoint_opts *given,
			  struct tether_breakpoint **ret, struct tether_error *err)
{
	struct error_details details = { .pid = process->pid };
	struct tether_breakpoint_opts opts;
	struct where where = { 0 };
	struct symbol_fetching no_fetching; /* of servers: it waits for nobody */
	int result = error_check(err);

	if (result < 0)
		return result;
	if (options_copy(&opts, sizeof(opts), given) < 0 || check(&opts) < 0)
		return error_fill(err, TETHER_EINVALID, &details, "cannot add a breakpoint to %lld",
				  (long long)process->pid);
	result = ready(process, &opts);
	if (result == 0 && opts.where)
		result = where_parse(&where, opts.where, opts.except);
	if (result == 0 && where.offset && opts.flags & TETHER_BREAKPOINT_RETURN)
		result = -TETHER_EINVALID;
	if (result == -TETHER_EINVALID)
		details.cure = "give OBJECT:FUNCTION or OBJECT:FUNCTION+OFFSET";
	if (result == 0)
		result = answer_begin(process, 0, &no_fetching);
	if (result < 0) {
		where_clear(&where);
		return error_fill(err, result, &details, "cannot add a breakpoint at '%.256s'", opts.where ? opts.where : "");
	}
	read_tables(process, &where);
	struct tether_breakpoint *breakpoint = breakpoint_new(process, &opts, &where);
	pthread_mutex_lock(&process->table->lock);
	if (!breakpoint)
		where_clear(&where);
	result = breakpoint ? try_add(breakpoint, process) : -ENOMEM;
	table_leave(process->table);
	if (result == 0)
		*ret = breakpoint;
	else if (opts.where)
		error_fill(err, result, &details, "cannot add a breakpoint at '%.256s' to %lld", opts.where,
			   (long long)process->pid);
	else
		error_fill(err, result, &details, "cannot add a breakpoint at 0x%llx to %lld",
			   (unsigned long long)opts.address, (long long)process->pid);
	return result;
}

int tether_breakpoint_remove(struct tether_breakpoint *breakpoint)
{
	struct table *table;
	int result;

	if (!breakpoint)
		return 0;
	table = breakpoint->table;
	result = table_enter(table);
	if (result < 0)
		return result;
	result = run(breakpoint, start_remove, false);
	if (result != -ENOMEM && result != -TETHER_ECLOSED) {
		table->host->purge_hits(table->host, breakpoint);
		probe_put(breakpoint);
		result = 0;
	}
	table_leave(table);
	return result;
}

int tether_breakpoint_enable(struct tether_breakpoint *breakpoint, int enabled)
{
	struct table *table = breakpoint->table;
	int result = table_enter(table);

	if (result < 0)
		return result;
	result = run(breakpoint, start_enable, enabled != 0);
	table_leave(table);
	return result;
}
