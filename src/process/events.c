/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * process/events.c - what each event of a controller means
 *
 * Those that tell of new code, and mostly hold a thread until that is dealt with, are follow.c's.
 */
#include <stdlib.h>
#include <sys/wait.h>

#include "os/procfs.h"
#include "process/handle.h"
#include "process/sample.h"

void follow_post(struct family *family, struct tether_event *event)
{
	struct table *table = family->table;

	if (family->events && !(family->events & TETHER_EVENT_BIT(event->kind)))
		return;
	event->size = sizeof(*event);
	event->stack = family->stacks & TETHER_EVENT_BIT(event->kind) ? family->sampled.sample : NULL;
	pthread_mutex_lock(&table->lock);
	table->host->post(table->host, event);
	pthread_mutex_unlock(&table->lock);
}

struct tether_event follow_event_of(const struct proto_event *from, struct tether *process, uint32_t kind)
{
	return (struct tether_event){
		.kind = kind, .pid = from->pid, .tid = from->tid, .t_ns = from->t_ns, .process = process,
	};
}

static struct tether *new_member(struct family *family, int64_t pid)
{
	uint64_t start_time = 0;

	os_start_time(pid, &start_time);
	return handle_new(family->table, pid, start_time, false);
}

struct tether *follow_admit(struct family *family, int64_t pid)
{
	struct tether *process = new_member(family, pid);

	if (process)
		family_add(family, process);
	return process;
}

void follow_rendezvous_failed(struct tether *process, int code, int status, const char *path)
{
	struct operation *operation = process->rendezvous;
	struct error_details details = { .pid = process->pid, .status = status, .path = path };

	if (!operation)
		return;
	process->rendezvous = NULL;
	error_fill(&operation->error, code, &details, "cannot %s %lld", operation->deed, (long long)process->pid);
	operation_finish(operation, -code);
	operation_put(operation);
}

/* ---- births and deaths ----------------------------------------------------------------------------------- */

static void inherit(struct tether *child, const struct tether *parent, bool shares_memory)
{
	struct space *space = shares_memory ? space_get(parent->space) : space_copy(parent->space);

	child->rtld = parent->rtld;
	child->preinit_seen = parent->preinit_seen;
	child->main_planted = parent->main_planted;
	child->main_seen = parent->main_seen;
	child->copies = parent->copies;
	child->creator_environment = blob_get(parent->environment);
	pthread_mutex_lock(&child->table->lock);
	child->parent = parent->pid;
	if (space) {
		space_put(child->space);
		child->space = space;
	}
	if (object_list_copy(&child->objects, &parent->objects) < 0)
		child->rtld.started = false;
	pthread_mutex_unlock(&child->table->lock);
}

static void event_fork(struct family *family, struct tether *process, const void *body)
{
	const struct proto_ev_fork *from = body;
	struct tether *child = from->followed ? new_member(family, from->child) : NULL;
	struct tether_event event = follow_event_of(&from->event, process, TETHER_EVENT_FORK);

	/* Found by its pid from then on: with all that it has. */
	if (child && process)
		inherit(child, process, from->shares_memory);
	if (child)
		family_add(family, child);
	if (child && process && process->members)
		process->table->hooks->forked(child, process, from->shares_memory, family->late);
	event.u.fork.child = from->child;
	event.u.fork.kind = from->kind;
	event.u.fork.followed = from->followed;
	event.u.fork.child_process = child;
	follow_post(family, &event);
	if (child) {
		pthread_mutex_lock(&family->table->lock);
		handle_unpin(child);
		pthread_mutex_unlock(&family->table->lock);
	}
}

static void event_exit(struct family *family, struct tether *process, const void *body)
{
	const struct proto_ev_exit *from = body;
	bool exited = WIFEXITED(from->status);
	int signal = exited ? 0 : WTERMSIG(from->status);
	struct tether_event event = follow_event_of(&from->event, process, TETHER_EVENT_EXIT);

	sampled_last(family, process);
	event.u.exit.code = exited ? WEXITSTATUS(from->status) : -1;
	event.u.exit.signal = signal;
	event.u.exit.core = !exited && WCOREDUMP(from->status);
	event.u.exit.user_ns = from->user_ns;
	event.u.exit.system_ns = from->system_ns;
	event.u.exit.max_rss_kb = from->max_rss_kb;
	pthread_mutex_lock(&process->table->lock);
	process->exit_code = event.u.exit.code;
	process->exit_signal = signal;
	pthread_mutex_unlock(&process->table->lock);
	handle_set_state(process, TETHER_STATE_EXITED);
	follow_post(family, &event);
	follow_rendezvous_failed(process, exited ? TETHER_EEXITED : TETHER_ESIGNALED,
			  exited ? WEXITSTATUS(from->status) : signal, NULL);
	family_remove(process);
}

static void event_lost(struct family *family, struct tether *process, const void *body)
{
	const struct proto_ev_plain *from = body;
	struct tether_event event = follow_event_of(&from->event, process, TETHER_EVENT_LOST);

	event.u.text.reason = "the kernel took it away";
	handle_set_state(process, TETHER_STATE_LOST);
	follow_post(family, &event);
	follow_rendezvous_failed(process, TETHER_ELOST, 0, NULL);
	family_remove(process);
}

static void event_released(struct family *family, struct tether *process, const void *body)
{
	const struct proto_ev_plain *from = body;
	struct tether_event event = follow_event_of(&from->event, process, TETHER_EVENT_RELEASE);

	event.u.release.mode = (uint32_t)from->value;
	if (from->value == PROTO_KILL) {
		follow_post(family, &event); /* its exit follows, and has the last word */
		return;
	}
	if (process->state != TETHER_STATE_LOST) {
		handle_set_state(process, TETHER_STATE_RELEASED);
		follow_post(family, &event);
	}
	family_remove(process);
}

