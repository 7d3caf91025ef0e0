/* SPDX-License-Identifier: BSD-2-Clause */
#include "select.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common.h"
#include "proc.h"

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

static bool resolve_name(struct selection *selection, DIR *proc, const char *name, bool *found)
{
	struct dirent *entry;

	rewinddir(proc);
	while ((entry = readdir(proc))) {
		long pid = strtol(entry->d_name, NULL, 10);

		if (pid <= 0 || pid == getpid() || !proc_has_name(pid, name))
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

bool select_descend(struct selection *selection)
{
	struct parentage *list;
	size_t count;
	bool good = true;

	if (!selection->tree)
		return true;
	if (!proc_parents(&list, &count))
		return false;
	/* The list grows at its end while it is walked. */
	for (size_t i = 0; i < selection->count && good; i++) {
		for (size_t k = 0; k < count && good; k++) {
			if (list[k].parent == selection->pids[i] && list[k].pid != getpid())
				good = add_pid(selection, list[k].pid);
		}
	}
	free(list);
	return good;
}

bool select_given(const struct selection *selection)
{
	return selection->count || selection->name_count;
}

bool select_processes(struct selection *selection, struct output *output, bool descend)
{
	const char *missing;
	char text[256];

	if (!select_resolve(selection, &missing) || (descend && !missing && !select_descend(selection))) {
		output_error(output, "ESYSTEM", "cannot read /proc", "mount it");
		return false;
	}
	if (!missing)
		return true;
	snprintf(text, sizeof(text), "no process is named '%s'", missing);
	output_error(output, tether_error_name(TETHER_EGONE), text, "give the name as 'ps -e' shows it, or a pid");
	return false;
}

int select_run(const struct invocation *invocation, int operands, struct selection *selection,
	       const struct output_options *output_options, bool descend, select_run_fn *run, const void *options)
{
	if (!invocation->argv[operands])
		return select_run_words(invocation, selection, output_options, descend, run, options);
	select_free(selection);
	return common_misuse(invocation, "unexpected word '%s'", invocation->argv[operands]);
}

int select_run_words(const struct invocation *invocation, struct selection *selection,
		     const struct output_options *output_options, bool descend, select_run_fn *run, const void *options)
{
	struct output output;
	int status = STATUS_TETHER;

	if (!select_given(selection)) {
		common_misuse(invocation, "no process is given; use -p PID or -n NAME");
	} else if (output_open(&output, output_options, invocation->whole_argv)) {
		if (select_processes(selection, &output, descend))
			status = run(options, &output);
		if (!output_close(&output) && status == 0)
			status = STATUS_TETHER;
	}
	select_free(selection);
	return status;
}

int select_ask_each(const struct selection *selection, struct output *output, select_one_fn *one, const void *data)
{
	struct tether_error error = TETHER_ERROR_INIT;
	struct tether_session *session;
	int status = 0, result = tether_session_open(NULL, &session, &error);

	if (result < 0) {
		output_failure(output, "cannot open a session", result, &error);
		return STATUS_TETHER;
	}
	for (size_t i = 0; i < selection->count; i++) {
		int answer = one(session, output, selection->pids[i], data);

		status = answer > status ? answer : status;
	}
	tether_session_close(session);
	return status;
}

void select_free(struct selection *selection)
{
	free(selection->pids);
	free(selection->names);
	*selection = (struct selection){ 0 };
}
