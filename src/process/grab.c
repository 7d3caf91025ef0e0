/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/procfs.h"
#include "os/sys.h"
#include "process/handle.h"
#include "process/start.h"

/* A family grabbed as a tree: as many processes as fit into one message. */
enum { GRAB_TREE_MAX = 8192 };

/* ---- control thread -------------------------------------------------------------------------------------- */

static void post_grab(struct family *family, struct tether *process, uint32_t threads)
{
	struct exec_record record;
	struct tether_event event = {
		.kind = TETHER_EVENT_GRAB,
		.pid = process->pid,
		.tid = process->pid,
		.t_ns = os_now_ns(),
		.process = process,
		.u.grab = { .path = "", .threads = threads },
	};

	if (record_read(&record, process_live_tid(process), family->flags & TETHER_WANT_ENV) == 0)
		event.u.grab.path = record.interpreter ? record.interpreter : record.path;
	process->environment = blob_get(record.environment);
	follow_post(family, &event);
	record_clear(&record);
}

/* ---- the image of a running process: the trap first, then the link maps ----------------------------------
 *
 *	survey ──► plant ──(answer)──► walk the link maps ──► arrived
 *
 * A dlopen between the two shows at its hit; one before the plant is found by the walk. The grab returns when all
 * of its processes have arrived, and the first one stands where it is to park.
 */

static void walk(struct tether *process)
{
	if (!process->family)
		return; /* it has ended meanwhile */
	if (follow_scan(process, process_live_tid(process), os_now_ns()) > 0)
		process->preinit_seen = true;
}

static void linker_planted(struct family *family, struct operation *part, const void *body)
{
	(void)family;
	if (body) {
		walk(part->process);
		operation_arrive(part->other, 0);
	} else {
		operation_finish(part->other, -TETHER_ELOST);
	}
	operation_put(part->other);
}

/* Nobody waits for a part: it carries what the answer needs. */
static struct operation *part_of(struct operation *whole, struct tether *process)
{
	struct operation *part = operation_new(whole->table, NULL);

	if (!part)
		return NULL;
	pthread_mutex_lock(&whole->table->lock);
	handle_pin(process);
	part->process = process;
	whole->users++;
	part->other = whole;
	whole->outstanding++;
	pthread_mutex_unlock(&whole->table->lock);
	return part;
}

static void take_in(struct family *family, struct tether *process, struct operation *grab)
{
	struct reader memory = process_reader(process);
	struct os_task_status status;
	struct host *host = family->table->host;

	post_grab(family, process, os_task_status(process->pid, &status) == 0 ? status.threads : 1);
	int result = rtld_survey(&process->rtld, process_live_tid(process), &memory, family->table->cache);
	if (result < 0) {
		host->log(host, 1, "image of %lld: %s", (long long)process->pid, tether_strerror(result));
		return;
	}
	struct operation *part = process->monitored && process->rtld.r_brk ? part_of(grab, process) : NULL;
	if (part && follow_plant(process, linker_planted, part) == 0) {
		operation_put(part);
		return;
	}
	walk(process);
	if (part) {
		operation_arrive(grab, 0);
		operation_put(grab);
	}
	operation_put(part);
}

static void grab_failed(struct operation *operation, const struct proto_grabbed *answer)
{
	int code = -answer->result;
	struct error_details details = { .pid = operation->pid, .other_pid = answer->tracer };

	if (code == TETHER_ETRACED && answer->tracer) {
		error_fill(&operation->error, code, &details, "cannot grab %lld: traced by process %u",
			   (long long)operation->pid, answer->tracer);
	} else {
		error_fill(&operation->error, code, &details, "cannot grab %lld", (long long)operation->pid);
	}
	operation_finish(operation, -code);
}

static void admit_descendant(struct family *family, int64_t pid, struct operation *grab)
{
	struct tether *process = follow_admit(family, pid);

	if (!process)
		return;
	take_in(family, process, grab);
	pthread_mutex_lock(&family->table->lock);
	handle_unpin(process);
	pthread_mutex_unlock(&family->table->lock);
}

