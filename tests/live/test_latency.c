/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TETHER_LOW_LATENCY: who may keeps processors from sleeping while stops come fast, and no longer than that
 */
#include "harness.h"

#include <dirent.h>
#include <string.h>
#include <unistd.h>

static const char path[] = "/dev/cpu_dma_latency";

struct holding {
	pid_t controller;
	bool holds; /* is it meant to? */
};

static bool has_open(pid_t pid)
{
	char folder[64], target[256];
	bool found = false;

	snprintf(folder, sizeof(folder), "/proc/%d/fd", pid);
	DIR *files = opendir(folder);
	for (const struct dirent *one; files && (one = readdir(files));) {
		ssize_t length = readlinkat(dirfd(files), one->d_name, target, sizeof(target) - 1);

		target[length < 0 ? 0 : length] = '\0';
		found = found || !strcmp(target, path);
	}
	if (files)
		closedir(files);
	return found;
}

static bool is_so(void *data)
{
	const struct holding *holding = data;

	return has_open(holding->controller) == holding->holds;
}

static struct holding hold_of(struct tether *process, bool holds)
{
	struct tether_info info = { .size = sizeof(info) };

	check_int(tether_info_get(process, &info), 0);
	return (struct holding){ (pid_t)info.controller, holds };
}

static void count_calls(struct tether *process)
{
	breakpoint_add(process, (struct tether_breakpoint_opts){ .where = "counts:counts_call", .flags = TETHER_BREAKPOINT_COUNT });
}

TEST(processors_are_kept_awake_while_hits_come_and_no_longer)
{
	if (access(path, W_OK))
		skip("%s cannot be written", path);
	struct victim v = victim_start("counts", "1", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK | TETHER_LOW_LATENCY);
	struct holding held = hold_of(process, true), given_back = hold_of(process, false);

	count_calls(process);
	check(!has_open(held.controller));
	victim_say(&v, "call 200000");
	check(eventually(is_so, &held, 10000));
	check(!strncmp(victim_line(&v), "done", 4));
	check(eventually(is_so, &given_back, 10000));
	client_close(&c);
	check_untraced(v.pid);
	check_int(victim_end(&v), 0);
}

TEST(nothing_is_held_that_was_not_asked_for)
{
	struct victim v = victim_start("counts", "1", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct holding held = hold_of(process, true);

	count_calls(process);
	victim_say(&v, "call 20000");
	check(!eventually(is_so, &held, 300));
	check(!strncmp(victim_line(&v), "done", 4));
	client_close(&c);
	check_int(victim_end(&v), 0);
}
