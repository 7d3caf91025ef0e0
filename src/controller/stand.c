/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * controller/stand.c - a thread that stands for a handler of the client's, or because of its answer
 *
 *	trap ──► question (handled) ──► go: its instruction is run
 *	                           ├──► stand: it alone stays, until `go` or `resume`
 *	                           └──► stay: the process parks
 *
 * While it stands so, or its process is parked, its registers and its memory may be written. What is written is written
 * whole or not at all: what the kernel refuses half-way is put back.
 */
#include "controller/controller.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include <tether/error.h>

#include "controller/site.h"
#include "controller/trace.h"
#include "os/procfs.h"

/* ---- who stands -------------------------------------------------------------------------- */

bool stand_for_handler(const struct task *t)
{
	const struct process *p = t->process;

	if (!p || p->release || t->unhashed || !task_is_stopped(t) || is_ending(t))
		return false;
	return (t->question && t->handled) || t->stands || (p->parked && p->announced);
}

void stand_clear(struct process *p)
{
	struct task *t;

	TAILQ_FOREACH(t, &p->tasks, of_process)
		t->stands = false;
}

uint32_t stand_no_more(struct controller *c, struct process *p, pid_t tid)
{
	struct task *t, *next;
	uint32_t count = 0;

	for (t = TAILQ_FIRST(&p->tasks); t; t = next) {
		next = TAILQ_NEXT(t, of_process);
		if (!t->stands || (tid && t->tid != tid))
			continue;
		t->stands = false;
		count++;
		if (t->state == TASK_HELD)
			settle(c, t);
	}
	return count;
}

static struct task *standing(struct controller *c, uint32_t pid, uint32_t tid)
{
	struct task *t = task_find(c, (pid_t)tid);

	return t && t->process && t->process->pid == (pid_t)pid && stand_for_handler(t) ? t : NULL;
}

/* ---- registers --------------------------------------------------------------------------- */

static int refused(int r)
{
	/* EIO, EINVAL: values that no thread can have; ENODEV: no such set on this machine */
	return r == -EIO || r == -EINVAL ? -TETHER_EINVALID : r == -ENODEV ? -TETHER_ENOTFOUND : r;
}

int stand_get_regset(struct controller *c, const struct proto_get_regset *body, struct proto_regset *ret)
{
	struct task *t = standing(c, body->pid, body->tid);
	size_t size = sizeof(ret->bytes);
	struct arch_regs regs;
	int r;

	if (!t)
		return -TETHER_ESTATE;
	r = trace_get_regs(t->tid, &regs);
	if (r)
		return r;
	ret->tag = regs.tag;
	if (body->set == NT_PRSTATUS) {
		slot_home(t->process->space, &regs);
		memcpy(ret->bytes, regs.u.bytes, regs.size);
		ret->size = regs.size;
		return 0;
	}
	r = trace_get_regset(t->tid, body->set, ret->bytes, &size);
	ret->size = r ? 0 : (uint32_t)size;
	return refused(r);
}

static int set_general(struct task *t, const unsigned char *bytes, uint32_t size)
{
	struct arch_regs before, home, now;
	int r = trace_get_regs(t->tid, &before);

	if (r)
		return r;
	if (size != before.size)
		return -TETHER_EINVALID;
	home = now = before;
	slot_home(t->process->space, &home);
	memcpy(now.u.bytes, bytes, size);
	if (arch_pc(&now) == arch_pc(&home)) {
		arch_set_pc(&now, arch_pc(&before)); /* it goes on where it is, be that a slot */
	} else if (arch_syscall_number(&now) == arch_syscall_number(&before)) {
		/* moved out of a system call, which the kernel would else restart there */
		arch_not_in_syscall(&now);
	}
	r = trace_set_regs(t->tid, &now);
	/* The kernel takes word after word, and stops at the first that it does not like. */
	if (r)
		trace_set_regs(t->tid, &before);
	return refused(r);
}

int stand_set_regset(struct controller *c, const struct proto_set_regset *body, const unsigned char *bytes)
{
	struct task *t = standing(c, body->pid, body->tid);
	unsigned char before[PROTO_REGSET_MAX];
	size_t size = sizeof(before);
	int r;

	if (!t)
		return -TETHER_ESTATE;
	if (body->set == NT_PRSTATUS)
		return set_general(t, bytes, body->items);
	r = trace_get_regset(t->tid, body->set, before, &size);
	if (!r && size != body->items)
		r = -EINVAL;
	if (r)
		return refused(r);
	r = trace_set_regset(t->tid, body->set, bytes, size);
	if (r)
		trace_set_regset(t->tid, body->set, before, size);
	return refused(r);
}

