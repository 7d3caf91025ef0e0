/* SPDX-License-Identifier: BSD-2-Clause */
#include <linux/kcmp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "os/sys.h"
#include "probe/probe.h"
#include "process/sample.h"
#include "session/session.h"

/* ---- one block for an event and all that it points to ----------------------------------------------------- */

/* Walked twice: with at == NULL it only counts. Pointers first, then bytes, so that alignment is free. */
struct packer {
	char *at;
	size_t size;
};

static void *pack(struct packer *packer, const void *from, size_t size)
{
	char *to = packer->at;

	size = (size + 7) & ~(size_t)7;
	packer->size += size;
	if (!to)
		return NULL;
	packer->at += size;
	if (from)
		memcpy(to, from, size);
	return to;
}

static const char *pack_string(struct packer *packer, const char *string)
{
	size_t size;

	if (!string)
		return NULL;
	size = strlen(string) + 1;
	char *to = pack(packer, NULL, size);
	if (to)
		memcpy(to, string, size);
	return to;
}

static const char *const *pack_strings(struct packer *packer, const char *const *strings)
{
	size_t count = 0;

	if (!strings)
		return NULL;
	while (strings[count])
		count++;
	const char **to = pack(packer, NULL, (count + 1) * sizeof(*to));
	for (size_t i = 0; i < count; i++) {
		const char *copy = pack_string(packer, strings[i]);
		if (to)
			to[i] = copy;
	}
	if (to)
		to[count] = NULL;
	return to;
}

static void pack_event(struct packer *packer, const struct tether_event *from, struct tether_event *to)
{
	*to = *from;
	switch (from->kind) {
	case TETHER_EVENT_CREATE:
		to->u.create.path = pack_string(packer, from->u.create.path);
		to->u.create.argv = pack_strings(packer, from->u.create.argv);
		break;
	case TETHER_EVENT_GRAB:
		to->u.grab.path = pack_string(packer, from->u.grab.path);
		break;
	case TETHER_EVENT_EXEC:
		to->u.exec.argv = pack_strings(packer, from->u.exec.argv);
		to->u.exec.env = pack_strings(packer, from->u.exec.env);
		to->u.exec.creator_env = pack_strings(packer, from->u.exec.creator_env);
		to->u.exec.path = pack_string(packer, from->u.exec.path);
		to->u.exec.cwd = pack_string(packer, from->u.exec.cwd);
		to->u.exec.interpreter = pack_string(packer, from->u.exec.interpreter);
		break;
	case TETHER_EVENT_LOAD:
	case TETHER_EVENT_UNLOAD: {
		uint8_t *id = pack(packer, NULL, from->u.object.build_id_size);
		if (id && from->u.object.build_id_size)
			memcpy(id, from->u.object.build_id, from->u.object.build_id_size);
		to->u.object.build_id = id;
		to->u.object.path = pack_string(packer, from->u.object.path);
		break;
	}
	case TETHER_EVENT_SIGNAL:
	case TETHER_EVENT_STOP:
	case TETHER_EVENT_CONTINUE:
	case TETHER_EVENT_SIGNAL_STATE:
	case TETHER_EVENT_CRASH:
		to->u.signal.detail = pack_string(packer, from->u.signal.detail);
		break;
	case TETHER_EVENT_LOST:
	case TETHER_EVENT_BLOCKED:
		to->u.text.reason = pack_string(packer, from->u.text.reason);
		break;
	default:
		break;
	}
}

static struct queued_event *copy_event(const struct tether_event *event)
{
	struct packer packer = { NULL, 0 };
	struct tether_event scratch;

	pack_event(&packer, event, &scratch);
	struct queued_event *queued = malloc(sizeof(*queued) + packer.size);
	if (!queued)
		return NULL;
	queued->kind = QUEUED_EVENT;
	queued->process = event->process;
	queued->breakpoint = NULL;
	packer.at = (char *)(queued + 1);
	pack_event(&packer, event, &queued->u.event);
	sample_get(event->stack);
	return queued;
}

static struct tether *child_of(const struct tether_event *event)
{
	return event->kind == TETHER_EVENT_FORK ? event->u.fork.child_process : NULL;
}

static size_t stack_bytes(const struct call_stack *stack)
{
	return stack->head.regs_size + stack->head.length;
}

