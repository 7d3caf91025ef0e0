/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_moves.c - the state machine of a task: every cell is filled, or says why it cannot come
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "controller/moves.h"

static const char *where(enum task_state state, enum stop_kind kind)
{
	static char text[64];

	snprintf(text, sizeof(text), "%s x %s", task_state_name(state), stop_kind_name(kind));
	return text;
}

static void every_cell_is_filled_or_named_impossible(void **state)
{
	(void)state;
	for (enum task_state s = 0; s < TASK_STATES; s++)
		for (enum stop_kind k = 0; k < STOP_KINDS; k++) {
			const struct move *move = &moves[s][k];

			if ((move->act != NULL) == (move->impossible != NULL))
				fail_msg("%s: neither filled nor named, or both", where(s, k));
			if (move->impossible && strlen(move->impossible) < 10)
				fail_msg("%s: impossible without a reason", where(s, k));
			if ((unsigned)move->next >= TASK_STATES)
				fail_msg("%s: leads nowhere", where(s, k));
		}
}

/* SIGKILL overtakes any stop. */
static void every_state_takes_an_exit(void **state)
{
	(void)state;
	for (enum task_state s = 0; s < TASK_STATES; s++)
		if (!moves[s][STOP_EXIT].act)
			fail_msg("%s takes no exit", task_state_name(s));
}

/* Another thread's exec takes over the leader's tid, whatever the leader was doing. */
static void every_state_of_a_leader_takes_an_exec(void **state)
{
	(void)state;
	for (enum task_state s = 0; s < TASK_STATES; s++)
		if (s != TASK_EARLY && s != TASK_NEW && !moves[s][STOP_EXEC].act)
			fail_msg("%s takes no exec", task_state_name(s));
}

/* An INTERRUPT that met a stop not yet waited for is answered after it. */
static void every_running_state_takes_an_interrupt_that_nobody_waits_for(void **state)
{
	static const enum task_state running[] = { TASK_NEW,     TASK_RUNNING,   TASK_STOPPING,
						   TASK_BLOCKED, TASK_VFORKING,  TASK_STEPPING,
						   TASK_CALLING, TASK_LISTENING, TASK_DRAINING };

	(void)state;
	for (size_t i = 0; i < sizeof(running) / sizeof(running[0]); i++)
		for (int group = 0; group < 2; group++)
			if (!moves[running[i]][group ? STOP_GROUP : STOP_INTERRUPT].act)
				fail_msg("%s", where(running[i], group ? STOP_GROUP : STOP_INTERRUPT));
}

/* No stop may leave a task in a state in which it runs: that is the business of what is done at it. */
static void a_stop_leads_to_a_standing_state(void **state)
{
	(void)state;
	for (enum task_state s = 0; s < TASK_STATES; s++)
		for (enum stop_kind k = 0; k < STOP_KINDS; k++) {
			const struct move *move = &moves[s][k];

			if (move->act && move->next != TASK_HELD && move->next != TASK_LISTENING &&
			    move->next != TASK_EARLY)
				fail_msg("%s leads to %s", where(s, k), task_state_name(move->next));
		}
}

static void every_state_has_a_name(void **state)
{
	(void)state;
	for (enum task_state s = 0; s < TASK_STATES; s++)
		assert_string_not_equal(task_state_name(s), "?");
	assert_string_equal(task_state_name(TASK_STATES), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_cell_is_filled_or_named_impossible),
		cmocka_unit_test(every_state_takes_an_exit),
		cmocka_unit_test(every_state_of_a_leader_takes_an_exec),
		cmocka_unit_test(every_running_state_takes_an_interrupt_that_nobody_waits_for),
		cmocka_unit_test(a_stop_leads_to_a_standing_state),
		cmocka_unit_test(every_state_has_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
