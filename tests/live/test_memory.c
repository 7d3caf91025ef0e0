/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory: reads hide traps, parks show whole text to any reader, release leaves nothing behind.
 */
#include "harness.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "process/plant.h"

/* Where the victim has mapped what this process knows as a function of the C library. */
static uint64_t address_in(pid_t pid, const char *function)
{
	/* From the library itself: a sanitizer puts functions of its own before some. */
	void *here = dlsym(dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD), function);
	Dl_info info;
	check(here != NULL && dladdr(here, &info) != 0);
	char path[64], line[4096];
	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	FILE *maps = fopen(path, "re");
	uint64_t base = 0;
	check(maps != NULL);
	while (!base && fgets(line, sizeof(line), maps)) {
		if (strstr(line, "/libc.so.6"))
			base = strtoull(line, NULL, 16);
	}
	fclose(maps);
	if (!base)
		skip("the C library is not libc.so.6");
	return base + ((uintptr_t)here - (uintptr_t)info.dli_fbase);
}

static int raw_byte(pid_t pid, uint64_t address)
{
	char path[64];
	unsigned char byte;
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || pread(fd, &byte, 1, (off_t)address) != 1)
		fail("cannot read memory of %d at %#llx", pid, (unsigned long long)address);
	close(fd);
	return byte;
}

enum { TRAP = 0xcc };

TEST(reads_show_the_victims_own_bytes_while_traps_stand)
{
	struct victim v = victim_start("loads", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	const vaddr_t at = address_in(v.pid, "qsort");
	unsigned char before[64], after[64];
	check_int(tether_read(process, at - 32, before, sizeof(before)), sizeof(before));
	check_int(process_plant(process, &at, 1), 0);
	check_int(raw_byte(v.pid, at), TRAP);
	check_int(tether_read(process, at - 32, after, sizeof(after)), sizeof(after));
	check(memcmp(before, after, sizeof(before)) == 0);
	/* One byte, at the trap itself. */
	unsigned char byte = 0;
	check_int(tether_read(process, at, &byte, 1), 1);
	check_int(byte, before[32]);
	check_int(process_lift(process, &at, 1), 0);
	check_int(raw_byte(v.pid, at), before[32]);
	client_close(&c);
	check_text_whole(v.pid);
	check_int(victim_end(&v), 0);
}

TEST(a_hit_trap_is_stepped_over_and_the_victim_goes_on)
{
	struct victim v = victim_start("loads", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	const char *const functions[] = {
		"read", "malloc", "free", "dlopen", "snprintf", "memcpy", "strlen"
	};
	vaddr_t at[sizeof(functions) / sizeof(functions[0])];
	size_t count = 0;
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
		/* Indirect functions resolve to the same code here and there: one machine, one library. */
		Dl_info info;
		void *here = dlsym(dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD), functions[i]);
		if (here && dladdr(here, &info) && strstr(info.dli_fname, "/libc.so.6"))
			at[count++] = address_in(v.pid, functions[i]);
	}
	check_int(process_plant(process, at, count), 0);
	victim_ask(&v, "dlopen", "done");
	victim_ask(&v, "threads", "done");
	struct tether_stats stats = { .size = sizeof(stats) };
	check_int(tether_stats_get(c.session, &stats), 0);
	check(stats.hits > 100);
	check_int(process_lift(process, at, count), 0);
	check_int(tether_release(process), 0);
	check_untraced(v.pid);
	check_text_whole(v.pid);
	victim_ask(&v, "dlopen", "done");
	client_close(&c);
	check_int(victim_end(&v), 0);
}

TEST(release_with_traps_standing_leaves_the_text_as_in_the_file)
{
	struct victim v = victim_start("threads", "steady", "16", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	const vaddr_t at[] = { address_in(v.pid, "nanosleep"), address_in(v.pid, "clock_nanosleep") };
	check_int(process_plant(process, at, 2), 0);
	victim_ask(&v, "progress", "progress");
	check_int(tether_release(process), 0);
	check_untraced(v.pid);
	check_text_whole(v.pid);
	victim_ask(&v, "progress", "progress");
	client_close(&c);
	check_int(victim_end(&v), 0);
}

TEST(an_observed_process_is_read_without_being_traced)
{
	struct victim v = victim_start("loads", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_OBSERVE);
	const vaddr_t at = address_in(v.pid, "qsort");
	unsigned char bytes[16];
	check_int(tether_read(process, at, bytes, sizeof(bytes)), sizeof(bytes));
	check_int(bytes[0], raw_byte(v.pid, at));
	check_int(task_status(v.pid, v.pid, "TracerPid"), 0);
	check_int(tether_continue(process), -TETHER_EMODE);
	client_close(&c);
	check_int(victim_end(&v), 0);
}

TEST(memory_that_is_not_mapped_is_refused)
{
	struct victim v = victim_start("loads", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	unsigned char bytes[16];
	check_int(tether_read(process, 0x10, bytes, sizeof(bytes)), -TETHER_EMEMORY);
	check_int(tether_read(process, UINT64_MAX - 8, bytes, sizeof(bytes)), -TETHER_EMEMORY);
	client_close(&c);
	check_int(victim_end(&v), 0);
}

TEST(memory_of_a_process_that_has_ended_is_gone)
{
	struct victim v = victim_start("loads", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	const vaddr_t at = address_in(v.pid, "qsort");
	check_int(victim_end(&v), 0);
	client_await(&c, "exit 0", 1);
	unsigned char bytes[16];
	check_int(tether_read(process, at, bytes, sizeof(bytes)), -TETHER_EGONE);
	client_close(&c);
}
