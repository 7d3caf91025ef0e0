/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * controller/image.c - what exec has laid out, read before it runs; and images that the library has named
 *
 *	stack ──► auxiliary vector ──► first pages of program and linker ──► key ──► known? plant, go on
 *	                                                                        └──► not known: ask
 *
 * Only bytes of the new image itself decide: no path is looked up, so no file that was replaced meanwhile can
 * mislead, and every site is planted only where the sixteen bytes stand that it was made from.
 */
#include "controller/controller.h"

#include <errno.h>
#include <string.h>

#include "base/initial.h"
#include "controller/site.h"
#include "os/memory.h"
#include "os/procfs.h"
#include "os/sys.h"

/* Parts of the scratch memory. A longer stack (many arguments, a large environment) is asked for. */
enum { STACK_MAX = 40 << 10, CWD_MAX = 4096, PAGES_AT = 48 << 10 };
static_assert(STACK_MAX + CWD_MAX <= PAGES_AT && PAGES_AT + 2 * PROTO_KEY_PAGE <= PROTO_MESSAGE_MAX,
	      "scratch is too small");
static_assert(sizeof(struct proto_header) + sizeof(struct proto_ev_exec) + STACK_MAX + CWD_MAX <= PROTO_MESSAGE_MAX,
	      "an exec event does not fit");

struct image {
	struct proto_image told;
	struct proto_image_site site[PROTO_IMAGE_SITES];
	uint64_t used;
};

/* ---- what the new image shows ------------------------------------------------------------ */

struct stack {
	const unsigned char *bytes; /* aligned as words are */
	size_t length;
	vaddr_t sp;
};

static bool make_key(struct controller *c, pid_t tid, const struct stack *stack, const char *cwd,
		     struct proto_ev_exec *body)
{
	unsigned char *program = c->scratch + PAGES_AT, *linker = program + PROTO_KEY_PAGE;
	const char *name;
	struct initial_vector shown;

	if (!initial_vector((const uint64_t *)(const void *)stack->bytes, stack->length / sizeof(uint64_t), &shown) ||
	    shown.name < stack->sp || shown.name - stack->sp >= stack->length)
		return false;
	name = (const char *)stack->bytes + (shown.name - stack->sp);
	if (!memchr(name, '\0', stack->length - (shown.name - stack->sp)))
		return false;
	body->base[PROTO_BASE_PROGRAM] = shown.phdr & ~(vaddr_t)(PROTO_KEY_PAGE - 1);
	body->base[PROTO_BASE_LINKER] = shown.linker;
	body->base[PROTO_BASE_VDSO] = shown.vdso;
	if (os_read_memory(tid, body->base[PROTO_BASE_PROGRAM], program, PROTO_KEY_PAGE) != PROTO_KEY_PAGE ||
	    (shown.linker && os_read_memory(tid, shown.linker, linker, PROTO_KEY_PAGE) != PROTO_KEY_PAGE))
		return false;
	body->key = proto_key_of(name, cwd, program, shown.linker ? linker : NULL);
	return true;
}

/*
 * The first look into /proc at a process makes its entries there, which takes longer than all else that is done at an exec. A
 * child mostly executes next; while that is waited for awake there is time for it.
 */
void image_warm(struct controller *c)
{
	if (c->warm)
		(void)os_link(c->warm, "cwd", (char *)c->scratch, CWD_MAX);
	c->warm = 0;
}

/* Its stack and its working directory, in the scratch memory; 0: they are to be read by the library. */
static void read_items(struct controller *c, pid_t tid, struct proto_ev_exec *body)
{
	ssize_t length = body->sp ? os_read_to_end(tid, body->sp, c->scratch, STACK_MAX) : 0;
	char *cwd = (char *)c->scratch + (length > 0 ? length : 0);
	struct stack stack = { c->scratch, (size_t)length, body->sp };
	int size;

	if (length <= 0 || length == STACK_MAX)
		return;
	size = os_link(tid, "cwd", cwd, CWD_MAX);
	if (size < 0)
		return;
	body->stack_size = (uint32_t)length;
	body->items = (uint32_t)(length + size + 1);
	make_key(c, tid, &stack, cwd, body);
}

