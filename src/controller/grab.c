/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * controller/grab.c - take hold of running processes
 *
 *	SEIZE every thread, until a scan finds none new
 *	SEIZE every process that shares the memory (vfork children), and the tree where asked
 *	let pass: each thread that may be inside a fork shows one stop
 *	scan again; nothing new: answer, and only now may anything be planted
 *
 * Why the passing: a fork that was under way before SEIZE copies the memory after the kernel has decided that
 * its child is not traced. A trap planted meanwhile would be in an untraced child. A thread that is blocked
 *in any other call is in no fork, and is not disturbed.
 *
 * Of a hold that plants nothing (light) no more is done than the first line: nothing of a thread need be known. What is left out
 * is made up for when something is to be planted after all, or all is to stand (grab_complete()); and a snapshot of
 * all threads looks itself whether there is one that a clone has made at the moment of the SEIZE.
 */
#include "controller/controller.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <tether/error.h>

#include "controller/trace.h"
#include "os/procfs.h"
#include "os/sys.h"
#include "proto/proto.h"

enum {
	CHECK_NS = 1000000,
	SCANS_MAX =
		100000, /* a scan ends when it finds nothing new; new threads of held ones are born held */
};

/* ---- why not ----------------------------------------------------------------------------- */

static bool yama_restricts(void)
{
	char scope = '0';
	long fd = sys(openat, AT_FDCWD, "/proc/sys/kernel/yama/ptrace_scope", O_RDONLY | O_CLOEXEC, 0);

	if (fd < 0)
		return false;
	sys(read, fd, &scope, 1);
	sys(close, fd);
	return scope != '0';
}

/*
 * A process that is not dumpable has its files in /proc owned by root; not its folder, which belongs to its user
 * whatever it is.
 */
static bool undumpable(pid_t pid, uint32_t uid)
{
	char path[32];
	struct stat status;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	return !sys(newfstatat, AT_FDCWD, path, &status, 0) && status.st_uid != uid;
}

/* What the kernel means with EPERM. */
static int why_refused(struct controller *c, pid_t tid, uint32_t *ret_tracer)
{
	struct os_task_status status, self;

	(void)c;
	if (os_task_status(tid, &status))
		return -TETHER_EGONE;
	if (status.tracer) {
		*ret_tracer = (uint32_t)status.tracer;
		return -TETHER_ETRACED;
	}
	if (status.kernel_thread)
		return -TETHER_EKTHREAD;
	if (status.state == 'Z' || status.state == 'X')
		return -TETHER_EZOMBIE;
	if (os_task_status((int64_t)sys(getpid, 0), &self) || self.uid != status.uid)
		return -TETHER_EPRIV;
	if (undumpable(tid, status.uid))
		return -TETHER_EDUMPABLE;
	return yama_restricts() ? -TETHER_EYAMA : -TETHER_EPRIV;
}

