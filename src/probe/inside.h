/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * probe/inside.h - what the files of this room share
 *
 * A *breakpoint* has *spots*, the functions where it has ever stood, each with a counter. A *point* (process/hooks.h) is
 * an address of one space and is used by breakpoints, each for a spot of it. Who is a *member* of a process: the
 * breakpoints that concern it.
 *
 * The control thread alone changes all this, under table->lock where client threads read it.
 */
#ifndef PROBE_INSIDE_H
#define PROBE_INSIDE_H

#include "probe/probe.h"
#include "process/call_stack.h"
#include "process/handle.h"

/* Shared with one controller; counted, under table->lock: breakpoints read it after the family has gone. */
struct counters {
	unsigned users;
	uint64_t *value;
	uint32_t used;
	struct spot *spots;          /* uthash: of breakpoints that records of calls are for, by counter */
};
enum { COUNTERS_BYTES = MAX_COUNTERS * sizeof(uint64_t) };

/* A parsed `where`. */
struct where {
	char *object, *function; /* owned, one block; NULL: by address */
	char **except;           /* owned; ends with NULL. NULL: none */
	uint64_t offset, address;
	bool calls;              /* what is called only, not what is jumped to */
};

struct spot {
	STAILQ_ENTRY(spot) next;
	struct tether_breakpoint *breakpoint;
	uint32_t counter, returns;   /* returns: the first of its own; 0: they are not wanted */
	UT_hash_handle by_counter;
	uint32_t standing;           /* while functions are listed */
	uint64_t offset;
	const char *object, *symbol; /* behind it */
	UT_hash_handle hh;           /* by key */
	size_t key_length;
	char key[];                  /* object, NUL, symbol, NUL */
};

struct tether_breakpoint {
	LIST_ENTRY(tether_breakpoint) entry;
	struct table *table;
	struct tether *process;      /* pinned */
	struct counters *counters;   /* a reference; NULL: not added yet */
	struct where where;
	uint32_t flags;
	uint64_t ignore;
	tether_hit_fn *handler;
	tether_stop_fn *stop;
	int64_t tid;                 /* 0: of all threads */
	tether_call_fn *call;
	void *data;
	/* under table->lock */
	uint64_t disabled_ns;        /* when that was, of one that is not enabled */
	unsigned users;              /* the client, queued records, running calls */
	bool enabled, done, removed, listed;
	uint64_t seen;               /* hits that were told of, one after the other */
	uint64_t missed;             /* of these, stop was not called */
	STAILQ_HEAD(, spot) spots;
	struct spot *by_name;        /* uthash */
	uint32_t spot_count;
};

/* Whether it stands in this process: an address is one of the image that the process ran when it was added. */
struct member {
	struct tether_breakpoint *breakpoint;
	uint32_t unresolved; /* functions that the linker chooses, and that are not known yet */
};
struct members {
	size_t count, room;
	struct member *member;
	struct call_map *map;        /* a reference: what is mapped, where stacks of calls are wanted; or NULL */
};

/* ---- where.c ---- */
/* 0, -TETHER_EINVALID, -ENOMEM. */
int where_parse(struct where *where, const char *text, const char *const *except);
void where_clear(struct where *where);
/* memory: of the victim, for the name that an object gives itself. */
bool where_is_object(const struct where *where, const struct view_object *object, const struct reader *memory);
/*
 * Call found for each address of the object that is meant, until it answers other than 0, which is returned. name lives
 * as long as the table.
 */
struct found {
	vaddr_t address;
	const char *name;
	uint64_t offset;
	vaddr_t resolver;    /* 0; of a function that the linker chooses: address is to be found out */
	bool hidden_version; /* of such a one: not the default version of its name */
};
int where_find(const struct where *where, const struct view_object *object, struct symbol_file *table,
	       int (*found)(const struct found *found, void *data), void *data);

/* Does an instruction begin there, as far as can be told from the function's beginning? */
bool where_begins(struct tether *process, const struct found *found);

/* ---- ifunc.c ---- */
/* All functions of one object that somebody has bound. Zeroed: none yet. */
struct choices {
	const struct view_object *object;
	STAILQ_HEAD(, choice) list;
	size_t count;
};
/* The address of the function that an IFUNC of the object has become; 0: it is not known (yet). */
vaddr_t choices_find(struct choices *choices, const struct view *view, const struct view_object *object,
		     struct symbol_file *table, const struct reader *memory, const struct found *found);
