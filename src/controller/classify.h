/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * controller/classify.h - from what wait4(2) returned to what happened. Pure: no system call, no state.
 */
#ifndef CONTROLLER_CLASSIFY_H
#define CONTROLLER_CLASSIFY_H

enum stop_kind {
	STOP_EXIT,      /* gone: exited, or killed by a signal */
	STOP_TRAP,      /* SIGTRAP by a trap instruction: ours, or one of the victim's own */
	STOP_STEP,      /* SIGTRAP by a single step */
	STOP_SYSCALL,   /* entry or exit of a system call that we asked to see */
	STOP_SIGNAL,    /* any other signal on its way to the victim */
	STOP_INTERRUPT, /* PTRACE_INTERRUPT answered, a new task's first stop, or SIGCONT ended a group-stop
			 */
	STOP_GROUP,     /* job control stops the process */
	STOP_FORK,
	STOP_VFORK,
	STOP_CLONE,
	STOP_VFORK_DONE, /* its vfork child has executed or exited */
	STOP_EXEC,
	STOP_ENDING, /* PTRACE_EVENT_EXIT: it runs no user code any more, its memory is still there */
	STOP_KINDS
};

/*
 * Does telling this status apart need the si_code of PTRACE_GETSIGINFO? (Only a plain SIGTRAP does: that one
 * call more is paid by nothing else.)
 */
int classify_needs_code(int status);
/* si_code is looked at only when classify_needs_code() says so. */
enum stop_kind classify(int status, int si_code);
const char *stop_kind_name(enum stop_kind kind);

#endif