static void grabbed(struct family *family, struct operation *operation, const void *body)
{
	const struct proto_grabbed *answer = body;

	if (!answer)
		return; /* family_end() tells the operation why */
	if (answer->result < 0) {
		grab_failed(operation, answer);
		family->finished = true;
		return;
	}
	struct tether *process = follow_admit(family, operation->pid);
	if (!process) {
		operation_finish(operation, -ENOMEM);
		family->finished = true;
		return;
	}
	pthread_mutex_lock(&family->table->lock);
	handle_pin(process);
	family->root = process;
	operation->process = process;
	pthread_mutex_unlock(&family->table->lock);
	operation->outstanding = 1; /* this very function */
	if (!(operation->flags & TETHER_NO_PARK)) {
		operation->outstanding++;
		operation_get(operation);
		process->rendezvous = operation;
	}
	take_in(family, process, operation);
	for (size_t i = 0; i < operation->count; i++)
		admit_descendant(family, (int64_t)operation->addresses[i], operation);
	operation_arrive(operation, 0);
}

/* Somebody wants to hear of loads in a family that was taken without: as at a grab, trap first, then link maps. */
static void start_watching(struct tether *process, struct operation *operation)
{
	struct operation *part;

	pthread_mutex_lock(&process->table->lock);
	process->monitored = true;
	process->flags &= ~(uint32_t)TETHER_NO_MONITOR;
	pthread_mutex_unlock(&process->table->lock);
	part = process->rtld.r_brk ? part_of(operation, process) : NULL;
	if (part && follow_plant(process, linker_planted, part) < 0) {
		walk(process);
		operation_arrive(operation, 0);
		operation_put(operation);
	}
	operation_put(part);
}

static void monitoring(struct family *family, struct operation *operation, const void *body)
{
	const struct proto_result *answer = body;
	struct tether *process;

	if (!answer || answer->result < 0) {
		operation_finish(operation, answer ? answer->result : -TETHER_ELOST);
		return;
	}
	family->flags &= ~(uint32_t)TETHER_NO_MONITOR;
	operation->outstanding = 1; /* this very function */
	LIST_FOREACH(process, &family->members, sibling)
		if (!process->monitored)
			start_watching(process, operation);
	operation_arrive(operation, 0);
}

static void start_monitor(struct operation *operation)
{
	struct family *family = operation->process->family;
	struct proto_empty nothing = { 0 };
	int result = family ? family_send(family, PROTO_REQ_monitor, &nothing, NULL, 0, monitoring, operation)
			    : -TETHER_EGONE;

	if (result < 0)
		operation_finish(operation, result);
}

static void start_grab(struct operation *operation)
{
	struct family *family = start_family(operation);
	struct proto_grab grab = { .pid = (uint32_t)operation->pid, .items = (uint32_t)operation->count };
	uint32_t *pids;

	if (!family)
		return;
	grab.hold = start_hold(operation);
	grab.hold.flags |= (operation->flags & TETHER_NO_PARK ? 0 : PROTO_PARK) |
			   (operation->count ? PROTO_TREE : 0);
	pids = calloc(operation->count + 1, sizeof(*pids));
	for (size_t i = 0; pids && i < operation->count; i++)
		pids[i] = (uint32_t)operation->addresses[i];
	int result = pids ? family_send(family, PROTO_REQ_grab, &grab, pids, operation->count, grabbed, operation)
			  : -ENOMEM;
	free(pids);
	if (result < 0)
		family_end(family, "the controller cannot be reached");
}

/* ---- calling thread -------------------------------------------------------------------------------------- */

struct tree {
	vaddr_t *pids;
	size_t count;
};

static int collect_child(int64_t child, void *data);

static int collect_thread(int64_t tid, void *data)
{
	return os_each_child(tid, tid, collect_child, data);
}

static int collect_child(int64_t child, void *data)
{
	struct tree *tree = data;

	if (tree->count == GRAB_TREE_MAX)
		return 1;
	/* Of a tree that we stand in we are the ones that cannot be held: its other processes are. */
	if (child != getpid())
		tree->pids[tree->count++] = (vaddr_t)child;
	return os_each_thread(child, collect_thread, data);
}

/* Parents change while they are read: the number of steps is bounded. */
enum { ANCESTORS_MAX = 4096 };

