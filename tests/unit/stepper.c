/* SPDX-License-Identifier: BSD-2-Clause */
#include "stepper.h"

#include <elf.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
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

/* The standard form of XSAVE, as the kernel gives it: the upper halves of ymm0 to ymm15. */
enum { UPPER_AT = 576, COMPONENTS_AT = 512, COMPONENT_UPPER = 4 };

static size_t get_state(pid_t child, uint8_t state[8192])
{
	struct iovec vector = { state, 8192 };

	return ptrace(PTRACE_GETREGSET, child, (void *)NT_X86_XSTATE, &vector) == 0 ? vector.iov_len : 0;
}

static void get_upper(pid_t child, struct machine *machine)
{
	uint8_t state[8192];

	memset(machine->upper, 0, sizeof(machine->upper));
	if (get_state(child, state) >= UPPER_AT + STEPPER_UPPER && state[COMPONENTS_AT] & COMPONENT_UPPER)
		memcpy(machine->upper, state + UPPER_AT, STEPPER_UPPER);
}

static void set_upper(pid_t child, const struct machine *machine)
{
	uint8_t state[8192];
	size_t length = get_state(child, state);
	struct iovec vector = { state, length };

	if (length < UPPER_AT + STEPPER_UPPER)
		return;
	state[COMPONENTS_AT] |= COMPONENT_UPPER;
	memcpy(state + UPPER_AT, machine->upper, STEPPER_UPPER);
	if (ptrace(PTRACE_SETREGSET, child, (void *)NT_X86_XSTATE, &vector) != 0)
		return; /* a processor without them */
}

void stepper_registers(const struct stepper *stepper, struct machine *machine)
{
	if (ptrace(PTRACE_GETREGS, stepper->child, 0, &machine->regs) != 0 ||
	    ptrace(PTRACE_GETFPREGS, stepper->child, 0, &machine->fp) != 0)
		abort();
	get_upper(stepper->child, machine);
}

bool stepper_run(const struct stepper *stepper, struct machine *machine, uint64_t pc, size_t length,
		 int max_steps)
{
	bool left = false;

	memcpy(at(STEPPER_DATA), machine->data, STEPPER_REGION);
	memcpy(at(STEPPER_STACK), machine->stack, STEPPER_REGION);
	machine->regs.rip = pc;
	machine->regs.orig_rax = UINT64_MAX;
	machine->signal = machine->code = 0;
	machine->address = 0;
	if (ptrace(PTRACE_SETREGS, stepper->child, 0, &machine->regs) != 0 ||
	    ptrace(PTRACE_SETFPREGS, stepper->child, 0, &machine->fp) != 0)
		abort();
	set_upper(stepper->child, machine);
	for (int n = 0; n < max_steps && !left && machine->signal == 0; n++) {
		int status;
		if (ptrace(PTRACE_SINGLESTEP, stepper->child, 0, 0) != 0 ||
		    waitpid(stepper->child, &status, 0) != stepper->child || !WIFSTOPPED(status))
			abort();
		if (WSTOPSIG(status) != SIGTRAP) {
			siginfo_t info = { 0 };

			machine->signal = WSTOPSIG(status);
			ptrace(PTRACE_GETSIGINFO, stepper->child, 0, &info);
			machine->code = info.si_code;
			machine->address = (uint64_t)(uintptr_t)info.si_addr;
		}
		stepper_registers(stepper, machine);
		left = machine->regs.rip < pc || machine->regs.rip >= pc + length;
	}
	memcpy(machine->data, at(STEPPER_DATA), STEPPER_REGION);
	memcpy(machine->stack, at(STEPPER_STACK), STEPPER_REGION);
	return left || machine->signal != 0;
}
