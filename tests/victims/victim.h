/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * victim.h - how a victim speaks: one line a fact, at once; words come by stdin
 */
#ifndef VICTIM_H
#define VICTIM_H

#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

__attribute__((format(printf, 1, 2))) static inline void say(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
}

/* The next word, or "" at end-of-file. By read(2), so that a forked child finds nothing in a buffer. */
static inline const char *hear(void)
{
	static char word[256];
	size_t length = 0;
	while (length < sizeof(word) - 1) {
		ssize_t got = read(0, word + length, 1);
		if (got <= 0 || word[length] == '\n')
			break;
		length++;
	}
	word[length] = 0;
	return word;
}

/* Wait for one word; end when the test has gone. */
static inline void await(const char *word)
{
	const char *heard = hear();
	if (strcmp(heard, word) != 0) {
		if (*heard)
			say("wrong word '%s', expected '%s'", heard, word);
		exit(*heard != 0);
	}
}

/* Path of a file beside this executable. */
static inline char *beside(const char *name)
{
	char path[PATH_MAX];
	char *result;
	ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
	if (length < 0)
		exit(99);
	path[length] = 0;
	strrchr(path, '/')[0] = 0;
	if (asprintf(&result, "%s/%s", path, name) < 0)
		exit(99);
	return result;
}

#endif
