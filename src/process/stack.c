/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * process/stack.c - tether_snapshot(): ask the controller for copies, then make stacks of them
 *
 *	caller ──operation──► control thread ──snapshot, memfd──► controller: stops, copies, lets on
 *	   ▲                      │ answered: maps the memfd
 *	   └──────────────────────┘
 *	   unwinds, names, calls the client's function: on the caller's thread, no lock held
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <linux/memfd.h>

#include "base/limits.h"
#include "os/sys.h"
#include "process/stack.h"

enum { TRIES = 4 };

/* ---- control thread -------------------------------------------------------------------------------------- */

static void close_file(struct copies *copies)
{
	if (copies->file >= 0)
		sys(close, copies->file);
	copies->file = -1;
}

void copies_free(struct copies *copies)
{
	if (!copies)
		return;
	if (copies->bytes)
		sys(munmap, copies->bytes, copies->length);
	free(copies->tids);
	free(copies);
}

static int map_copies(struct copies *copies)
{
	long at;

	if (!copies->taken.bytes)
		return 0;
	at = sys(mmap, 0, copies->taken.bytes, PROT_READ, MAP_SHARED | MAP_POPULATE, copies->file, 0);
	if (at < 0 && at > -4096)
		return (int)at;
	copies->bytes = (unsigned char *)at;
	copies->length = copies->taken.bytes;
	return 0;
}

static int code_of(int result)
{
	switch (result) {
	case -ESRCH:
		return -TETHER_EGONE;
	case -ECANCELED:
	case -EBUSY:
		return -TETHER_ESTATE;
	default:
		return result;
	}
}

static void taken(struct family *family, struct operation *operation, const void *body)
{
	struct copies *copies = operation->copies;
	int result = -TETHER_ELOST;

	(void)family;
	if (body) {
		memcpy(&copies->taken, body, sizeof(copies->taken));
		result = code_of(copies->taken.result);
		/* A file that is shorter than it is said to be would end who reads it. */
		if (result == 0 && (copies->taken.bytes > copies->request.total_bytes ||
				    sys(lseek, copies->file, 0, SEEK_END) < (long)copies->taken.bytes))
			result = -TETHER_EPROTOCOL;
		if (result == 0)
			result = map_copies(copies);
	}
	close_file(copies);
	operation_finish(operation, result);
}

