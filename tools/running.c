/* SPDX-License-Identifier: BSD-2-Clause */
#include "running.h"

#include "common.h"
#include "unrunnable.h"

int running_refused(struct output *output, const char *file, int result, const struct tether_error *error)
{
	switch (-result) {
	case TETHER_EEXEC:
		if (error->system_error)
			return unrunnable(output, file, error->system_error);
		break;
	case TETHER_EEXITED:
		output_failure(output, "cannot stop it", result, error);
		return error->status;
	case TETHER_ESIGNALED:
		output_failure(output, "cannot stop it", result, error);
		output_flush(output);
		die_of(error->status);
	default:
		break;
	}
	output_failure(output, "cannot run the command", result, error);
	return STATUS_TETHER;
}

/* The command was let go before its end, and the kernel does not tell others than its parent how it ended. */
static int status_unknown(struct timeline *timeline)
{
	if (timeline->then_status >= 0)
		return timeline->then_status;
	output_error(timeline->output, tether_error_name(TETHER_ELOST),
		     "the command was let go before its end, and how it ended is not known", "");
	return STATUS_TETHER;
}

int running_status(struct timeline *timeline)
{
	switch (timeline->end) {
	case END_FIRST:
		return timeline->first_known ? timeline->first_code : status_unknown(timeline);
	case END_LEFT:
		return 0;
	case END_TIMEOUT:
		return STATUS_TIMEOUT;
	default:
		return STATUS_TETHER;
	}
}

int running_signal(const struct timeline *timeline)
{
	if (timeline->end == END_FIRST && timeline->first_known)
		return timeline->first_signal;
	return timeline->end == END_SIGNAL ? timeline->end_signal : 0;
}
