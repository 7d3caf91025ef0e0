/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * controller/returns.c - calls, and that they come back
 *
 *	a function's first instruction ──► its return address ──► does a site stand there?
 *	     │ yes: a frame of the thread's shadow                    │ no: asked, once for each caller; no answer, or
 *	     ▼                                                        ▼ no site: this call's return is missed
 *	the site in the caller ──► the frame ──► counted, told
 *
 * No byte of the victim's stack is written, and what it says is believed only as far as it harms nobody: where a trap may
 * stand is the library's to judge, which looks at the code.
 */
#include "controller/controller.h"

#include "controller/site.h"
#include "os/sys.h"

static bool holds(void *data, vaddr_t slot, vaddr_t back)
{
	vaddr_t word;

	return task_read(data, slot, &word, sizeof(word)) == 0 && word == back;
}

static struct proto_call record_of(struct controller *c, const struct task *t, uint32_t kind)
{
	struct proto_event event;

	event_of(c, &event, t);
	return (struct proto_call){ .kind = kind, .pid = event.pid, .tid = event.tid, .t_ns = event.t_ns };
}

/* Its counters that fulfil this are whom the record concerns: how many. */
static size_t address_to(struct proto_call *record, const struct task *t, const struct site *site, uint32_t born,
			 bool returns)
{
	size_t count = 0;

	for (size_t i = 0; i < MAX_SITE_COUNTERS; i++) {
		const struct probe *probe = &site->probes[i];

		if (probe_concerns(probe, t) && probe->wants & PROTO_PROBE_CALL &&
		    (!returns || (probe->returns && probe->since <= born)))
			record->counter[count++] = probe->counter;
	}
	return count;
}

static void missed(struct controller *c, const struct task *t, const struct site *site)
{
	for (size_t i = 0; site && i < MAX_SITE_COUNTERS; i++)
		if (probe_concerns(&site->probes[i], t) && site->probes[i].returns)
			counter_add(c, site->probes[i].returns + (uint64_t)PROTO_RETURNS_MISSED, 1);
}

/* ---- calls ------------------------------------------------------------------------------- */

static void tell_call(struct controller *c, struct task *t, const struct site *site, const struct arch_regs *regs,
		      vaddr_t caller, uint32_t depth)
{
	struct proto_call record = record_of(c, t, PROTO_CALL);
	bool stack = false;

	if (!address_to(&record, t, site, 0, false))
		return;
	for (size_t i = 0; i < MAX_SITE_COUNTERS; i++)
		stack = stack || (probe_concerns(&site->probes[i], t) && site->probes[i].wants & PROTO_PROBE_STACK);
	record.function = site->address;
	record.caller = caller;
	record.depth = depth;
	for (unsigned i = 0; i < ARRAY_LEN(record.argument); i++)
		record.argument[i] = arch_argument(regs, i);
	ring_put(c, &record, stack ? t : NULL, regs);
}

static bool ask_for_caller(struct controller *c, struct task *t, vaddr_t caller)
{
	struct proto_ev_caller body = { .address = caller };

	event_of(c, &body.event, t);
	if (!ask(c, t, &body.event))
		return false;
	t->caller = caller;
	out_event(c, PROTO_EV_caller, &body, sizeof(body));
	return true;
}

/* Does the trap stand, is it asked for, or neither? */
enum awaited { AWAITED_NOT, AWAITED, AWAITED_IF };
static enum awaited await_return(struct controller *c, struct task *t, vaddr_t caller)
{
	const struct site *site = site_find(&t->process->space->sites, caller);

	if (site && site->planted && site->back)
		return AWAITED;
	if ((site && site->refused) || t->process->space->refused >= MAX_REFUSED_CALLERS)
		return AWAITED_NOT;
	return ask_for_caller(c, t, caller) ? AWAITED_IF : AWAITED_NOT;
}

