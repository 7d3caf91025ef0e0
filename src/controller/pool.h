/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * controller/pool.h - records of one size, from chunks that are mapped when the last one is full
 *
 * Nothing is ever given back to the kernel, so a record freed is a record that can be had again without
 * memory. limit bounds what a victim can make the controller allocate.
 */
#ifndef CONTROLLER_POOL_H
#define CONTROLLER_POOL_H

#include "base/types.h"

struct pool {
	size_t size;  /* of one record; at least a pointer */
	size_t limit; /* records at most */
	size_t made;
	void *free;  /* given back */
	char *fresh; /* never handed out, fresh_count of them */
	size_t fresh_count;
};

/* Zeroed, or NULL when the limit or the memory is reached. */
void *pool_get(struct pool *pool);
void pool_put(struct pool *pool, void *record);

/* Anonymous memory: NULL when there is none. */
void *pages_get(size_t bytes);
void pages_put(void *pages, size_t bytes);

#endif
