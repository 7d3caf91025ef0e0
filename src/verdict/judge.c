/* SPDX-License-Identifier: BSD-2-Clause */
#include "verdict/judge.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <linux/capability.h>

enum {
	CREATE = TETHER_ACCESS_CREATE,
	CONTROL = TETHER_ACCESS_CONTROL,
	OBSERVE = TETHER_ACCESS_OBSERVE,
	BOTH = CONTROL | OBSERVE,
	YAMA_NONE = 0,
	YAMA_DESCENDANTS = 1,
	YAMA_CAPABILITY = 2,
};

const char *judge_cause_name(enum tether_cause cause)
{
	switch (cause) {
#define X(value, name, text, what) \
	case value:                \
		return text;
		TETHER_CAUSES(X)
#undef X
	default:
		return "unknown";
	}
}

/* ---- building
 * ---------------------------------------------------------------------------------------------- */

static struct reason *add(struct judgement *judgement, enum tether_cause cause, uint32_t forbids, int code)
{
	/* More than the rules can give; should one be added, the last is overwritten and nothing else. */
	size_t at = judgement->count < REASONS_MAX ? judgement->count++ : REASONS_MAX - 1;
	struct reason *reason = &judgement->reasons[at];

	*reason = (struct reason){ .cause = cause, .forbids = forbids, .code = forbids ? code : 0 };
	judgement->access &= ~forbids;
	return reason;
}

static void PRINTF_LIKE(2, 3) detail(struct reason *reason, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(reason->detail, sizeof(reason->detail), format, arguments);
	va_end(arguments);
}

static void PRINTF_LIKE(2, 3) cure(struct reason *reason, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(reason->cure, sizeof(reason->cure), format, arguments);
	va_end(arguments);
}

/* ---- who asks
 * ------------------------------------------------------------------------------------------------ */

/* What is judged: the caller reads, the controller traces. */
struct tracer {
	uint32_t uid, gid;
	uint64_t permitted, effective;
	uint32_t access;
};

static struct tracer caller_of(const struct facts *facts)
{
	const struct who *who = &facts->caller;

	return (struct tracer){ who->uid[0], who->gid[0], who->permitted, who->effective, OBSERVE };
}

/*
 * After its exec (capabilities(7), "Transformation of capabilities during execve"): all that the bounding set
 * allows for root, the ambient set for others; capabilities of the caller's own file are gone.
 */
static struct tracer controller_of(const struct facts *facts)
{
	const struct who *who = &facts->caller;
	struct tracer tracer = { who->uid[0], who->gid[0], who->ambient, who->ambient, CONTROL };

	if (who->uid[0] == 0 || who->uid[1] == 0)
		tracer.permitted = who->bounding | who->inheritable;
	if (who->uid[1] == 0)
		tracer.effective = tracer.permitted;
	return tracer;
}

static bool has_ptrace(uint64_t set)
{
	return set >> CAP_SYS_PTRACE & 1;
}

static bool capable(const struct facts *facts, const struct tracer *tracer)
{
	switch (facts->relation) {
	case RELATION_OWNED:
		return true;
	case RELATION_SAME:
	case RELATION_BELOW:
	case RELATION_UNKNOWN:
		return has_ptrace(tracer->effective);
	case RELATION_OTHER:
		break;
	}
	return false;
}

static bool same_ids(const struct facts *facts, const struct tracer *tracer)
{
	for (int i = 0; i < 3; i++) {
		if (facts->victim.uid[i] != tracer->uid || facts->victim.gid[i] != tracer->gid)
			return false;
	}
	return true;
}

/* ---- the rules of access
 * ------------------------------------------------------------------------------------ */

/* Rows are met in the order of ptrace(2). Causes that hold for both kinds of access are one reason. */
enum rule { RULE_USER, RULE_DUMPABLE, RULE_NAMESPACE, RULE_CAPABILITIES, RULE_YAMA, RULES };

struct breaches {
	uint32_t of[RULES];
};

