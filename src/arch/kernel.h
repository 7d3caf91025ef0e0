/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * arch/kernel.h - a bare system call, for code that runs on a borrowed thread
 *
 * syscall(3) writes errno, which belongs to whoever has lent the thread's memory and goes on using it.
 */
#ifndef ARCH_KERNEL_H
#define ARCH_KERNEL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

#if defined(__x86_64__)

/* The result, or a negative errno. */
__attribute__((always_inline)) static inline long arch_kernel(long number, long a, long b, long c, long d, long e,
							       long f)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

/* The stack pointer among a general register set as PTRACE_GETREGSET gives it; 0: of another kind of process. */
__attribute__((always_inline)) static inline uint64_t arch_stack_of(const uint64_t *regset, size_t size)
{
	enum { WORDS = 27, RSP = 19 }; /* struct user_regs_struct */

	return size == WORDS * sizeof(*regset) ? regset[RSP] : 0;
}

/*
 * clone(2) that starts a function on a stack of its own, which grows down from top (16 bytes aligned). The
 * child may share everything but that: clone(3) would write errno, and a sanitizer would take it for a fork.
 * The child's pid, or a negative errno; the child ends with what start returns.
 */
__attribute__((always_inline)) static inline long arch_clone(int (*start)(void *), void *argument, char *top,
							      unsigned long flags, void *child_tid)
{
	register void *r10 __asm__("r10") = child_tid;
	void **frame = (void **)(void *)top;
	long result;

	*--frame = argument;
	*--frame = (void *)start;
	__asm__ volatile("xor %%r8d, %%r8d\n\t"
			 "syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "pop %%rax\n\t"
			 "pop %%rdi\n\t"
			 "call *%%rax\n\t"
			 "mov %%eax, %%edi\n\t"
			 "mov %[exit], %%eax\n\t"
			 "syscall\n\t"
			 "hlt\n"
			 "1:"
			 : "=a"(result)
			 : "a"(SYS_clone), "D"(flags), "S"(frame), "d"(0), "r"(r10), [exit] "i"(SYS_exit_group)
			 : "rcx", "r11", "r8", "cc", "memory");
	return result;
}

#else
#error "this processor is not known"
#endif

#endif
