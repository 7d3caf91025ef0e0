/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A library whose constructor calls a function of its own: who wants to see that call must be there before.
 */
__attribute__((noinline, visibility("default"))) int counts_work(int number);

int counts_work(int number)
{
	__asm__ volatile("" : "+r"(number));
	return number + 1;
}

__attribute__((constructor)) static void construct(void)
{
	counts_work(0);
}
