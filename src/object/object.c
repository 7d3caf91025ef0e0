/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * object/object.c - the load objects of one image
 */
#include "object/object.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void object_list_init(struct object_list *list)
{
	*list = (struct object_list){ 0 };
	TAILQ_INIT(&list->queue);
}

void object_free(struct object *object)
{
	if (object == NULL)
		return;
	free(object->path);
	free(object);
}

void object_list_clear(struct object_list *list)
{
	struct object *object;

	while ((object = TAILQ_FIRST(&list->queue)) != NULL) {
		TAILQ_REMOVE(&list->queue, object, entry);
		object_free(object);
	}
	object_list_init(list);
}

static struct object *copy_of(const struct object *object)
{
	struct object *copy = malloc(sizeof(*copy));

	if (copy == NULL)
		return NULL;
	*copy = *object;
	copy->path = strdup(object->path != NULL ? object->path : "");
	if (copy->path == NULL) {
		free(copy);
		return NULL;
	}
	return copy;
}

int object_list_copy(struct object_list *to, const struct object_list *from)
{
	const struct object *object;

	object_list_init(to);
	TAILQ_FOREACH(object, &from->queue, entry) {
		struct object *copy = copy_of(object);
		if (copy == NULL) {
			object_list_clear(to);
			return -ENOMEM;
		}
		TAILQ_INSERT_TAIL(&to->queue, copy, entry);
	}
	to->generation = from->generation;
	to->count = from->count;
	return 0;
}

struct object *object_at(const struct object_list *list, vaddr_t address)
{
	struct object *object;

	TAILQ_FOREACH(object, &list->queue, entry)
		if (address >= object->low && address < object->high)
			return object;
	return NULL;
}
