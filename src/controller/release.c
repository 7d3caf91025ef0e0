/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * controller/release.c - let go, whole
 *
 *	bytes first: every trap of the space is lifted
 *	then thread by thread: stop ──► a SIGTRAP of ours in its queue? ── no ──► DETACH
 *	                                     │ yes                                   ▲
 *	                                     └──► CONT until it is consumed, ────────┘
 *	                                          the pc set back (hit.c)
 *
 * A second INTERRUPT would win over the queued SIGTRAP again and again, so a DRAINING task gets none. A
 * thread blocked in a system call cannot have hit a trap; at the last release it is left to the kernel, which
 * detaches it at our exit without an EINTR. A thread in vfork is inside the kernel until its child, whose
 * stops we see anyway, is done.
 */
#include "controller/controller.h"

#include <errno.h>

#include <linux/ptrace.h>

#include "controller/site.h"
#include "controller/trace.h"
#include "os/newborn.h"
#include "os/procfs.h"
#include "os/sys.h"

enum {
	CHECK_NS = 2000000,
	CODE_KERNEL = 0x80,
};
#define FINISH_NS UINT64_C(5000000000)
#define STARVE_NS UINT64_C(60000000000)
#define LINGER_NS UINT64_C(1000000000)

uint32_t wanted_options(const struct controller *c, const struct process *p)
{
	uint32_t options = os_trace_options(p->ours_to_kill && c->hold.mode == PROTO_KILL);

	/* One more stop of each thread: only where somebody wants to see it. */
	if (c->hold.stacks & PROTO_SAMPLE_AT_EXIT && p->followed && !p->release)
		options |= PTRACE_O_TRACEEXIT;
	return options;
}

/* ---- one task ---------------------------------------------------------------------------- */

/* A created victim keeps us as its parent, so nothing is left to our exit then. */
static bool exits_soon(const struct controller *c)
{
	return c->finishing && !c->kept_child;
}

static void detach(struct controller *c, struct task *t)
{
	struct process *p = t->process;

	if (t->has_held_info)
		trace_set_info(t->tid, &t->held_info);
	t->has_held_info = false;
	if (trace_detach(t->tid, t->deliver)) {
		/* -ESRCH: it is dying; its end comes by wait */
		task_set_state(t, TASK_RUNNING);
		return;
	}
	task_free(c, t);
	release_check(c, p);
}

/* True: it now runs up to the SIGTRAP of a trap that it has hit; no user code comes before that. */
static bool drain_trap(struct controller *c, struct task *t)
{
	struct site *site;
	struct arch_regs regs;

	(void)c;
	if (trace_get_regs(t->tid, &regs))
		return false;
	/* The place alone proves nothing: an emulated instruction of one byte ends there too. */
	site = site_find(&t->process->space->sites, arch_pc(&regs) - ARCH_TRAP_PC_AFTER);
	if (!site || !site->known || trace_trap_queued(t->tid) != 1)
		return false;
	task_set_state(t, TASK_DRAINING);
	/* Delivered later, a SIGSTOP would undo a SIGCONT that came meanwhile; no user code comes before its stop either. */
	if (t->deliver == SIGSTOP) {
		t->deliver = 0;
		trace_go(t->tid, SIGSTOP);
		return true;
	}
	if (t->deliver && !t->has_held_info)
		t->has_held_info = !trace_get_info(t->tid, &t->held_info);
	trace_go(t->tid, 0);
	return true;
}

/* The kernel sends before it tells that the client is dead. A client that lives on is not waited for for ever. */
static bool stays_no_more(const struct controller *c)
{
	return c->client_dead || os_now_ns() + FINISH_NS > c->finish_by_ns + LINGER_NS;
}

/*
 * An orphaned process group gets SIGHUP and SIGCONT from the kernel when the client dies (rule 9). Neither may be left in the
 * queue: the first would kill when somebody sends the SIGCONT that it waits for. A signal of a thread's own comes before
 * all of the process's, and a group-stop before any: so one thread goes on without, and out of a group-stop, until it has
 * taken both, which comes before any user code. The others stop meanwhile.
 */
