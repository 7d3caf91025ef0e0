/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * process/hang.c - what was left hanging stands when the call returns
 *
 * A thread in a job-control stop that its tracer lets go is woken by the kernel, and goes back into the stop as soon
 * as it gets a processor; it runs no code of its own in between. Who asks for mode hang wants to hand a process over
 * that stands, so the caller waits for that. Nobody tells of it: it is no child of ours, and no tracer is left.
 */
#include <stdlib.h>
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

/* Traced by another by now it is that one's. */
static int moves(int64_t tid, void *data)
{
	struct os_task_status status;

	(void)data;
	return os_task_status(tid, &status) == 0 && status.state != 'T' && status.state != 't' &&
	       status.state != 'Z' && status.state != 'X';
}

void hanging_await(const struct hanging *hanging, uint64_t until_ns)
{
	const struct timespec pause = { 0, LOOK_NS };

	for (size_t i = 0; i < hanging->count; i++)
		while (os_each_thread(hanging->pids[i], moves, NULL) > 0 && os_now_ns() < until_ns)
			nanosleep(&pause, NULL);
}
