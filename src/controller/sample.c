/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * controller/sample.c - the registers of a thread at an event whose stack is wanted
 *
 *	controller                      library
 *	  sample (a question) ────────►   reads the stack, which stands, and finds its frames
 *	  the event itself    ────────►   (waits its turn)
 *	  goes on            ◄──answer──
 *	                                  the event, with those frames
 *
 * The question is the sample's own where the event has none: a signal, a fork, a thread. So the thread stands until
 * its stack has been looked at, and not longer than any question waits.
 *
 * Of an exit the thread stands in PTRACE_EVENT_EXIT, its last stop, and the event follows when the whole process has
 * ended. Every thread shows that stop, also those that are ended by the one which ends the process: whose stack is
 * wanted is told by its system call, or by the signal that it went on with. Who is ended by SIGKILL shows it too, and
 * goes on at once. Another SIGKILL ends the stop (-ESRCH).
 */
#include "controller/controller.h"

#include <string.h>

#include "controller/trace.h"

static void tell(struct controller *c, struct task *t, uint32_t type, const struct arch_regs *regs, bool stays)
{
	struct proto_ev_sample body = { .type = type, .tag = regs->tag, .size = regs->size };

	if (!t->process->followed || t->process->released)
		return;
	static_assert(sizeof(body.bytes) >= sizeof(regs->u.bytes), "registers do not fit");
	memcpy(body.bytes, regs->u.bytes, regs->size);
	event_of(c, &body.event, t);
	if (stays)
		ask(c, t, &body.event);
	out_event(c, PROTO_EV_sample, &body, sizeof(body));
}

void sample_held(struct controller *c, struct task *t, uint32_t wanted, uint32_t type)
{
	struct arch_regs regs;

	if (c->hold.stacks & wanted && !t->question && !trace_get_regs(t->tid, &regs))
		tell(c, t, type, &regs, true);
}

void sample(struct controller *c, struct task *t, uint32_t wanted, uint32_t type)
{
	struct arch_regs regs;

	if (c->hold.stacks & wanted && !trace_get_regs(t->tid, &regs))
		tell(c, t, type, &regs, false);
}

/* Of several that went on with such a signal, the last one: the process has lived on after the others. */
static bool took_fatal(const struct task *t, int signal)
{
	const struct task *other;

	if (t->went_with != signal)
		return false;
	TAILQ_FOREACH(other, &t->process->tasks, of_process)
		if (other->went_with == signal && other->went_with_at > t->went_with_at)
			return false;
	return true;
}

static bool is_last(const struct task *t)
{
	const struct task *other;

	TAILQ_FOREACH(other, &t->process->tasks, of_process)
		if (other != t && other->state != TASK_ENDING && !other->unhashed)
			return false;
	return true;
}

static bool ends_process(const struct task *t, const struct arch_regs *regs)
{
	uint64_t status;

	if (trace_message(t->tid, &status))
		return false;
	if (status & 0x7f)
		return took_fatal(t, (int)(status & 0x7f));
	switch (arch_syscall_ends((enum arch_tag)regs->tag, arch_syscall_number(regs))) {
	case ARCH_ENDS_PROCESS:
		return true;
	case ARCH_ENDS_THREAD:
		return is_last(t);
	default:
		return false;
	}
}

void sample_ending(struct controller *c, struct task *t)
{
	struct arch_regs regs;

	/* What create has made and not brought to its exec is told of by its answer. */
	if (!(c->hold.stacks & PROTO_SAMPLE_AT_EXIT) || c->create.process == t->process || trace_get_regs(t->tid, &regs) ||
	    !ends_process(t, &regs))
		return;
	slot_home(t->process->space, &regs);
	tell(c, t, PROTO_EV_exit, &regs, true);
}

void sample_hit(struct controller *c, struct task *t, const struct arch_regs *regs)
{
	if (c->hold.stacks & PROTO_SAMPLE_AT_LINKER)
		tell(c, t, PROTO_EV_hit, regs, false);
}
