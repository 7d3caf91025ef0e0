/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * controller/family.c - tasks and processes come, change their image, and go
 *
 * A child is stopped by the kernel before it runs anything. Its stop and the event of its maker come in
 * either order; only with both is it known what it shares, and only then does it run:
 *
 *	maker's event first:   NEW ────────────── its stop ──► first_stop()
 *	its stop first:        EARLY ── maker's event (or the maker's end) ──► first_stop()
 */
#include "controller/controller.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>

#include "controller/site.h"
#include "controller/trace.h"
#include "os/procfs.h"
#include "os/sys.h"

enum { KIND_FORK = 1, KIND_VFORK = 2, KIND_CLONE = 3 };

static uint32_t fork_kind(enum stop_kind kind)
{
	return kind == STOP_FORK ? KIND_FORK : kind == STOP_VFORK ? KIND_VFORK : KIND_CLONE;
}

/* What the new task shares with its maker is asked, not told by the kind of event (rule 6). */
static bool shares_memory(const struct task *maker, pid_t child, enum stop_kind kind)
{
	int r = os_same_memory(maker->tid, child);

	if (r == -ENOMEM || r == -EINTR)
		r = os_same_memory(maker->tid, child);
	/* Without kcmp(2), or when it has died: vfork shares, fork does not, and threads are told apart
	 * before. */
	return r < 0 ? kind == STOP_VFORK : r > 0;
}

static bool same_group(const struct task *maker, pid_t child)
{
	return sys(tgkill, maker->process->pid, child, 0) == 0;
}

/*
 * Between the maker's last going on and its event nothing was written into its memory: then the copy is as the table says
 * that the memory is, and need not be looked at.
 */
static bool copied_as_known(const struct task *maker)
{
	const struct space *s = maker->process->space;

	return maker->ran_in == s && maker->ran_at == s->edits && !s->lifted;
}

/* The record of a child process. NULL without memory. */
static struct process *child_process(struct controller *c, const struct task *maker, pid_t pid, bool shares)
{
	struct process *parent = maker->process;
	struct space *space = shares ? parent->space : space_new(c);
	struct process *p;

	if (!space)
		return NULL;
	p = process_new(c, pid, space);
	if (!p)
		return NULL;
	p->followed = parent->followed && (c->hold.flags & PROTO_FOLLOW);
	p->fresh = !shares;
	p->exact = copied_as_known(maker);
	p->ours_to_kill = parent->ours_to_kill;
	p->trap_ignored = parent->trap_ignored;
	p->owes_ignore = parent->owes_ignore;
	p->trap_caught = parent->trap_caught;
	p->trap_action_known = parent->trap_action_known;
	memcpy(p->trap_action, parent->trap_action, sizeof(p->trap_action));
	/* What its parent is let go as, it is too; it has not been heard of, so nothing is told. */
	p->release = p->followed || !parent->release ? parent->release : PROTO_RUN;
	if (p->release == PROTO_KILL)
		sys(kill, pid, SIGKILL);
	if (p->release == PROTO_HANG)
		sys(kill, pid, SIGSTOP);
	p->released = parent->release != 0;
	if (!shares && sites_copy(c, space, parent->space))
		space->closed = true; /* what is known can still be taken out again */
	/* Its memory was copied while the traps were out, or in: first_stop() makes it so. */
	if (!shares)
		space->lifted = false;
	return p;
}

static void tell_fork(struct controller *c, struct task *t, const struct process *child, enum stop_kind kind)
{
	struct proto_ev_fork body = {
		.child = (uint32_t)child->pid,
		.kind = fork_kind(kind),
		.followed = child->followed,
		.shares_memory = child->space == t->process->space,
	};

	if (!t->process->followed || t->process->released)
		return;
	sample_held(c, t, PROTO_SAMPLE_AT_FORK, PROTO_EV_fork);
	event_of(c, &body.event, t);
	out_event(c, PROTO_EV_fork, &body, sizeof(body));
}

