/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * controller/signals.c - what tracing does to a victim's signals and system calls, and how it is undone
 */
#include "controller/controller.h"

#include <errno.h>

#include "controller/trace.h"
#include "os/procfs.h"

#define BIT(signal) (UINT64_C(1) << ((signal)-1))

/* At stops that are made anyway: a mask is the thread's, a disposition the process's. */
void signals_refresh(struct controller *c, struct task *t)
{
	uint64_t mask;

	(void)c;
	if (!t->masked && !trace_get_mask(t->tid, &mask))
		t->trap_blocked = (mask & BIT(SIGTRAP)) != 0;
}

static void told_sigstate(struct controller *c, struct task *t)
{
	struct proto_ev_signal body = { .signal = SIGTRAP };

	event_of(c, &body.event, t);
	if (t->process->followed)
		out_event(c, PROTO_EV_sigstate, &body, sizeof(body));
}

/*
 * A trap under a blocked or ignored SIGTRAP makes the kernel unblock it and reset the disposition
 * (force_sig): at this very stop both are put back. Whether it was blocked is not told; it was when last seen
 * so, or when all others are, since nobody blocks all signals but this one.
 */
void signals_repair(struct controller *c, struct task *t)
{
	const uint64_t blockable = ~(BIT(SIGKILL) | BIT(SIGSTOP) | BIT(SIGTRAP));
	/* glibc keeps these two for itself and never blocks them; musl has three */
	const uint64_t libc = BIT(32) | BIT(33) | BIT(34);
	uint64_t mask;

	if (trace_get_mask(t->tid, &mask))
		return;
	if (!t->trap_blocked && (mask | libc | ~blockable) != ~UINT64_C(0))
		return;
	t->trap_blocked = true;
	if (!(mask & BIT(SIGTRAP)))
		trace_set_mask(t->tid, mask | BIT(SIGTRAP));
	if (t->process->trap_caught || t->process->trap_ignored)
		told_sigstate(c, t);
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
