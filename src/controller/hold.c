/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * controller/hold.c - whether a stopped task runs on, and how a whole space is made to stand still
 *
 *	freeze() ── INTERRUPT to all that run ──► each shows a stop, or is seen inside the kernel
 *	                                                 │ moving == 0
 *	                                                 ▼
 *	                                  still: lift for a park, or step one by one
 *	                                                 │ unpark, last step
 *	                                                 ▼
 *	                                  thaw(): replant, settle each task
 *
 * A task that cannot stop (vfork, disk) is still as soon as it is seen blocked inside the kernel after its
 * INTERRUPT: the interrupt is pending, so it stops before its next instruction of user code. Nothing waits
 * for it without bound.
 */
#include "controller/controller.h"

#include <errno.h>

#include "controller/site.h"
#include "controller/trace.h"
#include "os/procfs.h"
#include "os/sys.h"

enum { CHECK_NS = 2000000 }; /* how often a freeze looks at those that have not stopped */

static bool must_hold(const struct task *t)
{
	const struct space *s = t->process->space;

	const struct process *p = t->process;

	return t->stands || s->parks || s->stepper || !TAILQ_EMPTY(&s->steppers) || (p->crash_goes && p->crasher != t) ||
	       (p->learner && p->learn_first && p->learner != t) || p->snapshot == SNAPSHOT_HOLDS_ALL ||
	       (p->snapshot == SNAPSHOT_HOLDS_SOME && t->snapshot != SNAPSHOT_NOT);
}

bool may_go_on(const struct task *t)
{
	return !t->process->release && !must_hold(t) && !signals_must_learn(t->process);
}

static void account_pause(struct controller *c, struct task *t)
{
	uint64_t pause = t->stopped_ns ? os_now_ns() - t->stopped_ns : 0;

	t->stopped_ns = 0;
	c->stats.pause_ns_total += pause;
	if (pause > c->stats.pause_ns_max)
		c->stats.pause_ns_max = pause;
}

bool is_ending(const struct task *t)
{
	return classify(t->status, 0) == STOP_ENDING;
}

/* Nobody has a use for its standing but the question that asks for its stack: traps are nothing to it any more. */
void task_end(struct controller *c, struct task *t)
{
	struct space *s = t->process->space;

	if (t->question) {
		task_set_state(t, TASK_ASKING);
	} else {
		task_set_state(t, TASK_ENDING);
		trace_go(t->tid, 0); /* -ESRCH: SIGKILL was quicker */
		account_pause(c, t);
	}
	check_still(c, s);
}

void settle(struct controller *c, struct task *t)
{
	struct space *s = t->process->space;

	if (is_ending(t)) {
		task_end(c, t);
		return;
	}
	if (t->process->release) {
		release_stopped(c, t);
		return;
	}
	if (t->question) {
		task_set_state(t, TASK_ASKING);
		check_still(c, s);
		return;
	}
	if (must_hold(t)) {
		task_set_state(t, TASK_HELD);
		check_still(c, s);
		return;
	}
	if (t->crashing && crash_park(c, t))
		return;
	if (signals_learn(c, t))
		return;
	if (t->over && t->own_due)
		hit_own_due(c, t);
	else if (t->over)
		step_over(c, t);
	else
		task_run(c, t);
}

void task_run(struct controller *c, struct task *t)
{
	uint32_t options = wanted_options(c, t->process);
	int r;

	if (t->options != options && !trace_options(t->tid, options))
		t->options = options;
	if (t->has_held_info) {
		trace_set_info(t->tid, &t->held_info);
		t->has_held_info = false;
	}
	task_set_state(t, t->vfork_child ? TASK_VFORKING : TASK_RUNNING);
	if (t->regroup) {
		/* The interrupt is answered before any user code, and the answer shows the group-stop. */
		t->regroup = false;
		if (!trace_interrupt(t->tid))
			task_set_state(t, TASK_STOPPING);
	}
	t->ran_in = t->process->space;
	t->ran_at = t->ran_in->edits;
	t->may_dump = crash_dumps(t->deliver);
	t->went_with = t->deliver;
	t->went_with_at = t->deliver ? ++c->deliveries : 0;
	r = trace_go(t->tid, t->deliver);
	t->deliver = 0;
	t->wound_back = false;
	(void)r; /* -ESRCH: it is dying */
	account_pause(c, t);
}

/*
 * It runs no user code any more, and an INTERRUPT would wake it as a signal does: a core that goes into a pipe, or that a kernel
 * before 5.13 writes, would end there. Between this look and the INTERRUPT it may still begin.
 */
static bool writes_core(const struct task *t)
{
	struct os_task_status status;

	return t->may_dump && !os_task_status(t->tid, &status) && status.dumps_core;
}

void task_stop(struct controller *c, struct task *t)
{
	(void)c;
	if (t->state != TASK_RUNNING && t->state != TASK_VFORKING && t->state != TASK_LISTENING)
		return;
	if (writes_core(t)) {
		task_set_state(t, TASK_BLOCKED);
		return;
	}
	/* -ESRCH: it is dying and runs no user code any more, but only its end says so. */
	trace_interrupt(t->tid);
	task_set_state(t, TASK_STOPPING);
}

void freeze(struct controller *c, struct space *s)
{
	struct process *p;
	struct task *t;

	if (!s->freezing && !s->still) {
		s->freezing = true;
		s->check_ns = os_now_ns() + CHECK_NS;
		c->freezing++;
	}
	if (s->still)
		return;
	TAILQ_FOREACH(p, &s->processes, of_space)
		TAILQ_FOREACH(t, &p->tasks, of_process)
			if (t->state == TASK_RUNNING)
				task_stop(c, t);
}