static void tell_thread(struct controller *c, const struct task *t, bool started, pid_t by)
{
	struct proto_ev_thread body = { .started = started, .by = (uint32_t)by };

	if (!t->process->followed || t->process->released)
		return;
	event_of(c, &body.event, t);
	out_event(c, PROTO_EV_thread, &body, sizeof(body));
}

/* Its end was seen before its maker's event: told in the order in which they belong. */
static bool ended_before(struct controller *c, struct task *maker, pid_t tid, enum stop_kind kind)
{
	struct process *p;
	struct task *t;

	for (size_t i = 0; i < EARLY_ENDS; i++) {
		struct early_end *end = &c->early_end[i];

		if (end->tid != tid)
			continue;
		end->tid = 0;
		t = kind == STOP_CLONE ? NULL : task_new(c, NULL, tid, TASK_NEW);
		p = t ? child_process(c, maker, tid, false) : NULL;
		if (!p) {
			if (t)
				task_free(c, t);
			return true;
		}
		task_adopt(c, t, p);
		tell_fork(c, maker, p, kind);
		t->status = end->status;
		exit_task(c, t);
		return true;
	}
	return false;
}

/* Give the child of this event its place, and its record where its stop has not made one. */
static struct task *child_of(struct controller *c, struct task *maker, pid_t tid, enum stop_kind kind)
{
	struct task *child = task_find(c, tid);
	struct process *p = maker->process;
	bool shares, thread;

	if (child && child->state != TASK_EARLY)
		return NULL; /* seized by a grab that met it first */
	if (!child && ended_before(c, maker, tid, kind))
		return NULL;
	if (!child)
		child = task_new(c, NULL, tid, TASK_NEW);
	if (!child)
		return NULL;
	child->options = maker->options; /* the kernel's children inherit them */
	mask_saw(child, maker->last_mask);
	/* Threads share their memory, so one question is enough for what fork makes. */
	thread = kind == STOP_CLONE && same_group(maker, tid);
	shares = thread || shares_memory(maker, tid, kind);
	thread = thread || (kind != STOP_CLONE && shares && same_group(maker, tid));
	if (!thread)
		p = child_process(c, maker, tid, shares);
	if (!p) {
		if (child->state == TASK_NEW)
			task_free(c, child);
		return NULL;
	}
	task_adopt(c, child, p);
	if (!thread)
		frames_copy(&c->frame_pool, &child->shadow, &maker->shadow);
	if (thread) {
		sample_held(c, maker, PROTO_SAMPLE_AT_THREAD, PROTO_EV_thread);
		tell_thread(c, child, true, maker->tid);
	} else {
		tell_fork(c, maker, p, kind);
	}
	return child;
}

/*
 * Its stop may still be in the queue: acted on a second time it would let go of whatever stop came after, a
 * trap just hit for one.
 */
static void early_no_more(struct controller *c, struct task *t)
{
	c->early--;
	if (t->queued)
		TAILQ_REMOVE(&c->stopped, t, of_stopped);
	t->queued = false;
	task_set_state(t, TASK_HELD);
	first_stop(c, t);
}

void fork_event(struct controller *c, struct task *t)
{
	enum stop_kind kind = classify(t->status, 0);
	struct task *child;
	uint64_t message;

	signals_refresh(c, t, false);
	if (trace_message(t->tid, &message)) {
		settle(c, t);
		return;
	}
	child = child_of(c, t, (pid_t)message, kind);
	if (kind == STOP_VFORK)
		t->vfork_child = (pid_t)message;
	if (child && child->state == TASK_EARLY)
		early_no_more(c, child);
	settle(c, t);
}

