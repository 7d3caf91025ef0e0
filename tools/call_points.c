/* SPDX-License-Identifier: BSD-2-Clause */
#include "call_points.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "output_count.h"
#include "progress.h"

struct call_point {
	struct call_point *next;
	struct tether_breakpoint *breakpoint;
	const char *where;
	int64_t pid;
};

/* ---- breakpoints ------------------------------------------------------------------------------------------ */

static bool add(struct call_points *points, struct tether *handle, const char *where)
{
	struct tether_breakpoint_opts opts = {
		.size = sizeof(opts),
		.where = where,
		.flags = points->flags,
		.except = (const char *const *)points->options->except.word,
		.call = points->call,
		.data = points->data,
	};
	struct tether_error error = TETHER_ERROR_INIT;
	struct call_point *point = calloc(1, sizeof(*point));
	int result = point ? progress_breakpoint_add(handle, &opts, &point->breakpoint, &error) : -ENOMEM;

	if (result < 0) {
		free(point);
		/* One that has ended meanwhile was not called any more. */
		if (result == -TETHER_EGONE)
			return true;
		output_failure(points->output, "cannot look at calls", result, &error);
		return false;
	}
	point->where = where;
	point->pid = tether_pid(handle);
	point->next = points->points;
	points->points = point;
	return true;
}

bool call_points_add(struct call_points *points, struct tether *handle)
{
	for (size_t i = 0; i < points->options->functions.count; i++) {
		if (!add(points, handle, points->options->functions.word[i]))
			return false;
	}
	return true;
}

void call_points_disable(struct call_points *points)
{
	if (points->disabled)
		return;
	points->disabled = true;
	for (struct call_point *point = points->points; point; point = point->next)
		tether_breakpoint_enable(point->breakpoint, 0);
}

void call_points_free(struct call_points *points)
{
	struct call_point *point;

	while ((point = points->points)) {
		points->points = point->next;
		free(point);
	}
}

/* ---- counts ----------------------------------------------------------------------------------------------- */

/* The names are the library's; to be told apart by them, the shown ones may be equal. */
struct count {
	struct output_count shown;
	const char *symbol;
	uint64_t *latency;
};

struct counts {
	struct count *count;
	size_t used, room;
	int64_t pid;
	bool named; /* its function was given by its name, not by a pattern */
	bool failed;
};

static bool make_room(struct counts *counts)
{
	size_t room = counts->room ? counts->room * 2 : 64;
	struct count *grown;

	if (counts->used < counts->room)
		return true;
	grown = reallocarray(counts->count, room, sizeof(*grown));
	if (!grown)
		return false;
	counts->count = grown;
	counts->room = room;
	return true;
}

static int take(const struct tether_breakpoint_place *place, void *data)
{
	struct counts *counts = data;
	struct count *count;

	/* Of all that a pattern matches only what was called is worth a line. */
	if (!place->hits && !counts->named)
		return 0;
	if (!make_room(counts)) {
		counts->failed = true;
		return 1;
	}
	count = &counts->count[counts->used];
	*count = (struct count){
		.shown = {
			.pid = counts->pid,
			.object = place->object,
			.offset = place->offset,
			.count = place->hits,
			.returns = place->returns,
			.missed = place->missed,
			.total_ns = place->total_ns,
		},
		.symbol = place->symbol,
	};
	if (place->latency) {
		count->latency = malloc(TETHER_LATENCY_BUCKETS * sizeof(*count->latency));
		if (!count->latency) {
			counts->failed = true;
			return 1;
		}
		memcpy(count->latency, place->latency, TETHER_LATENCY_BUCKETS * sizeof(*count->latency));
		count->shown.latency = count->latency;
	}
	counts->used++;
	return 0;
}

