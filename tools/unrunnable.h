/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unrunnable.h - a command that could not be executed: why, and what would help
 */
#ifndef TOOLS_UNRUNNABLE_H
#define TOOLS_UNRUNNABLE_H

#include "output.h"

/* error: errno of execve(2). The exit status. */
int unrunnable(struct output *output, const char *file, int error);

#endif