/* Lock held. */
static void free_event(struct tether_session *session, struct queued_event *queued)
{
	struct tether *child = queued->kind == QUEUED_EVENT ? child_of(&queued->u.event) : NULL;

	if (queued->process)
		handle_unpin(queued->process);
	if (child)
		handle_unpin(child);
	if (queued->kind == QUEUED_EVENT)
		sample_put(queued->u.event.stack);
	if (queued->kind == QUEUED_CALL) {
		session->stack_bytes -= stack_bytes(&queued->u.called.stack);
		call_map_put(queued->u.called.stack.map);
	}
	if (queued->breakpoint)
		probe_put(queued->breakpoint);
	free(queued);
}

/* ---- the queue --------------------------------------------------------------------------------------------- */

/* How a process ended, or that it slipped away, is told whatever the queue's length. */
static bool may_be_dropped(uint32_t kind)
{
	return kind != TETHER_EVENT_EXIT && kind != TETHER_EVENT_LOST && kind != TETHER_EVENT_RELEASE;
}

static void set_event_fd(struct tether_session *session)
{
	uint64_t one = 1;

	if (!session->event_fd_used || session->event_fd_set)
		return;
	session->event_fd_set = true;
	sys(write, session->private_fd, &one, sizeof(one));
}

static void append(struct tether_session *session, const struct tether_event *event)
{
	struct queued_event *queued = copy_event(event);
	struct tether *child;

	if (!queued) {
		session->dropped++;
		session->dropped_total++;
		return;
	}
	if (event->process)
		handle_pin(event->process);
	child = child_of(event);
	if (child)
		handle_pin(child);
	STAILQ_INSERT_TAIL(&session->events, queued, next);
	session->queued++;
}

/* False: there is no room for it. */
static bool make_room(struct tether_session *session, bool may_go, uint64_t t_ns)
{
	if (session->queued >= session->queue_limit && may_go) {
		session->dropped++;
		session->dropped_total++;
		return false;
	}
	if (session->dropped) {
		struct tether_event notice = {
			.size = sizeof(notice),
			.kind = TETHER_EVENT_DROPPED,
			.t_ns = t_ns,
			.u.dropped.count = session->dropped,
		};
		session->dropped = 0;
		append(session, &notice);
	}
	return true;
}

void queue_post(struct host *host, const struct tether_event *event)
{
	struct tether_session *session = session_of(host);

	if (!make_room(session, may_be_dropped(event->kind), event->t_ns))
		return;
	append(session, event);
	session->news = true;
}

static void append_of(struct tether_session *session, struct queued_event *queued, enum queued_kind kind,
		      struct tether *process, struct tether_breakpoint *breakpoint)
{
	queued->kind = kind;
	queued->process = process;
	queued->breakpoint = breakpoint;
	if (process)
		handle_pin(process);
	probe_get(breakpoint);
	STAILQ_INSERT_TAIL(&session->events, queued, next);
	session->queued++;
	session->news = true;
}

void queue_post_hit(struct host *host, const struct tether_hit *hit)
{
	struct tether_session *session = session_of(host);
	struct queued_event *queued = NULL;

	if (make_room(session, true, hit->t_ns))
		queued = calloc(1, sizeof(*queued));
	else
		return;
	if (!queued) {
		session->dropped++;
		session->dropped_total++;
		return;
	}
	queued->u.hit = *hit;
	append_of(session, queued, QUEUED_HIT, hit->process, hit->breakpoint);
}

/* What is dropped is told among the calls, by who has posted it. */
bool queue_post_call(struct host *host, const struct tether_call *call, const struct call_stack *stack)
{
	struct tether_session *session = session_of(host);
	size_t bytes = stack ? stack_bytes(stack) : 0;
	struct queued_event *queued = NULL;

	if (session->queued < session->queue_limit && session->stack_bytes + bytes <= MAX_QUEUED_STACKS)
		queued = calloc(1, sizeof(*queued) + bytes);
	if (!queued)
		return false;
	queued->u.called.call = *call;
	if (stack) {
		struct call_stack *copy = &queued->u.called.stack;

		*copy = *stack;
		copy->bytes = memcpy(queued + 1, stack->bytes, bytes);
		call_map_get(stack->map);
		queued->u.called.call.reserved = (uintptr_t)copy;
		session->stack_bytes += bytes;
	}
	append_of(session, queued, QUEUED_CALL, call->process, call->breakpoint);
	return true;
}

void queue_announce(struct tether_session *session)
{
	pthread_mutex_lock(&session->table.lock);
	bool news = session->news && session->queued;
	session->news = false;
	if (news)
		set_event_fd(session);
	pthread_mutex_unlock(&session->table.lock);
	/* Behind the lock: who wakes would only run into it. */
	if (news)
		pthread_cond_signal(&session->arrived);
}