static bool is_ancestor(int64_t pid)
{
	struct os_task_status status;
	int64_t ancestor = getppid();

	for (int i = 0; i < ANCESTORS_MAX && ancestor > 0 && ancestor != pid; i++)
		ancestor = os_task_status(ancestor, &status) == 0 ? status.ppid : 0;
	return ancestor == pid;
}

/*
 * Who waits for us, reads what we write, or is the shell that would set the stopped going again must not be
 * stopped by us: nobody might be left to end it. To watch it, without a stop, is harmless; pid 1 is an ancestor of
 * nearly everybody.
 */
static int check_ancestor(int64_t pid, const struct tether_grab_opts *opts, struct tether_error *err)
{
	bool stops = !(opts->flags & TETHER_NO_PARK) || opts->mode == TETHER_MODE_HANG;

	if (opts->flags & TETHER_OBSERVE || !stops || !is_ancestor(pid))
		return 0;
	return error_fill(err, TETHER_ESELF,
			  &(struct error_details){
				  .pid = pid,
				  .cure = "grab it from a process that does not descend from it, or with TETHER_NO_PARK "
					  "and in mode run",
			  },
			  "cannot grab %lld: this process descends from it, and would stop its own caller",
			  (long long)pid);
}

/* What can be seen to be hopeless before a controller is started for it. */
static int check_victim(int64_t pid, uint32_t flags, struct tether_error *err)
{
	struct os_task_status status;
	struct error_details details = { .pid = pid };
	int result = pid <= 0 ? -ESRCH : os_task_status(pid, &status);
	int code = 0;

	if (result == -ESRCH || result == -ENOENT)
		code = TETHER_EGONE;
	else if (result < 0)
		code = -result;
	else if (pid == getpid())
		code = TETHER_ESELF;
	else if (status.tgid != pid)
		code = TETHER_ETHREAD;
	else if (status.kernel_thread)
		code = TETHER_EKTHREAD;
	else if (status.state == 'Z' && status.threads <= 1)
		code = TETHER_EZOMBIE;
	if (code == 0)
		return 0;
	return error_fill(err, code, &details, "cannot %s %lld", flags & TETHER_OBSERVE ? "observe" : "grab",
			  (long long)pid);
}

static struct operation *prepare(struct table *table, int64_t pid, const struct tether_grab_opts *opts,
				 const struct tree *tree)
{
	struct operation *operation = operation_new(table, start_grab);

	if (!operation)
		return NULL;
	operation->deed = "grab";
	operation->pid = pid;
	operation->mode = opts->mode ? opts->mode : TETHER_MODE_RUN;
	operation->flags = opts->flags;
	operation->events = opts->events;
	operation->stacks = opts->stacks;
	operation->park_on_exec = opts->park_on_exec ? strdup(opts->park_on_exec) : NULL;
	operation->addresses = tree->pids;
	operation->count = tree->count;
	return operation;
}

/* Lock held, given up meanwhile. */
static int grab_anew(struct table *table, int64_t pid, const struct tether_grab_opts *opts,
		     const struct tree *tree, struct tether **ret, struct tether_error *err)
{
	struct operation *operation = prepare(table, pid, opts, tree);
	struct spawn spawn;
	int result;

	if (!operation)
		return error_fill(err, ENOMEM, NULL, "cannot grab %lld", (long long)pid);
	LIST_INSERT_HEAD(&table->births, operation, birth);
	pthread_mutex_unlock(&table->lock);
	result = start_controller(operation, &spawn, -1, NULL, err);
	if (result == 0)
		result = start_controller_end(operation, &spawn, err);
	pthread_mutex_lock(&table->lock);
	/* Without bound but the controller's own: it gives up by the question time. */
	if (result == 0)
		result = start_run(operation, opts->timeout_ms, ret, err);
	LIST_REMOVE(operation, birth);
	pthread_cond_broadcast(&table->changed);
	pthread_mutex_unlock(&table->lock);
	operation_put(operation);
	pthread_mutex_lock(&table->lock);
	if (result == 0)
		observe_supersede(table, pid);
	return result;
}

