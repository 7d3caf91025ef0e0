/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/moves.h"

#include <errno.h>
#include <sys/wait.h>

#include "controller/trace.h"
#include "os/sys.h"

/* ---- what is done at a stop -------------------------------------------------------------- */

static void tell_signal(struct controller *c, struct task *t, uint32_t type, int signal,
			const siginfo_t *info)
{
	struct proto_ev_signal body = { .signal = signal };

	if (!t->process->followed || t->process->released)
		return;
	if (info) {
		body.code = info->si_code;
		/* the member is valid for what a process has sent */
		if (info->si_code <= 0)
			body.sender = (uint32_t)info->si_pid;
	}
	event_of(c, &body.event, t);
	out_event(c, type, &body, sizeof(body));
}

void pass_signal(struct controller *c, struct task *t)
{
	siginfo_t info;

	t->deliver = t->delivered = WSTOPSIG(t->status);
	slot_leave(c, t);
	sample_held(c, t, PROTO_SAMPLE_AT_SIGNAL, PROTO_EV_signal);
	if (c->hold.events & PROTO_WANT_SIGNAL)
		tell_signal(c, t, PROTO_EV_signal, t->deliver, trace_get_info(t->tid, &info) ? NULL : &info);
	signals_refresh(c, t, t->deliver != SIGCHLD);
	if (t->deliver == SIGTRAP && signals_ignored(t))
		t->deliver = 0;
	t->crashing = crash_comes(c, t);
	settle(c, t);
}

static void interrupted(struct controller *c, struct task *t)
{
	struct process *p = t->process;

	t->vfork_child = 0;
	/* What continues it may be the kernel, for the client has died and left an orphaned group (rule 9): then it
	 * stands until it is let go, and stays stopped. */
	if (p->group_stopped && !p->release && client_went(c))
		return;
	if (p->group_stopped && !p->stays) {
		p->group_stopped = false;
		tell_signal(c, t, PROTO_EV_cont, SIGCONT, NULL);
	} else if (!p->stays) {
		signals_wind_back(c, t);
	}
	signals_refresh(c, t, true);
	settle(c, t);
}

static void group_stop(struct controller *c, struct task *t)
{
	struct process *p = t->process;

	if (!p->group_stopped) {
		p->group_stopped = true;
		sample(c, t, PROTO_SAMPLE_AT_STOP, PROTO_EV_stop);
		tell_signal(c, t, PROTO_EV_stop, WSTOPSIG(t->status), NULL);
	}
	signals_refresh(c, t, true);
	if (p->release) {
		release_stopped(c, t);
		return;
	}
	/* Listening it stays stopped for everybody, and tells when SIGCONT ends it. -ESRCH: dying. */
	trace_listen(t->tid);
	t->stopped_ns = 0;
	check_still(c, p->space);
}

static void first_group_stop(struct controller *c, struct task *t)
{
	/* A task born into a group-stop: its text is put right first, then it joins. */
	t->regroup = true;
	first_stop(c, t);
}

static void vfork_done(struct controller *c, struct task *t)
{
	t->vfork_child = 0;
	signals_refresh(c, t, true);
	settle(c, t);
}

/* The single step of a task that left its step behind in a blocking call, or one of the victim's own. */
static void stray_step(struct controller *c, struct task *t)
{
	if (t->masked)
		step_finish(c, t);
	else
		t->deliver = SIGTRAP;
	settle(c, t);
}

void step_left(struct controller *c, struct task *t)
{
	struct space *s = t->process->space;

	/* A park of a process that shares the memory keeps the space still; this one is let go all the same.
	 */
	if (t->process->release && s->parks)
		settle(c, t);
	else
		space_go_on(c, s);
}

static void step_done(struct controller *c, struct task *t)
{
	struct arch_regs regs;

	/* A victim that steps itself expects this very signal. */
	if (!trace_get_regs(t->tid, &regs) && arch_steps_itself(&regs))
		t->deliver = SIGTRAP;
	step_finish(c, t);
	t->over = 0;
	if (!signals_repair_step(c, t))
		step_left(c, t);
}

