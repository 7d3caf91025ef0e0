/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * controller/crash.c - a process stands still before a signal ends it
 *
 *	signal-delivery-stop ── it would dump core, and nobody catches it ──► the process parks, with that signal held
 *	                                                                           │ resume
 *	                                                                           ▼
 *	                                                       delivered as it came: the same siginfo, core and status
 *
 * The thread stands where it has crashed, and the others with it: one that ran on could end the process first, by
 * another signal or none. What the kernel kills with at once is no stop, and not seen before: SIGKILL, a system call
 * filter, the memory that has run out.
 */
#include "controller/controller.h"

#include "controller/trace.h"
#include "os/procfs.h"

#define BIT(signal) (UINT64_C(1) << ((signal)-1))

/* Those whose default is a core dump: signal(7). */
static const uint64_t dumping = BIT(SIGQUIT) | BIT(SIGILL) | BIT(SIGTRAP) | BIT(SIGABRT) | BIT(SIGBUS) | BIT(SIGFPE) |
				BIT(SIGSEGV) | BIT(SIGXCPU) | BIT(SIGXFSZ) | BIT(SIGSYS);

bool crash_dumps(int signal)
{
	return signal > 0 && signal <= 64 && dumping & BIT(signal);
}

bool crash_comes(const struct controller *c, const struct task *t)
{
	const struct process *p = t->process;
	struct os_task_status status;

	if (!(c->hold.flags & PROTO_PARK_CRASH) || !p->followed || p->released || p->release || !crash_dumps(t->deliver))
		return false;
	/* The kernel does not let an init be ended by what it has no handler for. */
	if (os_task_status(t->tid, &status) || status.is_init)
		return false;
	/* One that is forced upon a thread which blocks or ignores it has been made the default by then. */
	return !((status.sig_ignored | status.sig_caught) & BIT(t->deliver));
}

bool crash_park(struct controller *c, struct task *t)
{
	struct proto_ev_crash body = { .signal = t->deliver };
	siginfo_t info;

	t->crashing = false;
	if (c->client_gone)
		return false;
	if (!trace_get_info(t->tid, &info)) {
		body.code = info.si_code;
		/* which member is valid follows from who has sent it: sigaction(2) */
		if (info.si_code <= 0)
			body.sender = (uint32_t)info.si_pid;
		else
			body.address = (uint64_t)(uintptr_t)info.si_addr;
	}
	event_of(c, &body.event, t);
	out_event(c, PROTO_EV_crash, &body, sizeof(body));
	task_set_state(t, TASK_HELD);
	t->process->crashed = true;
	t->process->crasher = t;
	t->process->crash_goes = false;
	park(c, t->process, t->tid);
	return true;
}

/*
 * Its core is to show its own text: no trap is put back into memory that ends with it. And nobody else runs any more: a
 * thread that gets a processor first could end the process in another way.
 */
void crash_goes_on(struct process *p)
{
	struct space *s = p->space;

	p->crash_goes = p->crasher != NULL;
	if (p->crashed && TAILQ_FIRST(&s->processes) == p && !TAILQ_NEXT(p, of_space))
		s->closed = true;
}

/* The others, let go before the signal has done its work, could end the process in another way. */
bool crash_released(struct controller *c, struct task *t)
{
	struct process *p = t->process;

	if (!p->crasher)
		return false;
	task_set_state(t, TASK_HELD);
	if (t == p->crasher) {
		p->crash_goes = true;
		task_run(c, t);
	}
	return true;
}

void crash_survived(struct controller *c, struct task *t)
{
	struct process *p = t->process;

	p->crasher = NULL;
	p->crash_goes = false;
	space_go_on(c, p->space);
	thaw_process(c, p);
}
