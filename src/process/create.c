/* SPDX-License-Identifier: BSD-2-Clause */
/*
 *	calling thread              control thread               controller         victim
 *	  clones ──────────────────────────────────────────────► starts ──────────► executes
 *	  surveys the file
 *	  hello, image ────────────────────────────────────────►
 *	  operation ───────────────► takes the socket            plants ◄────────── stands at its exec
 *	     (waits)                 ◄──────── created, exec event                  runs to the stop
 *	                             link maps ◄───────────────── question ◄─────── linker is done
 *	                             answer ────────────────────► goes on ────────► main
 *	     ◄────────────────────── finish ◄──── parked
 *
 * An image that could not be surveyed beforehand is asked about at the exec (process/follow.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/limits.h"
#include "client/spawn.h"
#include "os/sys.h"
#include "process/handle.h"
#include "process/start.h"

extern char **environ;

/* The paths that execvp(3) would try, in order, each NUL-ended. How many, or negative code. */
static int add_candidates(struct buffer *payload, const char *file, char *const *envp)
{
	const char *path = NULL;
	int count = 0;

	if (strchr(file, '/')) {
		buffer_add_string(payload, file);
		return 1;
	}
	for (; envp && *envp; envp++)
		if (strncmp(*envp, "PATH=", 5) == 0) {
			path = *envp + 5;
			break;
		}
	if (!path)
		path = "/bin:/usr/bin";
	for (;;) {
		size_t length = strcspn(path, ":");
		if (length + strlen(file) + 2 <= PATH_MAX) {
			/* An empty entry is the current directory: execvp(3). */
			if (length) {
				buffer_add(payload, path, length);
				buffer_add(payload, "/", 1);
			}
			buffer_add_string(payload, file);
			count++;
		}
		if (!path[length])
			return count;
		path += length + 1;
	}
}

static uint32_t add_strings(struct buffer *payload, char *const *strings)
{
	uint32_t count = 0;

	for (; strings && strings[count]; count++)
		buffer_add_string(payload, strings[count]);
	return count;
}

static int payload_fd(const struct buffer *payload)
{
	int fd = memfd_create("tether-create", MFD_CLOEXEC);
	size_t done = 0;

	if (fd < 0)
		return -errno;
	while (done < payload->length) {
		ssize_t put = write(fd, payload->data + done, payload->length - done);
		if (put < 0 && errno != EINTR) {
			int error = errno;
			close(fd);
			return -error;
		}
		done += put > 0 ? (size_t)put : 0;
	}
	return fd;
}

static uint64_t mask_of(const sigset_t *set)
{
	uint64_t bits = 0;

	for (int signal = 1; signal <= 64; signal++)
		bits |= sigismember(set, signal) == 1 ? UINT64_C(1) << (signal - 1) : 0;
	return bits;
}

/* All that a victim needs until its exec, when it may outlive the call that makes it. */
struct cradle {
	struct newborn newborn;
	struct spawn spawn;
	struct buffer strings;
	char **pointer;
};

/* The request, and the strings it stands for. 0 or negative code. */
static int compose(const struct tether_create_opts *opts, struct proto_create *create, struct buffer *strings,
		   char *const *envp)
{
	sigset_t mask;

	pthread_sigmask(SIG_BLOCK, NULL, &mask);
	create->mask = mask_of(&mask);
	/* PATH of the caller, as a shell would look it up, not that of the victim's environment. */
	create->candidates = (uint32_t)add_candidates(strings, opts->file, environ);
	create->argc = add_strings(strings, opts->argv);
	create->envc = add_strings(strings, envp);
	if (opts->cwd) {
		buffer_add_string(strings, opts->cwd);
		create->has_cwd = 1;
	}
	for (int i = 0; i < 3; i++)
		create->stdio[i] = opts->use_stdio & (1U << i) ? opts->stdio[i] : -1;
	create->payload_size = (uint32_t)strings->length;
	create->payload_fd = -1;
	return strings->failed || strings->length > MAX_CREATE_PAYLOAD ? -E2BIG : 0;
}

static void cradle_free(struct cradle *cradle)
{
	buffer_free(&cradle->strings);
	free(cradle->pointer);
	free(cradle);
}

/* Takes the strings. NULL: out of memory. */
static struct cradle *cradle_new(const struct operation *operation, struct buffer *strings)
{
	const struct proto_create *create = &operation->create;
	const struct os_strings order = { create->candidates, create->argc, create->envc, create->has_cwd };
	struct cradle *cradle = malloc(sizeof(*cradle));

