/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * tether/breakpoint.h - be told, or count, when a victim comes to a place in its code
 *
 * A breakpoint is a wish; where it stands follows from what is loaded. One that names a function waits for its object: it
 * is planted before any code of the object runs (constructors too), goes with it at dlclose, and stands again when it
 * is loaded again, by the next program that the victim executes too, and in followed children. One that names an address
 * ends with what is mapped there. What cannot be planted stays inactive, and is tried again whenever something is loaded.
 *
 *	struct tether_breakpoint_opts opts = {
 *		.size = sizeof(opts), .where = "libc.so.6:malloc", .handler = on_malloc, .data = &mine,
 *	};
 *	struct tether_breakpoint *breakpoint;
 *	int r = tether_breakpoint_add(victim, &opts, &breakpoint, NULL);
 *	...
 *	tether_breakpoint_remove(breakpoint);
 *
 * A hit costs its thread one stop, in which it is counted and the instruction under the trap is run; the thread waits
 * for nobody, unless `stop` is to be called for it: then it stands at the address, the instruction not run yet, until that
 * has answered. Eight breakpoints may stand at one address; which of them the victim came to is told for each.
 *
 * Life: tether_breakpoint_add() -> enabled <-> disabled -> tether_breakpoint_remove(). It outlives its victim, for its
 * counts, and keeps a handle from being freed, but not the hold of it: after the last tether_release() nothing stands any
 * more. The end of the session ends it too.
 */
#ifndef TETHER_BREAKPOINT_H
#define TETHER_BREAKPOINT_H

#include <tether/process.h>
#include <tether/stack.h>

