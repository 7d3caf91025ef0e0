/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * controller/site.h - traps in the text of an address space
 *
 * A site lifted stays in the table as a tombstone until exec: a thread may have hit it already, and that hit
 * must find an owner or it would be delivered to the victim as a SIGTRAP of its own.
 */
#ifndef CONTROLLER_SITE_H
#define CONTROLLER_SITE_H

#include "controller/controller.h"

/* ---- site_table.c ---- */
struct site *site_find(const struct site_table *table, vaddr_t address);
/* A new one, with its address only; there must be none yet. NULL: no memory, or MAX_SITES. */
struct site *site_add(struct controller *c, struct site_table *table, vaddr_t address);
void sites_clear(struct controller *c, struct site_table *table);
/* The sites of from that to has not at their addresses. 0 or -ENOMEM. */
int sites_add_all(struct controller *c, struct site_table *to, const struct site_table *from);
/* For the child of a fork: the same sites, planted or not. 0 or -ENOMEM. */
int sites_copy(struct controller *c, struct space *to, const struct space *from);
/* Call visit for each site; visit may not add any. */
#define SITES_EACH(table, site)                       \
	for (size_t i_ = 0; i_ < (table)->size; i_++) \
		if (((site) = (table)->index[i_]) != NULL)

/* ---- site.c ---- */
/* Sites whose traps another has written already, before anything of the victim ran. 0, -ENOMEM, or of /proc. */
int space_adopt(struct controller *c, struct space *s, const struct proto_site *sites, uint32_t count);
/* Those that are PROTO_SITE_LATER. */
void space_plant_later(struct space *s);
/* Plant count sites in the space of p. 0, or the first failure; *ret_planted counts what stands. */
int space_plant(struct controller *c, struct process *p, const struct proto_site *sites, uint32_t count,
		uint32_t *ret_planted);
/*
 * parts: PROTO_SITE_PROBE, PROTO_SITE_RETURN: only that one, and the trap when no other is left; 0: all. 0, or the first failure; *ret_lifted
 * counts what there was to lift. The addresses may be misaligned, as they came.
 */
int space_lift_sites(struct space *s, const unsigned char *addresses, uint32_t count, uint64_t parts,
		     uint32_t *ret_lifted);
/* The library's own part of a site that a thread has run into this very moment: it is still in its mapping. */
void space_lift_hit(struct space *s, struct site *site);
/* All traps out of memory / back in again; the table stays. */
void space_lift(struct controller *c, struct space *s);
void space_replant(struct controller *c, struct space *s);
/*
 * Bring the text of a fork's child in line with its table: planted ones stand, tombstones do not; with scrub,
 * none does. The parent may have planted or lifted since the kernel copied its memory.
 */
void space_settle_copy(struct controller *c, struct space *s, bool scrub);

/* One site's byte: the trap, or the original. 0, -ESRCH, ... */
int site_write(struct space *s, const struct site *site, bool trap);

/* ---- memory.c ---- */
/* What the first lift will need, before the victim stands and waits for it. */
void space_ready(struct space *s);
int space_read(struct space *s, vaddr_t address, void *buffer, size_t length);
/* The text at ascending addresses, neighbours read together: each with its error (0, -EFAULT, -ESRCH ...). */
enum { TEXT_NEAR = 2048, TEXT_WINDOW = 16384 };
struct text {
	vaddr_t address;
	size_t wanted; /* bytes, at most all */
	int error;
	unsigned char bytes[RECIPE_INSN_MAX + ARCH_TRAP_SIZE];
};
void space_read_text(struct space *s, struct text *text, size_t count);
/* For emulation, through a task of the space. */
int task_read(void *task, vaddr_t address, void *buffer, size_t length);
int task_write(void *task, vaddr_t address, const void *buffer, size_t length);
/* Text, also where it is not writable for the victim. */
int space_write(struct space *s, vaddr_t address, const unsigned char *bytes, size_t length);

#endif
