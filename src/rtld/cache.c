/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rtld/cache.c - images seen before
 *
 * A system has a handful of linkers and one vdso, so a short table searched in order of last use is enough.
 */
#include "rtld/inside.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { CACHE_ENTRIES = 32 };

struct cached {
	uint64_t used; /* 0: free */
	uint64_t fingerprint;
	struct elf_build_id build_id;
	struct image_facts facts;
};

struct rtld_cache {
	pthread_mutex_t lock;
	uint64_t clock;
	struct cached entry[CACHE_ENTRIES];
};

struct rtld_cache *rtld_cache_new(void)
{
	struct rtld_cache *cache = calloc(1, sizeof(*cache));

	if (cache != NULL)
		pthread_mutex_init(&cache->lock, NULL);
	return cache;
}

void rtld_cache_free(struct rtld_cache *cache)
{
	if (cache != NULL)
		pthread_mutex_destroy(&cache->lock);
	free(cache);
}

static bool is_like(const struct cached *cached, const struct elf_image *image)
{
	return cached->used != 0 && cached->fingerprint == image->fingerprint &&
	       cached->build_id.size == image->build_id.size &&
	       memcmp(cached->build_id.bytes, image->build_id.bytes, image->build_id.size) == 0;
}

static bool read_witness(const struct reader *memory, const struct elf_image *image,
			 const struct image_facts *facts, uint8_t witness[CACHE_WITNESS])
{
	vaddr_t at = image->bias + facts->witness_at;

	return memory->read(memory->data, at, witness, CACHE_WITNESS) == CACHE_WITNESS;
}

static bool find(struct rtld_cache *cache, const struct reader *memory, const struct elf_image *image,
		 struct image_facts *ret)
{
	uint8_t witness[CACHE_WITNESS];

	for (size_t i = 0; i < CACHE_ENTRIES; i++) {
		struct cached *cached = &cache->entry[i];
		if (!is_like(cached, image))
			continue;
		if (!read_witness(memory, image, &cached->facts, witness) ||
		    memcmp(witness, cached->facts.witness, CACHE_WITNESS) != 0)
			return false;
		cached->used = ++cache->clock;
		*ret = cached->facts;
		return true;
	}
	return false;
}

bool cache_find(struct rtld_cache *cache, const struct reader *memory, const struct elf_image *image,
		struct image_facts *ret)
{
	if (cache == NULL || image->build_id.size == 0)
		return false;
	pthread_mutex_lock(&cache->lock);
	bool found = find(cache, memory, image, ret);
	pthread_mutex_unlock(&cache->lock);
	return found;
}

/* The entry of such an image, a free one, or the one unused for the longest time. */
static struct cached *place_for(struct rtld_cache *cache, const struct elf_image *image)
{
	struct cached *oldest = &cache->entry[0];

	for (size_t i = 0; i < CACHE_ENTRIES; i++) {
		if (is_like(&cache->entry[i], image))
			return &cache->entry[i];
		if (cache->entry[i].used < oldest->used)
			oldest = &cache->entry[i];
	}
	return oldest;
}

void cache_keep(struct rtld_cache *cache, const struct reader *memory, const struct elf_image *image,
		const struct image_facts *facts)
{
	struct cached fresh = { .fingerprint = image->fingerprint,
				.build_id = image->build_id,
				.facts = *facts };

	if (cache == NULL || image->build_id.size == 0 || facts->witness_at == 0 ||
	    !read_witness(memory, image, facts, fresh.facts.witness))
		return;
	pthread_mutex_lock(&cache->lock);
	fresh.used = ++cache->clock;
	*place_for(cache, image) = fresh;
	pthread_mutex_unlock(&cache->lock);
}
