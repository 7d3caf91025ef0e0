/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * running.h - a command that was started as a victim: how its end becomes ours
 */
#ifndef TOOLS_RUNNING_H
#define TOOLS_RUNNING_H

#include "timeline.h"

/* The exit status after a create that failed; says why. */
int running_refused(struct output *output, const char *file, int result, const struct tether_error *error);
/* The exit status. */
int running_status(struct timeline *timeline);
/* The signal to die of, 0 for none. */
int running_signal(const struct timeline *timeline);

#endif