static void start_snapshot(struct operation *operation)
{
	struct family *family = operation->process->family;
	struct copies *copies = operation->copies;
	int result = -TETHER_EGONE;

	if (family) {
		copies->file = (int)sys(memfd_create, "tether-stacks", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		result = copies->file;
	}
	if (result >= 0) {
		sys(fcntl, copies->file, F_ADD_SEALS, F_SEAL_SHRINK);
		result = family_send_with(family, PROTO_REQ_snapshot, &copies->request, copies->tids,
					  copies->request.items, copies->file, taken, operation);
	}
	if (result < 0) {
		close_file(copies);
		operation_finish(operation, result);
	}
}

/* ---- calling thread -------------------------------------------------------------------------------------- */

static struct operation *new_operation(struct snapshot_call *call)
{
	const struct tether_snapshot_opts *opts = &call->opts;
	struct operation *operation = operation_new(call->process->table, start_snapshot);
	struct copies *copies = operation ? calloc(1, sizeof(*copies)) : NULL;

	if (!copies)
		goto failed;
	operation->copies = copies;
	copies->file = -1;
	copies->request = (struct proto_snapshot){
		.pid = (uint32_t)call->process->pid,
		.manner = opts->manner == TETHER_ROLLING ? PROTO_ROLLING : PROTO_TOGETHER,
		.wait_ns = UINT64_C(1000000) * opts->timeout_ms,
		.stack_bytes = (uint64_t)opts->max_kbytes << 10,
		.total_bytes = MAX_SNAPSHOT_BYTES,
		.items = opts->tid_count,
		.flags = call->spare ? PROTO_SPARE : 0,
	};
	if (opts->tid_count) {
		copies->tids = calloc(opts->tid_count, sizeof(*copies->tids));
		if (!copies->tids)
			goto failed;
		for (uint32_t i = 0; i < opts->tid_count; i++)
			copies->tids[i] = (uint32_t)opts->tids[i];
	}
	return operation;
failed:
	free(operation ? operation->copies : NULL);
	free(operation);
	return NULL;
}

/* Lock held, given up meanwhile. *ret: the copies, the caller's to put back with its operation. */
static int take(struct snapshot_call *call, struct operation **ret)
{
	struct tether *process = call->process;
	struct table *table = process->table;
	struct operation *operation = new_operation(call);
	int result;

	if (!operation)
		return -ENOMEM;
	handle_pin(process);
	operation->process = process;
	result = operation_run(operation, 0);
	if (result < 0) {
		pthread_mutex_unlock(&table->lock);
		operation_put(operation);
		pthread_mutex_lock(&table->lock);
		return result;
	}
	*ret = operation;
	return 0;
}

/* One at a time: who comes second would only be told to come again. */
static int take_in_turn(struct snapshot_call *call, struct operation **ret)
{
	struct table *table = call->process->table;
	int result = 0;

	while (result == 0 && table->snapshotting)
		result = table_wait(table, 0);
	if (result < 0)
		return result;
	table->snapshotting = true;
	/* One that executes another program meanwhile has other stacks. */
	for (int i = 0; i < TRIES; i++) {
		call->done.image = call->process->exec_serial;
		result = take(call, ret);
		if (result != -EAGAIN)
			break;
	}
	table->snapshotting = false;
	pthread_cond_broadcast(&table->changed);
	return result == -EAGAIN ? -TETHER_ESTATE : result;
}

static int state_of(const struct tether *process)
{
	if (process->state == TETHER_STATE_LOST)
		return -TETHER_ELOST;
	return process->state == TETHER_STATE_EXITED || process->state == TETHER_STATE_RELEASED ? -TETHER_EGONE : 0;
}

static void windows_of(struct stack_copy *copy, const unsigned char *bytes, size_t size)
{
	struct proto_window window;

	copy->windows = 0;
	for (size_t at = 0; size - at >= sizeof(window) && copy->windows < STACK_WINDOWS;) {
		memcpy(&window, bytes + at, sizeof(window));
		at += sizeof(window);
		if (window.length > size - at)
			return;
		copy->window[copy->windows++] = (struct stack_window){ window.address, window.length, bytes + at };
		at += window.length;
	}
}

static uint64_t pause_of(const struct proto_stack *record, const struct proto_snapshot_taken *taken)
{
	uint64_t resumed = record->resumed_ns;

	if (!record->stopped_ns || record->flags & PROTO_STACK_STAYED)
		return 0;
	if (!resumed)
		resumed = taken->resumed_ns[record->flags & PROTO_STACK_RAN ? 0 : 1];
	return resumed > record->stopped_ns ? resumed - record->stopped_ns : 0;
}

static struct stack_copy copy_of(const struct proto_stack *record, const unsigned char *bytes)
{
	struct stack_copy copy = { .pc = record->pc, .sp = record->sp };

	if (record->regs_tag == ARCH_X86_64 && record->regs_size <= sizeof(copy.regs.u.bytes)) {
		copy.known = record->state == PROTO_STACK_STOPPED ? STACK_ALL_REGISTERS : ARCH_DWARF_BLOCKED;
		copy.regs.tag = record->regs_tag;
		copy.regs.size = record->regs_size;
		memcpy(copy.regs.u.bytes, record->regs, record->regs_size);
	}
	windows_of(&copy, bytes, record->size);
	return copy;
}

/* Has a thread been spared whose stack cannot be found without its registers, or only by a guess? */
static bool lacks_registers(const struct snapshot_call *call, const struct proto_stack *record, const unsigned char *bytes)
{
	struct stack_copy copy = copy_of(record, bytes);
	enum stack_end end;
	size_t count;

	if (record->state != PROTO_STACK_BLOCKED || !(record->flags & PROTO_STACK_STAYED))
		return false;
	count = stack_unwind(call->map, &copy, call->frames, call->opts.max_frames, &end);
	for (size_t i = 0; i < count; i++)
		if (call->frames[i].how == STACK_SCAN)
			return true;
	return end == STACK_REGISTERS;
}

static int visit_record(struct snapshot_call *call, const struct proto_stack *record, const unsigned char *bytes,
			const struct proto_snapshot_taken *taken)
{
	static const uint32_t states[] = {
		[PROTO_STACK_STOPPED] = TETHER_THREAD_STOPPED,
		[PROTO_STACK_BLOCKED] = TETHER_THREAD_BLOCKED,
		[PROTO_STACK_RUNNING] = TETHER_THREAD_RUNNING,
	};
	struct snapshot_thread thread = {
		.tid = record->tid,
		.syscall = record->call,
		.state = record->state && record->state < ARRAY_LEN(states) ? states[record->state] :
									      TETHER_THREAD_RUNNING,
		.t_ns = record->t_ns,
		.pause_ns = record->state == PROTO_STACK_STOPPED ? pause_of(record, taken) : 0,
		.cut = record->flags & PROTO_STACK_CUT,
	};
	struct stack_copy copy = copy_of(record, bytes);

	return frames_visit(call, &thread, &copy);
}

/* One record of the copies: where it begins. */
struct part {
	uint64_t serial;
	size_t at;
};

static int by_age(const void *left, const void *right)
{
	const struct part *a = left, *b = right;

	return a->serial < b->serial ? -1 : a->serial > b->serial;
}

/* They are written as their threads stop, and told from the oldest on. NULL: without memory. */
static struct part *parts_of(const struct copies *copies, size_t *ret_count)
{
	struct part *parts = calloc(copies->length / sizeof(struct proto_stack) + 1, sizeof(*parts));
	struct proto_stack record;
	size_t count = 0;

	for (size_t at = 0; parts && copies->length - at >= sizeof(record); at += record.size) {
		memcpy(&record, copies->bytes + at, sizeof(record));
		if (record.size > copies->length - at - sizeof(record))
			break;
		if (record.tid)
			parts[count++] = (struct part){ record.serial, at };
		at += sizeof(record);
	}
	if (parts)
		qsort(parts, count, sizeof(*parts), by_age);
	*ret_count = count;
	return parts;
}

static int visit_copies(struct snapshot_call *call, const struct copies *copies)
{
	struct proto_stack record;
	size_t count;
	struct part *parts = parts_of(copies, &count);

	if (!parts)
		return -ENOMEM;
	for (size_t i = 0; i < count && !call->result; i++) {
		const unsigned char *from = copies->bytes + parts[i].at;

		memcpy(&record, from, sizeof(record));
		call->result = visit_record(call, &record, from + sizeof(record), &copies->taken);
	}
	free(parts);
	return 0;
}

/* Of those that were spared. */
static bool any_lacks_registers(const struct snapshot_call *call, const struct copies *copies)
{
	struct proto_stack record;
	size_t count;
	struct part *parts = parts_of(copies, &count);
	bool lacks = false;

	for (size_t i = 0; parts && i < count && !lacks; i++) {
		memcpy(&record, copies->bytes + parts[i].at, sizeof(record));
		lacks = lacks_registers(call, &record, copies->bytes + parts[i].at + sizeof(record));
	}
	free(parts);
	return lacks;
}

static int check_options(const struct tether_snapshot_opts *opts)
{
	return opts->manner > TETHER_STILL || opts->max_frames > TETHER_STACK_FRAMES_MAX ||
			       opts->max_kbytes > TETHER_STACK_KBYTES_MAX || opts->tid_count > MAX_SNAPSHOT_TIDS ||
			       (opts->tid_count && !opts->tids) ?
		       -TETHER_EINVALID :
		       0;
}

static int fill_options(struct snapshot_call *call, const struct tether_snapshot_opts *given)
{
	struct tether_snapshot_opts *opts = &call->opts;

	if (given && given->size > sizeof(*opts))
		return -TETHER_EINVALID;
	if (given)
		memcpy(opts, given, given->size);
	if (check_options(opts))
		return -TETHER_EINVALID;
	opts->max_frames = opts->max_frames ? opts->max_frames : TETHER_STACK_FRAMES;
	opts->max_kbytes = opts->max_kbytes ? opts->max_kbytes : TETHER_STACK_KBYTES;
	if (!opts->timeout_ms)
		opts->timeout_ms = (uint32_t)(call->process->table->host->question_ns / 1000000u);
	call->done.size = sizeof(call->done);
	call->done.pid = call->process->pid;
	call->done.manner = opts->manner;
	call->done.t_ns = os_now_ns();
	return 0;
}

/* Is who is blocked to be spared? One time in so many it is tried again where it did not do. */
static bool spares(struct tether *process, const struct tether_snapshot_opts *opts)
{
	if (opts->manner != TETHER_TOGETHER || !(opts->flags & TETHER_SNAPSHOT_SPARE_BLOCKED))
		return false;
	if (!process->spare_not)
		return true;
	process->spare_not--;
	return false;
}

/* The copies, and what it takes to make frames of them. Lock held, and given up: it is not held at the end, but on failure. */
static int begin(struct snapshot_call *call, struct operation **ret)
{
	enum { SPARE_NOT = 100 };
	struct table *table = call->process->table;
	int result = state_of(call->process);

	if (result == 0 && call->opts.manner != TETHER_STILL)
		result = call->process->observe ? -TETHER_EMODE : take_in_turn(call, ret);
	if (result < 0)
		return result;
	call->done.image = *ret ? call->done.image : call->process->exec_serial;
	pthread_mutex_unlock(&table->lock);
	call->begun = frames_begin(call);
	if (call->begun < 0 || !call->spare || !any_lacks_registers(call, (*ret)->copies))
		return 0;
	/* Once more, and all are stopped. */
	frames_end(call);
	operation_put(*ret);
	*ret = NULL;
	call->spare = false;
	pthread_mutex_lock(&table->lock);
	call->process->spare_not = SPARE_NOT;
	return begin(call, ret);
}

/* Lock held; given up meanwhile. */
static int snapshot(struct snapshot_call *call)
{
	struct table *table = call->process->table;
	struct operation *operation = NULL;
	int result;

	call->spare = spares(call->process, &call->opts);
	result = begin(call, &operation);
	if (result < 0)
		return result;
	result = call->begun;
	if (result == 0 && operation)
		result = visit_copies(call, operation->copies);
	else if (result == 0)
		result = still_visit(call);
	frames_end(call);
	operation_put(operation);
	pthread_mutex_lock(&table->lock);
	return result;
}

int tether_snapshot(struct tether *process, const struct tether_snapshot_opts *opts, tether_stack_fn *visit, void *data,
		    struct tether_snapshot *ret)
{
	struct snapshot_call call = { .process = process, .visit = visit, .data = data };
	struct table *table = process->table;
	int result = table_enter(table);

	if (result < 0)
		return result;
	result = fill_options(&call, opts);
	if (result == 0)
		result = snapshot(&call);
	table_leave(table);
	if (result < 0)
		return result;
	call.done.total_ns = os_now_ns() - call.done.t_ns;
	if (ret) {
		size_t size = ret->size < sizeof(call.done) ? ret->size : sizeof(call.done);

		memcpy(ret, &call.done, size);
		ret->size = size;
	}
	return call.result;
}