	if (!cradle)
		return NULL;
	cradle->strings = *strings;
	*strings = (struct buffer)BUFFER_INIT;
	cradle->pointer = calloc((size_t)order.candidates + order.argc + order.envc + 3, sizeof(char *));
	if (!cradle->pointer || newborn_init(&cradle->newborn, SPAWN_STACKS) < 0) {
		cradle_free(cradle);
		return NULL;
	}
	struct os_plan *plan = &cradle->newborn.plan;
	/* They have just been counted, so they are there. */
	(void)os_plan_point(plan, cradle->strings.data, cradle->strings.length, &order, cradle->pointer);
	plan->mask = create->mask;
	plan->ignored = create->ignored;
	memcpy(plan->stdio, create->stdio, sizeof(plan->stdio));
	return cradle;
}

/*
 * The victim has left by now, or is about to. Where it is stuck, in the lookup of a path on a dead network
 * file system for one, what it still needs is left to it.
 */
static void cradle_end(struct cradle *cradle)
{
	enum { PATIENCE_MS = 1000 };

	if (newborn_end(&cradle->newborn, PATIENCE_MS))
		cradle_free(cradle);
}

/* ---- control thread -------------------------------------------------------------------------------------- */

static void post_create(struct family *family, struct tether *process, const struct operation *operation)
{
	struct tether_event event = {
		.kind = TETHER_EVENT_CREATE,
		.pid = process->pid,
		.tid = process->pid,
		.t_ns = operation->asked_ns, /* its exec is stamped before we hear of it */
		.process = process,
		.u.create = {
			.ppid = family->controller,
			.path = operation->path,
			.argv = (const char *const *)operation->argv,
		},
	};

	follow_post(family, &event);
}

/* Of a victim that was made in this memory, the controller sees no more than that it has ended. */
static struct proto_created explain(struct operation *operation, const struct proto_created *answer)
{
	struct proto_created explained = *answer;

	pthread_mutex_lock(&operation->table->lock);
	if (answer->stage == OS_STAGE_DIED && operation->newborn && operation->newborn->failure.stage) {
		explained.stage = (uint32_t)operation->newborn->failure.stage;
		explained.result = -operation->newborn->failure.error;
	}
	pthread_mutex_unlock(&operation->table->lock);
	return explained;
}

static void create_failed(struct operation *operation, const struct proto_created *told)
{
	const struct proto_created explained = explain(operation, told), *answer = &explained;
	struct error_details details = { .path = operation->path, .system_error = -answer->result };
	static const char *const deeds[] = {
		[OS_STAGE_FORK] = "fork for",   [OS_STAGE_STDIO] = "redirect the standard files of",
		[OS_STAGE_CWD] = "change directory for", [OS_STAGE_EXEC] = "run",
		[OS_STAGE_DIED] = "run",        [OS_STAGE_SEIZE] = "trace",
	};
	const char *deed = answer->stage < ARRAY_LEN(deeds) && deeds[answer->stage] ? deeds[answer->stage] : "run";
	int code = TETHER_EEXEC;

	if (answer->stage == OS_STAGE_DIED) {
		code = WIFSIGNALED(answer->status) ? TETHER_ESIGNALED : TETHER_EEXITED;
		details.status = WIFSIGNALED(answer->status) ? WTERMSIG(answer->status)
							     : WEXITSTATUS(answer->status);
	}
	operation->unrunnable = answer->stage == OS_STAGE_EXEC;
	error_fill(&operation->error, code, &details, "cannot %s '%s'", deed, operation->path);
	operation_finish(operation, -code);
}

/*
 * The controller-to-be has sent the request for the victim that it has made, and how that stands. It may have executed
 * already: then this is its event. A caller that waits no longer wants nothing of it either.
 */
static void learn_request(struct operation *operation)
{
	pthread_mutex_lock(&operation->table->lock);
	if (operation->newborn)
		operation->create = operation->newborn->request.create;
	pthread_mutex_unlock(&operation->table->lock);
	if (operation->create.image) {
		struct proto_event *event = &operation->attendance->event.event;

		event->pid = event->tid = operation->attendance->event.old_tid = operation->create.pid;
	}
}

static void created(struct family *family, struct operation *operation, const void *body)
{
	const struct proto_created *answer = body;

	if (!answer)
		return; /* family_end() tells the operation why */
	learn_request(operation);
	if (answer->result < 0 || answer->stage) {
		create_failed(operation, answer);
		family->finished = true;
		return;
	}
	struct tether *process = follow_admit(family, answer->pid);
	if (!process) {
		operation_finish(operation, -ENOMEM);
		family->finished = true;
		return;
	}
	process->parent = family->controller;
	process->stop = operation->stop;
	process->creator_environment = blob_get(operation->environment);
	pthread_mutex_lock(&family->table->lock);
	handle_pin(process);
	operation->pid = process->pid; /* who grabs it now waits for this call */
	family->root = process;
	operation->process = process; /* with the pin of follow_admit() */
	pthread_mutex_unlock(&family->table->lock);
	post_create(family, process, operation);
	if (operation->stop != TETHER_STOP_NONE) {
		operation->outstanding = 1;
		operation_get(operation);
		process->rendezvous = operation;
	}
	if (operation->create.image)
		follow_attended(process, &operation->attendance->event);
	if (operation->stop == TETHER_STOP_NONE)
		operation_finish(operation, 0);
}

