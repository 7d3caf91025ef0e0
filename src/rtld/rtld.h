/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rtld/rtld.h - the run-time linker's view of a victim: where to trap it, and what it has mapped
 *
 *	exec event --> rtld_survey(): linker, r_brk, r_debug, main        (before the first instruction)
 *	r_brk hit  --> rtld_scan(): walk the link maps of every namespace, tell what came and went
 *
 * glibc 2.36: _dl_debug_state is hit with RT_ADD before and RT_CONSISTENT after a change; at start the
 * consistent hit comes after relocation, on dlopen before it. dlmopen namespaces hang on r_debug_extended
 * (r_version 2, r_next). musl: the first hit is preinit; dlopen hits twice; dlclose never.
 * Threads: a struct rtld belongs to one thread.
 */
#ifndef RTLD_RTLD_H
#define RTLD_RTLD_H

#include "base/reader.h"
#include "object/object.h"

enum rtld_flavour { RTLD_STATIC = 1, RTLD_GLIBC, RTLD_MUSL, RTLD_UNKNOWN };

/* Found once per image, kept until exec. */
struct rtld {
	enum rtld_flavour flavour;
	vaddr_t entry;       /* AT_ENTRY */
	vaddr_t main;        /* first instruction of main, 0: not found (yet, while main_slot is not 0) */
	vaddr_t main_slot;   /* pointer that the linker will fill with main (main in a library), else 0 */
	vaddr_t r_brk;       /* where to trap, 0: none (static) */
	vaddr_t begin;       /* run once, when the initial objects are whole and no constructor has run; 0: not known */
	vaddr_t r_debug;     /* 0: not known yet (taken from DT_DEBUG at a hit) */
	vaddr_t r_state;     /* the 32-bit r_state of the base namespace, for a site's guard; 0: none */
	uint32_t consistent; /* value of r_state when a scan is worth while */
	vaddr_t gadget;      /* a syscall instruction (in the vdso), 0: none */
	vaddr_t vdso, vdso_end;
	vaddr_t debug_pointer; /* musl: holds the address of r_debug once it has relocated itself */
	struct elf_image program, linker;
	bool linker_is_program; /* started as `ld.so PROGRAM`: program is known at the first scan */
	uint64_t seen_changes;  /* scans that found something new or gone */
	bool started;           /* the initial objects were complete at some scan */
	const char *refused;    /* what the last scan found that cannot be, unless the list changed meanwhile; or NULL */
};

/*
 * Linkers and vdsos seen before, so that an exec costs no parsing. The key is what the image in memory shows
 * (build-id and program headers), and the bytes at the place to be trapped are compared too: no path of a
 * held victim is looked up, and no file replaced meanwhile can mislead. Any thread.
 */
struct rtld_cache;
struct rtld_cache *rtld_cache_new(void);
void rtld_cache_free(struct rtld_cache *cache);

/*
 * Look at a fresh image (stopped at its exec event) or a running one (grab). tid: a live thread, for /proc.
 * cache may be NULL. 0; -ESRCH; -EMEDIUMTYPE: a 32-bit victim; -EACCES: may not be observed.
 */
int rtld_survey(struct rtld *rtld, int64_t tid, const struct reader *memory, struct rtld_cache *cache);
/* The same where the auxiliary vector is known: count pairs of type and value, as on the initial stack. */
int rtld_survey_auxv(struct rtld *rtld, int64_t tid, const struct reader *memory, struct rtld_cache *cache,
		     const uint64_t (*auxv)[2], size_t count);

/*
 * Look at what exec would map, before it does. Where each part then lies, for rtld_move(), is told in base. 0;
 * -ENOEXEC: no ELF program of this kind (a script, a 32-bit one), -ENOENT, -EACCES, ...
 */
struct rtld_preview {
	struct rtld rtld;
	vaddr_t program, linker, vdso;           /* program: of the page with its program headers */
	uint8_t program_page[4096], linker_page[4096];
	bool set_id;
	const char *interpreter; /* its path, or ""; until rtld_preview_end() */
	/* The reader of what would be mapped, until rtld_preview_end(). */
	struct reader memory;
	struct rtld_previewed *files;
};
int rtld_preview(struct rtld_preview *preview, const char *path, struct rtld_cache *cache);
void rtld_preview_end(struct rtld_preview *preview);
/* The name that /proc/PID/exe will show; to be freed. NULL: not to be had. */
char *rtld_preview_path(const struct rtld_preview *preview);

/* The places of one image that move on their own: by how much each. */
struct rtld_distance {
	uint64_t program, linker, vdso;
};
/* What a survey of the same image elsewhere finds. from: surveyed, and not scanned yet. */
void rtld_move(struct rtld *rtld, const struct rtld *from, const struct rtld_distance *by);

/* What a scan found. Objects passed to removed() are freed after it returns. */
struct rtld_changes {
	void (*added)(struct object *object, void *data);
	void (*removed)(struct object *object, void *data);
	void *data;
};

/*
 * What rtld_scan() enters first, program and linker, from names that are known already. Nothing where they are
 * there, or without memory: then the scan does it.
 */
void rtld_begin(const struct rtld *rtld, struct object_list *list, const char *program, const char *linker);

/*
 * Bring list up to date. Before the linker has a list, and in a static program, the executable and the linker
 * are in it, with link_map 0; they keep their struct object when their link maps turn up. 1: consistent and
 * scanned; 0: the linker is in the middle of a change, list untouched (but for namespaces that are
 * consistent); -ESRCH, -ENOMEM; -EOVERFLOW: a bound of base/limits.h was reached (what was read so far
 * counts). Cost: one vectored read for the known objects, and the work for new ones.
 */
int rtld_scan(struct rtld *rtld, int64_t tid, const struct reader *memory, struct object_list *list,
	      const struct rtld_changes *changes);

#endif
