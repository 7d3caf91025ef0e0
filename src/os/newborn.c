/* SPDX-License-Identifier: BSD-2-Clause */
#include "os/newborn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>

#include <linux/ptrace.h>

#include "arch/kernel.h"

/* What a sanitizer puts around functions would leave its mark on the thread that lends its memory. */
#define BORROWED_THREAD __attribute__((no_sanitize("address", "thread", "undefined")))

#define kernel(number, a, b, c, d) arch_kernel(number, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)

/* An ignored signal stays ignored by exec and a caught one does not, so all are set but those that are right. */
BORROWED_THREAD static void set_dispositions(uint64_t ignored)
{
	/* The kernel's struct sigaction: handler, flags, restorer, mask. */
	struct {
		uint64_t handler, flags, restorer, mask;
	} action = { 0, 0, 0, 0 };

	for (int signal = 1; signal <= 64; signal++) {
		action.handler = ignored >> (signal - 1) & 1 ? 1 : 0; /* SIG_IGN, SIG_DFL */
		kernel(SYS_rt_sigaction, signal, &action, 0, sizeof(uint64_t));
	}
}

/* stdio[] names fds of the inherited table, which may be 0, 1 or 2 themselves: first out of the way, then in. */
BORROWED_THREAD static long set_stdio(const int32_t stdio[3])
{
	long copy[3];

	for (int i = 0; i < 3; i++) {
		copy[i] = stdio[i] < 0 ? -1 : kernel(SYS_fcntl, stdio[i], F_DUPFD_CLOEXEC, 3, 0);
		if (stdio[i] >= 0 && copy[i] < 0)
			return copy[i];
	}
	for (int i = 0; i < 3; i++) {
		long r = copy[i] < 0 ? 0 : kernel(SYS_dup3, copy[i], i, 0, 0);

		if (r < 0)
			return r;
	}
	return 0;
}

/* As execvp(3): go on where a candidate is not there or may not be run, and tell that it may not be run. */
BORROWED_THREAD static long try_candidates(const struct os_plan *plan)
{
	bool denied = false;
	long r = -ENOENT;

	for (char **path = plan->candidate; *path; path++) {
		r = kernel(SYS_execve, *path, plan->argv, plan->envp, 0);
		if (r == -EACCES)
			denied = true;
		else if (r != -ENOENT && r != -ENOTDIR && r != -ESTALE && r != -ENODEV && r != -ETIMEDOUT)
			return r;
	}
	return denied ? -EACCES : r;
}

BORROWED_THREAD static void fail(struct os_failure *failure, int32_t stage, long error)
{
	failure->stage = stage;
	failure->error = (int32_t)-error;
}

BORROWED_THREAD void os_become(const struct os_plan *plan, struct os_failure *failure)
{
	long r;

	set_dispositions(plan->ignored);
	r = set_stdio(plan->stdio);
	if (r < 0) {
		fail(failure, OS_STAGE_STDIO, r);
		return;
	}
	r = plan->cwd ? kernel(SYS_chdir, plan->cwd, 0, 0, 0) : 0;
	if (r < 0) {
		fail(failure, OS_STAGE_CWD, r);
		return;
	}
	kernel(SYS_rt_sigprocmask, SIG_SETMASK, &plan->mask, 0, sizeof(plan->mask));
	fail(failure, OS_STAGE_EXEC, try_candidates(plan));
}

static char **point(char **next, uint32_t count, char **at, size_t *left)
{
	for (uint32_t i = 0; i < count; i++) {
		char *end = *left ? memchr(*at, '\0', *left) : NULL;

		if (!end)
			return NULL;
		*next++ = *at;
		*left -= (size_t)(end - *at) + 1;
		*at = end + 1;
	}
	*next++ = NULL;
	return next;
}

int os_plan_point(struct os_plan *plan, char *bytes, size_t size, const struct os_strings *strings, char **pointer)
{
	char *at = bytes;

	plan->candidate = pointer;
	plan->argv = point(plan->candidate, strings->candidates, &at, &size);
	plan->envp = plan->argv ? point(plan->argv, strings->argc, &at, &size) : NULL;
	if (!plan->envp || !point(plan->envp, strings->envc, &at, &size))
		return -EPROTO;
	plan->cwd = strings->has_cwd ? at : NULL;
	return !strings->has_cwd || (size && memchr(at, '\0', size)) ? 0 : -EPROTO;
}

uint32_t os_trace_options(bool ends_with_us)
{
	return PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC |
	       PTRACE_O_TRACEVFORKDONE | PTRACE_O_TRACESYSGOOD | (ends_with_us ? PTRACE_O_EXITKILL : 0);
}
