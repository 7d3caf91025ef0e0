/* SPDX-License-Identifier: BSD-2-Clause */
#include "proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool read_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd >= 0 ? read(fd, text, size - 1) : -1;

	if (fd >= 0)
		close(fd);
	if (got <= 0)
		return false;
	text[got] = '\0';
	return true;
}

void proc_name(int64_t pid, char name[PROC_NAME])
{
	char path[48];

	snprintf(path, sizeof(path), "/proc/%lld/comm", (long long)pid);
	if (!read_text(path, name, PROC_NAME))
		name[0] = '\0';
	else if (name[0] && name[strlen(name) - 1] == '\n')
		name[strlen(name) - 1] = '\0';
}

/* Base name of its executable; that of one which was replaced on disk too. */
static const char *read_program(int64_t pid, char *text, size_t size)
{
	static const char gone[] = " (deleted)";
	char path[48];
	const char *slash;
	ssize_t got;

	snprintf(path, sizeof(path), "/proc/%lld/exe", (long long)pid);
	got = readlink(path, text, size - 1);
	if (got <= 0)
		return NULL;
	text[got] = '\0';
	if ((size_t)got > sizeof(gone) && !strcmp(text + got - (sizeof(gone) - 1), gone))
		text[(size_t)got - (sizeof(gone) - 1)] = '\0';
	slash = strrchr(text, '/');
	return slash ? slash + 1 : text;
}

bool proc_has_name(int64_t pid, const char *name)
{
	char comm[PROC_NAME], path[PATH_MAX];
	const char *program;

	proc_name(pid, comm);
	if (!strcmp(comm, name))
		return true;
	program = read_program(pid, path, sizeof(path));
	return program && !strcmp(program, name);
}

/* "12 (name) S 1 ...": the name may hold anything, so fields are counted from its last parenthesis on. */
static bool read_stat(const char *path, struct parentage *ret)
{
	enum { PARENT = 4, START = 22 };
	char text[1024];
	const char *at;

	if (!read_text(path, text, sizeof(text)))
		return false;
	at = strrchr(text, ')');
	if (!at || strlen(at) < 5)
		return false;
	ret->state = at[2];
	ret->parent = strtoll(at + 4, NULL, 10);
	at += 4;
	for (int field = PARENT; field < START && at; field++) {
		at = strchr(at, ' ');
		at = at ? at + 1 : NULL;
	}
	ret->start = at ? strtoull(at, NULL, 10) : 0;
	return true;
}

uint64_t proc_start(int64_t pid)
{
	struct parentage entry;
	char path[48];

	snprintf(path, sizeof(path), "/proc/%lld/stat", (long long)pid);
	return read_stat(path, &entry) ? entry.start : 0;
}

size_t proc_arguments(int64_t pid, char *text, size_t size)
{
	char path[48];
	ssize_t got;
	int fd;

	snprintf(path, sizeof(path), "/proc/%lld/cmdline", (long long)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	got = read(fd, text, size - 1);
	close(fd);
	if (got <= 0)
		return 0;
	/* The last one may be cut. */
	if (text[got - 1])
		text[got++] = '\0';
	return (size_t)got;
}

struct states {
	char leader;                      /* 0: gone */
	unsigned stopped, traced, others; /* threads; others: that are alive */
};

static struct states read_states(int64_t pid)
{
	char folder[48], path[PATH_MAX];
	struct states states = { 0 };
	struct dirent *entry;
	DIR *tasks;

	snprintf(folder, sizeof(folder), "/proc/%lld/task", (long long)pid);
	tasks = opendir(folder);
	while (tasks && (entry = readdir(tasks))) {
		struct parentage task;

		snprintf(path, sizeof(path), "%s/%s/stat", folder, entry->d_name);
		if (entry->d_name[0] == '.' || !read_stat(path, &task))
			continue;
		if (strtoll(entry->d_name, NULL, 10) == pid)
			states.leader = task.state;
		if (task.state == 'T')
			states.stopped++;
		else if (task.state == 't')
			states.traced++;
		else if (task.state != 'Z' && task.state != 'X')
			states.others++;
	}
	if (tasks)
		closedir(tasks);
	return states;
}

char proc_state(int64_t pid)
{
	struct states states = read_states(pid);

	return states.stopped ? 'T' : states.traced ? 't' : states.leader;
}

bool proc_stands(int64_t pid)
{
	struct states states = read_states(pid);

	return states.stopped && !states.traced && !states.others;
}

bool proc_parents(struct parentage **ret, size_t *count)
{
	struct parentage *list = NULL;
	size_t length = 0, room = 0;
	struct dirent *entry;
	bool good = true;
	DIR *proc = opendir("/proc");

	if (!proc)
		return false;
	while (good && (entry = readdir(proc))) {
		long long pid = strtoll(entry->d_name, NULL, 10);
		struct parentage found = { .pid = pid };
		char path[48];

		snprintf(path, sizeof(path), "/proc/%lld/stat", pid);
		if (pid <= 0 || !read_stat(path, &found))
			continue;
		if (length == room) {
			struct parentage *more = reallocarray(list, room ? room * 2 : 256, sizeof(*list));

			good = more != NULL;
			list = more ? more : list;
			room = room ? room * 2 : 256;
		}
		if (good)
			list[length++] = found;
	}
	closedir(proc);
	if (!good) {
		free(list);
		return false;
	}
	*ret = list;
	*count = length;
	return true;
}
