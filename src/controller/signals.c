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

/* The dispositions are the process's; /proc tells which there are, not the handler's address. */
static void refresh_disposition(struct task *t)
{
	struct process *p = t->process;
	struct os_task_status status;

	if (os_task_status(t->tid, &status))
		return;
	p->trap_ignored = (status.sig_ignored & BIT(SIGTRAP)) != 0;
	p->trap_caught = (status.sig_caught & BIT(SIGTRAP)) != 0;
}

/* At stops that are made anyway. What changes between two of them is not seen. */
void signals_refresh(struct controller *c, struct task *t)
{
	uint64_t mask;

	(void)c;
	if (!t->masked && !trace_get_mask(t->tid, &mask))
		t->trap_blocked = (mask & BIT(SIGTRAP)) != 0;
	if (t->process->space->sites.used)
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

static void action_read(struct controller *c, struct task *t, const struct call *call, int64_t result)
{
	struct process *p = t->process;

	if (!result && !task_read(t, call->value, p->trap_action, sizeof(p->trap_action)))
		p->trap_action_known = true;
	hit_ours(c, t);
}

static bool call_sigaction(struct controller *c, struct task *t, bool set, call_done_fn *done)
{
	struct call call = { .done = done, .value = scratch(t) };
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
	if (call_sigaction(c, t, true, restored))
		return true;
	tell_sigstate(c, t);
	return false;
}

/*
 * A trap under a blocked or ignored SIGTRAP makes the kernel unblock it and reset the disposition
 * (force_sig): at this very stop both are put back. Whether it was blocked is not told; it was when last seen
 * so, or when all others are, since nobody blocks all signals but this one.
 */
bool signals_repair(struct controller *c, struct task *t)
{
	const uint64_t blockable = ~(BIT(SIGKILL) | BIT(SIGSTOP) | BIT(SIGTRAP));
	/* a C library keeps these for itself and leaves them out of a full mask: glibc two, musl three */
	const uint64_t libc = BIT(32) | BIT(33) | BIT(34);
	struct process *p = t->process;
	bool blocked;
	uint64_t mask;

	if (trace_get_mask(t->tid, &mask))
		return false;
	blocked = t->trap_blocked || (mask | libc | ~blockable) == ~UINT64_C(0);
	if (blocked) {
		t->trap_blocked = true;
		trace_set_mask(t->tid, mask | BIT(SIGTRAP));
	}
	if (p->trap_ignored || (p->trap_caught && blocked))
		return repair_disposition(c, t, action_restored);
	/* A handler is seen whole here, before a trap under a blocked SIGTRAP destroys it. */
	return p->trap_caught && !p->trap_action_known && call_sigaction(c, t, false, action_read);
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
	if (!t->process->trap_ignored)
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

	(void)c;
	if (trace_get_regs(t->tid, &regs) || arch_syscall_number(&regs) < 0 ||
	    arch_syscall_result(&regs) != -EINTR)
		return;
	if (arch_syscall_eintr(&regs) != ARCH_EINTR_INFINITE || deliverable(t))
		return;
	arch_syscall_rewind(&regs);
	trace_set_regs(t->tid, &regs);
}
