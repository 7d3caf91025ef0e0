/* SPDX-License-Identifier: BSD-2-Clause */
#include "family.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "judge.h"

bool family_adopt(void)
{
	return prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0;
}

/* The whole of a file of /proc as a string; its length, 0 when it cannot be read. */
static size_t read_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length;

	if (fd < 0)
		return 0;
	length = read(fd, text, size - 1);
	close(fd);
	if (length <= 0)
		return 0;
	text[length] = '\0';
	return (size_t)length;
}

static unsigned children_of_task(pid_t pid, pid_t tid, pid_t *list, unsigned room)
{
	char path[64], text[4096], *save = NULL;
	unsigned count = 0;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, tid);
	if (!read_text(path, text, sizeof(text)))
		return 0;
	for (char *word = strtok_r(text, " ", &save); word && count < room; word = strtok_r(NULL, " ", &save))
		list[count++] = atoi(word);
	return count;
}

unsigned family_children(pid_t *list, unsigned room)
{
	return children_of_task(getpid(), getpid(), list, room);
}

unsigned family_children_of(pid_t pid, pid_t *list, unsigned room)
{
	char path[64];
	struct dirent *entry;
	unsigned count = 0;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	DIR *tasks = opendir(path);
	while (tasks && (entry = readdir(tasks)))
		if (atoi(entry->d_name) > 0)
			count += children_of_task(pid, atoi(entry->d_name), list + count, room - count);
	if (tasks)
		closedir(tasks);
	return count;
}

bool family_sweep(void)
{
	uint64_t end = now_ns() + UINT64_C(5000000000);
	pid_t list[MAX_CHILDREN];
	unsigned count;

	while ((count = family_children(list, MAX_CHILDREN)) && now_ns() < end) {
		for (unsigned i = 0; i < count; i++)
			kill(list[i], SIGKILL);
		while (waitpid(-1, NULL, WNOHANG | __WALL) > 0)
			;
		pause_us(200);
	}
	return count == 0;
}

const char *family_describe(pid_t pid, char *buffer, size_t size)
{
	char path[64], name[64];
	size_t length;

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	length = read_text(path, name, sizeof(name));
	if (length)
		name[length - 1] = '\0';
	snprintf(buffer, size, "%s%s", length ? name : "?", is_gone(pid) ? ", zombie" : "");
	return buffer;
}

pid_t family_start(char *const argv[], int in, int out)
{
	pid_t child = fork();

	if (child)
		return child;
	if (in >= 0)
		dup2(in, STDIN_FILENO);
	if (out >= 0)
		dup2(out, STDOUT_FILENO);
	execv(argv[0], argv);
	_exit(127);
}

struct scoreboard *board_new(int *ret_fd)
{
	struct scoreboard *board;
	int fd = memfd_create("scoreboard", 0);

	if (fd < 0 || ftruncate(fd, sizeof(*board)))
		abort();
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (board == MAP_FAILED)
		abort();
	*ret_fd = fd;
	return board;
}

void board_free(struct scoreboard *board, int fd)
{
	munmap(board, sizeof(*board));
	close(fd);
}
