/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * controller/create.c - make a victim as an untraced child of the client would be
 *
 *	controller                          victim
 *	clone ────────────────────────────► waits for one byte (all signals blocked, as inherited)
 *	SEIZE, write the byte ────────────► dispositions, stdio, cwd, mask, execve
 *	◄── {stage, errno} by a pipe that a successful execve closes
 *	exec event, or exit: answer `created`
 *
 * It is made before anything else is done to this process (setsid, closing, oom score, locked memory), so
 * nothing of that reaches it; it inherits the client's process group, session, terminal and fds.
 */
#include "controller/controller.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>

#include "controller/trace.h"
#include "os/sys.h"

/* Where the strings of the request lie. */
struct plan {
	char *bytes;
	size_t size;
	char **candidate, **argv, **envp; /* NULL-ended each */
	size_t pointers;
	char *cwd;
	const struct proto_create *body;
};

struct failure {
	int32_t stage, error;
};

/* ---- the victim's side, before its execve ------------------------------------------------ */

static void fail(int report, int32_t stage, long error)
{
	struct failure failure = { .stage = stage, .error = (int32_t)-error };

	sys(write, report, &failure, sizeof(failure));
	sys(exit_group, 127);
}

static void set_dispositions(uint64_t ignored)
{
	/* The kernel's struct sigaction: handler, flags, restorer, mask. */
	struct {
		uint64_t handler, flags, restorer, mask;
	} action = { 0, 0, 0, 0 };

	for (int signal = 1; signal <= 64; signal++) {
		action.handler = ignored >> (signal - 1) & 1 ? 1 : 0; /* SIG_IGN, SIG_DFL */
		sys(rt_sigaction, signal, &action, 0, sizeof(uint64_t));
	}
}

/* stdio[] names fds of the inherited table, which may be 0, 1 or 2 themselves: first out of the way, then in.
 */
static long set_stdio(const int32_t stdio[3])
{
	long copy[3];

	for (int i = 0; i < 3; i++) {
		copy[i] = stdio[i] < 0 ? -1 : sys(fcntl, stdio[i], F_DUPFD_CLOEXEC, 3);
		if (stdio[i] >= 0 && copy[i] < 0)
			return copy[i];
	}
	for (int i = 0; i < 3; i++) {
		long r = copy[i] < 0 ? 0 : sys(dup3, copy[i], i, 0);

		if (r < 0)
			return r;
	}
	return 0;
}

/* As execvp(3): go on where a candidate is not there or may not be run, and tell that it may not be run. */
static long try_candidates(const struct plan *plan)
{
	bool denied = false;
	long r = -ENOENT;

	for (char **path = plan->candidate; *path; path++) {
		r = sys(execve, *path, plan->argv, plan->envp);
		if (r == -EACCES)
			denied = true;
		else if (r != -ENOENT && r != -ENOTDIR && r != -ESTALE && r != -ENODEV && r != -ETIMEDOUT)
			return r;
	}
	return denied ? -EACCES : r;
}

static void become_victim(const struct plan *plan, int go, int report)
{
	const struct proto_create *body = plan->body;
	uint64_t mask = body->mask;
	char byte;
	long r;

	r = sys(read, go, &byte, 1);
	if (r != 1)
		sys(exit_group, 127); /* the controller has died or given up */
	set_dispositions(body->ignored);
	r = set_stdio(body->stdio);
	if (r < 0)
		fail(report, PROTO_STAGE_STDIO, r);
	r = plan->cwd ? sys(chdir, plan->cwd) : 0;
	if (r < 0)
		fail(report, PROTO_STAGE_CWD, r);
	sys(rt_sigprocmask, SIG_SETMASK, &mask, 0, sizeof(mask));
	fail(report, PROTO_STAGE_EXEC, try_candidates(plan));
}

/* ---- reading the request ----------------------------------------------------------------- */

static char **take_strings(struct plan *plan, size_t *at, char ***next, uint32_t count)
{
	char **first = *next;

	for (uint32_t i = 0; i < count; i++) {
		char *string = plan->bytes + *at;
		size_t left = plan->size - *at;
		const char *end = left ? memchr(string, '\0', left) : NULL;

		if (!end)
			return NULL;
		*(*next)++ = string;
		*at += (size_t)(end - string) + 1;
	}
	*(*next)++ = NULL;
	return first;
}

static void plan_free(struct plan *plan)
{
	pages_put(plan->bytes, plan->size + 1);
	pages_put(plan->candidate, plan->pointers * sizeof(char *));
}

