/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_watch.c - run a command that nobody holds, and show where it hangs when it does not end in time
 *
 *	launch ──► WATCHED ── it ends ──────────────────────────────────► its exit status is ours
 *	               │ the deadline: stacks          SIGTERM to us
 *	               ▼                                    ▼
 *	            ASKED: SIGTERM to all that it has started ── all have ended ──► 124, or that signal
 *	               │ the time of --grace
 *	               ▼
 *	            KILLED: SIGKILL to all, as often as new ones appear
 *
 * Nothing is traced before the deadline: leak checkers and debuggers inside the command work as without us. What it has
 * started is known by the tree of parents (brood.h), so it is whole only while we live: killed, we leave everything
 * running, as a shell would.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "brood.h"
#include "common.h"
#include "launch.h"
#include "proc.h"
#include "signals.h"
#include "unrunnable.h"
#include "watch_stacks.h"

#define GRACE_NS UINT64_C(2000000000)
#define KILL_NS UINT64_C(5000000000) /* so long may killed processes take to end: a device may keep them */
enum { ROUND_MS = 20 };              /* between two looks for new ones while all are killed */

/* As with run (timeline.c): continued by a shell, the command has gone on by then, or was not meant. */
enum { NUDGE_NS = 100000000 };

struct watch_options {
	struct common_options common;
	uint64_t grace_ns;
	bool no_stacks;
};

static bool read_on_timeout(void *field, const char *argument, struct buffer *why)
{
	bool *no_stacks = field;

	if (strcmp(argument, "stacks") != 0 && strcmp(argument, "none") != 0) {
		buffer_text(why, "give stacks or none");
		return false;
	}
	*no_stacks = !strcmp(argument, "none");
	return true;
}

#define FIELD(name) offsetof(struct watch_options, name)

static const struct option_row rows[] = {
	{ 0, "timeout", "SECONDS", "when to take the stacks and end it; must be given", option_duration,
	  FIELD(common.timeout_ns) },
	{ 0, "on-timeout", "stacks|none", "show the stacks of all its processes (default)", read_on_timeout,
	  FIELD(no_stacks) },
	{ 0, "grace", "SECONDS", "from SIGTERM to SIGKILL; 2 unless given", option_duration, FIELD(grace_ns) },
	RECORD_OPTIONS(struct watch_options, common),
	LAST_OPTIONS,
};

static const struct option_table table = {
	.usage = "watch --timeout=SECONDS [options] [--] COMMAND [ARGUMENT...]",
	.sentence = "Run a command untraced. If it does not end in time: show all stacks, then end it.",
	.rows = rows,
	.epilogue = "Exit status: the command's own, its signal too; 124 when it was ended, 125 when tether\n"
		    "failed, 126 when the command cannot be run, 127 when it is not found.\n"
		    "Example: tether watch --timeout 300 -- ctest -j8",
};

enum phase { WATCHED, ASKED, KILLED, DONE };

struct watch {
	const struct watch_options *options;
	struct output *output;
	struct signals signals;
	struct brood brood;
	char *const *argv;
	pid_t command;
	bool command_ended, command_stopped;
	bool stop_due; /* we are to stop too */
	bool alone;    /* no child is left: all have ended */
	int wait_status;
	uint64_t nudge_ns; /* when to continue the command unless it has gone on; 0: never */
	enum phase phase;
	uint64_t due_ns; /* CLOCK_MONOTONIC: the end of this phase */
	bool timed_out;
	int told; /* the signal that told us to end */
	bool failed;
};

/* ---- its children, and what was left to us by theirs --------------------------------------------------- */

static void reaped(struct watch *watch, pid_t pid, int status)
{
	if (pid != watch->command)
		return;
	if (WIFSTOPPED(status)) {
		watch->command_stopped = watch->stop_due = true;
	} else if (WIFCONTINUED(status)) {
		watch->command_stopped = watch->stop_due = false;
		watch->nudge_ns = 0;
	} else {
		watch->command_ended = true;
		watch->command_stopped = watch->stop_due = false;
		watch->wait_status = status;
	}
}

