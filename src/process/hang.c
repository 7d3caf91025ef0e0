/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * process/hang.c - what was left hanging stands when the call returns
 *
 * A thread in a job-control stop that its tracer lets go is woken by the kernel, and goes back into the stop as soon
 * as it gets a processor; it runs no code of its own in between. Who asks for mode hang wants to hand a process over
 * that stands, so the caller waits for that. Nobody tells of it: it is no child of ours, and no tracer is left.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "os/procfs.h"
#include "os/sys.h"
#include "process/handle.h"

enum { LOOK_NS = 50000 };

void hanging_add(struct hanging *hanging, int64_t pid)
{
	int64_t *pids = realloc(hanging->pids, (hanging->count + 1) * sizeof(*pids));

	if (!pids)
		return; /* left hanging all the same, but not waited for */
	hanging->pids = pids;
	pids[hanging->count++] = pid;
}

void hanging_clear(struct hanging *hanging)
{
	free(hanging->pids);
	*hanging = (struct hanging){ NULL, 0 };
}

/*
 * Traced by another by now it is that one's. One in vfork stands inside the kernel until its child lets it go, and
 * stops before it runs: nobody waits for that.
 */
static int moves(int64_t tid, void *data)
{
	const int64_t *pid = data;
	struct os_task_status status;

	if (os_task_status(tid, &status) || strchr("TtZX", status.state))
		return 0;
	long call = status.state == 'D' ? os_blocked_syscall(*pid, tid, NULL) : OS_SYSCALL_RUNNING;
	return call < 0 || !arch_syscall_forks(ARCH_X86_64, call);
}

void hanging_await(const struct hanging *hanging, uint64_t until_ns)
{
	const struct timespec pause = { 0, LOOK_NS };

	for (size_t i = 0; i < hanging->count; i++)
		while (os_each_thread(hanging->pids[i], moves, &hanging->pids[i]) > 0 && os_now_ns() < until_ns)
			nanosleep(&pause, NULL);
}