static bool takes_orphan_signals(struct task *t)
{
	struct process *p = t->process;
	bool queued = trace_orphan_queued(t->tid) == 1;

	if (queued && !p->taker)
		p->taker = t;
	if (!queued && p->taker == t)
		p->taker = NULL;
	return p->taker == t;
}

static void go_on(struct controller *c, struct task *t)
{
	/* One that has just made a child by vfork comes to its stop only when that lets it go, which may hang too. */
	task_set_state(t, t->vfork_child ? TASK_VFORKING : TASK_RUNNING);
	trace_go(t->tid, t->deliver);
	t->deliver = 0;
	release_check(c, t->process);
}

/* hang: nothing but a group-stop survives us, so go on until the SIGSTOP that was sent makes one. */
static void go_on_to_stop(struct controller *c, struct task *t)
{
	enum stop_kind kind = classify(t->status, 0);
	siginfo_t info;
	bool takes;

	if (kind == STOP_GROUP && t->process->stays && !stays_no_more(c)) {
		trace_listen(t->tid);
		task_set_state(t, TASK_LISTENING);
		return;
	}
	if (kind == STOP_SIGNAL && (t->deliver == SIGHUP || t->deliver == SIGCONT) &&
	    !trace_get_info(t->tid, &info) && info.si_code == CODE_KERNEL)
		t->deliver = 0;
	takes = takes_orphan_signals(t);
	if (takes && (kind == STOP_GROUP || !t->deliver)) {
		go_on(c, t);
		return;
	}
	if (kind == STOP_GROUP) {
		if (!t->process->stays && c->finishing && (!c->kept_child || t->process->created)) {
			trace_listen(t->tid);
			t->left = true;
			task_set_state(t, TASK_LISTENING);
			release_check(c, t->process);
		} else {
			detach(c, t); /* the kernel puts it back into the group-stop */
		}
		return;
	}
	/*
	 * One of its own: of all that are sent to the process the first thread to go on takes one, and with it what the others
	 * were to stop by. They would run on from where they stood.
	 */
	if (t->deliver != SIGSTOP)
		sys(tgkill, t->process->pid, t->tid, SIGSTOP);
	go_on(c, t);
}

/* Gone, in a group-stop, inside the kernel since before the lift, or waiting for this very one. */
static bool no_trap_behind_others(const struct task *t)
{
	const struct task *other;

	TAILQ_FOREACH(other, &t->process->tasks, of_process) {
		if (other != t && other->state != TASK_LISTENING && other->state != TASK_BLOCKED &&
		    other->state != TASK_VFORKING && other->state != TASK_GATHERED && other->state != TASK_ENDING)
			return false;
	}
	return true;
}

/*
 * Where SIGTRAP is ignored a trap has made it the default, or the trap of somebody who has not come yet will have: it is
 * ignored again before anybody runs, or a SIGTRAP that somebody sends would kill. The last one to come does it for all.
 * What job control has stopped can make no call for us.
 */
static bool must_gather(const struct process *p)
{
	return (p->trap_ignored || p->owes_ignore) && p->space->sites.used && p->release != PROTO_KILL && !p->stays &&
	       p->gather != GATHER_DONE;
}

static bool gather(struct controller *c, struct task *t)
{
	struct process *p = t->process;

	if (!must_gather(p) || classify(t->status, 0) == STOP_GROUP)
		return false;
	if (!no_trap_behind_others(t)) {
		task_set_state(t, TASK_GATHERED);
		p->gather = GATHERING;
		return true;
	}
	if (p->owes_ignore && signals_ignore_again(c, t))
		return true;
	release_gathered(c, p);
	return false;
}

void release_gathered(struct controller *c, struct process *p)
{
	struct task *t, *next;

	p->gather = GATHER_DONE;
	for (t = TAILQ_FIRST(&p->tasks); t; t = next) {
		next = TAILQ_NEXT(t, of_process);
		if (t->state == TASK_GATHERED)
			release_stopped(c, t);
	}
}

/* Who was waited for may have ended, or cannot stop: then it is for one of those that wait. */
static void look_after_gathered(struct controller *c, struct process *p)
{
	struct task *t;

	if (p->gather != GATHERING)
		return;
	TAILQ_FOREACH(t, &p->tasks, of_process) {
		if (t->state == TASK_GATHERED && no_trap_behind_others(t)) {
			release_stopped(c, t);
			return;
		}
	}
}

