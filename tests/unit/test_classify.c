/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_classify.c - from wait status to what happened, for every form that wait4(2) gives a tracer
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <linux/ptrace.h>

#include "controller/classify.h"

static int stopped(int signal)
{
	return signal << 8 | 0x7f;
}

static int event(int which, int signal)
{
	return which << 16 | stopped(signal);
}

enum { CODE_USER = 0, CODE_KERNEL = 0x80, CODE_TKILL = -6, CODE_BRKPT = 1, CODE_TRACE = 2 };

static void an_end_is_an_end_however_it_came(void **state)
{
	(void)state;
	assert_int_equal(classify(0, 0), STOP_EXIT);
	assert_int_equal(classify(7 << 8, 0), STOP_EXIT);
	assert_int_equal(classify(SIGKILL, 0), STOP_EXIT);
	assert_int_equal(classify(SIGSEGV | 0x80, 0), STOP_EXIT); /* with a core */
}

static void only_a_trap_of_the_kernel_can_be_ours(void **state)
{
	(void)state;
	assert_int_equal(classify(stopped(SIGTRAP), CODE_KERNEL), STOP_TRAP);
	assert_int_equal(classify(stopped(SIGTRAP), CODE_USER), STOP_SIGNAL);
	assert_int_equal(classify(stopped(SIGTRAP), CODE_TKILL), STOP_SIGNAL);
}

static void a_single_step_is_told_by_its_code(void **state)
{
	(void)state;
	assert_int_equal(classify(stopped(SIGTRAP), CODE_TRACE), STOP_STEP);
	assert_int_equal(classify(stopped(SIGTRAP), CODE_BRKPT), STOP_STEP);
}

static void every_other_signal_is_the_victims(void **state)
{
	(void)state;
	for (int signal = 1; signal <= 64; signal++)
		if (signal != SIGTRAP)
			assert_int_equal(classify(stopped(signal), CODE_KERNEL), STOP_SIGNAL);
}

static void system_call_stops_are_no_signals(void **state)
{
	(void)state;
	assert_int_equal(classify(stopped(SIGTRAP | 0x80), 0), STOP_SYSCALL);
}

static void ptrace_events_are_told_apart(void **state)
{
	static const struct {
		int event;
		enum stop_kind kind;
	} rows[] = {
		{ PTRACE_EVENT_FORK, STOP_FORK },
		{ PTRACE_EVENT_VFORK, STOP_VFORK },
		{ PTRACE_EVENT_CLONE, STOP_CLONE },
		{ PTRACE_EVENT_VFORK_DONE, STOP_VFORK_DONE },
		{ PTRACE_EVENT_EXEC, STOP_EXEC },
		{ PTRACE_EVENT_EXIT, STOP_ENDING },
		{ PTRACE_EVENT_STOP, STOP_INTERRUPT },
		{ PTRACE_EVENT_SECCOMP, STOP_INTERRUPT } /* never asked for */,
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(classify(event(rows[i].event, SIGTRAP), 0), rows[i].kind);
}

static void a_group_stop_carries_its_signal(void **state)
{
	static const int signals[] = { SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU };

	(void)state;
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		assert_int_equal(classify(event(PTRACE_EVENT_STOP, signals[i]), 0), STOP_GROUP);
}

static void the_code_is_asked_for_only_where_it_matters(void **state)
{
	(void)state;
	assert_true(classify_needs_code(stopped(SIGTRAP)));
	assert_false(classify_needs_code(stopped(SIGTRAP | 0x80)));
	assert_false(classify_needs_code(stopped(SIGSEGV)));
	assert_false(classify_needs_code(event(PTRACE_EVENT_STOP, SIGTRAP)));
	assert_false(classify_needs_code(event(PTRACE_EVENT_EXEC, SIGTRAP)));
	assert_false(classify_needs_code(0));
}

static void every_kind_has_a_name(void **state)
{
	(void)state;
	for (enum stop_kind kind = 0; kind < STOP_KINDS; kind++)
		assert_string_not_equal(stop_kind_name(kind), "?");
	assert_string_equal(stop_kind_name(STOP_KINDS), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_end_is_an_end_however_it_came),
		cmocka_unit_test(only_a_trap_of_the_kernel_can_be_ours),
		cmocka_unit_test(a_single_step_is_told_by_its_code),
		cmocka_unit_test(every_other_signal_is_the_victims),
		cmocka_unit_test(system_call_stops_are_no_signals),
		cmocka_unit_test(ptrace_events_are_told_apart),
		cmocka_unit_test(a_group_stop_carries_its_signal),
		cmocka_unit_test(the_code_is_asked_for_only_where_it_matters),
		cmocka_unit_test(every_kind_has_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
