/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Many breakpoints at once: tens of thousands stand and go in moments, and whoever loads that many waits for them.
 */
#include "harness.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *large_library(void)
{
	static const char *const paths[] = { "/usr/lib/x86_64-linux-gnu/libLLVM-15.so.1",
					     "/usr/lib/x86_64-linux-gnu/libLLVM-14.so.1" };

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		if (access(paths[i], R_OK) == 0)
			return paths[i];
	skip("no libLLVM is installed");
}

static struct tether_breakpoint *count(struct tether *process, const char *where)
{
	struct tether_breakpoint_opts opts = { .size = sizeof(opts), .where = where, .flags = TETHER_BREAKPOINT_COUNT };
	struct tether_error error = TETHER_ERROR_INIT;
	struct tether_breakpoint *breakpoint = NULL;

	if (tether_breakpoint_add(process, &opts, &breakpoint, &error) < 0)
		fail("%s", error.message);
	return breakpoint;
}

static struct tether_breakpoint_info info(struct tether_breakpoint *breakpoint)
{
	struct tether_breakpoint_info info = { .size = sizeof(info) };

	check_int(tether_breakpoint_info_get(breakpoint, &info), 0);
	return info;
}

TEST(ten_thousand_functions_stand_and_go_within_a_second)
{
	const char *path = large_library();
	char word[256];
	struct victim v = victim_start("opens", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	uint64_t done, total;

	snprintf(word, sizeof(word), "open %s", path);
	victim_ask(&v, word, "done");
	/* The table of names is read by the first who asks. */
	count(process, "libLLVM*:no such function");
	uint64_t begun = now_ns();
	struct tether_breakpoint *all = count(process, "libLLVM-1?.so.1:*");
	uint64_t planted = now_ns();
	struct tether_breakpoint_info stands = info(all);
	check(stands.standing > 10000);
	check_int(stands.inactive, 0);
	check_int(tether_breakpoint_progress(process, &done, &total), 0);
	check_int(done, total);
	check(total >= stands.standing);
	uint64_t removing = now_ns();
	check_int(tether_breakpoint_remove(all), 0);
	uint64_t all_ns = planted - begun + now_ns() - removing, of_ten_thousand = all_ns * 10000 / stands.standing;
	if (of_ten_thousand > UINT64_C(1000000000))
		fail("%llu functions took %llu ms", (unsigned long long)stands.standing, (unsigned long long)all_ns / 1000000);
	client_close(&c);
	check_untraced(v.pid);
	check_text_whole(v.pid);
	check_int(victim_end(&v), 0);
}

/* Parked, none stands; then all do. */
TEST(tens_of_thousands_wait_for_the_end_of_a_park)
{
	const char *path = large_library();
	char word[256];
	struct victim v = victim_start("opens", NULL);
	struct client c = client_open();

	snprintf(word, sizeof(word), "open %s", path);
	victim_ask(&v, word, "done");
	struct tether *process = client_grab(&c, v.pid, 0);
	struct tether_breakpoint *all = count(process, "libLLVM-1?.so.1:*");
	check_int(state_of(process), TETHER_STATE_PARKED);
	check_text_whole(v.pid);
	check_int(tether_continue(process), 0);
	check(info(all).standing > 10000);
	client_close(&c);
	check_untraced(v.pid);
	check_text_whole(v.pid);
	check_int(victim_end(&v), 0);
}

static void note_late(const struct tether_event *event, void *data)
{
	*(unsigned *)data += event->kind == TETHER_EVENT_LATE_ANSWER;
}

/* How many questions were answered too late while a library is loaded that has to be planted. */
static unsigned late_answers(const char *path)
{
	char word[256];
	unsigned late = 0;
	struct victim first = victim_start("opens", NULL), v = victim_start("opens", NULL);
	struct client c = client_open_with((struct tether_session_opts){ .question_ms = 150 });

	check_int(tether_session_set_handler(c.session, note_late, &late), 0);
	snprintf(word, sizeof(word), "open %s", path);
	/* So that the names are known. */
	victim_ask(&first, word, "done");
	count(grab(c.session, first.pid, TETHER_NO_PARK, TETHER_MODE_RUN), "libLLVM*:no such function");
	struct tether_breakpoint *all = count(grab(c.session, v.pid, TETHER_NO_PARK, TETHER_MODE_RUN), "libLLVM-1?.so.1:*");
	check_int(info(all).standing, 0);
	victim_ask(&v, word, "done");
	while (tether_dispatch(c.session, 1500) > 0)
		;
	check(info(all).standing > 10000);
	client_close(&c);
	check_untraced(v.pid);
	check_text_whole(v.pid);
	check_int(victim_end(&first), 0);
	check_int(victim_end(&v), 0);
	return late;
}

/*
 * More than a question's time of work, which goes on all the while: what is loaded does not run before its breakpoints
 * stand. On a busy machine the client may not even begin in time.
 */
TEST_SECONDS(who_loads_what_takes_long_to_plant_waits_for_all_of_it, 60)
{
	const char *path = large_library();
	unsigned late = 1;

	for (int i = 0; i < 6 && late; i++)
		late = late_answers(path);
	check_int(late, 0);
}

/* It has run in a slot, and must look as if it had run at home. */
TEST(a_fault_of_a_displaced_instruction_tells_its_own_address)
{
	struct tether_stats stats = { .size = sizeof(stats) };
	struct victim v = victim_start("opens", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct tether_breakpoint *divides = count(process, "a.out:divide_by_zero"), *undefined = count(process, "a.out:undefined");

	victim_ask(&v, "fault 100", "done");
	check_int(info(divides).hits, 100);
	check_int(info(undefined).hits, 100);
	check_int(tether_stats_get(c.session, &stats), 0);
	check(stats.steps_slot >= 200);
	check_int(stats.steps_in_place, 0);
	client_close(&c);
	check_untraced(v.pid);
	check_int(victim_end(&v), 0);
}