static void event_parked(struct family *family, struct tether *process, const void *body)
{
	const struct proto_ev_plain *from = body;
	struct tether_event event = follow_event_of(&from->event, process, TETHER_EVENT_PARKED);
	struct operation *operation = process->rendezvous;

	handle_set_state(process, TETHER_STATE_PARKED);
	follow_post(family, &event);
	process->rendezvous = NULL;
	if (operation)
		operation_arrive(operation, 0);
	operation_put(operation);
}

/* ---- plain records --------------------------------------------------------------------------------------- */

static void event_thread(struct family *family, struct tether *process, const void *body)
{
	const struct proto_ev_thread *from = body;
	struct tether_event event = follow_event_of(
		&from->event, process, from->started ? TETHER_EVENT_THREAD_START : TETHER_EVENT_THREAD_EXIT);

	follow_post(family, &event);
}

static void post_signal(struct family *family, struct tether *process, const struct proto_ev_signal *from,
			uint32_t kind, const char *detail)
{
	struct tether_event event = follow_event_of(&from->event, process, kind);

	event.u.signal.signal = from->signal;
	event.u.signal.code = from->code;
	event.u.signal.sender = from->sender;
	event.u.signal.detail = detail;
	follow_post(family, &event);
}

static void event_signal(struct family *family, struct tether *process, const void *body)
{
	post_signal(family, process, body, TETHER_EVENT_SIGNAL, NULL);
}

static void event_stop(struct family *family, struct tether *process, const void *body)
{
	post_signal(family, process, body, TETHER_EVENT_STOP, NULL);
}

static void event_cont(struct family *family, struct tether *process, const void *body)
{
	post_signal(family, process, body, TETHER_EVENT_CONTINUE, NULL);
}

static void event_sigstate(struct family *family, struct tether *process, const void *body)
{
	post_signal(family, process, body, TETHER_EVENT_SIGNAL_STATE,
		    "a trap was hit while SIGTRAP was blocked or ignored, and its state could not be put back");
}

static void event_crash(struct family *family, struct tether *process, const void *body)
{
	const struct proto_ev_crash *from = body;
	struct tether_event event = follow_event_of(&from->event, process, TETHER_EVENT_CRASH);

	event.u.signal.signal = from->signal;
	event.u.signal.code = from->code;
	event.u.signal.sender = from->sender;
	event.u.signal.address = from->address;
	follow_post(family, &event);
}

static void event_sample(struct family *family, struct tether *process, const void *body)
{
	const struct proto_ev_sample *from = body;

	sampled_take(family, process, from);
	if (from->event.question)
		family_answer(family, from->event.question, PROTO_GO);
}

static void event_late(struct family *family, struct tether *process, const void *body)
{
	const struct proto_ev_plain *from = body;
	struct tether_event event = follow_event_of(&from->event, process, TETHER_EVENT_LATE_ANSWER);

	event.u.late.waited_ns = from->value;
	follow_post(family, &event);
}

static void event_dropped(struct family *family, struct tether *process, const void *body)
{
	const struct proto_ev_plain *from = body;
	struct tether_event event = follow_event_of(&from->event, process, TETHER_EVENT_DROPPED);

	event.u.dropped.count = from->value;
	follow_post(family, &event);
}

static void event_blocked(struct family *family, struct tether *process, const void *body)
{
	const struct proto_ev_plain *from = body;
	struct tether_event event = follow_event_of(&from->event, process, TETHER_EVENT_BLOCKED);

	event.u.text.reason = "it waits in vfork or uninterruptibly; it is held at its next stop";
	follow_post(family, &event);
}

static void event_caller(struct family *family, struct tether *process, const void *body)
{
	const struct proto_ev_caller *from = body;

	if (process->members)
		process->table->hooks->caller(process, from);
	else if (from->event.question)
		family_answer(family, from->event.question, PROTO_GO);
}

/* What it tells of is looked at after each event. */
static void event_calls(struct family *family, struct tether *process, const void *body)
{
	(void)family;
	(void)process;
	(void)body;
}

static void event_stats(struct family *family, struct tether *process, const void *body)
{
	const struct proto_ev_stats *from = body;

	(void)process;
	pthread_mutex_lock(&family->table->lock);
	stats_add(&family->table->retired, &from->stats);
	pthread_mutex_unlock(&family->table->lock);
}

/* ---- which is which -------------------------------------------------------------------------------------- */

static void event_exec(struct family *family, struct tether *process, const void *body)
{
	follow_exec(family, process, body);
}

static void event_hit(struct family *family, struct tether *process, const void *body)
{
	follow_hit(family, process, body);
}

/* Kinds that make sense without a handle: a process that was never reported, or was let go meanwhile. */
static bool needs_no_process(uint32_t type)
{
	return type == PROTO_EV_fork || type == PROTO_EV_dropped || type == PROTO_EV_stats || type == PROTO_EV_calls;
}

void follow_event(struct family *family, const struct proto_header *header, const void *body)
{
	const struct proto_event *event = body;
	struct tether *process = family_member(family, event->pid);

	/* Both are one after the other on the line; what lies between was dropped for want of room. */
	if (header->type != PROTO_EV_sample)
		sampled_is_for(family, header, event);
	if (!process && !needs_no_process(header->type)) {
		if (event->question)
			family_answer(family, event->question, PROTO_GO);
		return;
	}
	switch (header->type) {
#define X(number, name, body_type, item, want, keep, now)     \
	case PROTO_EV_##name:                        \
		event_##name(family, process, body); \
		break;
		PROTO_EVENTS(X)
#undef X
	default:
		break;
	}
	if (header->type != PROTO_EV_sample)
		sampled_drop(family);
}
