/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * controller/hit.c - a thread has run into a trap instruction
 *
 *	whose is it? ──► the victim's own, delivered
 *	     │ ours
 *	     ├── lifted meanwhile (tombstone, park, release): set back to run what stands there now
 *	     └── planted: the breakpoints' part: count, tell or ask ──► the library's own: tell or ask ──► run the instruction (step.c)
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

/*
 * May what the linker lists be told by a copy? Not where somebody waits for it before its code runs: a breakpoint, or who
 * wants the stack that it was loaded by. A client that lags behind is asked, so that it sets the pace.
 */
static bool may_copy(const struct controller *c, const struct site *site)
{
	if (c->asks)
		return false;
	return site->flags & PROTO_SITE_CAPTURE ||
	       (site->flags & PROTO_SITE_NEWS && !(c->hold.stacks & PROTO_SAMPLE_AT_LINKER) &&
		c->out.used <= UNSENT_MAX);
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
	bool copied = may_copy(c, site), asked;

	if (site->flags & PROTO_SITE_ASK && !copied)
		sample_hit(c, t, regs);
	event_of(c, &body.event, t);
	if (copied)
		body.items = (uint32_t)capture_list(c, t, site);
	if (body.items && site->flags & PROTO_SITE_CAPTURE)
		out_soon(c);
	site->flags &= ~(uint32_t)PROTO_SITE_CAPTURE;
	asked = !body.items && site->flags & PROTO_SITE_ASK && ask(c, t, &body.event);
	out_event_with(c, PROTO_EV_hit, &body, sizeof(body), c->scratch, body.items);
	return asked;
}

bool probe_concerns(const struct probe *probe, const struct task *t)
{
	return probe->counter && (!probe->thread || (probe->thread == t->tid && probe->serial == t->serial));
}

/* Each that is concerned counts it. */
static void probes_count(struct controller *c, const struct task *t, const struct site *site)
{
	for (size_t i = 0; i < MAX_SITE_COUNTERS; i++)
		if (probe_concerns(&site->probes[i], t))
			counter_add(c, site->probes[i].counter, 1);
}

/* What they want. */
static uint32_t probes_want(const struct task *t, const struct site *site)
{
	uint32_t wants = 0;

	for (size_t i = 0; i < MAX_SITE_COUNTERS; i++)
		wants |= probe_concerns(&site->probes[i], t) ? site->probes[i].wants : 0;
	return wants;
}

/* The breakpoints of a site have been hit: told of where somebody listens. True: it waits for a handler. */
static bool probe_hit(struct controller *c, struct task *t, const struct site *site, const struct arch_regs *regs)
{
	uint32_t wants = probes_want(t, site);
	struct proto_ev_hit body = {
		.site = site->probe_id,
		.address = site->address,
		.hits = site->hits,
		.arg0 = arch_argument(regs, 0),
		.arg1 = arch_argument(regs, 1),
	};
	bool asked;

	if (!(wants & (PROTO_PROBE_REPORT | PROTO_PROBE_ASK)))
		return false;
	event_of(c, &body.event, t);
	asked = wants & PROTO_PROBE_ASK && ask_handler(c, t, &body.event, wants & PROTO_PROBE_FOREVER);
	out_event(c, PROTO_EV_hit, &body, sizeof(body));
	return asked;
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

/* A question is out about it: it stands on the site. */
static void wait_there(struct controller *c, struct task *t, struct arch_regs *regs)
{
	arch_not_in_syscall(regs);
	trace_set_regs(t->tid, regs);
	task_set_state(t, TASK_ASKING);
	check_still(c, t->process->space);
}

/* What the library itself wants there. */
static void hit_own(struct controller *c, struct task *t, struct site *site, struct arch_regs *regs)
{
	if (!site->own || site->flags & PROTO_SITE_LATER || !guard_matches(t, site)) {
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
		wait_there(c, t, regs);
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

/* Who listens to the breakpoints there, and then the library itself. */
static void hit_probes(struct controller *c, struct task *t, struct site *site, struct arch_regs *regs)
{
	if (site->probe && t->process->followed && probe_hit(c, t, site, regs)) {
		t->own_due = true;
		wait_there(c, t, regs);
	} else {
		hit_own(c, t, site, regs);
	}
}

/* A trap of ours that stands: registers have the pc set back on it, and are not written yet. */
static void hit_site(struct controller *c, struct task *t, struct site *site, struct arch_regs *regs)
{
	bool counted = t->rehit != site->address || t->rehit_sp != arch_sp(regs);

	t->rehit = 0;
	t->over = site->address;
	if (!counted) {
		go_over(c, t, site, regs);
		return;
	}
	site->hits++;
	c->stats.hits++;
	if (site->back && t->process->followed)
		calls_return(c, t, site, regs);
	if (site->probe && t->process->followed)
		probes_count(c, t, site);
	/* Where the call comes back to has to stand before anybody lets it go on. */
	if (site->probe && site->calls && t->process->followed && calls_enter(c, t, site, regs)) {
		t->own_due = t->probes_due = true;
		wait_there(c, t, regs);
	} else {
		hit_probes(c, t, site, regs);
	}
}

/* A handler may have moved it, or lifted the site, meanwhile. */
void hit_own_due(struct controller *c, struct task *t)
{
	struct site *site = site_find(&t->process->space->sites, t->over);
	bool probes = t->probes_due;
	struct arch_regs regs;

	t->own_due = t->probes_due = false;
	if (!site || !site->planted || trace_get_regs(t->tid, &regs) || arch_pc(&regs) != t->over)
		step_over(c, t);
	else if (probes)
		hit_probes(c, t, site, &regs);
	else
		hit_own(c, t, site, &regs);
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