void release_stopped(struct controller *c, struct task *t)
{
	struct process *p = t->process;

	if (is_ending(t)) {
		task_end(c, t);
		return;
	}
	if (t->masked)
		step_finish(c, t);
	space_lift(c, p->space);
	slot_leave(c, t);
	t->over = 0;
	t->stands = t->own_due = false;
	if (p->release == PROTO_KILL) {
		task_set_state(t, TASK_RUNNING); /* SIGKILL is on its way and needs no leave of ours */
		trace_go(t->tid, 0);
		return;
	}
	if (crash_released(c, t))
		return;
	/*
	 * It was made to do a call inside one of its own, whose registers are back: only at a stop on its way out does the
	 * kernel look again at whether that one is to be restarted. Let go from here, the program would see ERESTARTSYS.
	 */
	if (t->regroup) {
		task_run(c, t);
		return;
	}
	if (drain_trap(c, t) || gather(c, t))
		return;
	if (p->release == PROTO_HANG || p->stays)
		go_on_to_stop(c, t);
	else
		detach(c, t);
}

/*
 * A fork that is under way may have copied the traps already, and its child is scrubbed only while we are
 * there to see it. vfork copies nothing, and its child is known.
 */
static bool may_be_copying(const struct task *t)
{
	long call = os_blocked_syscall(t->process->pid, t->tid, NULL);

	return !t->vfork_child && call >= 0 && arch_syscall_forks(ARCH_X86_64, call);
}

/* No trap stands there, and none ever did: nobody can have run into one, and no child can have a copy. */
static bool is_untouched(const struct space *s)
{
	return !s->sites.used && !s->areas;
}

/* A thread that is blocked in a system call now cannot have a trap behind it: the bytes are lifted already.
 */
static bool can_be_left(const struct controller *c, const struct task *t)
{
	if (!exits_soon(c) || t->masked || must_gather(t->process))
		return false;
	return is_untouched(t->process->space) ||
	       (!may_be_copying(t) && os_blocked_syscall(t->process->pid, t->tid, NULL) >= 0);
}

static void release_task(struct controller *c, struct task *t)
{
	bool hang = t->process->release == PROTO_HANG;

	switch (t->state) {
	case TASK_RUNNING:
		if (hang && !must_gather(t->process))
			break; /* SIGSTOP reaches it */
		if (can_be_left(c, t))
			t->left = true;
		else
			task_stop(c, t);
		break;
	case TASK_LISTENING:
		if (t->process->stays && !stays_no_more(c))
			break;
		/* A group-stop survives our exit, and DETACH from an interrupt in it. */
		if (exits_soon(c) && !t->process->stays)
			t->left = true;
		else
			task_stop(c, t);
		break;
	case TASK_HELD:
	case TASK_GATHERED:
		release_stopped(c, t);
		break;
	case TASK_ASKING:
		question_cancel(c, t);
		task_set_state(t, TASK_HELD);
		release_stopped(c, t);
		break;
	case TASK_STEP_WAIT:
		TAILQ_REMOVE(&t->process->space->steppers, t, of_steppers);
		task_set_state(t, TASK_HELD);
		release_stopped(c, t);
		break;
	default:
		/* its next stop comes by itself, and before any user code */
		break;
	}
}

/* ---- one process ------------------------------------------------------------------------- */

/* Must something of it still stop before it may be called let go? */
static bool awaited(const struct controller *c, const struct task *t)
{
	if (t->process->release == PROTO_KILL)
		return true;
	switch (t->state) {
	case TASK_VFORKING:
	case TASK_BLOCKED:
		return false; /* inside the kernel, and detached when it comes out */
	case TASK_LISTENING:
		return !t->left;
	case TASK_RUNNING:
		return !(t->left && exits_soon(c));
	default:
		return true;
	}
}

static bool anything_awaited(const struct controller *c, const struct process *p)
{
	const struct task *t;

	TAILQ_FOREACH(t, &p->tasks, of_process) {
		if (awaited(c, t))
			return true;
	}
	return false;
}

