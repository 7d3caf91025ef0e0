/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rtld/inside.h - what the files of this room share
 */
#ifndef RTLD_INSIDE_H
#define RTLD_INSIDE_H

#include "rtld/rtld.h"

enum { CACHE_WITNESS = 16 };

/* Offsets from the image's bias; 0: it has none. */
struct image_facts {
	enum rtld_flavour flavour;
	uint64_t r_brk, r_debug, debug_pointer, gadget;
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

/*
 * The object that a link map tells of, as it is mapped. 0; -ENOEXEC, -EFAULT: nothing readable is there,
 * which leaves an object without range and build-id; -ESRCH.
 */
int rtld_find_image(int64_t tid, const struct reader *memory, vaddr_t bias, vaddr_t dynamic,
		    struct elf_image *ret);
/* The string at address in new memory, at most MAX_OBJECT_NAME - 1 bytes. 0; 1: it was cut; -ENOMEM, -ESRCH.
 */
int rtld_read_name(const struct reader *memory, vaddr_t address, char **ret);

/* One namespace, and the part of struct walk that is its link maps. */
struct namespace
{
	vaddr_t r_debug;
	vaddr_t head;
	bool consistent;
	size_t first, count; /* in walk.map */
};

/* Five words that every linker keeps in the same place: struct link_map of <link.h>. */
struct link_map_words {
	uint64_t addr, name, ld, next, prev;
};

struct walked {
	vaddr_t at;
	struct link_map_words words;
	struct object *known; /* in the list, and still the same; NULL: new */
};

/* What one scan saw, before any of it is applied. */
struct walk {
	struct namespace namespace[MAX_NAMESPACES];
	size_t namespaces;
	struct walked *map;
	size_t maps, room;
	bool overflow; /* a bound was reached */
};

/*
 * Walk all consistent namespaces from r_debug on. 0; -EAGAIN: the lists changed or broke off meanwhile,
 * nothing of the walk counts; -ESRCH, -ENOMEM. walk_free() in any case.
 */
int walk_read(struct walk *walk, vaddr_t r_debug, const struct reader *memory,
	      const struct object_list *list);
void walk_free(struct walk *walk);

#endif
