/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * client/borrowed.h - for code that runs in the memory, and on the thread descriptor, of a thread that goes on
 *
 * No allocation, no locks, no errno, bare system calls only. What a sanitizer or a stack protector puts around
 * functions would leave its mark on the thread that lends.
 */
#ifndef CLIENT_BORROWED_H
#define CLIENT_BORROWED_H

#include "arch/kernel.h"

#define BORROWED_THREAD __attribute__((no_sanitize("address", "thread", "undefined")))

#define kernel(number, a, b, c, d, e) \
	arch_kernel(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)

#endif
