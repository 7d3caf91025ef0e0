/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/site.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

#include <tether/error.h>

#include "controller/trace.h"
#include "os/memory.h"
#include "os/procfs.h"
#include "os/sys.h"

/* ---- memory ------------------------------------------------------------------------------ */

static int open_memory(struct space *s)
{
	struct process *p;
	struct task *t;

	if (s->memory >= 0)
		return 0;
	/* The file belongs to the memory it was opened on, so any living task of the space will do, for good.
	 */
	TAILQ_FOREACH(p, &s->processes, of_space)
		TAILQ_FOREACH(t, &p->tasks, of_process) {
			int fd = t->unhashed ? -ESRCH : os_open_memory(t->tid, true);

			if (fd == -EINTR || fd == -ENOMEM)
				fd = os_open_memory(t->tid, true);
			if (fd >= 0) {
				s->memory = fd;
				return 0;
			}
			if (fd != -ESRCH && fd != -ENOENT)
				return fd;
		}
	return -ESRCH;
}

void space_ready(struct space *s)
{
	(void)open_memory(s);
}

/* Text that may only be executed is read through the file alone; most processes never need it opened. */
int space_read(struct space *s, vaddr_t address, void *buffer, size_t length)
{
	struct task *t = space_task(s, false);
	long n = s->memory < 0 && t ? os_read_memory(t->tid, address, buffer, length) : -EFAULT;
	int r;

	if (n == (long)length)
		return 0;
	r = open_memory(s);
	if (r)
		return n < 0 && n != -EFAULT ? (int)n : r;
	n = sys(pread64, s->memory, buffer, length, address);
	if (n == -EINTR || n == -ENOMEM)
		n = sys(pread64, s->memory, buffer, length, address);
	if (n == (long)length)
		return 0;
	/* 0: the memory has no user any more */
	return n < 0 ? (int)n : n ? -EFAULT : -ESRCH;
}

static int poke(struct space *s, vaddr_t address, const unsigned char *bytes, size_t length)
{
	struct task *t = space_task(s, true);
	int r = t ? 0 : -EAGAIN;

	for (size_t i = 0; i < length && !r; i++)
		r = trace_poke_byte(t->tid, address + i, bytes[i]);
	return r;
}

int space_write(struct space *s, vaddr_t address, const unsigned char *bytes, size_t length)
{
	long n;
	int r = s->poke ? -EPERM : open_memory(s);

	if (r && r != -ESRCH)
		return poke(s, address, bytes, length);
	if (r)
		return r;
	n = sys(pwrite64, s->memory, bytes, length, address);
	if (n == -EINTR || n == -ENOMEM)
		n = sys(pwrite64, s->memory, bytes, length, address);
	if (n == (long)length)
		return 0;
	if (n == 0)
		return -ESRCH;
	/* proc_mem.force_override=never answers EIO where the victim itself may not write */
	r = poke(s, address, bytes, length);
	if (!r)
		s->poke = true;
	return r == -EAGAIN ? (n < 0 ? (int)n : -EFAULT) : r;
}

int task_read(void *task, vaddr_t address, void *buffer, size_t length)
{
	struct task *t = task;
	ssize_t n = os_read_memory(t->tid, address, buffer, length);

	return n == (ssize_t)length ? 0 : n < 0 ? (int)n : -EFAULT;
}

int task_write(void *task, vaddr_t address, const void *buffer, size_t length)
{
	struct task *t = task;
	ssize_t n = os_write_memory(t->tid, address, buffer, length);

	return n == (ssize_t)length ? 0 : n < 0 ? (int)n : -EFAULT;
}

int site_write(struct space *s, const struct site *site, bool trap)
{
	return space_write(s, site->address, trap ? arch_trap : site->original, ARCH_TRAP_SIZE);
}

static bool trap_stands(struct space *s, const struct site *site)
{
	unsigned char byte[ARCH_TRAP_SIZE];

	return !space_read(s, site->address, byte, sizeof(byte)) && !memcmp(byte, arch_trap, sizeof(byte));
}

/* ---- mappings ---------------------------------------------------------------------------- */

/* Sites looked for among the mappings of a space. */
struct search {
	struct site **site;
	size_t count;
	struct found {
		uint64_t offset, inode;
		uint32_t device_major, device_minor;
		bool mapped, shared, executable;
	} * found;
};

static int look(const struct os_mapping *m, void *data)
{
	struct search *search = data;

	for (size_t i = 0; i < search->count; i++) {
		vaddr_t address = search->site[i]->address;

		if (address < m->start || address >= m->end)
			continue;
		search->found[i] = (struct found){
			.offset = m->offset + (address - m->start),
			.inode = m->inode,
			.device_major = m->device_major,
			.device_minor = m->device_minor,
			.mapped = true,
			.shared = m->shared,
			.executable = m->executable,
		};
	}
	return 0;
}

