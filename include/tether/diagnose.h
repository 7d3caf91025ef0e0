/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * tether/diagnose.h - may a process be held, why not, and what would allow it
 *
 * The rules are those of ptrace(2), "Ptrace access mode checking", seen from the calling thread and from the
 * controller that it would start. Nothing is stopped, traced or changed to find out.
 *
 * Two kinds of access are judged apart. *Control* is what tether_grab() does: the controller, which has the
 * caller's user and group, but after its exec only the capabilities that execve(2) leaves, traces the process.
 * *Observe* is what TETHER_OBSERVE does: the caller itself reads the process's memory and its files in /proc.
 */
#ifndef TETHER_DIAGNOSE_H
#define TETHER_DIAGNOSE_H

#include <tether/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One row: value (never reused), name in C, name in records, one-line description. */
#define TETHER_CAUSES(X)                                                                                  \
	X(1, GONE, "gone", "no such process")                                                             \
	X(2, HIDDEN, "hidden", "/proc does not show it: mounted with hidepid")                            \
	X(3, THREAD, "thread", "a thread, not a process")                                                 \
	X(4, SELF, "self", "the calling process")                                                         \
	X(5, CONTROLLER, "controller", "a controller of tether")                                          \
	X(6, ANCESTOR, "ancestor", "the calling process descends from it")                                \
	X(7, KERNEL_THREAD, "kernel-thread", "a thread of the kernel")                                    \
	X(8, ZOMBIE, "zombie", "it has ended and waits for its parent")                                   \
	X(9, TRACED, "traced", "another process traces it")                                               \
	X(10, SHARED, "shared", "it shares its memory with a traced process")                             \
	X(11, MACHINE, "machine", "a program for another machine type")                                   \
	X(12, USER, "user", "it runs as another user or group")                                           \
	X(13, DUMPABLE, "dumpable", "it is not dumpable: prctl(PR_SET_DUMPABLE), a set-id or unreadable program") \
	X(14, CAPABILITIES, "capabilities", "it has capabilities that the tracer lacks")                  \
	X(15, USER_NAMESPACE, "user-namespace", "it lives in a user namespace that is not ours to rule")  \
	X(16, YAMA, "yama", "the Yama security module restricts ptrace(2)")                               \
	X(17, SECURITY, "security-module", "the kernel refuses, and no rule that can be read says why")   \
	X(18, SECCOMP, "seccomp", "a system call filter")                                                 \
	X(19, STOPPED, "stopped", "job control has stopped it")                                           \
	X(20, UNINTERRUPTIBLE, "uninterruptible", "it cannot be stopped now")                             \
	X(21, KERNEL, "kernel", "the kernel is too old for something")

enum tether_cause {
#define X(value, name, text, what) TETHER_CAUSE_##name = (value),
	TETHER_CAUSES(X)
#undef X
};

/* What a reason stands in the way of. */
enum tether_access {
	TETHER_ACCESS_CREATE = 1 << 0,  /* tether_create() */
	TETHER_ACCESS_CONTROL = 1 << 1, /* tether_grab() */
	TETHER_ACCESS_OBSERVE = 1 << 2, /* tether_grab() with TETHER_OBSERVE, tether_read(), tether_objects() */
};

/**
 * struct tether_reason - one thing that stands in the way, or is worth knowing
 *
 * Lives until the callback returns.
 */
struct tether_reason {
	size_t size;
	uint32_t cause;     /* enum tether_cause */
	uint32_t forbids;   /* set of enum tether_access; 0: it is allowed all the same */
	int32_t code;       /* the TETHER_E* of a refusal; 0 when nothing is forbidden */
	uint32_t reserved;
	int64_t other_pid;  /* the tracer, the process of a thread; else 0 */
	const char *name;   /* of the cause, as in records: "traced"; static */
	const char *detail; /* half a sentence: "by gdb, pid 12" */
	const char *cure;   /* what would allow it; empty: nothing would */
};

/* Return 0 to go on, anything else to end with that value. */
typedef int tether_reason_fn(const struct tether_reason *reason, void *data);

/**
 * struct tether_verdict - what may be done
 */
struct tether_verdict {
	size_t size;
	int64_t pid;      /* 0: the machine */
	uint32_t access;  /* set of enum tether_access that is allowed; _CREATE only for the machine */
	uint32_t reasons; /* how many there are */
};

/**
 * tether_diagnose - judge whether the caller may hold and observe a process, and say why not
 * @pid: a process; 0: the machine: what is allowed with any process of the caller's own user
 * @ret: the caller sets size and owns it; untouched on failure
 * @visit: called for each reason, refusals first; NULL: only the verdict is wanted
 * @data: handed to @visit
 * Return: what @visit returned last, or 0: also for a process that may not be held or does not exist;
 *         -TETHER_EINVALID (@pid negative, @ret of unknown size), -ENOENT (/proc is not mounted)
 * Blocks: for files of /proc only
 * Threads: any, no session is needed; in a handler: yes. @visit runs on the calling thread. The verdict is that of
 *          the calling thread's user and capabilities.
 * Victim: not touched. The judgement is of this moment: the process may change before it is grabbed.
 * See: ptrace(2) on access mode checking, capabilities(7), user_namespaces(7), proc_pid_status(5),
 *      Documentation/admin-guide/LSM/Yama.rst of the kernel
 */
TETHER_API int tether_diagnose(int64_t pid, struct tether_verdict *ret, tether_reason_fn *visit, void *data);

#ifdef __cplusplus
}
#endif
#endif
