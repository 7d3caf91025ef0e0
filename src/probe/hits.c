/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * probe/hits.c - what happens to a process that has breakpoints
 */
#include <errno.h>
#include <stdlib.h>

#include "probe/inside.h"

static void new_code(struct tether *process)
{
	struct host *host = process->table->host;
	int result = place_all(process, NULL, NULL);

	member_map(process);
	if (result < 0)
		host->log(host, 1, "breakpoints of %lld: %s", (long long)process->pid, tether_strerror(result));
}

/* An address means nothing in another program. */
static void executed(struct tether *process)
{
	struct members *members = process->members;
	struct point *point, *next;

	pthread_mutex_lock(&process->table->lock);
	for (size_t i = members->count; i > 0; i--) {
		const struct tether_breakpoint *breakpoint = members->member[i - 1].breakpoint;

		if (!breakpoint->where.object)
			member_remove(process, breakpoint);
	}
	/* Without memory it has the old one: nothing of that stands. */
	HASH_ITER(hh, process->space->points, point, next)
	{
		point->uses = 0;
		point->planted = false;
	}
	pthread_mutex_unlock(&process->table->lock);
}

static void forked(struct tether *child, struct tether *parent, bool shares_memory, bool late)
{
	struct host *host = child->table->host;

	pthread_mutex_lock(&child->table->lock);
	int result = member_copy(child, parent);
	pthread_mutex_unlock(&child->table->lock);
	if (result == 0 && !shares_memory)
		result = place_copy(child, parent, late);
	if (result < 0)
		host->log(host, 1, "breakpoints of %lld: %s", (long long)child->pid, tether_strerror(result));
}

static bool concerns(const struct tether_breakpoint *breakpoint, int64_t tid)
{
	return (breakpoint->handler || breakpoint->stop) && breakpoint->enabled && !breakpoint->removed &&
	       (!breakpoint->tid || breakpoint->tid == tid);
}

/* A hit of one breakpoint: is it told? stop: of its thread, which stands; NULL: it does not. Lock held. */
static bool tell(struct tether *process, const struct proto_ev_hit *from, const struct use *use, struct stop *stop)
{
	struct tether_breakpoint *breakpoint = use->breakpoint;
	struct host *host = process->table->host;

	if (!concerns(breakpoint, from->event.tid))
		return false;
	struct tether_hit hit = {
		.size = sizeof(hit),
		.breakpoint = breakpoint,
		.process = process,
		.pid = from->event.pid,
		.tid = from->event.tid,
		.t_ns = from->event.t_ns,
		.address = from->address,
		.number = ++breakpoint->seen,
		.object = use->spot->object,
		.symbol = use->spot->symbol,
		.offset = use->spot->offset,
		.argument = { from->arg0, from->arg1 },
	};
	if (hit.number <= breakpoint->ignore)
		return false;
	if (breakpoint->handler)
		host->post_hit(host, &hit);
	if (breakpoint->stop && stop) {
		probe_get(breakpoint);
		stop->hit[stop->count++] = hit;
		if (breakpoint->flags & TETHER_BREAKPOINT_FOREVER)
			stop->missed_ns = UINT64_MAX;
	} else if (breakpoint->stop) {
		breakpoint->missed++;
	}
	return breakpoint->handler || stop;
}

/* Lock held. True: it is the handler thread's now. */
static bool hand_on(struct table *table, struct stop *stop)
{
	if (!stop || !stop->count)
		return false;
	table->host->post_stop(table->host, stop);
	return true;
}

static bool hit(struct tether *process, const struct proto_ev_hit *from)
{
	struct table *table = process->table;
	struct tether_breakpoint *done[MAX_SITE_COUNTERS];
	uint64_t missed_ns = from->event.t_ns + table->host->question_ns;
	struct stop *stop = from->event.question ? stop_new(process, from->event.question, missed_ns) : NULL;
	bool stands;
	struct point *point;
	size_t count = 0;

	pthread_mutex_lock(&table->lock);
	HASH_FIND(hh, process->space->points, &from->address, sizeof(from->address), point);
	for (size_t i = 0; point && i < point->uses; i++) {
		struct tether_breakpoint *breakpoint = point->use[i].breakpoint;

		if (!tell(process, from, &point->use[i], stop) || !(breakpoint->flags & TETHER_BREAKPOINT_ONCE))
			continue;
		breakpoint->done = true;
		breakpoint->enabled = false;
		probe_get(breakpoint);
		done[count++] = breakpoint;
	}
	stands = hand_on(table, stop);
	pthread_mutex_unlock(&table->lock);
	if (stop && !stands)
		operation_put(&stop->operation);
	for (size_t i = 0; i < count; i++) {
		breakpoint_take_out(done[i], NULL);
		pthread_mutex_lock(&table->lock);
		probe_put(done[i]);
		pthread_mutex_unlock(&table->lock);
	}
	return stands;
}

static void gone(struct tether *process)
{
	members_free(process);
}

static void ended(struct family *family)
{
	pthread_mutex_lock(&family->table->lock);
	counters_put(family->counters);
	pthread_mutex_unlock(&family->table->lock);
	calls_free(family);
}

static void end(struct table *table)
{
	struct tether_breakpoint *breakpoint;

	while ((breakpoint = LIST_FIRST(&table->breakpoints))) {
		breakpoint->users = 1;
		probe_put(breakpoint);
	}
}

const struct probe_hooks probe_hooks = {
	.new_code = new_code,
	.executed = executed,
	.forked = forked,
	.hit = hit,
	.caller = returns_asked,
	.calls = calls_take,
	.gone = gone,
	.ended = ended,
	.end = end,
};
