/* SPDX-License-Identifier: BSD-2-Clause */
#include "returns.h"

#include <string.h>

struct tether_breakpoint *add(struct tether *process, struct tether_breakpoint_opts opts)
{
	if (!opts.where)
		opts.where = "*/returns*:returns_*";
	return breakpoint_add(process, opts);
}

static int sum(const struct tether_breakpoint_place *place, void *data)
{
	struct totals *totals = data;

	if (totals->only[0] && strcmp(totals->only, place->symbol) != 0)
		return 0;
	totals->calls += place->hits;
	totals->returns += place->returns;
	totals->missed += place->missed;
	totals->total_ns += place->total_ns;
	for (unsigned i = 0; place->latency && i < TETHER_LATENCY_BUCKETS; i++) {
		if (place->latency[i] && !totals->buckets)
			totals->low = i;
		if (place->latency[i])
			totals->high = i;
		totals->buckets += place->latency[i];
	}
	return 0;
}

struct totals totals_of(struct tether_breakpoint *breakpoint, const char *only)
{
	struct totals totals = { 0 };

	snprintf(totals.only, sizeof(totals.only), "%s", only);
	check_int(tether_breakpoint_functions(breakpoint, sum, &totals), 0);
	return totals;
}

struct totals done(struct victim *v)
{
	struct totals totals = { 0 };
	const char *line = victim_line(v);

	if (sscanf(line, "done %lu %lu", &totals.calls, &totals.returns) != 2)
		fail("the victim says '%s'", line);
	return totals;
}

struct totals after(struct victim *v, const char *word)
{
	victim_say(v, word);
	return done(v);
}

void check_counted(struct tether_breakpoint *breakpoint, const struct totals *told)
{
	struct totals counted = totals_of(breakpoint, "");

	check_int(counted.calls, told->calls);
	check_int(counted.returns, told->returns);
	check_int(counted.missed, 0);
}

void end(struct client *c, struct victim *v)
{
	client_close(c);
	check_untraced(v->pid);
	check_text_whole(v->pid);
	after(v, "call 10");
	check_int(victim_end(v), 0);
}

void count_one(const char *threads, const char *word)
{
	struct victim v = victim_start("returns", threads, NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct tether_breakpoint *all = add(process, (struct tether_breakpoint_opts){ .flags = COUNTED });
	struct totals told = after(&v, word);

	check(told.calls > 0);
	check_counted(all, &told);
	told = after(&v, "call 5");
	check_counted(all, &told);
	end(&c, &v);
}