static int by_function(const void *a, const void *b)
{
	const struct count *one = a, *other = b;
	int order = one->shown.pid < other->shown.pid ? -1 : one->shown.pid > other->shown.pid;

	order = order ? order : strcmp(one->shown.object, other->shown.object);
	order = order ? order : strcmp(one->symbol, other->symbol);
	if (!order)
		order = one->shown.offset < other->shown.offset ? -1 : one->shown.offset > other->shown.offset;
	/* of two patterns that meet, the one that was there first */
	if (!order)
		order = one->shown.count > other->shown.count ? -1 : one->shown.count < other->shown.count;
	return order;
}

static int by_count(const void *a, const void *b)
{
	const struct count *one = a, *other = b;

	if (one->shown.count != other->shown.count)
		return one->shown.count > other->shown.count ? -1 : 1;
	return by_function(a, b);
}

static bool same_function(const struct count *one, const struct count *other)
{
	return one->shown.pid == other->shown.pid && one->shown.offset == other->shown.offset &&
	       !strcmp(one->shown.object, other->shown.object) && !strcmp(one->symbol, other->symbol);
}

/* A function that several patterns match is shown once. */
static void merge(struct counts *counts)
{
	size_t kept = 0;

	if (counts->used)
		qsort(counts->count, counts->used, sizeof(*counts->count), by_function);
	for (size_t i = 0; i < counts->used; i++) {
		if (kept && same_function(&counts->count[kept - 1], &counts->count[i]))
			free(counts->count[i].latency);
		else
			counts->count[kept++] = counts->count[i];
	}
	counts->used = kept;
	if (kept)
		qsort(counts->count, kept, sizeof(*counts->count), by_count);
}

static void show(const struct call_points *points, struct count *count)
{
	int wanted = points->options->raw ? 0 : tether_demangle(count->symbol, NULL, 0);
	char *people = wanted > 0 ? malloc((size_t)wanted) : NULL;

	count->shown.symbol = count->symbol;
	if (people && tether_demangle(count->symbol, people, (size_t)wanted) > 0)
		count->shown.symbol = people;
	output_count(points->output, &count->shown);
	free(people);
}

/* Or a pattern? */
static bool is_name(const char *where)
{
	return !strpbrk(where, "*?[");
}

bool call_points_counts(struct call_points *points)
{
	struct counts counts = { 0 };

	for (const struct call_point *point = points->points; point; point = point->next) {
		counts.pid = point->pid;
		counts.named = is_name(point->where);
		tether_breakpoint_functions(point->breakpoint, take, &counts);
	}
	merge(&counts);
	if (counts.failed)
		output_error(points->output, "ENOMEM", "out of memory: not all counts are shown", "");
	for (size_t i = 0; i < counts.used; i++) {
		show(points, &counts.count[i]);
		free(counts.count[i].latency);
	}
	free(counts.count);
	return !counts.failed;
}

static int add_missed(const struct tether_breakpoint_place *place, void *data)
{
	*(uint64_t *)data += place->missed;
	return 0;
}

static void remark_missed(const struct call_points *points, const struct call_point *point)
{
	uint64_t missed = 0;

	tether_breakpoint_functions(point->breakpoint, add_missed, &missed);
	if (missed)
		output_note(points->output, "%lld: of %llu calls of '%s' the return could not be waited for", (long long)point->pid,
			    (unsigned long long)missed, point->where);
}

void call_points_remarks(const struct call_points *points)
{
	for (const struct call_point *point = points->points; point; point = point->next) {
		struct tether_breakpoint_info info = { .size = sizeof(info) };

		if (tether_breakpoint_info_get(point->breakpoint, &info) < 0)
			continue;
		if (!info.functions)
			output_note(points->output, "%lld: nothing was found for '%s'", (long long)point->pid, point->where);
		if (info.inactive)
			output_note(points->output, "%lld: %llu places of '%s' could not be looked at", (long long)point->pid,
				    (unsigned long long)info.inactive, point->where);
		/* A pattern that meets such a one is no wish for it. */
		if (info.unresolved && is_name(point->where))
			output_note(points->output, "%lld: which function the linker has chosen for '%s' was not known all the time",
				    (long long)point->pid, point->where);
		if (points->flags & TETHER_BREAKPOINT_RETURN)
			remark_missed(points, point);
	}
}
