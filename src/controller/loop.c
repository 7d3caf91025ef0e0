/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * controller/loop.c - one turn: take all stops there are, act on them, look at the client, then sleep
 *
 *	        ┌─────────────────────────────────────────────────────────────┐
 *	        ▼                                                             │
 *	SIGCHLD's pid ──► wait4(that one) ──► act ──► sweep wait4(-1) ──► act │
 *	                                                │ nothing left        │
 *	                                                ▼                     │
 *	                  client, deadlines ──► spin a little, or sleep ──────┘
 *
 * SIGCHLD merges silently, so every sleep is preceded by a sweep; but the pid it names is waited for first,
 * for wait4(-1) walks all tasks. Stops are collected first and acted on then: wait4(-1) favours the tasks at
 * the head of the kernel's list, and one that is let run may stop again before the others are reached.
 */
#include "controller/controller.h"

#include <errno.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include "controller/trace.h"
#include "os/sys.h"

/* Stops taken before any is acted on. */
enum { BATCH = 512 };
/*
 * While stops come this fast, the next one is waited for without sleeping: a wake-up costs ten stops. What
 * has been gained so far is what may be lost: each stop that comes in time pays for one that does not. With a
 * question out, or the first process parked, it is the client that has to run, and perhaps on this very CPU. Who waits
 * awake yields: where that takes long, others want the processor, and who sleeps gets it back before them.
 */
enum { SPIN_NS = 250000, CREDIT_MAX = 16, TAKEN_NS = 50000 };
/*
 * A created victim is waited for awake until it is at its main, but not for long (LAUNCH_NS). Who yields goes behind
 * all that want to run, and who wakes up before most: so where others took the processor for this long it sleeps too.
 */
enum { YIELD_NS = 300000 };
struct spin {
	uint64_t last_stop, stops;
	uint64_t yield_ns; /* the last turn awake for a launch */
	unsigned credit;
	bool spinning;
	bool taken; /* the last time that it yielded, others took TAKEN_NS */
};

static void usage_of(struct process *p, const struct rusage *usage)
{
	p->user_ns =
		(uint64_t)usage->ru_utime.tv_sec * 1000000000u + (uint64_t)usage->ru_utime.tv_usec * 1000u;
	p->system_ns =
		(uint64_t)usage->ru_stime.tv_sec * 1000000000u + (uint64_t)usage->ru_stime.tv_usec * 1000u;
	p->max_rss_kb = (uint64_t)usage->ru_maxrss;
}

/*
 * A leader that had ended before its process was grabbed was never held; the thread that calls exec brings the
 * hold along when it takes the tid over. NULL: it is something else.
 */
static struct task *new_leader(struct controller *c, pid_t tid, int status)
{
	struct process *p = classify(status, 0) == STOP_EXEC ? process_find(c, tid) : NULL;
	const struct task *other = p ? TAILQ_FIRST(&p->tasks) : NULL;
	struct task *t = other ? task_new(c, p, tid, TASK_RUNNING) : NULL;

	if (t)
		t->options = other->options;
	return t;
}

/*
 * A status without a record: the kept child's end, a child whose maker has not told of it yet, or a leader that
 * nobody held.
 */
static struct task *unknown(struct controller *c, pid_t tid, int status)
{
	struct task *t;

	if (!WIFSTOPPED(status)) {
		if (tid == c->kept_child) {
			c->kept_child = 0;
			finish_check(c);
		}
		return NULL;
	}
	t = new_leader(c, tid, status);
	if (!t)
		t = task_new(c, NULL, tid, TASK_EARLY);
	/* No memory for a record: better untraced than stopped for ever. */
	if (!t)
		trace_detach(tid, 0);
	return t;
}

static void took(struct controller *c, pid_t tid, int status, const struct rusage *usage)
{
	struct task *t = task_find(c, tid);

	if (!t)
		t = unknown(c, tid, status);
	if (!t)
		return;
	if (!WIFSTOPPED(status)) {
		/* the last one's where the leader had ended before */
		if (t->process && (t->tid == t->process->pid || t->process->task_count == 1))
			usage_of(t->process, usage);
		/* The tid may be given to another before this end is acted on. */
		task_unhash(c, t);
	}
	t->status = status;
	t->stopped_ns = os_now_ns();
	c->stats.stops++;
	if (!t->queued) {
		t->queued = true;
		TAILQ_INSERT_TAIL(&c->stopped, t, of_stopped);
	}
}

/*
 * A stop alone, of this very one, without the usage that only an end needs: the kernel adds that up over all threads,
 * which takes as long for a thousand of them as all else that is done at a stop.
 */