static int find_mappings(struct space *s, struct search *search)
{
	enum { FEW = 8 };
	struct task *t = space_task(s, false);
	vaddr_t address[FEW];
	int r;

	memset(search->found, 0, search->count * sizeof(*search->found));
	if (!t)
		return -ESRCH;
	if (search->count <= FEW) {
		for (size_t i = 0; i < search->count; i++)
			address[i] = search->site[i]->address;
		r = os_mappings_at(t->tid, address, search->count, look, search);
		if (!r)
			return 0;
		memset(search->found, 0, search->count * sizeof(*search->found));
	}
	r = os_each_mapping(t->tid, look, search);
	return r == -EINTR || r == -ENOMEM ? os_each_mapping(t->tid, look, search) : r;
}

static bool same_mapping(const struct site *site, const struct found *found)
{
	/* Anonymous text (JIT) has no identity but its address. */
	return found->mapped && found->inode == site->inode &&
	       (!site->inode || found->offset == site->offset) && found->device_major == site->device_major &&
	       found->device_minor == site->device_minor;
}

/* ---- planting ---------------------------------------------------------------------------- */

enum { BATCH = 64 };

static void identify(struct site *site, const struct found *found)
{
	site->offset = found->offset;
	site->inode = found->inode;
	site->device_major = found->device_major;
	site->device_minor = found->device_minor;
}

/*
 * A thread steps the original that stands there for it: a trap would be run by it in place of the instruction, and be
 * taken for the victim's own. step_finish() writes the trap.
 */
static bool is_stepped(const struct space *s, const struct site *site)
{
	return s->stepper && s->stepper->over == site->address;
}

static int plant_one(struct space *s, struct site *site, const struct found *found)
{
	unsigned char bytes[RECIPE_INSN_MAX + ARCH_TRAP_SIZE];
	size_t length = site->recipe.length;
	int r;

	if (!found->mapped || !found->executable)
		return -TETHER_EMEMORY;
	/* Rule 13: writing here would write into the file, or into another process. */
	if (found->shared)
		return -TETHER_ESHARED;
	if (length > RECIPE_INSN_MAX)
		return -EINVAL;
	if (site->flags & PROTO_SITE_WITNESS)
		length = RECIPE_INSN_MAX;
	if (length < ARCH_TRAP_SIZE)
		length = ARCH_TRAP_SIZE;
	r = space_read(s, site->address, bytes, length);
	if (r)
		return r == -ESRCH ? r : -TETHER_EMEMORY;
	if (site->recipe.length && memcmp(bytes, site->recipe.home, length))
		return -ESTALE; /* the text has changed since the recipe was made */
	if (!memcmp(bytes, arch_trap, ARCH_TRAP_SIZE))
		return -EEXIST; /* the victim's own, or another tool's */
	memcpy(site->original, bytes, ARCH_TRAP_SIZE);
	site->known = true;
	identify(site, found);
	if (site->flags & PROTO_SITE_LATER && !site->probe)
		return 0;
	if (!s->lifted) {
		if (!s->probed) {
			/* Rule 14: rewrite what is there; space_write() finds out which way works. */
			r = site_write(s, site, false);
			if (r)
				return r;
			s->probed = true;
		}
		r = is_stepped(s, site) ? 0 : site_write(s, site, true);
	}
	if (!r)
		site->planted = true;
	return r;
}

void space_plant_later(struct space *s)
{
	struct site *site;

	SITES_EACH(&s->sites, site) {
		if (!(site->flags & PROTO_SITE_LATER))
			continue;
		site->flags &= ~(uint32_t)PROTO_SITE_LATER;
		if (!site->planted)
			site->planted = site->known && (s->lifted || !site_write(s, site, true));
	}
}

/* What it stood for before it was lifted is over. */
static void forget_parts(struct site *site)
{
	if (site->planted || (site->own && site->flags & PROTO_SITE_LATER))
		return;
	site->own = false;
	site->flags = 0;
	site->probe = false;
}

/* Tids recur: it is the thread that has this one when the breakpoint first stands here. */
static uint64_t thread_serial(struct controller *c, const struct probe *before, pid_t tid, uint32_t counter)
{
	const struct task *t;

	if (!tid)
		return 0;
	for (size_t i = 0; i < MAX_SITE_COUNTERS; i++)
		if (before[i].counter == counter && before[i].thread == tid)
			return before[i].serial;
	t = task_find(c, tid);
	return t ? t->serial : 0;
}

