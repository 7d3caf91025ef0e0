/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * controller/signals.c - what tracing does to a victim's signals and system calls, and how it is undone
 */
#include "controller/controller.h"

#include <errno.h>
#include <string.h>

#include "controller/call.h"
#include "controller/site.h"
#include "controller/trace.h"
#include "os/procfs.h"

#define BIT(signal) (UINT64_C(1) << ((signal)-1))

/* Could a trap of ours have reset the disposition, by another thread whose stop is not seen yet? */
static bool reset_may_be_ours(const struct process *p, const struct task *seen)
{
	const struct task *t;

	TAILQ_FOREACH(t, &p->tasks, of_process) {
		if (t != seen && (p->trap_ignored || t->last_mask & BIT(SIGTRAP)))
			return true;
	}
	return false;
}

/*
 * The dispositions are the process's; /proc tells which there are, not the handler's address. A default is
 * believed only when it cannot be what a trap has made of the disposition a moment ago: between that trap and
 * the repair at its stop another thread may be looked at.
 */
static void refresh_disposition(struct task *t)
{
	struct process *p = t->process;
	uint64_t all_ignored, all_caught;
	bool ignored, caught;

	if (os_signal_actions(t->tid, &all_ignored, &all_caught))
		return;
	ignored = (all_ignored & BIT(SIGTRAP)) != 0;
	caught = (all_caught & BIT(SIGTRAP)) != 0;
	if (!ignored && !caught && (p->owes_ignore || reset_may_be_ours(p, t)))
		return;
	p->owes_ignore = false;
	p->trap_ignored = ignored;
	p->trap_caught = caught;
	p->trap_action_known = p->trap_action_known && caught;
}

/*
 * A trap that is queued behind this stop has had its effect already: what the kernel shows now is what it
 * made of the victim's state, not what is to be put back.
 */
static bool trap_is_coming(const struct task *t)
{
	const struct process *p = t->process;

	return p->space->sites.used && (t->last_mask & BIT(SIGTRAP) || p->trap_ignored || p->trap_caught) &&
	       trace_trap_queued(t->tid) == 1;
}

/*
 * At stops that are made anyway. What changes between two of them is not seen. The dispositions cost a file of
 * /proc, so the stops that builds and shells make by the thousand look at the mask alone.
 */
void signals_refresh(struct controller *c, struct task *t, bool dispositions)
{
	uint64_t mask;

	/* Where nothing is planted nothing has to be put back; before it is, all masks are read anew. */
	if (c->light || trap_is_coming(t))
		return;
	/*
	 * A trap that waits in the queue behind this stop has unblocked SIGTRAP already: what was seen before
	 * is what its stop will have to put back.
	 */
	if (!t->masked && !trace_get_mask(t->tid, &mask) &&
	    !(t->last_mask & ~mask & BIT(SIGTRAP) && trace_trap_queued(t->tid) == 1))
		mask_saw_at_stop(t, mask, dispositions);
	if (dispositions && t->process->space->sites.used)
		refresh_disposition(t);
}

static void tell_sigstate(struct controller *c, struct task *t)
{
	struct proto_ev_signal body = { .signal = SIGTRAP };

	event_of(c, &body.event, t);
	if (t->process->followed && !t->process->released)
		out_event(c, PROTO_EV_sigstate, &body, sizeof(body));
}

/* Below the red zone: memory that no program may expect to keep, and no signal frame can hit while masked. */
static vaddr_t scratch(struct task *t)
{
	enum { RED_ZONE = 128, ROOM = 64 };
	struct arch_regs regs;

	if (trace_get_regs(t->tid, &regs))
		return 0;
	return (arch_sp(&regs) - RED_ZONE - ROOM) & ~UINT64_C(15);
}

static void action_restored(struct controller *c, struct task *t, const struct call *call, int64_t result)
{
	(void)call;
	if (result < 0)
		tell_sigstate(c, t);
	hit_ours(c, t);
}

/* A default here is what a trap of another thread has made of it meanwhile: worth nothing. */
static void take_action(struct process *p, struct task *t, const struct call *call, int64_t result)
{
	unsigned char action[KERNEL_SIGACTION];
	uint64_t handler;

	if (result || task_read(t, call->value, action, sizeof(action)))
		return;
	memcpy(&handler, action, sizeof(handler));
	if (handler == (uint64_t)(uintptr_t)SIG_DFL || handler == (uint64_t)(uintptr_t)SIG_IGN)
		return;
	memcpy(p->trap_action, action, sizeof(action));
	p->trap_action_known = true;
}

static void action_read(struct controller *c, struct task *t, const struct call *call, int64_t result)
{
	struct process *p = t->process;

	take_action(p, t, call, result);
	hit_ours(c, t);
}

