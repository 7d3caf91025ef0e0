/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * probe/member.c - which breakpoints concern a process
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "probe/inside.h"

static int reserve(struct members *members, size_t count)
{
	size_t room = members->room ? members->room : 4;
	struct member *grown;

	while (room < count)
		room *= 2;
	if (room == members->room)
		return 0;
	grown = realloc(members->member, room * sizeof(*grown));
	if (grown == NULL)
		return -ENOMEM;
	members->member = grown;
	members->room = room;
	return 0;
}

static int make(struct tether *process, size_t count)
{
	struct members *members = process->members;

	if (members == NULL)
		members = calloc(1, sizeof(*members));
	if (members == NULL)
		return -ENOMEM;
	process->members = members;
	return reserve(members, count);
}

int member_add(struct tether *process, struct tether_breakpoint *breakpoint)
{
	if (make(process, process->members ? process->members->count + 1 : 1) < 0)
		return -ENOMEM;
	process->members->member[process->members->count++] = (struct member){ breakpoint };
	return 0;
}

void member_remove(struct tether *process, const struct tether_breakpoint *breakpoint)
{
	struct members *members = process->members;

	for (size_t i = 0; members && i < members->count; i++)
		if (members->member[i].breakpoint == breakpoint) {
			memmove(&members->member[i], &members->member[i + 1],
				(--members->count - i) * sizeof(*members->member));
			return;
		}
}

int member_copy(struct tether *child, const struct tether *parent)
{
	if (make(child, parent->members->count) < 0)
		return -ENOMEM;
	child->members->count = parent->members->count;
	call_map_put(child->members->map);
	child->members->map = call_map_get(parent->members->map);
	memcpy(child->members->member, parent->members->member, parent->members->count * sizeof(struct member));
	return 0;
}

void members_free(struct tether *process)
{
	if (process->members == NULL)
		return;
	call_map_put(process->members->map);
	free(process->members->member);
	free(process->members);
	process->members = NULL;
}

void member_map(struct tether *process)
{
	const struct members *members = process->members;
	struct call_map *map = NULL, *before;
	bool wanted = false;

	for (size_t i = 0; members && i < members->count; i++)
		wanted = wanted || members->member[i].breakpoint->flags & TETHER_BREAKPOINT_STACK;
	if (!members || (!wanted && !members->map))
		return;
	if (wanted)
		map = call_map_read(process);
	pthread_mutex_lock(&process->table->lock);
	before = process->members->map;
	process->members->map = map;
	pthread_mutex_unlock(&process->table->lock);
	call_map_put(before);
}

bool member_of(const struct tether *process, const struct tether_breakpoint *breakpoint)
{
	const struct members *members = process->members;

	for (size_t i = 0; members && i < members->count; i++)
		if (members->member[i].breakpoint == breakpoint)
			return true;
	return false;
}
