/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rtld/inside.h - what the files of this room share
 */
#ifndef RTLD_INSIDE_H
#define RTLD_INSIDE_H

#include "base/linkmap.h"
#include "rtld/rtld.h"

enum { CACHE_WITNESS = 16 };

/* Offsets from the image's bias; 0: it has none. */
struct image_facts {
	enum rtld_flavour flavour;
	uint64_t r_brk, r_debug, debug_pointer, gadget, begin;
	/* The code at r_brk or gadget: shows that this is the image it is taken for. */
	uint64_t witness_at;
	uint8_t witness[CACHE_WITNESS];
};

/* True when the image is known and its witness, read from memory, is unchanged. cache may be NULL. */
bool cache_find(struct rtld_cache *cache, const struct reader *memory, const struct elf_image *image,
		struct image_facts *ret);
/* Keep facts for images like this one; those without a build-id are not kept. */
void cache_keep(struct rtld_cache *cache, const struct reader *memory, const struct elf_image *image,
		const struct image_facts *facts);

/* Find main from the start code at entry of rtld->program: sets main or main_slot. */
void rtld_survey_main(struct rtld *rtld, const struct reader *memory, vaddr_t entry);

/* What the victim has where a known object was, read before the walk comes there. */
struct ahead {
	struct object *object;
	struct link_map_words words;
	char *name;         /* as many bytes as the known name has, valid with have_name; writable always */
	size_t name_length; /* 0: not compared */
	bool have_words, have_name, visited;
};

struct ahead_table {
	struct ahead *item;   /* in the order of the list */
	struct ahead **index; /* by link map, made when the order fails */
	size_t count;
	uint8_t *bytes;
	/* r_debug as it was before and after all the rest was read. */
	struct r_debug_words before, after;
	bool have_before, have_after;
};

/* All objects of list that have a link map, and r_debug. 0 or -ENOMEM; ahead_free() in any case. */
int ahead_read(struct ahead_table *table, const struct reader *memory, vaddr_t r_debug,
	       const struct object_list *list);
void ahead_free(struct ahead_table *table);
/* What is known at a link map, or NULL. *next: where the order of the list suggests it, 0 at first. */
struct ahead *ahead_find(struct ahead_table *table, size_t *next, vaddr_t at);

/* One namespace, and the part of struct walk that is its link maps. */
struct link_namespace {
	vaddr_t r_debug;
	vaddr_t head;
	bool consistent;
	size_t first, count; /* in walk.map */
};

struct walked {
	vaddr_t at;
	struct link_map_words words;
	struct object *known; /* in the list, and still the same; NULL: new */
};

/* What one scan saw, before any of it is applied. */
struct walk {
	struct link_namespace ns[MAX_NAMESPACES];
	size_t namespaces;
	struct walked *map;
	size_t maps, room;
	bool overflow; /* a bound was reached */
	const char *refused; /* with -EAGAIN: what cannot be, unless the list changed meanwhile; else NULL */
};

/*
 * Walk all consistent namespaces from r_debug on. 0; -EAGAIN: the lists changed or broke off meanwhile,
 * nothing of the walk counts; -ESRCH, -ENOMEM. walk_free() in any case.
 */
int walk_read(struct walk *walk, vaddr_t r_debug, const struct reader *memory,
	      const struct object_list *list);
void walk_free(struct walk *walk);

#endif
