/* SPDX-License-Identifier: BSD-2-Clause */
#include "timeline.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "caller.h"
#include "ending.h"
#include "output_stack.h"
#include "stop_at.h"

#define BIT(kind) TETHER_EVENT_BIT(TETHER_EVENT_##kind)

/* What the command itself lives on, whatever is shown. */
static const uint64_t needed = BIT(GRAB) | BIT(EXEC) | BIT(FORK) | BIT(STOP) | BIT(CONTINUE) | BIT(EXIT) |
			       BIT(LOST) | BIT(RELEASE) | BIT(PARKED) | BIT(CRASH);

static const uint64_t from_linker = BIT(LOAD) | BIT(UNLOAD) | BIT(PREINIT) | BIT(POSTINIT) | BIT(MAIN);

/*
 * After a shell has continued us it has continued the victim too, most likely: it is in our process group.
 * One that has not gone on by then was not meant by that signal, and is continued by us.
 */
enum { NUDGE_NS = 100000000 };

uint64_t timeline_events(const struct output *output)
{
	return output->wanted | needed;
}

uint64_t timeline_stacks(const struct output *output)
{
	return output->options.stacks | (output->wanted & BIT(LOAD));
}

bool timeline_needs_monitor(const struct output *output)
{
	return output->wanted & from_linker;
}

/* ---- events -------------------------------------------------------------------------------------------- */

static void first_ended(struct timeline *timeline, int code, int signal)
{
	timeline->first_known = true;
	timeline->first_code = code;
	timeline->first_signal = signal;
	if (timeline->end == END_NOT_YET)
		timeline->end = END_FIRST;
}

/* Its stacks are taken when no event is being dealt with: to take them waits for the library. */
static void park_crashed(struct timeline *timeline, struct tether *handle, int64_t tid)
{
	struct parked *parked = calloc(1, sizeof(*parked));

	if (!parked) {
		tether_continue(handle);
		return;
	}
	parked->pid = tether_pid(handle);
	parked->handle = tether_ref(handle);
	parked->crashed = tid;
	parked->next = timeline->crashed;
	timeline->crashed = parked;
}

static bool is_parked(const struct timeline *timeline, int64_t pid)
{
	for (const struct parked *parked = timeline->parked; parked; parked = parked->next) {
		if (parked->pid == pid)
			return true;
	}
	return false;
}

/* It stands at a place where it is to be handed over, and waits for its turn. */
static void park(struct timeline *timeline, struct tether *handle)
{
	int64_t pid = tether_pid(handle);
	struct process *process = family_find(&timeline->family, pid);
	struct parked *parked;

	if (process && process->crashed) {
		park_crashed(timeline, handle, process->crashed);
		process->crashed = 0;
		return;
	}
	if (!timeline->hands_over) {
		tether_continue(handle);
		return;
	}
	/* An exec that parks and the park itself are two events. */
	if (is_parked(timeline, pid))
		return;
	parked = calloc(1, sizeof(*parked));
	if (!parked) {
		tether_continue(handle);
		return;
	}
	parked->pid = pid;
	parked->stopped = process ? process->stopped : 0;
	parked->handle = tether_ref(handle);
	*timeline->parked_end = parked;
	timeline->parked_end = &parked->next;
}

/* What the command must know before the event is shown. */
static void before(struct timeline *timeline, const struct tether_event *event)
{
	if (event->kind == TETHER_EVENT_FORK && event->u.fork.followed) {
		family_add(&timeline->family, event->u.fork.child, event->pid);
	} else if (event->kind == TETHER_EVENT_GRAB && event->process) {
		struct tether_info info = { .size = sizeof(info) };
		struct process *process;

		tether_info_get(event->process, &info);
		/* One that was there before us was not seen to be made. */
		process = family_add(&timeline->family, event->pid,
				     info.parent ? info.parent : process_parent(event->pid));
		if (process)
			process_set_name(process, event->u.grab.path);
	}
}

