/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A library to load. Its constructor counts, so that a victim can tell that it ran.
 */
#include <stdlib.h>

/* Seen from outside though the rest of the build hides its symbols. */
#pragma GCC visibility push(default)
extern int plugin_constructed;
extern const char plugin_name[];
int plugin_function(int number);
#pragma GCC visibility pop
int plugin_constructed;
const char plugin_name[] = PLUGIN;

__attribute__((constructor)) static void construct(void)
{
	plugin_constructed++;
}

__attribute__((noinline)) int plugin_function(int number)
{
	return number + plugin_constructed;
}