static bool is_32_bit(pid_t pid)
{
	unsigned char ident[EI_NIDENT] = { 0 };
	char path[32];
	long fd, n;

	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	fd = sys(openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return false;
	n = sys(read, fd, ident, sizeof(ident));
	sys(close, fd);
	return n == (long)sizeof(ident) && !memcmp(ident, ELFMAG, SELFMAG) && ident[EI_CLASS] == ELFCLASS32;
}

/* Somebody else's trap bytes in the same memory would be taken for original ones (rule 4). */
static bool shares_with_traced(pid_t pid, const struct os_task_status *status, uint32_t *ret_tracer)
{
	struct os_task_status parent;

	if (os_task_status(status->ppid, &parent) || !parent.tracer || os_same_memory(pid, status->ppid) != 1)
		return false;
	*ret_tracer = (uint32_t)parent.tracer;
	return true;
}

/* Held, it could not serve its own victims. One of another build is none of this file. */
static bool is_controller(pid_t pid)
{
	struct stat own, other;
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	return !sys(newfstatat, AT_FDCWD, "/proc/self/exe", &own, 0) && !sys(newfstatat, AT_FDCWD, path, &other, 0) &&
	       own.st_dev == other.st_dev && own.st_ino == other.st_ino;
}

/* Held with a tree that it stands in, it could not answer for the others. The socket is of its making. */
static bool is_client(struct controller *c, pid_t pid)
{
	struct ucred maker = { 0 };
	socklen_t length = sizeof(maker);

	return !sys(getsockopt, c->socket, SOL_SOCKET, SO_PEERCRED, &maker, &length) && maker.pid == pid;
}

/* Whatever can be told before anything is touched. */
static int examine(struct controller *c, pid_t pid, uint32_t *ret_tracer)
{
	struct os_task_status status;
	int r = pid > 0 ? os_task_status(pid, &status) : -ESRCH;

	if (r == -EINTR || r == -ENOMEM)
		r = os_task_status(pid, &status);
	if (r)
		return r == -ESRCH ? -TETHER_EGONE : r;
	if (pid == (pid_t)sys(getpid, 0) || is_controller(pid) || is_client(c, pid))
		return -TETHER_ESELF;
	if (status.tgid != pid)
		return -TETHER_ETHREAD;
	if (status.kernel_thread)
		return -TETHER_EKTHREAD;
	/* A zombie leader with living threads is a living process. */
	if (status.state == 'X' || (status.state == 'Z' && status.threads <= 1))
		return -TETHER_EZOMBIE;
	/* As it was seen: at a second look the tracer may have left, and nothing would be the cause. */
	if (status.tracer) {
		*ret_tracer = (uint32_t)status.tracer;
		return -TETHER_ETRACED;
	}
	if (is_32_bit(pid))
		return -TETHER_EMACHINE;
	if (shares_with_traced(pid, &status, ret_tracer))
		return -TETHER_ETRACED;
	return 0;
}

/* ---- seizing ----------------------------------------------------------------------------- */

struct scan {
	struct controller *c;
	struct process *process;
	struct task *task; /* whose children are looked at */
	unsigned found;
	uint32_t tracer;
	int error; /* the first refusal */
};

static void must_pass(struct controller *c, struct task *t, const struct os_task_status *status)
{
	long call;

	t->must_pass = true;
	c->grab.passing++;
	/* Nothing comes of it any more but its end. */
	t->may_dump = status->dumps_core;
	if (t->may_dump) {
		grab_passed(c, t);
		return;
	}
	if (status->state == 'T')
		return; /* SEIZE makes a stopped thread report its group-stop by itself */
	call = os_blocked_syscall(t->process->pid, t->tid, NULL);
	if (!t->process->space->parks && call >= 0 && !arch_syscall_forks(ARCH_X86_64, call))
		grab_passed(c, t);
	else
		task_stop(c, t);
}

/* EPERM without a cause is that of a tracer which has left between the call and the look: once more. */
static int seize_refused(struct controller *c, pid_t tid, uint32_t options, uint32_t *ret_tracer)
{
	int r = why_refused(c, tid, ret_tracer), again;

	if (r != -TETHER_EPRIV)
		return r;
	again = trace_seize(tid, options);
	return again == -EPERM ? why_refused(c, tid, ret_tracer) : again == -ESRCH ? -TETHER_EGONE : again;
}

/* What it blocks, what is ignored and caught, and whether it may be inside a fork. */
static void look_at_seized(struct controller *c, struct task *t)
{
	struct process *p = t->process;
	struct os_task_status status;

	if (os_task_status(t->tid, &status))
		return;
	mask_saw_seized(t, status.sig_blocked);
	p->trap_ignored = status.sig_ignored >> (SIGTRAP - 1) & 1;
	p->trap_caught = status.sig_caught >> (SIGTRAP - 1) & 1;
	if (t->state == TASK_RUNNING || t->state == TASK_STOPPING)
		must_pass(c, t, &status);
}

static int seize_thread(int64_t tid, void *data)
{
	struct scan *scan = data;
	struct controller *c = scan->c;
	uint32_t options = wanted_options(c, scan->process);
	struct os_task_status status;
	struct task *t;
	int r;

	if (task_find(c, (pid_t)tid))
		return 0;
	r = trace_seize((pid_t)tid, options);
	if (r == -ESRCH)
		return 0;
	if (r) {
		/* Born of a held thread it is held already: its first stop is on its way. */
		if (!os_task_status(tid, &status) &&
		    (status.tracer == (int64_t)sys(getpid, 0) || status.state == 'Z' || status.state == 'X'))
			return 0;
		if (r == -EPERM)
			r = seize_refused(c, (pid_t)tid, options, &scan->tracer);
	}
	if (r) {
		if (r != -TETHER_EGONE && r != -TETHER_EZOMBIE && !scan->error)
			scan->error = r;
		return 0;
	}
	scan->found++;
	t = task_new(c, scan->process, (pid_t)tid, TASK_RUNNING);
	if (!t) {
		scan->error = -ENOMEM;
		return 0;
	}
	t->options = options;
	if (!c->light)
		look_at_seized(c, t);
	return 0;
}

/* Has it threads that are not held? Of a leader that ended before it was grabbed there is no record, and it counts. */
static bool has_others(const struct process *p)
{
	enum { LINKS_OF_A_FOLDER = 2 };
	struct stat status;
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/task", p->pid);
	return sys(newfstatat, AT_FDCWD, path, &status, 0) || status.st_nlink != LINKS_OF_A_FOLDER + p->task_count;
}

static int seize_threads(struct controller *c, struct process *p, uint32_t *ret_tracer)
{
	struct scan scan = { .c = c, .process = p };
	unsigned rounds = 0;
	int r;

	do {
		scan.found = 0;
		r = os_each_thread(p->pid, seize_thread, &scan);
		if (r == -EINTR || r == -ENOMEM)
			r = os_each_thread(p->pid, seize_thread, &scan);
	} while (!r && !scan.error && scan.found && ++rounds < SCANS_MAX && !(c->light && !has_others(p)));
	*ret_tracer = scan.tracer;
	return scan.error ? scan.error : r;
}

static int find_vfork_child(int64_t child, void *data)
{
	struct task *t = data;

	if (os_same_memory(t->tid, child) != 1)
		return 0;
	t->vfork_child = (pid_t)child;
	return 1;
}

bool grab_vforking(struct task *t)
{
	os_each_child(t->process->pid, t->tid, find_vfork_child, t);
	if (t->vfork_child)
		task_set_state(t, TASK_VFORKING);
	return t->vfork_child != 0;
}

bool grab_missed(struct controller *c, struct process *p)
{
	unsigned before = p->task_count;
	uint32_t tracer = 0;

	if (!c->light || !has_others(p))
		return false;
	seize_threads(c, p, &tracer);
	return p->task_count != before;
}

/* Its space: that of a held process with the same memory, or a new one. */
static struct space *space_of(struct controller *c, pid_t pid)
{
	struct space *s;

	TAILQ_FOREACH(s, &c->spaces, entry) {
		const struct task *t = space_task(s, false);

		if (t && os_same_memory(t->tid, pid) == 1)
			return s;
	}
	return space_new(c);
}

static int seize_process(struct controller *c, pid_t pid, bool followed, uint32_t *ret_tracer)
{
	struct process *p = process_find(c, pid);
	struct space *s = p ? p->space : space_of(c, pid);

	if (!p)
		p = s ? process_new(c, pid, s) : NULL;
	if (!p)
		return -ENOMEM;
	p->followed = p->followed || followed;
	if (followed && (c->hold.flags & PROTO_PARK))
		park(c, p, pid);
	return seize_threads(c, p, ret_tracer);
}

/* Nothing of it could be had: the record goes again. */
static void forget_empty(struct controller *c, pid_t pid)
{
	struct process *p = process_find(c, pid);

	if (p && TAILQ_EMPTY(&p->tasks))
		process_free(c, p, false);
}

/* ---- processes that must come too -------------------------------------------------------- */

static int look_at_child(int64_t child, void *data)
{
	struct scan *scan = data;
	bool shares = os_same_memory(scan->task->tid, child) == 1;
	bool tree = (scan->c->hold.flags & PROTO_TREE) && scan->process->followed;
	const struct task *known;
	uint32_t ignored = 0;

	known = task_find(scan->c, (pid_t)child);
	if (known) {
		/*
		 * One that is early has its maker's event still to come: its maker does not wait for it yet,
		 * and taken for one that does it would have that event, and with it the child's owner,
		 * overlooked.
		 */
		if (shares && known->state != TASK_EARLY && !scan->task->vfork_child &&
		    scan->task->state == TASK_STOPPING)
			scan->task->vfork_child = (pid_t)child;
		return 0;
	}
	if (!shares && (!tree || examine(scan->c, (pid_t)child, &ignored)))
		return 0;
	seize_process(scan->c, (pid_t)child, tree, &scan->tracer);
	forget_empty(scan->c, (pid_t)child);
	/*
	 * One that was born held has no record before its stop: as above. Nor does it count as found, or a
	 * maker of many children would keep the grab from ever ending; the same goes for what cannot be had.
	 */
	if (!process_find(scan->c, (pid_t)child))
		return 0;
	scan->found++;
	if (shares)
		scan->task->vfork_child = (pid_t)child;
	return 0;
}

/* vfork(2) children of a held process run in its memory, and its parent may be in vfork for it. */
static unsigned seize_relatives(struct controller *c, struct process *p)
{
	struct scan scan = { .c = c, .process = p };
	struct os_task_status status;

	TAILQ_FOREACH(scan.task, &p->tasks, of_process)
		os_each_child(p->pid, scan.task->tid, look_at_child, &scan);
	if (!os_task_status(p->pid, &status) && !process_find(c, (pid_t)status.ppid) &&
	    os_same_memory(p->pid, status.ppid) == 1) {
		seize_process(c, (pid_t)status.ppid, false, &scan.tracer);
		forget_empty(c, (pid_t)status.ppid);
		scan.found += process_find(c, (pid_t)status.ppid) != NULL;
	}
	return scan.found;
}

/* ---- the course of it -------------------------------------------------------------------- */

static void answer_grab(struct controller *c, int result, uint32_t tracer)
{
	struct proto_grabbed body = { .result = result, .tracer = tracer };
	struct process *p;
	struct task *t;

	TAILQ_FOREACH(p, &c->processes, entry) {
		if (!p->followed)
			continue;
		body.processes++;
		body.threads += p->task_count;
		if (p->pid == c->grab.pid)
			body.stopped = p->group_stopped;
		TAILQ_FOREACH(t, &p->tasks, of_process)
			body.blocked += t->state == TASK_VFORKING || t->state == TASK_BLOCKED;
	}
	out_answer(c, c->grab.request, PROTO_REQ_grab, &body, sizeof(body));
}

static void answer(struct controller *c, int result, uint32_t tracer)
{
	struct space *s;

	if (c->grab.type == PROTO_REQ_grab)
		answer_grab(c, result, tracer);
	else if (c->grab.type)
		out_result(c, c->grab.request, c->grab.type, result, 0);
	hurry(c, false);
	c->grab.request = 0;
	c->grab.check_ns = 0;
	TAILQ_FOREACH(s, &c->spaces, entry)
		check_still(c, s);
}

void grab_cancel(struct controller *c)
{
	if (c->grab.request)
		answer(c, -ECANCELED, 0);
}

static void give_up(struct controller *c, int result, uint32_t tracer)
{
	answer(c, result, tracer);
	release_all(c, PROTO_RUN, 0);
}

/* It is looked at and let go: nobody wants to plant, park, follow, or hear of threads. One that is stopped tells so first. */
static bool light_is_enough(const struct controller *c, const struct proto_grab *body)
{
	struct os_task_status status;

	return c->hold.flags == PROTO_READ_ONLY && !(c->hold.events & PROTO_WANT_THREAD) && !body->items &&
	       !os_task_status(body->pid, &status) && strchr("RSD", status.state);
}

void grab_complete(struct controller *c, uint64_t request, uint32_t type)
{
	struct process *p;
	struct task *t;

	c->light = false;
	hurry(c, true);
	c->grab = (struct grab){ .request = request, .type = type, .check_ns = 1 };
	TAILQ_FOREACH(p, &c->processes, entry)
		TAILQ_FOREACH(t, &p->tasks, of_process)
			if (!t->must_pass && !t->unhashed)
				look_at_seized(c, t);
}

void grab_start(struct controller *c, uint64_t request, const struct proto_grab *body, const uint32_t *pids)
{
	uint32_t tracer = 0;
	int r = examine(c, (pid_t)body->pid, &tracer);

	leave_client(c);
	settle_down(c);
	hurry(c, true);
	c->grab = (struct grab){ .request = request, .type = PROTO_REQ_grab, .pid = (pid_t)body->pid, .check_ns = 1 };
	c->light = !r && light_is_enough(c, body);
	if (!r)
		r = seize_process(c, c->grab.pid, true, &tracer);
	forget_empty(c, c->grab.pid);
	if (!r && !process_find(c, c->grab.pid))
		r = -TETHER_EGONE;
	if (r) {
		give_up(c, r, tracer);
		return;
	}
	if (c->light) {
		answer(c, 0, 0);
		return;
	}
	/* Descendants that have gone meanwhile, or are held by another, are left out. */
	for (uint32_t i = 0; i < body->items; i++) {
		uint32_t ignored = 0;

		if (examine(c, (pid_t)pids[i], &ignored))
			continue;
		seize_process(c, (pid_t)pids[i], true, &ignored);
		forget_empty(c, (pid_t)pids[i]);
	}
}

void grab_passed(struct controller *c, struct task *t)
{
	t->must_pass = false;
	if (--c->grab.passing == 0 && c->grab.request)
		c->grab.check_ns = 1; /* now */
}

/* Those that cannot stop: in vfork with a child that is held, or blocked in what is no fork. */
static void waive(struct controller *c, struct process *p)
{
	struct task *t;

	TAILQ_FOREACH(t, &p->tasks, of_process) {
		long call;

		if (!t->must_pass || t->state != TASK_STOPPING)
			continue;
		call = os_blocked_syscall(p->pid, t->tid, NULL);
		if (t->vfork_child && call >= 0)
			task_set_state(t, TASK_VFORKING);
		else if (call >= 0 ? !arch_syscall_forks(ARCH_X86_64, call) : task_cannot_run(t))
			task_set_state(t, TASK_BLOCKED);
		else
			continue;
		grab_passed(c, t);
		check_still(c, p->space);
	}
}

void grab_timers(struct controller *c, uint64_t now)
{
	struct process *p, *next;
	uint32_t tracer = 0;
	unsigned found = 0;
	int r = 0;

	if (!c->grab.request || !c->grab.check_ns || c->grab.check_ns > now)
		return;
	c->grab.check_ns = now + CHECK_NS;
	for (p = TAILQ_FIRST(&c->processes); p; p = next) {
		unsigned before = p->task_count;
		int error = seize_threads(c, p, &tracer);

		if (p->pid == c->grab.pid)
			r = error;
		found += p->task_count - before;
		found += seize_relatives(c, p);
		waive(c, p);
		next = TAILQ_NEXT(p, entry);
	}
	if (c->grab.type == PROTO_REQ_grab && !process_find(c, c->grab.pid))
		give_up(c, -TETHER_EGONE, 0);
	else if (r)
		give_up(c, r == -ESRCH ? -TETHER_EGONE : r, tracer);
	else if (!c->grab.passing && !found && !c->early)
		answer(c, 0, 0);
}
