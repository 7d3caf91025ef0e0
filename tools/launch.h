/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * launch.h - start a command that nobody holds: a plain child, as a shell would start it
 */
#ifndef TOOLS_LAUNCH_H
#define TOOLS_LAUNCH_H

#include <sys/types.h>

#include "signals.h"

/*
 * argv[0] is looked up as `run` does it: in PATH, without the shell for what the kernel knows no format of. The command
 * has the signal mask and the dispositions that were saved, and all else from us. 0, or the negated errno of the call
 * that failed, that of execve(2) above all.
 */
int launch(char *const *argv, const struct signals *as_started, pid_t *ret);

#endif
