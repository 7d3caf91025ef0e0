/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * controller/slot.c - run a displaced copy of the instruction, which ends in a jump home
 *
 *	area, mapped into the victim by one call of its own, in reach of the text:
 *	┌─────────────────────────┬─────────────────────────┬──
 *	│ copy; jmp home+n … home │ copy; jmp home+n … home │          SLOT bytes each
 *	└─────────────────────────┴─────────────────────────┴──
 *
 * One stop a hit, no other thread disturbed, and nothing left to undo if we die. Areas stay until exec: a
 * thread may be blocked in a system call whose instruction stands in one. Each slot ends with the address of
 * its home, so that a stop inside finds its site; the site has the last word, for a victim may write there.
 */
#include "controller/controller.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "controller/call.h"
#include "controller/site.h"
#include "controller/trace.h"
#include "os/procfs.h"

enum { SLOT = 64, AREA = 16384 };
static_assert(RECIPE_CODE_MAX + sizeof(vaddr_t) <= SLOT, "code and home do not fit into a slot");

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

static uint64_t distance(vaddr_t a, vaddr_t b)
{
	return a < b ? b - a : a - b;
}

static bool in_reach(vaddr_t slot, vaddr_t home)
{
	return distance(slot, home) < (uint64_t)ARCH_SLOT_REACH_MB << 20;
}

/* ---- where to map an area ---------------------------------------------------------------- */

struct gap {
	vaddr_t home, last_end, best;
};

static int look_for_gap(const struct os_mapping *m, void *data)
{
	enum { LOWEST = 1 << 20 };
	struct gap *gap = data;
	vaddr_t start = gap->last_end > LOWEST ? gap->last_end : LOWEST;
	vaddr_t above = start, below = m->start - AREA;

	/* One page apart from its neighbours: a stack or a heap may want to grow, guard gaps are respected.
	 */
	if (m->start >= start + 3 * (uint64_t)AREA) {
		above += AREA;
		below -= AREA;
		if (!gap->best || distance(above, gap->home) < distance(gap->best, gap->home))
			gap->best = above;
		if (distance(below, gap->home) < distance(gap->best, gap->home))
			gap->best = below;
	}
	gap->last_end = m->end;
	return 0;
}

static void area_mapped(struct controller *c, struct task *t, const struct call *call, int64_t result)
{
	struct space *s = t->process->space;

	(void)call;
	if (result < 0 && result > -4096)
		s->no_areas = true;
	else
		s->area[s->areas++] = (struct slot_area){
			.start = (vaddr_t)result,
			.end = (vaddr_t)result + AREA,
			.next = (vaddr_t)result,
		};
	settle(c, t);
}

static bool map_area(struct controller *c, struct task *t, vaddr_t home)
{
	const struct call call = { .done = area_mapped };
	struct space *s = t->process->space;
	struct gap gap = { .home = home };
	struct os_task_status status;

	if (!s->gadget || s->caller || s->areas == SPACE_AREAS_MAX || c->finishing)
		return false;
	/* A filter may kill for the call. */
	if (os_task_status(t->tid, &status) || status.seccomp ||
	    os_each_mapping(t->tid, look_for_gap, &gap) || !gap.best || !in_reach(gap.best, home)) {
		s->no_areas = true;
		return false;
	}
	if (!call_begin(c, t, &call, ARCH_CALL_MMAP,
			(const uint64_t[6]){ gap.best, AREA, PROT_READ | PROT_EXEC,
					     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, ~UINT64_C(0),
					     0 }))
		return false;
	s->caller = t;
	return true;
}

/* ---- slots ------------------------------------------------------------------------------- */

static struct slot_area *area_in_reach(struct space *s, vaddr_t home)
{
	for (unsigned i = 0; i < s->areas; i++)
		if (s->area[i].next + SLOT <= s->area[i].end && in_reach(s->area[i].start, home))
			return &s->area[i];
	return NULL;
}

