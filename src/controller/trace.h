/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * controller/trace.h - ptrace(2), one function per request that is used
 *
 * All return 0 or a negative errno; -ESRCH: the task is dying, its end comes by wait.
 */
#ifndef CONTROLLER_TRACE_H
#define CONTROLLER_TRACE_H

#include <signal.h>

#include "arch/arch.h"

int trace_seize(pid_t tid, uint32_t options);
int trace_options(pid_t tid, uint32_t options);
int trace_interrupt(pid_t tid);
int trace_listen(pid_t tid);
int trace_go(pid_t tid, int signal);
int trace_step(pid_t tid, int signal);
/* On to the next entry or exit of a system call. */
int trace_syscall(pid_t tid, int signal);
int trace_detach(pid_t tid, int signal);
int trace_message(pid_t tid, uint64_t *ret);
int trace_get_info(pid_t tid, siginfo_t *ret);
int trace_set_info(pid_t tid, const siginfo_t *info);
int trace_get_mask(pid_t tid, uint64_t *ret);
int trace_set_mask(pid_t tid, uint64_t mask);
int trace_get_regs(pid_t tid, struct arch_regs *ret);
int trace_set_regs(pid_t tid, const struct arch_regs *regs);
/* Any other set; size: of the buffer, then of what there is. -ENODEV, -EINVAL: this machine has none such. */
int trace_get_regset(pid_t tid, uint32_t set, void *bytes, size_t *size);
int trace_set_regset(pid_t tid, uint32_t set, const void *bytes, size_t size);
/* 0: it runs on a shadow stack. -ENODEV: it does not; -EINVAL: no task of this machine can. */
int trace_shadow_stack(pid_t tid);
/* Is a SIGTRAP of a trap instruction in the task's own queue? 1, 0 or negative errno. */
int trace_trap_queued(pid_t tid);
/* The same of what the kernel sends to an orphaned process group, in the queue of the process, unless the task blocks it. */
int trace_orphan_queued(pid_t tid);
/* One byte of text, for where /proc/PID/mem may not write (rule 14). */
int trace_poke_byte(pid_t tid, vaddr_t address, unsigned char byte);

#endif
