/* SPDX-License-Identifier: BSD-2-Clause */
#include "os/inject.h"

#ifdef TETHER_INJECT

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/ptrace.h>

/* The one place of os/ with state: it stands for the kernel's, and exists in test builds only. */
static struct {
	unsigned long at, calls;
	int error;
	pid_t armed_in; /* the forked victim counts nothing */
	const char *reached, *path;
} inject;

static const char *const names[] = {
#define X(name) [SYS_CALL_##name] = #name,
	SYS_TABLE(X)
#undef X
};

int inject_configure(const char *option)
{
	char *end;

	inject.at = strtoul(option, &end, 10);
	if (*end != ':' || !inject.at)
		return -EINVAL;
	if (!strncmp(end + 1, "ESRCH", 5))
		inject.error = ESRCH;
	else if (!strncmp(end + 1, "EINTR", 5))
		inject.error = EINTR;
	else if (!strncmp(end + 1, "ENOMEM", 6))
		inject.error = ENOMEM;
	else
		return -EINVAL;
	end = strchr(end + 1, ':');
	inject.path = end ? end + 1 : NULL;
	inject.armed_in = getpid();
	return 0;
}

long inject_before(enum sys_call call, long a, long b)
{
	/* What ends a process or a thread cannot fail in the kernel either. */
	if (!inject.at || call == SYS_CALL_exit_group || call == SYS_CALL_exit)
		return 0;
	if (inject.calls + 1 >= inject.at && getpid() != inject.armed_in)
		return 0;
	if (++inject.calls != inject.at)
		return 0;
	inject.reached = names[call];
	if (inject.error == ESRCH && call == SYS_CALL_ptrace)
		kill((pid_t)b, SIGKILL);
	else if (inject.error == ESRCH && call != SYS_CALL_wait4 && call != SYS_CALL_kill &&
		 call != SYS_CALL_tgkill && call != SYS_CALL_kcmp && call != SYS_CALL_process_vm_readv &&
		 call != SYS_CALL_process_vm_writev)
		return 0;
	(void)a;
	return -inject.error;
}

int inject_finish(void)
{
	if (inject.path) {
		char line[128];
		int n = snprintf(line, sizeof(line), "%lu %lu %d %s\n", inject.at, inject.calls,
				 inject.reached != NULL, inject.reached ? inject.reached : "-");
		int fd = open(inject.path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
		if (fd >= 0) {
			if (write(fd, line, (size_t)n) != n)
				n = 0;
			close(fd);
		}
	}
	return inject.reached ? INJECT_EXIT_REACHED : INJECT_EXIT_NOT_REACHED;
}

#endif
