/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Handlers for which a thread stands: what it has can be read and written, what they answer is done, and whatever ends
 * meanwhile, the victim is whole.
 */
#include "stops.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/user.h>
#include <unistd.h>

struct places {
	uint64_t value, text, constant;
};

static struct places places_of(struct victim *v)
{
	struct places at;

	victim_say(v, "where");
	if (sscanf(victim_line(v), "at %lx %lx %lx", &at.value, &at.text, &at.constant) != 3)
		fail("the victim does not say where");
	return at;
}

static int64_t thread_of(struct victim *v)
{
	long tid;

	if (sscanf(victim_line(v), "thread %ld", &tid) != 1)
		fail("the victim does not say its thread");
	return tid;
}

/* ---- registers ------------------------------------------------------------------------------------------- */

/* No thread can have that cs, and it is not the first register of the set: none of them is changed. */
static int half_wrong(const struct tether_hit *hit)
{
	struct user_regs_struct regs;
	uint64_t before;

	if (tether_registers_get(hit->process, hit->tid, TETHER_REGISTERS_GENERAL, &regs, sizeof(regs), NULL) < 0)
		return 1;
	before = regs.r15;
	regs.r15 = ~before;
	regs.rdi = 5;
	regs.cs = 0x10;
	int result = tether_registers_set(hit->process, hit->tid, TETHER_REGISTERS_GENERAL, &regs, sizeof(regs));
	return reg(hit, "r15") == before ? result : 2;
}

static enum tether_answer change_arguments(const struct tether_hit *hit, void *data)
{
	struct script *s = data;

	s->value[0] = reg(hit, "rdi");
	s->value[1] = reg(hit, "rsi");
	s->value[2] = reg(hit, "pc");
	s->value[3] = reg(hit, "rip");
	s->result[0] = set_reg(hit, "rdi", 1000);
	s->result[1] = set_reg(hit, "nothing", 1);
	s->result[2] = tether_register_get(hit->process, hit->tid, "rax", s->value, 4);
	s->result[3] = half_wrong(hit);
	s->value[4] = reg(hit, "rdi");
	note(s, hit);
	return TETHER_ANSWER_GO;
}

