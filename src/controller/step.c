/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * controller/step.c - run the instruction under a trap
 *
 * Cheapest first: emulate it; run a copy in a slot (slot.c); step it in place. The last lifts the trap, so
 *the whole space must be still meanwhile:
 *
 *	STEP_WAIT ── space still ──► original byte, signals masked, SINGLESTEP ──► STEPPING
 *	                                                                    │ its SIGTRAP
 *	            next stepper, or thaw ◄── trap byte, mask back ◄────────┘
 */
#include "controller/controller.h"

#include <errno.h>

#include "controller/site.h"
#include "controller/step.h"
#include "controller/trace.h"
#include "os/procfs.h"
#include "os/sys.h"

/* A step that lasts longer than this is looked at: it may be a system call that blocks. */
enum { STEP_CHECK_NS = 10000000 };

/*
 * All signals but those that an instruction itself can raise: blocked, the kernel would kill for those.
 * Without the mask a storm of signals could keep the instruction from ever being reached.
 */
#define TRAP_BIT (UINT64_C(1) << (SIGTRAP - 1))

uint64_t step_mask(void)
{
	static const int raised[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS };
	uint64_t mask = ~UINT64_C(0);

	for (size_t i = 0; i < ARRAY_LEN(raised); i++)
		mask &= ~(UINT64_C(1) << (raised[i] - 1));
	return mask;
}

/* Rule 12: what calls or returns must move the shadow stack too, and only the processor can do that. */
static bool on_shadow_stack(struct controller *c, const struct task *t)
{
	int r;

	if (c->no_shadow_stacks)
		return false;
	r = trace_shadow_stack(t->tid);
	c->no_shadow_stacks = r == -EINVAL;
	return r == 0;
}

void step_over_with(struct controller *c, struct task *t, struct site *site, struct arch_regs *regs)
{
	struct space *s = t->process->space;
	const struct arch_memory memory = { .read = task_read, .write = task_write, .data = t };
	bool calls = site->recipe.flags & RECIPE_PUSHES_RETURN;
	bool shadowed = (calls || site->recipe.flags & RECIPE_POPS_RETURN) && on_shadow_stack(c, t);

	if (!shadowed && arch_emulate(&site->recipe, regs, &memory) == 1) {
		arch_not_in_syscall(regs);
		trace_set_regs(t->tid, regs);
		t->over = 0;
		c->stats.emulated++;
		task_run(c, t);
		return;
	}
	/* From here on the task may be looked at, or let go, at any time: it stands on its site. */
	arch_not_in_syscall(regs);
	trace_set_regs(t->tid, regs);
	/* A call in a slot would push the slot's own return address onto the shadow stack. */
	if (!(shadowed && calls) && slot_go(c, t, site, regs))
		return;
	task_set_state(t, TASK_STEP_WAIT);
	TAILQ_INSERT_TAIL(&s->steppers, t, of_steppers);
	freeze(c, s);
	check_still(c, s);
}

void step_over(struct controller *c, struct task *t)
{
	struct site *site = site_find(&t->process->space->sites, t->over);
	struct arch_regs regs;

	if (!site || !site->planted || trace_get_regs(t->tid, &regs) || arch_pc(&regs) != t->over) {
		t->over = 0;
		task_run(c, t);
		return;
	}
	step_over_with(c, t, site, &regs);
}

void step_next(struct controller *c, struct space *s)
{
	struct task *t = TAILQ_FIRST(&s->steppers);
	struct site *site = site_find(&s->sites, t->over);

	TAILQ_REMOVE(&s->steppers, t, of_steppers);
	s->stepper = t;
	s->check_ns = os_now_ns() + STEP_CHECK_NS;
	if (site && site->planted)
		site_write(s, site, false);
	if (!t->masked && !trace_get_mask(t->tid, &t->own_mask))
		t->masked = !trace_set_mask(t->tid, (t->own_mask | step_mask()) & ~TRAP_BIT);
	task_set_state(t, TASK_STEPPING);
	c->stats.in_place++;
	/* -ESRCH: its end finishes the step. */
	trace_step(t->tid, 0);
}

/* Trap and mask are put back; the task is stopped at, or behind, the instruction, or gone. */
void step_finish(struct controller *c, struct task *t)
{
	struct space *s = t->process->space;
	struct site *site = site_find(&s->sites, t->over);

	(void)c;
	if (t->masked && !t->unhashed)
		trace_set_mask(t->tid, t->own_mask);
	t->masked = false;
	if (s->stepper != t)
		return;
	if (site && site->planted && !s->lifted && !s->closed)
		site_write(s, site, true);
	s->stepper = NULL;
}

/* A step that blocks in a system call has left the instruction behind: the trap may stand again. */
void step_timer(struct controller *c, struct space *s)
{
	struct task *t = s->stepper;
	uint64_t mask = t->own_mask;

	s->check_ns = os_now_ns() + STEP_CHECK_NS;
	if (os_blocked_syscall(t->process->pid, t->tid, NULL) < 0)
		return;
	/* The mask can be put back only at its next stop. */
	t->masked = false;
	step_finish(c, t);
	t->masked = true;
	t->own_mask = mask;
	t->over = 0;
	task_set_state(t, TASK_RUNNING);
	space_go_on(c, s);
}