static bool take_stop(struct controller *c, pid_t which)
{
	siginfo_t info = { .si_pid = 0 };
	long r = sys(waitid, P_PID, which, &info, WSTOPPED | __WALL | WNOHANG, 0);

	if (r == -EINTR || r == -ENOMEM)
		r = sys(waitid, P_PID, which, &info, WSTOPPED | __WALL | WNOHANG, 0);
	if (r || info.si_pid != which)
		return false;
	/* as wait4(2) has it: what waitid(2) tells of a stop is its upper half */
	took(c, which, (int)((unsigned)info.si_status << 8 | 0x7f), NULL);
	return true;
}

/* The stops that a snapshot waits for, by name. Their ends are seen by the sweep. */
static bool take_asked(struct controller *c)
{
	const struct process *p = c->snapshot.request ? c->snapshot.process : NULL;
	const struct task *t;
	bool any = false;

	if (!p || p->snapshot == SNAPSHOT_HOLDS_NONE)
		return false;
	TAILQ_FOREACH(t, &p->tasks, of_process)
		if (t->state == TASK_STOPPING && t->asked_stop_ns && !t->queued && !t->unhashed)
			any = take_stop(c, t->tid) || any;
	return any;
}

/* One wait4(2): whether there was something. */
static bool take(struct controller *c, pid_t which)
{
	struct rusage usage;
	int status;
	long r;

	if (c->snapshot.request && which > 0 && take_stop(c, which))
		return true;
	r = sys(wait4, which, &status, __WALL | WNOHANG, &usage);

	if (r == -EINTR || r == -ENOMEM || r == -ESRCH)
		r = sys(wait4, which, &status, __WALL | WNOHANG, &usage);
	if (r <= 0)
		return false;
	took(c, (pid_t)r, status, &usage);
	return true;
}

/* What the signalfd holds: pids to wait for by name, and orders to end. True when there was a SIGCHLD. */
static bool read_signals(struct controller *c)
{
	struct signalfd_siginfo info[4];
	bool seen = false;
	long n;

	do {
		n = sys(read, c->signals, info, sizeof(info));
		if (n == -EINTR || n == -ENOMEM)
			n = sys(read, c->signals, info, sizeof(info));
		for (long i = 0; i < n / (long)sizeof(info[0]); i++) {
			if (info[i].ssi_signo != SIGCHLD) {
				c->client_gone = true;
				continue;
			}
			seen = true;
			take(c, (pid_t)info[i].ssi_pid);
		}
	} while (n == (long)sizeof(info));
	return seen;
}

bool drain(struct controller *c)
{
	bool any = take_asked(c);

	for (int i = 0; i < BATCH && take(c, -1); i++)
		any = true;
	return any;
}

void act_all(struct controller *c)
{
	struct task *t;

	while ((t = TAILQ_FIRST(&c->stopped))) {
		TAILQ_REMOVE(&c->stopped, t, of_stopped);
		t->queued = false;
		act(c, t);
	}
}

/* ---- the client -------------------------------------------------------------------------- */

void look_at_client(struct controller *c, int timeout_ms, uint64_t timeout_ns)
{
	struct pollfd fd[3] = {
		{ .fd = c->signals, .events = POLLIN },
		{ .fd = c->client_gone ? -1 : c->socket,
		  .events = (short)(POLLIN | (c->out.full ? POLLOUT : 0)) },
		{ .fd = c->client_dead ? -1 : c->client, .events = POLLIN },
	};
	struct timespec timeout = {
		.tv_sec = (time_t)(timeout_ns / 1000000000u),
		.tv_nsec = (long)(timeout_ns % 1000000000u),
	};

	if (sys(ppoll, fd, 3, timeout_ms < 0 ? NULL : &timeout, 0, 0) <= 0)
		return;
	if (fd[2].revents)
		c->client_dead = c->client_gone = true;
	if (fd[1].revents & POLLOUT)
		out_flush(c);
	if (fd[1].revents & ~POLLOUT)
		server_read(c);
}

/* Its line is closed before the kernel sends anything; nothing is read here, and nobody let go. */
bool client_went(struct controller *c)
{
	struct pollfd fd[2] = { { .fd = c->socket }, { .fd = c->client, .events = POLLIN } };
	const struct timespec now = { 0, 0 };

	if (!c->client_gone && sys(ppoll, fd, 2, &now, 0, 0) > 0)
		c->client_gone = (fd[0].revents & POLLHUP) || fd[1].revents;
	return c->client_gone;
}

static void client_ended(struct controller *c)
{
	if (!c->finishing)
		release_all(c, c->hold.mode, 0);
	if (!c->hold.mode)
		c->done = true; /* nothing was ever held */
	if (c->client_dead)
		release_stays(c);
	finish_check(c);
}

/* ---- sleeping ---------------------------------------------------------------------------- */

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return b && b < a ? b : a;
}

