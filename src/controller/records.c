/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/controller.h"

#include <errno.h>

#include "controller/call.h"
#include "controller/site.h"
#include "os/sys.h"

void records_init(struct controller *c)
{
	TAILQ_INIT(&c->processes);
	TAILQ_INIT(&c->spaces);
	TAILQ_INIT(&c->stopped);
	TAILQ_INIT(&c->questions);
	TAILQ_INIT(&c->open_questions);
	c->task_pool = (struct pool){ .size = sizeof(struct task), .limit = MAX_THREADS };
	c->process_pool = (struct pool){ .size = sizeof(struct process), .limit = MAX_THREADS };
	c->space_pool = (struct pool){ .size = sizeof(struct space), .limit = MAX_THREADS };
	c->call_pool = (struct pool){ .size = sizeof(struct call), .limit = MAX_THREADS };
	c->frame_pool = (struct pool){ .size = sizeof(struct frame), .limit = MAX_ALL_FRAMES };
	c->site_pool = (struct pool){ .size = sizeof(struct site), .limit = 4 * MAX_SITES };
}

/* ---- tasks ------------------------------------------------------------------------------- */

static struct task **bucket(struct controller *c, pid_t tid)
{
	return &c->hash[(unsigned)tid % TASK_HASH];
}

struct task *task_find(const struct controller *c, pid_t tid)
{
	struct task *t = c->hash[(unsigned)tid % TASK_HASH];

	while (t && t->tid != tid)
		t = t->hash_next;
	return t;
}

/* May it run into a trap, or past one that is lifted, before its next stop? */
static const bool moving[TASK_STATES] = {
	[TASK_RUNNING] = true, [TASK_STOPPING] = true, [TASK_STEPPING] = true,
	[TASK_CALLING] = true, [TASK_DRAINING] = true,
};

bool task_is_stopped(const struct task *t)
{
	static const bool stopped[TASK_STATES] = {
		[TASK_EARLY] = true,
		[TASK_HELD] = true,
		[TASK_ASKING] = true,
		[TASK_STEP_WAIT] = true,
		[TASK_GATHERED] = true,
	};

	return stopped[t->state];
}

void task_set_state(struct task *t, enum task_state state)
{
	if (t->process) {
		t->process->space->moving -= moving[t->state];
		t->process->space->moving += moving[state];
		t->process->moving -= moving[t->state];
		t->process->moving += moving[state];
	}
	t->state = state;
}

struct task *task_new(struct controller *c, struct process *process, pid_t tid, enum task_state state)
{
	struct task *t = pool_get(&c->task_pool);

	if (!t)
		return NULL;
	t->tid = tid;
	t->serial = ++c->next_serial;
	t->hash_next = *bucket(c, tid);
	*bucket(c, tid) = t;
	c->stats.tasks++;
	t->state = state;
	c->early += state == TASK_EARLY;
	if (state == TASK_EARLY && !c->early_check_ns)
		c->early_check_ns = os_now_ns();
	if (process)
		task_adopt(c, t, process);
	return t;
}

void task_adopt(struct controller *c, struct task *t, struct process *process)
{
	(void)c;
	t->process = process;
	TAILQ_INSERT_TAIL(&process->tasks, t, of_process);
	process->task_count++;
	process->threaded = process->threaded || process->task_count > 1;
	process->space->moving += moving[t->state];
	process->moving += moving[t->state];
}

void task_unhash(struct controller *c, struct task *t)
{
	struct task **link = bucket(c, t->tid);

	if (t->unhashed)
		return;
	while (*link != t)
		link = &(*link)->hash_next;
	*link = t->hash_next;
	t->unhashed = true;
}

void task_free(struct controller *c, struct task *t)
{
	struct process *p = t->process;

	task_unhash(c, t);
	question_cancel(c, t);
	/* Gone by another's exec or with its process: no stop of its own says so, and the grab counts it. */
	if (t->must_pass)
		grab_passed(c, t);
	if (t->queued)
		TAILQ_REMOVE(&c->stopped, t, of_stopped);
	if (t->call)
		call_abandon(c, t);
	if (p && p->learner == t)
		p->learner = NULL;
	if (p && p->taker == t)
		p->taker = NULL;
	if (p && p->crasher == t) {
		p->crasher = NULL;
		p->crash_goes = false;
	}
	c->early -= t->state == TASK_EARLY;
	if (p) {
		struct space *s = p->space;

		if (t->state == TASK_STEP_WAIT)
			TAILQ_REMOVE(&s->steppers, t, of_steppers);
		s->moving -= moving[t->state];
		p->moving -= moving[t->state];
		snapshot_forget(c, t);
		if (s->stepper == t)
			s->stepper = NULL;
		TAILQ_REMOVE(&p->tasks, t, of_process);
		p->task_count--;
	}
	spare_forget(c, t);
	frames_clear(&c->frame_pool, &t->shadow);
	c->stats.tasks--;
	pool_put(&c->task_pool, t);
}

