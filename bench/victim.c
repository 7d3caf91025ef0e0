/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench/victim.c - programs to be launched, followed and grabbed; each measures itself
 *
 *	bench-victim launch PAGE_FD              tell that main has begun, end
 *	bench-victim fork PAGE_FD TURNS TINY     fork, exec, wait
 *	bench-victim dl PAGE_FD TURNS PLUGIN     dlopen, dlclose
 *	bench-victim threads PAGE_FD THREADS     stand still until told to stop
 *
 * fork and dl print {"turn_ns": median}. They begin when the page says so, or at once without a page (-1).
 */
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "measure.h"

static void pause_ms(void)
{
	const struct timespec t = { .tv_nsec = 1000000 };

	nanosleep(&t, NULL);
}

static bool fork_turn(const char *tiny)
{
	char *const argv[] = { (char *)(uintptr_t)tiny, NULL };
	pid_t child = fork();
	int status = 1;

	if (child == 0) {
		execv(tiny, argv);
		_exit(127);
	}
	while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	return status == 0;
}

static bool dl_turn(const char *path)
{
	void *plugin = dlopen(path, RTLD_NOW);

	return plugin && !dlclose(plugin);
}

/* By DT_DEBUG: the _r_debug that a program names may be a copy of the linker's. */
static const struct r_debug *linker_debug(void)
{
	for (const ElfW(Dyn) *entry = _DYNAMIC; entry->d_tag != DT_NULL; entry++)
		if (entry->d_tag == DT_DEBUG)
			return (const struct r_debug *)entry->d_un.d_ptr;
	return NULL;
}

static int run_turns(struct bench_page *page, long turns, bool (*turn)(const char *), const char *with)
{
	uint64_t *sample = calloc((size_t)turns, sizeof(*sample));
	const struct r_debug *debug = linker_debug();

	if (!sample || !debug)
		return 2;
	atomic_store(&page->r_brk, debug->r_brk);
	atomic_store(&page->r_debug, (uintptr_t)debug);
	atomic_store(&page->ready, 1);
	while (!atomic_load(&page->begin))
		pause_ms();
	for (long i = 0; i < turns; i++) {
		uint64_t start = now_ns();

		if (!turn(with))
			return 1;
		sample[i] = now_ns() - start;
		atomic_fetch_add(&page->turns, 1);
		if (atomic_load(&page->stop))
			turns = i + 1;
	}
	printf("{\"turn_ns\": %lu}\n", median(sample, (size_t)turns));
	return 0;
}

static void *stand_still(void *data)
{
	struct bench_page *page = data;

	atomic_fetch_add(&page->turns, 1);
	for (;;)
		pause();
	return NULL;
}

static int run_threads(struct bench_page *page, long threads)
{
	pthread_attr_t small;

	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 65536);
	for (long i = 1; i < threads; i++) {
		pthread_t thread;

		if (pthread_create(&thread, &small, stand_still, page))
			return 1;
	}
	while (atomic_load(&page->turns) < (uint64_t)threads - 1)
		pause_ms();
	atomic_store(&page->ready, 1);
	while (!atomic_load(&page->stop))
		pause_ms();
	_exit(0);
}

int main(int argc, char **argv)
{
	struct bench_page none = { .begin = 1 }, *page = &none;

	if (argc < 3)
		return 2;
	if (atoi(argv[2]) >= 0)
		page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, atoi(argv[2]), 0);
	if (page == MAP_FAILED)
		return 2;
	main_begins(page);
	if (!strcmp(argv[1], "launch"))
		return 0;
	if (argc > 4 && !strcmp(argv[1], "fork"))
		return run_turns(page, atol(argv[3]), fork_turn, argv[4]);
	if (argc > 4 && !strcmp(argv[1], "dl"))
		return run_turns(page, atol(argv[3]), dl_turn, argv[4]);
	if (argc > 3 && !strcmp(argv[1], "threads"))
		return run_threads(page, atol(argv[3]));
	return 2;
}
