/* SPDX-License-Identifier: BSD-2-Clause */
#include "ending.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

/* <linux/pidfd.h> of Linux 6.15 as far as it is used here: older headers lack it. */
struct pidfd_exit_info {
	uint64_t mask, cgroup_id;
	uint32_t pid, tgid, ppid, ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
	int32_t exit_code; /* a wait status */
};
#define PIDFD_EXIT_INFO_ASK _IOWR(0xff, 11, struct pidfd_exit_info)
#define PIDFD_EXIT_INFO_BIT (UINT64_C(1) << 3)

static enum ending_news told(int status, struct ending *ret)
{
	ret->code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
	ret->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	ret->core = WIFSIGNALED(status) && WCOREDUMP(status);
	return ENDING_TOLD;
}

/*
 * The last field of a zombie's stat is its wait status, or 0 for those who may not look at it. Whether we may
 * is asked of another file with the same rule: that of a zombie's user namespace stays readable.
 */
static bool zombie_status(int pidfd, int64_t pid, int *status)
{
	char path[48], text[2048];
	const char *after, *last;
	ssize_t got;
	int fd;

	snprintf(path, sizeof(path), "/proc/%lld/ns/user", (long long)pid);
	if (readlink(path, text, sizeof(text)) < 0)
		return false;
	snprintf(path, sizeof(path), "/proc/%lld/stat", (long long)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	got = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (got <= 0)
		return false;
	text[got] = '\0';
	after = strrchr(text, ')');
	last = strrchr(text, ' ');
	if (!after || !last || last < after || strncmp(after, ") Z ", 4) != 0)
		return false;
	/* Reaped while we read, the pid may be another's by now. */
	if (pidfd_send_signal(pidfd, 0, NULL, 0) && errno == ESRCH)
		return false;
	*status = (int)strtol(last + 1, NULL, 10);
	return true;
}

enum ending_news ending_look(int pidfd, int64_t pid, short revents, struct ending *ret)
{
	struct pidfd_exit_info info = { .mask = PIDFD_EXIT_INFO_BIT };
	int status, result;

	if (!(revents & (POLLIN | POLLHUP | POLLERR)))
		return ENDING_ALIVE;
	result = ioctl(pidfd, PIDFD_EXIT_INFO_ASK, &info);
	if (!result && info.mask & PIDFD_EXIT_INFO_BIT)
		return told(info.exit_code, ret);
	if (zombie_status(pidfd, pid, &status))
		return told(status, ret);
	/* It may have been reaped between the two questions. */
	info = (struct pidfd_exit_info){ .mask = PIDFD_EXIT_INFO_BIT };
	result = ioctl(pidfd, PIDFD_EXIT_INFO_ASK, &info);
	if (!result && info.mask & PIDFD_EXIT_INFO_BIT)
		return told(info.exit_code, ret);
	return result || revents & POLLHUP ? ENDING_UNKNOWN : ENDING_LATER;
}