static bool yama_forbids(const struct facts *facts, const struct tracer *tracer, bool excepted)
{
	bool child = tracer->access == OBSERVE && facts->descendant;

	if (facts->yama <= YAMA_NONE)
		return false;
	if (facts->yama == YAMA_DESCENDANTS)
		return !child && !excepted && !capable(facts, tracer);
	if (facts->yama == YAMA_CAPABILITY)
		return !capable(facts, tracer);
	return true;
}

static void apply(struct breaches *breaches, const struct facts *facts, const struct tracer *tracer,
		  bool excepted)
{
	bool may_all = capable(facts, tracer);
	uint32_t access = tracer->access;

	if (!same_ids(facts, tracer) && !may_all)
		breaches->of[RULE_USER] |= access;
	if (facts->dumpable == KNOWN_NO && !may_all)
		breaches->of[RULE_DUMPABLE] |= access;
	if (facts->relation != RELATION_SAME && facts->relation != RELATION_UNKNOWN) {
		if (!may_all)
			breaches->of[RULE_NAMESPACE] |= access;
	} else if (facts->victim.permitted & ~tracer->permitted && !may_all) {
		breaches->of[RULE_CAPABILITIES] |= access;
	}
	if (yama_forbids(facts, tracer, excepted))
		breaches->of[RULE_YAMA] |= access;
}

static void add_user(struct judgement *judgement, const struct facts *facts, uint32_t forbids)
{
	const struct who *victim = &facts->victim, *caller = &facts->caller;
	struct reason *reason = add(judgement, TETHER_CAUSE_USER, forbids, TETHER_EPRIV);

	if (victim->uid[0] == victim->uid[1] && victim->uid[0] == victim->uid[2] &&
	    victim->gid[0] == victim->gid[1] && victim->gid[0] == victim->gid[2])
		detail(reason, "it runs as user %u, group %u; this is user %u, group %u", victim->uid[0],
		       victim->gid[0], caller->uid[0], caller->gid[0]);
	else
		detail(reason,
		       "it runs a set-id program: users %u, %u, %u, groups %u, %u, %u (real, effective, "
		       "saved); "
		       "this is user %u, group %u",
		       victim->uid[0], victim->uid[1], victim->uid[2], victim->gid[0], victim->gid[1],
		       victim->gid[2], caller->uid[0], caller->gid[0]);
	if (facts->relation == RELATION_OTHER)
		cure(reason, "run tether as a user with CAP_SYS_PTRACE in a namespace above both");
	else if (victim->uid[0] == victim->uid[1] && victim->uid[0] != caller->uid[0])
		cure(reason, "run tether as that user, or with CAP_SYS_PTRACE (root has it)");
	else
		cure(reason, "run tether with CAP_SYS_PTRACE (root has it)");
}

static void add_dumpable(struct judgement *judgement, uint32_t forbids)
{
	struct reason *reason = add(judgement, TETHER_CAUSE_DUMPABLE, forbids, TETHER_EDUMPABLE);

	detail(reason, "it is not dumpable: it said so by prctl(2), changed its user, or executed a file "
		       "that this user "
		       "may not read");
	cure(reason, "run tether with CAP_SYS_PTRACE (root has it)");
}

static void add_namespace(struct judgement *judgement, const struct facts *facts, uint32_t forbids)
{
	struct reason *reason = add(judgement, TETHER_CAUSE_USER_NAMESPACE, forbids, TETHER_EPRIV);

	if (facts->relation == RELATION_OTHER) {
		detail(reason, "it lives in a user namespace that is not ours nor below it");
		cure(reason, "run tether in the user namespace of the process (nsenter(1)), or above it");
	} else {
		detail(reason, "it lives in a user namespace below ours that another user made");
		cure(reason, "run tether with CAP_SYS_PTRACE, or as the user who made that namespace");
	}
}

static void add_capabilities(struct judgement *judgement, const struct facts *facts, uint32_t forbids)
{
	struct reason *reason = add(judgement, TETHER_CAUSE_CAPABILITIES, forbids, TETHER_EPRIV);

	detail(reason, "it has capabilities that the tracer would lack (%#llx)",
	       (unsigned long long)facts->victim.permitted);
	cure(reason, "run tether with CAP_SYS_PTRACE (root has it)");
}

