/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * controller/snapshot.c - have the threads of a process stand while their stacks are copied (snapshot_copy.c)
 *
 *	together   FIRST  INTERRUPT to those that are inside a system call, while the others run on
 *	                  all of these stand ──► copied
 *	           LAST   INTERRUPT to the others ── all stand ──► copied, let on, and then the first ones
 *
 *	rolling    one after the other: INTERRUPT ── its stop ──► copied there and then, and it goes on
 *
 * So whoever computes stands only for his own kind to be copied. No state of a task is particular to this: who has
 * stopped is HELD (hold.c, must_hold()), as by a park, who was stopped by job control is copied between the stop that
 * answers the INTERRUPT and LISTEN (rule 9). Who does not stop is STOPPING, and stays so when all is over: its stop
 * comes when it comes, as that of any interrupt. Who waits for its vfork child is not asked at all (rule 3).
 * Where the client says so, FIRST is for those that are not blocked in a system call, and the others are not stopped at all
 * (snapshot_spare.c). Nothing is lifted, planted or stepped for a snapshot, and the space is not asked to be still.
 */
#include "controller/controller.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/uio.h>

#include <tether/error.h>

#include "controller/site.h"
#include "controller/trace.h"
#include "os/procfs.h"
#include "os/sys.h"

enum { CHECK_NS = 2000000 }; /* how often those are looked at that have not stopped */
#define WAIT_NS_MAX UINT64_C(60000000000)
#define TOTAL_MAX (UINT64_C(4) << 30)

/* ---- who is asked ------------------------------------------------------------------------- */

/* A leader that has ended before its threads: it answers no interrupt, and its record stays to the end. */
static bool has_ended(const struct task *t)
{
	struct os_task_status status;

	return os_task_status(t->tid, &status) || status.state == 'Z' || status.state == 'X';
}

/* Of one that runs: is it outside any system call? */
static bool look_at_running(const struct controller *c, struct task *t)
{
	long call = os_blocked_syscall(t->process->pid, t->tid, NULL);

	if (c->light && call >= 0 && arch_syscall_forks(ARCH_X86_64, call))
		grab_vforking(t);
	if (call < 0 && call != OS_SYSCALL_RUNNING && has_ended(t))
		t->snapshot = SNAPSHOT_LEFT_OUT;
	return call < 0;
}

/* Others stand, come to their stop by themselves, or wait for their vfork child. */
static void ask_to_stop(struct controller *c, struct task *t)
{
	if (t->state != TASK_RUNNING && t->state != TASK_LISTENING)
		return;
	t->asked_stop_ns = os_now_ns();
	task_stop(c, t);
}

/* ---- the end ----------------------------------------------------------------------------- */

static void answer(struct controller *c, int result, const uint64_t resumed_ns[2])
{
	struct snapshot *s = &c->snapshot;
	struct proto_snapshot_taken body = {
		.threads = s->threads,
		.bytes = s->bytes,
		.begun_ns = s->begun_ns,
		.resumed_ns = { resumed_ns[0], resumed_ns[1] },
	};
	uint64_t request = s->request;

	snapshot_flush(c);
	body.result = result ? result : s->error;
	sys(close, s->file);
	if (s->maps >= 0)
		sys(close, s->maps);
	if (s->threads_file > 0)
		sys(close, s->threads_file - 1);
	*s = (struct snapshot){ 0 };
	if (!c->finishing && !c->grab.request)
		hurry(c, false);
	out_answer(c, request, PROTO_REQ_snapshot, &body, sizeof(body));
}

static void forget_all(struct process *p)
{
	struct task *t;

	p->snapshot = SNAPSHOT_HOLDS_NONE;
	TAILQ_FOREACH(t, &p->tasks, of_process) {
		t->snapshot = SNAPSHOT_NOT;
		t->snapshot_stuck = false;
		t->asked_stop_ns = 0;
	}
}

/* Those that ran, or the others. settle() keeps who is held by something else too, and may take this one off the list. */
static uint64_t let_on(struct controller *c, struct process *p, bool ran)
{
	struct task *t = TAILQ_FIRST(&p->tasks), *next;

	for (; t; t = next) {
		next = TAILQ_NEXT(t, of_process);
		if (t->snapshot_ran != ran)
			continue;
		t->snapshot_ran = false;
		if (t->state == TASK_HELD)
			settle(c, t);
	}
	return os_now_ns();
}

