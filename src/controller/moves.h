/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * controller/moves.h - what a task does on which stop: the state machine as a table
 */
#ifndef CONTROLLER_MOVES_H
#define CONTROLLER_MOVES_H

#include "controller/controller.h"

struct move {
	/* Stopped from here on; act decides how it goes on (settle, release, ask, ...). NULL: impossible. */
	void (*act)(struct controller *c, struct task *t);
	enum task_state next;
	const char *impossible; /* why; the task is then kept whole by settling it */
};

extern const struct move moves[TASK_STATES][STOP_KINDS];
const char *task_state_name(enum task_state state);

#endif
