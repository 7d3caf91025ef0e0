/* SPDX-License-Identifier: BSD-2-Clause */
/* A library that a victim serves itself: it calls back, so that a stack leads through it. */
__attribute__((visibility("default"))) int served_function(int (*call)(void));

__attribute__((noinline)) int served_function(int (*call)(void))
{
	return call() + 1;
}
