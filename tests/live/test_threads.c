/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Victims of many threads: grabbed, parked, released, changing meanwhile.
 */
#include "harness.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static bool thread_stands(pid_t pid, pid_t tid)
{
	char path[64], text[64] = "";
	snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", pid, tid);
	FILE *file = fopen(path, "re");
	if (!file)
		return true; /* ended since */
	char state = 0;
	if (fgets(text, sizeof(text), file))
		sscanf(text, "%*d (%*[^)]) %c", &state);
	fclose(file);
	return state == 't' || state == 'T';
}

static unsigned running_threads(pid_t pid)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	DIR *folder = opendir(path);
	unsigned running = 0;
	for (struct dirent *entry; folder && (entry = readdir(folder));)
		running += entry->d_name[0] != '.' && !thread_stands(pid, (pid_t)atoi(entry->d_name));
	if (folder)
		closedir(folder);
	return running;
}

/* Grab parked: every thread stands. Continue: every thread moves. Release: nothing of tether is left. */
static void grab_park_continue_release(const char *threads)
{
	struct victim v = victim_start("threads", "steady", threads, NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, 0);
	check_int(count_threads(v.pid), atoi(threads));
	check_int(running_threads(v.pid), 0);
	check_text_whole(v.pid);
	check_int(tether_continue(process), 0);
	victim_ask(&v, "progress", "progress");
	check_int(tether_continue(process), 0); /* a second one is harmless */
	check_int(tether_release(process), 0);
	check_untraced(v.pid);
	check_text_whole(v.pid);
	victim_ask(&v, "progress", "progress");
	client_close(&c);
	check_int(victim_end(&v), 0);
}

TEST(a_process_of_one_thread_is_grabbed_and_released)
{
	grab_park_continue_release("1");
}

TEST(a_process_of_16_threads_is_grabbed_and_released)
{
	grab_park_continue_release("16");
}

TEST(a_process_of_256_threads_is_grabbed_and_released)
{
	grab_park_continue_release("256");
}

TEST_SECONDS(a_process_of_1000_threads_is_grabbed_and_released, 60)
{
	grab_park_continue_release("1000");
}

TEST(a_parked_victim_released_without_continue_runs_on)
{
	struct victim v = victim_start("threads", "steady", "16", NULL);
	struct client c = client_open();
	check_int(tether_release(client_grab(&c, v.pid, 0)), 0);
	check_untraced(v.pid);
	victim_ask(&v, "progress", "progress");
	client_close(&c);
	check_int(victim_end(&v), 0);
}

TEST(closing_the_session_lets_a_parked_victim_go)
{
	struct victim v = victim_start("threads", "steady", "16", NULL);
	struct client c = client_open();
	client_grab(&c, v.pid, 0);
	client_close(&c);
	check_untraced(v.pid);
	victim_ask(&v, "progress", "progress");
	check_int(victim_end(&v), 0);
}

/* A grab while threads come and go as fast as they can: none may be missed, none harmed, 200 times. */
TEST_SECONDS(threads_being_created_and_dying_survive_200_grabs, 120)
{
	struct victim v = victim_start("threads", "churn", "5", NULL);
	struct client c = client_open();
	for (int i = 0; i < 200; i++) {
		uint32_t flags = i % 2 ? TETHER_NO_PARK : 0;
		struct tether *process = client_grab(&c, v.pid, flags);
		c.processes = 0;
		if (!flags) {
			if (i % 20 == 0)
				check_int(running_threads(v.pid), 0);
			if (i % 4 == 0)
				check_int(tether_continue(process), 0);
		}
		check_int(tether_release(process), 0);
		if (i % 20 == 0) {
			check_untraced(v.pid);
			victim_ask(&v, "progress", "progress");
		}
		client_drain(&c, 0);
	}
	check_untraced(v.pid);
	check_text_whole(v.pid);
	victim_ask(&v, "progress", "progress");
	client_close(&c);
	check_int(victim_end(&v), 0);
}

TEST(new_threads_of_a_held_process_are_reported)
{
	struct victim v = victim_start("loads", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	victim_ask(&v, "threads", "done");
	client_await(&c, "thread exit", 8);
	check_int(client_count(&c, "thread start"), 8);
	check_int(client_count(&c, "thread exit"), 8);
	check_int(tether_release(process), 0);
	client_close(&c);
	check_int(victim_end(&v), 0);
}

static void exec_by(const char *who)
{
	struct victim v = victim_start("execs", who, victim_path("loads"), NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	victim_ask(&v, "go", "ready");
	client_await(&c, "main", 1);
	check_int(client_count(&c, "exec loads"), 1);
	check_int(count_threads(v.pid), 1);
	/* The linker of the new image is followed. */
	victim_say(&v, "dlopen");
	char *expected = victim_expects(&v);
	client_await(&c, "unload plugin-b.so", 1);
	char *got = client_lines(&c, "load plugin", "unload plugin", NULL);
	check_same(expected, got);
	check_int(tether_release(process), 0);
	check_untraced(v.pid);
	check_text_whole(v.pid);
	client_close(&c);
	check_int(victim_end(&v), 0);
	free(expected);
	free(got);
}

TEST(exec_by_the_leader_of_a_threaded_process_is_followed)
{
	exec_by("leader");
}

TEST(exec_by_a_thread_that_is_not_the_leader_is_followed)
{
	exec_by("thread");
}

TEST(exec_by_a_thread_is_preceded_by_the_ends_of_the_threads_that_vanish)
{
	struct victim v = victim_start("execs", "thread", victim_path("loads"), NULL);
	struct client c = client_open();
	client_grab(&c, v.pid, TETHER_NO_PARK);
	victim_ask(&v, "go", "ready");
	client_await(&c, "main", 1);
	char *got = client_lines(&c, "thread", "exec", NULL);
	/* Eight idle ones, the caller, of which one identity lives on as the leader. */
	char *exec = strstr(got, "exec loads\n");
	check(exec != NULL);
	check(strstr(exec, "thread exit") == NULL);
	check(client_count(&c, "thread exit") >= 8);
	free(got);
	client_close(&c);
	check_int(victim_end(&v), 0);
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/*
 * exec, exit_group and SIGKILL end threads that are on their way out of fork: their events are never shown, and
 * what they have made is taken in without.
 */
TEST(forks_whose_makers_vanish_leave_nobody_behind)
{
	enum { FOLLOWED, NOT_FOLLOWED, KILLED, WAYS };

	for (int way = 0; way < WAYS; way++) {
		struct client c = client_open();
		struct tether *process = client_create(&c, way == NOT_FOLLOWED ? TETHER_NO_FOLLOW : 0,
						       TETHER_STOP_MAIN, "execs", "race", "40", NULL);

		check_int(tether_continue(process), 0);
		client_await(&c, way == KILLED ? "preinit" : "exit 9", way == KILLED ? 10 : 1);
		uint64_t start = now_ms();
		client_close(&c);
		check(now_ms() - start < 3000);
	}
}
