/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "client/spawn.h"
#include "os/sys.h"
#include "process/sample.h"
#include "process/start.h"

struct proto_hold start_hold(const struct operation *operation)
{
	uint64_t wants = operation->events ? operation->events : TETHER_EVENT_ALL;
	struct proto_hold hold = {
		.mode = operation->mode,
		.flags = (operation->flags & TETHER_NO_FOLLOW ? 0 : PROTO_FOLLOW) |
			 (operation->flags & TETHER_NO_MONITOR ? PROTO_READ_ONLY : 0) |
			 (operation->flags & TETHER_PARK_ON_CRASH ? PROTO_PARK_CRASH : 0) |
			 (operation->flags & TETHER_LOW_LATENCY ? PROTO_LOW_LATENCY : 0),
		.question_ns = operation->table->host->question_ns,
		.stacks = sampled_kinds(operation->stacks),
	};
	static const struct {
		uint64_t kinds;
		uint64_t want;
	} wanted[] = {
		{ TETHER_EVENT_BIT(TETHER_EVENT_THREAD_START) | TETHER_EVENT_BIT(TETHER_EVENT_THREAD_EXIT),
		  PROTO_WANT_THREAD },
		{ TETHER_EVENT_BIT(TETHER_EVENT_SIGNAL), PROTO_WANT_SIGNAL },
		{ TETHER_EVENT_BIT(TETHER_EVENT_STOP) | TETHER_EVENT_BIT(TETHER_EVENT_CONTINUE),
		  PROTO_WANT_STOP },
	};

	for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
		if (wants & wanted[i].kinds)
			hold.events |= wanted[i].want;
	return hold;
}

static int controller_error(const struct operation *operation, int error, struct tether_error *err)
{
	struct error_details details = { .system_error = -error };

	if (error != -EXDEV)
		return error_fill(err, TETHER_ECONTROLLER, &details, "cannot %s", operation->deed);
	details.cure = "ask from a thread that has not called unshare(CLONE_NEWPID)";
	return error_fill(err, TETHER_ECONTROLLER, &details, "cannot %s: children of this thread are born in another pid namespace",
			  operation->deed);
}

int start_controller(struct operation *operation, struct spawn *spawn, int payload, struct newborn *newborn,
		     struct tether_error *err)
{
	struct host *host = operation->table->host;
	int executable = host->open_controller(host);

	if (executable < 0)
		return controller_error(operation, executable, err);
	int result = spawn_start(spawn, executable, payload, newborn, host->controller_arguments);
	close(executable);
	return result < 0 ? controller_error(operation, result, err) : 0;
}

static void note_line(struct operation *operation, const struct spawn *spawn)
{
	operation->socket = spawn->socket;
	operation->controller = spawn->pid;
	operation->caller = sys(gettid, 0);
}

int start_controller_end(struct operation *operation, struct spawn *spawn, struct tether_error *err)
{
	int result = spawn_end(spawn);

	if (result < 0) {
		close(spawn->socket);
		return controller_error(operation, result, err);
	}
	note_line(operation, spawn);
	return 0;
}

void start_early(struct operation *operation, const struct spawn *spawn, struct newborn *newborn)
{
	note_line(operation, spawn);
	operation->newborn = newborn;
	operation_hand_over(operation);
}

int start_early_end(const struct operation *operation, struct spawn *spawn, int result, struct tether_error *err)
{
	int started = spawn_end(spawn);

	/* All that the control thread has seen of it is that the line broke. */
	return result < 0 && started < 0 ? controller_error(operation, started, err) : result;
}

static void welcomed(struct family *family, struct operation *operation, const void *body)
{
	const struct proto_hello *hello = body;

	(void)operation;
	if (!hello)
		return;
	if (line_check_hello(hello) < 0) {
		error_fill(&family->birth->error, TETHER_EVERSION, NULL, "cannot %s", family->birth->deed);
		operation_finish(family->birth, -TETHER_EVERSION);
		family->finished = true;
		return;
	}
	family->welcomed = true;
	family->controller = hello->pid;
}

struct family *start_family(struct operation *operation)
{
	struct family *family = family_new(operation);
	struct proto_hello hello;
	int result;

	if (!family) {
		operation_finish(operation, -TETHER_ECONTROLLER);
		return NULL;
	}
	line_fill_hello(&hello);
	result = operation->said ? family_expect(family, PROTO_REQ_hello, welcomed, NULL)
				 : family_send(family, PROTO_REQ_hello, &hello, NULL, 0, welcomed, NULL);
	if (result < 0) {
		family_end(family, "the controller cannot be reached");
		return NULL;
	}
	return family;
}

/*
 * The caller waits no longer: what was created for it is killed, what was grabbed is let go. The time may have
 * run out at the very moment of success, so this looks again on the control thread.
 */
static void start_abandon(struct operation *operation)
{
	struct operation *late = operation->other;
	struct tether *process = late->process;
	struct family *family, *found = NULL;

	LIST_FOREACH(family, &operation->table->families, entry)
		if (family->birth == late || (process && process->family == family))
			found = family;
	if (found)
		family_end(found, "it took too long");
	operation_finish(operation, 0);
}

/* Lock held. */
static void abandon(struct operation *late)
{
	struct operation *operation = operation_new(late->table, start_abandon);

	if (!operation)
		return;
	operation->other = late;
	operation_run(operation, 0);
	pthread_mutex_unlock(&late->table->lock);
	operation_put(operation);
	pthread_mutex_lock(&late->table->lock);
}

/*
 * Lock held. The stop that was asked for will not come, but the victim and what it has made are there: without a
 * handle nobody could ever let them go. By one, they go as by any last reference.
 */
static void let_go(struct tether *process)
{
	struct table *table = process->table;

	if (process->users++ == 0)
		handle_pin(process);
	pthread_mutex_unlock(&table->lock);
	tether_release(process);
	pthread_mutex_lock(&table->lock);
}

int start_run(struct operation *operation, uint32_t timeout_ms, struct tether **ret, struct tether_error *err)
{
	struct table *table = operation->table;
	int result = operation_run(operation, timeout_ms);
	struct tether *process = operation->process;

	/* A number closed before the control thread took it might be another file by then. */
	while (!operation->taken)
		pthread_cond_wait(&table->changed, &table->lock);
	close(operation->socket);
	if (result == -TETHER_ETIMEDOUT)
		abandon(operation);
	else if (result < 0 && result != -TETHER_ECLOSED && process)
		let_go(process);
	if (result == 0 && !process)
		result = -TETHER_EPROTOCOL;
	if (result == 0) {
		if (process->users++ == 0)
			handle_pin(process);
		table_target(table, process->pid);
		*ret = process;
		return 0;
	}
	if (operation->error.code == -result && err)
		memcpy((char *)err + sizeof(err->size), (char *)&operation->error + sizeof(err->size),
		       sizeof(*err) - sizeof(err->size));
	else
		error_fill(err, result, &(struct error_details){ .pid = operation->pid, .path = operation->path },
			   "cannot %s", operation->deed);
	return result;
}
