/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_stack - stacks through files that lie, with registers and memory that do too, for libFuzzer (as fuzz_symbols)
 *
 *	u16 length, so many bytes of an ELF image │ for each register: kind, u16 │ known │ the rest: two pieces of stack
 *
 * What begins as an ELF file is one whole image: it is unwound from many of its addresses, over stacks made of them. The call
 * frame information is read by libdw as that of an image in memory. Whatever it is, the number of frames is bounded, and what is
 * told of each is in what was given.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stack/inside.h"

#include "../unit/fake_memory.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FRAMES = 512, STARTS = 48, WORDS = 256 };
#define IMAGE_AT UINT64_C(0x7f0000010000)
#define STACK_AT UINT64_C(0x7ffd00001000)
#define OTHER_AT UINT64_C(0x55550000f000)

struct input {
	const uint8_t *data;
	size_t size;
};

static void must(bool condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "broken: %s\n", what);
	abort();
}

static uint64_t take(struct input *input, size_t bytes)
{
	uint64_t value = 0;

	for (size_t i = 0; i < bytes && input->size; i++) {
		value |= (uint64_t)*input->data++ << 8 * i;
		input->size--;
	}
	return value;
}

/* One image, told as the vdso is: there is no file. */
static struct stack_map *map_of(struct stack_pool *pool, const uint8_t *bytes, size_t length)
{
	static struct fake_memory image;
	struct stack_map *map = calloc(1, sizeof(*map));

	image.pieces = 0;
	fake_add(&image, IMAGE_AT, bytes, length);
	map->pool = pool;
	map->memory = (struct reader){ .read = fake_read, .data = &image };
	pthread_mutex_init(&map->lock, NULL);
	map->mapping = calloc(1, sizeof(*map->mapping));
	map->count = map->room = 1;
	map->mapping[0] = (struct mapped){
		.start = IMAGE_AT, .end = IMAGE_AT + length + 1, .vdso = true, .path = strdup("[vdso]"),
	};
	return map;
}

static void unwind(struct stack_map *map, const struct stack_copy *copy)
{
	static struct stack_frame frames[FRAMES];
	enum stack_end end = (enum stack_end)-1;
	size_t count = stack_unwind(map, copy, frames, FRAMES, &end);
	struct stack_place place;

	must(count >= 1 && count <= FRAMES, "there is a frame, and no more than there is room for");
	must(end <= STACK_RULES, "a stack ends in one of the known ways");
	must(count == FRAMES || end != STACK_FRAMES, "it is cut only where there is no room");
	must(frames[0].pc == copy->pc && frames[0].how == STACK_PC, "the first frame is where the thread stands");
	for (size_t i = 0; i < count; i++) {
		must(frames[i].how >= STACK_PC && frames[i].how <= STACK_SCAN, "it was found in one of the known ways");
		must(frames[i].look_up == frames[i].pc || frames[i].look_up == frames[i].pc - 1, "it is looked up at its call");
		if (stack_place(map, frames[i].look_up, &place))
			must(!strcmp(place.path, "[vdso]"), "it lies where something is mapped");
	}
}

static uint64_t value_of(struct input *input)
{
	uint64_t kind = take(input, 1), value = take(input, 2);

	switch (kind & 3) {
	case 0:
		return value << (kind >> 2 & 48);
	case 1:
		return IMAGE_AT + value;
	case 2:
		return STACK_AT + value;
	default:
		return OTHER_AT + value;
	}
}

static void as_given(struct input input)
{
	struct stack_pool *pool = stack_pool_new();
	size_t told = take(&input, 2), length = told < input.size ? told : input.size;
	struct stack_map *map = map_of(pool, input.data, length);
	struct stack_copy copy = { .windows = 2 };

	input.data += length;
	input.size -= length;
	copy.regs.tag = ARCH_X86_64;
	copy.regs.size = sizeof(copy.regs.u.bytes);
	for (size_t i = 0; i + sizeof(uint64_t) <= sizeof(copy.regs.u.bytes) && i < 27 * sizeof(uint64_t); i += sizeof(uint64_t)) {
		uint64_t value = value_of(&input);

		memcpy(copy.regs.u.bytes + i, &value, sizeof(value));
	}
	copy.known = (uint32_t)take(&input, 3) & STACK_ALL_REGISTERS;
	copy.pc = value_of(&input);
	copy.sp = value_of(&input);
	copy.window[0] = (struct stack_window){ STACK_AT, input.size / 2, input.data };
	copy.window[1] = (struct stack_window){ OTHER_AT, input.size - input.size / 2, input.data + input.size / 2 };
	unwind(map, &copy);
	stack_map_free(map);
	stack_pool_free(pool);
}

/* From addresses all over it, and over stacks full of such addresses: its rules lead on as long as they like. */
static void as_image(struct input input)
{
	struct stack_pool *pool = stack_pool_new();
	struct stack_map *map = map_of(pool, input.data, input.size);
	uint64_t words[WORDS], state = input.size;

	for (unsigned start = 0; start < STARTS; start++) {
		struct stack_copy copy = { .windows = 1, .known = STACK_ALL_REGISTERS, .sp = STACK_AT };

		for (size_t i = 0; i < WORDS; i++) {
			state = state * UINT64_C(6364136223846793005) + 1442695040888963407u + input.data[i % input.size];
			words[i] = state >> 60 ? IMAGE_AT + (state >> 16) % input.size : STACK_AT + (state >> 16) % sizeof(words);
		}
		copy.regs.tag = ARCH_X86_64;
		copy.regs.size = sizeof(copy.regs.u.bytes);
		memcpy(copy.regs.u.bytes, words, sizeof(words) < sizeof(copy.regs.u.bytes) ? sizeof(words) : sizeof(copy.regs.u.bytes));
		copy.pc = IMAGE_AT + (uint64_t)start * input.size / STARTS;
		copy.window[0] = (struct stack_window){ STACK_AT, sizeof(words), (const unsigned char *)words };
		unwind(map, &copy);
	}
	stack_map_free(map);
	stack_pool_free(pool);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct input input = { data, size };

	if (size && data[0] == 0x7f)
		as_image(input);
	else if (size)
		as_given(input);
	return 0;
}