/* ---- one handle for a process, whoever asks, and when -----------------------------------------------------
 *
 *	found? ─ being born or let go ──► wait, look again
 *	  │ └─── no ──► a grab of its own ── traced by a controller of this session? ──► settle, look again
 *	  ▼ yes
 *	the process that has the pid now? ─ not certain ──► settle, look again
 *	  ▼ yes
 *	shared
 *
 * To settle is to hear all that a controller has to tell up to now: a child that is held already and has not been
 * told of has its handle then, and one that was reaped has lost it.
 */

/* What may come in between so often comes for ever. */
enum { LOOKS_MAX = 32 };

static struct operation *birth_of(const struct table *table, int64_t pid)
{
	struct operation *operation;

	LIST_FOREACH(operation, &table->births, birth)
	if (operation->pid == pid)
		break;
	return operation;
}

/* A handle of this process that can be shared, NULL: there is none. Lock held, given up meanwhile. */
static int look(struct table *table, int64_t pid, uint64_t until_ns, struct tether **ret)
{
	for (;;) {
		*ret = handle_find(table, pid, false);
		if (!(*ret && (*ret)->departing) && !birth_of(table, pid))
			return 0;
		int result = table_wait(table, until_ns);
		if (result < 0)
			return result;
	}
}

int family_catch_up(struct table *table, int64_t controller)
{
	struct operation *operation = operation_new(table, family_settle);
	int result;

	if (!operation)
		return -ENOMEM;
	operation->pid = controller;
	result = operation_run(operation, 0);
	if (result == 0)
		result = operation->count != 0;
	pthread_mutex_unlock(&table->lock);
	operation_put(operation);
	pthread_mutex_lock(&table->lock);
	return result;
}

/* 1: it is the process that has the pid now; 0: look again. */
static int confirm(struct tether *process)
{
	uint64_t start_time = 0;
	int result;

	if (os_start_time(process->pid, &start_time) == 0 && start_time == process->start_time)
		return 1;
	handle_pin(process);
	result = family_catch_up(process->table, process->controller);
	/* It could not be read. It had the pid before it was read now, and has not been reaped since. */
	if (process->listed && !process->start_time)
		process->start_time = start_time;
	handle_unpin(process);
	return result < 0 ? result : 0;
}

/* One held without the linker's breakpoint does not do for who wants to hear of loads. */
static int take_shared(struct tether *process, uint32_t flags, struct tether **ret)
{
	struct table *table = process->table;
	int result = 0;

	if (process->users++ == 0)
		handle_pin(process);
	if (!process->monitored && !(flags & TETHER_NO_MONITOR))
		result = lock_wait(process);
	if (result == 0 && !process->monitored && !(flags & TETHER_NO_MONITOR))
		result = release_run_on(process, start_monitor, 0);
	if (result < 0) {
		pthread_mutex_unlock(&table->lock);
		tether_release(process);
		pthread_mutex_lock(&table->lock);
		return result;
	}
	table_target(table, process->pid);
	*ret = process;
	return 1;
}

/* Does a controller of this session hold it, or has one let go of it meanwhile? */
static bool is_ours(struct table *table, int64_t pid, int64_t tracer)
{
	struct os_task_status status;
	int settled = tracer ? family_catch_up(table, tracer) : 0;

	return settled > 0 || (settled == 0 && os_task_status(pid, &status) == 0 && status.tracer != tracer);
}

static int grab_control(struct table *table, int64_t pid, const struct tether_grab_opts *opts, struct tree *tree,
			struct tether **ret, struct tether_error *err)
{
	uint64_t until_ns = os_now_ns() + (opts->timeout_ms ? UINT64_C(1000000) * opts->timeout_ms
							    : table->host->question_ns);
	struct tether_error refused = TETHER_ERROR_INIT;
	struct tether *process = NULL;
	int result = 0;

	for (int looks = 0; looks < LOOKS_MAX; looks++) {
		result = look(table, pid, until_ns, &process);
		if (result == 0 && process) {
			result = confirm(process);
			if (result == 0)
				continue;
			if (result > 0)
				result = take_shared(process, opts->flags, ret);
			if (result > 0)
				return 0;
			if (result == -TETHER_EGONE || result == -TETHER_ELOST)
				continue; /* let go or ended meanwhile: the next look tells which */
		} else if (result == 0) {
			result = grab_anew(table, pid, opts, tree, ret, &refused);
			if (result == -TETHER_ETRACED && is_ours(table, pid, refused.other_pid))
				continue;
			if (result == 0)
				return 0;
		}
		break;
	}
	if (result == 0)
		result = -TETHER_ETIMEDOUT;
	if (refused.code != -result)
		error_fill(&refused, result, &(struct error_details){ .pid = pid }, "cannot grab %lld",
			   (long long)pid);
	if (err)
		memcpy((char *)err + sizeof(err->size), (char *)&refused + sizeof(err->size),
		       sizeof(*err) - sizeof(err->size));
	return result;
}

