/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * controller/hit.c - a thread has run into a trap instruction
 *
 *	whose is it? ──► the victim's own, delivered
 *	     │ ours
 *	     ├── lifted meanwhile (tombstone, park, release): set back to run what stands there now
 *	     └── planted: count, tell or ask, then run the instruction (step.c)
 */
#include "controller/controller.h"

#include <errno.h>
#include <string.h>

#include "controller/site.h"
#include "controller/trace.h"

/* Does a trap that we have not planted stand there? Then the victim has hit one of its own. */
static bool own_trap(struct space *s, vaddr_t address)
{
	unsigned char byte[ARCH_TRAP_SIZE];

	return !space_read(s, address, byte, sizeof(byte)) && !memcmp(byte, arch_trap, sizeof(byte));
}

static bool guard_matches(struct task *t, const struct site *site)
{
	uint32_t word;

	return !(site->flags & PROTO_SITE_GUARD) ||
	       (!task_read(t, site->guard, &word, sizeof(word)) && word == site->guard_value);
}

/* A record or a question of this hit; true when the thread now waits for the answer. */
static bool tell(struct controller *c, struct task *t, struct site *site, const struct arch_regs *regs)
{
	struct proto_ev_hit body = {
		.site = site->id,
		.address = site->address,
		.hits = site->hits,
		.arg0 = arch_argument(regs, 0),
		.arg1 = arch_argument(regs, 1),
	};
	bool asked;

	if (site->flags & PROTO_SITE_ASK && (c->asks || !(site->flags & PROTO_SITE_CAPTURE)))
		sample_hit(c, t, regs);
	event_of(c, &body.event, t);
	if (site->flags & PROTO_SITE_CAPTURE && !c->asks)
		body.items = (uint32_t)capture_list(c, t, site);
	site->flags &= ~(uint32_t)PROTO_SITE_CAPTURE;
	asked = !body.items && site->flags & PROTO_SITE_ASK && ask(c, t, &body.event);
	out_event_with(c, PROTO_EV_hit, &body, sizeof(body), c->scratch, body.items);
	return asked;
}

/* The breakpoints of a site have been hit: counted, and told of where somebody listens. Nobody waits for it. */
static void probe_hit(struct controller *c, struct task *t, const struct site *site, const struct arch_regs *regs)
{
	struct proto_ev_hit body = {
		.site = site->probe_id,
		.address = site->address,
		.hits = site->hits,
		.arg0 = arch_argument(regs, 0),
		.arg1 = arch_argument(regs, 1),
	};

	counters_add(c, site);
	if (!(site->probe & PROTO_SITE_REPORT))
		return;
	event_of(c, &body.event, t);
	out_event(c, PROTO_EV_hit, &body, sizeof(body));
}

static void set_back(struct controller *c, struct task *t, struct arch_regs *regs)
{
	arch_not_in_syscall(regs);
	trace_set_regs(t->tid, regs);
	settle(c, t);
}

/* The way of nearly all hits: nothing keeps the task, so its registers are written once, when it has run
 * over. */
static void go_over(struct controller *c, struct task *t, struct site *site, struct arch_regs *regs)
{
	if (t->over && may_go_on(t))
		step_over_with(c, t, site, regs);
	else
		set_back(c, t, regs);
}

/* A trap of ours that stands: registers have the pc set back on it, and are not written yet. */
static void hit_site(struct controller *c, struct task *t, struct site *site, struct arch_regs *regs)
{
	bool counted = t->rehit != site->address || t->rehit_sp != arch_sp(regs);

	t->rehit = 0;
	t->over = site->address;
	if (counted) {
		site->hits++;
		c->stats.hits++;
		if (site->probe && t->process->followed)
			probe_hit(c, t, site, regs);
	}
	if (!counted || !site->own || site->flags & PROTO_SITE_LATER || !guard_matches(t, site)) {
		go_over(c, t, site, regs);
		return;
	}
	if (site->flags & PROTO_SITE_ONCE) {
		/* From here on the original stands, unless it is a breakpoint too; who has hit it meanwhile finds the tombstone. */
		space_lift_hit(t->process->space, site);
		space_plant_later(t->process->space);
		if (!site->planted)
			t->over = 0;
	}
	if (site->flags & (PROTO_SITE_REPORT | PROTO_SITE_ASK) && t->process->followed &&
	    tell(c, t, site, regs)) {
		arch_not_in_syscall(regs);
		trace_set_regs(t->tid, regs);
		task_set_state(t, TASK_ASKING);
		check_still(c, t->process->space);
		return;
	}
	if (site->flags & PROTO_SITE_PARK && t->process->followed) {
		arch_not_in_syscall(regs);
		trace_set_regs(t->tid, regs);
		task_set_state(t, TASK_HELD);
		park(c, t->process, t->tid);
		return;
	}
	go_over(c, t, site, regs);
}

static void ours(struct controller *c, struct task *t, struct site *site, struct arch_regs *regs)
{
	arch_set_pc(regs, arch_pc(regs) - ARCH_TRAP_PC_AFTER);
	if (site && site->planted && !t->process->space->lifted && !t->process->release)
		hit_site(c, t, site, regs);
	else
		set_back(c, t, regs);
}

/* Its registers stand behind the trap, which is known to be ours. */
void hit_ours(struct controller *c, struct task *t)
{
	struct arch_regs regs;

	if (trace_get_regs(t->tid, &regs))
		settle(c, t);
	else
		ours(c, t, site_find(&t->process->space->sites, arch_pc(&regs) - ARCH_TRAP_PC_AFTER), &regs);
}

void hit(struct controller *c, struct task *t)
{
	struct space *s = t->process->space;
	struct arch_regs regs;
	struct site *site;
	vaddr_t address;

	if (trace_get_regs(t->tid, &regs)) {
		settle(c, t);
		return;
	}
	address = arch_pc(&regs) - ARCH_TRAP_PC_AFTER;
	site = site_find(&s->sites, address);
	if (!site || !site->known || ((!site->planted || s->lifted) && own_trap(s, address))) {
		pass_signal(c, t);
		return;
	}
	if (!signals_repair(c, t))
		ours(c, t, site, &regs);
}