static void after_of_first(struct timeline *timeline, const struct tether_event *event)
{
	switch (event->kind) {
	case TETHER_EVENT_STOP:
		timeline->first_stopped = true;
		timeline->stop_due = true;
		break;
	case TETHER_EVENT_CONTINUE:
		timeline->first_stopped = false;
		timeline->stop_due = false;
		timeline->nudge_ns = 0;
		break;
	case TETHER_EVENT_EXIT:
		first_ended(timeline, event->u.exit.code, event->u.exit.signal);
		break;
	case TETHER_EVENT_LOST:
	case TETHER_EVENT_RELEASE:
		/* Its stop, if it is in one, is no longer ours to follow; its end still is. */
		timeline->first_stopped = false;
		timeline->stop_due = false;
		timeline->nudge_ns = 0;
		break;
	default:
		break;
	}
}

static void after(struct timeline *timeline, const struct tether_event *event, struct process *process)
{
	switch (event->kind) {
	case TETHER_EVENT_EXEC:
		if (process) {
			process_set_name(process, event->u.exec.path);
			if (event->u.exec.cwd)
				process->directory = directory_hash(event->u.exec.cwd);
		}
		if (event->u.exec.parked && event->process)
			park(timeline, event->process);
		break;
	case TETHER_EVENT_CRASH:
		if (process)
			process->crashed = event->tid;
		break;
	case TETHER_EVENT_PARKED:
		if (event->process)
			park(timeline, event->process);
		break;
	case TETHER_EVENT_EXIT:
	case TETHER_EVENT_LOST:
	case TETHER_EVENT_RELEASE:
		family_remove(&timeline->family, event->pid);
		break;
	default:
		break;
	}
	if (timeline->first && event->pid == timeline->first)
		after_of_first(timeline, event);
}

static int take_caller(const struct tether_stack *stack, void *data)
{
	caller_write(data, stack);
	return 0;
}

static void show(struct timeline *timeline, const struct tether_event *event, const struct process *process)
{
	struct output *output = timeline->output;
	struct buffer caller = { 0 };
	struct stacks stacks;

	if (event->kind == TETHER_EVENT_LOAD && event->stack &&
	    !tether_event_stack(event, 0, take_caller, &caller) && caller.length && !caller.failed)
		output->caller = buffer_string(&caller);
	output_event(output, event, process);
	output->caller = NULL;
	buffer_free(&caller);
	if (!event->stack || event->kind >= 64 || !(output->options.stacks & TETHER_EVENT_BIT(event->kind)))
		return;
	stacks_begin(&stacks, output, false);
	stacks.bare = true;
	tether_event_stack(event, 0, stacks_add, &stacks);
	stacks_end(&stacks);
}

/* To have a breakpoint it was parked before its first instruction; unless it is to stop there anyway. */
static bool goes_on(struct timeline *timeline, const struct tether_event *event)
{
	if (event->kind != TETHER_EVENT_PARKED || !timeline->start_due)
		return false;
	timeline->start_due = false;
	if (is_parked(timeline, event->pid))
		return false;
	tether_continue(event->process);
	return true;
}

static void on_event(const struct tether_event *event, void *data)
{
	struct timeline *timeline = data;
	struct process *process;

	before(timeline, event);
	process = family_find(&timeline->family, event->pid);
	if (goes_on(timeline, event))
		return;
	/* That it stands is what its crash has said already. */
	if (event->kind != TETHER_EVENT_PARKED || !process || !process->crashed)
		show(timeline, event, process);
	after(timeline, event, process);
	if (timeline->watch)
		timeline->watch(event, timeline->data);
}

/* ---- parked processes ---------------------------------------------------------------------------------- */

static struct parked *next_parked(struct timeline *timeline)
{
	struct parked *parked = timeline->parked;

