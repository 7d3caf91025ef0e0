/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * process/stand.c - threads that stand at breakpoints: their answers, registers, memory
 *
 * All of it is the controller's to do: it alone knows whether the thread still stands at that moment, and what it has
 * planted there.
 */
#include <errno.h>
#include <string.h>

#include "process/handle.h"
#include "process/stand.h"

/* ---- answers (control thread) ---------------------------------------------------------------------------- */

static void start_answer(struct operation *operation)
{
	struct stop *stop = (struct stop *)operation;
	struct family *family = operation->process->family;

	if (family)
		family_answer(family, stop->question, stop->action);
}

struct stop *stop_new(struct tether *process, uint64_t question, uint64_t missed_ns)
{
	struct stop *stop = (struct stop *)operation_new_sized(process->table, start_answer, sizeof(*stop));

	if (!stop)
		return NULL;
	pthread_mutex_lock(&process->table->lock);
	handle_pin(process);
	pthread_mutex_unlock(&process->table->lock);
	stop->operation.process = process;
	stop->question = question;
	stop->missed_ns = missed_ns;
	stop->action = PROTO_GO;
	return stop;
}

void stand_send_go(struct operation *operation, int64_t tid, answer_fn *answered)
{
	struct tether *process = operation->process;
	struct proto_task task = { .pid = (uint32_t)process->pid, .tid = (uint32_t)tid };
	int result = process->family
			     ? family_send(process->family, PROTO_REQ_go, &task, NULL, 0, answered, operation)
			     : -TETHER_EGONE;

	if (result < 0)
		operation_finish(operation, result);
}

/* ---- calls ----------------------------------------------------------------------------------------------- */

/*
 * What a caller wants of a thread that stands. The caller may be gone before it is begun, as the session is closed: what is to be
 * written is a copy.
 */
struct request {
	struct operation operation; /* process: pinned */
	int64_t tid;
	uint32_t set, length;
	uint64_t address;
	struct proto_regset *regset; /* the caller's, unless it has given up */
	uint8_t bytes[];
};

static int result_of(int32_t result)
{
	return result == -ESRCH ? -TETHER_EGONE : result;
}

static void answered(struct family *family, struct operation *operation, const void *body)
{
	const struct proto_result *answer = body;

	(void)family;
	operation_finish(operation, answer ? result_of(answer->result) : -TETHER_ELOST);
}

static void start_go(struct operation *operation)
{
	stand_send_go(operation, ((struct request *)operation)->tid, answered);
}

/* Who gives up waiting has taken its buffer along. */
static void got_regset(struct family *family, struct operation *operation, const void *body)
{
	struct request *request = (struct request *)operation;
	const struct proto_regset *answer = body;
	int result = answer ? result_of(answer->result) : -TETHER_ELOST;

	(void)family;
	pthread_mutex_lock(&operation->table->lock);
	if (result == 0 && !operation->abandoned)
		memcpy(request->regset, answer, sizeof(*answer));
	pthread_mutex_unlock(&operation->table->lock);
	operation_finish(operation, result);
}

static void start_get(struct operation *operation)
{
	const struct request *request = (struct request *)operation;
	struct tether *process = operation->process;
	struct proto_get_regset get = { (uint32_t)process->pid, (uint32_t)request->tid, request->set, 0 };
	int result = process->family ? family_send(process->family, PROTO_REQ_get_regset, &get, NULL, 0, got_regset, operation)
				     : -TETHER_EGONE;

	if (result < 0)
		operation_finish(operation, result);
}

static void start_set(struct operation *operation)
{
	const struct request *request = (struct request *)operation;
	struct tether *process = operation->process;
	struct proto_set_regset set = {
		(uint32_t)process->pid, (uint32_t)request->tid, request->set, request->length,
	};
	int result = process->family ? family_send(process->family, PROTO_REQ_set_regset, &set, request->bytes,
						   request->length, answered, operation)
				     : -TETHER_EGONE;

	if (result < 0)
		operation_finish(operation, result);
}

/* Answers and events are in one order: a child that was made before has the bytes from before. */
static void written(struct family *family, struct operation *operation, const void *body)
{
	const struct request *request = (struct request *)operation;
	const struct proto_result *answer = body;

	pthread_mutex_lock(&operation->table->lock);
	if (answer && answer->result == 0 && !operation->abandoned)
		plant_changed(operation->process->space, request->address, request->bytes, request->length);
	pthread_mutex_unlock(&operation->table->lock);
	answered(family, operation, body);
}

static void start_write(struct operation *operation)
{
	const struct request *request = (struct request *)operation;
	struct tether *process = operation->process;
	struct proto_write write = { (uint32_t)process->pid, request->length, request->address };
	int result = process->family ? family_send(process->family, PROTO_REQ_write, &write, request->bytes,
						   request->length, written, operation)
				     : -TETHER_EGONE;

	if (result < 0)
		operation_finish(operation, result);
}

/* Lock held. */
static int may_be_asked(const struct tether *process)
{
	if (process->observe)
		return -TETHER_EMODE;
	if (process->state == TETHER_STATE_LOST)
		return -TETHER_ELOST;
	return process->family ? 0 : -TETHER_EGONE;
}

static int run(struct tether *process, void (*start)(struct operation *), const struct request *like, const void *bytes)
{
	struct table *table = process->table;
	int result = table_enter(table);

	if (result < 0)
		return result;
	result = may_be_asked(process);
	if (result < 0) {
		table_leave(table);
		return result;
	}
	struct request *request = (struct request *)operation_new_sized(table, start,
									 sizeof(*request) + like->length);
	if (!request) {
		table_leave(table);
		return -ENOMEM;
	}
	request->tid = like->tid;
	request->set = like->set;
	request->address = like->address;
	request->length = like->length;
	if (like->length)
		memcpy(request->bytes, bytes, like->length);
	request->regset = like->regset;
	handle_pin(process);
	request->operation.process = process;
	/* Without bound: the controller answers or dies. */
	result = operation_run(&request->operation, 0);
	table_leave(table);
	operation_put(&request->operation);
	return result;
}

int tether_thread_continue(struct tether *process, int64_t tid)
{
	const struct request request = { .tid = tid };

	return tid <= 0 || tid > INT32_MAX ? -TETHER_ESTATE : run(process, start_go, &request, NULL);
}

int tether_write(struct tether *process, uint64_t address, const void *bytes, size_t length)
{
	const struct request request = { .address = address, .length = (uint32_t)length };

	static_assert((int)TETHER_WRITE_MAX == (int)PROTO_WRITE_MAX, "the longest write");
	return length > TETHER_WRITE_MAX ? -TETHER_ELIMIT : run(process, start_write, &request, bytes);
}

int stand_get(struct tether *process, int64_t tid, uint32_t set, struct proto_regset *ret)
{
	const struct request request = { .tid = tid, .set = set, .regset = ret };

	return run(process, start_get, &request, NULL);
}

int stand_set(struct tether *process, int64_t tid, uint32_t set, const void *bytes, size_t length)
{
	const struct request request = { .tid = tid, .set = set, .length = (uint32_t)length };

	return run(process, start_set, &request, bytes);
}
