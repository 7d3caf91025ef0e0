/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * process/images.c - an exec that is met again costs its victim no question
 *
 *	first exec:  question ──► survey, plant, answer ──► `image`: the same for next time, by its key
 *	next exec:   the controller plants by itself; the event names the image, and the victim runs on
 *
 * The image is then known by the first one's survey, moved to where this one lies: nothing of the victim is
 * read, which may have ended by now.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "process/handle.h"

/* As many programs are told apart; the rest is asked about each time. */
enum { IMAGES_MAX = 4096 };

struct image {
	STAILQ_ENTRY(image) entry;
	struct proto_image told;
	struct proto_image_site site[PROTO_IMAGE_SITES];
	struct rtld rtld;
	uint64_t base[PROTO_BASES]; /* where the surveyed one lay */
	char *interpreter;
};

struct image *image_find(const struct table *table, uint64_t id)
{
	struct image *image;

	STAILQ_FOREACH(image, &table->images, entry)
	if (image->told.id == id)
		break;
	return image;
}

static struct image *image_of_key(const struct table *table, const struct proto_key *key)
{
	struct image *image;

	STAILQ_FOREACH(image, &table->images, entry)
	if (memcmp(&image->told.key, key, sizeof(*key)) == 0)
		break;
	return image;
}

const char *image_interpreter(const struct image *image)
{
	return image->interpreter;
}

void image_enter(struct tether *process, const struct image *image, const struct proto_ev_exec *from)
{
	struct rtld_distance by = {
		.program = from->base[PROTO_BASE_PROGRAM] - image->base[PROTO_BASE_PROGRAM],
		.linker = from->base[PROTO_BASE_LINKER] - image->base[PROTO_BASE_LINKER],
		.vdso = from->base[PROTO_BASE_VDSO] - image->base[PROTO_BASE_VDSO],
	};

	rtld_move(&process->rtld, &image->rtld, &by);
	for (uint32_t i = 0; i < image->told.items; i++) {
		const struct proto_image_site *site = &image->site[i];
		plant_note(process, site->site.address + from->base[site->base], site->site.id,
			   site->site.recipe.home);
		process->main_planted = process->main_planted || site->site.id == SITE_MAIN;
	}
}

/* The part of the image that a site lies in; PROTO_BASES: none of those that are known to move as a whole. */
static enum proto_base base_of(const struct rtld *rtld, vaddr_t address)
{
	if (address >= rtld->program.low && address < rtld->program.high)
		return PROTO_BASE_PROGRAM;
	if (address >= rtld->linker.low && address < rtld->linker.high)
		return PROTO_BASE_LINKER;
	return PROTO_BASES;
}

static bool describe_site(struct tether *process, const struct proto_ev_exec *from,
			  const struct site_request *request, struct proto_image_site *ret)
{
	struct reader memory = process_reader(process);
	enum proto_base base = base_of(&process->rtld, request->address);
	enum proto_base guard = base_of(&process->rtld, request->guard);
	bool guarded = request->flags & PROTO_SITE_GUARD;
	struct recipe *recipe = &ret->site.recipe;

	if (base == PROTO_BASES || !from->base[base] || (guarded && (guard == PROTO_BASES || !from->base[guard])) ||
	    plant_prepare(process, request, &ret->site) < 0 || !recipe_can_move(recipe) ||
	    memory.read(memory.data, request->address, recipe->home, sizeof(recipe->home)) != sizeof(recipe->home))
		return false;
	ret->base = base;
	ret->guard_base = guarded ? guard : base;
	ret->site.address -= from->base[base];
	ret->site.guard -= guarded ? from->base[guard] : 0;
	recipe_move(recipe, -from->base[base]);
	return true;
}

/* NULL: it is to be asked about each time. */
static struct image *image_new(struct tether *process, const struct proto_ev_exec *from,
			       const struct exec_record *record, const struct site_request *sites, size_t count)
{
	struct table *table = process->table;
	const struct rtld *rtld = &process->rtld;
	struct image *image;

	/* What is found out only when the linker is done, and privilege that was withheld, may differ. */
	if (table->image_count >= IMAGES_MAX || count > PROTO_IMAGE_SITES || record->set_id ||
	    rtld->linker_is_program || (rtld->main_slot && !rtld->main) ||
	    (rtld->gadget && (rtld->gadget < rtld->vdso || rtld->gadget >= rtld->vdso_end)))
		return NULL;
	image = calloc(1, sizeof(*image));
	if (!image)
		return NULL;
	image->told = (struct proto_image){
		.id = table->image_count + 1,
		.key = from->key,
		.gadget = rtld->gadget ? rtld->gadget - rtld->vdso : 0,
		.items = (uint32_t)count,
	};
	image->rtld = *rtld;
	memcpy(image->base, from->base, sizeof(image->base));
	bool good = true;
	for (size_t i = 0; good && i < count; i++)
		good = describe_site(process, from, &sites[i], &image->site[i]);
	if (record->interpreter)
		image->interpreter = strdup(record->interpreter);
	if (!good || (record->interpreter && !image->interpreter)) {
		free(image->interpreter);
		free(image);
		return NULL;
	}
	STAILQ_INSERT_HEAD(&table->images, image, entry);
	table->image_count++;
	return image;
}

void image_keep(struct tether *process, const struct proto_ev_exec *from, const struct exec_record *record,
		const struct site_request *sites, size_t count)
{
	struct image *image;

	if (!from->key.word[0] && !from->key.word[1])
		return;
	image = image_of_key(process->table, &from->key);
	if (!image)
		image = image_new(process, from, record, sites, count);
	/* Nobody waits for the answer: not learned, it is asked about again. */
	if (image)
		(void)family_send(process->family, PROTO_REQ_image, &image->told, image->site, image->told.items,
				  NULL, NULL);
}

void images_free(struct table *table)
{
	struct image *image;

	while ((image = STAILQ_FIRST(&table->images))) {
		STAILQ_REMOVE_HEAD(&table->images, entry);
		free(image->interpreter);
		free(image);
	}
}
