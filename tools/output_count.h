/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * output_count.h - how often functions were called, and how long that took
 */
#ifndef TOOLS_OUTPUT_COUNT_H
#define TOOLS_OUTPUT_COUNT_H

#include "output.h"

struct output_count {
	int64_t pid; /* of the process that was asked about; its children are in the count */
	const char *object, *symbol; /* as it is shown */
	uint64_t offset; /* from the symbol */
	uint64_t count;
	/* How long calls took, with latency: TETHER_LATENCY_BUCKETS, as of struct tether_breakpoint_place; NULL: not asked. */
	const uint64_t *latency;
	uint64_t returns, missed, total_ns;
};

void output_count(struct output *output, const struct output_count *count);

#endif
