/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * process/lock.c - several calls on a handle in one piece
 *
 *	client thread                     control thread
 *	  tether_lock()                     event of the process? ─ locked ──► kept, in order
 *	  its calls ... ───────────────────► requests and answers go on
 *	  tether_unlock() ────operation────► what was kept is acted on; then it is unlocked
 *
 * Only the handle's own events are kept, and those of children that it has made meanwhile, whose records follow
 * the kept one of their birth. What is kept is bounded: beyond the bound the lock is void, and says so at its end.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "process/handle.h"

struct kept {
	STAILQ_ENTRY(kept) next;
	size_t length;
	_Alignas(8) unsigned char message[];
};

/* ---- control thread -------------------------------------------------------------------------------------- */

/* May an event of this process be acted on now? Then nobody locks it before lock_acted(). */
static bool may_act(struct table *table, struct family *family, struct tether *process)
{
	pthread_mutex_lock(&table->lock);
	/* Of one without a handle: its birth may be among what is kept. */
	bool may = process ? !process->locked || process->lock_void : STAILQ_EMPTY(&family->kept);
	if (may)
		table->acting = process;
	pthread_mutex_unlock(&table->lock);
	return may;
}

static void acted(struct table *table)
{
	pthread_mutex_lock(&table->lock);
	table->acting = NULL;
	if (table->lockers)
		pthread_cond_broadcast(&table->changed);
	pthread_mutex_unlock(&table->lock);
}

static void act(struct family *family, const void *message)
{
	const struct proto_header *header = message;

	follow_event(family, header, header + 1);
	acted(family->table);
}

static uint32_t pid_of(const void *message)
{
	return ((const struct proto_event *)((const struct proto_header *)message + 1))->pid;
}

/* In order; what belongs to a handle that is still locked stays, and what may follow from it. */
static void act_on_kept(struct family *family)
{
	struct kept_queue kept = STAILQ_HEAD_INITIALIZER(kept);
	struct kept *one;

	STAILQ_CONCAT(&kept, &family->kept);
	while ((one = STAILQ_FIRST(&kept))) {
		STAILQ_REMOVE_HEAD(&kept, next);
		if (!may_act(family->table, family, family_member(family, pid_of(one->message)))) {
			STAILQ_INSERT_TAIL(&family->kept, one, next);
			continue;
		}
		family->kept_bytes -= sizeof(*one) + one->length;
		family->late = true;
		act(family, one->message);
		family->late = false;
		free(one);
	}
}

/* Too much is kept: what is locked stays locked to others, but its events are acted on. */
static void make_void(struct family *family)
{
	struct tether *process;

	family->table->host->log(family->table->host, 1, "a handle was locked for too long");
	pthread_mutex_lock(&family->table->lock);
	LIST_FOREACH(process, &family->members, sibling)
		process->lock_void = process->locked;
	pthread_mutex_unlock(&family->table->lock);
	act_on_kept(family);
}

static bool keep(struct family *family, const void *message, size_t length)
{
	struct kept *one;

	if (family->kept_bytes + sizeof(*one) + length > MAX_KEPT_BYTES)
		return false;
	one = malloc(sizeof(*one) + length);
	if (!one)
		return false;
	one->length = length;
	memcpy(one->message, message, length);
	STAILQ_INSERT_TAIL(&family->kept, one, next);
	family->kept_bytes += sizeof(*one) + length;
	return true;
}

void lock_event(struct family *family, const void *message, size_t length)
{
	uint32_t pid = pid_of(message);

	if (!may_act(family->table, family, family_member(family, pid))) {
		if (keep(family, message, length))
			return;
		make_void(family);
		if (!may_act(family->table, family, family_member(family, pid)))
			return;
	}
	act(family, message);
}

void lock_family_ends(struct family *family)
{
	if (!STAILQ_EMPTY(&family->kept))
		make_void(family);
}

static void start_unlock(struct operation *operation)
{
	struct tether *process = operation->process;
	struct table *table = process->table;
	struct family *family = process->family;

	pthread_mutex_lock(&table->lock);
	bool was_void = process->lock_void;
	process->lock_void = true;
	pthread_mutex_unlock(&table->lock);
	if (family)
		act_on_kept(family);
	pthread_mutex_lock(&table->lock);
	process->locked = process->lock_void = false;
	pthread_cond_broadcast(&table->changed);
	pthread_mutex_unlock(&table->lock);
	operation_finish(operation, was_void ? -TETHER_ELIMIT : 0);
}

/* ---- calling thread -------------------------------------------------------------------------------------- */

static bool is_mine(const struct tether *process)
{
	return process->locked && pthread_equal(process->locker, pthread_self());
}

int lock_wait(struct tether *process)
{
	int result = 0;

	while (result == 0 && process->locked && !is_mine(process))
		result = table_in_stop(process->table) ? -TETHER_EDEADLK : table_wait(process->table, 0);
	return result;
}

static int take(struct tether *process)
{
	struct table *table = process->table;
	struct operation *unlocking;
	int result = 0;

	if (is_mine(process) || table_in_stop(table))
		return -TETHER_EDEADLK;
	/* Made now, so that unlocking does not fail for want of memory. */
	unlocking = operation_new(table, start_unlock);
	if (!unlocking)
		return -ENOMEM;
	table->lockers++;
	while (result == 0 && (process->locked || table->acting == process))
		result = table_wait(table, 0);
	table->lockers--;
	if (result < 0) {
		pthread_mutex_unlock(&table->lock);
		operation_put(unlocking);
		pthread_mutex_lock(&table->lock);
		return result;
	}
	handle_pin(process);
	unlocking->process = process;
	process->unlocking = unlocking;
	process->locked = true;
	process->locker = pthread_self();
	return 0;
}

int lock_give_back(struct tether *process)
{
	struct operation *unlocking = process->unlocking;
	struct table *table = process->table;

	if (!is_mine(process))
		return -TETHER_ESTATE;
	process->unlocking = NULL;
	int result = operation_run(unlocking, 0);
	pthread_mutex_unlock(&table->lock);
	operation_put(unlocking); /* with its pin */
	pthread_mutex_lock(&table->lock);
	return result;
}

int tether_lock(struct tether *process)
{
	int result = table_enter(process->table);

	if (result < 0)
		return result;
	result = take(process);
	table_leave(process->table);
	return result;
}

int tether_unlock(struct tether *process)
{
	struct table *table = process->table;
	int result = table_enter(table);

	if (result < 0)
		return result;
	result = lock_give_back(process);
	table_leave(table);
	return result;
}
