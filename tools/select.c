/* SPDX-License-Identifier: BSD-2-Clause */
#include "select.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool add_pid(struct selection *selection, int64_t pid)
{
	int64_t *pids;

	for (size_t i = 0; i < selection->count; i++) {
		if (selection->pids[i] == pid)
			return true;
	}
	pids = reallocarray(selection->pids, selection->count + 1, sizeof(*pids));
	if (!pids)
		return false;
	pids[selection->count++] = pid;
	selection->pids = pids;
	return true;
}

bool option_pids(void *field, const char *argument, struct buffer *why)
{
	for (;;) {
		char *end;
		long pid;

		errno = 0;
		pid = *argument >= '0' && *argument <= '9' ? strtol(argument, &end, 10) : 0;
		if (pid <= 0 || errno || pid > INT_MAX || (*end && *end != ',')) {
			buffer_text(why, "give process ids, separated by commas");
			return false;
		}
		if (!add_pid(field, pid)) {
			buffer_text(why, strerror(ENOMEM));
			return false;
		}
		if (!*end)
			return true;
		argument = end + 1;
	}
}

bool option_name(void *field, const char *argument, struct buffer *why)
{
	struct selection *selection = field;
	const char **names;

	if (!*argument || strchr(argument, '/')) {
		buffer_text(why, "give a name without a slash");
		return false;
	}
	names = reallocarray(selection->names, selection->name_count + 1, sizeof(*names));
	if (!names) {
		buffer_text(why, strerror(ENOMEM));
		return false;
	}
	names[selection->name_count++] = argument;
	selection->names = names;
	return true;
}

/* The kernel's name of a process, cut by it to 15 bytes. */
static bool read_comm(int process, char *text, size_t size)
{
	int fd = openat(process, "comm", O_RDONLY | O_CLOEXEC);
	ssize_t got = fd >= 0 ? read(fd, text, size - 1) : -1;

	if (fd >= 0)
		close(fd);
	if (got <= 0)
		return false;
	text[got] = '\0';
	if (text[got - 1] == '\n')
		text[got - 1] = '\0';
	return true;
}

/* Base name of its executable; that of one which was replaced on disk too. */
static const char *read_program(int process, char *text, size_t size)
{
	static const char gone[] = " (deleted)";
	ssize_t got = readlinkat(process, "exe", text, size - 1);
	const char *slash;

	if (got <= 0)
		return NULL;
	text[got] = '\0';
	if ((size_t)got > sizeof(gone) && !strcmp(text + got - (sizeof(gone) - 1), gone))
		text[(size_t)got - (sizeof(gone) - 1)] = '\0';
	slash = strrchr(text, '/');
	return slash ? slash + 1 : text;
}

static bool has_name(int proc, const char *pid, const char *name)
{
	char comm[64], path[PATH_MAX];
	int process = openat(proc, pid, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const char *program;
	bool found;

	if (process < 0)
		return false;
	found = read_comm(process, comm, sizeof(comm)) && !strcmp(comm, name);
	if (!found) {
		program = read_program(process, path, sizeof(path));
		found = program && !strcmp(program, name);
	}
	close(process);
	return found;
}

static bool resolve_name(struct selection *selection, DIR *proc, const char *name, bool *found)
{
	struct dirent *entry;

	rewinddir(proc);
	while ((entry = readdir(proc))) {
		long pid = strtol(entry->d_name, NULL, 10);

		if (pid <= 0 || pid == getpid() || !has_name(dirfd(proc), entry->d_name, name))
			continue;
		*found = true;
		if (!add_pid(selection, pid))
			return false;
	}
	return true;
}

bool select_resolve(struct selection *selection, const char **missing)
{
	DIR *proc;
	bool good = true;

	*missing = NULL;
	if (!selection->name_count)
		return true;
	proc = opendir("/proc");
	if (!proc)
		return false;
	for (size_t i = 0; i < selection->name_count && good; i++) {
		bool found = false;

		good = resolve_name(selection, proc, selection->names[i], &found);
		if (!found && !*missing)
			*missing = selection->names[i];
	}
	closedir(proc);
	return good;
}

void select_free(struct selection *selection)
{
	free(selection->pids);
	free(selection->names);
	*selection = (struct selection){ 0 };
}
