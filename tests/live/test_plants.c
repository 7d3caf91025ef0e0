/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Many breakpoints at once: tens of thousands stand and go in moments, and whoever loads that many waits for
 * them.
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
	return breakpoint_add(process,
			      (struct tether_breakpoint_opts){ .where = where, .flags = TETHER_BREAKPOINT_COUNT });
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
	struct tether_breakpoint_info stands = breakpoint_info(all);
	check(stands.standing > 10000);
	check_int(stands.inactive, 0);
	check_int(tether_breakpoint_progress(process, &done, &total), 0);
	check_int(done, total);
	check(total >= stands.standing);
	uint64_t removing = now_ns();
	check_int(tether_breakpoint_remove(all), 0);
	uint64_t all_ns = planted - begun + now_ns() - removing,
		 of_ten_thousand = all_ns * 10000 / stands.standing;
	if (of_ten_thousand > UINT64_C(1000000000))
		fail("%llu functions took %llu ms", (unsigned long long)stands.standing,
		     (unsigned long long)all_ns / 1000000);
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
	check(breakpoint_info(all).standing > 10000);
	client_close(&c);
	check_untraced(v.pid);
	check_text_whole(v.pid);
	check_int(victim_end(&v), 0);
}

static void note_late(const struct tether_event *event, void *data)
{
	*(unsigned *)data += event->kind == TETHER_EVENT_LATE_ANSWER;
}

static bool most_stand(void *all)
{
	return breakpoint_info(all).standing > 10000;
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
	struct tether_breakpoint *all =
		count(grab(c.session, v.pid, TETHER_NO_PARK, TETHER_MODE_RUN), "libLLVM-1?.so.1:*");
	check_int(breakpoint_info(all).standing, 0);
	victim_ask(&v, word, "done");
	while (tether_dispatch(c.session, 1500) > 0)
		;
	/* A victim that was not waited for is done before all of it stands. */
	check(eventually(most_stand, all, 30000));
	client_close(&c);
	check_untraced(v.pid);
	check_text_whole(v.pid);
	check_int(victim_end(&first), 0);
	check_int(victim_end(&v), 0);
	return late;
}

/*
 * More than a question's time of work, which goes on all the while: what is loaded does not run before its
 * breakpoints stand. On a busy machine the client may not even begin in time.
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
	struct tether_breakpoint *divides = count(process, "a.out:divide_by_zero"),
				 *undefined = count(process, "a.out:undefined");

	victim_ask(&v, "fault 100", "done");
	check_int(breakpoint_info(divides).hits, 100);
	check_int(breakpoint_info(undefined).hits, 100);
	check_int(tether_stats_get(c.session, &stats), 0);
	check(stats.steps_slot >= 200);
	check_int(stats.steps_in_place, 0);
	client_close(&c);
	check_untraced(v.pid);
	check_int(victim_end(&v), 0);
}

/* ---- names that are not those of the file ---------------------------------------------------------------
 */

/* What the linker has chosen for this processor, of a program that calls by the address that it was given. */
TEST(functions_that_the_linker_chooses_are_counted_by_their_name)
{
	static const char *const names[] = { "libc.so.6:strlen", "libc.so.6:memcpy", "libc.so.6:strchr" };
	enum { NAMES = sizeof(names) / sizeof(names[0]), TIMES = 500, OTHERS = 20 };
	struct tether_breakpoint *breakpoint[NAMES];
	struct victim v = victim_start("opens", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);

	for (int i = 0; i < NAMES; i++) {
		breakpoint[i] = count(process, names[i]);
		/* memcpy is two, for the programs of long ago. */
		check(breakpoint_info(breakpoint[i]).standing >= 1);
		check_int(breakpoint_info(breakpoint[i]).unresolved, 0);
	}
	victim_ask(&v, "ifunc 500", "done");
	for (int i = 0; i < NAMES; i++) {
		uint64_t hits = breakpoint_info(breakpoint[i]).hits;

		/* The C library calls them for itself too. */
		if (hits < TIMES || hits > TIMES + OTHERS)
			fail("%s: %llu hits", names[i], (unsigned long long)hits);
	}
	client_close(&c);
	check_untraced(v.pid);
	check_text_whole(v.pid);
	check_int(victim_end(&v), 0);
}

/* From its start on, when the linker has not been there yet. */
TEST(functions_that_the_linker_chooses_are_counted_from_the_start)
{
	struct client c = client_open();
	struct tether *process = client_create(&c, 0, TETHER_STOP_CREATE, "/bin/echo", "words", NULL);
	struct tether_breakpoint *length = count(process, "libc.so.6:strlen");

	check_int(breakpoint_info(length).standing, 0);
	check_int(tether_continue(process), 0);
	client_await(&c, "exit", 1);
	check(breakpoint_info(length).hits > 0);
	check_int(breakpoint_info(length).functions, 1);
	client_close(&c);
}

static int copy_object(const struct tether_breakpoint_place *place, void *data)
{
	snprintf(data, 256, "%s", place->object);
	return 0;
}

TEST(an_object_is_known_by_its_soname_too)
{
	char path[64] = "/tmp/tether-soname-XXXXXX", word[128], object[256] = "";
	struct victim v = victim_start("opens", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct tether_breakpoint *before = count(process, "libm.so.6:frexp");
	int fd = mkstemp(path);

	check(fd >= 0);
	close(fd);
	snprintf(word, sizeof(word), "cp /lib/x86_64-linux-gnu/libm.so.6 %s", path);
	if (system(word) != 0) {
		unlink(path);
		skip("no libm.so.6 where it usually is");
	}
	snprintf(word, sizeof(word), "open %s", path);
	victim_ask(&v, word, "done");
	unlink(path);
	check_int(breakpoint_info(count(process, "libm.so.6:ldexp")).standing, 1);
	check_int(breakpoint_info(count(process, "libm.so.?:modf")).standing, 1);
	check_int(breakpoint_info(before).standing, 1);
	check_int(tether_breakpoint_places(before, copy_object, object), 0);
	check_same(path, object);
	client_close(&c);
	check_untraced(v.pid);
	check_int(victim_end(&v), 0);
}
