/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stepper.h - a child that runs single instructions with registers and memory of the test's choice
 *
 * Text, slot, data and stack are shared pages at fixed addresses in both processes, so the test writes and
 * compares them directly; registers go by ptrace(2). x86-64.
 */
#ifndef TEST_STEPPER_H
#define TEST_STEPPER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

enum {
	STEPPER_PAGE = 4096,
	STEPPER_TEXT = 0x20000000, /* the instruction stands in the middle of two pages */
	STEPPER_HOME = STEPPER_TEXT + STEPPER_PAGE,
	STEPPER_DATA = STEPPER_TEXT + 4 * STEPPER_PAGE,  /* two pages */
	STEPPER_STACK = STEPPER_TEXT + 8 * STEPPER_PAGE, /* two pages */
	STEPPER_SLOT = 0x28000000,
	STEPPER_REGION = 2 * STEPPER_PAGE,
	STEPPER_UPPER = 256,
};

struct stepper {
	pid_t child;
};

/* Everything that an instruction can read or change. */
struct machine {
	struct user_regs_struct regs;
	struct user_fpregs_struct fp;
	uint8_t data[STEPPER_REGION];
	uint8_t stack[STEPPER_REGION];
	uint8_t upper[STEPPER_UPPER]; /* halves of the vector registers, where the processor has them */
	int signal; /* that ended it, 0: it ran */
	int code;   /* of that signal's siginfo, and the address */
	uint64_t address;
};

/* True when it is there; false: ptrace is not permitted here. */
bool stepper_start(struct stepper *stepper);
void stepper_end(struct stepper *stepper);
/* Registers as they are at the start of all runs. */
void stepper_registers(const struct stepper *stepper, struct machine *machine);
/*
 * Set the machine, run from pc until it is outside [pc, pc + length) or a signal comes, and read the machine
 * back. False: it did not leave within the steps allowed.
 */
bool stepper_run(const struct stepper *stepper, struct machine *machine, uint64_t pc, size_t length,
		 int max_steps);

#endif
