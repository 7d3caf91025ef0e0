/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz/dice.h - the same numbers from the same seed, on every machine (splitmix64)
 */
#ifndef FUZZ_DICE_H
#define FUZZ_DICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dice {
	uint64_t state;
};

static inline uint64_t draw(struct dice *dice)
{
	uint64_t z = dice->state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static inline void dice_begin(struct dice *dice, uint64_t seed)
{
	dice->state = seed;
	dice->state = draw(dice); /* neighbouring seeds have nothing in common */
}

static inline bool chance(struct dice *dice, unsigned hits, unsigned of)
{
	return draw(dice) % of < hits;
}

static inline void fill(struct dice *dice, void *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		((unsigned char *)bytes)[i] = (unsigned char)draw(dice);
}

#endif
