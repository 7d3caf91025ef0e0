/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * process/still.c - stacks of threads that nobody stops
 *
 *	how often has it run? ── where is it blocked? ── its bytes ── has it run since? ── no: they are of one moment
 *	        ▲                                                          │ yes
 *	        └──────────────────────────────────────────────────────────┘ (a few times)
 */
#include <errno.h>
#include <stdlib.h>

#include "base/limits.h"
#include "os/memory.h"
#include "os/procfs.h"
#include "os/sys.h"
#include "process/stack.h"

enum { TRIES = 4, RED_ZONE = 128, FIRST_CHUNK = 16384 };

struct still {
	struct snapshot_call *call;
	unsigned char *bytes;
	size_t room;
	int maps; /* for os_stack_end() */
};

/* From there on, to the end of the stack, or of the room: bytes, or what os_read_memory() says. */
static ssize_t read_stack(const struct still *still, int64_t tid, vaddr_t from, vaddr_t sp, unsigned char *to, size_t room)
{
	size_t first = room < FIRST_CHUNK ? room : FIRST_CHUNK;
	ssize_t got = os_read_memory(tid, from, to, first), more;
	vaddr_t end;

	if (got < (ssize_t)first)
		return got;
	end = os_stack_end(still->maps, sp);
	room = end > from && end - from < room ? (size_t)(end - from) : room;
	if (room <= first)
		return (ssize_t)room;
	more = os_read_memory(tid, from + first, to + first, room - first);
	return more > 0 ? got + more : got;
}

/* One stack, or those that signal handlers have interrupted with it. */
static void read_stacks(struct still *still, int64_t tid, struct stack_copy *copy, bool *cut)
{
	size_t used = 0;
	vaddr_t sp = copy->sp;

	for (copy->windows = 0; sp && copy->windows < STACK_WINDOWS && still->room - used >= sizeof(uint64_t);) {
		vaddr_t from = (sp - RED_ZONE) & ~UINT64_C(7);
		ssize_t got = read_stack(still, tid, from, sp, still->bytes + used, still->room - used);

		if (got <= 0) {
			from = sp & ~UINT64_C(7);
			got = read_stack(still, tid, from, sp, still->bytes + used, still->room - used);
		}
		if (got <= 0)
			return;
		copy->window[copy->windows++] = (struct stack_window){ from, (size_t)got, still->bytes + used };
		sp = arch_interrupted_sp(still->bytes + used, (size_t)got, from);
		used += (size_t)got;
		*cut = *cut || used == still->room;
	}
}

/* True: it was blocked, and is where it was. */
static bool read_blocked(struct still *still, struct snapshot_thread *thread, struct stack_copy *copy)
{
	int64_t pid = still->call->process->pid;
	struct os_blocked at;
	uint64_t runs, since;
	long number;

	*copy = (struct stack_copy){ .known = ARCH_DWARF_BLOCKED };
	if (os_thread_runs(pid, thread->tid, &runs))
		return false;
	number = os_blocked_at(pid, thread->tid, &at);
	if (number < 0)
		return false;
	arch_blocked_registers(&copy->regs, at.argument, at.sp, at.pc);
	copy->sp = at.sp;
	copy->pc = at.pc;
	thread->syscall = number;
	thread->cut = false;
	read_stacks(still, thread->tid, copy, &thread->cut);
	return !os_thread_runs(pid, thread->tid, &since) && since == runs;
}

static int visit_thread(int64_t tid, void *data)
{
	struct still *still = data;
	struct snapshot_thread thread = { .tid = tid, .state = TETHER_THREAD_RUNNING, .syscall = -1 };
	struct os_task_status status;
	struct stack_copy copy;

	thread.t_ns = os_now_ns();
	for (int i = 0; i < TRIES && thread.state == TETHER_THREAD_RUNNING; i++)
		if (read_blocked(still, &thread, &copy))
			thread.state = TETHER_THREAD_BLOCKED;
	if (thread.state == TETHER_THREAD_RUNNING) {
		/* A leader that waits for its threads has no stack, and one that has gone is none any more. */
		if (os_task_status(tid, &status) || status.state == 'Z' || status.state == 'X' ||
		    status.tgid != still->call->process->pid)
			return 0;
		thread.syscall = -1;
	}
	still->call->result = frames_visit(still->call, &thread, &copy);
	return still->call->result;
}

int still_visit(struct snapshot_call *call)
{
	struct still still = { .call = call, .room = (size_t)call->opts.max_kbytes << 10 };
	int result = 0;

	still.bytes = malloc(still.room);
	if (!still.bytes)
		return -ENOMEM;
	still.maps = os_open_maps(process_live_tid(call->process));
	if (call->opts.tid_count)
		for (uint32_t i = 0; i < call->opts.tid_count && !call->result; i++)
			visit_thread(call->opts.tids[i], &still);
	else
		result = os_each_thread(call->process->pid, visit_thread, &still);
	free(still.bytes);
	if (still.maps >= 0)
		sys(close, still.maps);
	if (call->result)
		return 0;
	return result == -ESRCH ? -TETHER_EGONE : result;
}
