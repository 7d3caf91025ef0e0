/* SPDX-License-Identifier: BSD-2-Clause */
/* A library of musl-loads.c. */
#include <unistd.h>

__attribute__((constructor)) static void before(void)
{
	if (write(1, "constructed\n", 12) != 12)
		_exit(97);
}
