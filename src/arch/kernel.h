/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * arch/kernel.h - a bare system call, for code that runs on a borrowed thread
 *
 * syscall(3) writes errno, which belongs to whoever has lent the thread's memory and goes on using it.
 */
#ifndef ARCH_KERNEL_H
#define ARCH_KERNEL_H

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

#else
#error "this processor is not known"
#endif

#endif
