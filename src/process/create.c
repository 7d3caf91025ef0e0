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

/* Fill the request and the strings it stands for; the fd of the strings, or negative code. */
static int compose(const struct tether_create_opts *opts, struct proto_create *create, char *const *envp)
{
	struct buffer payload = BUFFER_INIT;
	sigset_t mask;

	pthread_sigmask(SIG_BLOCK, NULL, &mask);
	create->mask = mask_of(&mask);
	/* PATH of the caller, as a shell would look it up, not that of the victim's environment. */
	create->candidates = (uint32_t)add_candidates(&payload, opts->file, environ);
	create->argc = add_strings(&payload, opts->argv);
	create->envc = add_strings(&payload, envp);
	if (opts->cwd) {
		buffer_add_string(&payload, opts->cwd);
		create->has_cwd = 1;
	}
	for (int i = 0; i < 3; i++)
		create->stdio[i] = opts->use_stdio & (1U << i) ? opts->stdio[i] : -1;
	create->payload_size = (uint32_t)payload.length;
	int fd = payload.failed || payload.length > MAX_CREATE_PAYLOAD ? -E2BIG : payload_fd(&payload);
	buffer_free(&payload);
	create->payload_fd = fd;
	return fd;
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

static void create_failed(struct operation *operation, const struct proto_created *answer)
{
	struct error_details details = { .path = operation->path, .system_error = -answer->result };
	static const char *const deeds[] = {
		[PROTO_STAGE_FORK] = "fork for",   [PROTO_STAGE_STDIO] = "redirect the standard files of",
		[PROTO_STAGE_CWD] = "change directory for", [PROTO_STAGE_EXEC] = "run",
		[PROTO_STAGE_DIED] = "run",        [PROTO_STAGE_SEIZE] = "trace",
	};
	const char *deed = answer->stage < ARRAY_LEN(deeds) && deeds[answer->stage] ? deeds[answer->stage] : "run";
	int code = TETHER_EEXEC;

	if (answer->stage == PROTO_STAGE_DIED) {
		code = WIFSIGNALED(answer->status) ? TETHER_ESIGNALED : TETHER_EEXITED;
		details.status = WIFSIGNALED(answer->status) ? WTERMSIG(answer->status)
							     : WEXITSTATUS(answer->status);
	}
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
	process->controller = family->controller;
	process->parent = family->controller;
	process->stop = operation->stop;
	process->creator_environment = blob_get(operation->environment);
	pthread_mutex_lock(&family->table->lock);
	handle_pin(process);
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
	int result = family_send(family, PROTO_REQ_create, &operation->create, NULL, 0, created, operation);
	if (result < 0)
		family_end(family, "the controller cannot be reached");
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
	pthread_mutex_unlock(&table->lock);
	int payload = compose(&opts, &operation->create, envp);
	result = payload < 0 ? payload : start_controller(operation, payload, err);
	if (payload >= 0)
		close(payload);
	else
		error_fill(err, payload, NULL, "cannot create '%s'", opts.file);
	pthread_mutex_lock(&table->lock);
	result = result < 0 ? result : start_run(operation, opts.timeout_ms, ret, err);
	table_leave(table);
	operation_put(operation);
	return result;
}
