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
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/newborn.h"
#include "decode/decode.h"
#include "process/handle.h"

/* As many programs are told apart; the rest is asked about each time. */
enum { IMAGES_MAX = 4096 };
/* The id of what was looked at before its exec: a family has one at most. */
#define REHEARSED (UINT64_C(1) << 63)

struct image {
	STAILQ_ENTRY(image) entry;
	struct proto_image told;
	struct proto_image_site site[PROTO_IMAGE_SITES];
	struct rtld rtld;
	uint64_t base[PROTO_BASES]; /* where the surveyed one lay */
	char *interpreter;
	char *program, *linker; /* paths, of what was looked at before its exec */
};

struct image *image_find(const struct family *family, uint64_t id)
{
	struct image *image;

	if (family->rehearsed && family->rehearsed->told.id == id)
		return family->rehearsed;
	STAILQ_FOREACH(image, &family->table->images, entry)
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
	/* It may have ended when its link maps are told of: what only /proc knows is taken from its file. */
	if (image->program) {
		pthread_mutex_lock(&process->table->lock);
		rtld_begin(&process->rtld, &process->objects, image->program, image->linker);
		pthread_mutex_unlock(&process->table->lock);
	}
	follow_copies(process);
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

/* The recipe of an instruction that reads as these bytes, as if base were at 0. */
static bool describe_site(const struct rtld *rtld, const uint64_t base[PROTO_BASES], const struct reader *memory,
			  const struct site_request *request, struct proto_image_site *ret)
{
	enum proto_base at = base_of(rtld, request->address), guard = base_of(rtld, request->guard);
	bool guarded = request->guard;
	struct recipe *recipe = &ret->site.recipe;
	uint8_t bytes[RECIPE_INSN_MAX];

	if (at == PROTO_BASES || !base[at] || (guarded && (guard == PROTO_BASES || !base[guard])) ||
	    memory->read(memory->data, request->address, bytes, sizeof(bytes)) != sizeof(bytes) ||
	    decode_recipe(bytes, sizeof(bytes), request->address, recipe) < 0 || !recipe_can_move(recipe))
		return false;
	memcpy(recipe->home, bytes, sizeof(bytes));
	recipe_move(recipe, -base[at]);
	ret->base = at;
	ret->guard_base = guarded ? guard : at;
	ret->site.address = request->address - base[at];
	ret->site.id = request->id;
	ret->site.flags = request->flags;
	ret->site.guard = guarded ? request->guard - base[guard] : 0;
	ret->site.guard_value = request->guard_value;
	return true;
}

/* What is found out only when the linker is done cannot be told beforehand. */
static bool can_be_told(const struct rtld *rtld)
{
	return !rtld->linker_is_program && (!rtld->main_slot || rtld->main) &&
	       (!rtld->gadget || (rtld->gadget >= rtld->vdso && rtld->gadget < rtld->vdso_end));
}

/* NULL: it is to be asked about. */
static struct image *image_make(const struct rtld *rtld, const uint64_t base[PROTO_BASES],
				const struct reader *memory, const struct site_request *sites, size_t count)
{
	struct image *image = count <= PROTO_IMAGE_SITES && can_be_told(rtld) ? calloc(1, sizeof(*image)) : NULL;

	if (!image)
		return NULL;
	image->told.gadget = rtld->gadget ? rtld->gadget - rtld->vdso : 0;
	image->told.items = (uint32_t)count;
	image->rtld = *rtld;
	memcpy(image->base, base, sizeof(image->base));
	for (size_t i = 0; i < count; i++)
		if (!describe_site(rtld, base, memory, &sites[i], &image->site[i])) {
			free(image);
			return NULL;
		}
	return image;
}

static struct image *image_new(struct tether *process, const struct proto_ev_exec *from,
			       const struct exec_record *record, const struct site_request *sites, size_t count)
{
	struct table *table = process->table;
	struct reader memory = process_reader(process);
	struct image *image;

	/* Privilege that was withheld may be given the next time. */
	if (table->image_count >= IMAGES_MAX || record->set_id)
		return NULL;
	image = image_make(&process->rtld, from->base, &memory, sites, count);
	if (!image)
		return NULL;
	image->told.id = table->image_count + 1;
	image->told.key = from->key;
	if (record->interpreter) {
		image->interpreter = strdup(record->interpreter);
		if (!image->interpreter) {
			free(image);
			return NULL;
		}
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
	/* What is not learned is asked about again. */
	if (image)
		(void)image_tell(&process->family->line, image);
}

int image_tell(struct line *line, const struct image *image)
{
	return line_image(line, &image->told, image->site, image->told.items, NULL);
}

void image_free(struct image *image)
{
	if (!image)
		return;
	free(image->interpreter);
	free(image->program);
	free(image->linker);
	free(image);
}

void images_free(struct table *table)
{
	struct image *image;

	while ((image = STAILQ_FIRST(&table->images))) {
		STAILQ_REMOVE_HEAD(&table->images, entry);
		image_free(image);
	}
}

/* ---- before the exec ------------------------------------------------------------------------------------- */

static struct proto_key preview_key(const struct rtld_preview *preview, const char *path)
{
	char cwd[PATH_MAX] = "";

	/* Without it the key is one that no image has. */
	if (path[0] != '/' && !getcwd(cwd, sizeof(cwd)))
		cwd[0] = '\0';
	return proto_key_of(path, cwd, preview->program_page, preview->linker ? preview->linker_page : NULL);
}

/* NULL: without memory the controller looks for itself. */
static struct attendance *attendance_new(const struct image *image, const struct rtld_preview *preview,
					 const char *path)
{
	struct attendance *attendance = malloc(sizeof(*attendance));

	if (!attendance)
		return NULL;
	/* What is mostly touched is touched here, not while the victim stands: of a stack, its first pages. */
	memset(attendance, 0, offsetof(struct attendance, items) + 2 * PROTO_KEY_PAGE);
	attendance->name = path;
	attendance->told = image->told;
	memcpy(attendance->site, image->site, sizeof(attendance->site));
	attendance->has_linker = preview->linker;
	memcpy(attendance->program_page, preview->program_page, PROTO_KEY_PAGE);
	memcpy(attendance->linker_page, preview->linker_page, PROTO_KEY_PAGE);
	return attendance;
}

/* Nothing waits for the library at its first list: that is told of as a record, if all else is known. */
static void capture_start(struct image *image, const struct rtld_preview *preview)
{
	image->program = rtld_preview_path(preview);
	image->linker = strdup(preview->interpreter);
	if (!image->program || !image->linker)
		return;
	for (uint32_t i = 0; i < image->told.items; i++)
		if (image->site[i].site.id == SITE_LINKER && image->site[i].site.flags & PROTO_SITE_ONCE)
			image->site[i].site.flags |= PROTO_SITE_CAPTURE;
}

struct image *image_rehearse(struct table *table, const char *path, bool park, struct attendance **ret)
{
	struct rtld_preview preview;
	struct image *image = NULL;

	if (rtld_preview(&preview, path, table->cache) == 0 && !preview.set_id && preview.rtld.main) {
		const uint64_t base[PROTO_BASES] = {
			[PROTO_BASE_PROGRAM] = preview.program,
			[PROTO_BASE_LINKER] = preview.linker,
			[PROTO_BASE_VDSO] = preview.vdso,
		};
		struct site_request sites[OWN_SITES];
		size_t count = follow_sites(&preview.rtld, true, park, sites);
		image = image_make(&preview.rtld, base, &preview.memory, sites, count);
	}
	if (image) {
		image->told.key = preview_key(&preview, path);
		image->told.id = REHEARSED;
		capture_start(image, &preview);
		*ret = attendance_new(image, &preview, path);
	}
	rtld_preview_end(&preview);
	return image;
}
