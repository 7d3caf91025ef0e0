/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <string.h>

#include "verdict/judge.h"

static int visit_all(const struct judgement *judgement, tether_reason_fn *visit, void *data)
{
	int result = 0;

	for (size_t i = 0; i < judgement->count && result == 0; i++) {
		const struct reason *found = &judgement->reasons[i];
		struct tether_reason reason = {
			.size = sizeof(reason),
			.cause = found->cause,
			.forbids = found->forbids,
			.code = found->code,
			.other_pid = found->other_pid,
			.name = judge_cause_name(found->cause),
			.detail = found->detail,
			.cure = found->cure,
		};
		result = visit(&reason, data);
	}
	return result;
}

int tether_diagnose(int64_t pid, struct tether_verdict *ret, tether_reason_fn *visit, void *data)
{
	struct tether_verdict verdict = { .size = sizeof(verdict), .pid = pid };
	struct judgement judgement;
	struct facts facts;
	size_t given = ret->size;
	int result;

	if (pid < 0 || given < sizeof(verdict))
		return -TETHER_EINVALID;
	result = facts_gather(&facts, &source_proc, pid);
	if (result < 0)
		return result;
	judge(&judgement, &facts);
	verdict.access = judgement.access;
	verdict.reasons = (uint32_t)judgement.count;
	memcpy(ret, &verdict, sizeof(verdict));
	ret->size = given;
	return visit ? visit_all(&judgement, visit, data) : 0;
}
