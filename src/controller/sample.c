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

void sample_hit(struct controller *c, struct task *t, const struct arch_regs *regs)
{
	if (c->hold.stacks & PROTO_SAMPLE_AT_LINKER)
		tell(c, t, PROTO_EV_hit, regs, false);
}