/* 0, -EPROTO, -ENOMEM */
static int plan_read(struct plan *plan, const struct proto_create *body)
{
	char **next;
	size_t at = 0;

	*plan = (struct plan){ .body = body, .size = body->payload_size };
	if (!body->candidates || !body->argc || body->payload_size > MAX_CREATE_PAYLOAD ||
	    (uint64_t)body->candidates + body->argc + body->envc + body->has_cwd > body->payload_size)
		return -EPROTO;
	/* It came through the exec of the controller, but no further: the victim gets the client's
	 * descriptors only. */
	if (sys(fcntl, body->payload_fd, F_SETFD, FD_CLOEXEC) < 0)
		return -EPROTO;
	plan->pointers = (size_t)body->candidates + body->argc + body->envc + 3;
	plan->bytes = pages_get(plan->size + 1);
	plan->candidate = pages_get(plan->pointers * sizeof(char *));
	if (!plan->bytes || !plan->candidate)
		return -ENOMEM;
	/* Read, not mapped: a file that is cut short meanwhile would be a SIGBUS. */
	while (at < plan->size) {
		long n = sys(pread64, body->payload_fd, plan->bytes + at, plan->size - at, at);

		if (n == -EINTR || n == -ENOMEM)
			n = sys(pread64, body->payload_fd, plan->bytes + at, plan->size - at, at);
		if (n <= 0)
			return n < 0 ? (int)n : -EPROTO;
		at += (size_t)n;
	}
	at = 0;
	next = plan->candidate;
	plan->candidate = take_strings(plan, &at, &next, body->candidates);
	plan->argv = plan->candidate ? take_strings(plan, &at, &next, body->argc) : NULL;
	plan->envp = plan->argv ? take_strings(plan, &at, &next, body->envc) : NULL;
	if (!plan->envp)
		return -EPROTO;
	if (body->has_cwd) {
		plan->cwd = plan->bytes + at;
		if (at >= plan->size || !memchr(plan->cwd, '\0', plan->size - at))
			return -EPROTO;
	}
	return 0;
}

/* ---- the controller's side --------------------------------------------------------------- */

static void answer(struct controller *c, uint64_t request, int32_t result, pid_t pid, uint32_t stage,
		   int32_t status)
{
	struct proto_created body = {
		.result = result, .pid = (uint32_t)pid, .stage = stage, .status = status
	};

	out_answer(c, request, PROTO_REQ_create, &body, sizeof(body));
}

static int pipe_pair(int pair[2])
{
	long r = sys(pipe2, pair, O_CLOEXEC);

	if (r == -EINTR || r == -ENOMEM)
		r = sys(pipe2, pair, O_CLOEXEC);
	return (int)r;
}

/* A record for the child that is already there. NULL without memory. */
static struct task *record(struct controller *c, pid_t pid)
{
	struct space *space = space_new(c);
	struct process *p = space ? process_new(c, pid, space) : NULL;
	struct task *t = p ? task_new(c, p, pid, TASK_RUNNING) : NULL;

	if (!t)
		return NULL;
	p->followed = p->created = p->ours_to_kill = true;
	return t;
}

static int seize_and_go(struct controller *c, struct task *t, int go)
{
	long r = trace_seize(t->tid, t->options);

	if (r)
		return (int)r;
	t->options = wanted_options(c, t->process);
	r = sys(write, go, "", 1);
	if (r == -EINTR || r == -ENOMEM)
		r = sys(write, go, "", 1);
	return r < 0 ? (int)r : 0;
}

static int start(struct controller *c, uint64_t request, const struct plan *plan, int go[2], int report[2])
{
	struct task *t;
	long pid;
	int r;

	pid = sys(clone, SIGCHLD, 0, 0, 0, 0);
	if (pid == -EINTR || pid == -ENOMEM)
		pid = sys(clone, SIGCHLD, 0, 0, 0, 0);
	if (pid < 0)
		return (int)pid;
	if (pid == 0)
		become_victim(plan, go[0], report[1]);
	t = record(c, (pid_t)pid);
	r = -ENOMEM;
	if (t) {
		t->options = wanted_options(c, t->process);
		r = seize_and_go(c, t, go[1]);
	}
	if (r) {
		answer(c, request, r, (pid_t)pid, PROTO_STAGE_SEIZE, 0);
		/* It has not been told to go: it ends by itself when the pipe closes, and is reaped as any
		 * task. */
		sys(kill, pid, SIGKILL);
		if (t)
			t->process->released = true;
		return 0;
	}
	c->create = (struct create){ .request = request, .process = t->process, .report = report[0] };
	return 0;
}

int create_start(struct controller *c, uint64_t request, const struct proto_create *body)
{
	int go[2] = { -1, -1 }, report[2] = { -1, -1 };
	struct plan plan;
	int r = plan_read(&plan, body);

	if (r != -EPROTO)
		r = r ? r : pipe_pair(go);
	if (!r)
		r = pipe_pair(report);
	if (!r)
		r = start(c, request, &plan, go, report);
	if (go[0] >= 0) {
		sys(close, go[0]);
		sys(close, go[1]);
	}
	if (report[1] >= 0)
		sys(close, report[1]);
	if (report[0] >= 0 && !c->create.process)
		sys(close, report[0]);
	plan_free(&plan);
	if (r && r != -EPROTO)
		answer(c, request, r, 0, PROTO_STAGE_FORK, 0);
	return r == -EPROTO ? r : 0;
}

void create_executed(struct controller *c, struct task *t)
{
	t->process->executed = true;
	answer(c, c->create.request, 0, t->process->pid, 0, 0);
	sys(close, c->create.report);
	c->create = (struct create){ .report = -1 };
}

void create_ended(struct controller *c, struct process *p, int status)
{
	struct failure failure;
	long n = sys(read, c->create.report, &failure, sizeof(failure));

	if (n == -EINTR || n == -ENOMEM)
		n = sys(read, c->create.report, &failure, sizeof(failure));
	if (n == (long)sizeof(failure))
		answer(c, c->create.request, -failure.error, p->pid, (uint32_t)failure.stage, status);
	else
		answer(c, c->create.request, -ECHILD, p->pid, PROTO_STAGE_DIED, status);
	sys(close, c->create.report);
	c->create = (struct create){ .report = -1 };
}