void first_stop(struct controller *c, struct task *t)
{
	struct process *p = t->process;

	/* Its signal state is its maker's, seen a moment ago at the maker's event. */
	if (p->fresh) {
		bool scrub = !p->followed || p->release || p->space->closed;

		p->fresh = false;
		if (scrub || !p->exact)
			space_settle_copy(c, p->space, scrub);
		c->warm = p->followed ? t->tid : c->warm;
		slot_leave(c, t);
		if (!p->followed && !p->release) {
			p->release = PROTO_RUN;
			p->released = true;
		}
	}
	settle(c, t);
}

/* ---- children of whom nobody tells --------------------------------------------------------- */

/*
 * A maker that is killed on its way out of fork, or whose other thread calls exec or exit_group, never shows
 * its event; the child's stop may even come after the maker's end. Whose copy its memory is nobody says then:
 * every trap that may have been copied is taken out, where it stands in the mapping it was planted in.
 */
enum { EARLY_CHECK_NS = 20000000, EARLY_NS = 200000000 };
/* A maker that lives tells as soon as it gets a processor, unless another of its threads called exec. */
enum { MAKER_LIVES = 10 };

/* A process that shares its memory, or NULL. */
static struct process *sharer(const struct controller *c, pid_t tid)
{
	struct space *s;

	TAILQ_FOREACH(s, &c->spaces, entry) {
		struct task *t = space_task(s, false);

		if (t && t->tid != tid && os_same_memory(t->tid, tid) == 1)
			return t->process;
	}
	return NULL;
}

/* Traps of all that it can be a copy of, to be lifted by its release. */
static void suspect_all(struct controller *c, struct space *s)
{
	const struct space *other;
	struct site *site;

	for (size_t i = 0; i < GHOSTS; i++)
		sites_add_all(c, &s->sites, &c->ghost[i]);
	TAILQ_FOREACH(other, &c->spaces, entry)
		if (other != s)
			sites_add_all(c, &s->sites, &other->sites);
	SITES_EACH(&s->sites, site) {
		site->planted = site->known;
	}
}

static struct process *orphan_process(struct controller *c, pid_t pid)
{
	struct process *other = sharer(c, pid), *p;
	struct space *s = other ? other->space : space_new(c);

	p = s ? process_new(c, pid, s) : NULL;
	if (!p)
		return NULL;
	if (!other)
		suspect_all(c, s);
	p->ours_to_kill = c->created;
	/* Its fork is not known to the client: it is let go clean, or killed with the rest. */
	p->released = true;
	p->release = c->finishing && c->created && c->hold.mode == PROTO_KILL ? PROTO_KILL : PROTO_RUN;
	if (p->release == PROTO_KILL)
		sys(kill, pid, SIGKILL);
	return p;
}

static void take_in(struct controller *c, struct task *t)
{
	struct os_task_status status;
	struct process *p;

	if (os_task_status(t->tid, &status)) {
		task_free(c, t); /* gone with its process, without an end of its own */
		finish_check(c);
		return;
	}
	p = process_find(c, (pid_t)status.tgid);
	if (!p)
		p = orphan_process(c, (pid_t)status.tgid);
	if (!p)
		return;
	task_adopt(c, t, p);
	early_no_more(c, t);
}

/* Has it waited long enough for its maker? */
static bool is_orphan(const struct controller *c, const struct task *t, const struct process *dying, uint64_t now)
{
	uint64_t patience = c->finishing ? EARLY_CHECK_NS : EARLY_NS;
	struct os_task_status status;

	if (t->state != TASK_EARLY)
		return false;
	if (os_task_status(t->tid, &status))
		return true;
	if (dying && status.ppid == dying->pid)
		return true;
	if (process_find(c, (pid_t)status.tgid) || process_find(c, (pid_t)status.ppid))
		patience *= MAKER_LIVES;
	else if (dying)
		return true;
	return now - t->stopped_ns >= patience;
}

static struct task *next_orphan(const struct controller *c, const struct process *dying, uint64_t now)
{
	for (size_t i = 0; i < TASK_HASH; i++)
		for (struct task *t = c->hash[i]; t; t = t->hash_next)
			if (is_orphan(c, t, dying, now))
				return t;
	return NULL;
}

