/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * probe/ring.c - records of calls, taken from the ring that is shared with the controller (proto.h)
 *
 * Each record says how many events were sent before it, so it is handed over behind those and before the next one. Whom it
 * concerns is told by counters, which are never used again: it finds nobody where that breakpoint has gone meanwhile. The
 * controller may lie: nothing is read that is not in the ring, and what makes no sense ends the reading of it, for good.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "os/sys.h"
#include "probe/inside.h"
#include "process/call_stack.h"

/* Control thread. */
struct calls {
	struct proto_ring *shared;
	unsigned char *bytes;
	uint64_t tail;
	uint64_t lost_told; /* of those that found no room in the ring */
	uint64_t dropped;   /* nor in the queue, and not told yet */
	bool broken;
	unsigned char *record; /* of the largest size: taken out before it is looked at */
};
enum {
	SHARED_BYTES = PROTO_RING_PAGE + RING_BYTES,
	RECORD_MAX = sizeof(struct proto_call) + sizeof(struct proto_call_stack) + PROTO_REGS + MAX_CALL_STACK,
};

/* ---- one record ------------------------------------------------------------------------------------------ */

static bool stack_of(const struct proto_call *from, struct call_stack *ret)
{
	const unsigned char *bytes = (const unsigned char *)(from + 1);

	if (from->stack_bytes < sizeof(ret->head))
		return false;
	memcpy(&ret->head, bytes, sizeof(ret->head));
	ret->bytes = bytes + sizeof(ret->head);
	return ret->head.regs_size <= PROTO_REGS && ret->head.length <= MAX_CALL_STACK &&
	       sizeof(ret->head) + ret->head.regs_size + ret->head.length == from->stack_bytes;
}

static struct tether_call call_of(const struct proto_call *from, struct tether *process, const struct spot *spot)
{
	struct tether_call call = {
		.size = sizeof(call),
		.kind = from->kind == PROTO_CALL ? TETHER_CALL : TETHER_RETURN,
		.depth = from->depth,
		.breakpoint = spot->breakpoint,
		.process = process,
		.pid = from->pid,
		.tid = from->tid,
		.t_ns = from->t_ns,
		.address = from->function,
		.caller = from->caller,
		.object = spot->object,
		.symbol = spot->symbol,
		.value = from->value,
		.elapsed_ns = from->elapsed_ns,
	};

	static_assert(sizeof(call.argument) == sizeof(from->argument), "as many arguments");
	memcpy(call.argument, from->argument, sizeof(call.argument));
	return call;
}

/* To one breakpoint. True: that was its only one. Lock held. */
static bool tell(struct calls *calls, const struct proto_call *from, struct tether *process, const struct spot *spot)
{
	struct tether_breakpoint *breakpoint = spot->breakpoint;
	struct host *host = breakpoint->table->host;
	struct tether_call call = call_of(from, process, spot);
	struct call_stack stack = { .bytes = NULL };
	bool has_stack = breakpoint->flags & TETHER_BREAKPOINT_STACK && stack_of(from, &stack);

	stack.map = process->members ? process->members->map : NULL;
	if (breakpoint->removed || (!breakpoint->enabled && from->t_ns > breakpoint->disabled_ns))
		return false;
	if (from->kind == PROTO_CALL && (breakpoint->done || ++breakpoint->seen <= breakpoint->ignore))
		return false;
	calls->dropped += !host->post_call(host, &call, has_stack ? &stack : NULL);
	if (!(breakpoint->flags & TETHER_BREAKPOINT_ONCE))
		return false;
	breakpoint->done = true;
	breakpoint->enabled = false;
	breakpoint->disabled_ns = from->t_ns;
	return true;
}

/* What is missing in its place, before what comes then. Lock held. */
static void tell_lost(struct family *family, uint64_t lost, uint64_t t_ns)
{
	struct calls *calls = family->calls;
	struct table *table = family->table;
	struct tether_breakpoint *breakpoint;

	if (lost > calls->lost_told)
		calls->dropped += lost - calls->lost_told;
	calls->lost_told = lost > calls->lost_told ? lost : calls->lost_told;
	if (!calls->dropped)
		return;
	LIST_FOREACH(breakpoint, &table->breakpoints, entry)
		if (breakpoint->call && breakpoint->counters == family->counters && !breakpoint->removed)
			break;
	if (!breakpoint)
		return;
	struct tether_call call = {
		.size = sizeof(call),
		.kind = TETHER_CALLS_DROPPED,
		.breakpoint = breakpoint,
		.t_ns = t_ns,
		.object = "",
		.symbol = "",
		.dropped = calls->dropped,
	};
	if (table->host->post_call(table->host, &call, NULL))
		calls->dropped = 0;
}

