/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * refusal.h - a process may not be held: exactly why, and what would allow it
 *
 * What the library returns names a class; tether_diagnose() finds the very user, tracer or setting.
 */
#ifndef TOOLS_REFUSAL_H
#define TOOLS_REFUSAL_H

#include "output.h"

/* deed: "grab"; access: the enum tether_access that it needed; error: of the library, or NULL. */
void refusal(struct output *output, const char *deed, int64_t pid, uint32_t access, int code,
	     const struct tether_error *error);

#endif
