/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * process/observe.c - handles that only read, and the cache of those that nobody holds
 *
 *	grab ──► held ──last release──► idle, at the head of table->idle ──► the tail goes beyond the limit
 *	          ▲                       │
 *	          └──────── grab ─────────┘
 *
 *	a control grab of the same process: held ──► stale: found by no grab, gone with its last release
 *	                                    idle ──► gone at once
 *
 * An idle handle has no descriptor. It keeps what it has seen of its process (names.h), so that it still answers when
 * the process has ended: then a grab finds it as before, until the pid is another's.
 *
 * Start times come in ticks of 10 ms, so who has the pid cannot be told more finely than that, and within a tick of the
 * last look it is not asked again.
 */
#include <errno.h>

#include "os/procfs.h"
#include "os/sys.h"
#include "process/handle.h"

bool observe_ended(const struct tether *process)
{
	uint64_t start_time;

	return process->names.ended || os_start_time(process->pid, &start_time) < 0 || start_time != process->start_time;
}

static void wake_up(struct tether *process)
{
	struct table *table = process->table;

	TAILQ_REMOVE(&table->idle, process, idler);
	table->idle_count--;
	process->idle = false;
}

/* Of nobody: its record goes. */
static void forget(struct tether *process)
{
	wake_up(process);
	handle_unpin(process);
}

/* Tables that idle handles use; who else uses one keeps it. */
static bool holds_too_much(const struct table *table)
{
	struct symbol_pool_state state;

	symbol_pool_state(table->symbols, &state);
	return state.bytes - state.idle_bytes > table->idle_bytes;
}

void observe_rest(struct tether *process)
{
	struct table *table = process->table;

	if (process->stale || !process->listed) {
		handle_unpin(process);
		return;
	}
	TAILQ_INSERT_HEAD(&table->idle, process, idler); /* with the pin of its users */
	table->idle_count++;
	process->idle = true;
	while (table->idle_count > table->idle_limit || (table->idle_count > 0 && holds_too_much(table)))
		forget(TAILQ_LAST(&table->idle, idle_queue));
}

/* It is not to be found any more; whoever holds it keeps it. */
static void retire(struct tether *process)
{
	if (process->idle) {
		forget(process);
		return;
	}
	process->stale = true;
	handle_unlist(process);
}

void observe_supersede(struct table *table, int64_t pid)
{
	struct tether *process = handle_find(table, pid, true);

	if (process)
		retire(process);
}

const struct tether *observe_owner(const struct tether *process)
{
	const struct tether *owner = process->observe ? handle_find(process->table, process->pid, false) : NULL;

	return owner ? owner : process;
}

/* One tick of a start time. */
enum { TICK_NS = 10000000 };

static void take(struct tether *process, struct tether **ret)
{
	if (process->idle)
		wake_up(process);
	process->users++;
	table_target(process->table, process->pid);
	*ret = process;
}

/* Does it serve a grab? One whose process has ended does as long as it has names to give. */
static bool serves(struct tether *process)
{
	uint64_t now = os_now_ns(), start_time;

	if (process->names.ended || now - process->seen_ns < TICK_NS)
		return true;
	if (os_start_time(process->pid, &start_time) == 0) {
		process->seen_ns = now;
		return start_time == process->start_time;
	}
	process->names.ended = process->names.view;
	return process->names.ended;
}

/* The pid of a process that has ended may be another's at any time. */
static bool is_taken_over(const struct tether *process)
{
	uint64_t start_time;

	return process->names.ended && os_start_time(process->pid, &start_time) == 0 &&
	       start_time != process->start_time;
}

bool observe_again(struct table *table, int64_t pid, struct tether **ret)
{
	struct tether *process = handle_find(table, pid, true);

	if (!process)
		return false;
	if (!serves(process) || is_taken_over(process)) {
		retire(process);
		return false;
	}
	take(process, ret);
	return true;
}

int observe_grab(struct table *table, int64_t pid, struct tether **ret, struct tether_error *err)
{
	struct error_details details = { .pid = pid };
	struct tether *process;
	uint64_t start_time;

	if (observe_again(table, pid, ret))
		return 0;
	if (os_start_time(pid, &start_time) < 0)
		return error_fill(err, TETHER_EGONE, &details, "cannot observe %lld", (long long)pid);
	process = handle_new(table, pid, start_time, true); /* with the pin of its users */
	if (!process)
		return error_fill(err, ENOMEM, &details, "cannot observe %lld", (long long)pid);
	process->flags = TETHER_OBSERVE;
	process->mode = TETHER_MODE_RUN;
	process->seen_ns = os_now_ns();
	handle_list(process);
	take(process, ret);
	return 0;
}