static void reap(struct watch *watch)
{
	int status;

	for (;;) {
		pid_t pid = waitpid(-1, &status, WNOHANG | WUNTRACED | WCONTINUED);

		if (pid > 0)
			reaped(watch, pid, status);
		else if (pid == 0 || errno != EINTR)
			break;
	}
	watch->alone = waitid(P_ALL, 0, &(siginfo_t){ 0 }, WEXITED | WNOHANG | WNOWAIT) < 0 && errno == ECHILD;
}

/* ---- the end of all ------------------------------------------------------------------------------------ */

/* What is stopped acts on SIGTERM only when it goes on. */
static void ask_to_end(struct watch *watch)
{
	for (size_t i = 0; i < watch->brood.count; i++) {
		brood_signal(&watch->brood.list[i], SIGTERM);
		brood_signal(&watch->brood.list[i], SIGCONT);
	}
}

/* Parents first: a dead one starts no more. Who was started meanwhile is found in the next round. */
static void kill_all(struct watch *watch)
{
	for (size_t i = 0; i < watch->brood.count; i++)
		brood_signal(&watch->brood.list[i], SIGKILL);
}

static void look(struct watch *watch)
{
	if (brood_look(&watch->brood) || watch->failed)
		return;
	watch->failed = true;
	output_error(watch->output, "ESYSTEM", "cannot read /proc: not all that was started may be found", "mount it");
}

static void begin_end(struct watch *watch)
{
	watch->phase = ASKED;
	watch->due_ns = now_ns() + watch->options->grace_ns;
	look(watch);
	ask_to_end(watch);
}

static void name_survivors(struct watch *watch)
{
	char text[128], name[PROC_NAME];

	for (size_t i = 0; i < watch->brood.count; i++) {
		const struct brood_member *member = &watch->brood.list[i];

		if (member->state == 'Z' || member->state == 'X')
			continue;
		proc_name(member->pid, name);
		snprintf(text, sizeof(text), "%lld (%s) has not ended: %s", (long long)member->pid, name,
			 brood_signal(member, 0) == -EPERM ? "it runs as another user"
							   : "it waits uninterruptibly");
		output_error(watch->output, tether_error_name(TETHER_ETIMEDOUT), text, "");
	}
}

/* ---- the deadline -------------------------------------------------------------------------------------- */

static void overdue(struct watch *watch)
{
	struct watch_stacks stacks = {
		.output = watch->output,
		.brood = &watch->brood,
		.command = watch->command,
		.timeout_ns = watch->options->common.timeout_ns,
	};

	watch->timed_out = true;
	look(watch);
	watch_stacks(&stacks, !watch->options->no_stacks && !watch->options->common.output.quiet);
	output_flush(watch->output);
	begin_end(watch);
}

static void check_times(struct watch *watch)
{
	uint64_t now = now_ns();

	if (watch->nudge_ns && now >= watch->nudge_ns) {
		watch->nudge_ns = 0;
		if (watch->command_stopped)
			kill(watch->command, SIGCONT);
	}
	/* What it did in time counts, however late we look. */
	if (watch->phase == WATCHED && watch->command_ended)
		watch->phase = DONE;
	if (watch->phase == ASKED || watch->phase == KILLED) {
		look(watch);
		/* A look may miss one that is being started: with nobody else below us the kernel is asked. */
		if (watch->alone || (watch->brood.strangers_seen && !brood_living(&watch->brood)))
			watch->phase = DONE;
	}
	if (watch->phase == KILLED)
		kill_all(watch);
	if (watch->phase == DONE || now < watch->due_ns)
		return;
	switch (watch->phase) {
	case WATCHED:
		overdue(watch);
		break;
	case ASKED:
		watch->phase = KILLED;
		watch->due_ns = now + KILL_NS;
		kill_all(watch);
		break;
	case KILLED:
		name_survivors(watch);
		watch->phase = DONE;
		break;
	case DONE:
		break;
	}
}

/* ---- the loop ------------------------------------------------------------------------------------------ */

