/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/pool.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "os/sys.h"

enum { CHUNK = 16384 };

void *pages_get(size_t bytes)
{
	long r = sys(mmap, 0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (r == -ENOMEM || r == -EINTR)
		r = sys(mmap, 0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return r < 0 && r > -4096 ? NULL : (void *)r;
}

void pages_put(void *pages, size_t bytes)
{
	if (pages)
		sys(munmap, pages, bytes);
}

void *pool_get(struct pool *pool)
{
	void *record = pool->free;

	if (record) {
		memcpy(&pool->free, record, sizeof(void *));
		memset(record, 0, pool->size);
		return record;
	}
	if (!pool->fresh_count) {
		size_t count = CHUNK / pool->size ? CHUNK / pool->size : 1;
		char *chunk = pool->made < pool->limit ? pages_get(count * pool->size) : NULL;

		if (!chunk)
			return NULL;
		pool->fresh = chunk;
		pool->fresh_count = count;
		pool->made += count;
	}
	/* Pages are zero as they come, and touched only when a record of them is wanted. */
	record = pool->fresh;
	pool->fresh += pool->size;
	pool->fresh_count--;
	return record;
}

void pool_put(struct pool *pool, void *record)
{
	memcpy(record, &pool->free, sizeof(void *));
	pool->free = record;
}
