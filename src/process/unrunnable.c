/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * process/unrunnable.c - why a program could not be executed, said to who asked for it
 *
 * execve(2) has a dozen causes for one errno. The looks are taken on the caller's own thread after the failure: they
 * may wait for a file system, and can only make the message better.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "process/start.h"

struct cause {
	const char *why, *cure; /* NULL: the errno says it all; that of the code */
};

static struct cause not_found(const char *file)
{
	if (!strchr(file, '/'))
		return (struct cause){ "no directory of PATH has it", "give its path, or extend PATH" };
	if (access(file, F_OK) == 0)
		return (struct cause){ "the interpreter that it asks for does not exist",
				       "install that, or correct its first line" };
	return (struct cause){ NULL, "check the path" };
}

static struct cause not_permitted(const char *file)
{
	struct stat status;

	if (!strchr(file, '/'))
		return (struct cause){ "no program of that name in PATH may be executed",
				       "give its path, or make it executable: chmod +x" };
	if (stat(file, &status) < 0)
		return (struct cause){ "a directory of its path may not be searched",
				       "run as a user who may, or give another path" };
	if (S_ISDIR(status.st_mode))
		return (struct cause){ "it is a directory", "give the path of a program" };
	if (!S_ISREG(status.st_mode))
		return (struct cause){ "it is no regular file", "give the path of a program" };
	if (access(file, X_OK) < 0)
		return (struct cause){ "this user may not execute it", "make it executable: chmod +x" };
	return (struct cause){ "its interpreter may not be executed, or its file system is mounted noexec",
			       "make the interpreter executable, or copy the file elsewhere" };
}

static struct cause cause_of(const char *file, int error)
{
	switch (error) {
	case ENOENT:
		return not_found(file);
	case EACCES:
		return not_permitted(file);
	case ENOEXEC:
		return (struct cause){ "the kernel knows no such format",
				       "give a script a first line such as #!/bin/sh" };
	case E2BIG:
		return (struct cause){ "arguments and environment are too long together", "pass less" };
	case ETXTBSY:
		return (struct cause){ "it is open for writing", "close it first" };
	case ELOOP:
		return (struct cause){ "its path or its interpreters lead in a circle", "correct the links" };
	default:
		return (struct cause){ NULL, NULL };
	}
}

void unrunnable_explain(struct tether_error *err, const char *file, const char *cwd)
{
	/* From another directory a relative path is another file. */
	bool visible = !cwd || *file == '/' || !strchr(file, '/');
	int error = err ? err->system_error : 0;
	struct cause cause = visible || error == ENOEXEC || error == E2BIG ? cause_of(file, error)
									     : (struct cause){ NULL, NULL };
	struct error_details details = { .path = file, .system_error = error, .cure = cause.cure };

	if (cause.why)
		error_fill(err, TETHER_EEXEC, &details, "cannot run '%s': %s", file, cause.why);
	else
		error_fill(err, TETHER_EEXEC, &details, "cannot run '%s'", file);
}
