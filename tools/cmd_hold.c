/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_hold.c - stop running processes and leave them stopped
 *
 * Each is grabbed, parked, and let go in a job-control stop (release mode hang), so that nothing of tether
 * need stay: 'tether resume', or anybody's SIGCONT, sets it going. What a plain SIGSTOP does not give: every
 * thread stands when this returns, a tree stops as one with the children that it makes meanwhile, and who
 * cannot be held is named.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common.h"
#include "family.h"
#include "proc.h"
#include "refusal.h"
#include "select.h"
#include "signals.h"

struct hold_options {
	struct common_options common;
	struct selection selection;
};

static const struct option_row rows[] = {
	SELECT_OPTIONS(struct hold_options, selection),
	RECORD_OPTIONS(struct hold_options, common),
	TIME_OPTIONS(struct hold_options, common),
	LAST_OPTIONS,
};

static const struct option_table table = {
	.usage = "hold [options] -p PID[,PID...] | -n NAME",
	.sentence = "Stop running processes, every thread of them, and leave them stopped.",
	.rows = rows,
	.epilogue = "Exit status: 0; 124 when one could not be stopped by --timeout; 125 when one could\n"
		    "not be held.\n"
		    "Example: tether hold -n postgres --tree; ...; tether resume -n postgres --tree",
};

struct hold {
	struct output *output;
	struct tether_session *session;
	struct family family; /* all that are held, found by their events */
	int64_t *order;       /* their pids as they came */
	size_t count, room;
	bool failed;
};

static void note(struct hold *hold, int64_t pid, int64_t parent)
{
	if (family_find(&hold->family, pid))
		return;
	if (hold->count == hold->room) {
		int64_t *more = reallocarray(hold->order, hold->room + 64, sizeof(*more));

		if (!more) {
			hold->failed = true;
			return;
		}
		hold->order = more;
		hold->room += 64;
	}
	if (family_add(&hold->family, pid, parent))
		hold->order[hold->count++] = pid;
	else
		hold->failed = true;
}

static void on_event(const struct tether_event *event, void *data)
{
	struct hold *hold = data;

	switch (event->kind) {
	case TETHER_EVENT_GRAB:
		note(hold, event->pid, 0);
		break;
	case TETHER_EVENT_FORK:
		if (event->u.fork.followed)
			note(hold, event->u.fork.child, event->pid);
		break;
	case TETHER_EVENT_EXIT:
	case TETHER_EVENT_LOST:
		family_remove(&hold->family, event->pid);
		break;
	default:
		break;
	}
}

static void listen(struct hold *hold)
{
	while (tether_dispatch(hold->session, 0) > 0)
		;
}

/* Stopped, an ancestor could not be set going by who waits for it, and our own caller would stand still with
 * us. */
static int is_ancestor(const struct tether_reason *reason, void *data)
{
	(void)data;
	return reason->cause == TETHER_CAUSE_ANCESTOR;
}

static bool refuse_ancestor(struct output *output, int64_t pid)
{
	struct tether_verdict verdict = { .size = sizeof(verdict) };
	char text[128];

	if (tether_diagnose(pid, &verdict, is_ancestor, NULL) <= 0)
		return false;
	snprintf(text, sizeof(text),
		 "cannot hold %lld: tether descends from it and would stop its own caller", (long long)pid);
	output_error(output, tether_error_name(TETHER_ESELF), text, "hold it from another terminal");
	return true;
}

/* 0: it is held, or was with another's tree. */
static int take(struct hold *hold, const struct hold_options *options, int64_t pid, struct tether **ret)
{
	uint64_t timeout_ms = (options->common.timeout_ns + 999999) / 1000000;
	struct tether_grab_opts grab = {
		.size = sizeof(grab),
		.flags = TETHER_NO_MONITOR | (options->selection.tree ? TETHER_TREE : 0),
		.mode = TETHER_MODE_HANG,
		.timeout_ms = timeout_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)timeout_ms,
	};
	struct tether_error error = TETHER_ERROR_INIT;
	int result;

	*ret = NULL;
	listen(hold);
	if (family_find(&hold->family, pid))
		return 0;
	if (refuse_ancestor(hold->output, pid))
		return STATUS_TETHER;
	result = tether_grab(hold->session, pid, &grab, ret, &error);
	if (result < 0) {
		*ret = NULL;
		refusal(hold->output, "hold", pid, TETHER_ACCESS_CONTROL, result, &error);
	}
	return result == -TETHER_ETIMEDOUT && timeout_ms ? STATUS_TIMEOUT : result < 0 ? STATUS_TETHER : 0;
}