/* Stopped for another reason before the instruction: once more. */
static void step_again(struct controller *c, struct task *t)
{
	(void)c;
	if (classify(t->status, 0) == STOP_GROUP)
		t->regroup = true;
	task_set_state(t, TASK_STEPPING);
	trace_step(t->tid, 0);
}

/* The instruction raised it (all others are masked): it is delivered as if there were no trap. */
static void step_signal(struct controller *c, struct task *t)
{
	struct arch_regs regs;

	if (!trace_get_regs(t->tid, &regs)) {
		t->rehit = t->over;
		t->rehit_sp = arch_sp(&regs);
	}
	step_finish(c, t);
	t->over = 0;
	t->deliver = WSTOPSIG(t->status);
	t->crashing = crash_comes(c, t);
	step_left(c, t);
}

/* The stepped instruction was a system call and is far enough to be left alone. */
static void step_forked(struct controller *c, struct task *t)
{
	struct space *s = t->process->space;

	step_finish(c, t);
	t->over = 0;
	/*
	 * The event first: the space, going on, lets this one run with it, and one that runs tells no more whom it has
	 * made. A child that nobody owns is then taken for an orphan.
	 */
	fork_event(c, t);
	space_go_on(c, s);
}

static void call_again(struct controller *c, struct task *t)
{
	(void)c;
	if (classify(t->status, 0) == STOP_GROUP)
		t->regroup = true;
	task_set_state(t, TASK_CALLING);
	trace_syscall(t->tid, 0);
}

static void call_signal(struct controller *c, struct task *t)
{
	/*
	 * Nobody masks this one. It is delivered here: at a later stop it would undo a SIGCONT that came meanwhile, while the
	 * kernel knows whether one has. Out of the group-stop the call goes on, and then it goes back.
	 */
	if (WSTOPSIG(t->status) == SIGSTOP) {
		task_set_state(t, TASK_CALLING);
		trace_syscall(t->tid, SIGSTOP);
		return;
	}
	/* All others are masked: the injected instruction itself has failed. */
	call_done(c, t);
}

/* Its last stop. What was being done with it comes to nothing, and who has waited for that goes on. */
static void ending(struct controller *c, struct task *t)
{
	struct space *s = t->process->space;

	question_cancel(c, t);
	if (s->stepper == t)
		step_finish(c, t);
	t->deliver = 0;
	t->over = 0;
	t->stands = t->own_due = false;
	t->crashing = t->regroup = t->has_held_info = false;
	sample_ending(c, t);
	settle(c, t);
	space_go_on(c, s);
}

/* Nobody has told of it yet: what it shares is of no more account, and its end may come before its maker's event. */
static void early_ends(struct controller *c, struct task *t)
{
	(void)c;
	trace_go(t->tid, 0);
}

static void drain_on(struct controller *c, struct task *t)
{
	release_stopped(c, t);
}

static void early_stays(struct controller *c, struct task *t)
{
	(void)c;
	(void)t;
}

/* ---- the table --------------------------------------------------------------------------- */

#define NEVER(reason)                  \
	{                              \
		.impossible = (reason) \
	}

static const char stands[] = "it is stopped: only its end, or an exec that takes its tid over, can come";
static const char unborn[] = "the first stop of a task that is traced from birth is PTRACE_EVENT_STOP";
static const char unasked[] = "system calls are shown only to TASK_CALLING, until its exit";
static const char ends[] = "after PTRACE_EVENT_EXIT no other stop comes";
static const char in_kernel[] = "it waits inside the kernel and stops first as VFORK_DONE";

/* Every state takes an exit: SIGKILL overtakes any stop. */
#define EXIT_ROW [STOP_EXIT] = { exit_task, TASK_HELD }
#define EXEC_ROW [STOP_EXEC] = { exec_event, TASK_HELD }
/* And so does the stop before it, where it was asked for. */
#define ENDING_ROW [STOP_ENDING] = { ending, TASK_HELD }