void early_resolve(struct controller *c, const struct process *dying)
{
	uint64_t now = os_now_ns();

	while (c->early) {
		unsigned before = c->early;
		struct task *t = next_orphan(c, dying, now);

		if (t)
			take_in(c, t);
		if (c->early == before)
			break; /* none, or no memory: once more a little later */
	}
}

void early_timers(struct controller *c, uint64_t now)
{
	if (!c->early_check_ns || c->early_check_ns > now)
		return;
	early_resolve(c, NULL);
	c->early_check_ns = c->early ? now + EARLY_CHECK_NS : 0;
}

/* ---- exec -------------------------------------------------------------------------------- */

/* All other threads have vanished with the old image; the caller of exec has the leader's tid now. */
static void drop_other_threads(struct controller *c, struct process *p, struct task *leader)
{
	struct task *t, *next;

	for (t = TAILQ_FIRST(&p->tasks); t; t = next) {
		next = TAILQ_NEXT(t, of_process);
		if (t == leader)
			continue;
		tell_thread(c, t, false, 0);
		task_free(c, t);
	}
}

/* What belonged to the thread that ran under this tid, or under the old one, before the exec. */
static void forget_old_image(struct controller *c, struct task *t, pid_t old_tid)
{
	struct task *caller = old_tid == t->tid ? t : task_find(c, old_tid);

	question_cancel(c, t);
	if (t->call)
		call_abandon(c, t);
	/* The mask survives exec, so one that was put on for a step must come off. */
	if (caller && caller->masked)
		trace_set_mask(t->tid, caller->own_mask);
	t->masked = false;
	if (t->process->space->stepper == t || (caller && t->process->space->stepper == caller))
		step_finish(c, t->process->space->stepper);
	t->over = t->rehit = 0;
	t->stands = t->own_due = t->probes_due = false;
	frames_clear(&c->frame_pool, &t->shadow);
	t->caller = 0;
	t->wound_back = false;
	t->vfork_child = 0;
	t->regroup = t->has_held_info = false;
	t->deliver = 0;
}

void exec_event(struct controller *c, struct task *t)
{
	struct process *p = t->process;
	struct space *old = p->space, *fresh;
	struct proto_ev_exec body = { .old_tid = (uint32_t)t->tid };
	bool shared = TAILQ_FIRST(&old->processes) != p || TAILQ_NEXT(p, of_space);
	struct arch_regs regs;
	bool swallowed;
	uint64_t old_tid;

	/* Of several threads one takes over the leader's tid. */
	if (p->threaded && !trace_message(t->tid, &old_tid))
		body.old_tid = (uint32_t)old_tid;
	snapshot_abandon(c, p, -EAGAIN);
	forget_old_image(c, t, (pid_t)body.old_tid);
	drop_other_threads(c, p, t);
	p->group_stopped = false;
	p->fresh = false;
	p->learner = NULL;
	p->trap_action_known = p->trap_caught = p->unlearnable =
		false; /* handlers do not survive; ignoring does */
	fresh = space_new(c);
	swallowed = p->threaded;
	p->threaded = false;
	if (fresh) {
		process_move(c, p, fresh, swallowed);
		if (p->parked)
			freeze(c, fresh); /* caught inside execve by a park, which goes on */
	} else {
		/* No memory for a record: without sites it may keep the old one, if that is its own. */
		sites_clear(c, &old->sites);
		capture_forget(c, old);
	}
	if (shared) {
		space_go_on(c, old);
		release_unfollowed(c, old);
	}
	if (c->early && swallowed)
		early_resolve(c, p);
	signals_refresh(c, t, true);
	if (c->create.process == p)
		create_executed(c, p, false);
	if (p->release) {
		settle(c, t);
		return;
	}
	if (!p->followed) {
		/* kept only for the memory that it shared */
		p->released = true;
		p->release = PROTO_RUN;
		settle(c, t);
		return;
	}
	if (!trace_get_regs(t->tid, &regs))
		body.sp = arch_sp(&regs);
	event_of(c, &body.event, t);
	if (!image_show(c, t, &body) && ask(c, t, &body.event))
		task_set_state(t, TASK_ASKING);
	out_event_with(c, PROTO_EV_exec, &body, sizeof(body), c->scratch, body.items);
	if (t->state != TASK_ASKING)
		settle(c, t);
	else
		check_still(c, p->space);
}

