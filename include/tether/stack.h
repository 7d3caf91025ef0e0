/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * tether/stack.h - the stacks of a victim's threads
 *
 * A thread stands only for as long as its registers and the bytes of its stack are copied, and one that is blocked in a
 * system call need not even be stopped for that; what they mean is found out afterwards, while it runs. What is read of a file for that is kept by the session, so that the second snapshot
 * of a process reads none.
 */
#ifndef TETHER_STACK_H
#define TETHER_STACK_H

#include <tether/process.h>

#ifdef __cplusplus
extern "C" {
#endif

enum tether_manner {
	TETHER_TOGETHER = 0, /* there is an instant at which all of them stand, and their stacks are those of it */
	TETHER_ROLLING = 1,  /* one thread after the other stands */
	TETHER_STILL = 2,    /* nobody is stopped: threads that are blocked in a system call; others are only counted */
};

enum tether_snapshot_flags {
	TETHER_SNAPSHOT_NO_NAMES = 1 << 0,  /* addresses and objects only */
	TETHER_SNAPSHOT_RAW_NAMES = 1 << 1, /* names as they stand in the symbol tables, not demangled */
	/*
	 * With TETHER_TOGETHER: a thread that is blocked in a system call is not stopped, where its stack can be found without. It
	 * does not run either at the instant at which the others stand; one that has run meanwhile is stopped like them. Where
	 * a stack needs registers that only a stop shows, the snapshot is taken once more, with all stopped.
	 */
	TETHER_SNAPSHOT_SPARE_BLOCKED = 1 << 2,
};

/* Bounds that an option struct with 0 stands for, and the highest that are allowed. */
enum {
	TETHER_STACK_FRAMES = 1024,
	TETHER_STACK_FRAMES_MAX = 65536,
	TETHER_STACK_KBYTES = 2048, /* of one stack */
	TETHER_STACK_KBYTES_MAX = 65536,
};

/* How a frame's pc was found. */
enum tether_how {
	TETHER_HOW_PC = 1,     /* in the thread's register */
	TETHER_HOW_CFI = 2,    /* by the call frame information of the frame above it */
	TETHER_HOW_FP = 3,     /* by the frame pointer: there is no such information */
	TETHER_HOW_SIGNAL = 4, /* in the context that the kernel keeps for a signal handler: it was interrupted here */
	TETHER_HOW_SCAN = 5,   /* the first word of the stack that can be a return address: a guess */
};

enum tether_thread_state {
	TETHER_THREAD_STOPPED = 1, /* it stood, and all its registers are known */
	TETHER_THREAD_BLOCKED = 2, /* it was inside the kernel and did not stand; only its pc and sp are known */
	TETHER_THREAD_RUNNING = 3, /* it ran, and nothing is known of its stack */
};

/* Why a stack ends where it does. */
enum tether_stack_end {
	TETHER_END_WHOLE = 0,     /* at its outermost frame */
	TETHER_END_FRAMES = 1,    /* max_frames reached */
	TETHER_END_BYTES = 2,     /* the next frame is not among the bytes that were copied */
	TETHER_END_REGISTERS = 3, /* the next frame needs a register that is not known (of a thread that did not stand) */
	TETHER_END_RULES = 4,     /* nothing tells how to go on from here */
	TETHER_END_RUNNING = 5,   /* there is no stack: the thread ran */
};

struct tether_frame {
	uint64_t pc;
	uint64_t cfa;       /* the value of sp before the frame was called; 0: not known */
	const char *object; /* path; NULL: pc is in none */
	const char *symbol; /* NULL: it has no name */
	uint64_t offset;    /* from the symbol's start; without one from where the object's file starts in memory, or pc itself */
	uint64_t base;      /* what is added to the addresses in the object's file */
	uint32_t how;       /* enum tether_how */
	uint32_t reserved[3];
};

struct tether_stack {
	size_t size;
	int64_t pid, tid;
	const char *name;    /* of the thread; "" when it has ended since */
	uint32_t state;      /* enum tether_thread_state */
	uint32_t end;        /* enum tether_stack_end: all but WHOLE mean that the stack is truncated */
	int64_t syscall;     /* number of the system call that it was inside of, or -1 */
	uint64_t t_ns;       /* CLOCK_MONOTONIC at the copy */
	uint64_t pause_ns;   /* for how long it stood */
	uint64_t image;      /* exec serial of the program */
	const struct tether_frame *frames; /* innermost first */
	size_t frame_count;
};

/* What a snapshot was, and what it cost. */
struct tether_snapshot {
	size_t size;
	int64_t pid;
	uint32_t manner;     /* enum tether_manner */
	uint32_t threads;    /* in all; of these: */
	uint32_t blocked, running, truncated;
	uint32_t reserved;
	uint64_t t_ns;       /* CLOCK_MONOTONIC at its beginning */
	uint64_t pause_ns;   /* the longest that one thread stood */
	uint64_t total_ns;   /* until the last stack was handed over */
	uint64_t image;      /* exec serial of the program */
};

struct tether_snapshot_opts {
	size_t size;
	uint32_t manner;     /* enum tether_manner */
	uint32_t flags;      /* enum tether_snapshot_flags */
	uint32_t max_frames; /* of one stack; 0: TETHER_STACK_FRAMES */
	uint32_t max_kbytes; /* copied of one stack; 0: TETHER_STACK_KBYTES */
	uint32_t timeout_ms; /* a thread that does not stop within is reported as running; 0: the question time */
	uint32_t tid_count;
	const int64_t *tids; /* only these threads; NULL: all */
};

/* Return 0 to go on, anything else to end the iteration with that value. */
typedef int tether_stack_fn(const struct tether_stack *stack, void *data);

/**
 * tether_snapshot - the stacks of a victim's threads
 * @process: a control handle for TETHER_TOGETHER and TETHER_ROLLING, of any kind for TETHER_STILL
 * @opts: NULL for defaults; read during the call only
 * @visit: called once a thread, on the calling thread; the stack, its frames and strings are the library's and live
 *         until it returns
 * @data: handed to @visit; the caller's
 * @ret: the caller's, may be NULL; it sets size, no more than that is written; untouched on failure
 * Return: what the callback returned last, or 0; -TETHER_EGONE, -TETHER_ELOST, -TETHER_EMODE (an observe handle cannot
 *         stop anybody), -TETHER_ESTATE (it was let go meanwhile), -TETHER_EPRIV, -TETHER_EINVALID, -ENOMEM,
 *         -TETHER_EFORKED, -TETHER_ECLOSED
 * Blocks: until all threads stood, at most opts->timeout_ms; while another thread of the session takes one
 * Threads: any; in a handler: TETHER_STILL only (others wait for the thread that asks); in a forked child:
 *          -TETHER_EFORKED
 * Victim: its threads stand while they are copied. Whether one is blocked in a system call makes no difference to it:
 *         a call that a stop disturbs is put back (see docs/safety.md). A thread that waits for its vfork child, or
 *         cannot be interrupted, is not waited for and reported as blocked. A job-control stop stays one. With
 *         TETHER_SNAPSHOT_SPARE_BLOCKED a call with a time-out is not disturbed either, as long as its thread is spared.
 * See: ptrace(2) on PTRACE_INTERRUPT, proc(5) on /proc/PID/task/TID/syscall, vfork(2), sigaltstack(2)
 */
TETHER_API int tether_snapshot(struct tether *process, const struct tether_snapshot_opts *opts,
			       tether_stack_fn *visit, void *data, struct tether_snapshot *ret);

/*
 * The kinds of events that can come with a stack. THREAD_START: that of the thread which makes the new one. EXIT: that of the
 * thread which has ended the process, by exit(3) or by the signal that was delivered to it, as it was then; none where
 * SIGKILL has. An EXEC has none: it is told when the old image is gone, and who called it with it.
 */
#define TETHER_EVENTS_WITH_STACK                                                                                      \
	(TETHER_EVENT_BIT(TETHER_EVENT_FORK) | TETHER_EVENT_BIT(TETHER_EVENT_THREAD_START) |                          \
	 TETHER_EVENT_BIT(TETHER_EVENT_LOAD) | TETHER_EVENT_BIT(TETHER_EVENT_UNLOAD) |                                \
	 TETHER_EVENT_BIT(TETHER_EVENT_SIGNAL) | TETHER_EVENT_BIT(TETHER_EVENT_STOP) |                                \
	 TETHER_EVENT_BIT(TETHER_EVENT_EXIT))

/**
 * tether_event_stack - the stack that a thread had at an event
 * @event: in its handler; of a kind that the stacks of struct tether_create_opts or tether_grab_opts names
 * @flags: TETHER_SNAPSHOT_NO_NAMES, TETHER_SNAPSHOT_RAW_NAMES
 * @visit: called once, on the calling thread; the stack, its frames and strings are the library's and live until it
 *         returns
 * @data: handed to @visit; the caller's
 * Return: what the callback returned; -TETHER_ENOTFOUND (the event has no stack: of another kind, of an object that was
 *         there from the start, of a process that was killed meanwhile), -TETHER_EINVALID, -ENOMEM
 * Threads: the one that dispatches; in a handler: yes
 * Victim: the thread stands at such an event until its stack has been looked at, at most the session's question_ms.
 *         At most 256 frames, and those that its innermost 64 kbytes hold.
 * See: tether_snapshot(3), ptrace(2)
 */
TETHER_API int tether_event_stack(const struct tether_event *event, uint32_t flags, tether_stack_fn *visit, void *data);

#ifdef __cplusplus
}
#endif
#endif
