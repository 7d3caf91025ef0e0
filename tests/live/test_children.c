/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Children by fork, vfork and posix_spawn, followed and not, with the linker breakpoint planted.
 */
#include "harness.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* A hundred children run and end as untraced; the parent's later loads are still reported. */
static void children_then_load(const char *how, const char *kind, bool follow)
{
	struct victim v = victim_start("children", NULL);
	struct client c = client_open();
	client_grab(&c, v.pid, TETHER_NO_PARK | (follow ? 0 : TETHER_NO_FOLLOW));
	victim_ask(&v, how, "done");
	victim_say(&v, "dlopen");
	char *expected = victim_expects(&v);
	client_await(&c, "unload plugin-a.so", 1);
	char *got = client_lines(&c, "load plugin", "unload plugin", NULL);
	check_same(expected, got);
	char line[64];
	snprintf(line, sizeof(line), "fork %s%s", kind, follow ? "" : " unfollowed");
	check_int(client_count(&c, line), 100);
	if (follow) {
		client_await(&c, "exit", 100);
		check_int(client_count(&c, "exec quiet"), strcmp(how, "fork") == 0 ? 0 : 100);
	} else {
		check_int(client_count(&c, "exec"), 0);
		check_int(client_count(&c, "exit"), 0);
	}
	free(expected);
	free(got);
	client_close(&c);
	check_untraced(v.pid);
	check_text_whole(v.pid);
	victim_ask(&v, "dlopen", "done");
	check_int(victim_end(&v), 0);
}

TEST(vforked_children_run_and_later_loads_are_reported)
{
	children_then_load("vfork", "vfork", true);
}

TEST(vforked_children_that_are_not_followed_run_free)
{
	children_then_load("vfork", "vfork", false);
}

TEST(spawned_children_run_and_later_loads_are_reported)
{
	children_then_load("spawn", "vfork", true);
}

TEST(spawned_children_that_are_not_followed_run_free)
{
	children_then_load("spawn", "vfork", false);
}

TEST(forked_children_run_and_later_loads_are_reported)
{
	children_then_load("fork", "fork", true);
}

TEST(forked_children_that_are_not_followed_run_free)
{
	children_then_load("fork", "fork", false);
}

TEST(loads_of_a_forked_child_that_is_followed_are_reported_as_its_own)
{
	struct victim v = victim_start("children", NULL);
	struct client c = client_open();
	client_grab(&c, v.pid, TETHER_NO_PARK);
	victim_say(&v, "fork-dlopen");
	char *expected = victim_expects(&v);
	client_await(&c, "exit 5", 1);
	char *got = client_lines(&c, "load plugin", "unload plugin", NULL);
	check_same(expected, got);
	/* The pid of the record is the child's. */
	char *all = client_all(&c), *load = strstr(all, " load plugin-b.so");
	check(load != NULL);
	while (load > all && isdigit((unsigned char)load[-1]))
		load--;
	check(atoi(load) != v.pid);
	free(all);
	free(expected);
	free(got);
	client_close(&c);
	check_int(victim_end(&v), 0);
}

TEST(a_forked_child_that_is_not_followed_may_load_by_itself)
{
	struct victim v = victim_start("children", NULL);
	struct client c = client_open();
	client_grab(&c, v.pid, TETHER_NO_PARK | TETHER_NO_FOLLOW);
	victim_ask(&v, "fork-dlopen", "done"); /* the child's exit status is checked by its parent */
	victim_ask(&v, "dlopen", "done");
	client_await(&c, "unload plugin-a.so", 1);
	check_int(client_count(&c, "load plugin-b.so"), 0);
	client_close(&c);
	check_int(victim_end(&v), 0);
}

/* The parent cannot be stopped: it waits in vfork. The grab must not wait for it, nor may the trap harm the
 * child. */
static void grab_during_vfork(uint32_t flags)
{
	struct victim v = victim_start("children", NULL);
	struct client c = client_open();
	victim_ask(&v, "vfork-wait", "waiting");
	struct tether *process = client_grab(&c, v.pid, flags);
	check_int(tether_continue(process), 0);
	victim_ask(&v, "go", "done");
	victim_ask(&v, "dlopen", "done");
	client_await(&c, "unload plugin-a.so", 1);
	check_int(client_count(&c, "load plugin-a.so"), 1);
	check_int(tether_release(process), 0);
	check_untraced(v.pid);
	check_text_whole(v.pid);
	victim_ask(&v, "vfork", "done");
	client_close(&c);
	check_int(victim_end(&v), 0);
}

TEST(a_process_whose_vfork_child_lives_is_grabbed)
{
	grab_during_vfork(TETHER_NO_PARK);
}

TEST(a_process_whose_vfork_child_lives_is_grabbed_and_parked)
{
	grab_during_vfork(0);
}

TEST(a_process_is_released_while_its_vfork_child_lives)
{
	struct victim v = victim_start("children", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	victim_ask(&v, "vfork-wait", "waiting");
	check_int(tether_release(process), 0);
	client_close(&c);
	victim_ask(&v, "go", "done");
	check_untraced(v.pid);
	check_text_whole(v.pid);
	victim_ask(&v, "dlopen", "done");
	check_int(victim_end(&v), 0);
}

/* A forked child that lives on is let go with its family, its text whole. */
TEST(a_followed_child_is_released_with_its_family)
{
	struct victim v = victim_start("children", NULL);
	struct client c = client_open();
	client_grab(&c, v.pid, TETHER_NO_PARK);
	victim_ask(&v, "fork-wait", "waiting");
	client_await(&c, "fork fork", 1);
	client_close(&c);
	check_untraced(v.pid);
	check_text_whole(v.pid);
	victim_ask(&v, "go", "done");
	check_int(victim_end(&v), 0);
}