/* ---- memory ------------------------------------------------------------------------------ */

struct cover {
	vaddr_t at;  /* the first byte that is not covered yet */
	bool moved;
};

static int cover(const struct os_mapping *m, void *data)
{
	struct cover *cover = data;

	/* A debugger's write goes through any protection of what is private; what is shared is others' too. */
	if (cover->at < m->start || cover->at >= m->end || (m->shared && !m->writable))
		return 0;
	cover->at = m->end;
	cover->moved = true;
	return 0;
}

/* Can all of it be written? Known before the first byte is. */
static bool is_writable(const struct task *t, vaddr_t address, size_t length)
{
	struct cover covered = { .at = address };

	while (covered.at - address < length) {
		vaddr_t at = covered.at;

		covered.moved = false;
		if (os_mappings_at(t->tid, &at, 1, cover, &covered) && os_each_mapping(t->tid, cover, &covered))
			return false;
		if (!covered.moved)
			return false;
	}
	return true;
}

struct writing {
	vaddr_t address;
	size_t length;
	const unsigned char *before, *wanted;
	unsigned char *out; /* as it is to stand: with our traps */
};

/* Where in it a site is; SIZE_MAX: outside. */
static size_t offset_in(const struct writing *w, const struct site *site)
{
	return site->address >= w->address && site->address - w->address < w->length ? site->address - w->address
										      : SIZE_MAX;
}

/* False: a trap of the client's is to stand where one of ours does. */
static bool keep_traps(struct space *s, const struct writing *w)
{
	struct site *site;

	memcpy(w->out, w->wanted, w->length);
	SITES_EACH(&s->sites, site) {
		size_t at = site->planted ? offset_in(w, site) : SIZE_MAX;

		if (at == SIZE_MAX)
			continue;
		if (!memcmp(w->wanted + at, arch_trap, ARCH_TRAP_SIZE))
			return false;
		/* Else it is lifted for a park, or for who steps the instruction. */
		if (!memcmp(w->before + at, arch_trap, ARCH_TRAP_SIZE))
			memcpy(w->out + at, arch_trap, ARCH_TRAP_SIZE);
	}
	return true;
}

/* Is the instruction there another one now? */
static bool changes(const struct writing *w, const struct site *site)
{
	for (size_t i = 0; i < site->recipe.length; i++) {
		vaddr_t at = site->address + i - w->address;

		if (at < w->length && w->wanted[at] != site->recipe.home[i])
			return true;
	}
	return false;
}

static void change_sites(struct space *s, const struct writing *w)
{
	struct site *site;

	SITES_EACH(&s->sites, site) {
		size_t at = offset_in(w, site);

		if (!site->known)
			continue;
		if (at != SIZE_MAX)
			memcpy(site->original, w->wanted + at, ARCH_TRAP_SIZE);
		/* Nobody has made a recipe for it: it is stepped in place. */
		if (changes(w, site)) {
			memset(&site->recipe, 0, sizeof(site->recipe));
			site->slot = 0;
			site->no_slot = true;
		}
	}
}

/* Someone of the process stands for a handler; NULL: nobody. */
static struct task *anyone_standing(const struct process *p)
{
	struct task *t;

	TAILQ_FOREACH(t, &p->tasks, of_process) {
		if (stand_for_handler(t))
			return t;
	}
	return NULL;
}

int stand_write(struct controller *c, const struct proto_write *body, const unsigned char *bytes)
{
	unsigned char before[PROTO_WRITE_MAX], out[PROTO_WRITE_MAX];
	struct process *p = process_find(c, (pid_t)body->pid);
	struct task *t = p ? anyone_standing(p) : NULL;
	const struct writing w = {
		.address = body->address, .length = body->items, .before = before, .wanted = bytes, .out = out,
	};

	if (!p)
		return -ESRCH;
	if (c->hold.flags & PROTO_READ_ONLY)
		return -TETHER_EMONITOR;
	if (!t)
		return -TETHER_ESTATE;
	if (w.length > sizeof(before))
		return -TETHER_ELIMIT;
	if (!w.length)
		return 0;
	if (w.address + w.length < w.address || !is_writable(t, w.address, w.length) ||
	    space_read(p->space, w.address, before, w.length))
		return -TETHER_EMEMORY;
	if (!keep_traps(p->space, &w))
		return -TETHER_EINVALID;
	if (space_write(p->space, w.address, out, w.length)) {
		/* Its other threads may have unmapped a part of it this very moment. */
		space_write(p->space, w.address, before, w.length);
		return -TETHER_EMEMORY;
	}
	change_sites(p->space, &w);
	return 0;
}
