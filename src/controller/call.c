/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * controller/call.c - make a victim's thread do one system call for us
 *
 *	stopped in user code ── registers kept, signals masked, pc on a syscall instruction ──►
 *	CALLING ── entry stop ── exit stop: result read, registers and mask as before ──► what it was for goes
 *on
 *
 * By PTRACE_SYSCALL, for a single step ends in a SIGTRAP that would reset the very disposition which a call
 *may be there to put back.
 *
 * Only at a stop outside a system call, and only with calls that do not block. If we die in between the
 *thread runs on from the instruction behind: that is the unprotected death of the controller
 *(docs/safety.md).
 */
#include "controller/controller.h"

#include <errno.h>

#include "controller/call.h"
#include "controller/site.h"
#include "controller/step.h"
#include "controller/trace.h"

bool call_begin(struct controller *c, struct task *t, const struct call *call, enum arch_call number,
		const uint64_t argument[6])
{
	const struct space *s = t->process->space;
	unsigned char bytes[ARCH_SYSCALL_SIZE];
	struct arch_regs regs;
	struct call *mine;

	if (!s->gadget || t->call || trace_get_regs(t->tid, &regs) ||
	    (arch_syscall_number(&regs) >= 0 && !call->in_syscall) || arch_steps_itself(&regs) ||
	    arch_call_number((enum arch_tag)regs.tag, number) < 0)
		return false;
	/* The client says where: it may be wrong, and the thread would run whatever stands there. */
	if (task_read(t, s->gadget, bytes, sizeof(bytes)) || !arch_is_syscall((enum arch_tag)regs.tag, bytes))
		return false;
	mine = pool_get(&c->call_pool);
	if (!mine)
		return false;
	*mine = *call;
	mine->saved = regs;
	/* SIGTRAP too: one that somebody sends would break the call off, and the call itself raises none. */
	if (!t->masked && !trace_get_mask(t->tid, &t->own_mask))
		t->masked = !trace_set_mask(t->tid, t->own_mask | step_mask() | UINT64_C(1) << (SIGTRAP - 1));
	arch_syscall_inject(&regs, s->gadget, arch_call_number((enum arch_tag)regs.tag, number), argument);
	if (!t->masked || trace_set_regs(t->tid, &regs)) {
		pool_put(&c->call_pool, mine);
		step_finish(c, t);
		return false;
	}
	t->call = mine;
	task_set_state(t, TASK_CALLING);
	trace_syscall(t->tid, 0); /* -ESRCH: its end abandons the call */
	return true;
}

void call_abandon(struct controller *c, struct task *t)
{
	if (t->process && t->process->space->caller == t)
		t->process->space->caller = NULL;
	pool_put(&c->call_pool, t->call);
	t->call = NULL;
}

void call_moved(struct controller *c, struct task *t)
{
	if (t->call->entered) {
		call_done(c, t);
		return;
	}
	t->call->entered = true;
	task_set_state(t, TASK_CALLING);
	trace_syscall(t->tid, 0);
}

void call_done(struct controller *c, struct task *t)
{
	struct call call = *t->call;
	struct arch_regs regs;
	int64_t result = -EFAULT;

	if (call.entered && !trace_get_regs(t->tid, &regs))
		result = arch_syscall_result(&regs);
	call_abandon(c, t);
	if (!call.in_syscall)
		arch_not_in_syscall(&call.saved);
	trace_set_regs(t->tid, &call.saved);
	step_finish(c, t);
	call.done(c, t, &call, result);
}