static void start_create(struct operation *operation)
{
	struct family *family = start_family(operation);

	if (!family)
		return;
	family->rehearsed = operation->rehearsed;
	operation->rehearsed = NULL;
	int result = operation->said ? family_expect(family, PROTO_REQ_create, created, operation)
				     : family_send(family, PROTO_REQ_create, &operation->create, NULL, 0, created,
						   operation);
	if (result < 0)
		family_end(family, "the controller cannot be reached");
}

/* ---- calling thread -------------------------------------------------------------------------------------- */

static int check(const struct tether_create_opts *opts, struct tether_error *err)
{
	const uint32_t flags = TETHER_NO_MONITOR | TETHER_NO_FOLLOW | TETHER_WANT_ENV | TETHER_PARK_ON_CRASH |
			       TETHER_LOW_LATENCY;

	if (!opts->file || !opts->argv || !*opts->file)
		return error_fill(err, TETHER_EINVALID, NULL, "cannot create: no file or no argv");
	if (opts->flags & ~flags || opts->stop > TETHER_STOP_NONE || opts->mode > TETHER_MODE_HANG ||
	    opts->use_stdio & ~7U || opts->stacks & ~TETHER_EVENTS_WITH_STACK)
		return error_fill(err, TETHER_EINVALID, NULL, "cannot create '%s'", opts->file);
	if (opts->flags & TETHER_NO_MONITOR && opts->stop != TETHER_STOP_CREATE && opts->stop != TETHER_STOP_NONE)
		return error_fill(err, TETHER_EINVALID, NULL, "cannot create '%s': no stop without monitoring",
				  opts->file);
	return 0;
}

static struct operation *prepare(struct table *table, const struct tether_create_opts *opts, char **envp)
{
	struct operation *operation = operation_new(table, start_create);

	if (!operation)
		return NULL;
	operation->deed = "create";
	operation->asked_ns = os_now_ns();
	operation->mode = opts->mode ? opts->mode : TETHER_MODE_KILL;
	operation->flags = opts->flags;
	operation->events = opts->events;
	operation->stacks = opts->stacks;
	operation->stop = opts->stop;
	operation->argv = (char **)(uintptr_t)opts->argv;
	operation->path = strdup(opts->file);
	operation->park_on_exec = opts->park_on_exec ? strdup(opts->park_on_exec) : NULL;
	operation->environment = opts->flags & TETHER_WANT_ENV ? blob_of_strings(envp) : NULL;
	operation->create.hold = start_hold(operation);
	operation->create.ignored = table->host->ignored;
	return operation;
}

/*
 * While controller and victim are on their way, this looks at what the victim will execute, so that it is planted
 * without anybody being asked. Only where the stop is not decided by the exec itself.
 */
static void rehearse(struct operation *operation, char *const *candidate)
{
	if (operation->flags & TETHER_NO_MONITOR || operation->park_on_exec ||
	    operation->stop == TETHER_STOP_CREATE || operation->stop == TETHER_STOP_PREINIT ||
	    operation->create.has_cwd)
		return;
	while (*candidate && access(*candidate, X_OK) < 0)
		candidate++;
	if (*candidate)
		operation->rehearsed = image_rehearse(operation->table, *candidate,
						      operation->stop != TETHER_STOP_NONE, &operation->attendance);
}

/* Who cannot be sure to see its trap (rule 8) is planted by the controller, which looks after that. */
static struct attendance *attendance_for(const struct operation *operation)
{
	const uint64_t trap = UINT64_C(1) << (SIGTRAP - 1);

	return (operation->create.mask | operation->create.ignored) & trap ? NULL : operation->attendance;
}

/*
 * Hello and the image, before the controller has started; what is wanted is then sent by whoever can: the control
 * thread may not get a processor before the victim has executed, nor this one. A line that breaks shows itself
 * to the control thread.
 */
static void introduce(struct operation *operation, struct newborn *newborn)
{
	struct line line = { .socket = newborn->socket };
	struct proto_hello hello;
	uint64_t id;

	line_fill_hello(&hello);
	if (line_hello(&line, &hello, NULL, 0, &id) == 0 && operation->rehearsed)
		image_tell(&line, operation->rehearsed);
	line_head(&line, PROTO_REQ_create, &newborn->request.header);
	newborn->request.create = operation->create;
	operation->said = true;
}

