/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ends at once with the status it is told: what the others run as a child.
 */
#include <stdlib.h>

int main(int argc, char **argv)
{
	return argc > 1 ? atoi(argv[1]) : 0;
}
