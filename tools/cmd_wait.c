/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_wait.c - wait for processes that are no children, and show how they ended
 *
 * Nothing is traced or stopped: a pidfd tells of the end, and ending.c asks everybody who may know how it
 * was.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "common.h"
#include "ending.h"
#include "proc.h"
#include "refusal.h"
#include "select.h"
#include "signals.h"

struct wait_options {
	struct common_options common;
	struct selection selection;
};

static const struct option_row rows[] = {
	SELECT_OPTIONS(struct wait_options, selection),
	RECORD_OPTIONS(struct wait_options, common),
	TIME_OPTIONS(struct wait_options, common),
	LAST_OPTIONS,
};

static const struct option_table table = {
	.usage = "wait [options] -p PID[,PID...] | -n NAME",
	.sentence = "Wait until running processes have ended, and show how: exit status or signal.",
	.rows = rows,
	.epilogue = "Exit status: 0 when all have ended; 124 after --timeout; 125 when one could not be\n"
		    "waited for.\n"
		    "Example: tether wait -n make && echo done",
};

/*
 * How long the parent of a process that has ended may take to notice it, until the end is shown without how
 * it was. Some never do.
 */
#define UNREAPED_NS UINT64_C(1000000000)

struct waited {
	int64_t pid;
	uint64_t ended_ns; /* since when it has been a zombie that does not tell; 0: it lives */
	char name[PROC_NAME];
};

struct waiting {
	struct output *output;
	struct pollfd *fds;
	struct waited *list;
	size_t count;
	uint64_t deadline_ns; /* 0: none */
};

static void drop(struct waiting *waiting, size_t at)
{
	close(waiting->fds[at].fd);
	waiting->count--;
	waiting->fds[at] = waiting->fds[waiting->count];
	waiting->list[at] = waiting->list[waiting->count];
}

static void tell(struct waiting *waiting, size_t at, const struct ending *ending, const char *unknown)
{
	const struct waited *waited = &waiting->list[at];
	struct output_ending record = {
		.pid = waited->pid,
		.t_ns = waited->ended_ns ? waited->ended_ns : now_ns(),
		.name = waited->name,
		.unknown = unknown,
	};

	if (ending) {
		record.code = ending->code;
		record.signal = ending->signal;
		record.core = ending->core;
	}
	output_ending(waiting->output, &record);
	drop(waiting, at);
}

static void look(struct waiting *waiting, size_t at)
{
	struct waited *waited = &waiting->list[at];
	struct ending ending;
	uint64_t now = now_ns();

	switch (ending_look(waiting->fds[at].fd, waited->pid,
			    (short)(waiting->fds[at].revents | (waited->ended_ns ? POLLIN : 0)), &ending)) {
	case ENDING_ALIVE:
		break;
	case ENDING_TOLD:
		tell(waiting, at, &ending, NULL);
		break;
	case ENDING_LATER:
		if (!waited->ended_ns)
			waited->ended_ns = now;
		if (now - waited->ended_ns >= UNREAPED_NS)
			tell(waiting, at, NULL,
			     "its parent has not taken notice, and only root may see how it ended");
		else
			waiting->fds[at].events = 0; /* a hang-up is told all the same */
		break;
	case ENDING_UNKNOWN:
		tell(waiting, at, NULL, "how it ended was told to its parent only");
		break;
	}
}

static int time_left(const struct waiting *waiting)
{
	uint64_t until = waiting->deadline_ns, now = now_ns(), left;

	for (size_t i = 0; i < waiting->count; i++) {
		uint64_t ended = waiting->list[i].ended_ns;

		if (ended && (!until || ended + UNREAPED_NS < until))
			until = ended + UNREAPED_NS;
	}
	if (!until)
		return -1;
	left = until > now ? (until - now + 999999) / 1000000 : 0;
	return left > INT_MAX ? INT_MAX : (int)left;
}

static int wait_for_all(struct waiting *waiting)
{
	while (waiting->count) {
		if (poll(waiting->fds, waiting->count, time_left(waiting)) < 0 && errno != EINTR) {
			output_error(waiting->output, tether_error_name(errno), "cannot wait", "");
			return STATUS_TETHER;
		}
		/* From the end on: one that is dropped is replaced by the last. */
		for (size_t i = waiting->count; i-- > 0;)
			look(waiting, i);
		output_flush(waiting->output);
		if (output_broken(waiting->output))
			return STATUS_TETHER;
		if (waiting->count && waiting->deadline_ns && now_ns() >= waiting->deadline_ns)
			return STATUS_TIMEOUT;
	}
	return 0;
}

static bool add(struct waiting *waiting, int64_t pid)
{
	int fd = pidfd_open((pid_t)pid, 0), error = errno;

	if (fd < 0) {
		/* EINVAL: a thread. ENOENT says the same on newer kernels. */
		int code = error == EINVAL || error == ENOENT ? -TETHER_ETHREAD
			   : error == ESRCH                   ? -TETHER_EGONE
							      : -error;

		refusal(waiting->output, "wait for", pid, TETHER_ACCESS_OBSERVE, code, NULL);
		return false;
	}
	waiting->fds[waiting->count] = (struct pollfd){ .fd = fd, .events = POLLIN };
	waiting->list[waiting->count].pid = pid;
	proc_name(pid, waiting->list[waiting->count].name);
	waiting->count++;
	return true;
}

static int wait_selected(const void *given, struct output *output)
{
	const struct wait_options *options = given;
	size_t count = options->selection.count, refused = 0;
	struct waiting waiting = {
		.output = output,
		.fds = calloc(count, sizeof(*waiting.fds)),
		.list = calloc(count, sizeof(*waiting.list)),
		.deadline_ns = options->common.timeout_ns ? now_ns() + options->common.timeout_ns : 0,
	};
	int status = STATUS_TETHER;

	signals_survive_readers();
	if (!waiting.fds || !waiting.list) {
		output_failure(output, "cannot wait", -ENOMEM, NULL);
	} else {
		for (size_t i = 0; i < count; i++)
			refused += !add(&waiting, options->selection.pids[i]);
		status = wait_for_all(&waiting);
	}
	while (waiting.count)
		drop(&waiting, waiting.count - 1);
	free(waiting.fds);
	free(waiting.list);
	return status == 0 && refused ? STATUS_TETHER : status;
}

int command_wait(const struct invocation *invocation)
{
	struct wait_options options = { 0 };
	int operands, status;

	if (common_parse(&table, invocation, &options, &operands, &status))
		return select_run(invocation, operands, &options.selection, &options.common.output, true,
				  wait_selected, &options);
	select_free(&options.selection);
	return status;
}
