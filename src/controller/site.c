/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/site.h"

#include <errno.h>
#include <string.h>

#include <tether/error.h>

#include "os/procfs.h"

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

/*
 * Sites of a space, looked for in its text and among its mappings. What is decided by these is written soon after: the
 * more sites at once, the longer another thread has for an unmap that is not seen.
 */
enum { BATCH = 128 };
struct search {
	size_t count;
	struct site *site[BATCH];
	struct text text[BATCH];
	struct found {
		uint64_t offset, inode;
		uint32_t device_major, device_minor;
		bool mapped, shared, executable;
	} found[BATCH];
};

/* By address; as they come they mostly are. */
static void sort(struct search *search)
{
	for (size_t i = 1; i < search->count; i++) {
		struct site *site = search->site[i];
		size_t at = i;

		for (; at && search->site[at - 1]->address > site->address; at--)
			search->site[at] = search->site[at - 1];
		search->site[at] = site;
	}
}

/* The first site that is not below address. */
static size_t first_from(const struct search *search, vaddr_t address)
{
	size_t low = 0, high = search->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (search->site[middle]->address < address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int look(const struct os_mapping *m, void *data)
{
	struct search *search = data;

	for (size_t i = first_from(search, m->start); i < search->count && search->site[i]->address < m->end; i++)
		search->found[i] = (struct found){
			.offset = m->offset + (search->site[i]->address - m->start),
			.inode = m->inode,
			.device_major = m->device_major,
			.device_minor = m->device_minor,
			.mapped = true,
			.shared = m->shared,
			.executable = m->executable,
		};
	return 0;
}

/* Of sites that are sorted. */
static int find_mappings(struct space *s, struct search *search)
{
	struct task *t = space_task(s, false);
	vaddr_t address[BATCH];
	int r;

	memset(search->found, 0, search->count * sizeof(*search->found));
	if (!t)
		return -ESRCH;
	for (size_t i = 0; i < search->count; i++)
		address[i] = search->site[i]->address;
	r = os_mappings_at(t->tid, address, search->count, look, search);
	if (!r)
		return 0;
	memset(search->found, 0, search->count * sizeof(*search->found));
	r = os_each_mapping(t->tid, look, search);
	return r == -EINTR || r == -ENOMEM ? os_each_mapping(t->tid, look, search) : r;
}

/* What stands at sites that are sorted, as many bytes as wanted() says of each. */
static void read_sites(struct space *s, struct search *search, size_t (*wanted)(const struct site *))
{
	for (size_t i = 0; i < search->count; i++) {
		search->text[i].address = search->site[i]->address;
		search->text[i].wanted = wanted(search->site[i]);
	}
	space_read_text(s, search->text, search->count);
}

static size_t wants_byte(const struct site *site)
{
	(void)site;
	return ARCH_TRAP_SIZE;
}

static bool shows(const struct text *text, const unsigned char bytes[ARCH_TRAP_SIZE])
{
	return !text->error && !memcmp(text->bytes, bytes, ARCH_TRAP_SIZE);
}

static bool same_mapping(const struct site *site, const struct found *found)
{
	/* Anonymous text (JIT) has no identity but its address. */
	return found->mapped && found->inode == site->inode &&
	       (!site->inode || found->offset == site->offset) && found->device_major == site->device_major &&
	       found->device_minor == site->device_minor;
}

/* ---- planting ---------------------------------------------------------------------------- */

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

static size_t wants_instruction(const struct site *site)
{
	size_t length = site->flags & PROTO_SITE_WITNESS ? RECIPE_INSN_MAX : site->recipe.length;

	return length < ARCH_TRAP_SIZE ? ARCH_TRAP_SIZE : length;
}

static int plant_one(struct space *s, struct site *site, const struct found *found, const struct text *text)
{
	int r = text->error;

	if (!found->mapped || !found->executable)
		return -TETHER_EMEMORY;
	/* Rule 13: writing here would write into the file, or into another process. */
	if (found->shared)
		return -TETHER_ESHARED;
	if (r)
		return r == -ESRCH ? r : -TETHER_EMEMORY;
	if (site->recipe.length && memcmp(text->bytes, site->recipe.home, text->wanted))
		return -ESTALE; /* the text has changed since the recipe was made */
	if (shows(text, arch_trap))
		return -EEXIST; /* the victim's own, or another tool's */
	memcpy(site->original, text->bytes, ARCH_TRAP_SIZE);
	site->known = true;
	identify(site, found);
	if (site->flags & PROTO_SITE_LATER && !site->probe && !site->back)
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

static void drop_probe(struct site *site)
{
	site->probe = site->calls = site->awaits = false;
	memset(site->probes, 0, sizeof(site->probes));
}

/* What it stood for before it was lifted is over. */
static void forget_parts(struct site *site)
{
	if (site->planted || (site->own && site->flags & PROTO_SITE_LATER))
		return;
	site->own = false;
	site->flags = 0;
	site->back = false;
	drop_probe(site);
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

/* A counter that it had before counts on; another one begins now. */
static uint32_t since(const struct controller *c, const struct probe *before, uint32_t counter)
{
	for (size_t i = 0; i < MAX_SITE_COUNTERS; i++)
		if (before[i].counter == counter)
			return before[i].since;
	return c->plants;
}

static void describe_probes(struct controller *c, struct site *site, const struct proto_site *from)
{
	struct probe before[MAX_SITE_COUNTERS];

	memcpy(before, site->probes, sizeof(before));
	if (!site->probe)
		memset(before, 0, sizeof(before));
	c->plants++;
	site->probe = true;
	site->calls = site->awaits = false;
	site->probe_id = from->id;
	for (size_t i = 0; i < MAX_SITE_COUNTERS; i++) {
		pid_t tid = (pid_t)from->thread[i];

		site->probes[i] = (struct probe){
			.counter = from->counter[i],
			.wants = from->wants[i],
			.thread = tid,
			.serial = thread_serial(c, before, tid, from->counter[i]),
			.returns = from->returns[i],
			.since = since(c, before, from->counter[i]),
		};
		site->awaits = site->awaits || from->returns[i];
		site->calls = site->calls || from->returns[i] || from->wants[i] & PROTO_PROBE_CALL;
	}
}

static void describe(struct controller *c, struct site *site, const struct proto_site *from)
{
	if (from->flags & (PROTO_SITE_PROBE | PROTO_SITE_RETURN)) {
		if (from->flags & PROTO_SITE_PROBE)
			describe_probes(c, site, from);
		if (from->flags & PROTO_SITE_RETURN) {
			site->back = true;
			site->refused = false;
		}
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

/* Its record, as it is to be; NULL: nothing is left to do, or it failed with *ret_error. */
static struct site *take(struct controller *c, struct space *s, const struct proto_site *from, int *ret_error)
{
	struct site *site = site_find(&s->sites, from->address);

	*ret_error = from->recipe.length > RECIPE_INSN_MAX ? -EINVAL : 0;
	if (*ret_error)
		return NULL;
	/* Its object may have been unmapped and mapped anew without a word to us. */
	if (site && site->planted && from->flags & (PROTO_SITE_PROBE | PROTO_SITE_RETURN) && !s->lifted && !is_stepped(s, site) &&
	    !trap_stands(s, site))
		site->planted = false;
	if (site && site->planted) {
		/* one trap, whatever it now stands for */
		describe(c, site, from);
		return NULL;
	}
	if (!site)
		site = site_add(c, &s->sites, from->address);
	if (!site) {
		*ret_error = -ENOMEM;
		return NULL;
	}
	forget_parts(site);
	describe(c, site, from);
	/* What is planted again and again has one slot, not one each time. */
	if (memcmp(&site->recipe, &from->recipe, sizeof(from->recipe))) {
		site->slot = 0;
		site->no_slot = false;
	}
	site->recipe = from->recipe;
	site->hits = 0;
	return site;
}

static int plant_batch(struct space *s, struct search *search, uint32_t *ret_planted)
{
	int result = 0, r;

	if (!search->count)
		return 0;
	sort(search);
	r = find_mappings(s, search);
	if (!r)
		read_sites(s, search, wants_instruction);
	for (size_t i = 0; i < search->count; i++) {
		int error = r ? r : plant_one(s, search->site[i], &search->found[i], &search->text[i]);

		*ret_planted += error == 0;
		result = result ? result : error;
	}
	return result;
}

int space_plant(struct controller *c, struct process *p, const struct proto_site *sites, uint32_t count,
		uint32_t *ret_planted)
{
	struct search search;
	int result = 0;

	for (uint32_t at = 0; at < count;) {
		int error;

		for (search.count = 0; at < count && search.count < BATCH; at++) {
			struct proto_site from;
			struct site *site;

			memcpy(&from, &sites[at], sizeof(from));
			site = take(c, p->space, &from, &error);
			if (site)
				search.site[search.count++] = site;
			else
				*ret_planted += error == 0;
			result = result ? result : error;
		}
		error = plant_batch(p->space, &search, ret_planted);
		result = result ? result : error;
	}
	return result;
}

/* In what mapping they are is learned while it runs: too early for it to have mapped anything else there. */
int space_adopt(struct controller *c, struct space *s, const struct proto_site *sites, uint32_t count)
{
	struct search search;
	int r;

	search.count = 0;
	for (uint32_t i = 0; i < count && i < BATCH; i++) {
		struct site *site = site_add(c, &s->sites, sites[i].address);

		if (!site)
			return -ENOMEM;
		describe(c, site, &sites[i]);
		site->recipe = sites[i].recipe;
		memcpy(site->original, site->recipe.home, ARCH_TRAP_SIZE);
		site->known = true;
		site->planted = !(site->flags & PROTO_SITE_LATER);
		search.site[search.count++] = site;
	}
	sort(&search);
	r = search.count ? find_mappings(s, &search) : 0;
	for (size_t i = 0; !r && i < search.count; i++)
		identify(search.site[i], &search.found[i]);
	/* Its end, which comes as any other, is no failure. */
	return r == -ESRCH || r == -ENOENT ? 0 : r;
}

/* ---- lifting ----------------------------------------------------------------------------- */

/* Rule 4: what is no trap, or no longer the mapping it was planted in, is not ours to write. */
static void lift_batch(struct space *s, struct search *search, bool forget)
{
	size_t kept = 0;
	bool unread;

	sort(search);
	if (!s->lifted)
		read_sites(s, search, wants_byte);
	for (size_t i = 0; i < search->count; i++) {
		if (s->lifted || shows(&search->text[i], arch_trap))
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

/* Only its parts that are meant; true: no other is left, the trap is to go. */
static bool part_with(struct site *site, uint64_t parts)
{
	if (!parts || parts & PROTO_SITE_PROBE)
		drop_probe(site);
	if (!parts || parts & PROTO_SITE_RETURN)
		site->back = false;
	if (!parts)
		site->own = false;
	return !(site->own && !(site->flags & PROTO_SITE_LATER)) && !site->probe && !site->back;
}

int space_lift_sites(struct space *s, const unsigned char *addresses, uint32_t count, uint64_t parts,
		     uint32_t *ret_lifted)
{
	struct search search;
	int result = 0;

	search.count = 0;
	for (uint32_t i = 0; i < count; i++) {
		vaddr_t address;
		struct site *site;

		memcpy(&address, addresses + i * sizeof(address), sizeof(address));
		site = site_find(&s->sites, address);
		if (site && site->planted) {
			++*ret_lifted;
			if (part_with(site, parts))
				search.site[search.count++] = site;
		} else {
			result = -ENOENT;
		}
		if (search.count == BATCH || i + 1 == count) {
			lift_batch(s, &search, true);
			search.count = 0;
		}
	}
	return result;
}

void space_lift_hit(struct space *s, struct site *site)
{
	site->own = false;
	if (site->probe || site->back)
		return;
	if (!s->lifted && trap_stands(s, site))
		site_write(s, site, false);
	site->planted = false;
}

void space_lift(struct controller *c, struct space *s)
{
	struct search search;
	struct site *site;

	(void)c;
	if (s->lifted)
		return;
	search.count = 0;
	SITES_EACH(&s->sites, site) {
		if (!site->planted)
			continue;
		search.site[search.count++] = site;
		if (search.count == BATCH) {
			lift_batch(s, &search, false);
			search.count = 0;
		}
	}
	lift_batch(s, &search, false);
	s->lifted = true;
}

/* A debugger or the victim may have changed the text meanwhile: plant only over the byte we know. */
static void replant_batch(struct space *s, struct search *search)
{
	sort(search);
	if (!search->count || find_mappings(s, search))
		return;
	read_sites(s, search, wants_byte);
	for (size_t i = 0; i < search->count; i++) {
		struct site *site = search->site[i];

		site->planted = same_mapping(site, &search->found[i]) && shows(&search->text[i], site->original) &&
				!site_write(s, site, true);
	}
}

void space_replant(struct controller *c, struct space *s)
{
	struct search search;
	size_t at = 0;

	(void)c;
	if (!s->lifted)
		return;
	s->lifted = false;
	while (at < s->sites.size) {
		for (search.count = 0; at < s->sites.size && search.count < BATCH; at++) {
			struct site *site = s->sites.index[at];

			if (site && site->planted)
				search.site[search.count++] = site;
		}
		replant_batch(s, &search);
	}
}

static void settle_batch(struct space *s, struct search *search, bool scrub)
{
	sort(search);
	read_sites(s, search, wants_byte);
	for (size_t i = 0; i < search->count; i++) {
		struct site *site = search->site[i];
		bool wanted = site->planted && !scrub && !s->lifted;

		if (shows(&search->text[i], arch_trap) != wanted)
			site_write(s, site, wanted);
	}
}

void space_settle_copy(struct controller *c, struct space *s, bool scrub)
{
	struct search search;
	struct site *site;

	(void)c;
	search.count = 0;
	SITES_EACH(&s->sites, site) {
		if (site->known)
			search.site[search.count++] = site;
		if (search.count == BATCH) {
			settle_batch(s, &search, scrub);
			search.count = 0;
		}
	}
	settle_batch(s, &search, scrub);
	SITES_EACH(&s->sites, site) {
		site->planted = site->planted && !scrub;
	}
}
