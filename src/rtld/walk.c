/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rtld/walk.c - reading the link maps of all namespaces, by one call when nothing is new
 *
 *	one vectored read     r_debug, the link map and the name of each known object, r_debug again
 *	r_next of r_debug     a read for each namespace but the first
 *	a read for each link map that is new, and then r_debug again: unchanged, or the walk does not count
 *
 * The lists are the victim's to forge. A link map must point back to the one it was reached from: so no list
 * can lead in a ring unless it changes while it is read, and then the bounds end it.
 */
#include "rtld/inside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* One walk under way. */
struct reading {
	struct walk *walk;
	const struct reader *memory;
	struct ahead_table table;
	size_t next;    /* known object that is expected next */
	bool read_more; /* than what was read ahead */
};

static int read_exactly(struct reading *reading, vaddr_t address, void *buffer, size_t length)
{
	ssize_t got = reading->memory->read(reading->memory->data, address, buffer, length);

	reading->read_more = true;
	if (got < 0)
		return (int)got;
	return (size_t)got == length ? 0 : -EFAULT;
}

/* ---- namespaces ------------------------------------------------------------------------------ */

static int read_r_debug(struct reading *reading, vaddr_t address, struct r_debug_words *ret)
{
	int error = read_exactly(reading, address, ret, sizeof(*ret));

	/* Version 1 may end where its mapping does. */
	if (error == -EFAULT)
		error = read_exactly(reading, address, &ret->base, sizeof(ret->base));
	return error;
}

static bool is_listed(const struct walk *walk, vaddr_t r_debug)
{
	for (size_t n = 0; n < walk->namespaces; n++)
		if (walk->ns[n].r_debug == r_debug)
			return true;
	return false;
}

/*
 * The order of the list is the number of the namespace, as dlmopen(3) gives it: the linker enters a namespace
 * at the end when it is first used, takes the lowest number that is free, and never takes one out; so one
 * that was emptied keeps its place.
 */
static int read_namespaces(struct reading *reading, vaddr_t r_debug)
{
	struct walk *walk = reading->walk;
	struct r_debug_words words = reading->table.before;

	for (vaddr_t at = r_debug; at != 0; at = words.base.r_version < 2 ? 0 : words.next) {
		if (walk->namespaces == MAX_NAMESPACES || is_listed(walk, at)) {
			walk->overflow = true;
			break;
		}
		if (at != r_debug || !reading->table.have_before) {
			int error = read_r_debug(reading, at, &words);
			if (error == -EFAULT)
				walk->refused = "a list is not mapped";
			if (error != 0)
				return error == -EFAULT ? -EAGAIN : error;
		}
		walk->ns[walk->namespaces++] = (struct link_namespace){
			.r_debug = at,
			.head = (vaddr_t)(uintptr_t)words.base.r_map,
			.consistent = words.base.r_state == RT_CONSISTENT,
		};
	}
	return 0;
}

/* A victim that runs may have changed its lists between two reads; one that is stopped here has not. */
static bool is_unchanged(struct reading *reading)
{
	bool after_all = reading->table.have_after && !reading->read_more;

	for (size_t n = 0; n < reading->walk->namespaces; n++) {
		const struct link_namespace *ns = &reading->walk->ns[n];
		struct r_debug_words words = reading->table.after;
		if (!ns->consistent)
			continue;
		if ((n > 0 || !after_all) && read_r_debug(reading, ns->r_debug, &words) != 0)
			return false;
		if (words.base.r_state != RT_CONSISTENT || (vaddr_t)(uintptr_t)words.base.r_map != ns->head)
			return false;
	}
	return true;
}

/* ---- link maps ------------------------------------------------------------------------------- */

/* The linker that reuses the memory of a link map, or of a name, makes another object of it. */
static bool is_same(struct reading *reading, const struct ahead *ahead, int64_t lmid)
{
	const struct object *object = ahead->object;
	const struct link_map_words *words = &ahead->words;

	if (object->lmid != lmid || object->bias != words->addr || object->dynamic != words->ld ||
	    object->name != words->name)
		return false;
	size_t length = ahead->name_length;
	if (length == 0)
		return true;
	if (!ahead->have_name && read_exactly(reading, object->name, ahead->name, length) != 0) {
		/* Its memory ends before its NUL does, or is nowhere: as when it was new, or it is another.
		 */
		length--;
		if (length > 0 && read_exactly(reading, object->name, ahead->name, length) != 0)
			return false;
	}
	return memcmp(ahead->name, object->path, length) == 0;
}

static struct walked *walk_grow(struct walk *walk)
{
	if (walk->maps == walk->room) {
		size_t room = walk->room == 0 ? 64 : walk->room * 2;
		struct walked *map = realloc(walk->map, room * sizeof(*map));
		if (map == NULL)
			return NULL;
		walk->map = map;
		walk->room = room;
	}
	return &walk->map[walk->maps++];
}

/* What stands at a link map that was reached from another. */
static int read_link_map(struct reading *reading, vaddr_t at, vaddr_t from, int64_t lmid, struct walked *ret)
{
	struct ahead *ahead = ahead_find(&reading->table, &reading->next, at);
	int error = 0;

	*ret = (struct walked){ .at = at };
	if (ahead != NULL && ahead->visited) {
		reading->walk->refused = "an entry is in two lists";
		return -EAGAIN;
	}
	if (ahead == NULL || !ahead->have_words)
		error = read_exactly(reading, at, &ret->words, sizeof(ret->words));
	else
		ret->words = ahead->words;
	if (error == -ESRCH)
		return error;
	if (error != 0) {
		reading->walk->refused = "an entry is not mapped";
		return -EAGAIN;
	}
	if (ret->words.prev != from) {
		reading->walk->refused = "an entry does not lead back to the one before";
		return -EAGAIN;
	}
	if (ahead != NULL) {
		ahead->words = ret->words;
		ahead->visited = true;
		ret->known = is_same(reading, ahead, lmid) ? ahead->object : NULL;
	}
	return 0;
}

static int read_link_maps(struct reading *reading, size_t number)
{
	struct walk *walk = reading->walk;
	struct link_namespace *ns = &walk->ns[number];
	vaddr_t from = 0;

	ns->first = walk->maps;
	for (vaddr_t at = ns->head; at != 0; ns->count++) {
		if (walk->maps == MAX_LINK_MAPS) {
			walk->overflow = true;
			break;
		}
		struct walked *walked = walk_grow(walk);
		if (walked == NULL)
			return -ENOMEM;
		int error = read_link_map(reading, at, from, (int64_t)number, walked);
		if (error != 0)
			return error;
		from = at;
		at = walked->words.next;
	}
	return 0;
}

int walk_read(struct walk *walk, vaddr_t r_debug, const struct reader *memory, const struct object_list *list)
{
	struct reading reading = { .walk = walk, .memory = memory };

	walk->namespaces = walk->maps = walk->room = 0;
	walk->map = NULL;
	walk->overflow = false;
	walk->refused = NULL;
	int error = ahead_read(&reading.table, memory, r_debug, list);
	if (error == 0)
		error = read_namespaces(&reading, r_debug);
	for (size_t n = 0; n < walk->namespaces && error == 0; n++)
		if (walk->ns[n].consistent)
			error = read_link_maps(&reading, n);
	ahead_free(&reading.table);
	if (error == 0 && !is_unchanged(&reading))
		error = -EAGAIN;
	return error;
}

void walk_free(struct walk *walk)
{
	free(walk->map);
	walk->map = NULL;
}
