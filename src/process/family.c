/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/sys.h"
#include "process/handle.h"
#include "process/sample.h"

/* Messages taken from one line before the others get their turn. */
enum { FAMILY_TURN = 256 };

struct family *family_new(struct operation *birth)
{
	struct table *table = birth->table;
	struct family *family = calloc(1, sizeof(*family));
	int socket;

	socket = table->host->take_socket(table->host, birth->caller, birth->socket);
	pthread_mutex_lock(&table->lock);
	birth->taken = true;
	/* Who still waits for all of it is not woken for this. */
	if (birth->abandoned)
		pthread_cond_broadcast(&table->changed);
	pthread_mutex_unlock(&table->lock);
	if (socket < 0 || !family) {
		if (socket >= 0)
			sys(close, socket);
		free(family);
		return NULL;
	}
	family->table = table;
	family->line.socket = socket;
	family->events = birth->events;
	family->stacks = birth->stacks;
	family->flags = birth->flags;
	family->mode = birth->mode;
	family->park_on_exec = birth->park_on_exec;
	birth->park_on_exec = NULL;
	family->cache = table->cache;
	LIST_INIT(&family->members);
	LIST_INIT(&family->waiting);
	STAILQ_INIT(&family->settling);
	STAILQ_INIT(&family->kept);
	operation_get(birth);
	family->birth = birth;
	LIST_INSERT_HEAD(&table->families, family, entry);
	/* Opened before hello names the same pid, so it cannot stand for a later process of that number. */
	family->ended = (int)sys(pidfd_open, birth->controller, 0);
	if (table->host->watch(table->host, family, socket) < 0) {
		family_end(family, "out of memory");
		return NULL;
	}
	return family;
}

static void await(struct family *family, struct pending *pending, uint32_t type, answer_fn *answered,
		  struct operation *operation)
{
	pending->type = type;
	pending->answered = answered;
	pending->operation = operation;
	if (operation)
		operation_get(operation);
	LIST_INSERT_HEAD(&family->waiting, pending, entry);
}

int family_send(struct family *family, uint32_t type, const void *body, const void *items, size_t count,
		answer_fn *answered, struct operation *operation)
{
	return family_send_with(family, type, body, items, count, -1, answered, operation);
}

int family_send_with(struct family *family, uint32_t type, const void *body, const void *items, size_t count, int fd,
		     answer_fn *answered, struct operation *operation)
{
	struct pending *pending;
	size_t item = proto_item_size(type);

	if (family->dead)
		return -TETHER_ELOST;
	if (!answered)
		return line_send(&family->line, type, body, items, item, count, NULL);
	pending = calloc(1, sizeof(*pending));
	if (!pending)
		return -ENOMEM;
	int result = line_send_with(&family->line, type, body, items, item, count, fd, &pending->id);
	/*
	 * A controller that has gone before it was welcomed may have said why, and that is still to be read:
	 * a caller that ended the family now would take another build's controller for none. Its end comes
	 * behind.
	 */
	if (result == -EPIPE && !family->welcomed)
		result = 0;
	if (result < 0) {
		free(pending);
		return result == -EPIPE ? -TETHER_ELOST : result;
	}
	await(family, pending, type, answered, operation);
	return 0;
}

int family_expect(struct family *family, uint32_t type, answer_fn *answered, struct operation *operation)
{
	struct pending *pending = calloc(1, sizeof(*pending));

	if (!pending)
		return -ENOMEM;
	pending->id = ++family->line.last_id;
	await(family, pending, type, answered, operation);
	return 0;
}

/* False: it answers something else than was asked, so its body is not what is expected. */
static bool answer_arrived(struct family *family, const struct proto_header *header, const void *body)
{
	struct pending *pending;

	LIST_FOREACH(pending, &family->waiting, entry)
	if (pending->id == header->id)
		break;
	if (!pending)
		return true;
	if (header->type != pending->type + 1)
		return false;
	LIST_REMOVE(pending, entry);
	pending->answered(family, pending->operation, body);
	operation_put(pending->operation);
	free(pending);
	return true;
}

