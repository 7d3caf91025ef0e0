/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * view/view.h - one image of a victim: what lies where, and the names in it
 *
 *	list of load objects ──► view_new() ──► a view: objects in the linker's order, and by address
 *	                              ▲             │ each refers to a file
 *	                        the view before     ▼
 *	                 (its files are taken on)  view_file: table of names and source lines, made when first asked for
 *
 * A view never changes once it is made: whatever is loaded or unloaded makes another one, which takes on the files of
 * the objects that stayed. So a look-up takes no lock, and a view that is kept answers after the victim has gone.
 * Views and files are counted; the last reference frees.
 *
 * Threads: any.
 */
#ifndef VIEW_VIEW_H
#define VIEW_VIEW_H

#include "lines/lines.h"
#include "object/object.h"
#include "symbol/symbol.h"

struct view_file;

struct view_object {
	const char *path; /* as in the list of load objects */
	vaddr_t bias, low, high;
	vaddr_t link_map, dynamic, name; /* link_map 0: none; what it says of the object */
	int64_t lmid;
	bool is_program, is_linker, is_vdso;
	bool stays;                  /* a known linker does not unload it as long as the image runs */
	struct elf_build_id build_id;
	struct view_file *file;
};

struct view {
	unsigned users;
	uint64_t image;              /* exec serial */
	size_t count;
	struct view_object *object;  /* in the order of the link maps, namespace by namespace */
	uint32_t *by_address;        /* indexes of those that have a range, by low */
	size_t placed;               /* how many of those */
	char *paths;
};

/* How the victim of a view can be reached, while it can. */
struct view_access {
	struct symbol_pool *pool;
	int64_t tid;                 /* a live thread, for /proc; 0: the victim has ended or is another by now */
	const struct reader *memory; /* NULL: it has ended, or runs another image by now */
	bool parked;                 /* it stands still: nothing that it may serve itself is waited for */
	bool may_park;               /* it may come to stand by itself, and who looks be the one that lets it go on */
	const struct symbol_fetching *fetching; /* missing debug files may be asked for of servers; NULL: not */
};

/*
 * Of a list, with the vdso where the list has none (NULL: neither has the victim). before: an earlier view of the same
 * image, or NULL. NULL: out of memory. One reference.
 */
struct view *view_new(uint64_t image, const struct object_list *list, const struct elf_image *vdso,
		      const struct view *before);
struct view *view_get(struct view *view);
void view_put(struct view *view);
/* Memory of its own, without tables. */
size_t view_bytes(const struct view *view);

/*
 * Where the bytes of its build-id are in the victim's memory, once that is noted; 0: not. Those bytes show at little cost
 * whether the object is still there.
 */
vaddr_t view_witness(const struct view_object *object);
/* When it was last seen there, CLOCK_MONOTONIC; 0: never. */
uint64_t view_seen(const struct view_object *object);
void view_note_seen(const struct view_object *object, uint64_t now_ns);
void view_note_witness(const struct view_object *object, const struct reader *memory);

/* The object that holds an address, or NULL. */
const struct view_object *view_object_at(const struct view *view, vaddr_t address);

/*
 * The table of an object's file: lives as long as the view. It is looked for once while the victim lives and once
 * after its end. 0; -ENOENT: no bytes of it are to be had; -ENOMEM, and as symbol_file_get().
 */
int view_table(const struct view_object *object, const struct view_access *access, struct symbol_file **ret);
/* The table if it is there already, or NULL. */
struct symbol_file *view_table_made(const struct view_object *object);
/* Source lines, the same way. Where there is no debug information: -ENOENT. */
int view_lines(const struct view_object *object, const struct view_access *access, struct lines **ret);

/* ---- open.c: the file of a load object ---- */
struct view_opened {
	int fd;      /* -1: only memory will do */
	int root_fd; /* the victim's root, or -1 */
	bool quiet;  /* no other file is to be looked for: the victim stands still and may serve it */
};
/* 0 (fd may be -1), or -ENOENT: neither a file that is the object's, nor memory. Close both. */
int view_open(const struct view_object *object, const struct view_access *access, struct view_opened *ret);
void view_close(struct view_opened *opened);

#endif