static void describe_probes(struct controller *c, struct site *site, const struct proto_site *from)
{
	struct probe before[MAX_SITE_COUNTERS];

	memcpy(before, site->probes, sizeof(before));
	if (!site->probe)
		memset(before, 0, sizeof(before));
	site->probe = true;
	site->probe_id = from->id;
	for (size_t i = 0; i < MAX_SITE_COUNTERS; i++) {
		pid_t tid = (pid_t)from->thread[i];

		site->probes[i] = (struct probe){
			.counter = from->counter[i],
			.wants = from->wants[i],
			.thread = tid,
			.serial = thread_serial(c, before, tid, from->counter[i]),
		};
	}
}

static void describe(struct controller *c, struct site *site, const struct proto_site *from)
{
	if (from->flags & PROTO_SITE_PROBE) {
		describe_probes(c, site, from);
		/* of an own part that has been looked at when it was told */
		site->flags &= ~(uint32_t)PROTO_SITE_WITNESS;
		return;
	}
	site->own = true;
	site->id = from->id;
	site->flags = from->flags;
	site->guard = from->guard;
	site->guard_value = from->guard_value;
}

int space_plant(struct controller *c, struct process *p, const struct proto_site *sites, uint32_t count,
		uint32_t *ret_planted)
{
	struct space *s = p->space;
	struct site *batch[BATCH];
	struct found found[BATCH];
	int result = 0;

	for (uint32_t at = 0; at < count;) {
		struct search search = { .site = batch, .found = found };
		int r;

		for (; at < count && search.count < BATCH; at++) {
			struct proto_site from;
			struct site *site;

			memcpy(&from, &sites[at], sizeof(from));
			site = site_find(&s->sites, from.address);
			/* Its object may have been unmapped and mapped anew without a word to us. */
			if (site && site->planted && from.flags & PROTO_SITE_PROBE && !s->lifted && !is_stepped(s, site) &&
			    !trap_stands(s, site))
				site->planted = false;
			if (site && site->planted) {
				/* one trap, whatever it now stands for */
				describe(c, site, &from);
				++*ret_planted;
				continue;
			}
			if (!site)
				site = site_add(c, &s->sites, from.address);
			if (!site) {
				result = result ? result : -ENOMEM;
				continue;
			}
			forget_parts(site);
			describe(c, site, &from);
			/* What is planted again and again has one slot, not one each time. */
			if (memcmp(&site->recipe, &from.recipe, sizeof(from.recipe))) {
				site->slot = 0;
				site->no_slot = false;
			}
			site->recipe = from.recipe;
			site->hits = 0;
			batch[search.count++] = site;
		}
		r = search.count ? find_mappings(s, &search) : 0;
		for (size_t i = 0; i < search.count; i++) {
			int error = r ? r : plant_one(s, batch[i], &found[i]);

			*ret_planted += error == 0;
			result = result ? result : error;
		}
	}
	return result;
}

/* In what mapping they are is learned while it runs: too early for it to have mapped anything else there. */
int space_adopt(struct controller *c, struct space *s, const struct proto_site *sites, uint32_t count)
{
	struct site *batch[BATCH];
	struct found found[BATCH];
	struct search search = { .site = batch, .found = found };
	int r;

	for (uint32_t i = 0; i < count && i < BATCH; i++) {
		struct site *site = site_add(c, &s->sites, sites[i].address);

		if (!site)
			return -ENOMEM;
		describe(c, site, &sites[i]);
		site->recipe = sites[i].recipe;
		memcpy(site->original, site->recipe.home, ARCH_TRAP_SIZE);
		site->known = true;
		site->planted = !(site->flags & PROTO_SITE_LATER);
		batch[search.count++] = site;
	}
	r = search.count ? find_mappings(s, &search) : 0;
	for (size_t i = 0; !r && i < search.count; i++)
		identify(batch[i], &found[i]);
	/* Its end, which comes as any other, is no failure. */
	return r == -ESRCH || r == -ENOENT ? 0 : r;
}

/* ---- lifting ----------------------------------------------------------------------------- */

/* Rule 4: what is no trap, or no longer the mapping it was planted in, is not ours to write. */
static void lift_batch(struct space *s, struct search *search, bool forget)
{
	size_t kept = 0;
	bool unread;

	for (size_t i = 0; i < search->count; i++) {
		if (s->lifted || trap_stands(s, search->site[i]))
			search->site[kept++] = search->site[i];
		else
			search->site[i]->planted = false;
	}
	search->count = kept;
	if (!kept)
		return;
	/* Without the list of mappings the byte alone decides: a trap left behind is the worse harm. */
	unread = !s->lifted && find_mappings(s, search);
	for (size_t i = 0; !s->lifted && i < kept; i++) {
		if (unread || same_mapping(search->site[i], &search->found[i]))
			site_write(s, search->site[i], false);
		else
			search->site[i]->planted = false;
	}
	for (size_t i = 0; forget && i < kept; i++)
		search->site[i]->planted = false;
}

