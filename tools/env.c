/* SPDX-License-Identifier: BSD-2-Clause */
#include "env.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

size_t env_name_length(const char *entry)
{
	return strcspn(entry, "=");
}

static uint64_t hash_of(const char *name, size_t length)
{
	uint64_t hash = 0xcbf29ce484222325;

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ (unsigned char)name[i]) * 0x100000001b3;
	return hash;
}

bool env_names_make(struct env_names *names, const char *const *env)
{
	size_t count = 0, size = 16;

	while (env && env[count])
		count++;
	while (size < count * 2)
		size *= 2;
	names->slots = calloc(size, sizeof(*names->slots));
	names->mask = size - 1;
	return names->slots != NULL;
}

void env_names_clear(struct env_names *names)
{
	memset(names->slots, 0, (names->mask + 1) * sizeof(*names->slots));
}

/* Where the name is, or the free place where it belongs. */
static const char **place(const struct env_names *names, const char *entry)
{
	size_t length = env_name_length(entry);
	size_t i = hash_of(entry, length) & names->mask;

	for (; names->slots[i]; i = (i + 1) & names->mask) {
		if (env_name_length(names->slots[i]) == length && !memcmp(names->slots[i], entry, length))
			break;
	}
	return &names->slots[i];
}

const char *env_names_find(const struct env_names *names, const char *entry)
{
	return *place(names, entry);
}

bool env_names_add(struct env_names *names, const char *entry)
{
	const char **at = place(names, entry);

	if (*at)
		return false;
	*at = entry;
	return true;
}

void env_names_free(struct env_names *names)
{
	free(names->slots);
	names->slots = NULL;
}

/* Entries of `list` whose first occurrence is not, or is other, in `against`. */
static void differences(const char *const *list, const char *const *against, bool by_value, env_fn *visit,
			void *data)
{
	struct env_names seen = { 0 }, there = { 0 };

	if (env_names_make(&seen, list) && env_names_make(&there, against)) {
		for (const char *const *e = against; e && *e; e++)
			env_names_add(&there, *e);
		for (const char *const *e = list; e && *e; e++) {
			size_t length = env_name_length(*e);
			const char *other = env_names_find(&there, *e);
			char *name;

			if (!env_names_add(&seen, *e) || (other && (!by_value || !strcmp(other, *e))))
				continue;
			name = strndup(*e, length);
			if (name)
				visit(data, name, by_value && (*e)[length] ? *e + length + 1 : NULL);
			free(name);
		}
	}
	env_names_free(&seen);
	env_names_free(&there);
}

void env_set(const char *const *before, const char *const *now, env_fn *visit, void *data)
{
	differences(now, before, true, visit, data);
}

void env_unset(const char *const *before, const char *const *now, env_fn *visit, void *data)
{
	differences(before, now, false, visit, data);
}