static uint64_t next_timer(const struct controller *c)
{
	const struct task *first = TAILQ_FIRST(&c->questions);
	uint64_t next = UINT64_MAX;

	if (first)
		next = earlier(next, first->deadline_ns);
	if (c->freezing || c->stats.in_place) {
		const struct space *s;

		TAILQ_FOREACH(s, &c->spaces, entry)
			if (s->freezing || s->stepper)
				next = earlier(next, s->check_ns);
	}
	next = earlier(next, c->release_check_ns);
	next = earlier(next, c->early_check_ns);
	next = earlier(next, c->settle_ns);
	next = earlier(next, c->latency.check_ns);
	next = earlier(next, c->grab.check_ns);
	if (c->snapshot.request)
		next = earlier(next, c->snapshot.check_ns);
	next = earlier(next, out_due_ns(c));
	next = earlier(next, c->ring.due_ns);
	return next;
}

static void timers(struct controller *c)
{
	uint64_t now = os_now_ns();
	struct space *s, *after;

	if (next_timer(c) > now)
		return;
	question_timers(c, now);
	freeze_timers(c, now);
	for (s = TAILQ_FIRST(&c->spaces); s; s = after) {
		after = TAILQ_NEXT(s, entry);
		if (s->stepper && s->check_ns <= now)
			step_timer(c, s);
	}
	grab_timers(c, now);
	early_timers(c, now);
	snapshot_timers(c, now);
	ring_timer(c, now);
	if (c->settle_ns && c->settle_ns <= now)
		settle_down(c);
	latency_timer(c, now);
	release_timers(c, now);
}

static void sleep_for_more(struct controller *c)
{
	uint64_t next = next_timer(c), now = os_now_ns();

	if (next == UINT64_MAX)
		look_at_client(c, -1, 0);
	else
		look_at_client(c, 0, next > now ? next - now : 0);
}

static bool client_is_next(const struct controller *c)
{
	const struct process *first = TAILQ_FIRST(&c->processes);

	return !TAILQ_EMPTY(&c->questions) || !TAILQ_EMPTY(&c->open_questions) || (first && first->parked && first->announced);
}

/* Is the next stop to be waited for awake? */
static bool spins(struct controller *c, struct spin *spin)
{
	uint64_t now = os_now_ns();

	if (c->launch_ns && (client_is_next(c) || now >= c->launch_ns ||
			     (spin->yield_ns && now - spin->yield_ns > YIELD_NS)))
		c->launch_ns = 0;
	if (c->launch_ns) {
		spin->yield_ns = now;
		return true;
	}
	if (client_is_next(c) || (!spin->credit && c->stats.stops == spin->stops)) {
		spin->stops = c->stats.stops;
		return spin->spinning = false;
	}
	if (c->stats.stops != spin->stops) {
		if (now - spin->last_stop <= SPIN_NS && spin->credit < CREDIT_MAX)
			spin->credit++;
		spin->stops = c->stats.stops;
		spin->last_stop = now;
		spin->spinning = spin->credit;
	} else if (spin->spinning && (spin->taken || now - spin->last_stop > SPIN_NS)) {
		spin->credit--;
		spin->spinning = false;
	}
	return spin->spinning;
}

/* The next stop may have to come from this very CPU. */
static void yield(struct spin *spin)
{
	uint64_t from = os_now_ns();

	sys(sched_yield, 0);
	spin->taken = os_now_ns() - from > TAKEN_NS;
}

static void turns(struct controller *c)
{
	struct spin spin = { .spinning = false };
	bool swept = false;

	while (!c->done) {
		bool seen = read_signals(c);

		/* The client reads what it gets while this stop is looked at. */
		if (c->out.soon_ns && !TAILQ_EMPTY(&c->stopped))
			out_flush(c);
		act_all(c);
		if (c->out.urgent && client_is_next(c))
			out_flush(c);
		/*
		 * A SIGCHLD that was read may stand for several stops; what stops after the read raises one
		 * of its own. So one sweep for each read is enough, and one before each sleep is for certain.
		 */
		if (seen || !swept)
			swept = !drain(c);
		act_all(c);
		look_at_client(c, 0, 0);
		act_all(c);
		timers(c);
		snapshot_turn(c);
		if (c->client_gone)
			client_ended(c);
		processes_sweep(c);
		out_flush_due(c);
		if (c->done)
			break;
		if (!swept)
			continue;
		if (spins(c, &spin)) {
			if (spin.credit == CREDIT_MAX)
				latency_hold(c);
			image_warm(c);
			yield(&spin);
			if (c->launch_ns)
				arch_relax();
		} else {
			sleep_for_more(c);
			swept = false;
		}
	}
}

void loop(struct controller *c)
{
	do {
		turns(c);
		/* Stops that came meanwhile would lose their signals with us. */
		while (drain(c))
			act_all(c);
	} while (!finish_holds(c));
}