	if (!parked)
		return NULL;
	timeline->parked = parked->next;
	if (!timeline->parked)
		timeline->parked_end = &timeline->parked;
	return parked;
}

static void hand_over(struct timeline *timeline, const struct parked *parked)
{
	if (parked->stopped)
		stop_at_show(timeline, parked->handle, parked->stopped);
	/* Before it is let go its pid is surely still its own. */
	int pidfd = timeline->then ? pidfd_open((pid_t)parked->pid, 0) : -1;
	int result = tether_detach(parked->handle, TETHER_MODE_HANG);

	if (result < 0) {
		/* One that was killed while it stood there has its exit record. */
		if (result != -TETHER_EGONE)
			output_failure(timeline->output, "cannot let go of the stopped process", result,
				       NULL);
		close(pidfd);
		return;
	}
	await_stop(parked->pid);
	if (!timeline->then) {
		output_note(timeline->output, "%lld is stopped; 'kill -CONT %lld' lets it run on",
			    (long long)parked->pid, (long long)parked->pid);
		if (parked->pid == timeline->first && timeline->end == END_NOT_YET)
			timeline->end = END_LEFT;
		return;
	}
	output_flush(timeline->output);
	result = handover_start(&timeline->handover, timeline->then, parked->pid, pidfd, &timeline->signals);
	if (result < 0) {
		output_error(timeline->output, "ESYSTEM", "cannot run the command of --then", "");
		kill((pid_t)parked->pid, SIGCONT);
	}
}

struct crash {
	int64_t tid;
	struct stacks first, others;
};

static int add_crash(const struct tether_stack *stack, void *data)
{
	struct crash *crash = data;

	return stacks_add(stack, stack->tid == crash->tid ? &crash->first : &crash->others);
}

/* That of the thread which has crashed first, and not among equal ones. */
static int take_crash(struct output *output, const struct parked *crashed)
{
	struct tether_snapshot snapshot = { .size = sizeof(snapshot) };
	struct crash crash = { .tid = crashed->crashed };
	int result;

	stacks_begin(&crash.first, output, false);
	stacks_begin(&crash.others, output, output->options.format == OUTPUT_TEXT);
	result = tether_snapshot(crashed->handle, NULL, add_crash, &crash, &snapshot);
	stacks_end(&crash.first);
	stacks_end(&crash.others);
	if (result >= 0)
		stacks_snapshot(&crash.others, &snapshot);
	return result;
}

/* One that another thread of it, or a signal, has ended meanwhile has its exit record. */
static void show_crashes(struct timeline *timeline)
{
	struct parked *crashed;

	while ((crashed = timeline->crashed)) {
		int result = timeline->output->options.quiet ? 0 : take_crash(timeline->output, crashed);

		timeline->crashed = crashed->next;
		if (result < 0 && result != -TETHER_EGONE)
			output_failure(timeline->output, "cannot take the stacks", result, NULL);
		tether_continue(crashed->handle);
		tether_release(crashed->handle);
		free(crashed);
	}
}

/* One at a time: they share the terminal. The others stand parked meanwhile. */
static void hand_over_next(struct timeline *timeline)
{
	while (!timeline->handover.command) {
		struct parked *parked = next_parked(timeline);

		if (!parked)
			return;
		hand_over(timeline, parked);
		tether_release(parked->handle);
		free(parked);
	}
}

/* ---- the first process, when it is no longer held ------------------------------------------------------ */

static void first_ended_unseen(struct timeline *timeline, short revents)
{
	struct ending ending;

	switch (ending_look(timeline->first_pidfd, timeline->first, revents, &ending)) {
	case ENDING_ALIVE:
		break;
	case ENDING_TOLD:
		first_ended(timeline, ending.signal ? -1 : ending.code, ending.signal);
		break;
	case ENDING_LATER:
		timeline->first_unreaped = true;
		break;
	case ENDING_UNKNOWN:
		timeline->end = END_FIRST;
		break;
	}
}