static int poll_timeout(const struct watch *watch)
{
	uint64_t until = watch->due_ns, now = now_ns(), left;

	if (watch->nudge_ns && watch->nudge_ns < until)
		until = watch->nudge_ns;
	left = until > now ? (until - now + 999999) / 1000000 : 0;
	if (watch->phase == KILLED && left > ROUND_MS)
		return ROUND_MS;
	return left > 60000 ? 60000 : (int)left;
}

static void stop_too(struct watch *watch)
{
	watch->stop_due = false;
	output_flush(watch->output);
	stop_along_with(watch->command, watch->due_ns);
	watch->nudge_ns = now_ns() + NUDGE_NS;
}

static void turn(struct watch *watch)
{
	struct pollfd fd = { .fd = watch->signals.fd, .events = POLLIN };
	int signal;

	poll(&fd, 1, poll_timeout(watch));
	while ((signal = signals_next(&watch->signals))) {
		if (signal == SIGCHLD || watch->told)
			continue;
		watch->told = signal;
		if (watch->phase == WATCHED)
			begin_end(watch);
	}
	reap(watch);
	check_times(watch);
	output_flush(watch->output);
	if (watch->stop_due && watch->phase == WATCHED)
		stop_too(watch);
}

static void tell_end(struct watch *watch)
{
	struct output_ending ending = { .pid = watch->command, .t_ns = now_ns(), .name = watch->argv[0] };
	int status = watch->wait_status;

	if (!watch->command_ended)
		return;
	ending.code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
	ending.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	ending.core = WIFSIGNALED(status) && WCOREDUMP(status);
	/* Eyes see the end of a command that ends by itself without being told. */
	if (watch->timed_out || watch->output->options.format == OUTPUT_JSONL)
		output_ending(watch->output, &ending);
}

static int start(struct watch *watch)
{
	static const int listened[] = { SIGTERM, SIGCHLD, 0 };
	int result;

	signals_save(&watch->signals);
	signals_step_aside();
	result = brood_begin(&watch->brood);
	if (result == 0)
		result = signals_listen(&watch->signals, listened);
	if (result < 0) {
		output_failure(watch->output, "cannot watch", result, NULL);
		return STATUS_TETHER;
	}
	result = launch(watch->argv, &watch->signals, &watch->command);
	if (result < 0)
		return unrunnable(watch->output, watch->argv[0], -result);
	signals_survive_readers();
	watch->due_ns = now_ns() + watch->options->common.timeout_ns;
	return 0;
}

static int status_of(const struct watch *watch, int *signal)
{
	if (watch->timed_out)
		return STATUS_TIMEOUT;
	if (watch->told)
		*signal = watch->told;
	else if (WIFSIGNALED(watch->wait_status))
		*signal = WTERMSIG(watch->wait_status);
	return *signal ? STATUS_TETHER : WEXITSTATUS(watch->wait_status);
}

static int watch(const struct watch_options *options, struct output *output, char *const *argv, int *signal)
{
	struct watch watch = { .options = options, .output = output, .argv = argv };
	int status = start(&watch);

	if (status == 0) {
		while (watch.phase != DONE)
			turn(&watch);
		tell_end(&watch);
		status = status_of(&watch, signal);
	}
	brood_free(&watch.brood);
	return status;
}

int command_watch(const struct invocation *invocation)
{
	struct watch_options options = { .grace_ns = GRACE_NS };
	struct output output;
	int operands, status, signal = 0;

	if (!common_parse(&table, invocation, &options, &operands, &status))
		return status;
	if (!invocation->argv[operands])
		return common_misuse(invocation, "no command is given");
	if (!options.common.timeout_ns)
		return common_misuse(invocation, "no time is given; use --timeout SECONDS");
	if (!output_open(&output, &options.common.output, invocation->whole_argv))
		return STATUS_TETHER;
	status = watch(&options, &output, invocation->argv + operands, &signal);
	/* Records that could not be written were reported; the status is the command's all the same. */
	output_close(&output);
	if (signal)
		die_of(signal);
	return status;
}
