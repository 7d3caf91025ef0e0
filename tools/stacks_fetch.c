/* SPDX-License-Identifier: BSD-2-Clause */
#include "stacks_fetch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void free_frames(struct tether_frame *frames, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free((char *)(uintptr_t)frames[i].object);
		free((char *)(uintptr_t)frames[i].symbol);
	}
	free(frames);
}

static struct tether_frame *frames_of(const struct tether_stack *stack)
{
	return (struct tether_frame *)(uintptr_t)stack->frames; /* its own here, see copy() */
}

static bool copy(struct tether_stack *to, const struct tether_stack *from)
{
	struct tether_frame *frames = calloc(from->frame_count + 1, sizeof(*frames));
	bool good = frames != NULL;

	*to = *from;
	for (size_t i = 0; good && i < from->frame_count; i++) {
		frames[i] = from->frames[i];
		frames[i].symbol = NULL;
		frames[i].object = from->frames[i].object ? strdup(from->frames[i].object) : NULL;
		good = !from->frames[i].object == !frames[i].object;
	}
	to->name = good ? strdup(from->name) : NULL;
	to->frames = frames;
	if (to->name)
		return true;
	free_frames(frames, frames ? from->frame_count : 0);
	return false;
}

int kept_stacks_add(const struct tether_stack *stack, void *data)
{
	struct kept_stacks *kept = data;
	struct tether_stack *more = realloc(kept->stacks, (kept->count + 1) * sizeof(*more));

	if (!more)
		return -ENOMEM;
	kept->stacks = more;
	if (!copy(&more[kept->count], stack))
		return -ENOMEM;
	kept->count++;
	return 0;
}

/* A return address is behind its call, which may be the last of its function. */
static uint64_t address_of(const struct tether_frame *frame)
{
	bool exact = frame->how == TETHER_HOW_PC || frame->how == TETHER_HOW_SIGNAL;

	return exact || !frame->pc ? frame->pc : frame->pc - 1;
}

static void name_frame(struct tether_frame *frame, struct tether *reader, uint32_t flags)
{
	struct tether_symbol_opts opts = { .size = sizeof(opts), .flags = flags };
	struct tether_symbol symbol = { .size = sizeof(symbol) };
	char usual[4096], *room = usual;
	size_t length = sizeof(usual);
	int result;

	for (;;) {
		result = tether_symbol_at(reader, address_of(frame), &opts, &symbol, room, length);
		/* Something else of this session holds a process. */
		if (result == -TETHER_ESTATE && opts.flags & TETHER_SYMBOL_FETCH) {
			opts.flags &= ~(uint32_t)TETHER_SYMBOL_FETCH;
			continue;
		}
		if (result < 0 || !(symbol.flags & TETHER_SYMBOL_IS_CUT) || room != usual)
			break;
		length = (size_t)symbol.wanted;
		room = malloc(length);
		if (!room)
			return;
	}
	if (result == 0 && symbol.object[0]) {
		free((char *)(uintptr_t)frame->object);
		frame->object = strdup(symbol.object);
	}
	if (result == 0 && symbol.name[0]) {
		frame->symbol = strdup(flags & TETHER_SYMBOL_RAW ? symbol.name : symbol.demangled);
		frame->offset = frame->pc - symbol.address;
		frame->base = symbol.base;
	}
	if (room != usual)
		free(room);
}

int kept_stacks_name(struct kept_stacks *kept, struct tether *reader, uint32_t flags, tether_stack_fn *visit, void *data)
{
	int result = 0;

	for (size_t i = 0; i < kept->count && result == 0; i++) {
		struct tether_frame *frames = frames_of(&kept->stacks[i]);
		for (size_t k = 0; k < kept->stacks[i].frame_count && reader; k++)
			name_frame(&frames[k], reader, flags);
		result = visit(&kept->stacks[i], data);
	}
	return result;
}

void kept_stacks_free(struct kept_stacks *kept)
{
	for (size_t i = 0; i < kept->count; i++) {
		free_frames(frames_of(&kept->stacks[i]), kept->stacks[i].frame_count);
		free((char *)(uintptr_t)kept->stacks[i].name);
	}
	free(kept->stacks);
	*kept = (struct kept_stacks){ 0 };
}
