/* SPDX-License-Identifier: BSD-2-Clause */
#include "unrunnable.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"

struct reason {
	const char *cause, *cure; /* empty: none is known */
};

static struct reason reason_not_found(const char *file)
{
	if (!strchr(file, '/'))
		return (struct reason){ "no directory of PATH has it", "give its path, or extend PATH" };
	if (access(file, F_OK) == 0)
		return (struct reason){ "the interpreter that it asks for does not exist",
					"install that, or correct its first line" };
	return (struct reason){ "", "check the path" };
}

static struct reason reason_no_access(const char *file)
{
	struct stat status;

	if (stat(file, &status))
		return (struct reason){ "a directory of its path may not be searched", "" };
	if (S_ISDIR(status.st_mode))
		return (struct reason){ "it is a directory", "give the path of a program" };
	if (!S_ISREG(status.st_mode))
		return (struct reason){ "it is no regular file", "give the path of a program" };
	if (access(file, X_OK))
		return (struct reason){ "it is not executable by this user",
					"give it the permission: chmod +x" };
	return (struct reason){ "its interpreter may not be executed, or its file system is mounted noexec",
				"" };
}

static struct reason reason_of(int error, const char *file)
{
	switch (error) {
	case ENOENT:
		return reason_not_found(file);
	case EACCES:
		return reason_no_access(file);
	case ENOEXEC:
		return (struct reason){ "the kernel knows no such format",
					"a script needs a first line such as #!/bin/sh" };
	case E2BIG:
		return (struct reason){ "arguments and environment are too long together", "pass less" };
	case ETXTBSY:
		return (struct reason){ "it is open for writing", "close it first" };
	default:
		return (struct reason){ "", "" };
	}
}

int unrunnable(struct output *output, const char *file, int error)
{
	struct reason reason = reason_of(error, file);
	char text[640];

	snprintf(text, sizeof(text), "cannot run '%s': %s%s%s", file, strerror(error),
		 *reason.cause ? ": " : "", reason.cause);
	output_error(output, tether_error_name(TETHER_EEXEC), text, reason.cure);
	return error == ENOENT ? STATUS_NOT_FOUND : STATUS_CANNOT_RUN;
}