void choices_clear(struct choices *choices);
/* What is needed of it to read its dynamic section. */
struct elf_image image_of(const struct view_object *object);

/* ---- counters.c ---- */
/* Made and told to the controller, at a family's first breakpoint. answered is called if 1 is returned; 0: they are there. */
int counters_make(struct family *family, answer_fn *answered, struct operation *operation);
/* Lock held. */
void counters_put(struct counters *counters);
/* The first of the next free ones; 0: there are not so many. */
uint32_t counters_next(struct counters *counters, uint32_t count);
/* A sealed file in memory, which a controller maps: a descriptor of the private table, or negative. */
int sealed_file(const char *name, size_t bytes);
/* All of it, or NULL. */
void *sealed_map(int file, size_t bytes, int protection);
uint64_t counters_read(const struct counters *counters, uint32_t index);

/* ---- place.c (control thread, lock not held) ---- */
/*
 * Bring what stands in the space of a process in line with its breakpoints and what it has loaded. fresh: one that has
 * just come, to be looked for in all that is loaded; or NULL. operation (NULL: nobody waits) is told of each answer.
 */
int place_all(struct tether *process, struct tether_breakpoint *fresh, struct operation *operation);
/* Take one out of the space of a process. */
void place_remove(struct tether *process, const struct tether_breakpoint *breakpoint, struct operation *operation);
/* Tell the controller of the points that have changed. */
void place_send(struct tether *process, struct operation *operation);
/* A child's space: as its parent's; late: answers tell nothing of what the child has. 0, -ENOMEM. */
int place_copy(struct tether *child, const struct tether *parent, bool late);

/* ---- progress.c ---- */
void progress_begin(struct tether *process, uint64_t total);
void progress_add(struct tether *process, uint64_t count);

/* A request about addresses, and its answer. An operation that nobody waits for: it carries what the answer needs. */
struct batch {
	struct operation operation; /* process: pinned; other: who waits, or NULL */
	struct space *space;        /* a reference: the process may have another by then */
	size_t count;
	vaddr_t address[];
};
struct batch *batch_new(struct tether *process, size_t count, struct operation *waiter);
void batch_end(struct batch *batch);

/* ---- returns.c (control thread, lock not held) ---- */
/* A thread asks whether functions return to there. */
void returns_asked(struct tether *process, const struct proto_ev_caller *from);
/* When nothing in its space waits for returns any more: lift what stands for them. */
void returns_trim(struct tether *process, struct operation *operation);
/* What was mapped there is gone. */
void returns_drop(struct tether *process, vaddr_t low, vaddr_t high);
void returns_copy(struct tether *child, const struct tether *parent);

/* ---- ring.c ---- */
/* Made and told to the controller, at a family's first breakpoint with `call`. As counters_make(). */
int calls_make(struct family *family, answer_fn *answered, struct operation *operation);
/* The hook: control thread, lock not held. */
void calls_take(struct family *family, uint64_t heard, bool sleeps);
void calls_free(struct family *family);

/* ---- member.c ---- */
/* Lock held. 0, -ENOMEM. */
int member_add(struct tether *process, struct tether_breakpoint *breakpoint);
void member_remove(struct tether *process, const struct tether_breakpoint *breakpoint);
int member_copy(struct tether *child, const struct tether *parent);
void members_free(struct tether *process);
/* Something is mapped otherwise: for the stacks of calls to come. Control thread, lock not held. */
void member_map(struct tether *process);
bool member_of(const struct tether *process, const struct tether_breakpoint *breakpoint);

/* ---- breakpoint.c ---- */
/* Lock held. The sum of its counters. */
uint64_t breakpoint_hits(const struct tether_breakpoint *breakpoint);
/* Its spot of that function, made if need be; lock held. NULL: no memory, or no counter is left. */
struct spot *breakpoint_spot(struct tether_breakpoint *breakpoint, const char *object, const struct found *found);
/* It does not stand anywhere any more. Control thread, lock not held. */
void breakpoint_take_out(struct tether_breakpoint *breakpoint, struct operation *operation);

#endif