int space_lift_site(struct controller *c, struct space *s, vaddr_t address, uint64_t parts)
{
	struct site *site = site_find(&s->sites, address);
	struct found found;
	struct search search = { .site = &site, .count = 1, .found = &found };

	(void)c;
	if (!site || !site->planted)
		return -ENOENT;
	site->probe = false;
	if (parts & PROTO_SITE_PROBE && site->own && !(site->flags & PROTO_SITE_LATER))
		return 0;
	if (!(parts & PROTO_SITE_PROBE))
		site->own = false;
	lift_batch(s, &search, true);
	return 0;
}

void space_lift_hit(struct space *s, struct site *site)
{
	site->own = false;
	if (site->probe)
		return;
	if (!s->lifted && trap_stands(s, site))
		site_write(s, site, false);
	site->planted = false;
}

void space_lift(struct controller *c, struct space *s)
{
	struct site *batch[BATCH], *site;
	struct found found[BATCH];
	struct search search = { .site = batch, .found = found };

	(void)c;
	if (s->lifted)
		return;
	SITES_EACH(&s->sites, site) {
		if (!site->planted)
			continue;
		batch[search.count++] = site;
		if (search.count == BATCH) {
			lift_batch(s, &search, false);
			search.count = 0;
		}
	}
	if (search.count)
		lift_batch(s, &search, false);
	s->lifted = true;
}

void space_replant(struct controller *c, struct space *s)
{
	struct site *batch[BATCH], *site;
	struct found found[BATCH];
	struct search search = { .site = batch, .found = found };
	size_t at = 0;

	(void)c;
	if (!s->lifted)
		return;
	s->lifted = false;
	/* A debugger or the victim may have changed the text meanwhile: plant only over the byte we know. */
	while (at < s->sites.size) {
		for (search.count = 0; at < s->sites.size && search.count < BATCH; at++) {
			site = s->sites.index[at];
			if (site && site->planted)
				batch[search.count++] = site;
		}
		if (!search.count || find_mappings(s, &search))
			continue;
		for (size_t i = 0; i < search.count; i++) {
			unsigned char byte[ARCH_TRAP_SIZE];

			site = batch[i];
			site->planted = same_mapping(site, &found[i]) &&
					!space_read(s, site->address, byte, sizeof(byte)) &&
					!memcmp(byte, site->original, sizeof(byte)) &&
					!site_write(s, site, true);
		}
	}
}

/* Which of so many have the trap in memory? By one call, where that can read them all. */
static void see_traps(struct space *s, struct site *const *site, size_t count, bool *stands)
{
	unsigned char byte[BATCH][ARCH_TRAP_SIZE];
	struct iovec into[BATCH], from[BATCH];
	const struct task *t = space_task(s, false);
	long got = -ESRCH;

	for (size_t i = 0; i < count; i++) {
		into[i] = (struct iovec){ byte[i], ARCH_TRAP_SIZE };
		from[i] = (struct iovec){ (void *)(uintptr_t)site[i]->address, ARCH_TRAP_SIZE };
	}
	if (t)
		got = sys(process_vm_readv, t->tid, into, count, from, count, 0);
	for (size_t i = 0; i < count; i++)
		stands[i] = got == (long)(count * ARCH_TRAP_SIZE) ? !memcmp(byte[i], arch_trap, ARCH_TRAP_SIZE)
								  : trap_stands(s, site[i]);
}

static void settle_sites(struct space *s, struct site *const *site, size_t count, bool scrub)
{
	bool stands[BATCH];

	see_traps(s, site, count, stands);
	for (size_t i = 0; i < count; i++) {
		bool wanted = site[i]->planted && !scrub && !s->lifted;

		if (stands[i] != wanted)
			site_write(s, site[i], wanted);
	}
}

void space_settle_copy(struct controller *c, struct space *s, bool scrub)
{
	struct site *batch[BATCH], *site;
	size_t count = 0;

	(void)c;
	SITES_EACH(&s->sites, site) {
		if (site->known)
			batch[count++] = site;
		if (count == BATCH) {
			settle_sites(s, batch, count, scrub);
			count = 0;
		}
	}
	if (count)
		settle_sites(s, batch, count, scrub);
	SITES_EACH(&s->sites, site) {
		if (scrub)
			site->planted = false;
	}
}