/* ---- the loop ------------------------------------------------------------------------------------------ */

static void on_signal(struct timeline *timeline, int signal)
{
	int status;

	if (signal != SIGCHLD) {
		if (timeline->end == END_NOT_YET) {
			timeline->end = END_SIGNAL;
			timeline->end_signal = signal;
		}
		return;
	}
	switch (handover_look(&timeline->handover, &status)) {
	case HANDOVER_NOTHING:
		break;
	case HANDOVER_STOPPED: {
		pid_t command = timeline->handover.command;

		output_flush(timeline->output);
		stop_along_with(command, timeline->deadline_ns);
		kill(command, SIGCONT);
		break;
	}
	case HANDOVER_ENDED:
		timeline->then_status = status;
		break;
	}
}

static void stop_too(struct timeline *timeline)
{
	timeline->stop_due = false;
	output_flush(timeline->output);
	stop_along_with(timeline->first, timeline->deadline_ns);
	timeline->nudge_ns = now_ns() + NUDGE_NS;
}

static void nudge(struct timeline *timeline)
{
	timeline->nudge_ns = 0;
	if (timeline->first_stopped && timeline->first_pidfd >= 0)
		pidfd_send_signal(timeline->first_pidfd, SIGCONT, NULL, 0);
}

static int poll_timeout(const struct timeline *timeline)
{
	uint64_t until = timeline->deadline_ns, now = now_ns(), left;

	if (timeline->nudge_ns && (!until || timeline->nudge_ns < until))
		until = timeline->nudge_ns;
	if (timeline->rest_ns && (!until || timeline->rest_ns < until))
		until = timeline->rest_ns;
	if (!until)
		return -1;
	left = until > now ? (until - now + 999999) / 1000000 : 0;
	return left > 60000 ? 60000 : (int)left;
}

static void check_times(struct timeline *timeline)
{
	uint64_t now = now_ns();

	if (timeline->deadline_ns && now >= timeline->deadline_ns && timeline->end == END_NOT_YET)
		timeline->end = END_TIMEOUT;
	if (timeline->nudge_ns && now >= timeline->nudge_ns)
		nudge(timeline);
}

/* The end of a held process is told by its event, cost included; of one held no more the pidfd is all there
 * is. */
static int watched_pidfd(struct timeline *timeline)
{
	if (timeline->end != END_NOT_YET || family_find(&timeline->family, timeline->first))
		return -1;
	return timeline->first_pidfd;
}

static void turn(struct timeline *timeline)
{
	struct pollfd fds[] = {
		{ .fd = timeline->fd, .events = POLLIN },
		{ .fd = timeline->signals.fd, .events = POLLIN },
		{ .fd = watched_pidfd(timeline), .events = timeline->first_unreaped ? 0 : POLLIN },
	};
	int result, signal;

	if (poll(fds, 3, poll_timeout(timeline)) < 0 && errno != EINTR) {
		timeline->failure = -errno;
		timeline->end = END_FAILURE;
		return;
	}
	result = tether_dispatch(timeline->session, 0);
	if (result < 0) {
		timeline->failure = result;
		timeline->end = END_FAILURE;
		return;
	}
	/*
	 * A held process is seen to die by its pidfd before the library tells of it: only of one that is held
	 * no more is the pidfd all there is.
	 */
	if (fds[2].revents && !family_find(&timeline->family, timeline->first) &&
	    timeline->end == END_NOT_YET)
		first_ended_unseen(timeline, fds[2].revents);
	while ((signal = signals_next(&timeline->signals)))
		on_signal(timeline, signal);
	check_times(timeline);
	show_crashes(timeline);
	hand_over_next(timeline);
	if (timeline->rest)
		timeline->rest_ns = timeline->rest(timeline->data);
	output_flush(timeline->output);
	if (timeline->stop_due)
		stop_too(timeline);
}

