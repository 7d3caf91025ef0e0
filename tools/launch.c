/* SPDX-License-Identifier: BSD-2-Clause */
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* A directory that has no such file, or is none, is passed over: execvp(3). */
static bool goes_on(int error)
{
	return error == ENOENT || error == ENOTDIR || error == EACCES || error == ESTALE || error == ENODEV ||
	       error == ETIMEDOUT;
}

/* Returns only when it could not be executed: why. */
static int execute(char *const *argv)
{
	const char *path = getenv("PATH"), *name = argv[0];
	bool refused = false;
	char file[PATH_MAX];

	if (strchr(name, '/')) {
		execve(name, argv, environ);
		return errno;
	}
	path = path ? path : "/bin:/usr/bin";
	for (;;) {
		int length = (int)strcspn(path, ":");

		/* An empty entry is the current directory. */
		if (snprintf(file, sizeof(file), "%.*s%s%s", length, path, length ? "/" : "", name) <
		    (int)sizeof(file)) {
			execve(file, argv, environ);
			if (!goes_on(errno))
				return errno;
			refused = refused || errno == EACCES;
		}
		if (!path[length])
			return refused ? EACCES : ENOENT;
		path += length + 1;
	}
}

static _Noreturn void become(char *const *argv, const struct signals *as_started, int report)
{
	int error;

	signals_restore(as_started);
	error = execute(argv);
	(void)!write(report, &error, sizeof(error));
	_exit(127);
}

/* 0 when the other end was closed by an exec. */
static int read_report(int fd)
{
	int error = 0;
	ssize_t got;

	do
		got = read(fd, &error, sizeof(error));
	while (got < 0 && errno == EINTR);
	return got == sizeof(error) ? error : 0;
}

int launch(char *const *argv, const struct signals *as_started, pid_t *ret)
{
	sigset_t all, before;
	int report[2], error;
	pid_t child;

	if (pipe2(report, O_CLOEXEC))
		return -errno;
	/* What comes between fork and exec waits until the command's own dispositions are in force: it is for it. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	child = fork();
	error = errno;
	if (child == 0)
		become(argv, as_started, report[1]);
	sigprocmask(SIG_SETMASK, &before, NULL);
	close(report[1]);
	if (child > 0)
		error = read_report(report[0]);
	close(report[0]);
	if (child > 0 && error) {
		while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
			;
	}
	if (child < 0 || error)
		return -error;
	*ret = child;
	return 0;
}