#ifdef __cplusplus
extern "C" {
#endif

struct tether_breakpoint;

enum tether_breakpoint_flags {
	TETHER_BREAKPOINT_ONCE = 1 << 0,     /* its first hit that is not ignored disables it, for good */
	TETHER_BREAKPOINT_DISABLED = 1 << 1, /* does not stand until tether_breakpoint_enable() */
	TETHER_BREAKPOINT_COUNT = 1 << 2,    /* only counted, no message a hit: no handler, no ignore, not ONCE */
	/*
	 * The calls of a function and their returns: with `call`, or COUNT; without OFFSET, ignore and ONCE. The trap of a
	 * return stands in the caller, where the function comes back to; the victim's stack is never written to. The first
	 * call from each place waits, for at most the session's question_ms, until it stands. A call that cannot be waited
	 * for is counted as `missed`; one that is left by longjmp(3), an exception or its thread's end does not return.
	 */
	TETHER_BREAKPOINT_RETURN = 1 << 3,
	TETHER_BREAKPOINT_LATENCY = 1 << 4,  /* with RETURN: how long calls took, in struct tether_breakpoint_place */
	TETHER_BREAKPOINT_STACK = 1 << 5,    /* with `call`: tether_call_stack() can tell the stack of a call */
	/* With stop: its thread waits for the answer without bound, also while this process is stopped or frozen. */
	TETHER_BREAKPOINT_FOREVER = 1 << 6,
};

/* A record of a call; the controller writes it, and the thread waits for nobody. */
enum tether_call_kind {
	TETHER_CALL = 1,
	TETHER_RETURN = 2,
	/*
	 * `dropped` records are missing here: they came faster than they were dispatched. Of all breakpoints of the family
	 * together, and told to one of them.
	 */
	TETHER_CALLS_DROPPED = 3,
};

enum { TETHER_CALL_ARGUMENTS = 6, TETHER_LATENCY_BUCKETS = 64 };

/**
 * struct tether_call - a thread of a victim has called a function, or has come back from it; it runs on since
 *
 * The library's; lives, with its strings, until the handler returns. Records of one thread come in the order of what they
 * tell; those of all threads of a family in the order of their stops.
 */
struct tether_call {
	size_t size;
	uint32_t kind;          /* enum tether_call_kind */
	uint32_t depth;         /* of how many calls whose returns are awaited (RETURN) the thread is inside, this one not counted */
	struct tether_breakpoint *breakpoint;
	struct tether *process; /* a reference that lasts as long as the record; dropped: NULL */
	int64_t pid, tid;
	uint64_t t_ns;          /* CLOCK_MONOTONIC at the stop */
	uint64_t address;       /* of the function, in the victim */
	uint64_t caller;        /* where it comes back to */
	const char *object;     /* path */
	const char *symbol;     /* as in its symbol table */
	uint64_t argument[TETHER_CALL_ARGUMENTS]; /* CALL: registers of the first integer arguments */
	uint64_t value;         /* RETURN: the register of an integer result */
	uint64_t elapsed_ns;    /* RETURN: since its call */
	uint64_t dropped;       /* CALLS_DROPPED: how many since the last such record */
	uint64_t reserved;      /* for the library */
};
typedef void tether_call_fn(const struct tether_call *call, void *data);

enum { TETHER_HIT_ARGUMENTS = 2 };

/**
 * struct tether_hit - a thread of a victim came to a breakpoint; it runs on since
 *
 * The library's; lives, with its strings, until the handler returns.
 */
struct tether_hit {
	size_t size;
	struct tether_breakpoint *breakpoint;
	struct tether *process; /* a reference that lasts as long as the record: tether_ref() to keep it */
	int64_t pid, tid;
	uint64_t t_ns;          /* CLOCK_MONOTONIC at the stop */
	uint64_t address;       /* in the victim */
	uint64_t number;        /* how many times it was hit so far, ignored ones too; from 1 */
	const char *object;     /* path; "" when it was not known */
	const char *symbol;     /* as in its symbol table; "" for an address without a name */
	uint64_t offset;        /* from there */
	uint64_t argument[TETHER_HIT_ARGUMENTS]; /* the registers of the first integer arguments, at a function's beginning */
};

/*
 * Called by tether_dispatch() on the caller's thread, as an event handler is and with the same rules: any breakpoint may
 * be added or removed in it, its own too.
 */
typedef void tether_hit_fn(const struct tether_hit *hit, void *data);

/* What becomes of the thread that stands at a breakpoint. */
enum tether_answer {
	TETHER_ANSWER_GO = 0,   /* it runs on */
	/* It alone stays there, until tether_thread_continue() or tether_continue(); others run, and traps stand in the text. */
	TETHER_ANSWER_STAY = 1,
	/* The process parks, as at a rendezvous: all threads stop, its text is whole, a PARKED event, until tether_continue(). */
	TETHER_ANSWER_STOP_ALL = 2,
};

/*
 * Called for a thread that stands at a breakpoint, on the session's handler thread, which is started when the first such
 * breakpoint is added. It has the host's descriptors, blocks all signals, and calls one handler at a time, for all victims
 * of the session; no lock of the library is held. Other threads of the victim run on. Registers (tether/registers.h) of
 * the thread and memory of the process (tether_write()) may be read and written; a thread whose pc was moved goes on there,
 * and the instruction under the trap is not run. Of several at one address each is called, and the strongest answer holds.
 *
 * It has the session's question_ms, from the hit on: what it waits for its turn counts. After that the thread runs on,
 * and calls that need it to stand answer -TETHER_ESTATE; the answer, when it comes, makes a LATE_ANSWER event. Until then no
 * thread is held for a handler: such hits are counted, and told only in `missed` (tether_breakpoint_info_get()). Not so with
 * TETHER_BREAKPOINT_FOREVER.
 *
 * Any breakpoint may be added or removed in it, its own too. What waits for a victim to come somewhere, or for another
 * thread, is -TETHER_EDEADLK: tether_dispatch(), tether_session_close(), tether_lock(), tether_create() but with
 * TETHER_STOP_NONE, tether_grab() but with TETHER_OBSERVE or TETHER_NO_PARK, and what meets a handle that another thread
 * has locked.
 *
 * The thread may end while it stands: its process exits, executes, or is killed. So may the client: then the thread runs on,
 * as after tether_release(), from the instruction that stood there.
 */
typedef enum tether_answer tether_stop_fn(const struct tether_hit *hit, void *data);

struct tether_breakpoint_opts {
	size_t size;
	/*
	 * "OBJECT:FUNCTION" or "OBJECT:FUNCTION+OFFSET". OBJECT is the path, the base name or the soname of a load object,
	 * or "a.out", the executable; FUNCTION a name as in its symbol table, not demangled; both may
	 * be patterns of fnmatch(3). OFFSET is a number in C's notation. NULL: by address.
	 */
	const char *where;
	uint64_t address;       /* of an instruction's first byte; 0 with where */
	uint32_t flags;         /* enum tether_breakpoint_flags */
	uint32_t reserved;
	uint64_t ignore;        /* so many hits first are counted only */
	tether_hit_fn *handler; /* required, but with stop or TETHER_BREAKPOINT_COUNT */
	void *data;             /* handed to the handler; the caller's */
	const char *const *except; /* with where: functions that match one of these patterns are left out; ends with NULL */
	tether_stop_fn *stop;   /* the thread stands while it is called; with handler: that one hears of it too */
	int64_t tid;            /* only hits of this thread count, and are told; it ends with that thread. 0: of all */
	tether_call_fn *call;   /* instead of handler: a record of each call, and with RETURN of each return; not with address */
};

/**
 * tether_breakpoint_add - have a breakpoint in a victim, and in the children that it will have
 * @process: a control handle; not one taken with TETHER_NO_MONITOR: nothing may be written into that one
 * @opts: where and what for; read during the call only
 * @ret: the caller's to remove; untouched on failure   @err: may be NULL
 * Return: 0, wherever it stands by now (tether_breakpoint_info_get()); -TETHER_EINVALID (where is malformed, flags that
 *         nobody knows or that contradict each other), -TETHER_EMODE (an observe handle), -TETHER_EMONITOR,
 *         -TETHER_EMEMORY (no instruction begins at that address, or that far into the function), -TETHER_ELIMIT (too many at that address),
 *         -TETHER_ENOTFOUND (the process has no such thread), -EAGAIN (no handler thread can be started), -TETHER_EGONE, -TETHER_ELOST, -ENOMEM, -TETHER_EFORKED, -TETHER_ECLOSED
 * Blocks: until it stands where it can; the names of files that nobody asked about before are read
 * Threads: any; in a handler: yes; in a forked child: -TETHER_EFORKED
 * Victim: runs on. Its text has a trap wherever it runs; never while it is parked, nor in what is let go. What is loaded
 *         later waits until its breakpoints stand, for at most the session's question_ms since one was planted last.
 * Release: tether_breakpoint_remove()
 * See: tether_dispatch(3), fnmatch(3), dlopen(3), elf(5)
 *
 * Of a name that the linker resolves when it loads (STT_GNU_IFUNC: strlen and others of libc.so.6) the breakpoint stands in
 * the function that was chosen in this process, as soon as that is known: when a loaded object has bound it, to be called by that name. Until then
 * it is `unresolved`, and looked for again whenever something is loaded; of a library that is loaded later, mostly with the
 * load that comes next. Never known are those of programs that are linked statically. Children that the victim has already are not
 * concerned.
 */
TETHER_API int tether_breakpoint_add(struct tether *process, const struct tether_breakpoint_opts *opts,
				     struct tether_breakpoint **ret, struct tether_error *err);

/**
 * tether_breakpoint_remove - take it out everywhere; hits of it that are queued are dropped
 * @breakpoint: NULL is allowed; not to be used any more when this returns 0
 * Return: 0, -TETHER_EFORKED, -TETHER_ECLOSED, -ENOMEM (it is as it was)
 * Blocks: until no thread comes to it any more
 * Threads: any; in a handler: yes, its own too. A handler that runs on another thread meanwhile ends after this returns.
 * See: tether_breakpoint_add(3)
 */
TETHER_API int tether_breakpoint_remove(struct tether_breakpoint *breakpoint);

/**
 * tether_breakpoint_enable - have it stand, or not
 * @breakpoint: one that was added   @enabled: 0 disables it: hits are neither counted nor told
 * Return: 0, -TETHER_ESTATE (it was TETHER_BREAKPOINT_ONCE and has been hit), -TETHER_EFORKED, -TETHER_ECLOSED, -ENOMEM
 * Blocks: until it stands where it can, or nowhere; hits from before that are queued are still handed over
 * Threads: any; in a handler: yes; in a forked child: -TETHER_EFORKED
 * See: tether_breakpoint_add(3)
 */
TETHER_API int tether_breakpoint_enable(struct tether_breakpoint *breakpoint, int enabled);

struct tether_breakpoint_info {
	size_t size;
	uint64_t hits;      /* of all processes, while it was enabled; handlers may not have been called yet */
	uint64_t functions; /* tether_breakpoint_functions() */
	uint64_t standing;  /* addresses where it stands now, or will when what is parked goes on */
	uint64_t inactive;  /* addresses where it should stand and could not be planted */
	uint32_t enabled;   /* 1, or 0 */
	uint32_t done;      /* TETHER_BREAKPOINT_ONCE: it has been hit */
	uint64_t missed;    /* of the hits, those for which `stop` was not called: its turn came too late */
	uint64_t unresolved; /* functions of which the linker has not chosen one yet (STT_GNU_IFUNC) */
};

/**
 * tether_breakpoint_info_get - how it stands
 * @breakpoint: one that was added   @ret: the caller's; it sets size, no more than that is written
 * Return: 0, -TETHER_EINVALID, -TETHER_EFORKED, -TETHER_ECLOSED
 * Threads: any; in a handler: yes; in a forked child: -TETHER_EFORKED
 * See: tether_breakpoint_add(3)
 */
TETHER_API int tether_breakpoint_info_get(struct tether_breakpoint *breakpoint, struct tether_breakpoint_info *ret);

/**
 * struct tether_breakpoint_place - an address where a breakpoint stands, or a function where it has ever stood
 *
 * Strings are the library's and live as long as the breakpoint.
 */
struct tether_breakpoint_place {
	size_t size;
	int64_t pid;        /* 0 of a function: any process */
	uint64_t address;   /* 0 of a function */
	const char *object; /* path; "" when it was not known */
	const char *symbol; /* "" for an address without a name */
	uint64_t offset;    /* from there */
	uint64_t hits;      /* of the function, in all processes */
	uint32_t standing;  /* 0: it could not be planted; of a function: at how many addresses it stands */
	uint32_t reserved;
	/* of a function, with TETHER_BREAKPOINT_RETURN; else 0 */
	uint64_t returns;   /* how many calls have come back */
	uint64_t missed;    /* calls whose returns could not be waited for */
	/* of a function, with TETHER_BREAKPOINT_LATENCY; else 0 and NULL */
	uint64_t total_ns;  /* how long they took together */
	/* [n]: how many took 2^n <= ns < 2^(n+1), [0] those of 0 too; TETHER_LATENCY_BUCKETS, the library's, while visited */
	const uint64_t *latency;
};

/* Return 0 to go on, anything else to end the iteration with that value. */
typedef int tether_place_fn(const struct tether_breakpoint_place *place, void *data);

/**
 * tether_breakpoint_places - every address where it stands or should stand now
 * @breakpoint: one that was added   @visit: called once for each, on the calling thread; may call anything
 * @data: handed to @visit; the caller's
 * Return: what the callback returned last, or 0; -ENOMEM, -TETHER_EINVALID, -TETHER_EFORKED, -TETHER_ECLOSED
 * Threads: any; in a handler: yes; in a forked child: -TETHER_EFORKED
 * See: tether_breakpoint_functions(3)
 */
TETHER_API int tether_breakpoint_places(struct tether_breakpoint *breakpoint, tether_place_fn *visit, void *data);

/**
 * tether_breakpoint_functions - every function where it has ever stood, with its hits
 * @breakpoint: one that was added   @visit: called once for each, on the calling thread; may call anything
 * @data: handed to @visit; the caller's
 * Return: what the callback returned last, or 0; -ENOMEM, -TETHER_EINVALID, -TETHER_EFORKED, -TETHER_ECLOSED
 * Threads: any; in a handler: yes; in a forked child: -TETHER_EFORKED
 * See: tether_breakpoint_places(3)
 *
 * A function is told by the path of its object and its name: that of a library that was loaded twice, by two programs or
 * by a child is one. Counts stay when the victim has executed another program or has ended.
 */
TETHER_API int tether_breakpoint_functions(struct tether_breakpoint *breakpoint, tether_place_fn *visit, void *data);

/**
 * tether_thread_continue - let a thread go on that stays at a breakpoint
 * @process: a control handle   @tid: of a thread for which a handler has answered TETHER_ANSWER_STAY
 * Return: 0, -TETHER_ESTATE (it does not stay: the answer has not arrived yet, or it was let go on), -TETHER_EGONE,
 *         -TETHER_ELOST, -TETHER_EMODE, -TETHER_EFORKED, -TETHER_ECLOSED, -ENOMEM
 * Blocks: until the controller has answered
 * Threads: any; in a handler: yes; in a forked child: -TETHER_EFORKED
 * Victim: the thread runs the instruction under the trap, or goes on where its pc was moved to; while the process is
 *         parked it stands on, until tether_continue().
 * See: tether_breakpoint_add(3), tether_continue(3)
 */
TETHER_API int tether_thread_continue(struct tether *process, int64_t tid);

/**
 * tether_breakpoint_progress - how far the planting is that tether_breakpoint_add() or tether_breakpoint_enable() waits for
 * @process: a control handle   @ret_done: addresses that are planted, about   @ret_total: of how many; 0: of none yet
 * Return: 0, -TETHER_EFORKED, -TETHER_ECLOSED
 * Threads: any, so one that shows it while another waits; in a handler: yes; in a forked child: -TETHER_EFORKED
 * See: tether_breakpoint_add(3)
 */
TETHER_API int tether_breakpoint_progress(struct tether *process, uint64_t *ret_done, uint64_t *ret_total);

/**
 * tether_call_stack - the stack that a thread had at a call
 * @call: TETHER_CALL of a breakpoint with TETHER_BREAKPOINT_STACK, in its handler
 * @flags: TETHER_SNAPSHOT_NO_NAMES, TETHER_SNAPSHOT_RAW_NAMES
 * @visit: called once, on the calling thread; the stack, its frames and strings are the library's and live until it
 *         returns
 * @data: handed to @visit; the caller's
 * Return: what the callback returned; -TETHER_ENOTFOUND (it has none), -TETHER_EINVALID, -ENOMEM
 * Threads: the one that dispatches; in a handler: yes
 * See: tether_event_stack(3)
 */
TETHER_API int tether_call_stack(const struct tether_call *call, uint32_t flags, tether_stack_fn *visit, void *data);

#ifdef __cplusplus
}
#endif
#endif
