/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * controller/site_table.c - the sites of an address space, by address
 *
 * Open addressing over pointers: nothing is taken out but all at once, since what is lifted stays as a tombstone.
 */
#include "controller/site.h"

#include <errno.h>
#include <string.h>

static size_t slot_of(const struct site_table *table, vaddr_t address)
{
	return (size_t)((address * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (table->size - 1);
}

struct site *site_find(const struct site_table *table, vaddr_t address)
{
	if (!table->size)
		return NULL;
	for (size_t i = slot_of(table, address); table->index[i]; i = (i + 1) & (table->size - 1))
		if (table->index[i]->address == address)
			return table->index[i];
	return NULL;
}

static void index_insert(struct site_table *table, struct site *site)
{
	size_t i = slot_of(table, site->address);

	while (table->index[i])
		i = (i + 1) & (table->size - 1);
	table->index[i] = site;
}

/* One page of pointers is what most processes need; with each exec and exit one falls free and is kept. */
enum { FIRST_SIZE = 512 };

static struct site **index_get(struct controller *c, size_t size)
{
	struct site **index = c->spare_index;

	if (size != FIRST_SIZE || !index)
		return pages_get(size * sizeof(*index));
	c->spare_index = NULL;
	memset(index, 0, size * sizeof(*index));
	return index;
}

static void index_put(struct controller *c, struct site **index, size_t size)
{
	if (size == FIRST_SIZE && !c->spare_index)
		c->spare_index = index;
	else
		pages_put(index, size * sizeof(*index));
}

static int table_grow(struct controller *c, struct site_table *table, size_t size)
{
	struct site_table bigger = { .size = size, .used = table->used };

	bigger.index = index_get(c, size);
	if (!bigger.index)
		return -ENOMEM;
	for (size_t i = 0; i < table->size; i++)
		if (table->index[i])
			index_insert(&bigger, table->index[i]);
	index_put(c, table->index, table->size);
	*table = bigger;
	return 0;
}

struct site *site_add(struct controller *c, struct site_table *table, vaddr_t address)
{
	struct site *site;

	if (table->used >= MAX_SITES)
		return NULL;
	if ((table->used + 1) * 4 > table->size * 3 &&
	    table_grow(c, table, table->size ? table->size * 2 : FIRST_SIZE))
		return NULL;
	site = pool_get(&c->site_pool);
	if (!site)
		return NULL;
	site->address = address;
	index_insert(table, site);
	table->used++;
	c->stats.sites++;
	return site;
}

void sites_clear(struct controller *c, struct site_table *table)
{
	struct site *site;

	SITES_EACH(table, site) {
		pool_put(&c->site_pool, site);
	}
	index_put(c, table->index, table->size);
	*table = (struct site_table){ 0 };
}

int sites_add_all(struct controller *c, struct site_table *to, const struct site_table *from)
{
	struct site *site, *copy;

	SITES_EACH(from, site) {
		if (site_find(to, site->address))
			continue;
		copy = site_add(c, to, site->address);
		if (!copy)
			return -ENOMEM;
		*copy = *site;
		copy->hits = 0;
	}
	return 0;
}

int sites_copy(struct controller *c, struct space *to, const struct space *from)
{
	to->gadget = from->gadget;
	to->no_areas = from->no_areas;
	to->poke = from->poke;
	to->probed = from->probed;
	/* Slots are private memory: the child has its own copy of them, at the same addresses. */
	memcpy(to->area, from->area, sizeof(to->area));
	to->areas = from->areas;
	return sites_add_all(c, &to->sites, &from->sites);
}
