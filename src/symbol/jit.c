/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * symbol/jit.c - names of code made at run time, from the map that the process writes
 *
 * A line an entry: "START SIZE name", both numbers in hex, the name to the end of the line (spaces too). Code is moved
 * and thrown away without a word, so where entries overlap the last one is the truth. They are kept sorted, cut
 * down to what later ones leave of them.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/limits.h"
#include "symbol/table.h"

enum { BLOCK = 1 << 16, NAMES = 1 << 16 };

struct jit_entry {
	uint64_t start, size; /* as written */
	const char *name;
};

/* What can be seen of one. */
struct jit_part {
	uint64_t start, end;
	uint32_t entry;
};

/* Names never move: what was given stays valid. */
struct jit_names {
	struct jit_names *next;
	size_t used, size;
	char bytes[];
};

struct symbol_jit {
	struct jit_entry *entry; /* as they were written */
	struct jit_part *part;   /* by address, disjoint */
	size_t entries, entry_room, parts;
	struct jit_names *names;
	size_t name_bytes;
	struct symbol_identity identity; /* of the file that was read last; its size and times do not count */
	uint64_t offset;                 /* read up to here: the end of the last whole line */
	bool skipping;                   /* in a line longer than any that is taken */
};

struct symbol_jit *symbol_jit_new(void)
{
	return calloc(1, sizeof(struct symbol_jit));
}

void symbol_jit_free(struct symbol_jit *jit)
{
	if (!jit)
		return;
	while (jit->names) {
		struct jit_names *next = jit->names->next;
		free(jit->names);
		jit->names = next;
	}
	free(jit->entry);
	free(jit->part);
	free(jit);
}

/* ---- reading -------------------------------------------------------------------------------------------- */

static const char *keep_name(struct symbol_jit *jit, const char *name, size_t length)
{
	struct jit_names *names = jit->names;
	char *kept;

	if (!names || names->size - names->used < length + 1) {
		size_t size = length + 1 > NAMES ? length + 1 : NAMES;
		names = malloc(sizeof(*names) + size);
		if (!names)
			return NULL;
		names->next = jit->names;
		names->used = 0;
		names->size = size;
		jit->names = names;
		jit->name_bytes += sizeof(*names) + size;
	}
	kept = names->bytes + names->used;
	memcpy(kept, name, length);
	kept[length] = '\0';
	names->used += length + 1;
	return kept;
}

static bool take_hex(const char **at, const char *end, uint64_t *ret)
{
	const char *start;
	uint64_t value = 0;

	if (end - *at > 2 && (*at)[0] == '0' && (*at)[1] == 'x')
		*at += 2;
	for (start = *at; *at < end && *at - start < 16; ++*at) {
		char c = **at;
		if (c >= '0' && c <= '9')
			value = value << 4 | (uint64_t)(c - '0');
		else if ((c | 32) >= 'a' && (c | 32) <= 'f')
			value = value << 4 | (uint64_t)((c | 32) - 'a' + 10);
		else
			break;
	}
	*ret = value;
	return *at > start && *at < end && *(*at)++ == ' ';
}

/* One line, without its end. What is no entry is passed over. 1: taken; 0; -E2BIG, -ENOMEM. */
static int take_line(struct symbol_jit *jit, const char *line, size_t length)
{
	const char *end = line + length;
	struct jit_entry entry;

	if (!take_hex(&line, end, &entry.start) || !take_hex(&line, end, &entry.size) || line == end || !entry.size ||
	    entry.start + entry.size < entry.start || memchr(line, 0, (size_t)(end - line)))
		return 0;
	if (jit->entries == MAX_JIT_SYMBOLS)
		return -E2BIG;
	if (jit->entries == jit->entry_room) {
		size_t room = jit->entry_room ? jit->entry_room * 2 : 1024;
		struct jit_entry *more = realloc(jit->entry, room * sizeof(*more));
		if (!more)
			return -ENOMEM;
		jit->entry = more;
		jit->entry_room = room;
	}
	entry.name = keep_name(jit, line, (size_t)(end - line));
	if (!entry.name)
		return -ENOMEM;
	jit->entry[jit->entries++] = entry;
	return 1;
}

/* The whole lines of a block; *ret_used is how much of it they are. As take_line(), but how many. */
static int take_block(struct symbol_jit *jit, const char *block, size_t length, size_t *ret_used)
{
	size_t at = 0;
	int taken = 0, result = 0;

	while (at < length && result >= 0) {
		const char *end = memchr(block + at, '\n', length - at);
		if (!end)
			break;
		if (!jit->skipping && (size_t)(end - (block + at)) <= MAX_JIT_LINE)
			result = take_line(jit, block + at, (size_t)(end - (block + at)));
		if (result < 0)
			break;
		jit->skipping = false;
		taken += result;
		at = (size_t)(end - block) + 1;
	}
	/* A line that does not end in a block, which is larger than any, is too long. */
	if (!at && length == BLOCK) {
		jit->skipping = true;
		at = length;
	}
	*ret_used = at;
	return result < 0 ? result : taken;
}

/* ---- what can be seen ----------------------------------------------------------------------------------- */

struct order {
	uint64_t start;
	uint32_t entry;
};

static int by_start(const void *left, const void *right)
{
	const struct order *a = left, *b = right;

	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	return (a->entry > b->entry) - (a->entry < b->entry);
}

/* Those that have begun and may not have ended, the last written on top: a heap of numbers of entries. */
struct heap {
	uint32_t *entry;
	size_t count;
};

static void heap_add(struct heap *heap, uint32_t entry)
{
	size_t at = heap->count++;

	for (; at && heap->entry[(at - 1) / 2] < entry; at = (at - 1) / 2)
		heap->entry[at] = heap->entry[(at - 1) / 2];
	heap->entry[at] = entry;
}

