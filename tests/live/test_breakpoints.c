/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Breakpoints: what they count is what the victim has counted itself, whatever it loads, executes and makes.
 */
#include "harness.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct tether_breakpoint *count_at(struct tether *process, const char *where)
{
	return breakpoint_add(process, (struct tether_breakpoint_opts){ .where = where, .flags = TETHER_BREAKPOINT_COUNT });
}

static int refused(struct tether *process, struct tether_breakpoint_opts opts)
{
	struct tether_error error = TETHER_ERROR_INIT;
	struct tether_breakpoint *breakpoint = NULL;

	opts.size = sizeof(opts);
	int result = tether_breakpoint_add(process, &opts, &breakpoint, &error);
	check(breakpoint == NULL);
	check_int(error.code, -result);
	check(strlen(error.message) > 20);
	return result;
}

/* What the controller has answered is heard a moment later. */
static bool stands_once(void *breakpoint)
{
	return breakpoint_info(breakpoint).standing == 1;
}

/* Say a word, and what the victim has counted by its end. */
static unsigned long calls_after(struct victim *v, const char *word)
{
	unsigned long calls;

	victim_say(v, word);
	const char *line = victim_line(v);
	if (sscanf(line, "done %lu", &calls) != 1)
		fail("the victim says '%s'", line);
	return calls;
}

static int first_address(const struct tether_breakpoint_place *place, void *data)
{
	*(uint64_t *)data = place->address;
	return 1;
}

static uint64_t address_of(struct tether_breakpoint *breakpoint)
{
	uint64_t address = 0;

	check_int(tether_breakpoint_places(breakpoint, first_address, &address), 1);
	return address;
}

/* As it is in memory, whatever the library would say. */
static unsigned byte_at(pid_t pid, uint64_t address)
{
	unsigned char byte;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	check(fd >= 0);
	check_int(pread(fd, &byte, 1, (off_t)address), 1);
	close(fd);
	return byte;
}

static void end(struct client *c, struct victim *v)
{
	client_close(c);
	check_untraced(v->pid);
	check_text_whole(v->pid);
	calls_after(v, "call 10");
	check_int(victim_end(v), 0);
}

