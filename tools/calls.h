/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * calls.h - what `tether calls` was asked for
 */
#ifndef TOOLS_CALLS_H
#define TOOLS_CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common.h"
#include "select.h"

/* Words given, each owned; ends with NULL. */
struct words {
	char **word;
	size_t count;
};

struct calls_options {
	struct common_options common;
	struct selection selection;
	struct words functions; /* "OBJECT:FUNCTION" each */
	struct words except;
	uint64_t duration_ns;
	uint64_t kinds; /* of -e: set of enum calls_kind; 0: none was given */
	uint64_t arguments;
	bool counts, returns, histograms; /* -c, --ret, --hist */
	bool stacks, raw, no_follow, low_latency;
};

/* Of -e. */
enum calls_kind { CALLS_CALL = 1 << 0, CALLS_RETURN = 1 << 1, CALLS_COUNT = 1 << 2, CALLS_KINDS = 7 };

#endif
