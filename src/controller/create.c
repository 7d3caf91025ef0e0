/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * controller/create.c - make a victim as an untraced child of the client would be
 *
 * The client makes it where it can, as our child (client/spawn.h). Else:
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
#include "os/newborn.h"
#include "os/sys.h"

/* Where the strings of the request lie. */
struct strings {
	char *bytes;
	size_t size;
	char **pointer;
	size_t pointers;
};

static _Noreturn void become_victim(const struct os_plan *plan, int go, int report)
{
	struct os_failure failure = { .stage = 0 };
	char byte;

	/* Else the controller has died or given up. */
	if (sys(read, go, &byte, 1) == 1) {
		os_become(plan, &failure);
		sys(write, report, &failure, sizeof(failure));
	}
	for (;;)
		sys(exit_group, 127);
}

/* ---- reading the request ----------------------------------------------------------------- */

static void strings_free(struct strings *strings)
{
	pages_put(strings->bytes, strings->size + 1);
	pages_put(strings->pointer, strings->pointers * sizeof(char *));
}

/* 0, -EPROTO, -ENOMEM */
static int plan_read(struct os_plan *plan, struct strings *strings, const struct proto_create *body)
{
	const struct os_strings order = { body->candidates, body->argc, body->envc, body->has_cwd };
	size_t at = 0;

	*strings = (struct strings){ .size = body->payload_size };
	if (!body->candidates || !body->argc || body->payload_size > MAX_CREATE_PAYLOAD ||
	    (uint64_t)body->candidates + body->argc + body->envc + body->has_cwd > body->payload_size)
		return -EPROTO;
	/* It came through the exec of the controller, but no further: the victim gets the client's
	 * descriptors only. */
	if (sys(fcntl, body->payload_fd, F_SETFD, FD_CLOEXEC) < 0)
		return -EPROTO;
	strings->pointers = (size_t)body->candidates + body->argc + body->envc + 3;
	strings->bytes = pages_get(strings->size + 1);
	strings->pointer = pages_get(strings->pointers * sizeof(char *));
	if (!strings->bytes || !strings->pointer)
		return -ENOMEM;
	/* Read, not mapped: a file that is cut short meanwhile would be a SIGBUS. */
	while (at < strings->size) {
		long n = sys(pread64, body->payload_fd, strings->bytes + at, strings->size - at, at);

		if (n == -EINTR || n == -ENOMEM)
			n = sys(pread64, body->payload_fd, strings->bytes + at, strings->size - at, at);
		if (n <= 0)
			return n < 0 ? (int)n : -EPROTO;
		at += (size_t)n;
	}
	*plan = (struct os_plan){ .mask = body->mask, .ignored = body->ignored };
	memcpy(plan->stdio, body->stdio, sizeof(plan->stdio));
	return os_plan_point(plan, strings->bytes, strings->size, &order, strings->pointer);
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

static int start(struct controller *c, uint64_t request, const struct os_plan *plan, int go[2], int report[2])
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
		answer(c, request, r, (pid_t)pid, OS_STAGE_SEIZE, 0);
		/* It has not been told to go: it ends by itself when the pipe closes, and is reaped as any
		 * task. */
		sys(kill, pid, SIGKILL);
		if (t)
			t->process->released = true;
		return 0;
	}
	c->create = (struct create){
		.request = request, .process = t->process, .report = report[0], .ignored = plan->ignored
	};
	return 0;
}

void create_executed(struct controller *c, struct process *p, bool runs)
{
	struct proto_created body = { .pid = (uint32_t)p->pid };

	p->executed = true;
	p->trap_ignored = c->create.ignored >> (SIGTRAP - 1) & 1;
	p->actions_known = !runs;
	/* One that runs would have to make room for the client: its next stop, or a moment, is soon enough. */
	(runs ? out_answer_soon : out_answer)(c, c->create.request, PROTO_REQ_create, &body, sizeof(body));
	if (c->create.report >= 0)
		sys(close, c->create.report);
	c->create = (struct create){ .report = -1 };
}

/*
 * The client made it, and we have seized it before we became what we are. It is on its way to its exec, or past
 * it, with the sites of an image in its text.
 */
static int adopt(struct controller *c, uint64_t request, const struct proto_create *body)
{
	pid_t pid = (pid_t)body->pid;
	struct task *t;

	/* Of another process no stop would ever come, and in mode kill it would be killed for nothing. */
	if (pid <= 0 ||
	    sys(waitid, P_PID, pid, NULL, WEXITED | WSTOPPED | WNOHANG | WNOWAIT | __WALL, NULL) == -ECHILD)
		return -EPROTO;
	t = record(c, pid);
	if (!t)
		return -ENOMEM; /* our exit lets it go, or ends it */
	t->options = os_trace_options(true);
	c->create = (struct create){
		.request = request, .process = t->process, .report = -1, .ignored = body->ignored
	};
	if (!body->image)
		return 0;
	t->last_mask = body->mask;
	if (image_adopt(c, t->process, body->image, body->base)) {
		/* Traps that nobody knows of: it must not live on in any mode. */
		sys(kill, pid, SIGKILL);
		c->create = (struct create){ .report = -1 };
		return -ENOMEM;
	}
	create_executed(c, t->process, true);
	return 0;
}

/* Make it from here, with the client's surroundings that this process has inherited. */
static int make(struct controller *c, uint64_t request, const struct proto_create *body)
{
	int go[2] = { -1, -1 }, report[2] = { -1, -1 };
	struct strings strings;
	struct os_plan plan;
	int r = plan_read(&plan, &strings, body);

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
	strings_free(&strings);
	return r;
}

int create_start(struct controller *c, uint64_t request, const struct proto_create *body)
{
	int r = body->pid ? adopt(c, request, body) : make(c, request, body);

	if (r && r != -EPROTO)
		answer(c, request, r, 0, OS_STAGE_FORK, 0);
	return r == -EPROTO ? r : 0;
}

void create_ended(struct controller *c, struct process *p, int status)
{
	struct os_failure failure;
	long n = c->create.report < 0 ? 0 : sys(read, c->create.report, &failure, sizeof(failure));

	if (n == -EINTR || n == -ENOMEM)
		n = sys(read, c->create.report, &failure, sizeof(failure));
	if (n == (long)sizeof(failure))
		answer(c, c->create.request, -failure.error, p->pid, (uint32_t)failure.stage, status);
	else
		answer(c, c->create.request, -ECHILD, p->pid, OS_STAGE_DIED, status);
	if (c->create.report >= 0)
		sys(close, c->create.report);
	c->create = (struct create){ .report = -1 };
}
