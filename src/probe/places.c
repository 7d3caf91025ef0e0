/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * probe/places.c - how breakpoints stand, and what they have counted: told on the calling thread
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "probe/inside.h"

/* Called for each use of it; lock held. */
typedef void use_fn(const struct tether *process, const struct point *point, const struct spot *spot, void *data);

static void each_use(const struct tether_breakpoint *breakpoint, use_fn *visit, void *data)
{
	const struct tether *process;
	struct point *point, *next;

	LIST_FOREACH(process, &breakpoint->table->all, known) {
		if (!member_of(process, breakpoint))
			continue;
		HASH_ITER(hh, process->space->points, point, next)
			for (size_t i = 0; i < point->uses; i++)
				if (point->use[i].breakpoint == breakpoint)
					visit(process, point, point->use[i].spot, data);
	}
}

static void count_use(const struct tether *process, const struct point *point, const struct spot *spot, void *data)
{
	struct tether_breakpoint_info *info = data;

	(void)process;
	(void)spot;
	if (point->planted)
		info->standing++;
	else
		info->inactive++;
}

static uint64_t unresolved(const struct tether_breakpoint *breakpoint)
{
	const struct tether *process;
	uint64_t sum = 0;

	LIST_FOREACH(process, &breakpoint->table->all, known)
		for (size_t i = 0; process->members && i < process->members->count; i++)
			if (process->members->member[i].breakpoint == breakpoint)
				sum += process->members->member[i].unresolved;
	return sum;
}

int tether_breakpoint_info_get(struct tether_breakpoint *breakpoint, struct tether_breakpoint_info *ret)
{
	struct tether_breakpoint_info info = { 0 };
	size_t size = ret->size;
	int result;

	if (size < sizeof(size_t) + sizeof(uint64_t))
		return -TETHER_EINVALID;
	result = table_enter(breakpoint->table);
	if (result < 0)
		return result;
	info.hits = breakpoint_hits(breakpoint);
	info.functions = breakpoint->spot_count;
	info.enabled = breakpoint->enabled;
	info.done = breakpoint->done;
	info.missed = breakpoint->missed;
	each_use(breakpoint, count_use, &info);
	info.unresolved = unresolved(breakpoint);
	table_leave(breakpoint->table);
	info.size = size;
	memcpy(ret, &info, size < sizeof(info) ? size : sizeof(info));
	return 0;
}

/* Told when the lock is given up: the callback may call anything. */
struct listing {
	struct tether_breakpoint *breakpoint;
	struct tether_breakpoint_place *place;
	size_t count, room;
};

/* Its latencies are copied when it is visited. */
static void list_returns(const struct listing *listing, const struct spot *spot, struct tether_breakpoint_place *place)
{
	const struct counters *counters = listing->breakpoint->counters;

	place->returns = counters_read(counters, spot->returns + PROTO_RETURNS);
	place->missed = counters_read(counters, spot->returns + PROTO_RETURNS_MISSED);
	if (!(listing->breakpoint->flags & TETHER_BREAKPOINT_LATENCY))
		return;
	place->total_ns = counters_read(counters, spot->returns + PROTO_RETURNS_NS);
	place->latency = &counters->value[spot->returns + PROTO_RETURNS_BUCKET];
}

static void list(struct listing *listing, const struct spot *spot, struct tether_breakpoint_place place)
{
	place.size = sizeof(place);
	place.object = spot->object;
	place.symbol = spot->symbol;
	place.offset = spot->offset;
	place.hits = counters_read(listing->breakpoint->counters, spot->counter);
	if (spot->returns && !place.pid)
		list_returns(listing, spot, &place);
	if (listing->place && listing->count < listing->room)
		listing->place[listing->count] = place;
	listing->count++;
}

static void list_use(const struct tether *process, const struct point *point, const struct spot *spot, void *data)
{
	list(data, spot, (struct tether_breakpoint_place){
				 .pid = process->pid, .address = point->address, .standing = point->planted });
}

static void list_places(struct listing *listing)
{
	each_use(listing->breakpoint, list_use, listing);
}

static void count_standing(const struct tether *process, const struct point *point, const struct spot *spot, void *data)
{
	(void)process;
	(void)data;
	/* spots are this breakpoint's own, and only counted while the lock is held */
	((struct spot *)(uintptr_t)spot)->standing += point->planted;
}

static void list_functions(struct listing *listing)
{
	struct spot *spot;

	STAILQ_FOREACH(spot, &listing->breakpoint->spots, next)
		spot->standing = 0;
	each_use(listing->breakpoint, count_standing, NULL);
	STAILQ_FOREACH(spot, &listing->breakpoint->spots, next)
		list(listing, spot, (struct tether_breakpoint_place){ .standing = spot->standing });
}

static int visit_place(struct tether_breakpoint_place *place, tether_place_fn *visit, void *data)
{
	uint64_t latency[TETHER_LATENCY_BUCKETS];

	for (size_t i = 0; place->latency && i < TETHER_LATENCY_BUCKETS; i++)
		latency[i] = __atomic_load_n(&place->latency[i], __ATOMIC_RELAXED);
	place->latency = place->latency ? latency : NULL;
	return visit(place, data);
}

static int visit_all(struct tether_breakpoint *breakpoint, void (*fill)(struct listing *), tether_place_fn *visit,
		     void *data)
{
	struct listing listing = { .breakpoint = breakpoint };
	struct table *table = breakpoint->table;
	int result = visit ? table_enter(table) : -TETHER_EINVALID;

	if (result < 0)
		return result;
	fill(&listing);
	listing.room = listing.count;
	listing.place = calloc(listing.room + 1, sizeof(*listing.place));
	listing.count = 0;
	if (listing.place)
		fill(&listing);
	probe_get(breakpoint);
	pthread_mutex_unlock(&table->lock);
	if (!listing.place)
		result = -ENOMEM;
	for (size_t i = 0; i < listing.count && result == 0; i++)
		result = visit_place(&listing.place[i], visit, data);
	free(listing.place);
	pthread_mutex_lock(&table->lock);
	probe_put(breakpoint);
	table_leave(table);
	return result;
}

int tether_breakpoint_places(struct tether_breakpoint *breakpoint, tether_place_fn *visit, void *data)
{
	return visit_all(breakpoint, list_places, visit, data);
}

int tether_breakpoint_functions(struct tether_breakpoint *breakpoint, tether_place_fn *visit, void *data)
{
	return visit_all(breakpoint, list_functions, visit, data);
}
