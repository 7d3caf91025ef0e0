/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One program for every kind of executable (meson.build builds it a dozen times): it writes down how far it
 * has come, with nothing in between that could be held back in a buffer.
 *
 *	"library"      the constructor of its library, where it has one (KIND_LIBRARY)
 *	"constructor"  its own
 *	"main", then "ready"
 *
 * Each word that it hears is answered by "done"; at end-of-file it ends with 0. With KIND_SO it is that library.
 */
#include <string.h>
#include <unistd.h>

static void note(const char *text)
{
	/* A reader that has gone is no reason to end otherwise than without tether. */
	if (write(1, text, strlen(text)) < 0)
		return;
}

#ifdef KIND_SO

__attribute__((constructor)) static void before(void)
{
	note("library\n");
}

__attribute__((visibility("default"))) int kind_library(void);
int kind_library(void)
{
	return 1;
}

#else

#ifdef KIND_LIBRARY
int kind_library(void);
#else
#define kind_library() 1
#endif

__attribute__((constructor)) static void before(void)
{
	note("constructor\n");
}

int main(void)
{
	char byte;

	note("main\n");
	note("ready\n");
	while (kind_library() && read(0, &byte, 1) == 1)
		if (byte == '\n')
			note("done\n");
	return 0;
}

#endif
