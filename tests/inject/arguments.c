/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inject/arguments.c - tells an injecting controller which call is to fail
 *
 * Linked into the controller of the injection test only. A controller has an empty environment; what the test
 * put into that of its client, it finds by the client's pidfd: TETHER_INJECT=N:ERRNO:PATH.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/inject.h"

static size_t read_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length;

	if (fd < 0)
		return 0;
	length = read(fd, text, size - 1);
	close(fd);
	text[length > 0 ? length : 0] = '\0';
	return length > 0 ? (size_t)length : 0;
}

__attribute__((constructor)) static void configure(int argc, char **argv)
{
	static const char name[] = "TETHER_INJECT=";
	static char text[65536]; /* inject keeps a pointer into it */
	char path[64];
	const char *pid;
	size_t length;

	if (argc < 3)
		return;
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%s", argv[2]);
	if (!read_text(path, text, sizeof(text)) || !(pid = strstr(text, "\nPid:")))
		return;
	snprintf(path, sizeof(path), "/proc/%d/environ", atoi(pid + 5));
	length = read_text(path, text, sizeof(text));
	for (const char *entry = text; entry < text + length; entry += strlen(entry) + 1)
		if (!strncmp(entry, name, sizeof(name) - 1))
			inject_configure(entry + sizeof(name) - 1);
}