static void end(struct controller *c)
{
	struct process *p = c->snapshot.process;
	uint64_t resumed_ns[2];

	forget_all(p);
	resumed_ns[0] = let_on(c, p, true);
	resumed_ns[1] = let_on(c, p, false);
	answer(c, 0, resumed_ns);
}

void snapshot_abandon(struct controller *c, struct process *p, int result)
{
	const uint64_t none[2] = { 0, 0 };

	if (!c->snapshot.request || c->snapshot.process != p)
		return;
	/* Who stands is let go, or on, by who abandons it. */
	forget_all(p);
	answer(c, result, none);
}

void snapshot_forget(struct controller *c, struct task *t)
{
	struct snapshot *s = &c->snapshot;

	if (s->current != t)
		return;
	s->current = TAILQ_NEXT(t, of_process);
	s->record_at = UINT64_MAX;
	s->give_up_ns = 0;
}

/* ---- together ---------------------------------------------------------------------------- */

static bool wanted(const struct process *p, const struct task *t)
{
	/* A leader that has ended may stay for long. */
	if (t->state == TASK_ENDING)
		return false;
	return t->snapshot == SNAPSHOT_WANTED || (p->snapshot == SNAPSHOT_HOLDS_ALL && t->snapshot == SNAPSHOT_NOT);
}

static bool may_move(const struct task *t)
{
	return t->state == TASK_RUNNING || t->state == TASK_STOPPING || t->state == TASK_STEPPING ||
	       t->state == TASK_CALLING;
}

/* Is somebody's stop awaited? The short way first: the long one looks at all. */
static bool anything_awaited(struct snapshot *s)
{
	const struct process *p = s->process;
	const struct task *t;
	bool awaited = false;

	if (!s->recount && p->snapshot == SNAPSHOT_HOLDS_ALL && p->moving > s->running + s->stuck)
		return true;
	s->recount = false;
	s->running = s->stuck = 0;
	TAILQ_FOREACH(t, &p->tasks, of_process) {
		if (!may_move(t))
			continue;
		if (t->snapshot_stuck && t->state == TASK_STOPPING)
			s->stuck++;
		else if (s->phase == SNAPSHOT_FIRST && t->state == TASK_RUNNING)
			s->running++;
		else if (t->snapshot == SNAPSHOT_WANTED)
			awaited = true;
		else
			s->stuck++; /* nobody's business: not wanted, or ended */
	}
	return awaited;
}

/* All are looked at before the first one is asked: that takes longer than all else. */
static void ask_first(struct controller *c, struct process *p)
{
	struct task *t;

	TAILQ_FOREACH(t, &p->tasks, of_process)
		if (t->snapshot == SNAPSHOT_WANTED && !(c->snapshot.spares && t->state == TASK_RUNNING && snapshot_spare(c, t)))
			t->snapshot_ran = t->state == TASK_RUNNING && look_at_running(c, t);
	TAILQ_FOREACH(t, &p->tasks, of_process)
		if (t->snapshot == SNAPSHOT_WANTED && !t->snapshot_ran)
			ask_to_stop(c, t);
}

/* New ones too, where all are wanted. */
static void ask_last(struct controller *c, struct process *p)
{
	struct task *t;

	TAILQ_FOREACH(t, &p->tasks, of_process) {
		if (!wanted(p, t))
			continue;
		t->snapshot = SNAPSHOT_WANTED;
		t->snapshot_ran = t->snapshot_ran || t->state == TASK_RUNNING;
		ask_to_stop(c, t);
	}
}

static void copy_those(struct controller *c, struct process *p, bool only_stopped)
{
	struct task *t;

	TAILQ_FOREACH(t, &p->tasks, of_process)
		if (wanted(p, t) && (!only_stopped || task_is_stopped(t)))
			snapshot_copy(c, t, STOP_INTERRUPT);
}

static void next_phase(struct controller *c)
{
	struct snapshot *s = &c->snapshot;
	struct process *p = s->process;

	/* Those that are held stand: nobody makes any more. */
	if (s->phase == SNAPSHOT_LAST && p->snapshot == SNAPSHOT_HOLDS_ALL && grab_missed(c, p)) {
		s->recount = true;
		ask_last(c, p);
		return;
	}
	copy_those(c, p, s->phase == SNAPSHOT_FIRST);
	if (s->phase == SNAPSHOT_LAST) {
		if (!s->spares || snapshot_spared_stayed(c, p)) {
			end(c);
			return;
		}
		s->recount = true;
		ask_last(c, p);
		return;
	}
	/* Those that sleep had to run, to come to their stops; those that run now compete with us for theirs. */
	hurry(c, true);
	s->phase = SNAPSHOT_LAST;
	s->recount = true;
	s->check_ns = os_now_ns() + CHECK_NS;
	ask_last(c, p);
}