static void add_yama(struct judgement *judgement, const struct facts *facts, uint32_t forbids)
{
	struct reason *reason = add(judgement, TETHER_CAUSE_YAMA, forbids, TETHER_EYAMA);

	switch (facts->yama) {
	case YAMA_DESCENDANTS:
		detail(reason, "kernel.yama.ptrace_scope is 1: only what a tracer has started itself%s",
		       facts->descendant
			       ? "; the controller that would trace it has not, though this process did"
			       : "");
		cure(reason,
		     "start it with 'tether run', let it call prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY), run "
		     "tether with CAP_SYS_PTRACE, or set kernel.yama.ptrace_scope to 0");
		break;
	case YAMA_CAPABILITY:
		detail(reason, "kernel.yama.ptrace_scope is 2: only with CAP_SYS_PTRACE");
		cure(reason, "run tether with CAP_SYS_PTRACE, or set kernel.yama.ptrace_scope to 0 or 1");
		break;
	default:
		detail(reason,
		       "kernel.yama.ptrace_scope is %d: nobody may, and it stays so until the next boot",
		       facts->yama);
		cure(reason, "boot with another kernel.yama.ptrace_scope");
		break;
	}
}

/* The kernel says no, and the rules found nothing. */
static void add_unexplained(struct judgement *judgement, bool may_all)
{
	struct reason *reason = add(judgement, TETHER_CAUSE_SECURITY, judgement->access & BOTH, TETHER_EPRIV);

	if (may_all) {
		detail(reason,
		       "the kernel refuses though this process has CAP_SYS_PTRACE: a security module such as "
		       "SELinux or AppArmor does so");
		cure(reason, "look at the log of the security module");
	} else {
		detail(reason, "the kernel refuses: it is not dumpable, or a security module such as SELinux "
			       "or AppArmor "
			       "does so");
		cure(reason, "run tether with CAP_SYS_PTRACE (root has it), or look at the log of the "
			     "security module");
	}
}

static void judge_access(struct judgement *judgement, const struct facts *facts)
{
	struct tracer caller = caller_of(facts), controller = controller_of(facts);
	struct breaches breaches = { { 0 } };
	bool excepted;

	/* What the rules forbid and the kernel allows, the process has allowed by PR_SET_PTRACER. */
	excepted =
		facts->memory == 0 && facts->yama == YAMA_DESCENDANTS && yama_forbids(facts, &caller, false);
	apply(&breaches, facts, &caller, excepted);
	apply(&breaches, facts, &controller, excepted);
	if (facts->memory == 0) {
		for (int i = 0; i < RULES; i++)
			breaches.of[i] &= ~(uint32_t)OBSERVE;
	}
	/* The cure for another user gives root's capabilities along. */
	if (facts->victim.uid[0] == 0)
		breaches.of[RULE_CAPABILITIES] &= ~breaches.of[RULE_USER];
	if (breaches.of[RULE_USER])
		add_user(judgement, facts, breaches.of[RULE_USER]);
	if (breaches.of[RULE_DUMPABLE])
		add_dumpable(judgement, breaches.of[RULE_DUMPABLE]);
	if (breaches.of[RULE_NAMESPACE])
		add_namespace(judgement, facts, breaches.of[RULE_NAMESPACE]);
	if (breaches.of[RULE_CAPABILITIES])
		add_capabilities(judgement, facts, breaches.of[RULE_CAPABILITIES]);
	if (breaches.of[RULE_YAMA])
		add_yama(judgement, facts, breaches.of[RULE_YAMA]);
	if (facts->memory == -EPERM && judgement->access & OBSERVE)
		add_unexplained(judgement, capable(facts, &caller));
}

/* ---- what the process is
 * ------------------------------------------------------------------------------------- */

