/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench/measure.h - what the programs of the benchmark share
 */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* Between a victim and who measures it: a memfd that is inherited. */
struct bench_page {
	_Atomic uint64_t r_brk;   /* dl: where the linker may be trapped */
	_Atomic uint64_t r_debug;
	_Atomic uint32_t ready, begin, stop;
	_Atomic uint64_t turns;
	_Atomic int tell; /* fd that a byte is written to at main; 0: none */
};

static inline uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

/* First statement of main. */
static inline void main_begins(struct bench_page *page)
{
	int tell = atomic_load(&page->tell);

	if (tell && write(tell, "m", 1) != 1)
		exit(1);
}

static inline int compare_u64(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Sorts the samples. */
static inline uint64_t median(uint64_t *sample, size_t count)
{
	qsort(sample, count, sizeof(*sample), compare_u64);
	return count ? sample[count / 2] : 0;
}

#endif