static bool is_over(struct timeline *timeline)
{
	if (timeline->end == END_NOT_YET && timeline->ends_with_output && output_broken(timeline->output))
		timeline->end = END_OUTPUT;
	if (timeline->end == END_NOT_YET && !timeline->first && !timeline->family.count)
		timeline->end = END_ALL;
	/* Let go and gone before there was a descriptor to see its end by. */
	if (timeline->end == END_NOT_YET && timeline->first && timeline->first_pidfd < 0 &&
	    !family_find(&timeline->family, timeline->first))
		timeline->end = END_FIRST;
	/* A debugger at the terminal outlives what it debugs; it is ours to wait for. */
	if (timeline->end == END_FIRST && timeline->handover.command)
		return false;
	return timeline->end != END_NOT_YET;
}

void timeline_run(struct timeline *timeline)
{
	while (!is_over(timeline))
		turn(timeline);
}

/* ---- open and close ------------------------------------------------------------------------------------ */

bool timeline_open(struct timeline *timeline, struct output *output, uint64_t timeout_ns)
{
	struct tether_error error = TETHER_ERROR_INIT;
	int result;

	*timeline = (struct timeline){ .output = output, .first_pidfd = -1, .then_status = -1 };
	timeline->parked_end = &timeline->parked;
	if (timeout_ns)
		timeline->deadline_ns = now_ns() + timeout_ns;
	signals_save(&timeline->signals);
	result = tether_session_open(NULL, &timeline->session, &error);
	if (result < 0) {
		output_failure(output, "cannot open a session", result, &error);
		return false;
	}
	signals_survive_readers();
	tether_session_set_handler(timeline->session, on_event, timeline);
	timeline->fd = tether_fd(timeline->session);
	return true;
}

void timeline_hold(struct timeline *timeline, struct tether *handle, bool first)
{
	int64_t pid = tether_pid(handle);
	struct held *held = calloc(1, sizeof(*held));
	struct process *process = family_add(&timeline->family, pid, 0);

	if (first) {
		char directory[PATH_MAX];

		/* It was created in ours, so that is not worth a word. */
		if (process && getcwd(directory, sizeof(directory)))
			process->directory = directory_hash(directory);
		timeline->first = pid;
		timeline->first_pidfd = pidfd_open((pid_t)pid, 0);
	}
	if (!held)
		return; /* the session lets it go at its close */
	held->handle = handle;
	held->pid = pid;
	held->next = timeline->held;
	timeline->held = held;
}

static void let_go(struct timeline *timeline, uint32_t mode)
{
	struct parked *parked;
	struct held *held;

	while ((parked = timeline->crashed)) {
		timeline->crashed = parked->next;
		tether_release(parked->handle);
		free(parked);
	}
	while ((parked = next_parked(timeline))) {
		tether_release(parked->handle);
		free(parked);
	}
	while ((held = timeline->held)) {
		timeline->held = held->next;
		/* Of a family whose first process has ended this still reaches the others. */
		tether_set_mode(held->handle, mode);
		tether_release(held->handle);
		free(held);
	}
}

void timeline_close(struct timeline *timeline, uint32_t mode)
{
	struct tether_stats stats = { .size = sizeof(stats) };

	stop_at_end(timeline);
	let_go(timeline, mode);
	while (tether_dispatch(timeline->session, 0) > 0)
		;
	if (timeline->ending)
		timeline->ending(timeline->data);
	if (timeline->end == END_FAILURE)
		output_failure(timeline->output, "the session failed", timeline->failure, NULL);
	if (tether_stats_get(timeline->session, &stats) == 0)
		output_summary(timeline->output, &stats);
	tether_session_close(timeline->session);
	if (timeline->first_pidfd >= 0)
		close(timeline->first_pidfd);
	if (timeline->signals.fd >= 0)
		close(timeline->signals.fd);
	for (struct process *process; (process = family_any(&timeline->family));)
		family_remove(&timeline->family, process->pid);
}
