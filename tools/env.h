/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * env.h - environments, and what one exec changed of another's
 */
#ifndef TOOLS_ENV_H
#define TOOLS_ENV_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Names seen so far. A victim may pass a hundred thousand entries, so no comparison of each with each. The
 * entries stay the caller's.
 */
struct env_names {
	const char **slots;
	size_t mask;
};

/* Empty, with room for all of both lists (either may be NULL); false without memory. */
bool env_names_make(struct env_names *names, const char *const *env);
void env_names_clear(struct env_names *names);
/* The entry with the same name, NULL when there is none. */
const char *env_names_find(const struct env_names *names, const char *entry);
/* True when the entry's name was not there yet. */
bool env_names_add(struct env_names *names, const char *entry);
void env_names_free(struct env_names *names);

/* Bytes of the name of NAME=VALUE; the whole entry where it has no '='. */
size_t env_name_length(const char *entry);

typedef void env_fn(void *data, const char *name, const char *value);

/*
 * Entries of `now` that `before` has not, or has with another value; value is NULL for an entry without '='.
 * Of names given twice the first counts, as for getenv(3).
 */
void env_set(const char *const *before, const char *const *now, env_fn *visit, void *data);
/* Names of `before` that `now` has not; value is always NULL. */
void env_unset(const char *const *before, const char *const *now, env_fn *visit, void *data);

#endif
