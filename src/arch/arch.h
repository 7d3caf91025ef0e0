/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * arch/arch.h - all that is particular to a processor, but decoding (that is src/decode)
 *
 * One file per architecture implements this. Linked into the controller and the library: no allocation, no
 * system call, no global state. Registers travel as sized opaque bytes with a tag, as PTRACE_GETREGSET
 * NT_PRSTATUS gives them (ptrace(2)); the size the kernel returned tells a 32-bit victim.
 */
#ifndef ARCH_ARCH_H
#define ARCH_ARCH_H

#include "base/recipe.h"
#include "base/types.h"

enum arch_tag { ARCH_UNKNOWN = 0, ARCH_X86_64 = 1, ARCH_I386 = 2 };

enum { ARCH_REGS_MAX = 512 };

struct arch_regs {
	uint32_t tag;  /* enum arch_tag */
	uint32_t size; /* bytes valid */
	union {
		uint64_t align;
		unsigned char bytes[ARCH_REGS_MAX];
	} u;
};

/* Registers as call frame information numbers them (the psABI of the processor). */
enum { ARCH_DWARF_REGISTERS = 17, ARCH_DWARF_FP = 6, ARCH_DWARF_SP = 7, ARCH_DWARF_PC = 16 };
void arch_dwarf_registers(const struct arch_regs *regs, uint64_t ret[ARCH_DWARF_REGISTERS]);
/*
 * What /proc/PID/task/TID/syscall shows of a thread inside a system call, as a register set; of it these are known: the
 * arguments, pc and sp. The mask is in numbers of call frame information.
 */
void arch_blocked_registers(struct arch_regs *regs, const uint64_t argument[6], vaddr_t sp, vaddr_t pc);
enum { ARCH_DWARF_BLOCKED = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 16 };
/*
 * Text around a pc that no information tells of. The n-th word from sp on is the return address as long as a function
 * has not set up its frame: behind before bytes of text that end at pc, after at pc. -1: it has, or it cannot be told.
 */
enum { ARCH_ENTRY_BYTES = 8 };
int arch_entry_words(const unsigned char before[ARCH_ENTRY_BYTES], const unsigned char after[ARCH_ENTRY_BYTES]);
/* Do these bytes of text end in a call, so that what follows can be where it returns to? */
bool arch_ends_in_call(const unsigned char before[ARCH_ENTRY_BYTES]);
/* Is it what a signal handler returns through? Then the registers are in memory at sp + the n-th offset. */
enum { ARCH_SIGRETURN_BYTES = 9 };
bool arch_is_sigreturn(const unsigned char bytes[ARCH_SIGRETURN_BYTES]);
extern const uint16_t arch_sigreturn_offsets[ARCH_DWARF_REGISTERS];

/* The trap: what is written over an instruction, and where the pc stands after it was hit. */
enum { ARCH_TRAP_SIZE = 1, ARCH_TRAP_PC_AFTER = 1 };
extern const unsigned char arch_trap[ARCH_TRAP_SIZE];

/* About a microsecond of doing nothing, that leaves what it shares with another processor to that. */
void arch_relax(void);

/* Tell the tag from the size that PTRACE_GETREGSET returned. */
enum arch_tag arch_tag_of_size(size_t size);

vaddr_t arch_pc(const struct arch_regs *regs);
void arch_set_pc(struct arch_regs *regs, vaddr_t pc);
vaddr_t arch_sp(const struct arch_regs *regs);
/*
 * A copy of a stack that a signal handler may run on (sigaltstack(2)), from address on: the sp of what it has
 * interrupted, on another stack; 0: there is no such handler.
 */
vaddr_t arch_interrupted_sp(const unsigned char *bytes, size_t length, vaddr_t address);
/* The n-th integer argument of a C function, n from 0, at its first instruction. */
uint64_t arch_argument(const struct arch_regs *regs, unsigned n);
/* What a C function has returned, right behind its call. */
uint64_t arch_result(const struct arch_regs *regs);
/* Where in memory the return address is: at a function's first instruction, and behind its call. 0: not known. */
enum { ARCH_WORD_SIZE = 8 };
vaddr_t arch_return_slot(const struct arch_regs *regs);
vaddr_t arch_returned_slot(const struct arch_regs *regs);