bool calls_enter(struct controller *c, struct task *t, const struct site *site, const struct arch_regs *regs)
{
	const struct frame_memory memory = { holds, t };
	vaddr_t slot = arch_return_slot(regs), caller = 0;
	enum awaited awaited = AWAITED_NOT;
	uint32_t depth = 0;

	if (slot && task_read(t, slot, &caller, sizeof(caller)) == 0)
		frames_enter(&c->frame_pool, &t->shadow, &memory, slot, caller, site->address, &depth);
	else
		slot = 0;
	tell_call(c, t, site, regs, caller, depth);
	if (!site->awaits)
		return false;
	if (slot)
		awaited = await_return(c, t, caller);
	struct frame *frame = awaited == AWAITED_NOT ? NULL
						     : frames_push(&c->frame_pool, &t->shadow, slot, caller, site->address,
								   depth);
	if (frame) {
		frame->t_ns = t->stopped_ns;
		frame->born = c->plants;
	} else {
		missed(c, t, site);
	}
	return awaited == AWAITED_IF;
}

/* Remembered, so that it is not asked about at each call; not for ever, for other code may come to lie there. */
static void refuse(struct controller *c, struct space *s, vaddr_t address)
{
	struct site *site = site_find(&s->sites, address);

	if (!site)
		site = site_add(c, &s->sites, address);
	if (!site || site->refused)
		return;
	site->refused = true;
	s->refused++;
}

void returns_answered(struct controller *c, struct task *t, bool refused)
{
	struct space *s = t->process->space;
	vaddr_t caller = t->caller;
	const struct frame *frame = t->shadow.newest;
	const struct site *site;

	t->caller = 0;
	if (!caller)
		return;
	site = site_find(&s->sites, caller);
	if (site && site->planted && site->back)
		return;
	if (refused)
		refuse(c, s, caller);
	/* None, where there was no room for it: it was missed then. */
	if (!frame || frame->back != caller || t->shadow.beyond)
		return;
	missed(c, t, site_find(&s->sites, frame->function));
	frames_pop(&c->frame_pool, &t->shadow);
}

/* ---- returns ----------------------------------------------------------------------------- */

struct leaving {
	struct controller *c;
	struct task *t;
	const struct arch_regs *regs;
};

static unsigned bucket(uint64_t ns)
{
	return ns ? 63 - (unsigned)__builtin_clzll(ns) : 0;
}

static void came_back(const struct frame *frame, void *data)
{
	struct leaving *leaving = data;
	struct controller *c = leaving->c;
	const struct site *site = site_find(&leaving->t->process->space->sites, frame->function);
	uint64_t now = leaving->t->stopped_ns, elapsed = now > frame->t_ns ? now - frame->t_ns : 0;
	struct proto_call record;

	if (!site || !site->awaits)
		return;
	for (size_t i = 0; i < MAX_SITE_COUNTERS; i++) {
		const struct probe *probe = &site->probes[i];
		uint64_t first = probe->returns;

		/* of who came after the call, or in place of who has waited for it: no return without a call */
		if (!first || probe->since > frame->born || !probe_concerns(probe, leaving->t))
			continue;
		counter_add(c, first + PROTO_RETURNS, 1);
		if (!(probe->wants & PROTO_PROBE_LATENCY))
			continue;
		counter_add(c, first + PROTO_RETURNS_NS, elapsed);
		counter_add(c, first + PROTO_RETURNS_BUCKET + bucket(elapsed), 1);
	}
	record = record_of(c, leaving->t, PROTO_CALL_RETURN);
	if (!address_to(&record, leaving->t, site, frame->born, true))
		return;
	record.function = frame->function;
	record.caller = frame->back;
	record.depth = frame->depth;
	record.value = arch_result(leaving->regs);
	record.elapsed_ns = elapsed;
	ring_put(c, &record, NULL, NULL);
}

void calls_return(struct controller *c, struct task *t, const struct site *site, const struct arch_regs *regs)
{
	const struct frame_memory memory = { holds, t };
	struct leaving leaving = { c, t, regs };
	vaddr_t slot = arch_returned_slot(regs);

	if (slot)
		frames_leave(&c->frame_pool, &t->shadow, &memory, slot, site->address, came_back, &leaving);
}