static void judge_tracer(struct judgement *judgement, const struct facts *facts)
{
	int64_t pid = facts->tracer ? facts->tracer : facts->shared_tracer;
	struct reason *reason;

	if (!pid)
		return;
	if (facts->tracer) {
		reason = add(judgement, TETHER_CAUSE_TRACED, CONTROL, TETHER_ETRACED);
		detail(reason, "by %s, pid %lld", *facts->tracer_name ? facts->tracer_name : "a process",
		       (long long)pid);
	} else {
		reason = add(judgement, TETHER_CAUSE_SHARED, CONTROL, TETHER_ETRACED);
		detail(reason, "it runs in the memory of its parent, pid %lld, which %s, pid %lld, traces",
		       (long long)facts->victim.ppid, *facts->tracer_name ? facts->tracer_name : "a process",
		       (long long)pid);
	}
	reason->other_pid = pid;
	cure(reason, "let %s (pid %lld) end or detach from it first",
	     *facts->tracer_name ? facts->tracer_name : "it", (long long)pid);
}

/* What has no memory or no threads of its own is not worth another rule. True: that was all. */
static bool judge_kind(struct judgement *judgement, const struct facts *facts)
{
	const struct who *victim = &facts->victim;
	struct reason *reason;

	if (!facts->exists) {
		reason = add(judgement, TETHER_CAUSE_GONE, BOTH, TETHER_EGONE);
		detail(reason, "there is no process %lld", (long long)facts->pid);
		cure(reason, "check the pid; the process may have ended");
	} else if (!facts->visible) {
		reason = add(judgement, TETHER_CAUSE_HIDDEN, BOTH, TETHER_EPRIV);
		detail(reason, "it exists, but /proc does not show it: mounted with hidepid");
		cure(reason, "run tether as the same user or as root, or mount /proc with hidepid=0");
	} else if (victim->tgid != facts->pid) {
		reason = add(judgement, TETHER_CAUSE_THREAD, BOTH, TETHER_ETHREAD);
		reason->other_pid = victim->tgid;
		detail(reason, "it is a thread of process %lld", (long long)victim->tgid);
		cure(reason, "give the pid %lld", (long long)victim->tgid);
	} else if (facts->self) {
		reason = add(judgement, TETHER_CAUSE_SELF, BOTH, TETHER_ESELF);
		detail(reason, "it is the process that asks");
		cure(reason, "ask from another process");
	} else if (victim->kernel_thread) {
		reason = add(judgement, TETHER_CAUSE_KERNEL_THREAD, BOTH, TETHER_EKTHREAD);
		detail(reason, "it is a thread of the kernel and has no program");
	} else if (victim->state == 'X' || (victim->state == 'Z' && victim->threads <= 1)) {
		reason = add(judgement, TETHER_CAUSE_ZOMBIE, BOTH, TETHER_EZOMBIE);
		reason->other_pid = victim->ppid;
		detail(reason, "it has ended, and its parent, pid %lld, has not taken notice",
		       (long long)victim->ppid);
	} else {
		return false;
	}
	return true;
}

static void judge_parts_of_tether(struct judgement *judgement, const struct facts *facts)
{
	struct reason *reason;

	if (facts->controller) {
		reason = add(judgement, TETHER_CAUSE_CONTROLLER, CONTROL, TETHER_ESELF);
		detail(reason, "it is a tether-controller, which holds other processes");
		cure(reason, "hold those, not it");
	}
	if (facts->other_machine) {
		reason = add(judgement, TETHER_CAUSE_MACHINE, CONTROL, TETHER_EMACHINE);
		detail(reason, "it runs a 32-bit program");
		cure(reason, "use a 64-bit build of the program");
	}
}

