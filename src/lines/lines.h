/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lines/lines.h - file and line of an address, and what was inlined there, by libdw
 *
 * The debug information is that of the file itself, or of a separate debug file: by build-id or .gnu_debuglink, in the
 * victim's root first. Nothing is asked for over a network.
 *
 * Threads: any; one look-up at a time in one struct lines (libdw reads lazily), which it sees to itself.
 */
#ifndef LINES_LINES_H
#define LINES_LINES_H

#include "elf/elf.h"

struct lines;

struct lines_source {
	int fd;            /* the file; not kept */
	int root_fd;       /* a directory where debug files are looked for first, or -1 */
	const char *path;  /* as the victim names it, or NULL */
	struct elf_build_id build_id;
	const char *fetched; /* a debug file that a server has sent, or NULL */
};
/* 0; -ENOENT: no debug information; -ENOEXEC, -ENOMEM, negative errno. */
int lines_open(const struct lines_source *source, struct lines **ret);
/* NULL is allowed. */
void lines_close(struct lines *lines);

/* One function at an address; lives until the callback returns. */
struct lines_frame {
	const char *file;     /* NULL: not known */
	const char *function; /* linkage name where there is one; NULL: not known */
	uint32_t line, column;
	bool inlined;
};
/* Innermost first, until visit returns other than 0, which is returned. 0 and no call: nothing is known. */
int lines_at(struct lines *lines, uint64_t address, int (*visit)(const struct lines_frame *frame, void *data),
	     void *data);

#endif
