/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * tether/event.h - what a victim did
 *
 * Events are queued by the session and handed to the client by tether_dispatch(), in the order in which the
 * controller of the family saw them. No order is promised between families: compare @t_ns.
 */
#ifndef TETHER_EVENT_H
#define TETHER_EVENT_H

#include <stdbool.h>
#include <stdint.h>
#include <tether/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct tether;
struct tether_sample;

/* One row: value (never reused), name in C, name in records and for `-e`, one-line description. */
#define TETHER_EVENTS(X)                                                                             \
	X(1, CREATE, "create", "a process was created for this session")                             \
	X(2, GRAB, "grab", "a running process was grabbed")                                          \
	X(3, EXEC, "exec", "a process runs a new image")                                             \
	X(4, FORK, "fork", "a process made a child: fork, vfork or clone")                           \
	X(5, THREAD_START, "thread", "a thread started")                                             \
	X(6, THREAD_EXIT, "thread", "a thread ended")                                                \
	X(7, LOAD, "load", "the run-time linker mapped an object")                                   \
	X(8, UNLOAD, "unload", "the run-time linker unmapped an object")                             \
	X(9, PREINIT, "preinit", "initial objects are mapped and relocated, no constructor has run") \
	X(10, POSTINIT, "postinit", "all initial constructors have run")                             \
	X(11, MAIN, "main", "main is about to run its first instruction")                            \
	X(12, SIGNAL, "signal", "a signal is about to be delivered")                                 \
	X(13, STOP, "stop", "job control stopped the process")                                       \
	X(14, CONTINUE, "continue", "job control let the process go on")                             \
	X(15, EXIT, "exit", "the process ended")                                                     \
	X(16, LOST, "lost", "the hold is gone though the process may live")                          \
	X(17, RELEASE, "release", "the process was let go")                                          \
	X(18, SIGNAL_STATE, "signal-state-changed", "a trap changed the victim's SIGTRAP state")     \
	X(19, LATE_ANSWER, "late-answer", "a question of the controller was answered too late")      \
	X(20, DROPPED, "dropped", "events were lost because the queue was full")                     \
	X(21, PARKED, "parked", "the process stands still until it is continued")                    \
	X(22, BLOCKED, "blocked", "a thread cannot be stopped now: it waits in vfork or uninterruptibly") \
	X(23, CRASH, "crash", "a signal is about to end the process: it stands until it is continued")

enum tether_event_kind {
#define X(value, name, text, what) TETHER_EVENT_##name = (value),
	TETHER_EVENTS(X)
#undef X
};

/* A set of event kinds: bit number = enum tether_event_kind. */
#define TETHER_EVENT_BIT(kind) (UINT64_C(1) << (kind))
#define TETHER_EVENT_ALL (~UINT64_C(0))

enum tether_fork_kind { TETHER_FORK = 1, TETHER_VFORK = 2, TETHER_CLONE = 3 };

enum tether_release_mode {
	TETHER_MODE_DEFAULT = 0, /* kill for created, run for grabbed */
	TETHER_MODE_RUN = 1,     /* the victim runs on, untraced and whole */
	TETHER_MODE_KILL = 2,    /* the victim and its followed family are killed */
	TETHER_MODE_HANG = 3,    /* the victim is left in a job-control stop; SIGCONT resumes it */
};

/**
 * struct tether_event - one event; @size is what the library filled
 *
 * All pointers belong to the library and live until the handler returns. @process is a borrowed reference:
 * tether_ref() it to keep it. Byte strings are the victim's bytes: any encoding, no NUL inside.
 */
struct tether_event {
	size_t size;
	uint32_t kind;          /* enum tether_event_kind */
	uint32_t reserved;
	int64_t pid;            /* as the client's pid namespace sees them */
	int64_t tid;            /* the thread that did it */
	uint64_t t_ns;          /* CLOCK_MONOTONIC */
	struct tether *process; /* may be NULL: a child that is not followed has no handle */
	union {
		struct {
			int64_t ppid;
			const char *path;
			const char *const *argv; /* NULL-terminated */
		} create;
		struct {
			const char *path;
			uint32_t threads;
		} grab;
		struct {
			const char *path;        /* AT_EXECFN */
			const char *const *argv; /* NULL-terminated */
			const char *const *env;  /* NULL-terminated; NULL unless asked for */
			const char *cwd;
			const char *interpreter; /* the executable really mapped, when it is another: scripts */
			uint64_t serial;         /* the how-manieth exec of this handle, from 1 */
			bool suppressed;         /* set-id privilege was withheld because it is traced */
			bool truncated;          /* argv or env was longer than the limits of the library */
			bool parked;             /* it matched park_on_exec and stands before its first instruction */
			const char *const *creator_env; /* environment of the process that created it, or NULL */
		} exec;
		struct {
			int64_t child;
			uint32_t kind; /* enum tether_fork_kind */
			bool followed;
			struct tether *child_process; /* borrowed; NULL when not followed */
		} fork;
		struct {
			const char *path;
			uint64_t base;        /* load bias: l_addr of the link map */
			uint64_t low, high;   /* lowest and one past the highest mapped address */
			int64_t lmid;         /* link-map namespace, 0 is the base one */
			const uint8_t *build_id;
			uint32_t build_id_size;
			bool initial;         /* mapped at program start, or found at grab */
		} object; /* LOAD and UNLOAD */
		struct {
			int32_t signal;
			int32_t code;    /* si_code */
			int64_t sender;  /* si_pid where the code has one, else 0 */
			const char *detail; /* SIGNAL_STATE: what changed; else NULL */
			uint64_t address; /* CRASH: si_addr, where the processor or the kernel has raised it; else 0 */
		} signal; /* SIGNAL, STOP (signal only), SIGNAL_STATE, CRASH */
		struct {
			int32_t code;    /* exit status, or -1 when a signal ended it */
			int32_t signal;  /* 0, or the signal */
			bool core;
			uint64_t user_ns, system_ns; /* the process and the children it reaped: wait4(2) */
			uint64_t max_rss_kb;
		} exit;
		struct {
			const char *reason;
		} text; /* LOST, BLOCKED */
		struct {
			uint32_t mode; /* enum tether_release_mode */
		} release;
		struct {
			uint64_t waited_ns;
		} late;
		struct {
			uint64_t count;
		} dropped;
		uint64_t room[24];
	} u;
	/*
	 * For tether_event_stack(), while the handler runs; NULL: none was wanted, or could be had. The library's: it ends with
	 * the handler, in a copy of the event too.
	 */
	struct tether_sample *stack;
};

/**
 * tether_event_name - the name of a kind in records, "exec"
 * @kind: enum tether_event_kind
 * Return: a static string, never NULL ("unknown" for a kind nobody knows)
 * Threads: any; in a handler and in a forked child: yes
 * See: tether(1), where the records are described
 */
TETHER_API const char *tether_event_name(uint32_t kind);

/**
 * tether_event_kinds_by_name - the set of kinds that a name stands for ("thread" stands for two)
 * @name: as in the records of the command; the caller's, not kept
 * Return: a set of TETHER_EVENT_BIT()s, 0 for a name nobody knows
 * Threads: any; in a handler and in a forked child: yes
 * See: tether(1), where the records are described
 */
TETHER_API uint64_t tether_event_kinds_by_name(const char *name);

#ifdef __cplusplus
}
#endif
#endif