/* Stopped by us: what else the kernel could report comes after we let it go. */
/* clang-format off */
#define STANDING_ROW                      \
	EXIT_ROW,                         \
	ENDING_ROW,                       \
	EXEC_ROW,                         \
	[STOP_TRAP] = NEVER(stands),      \
	[STOP_STEP] = NEVER(stands),      \
	[STOP_SYSCALL] = NEVER(stands),   \
	[STOP_SIGNAL] = NEVER(stands),    \
	[STOP_INTERRUPT] = NEVER(stands), \
	[STOP_GROUP] = NEVER(stands),     \
	[STOP_FORK] = NEVER(stands),      \
	[STOP_VFORK] = NEVER(stands),     \
	[STOP_CLONE] = NEVER(stands),     \
	[STOP_VFORK_DONE] = NEVER(stands)

/*
 * Free to run, with or without an interrupt pending. An INTERRUPT that met a stop not yet waited for comes
 * after it: RUNNING takes it too.
 */
#define RUNNING_ROW                                    \
	EXIT_ROW,                                      \
	ENDING_ROW,                                    \
	EXEC_ROW,                                      \
	[STOP_TRAP] = { hit, TASK_HELD },              \
	[STOP_STEP] = { stray_step, TASK_HELD },       \
	[STOP_SYSCALL] = NEVER(unasked),               \
	[STOP_SIGNAL] = { pass_signal, TASK_HELD },    \
	[STOP_INTERRUPT] = { interrupted, TASK_HELD }, \
	[STOP_GROUP] = { group_stop, TASK_LISTENING }, \
	[STOP_FORK] = { fork_event, TASK_HELD },       \
	[STOP_VFORK] = { fork_event, TASK_HELD },      \
	[STOP_CLONE] = { fork_event, TASK_HELD },      \
	[STOP_VFORK_DONE] = { vfork_done, TASK_HELD }
/* clang-format on */

