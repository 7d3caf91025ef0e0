/* SPDX-License-Identifier: BSD-2-Clause */
#include "process/handle.h"

void stats_add(struct proto_stats *sum, const struct proto_stats *more)
{
	sum->stops += more->stops;
	sum->hits += more->hits;
	sum->emulated += more->emulated;
	sum->slot += more->slot;
	sum->in_place += more->in_place;
	sum->dropped += more->dropped;
	sum->pause_ns_total += more->pause_ns_total;
	if (sum->pause_ns_max < more->pause_ns_max)
		sum->pause_ns_max = more->pause_ns_max;
}

static void add_to(struct operation *operation, const struct proto_stats *more)
{
	struct tether_stats *stats = &operation->stats;

	stats->stops += more->stops;
	stats->hits += more->hits;
	stats->dropped += more->dropped;
	stats->steps_emulated += more->emulated;
	stats->steps_slot += more->slot;
	stats->steps_in_place += more->in_place;
	stats->pause_ns_total += more->pause_ns_total;
	if (stats->pause_ns_max < more->pause_ns_max)
		stats->pause_ns_max = more->pause_ns_max;
}

/* A controller that ended in between has said its last words already, or will be counted the next time. */
static void one_answered(struct family *family, struct operation *operation, const void *body)
{
	(void)family;
	if (body)
		add_to(operation, body);
	operation_arrive(operation, 0);
}

void stats_start(struct operation *operation)
{
	struct table *table = operation->table;
	struct proto_empty nothing = { 0 };
	struct family *family;

	operation->outstanding = 1;
	pthread_mutex_lock(&table->lock);
	add_to(operation, &table->retired);
	operation->stats.processes = table->processes;
	pthread_mutex_unlock(&table->lock);
	LIST_FOREACH(family, &table->families, entry)
		if (family_send(family, PROTO_REQ_stats, &nothing, NULL, 0, one_answered, operation) == 0)
			operation->outstanding++;
	one_answered(NULL, operation, NULL);
}
