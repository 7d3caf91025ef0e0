/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_resume.c - let processes go on that stand in a job-control stop, as 'tether hold' leaves them
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <time.h>
#include <unistd.h>

#include "common.h"
#include "proc.h"
#include "refusal.h"
#include "select.h"
#include "signals.h"

struct resume_options {
	struct common_options common;
	struct selection selection;
};

static const struct option_row rows[] = {
	SELECT_OPTIONS(struct resume_options, selection),
	RECORD_OPTIONS(struct resume_options, common),
	LAST_OPTIONS,
};

static const struct option_table table = {
	.usage = "resume [options] -p PID[,PID...] | -n NAME",
	.sentence = "Let stopped processes go on. One that is not stopped is left as it is.",
	.rows = rows,
	.epilogue = "Exit status: 0; 125 when one could not be set going.\n"
		    "Example: tether resume -n make --tree",
};

static bool refuse(struct output *output, int64_t pid, const char *code, const char *why, const char *cure)
{
	char text[384];

	snprintf(text, sizeof(text), "cannot resume %lld: %s", (long long)pid, why);
	output_error(output, code, text, cure);
	return false;
}

/*
 * The kernel wakes the threads of a stopped process before kill(2) returns. One that is seen stopped after
 * that was stopped anew: by a controller that was just letting it go so when its client was killed. So the
 * signal is sent once more, at most for a second; a tracer may keep it. False: it stands still. The time
 * between two looks is no part of what makes it right.
 */
static bool goes_on(int64_t pid, int fd)
{
	const struct timespec pause = { .tv_nsec = 500000 };
	uint64_t until = now_ns() + 1000000000;
	char state;

	while ((state = proc_state(pid)) == 'T' || state == 't') {
		if (now_ns() >= until)
			return false;
		if (state == 'T')
			pidfd_send_signal(fd, SIGCONT, NULL, 0);
		nanosleep(&pause, NULL);
	}
	return true;
}

struct search {
	int64_t tracer;
	char detail[256], cure[256];
};

static int find_tracer(const struct tether_reason *reason, void *data)
{
	struct search *search = data;

	if (reason->cause != TETHER_CAUSE_TRACED)
		return 0;
	search->tracer = reason->other_pid;
	snprintf(search->detail, sizeof(search->detail), "it stands for who traces it: %s", reason->detail);
	snprintf(search->cure, sizeof(search->cure), "%s", reason->cure);
	return 1;
}

/* A stop for a tracer is the tracer's to end; but tether's own shows so too while job control has it stopped.
 */
static bool may_continue(struct output *output, int64_t pid)
{
	struct tether_verdict verdict = { .size = sizeof(verdict) };
	struct search search = { .tracer = 0 };
	char name[PROC_NAME];

	tether_diagnose(pid, &verdict, find_tracer, &search);
	if (!search.tracer)
		return true;
	proc_name(search.tracer, name);
	if (!strcmp(name, "tether-controll"))
		return true;
	return refuse(output, pid, tether_error_name(TETHER_ETRACED), search.detail, search.cure);
}

static bool resume_stopped(struct output *output, int64_t pid, int fd)
{
	struct tether_event event = { .kind = TETHER_EVENT_CONTINUE, .pid = pid, .tid = pid };

	if (pidfd_send_signal(fd, SIGCONT, NULL, 0) && errno != ESRCH) {
		if (errno == EPERM)
			return refuse(output, pid, tether_error_name(TETHER_EPRIV), "it runs as another user",
				      "run tether as that user, or with CAP_KILL (root has it)");
		return refuse(output, pid, tether_error_name(errno), strerror(errno), "");
	}
	if (!goes_on(pid, fd))
		return refuse(output, pid, tether_error_name(TETHER_ETIMEDOUT), "it stays stopped",
			      "look who stops it: tether doctor, or its parent");
	event.t_ns = now_ns();
	output_event(output, &event, NULL);
	return true;
}

static bool resume_one(struct output *output, int64_t pid)
{
	int fd = pidfd_open((pid_t)pid, 0), error = errno;
	bool good = true;
	char state;

	if (fd < 0) {
		int code = error == EINVAL || error == ENOENT ? -TETHER_ETHREAD
			   : error == ESRCH                   ? -TETHER_EGONE
							      : -error;

		refusal(output, "resume", pid, TETHER_ACCESS_OBSERVE, code, NULL);
		return false;
	}
	state = proc_state(pid);
	if (state == 'Z' || state == 'X' || !state)
		good = refuse(output, pid, tether_error_name(state ? TETHER_EZOMBIE : TETHER_EGONE),
			      "it has ended", tether_error_cure(state ? TETHER_EZOMBIE : TETHER_EGONE));
	else if (state == 'T' || (state == 't' && may_continue(output, pid)))
		good = resume_stopped(output, pid, fd);
	else if (state == 't')
		good = false;
	else
		output_note(output, "%lld is not stopped", (long long)pid);
	close(fd);
	return good;
}

static int resume(const void *given, struct output *output)
{
	const struct resume_options *options = given;
	int status = 0;

	signals_survive_readers();
	for (size_t i = 0; i < options->selection.count; i++) {
		if (!resume_one(output, options->selection.pids[i]))
			status = STATUS_TETHER;
	}
	return status;
}

int command_resume(const struct invocation *invocation)
{
	struct resume_options options = { 0 };
	int operands, status;

	if (common_parse(&table, invocation, &options, &operands, &status))
		return select_run(invocation, operands, &options.selection, &options.common.output, true,
				  resume, &options);
	select_free(&options.selection);
	return status;
}
