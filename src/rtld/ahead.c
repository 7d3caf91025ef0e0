/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rtld/ahead.c - r_debug, link maps and names of all known objects, by one vectored read
 *
 * The kernel pins pages piece by piece, which costs more than the bytes do: 54 small pieces take 18 us, the
 * few spans that they lie in 4 us. The linker allocates link maps and names one after the other, so pieces
 * that are near each other are read as one, with what is between.
 */
#include "rtld/inside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * Less than a page: so no page lies wholly in the gap between two pieces, and a span never touches a page
 * that none of its pieces does.
 */
enum { GAP_MAX = 2048 };

/* Bytes that are wanted, of one item. */
struct range {
	vaddr_t address;
	size_t length;
	struct ahead *item;
	bool is_name;
	size_t span;
};

struct spans {
	struct reader_piece *piece; /* buffers: offsets into bytes until all is counted */
	size_t *offset;
	bool *have;
	size_t count, bytes;
};

void ahead_free(struct ahead_table *table)
{
	free(table->item);
	free(table->index);
	free(table->bytes);
}

/* Names of what cannot be unloaded are not looked at: musl calls the program by argv[0]. */
static size_t compared_length(const struct object *object)
{
	if (object->is_program || object->is_linker || object->is_vdso || object->name == 0)
		return 0;
	size_t length = strlen(object->path);
	return length < MAX_OBJECT_NAME - 1 ? length + 1 : length;
}

static int by_address(const void *a, const void *b)
{
	const struct range *left = a, *right = b;

	if (left->address != right->address)
		return left->address < right->address ? -1 : 1;
	return 0;
}

/* False: forged, it runs over the end of all addresses. */
static bool add_range(struct range *range, vaddr_t address, size_t length, struct ahead *item, bool is_name)
{
	if (address + length < address)
		return false;
	*range = (struct range){ address, length, item, is_name, 0 };
	return true;
}

/* Two ranges each; the number of ranges. */
static size_t list_ranges(struct ahead_table *table, const struct object_list *list, struct range *range)
{
	struct object *object;
	size_t ranges = 0;

	TAILQ_FOREACH(object, &list->queue, entry) {
		if (object->link_map == 0)
			continue;
		struct ahead *item = &table->item[table->count++];
		item->object = object;
		item->name_length = compared_length(object);
		ranges += add_range(&range[ranges], object->link_map, sizeof(item->words), item, false);
		if (item->name_length > 0 &&
		    add_range(&range[ranges], object->name, item->name_length, item, true))
			ranges++;
		else
			item->name_length = 0;
	}
	qsort(range, ranges, sizeof(*range), by_address);
	return ranges;
}

/* Between the two looks at r_debug that begin and end the list. */
static void list_spans(struct range *range, size_t ranges, struct spans *spans)
{
	vaddr_t end = 0;

	spans->count = 1;
	for (size_t i = 0; i < ranges; i++) {
		struct reader_piece *last = spans->count > 1 ? &spans->piece[spans->count - 1] : NULL;
		if (last == NULL || (range[i].address > end && range[i].address - end > GAP_MAX)) {
			last = &spans->piece[spans->count++];
			*last = (struct reader_piece){ .address = range[i].address };
			end = range[i].address;
		}
		if (range[i].address + range[i].length > end)
			end = range[i].address + range[i].length;
		last->length = (size_t)(end - last->address);
		range[i].span = spans->count - 1;
	}
	for (size_t i = 1; i < spans->count; i++) {
		spans->offset[i] = spans->bytes;
		spans->bytes += spans->piece[i].length;
	}
	spans->count++;
}

/* A span that is gone (its objects were unloaded) ends one call; the next begins behind it. */
static void read_spans(const struct reader *memory, struct spans *spans)
{
	size_t next = 0;

	while (memory->read_many != NULL && next < spans->count) {
		ssize_t done = memory->read_many(memory->data, spans->piece + next, spans->count - next);
		for (ssize_t i = 0; i < done; i++)
			spans->have[next++] = true;
		if (done < 0 && done != -EFAULT)
			break;
		next++;
	}
}

static void take_range(const struct range *range, const struct spans *spans, uint8_t *bytes)
{
	const struct reader_piece *piece = &spans->piece[range->span];
	uint8_t *at = bytes + spans->offset[range->span] + (range->address - piece->address);

	if (range->is_name) {
		range->item->name = (char *)at;
		range->item->have_name = spans->have[range->span];
	} else if (spans->have[range->span]) {
		memcpy(&range->item->words, at, sizeof(range->item->words));
		range->item->have_words = true;
	}
}

static int read_ranges(struct ahead_table *table, const struct reader *memory, vaddr_t r_debug,
		       struct range *range, size_t ranges, struct spans *spans)
{
	list_spans(range, ranges, spans);
	table->bytes = calloc(1, spans->bytes + 1);
	if (table->bytes == NULL)
		return -ENOMEM;
	size_t last = spans->count - 1;
	spans->piece[0] = (struct reader_piece){ r_debug, &table->before, sizeof(table->before) };
	spans->piece[last] = (struct reader_piece){ r_debug, &table->after, sizeof(table->after) };
	for (size_t i = 1; i < last; i++)
		spans->piece[i].buffer = table->bytes + spans->offset[i];
	read_spans(memory, spans);
	for (size_t i = 0; i < ranges; i++)
		take_range(&range[i], spans, table->bytes);
	table->have_before = spans->have[0];
	table->have_after = spans->have[last];
	return 0;
}

int ahead_read(struct ahead_table *table, const struct reader *memory, vaddr_t r_debug,
	       const struct object_list *list)
{
	size_t objects = list->count, most = 2 * objects + 2;
	int error = -ENOMEM;

	*table = (struct ahead_table){ 0 };
	table->item = calloc(objects + 1, sizeof(*table->item));
	struct range *range = calloc(most, sizeof(*range));
	struct spans spans = { .piece = calloc(most, sizeof(*spans.piece)),
			       .offset = calloc(most, sizeof(*spans.offset)),
			       .have = calloc(most, sizeof(*spans.have)) };
	if (table->item != NULL && range != NULL && spans.piece != NULL && spans.offset != NULL &&
	    spans.have != NULL)
		error = read_ranges(table, memory, r_debug, range, list_ranges(table, list, range), &spans);
	free(range);
	free(spans.piece);
	free(spans.offset);
	free(spans.have);
	return error;
}

static int by_link_map(const void *a, const void *b)
{
	const struct ahead *const *left = a, *const *right = b;

	if ((*left)->object->link_map != (*right)->object->link_map)
		return (*left)->object->link_map < (*right)->object->link_map ? -1 : 1;
	return 0;
}

struct ahead *ahead_find(struct ahead_table *table, size_t *next, vaddr_t at)
{
	if (*next < table->count && table->item[*next].object->link_map == at)
		return &table->item[(*next)++];
	if (table->count == 0)
		return NULL;
	if (table->index == NULL) {
		table->index = malloc(table->count * sizeof(*table->index));
		if (table->index == NULL)
			return NULL;
		for (size_t i = 0; i < table->count; i++)
			table->index[i] = &table->item[i];
		qsort(table->index, table->count, sizeof(*table->index), by_link_map);
	}
	struct object wanted_object = { .link_map = at };
	struct ahead wanted = { .object = &wanted_object };
	const struct ahead *key = &wanted;
	struct ahead **found = bsearch(&key, table->index, table->count, sizeof(*table->index), by_link_map);
	if (found == NULL)
		return NULL;
	*next = (size_t)(*found - table->item) + 1;
	return *found;
}