const struct move moves[TASK_STATES][STOP_KINDS] = {
	[TASK_EARLY] = {
		EXIT_ROW,
		[STOP_ENDING] = { early_ends, TASK_EARLY },
		[STOP_EXEC] = NEVER(stands),
		[STOP_TRAP] = NEVER(unborn),
		[STOP_STEP] = NEVER(unborn),
		[STOP_SYSCALL] = NEVER(unasked),
		[STOP_SIGNAL] = NEVER(unborn),
		[STOP_INTERRUPT] = { early_stays, TASK_EARLY },
		[STOP_GROUP] = { early_stays, TASK_EARLY },
		[STOP_FORK] = NEVER(unborn),
		[STOP_VFORK] = NEVER(unborn),
		[STOP_CLONE] = NEVER(unborn),
		[STOP_VFORK_DONE] = NEVER(unborn),
	},
	[TASK_NEW] = {
		EXIT_ROW,
		ENDING_ROW,
		[STOP_EXEC] = NEVER(unborn),
		[STOP_TRAP] = NEVER(unborn),
		[STOP_STEP] = NEVER(unborn),
		[STOP_SYSCALL] = NEVER(unasked),
		[STOP_SIGNAL] = NEVER(unborn),
		[STOP_INTERRUPT] = { first_stop, TASK_HELD },
		[STOP_GROUP] = { first_group_stop, TASK_HELD },
		[STOP_FORK] = NEVER(unborn),
		[STOP_VFORK] = NEVER(unborn),
		[STOP_CLONE] = NEVER(unborn),
		[STOP_VFORK_DONE] = NEVER(unborn),
	},
	[TASK_RUNNING] = { RUNNING_ROW },
	[TASK_STOPPING] = { RUNNING_ROW },
	/* Seen inside the kernel, it may have been on its way to any of them. */
	[TASK_BLOCKED] = { RUNNING_ROW },
	[TASK_VFORKING] = {
		EXIT_ROW,
		ENDING_ROW,
		EXEC_ROW,
		[STOP_TRAP] = NEVER(in_kernel),
		[STOP_STEP] = NEVER(in_kernel),
		[STOP_SYSCALL] = NEVER(unasked),
		[STOP_SIGNAL] = NEVER(in_kernel),
		/* a stale interrupt before VFORK_DONE, where the wait for the child can be broken off */
		[STOP_INTERRUPT] = { interrupted, TASK_HELD },
		[STOP_GROUP] = { group_stop, TASK_LISTENING },
		[STOP_FORK] = NEVER(in_kernel),
		/* a grab has seen the child before this: without the event nobody would own it */
		[STOP_VFORK] = { fork_event, TASK_HELD },
		[STOP_CLONE] = NEVER(in_kernel),
		[STOP_VFORK_DONE] = { vfork_done, TASK_HELD },
	},
	[TASK_HELD] = { STANDING_ROW },
	[TASK_GATHERED] = { STANDING_ROW },
	[TASK_ASKING] = { STANDING_ROW },
	[TASK_STEP_WAIT] = { STANDING_ROW },
	[TASK_STEPPING] = {
		EXIT_ROW,
		ENDING_ROW,
		EXEC_ROW, /* the instruction was its system call */
		/* the victim's own trap instruction under ours cannot be: none is planted over one */
		[STOP_TRAP] = { step_signal, TASK_HELD },
		[STOP_STEP] = { step_done, TASK_HELD },
		[STOP_SYSCALL] = NEVER(unasked),
		[STOP_SIGNAL] = { step_signal, TASK_HELD },
		[STOP_INTERRUPT] = { step_again, TASK_HELD },
		[STOP_GROUP] = { step_again, TASK_HELD },
		[STOP_FORK] = { step_forked, TASK_HELD },
		[STOP_VFORK] = { step_forked, TASK_HELD },
		[STOP_CLONE] = { step_forked, TASK_HELD },
		[STOP_VFORK_DONE] = NEVER("a step ends at STOP_VFORK at the latest"),
	},
	[TASK_CALLING] = {
		EXIT_ROW,
		ENDING_ROW,
		EXEC_ROW, /* by another thread, which takes the leader's tid over */
		[STOP_TRAP] = { call_signal, TASK_HELD },
		[STOP_STEP] = { call_signal, TASK_HELD },
		[STOP_SYSCALL] = { call_moved, TASK_HELD },
		[STOP_SIGNAL] = { call_signal, TASK_HELD },
		[STOP_INTERRUPT] = { call_again, TASK_HELD },
		[STOP_GROUP] = { call_again, TASK_HELD },
		[STOP_FORK] = NEVER("the calls that are put into a task make no tasks"),
		[STOP_VFORK] = NEVER("the calls that are put into a task make no tasks"),
		[STOP_CLONE] = NEVER("the calls that are put into a task make no tasks"),
		[STOP_VFORK_DONE] = NEVER("the calls that are put into a task make no tasks"),
	},
	[TASK_ENDING] = {
		EXIT_ROW,
		EXEC_ROW, /* another thread's, which takes the leader's tid over */
		[STOP_ENDING] = NEVER(ends),
		[STOP_TRAP] = NEVER(ends),
		[STOP_STEP] = NEVER(ends),
		[STOP_SYSCALL] = NEVER(ends),
		[STOP_SIGNAL] = NEVER(ends),
		[STOP_INTERRUPT] = NEVER(ends),
		[STOP_GROUP] = NEVER(ends),
		[STOP_FORK] = NEVER(ends),
		[STOP_VFORK] = NEVER(ends),
		[STOP_CLONE] = NEVER(ends),
		[STOP_VFORK_DONE] = NEVER(ends),
	},
	[TASK_LISTENING] = {
		EXIT_ROW,
		ENDING_ROW,
		EXEC_ROW,
		[STOP_TRAP] = NEVER("it runs no user code before the group-stop's end is reported"),
		[STOP_STEP] = NEVER("it runs no user code before the group-stop's end is reported"),
		[STOP_SYSCALL] = NEVER(unasked),
		[STOP_SIGNAL] = NEVER("signals wait until the group-stop's end is reported"),
		[STOP_INTERRUPT] = { interrupted, TASK_HELD },
		/* stopped anew before it ran, or interrupted by us to be let go */
		[STOP_GROUP] = { group_stop, TASK_LISTENING },
		[STOP_FORK] = NEVER("it runs no user code before the group-stop's end is reported"),
		[STOP_VFORK] = NEVER("it runs no user code before the group-stop's end is reported"),
		[STOP_CLONE] = NEVER("it runs no user code before the group-stop's end is reported"),
		[STOP_VFORK_DONE] = NEVER("it runs no user code before the group-stop's end is reported"),
	},
	[TASK_DRAINING] = {
		EXIT_ROW,
		ENDING_ROW,
		EXEC_ROW,
		[STOP_TRAP] = { hit, TASK_HELD },
		[STOP_STEP] = { drain_on, TASK_HELD },
		[STOP_SYSCALL] = NEVER(unasked),
		[STOP_SIGNAL] = { pass_signal, TASK_HELD },
		[STOP_INTERRUPT] = { drain_on, TASK_HELD },
		[STOP_GROUP] = { drain_on, TASK_HELD },
		[STOP_FORK] = NEVER("it runs no user code before its queued SIGTRAP is delivered"),
		[STOP_VFORK] = NEVER("it runs no user code before its queued SIGTRAP is delivered"),
		[STOP_CLONE] = NEVER("it runs no user code before its queued SIGTRAP is delivered"),
		[STOP_VFORK_DONE] = NEVER("it runs no user code before its queued SIGTRAP is delivered"),
	},
};