/* ---- images that were named -------------------------------------------------------------- */

static struct image *image_of(const struct controller *c, const struct proto_key *key)
{
	for (size_t i = 0; i < IMAGES; i++)
		if (c->image[i] && !memcmp(&c->image[i]->told.key, key, sizeof(*key)))
			return c->image[i];
	return NULL;
}

/* The place of the same key, a free one, or that of the one not used for longest. */
static struct image *image_place(struct controller *c, const struct proto_key *key)
{
	struct image *same = image_of(c, key);
	size_t oldest = 0;

	if (same)
		return same;
	for (size_t i = 0; i < IMAGES; i++) {
		if (!c->image[i]) {
			if (!c->image_pool.size)
				c->image_pool = (struct pool){ .size = sizeof(struct image), .limit = 2 * IMAGES };
			c->image[i] = pool_get(&c->image_pool);
			return c->image[i];
		}
		if (c->image[i]->used < c->image[oldest]->used)
			oldest = i;
	}
	return c->image[oldest];
}

int image_learn(struct controller *c, const struct proto_image *told, const struct proto_image_site *sites)
{
	struct image *image;

	if (!told->id || told->items > PROTO_IMAGE_SITES)
		return -EPROTO;
	for (uint32_t i = 0; i < told->items; i++)
		if (sites[i].base >= PROTO_BASES || sites[i].guard_base >= PROTO_BASES ||
		    !recipe_can_move(&sites[i].site.recipe))
			return -EPROTO;
	image = image_place(c, &told->key);
	if (!image)
		return -ENOMEM;
	*image = (struct image){ .told = *told, .used = ++c->image_clock };
	memcpy(image->site, sites, told->items * sizeof(*sites));
	return 0;
}

/* The sites of an image that lies there; false: it has not all parts. */
static bool place_sites(const struct image *image, const uint64_t base[PROTO_BASES],
			struct proto_site site[PROTO_IMAGE_SITES])
{
	for (uint32_t i = 0; i < image->told.items; i++) {
		uint64_t by = base[image->site[i].base];

		if (!by)
			return false;
		site[i] = image->site[i].site;
		site[i].address += by;
		recipe_move(&site[i].recipe, by);
		site[i].flags |= PROTO_SITE_WITNESS;
		if (site[i].guard)
			site[i].guard += base[image->site[i].guard_base];
	}
	return true;
}

static uint64_t gadget_of(const struct image *image, const uint64_t base[PROTO_BASES])
{
	return image->told.gadget ? base[PROTO_BASE_VDSO] + image->told.gadget : 0;
}

/* False: something does not stand as it was told, and the library is to look. */
static bool plant_image(struct controller *c, struct process *p, struct image *image,
			const struct proto_ev_exec *body)
{
	struct proto_site site[PROTO_IMAGE_SITES];
	uint32_t planted = 0;

	if (!place_sites(image, body->base, site))
		return false;
	image->used = ++c->image_clock;
	return !image->told.items ||
	       !plant(c, p, site, image->told.items, gadget_of(image, body->base), &planted);
}

int image_adopt(struct controller *c, struct process *p, uint64_t id, const uint64_t base[PROTO_BASES])
{
	struct proto_site site[PROTO_IMAGE_SITES];
	const struct image *image = NULL;

	for (size_t i = 0; i < IMAGES && !image; i++)
		if (c->image[i] && c->image[i]->told.id == id)
			image = c->image[i];
	if (!image || !place_sites(image, base, site))
		return -ENOENT;
	p->space->gadget = gadget_of(image, base);
	return space_adopt(c, p->space, site, image->told.items);
}

bool image_show(struct controller *c, struct task *t, struct proto_ev_exec *body)
{
	struct image *image;

	read_items(c, t->tid, body);
	image = body->key.word[0] || body->key.word[1] ? image_of(c, &body->key) : NULL;
	if (c->asks || !image || c->out.used > UNSENT_MAX || !plant_image(c, t->process, image, body))
		return false;
	body->image = image->told.id;
	return true;
}
