/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What tells where things are, so that a test can ask for their names:
 *
 *	"dlopen PATH"   "dlmopen PATH"   "memfd PATH" (loaded from a copy in memory)   "dlclose"
 *	"jit"           code made at run time, with a perf map
 *	"exec"          itself once more   "thread" starts one that stays
 *
 * Answers are lines "address WHAT 0x..." and a last "done".
 */
#include "victim.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#pragma GCC visibility push(default)
int named_function(int number);
extern int named_object;
#pragma GCC visibility pop
int named_object = 1;

__attribute__((noinline)) int named_function(int number)
{
	return number * 3 + named_object;
}

static void *last;

static void tell(const char *what, const void *address)
{
	say("address %s 0x%llx", what, (unsigned long long)(uintptr_t)address);
}

static void tell_plugin(void *handle)
{
	last = handle;
	if (!handle)
		say("wrong: %s", dlerror());
	else
		tell("plugin_function", dlsym(handle, "plugin_function"));
}

static void load_from_memory(const char *path)
{
	char buffer[4096], name[64];
	int from = open(path, O_RDONLY), to = memfd_create("in-memory", 0);
	ssize_t got;

	while ((got = read(from, buffer, sizeof(buffer))) > 0)
		if (write(to, buffer, (size_t)got) != got)
			say("wrong: cannot copy");
	snprintf(name, sizeof(name), "/proc/self/fd/%d", to);
	tell_plugin(dlopen(name, RTLD_NOW));
	close(from);
	close(to);
}

/* One page, two functions; the map names them as perf(1) expects it. */
static void make_code(void)
{
	char path[64];
	unsigned char *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	snprintf(path, sizeof(path), "/tmp/perf-%d.map", (int)getpid());
	FILE *map = fopen(path, "w");
	if (!map || code == MAP_FAILED) {
		say("wrong: no code");
		return;
	}
	fprintf(map, "%llx 40 made first\n%llx 40 made_second\n", (unsigned long long)(uintptr_t)code,
		(unsigned long long)(uintptr_t)code + 64);
	fclose(map);
	tell("made_second", code + 64);
}

static void *stay(void *data)
{
	(void)data;
	pause();
	return NULL;
}

static bool starts(const char *word, const char *with, const char **rest)
{
	size_t length = strlen(with);
	*rest = word + length;
	return strncmp(word, with, length) == 0;
}

int main(int argc, char **argv)
{
	const char *rest, *word;

	(void)argc;
	/* A test may be run where only ancestors may look. */
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
	tell("named_function", (const void *)(uintptr_t)named_function);
	tell("named_object", &named_object);
	tell("strtoull", dlsym(RTLD_DEFAULT, "strtoull"));
	say("ready");
	while (*(word = hear())) {
		pthread_t thread;
		if (starts(word, "dlopen ", &rest))
			tell_plugin(dlopen(rest, RTLD_NOW));
		else if (starts(word, "dlmopen ", &rest))
			tell_plugin(dlmopen(LM_ID_NEWLM, rest, RTLD_NOW));
		else if (starts(word, "memfd ", &rest))
			load_from_memory(rest);
		else if (strcmp(word, "dlclose") == 0)
			dlclose(last);
		else if (strcmp(word, "jit") == 0)
			make_code();
		else if (strcmp(word, "thread") == 0)
			pthread_create(&thread, NULL, stay, NULL);
		else if (strcmp(word, "exec") == 0)
			execv("/proc/self/exe", argv);
		else
			say("wrong word %s", word);
		say("done");
	}
	return 0;
}