/* ---- exit -------------------------------------------------------------------------------- */

static void tell_exit(struct controller *c, struct task *t)
{
	struct process *p = t->process;
	struct proto_ev_exit body = {
		.status = t->status,
		.user_ns = p->user_ns,
		.system_ns = p->system_ns,
		.max_rss_kb = p->max_rss_kb,
	};

	if (!p->followed || p->released)
		return;
	/* Killed by its release: that is told first, and then how it ended. */
	if (p->release == PROTO_KILL) {
		p->released = true;
		out_plain(c, PROTO_EV_released, p->pid, p->pid, 0, p->release);
	}
	event_of(c, &body.event, t);
	body.event.tid = (uint32_t)p->pid;
	out_event(c, PROTO_EV_exit, &body, sizeof(body));
}

static void exit_process(struct controller *c, struct task *t)
{
	struct process *p = t->process;
	struct space *s = p->space;
	bool shared = TAILQ_FIRST(&s->processes) != p || TAILQ_NEXT(p, of_space);
	bool swallowed;
	struct task *other;

	swallowed = p->threaded || WIFSIGNALED(t->status);
	if (c->create.process == p)
		create_ended(c, p, t->status);
	else
		tell_exit(c, t);
	if (p->parked) {
		p->parked = false;
		s->parks--;
	}
	/* Threads whose end was lost would keep the process for ever; the leader is reaped last. */
	while ((other = TAILQ_FIRST(&p->tasks)))
		task_free(c, other);
	if (p->release && (!p->released || p->release_id)) {
		p->release_by_ns = 0;
		release_check(c, p);
	}
	if (c->kept_child == p->pid)
		c->kept_child = 0;
	if (c->early)
		early_resolve(c, p);
	process_free(c, p, swallowed);
	if (shared) {
		space_go_on(c, s);
		release_unfollowed(c, s);
	}
}

/*
 * Its leader had ended before it was grabbed and was never held, so nothing will be waited for in its name: the
 * last thread's end is the whole's, by its status too but where that thread alone left by exit(2).
 */
static bool ends_process(const struct process *p, const struct task *t)
{
	struct os_task_status status;
	int r;

	if (t->tid == p->pid)
		return true;
	if (p->release || TAILQ_FIRST(&p->tasks) != t || TAILQ_NEXT(t, of_process))
		return false;
	r = os_task_status(p->pid, &status);
	return r == -ESRCH || (!r && status.state == 'Z' && status.threads <= 1);
}

void exit_task(struct controller *c, struct task *t)
{
	struct process *p = t->process;
	bool learner;

	if (t->must_pass)
		grab_passed(c, t);
	if (!p) {
		c->early_end[c->early_end_next++ % EARLY_ENDS] =
			(struct early_end){ .tid = t->tid, .status = t->status };
		task_free(c, t);
		return;
	}
	if (p->space->stepper == t)
		step_finish(c, t);
	if (ends_process(p, t)) {
		exit_process(c, t);
	} else {
		tell_thread(c, t, false, 0);
		learner = p->learner == t;
		task_free(c, t);
		space_go_on(c, p->space);
		if (learner)
			signals_unlearn(c, p);
		if (p->release)
			release_check(c, p);
		else if (TAILQ_EMPTY(&p->tasks))
			c->sweep = true;
	}
	finish_check(c);
}
