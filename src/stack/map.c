/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stack/map.c - what is mapped executable, as /proc/PID/maps tells it
 *
 * Not the linker's lists: they know nothing of the vdso, of code that a program has made, of what is mapped without
 * the linker, and are not consistent while a library is loaded.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "os/procfs.h"
#include "stack/inside.h"

static int add(const struct os_mapping *seen, void *data)
{
	struct stack_map *map = data;
	struct mapped *mapping;

	if (!seen->executable)
		return 0;
	if (map->count == MAX_MAPPINGS)
		return -EOVERFLOW;
	if (map->count == map->room) {
		size_t room = map->room ? 2 * map->room : 64;
		struct mapped *larger = realloc(map->mapping, room * sizeof(*larger));

		if (!larger)
			return -ENOMEM;
		map->mapping = larger;
		map->room = room;
	}
	mapping = &map->mapping[map->count];
	*mapping = (struct mapped){
		.start = seen->start,
		.end = seen->end,
		.offset = seen->offset,
		.inode = seen->inode,
		.device_major = seen->device_major,
		.device_minor = seen->device_minor,
		.vdso = !strcmp(seen->path, "[vdso]"),
		.path = strdup(seen->path),
	};
	if (!mapping->path)
		return -ENOMEM;
	map->count++;
	return 0;
}

int stack_map_read(struct stack_pool *pool, int64_t tid, const struct reader *memory, struct stack_map **ret)
{
	struct stack_map *map = calloc(1, sizeof(*map));
	int result;

	if (!map)
		return -ENOMEM;
	map->pool = pool;
	map->tid = tid;
	map->memory = *memory;
	pthread_mutex_init(&map->lock, NULL);
	result = os_each_mapping(tid, add, map);
	/* Beyond the bound nothing is known: stacks through there end so. */
	if (result < 0 && result != -EOVERFLOW) {
		stack_map_free(map);
		return result;
	}
	*ret = map;
	return 0;
}

void stack_map_free(struct stack_map *map)
{
	if (!map)
		return;
	for (size_t i = 0; i < map->count; i++) {
		if (map->mapping[i].file)
			pool_put(map->pool, map->mapping[i].file);
		free(map->mapping[i].path);
	}
	pthread_mutex_destroy(&map->lock);
	free(map->mapping);
	free(map);
}

struct mapped *map_at(struct stack_map *map, vaddr_t address)
{
	size_t low = 0, high = map->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (address >= map->mapping[middle].end)
			low = middle + 1;
		else
			high = middle;
	}
	return low < map->count && address >= map->mapping[low].start ? &map->mapping[low] : NULL;
}

struct file *map_file(struct stack_map *map, struct mapped *mapping)
{
	pthread_mutex_lock(&map->lock);
	if (!mapping->looked) {
		mapping->looked = true;
		mapping->file = pool_file(map->pool, map->tid, &map->memory, mapping);
	}
	pthread_mutex_unlock(&map->lock);
	return mapping->file;
}

void stack_map_open(struct stack_map *map)
{
	for (size_t i = 0; i < map->count; i++)
		(void)map_file(map, &map->mapping[i]);
}

bool stack_place(struct stack_map *map, vaddr_t address, struct stack_place *ret)
{
	struct mapped *mapping = map_at(map, address);
	const struct file *file;
	uint64_t in_file;

	if (!mapping)
		return false;
	file = map_file(map, mapping);
	in_file = file ? file_address(file, address - mapping->start + mapping->offset) : UINT64_MAX;
	*ret = (struct stack_place){ mapping->path, in_file == UINT64_MAX ? 0 : address - in_file };
	return true;
}
