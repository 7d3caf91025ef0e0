/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/classify.h"

#include <signal.h>
#include <sys/wait.h>

#include <linux/ptrace.h>

#include "base/types.h"

/* Linux's <asm/siginfo.h>; musl's <signal.h> has them all, but only under names that vary with feature tests.
 */
enum { CODE_KERNEL = 0x80, CODE_TRAP_BRKPT = 1, CODE_TRAP_TRACE = 2 };
/* PTRACE_O_TRACESYSGOOD */
enum { SYSCALL_BIT = 0x80 };

int classify_needs_code(int status)
{
	return WIFSTOPPED(status) && status >> 16 == 0 && WSTOPSIG(status) == SIGTRAP;
}

static enum stop_kind classify_event(int event, int signal)
{
	switch (event) {
	case PTRACE_EVENT_FORK:
		return STOP_FORK;
	case PTRACE_EVENT_VFORK:
		return STOP_VFORK;
	case PTRACE_EVENT_CLONE:
		return STOP_CLONE;
	case PTRACE_EVENT_VFORK_DONE:
		return STOP_VFORK_DONE;
	case PTRACE_EVENT_EXEC:
		return STOP_EXEC;
	case PTRACE_EVENT_EXIT:
		return STOP_ENDING;
	case PTRACE_EVENT_STOP:
		/* While a group-stop is in effect this stop carries its signal, else SIGTRAP (ptrace(2)). */
		return signal == SIGTRAP ? STOP_INTERRUPT : STOP_GROUP;
	default:
		/* An event nobody asked for: as harmless as an interrupt, no signal to pass on. */
		return STOP_INTERRUPT;
	}
}

enum stop_kind classify(int status, int si_code)
{
	if (!WIFSTOPPED(status))
		return STOP_EXIT;
	if (status >> 16)
		return classify_event(status >> 16, WSTOPSIG(status));
	if (WSTOPSIG(status) == (SIGTRAP | SYSCALL_BIT))
		return STOP_SYSCALL;
	if (WSTOPSIG(status) != SIGTRAP)
		return STOP_SIGNAL;
	switch (si_code) {
	case CODE_KERNEL:
		return STOP_TRAP;
	case CODE_TRAP_TRACE: /* after a stepped instruction */
	case CODE_TRAP_BRKPT: /* after a stepped system call */
		return STOP_STEP;
	default:
		return STOP_SIGNAL; /* sent by kill(2) and the like */
	}
}

const char *stop_kind_name(enum stop_kind kind)
{
	static const char *const names[STOP_KINDS] = {
		[STOP_EXIT] = "exit",
		[STOP_TRAP] = "trap",
		[STOP_STEP] = "step",
		[STOP_SYSCALL] = "syscall",
		[STOP_SIGNAL] = "signal",
		[STOP_INTERRUPT] = "interrupt",
		[STOP_GROUP] = "group",
		[STOP_FORK] = "fork",
		[STOP_VFORK] = "vfork",
		[STOP_CLONE] = "clone",
		[STOP_VFORK_DONE] = "vfork-done",
		[STOP_EXEC] = "exec",
		[STOP_ENDING] = "ending",
	};

	return (size_t)kind < ARRAY_LEN(names) ? names[kind] : "?";
}