static int start_with_victim(struct operation *operation, struct buffer *strings, struct cradle **ret,
			     struct tether_error *err)
{
	struct cradle *cradle = cradle_new(operation, strings);
	struct newborn *newborn;

	if (!cradle)
		return error_fill(err, ENOMEM, NULL, "cannot create '%s'", operation->path);
	*ret = cradle;
	newborn = &cradle->newborn;
	int result = start_controller(operation, &cradle->spawn, -1, newborn, err);
	if (result < 0)
		return result;
	rehearse(operation, newborn->plan.candidate);
	introduce(operation, newborn);
	struct attendance *attendance = attendance_for(operation);
	start_early(operation, &cradle->spawn, newborn);
	/* Last: who is told may take this very processor, and keep it until it is the controller. */
	bool told = newborn_tell(newborn, attendance);
	spawn_reap(&cradle->spawn);
	if (!told) {
		spawn_victim(&cradle->spawn);
		if (newborn->pid)
			newborn_say(newborn);
	}
	return 0;
}

/* Of a create that was started with its victim: with the reason that only this thread knows. */
static int end_with_victim(struct operation *operation, struct cradle *cradle, int result, struct tether_error *err)
{
	const struct newborn *newborn = &cradle->newborn;

	result = start_early_end(operation, &cradle->spawn, result, err);
	if (result < 0 && !newborn->pid && newborn->error)
		result = error_fill(
			err, TETHER_EEXEC,
			&(struct error_details){ .path = operation->path, .system_error = newborn->error },
			"cannot trace '%s'", operation->path);
	return result;
}

/* The controller makes it, and reads the strings from a file. */
static int start_with_strings(struct operation *operation, const struct buffer *strings, struct tether_error *err)
{
	int payload = payload_fd(strings);
	struct spawn spawn;

	if (payload < 0)
		return error_fill(err, payload, NULL, "cannot create '%s'", operation->path);
	operation->create.payload_fd = payload;
	int result = start_controller(operation, &spawn, payload, NULL, err);
	close(payload);
	if (result == 0)
		result = start_controller_end(operation, &spawn, err);
	return result;
}

int tether_create(struct tether_session *session, const struct tether_create_opts *given, struct tether **ret,
		  struct tether_error *err)
{
	struct table *table = start_table(session);
	struct tether_create_opts opts;
	int result = error_check(err);

	if (result < 0 || options_copy(&opts, sizeof(opts), given) < 0)
		return error_fill(err, TETHER_EINVALID, NULL, "cannot create: options of an unknown version");
	result = check(&opts, err);
	if (result < 0)
		return result;
	result = table_enter(table);
	if (result == 0 && table_in_stop(table) && opts.stop != TETHER_STOP_NONE) {
		table_leave(table);
		result = -TETHER_EDEADLK;
	}
	if (result < 0)
		return error_fill(err, result, NULL, "cannot create '%s'", opts.file);

	char **envp = opts.envp ? (char **)(uintptr_t)opts.envp : environ;
	struct operation *operation = prepare(table, &opts, envp);
	if (!operation) {
		table_leave(table);
		return error_fill(err, ENOMEM, NULL, "cannot create '%s'", opts.file);
	}
	LIST_INSERT_HEAD(&table->births, operation, birth);
	pthread_mutex_unlock(&table->lock);
	struct buffer strings = BUFFER_INIT;
	struct cradle *cradle = NULL;
	result = compose(&opts, &operation->create, &strings, envp);
	if (result == -E2BIG) {
		/* More than any kernel takes is refused as the kernel would. */
		operation->unrunnable = true;
		result = error_fill(err, TETHER_EEXEC, &(struct error_details){ .system_error = E2BIG },
				    "cannot run '%s'", opts.file);
	} else if (result < 0)
		error_fill(err, result, NULL, "cannot create '%s'", opts.file);
	else if (newborn_possible())
		result = start_with_victim(operation, &strings, &cradle, err);
	else
		result = start_with_strings(operation, &strings, err);
	buffer_free(&strings);
	pthread_mutex_lock(&table->lock);
	result = result < 0 ? result : start_run(operation, opts.timeout_ms, ret, err);
	operation->newborn = NULL;
	LIST_REMOVE(operation, birth);
	pthread_cond_broadcast(&table->changed);
	table_leave(table);
	if (operation->submitted && cradle)
		result = end_with_victim(operation, cradle, result, err);
	if (result == -TETHER_EEXEC && operation->unrunnable)
		unrunnable_explain(err, opts.file, opts.cwd);
	operation_put(operation);
	if (cradle)
		cradle_end(cradle);
	return result;
}
