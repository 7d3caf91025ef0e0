/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * controller/snapshot_spare.c - threads that a snapshot of all at one instant does not stop
 *
 *	how often has it run? ── blocked in a system call, and where ── its bytes ── ... ── all others stand ── has it run since?
 *	                                                                        no: it stood too, at that instant ◄┘  │ yes
 *	                                                                        its record is void, it is stopped  ◄──┘
 *
 * To be blocked is to stand: to stop it would wake it, have it run into its stop and, later, back into its call, which costs
 * more than to look, and a call with a time-out would not be the same afterwards (rule 11). What is not known of it are the
 * registers that its callers may need, so it is for the client to say whether that will do.
 * Both files of a thread stay open as long as it is held: to read them again is a fifth of the work.
 */
#include <stddef.h>

#include "controller/controller.h"
#include "os/procfs.h"
#include "os/sys.h"

enum { ROUNDS = 3 }; /* then all are stopped: meanwhile the others stand */

static bool open_files(struct snapshot *s, struct task *t)
{
	if (t->runs_file && t->call_file)
		return true;
	if (!s->threads_file)
		s->threads_file = os_open_threads(s->process->pid) + 1;
	if (!t->runs_file)
		t->runs_file = os_open_thread(s->threads_file - 1, t->tid, "schedstat") + 1;
	if (!t->call_file)
		t->call_file = os_open_thread(s->threads_file - 1, t->tid, "syscall") + 1;
	t->runs_file = t->runs_file > 0 ? t->runs_file : 0;
	t->call_file = t->call_file > 0 ? t->call_file : 0;
	return t->runs_file && t->call_file;
}

bool snapshot_spare(struct controller *c, struct task *t)
{
	struct os_blocked at;
	long call;

	if (!open_files(&c->snapshot, t) || os_runs_of(t->runs_file - 1, &t->spared_runs))
		return false;
	call = os_blocked_of(t->call_file - 1, &at);
	if (call < 0)
		return false;
	snapshot_copy_blocked(c, t, call, &at);
	t->spared_at = c->snapshot.record_at;
	t->snapshot = SNAPSHOT_SPARED;
	return true;
}

static bool has_stayed(const struct task *t)
{
	uint64_t runs;

	/* What was not acted on yet has run. */
	return t->state == TASK_RUNNING && !t->queued && !os_runs_of(t->runs_file - 1, &runs) && runs == t->spared_runs;
}

bool snapshot_spared_stayed(struct controller *c, struct process *p)
{
	struct snapshot *s = &c->snapshot;
	bool all = true, enough = ++s->spare_rounds > ROUNDS;
	struct task *t;

	TAILQ_FOREACH(t, &p->tasks, of_process) {
		if (t->snapshot != SNAPSHOT_SPARED || (has_stayed(t) && !enough))
			continue;
		snapshot_void(c, t->spared_at);
		t->snapshot = SNAPSHOT_WANTED;
		all = false;
	}
	return all;
}

void spare_forget(struct controller *c, struct task *t)
{
	if (c->snapshot.request && t->snapshot == SNAPSHOT_SPARED)
		snapshot_void(c, t->spared_at);
	if (t->runs_file)
		sys(close, t->runs_file - 1);
	if (t->call_file)
		sys(close, t->call_file - 1);
	t->runs_file = t->call_file = 0;
}
