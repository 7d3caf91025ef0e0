/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench/marker.c - preloaded into a program that nobody here wrote: tells that its main begins
 *
 * The page to write to is the inherited fd that BENCH_PAGE names. Both runs that are compared carry it.
 */
#include <dlfcn.h>
#include <sys/mman.h>

#include "measure.h"

typedef int main_function(int, char **, char **);

static main_function *real_main;

static int marked_main(int argc, char **argv, char **envp)
{
	const char *number = getenv("BENCH_PAGE");
	struct bench_page *page;

	page = number ? mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, atoi(number), 0) : MAP_FAILED;
	if (page != MAP_FAILED)
		main_begins(page);
	return real_main(argc, argv, envp);
}

int __libc_start_main(main_function *real, int argc, char **argv, void (*init)(void), void (*fini)(void),
		      void (*rtld_fini)(void), void *stack_end);

int __libc_start_main(main_function *real, int argc, char **argv, void (*init)(void), void (*fini)(void),
		      void (*rtld_fini)(void), void *stack_end)
{
	int (*start)(main_function *, int, char **, void (*)(void), void (*)(void), void (*)(void), void *);

	real_main = real;
	*(void **)&start = dlsym(RTLD_NEXT, "__libc_start_main");
	return start ? start(marked_main, argc, argv, init, fini, rtld_fini, stack_end) : 127;
}
