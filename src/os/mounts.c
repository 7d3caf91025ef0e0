/* SPDX-License-Identifier: BSD-2-Clause */
#include "os/mounts.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "os/sys.h"

/* A line: id parent MAJOR:MINOR root mount-point options [...] - TYPE source options */
static void read_mount(const char *line, uint32_t device_major, uint32_t device_minor, struct os_served *served)
{
	const char *type = strstr(line, " - ");
	unsigned int major, minor;

	if (!type || strncmp(type + 3, "fuse", 4) != 0 || sscanf(line, "%*u %*u %u:%u", &major, &minor) != 2)
		return;
	served->any = true;
	served->here = served->here || (major == device_major && minor == device_minor);
}

/* The whole of it, NUL-ended; NULL: it cannot be read. */
static char *read_list(int fd)
{
	size_t room = 16384, used = 0;
	char *text = malloc(room + 1);

	while (text && used < MAX_PROC_FILE) {
		long got = sys(read, fd, text + used, room - used);

		if (got < 0)
			break;
		used += (size_t)got;
		text[used] = '\0';
		if (!got)
			return text;
		if (used == room) {
			char *larger = realloc(text, 2 * room + 1);

			if (!larger)
				break;
			text = larger;
			room *= 2;
		}
	}
	free(text);
	return NULL;
}

struct os_served os_served(int64_t tid, uint32_t device_major, uint32_t device_minor)
{
	struct os_served served = { false, false };
	char path[48], *text, *save = NULL;
	long fd;

	snprintf(path, sizeof(path), "/proc/%lld/mountinfo", (long long)tid);
	fd = sys(openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	text = fd < 0 ? NULL : read_list((int)fd);
	if (fd >= 0)
		sys(close, fd);
	if (!text)
		return (struct os_served){ true, true };
	for (const char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		read_mount(line, device_major, device_minor, &served);
	free(text);
	return served;
}
