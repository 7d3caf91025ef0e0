/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * object/object.h - the load objects of one image
 *
 * A list in link-map order, namespace by namespace. Owned by one thread (the control thread, or a call on an
 * observe handle); no locks.
 */
#ifndef OBJECT_OBJECT_H
#define OBJECT_OBJECT_H

#include <sys/queue.h>

#include "elf/elf.h"

struct object {
	TAILQ_ENTRY(object) entry;
	vaddr_t link_map; /* identity together with bias and name: addresses of link maps recur */
	vaddr_t bias, dynamic;
	vaddr_t low, high; /* both 0: its headers could not be read */
	vaddr_t name;      /* where the victim keeps the name; tells a new object at an old place */
	int64_t lmid;
	uint64_t generation; /* of the last scan that saw it */
	struct elf_build_id build_id;
	bool initial;
	bool is_program, is_linker, is_vdso; /* no load events are made of these */
	char *path;                          /* owned */
};
TAILQ_HEAD(object_queue, object);

struct object_list {
	struct object_queue queue;
	uint64_t generation;
	uint32_t count;
};

void object_list_init(struct object_list *list);
void object_list_clear(struct object_list *list);
/* Of one that is in no list; NULL is allowed. */
void object_free(struct object *object);
/* A copy for a forked child. 0 or -ENOMEM (then to is empty). */
int object_list_copy(struct object_list *to, const struct object_list *from);
/* The object that holds address, or NULL. */
struct object *object_at(const struct object_list *list, vaddr_t address);

#endif
