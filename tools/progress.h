/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * progress.h - long work shows on a terminal how far it is
 */
#ifndef TOOLS_PROGRESS_H
#define TOOLS_PROGRESS_H

#include <tether/tether.h>

/* tether_breakpoint_add(); when it lasts, and standard error is a terminal, a line there says so, and goes with its end. */
int progress_breakpoint_add(struct tether *process, const struct tether_breakpoint_opts *opts,
			    struct tether_breakpoint **ret, struct tether_error *err);

#endif
