/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rtld/walk.c - reading the link maps of all namespaces, in two or three reads when nothing is new
 *
 *	r_debug, and r_next of it            which namespaces there are, which are consistent
 *	one vectored read                    the link map and the name of each object that is known
 *	a read for each link map that is new
 *	r_debug again                        unchanged: the walk counts
 *
 * The lists are the victim's to forge. A link map must point back to the one it was reached from: so no list
 * can lead in a ring unless it changes while it is read, and then the bounds end it.
 */
#include "rtld/inside.h"

#include <errno.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>

static int read_exactly(const struct reader *memory, vaddr_t address, void *buffer, size_t length)
{
	ssize_t got = memory->read(memory->data, address, buffer, length);

	if (got < 0)
		return (int)got;
	return (size_t)got == length ? 0 : -EFAULT;
}

/* The linker that reuses the memory of a link map, or of a name, makes an object that is not the known one.
 */
static bool is_same(const struct ahead *ahead, const struct reader *memory,
		    const struct link_map_words *words, int64_t lmid)
{
	const struct object *object = ahead->object;

	if (object->lmid != lmid || object->bias != words->addr || object->dynamic != words->ld ||
	    object->name != words->name)
		return false;
	if (ahead->name_length == 0)
		return true;
	size_t length = ahead->name_length;
	if (!ahead->have_name && read_exactly(memory, object->name, ahead->name, length) != 0) {
		/* Its memory ends before its NUL does, or is nowhere: so it was when it was new, or it is
		 * another. */
		length--;
		if (length > 0 && read_exactly(memory, object->name, ahead->name, length) != 0)
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

static int walk_namespace(struct walk *walk, size_t number, struct ahead_table *table, size_t *next,
			  const struct reader *memory)
{
	struct link_namespace *ns = &walk->ns[number];
	vaddr_t from = 0;

	ns->first = walk->maps;
	for (vaddr_t at = ns->head; at != 0;) {
		if (walk->maps == MAX_LINK_MAPS) {
			walk->overflow = true;
			break;
		}
		struct walked *walked = walk_grow(walk);
		if (walked == NULL)
			return -ENOMEM;
		struct ahead *ahead = ahead_find(table, next, at);
		*walked = (struct walked){ .at = at };
		if (ahead != NULL && ahead->have_words) {
			walked->words = ahead->words;
		} else {
			int error = read_exactly(memory, at, &walked->words, sizeof(walked->words));
			if (error != 0)
				return error == -ESRCH ? error : -EAGAIN;
		}
		if (walked->words.prev != from || (ahead != NULL && ahead->visited))
			return -EAGAIN;
		if (ahead != NULL)
			ahead->visited = true;
		if (ahead != NULL && is_same(ahead, memory, &walked->words, (int64_t)number))
			walked->known = ahead->object;
		ns->count++;
		from = at;
		at = walked->words.next;
	}
	return 0;
}

/* struct r_debug, and the pointer to the next namespace that r_version 2 adds (struct r_debug_extended). */
struct r_debug_words {
	struct r_debug base;
	uint64_t next;
};

static int read_r_debug(const struct reader *memory, vaddr_t address, struct r_debug_words *ret)
{
	int error = read_exactly(memory, address, ret, sizeof(*ret));

	/* Version 1 may end where its mapping does. */
	if (error == -EFAULT)
		error = read_exactly(memory, address, &ret->base, sizeof(ret->base));
	if (error == 0 && ret->base.r_version < 2)
		ret->next = 0;
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
static int read_namespaces(struct walk *walk, vaddr_t r_debug, const struct reader *memory)
{
	for (vaddr_t at = r_debug; at != 0;) {
		struct r_debug_words words;
		int error = read_r_debug(memory, at, &words);
		if (error != 0)
			return error == -EFAULT ? -EAGAIN : error;
		if (walk->namespaces == MAX_NAMESPACES || is_listed(walk, at)) {
			walk->overflow = true;
			break;
		}
		walk->ns[walk->namespaces++] = (struct link_namespace){
			.r_debug = at,
			.head = (vaddr_t)(uintptr_t)words.base.r_map,
			.consistent = words.base.r_state == RT_CONSISTENT,
		};
		at = words.next;
	}
	return 0;
}

/* A victim that runs may have changed its lists between two reads; one that is stopped here has not. */
static bool is_unchanged(const struct walk *walk, const struct reader *memory)
{
	for (size_t n = 0; n < walk->namespaces; n++) {
		const struct link_namespace *ns = &walk->ns[n];
		struct r_debug_words words;
		if (!ns->consistent)
			continue;
		if (read_r_debug(memory, ns->r_debug, &words) != 0 || words.base.r_state != RT_CONSISTENT ||
		    (vaddr_t)(uintptr_t)words.base.r_map != ns->head)
			return false;
	}
	return true;
}

int walk_read(struct walk *walk, vaddr_t r_debug, const struct reader *memory, const struct object_list *list)
{
	struct ahead_table table;
	size_t next = 0;

	walk->namespaces = walk->maps = walk->room = 0;
	walk->map = NULL;
	walk->overflow = false;
	int error = read_namespaces(walk, r_debug, memory);
	if (error != 0)
		return error;
	error = ahead_read(&table, memory, list);
	for (size_t n = 0; n < walk->namespaces && error == 0; n++)
		if (walk->ns[n].consistent)
			error = walk_namespace(walk, n, &table, &next, memory);
	ahead_free(&table);
	if (error == 0 && !is_unchanged(walk, memory))
		error = -EAGAIN;
	return error;
}

void walk_free(struct walk *walk)
{
	free(walk->map);
	walk->map = NULL;
}