static bool call_sigaction(struct controller *c, struct task *t, bool set, bool in_syscall,
			   call_done_fn *done)
{
	struct call call = { .done = done, .value = scratch(t), .in_syscall = in_syscall };
	struct process *p = t->process;
	const uint64_t argument[6] = {
		SIGTRAP,
		set ? call.value : 0,
		set ? 0 : call.value,
		sizeof(uint64_t),
	};
	struct os_task_status status;

	/* A filter may kill for the call. */
	if (!call.value || !p->space->gadget || os_task_status(t->tid, &status) || status.seccomp)
		return false;
	if (set && task_write(t, call.value, p->trap_action, sizeof(p->trap_action)))
		return false;
	return call_begin(c, t, &call, ARCH_CALL_RT_SIGACTION, argument);
}

/* ---- finding a handler out
 * --------------------------------------------------------------------------------- */

/*
 * Only the process itself can tell the handler's address, and only before a trap under a blocked SIGTRAP has
 * made the kernel forget it. So as soon as a handler is seen, one thread asks for it. It may stand inside a
 * system call: the registers are put back as they were, and an interrupt then makes the kernel look again at
 * whether that call is to be restarted.
 */
bool signals_must_learn(const struct process *p)
{
	return p->trap_caught && !p->trap_action_known && !p->unlearnable && !p->learner && !p->release &&
	       p->space->gadget;
}

static void learned(struct controller *c, struct task *t, const struct call *call, int64_t result)
{
	struct process *p = t->process;

	take_action(p, t, call, result);
	p->unlearnable = !p->trap_action_known;
	t->regroup = t->regroup || call->in_syscall;
	if (signals_unlearn(c, p))
		return; /* it was held as its call ended, and was let go with the others */
	settle(c, t);
}

/* A thread that runs has to stop, and asks for the handler then. No trap stands meanwhile, so the others may run. */
static bool learn_by_another(struct controller *c, struct process *p)
{
	struct task *t;

	TAILQ_FOREACH(t, &p->tasks, of_process) {
		if (t->state != TASK_RUNNING || t->unhashed)
			continue;
		space_lift(c, p->space); /* until it is known: learned() plants */
		p->learner = t;
		task_stop(c, t);
		return true;
	}
	return false;
}

bool signals_unlearn(struct controller *c, struct process *p)
{
	struct space *s = p->space;

	p->learner = NULL;
	p->learn_first = false;
	if (s->parks || s->closed || s->still || s->freezing)
		return false; /* what holds it for other reasons plants again and lets go */
	/*
	 * Not found out: by another then, before a trap stands that can destroy it. Who stands asks for it when it is let go,
	 * and where nobody does one that runs is stopped, or the next to stop is it.
	 */
	thaw_process(c, p);
	if (p->learner)
		return true;
	if (signals_must_learn(p))
		(void)learn_by_another(c, p);
	else
		space_replant(c, s);
	return true;
}

static bool learn(struct controller *c, struct task *t, bool in_syscall)
{
	t->process->learner = t;
	t->process->learn_first = true; /* a call does not block, so the others stand but a moment */
	if (call_sigaction(c, t, false, in_syscall, learned))
		return true;
	t->process->learner = NULL;
	t->process->learn_first = false;
	return false;
}

/* What stood because of it goes on, this one too if it was held: then true. */
static bool give_up_learning(struct controller *c, struct task *t)
{
	bool held = t->state == TASK_HELD;

	t->process->unlearnable = true;
	signals_unlearn(c, t->process);
	return held && t->state != TASK_HELD;
}

bool signals_learn(struct controller *c, struct task *t)
{
	struct process *p = t->process;
	bool answered = classify(t->status, 0) == STOP_INTERRUPT;
	bool asked = p->learner == t;

	if (!asked && (!p->space->sites.used || !signals_must_learn(p)))
		return false;
	/* A signal to be delivered goes first: the interrupt behind it is answered before the handler runs.
	 */
	if (!t->deliver && (answered || t->over))
		return learn(c, t, answered) || give_up_learning(c, t);
	if (asked || t->over)
		return give_up_learning(c, t);
	space_lift(c, p->space); /* until it is known */
	p->learner = t;
	p->learn_first = true;
	t->regroup = true;
	task_run(c, t);
	return true;
}

void signals_learn_first(struct controller *c, struct process *p)
{
	struct task *t;

	TAILQ_FOREACH(t, &p->tasks, of_process) {
		if (!t->unhashed)
			break;
	}
	if (!t)
		return;
	if (!p->actions_known)
		refresh_disposition(t);
	p->actions_known = false;
	if (!signals_must_learn(p))
		return;
	TAILQ_FOREACH(t, &p->tasks, of_process) {
		if (t->state == TASK_HELD && !t->deliver && classify(t->status, 0) == STOP_INTERRUPT) {
			if (learn(c, t, true))
				return;
		}
	}
	(void)learn_by_another(c, p);
}

/* The kernel has reset the disposition of this process to the default; put back what was there. */
static bool repair_disposition(struct controller *c, struct task *t, call_done_fn *restored)
{
	struct process *p = t->process;

	if (p->trap_ignored) {
		const uint64_t ignore = (uint64_t)(uintptr_t)SIG_IGN;

		memset(p->trap_action, 0, sizeof(p->trap_action));
		memcpy(p->trap_action, &ignore, sizeof(ignore));
	} else if (!p->trap_action_known) {
		tell_sigstate(c, t);
		return false;
	}
	if (call_sigaction(c, t, true, false, restored))
		return true;
	tell_sigstate(c, t);
	return false;
}

