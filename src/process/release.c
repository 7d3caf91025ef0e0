/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>

#include "process/handle.h"

/* ---- control thread -------------------------------------------------------------------------------------- */

static void answered(struct family *family, struct operation *operation, const void *body)
{
	const struct proto_result *answer = body;

	(void)family;
	operation_finish(operation, answer ? answer->result : -TETHER_ELOST);
}

static void send_about(struct operation *operation, uint32_t type, answer_fn *then)
{
	struct tether *process = operation->process;
	struct proto_pid about = { .pid = (uint32_t)process->pid, .mode = operation->mode };
	int result = process->family ? family_send(process->family, type, &about, NULL, 0, then, operation)
				     : -TETHER_EGONE;

	if (result < 0)
		operation_finish(operation, result);
}

static void start_continue(struct operation *operation)
{
	struct tether *process = operation->process;

	if (process->state != TETHER_STATE_PARKED) {
		operation_finish(operation, process->family ? 0 : -TETHER_EGONE);
		return;
	}
	handle_set_state(process, TETHER_STATE_RUNNING);
	send_about(operation, PROTO_REQ_resume, answered);
}

static void start_detach(struct operation *operation)
{
	send_about(operation, PROTO_REQ_release, answered);
}

static void mode_set(struct family *family, struct operation *operation, const void *body)
{
	const struct proto_result *answer = body;
	struct tether *process;

	if (answer && answer->result == 0) {
		family->mode = operation->mode;
		pthread_mutex_lock(&family->table->lock);
		LIST_FOREACH(process, &family->members, sibling)
			process->mode = operation->mode;
		pthread_mutex_unlock(&family->table->lock);
	}
	answered(family, operation, body);
}

static void start_set_mode(struct operation *operation)
{
	struct family *family = family_of(operation->process);
	struct proto_pid whole = { .pid = 0, .mode = operation->mode };
	int result = family ? family_send(family, PROTO_REQ_set_mode, &whole, NULL, 0, mode_set, operation)
			    : -TETHER_EGONE;

	if (result < 0)
		operation_finish(operation, result);
}

/* What the controller says of itself at its very end is not waited for when it is told to let go. */
static void last_stats(struct family *family, struct operation *operation, const void *body)
{
	(void)operation;
	if (!body)
		return;
	pthread_mutex_lock(&family->table->lock);
	stats_add(&family->table->retired, body);
	pthread_mutex_unlock(&family->table->lock);
}

/* The last reference of a handle went: the whole family goes unless somebody holds another of its members. */
static void start_release(struct operation *operation)
{
	struct tether *process = operation->process, *member;
	struct family *family = family_of(process);
	bool others = false;

	if (!family) {
		operation_finish(operation, 0);
		return;
	}
	pthread_mutex_lock(&process->table->lock);
	LIST_FOREACH(member, &family->members, sibling)
		others = others || member->users;
	pthread_mutex_unlock(&process->table->lock);
	if (process->users || (others && process != family->root)) {
		/* Taken again meanwhile; or a followed child, which goes with its family. */
		operation_finish(operation, 0);
		return;
	}
	operation->mode = family->mode;
	if (others) {
		send_about(operation, PROTO_REQ_release, answered);
		return;
	}
	struct proto_pid whole = { .pid = 0, .mode = family->mode };
	struct proto_empty nothing = { 0 };
	(void)family_send(family, PROTO_REQ_stats, &nothing, NULL, 0, last_stats, NULL);
	int result = family_send(family, PROTO_REQ_release, &whole, NULL, 0, family_released, operation);
	if (result < 0)
		operation_finish(operation, result);
}

/* ---- calling thread -------------------------------------------------------------------------------------- */

/* Lock held. */
static int run_on(struct tether *process, void (*start)(struct operation *), uint32_t mode)
{
	struct table *table = process->table;
	struct operation *operation = operation_new(table, start);

	if (!operation)
		return -ENOMEM;
	handle_pin(process);
	operation->process = process;
	operation->mode = mode;
	int result = operation_run(operation, 0);
	pthread_mutex_unlock(&table->lock);
	operation_put(operation);
	pthread_mutex_lock(&table->lock);
	return result;
}

/* What concerns the family may be asked of a first process that has ended. */
static int control_call(struct tether *process, void (*start)(struct operation *), uint32_t mode)
{
	struct table *table = process->table;
	int result = table_enter(table);

	if (result < 0)
		return result;
	if (process->observe)
		result = -TETHER_EMODE;
	else if (process->state == TETHER_STATE_LOST)
		result = -TETHER_ELOST;
	else if (start == start_set_mode)
		result = run_on(process, start, mode);
	else if (process->state == TETHER_STATE_EXITED || process->state == TETHER_STATE_RELEASED)
		result = -TETHER_EGONE;
	else
		result = run_on(process, start, mode ? mode : process->mode);
	table_leave(table);
	return result;
}

int tether_continue(struct tether *process)
{
	return control_call(process, start_continue, 0);
}

int tether_detach(struct tether *process, uint32_t mode)
{
	return mode > TETHER_MODE_HANG ? -TETHER_EINVALID : control_call(process, start_detach, mode);
}

int tether_set_mode(struct tether *process, uint32_t mode)
{
	if (mode == TETHER_MODE_DEFAULT || mode > TETHER_MODE_HANG)
		return -TETHER_EINVALID;
	return control_call(process, start_set_mode, mode);
}

struct tether *tether_ref(struct tether *process)
{
	if (!process || table_enter(process->table) < 0)
		return process;
	if (process->users++ == 0)
		handle_pin(process);
	table_leave(process->table);
	return process;
}

int tether_release(struct tether *process)
{
	struct table *table;
	int result;

	if (!process)
		return 0;
	table = process->table;
	result = table_enter(table);
	if (result < 0)
		return result;
	if (process->users && --process->users == 0) {
		/* A family outlives its first process: what is left of it goes with the last reference too. */
		if (!process->observe)
			run_on(process, start_release, 0);
		handle_unpin(process);
	}
	table_leave(table);
	return 0;
}