void queue_init(struct tether_session *session)
{
	pthread_condattr_t monotonic;

	STAILQ_INIT(&session->events);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&session->arrived, &monotonic);
	pthread_condattr_destroy(&monotonic);
}

void queue_destroy(struct tether_session *session)
{
	struct queued_event *queued;

	while ((queued = STAILQ_FIRST(&session->events))) {
		STAILQ_REMOVE_HEAD(&session->events, next);
		free_event(session, queued);
	}
	pthread_cond_destroy(&session->arrived);
}

/* ---- dispatch ---------------------------------------------------------------------------------------------- */

/*
 * The host may have closed its descriptor (closefrom(3)) and the number may be another file by now: read it
 * only if it is still the one that the control thread holds too.
 */
static void clear_event_fd(struct tether_session *session)
{
	uint64_t count;
	long same;

	if (!session->event_fd_set)
		return;
	same = sys(kcmp, sys(gettid, 0), session->control_tid, KCMP_FILE, session->event_fd, session->private_fd);
	if (same == 0)
		(void)!read(session->event_fd, &count, sizeof(count));
	session->event_fd_set = same != 0;
}

void queue_purge_hits(struct host *host, const struct tether_breakpoint *breakpoint)
{
	struct tether_session *session = session_of(host);
	struct event_queue kept = STAILQ_HEAD_INITIALIZER(kept);
	struct queued_event *queued;

	while ((queued = STAILQ_FIRST(&session->events))) {
		STAILQ_REMOVE_HEAD(&session->events, next);
		if (queued->breakpoint == breakpoint) {
			session->queued--;
			free_event(session, queued);
		} else {
			STAILQ_INSERT_TAIL(&kept, queued, next);
		}
	}
	STAILQ_CONCAT(&session->events, &kept);
	if (!session->queued)
		clear_event_fd(session);
}

static bool wait_for_event(struct tether_session *session, int timeout_ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	if (timeout_ms > 0) {
		until.tv_sec += timeout_ms / 1000;
		until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
		if (until.tv_nsec >= 1000000000) {
			until.tv_sec++;
			until.tv_nsec -= 1000000000;
		}
	}
	while (!session->queued && !session->table.closing) {
		if (timeout_ms == 0)
			return false;
		if (timeout_ms < 0)
			pthread_cond_wait(&session->arrived, &session->table.lock);
		else if (pthread_cond_timedwait(&session->arrived, &session->table.lock, &until))
			return session->queued != 0;
	}
	return session->queued != 0;
}

static int hand_over(struct tether_session *session)
{
	struct queued_event *queued;
	int handled = 0;

	/* What is queued now, and not what its handling adds: the caller gets its turn. */
	for (uint32_t left = session->queued; left && session->queued; left--) {
		queued = STAILQ_FIRST(&session->events);
		STAILQ_REMOVE_HEAD(&session->events, next);
		session->queued--;
		tether_event_fn *handler = session->handler;
		void *data = session->handler_data;
		if (queued->kind == QUEUED_HIT) {
			probe_deliver(&queued->u.hit);
		} else if (queued->kind == QUEUED_CALL) {
			probe_deliver_call(&queued->u.called.call);
		} else if (handler) {
			pthread_mutex_unlock(&session->table.lock);
			handler(&queued->u.event, data);
			pthread_mutex_lock(&session->table.lock);
		}
		free_event(session, queued);
		session->handled++;
		handled++;
	}
	if (!session->queued)
		clear_event_fd(session);
	return handled;
}

int tether_dispatch(struct tether_session *session, int timeout_ms)
{
	int result = table_enter(&session->table);

	if (result < 0)
		return result;
	if (session->dispatching || table_in_stop(&session->table)) {
		result = table_in_stop(&session->table) ? -TETHER_EDEADLK : -TETHER_EBUSY;
		table_leave(&session->table);
		return result;
	}
	session->dispatching = true;
	session->dispatcher = pthread_self();
	if (wait_for_event(session, timeout_ms))
		result = hand_over(session);
	else if (session->table.closing)
		result = -TETHER_ECLOSED;
	session->dispatching = false;
	table_leave(&session->table);
	return result;
}

int tether_fd(struct tether_session *session)
{
	int result = table_enter(&session->table);

	if (result < 0)
		return result;
	session->event_fd_used = true;
	if (session->queued) {
		uint64_t one = 1;
		session->event_fd_set = true;
		(void)!write(session->event_fd, &one, sizeof(one));
	}
	table_leave(&session->table);
	return session->event_fd;
}