static int fill(struct space *s, struct site *site, vaddr_t slot)
{
	unsigned char bytes[SLOT];
	vaddr_t home = site->address;
	int r;

	memset(bytes, 0xcc, sizeof(bytes));
	r = arch_slot_code(&site->recipe, slot, bytes);
	if (r)
		return r;
	memcpy(bytes + SLOT - sizeof(home), &home, sizeof(home));
	return space_write(s, slot, bytes, sizeof(bytes));
}

/* True: the task runs, in a slot or for one; its registers stand on the site. */
bool slot_go(struct controller *c, struct task *t, struct site *site, struct arch_regs *regs)
{
	struct space *s = t->process->space;

	if (!site->recipe.code_length || site->no_slot || arch_steps_itself(regs))
		return false;
	if (!site->slot) {
		struct slot_area *area = area_in_reach(s, site->address);

		if (!area)
			return !s->no_areas && map_area(c, t, site->address);
		if (fill(s, site, area->next)) {
			site->no_slot = true;
			return false;
		}
		site->slot = area->next;
		area->next += SLOT;
	}
	arch_set_pc(regs, site->slot);
	arch_not_in_syscall(regs);
	if (trace_set_regs(t->tid, regs))
		return false;
	t->over = 0;
	c->stats.slot++;
	task_run(c, t);
	return true;
}

/* Whose slot does it stand in? NULL: in none. */
static struct site *slot_site(struct space *s, vaddr_t pc)
{
	struct site *site;
	vaddr_t slot, home;
	unsigned i;

	for (i = 0; i < s->areas && (pc < s->area[i].start || pc >= s->area[i].end); i++)
		;
	if (i == s->areas)
		return NULL;
	slot = pc - (pc - s->area[i].start) % SLOT;
	if (space_read(s, slot + SLOT - sizeof(home), &home, sizeof(home)))
		return NULL;
	site = site_find(&s->sites, home);
	return site && site->slot == slot ? site : NULL;
}

void slot_home(struct space *s, struct arch_regs *regs)
{
	vaddr_t pc = arch_pc(regs);
	const struct site *site = s->areas ? slot_site(s, pc) : NULL;

	if (site)
		arch_set_pc(regs, site->address + (pc == site->slot + site->recipe.boundary ? site->recipe.length : 0));
}

/* A fault of which the kernel tells the address of the instruction: it is to be its home's. False: it is none. */
static bool mend_fault(const struct task *t, const struct site *site)
{
	siginfo_t info;

	if ((t->deliver != SIGFPE && t->deliver != SIGILL) || trace_get_info(t->tid, &info) || info.si_code <= 0 ||
	    (vaddr_t)(uintptr_t)info.si_addr != site->slot)
		return false;
	info.si_addr = (void *)(uintptr_t)site->address;
	trace_set_info(t->tid, &info);
	return true;
}

/* A stop inside a slot, for a signal, or to be let go: the pc is set to where it would stand without us. */
bool slot_leave(struct controller *c, struct task *t)
{
	struct space *s = t->process->space;
	struct arch_regs regs;
	struct site *site;
	vaddr_t pc;

	(void)c;
	if (!s->areas || trace_get_regs(t->tid, &regs))
		return false;
	pc = arch_pc(&regs);
	site = slot_site(s, pc);
	if (!site)
		return false;
	if (pc == site->slot) {
		/* not run yet: it comes back to the trap, which is then no new hit */
		arch_set_pc(&regs, site->address);
		/* But who handles these faults goes on elsewhere, and what comes next is one. */
		if (!mend_fault(t, site)) {
			t->rehit = site->address;
			t->rehit_sp = arch_sp(&regs);
		}
	} else if (pc == site->slot + site->recipe.boundary) {
		arch_set_pc(&regs, site->address + site->recipe.length);
	} else {
		/* Half-way through a copy of several instructions: it goes on in the slot, which stays. */
		return false;
	}
	trace_set_regs(t->tid, &regs);
	return true;
}