const char *task_state_name(enum task_state state)
{
	static const char *const names[TASK_STATES] = {
		[TASK_EARLY] = "early",       [TASK_NEW] = "new",         [TASK_RUNNING] = "running",
		[TASK_STOPPING] = "stopping", [TASK_BLOCKED] = "blocked", [TASK_VFORKING] = "vforking",
		[TASK_HELD] = "held",         [TASK_ASKING] = "asking",   [TASK_STEP_WAIT] = "step-wait",
		[TASK_STEPPING] = "stepping", [TASK_CALLING] = "calling", [TASK_LISTENING] = "listening",
		[TASK_DRAINING] = "draining", [TASK_GATHERED] = "gathered", [TASK_ENDING] = "ending",
	};

	return (size_t)state < ARRAY_LEN(names) ? names[state] : "?";
}

/* ---- one stop ---------------------------------------------------------------------------- */

int stop_regs(struct controller *c, const struct task *t, struct arch_regs *ret)
{
	int r = c->seen.of == t ? 0 : trace_get_regs(t->tid, &c->seen.regs);

	c->seen.of = r ? NULL : t;
	*ret = c->seen.regs;
	return r;
}

void act(struct controller *c, struct task *t)
{
	enum stop_kind kind = classify(t->status, 0);
	const struct move *move;

	c->seen.of = NULL;
	if (classify_needs_code(t->status)) {
		siginfo_t info;

		/* -ESRCH: killed since; as a plain signal it is harmless until its end comes */
		kind = trace_get_info(t->tid, &info) ? STOP_SIGNAL : classify(t->status, info.si_code);
	}
	if (kind != STOP_EXIT && t->must_pass)
		grab_passed(c, t);
	if (t->process && t->process->crasher == t && t->process->crash_goes && kind != STOP_EXIT && kind != STOP_ENDING)
		crash_survived(c, t);
	if (t->process && t->process->learner == t && t->state == TASK_STOPPING && kind != STOP_INTERRUPT &&
	    kind != STOP_EXEC)
		signals_unlearn(c, t->process);
	if (t->snapshot == SNAPSHOT_WANTED)
		snapshot_stop(c, t, kind);
	move = &moves[t->state][kind];
	if (move->act) {
		/* A stepper leaves its queue by whatever comes instead. */
		if (t->state == TASK_STEP_WAIT)
			TAILQ_REMOVE(&t->process->space->steppers, t, of_steppers);
		if (kind != STOP_EXIT || t->process)
			task_set_state(t, move->next);
		move->act(c, t);
		return;
	}
	/* The kernel did what the table calls impossible: pass on what belongs to the victim, and no more. */
	if (kind == STOP_SIGNAL)
		t->deliver = WSTOPSIG(t->status);
	if (t->state == TASK_EARLY)
		return;
	if (t->state == TASK_STEP_WAIT)
		TAILQ_REMOVE(&t->process->space->steppers, t, of_steppers);
	question_cancel(c, t);
	task_set_state(t, TASK_HELD);
	settle(c, t);
}