/* ---- processes --------------------------------------------------------------------------- */

struct process *process_find(const struct controller *c, pid_t pid)
{
	/* The leader's record is the quick way; it may be missing when only its threads are left. */
	struct task *leader = task_find(c, pid);
	struct process *p;

	if (leader && leader->process && leader->process->pid == pid)
		return leader->process;
	TAILQ_FOREACH(p, &c->processes, entry)
		if (p->pid == pid)
			return p;
	return NULL;
}

struct process *process_new(struct controller *c, pid_t pid, struct space *space)
{
	struct process *p = pool_get(&c->process_pool);

	if (!p)
		return NULL;
	p->pid = pid;
	TAILQ_INIT(&p->tasks);
	TAILQ_INSERT_TAIL(&c->processes, p, entry);
	p->space = space;
	TAILQ_INSERT_TAIL(&space->processes, p, of_space);
	c->stats.processes++;
	return p;
}

static void keep_ghost(struct controller *c, struct space *s)
{
	struct site_table *ghost = &c->ghost[c->ghost_next++ % GHOSTS];

	sites_clear(c, ghost);
	*ghost = s->sites;
	s->sites = (struct site_table){ 0 };
}

static void space_unused(struct controller *c, struct space *s, bool swallowed)
{
	if (!TAILQ_EMPTY(&s->processes))
		return;
	if (s->freezing)
		c->freezing--;
	if (s->memory >= 0)
		sys(close, s->memory);
	c->stats.sites -= s->sites.used;
	if (swallowed)
		keep_ghost(c, s);
	sites_clear(c, &s->sites);
	capture_forget(c, s);
	TAILQ_REMOVE(&c->spaces, s, entry);
	c->stats.spaces--;
	pool_put(&c->space_pool, s);
}

void process_move(struct controller *c, struct process *p, struct space *space, bool swallowed)
{
	struct space *old = p->space;
	struct task *t;

	TAILQ_FOREACH(t, &p->tasks, of_process) {
		old->moving -= moving[t->state];
		space->moving += moving[t->state];
	}
	if (p->parked) {
		old->parks--;
		space->parks++;
	}
	TAILQ_REMOVE(&old->processes, p, of_space);
	p->space = space;
	TAILQ_INSERT_TAIL(&space->processes, p, of_space);
	space_unused(c, old, swallowed);
}

void process_free(struct controller *c, struct process *p, bool swallowed)
{
	struct space *s = p->space;

	snapshot_abandon(c, p, -ESRCH);
	if (c->create.process == p)
		c->create.process = NULL;
	if (p->parked)
		s->parks--;
	TAILQ_REMOVE(&c->processes, p, entry);
	TAILQ_REMOVE(&s->processes, p, of_space);
	c->stats.processes--;
	pool_put(&c->process_pool, p);
	space_unused(c, s, swallowed);
}

void processes_sweep(struct controller *c)
{
	struct process *p, *next;

	if (!c->sweep)
		return;
	c->sweep = false;
	for (p = TAILQ_FIRST(&c->processes); p; p = next) {
		next = TAILQ_NEXT(p, entry);
		if (TAILQ_EMPTY(&p->tasks))
			process_free(c, p, false);
	}
}

/* ---- spaces ------------------------------------------------------------------------------ */

struct space *space_new(struct controller *c)
{
	struct space *s = pool_get(&c->space_pool);

	if (!s)
		return NULL;
	s->memory = -1;
	TAILQ_INIT(&s->processes);
	TAILQ_INIT(&s->steppers);
	TAILQ_INSERT_TAIL(&c->spaces, s, entry);
	c->stats.spaces++;
	return s;
}

struct task *space_task(const struct space *space, bool stopped)
{
	struct process *p;
	struct task *t;

	TAILQ_FOREACH(p, &space->processes, of_space)
		TAILQ_FOREACH(t, &p->tasks, of_process)
			if (!t->unhashed && (!stopped || task_is_stopped(t)))
				return t;
	return NULL;
}
