/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * raw_sigtrap.c - a victim's SIGTRAP is blocked, ignored or caught, and stays so while traps are hit (rule 8)
 */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "raw.h"

TEST(a_blocked_sigtrap_stays_blocked)
{
	struct options o = { .mode = PROTO_KILL };
	struct message m;
	pid_t pid = create(line, &o, ROLE("masked"), &m);

	plant_all(line, pid, PROTO_SITE_COUNT, false);
	answer_question(line, m.u.event.question, PROTO_GO);
	expect_exit(line, pid, 0);
}

TEST(an_ignored_sigtrap_stays_ignored)
{
	struct options o = { .mode = PROTO_KILL };
	struct message m;
	pid_t pid = create(line, &o, ROLE("ignored"), &m);

	plant_all(line, pid, PROTO_SITE_COUNT, true);
	answer_question(line, m.u.event.question, PROTO_GO);
	expect_exit(line, pid, 0);
}

TEST(a_caught_and_blocked_sigtrap_keeps_its_handler)
{
	struct options o = { .mode = PROTO_KILL };
	struct message m;
	pid_t pid = create(line, &o, ROLE("caught"), &m);

	plant_all(line, pid, PROTO_SITE_COUNT, true);
	answer_question(line, m.u.event.question, PROTO_GO);
	expect_exit(line, pid, 0);
}

/* Who was to find its handler out cannot: those that stood meanwhile go on. */
TEST(a_handler_that_cannot_be_found_out_keeps_nobody_standing)
{
	struct options o = { .mode = PROTO_KILL };
	struct message m;
	pid_t pid = create(line, &o, ROLE("filtered"), &m);

	plant_all(line, pid, PROTO_SITE_COUNT, true);
	answer_question(line, m.u.event.question, PROTO_GO);
	expect_exit(line, pid, 0);
}

/* One signal of a mask that /proc shows. */
static bool blocks(pid_t pid, int signal)
{
	char path[32], text[4096], *field;
	FILE *file;
	size_t n;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	file = fopen(path, "re");
	if (!file)
		return false;
	n = fread(text, 1, sizeof(text) - 1, file);
	text[n] = '\0';
	fclose(file);
	field = strstr(text, "SigBlk:");
	return field && strtoull(field + strlen("SigBlk:"), NULL, 16) >> (signal - 1) & 1;
}

/* Seen inside a handler only, which blocks more: what it blocks outside of that lies in the signal's frame. */
TEST(a_sigtrap_blocked_outside_of_the_handler_that_it_is_grabbed_in_stays_blocked)
{
	static const char *const ways[] = { "waits", "spins", "alternate", "all" };

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		const char *const role[] = { self_path, "in-handler", ways[i], NULL };
		struct message m;
		int input, status;
		pid_t pid;

		pid = own_victim(role, &input);
		CHECK(line, EVENTUALLY(blocks(pid, SIGUSR1)), "%s: not in its handler", ways[i]);
		CHECK(line, !grab(line, pid, PROTO_RUN, 0, &m), "grab");
		plant_all(line, pid, PROTO_SITE_COUNT, true);
		close(input);
		expect_exit(line, pid, 0);
		status = status_of(pid);
		CHECK(line, !status, "%s: it ended with %x", ways[i], status);
		if (i + 1 < sizeof(ways) / sizeof(ways[0]))
			line_close(line);
	}
}

/* Nothing masks SIGSTOP: it arrives while a thread does a call for us, and SIGCONT, or another, before that is done. */
TEST(stops_that_meet_the_repair_of_a_handler_do_not_lose_it)
{
	enum { ROUNDS = 4000, STOPS = 20 };
	struct message m;
	int input, status;
	pid_t pid = own_victim(ROLE("guarded"), &input);

	CHECK(line, EVENTUALLY(blocks(pid, SIGTRAP)), "it does not guard its SIGTRAP");
	CHECK(line, !grab(line, pid, PROTO_RUN, 0, &m), "grab");
	plant_all(line, pid, PROTO_SITE_COUNT, true);
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t hits;

		for (int k = 0; k < STOPS; k++)
			kill(pid, SIGSTOP);
		for (int k = 0; k < i % 64 * 8; k++)
			getppid(); /* some time, up to 50 us */
		kill(pid, SIGCONT);
		hits = stats_of(line).hits;
		CHECK(line, EVENTUALLY(stats_of(line).hits > hits), "round %d: SIGCONT came last, and it stands", i);
	}
	CHECK(line, stats_of(line).hits > 100, "no traps were hit");
	close(input);
	expect_exit(line, pid, 0);
	while ((status = status_of(pid)) != -1 && WIFSTOPPED(status))
		;
	CHECK(line, !status, "it ended with %x", status);
}

const struct raw_test sigtrap_tests[] = {
	RAW_TEST(a_blocked_sigtrap_stays_blocked),
	RAW_TEST(an_ignored_sigtrap_stays_ignored),
	RAW_TEST(a_caught_and_blocked_sigtrap_keeps_its_handler),
	RAW_TEST(a_handler_that_cannot_be_found_out_keeps_nobody_standing),
	RAW_TEST(a_sigtrap_blocked_outside_of_the_handler_that_it_is_grabbed_in_stays_blocked),
	RAW_TEST(stops_that_meet_the_repair_of_a_handler_do_not_lose_it),
};
const size_t sigtrap_test_count = sizeof(sigtrap_tests) / sizeof(sigtrap_tests[0]);
