/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * tether/registers.h - read and write the registers of a thread that stands
 *
 * A thread stands at a breakpoint while its handler is called (tether_stop_fn), after TETHER_ANSWER_STAY, and with all
 * others in a process that is parked. One that is blocked in vfork(2) or uninterruptibly does not.
 *
 *	uint64_t argument;
 *	tether_register_get(hit->process, hit->tid, "rdi", &argument, sizeof(argument));
 *	argument = 0;
 *	tether_register_set(hit->process, hit->tid, "rdi", &argument, sizeof(argument));
 */
#ifndef TETHER_REGISTERS_H
#define TETHER_REGISTERS_H

#include <tether/process.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Whole sets, as PTRACE_GETREGSET of ptrace(2) has them: their NT_* values of <elf.h>. */
enum tether_register_set {
	TETHER_REGISTERS_GENERAL = 1,    /* NT_PRSTATUS: struct user_regs_struct of <sys/user.h> */
	TETHER_REGISTERS_FLOAT = 2,      /* NT_PRFPREG: struct user_fpregs_struct */
	TETHER_REGISTERS_VECTOR = 0x202, /* NT_X86_XSTATE: the XSAVE area, floating point included */
};

/* In which mode the thread is: a process may have threads of both. */
enum tether_machine { TETHER_MACHINE_X86_64 = 1, TETHER_MACHINE_I386 = 2 };

/* No set is longer. */
enum { TETHER_REGISTERS_MAX = 16384 };

/**
 * tether_registers_get - a whole set of registers of a thread
 * @process: a control handle   @tid: a thread of it that stands   @set: enum tether_register_set
 * @buffer: the caller's; as much of the set as fits is written   @size: of it, in bytes
 * @machine: enum tether_machine of the thread is written there; may be NULL
 * Return: the length of the set, in bytes, however much fits; -TETHER_ESTATE (the thread does not stand),
 *         -TETHER_ENOTFOUND (this processor has no such set), -TETHER_EINVALID (a set that nobody knows), -TETHER_EMODE,
 *         -TETHER_EGONE, -TETHER_ELOST, -TETHER_EFORKED, -TETHER_ECLOSED, -ENOMEM
 * Blocks: until the controller has answered
 * Threads: any; in a handler: yes; in a forked child: -TETHER_EFORKED
 * See: ptrace(2) on PTRACE_GETREGSET
 *
 * At a breakpoint the pc is that of the instruction under the trap.
 */
TETHER_API int64_t tether_registers_get(struct tether *process, int64_t tid, uint32_t set, void *buffer, size_t size,
					uint32_t *machine);

/**
 * tether_registers_set - change a whole set of registers of a thread
 * @process: a control handle   @tid: a thread of it that stands   @set: enum tether_register_set
 * @bytes: as tether_registers_get() has told it, changed   @length: of all of it
 * Return: 0; else nothing is changed: -TETHER_EINVALID (not the length of the set, or values that no thread may have), and
 *         as tether_registers_get()
 * Blocks: until the controller has answered
 * Threads: any; in a handler: yes; in a forked child: -TETHER_EFORKED
 * Victim: has them when it goes on. With another pc it goes on there: the instruction under the trap is not run, and a
 *         system call that it was in is not begun again.
 * See: ptrace(2) on PTRACE_SETREGSET
 */
TETHER_API int tether_registers_set(struct tether *process, int64_t tid, uint32_t set, const void *bytes, size_t length);

/**
 * tether_register_get - one register of a thread
 * @process: a control handle   @tid: a thread of it that stands
 * @name: as the processor's manual has it, in small letters: "rax", "eflags", "fs_base", "st0", "mxcsr", "xmm0", "ymm15",
 *        "zmm31", "k1"; "pc" and "sp" on any machine
 * @value: the caller's; little-endian, what the register does not fill is zeroed
 * @size: of it, in bytes, at least as many as the register has
 * Return: how many bytes the register has; -TETHER_ENOTFOUND (the machine has none of this name), -TETHER_EINVALID (@size
 *         is too small), and as tether_registers_get()
 * Blocks: until the controller has answered
 * Threads: any; in a handler: yes; in a forked child: -TETHER_EFORKED
 * See: tether_registers_get(3), tether_register_name(3)
 */
TETHER_API int tether_register_get(struct tether *process, int64_t tid, const char *name, void *value, size_t size);

/**
 * tether_register_set - change one register of a thread
 * @process: a control handle   @tid: a thread of it that stands   @name: as for tether_register_get()
 * @value: those of its bytes that are beyond the register are zero   @size: of it, in bytes, at least as many as the register has
 * Return: 0; else nothing is changed: as tether_register_get(), tether_registers_set()
 * Blocks: until the controller has answered
 * Threads: any; in a handler: yes; in a forked child: -TETHER_EFORKED. The set is read, changed and written: who writes
 *          registers of one thread from two threads loses some.
 * Victim: as tether_registers_set()
 * See: tether_registers_set(3)
 */
TETHER_API int tether_register_set(struct tether *process, int64_t tid, const char *name, const void *value, size_t size);

/**
 * tether_register_name - the register that a number of call frame information means
 * @machine: enum tether_machine   @number: as the psABI of the machine numbers them for DWARF
 * Return: its name, a static string; NULL: there is none that could be asked for
 * Threads: any; in a handler and in a forked child: yes
 * See: elf(5)
 */
TETHER_API const char *tether_register_name(uint32_t machine, uint32_t number);

#ifdef __cplusplus
}
#endif
#endif
