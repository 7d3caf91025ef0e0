/* SPDX-License-Identifier: BSD-2-Clause */
#include "stepper.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

static void *at(uint64_t address)
{
	return (void *)(uintptr_t)address;
}

static bool map_region(uint64_t address)
{
	return mmap(at(address), STEPPER_REGION, PROT_READ | PROT_WRITE | PROT_EXEC,
		    MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == at(address);
}

bool stepper_start(struct stepper *stepper)
{
	int status;

	if (!map_region(STEPPER_TEXT) || !map_region(STEPPER_DATA) || !map_region(STEPPER_STACK) ||
	    !map_region(STEPPER_SLOT))
		return false;
	stepper->child = fork();
	if (stepper->child == 0) {
		if (ptrace(PTRACE_TRACEME, 0, 0, 0) == 0)
			raise(SIGSTOP);
		_exit(1);
	}
	if (waitpid(stepper->child, &status, 0) != stepper->child || !WIFSTOPPED(status))
		return false;
	return ptrace(PTRACE_SETOPTIONS, stepper->child, 0, (void *)PTRACE_O_EXITKILL) == 0;
}

void stepper_end(struct stepper *stepper)
{
	kill(stepper->child, SIGKILL);
	waitpid(stepper->child, NULL, 0);
	munmap(at(STEPPER_TEXT), STEPPER_REGION);
	munmap(at(STEPPER_DATA), STEPPER_REGION);
	munmap(at(STEPPER_STACK), STEPPER_REGION);
	munmap(at(STEPPER_SLOT), STEPPER_REGION);
}

void stepper_registers(const struct stepper *stepper, struct machine *machine)
{
	if (ptrace(PTRACE_GETREGS, stepper->child, 0, &machine->regs) != 0 ||
	    ptrace(PTRACE_GETFPREGS, stepper->child, 0, &machine->fp) != 0)
		abort();
}

bool stepper_run(const struct stepper *stepper, struct machine *machine, uint64_t pc, size_t length,
		 int max_steps)
{
	bool left = false;

	memcpy(at(STEPPER_DATA), machine->data, STEPPER_REGION);
	memcpy(at(STEPPER_STACK), machine->stack, STEPPER_REGION);
	machine->regs.rip = pc;
	machine->regs.orig_rax = UINT64_MAX;
	machine->signal = 0;
	if (ptrace(PTRACE_SETREGS, stepper->child, 0, &machine->regs) != 0 ||
	    ptrace(PTRACE_SETFPREGS, stepper->child, 0, &machine->fp) != 0)
		abort();
	for (int n = 0; n < max_steps && !left && machine->signal == 0; n++) {
		int status;
		if (ptrace(PTRACE_SINGLESTEP, stepper->child, 0, 0) != 0 ||
		    waitpid(stepper->child, &status, 0) != stepper->child || !WIFSTOPPED(status))
			abort();
		if (WSTOPSIG(status) != SIGTRAP)
			machine->signal = WSTOPSIG(status);
		stepper_registers(stepper, machine);
		left = machine->regs.rip < pc || machine->regs.rip >= pc + length;
	}
	memcpy(machine->data, at(STEPPER_DATA), STEPPER_REGION);
	memcpy(machine->stack, at(STEPPER_STACK), STEPPER_REGION);
	return left || machine->signal != 0;
}