static void together_turn(struct controller *c)
{
	struct snapshot *s = &c->snapshot;

	while (s->request && !anything_awaited(s))
		next_phase(c);
}

/* Who does not stop: seen inside the kernel it is waited for no longer. */
static void look_after(struct controller *c, struct process *p, bool enough)
{
	struct task *t;

	TAILQ_FOREACH(t, &p->tasks, of_process)
		if (t->snapshot == SNAPSHOT_WANTED && t->state == TASK_STOPPING && !t->snapshot_stuck) {
			t->snapshot_stuck = enough || task_cannot_run(t);
			c->snapshot.recount = true;
		}
	/* what steps, or does a call for us, is soon done with it; what is just not so soon is recorded as running */
	if (enough)
		next_phase(c);
}

/* ---- rolling ----------------------------------------------------------------------------- */

/* From here on in the list, one that is wanted. */
static void choose(struct snapshot *s, struct task *t)
{
	while (t && (t->snapshot != SNAPSHOT_WANTED || t->serial > s->last_serial || t->state == TASK_ENDING))
		t = TAILQ_NEXT(t, of_process);
	s->current = t;
	s->record_at = UINT64_MAX;
	s->give_up_ns = 0;
}

static void done_with_current(struct controller *c)
{
	struct snapshot *s = &c->snapshot;
	struct task *t = s->current;
	uint64_t now = os_now_ns();

	if (s->record_at != UINT64_MAX && t->asked_stop_ns)
		snapshot_put(c, s->record_at + offsetof(struct proto_stack, resumed_ns), &now, sizeof(now));
	t->asked_stop_ns = 0;
	t->snapshot_ran = t->snapshot_stuck = false;
	choose(s, TAILQ_NEXT(t, of_process));
}

/* False: its stop is to be waited for. */
static bool roll(struct controller *c)
{
	struct snapshot *s = &c->snapshot;
	struct task *t = s->current;

	if (!s->give_up_ns) {
		s->give_up_ns = os_now_ns() + s->wait_ns;
		s->check_ns = os_now_ns() + CHECK_NS;
	}
	if (t->snapshot == SNAPSHOT_WANTED && (t->state == TASK_RUNNING || t->state == TASK_LISTENING)) {
		if (t->state == TASK_RUNNING)
			look_at_running(c, t);
		if (t->snapshot == SNAPSHOT_WANTED)
			ask_to_stop(c, t);
	}
	if (t->snapshot == SNAPSHOT_WANTED && may_move(t) && !t->snapshot_stuck)
		return false;
	if (t->snapshot == SNAPSHOT_WANTED)
		snapshot_copy(c, t, STOP_INTERRUPT);
	done_with_current(c);
	return true;
}

static void rolling_turn(struct controller *c)
{
	struct snapshot *s = &c->snapshot;
	const uint64_t none[2] = { 0, 0 };

	while (s->current && roll(c))
		;
	if (s->current)
		return;
	forget_all(s->process);
	answer(c, 0, none);
}

/* ---- from outside ------------------------------------------------------------------------ */

static int refusal(const struct controller *c, const struct process *p, const struct proto_snapshot *body, int file)
{
	if (c->snapshot.request)
		return -EBUSY;
	if (!p || !p->followed)
		return -ESRCH;
	if (p->release || c->finishing || (c->grab.request && c->grab.type == PROTO_REQ_grab) || c->create.process == p)
		return -TETHER_ESTATE;
	/* Only a memfd has seals; of a file of another kind a write might never come back. */
	if (file < 0 || sys(fcntl, file, F_GET_SEALS, 0) < 0)
		return -EBADF;
	return body->total_bytes > TOTAL_MAX || body->stack_bytes > UINT32_MAX / 2 ? -EINVAL : 0;
}