void family_released(struct family *family, struct operation *operation, const void *body)
{
	const struct proto_result *answer = body;
	struct host *host = family->table->host;

	if (!answer) {
		operation_finish(operation, -TETHER_ELOST);
		return;
	}
	family->released = true;
	/* It stays the parent of a created process, and has detached everything itself. */
	if (answer->value || answer->result < 0 || family->ended < 0 ||
	    host->watch(host, family, family->ended) < 0) {
		operation_finish(operation, answer->result);
		family->finished = true;
		return;
	}
	if (operation)
		operation_get(operation);
	family->farewell = operation;
	family->leaving = true;
	host->forget(host, family->line.socket);
}

/* The pidfd of a controller that was told to go is readable. */
static void farewell(struct family *family)
{
	struct operation *operation = family->farewell;

	family->farewell = NULL;
	family_end(family, "released");
	operation_finish(operation, 0);
	operation_put(operation);
}

static void protocol_broken(struct family *family)
{
	operation_finish(family->birth, -TETHER_EPROTOCOL);
	family_end(family, "the controller broke the protocol");
}

/* Calls that were recorded before the event that comes next. */
static void calls(struct family *family, uint64_t heard, bool sleeps)
{
	if (family->calls)
		family->table->hooks->calls(family, heard, sleeps);
}

void family_receive(struct family *family)
{
	_Alignas(8) unsigned char message[PROTO_MESSAGE_MAX];

	if (family->leaving) {
		farewell(family);
		return;
	}

	for (int turn = 0; turn < FAMILY_TURN; turn++) {
		const struct proto_header *header = (const void *)message;
		ssize_t length = line_receive(&family->line, message);

		if (length == -EAGAIN)
			return;
		if (length <= 0) {
			if (length == -EPROTO)
				protocol_broken(family);
			else
				family_end(family, "the controller ended");
			return;
		}
		if (header->type > 256) {
			calls(family, family->heard++, false);
			lock_event(family, message, (size_t)length);
			if (header->type == PROTO_EV_calls)
				calls(family, family->heard, true);
		} else if (!answer_arrived(family, header, header + 1)) {
			protocol_broken(family);
			return;
		}
		if (family->leaving)
			return;
		if (family->finished) {
			family_end(family, "released");
			return;
		}
	}
}

void family_add(struct family *family, struct tether *process)
{
	process->family = family;
	process->flags = family->flags;
	process->mode = family->mode;
	process->monitored = !(family->flags & TETHER_NO_MONITOR);
	process->controller = family->controller;
	process->departing = family->departing;
	LIST_INSERT_HEAD(&family->members, process, sibling);
	pthread_mutex_lock(&family->table->lock);
	handle_pin(process);
	handle_list(process);
	pthread_mutex_unlock(&family->table->lock);
}

/* The caller has set the state that says why. */
void family_remove(struct tether *process)
{
	struct operation *rendezvous = process->rendezvous;
	struct table *table = process->table;

	LIST_REMOVE(process, sibling);
	process->rendezvous = NULL;
	operation_finish(rendezvous, -TETHER_EGONE);
	operation_put(rendezvous);
	pthread_mutex_lock(&table->lock);
	if (process->members)
		table->hooks->gone(process);
	process->family = NULL;
	handle_unlist(process);
	handle_unpin(process); /* may free it */
	pthread_mutex_unlock(&table->lock);
}

void family_depart(struct family *family, struct tether *only, bool departing)
{
	struct table *table = family->table;
	struct tether *process;

	pthread_mutex_lock(&table->lock);
	if (only) {
		only->departing = departing;
	} else {
		family->departing = departing;
		LIST_FOREACH(process, &family->members, sibling)
			process->departing = departing;
	}
	if (!departing)
		pthread_cond_broadcast(&table->changed);
	pthread_mutex_unlock(&table->lock);
}

void family_hanging(struct family *family, struct hanging *hanging)
{
	struct tether *process;

	if (family->mode != TETHER_MODE_HANG)
		return;
	LIST_FOREACH(process, &family->members, sibling)
		hanging_add(hanging, process->pid);
}

