/* SPDX-License-Identifier: BSD-2-Clause */
/* Prints where its main is; exits with the number of its arguments. */
#include <stdint.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	printf("%#llx\n", (unsigned long long)(uintptr_t)main);
	return argv[0] == NULL ? 99 : argc - 1;
}