/* One that was looked at before needs no looking at. Any failure is met again by who goes on. */
static bool observe_known(struct table *table, int64_t pid, struct tether **ret)
{
	if (table_enter(table) < 0)
		return false;
	bool known = observe_again(table, pid, ret);
	table_leave(table);
	return known;
}

/* What is seen at once is still named when the process ends before it is asked about. */
static int observe_anew(struct table *table, int64_t pid, struct tether **ret, struct tether_error *err)
{
	struct tether *process;
	struct looking looking;
	int result = observe_grab(table, pid, &process, err);

	if (result < 0)
		return result;
	if (!process->names.view) {
		pthread_mutex_unlock(&table->lock);
		if (names_look(process, true, &looking) == 0)
			names_put(&looking);
		pthread_mutex_lock(&table->lock);
	}
	*ret = process;
	return 0;
}

/* For a park. */
static int may_wait(struct table *table)
{
	int result = table_enter(table);

	if (result < 0)
		return result;
	result = table_in_stop(table) ? -TETHER_EDEADLK : 0;
	table_leave(table);
	return result;
}

int tether_grab(struct tether_session *session, int64_t pid, const struct tether_grab_opts *given,
		struct tether **ret, struct tether_error *err)
{
	const uint32_t flags = TETHER_OBSERVE | TETHER_NO_MONITOR | TETHER_NO_FOLLOW | TETHER_NO_PARK |
			       TETHER_TREE | TETHER_WANT_ENV | TETHER_PARK_ON_CRASH | TETHER_LOW_LATENCY;
	struct table *table = start_table(session);
	struct tether_grab_opts opts;
	struct tree tree = { NULL, 0 };
	int result = error_check(err);

	if (result < 0 || options_copy(&opts, sizeof(opts), given) < 0)
		return error_fill(err, TETHER_EINVALID, NULL, "cannot grab: options of an unknown version");
	if (opts.flags & ~flags || opts.mode > TETHER_MODE_HANG || opts.stacks & ~TETHER_EVENTS_WITH_STACK)
		return error_fill(err, TETHER_EINVALID, NULL, "cannot grab %lld", (long long)pid);
	/* Whose session it is comes before what is asked of it. */
	if (table_forked(table))
		return error_fill(err, TETHER_EFORKED, &(struct error_details){ .pid = pid }, "cannot grab %lld",
				  (long long)pid);
	result = opts.flags & (TETHER_OBSERVE | TETHER_NO_PARK) ? 0 : may_wait(table);
	if (result < 0)
		return error_fill(err, result, &(struct error_details){ .pid = pid }, "cannot grab %lld", (long long)pid);
	if (opts.flags & TETHER_OBSERVE && observe_known(table, pid, ret))
		return 0;
	result = check_victim(pid, opts.flags, err);
	if (result == 0)
		result = check_ancestor(pid, &opts, err);
	if (result < 0)
		return result;
	if (opts.flags & TETHER_TREE) {
		tree.pids = calloc(GRAB_TREE_MAX, sizeof(*tree.pids));
		if (!tree.pids)
			return error_fill(err, ENOMEM, NULL, "cannot grab %lld", (long long)pid);
		os_each_thread(pid, collect_thread, &tree);
	}
	result = table_enter(table);
	if (result < 0) {
		free(tree.pids);
		return error_fill(err, result, &(struct error_details){ .pid = pid }, "cannot grab %lld", (long long)pid);
	}
	if (opts.flags & TETHER_OBSERVE)
		result = observe_anew(table, pid, ret, err);
	else
		result = grab_control(table, pid, &opts, &tree, ret, err);
	table_leave(table);
	free(tree.pids);
	return result;
}