static void announce_parks(struct controller *c, struct space *s)
{
	struct process *p;

	/* The answer to the grab names the process: nothing is told of it before. */
	if (c->grab.request)
		return;
	TAILQ_FOREACH(p, &s->processes, of_space) {
		struct task *t;

		if (!p->parked || p->announced)
			continue;
		p->announced = true;
		/* A thread in vfork stands inside the kernel until its child lets it go. */
		TAILQ_FOREACH(t, &p->tasks, of_process) {
			if (t->state == TASK_VFORKING)
				out_plain(c, PROTO_EV_blocked, p->pid, t->tid, t->serial, 0);
		}
		t = task_find(c, p->park_tid);
		out_plain(c, PROTO_EV_parked, p->pid, p->park_tid, t ? t->serial : 0, 0);
	}
}

void check_still(struct controller *c, struct space *s)
{
	if (s->freezing && !s->moving) {
		s->freezing = false;
		s->still = true;
		c->freezing--;
	}
	if (!s->still)
		return;
	if (s->parks) {
		struct task *t;

		/* A park comes before steps that have not begun: they are taken up again when it ends. */
		while ((t = TAILQ_FIRST(&s->steppers))) {
			TAILQ_REMOVE(&s->steppers, t, of_steppers);
			task_set_state(t, TASK_HELD);
		}
		if (s->stepper)
			return;
		space_lift(c, s);
		announce_parks(c, s);
		return;
	}
	if (!s->stepper && !TAILQ_EMPTY(&s->steppers))
		step_next(c, s);
}

/* The next of a list that settle() may shorten by this one, but not by others. */
void thaw_process(struct controller *c, struct process *p)
{
	struct task *t = TAILQ_FIRST(&p->tasks), *next;

	for (; t; t = next) {
		next = TAILQ_NEXT(t, of_process);
		if (t->state == TASK_BLOCKED)
			task_set_state(t, t->vfork_child ? TASK_VFORKING : TASK_RUNNING);
		else if (t->state == TASK_HELD)
			settle(c, t);
	}
}

/* Traps stand only when a handler that they could destroy is known: signals_unlearn() plants then. */
static bool being_learned(const struct space *s)
{
	const struct process *p;

	TAILQ_FOREACH(p, &s->processes, of_space) {
		if (p->learner)
			return true;
	}
	return false;
}

void thaw(struct controller *c, struct space *s)
{
	struct process *p, *next;

	if (s->parks || s->stepper || !TAILQ_EMPTY(&s->steppers))
		return;
	if (s->freezing)
		c->freezing--;
	s->freezing = s->still = false;
	if (!s->closed && !being_learned(s))
		space_replant(c, s);
	for (p = TAILQ_FIRST(&s->processes); p; p = next) {
		next = TAILQ_NEXT(p, of_space);
		thaw_process(c, p);
	}
}

/*
 * Inside the kernel, or gone but for its record: it stops, or ends, before its next user instruction. What
 * has run into a trap is not meant, though the kernel shows it in no call either: on its way to the stop, or
 * in one that is not waited for yet. Taken for blocked it would not be waited for when all is let go, and our
 * exit would leave it with the SIGTRAP.
 */
bool task_cannot_run(const struct task *t)
{
	long call = os_blocked_syscall(t->process->pid, t->tid, NULL);
	struct os_task_status status;

	if (os_task_status(t->tid, &status))
		return false;
	/* A leader that has called pthread_exit(3) waits as a zombie for its threads. */
	if (status.state == 'Z' || status.state == 'X')
		return true;
	return (call >= 0 || call == OS_SYSCALL_NONE) && status.state != 't' &&
	       !(status.sig_pending >> (SIGTRAP - 1) & 1);
}

void freeze_timers(struct controller *c, uint64_t now)
{
	struct space *s, *next;

	for (s = c->freezing ? TAILQ_FIRST(&c->spaces) : NULL; s; s = next) {
		struct process *p;
		struct task *t;

		next = TAILQ_NEXT(s, entry);
		if (!s->freezing || s->check_ns > now)
			continue;
		s->check_ns = now + CHECK_NS;
		TAILQ_FOREACH(p, &s->processes, of_space)
			TAILQ_FOREACH(t, &p->tasks, of_process) {
				if (t->state != TASK_STOPPING || !task_cannot_run(t))
					continue;
				task_set_state(t, TASK_BLOCKED);
				if (s->parks && p->followed)
					out_plain(c, PROTO_EV_blocked, p->pid, t->tid, t->serial, 0);
			}
		check_still(c, s);
	}
}

void park(struct controller *c, struct process *p, pid_t tid)
{
	struct space *s = p->space;

	if (p->parked || p->release)
		return;
	p->parked = true;
	p->announced = false;
	p->park_tid = tid;
	s->parks++;
	freeze(c, s);
	check_still(c, s);
}

void unpark(struct controller *c, struct process *p)
{
	if (!p->parked)
		return;
	p->parked = false;
	p->space->parks--;
	stand_clear(p);
	crash_goes_on(p);
	space_go_on(c, p->space);
}

void space_go_on(struct controller *c, struct space *s)
{
	if (s->parks || s->stepper || !TAILQ_EMPTY(&s->steppers))
		check_still(c, s);
	else if (s->still || s->freezing)
		thaw(c, s);
}
