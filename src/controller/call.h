/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * controller/call.h - a system call made by a victim's thread, for us
 */
#ifndef CONTROLLER_CALL_H
#define CONTROLLER_CALL_H

#include "controller/controller.h"

struct call;
/* Registers and mask are as before again, the task is stopped (TASK_HELD): done says how it goes on. */
typedef void call_done_fn(struct controller *c, struct task *t, const struct call *call, int64_t result);

struct call {
	call_done_fn *done;
	uint64_t value; /* whatever done needs */
	struct arch_regs saved;
	bool in_syscall; /* the stop is inside one: its registers are not to be touched */
	bool entered;    /* its entry has been seen, its exit is next */
};

/* False: not to be had here, nothing was changed. True: the task is CALLING. */
bool call_begin(struct controller *c, struct task *t, const struct call *call, enum arch_call number,
		const uint64_t argument[6]);

#endif
