/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * verdict/judge.h - from facts to reasons: the rules of ptrace(2), and nothing else
 *
 * Calls no system and allocates nothing: a test walks it with facts of machines that are not here.
 */
#ifndef VERDICT_JUDGE_H
#define VERDICT_JUDGE_H

#include <tether/diagnose.h>

#include "verdict/facts.h"

enum { REASONS_MAX = 16, REASON_TEXT = 320 };

struct reason {
	enum tether_cause cause;
	uint32_t forbids;
	int code;
	int64_t other_pid;
	char detail[REASON_TEXT], cure[REASON_TEXT];
};

struct judgement {
	uint32_t access; /* what is left of it */
	size_t count;
	struct reason reasons[REASONS_MAX]; /* refusals first */
};

void judge(struct judgement *ret, const struct facts *facts);
const char *judge_cause_name(enum tether_cause cause);

#endif