void release_check(struct controller *c, struct process *p)
{
	if (p->release)
		look_after_gathered(c, p);
	if (!p->release || anything_awaited(c, p))
		return;
	c->sweep = c->sweep || TAILQ_EMPTY(&p->tasks);
	if (!p->released) {
		p->released = true;
		out_plain(c, PROTO_EV_released, p->pid, p->pid, 0, p->release);
	}
	if (p->release_id) {
		out_result(c, p->release_id, PROTO_REQ_release, 0, 0);
		p->release_id = 0;
	}
}

static void close_space(struct controller *c, struct space *s)
{
	space_lift(c, s);
	s->closed = true;
}

void release_process(struct controller *c, struct process *p, uint32_t mode, uint64_t request)
{
	struct space *s = p->space;
	struct process *q;
	struct task *t, *next;

	if (p->release) {
		if (request)
			out_result(c, request, PROTO_REQ_release, 0, 0);
		return;
	}
	snapshot_abandon(c, p, -ECANCELED);
	p->release = mode;
	p->release_id = request;
	/* Stopped by somebody else, it is for somebody else to continue it: as in mode hang (rule 9). */
	p->stays = mode == PROTO_RUN && p->group_stopped && c->finishing && c->client_gone;
	c->release_check_ns = os_now_ns() + CHECK_NS;
	if (p->parked) {
		p->parked = false;
		s->parks--;
	}
	close_space(c, s);
	if (p->created)
		c->kept_child = mode == PROTO_KILL ? 0 : p->pid;
	if (mode == PROTO_KILL)
		sys(kill, p->pid, SIGKILL);
	if (mode == PROTO_HANG && !p->group_stopped && !must_gather(p))
		sys(kill, p->pid, SIGSTOP);
	for (t = mode == PROTO_KILL ? NULL : TAILQ_FIRST(&p->tasks); t; t = next) {
		next = TAILQ_NEXT(t, of_process);
		release_task(c, t);
	}
	release_check(c, p);
	/* What was kept only because it shares this memory goes with it. */
	TAILQ_FOREACH(q, &s->processes, of_space) {
		if (q == p || q->followed || q->release)
			continue;
		q->released = true;
		release_process(c, q, PROTO_RUN, 0);
		break; /* which has done the same for the rest */
	}
	space_go_on(c, s);
	finish_check(c);
}

void release_stays(struct controller *c)
{
	struct process *p;
	struct task *t;

	TAILQ_FOREACH(p, &c->processes, entry) {
		if (!p->stays)
			continue;
		TAILQ_FOREACH(t, &p->tasks, of_process)
			if (t->state == TASK_LISTENING && !t->left)
				task_stop(c, t);
	}
}

/* Processes held only for a memory that no followed one uses any more. */
void release_unfollowed(struct controller *c, struct space *s)
{
	struct process *p;

	TAILQ_FOREACH(p, &s->processes, of_space)
		if (p->followed)
			return;
	TAILQ_FOREACH(p, &s->processes, of_space) {
		if (p->release)
			continue;
		p->released = true; /* nobody knows of it */
		release_process(c, p, PROTO_RUN, 0);
		return; /* which has done the same for the rest */
	}
}

/* ---- all --------------------------------------------------------------------------------- */

void release_all(struct controller *c, uint32_t mode, uint64_t request)
{
	struct process *p;
	struct space *s;

	grab_cancel(c);
	hurry(c, true);
	c->finishing = true;
	c->finish_id = request;
	c->finish_by_ns = os_now_ns() + FINISH_NS;
	c->release_check_ns = os_now_ns() + CHECK_NS;
	TAILQ_FOREACH(s, &c->spaces, entry)
		close_space(c, s);
	/* whether we stay as a parent decides how blocked threads are let go: know it first */
	TAILQ_FOREACH(p, &c->processes, entry)
		if (p->created && p->executed && mode == PROTO_RUN)
			c->kept_child = p->pid;
	do {
		TAILQ_FOREACH(p, &c->processes, entry)
			if (!p->release)
				break;
		if (p)
			release_process(c, p, p->followed ? mode : PROTO_RUN, 0);
	} while (p);
	finish_check(c);
}