/* The kernel must not treat a changed register set as a system call to restart: orig_rax = -1. */
void arch_not_in_syscall(struct arch_regs *regs);
/* Number of the system call that this stop is inside of (blocked or just returning), -1 when none. */
int64_t arch_syscall_number(const struct arch_regs *regs);
uint64_t arch_syscall_argument(const struct arch_regs *regs, unsigned n);
int64_t arch_syscall_result(const struct arch_regs *regs);
/* Wind a call that returned -EINTR back so that it runs again from the start. */
void arch_syscall_rewind(struct arch_regs *regs);
/* Is this a system call instruction of that machine? */
enum { ARCH_SYSCALL_SIZE = 2 }; /* x86: syscall, int $0x80 */
bool arch_is_syscall(enum arch_tag tag, const unsigned char bytes[ARCH_SYSCALL_SIZE]);
/* Prepare an injected call: pc on the victim's syscall instruction at gadget, number and arguments set. */
void arch_syscall_inject(struct arch_regs *regs, vaddr_t gadget, int64_t number, const uint64_t argument[6]);

/* A fork, vfork, clone or clone3? A grab must let such a call finish before it plants (rule 5). */
bool arch_syscall_forks(enum arch_tag tag, int64_t number);
/* Of whom that call makes an end. */
enum arch_ends { ARCH_ENDS_NOBODY, ARCH_ENDS_THREAD, ARCH_ENDS_PROCESS };
enum arch_ends arch_syscall_ends(enum arch_tag tag, int64_t number);
/* Rule 11: calls that return EINTR after a ptrace stop though no handler ran. */
enum arch_eintr {
	ARCH_EINTR_NEVER = 0, /* the kernel restarts it by itself */
	ARCH_EINTR_INFINITE,  /* disturbed; no time-out in these arguments: winding back is exact */
	ARCH_EINTR_TIMED,  /* disturbed; has a finite time-out: EINTR stays, as after SIGSTOP and SIGCONT */
	ARCH_EINTR_SOCKET, /* disturbed only with SO_RCVTIMEO or SO_SNDTIMEO set */
};
enum arch_eintr arch_syscall_eintr(const struct arch_regs *regs);

/* Numbers of the calls that the controller injects, for a tag; -1 when the call is unknown there. */
enum arch_call { ARCH_CALL_MMAP, ARCH_CALL_MUNMAP, ARCH_CALL_RT_SIGACTION };
int64_t arch_call_number(enum arch_tag tag, enum arch_call call);

/*
 * The frame of a signal handler (sigreturn(2)), from the word up to which its return address is pushed. True only where all
 * that the kernel writes the same way each time is so; the restorer's bytes are for the caller to look at.
 */
enum { ARCH_SIGNAL_FRAME_SIZE = 312, ARCH_SIGNAL_FRAME_STEP = 16, ARCH_SIGNAL_FRAME_REST = 8 };
struct arch_signal_frame {
	vaddr_t restorer; /* where the handler returns to */
	uint64_t mask;    /* of what was interrupted: blocked again when the handler returns */
	vaddr_t sp;       /* of what was interrupted: maybe on another stack */
};
bool arch_signal_frame(const unsigned char bytes[ARCH_SIGNAL_FRAME_SIZE], struct arch_signal_frame *ret);

/* The register set that only a task with a shadow stack has (NT_X86_SHSTK, 6.6); other processors: 0. */
enum { ARCH_SHADOW_STACK_REGSET = 0x204 };

/* The trap flag is set: the victim steps itself, nothing may be emulated. */
bool arch_steps_itself(const struct arch_regs *regs);

/* Memory of the victim for emulation. Return 0, or a negative errno. */
struct arch_memory {
	int (*read)(void *data, vaddr_t address, void *buffer, size_t length);
	int (*write)(void *data, vaddr_t address, const void *buffer, size_t length);
	void *data;
};

/*
 * Run the instruction that recipe tells of, for a thread whose registers stand at its first byte (the caller
 * has set the pc back from behind the trap). 1: done, regs changed (pc included). 0: not possible now (no
 * such emulation, trap flag, memory cannot be written): take the slot, regs untouched. Negative: errno of the
 * memory access when the task is gone (-ESRCH).
 */
int arch_emulate(const struct recipe *recipe, struct arch_regs *regs, const struct arch_memory *memory);

/* Write the slot's finished bytes for a slot at address. 0; -ERANGE: a target is out of reach; -EINVAL: no
 * slot code. */
int arch_slot_code(const struct recipe *recipe, vaddr_t slot, unsigned char code[RECIPE_CODE_MAX]);
/* How far a slot may be from its home so that all jumps reach: half the range is used. */
enum { ARCH_SLOT_REACH_MB = 1024 };

#endif
