/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * System calls that wait, under twenty grabs: each gives what it gives untraced (rule 11 of docs/rules.md).
 */
#include "harness.h"

#include <stdlib.h>
#include <string.h>

enum { TIMES = 20 };

static char *results_of(struct victim *v)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	victim_say(v, "finish");
	for (;;) {
		const char *line = victim_line(v);
		if (strcmp(line, "done") == 0)
			break;
		if (strncmp(line, "wrong", 5) == 0)
			fail("the victim says: %s", line);
		fprintf(out, "%s\n", line);
	}
	fclose(out);
	return text;
}

static char *untraced(void)
{
	struct victim v = victim_start("waits", NULL);
	char *results = results_of(&v);

	check_int(victim_end(&v), 0);
	check(strstr(results, "epoll_wait: 1 0, 4711\n") != NULL);
	check(strstr(results, "sigwaitinfo: 5 0, 5\n") != NULL);
	check(strstr(results, "still waits") == NULL);
	return results;
}

static void give_what_they_give_untraced(uint32_t flags)
{
	char *expected = untraced();
	struct victim v = victim_start("waits", NULL);
	struct client c = client_open();

	for (int i = 0; i < TIMES; i++) {
		struct tether_grab_opts opts = { .size = sizeof(opts), .flags = flags, .timeout_ms = 5000 };
		struct tether *process;
		struct tether_error error = TETHER_ERROR_INIT;

		if (tether_grab(c.session, v.pid, &opts, &process, &error))
			fail("grab %d: %s", i, error.message);
		check_int(tether_continue(process), 0);
		check_int(tether_release(process), 0);
	}
	client_close(&c);
	check_untraced(v.pid);
	char *results = results_of(&v);
	check_same(expected, results);
	free(expected);
	free(results);
	check_int(victim_end(&v), 0);
}

TEST(twenty_parks_and_releases_disturb_no_call)
{
	give_what_they_give_untraced(0);
}

TEST(twenty_grabs_without_a_park_disturb_no_call)
{
	give_what_they_give_untraced(TETHER_NO_PARK);
}

TEST(twenty_parks_without_the_linkers_breakpoint_disturb_no_call)
{
	give_what_they_give_untraced(TETHER_NO_MONITOR);
}

/* Whose time is over while the process stands, ends as if it had run; the others go on waiting. */
TEST(calls_whose_time_ends_during_a_park_end_as_they_would)
{
	enum { LONGER_THAN_THE_CALLS_MS = 900 };
	char *expected = untraced();
	struct victim v = victim_start("waits", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, 0);

	client_drain(&c, LONGER_THAN_THE_CALLS_MS);
	check_int(tether_continue(process), 0);
	check_int(tether_release(process), 0);
	char *results = results_of(&v);
	check_same(expected, results);
	free(expected);
	free(results);
	client_close(&c);
	check_int(victim_end(&v), 0);
}
