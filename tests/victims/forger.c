/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What lies about its link maps, at each word it hears: it makes the linker's list say something else, calls the
 * linker's empty hook as a dlopen would, and leaves the lie standing until "undo".
 *
 *	"ring"        a list that leads back to its head        "inner-ring"  ... to its own middle
 *	"million"     a million entries, well linked            "names"       entries whose names have no end
 *	"nowhere"     a head that is not mapped                 "broken"      an entry that leads to what is not mapped
 *	"pointers"    entries whose pointers all lead nowhere   "namespaces"  a list of lists that leads back to its head
 *	"many-lists"  a list of ten thousand lists              "twice"       the objects once more, in another list
 *	"state"       a state that there is not
 *
 *	"hook"        the hook once more     "dlopen"  plugin-a for real, opened and closed
 *
 * Each ends with "took MS" (how long the hook kept it) and "done".
 */
#include "victim.h"

#include <dlfcn.h>
#include <link.h>
#include <stdint.h>
#include <sys/mman.h>
#include <time.h>

enum { MANY = 1000000, LISTS = 10000, NAMED = 70000, ENDLESS = 1 << 20 };

/* As glibc has it since 2.35: r_version 2 tells that there is one more word. */
struct lists {
	struct r_debug base;
	struct lists *next;
};

extern ElfW(Dyn) _DYNAMIC[];

/* Where a tracer finds it. The symbol _r_debug may be a copy in the executable. */
static struct lists *truth(void)
{
	for (const ElfW(Dyn) *entry = _DYNAMIC; entry->d_tag != DT_NULL; entry++)
		if (entry->d_tag == DT_DEBUG)
			return (struct lists *)entry->d_un.d_ptr;
	exit(96);
}

static struct lists saved;
static char no_name[1];

static void *room(size_t bytes)
{
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at == MAP_FAILED)
		exit(97);
	return at;
}

/* count entries, linked as they should be; what else they say is set by the caller. */
static struct link_map *entries(size_t count)
{
	struct link_map *map = room(count * sizeof(*map));

	for (size_t i = 0; i < count; i++) {
		map[i].l_name = no_name;
		map[i].l_prev = i ? &map[i - 1] : NULL;
		map[i].l_next = i + 1 < count ? &map[i + 1] : NULL;
	}
	return map;
}

static struct link_map *with_names(void)
{
	struct link_map *map = entries(NAMED);
	char *name = room(ENDLESS);

	memset(name, 'n', ENDLESS);
	for (size_t i = 0; i < NAMED; i++)
		map[i].l_name = name + i;
	return map;
}

static struct link_map *with_pointers(void)
{
	static const uintptr_t nowhere[] = { 1, 4096, UINTPTR_MAX, UINTPTR_MAX - 4096, UINTPTR_MAX / 2 + 1, UINTPTR_MAX / 2 };
	struct link_map *map = entries(600);

	for (size_t i = 0; i < 600; i++) {
		map[i].l_name = (char *)nowhere[i % 6];
		map[i].l_addr = nowhere[i / 6 % 6];
		map[i].l_ld = (void *)nowhere[i / 36 % 6];
	}
	return map;
}

static bool lie(const char *word)
{
	struct link_map *map = entries(3);
	struct lists *list;

	if (strcmp(word, "ring") == 0) {
		map[2].l_next = &map[0];
		truth()->base.r_map = map;
	} else if (strcmp(word, "inner-ring") == 0) {
		map[2].l_next = &map[1];
		truth()->base.r_map = map;
	} else if (strcmp(word, "million") == 0) {
		truth()->base.r_map = entries(MANY);
	} else if (strcmp(word, "names") == 0) {
		truth()->base.r_map = with_names();
	} else if (strcmp(word, "nowhere") == 0) {
		truth()->base.r_map = (void *)16;
	} else if (strcmp(word, "broken") == 0) {
		map[2].l_next = (void *)(UINTPTR_MAX - 15);
		truth()->base.r_map = map;
	} else if (strcmp(word, "pointers") == 0) {
		truth()->base.r_map = with_pointers();
	} else if (strcmp(word, "namespaces") == 0) {
		list = room(2 * sizeof(*list));
		list[0].base = list[1].base = (struct r_debug){ .r_version = 2, .r_state = RT_CONSISTENT };
		list[0].next = &list[1];
		list[1].next = &list[0];
		truth()->next = list;
		truth()->base.r_version = 2;
	} else if (strcmp(word, "twice") == 0) {
		list = room(sizeof(*list));
		list->base = saved.base;
		list->base.r_version = 1;
		truth()->next = list;
		truth()->base.r_version = 2;
	} else if (strcmp(word, "many-lists") == 0) {
		list = room(LISTS * sizeof(*list));
		for (size_t i = 0; i + 1 < LISTS; i++) {
			list[i].base = (struct r_debug){ .r_version = 2, .r_state = RT_CONSISTENT };
			list[i].next = &list[i + 1];
		}
		truth()->next = list;
		truth()->base.r_version = 2;
	} else if (strcmp(word, "state") == 0) {
		*(volatile int *)&truth()->base.r_state = 77;
	} else {
		return strcmp(word, "hook") == 0;
	}
	return true;
}

static long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void call_hook(void)
{
	long begin = now_ms();

	((void (*)(void))truth()->base.r_brk)();
	say("took %ld", now_ms() - begin);
}

static void load_for_real(void)
{
	char *path = beside("plugin-a.so");
	void *handle = dlopen(path, RTLD_NOW);

	if (!handle || dlclose(handle))
		say("wrong: %s", dlerror());
	say("took 0");
	free(path);
}

int main(void)
{
	saved.base = truth()->base;
	if (saved.base.r_version >= 2)
		saved.next = truth()->next;
	say("ready");
	for (;;) {
		const char *word = hear();

		if (!*word)
			return 0;
		if (strcmp(word, "dlopen") == 0) {
			load_for_real();
		} else if (strcmp(word, "undo") == 0) {
			truth()->base = saved.base; /* its version tells whether there is a next */
			call_hook();
		} else if (lie(word)) {
			call_hook();
		} else {
			say("wrong word %s", word);
		}
		say("done");
	}
}