TEST(a_handler_sees_and_changes_the_arguments_of_a_call)
{
	struct victim v = victim_start("stands", "1", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct script s = { 0 };

	stop_at(process, "a.out:stands_sum", change_arguments, &s);
	check_int(done(&v, "sum 3 4"), 1004);
	check_int(calls(&s), 1);
	check_int(s.value[1], 4);
	check_int(s.value[2], s.address);
	check_int(s.value[3], s.address);
	check_int(s.result[0], 0);
	check_int(s.result[1], -TETHER_ENOTFOUND);
	check_int(s.result[2], -TETHER_EINVALID);
	check_int(s.result[3], -TETHER_EINVALID);
	check_int(s.value[4], 1000);
	check_int(tether_registers_get(process, v.pid, TETHER_REGISTERS_GENERAL, NULL, 0, NULL), -TETHER_ESTATE);
	end(&c, &v);
}

/* Back to the caller with a result of its own: the function is not run. */
static enum tether_answer return_at_once(const struct tether_hit *hit, void *data)
{
	struct script *s = data;
	struct user_regs_struct regs;
	uint64_t back;
	uint32_t machine = 0;

	s->result[0] = (int)tether_registers_get(hit->process, hit->tid, TETHER_REGISTERS_GENERAL, &regs, sizeof(regs),
						 &machine);
	s->result[1] = (int)machine;
	s->result[2] = (int)tether_read(hit->process, regs.rsp, &back, sizeof(back));
	regs.rip = back;
	regs.rsp += 8;
	regs.rax = 77;
	s->result[3] = tether_registers_set(hit->process, hit->tid, TETHER_REGISTERS_GENERAL, &regs, sizeof(regs));
	s->result[4] = tether_registers_set(hit->process, hit->tid, TETHER_REGISTERS_GENERAL, &regs, 8);
	s->result[5] = tether_registers_set(hit->process, hit->tid, 0x204, &regs, 8);
	note(s, hit);
	return TETHER_ANSWER_GO;
}

TEST(a_thread_whose_pc_is_moved_goes_on_there)
{
	static const char *const places[] = { "a.out:stands_sum", "a.out:stands_constant" };
	struct victim v = victim_start("stands", "1", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct script s = { 0 };

	for (size_t i = 0; i < 2; i++) {
		struct tether_breakpoint *breakpoint = stop_at(process, places[i], return_at_once, &s);

		check_int(done(&v, i ? "constant" : "sum 3 4"), 77);
		check_int(calls(&s), i + 1);
		check_int(s.result[0], sizeof(struct user_regs_struct));
		check_int(s.result[1], TETHER_MACHINE_X86_64);
		check_int(s.result[2], 8);
		check_int(s.result[3], 0);
		check_int(s.result[4], -TETHER_EINVALID);
		check_int(s.result[5], -TETHER_EINVALID);
		check_int(tether_breakpoint_remove(breakpoint), 0);
	}
	check_int(done(&v, "constant"), 7);
	end(&c, &v);
}

static enum tether_answer change_vector(const struct tether_hit *hit, void *data)
{
	struct script *s = data;
	uint64_t word[8] = { 0 }, wide[4] = { 0xa, 0xb, 0xc, 0xd };
	bool avx = __builtin_cpu_supports("avx");

	s->result[0] = tether_register_get(hit->process, hit->tid, avx ? "ymm5" : "xmm5", word, sizeof(word));
	memcpy(s->value, word, sizeof(s->value));
	s->result[1] = (int)tether_registers_get(hit->process, hit->tid, TETHER_REGISTERS_VECTOR, NULL, 0, NULL);
	s->result[2] = (int)tether_registers_get(hit->process, hit->tid, TETHER_REGISTERS_FLOAT, NULL, 0, NULL);
	s->result[3] = (int)reg(hit, "fctrl");
	s->result[4] = (int)reg(hit, "mxcsr");
	s->result[5] = tether_register_set(hit->process, hit->tid, avx ? "ymm5" : "xmm5", wide, avx ? 32 : 16);
	s->result[6] = tether_register_get(hit->process, hit->tid, "xmm5", word, 16);
	s->result[7] = word[0] == 0xa && word[1] == 0xb;
	note(s, hit);
	return TETHER_ANSWER_GO;
}

TEST(vector_registers_are_read_and_written)
{
	struct victim v = victim_start("stands", "1", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct script s = { 0 };
	bool avx = __builtin_cpu_supports("avx");

	stop_at(process, "a.out:stands_mark", change_vector, &s);
	victim_say(&v, "vector");
	check_same(avx ? "done a b c d" : "done a b 3333 4444", victim_line(&v));
	check_int(calls(&s), 1);
	check_int(s.result[0], avx ? 32 : 16);
	check_int(s.value[0], 0x1111);
	check_int(s.value[1], 0x2222);
	if (avx)
		check_int(s.value[3], 0x4444);
	check(s.result[1] > 512);
	check_int(s.result[2], sizeof(struct user_fpregs_struct));
	check_int(s.result[3], 0x37f);
	check_int(s.result[4], 0x1f80);
	check_int(s.result[5], 0);
	check_int(s.result[6], 16);
	check_int(s.result[7], 1);
	end(&c, &v);
}

/* Blocked in read(2), all of them: what is written as it was read changes nothing, and the calls go on. */
TEST(registers_and_memory_of_a_parked_process_are_read_and_written)
{
	struct victim v = victim_start("stands", "1", NULL);
	struct client c = client_open();
	struct places at = places_of(&v);
	unsigned char vector[TETHER_REGISTERS_MAX];
	long value = 99;

	victim_say(&v, "other 5");
	int64_t tids[] = { v.pid, thread_of(&v) };
	struct tether *process = client_grab(&c, v.pid, 0);
	for (size_t i = 0; i < 2; i++) {
		struct user_regs_struct regs;

		check_int(tether_registers_get(process, tids[i], TETHER_REGISTERS_GENERAL, &regs, sizeof(regs), NULL),
			  sizeof(regs));
		check(regs.rip && regs.rsp);
		check_int(tether_registers_set(process, tids[i], TETHER_REGISTERS_GENERAL, &regs, sizeof(regs)), 0);
		int64_t size = tether_registers_get(process, tids[i], TETHER_REGISTERS_VECTOR, vector, sizeof(vector), NULL);
		check(size > 512);
		check_int(tether_registers_set(process, tids[i], TETHER_REGISTERS_VECTOR, vector, (size_t)size), 0);
		check_int(tether_registers_set(process, tids[i], TETHER_REGISTERS_VECTOR, vector, (size_t)size - 8),
			  -TETHER_EINVALID);
	}
	check_int(tether_registers_get(process, getpid(), TETHER_REGISTERS_GENERAL, NULL, 0, NULL), -TETHER_ESTATE);
	check_int(tether_write(process, at.value, &value, sizeof(value)), 0);
	check_int(tether_continue(process), 0);
	check_int(tether_write(process, at.value, &value, sizeof(value)), -TETHER_ESTATE);
	victim_say(&v, "go");
	check_int(done(&v, NULL), 15);
	check_int(done(&v, "value"), 99);
	end(&c, &v);
}

TEST(registers_have_names_and_numbers)
{
	check_same("rdi", tether_register_name(TETHER_MACHINE_X86_64, 5));
	check_same("rip", tether_register_name(TETHER_MACHINE_X86_64, 16));
	check_same("esp", tether_register_name(TETHER_MACHINE_I386, 4));
	check(!tether_register_name(TETHER_MACHINE_X86_64, 48));
	check(!tether_register_name(TETHER_MACHINE_X86_64, 1000));
	check(!tether_register_name(0, 0));
}

/* ---- memory ---------------------------------------------------------------------------------------------- */

static int stack_of_hit(const struct tether_stack *stack, void *data)
{
	struct script *s = data;

	if (stack->tid == s->tid)
		s->value[7] = stack->frame_count;
	return 0;
}

struct writer {
	struct script s;
	struct places at;
};

static enum tether_answer write_memory(const struct tether_hit *hit, void *data)
{
	struct writer *w = data;
	struct script *s = &w->s;
	static const char text[] = "as it is", refused[128 + 4096] = "refused";
	long value = 4711;
	struct tether_snapshot_opts opts = { .size = sizeof(opts), .flags = TETHER_SNAPSHOT_NO_NAMES };

	s->result[0] = tether_write(hit->process, w->at.value, &value, sizeof(value));
	s->result[1] = tether_write(hit->process, w->at.text, text, sizeof(text));
	/* also where the victim may not write itself */
	s->result[2] = tether_write(hit->process, w->at.constant, text, sizeof(text));
	s->result[3] = tether_write(hit->process, 0x10, text, sizeof(text));
	s->result[4] = tether_write(hit->process, UINT64_MAX - 3, text, sizeof(text));
	s->result[5] = tether_write(hit->process, w->at.value, refused, TETHER_WRITE_MAX + 1);
	s->result[6] = tether_write(hit->process, w->at.value, NULL, 0);
	s->tid = hit->tid;
	s->result[7] = tether_snapshot(hit->process, &opts, stack_of_hit, s, NULL);
	note(s, hit);
	return TETHER_ANSWER_GO;
}

TEST(a_handler_writes_memory_and_takes_stacks)
{
	struct victim v = victim_start("stands", "1", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct writer w = { .at = places_of(&v) };
	char text[16] = "";
	long value = 1;

	check_int(tether_write(process, w.at.value, &value, sizeof(value)), -TETHER_ESTATE);
	stop_at(process, "a.out:stands_sum", write_memory, &w);
	check_int(done(&v, "sum 1 1"), 2);
	check_int(calls(&w.s), 1);
	check_int(w.s.result[0], 0);
	check_int(w.s.result[1], 0);
	check_int(w.s.result[2], 0);
	check_int(w.s.result[3], -TETHER_EMEMORY);
	check_int(w.s.result[4], -TETHER_EMEMORY);
	check_int(w.s.result[5], -TETHER_ELIMIT);
	check_int(w.s.result[6], 0);
	check_int(w.s.result[7], 0);
	check(w.s.value[7] > 1);
	victim_say(&v, "value");
	check_same("done 4711 as it is", victim_line(&v));
	check_int(tether_read(process, w.at.constant, text, 9), 9);
	check_same("as it is", text);
	end(&c, &v);
}

/* A whole write or none: the last page is not there. */
static enum tether_answer write_over_the_end(const struct tether_hit *hit, void *data)
{
	struct writer *w = data;
	unsigned char bytes[TETHER_WRITE_MAX], before[TETHER_WRITE_MAX];
	uint64_t sp = reg(hit, "sp"), at = sp & ~UINT64_C(0xfff);

	/* up to the end of the stack, and beyond */
	while (tether_read(hit->process, at + 4096, before, 1) == 1)
		at += 4096;
	w->s.result[0] = (int)tether_read(hit->process, at, before, 4096);
	memset(bytes, 0x5a, sizeof(bytes));
	w->s.result[1] = tether_write(hit->process, at, bytes, 8192);
	w->s.result[2] = (int)tether_read(hit->process, at, bytes, 4096);
	w->s.result[3] = memcmp(bytes, before, 4096);
	note(&w->s, hit);
	return TETHER_ANSWER_GO;
}

TEST(a_write_that_is_refused_has_written_nothing)
{
	struct victim v = victim_start("stands", "1", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct writer w = { .at = places_of(&v) };

	stop_at(process, "a.out:stands_sum", write_over_the_end, &w);
	check_int(done(&v, "sum 1 1"), 2);
	check_int(calls(&w.s), 1);
	check_int(w.s.result[0], 4096);
	check_int(w.s.result[1], -TETHER_EMEMORY);
	check_int(w.s.result[2], 4096);
	check_int(w.s.result[3], 0);
	end(&c, &v);
}

/* The instruction under the trap becomes another one: mov $9, %eax. */
static enum tether_answer change_code(const struct tether_hit *hit, void *data)
{
	static const unsigned char other[] = { 0xb8, 9, 0, 0, 0 }, trap[] = { 0xcc, 9 };
	struct script *s = data;
	unsigned char now[5] = { 0 };

	s->result[0] = tether_write(hit->process, hit->address, trap, sizeof(trap));
	s->result[1] = tether_write(hit->process, hit->address + 1, other + 1, 2);
	s->result[2] = tether_write(hit->process, hit->address, other, sizeof(other));
	s->result[3] = (int)tether_read(hit->process, hit->address, now, sizeof(now));
	s->result[4] = memcmp(now, other, sizeof(now));
	note(s, hit);
	return TETHER_ANSWER_GO;
}

static enum tether_answer change_code_back(const struct tether_hit *hit, void *data)
{
	static const unsigned char home[] = { 0xb8, 7, 0, 0, 0 };
	struct script *s = data;

	s->result[5] = tether_write(hit->process, hit->address, home, sizeof(home));
	note(s, hit);
	return TETHER_ANSWER_GO;
}

TEST(code_that_is_written_where_a_breakpoint_stands_is_run_and_the_breakpoint_stays)
{
	struct victim v = victim_start("stands", "1", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct script s = { 0 };
	struct tether_breakpoint *breakpoint = stop_at(process, "a.out:stands_constant", change_code, &s), *back;

	for (int i = 1; i <= 3; i++) {
		check_int(done(&v, "constant"), 9);
		check_int(calls(&s), i);
	}
	check_int(s.result[0], -TETHER_EINVALID);
	check_int(s.result[1], 0);
	check_int(s.result[2], 0);
	check_int(s.result[3], 5);
	check_int(s.result[4], 0);
	check_int(tether_breakpoint_remove(breakpoint), 0);
	check_int(done(&v, "constant"), 9);
	back = stop_at(process, "a.out:stands_constant", change_code_back, &s);
	check_int(done(&v, "constant"), 7);
	check_int(calls(&s), 4);
	check_int(s.result[5], 0);
	check_int(tether_breakpoint_remove(back), 0);
	check_int(done(&v, "constant"), 7);
	end(&c, &v);
}

/* ---- answers --------------------------------------------------------------------------------------------- */

TEST(a_thread_that_is_to_stay_stays_alone)
{
	struct victim v = victim_start("stands", "2", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct script s = { .answer = TETHER_ANSWER_STAY };
	uint64_t value = 0;

	check_int(done(&v, "begin"), 0);
	struct tether_breakpoint *breakpoint =
		breakpoint_add(process, (struct tether_breakpoint_opts){
				     .where = "a.out:stands_sum", .stop = answer, .data = &s, .tid = v.pid });
	victim_say(&v, "sum 5 6");
	check(eventually(was_called, &s, 5000));
	while (tether_register_get(process, v.pid, "rdi", &value, sizeof(value)) == -TETHER_ESTATE)
		usleep(1000);
	check_int(value, 5);
	check_int(state_of(process), TETHER_STATE_RUNNING);
	check_int(task_state(v.pid), 't');
	value = 50;
	check_int(tether_register_set(process, v.pid, "rdi", &value, sizeof(value)), 0);
	check_int(tether_thread_continue(process, v.pid + 100000), -TETHER_ESTATE);
	check_int(tether_thread_continue(process, v.pid), 0);
	check_int(done(&v, NULL), 56);
	check_int(tether_thread_continue(process, v.pid), -TETHER_ESTATE);
	check_int(breakpoint_info(breakpoint).hits, 1);

	victim_say(&v, "sum 5 7");
	while (calls(&s) < 2)
		usleep(1000);
	__atomic_store_n(&s.answer, TETHER_ANSWER_GO, __ATOMIC_SEQ_CST);
	/* the answer of a handler that has returned arrives a moment later */
	while (tether_thread_continue(process, v.pid) == -TETHER_ESTATE)
		usleep(1000);
	check_int(done(&v, NULL), 12);
	check(done(&v, "end") > 0);
	end(&c, &v);
}

TEST(stop_all_parks_the_process_with_its_text_whole)
{
	struct victim v = victim_start("stands", "4", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct script s = { .answer = TETHER_ANSWER_STOP_ALL };
	uint64_t value = 0;

	stop_at(process, "a.out:stands_sum", answer, &s);
	for (unsigned i = 1; i <= 5; i++) {
		victim_say(&v, "sum 5 6");
		client_await(&c, "parked", i);
		check_int(state_of(process), TETHER_STATE_PARKED);
		check_text_whole(v.pid);
		check_int(tether_register_get(process, v.pid, "rsi", &value, sizeof(value)), 8);
		check_int(value, 6);
		value = i;
		check_int(tether_register_set(process, v.pid, "rsi", &value, sizeof(value)), 0);
		check_int(tether_continue(process), 0);
		check_int(done(&v, NULL), 5 + i);
	}
	check_int(calls(&s), 5);
	end(&c, &v);
}

/* Where a thread stands that nobody traces. */
static uint64_t place_of(pid_t pid, int64_t tid)
{
	char path[64], line[256] = "", *last;

	snprintf(path, sizeof(path), "/proc/%d/task/%lld/syscall", pid, (long long)tid);
	FILE *file = fopen(path, "r");
	if (!file)
		return 0;
	check(fgets(line, sizeof(line), file));
	fclose(file);
	last = strrchr(line, ' ');
	return last ? strtoull(last, NULL, 16) : 0;
}

TEST(left_stopped_no_thread_goes_on_from_where_it_was_parked)
{
	for (int i = 0; i < 15; i++) {
		struct victim v = victim_start("stands", "6", NULL);
		struct client c = client_open();
		struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
		struct script s = { .answer = TETHER_ANSWER_STOP_ALL };

		check_int(done(&v, "begin"), 0);
		breakpoint_add(process, (struct tether_breakpoint_opts){ .where = "a.out:stands_sum", .stop = answer, .data = &s,
							      .flags = TETHER_BREAKPOINT_ONCE });
		client_await(&c, "parked", 1);
		check_int(calls(&s), 1);
		check_int(tether_detach(process, TETHER_MODE_HANG), 0);
		check(eventually(is_stopped_and_free, &v.pid, 5000));
		check_int(place_of(v.pid, s.tid), s.address);
		check_int(kill(v.pid, SIGCONT), 0);
		check(done(&v, "end") > 0);
		end(&c, &v);
	}
}

TEST(while_it_is_parked_code_under_a_breakpoint_is_written)
{
	static const unsigned char other[] = { 0xb8, 11, 0, 0, 0 }, home[] = { 0xb8, 7, 0, 0, 0 };
	struct victim v = victim_start("stands", "1", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct script s = { .answer = TETHER_ANSWER_STOP_ALL };
	struct tether_breakpoint *breakpoint = stop_at(process, "a.out:stands_constant", answer, &s);

	for (unsigned i = 0; i < 4; i++) {
		victim_say(&v, "constant");
		client_await(&c, "parked", i + 1);
		check_int(tether_write(process, s.address, i % 2 ? home : other, 5), 0);
		check_int(tether_continue(process), 0);
		check_int(done(&v, NULL), i % 2 ? 7 : 11);
		check_int(calls(&s), i + 1);
	}
	check_int(breakpoint_info(breakpoint).standing, 1);
	end(&c, &v);
}

TEST(released_while_its_thread_stays_the_victim_runs_on)
{
	static const enum tether_answer answers[] = { TETHER_ANSWER_STAY, TETHER_ANSWER_STOP_ALL };

	for (int way = 0; way < 6; way++) {
		struct victim v = victim_start("stands", "2", NULL);
		struct client c = client_open();
		struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
		struct script s = { .answer = answers[way % 2] };

		check_int(done(&v, "begin"), 0);
		stop_at(process, "a.out:stands_sum", answer, &s);
		check(eventually(was_called, &s, 5000));
		if (way / 2 == 1)
			check_int(tether_detach(process, TETHER_MODE_RUN), 0);
		else if (way / 2 == 2)
			check_int(tether_release(process), 0);
		client_close(&c);
		check_untraced(v.pid);
		check_text_whole(v.pid);
		check(done(&v, "end") > 0);
		check_int(victim_end(&v), 0);
	}
}

/* ---- many threads, one thread ---------------------------------------------------------------------------- */

TEST_SECONDS(each_of_eight_threads_stands_and_none_is_lost, 60)
{
	struct victim v = victim_start("stands", "8", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct script s = { 0 };
	struct tether_breakpoint *breakpoint = stop_at(process, "a.out:stands_sum", answer, &s);

	check_int(done(&v, "calls 200"), 8 * (200 * 199 / 2 + 200));
	check_int(breakpoint_info(breakpoint).hits, 1600);
	check_int(calls(&s) + breakpoint_info(breakpoint).missed, 1600);
	check_int(s.most_at_once, 1);
	end(&c, &v);
}

static void hear(const struct tether_hit *hit, void *data)
{
	(void)hit;
	__atomic_fetch_add(&((struct script *)data)->calls, 1, __ATOMIC_SEQ_CST);
}

TEST(a_breakpoint_of_one_thread_counts_and_tells_no_other)
{
	struct victim v = victim_start("stands", "4", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct script s = { 0 }, heard = { 0 };
	struct tether_breakpoint *all, *one, *counting, *main_thread, *gone = NULL;
	struct tether_breakpoint_opts opts = { .size = sizeof(opts), .where = "a.out:stands_sum", .stop = answer };

	victim_say(&v, "other 20");
	int64_t tid = thread_of(&v);
	check(tid != v.pid);
	all = breakpoint_add(process, (struct tether_breakpoint_opts){ .where = "a.out:stands_sum", .flags = TETHER_BREAKPOINT_COUNT });
	one = breakpoint_add(process, (struct tether_breakpoint_opts){ .where = "a.out:stands_sum", .stop = answer, .data = &s,
							    .handler = hear, .tid = tid });
	counting = breakpoint_add(process, (struct tether_breakpoint_opts){ .where = "a.out:stands_sum", .tid = tid,
								 .flags = TETHER_BREAKPOINT_COUNT });
	main_thread = breakpoint_add(process, (struct tether_breakpoint_opts){ .where = "a.out:stands_sum", .stop = answer,
								    .data = &heard, .tid = v.pid });
	victim_say(&v, "go");
	check_int(done(&v, NULL), 20 * 19 / 2 + 20);
	check_int(breakpoint_info(one).hits, 20);
	check_int(breakpoint_info(counting).hits, 20);
	check_int(breakpoint_info(all).hits, 20);
	check_int(calls(&s), 20);
	check_int(s.tid, tid);
	client_drain(&c, 50);
	check_int(calls(&s), 40); /* the other handler's too */
	check_int(breakpoint_info(main_thread).hits, 0);

	check_int(done(&v, "sum 1 2"), 3);
	check_int(calls(&heard), 1);
	check_int(done(&v, "calls 10"), 4 * 55);
	check_int(breakpoint_info(one).hits, 20);
	check_int(breakpoint_info(all).hits, 61);
	opts.tid = tid; /* it has ended */
	check_int(tether_breakpoint_add(process, &opts, &gone, NULL), -TETHER_ENOTFOUND);
	opts.tid = getpid();
	check_int(tether_breakpoint_add(process, &opts, &gone, NULL), -TETHER_ENOTFOUND);
	opts.tid = -1;
	check_int(tether_breakpoint_add(process, &opts, &gone, NULL), -TETHER_EINVALID);
	opts.tid = 0;
	opts.flags = TETHER_BREAKPOINT_COUNT;
	check_int(tether_breakpoint_add(process, &opts, &gone, NULL), -TETHER_EINVALID);
	opts.flags = TETHER_BREAKPOINT_FOREVER;
	opts.stop = NULL;
	opts.handler = hear;
	check_int(tether_breakpoint_add(process, &opts, &gone, NULL), -TETHER_EINVALID);
	check(!gone);
	end(&c, &v);
}