static void heap_drop(struct heap *heap)
{
	uint32_t last = heap->entry[--heap->count];
	size_t at = 0;

	for (;;) {
		size_t child = 2 * at + 1;
		if (child >= heap->count)
			break;
		if (child + 1 < heap->count && heap->entry[child + 1] > heap->entry[child])
			child++;
		if (heap->entry[child] < last)
			break;
		heap->entry[at] = heap->entry[child];
		at = child;
	}
	heap->entry[at] = last;
}

static void add_part(struct symbol_jit *jit, uint64_t start, uint64_t end, uint32_t entry)
{
	struct jit_part *last = jit->parts ? &jit->part[jit->parts - 1] : NULL;

	if (last && last->entry == entry && last->end == start)
		last->end = end;
	else
		jit->part[jit->parts++] = (struct jit_part){ start, end, entry };
}

/* From one place to the next start: who is on top is seen, until it ends and the next one is. */
static void sweep(struct symbol_jit *jit, struct heap *heap, uint64_t from, uint64_t to)
{
	while (heap->count && from < to) {
		const struct jit_entry *top = &jit->entry[heap->entry[0]];
		uint64_t end = top->start + top->size;
		if (end <= from) {
			heap_drop(heap);
			continue;
		}
		add_part(jit, from, end < to ? end : to, heap->entry[0]);
		from = end < to ? end : to;
	}
}

static int arrange(struct symbol_jit *jit)
{
	size_t count = jit->entries;
	struct order *order = malloc((count + 1) * sizeof(*order));
	struct heap heap = { malloc((count + 1) * sizeof(*heap.entry)), 0 };
	/* Each start and each end begins at most one part. */
	struct jit_part *part = malloc((2 * count + 1) * sizeof(*part));

	if (!order || !heap.entry || !part) {
		free(order);
		free(heap.entry);
		free(part);
		return -ENOMEM;
	}
	free(jit->part);
	jit->part = part;
	jit->parts = 0;
	for (size_t i = 0; i < count; i++)
		order[i] = (struct order){ jit->entry[i].start, (uint32_t)i };
	qsort(order, count, sizeof(*order), by_start);
	for (size_t i = 0; i < count; i++) {
		heap_add(&heap, order[i].entry);
		sweep(jit, &heap, order[i].start, i + 1 < count ? order[i + 1].start : UINT64_MAX);
	}
	free(order);
	free(heap.entry);
	return 0;
}

/* ---- the file ------------------------------------------------------------------------------------------- */

static int owner_of(int fd, uid_t owner)
{
	struct statx file;

	if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_UID, &file))
		return -errno;
	return file.stx_uid == owner || !file.stx_uid ? 0 : -EPERM;
}

/* Everything anew when it is another file or has become shorter; the names that were given stay. */
static void begin(struct symbol_jit *jit, const struct symbol_identity *now)
{
	if (now->device != jit->identity.device || now->inode != jit->identity.inode || now->size < jit->offset) {
		jit->entries = jit->parts = 0;
		free(jit->part);
		jit->part = NULL;
		jit->offset = 0;
		jit->skipping = false;
	}
	jit->identity = *now;
}

static int read_more(struct symbol_jit *jit, int fd)
{
	struct reader file = elf_fd_reader(&fd);
	char *block = malloc(BLOCK);
	int taken = 0, result = block ? 0 : -ENOMEM;

	while (result >= 0 && jit->offset < jit->identity.size) {
		size_t used;
		ssize_t got = file.read(file.data, jit->offset, block, BLOCK);
		if (got <= 0) {
			result = (int)got;
			break;
		}
		if (jit->offset >= MAX_JIT_BYTES) {
			result = -E2BIG;
			break;
		}
		result = take_block(jit, block, (size_t)got, &used);
		jit->offset += used;
		taken += result > 0 ? result : 0;
		if (!used) /* a line that is being written */
			break;
	}
	free(block);
	return result < 0 ? result : taken;
}

int symbol_jit_read(struct symbol_jit *jit, int root_fd, int64_t pid, uid_t owner)
{
	struct symbol_identity now;
	size_t before;
	char path[64];
	int fd, result, error;

	snprintf(path, sizeof(path), "/tmp/perf-%lld.map", (long long)pid);
	fd = symbol_open_under(root_fd, path);
	if (fd < 0)
		return fd;
	result = owner_of(fd, owner);
	if (!result)
		result = symbol_identify(fd, &now);
	if (!result) {
		begin(jit, &now);
		before = jit->entries;
		result = read_more(jit, fd);
		if (jit->entries != before || !jit->part) {
			error = arrange(jit);
			result = error ? error : result;
		}
	}
	symbol_close(fd);
	return result;
}

int symbol_jit_at(const struct symbol_jit *jit, uint64_t address, struct symbol *ret)
{
	const struct jit_part *part = jit->part;
	const struct jit_entry *entry;
	size_t count = jit->parts;

	while (count > 1) {
		size_t half = count / 2;
		part += part[half].start <= address ? half : 0;
		count -= half;
	}
	if (!count || address < part->start || address >= part->end)
		return -ENOENT;
	entry = &jit->entry[part->entry];
	*ret = (struct symbol){ entry->name,     entry->start,  entry->size,
				SYMBOL_FUNCTION, SYMBOL_GLOBAL, SYMBOL_IS_JIT };
	return 0;
}

size_t symbol_jit_count(const struct symbol_jit *jit)
{
	return jit->entries;
}

size_t symbol_jit_bytes(const struct symbol_jit *jit)
{
	return sizeof(*jit) + jit->entry_room * sizeof(*jit->entry) + jit->parts * sizeof(*jit->part) +
	       jit->name_bytes;
}