/*
 * A child that was made while its family was let go is stopped with it, and no event tells of it. In a tree
 * that is stopped nothing is made any more, so that looking is exact. The list grows at its end while it is
 * walked.
 */
static void note_children(struct hold *hold)
{
	struct parentage *list;
	size_t count;

	if (!proc_parents(&list, &count)) {
		hold->failed = true;
		return;
	}
	for (size_t i = 0; i < hold->count; i++) {
		for (size_t k = 0; k < count; k++) {
			if (list[k].parent == hold->order[i])
				note(hold, list[k].pid, list[k].parent);
		}
	}
	free(list);
}

static bool was_asked_for(const struct selection *selection, int64_t pid)
{
	for (size_t i = 0; i < selection->count; i++) {
		if (selection->pids[i] == pid)
			return true;
	}
	return false;
}

/*
 * A stop is begun by one thread and joined by each of the others when it next runs. At most a second, as
 * anybody may continue or kill the process.
 */
static bool stands(int64_t pid)
{
	const struct timespec pause = { .tv_nsec = 200000 };
	uint64_t until = now_ns() + 1000000000;
	char state;

	while (!proc_stands(pid)) {
		state = proc_state(pid);
		if (!state || state == 'Z' || state == 'X' || now_ns() >= until)
			return false;
		nanosleep(&pause, NULL);
	}
	return true;
}

/* That one of a tree ends while the others are stopped is no failure: it does not run on. */
static int tell_one(struct hold *hold, const struct selection *selection, int64_t pid)
{
	struct tether_event event = {
		.kind = TETHER_EVENT_STOP,
		.pid = pid,
		.tid = pid,
		.u.signal.signal = SIGSTOP,
	};
	char text[128], state;
	bool ended;

	if (stands(pid)) {
		event.t_ns = now_ns();
		output_event(hold->output, &event, NULL);
		return 0;
	}
	state = proc_state(pid);
	ended = !state || state == 'Z' || state == 'X';
	if (ended && !was_asked_for(selection, pid))
		return 0;
	snprintf(text, sizeof(text), "cannot hold %lld: %s", (long long)pid,
		 ended ? "it has ended"
		 : state == 'T'
			 ? "a thread of it does not stop: it waits for a device or for a vfork(2) child"
			 : "it went on: somebody else continued it");
	output_error(hold->output, tether_error_name(ended ? TETHER_EGONE : TETHER_ELOST), text, "");
	return STATUS_TETHER;
}

static int tell(struct hold *hold, const struct selection *selection)
{
	int status = 0;
	size_t told = 0;

	do {
		for (; told < hold->count; told++) {
			if (tell_one(hold, selection, hold->order[told]))
				status = STATUS_TETHER;
		}
		if (selection->tree)
			note_children(hold);
	} while (told < hold->count);
	return status;
}

static int hold_all(struct hold *hold, const struct hold_options *options, struct tether **handles)
{
	size_t count = options->selection.count;
	int status = 0, result;

	for (size_t i = 0; i < count; i++) {
		result = take(hold, options, options->selection.pids[i], &handles[i]);
		if (result && status != STATUS_TETHER)
			status = result;
	}
	listen(hold);
	for (size_t i = 0; i < count; i++)
		tether_release(handles[i]);
	listen(hold);
	result = tell(hold, &options->selection);
	if (hold->failed)
		output_failure(hold->output, "not all that is held could be listed", -ENOMEM, NULL);
	return hold->failed || result ? STATUS_TETHER : status;
}

static int hold(const void *given, struct output *output)
{
	const struct hold_options *options = given;
	struct tether_error error = TETHER_ERROR_INIT;
	struct tether **handles = calloc(options->selection.count, sizeof(*handles));
	struct hold hold = { .output = output };
	int status = STATUS_TETHER,
	    result = handles ? tether_session_open(NULL, &hold.session, &error) : -ENOMEM;

	signals_survive_readers();
	if (result < 0) {
		output_failure(output, "cannot open a session", result, handles ? &error : NULL);
	} else {
		tether_session_set_handler(hold.session, on_event, &hold);
		status = hold_all(&hold, options, handles);
		tether_session_close(hold.session);
	}
	for (struct process *process; (process = family_any(&hold.family));)
		family_remove(&hold.family, process->pid);
	free(hold.order);
	free(handles);
	return status;
}

int command_hold(const struct invocation *invocation)
{
	struct hold_options options = { 0 };
	int operands, status;

	if (common_parse(&table, invocation, &options, &operands, &status))
		return select_run(invocation, operands, &options.selection, &options.common.output, false,
				  hold, &options);
	select_free(&options.selection);
	return status;
}
