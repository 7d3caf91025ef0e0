/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * os/inject.h - make the n-th system call of the controller fail (builds with -DTETHER_INJECT only)
 *
 * A test runs one and the same session with n = 1, 2, ... until n is not reached any more, and looks each
 * time whether the victim ended whole. An injected ESRCH means that the task is gone, so it is made true
 * first: a ptrace call that is to fail with it is preceded by SIGKILL of its task.
 */
#ifndef OS_INJECT_H
#define OS_INJECT_H

#include "os/sys.h"

enum { INJECT_EXIT_NOT_REACHED = 0, INJECT_EXIT_REACHED = 42 };

#ifdef TETHER_INJECT
/* "N:ERRNO[:PATH]": PATH gets one line per run, "N CALLS REACHED NAME". 0 or -EINVAL. Counting starts here.
 */
int inject_configure(const char *option);
/* Called by sys_call(): 0, or the negative errno that takes the call's place. */
long inject_before(enum sys_call call, long a, long b);
/* The exit status that tells whether the n-th call came; writes the report. */
int inject_finish(void);
#endif

#endif
