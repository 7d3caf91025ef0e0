/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * base/linkmap.h - what every linker keeps in the same place, and <link.h> shows in part
 */
#ifndef BASE_LINKMAP_H
#define BASE_LINKMAP_H

#include <link.h>
#include <stdint.h>

/* Five words of struct link_map. */
struct link_map_words {
	uint64_t addr, name, ld, next, prev;
};

/* struct r_debug, and the pointer to the next namespace that r_version 2 adds (struct r_debug_extended). */
struct r_debug_words {
	struct r_debug base;
	uint64_t next;
};

#endif
