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

/* ---- what is known, read ahead --------------------------------------------------------------------------
 */

struct ahead {
	struct object *object;
	struct link_map_words words;
	char *name;         /* as many bytes as the name that is known has */
	size_t name_length; /* 0: not compared */
	bool have_words, have_name, visited;
};

struct ahead_table {
	struct ahead *item;   /* in the order of the list */
	struct ahead **index; /* by link map, made when the order fails */
	size_t count;
	char *names;
};

static void ahead_free(struct ahead_table *table)
{
	free(table->item);
	free(table->index);
	free(table->names);
}

/* Names of what cannot be unloaded are not looked at: musl calls the program by argv[0]. */
static size_t compared_length(const struct object *object)
{
	if (object->is_program || object->is_linker || object->is_vdso || object->name == 0)
		return 0;
	size_t length = strlen(object->path);
	return length < MAX_OBJECT_NAME - 1 ? length + 1 : length;
}

static void read_pieces(const struct reader *memory, struct ahead_table *table, struct reader_piece *piece)
{
	size_t pieces = 0;
	ssize_t done = 0;

	/* All link maps first: a name that is gone must not hide a link map that is there. */
	for (size_t i = 0; i < table->count; i++)
		piece[pieces++] =
			(struct reader_piece){ table->item[i].object->link_map, &table->item[i].words,
					       sizeof(table->item[i].words) };
	for (size_t i = 0; i < table->count; i++)
		if (table->item[i].name_length > 0)
			piece[pieces++] =
				(struct reader_piece){ table->item[i].object->name, table->item[i].name,
						       table->item[i].name_length };
	if (memory->read_many != NULL)
		done = memory->read_many(memory->data, piece, pieces);
	for (size_t i = 0; i < table->count && (ssize_t)i < done; i++)
		table->item[i].have_words = true;
	for (size_t i = 0, n = table->count; i < table->count && (ssize_t)n < done; i++)
		if (table->item[i].name_length > 0) {
			table->item[i].have_name = true;
			n++;
		}
}

static int ahead_read(struct ahead_table *table, const struct reader *memory, const struct object_list *list)
{
	struct object *object;
	size_t objects = 0, bytes = 0;

	TAILQ_FOREACH(object, &list->queue, entry)
	{
		objects += object->link_map != 0;
		bytes += compared_length(object);
	}
	*table = (struct ahead_table){ 0 };
	if (objects == 0)
		return 0;
	struct reader_piece *piece = calloc(2 * objects, sizeof(*piece));
	table->item = calloc(objects, sizeof(*table->item));
	table->names = malloc(bytes + 1);
	if (piece == NULL || table->item == NULL || table->names == NULL) {
		free(piece);
		return -ENOMEM;
	}
	bytes = 0;
	TAILQ_FOREACH(object, &list->queue, entry)
	{
		if (object->link_map == 0)
			continue;
		struct ahead *item = &table->item[table->count++];
		item->object = object;
		item->name_length = compared_length(object);
		item->name = table->names + bytes;
		bytes += item->name_length;
	}
	read_pieces(memory, table, piece);
	free(piece);
	return 0;
}

static int by_link_map(const void *a, const void *b)
{
	const struct ahead *const *left = a, *const *right = b;

	if ((*left)->object->link_map != (*right)->object->link_map)
		return (*left)->object->link_map < (*right)->object->link_map ? -1 : 1;
	return 0;
}

/* What is known at a link map. *next is where the order of the list suggests it. */
static struct ahead *ahead_find(struct ahead_table *table, size_t *next, vaddr_t at)
{
	if (*next < table->count && table->item[*next].object->link_map == at)
		return &table->item[(*next)++];
	if (table->count == 0)
		return NULL;
	if (table->index == NULL) {
		table->index = malloc(table->count * sizeof(*table->index));
		if (table->index == NULL)
			return NULL;
		for (size_t i = 0; i < table->count; i++)
			table->index[i] = &table->item[i];
		qsort(table->index, table->count, sizeof(*table->index), by_link_map);
	}
	struct object wanted_object = { .link_map = at };
	struct ahead wanted = { .object = &wanted_object };
	const struct ahead *key = &wanted;
	struct ahead **found = bsearch(&key, table->index, table->count, sizeof(*table->index), by_link_map);
	if (found == NULL)
		return NULL;
	*next = (size_t)(*found - table->item) + 1;
	return *found;
}

/* ---- the walk -------------------------------------------------------------------------------------------
 */

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
	if (!ahead->have_name && read_exactly(memory, object->name, ahead->name, ahead->name_length) != 0)
		return false;
	return memcmp(ahead->name, object->path, ahead->name_length) == 0;
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
	struct namespace *namespace = &walk->namespace[number];
	vaddr_t from = 0;

	namespace->first = walk->maps;
	for (vaddr_t at = namespace->head; at != 0;) {
		if (namespace->count == MAX_LINK_MAPS) {
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
		namespace->count++;
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
		if (walk->namespaces == MAX_NAMESPACES) {
			walk->overflow = true;
			break;
		}
		walk->namespace[walk->namespaces++] = (struct namespace){
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
		const struct namespace *namespace = &walk->namespace[n];
		struct r_debug_words words;
		if (!namespace->consistent)
			continue;
		if (read_r_debug(memory, namespace->r_debug, &words) != 0 ||
		    words.base.r_state != RT_CONSISTENT ||
		    (vaddr_t)(uintptr_t)words.base.r_map != namespace->head)
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
		if (walk->namespace[n].consistent)
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
