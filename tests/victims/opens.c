/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What opens any library, at each word it hears:
 *
 *	"open PATH"      dlopen
 *	"close"          dlclose of the last that is open
 *	"wander N PATH"  N times opened and closed, each time at another address
 *	"ifunc N"        strlen, memcpy and strchr of the C library are called N times each, by way of this program's own table
 *
 * Each ends with "done".
 */
#include "victim.h"

#include <dlfcn.h>
#include <stdint.h>
#include <sys/mman.h>

static size_t (*volatile length_of)(const char *) = strlen;
static void *(*volatile copy)(void *, const void *, size_t) = memcpy;
static char *(*volatile search)(const char *, int) = strchr;

static void call_chosen(long times)
{
	static const char text[] = "a text of some length";
	char other[sizeof(text)];

	for (long i = 0; i < times; i++) {
		copy(other, text, sizeof(text));
		if (length_of(other) != sizeof(text) - 1 || search(other, 'o') != other + 10)
			say("wrong: the C library");
	}
}

/* What is mapped between keeps the place. */
static void wander(const char *rest)
{
	char *path;
	long times = strtol(rest, &path, 10);

	for (long i = 0; i < times; i++) {
		void *library = dlopen(path + 1, RTLD_NOW);
		const int *constructed = library ? dlsym(library, "plugin_constructed") : NULL;
		uintptr_t page = (uintptr_t)constructed & ~(uintptr_t)4095;

		if (!constructed || dlclose(library)) {
			say("wrong: %s", dlerror());
			return;
		}
		mmap((void *)page, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
	}
}

int main(void)
{
	void *open[16];
	int used = 0;

	say("ready");
	for (const char *word = hear(); *word; word = hear()) {
		if (!strncmp(word, "open ", 5) && used < 16) {
			open[used] = dlopen(word + 5, RTLD_NOW);
			if (!open[used])
				say("wrong: %s", dlerror());
			else
				used++;
		} else if (!strcmp(word, "close") && used) {
			dlclose(open[--used]);
		} else if (!strncmp(word, "wander ", 7)) {
			wander(word + 7);
		} else if (!strncmp(word, "ifunc ", 6)) {
			call_chosen(atol(word + 6));
		}
		say("done");
	}
	return 0;
}
