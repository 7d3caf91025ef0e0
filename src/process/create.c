/* SPDX-License-Identifier: BSD-2-Clause */
/*
 *	calling thread                      control thread                controller
 *	  memfd with the strings
 *	  two clones ──────────────────────────────────────────────────► starts
 *	  operation ─────────────────────► takes the socket
 *	     (waits)                         hello, create ─────────────► forks, seizes, execs
 *	                                     ◄───────────── created, exec event (question)
 *	                                     survey, plant, answer ─────► runs to the stop
 *	                                     ◄───────────── parked
 *	     ◄──────────────────────────── finish
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
	if (!cradle->pointer || newborn_init(&cradle->newborn) < 0) {
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

static void created(struct family *family, struct operation *operation, const void *body)
{
	const struct proto_created *answer = body;

	if (!answer)
		return; /* family_end() tells the operation why */
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
	if (operation->stop == TETHER_STOP_NONE) {
		operation_finish(operation, 0);
	} else {
		operation->outstanding = 1;
		operation_get(operation);
		process->rendezvous = operation;
	}
}

static void start_create(struct operation *operation)
{
	struct family *family = start_family(operation);

	if (!family)
		return;
	family->rehearsed = operation->rehearsal ? image_rehearsed(operation->table, operation->rehearsal) : NULL;
	int result = operation->said ? family_expect(family, PROTO_REQ_create, created, operation)
				     : family_send(family, PROTO_REQ_create, &operation->create, NULL, 0, created,
						   operation);
	if (result < 0)
		family_end(family, "the controller cannot be reached");
}

static void start_rehearsal(struct operation *operation)
{
	operation->image = image_rehearse(operation->table, operation->rehearsal, operation->path,
					  operation->stop != TETHER_STOP_NONE);
	operation_finish(operation, 0);
}

/* No create has come of it. */
static void start_forget(struct operation *operation)
{
	image_free(image_rehearsed(operation->table, operation->rehearsal));
	operation_finish(operation, 0);
}

/* ---- calling thread -------------------------------------------------------------------------------------- */

static int check(const struct tether_create_opts *opts, struct tether_error *err)
{
	const uint32_t flags = TETHER_NO_MONITOR | TETHER_NO_FOLLOW | TETHER_WANT_ENV;

	if (!opts->file || !opts->argv || !*opts->file)
		return error_fill(err, TETHER_EINVALID, NULL, "cannot create: no file or no argv");
	if (opts->flags & ~flags || opts->stop > TETHER_STOP_NONE || opts->mode > TETHER_MODE_HANG ||
	    opts->use_stdio & ~7U)
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
 * While this thread makes the victim, the control thread looks at what that will execute, so that nobody need
 * be asked when it does. Only where the stop is not decided by the exec itself. NULL: it is not done.
 */
static struct operation *rehearse(struct operation *operation, char *const *candidate)
{
	struct table *table = operation->table;

	if (operation->flags & TETHER_NO_MONITOR || operation->park_on_exec ||
	    operation->stop == TETHER_STOP_CREATE || operation->stop == TETHER_STOP_PREINIT ||
	    operation->create.has_cwd)
		return NULL;
	while (*candidate && access(*candidate, X_OK) < 0)
		candidate++;
	struct operation *rehearsal = *candidate ? operation_new(table, start_rehearsal) : NULL;
	if (!rehearsal)
		return NULL;
	rehearsal->path = strdup(*candidate);
	rehearsal->stop = operation->stop;
	pthread_mutex_lock(&table->lock);
	rehearsal->rehearsal = operation->rehearsal = ++table->rehearsal_count;
	if (rehearsal->path)
		operation_submit(rehearsal);
	pthread_mutex_unlock(&table->lock);
	return rehearsal;
}

static void forget(const struct operation *operation)
{
	struct table *table = operation->table;
	struct operation *forgetting = operation_new(table, start_forget);

	/* without memory it is kept until the session ends */
	if (!forgetting)
		return;
	forgetting->rehearsal = operation->rehearsal;
	pthread_mutex_lock(&table->lock);
	operation_submit(forgetting);
	pthread_mutex_unlock(&table->lock);
	operation_put(forgetting);
}

/*
 * Hello and what is wanted. The controller is as good as started, and the control thread may not get a
 * processor before the victim has executed. A line that breaks shows itself to the control thread.
 */
static void say(struct operation *operation, const struct operation *rehearsal)
{
	struct line line = { .socket = operation->socket };
	const struct image *image = NULL;
	struct proto_hello hello;
	uint64_t id;

	if (rehearsal) {
		/* Not done yet, it comes too late. Done, it stays until the control thread takes the socket. */
		pthread_mutex_lock(&operation->table->lock);
		image = rehearsal->done ? rehearsal->image : NULL;
		pthread_mutex_unlock(&operation->table->lock);
	}
	line_fill_hello(&hello);
	if (line_hello(&line, &hello, NULL, 0, &id) == 0 && image)
		image_tell(&line, image);
	line_create(&line, &operation->create, NULL, 0, &id);
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
	struct operation *rehearsal = rehearse(operation, newborn->plan.candidate);
	int result = start_controller(operation, -1, newborn, err);
	if (result == 0 && !newborn->pid) {
		close(operation->socket);
		result = error_fill(
			err, TETHER_EEXEC,
			&(struct error_details){ .path = operation->path, .system_error = newborn->error },
			"cannot trace '%s'", operation->path);
	}
	if (result == 0) {
		operation->newborn = newborn;
		operation->create.pid = (uint32_t)newborn->pid;
		say(operation, rehearsal);
	} else if (rehearsal) {
		forget(operation);
	}
	operation_put(rehearsal);
	return result;
}

/* The controller makes it, and reads the strings from a file. */
static int start_with_strings(struct operation *operation, const struct buffer *strings, struct tether_error *err)
{
	int payload = payload_fd(strings);

	if (payload < 0)
		return error_fill(err, payload, NULL, "cannot create '%s'", operation->path);
	operation->create.payload_fd = payload;
	int result = start_controller(operation, payload, NULL, err);
	close(payload);
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
	if (result == -TETHER_EEXEC && operation->unrunnable)
		unrunnable_explain(err, opts.file, opts.cwd);
	operation_put(operation);
	if (cradle)
		cradle_end(cradle);
	return result;
}