void family_await_end(struct family *family, struct operation *operation)
{
	operation_get(operation);
	STAILQ_INSERT_TAIL(&family->settling, operation, queued);
}

static void settled(struct family *family, struct operation *operation, const void *body)
{
	(void)family;
	(void)body;
	operation_finish(operation, 0);
}

void family_settle(struct operation *operation)
{
	struct proto_empty nothing = { 0 };
	struct family *family;

	LIST_FOREACH(family, &operation->table->families, entry)
	if (family->controller == operation->pid)
		break;
	operation->count = family != NULL;
	if (family && family->departing)
		family_await_end(family, operation);
	else if (!family || family_send(family, PROTO_REQ_sync, &nothing, NULL, 0, settled, operation) < 0)
		operation_finish(operation, 0);
}

struct family *family_of(struct tether *process)
{
	struct family *family;

	if (process->family)
		return process->family;
	LIST_FOREACH(family, &process->table->families, entry)
	if (family->root == process)
		return family;
	return NULL;
}

struct tether *family_member(struct family *family, int64_t pid)
{
	struct tether *process;

	LIST_FOREACH(process, &family->members, sibling)
	if (process->pid == pid)
		return process;
	return NULL;
}

void family_answer(struct family *family, uint64_t question, enum proto_action action)
{
	struct proto_answer answer = { .question = question, .action = action };

	/* A broken line shows itself by end-of-file: the controller then lets everything go by itself. */
	(void)family_send(family, PROTO_REQ_answer, &answer, NULL, 0, NULL, NULL);
}

static void post_lost(struct tether *process, const char *reason)
{
	struct tether_event event = {
		.size = sizeof(event),
		.kind = TETHER_EVENT_LOST,
		.pid = process->pid,
		.tid = process->pid,
		.t_ns = os_now_ns(),
		.process = process,
		.u.text.reason = reason,
	};

	pthread_mutex_lock(&process->table->lock);
	process->table->host->post(process->table->host, &event);
	pthread_mutex_unlock(&process->table->lock);
}

void family_end(struct family *family, const char *reason)
{
	struct table *table = family->table;
	struct tether *process;
	struct pending *pending;

	if (family->dead)
		return;
	calls(family, UINT64_MAX, false);
	lock_family_ends(family);
	family->dead = true;
	if (!family->released)
		LIST_FOREACH(process, &family->members, sibling)
			plant_restore(process);
	table->host->forget(table->host, family->line.socket);
	sys(close, family->line.socket);
	if (family->ended >= 0) {
		table->host->forget(table->host, family->ended);
		sys(close, family->ended);
	}
	operation_finish(family->farewell, 0);
	operation_put(family->farewell);
	while ((process = LIST_FIRST(&family->members))) {
		if (!family->released)
			post_lost(process, reason);
		handle_set_state(process, family->released ? TETHER_STATE_RELEASED : TETHER_STATE_LOST);
		family_remove(process);
	}
	while ((pending = LIST_FIRST(&family->waiting))) {
		LIST_REMOVE(pending, entry);
		pending->answered(family, pending->operation, NULL);
		operation_put(pending->operation);
		free(pending);
	}
	struct operation *leaver;
	while ((leaver = STAILQ_FIRST(&family->settling))) {
		STAILQ_REMOVE_HEAD(&family->settling, queued);
		operation_finish(leaver, 0);
		operation_put(leaver);
	}
	operation_finish(family->birth, family->welcomed ? -TETHER_ELOST : -TETHER_ECONTROLLER);
	operation_put(family->birth);
	LIST_REMOVE(family, entry);
	pthread_mutex_lock(&table->lock);
	if (family->root)
		handle_unpin(family->root);
	pthread_mutex_unlock(&table->lock);
	image_free(family->rehearsed);
	sampled_drop(family);
	free(family->park_on_exec);
	if (table->hooks)
		table->hooks->ended(family);
	free(family);
}
