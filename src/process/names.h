/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * process/names.h - what the addresses of a victim are named from, as long as its handle lives
 *
 *	  loads, unloads ──► view ──► another view          exec ──► past: the latest first, MAX_PAST_IMAGES at most
 *	                      │
 *	                     end ──► it stays, and is the last one
 *
 * Whose linker is monitored has a list of objects that the control thread keeps (handle.h); of any other the lists are
 * read when a question is asked (names_read()).
 */
#ifndef PROCESS_NAMES_H
#define PROCESS_NAMES_H

#include <pthread.h>
#include <sys/queue.h>

#include "rtld/rtld.h"
#include "symbol/symbol.h"
#include "view/view.h"

struct tether;

/* An image that the victim ran before. */
struct past {
	STAILQ_ENTRY(past) next;
	uint64_t image;
	struct view *view;          /* NULL until it is asked for: of the list */
	struct object_list objects;
};

/* Code that one image made at run time. */
struct jit {
	STAILQ_ENTRY(jit) next;
	uint64_t image;
	struct symbol_jit *map;
};

/* 16 random bytes that the kernel gives to each image, on its initial stack: another image has others. */
struct token {
	vaddr_t at; /* 0: not known */
	uint8_t bytes[16];
};

/*
 * Where glibc has a thread's list of robust futexes: the kernel forgets it at an exec, and the next image has it elsewhere,
 * at one of 2^28 places that are drawn. To ask for it is the cheapest way to see that an image is still the same (check.c).
 */
struct mark {
	vaddr_t linker;      /* the list lies near it; 0: this image is not told by its list */
	int64_t tid;         /* whose list; 0: not asked for yet */
	vaddr_t list;
	uint64_t checked_ns; /* when the token was seen with it */
};

/* Under table->lock but where said. */
struct names {
	struct view *view;         /* of the image that runs, or ran last; NULL: not made yet */
	uint64_t generation;       /* of the list of objects that it was made of */
	uint32_t count;
	bool ended;                /* the victim is known to have ended: nothing of it is read any more */
	struct token token;
	struct mark mark;
	STAILQ_HEAD(, past) past;
	uint32_t past_count;
	pthread_mutex_t reading;   /* who reads a victim's lists; taken before table->lock. What follows is under it */
	bool surveyed;
	struct rtld rtld;
	struct object_list objects;
	STAILQ_HEAD(, jit) jits;   /* the latest first */
};

/* What a look-up works on: released by names_put(). */
struct looking {
	struct tether *process;
	struct view *view;
	struct reader memory;
	struct view_access access;
	struct token token;
	struct mark mark;
	bool current;  /* known to be as the victim is now; else to be checked, or read anew */
	bool past;     /* the victim does not run it any more */
	char *jit_name;
};

void names_init(struct names *names);
void names_clear(struct names *names);
/* Lock held: the victim runs another program; what its list of objects was goes with the past. */
void names_exec(struct tether *process);

/* Any thread, lock not held, all of them. */

/*
 * The view of what the victim runs or ran last, at no cost: it may be out of date (current). fresh: it must not be, so
 * the victim's lists are read where they may have changed. 0; -TETHER_EGONE: it has ended and nothing was seen of it;
 * -TETHER_EPRIV, -TETHER_EMACHINE, -ENOMEM, ...
 */
int names_look(struct tether *process, bool fresh, struct looking *ret);
/*
 * A followed victim that runs has its loads told of a moment later. Before its list is asked for by who may have been told
 * otherwise: wait for that. False: nothing can have changed. Calling thread, lock not held.
 */
bool names_catch_up(struct tether *process);
/* Of a view that is current: is the object still listed, or is the list late? */
bool names_listed(const struct looking *looking, const struct view_object *object);
/* Is the object still there as the view says, and the victim in the same image? By one system call at most. */
bool names_check(const struct looking *looking, const struct view_object *object);
/* What an image can be told by, that has just been surveyed. tid: a thread of it. */
struct mark check_mark_of(const struct rtld *rtld, int64_t tid);
/* The image of that serial, or the latest but `skip` images. -ENOENT: there is none. */
int names_past(struct tether *process, const uint64_t *image, unsigned skip, struct looking *ret);
/* A view that was had before (a reference of the caller's): what it shows may be gone, so only files are read. */
void names_seen(struct tether *process, struct view *view, struct looking *ret);
void names_put(struct looking *looking);
/* Code that the victim made at run time: 0, -ENOENT. The name lives until names_put(). (jit.c) */
void names_jit_clear(struct names *names);
int names_jit(struct looking *looking, vaddr_t address, struct symbol *ret);

#endif