/*
 * All is let go, and what is left to wait for may take for ever: the end of the victim that we are the parent
 * of; or, with a victim left hanging, that of the client, for what the kernel sends to its orphaned group
 * must find us (rule 9). A client that goes away is dead a moment after; one that lives on, for it was we who were told
 * to end, is not waited for long: meanwhile the victim would not be anybody's to continue.
 */
static bool waits_for_others(const struct controller *c)
{
	if (c->hold.mode == PROTO_HANG)
		return c->client_gone && !c->client_dead && (!c->linger_ns || os_now_ns() < c->linger_ns);
	return c->kept_child != 0;
}

void finish_check(struct controller *c)
{
	struct process *p;

	if (!c->finishing || c->done)
		return;
	/* A child born of what is let go is told of to nobody, but let go like the rest: scrubbed first. */
	TAILQ_FOREACH(p, &c->processes, entry) {
		if (!p->release || anything_awaited(c, p))
			return;
	}
	if (c->early)
		return; /* its maker's stop tells whose it is */
	if (c->finish_id) {
		out_result(c, c->finish_id, PROTO_REQ_release, 0, (uint32_t)c->kept_child);
		c->finish_id = 0;
	}
	c->state = PROTO_S_PARENT;
	if (c->client_gone && c->socket >= 0) {
		/* Ended by a signal we may stay as a parent: a client that lives must hear that its hold is
		 * gone. */
		sys(close, c->socket);
		c->socket = -1;
	}
	c->done = !waits_for_others(c);
	if (!c->done && c->hold.mode == PROTO_HANG && !c->linger_ns)
		c->linger_ns = c->release_check_ns = os_now_ns() + LINGER_NS;
}

/*
 * Is something awaited that only lacks a processor? It stops, or ends, as soon as it gets one, and may have
 * the SIGTRAP of a trap to take before: on a crowded machine it is waited for beyond the deadline, which is
 * there for what does not move at all. Not for ever: nothing is.
 */
static bool anything_starves(const struct controller *c)
{
	const struct process *p;
	const struct task *t;

	if (os_now_ns() > c->finish_by_ns + STARVE_NS)
		return false;
	TAILQ_FOREACH(p, &c->processes, entry)
		TAILQ_FOREACH(t, &p->tasks, of_process) {
			struct os_task_status status;

			if (awaited(c, t) && !t->unhashed && !os_task_status(t->tid, &status) &&
			    status.state == 'R')
				return true;
		}
	return false;
}

/*
 * A stop taken on the way out may be that of a thread with the SIGTRAP of a trap queued behind it: it was let
 * run up to that and must find us, or it dies of it. False: there is still something to wait for.
 */
bool finish_holds(struct controller *c)
{
	const struct process *p;

	if (!c->finishing)
		return true;
	TAILQ_FOREACH(p, &c->processes, entry) {
		if (anything_awaited(c, p))
			break;
	}
	if ((!p && !c->early) || (os_now_ns() > c->finish_by_ns && !anything_starves(c)))
		return true;
	c->done = false;
	c->release_check_ns = os_now_ns() + CHECK_NS;
	return false;
}

void release_timers(struct controller *c, uint64_t now)
{
	struct process *p, *next;
	bool pending = false;

	if (!c->release_check_ns || c->release_check_ns > now)
		return;
	c->release_check_ns = 0;
	if (c->finishing && stays_no_more(c))
		release_stays(c);
	for (p = TAILQ_FIRST(&c->processes); p; p = next) {
		struct task *t;

		next = TAILQ_NEXT(p, entry);
		if (!p->release)
			continue;
		TAILQ_FOREACH(t, &p->tasks, of_process)
			if ((t->state == TASK_STOPPING || t->state == TASK_ENDING) && task_cannot_run(t) &&
			    !may_be_copying(t))
				task_set_state(t, TASK_BLOCKED);
		release_check(c, p);
		pending = pending || anything_awaited(c, p);
	}
	finish_check(c);
	if (pending || (c->finishing && !c->done && !waits_for_others(c)))
		c->release_check_ns = now + CHECK_NS;
	else if (!c->done && c->linger_ns)
		c->release_check_ns = c->linger_ns;
	if (c->finishing && now > c->finish_by_ns && !waits_for_others(c) && !anything_starves(c))
		c->done = true; /* something does not die: the kernel detaches it, and its text is whole */
}