/*
 * To ignore a signal is to discard those of it that wait, in every thread (POSIX): also the SIGTRAP of a thread that
 * has just run into a trap, which would then run on from the middle of an instruction. So what the kernel has made the
 * default is left so while other threads may have one; what a SIGTRAP would do meanwhile is done by us: nothing.
 */
static bool owe(struct controller *c, struct task *t)
{
	struct process *p = t->process;

	if (p->task_count <= 1) {
		p->owes_ignore = false;
		return false;
	}
	if (!p->owes_ignore)
		tell_sigstate(c, t);
	return p->owes_ignore = true;
}

bool signals_ignored(const struct task *t)
{
	siginfo_t info;

	/* What the processor raises, the kernel does not let anybody ignore. */
	return t->process->trap_ignored && !trace_get_info(t->tid, &info) && info.si_code <= 0;
}

static void ignored_again(struct controller *c, struct task *t, const struct call *call, int64_t result)
{
	(void)call;
	if (result < 0)
		tell_sigstate(c, t);
	release_gathered(c, t->process);
	t->regroup = true; /* it may stand inside a call of its own */
	settle(c, t);
}

bool signals_ignore_again(struct controller *c, struct task *t)
{
	const uint64_t ignore = (uint64_t)(uintptr_t)SIG_IGN;
	struct process *p = t->process;

	if (t->deliver || classify(t->status, 0) != STOP_INTERRUPT) {
		/*
		 * A signal goes first, and what has interrupted a system call is gone through: the interrupt behind is
		 * answered before any user code runs.
		 */
		t->regroup = true;
		task_run(c, t);
		return true;
	}
	p->owes_ignore = false;
	memset(p->trap_action, 0, sizeof(p->trap_action));
	memcpy(p->trap_action, &ignore, sizeof(ignore));
	if (call_sigaction(c, t, true, true, ignored_again))
		return true;
	tell_sigstate(c, t);
	return false;
}

/* Nobody but a trap under a blocked SIGTRAP has taken the handler away that was there. */
static bool disposition_is_lost(const struct task *t)
{
	uint64_t ignored, caught;

	return t->process->trap_caught && t->process->trap_action_known &&
	       !os_signal_actions(t->tid, &ignored, &caught) && !((ignored | caught) & BIT(SIGTRAP));
}

/*
 * A trap under a blocked or ignored SIGTRAP makes the kernel unblock it and reset the disposition
 * (force_sig): at this very stop both are put back.
 */
bool signals_repair(struct controller *c, struct task *t)
{
	struct process *p = t->process;
	bool blocked;
	uint64_t mask;

	if (trace_get_mask(t->tid, &mask))
		return false;
	blocked = mask_had_trap(t, mask) || (t->blocking[0] && disposition_is_lost(t));
	mask_saw(t, blocked ? mask | BIT(SIGTRAP) : mask);
	if (blocked)
		trace_set_mask(t->tid, mask | BIT(SIGTRAP));
	if (p->trap_ignored && owe(c, t))
		return false;
	if (p->trap_ignored || (p->trap_caught && blocked))
		return repair_disposition(c, t, action_restored);
	/* A handler is seen whole here, before a trap under a blocked SIGTRAP destroys it. */
	return p->trap_caught && !p->trap_action_known && call_sigaction(c, t, false, false, action_read);
}

static void action_restored_after_step(struct controller *c, struct task *t, const struct call *call,
				       int64_t result)
{
	(void)call;
	if (result < 0)
		tell_sigstate(c, t);
	step_left(c, t);
}

/* An ignored SIGTRAP does not survive a single step; a blocked one is let through for it (step.c). */
bool signals_repair_step(struct controller *c, struct task *t)
{
	if (!t->process->trap_ignored || owe(c, t))
		return false;
	return repair_disposition(c, t, action_restored_after_step);
}

static bool deliverable(const struct task *t)
{
	struct os_task_status status;

	if (os_task_status(t->tid, &status))
		return true;
	return ((status.sig_pending | status.sig_shared_pending) & ~status.sig_blocked) != 0;
}

/*
 * Rule 11: a call that the kernel does not restart by itself was interrupted by our stop alone. With a finite
 * time-out EINTR stays, as a SIGSTOP and SIGCONT of somebody else would give.
 */
void signals_wind_back(struct controller *c, struct task *t)
{
	struct arch_regs regs;

	if (stop_regs(c, t, &regs) || arch_syscall_number(&regs) < 0 ||
	    arch_syscall_result(&regs) != -EINTR)
		return;
	if (arch_syscall_eintr(&regs) != ARCH_EINTR_INFINITE || deliverable(t))
		return;
	arch_syscall_rewind(&regs);
	c->seen.of = NULL;
	t->wound_back = !trace_set_regs(t->tid, &regs);
}