static void choose_all(struct process *p, const uint32_t *tids, uint32_t count, const struct controller *c)
{
	struct task *t;

	TAILQ_FOREACH(t, &p->tasks, of_process) {
		t->snapshot = count ? SNAPSHOT_NOT : SNAPSHOT_WANTED;
		t->snapshot_ran = false;
	}
	for (uint32_t i = 0; i < count; i++) {
		t = task_find(c, (pid_t)tids[i]);
		if (t && t->process == p)
			t->snapshot = SNAPSHOT_WANTED;
	}
}

int snapshot_start(struct controller *c, uint64_t request, const struct proto_snapshot *body, const uint32_t *tids)
{
	struct process *p = process_find(c, (pid_t)body->pid);
	struct proto_snapshot_taken refused = { 0 };
	struct snapshot *s = &c->snapshot;

	if ((body->manner != PROTO_TOGETHER && body->manner != PROTO_ROLLING) || !request)
		return -EPROTO;
	refused.result = refusal(c, p, body, c->received);
	if (refused.result) {
		out_answer(c, request, PROTO_REQ_snapshot, &refused, sizeof(refused));
		return 0;
	}
	*s = (struct snapshot){
		.request = request,
		.process = p,
		.file = c->received,
		.maps = MAPS_UNOPENED,
		.manner = body->manner,
		.spares = body->manner == PROTO_TOGETHER && body->flags & PROTO_SPARE,
		.stack_bytes = body->stack_bytes,
		.total_bytes = body->total_bytes,
		.seen_moving = UINT_MAX,
		.recount = true,
		.last_serial = c->next_serial,
		.record_at = UINT64_MAX,
		.wait_ns = body->wait_ns < WAIT_NS_MAX ? body->wait_ns : WAIT_NS_MAX,
		.begun_ns = os_now_ns(),
	};
	c->received = -1;
	choose_all(p, tids, body->items, c);
	s->check_ns = s->begun_ns + CHECK_NS;
	if (body->manner == PROTO_ROLLING) {
		choose(s, TAILQ_FIRST(&p->tasks));
		return 0;
	}
	p->snapshot = body->items ? SNAPSHOT_HOLDS_SOME : SNAPSHOT_HOLDS_ALL;
	s->give_up_ns = s->begun_ns + s->wait_ns;
	ask_first(c, p);
	return 0;
}

void snapshot_stop(struct controller *c, struct task *t, enum stop_kind kind)
{
	/* What it does for us, or under a step of ours, is not where it stands. */
	bool its_own = t->state == TASK_RUNNING || t->state == TASK_STOPPING || t->state == TASK_LISTENING;
	struct arch_regs regs;

	/* Not to be part of an instant that comes after it. */
	if (kind == STOP_ENDING && c->snapshot.manner == PROTO_TOGETHER) {
		t->snapshot = SNAPSHOT_LEFT_OUT;
		c->snapshot.recount = true;
	}
	if (kind == STOP_EXIT || kind == STOP_EXEC || !its_own)
		return;
	/*
	 * Of a job-control stop it is told here alone: LISTENing it shows no registers. Of those that were inside a system
	 * call the registers have to be read for the call's sake.
	 */
	if (c->snapshot.manner == PROTO_ROLLING ? t == c->snapshot.current :
						  kind == STOP_GROUP || (kind == STOP_INTERRUPT && !t->snapshot_ran &&
									 c->snapshot.phase == SNAPSHOT_FIRST)) {
		(void)stop_regs(c, t, &regs);
		snapshot_copy(c, t, kind);
	}
}

void snapshot_turn(struct controller *c)
{
	/* The client gone, all are let go in this very turn. */
	if (!c->snapshot.request || c->client_gone)
		return;
	if (c->snapshot.manner == PROTO_TOGETHER)
		together_turn(c);
	else
		rolling_turn(c);
}

void snapshot_timers(struct controller *c, uint64_t now)
{
	struct snapshot *s = &c->snapshot;
	bool enough, progress;

	if (!s->request || s->check_ns > now || c->client_gone)
		return;
	enough = s->give_up_ns && now >= s->give_up_ns;
	progress = s->process->moving < s->seen_moving;
	s->check_ns = now + CHECK_NS;
	s->seen_moving = s->process->moving;
	/* While stops come there is no need to look at all whose turn it is not yet: that takes longer than they do. */
	if (s->manner == PROTO_TOGETHER && (enough || !progress))
		look_after(c, s->process, enough);
	else if (s->current && s->current->state == TASK_STOPPING)
		s->current->snapshot_stuck = enough || task_cannot_run(s->current);
}