static void deliver(struct family *family, const struct proto_call *from)
{
	struct table *table = family->table;
	struct tether *process = family_member(family, from->pid);
	struct tether_breakpoint *done[MAX_SITE_COUNTERS];
	size_t count = 0;

	pthread_mutex_lock(&table->lock);
	tell_lost(family, from->lost, from->t_ns);
	/* A child whose birth is kept because its parent's handle is locked. */
	if (!process)
		family->calls->dropped++;
	for (size_t i = 0; process && i < MAX_SITE_COUNTERS && from->counter[i]; i++) {
		struct spot *spot;

		HASH_FIND(by_counter, family->counters->spots, &from->counter[i], sizeof(from->counter[i]), spot);
		if (!spot || !tell(family->calls, from, process, spot))
			continue;
		probe_get(spot->breakpoint);
		done[count++] = spot->breakpoint;
	}
	pthread_mutex_unlock(&table->lock);
	for (size_t i = 0; i < count; i++) {
		breakpoint_take_out(done[i], NULL);
		pthread_mutex_lock(&table->lock);
		probe_put(done[i]);
		pthread_mutex_unlock(&table->lock);
	}
}

/* ---- the ring -------------------------------------------------------------------------------------------- */

static uint64_t head_of(const struct calls *calls)
{
	return __atomic_load_n(&calls->shared->head, __ATOMIC_SEQ_CST);
}

/* The record at the tail. NULL: there is none, or it is to wait, or it makes no sense. */
static const struct proto_call *take(struct calls *calls, uint64_t heard)
{
	uint64_t used = head_of(calls) - calls->tail, at = calls->tail % RING_BYTES, rest = RING_BYTES - at;
	struct proto_call *record = (struct proto_call *)(void *)calls->record;
	uint32_t begin[2];

	if (used == 0 || calls->broken)
		return NULL;
	calls->broken = true;
	if (used > RING_BYTES || used % 8)
		return NULL;
	memcpy(begin, calls->bytes + at, sizeof(begin));
	if (begin[1] == PROTO_CALL_FILLER) {
		if (begin[0] != rest || rest > used || at == 0)
			return NULL;
		calls->broken = false;
		calls->tail += rest;
		return take(calls, heard); /* at the beginning now, where no such is believed: once, whatever it says */
	}
	if (begin[0] < sizeof(*record) || begin[0] > RECORD_MAX || begin[0] > rest || begin[0] > used || begin[0] % 8)
		return NULL;
	memcpy(record, calls->bytes + at, begin[0]);
	record->size = begin[0];
	if (record->stack_bytes != record->size - sizeof(*record) || record->kind > PROTO_CALL_RETURN ||
	    record->kind == PROTO_CALL_FILLER)
		return NULL;
	calls->broken = false;
	return record->events <= heard ? record : NULL;
}

static void take_all(struct family *family, uint64_t heard)
{
	struct calls *calls = family->calls;
	const struct proto_call *record;

	while ((record = take(calls, heard))) {
		deliver(family, record);
		calls->tail += record->size;
		__atomic_store_n(&calls->shared->tail, calls->tail, __ATOMIC_RELEASE);
	}
}

void calls_take(struct family *family, uint64_t heard, bool sleeps)
{
	struct calls *calls = family->calls;

	take_all(family, heard);
	/* Before the next event, or the end: what was lost up to here. */
	if (heard == UINT64_MAX || sleeps) {
		pthread_mutex_lock(&family->table->lock);
		tell_lost(family, __atomic_load_n(&calls->shared->lost, __ATOMIC_RELAXED), os_now_ns());
		pthread_mutex_unlock(&family->table->lock);
	}
	if (!sleeps)
		return;
	/* Who writes looks at it after its record is there; what came before that is still to be taken. */
	__atomic_store_n(&calls->shared->waiting, 1, __ATOMIC_SEQ_CST);
	take_all(family, heard);
}

/* ---- its life -------------------------------------------------------------------------------------------- */

static struct calls *calls_new(int file)
{
	struct calls *calls = calloc(1, sizeof(*calls));

	if (!calls)
		return NULL;
	calls->record = malloc(RECORD_MAX);
	calls->shared = calls->record ? sealed_map(file, SHARED_BYTES, PROT_READ | PROT_WRITE) : NULL;
	if (!calls->shared) {
		free(calls->record);
		free(calls);
		return NULL;
	}
	calls->bytes = (unsigned char *)calls->shared + PROTO_RING_PAGE;
	calls->shared->waiting = 1;
	return calls;
}

void calls_free(struct family *family)
{
	struct calls *calls = family->calls;

	if (!calls)
		return;
	munmap(calls->shared, SHARED_BYTES);
	free(calls->record);
	free(calls);
	family->calls = NULL;
}

int calls_make(struct family *family, answer_fn *answered, struct operation *operation)
{
	const struct proto_empty nothing = { 0 };
	int file, result;

	if (family->calls)
		return 0;
	file = sealed_file("tether-calls", SHARED_BYTES);
	if (file < 0)
		return file;
	family->calls = calls_new(file);
	result = family->calls ? family_send_with(family, PROTO_REQ_ring, &nothing, NULL, 0, file, answered, operation)
			       : -ENOMEM;
	sys(close, file);
	if (result < 0)
		calls_free(family);
	return result < 0 ? result : 1;
}