/* What does not forbid a thing but surprises who does not know it. */
static void add_notes(struct judgement *judgement, const struct facts *facts)
{
	const struct who *victim = &facts->victim;
	struct reason *reason;

	if (facts->ancestor) {
		reason = add(judgement, TETHER_CAUSE_ANCESTOR, 0, 0);
		detail(reason,
		       "this process descends from it: stopped, it cannot wait for us nor let itself go");
		cure(reason, "hold it from another terminal");
	}
	if (victim->state == 'T') {
		reason = add(judgement, TETHER_CAUSE_STOPPED, 0, 0);
		detail(reason, "job control has stopped it; it will be let go stopped");
		cure(reason, "tether resume -p %lld", (long long)facts->pid);
	}
	if (victim->state == 'D') {
		reason = add(judgement, TETHER_CAUSE_UNINTERRUPTIBLE, 0, 0);
		detail(reason, "it waits in a vfork(2) or for a device, and stops only when that is over");
		cure(reason, "wait, or look at what it waits for in /proc/%lld/wchan", (long long)facts->pid);
	}
	if (victim->seccomp) {
		reason = add(judgement, TETHER_CAUSE_SECCOMP, 0, 0);
		detail(reason, "a seccomp filter restricts its system calls, so none is made in its name: "
			       "some trapped "
			       "instructions are run in place, with its other threads stopped");
	}
}

static void add_machine_notes(struct judgement *judgement, const struct facts *facts)
{
	struct reason *reason;

	if (facts->caller.seccomp) {
		reason = add(judgement, TETHER_CAUSE_SECCOMP, 0, 0);
		detail(reason, "this process is under a seccomp filter, which may forbid ptrace(2) and "
			       "process_vm_readv(2)");
		cure(reason, "if it is refused all the same, allow them in the filter (containers: "
			     "--cap-add=SYS_PTRACE)");
	}
	if (facts->kernel_major &&
	    (facts->kernel_major < 5 || (facts->kernel_major == 5 && facts->kernel_minor < 10))) {
		reason = add(judgement, TETHER_CAUSE_KERNEL, 0, 0);
		detail(reason, "Linux %u.%u is older than 5.10, the oldest that tether is made for",
		       facts->kernel_major, facts->kernel_minor);
		cure(reason, "use a newer kernel");
	} else if (facts->kernel_major &&
		   (facts->kernel_major < 6 || (facts->kernel_major == 6 && facts->kernel_minor < 15))) {
		reason = add(judgement, TETHER_CAUSE_KERNEL, 0, 0);
		detail(reason,
		       "Linux %u.%u tells how a process ended to its parent only (from 6.15 on, to all)",
		       facts->kernel_major, facts->kernel_minor);
	}
}

/* ---- the whole
 * ------------------------------------------------------------------------------------------------ */

/* A process of the caller's own, that has done nothing unusual, started by somebody else. */
static void judge_machine(struct judgement *judgement, const struct facts *facts)
{
	struct tracer controller = controller_of(facts), caller = caller_of(facts);
	uint32_t forbids = 0;

	if (yama_forbids(facts, &controller, false))
		forbids |= CONTROL;
	if (yama_forbids(facts, &caller, false))
		forbids |= OBSERVE;
	/* What the controller starts descends from it: scope 1 allows that. */
	if (facts->yama > YAMA_DESCENDANTS && forbids & CONTROL)
		forbids |= CREATE;
	if (forbids)
		add_yama(judgement, facts, forbids);
	if (!has_ptrace(controller.effective)) {
		struct reason *reason = add(judgement, TETHER_CAUSE_USER, 0, 0);

		detail(reason, "without CAP_SYS_PTRACE only processes of user %u, group %u can be held",
		       controller.uid, controller.gid);
		cure(reason, "run tether as root for others");
	}
	add_machine_notes(judgement, facts);
}

void judge(struct judgement *ret, const struct facts *facts)
{
	*ret = (struct judgement){ .access = facts->pid ? BOTH : CREATE | BOTH };
	if (!facts->pid) {
		judge_machine(ret, facts);
		return;
	}
	if (judge_kind(ret, facts))
		return;
	judge_parts_of_tether(ret, facts);
	judge_tracer(ret, facts);
	judge_access(ret, facts);
	add_notes(ret, facts);
	if (facts->caller.seccomp)
		add_machine_notes(ret, facts);
}
