/* SPDX-License-Identifier: BSD-2-Clause */
#include "refusal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct search {
	struct output *output;
	const char *deed;
	int64_t pid;
	uint32_t access;
};

enum { SAID = 1 };

static int say(const struct tether_reason *reason, void *data)
{
	const struct search *search = data;
	char text[512];

	if (!(reason->forbids & search->access))
		return 0;
	snprintf(text, sizeof(text), "cannot %s %lld: %s", search->deed, (long long)search->pid,
		 reason->detail);
	output_error(search->output, tether_error_name(reason->code), text, reason->cure);
	return SAID;
}

/* Codes that say what the process is or who may, and not what became of it or of us. */
static bool is_judgement(int code)
{
	switch (abs(code)) {
	case EPERM:
	case EACCES:
	case TETHER_EGONE:
	case TETHER_ETRACED:
	case TETHER_EYAMA:
	case TETHER_EPRIV:
	case TETHER_EDUMPABLE:
	case TETHER_EKTHREAD:
	case TETHER_EZOMBIE:
	case TETHER_ESELF:
	case TETHER_ETHREAD:
	case TETHER_EMACHINE:
		return true;
	default:
		return false;
	}
}

void refusal(struct output *output, const char *deed, int64_t pid, uint32_t access, int code,
	     const struct tether_error *error)
{
	struct search search = { output, deed, pid, access };
	struct tether_verdict verdict = { .size = sizeof(verdict) };
	char what[64];

	if (is_judgement(code) && tether_diagnose(pid, &verdict, say, &search) == SAID)
		return;
	snprintf(what, sizeof(what), "cannot %s %lld", deed, (long long)pid);
	output_failure(output, what, code, error);
}