static void count_threads_calls(const char *threads)
{
	struct victim v = victim_start("counts", threads, NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct tether_breakpoint *call = count_at(process, "a.out:counts_call");
	struct tether_breakpoint *other = count_at(process, "counts:counts_other");

	check_int(breakpoint_info(call).standing, 1);
	check_int(breakpoint_info(call).functions, 1);
	check_int(breakpoint_info(call).inactive, 0);
	unsigned long calls = calls_after(&v, "call 500");
	check_int(calls, 500 * atol(threads));
	check_int(breakpoint_info(call).hits, calls);
	check_int(breakpoint_info(other).hits, calls);
	end(&c, &v);
}

static void calm_down(struct victim *v)
{
	victim_say(v, "calm");
	check(strncmp(victim_line(v), "done ", 5) == 0);
}

TEST(counts_equal_the_victims_own)
{
	count_threads_calls("1");
}

TEST(counts_equal_the_victims_own_with_sixteen_threads)
{
	count_threads_calls("16");
}

/* ---- where ---------------------------------------------------------------------------------------------- */

static int count_places(const struct tether_breakpoint_place *place, void *data)
{
	char *names = data;

	if (strncmp(place->symbol, "counts_", 7) == 0 && place->standing == 1)
		strcat(strcat(names, place->symbol), " ");
	check_int(place->pid != 0, 1);
	return 0;
}

static bool contains(const char *names, const char *name)
{
	return strstr(names, name) != NULL;
}

TEST(a_pattern_stands_at_every_function_that_it_matches)
{
	struct victim v = victim_start("counts", "1", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct tether_breakpoint *all = count_at(process, "*/counts:counts_*");
	char names[1024] = "";

	check_int(tether_breakpoint_places(all, count_places, names), 0);
	check(contains(names, "counts_call ") && contains(names, "counts_other ") && contains(names, "counts_alone "));
	/* The second instruction of each, where that is known: endbr64 has four bytes. */
	uint64_t address = 0;
	check_int(tether_breakpoint_places(all, first_address, &address), 1);
	unsigned char first[4];
	check_int(tether_read(process, address, first, 4), 4);
	struct tether_breakpoint *second = memcmp(first, "\xf3\x0f\x1e\xfa", 4) == 0 ? count_at(process, "a.out:counts_*+0x4") : NULL;
	calls_after(&v, "call 20");
	calls_after(&v, "alone");
	check_int(breakpoint_info(all).hits, 41);
	if (second)
		check_int(breakpoint_info(second).hits, 41);
	struct tether_breakpoint *libc = count_at(process, "libc.so.6:mall*");
	check(breakpoint_info(libc).standing >= 5);
	check_int(breakpoint_info(libc).inactive, 0);
	end(&c, &v);
}

/* The linker's entry of the program comes later than the program: it is no other object for that. */
TEST(an_address_that_was_given_before_the_linker_ran_stays)
{
	struct client c = client_open();
	struct tether *process = client_create(&c, 0, TETHER_STOP_CREATE, "quiet", "0", NULL);
	struct tether_symbol symbol = { .size = sizeof(symbol) };
	char text[256];

	check_int(tether_symbol_find(process, "main", NULL, &symbol, text, sizeof(text)), 0);
	struct tether_breakpoint *at_main =
		breakpoint_add(process, (struct tether_breakpoint_opts){ .address = symbol.address, .flags = TETHER_BREAKPOINT_COUNT });
	check_int(breakpoint_info(at_main).standing, 1);
	check_int(tether_continue(process), 0);
	client_await(&c, "exit", 1);
	check_int(breakpoint_info(at_main).hits, 1);
	client_close(&c);
}

TEST(an_address_is_a_place_too_and_may_be_shared)
{
	struct victim v = victim_start("counts", "2", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct tether_breakpoint *named = count_at(process, "a.out:counts_call");
	uint64_t address = address_of(named);
	struct tether_breakpoint *more[7];

	for (int i = 0; i < 7; i++)
		more[i] = breakpoint_add(process, (struct tether_breakpoint_opts){ .address = address, .flags = TETHER_BREAKPOINT_COUNT });
	check_int(refused(process, (struct tether_breakpoint_opts){ .address = address, .flags = TETHER_BREAKPOINT_COUNT }),
		  -TETHER_ELIMIT);
	calls_after(&v, "call 50");
	check_int(breakpoint_info(named).hits, 100);
	check_int(breakpoint_info(more[6]).hits, 100);
	check_int(tether_breakpoint_remove(named), 0);
	for (int i = 0; i < 6; i++)
		check_int(tether_breakpoint_remove(more[i]), 0);
	calls_after(&v, "call 50");
	check_int(breakpoint_info(more[6]).hits, 200);
	check_int(tether_breakpoint_remove(more[6]), 0);
	check(byte_at(v.pid, address) != 0xcc);
	struct tether_stats stats = { .size = sizeof(stats) }, later = stats;
	check_int(tether_stats_get(c.session, &stats), 0);
	calls_after(&v, "call 50");
	check_int(tether_stats_get(c.session, &later), 0);
	check_int(later.hits - stats.hits, 0);
	end(&c, &v);
}

TEST(what_makes_no_sense_is_refused)
{
	static const char *const malformed[] = { "", "malloc", ":malloc", "libc.so.6:", "libc.so.6:+4", "libc.so.6:malloc+",
						 "libc.so.6:malloc+x", "libc.so.6:malloc+4z", "libc.so.6:malloc+-4" };
	struct victim v = victim_start("counts", "1", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	const uint32_t counts = TETHER_BREAKPOINT_COUNT;

	for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++)
		check_int(refused(process, (struct tether_breakpoint_opts){ .where = malformed[i], .flags = counts }),
			  -TETHER_EINVALID);
	const char *where = "a.out:counts_call";
	check_int(refused(process, (struct tether_breakpoint_opts){ .where = where }), -TETHER_EINVALID);
	check_int(refused(process, (struct tether_breakpoint_opts){ .flags = counts }), -TETHER_EINVALID);
	check_int(refused(process, (struct tether_breakpoint_opts){ .where = where, .flags = 64 | counts }), -TETHER_EINVALID);
	check_int(refused(process, (struct tether_breakpoint_opts){ .where = where, .flags = counts | TETHER_BREAKPOINT_ONCE }),
		  -TETHER_EINVALID);
	check_int(refused(process, (struct tether_breakpoint_opts){ .where = where, .address = 4096, .flags = counts }),
		  -TETHER_EINVALID);
	/* Nothing is mapped there; and what is, is no code. */
	check_int(refused(process, (struct tether_breakpoint_opts){ .address = 4096, .flags = counts }), -TETHER_EMEMORY);
	struct tether_symbol symbol = { .size = sizeof(symbol) };
	char text[256];
	check_int(tether_symbol_find(process, "stdout", NULL, &symbol, text, sizeof(text)), 0);
	check_int(refused(process, (struct tether_breakpoint_opts){ .address = symbol.address, .flags = counts }),
		  -TETHER_EMEMORY);
	/* In the middle of an instruction. */
	check_int(tether_symbol_find(process, "counts_call", NULL, &symbol, text, sizeof(text)), 0);
	check_int(refused(process, (struct tether_breakpoint_opts){ .address = symbol.address + 1, .flags = counts }),
		  -TETHER_EMEMORY);
	check_int(refused(process, (struct tether_breakpoint_opts){ .where = "a.out:counts_call+1", .flags = counts }),
		  -TETHER_EMEMORY);
	check_int(breakpoint_info(count_at(process, "a.out:counts_c*+1")).standing, 0);
	struct tether *seen = client_grab(&c, v.pid, TETHER_OBSERVE);
	check_int(refused(seen, (struct tether_breakpoint_opts){ .where = where, .flags = counts }), -TETHER_EMODE);
	end(&c, &v);
}

TEST(a_victim_that_may_not_be_written_into_has_no_breakpoints)
{
	struct victim v = victim_start("counts", "1", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK | TETHER_NO_MONITOR);

	check_int(refused(process, (struct tether_breakpoint_opts){ .where = "a.out:main", .flags = TETHER_BREAKPOINT_COUNT }),
		  -TETHER_EMONITOR);
	end(&c, &v);
}

/* ---- records -------------------------------------------------------------------------------------------- */

struct heard {
	unsigned records;
	uint64_t last, first_argument, second_argument;
	struct tether_breakpoint *another;
	struct tether *process;
	bool remove_itself;
	pid_t pid;
	char symbol[64];
};

static void on_hit(const struct tether_hit *hit, void *data)
{
	struct heard *heard = data;

	heard->records++;
	heard->last = hit->number;
	heard->first_argument = hit->argument[0];
	heard->second_argument = hit->argument[1];
	check_int(hit->pid, heard->pid);
	check(hit->tid >= hit->pid);
	check(hit->t_ns != 0);
	snprintf(heard->symbol, sizeof(heard->symbol), "%s", hit->symbol);
	if (heard->remove_itself)
		check_int(tether_breakpoint_remove(hit->breakpoint), 0);
	if (heard->remove_itself && heard->process)
		heard->another = count_at(heard->process, "a.out:counts_other");
}

TEST(each_hit_is_told_once_in_order_with_its_arguments)
{
	struct victim v = victim_start("counts", "1", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct heard heard = { .pid = v.pid }, late = { .pid = v.pid };

	struct tether_breakpoint *told = breakpoint_add(process, (struct tether_breakpoint_opts){ .where = "a.out:counts_call", .handler = on_hit, .data = &heard });
	breakpoint_add(process, (struct tether_breakpoint_opts){ .where = "a.out:counts_call", .handler = on_hit, .data = &late, .ignore = 195 });
	calls_after(&v, "call 200");
	client_drain(&c, 200);
	check_int(heard.records, 200);
	check_int(heard.last, 200);
	check_int(heard.first_argument, 199);
	check_int(heard.second_argument, 7);
	check_same("counts_call", heard.symbol);
	check_int(late.records, 5);
	check_int(breakpoint_info(told).hits, 200);
	end(&c, &v);
}

TEST(one_shot_is_told_once_by_sixteen_threads)
{
	struct victim v = victim_start("counts", "16", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct heard heard = { .pid = v.pid };

	struct tether_breakpoint *once = breakpoint_add(process, (struct tether_breakpoint_opts){ .where = "a.out:counts_call", .handler = on_hit,
		.data = &heard, .flags = TETHER_BREAKPOINT_ONCE, .ignore = 9 });
	calls_after(&v, "call 100");
	client_drain(&c, 200);
	check_int(heard.records, 1);
	check_int(heard.last, 10);
	check_int(breakpoint_info(once).hits, 10);
	check_int(breakpoint_info(once).done, 1);
	check_int(breakpoint_info(once).standing, 0);
	check_int(tether_breakpoint_enable(once, 1), -TETHER_ESTATE);
	check(byte_at(v.pid, address_of(count_at(process, "a.out:counts_call"))) == 0xcc);
	end(&c, &v);
}

TEST(a_handler_removes_its_own_and_adds_another)
{
	struct victim v = victim_start("counts", "2", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct heard heard = { .pid = v.pid, .remove_itself = true, .process = process };

	breakpoint_add(process, (struct tether_breakpoint_opts){ .where = "a.out:counts_call", .handler = on_hit, .data = &heard });
	calls_after(&v, "call 50");
	client_drain(&c, 200);
	/* The other 99 were queued, and dropped. */
	check_int(heard.records, 1);
	check(heard.another != NULL);
	calls_after(&v, "call 50");
	check_int(breakpoint_info(heard.another).hits, 100);
	end(&c, &v);
}

TEST(what_is_disabled_counts_nothing_and_what_is_enabled_again_does)
{
	struct victim v = victim_start("counts", "1", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct tether_breakpoint *call = breakpoint_add(process, (struct tether_breakpoint_opts){ .where = "a.out:counts_call",
		.flags = TETHER_BREAKPOINT_COUNT | TETHER_BREAKPOINT_DISABLED });

	calls_after(&v, "call 10");
	check_int(breakpoint_info(call).hits, 0);
	check_int(breakpoint_info(call).standing, 0);
	check_int(tether_breakpoint_enable(call, 1), 0);
	calls_after(&v, "call 10");
	check_int(breakpoint_info(call).hits, 10);
	uint64_t address = address_of(call);
	check(byte_at(v.pid, address) == 0xcc);
	check_int(tether_breakpoint_enable(call, 0), 0);
	check(byte_at(v.pid, address) != 0xcc);
	calls_after(&v, "call 10");
	check_int(breakpoint_info(call).hits, 10);
	end(&c, &v);
}

TEST(planted_and_lifted_under_load_harms_nobody)
{
	struct victim v = victim_start("counts", "4", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct tether_breakpoint *call = count_at(process, "a.out:counts_call");
	uint64_t before = 0;

	victim_ask(&v, "storm", "storming");
	for (int i = 0; i < 100; i++) {
		check_int(tether_breakpoint_enable(call, 0), 0);
		uint64_t hits = breakpoint_info(call).hits;
		check(hits >= before);
		before = hits;
		struct tether_breakpoint *second = count_at(process, "a.out:counts_call");
		check_int(tether_breakpoint_enable(call, 1), 0);
		check_int(tether_breakpoint_remove(second), 0);
	}
	check(before > 0);
	calm_down(&v);
	end(&c, &v);
}

/* ---- what comes and goes -------------------------------------------------------------------------------- */

TEST(a_library_that_is_not_loaded_is_waited_for_and_its_constructor_seen)
{
	struct victim v = victim_start("counts", "1", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct tether_breakpoint *work = count_at(process, "counts-plugin.so:counts_work");

	check_int(breakpoint_info(work).standing, 0);
	for (int i = 1; i <= 20; i++) {
		calls_after(&v, "plugin");
		check_int(breakpoint_info(work).hits, 10 * i);
	}
	check_int(breakpoint_info(work).standing + breakpoint_info(work).inactive, 0);
	check_int(breakpoint_info(work).functions, 1);
	end(&c, &v);
}

TEST(a_breakpoint_waits_for_the_next_program_and_keeps_its_count)
{
	struct victim v = victim_start("counts", "2", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct tether_breakpoint *call = count_at(process, "a.out:counts_call");
	struct tether_breakpoint *start = count_at(process, "a.out:main");
	struct tether_breakpoint *begin = count_at(process, "a.out:_init");
	breakpoint_add(process, (struct tether_breakpoint_opts){ .address = address_of(call), .flags = TETHER_BREAKPOINT_COUNT });

	for (int i = 1; i <= 5; i++) {
		calls_after(&v, "call 10");
		victim_ask(&v, "exec", "ready");
		check_int(breakpoint_info(call).hits, 20 * i);
		check_int(breakpoint_info(start).hits, i);
		check_int(breakpoint_info(begin).hits, i);
		check(eventually(stands_once, call, 5000));
	}
	check_int(calls_after(&v, "call 10"), breakpoint_info(call).hits);
	client_await(&c, "main", 5);
	end(&c, &v);
}

TEST(children_count_into_the_same)
{
	struct victim v = victim_start("counts", "2", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct tether_breakpoint *call = count_at(process, "a.out:counts_call");

	calls_after(&v, "call 5");
	for (int i = 0; i < 10; i++)
		calls_after(&v, "fork 7");
	check_int(breakpoint_info(call).hits, 80);
	check_int(calls_after(&v, "vfork 100"), breakpoint_info(call).hits);
	check_int(breakpoint_info(call).hits, 180);
	client_await(&c, "exit 4", 100);
	client_await(&c, "exit 3", 10);
	check_int(breakpoint_info(call).standing, 1);
	end(&c, &v);
}

TEST(children_that_are_not_followed_count_nothing)
{
	struct victim v = victim_start("counts", "1", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK | TETHER_NO_FOLLOW);
	struct tether_breakpoint *call = count_at(process, "a.out:counts_call");

	calls_after(&v, "call 5");
	calls_after(&v, "fork 7");
	calls_after(&v, "vfork 20");
	check_int(breakpoint_info(call).hits, 5);
	end(&c, &v);
}

TEST(what_is_removed_while_children_are_made_stands_in_none)
{
	struct victim v = victim_start("counts", "1", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);

	for (int i = 0; i < 50; i++) {
		struct tether_breakpoint *call = count_at(process, "a.out:counts_call");

		victim_say(&v, "fork 3");
		check_int(tether_breakpoint_remove(call), 0);
		check(strncmp(victim_line(&v), "done ", 5) == 0);
	}
	end(&c, &v);
}

TEST(a_created_program_is_counted_from_its_first_instruction)
{
	static const char *const programs[] = { "counts", "counts-static" };

	for (size_t i = 0; i < 2; i++) {
		struct client c = client_open();
		struct tether *process = client_create(&c, 0, TETHER_STOP_CREATE, programs[i], "1", NULL);
		struct tether_breakpoint *start = count_at(process, "a.out:main");
		struct tether_breakpoint *begin = count_at(process, "a.out:_start");
		struct tether_breakpoint *late = count_at(process, "a.out:counts_call");

		check_int(tether_continue(process), 0);
		client_await(&c, "main", 1);
		client_await(&c, "exit", 1);
		check_int(breakpoint_info(start).hits, 1);
		check_int(breakpoint_info(begin).hits, 1);
		check_int(breakpoint_info(late).hits, 0);
		client_close(&c);
	}
}

TEST(a_static_program_that_is_executed_is_counted)
{
	struct victim v = victim_start("counts-static", "1", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct tether_breakpoint *call = count_at(process, "a.out:counts_call");
	struct tether_breakpoint *begin = count_at(process, "a.out:_start");

	for (int i = 1; i <= 5; i++) {
		calls_after(&v, "call 10");
		victim_ask(&v, "exec", "ready");
		check_int(breakpoint_info(begin).hits, i);
		check_int(breakpoint_info(call).hits, 10 * i);
	}
	end(&c, &v);
}

/* ---- the end -------------------------------------------------------------------------------------------- */

TEST(released_under_load_with_breakpoints_the_victim_is_whole)
{
	struct victim v = victim_start("counts", "8", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct tether_breakpoint *call = count_at(process, "a.out:counts_*"), *all = count_at(process, "libc.so.6:*alloc*");

	victim_ask(&v, "storm", "storming");
	usleep(50000);
	check_int(tether_release(process), 0);
	check(breakpoint_info(call).hits > 0);
	check_int(breakpoint_info(call).standing + breakpoint_info(all).standing, 0);
	check_untraced(v.pid);
	check_text_whole(v.pid);
	check_int(tether_breakpoint_remove(call), 0);
	calm_down(&v);
	end(&c, &v);
}

TEST(parked_with_breakpoints_its_text_is_whole_and_read_so_at_all_times)
{
	struct victim v = victim_start("counts", "1", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, 0);
	struct tether_breakpoint *call = count_at(process, "a.out:counts_call");
	uint64_t address = address_of(call);
	unsigned char byte;

	check_text_whole(v.pid);
	check_int(tether_continue(process), 0);
	calls_after(&v, "call 3");
	check_int(breakpoint_info(call).hits, 3);
	check_int(tether_read(process, address, &byte, 1), 1);
	check(byte != 0xcc);
	end(&c, &v);
}

TEST(counts_stay_when_the_victim_has_ended)
{
	struct victim v = victim_start("counts", "2", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct tether_breakpoint *call = count_at(process, "a.out:counts_call");

	calls_after(&v, "call 30");
	check_int(victim_end(&v), 0);
	client_await(&c, "exit", 1);
	check_int(breakpoint_info(call).hits, 60);
	check_int(refused(process, (struct tether_breakpoint_opts){ .where = "a.out:main", .flags = TETHER_BREAKPOINT_COUNT }),
		  -TETHER_EGONE);
	check_int(tether_breakpoint_remove(call), 0);
	client_close(&c);
}

TEST(the_end_of_the_session_ends_breakpoints_with_records_in_its_queue)
{
	struct victim v = victim_start("counts", "4", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct heard heard = { .pid = v.pid };

	breakpoint_add(process, (struct tether_breakpoint_opts){ .where = "a.out:counts_call", .handler = on_hit, .data = &heard });
	count_at(process, "nothing.so:nothing");
	calls_after(&v, "call 100");
	check_int(heard.records, 0);
	end(&c, &v);
}
