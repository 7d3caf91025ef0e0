/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>

#include "os/sys.h"
#include "process/handle.h"
#include "process/park.h"

/* ---- control thread -------------------------------------------------------------------------------------- */

static void answered(struct family *family, struct operation *operation, const void *body)
{
	const struct proto_result *answer = body;
	int result = answer ? answer->result : -TETHER_ELOST;

	(void)family;
	operation_finish(operation, result == -ESRCH ? -TETHER_EGONE : result);
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
		stand_send_go(operation, 0, answered);
		return;
	}
	handle_set_state(process, TETHER_STATE_RUNNING);
	send_about(operation, PROTO_REQ_resume, answered);
}

static void start_park(struct operation *operation)
{
	if (operation->process->state == TETHER_STATE_PARKED)
		operation_finish(operation, 0);
	else
		send_about(operation, PROTO_REQ_park, answered);
}

/* Asked for in vain: it is as it was. */
static void depart_one(struct operation *operation)
{
	struct tether *process = operation->process;
	struct proto_pid about = { .pid = (uint32_t)process->pid, .mode = operation->mode };
	struct family *family = process->family;

	if (operation->mode == TETHER_MODE_HANG)
		hanging_add(&operation->hanging, process->pid);
	family_depart(family, process, true);
	int result = family_send(family, PROTO_REQ_release, &about, NULL, 0, answered, operation);
	if (result < 0) {
		family_depart(family, process, false);
		operation_finish(operation, result);
	}
}

static void start_detach(struct operation *operation)
{
	struct family *family = operation->process->family;

	if (!family)
		operation_finish(operation, -TETHER_EGONE);
	else if (family->departing)
		family_await_end(family, operation);
	else
		depart_one(operation);
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

static void release_family(struct family *family, struct operation *operation)
{
	struct proto_pid whole = { .pid = 0, .mode = family->mode };
	struct proto_empty nothing = { 0 };

	family_hanging(family, &operation->hanging);
	(void)family_send(family, PROTO_REQ_stats, &nothing, NULL, 0, last_stats, NULL);
	int result = family_send(family, PROTO_REQ_release, &whole, NULL, 0, family_released, operation);
	if (result < 0) {
		family_depart(family, NULL, false);
		operation_finish(operation, result);
	}
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
	if (family->departing) {
		family_await_end(family, operation); /* another's last release, a moment before */
		return;
	}
	/* In one piece: who looks for a handle now either is counted, or finds it departing. */
	pthread_mutex_lock(&process->table->lock);
	LIST_FOREACH(member, &family->members, sibling)
		others = others || (member != process && member->users);
	bool taken = process->users;
	bool goes = !taken && !others;
	if (goes) {
		family->departing = true;
		LIST_FOREACH(member, &family->members, sibling)
			member->departing = true;
	}
	pthread_mutex_unlock(&process->table->lock);
	operation->mode = family->mode;
	if (goes)
		release_family(family, operation);
	else if (!taken && process == family->root && process->family)
		depart_one(operation);
	else
		operation_finish(operation, 0); /* taken again; or a followed child, which goes with its family */
}

/* ---- calling thread -------------------------------------------------------------------------------------- */

int release_run_on(struct tether *process, void (*start)(struct operation *), uint32_t mode)
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
	if (result == 0)
		hanging_await(&operation->hanging, os_now_ns() + table->host->question_ns);
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
	else if ((result = lock_wait(process)) < 0)
		;
	else if (process->state == TETHER_STATE_LOST)
		result = -TETHER_ELOST;
	else if (start == start_set_mode)
		result = release_run_on(process, start, mode);
	else if (process->state == TETHER_STATE_EXITED || process->state == TETHER_STATE_RELEASED)
		result = -TETHER_EGONE;
	else
		result = release_run_on(process, start, mode ? mode : process->mode);
	table_leave(table);
	return result;
}

int tether_continue(struct tether *process)
{
	return control_call(process, start_continue, 0);
}

int process_park(struct tether *process)
{
	return control_call(process, start_park, 0);
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
	if (lock_give_back(process) == -TETHER_ESTATE && process->users == 1)
		(void)lock_wait(process); /* another's: it holds a reference, or holds it against the rules */
	if (process->users && --process->users == 0) {
		/* A family outlives its first process: what is left of it goes with the last reference too. */
		if (process->observe) {
			observe_rest(process);
		} else {
			release_run_on(process, start_release, 0);
			handle_unpin(process);
		}
	}
	table_leave(table);
	return 0;
}
