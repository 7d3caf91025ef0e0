/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * tether/process.h - create, grab, park, continue and release victims
 *
 * A handle (struct tether) is a reference-counted hold on one process, shared by all who ask the session for
 * that process. Life: tether_create() or tether_grab() -> parked -> tether_continue() -> running -> (parked
 * -> ...) -> exited, lost or released. The last tether_release() lets the victim go in its release mode.
 *
 * A controller answers at once, unless somebody has stopped it (SIGSTOP, a freezer): then a call without a time-out of
 * its own waits until it goes on. tether_session_close() in another thread ends such a call with -TETHER_ECLOSED; it
 * waits no longer than the question time itself, and the controller lets go as soon as it runs.
 */
#ifndef TETHER_PROCESS_H
#define TETHER_PROCESS_H

#include <tether/event.h>
#include <tether/session.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Where a new victim is parked before create returns. */
enum tether_stop {
	TETHER_STOP_CREATE = 0,   /* after exec, before the first instruction of the linker */
	TETHER_STOP_PREINIT = 1,  /* initial objects mapped and relocated, no constructor run */
	TETHER_STOP_POSTINIT = 2, /* at main's first instruction, constructors run */
	TETHER_STOP_MAIN = 3,     /* the same place, reported after postinit */
	TETHER_STOP_NONE = 4,     /* not parked: runs at once */
};

enum tether_flags {
	TETHER_OBSERVE = 1 << 0,    /* grab: read only; no ptrace, no stop, no write, ever */
	TETHER_NO_MONITOR = 1 << 1, /* no linker breakpoint: nothing is written into the victim */
	TETHER_NO_FOLLOW = 1 << 2,  /* children are let go clean before they run */
	TETHER_NO_PARK = 1 << 3,    /* grab: no thread blocked in a system call is interrupted */
	TETHER_TREE = 1 << 4,       /* grab: all descendants too, in the same family */
	TETHER_WANT_ENV = 1 << 5,   /* exec events carry the environment */
	/*
	 * A process stands before a signal ends it with a core dump: signals whose default that is (signal(7)), where it
	 * neither catches nor ignores them. A CRASH event, then PARKED when all its threads stand, where it has crashed;
	 * tether_continue() delivers that signal unchanged, and so does the release in mode run, or the client's death. It
	 * stands so without bound. Before the stop of tether_create() is reached, such a park is taken for it.
	 */
	TETHER_PARK_ON_CRASH = 1 << 6,
	/*
	 * While stops come fast no processor of the machine sleeps deeply: each hit of a breakpoint is up to five times as fast where
	 * the victim is alone on its processor, and the machine takes more power. Needs write access to /dev/cpu_dma_latency,
	 * as root has it, and has no effect without; given back 10 to 20 ms after the last stop.
	 */
	TETHER_LOW_LATENCY = 1 << 7,
};

struct tether_create_opts {
	size_t size;
	const char *file;          /* path, or a name to be looked up in PATH as execvp(3) does */
	char *const *argv;         /* NULL-terminated */
	char *const *envp;         /* NULL: the client's environment at the time of the call */
	const char *cwd;           /* NULL: the calling thread's */
	uint32_t flags;            /* TETHER_NO_MONITOR, TETHER_NO_FOLLOW, TETHER_WANT_ENV, TETHER_PARK_ON_CRASH, TETHER_LOW_LATENCY */
	uint32_t stop;             /* enum tether_stop */
	uint32_t mode;             /* enum tether_release_mode */
	uint32_t timeout_ms;       /* for the stop to be reached; 0: without bound */
	uint64_t events;           /* set of TETHER_EVENT_BIT(); 0: all */
	const char *park_on_exec;  /* fnmatch(3) pattern on path or base name: park there; NULL: never */
	uint32_t use_stdio;        /* bit 0, 1, 2: take stdio[0], stdio[1], stdio[2] */
	int32_t stdio[3];          /* descriptors for the victim's 0, 1, 2; borrowed */
	uint64_t stacks;           /* set of TETHER_EVENT_BIT(): events that come with a stack (tether/stack.h) */
};

struct tether_grab_opts {
	size_t size;
	uint32_t flags;
	uint32_t mode;             /* enum tether_release_mode */
	uint32_t timeout_ms;       /* 0: the question time */
	uint32_t reserved;
	uint64_t events;           /* set of TETHER_EVENT_BIT(); 0: all */
	const char *park_on_exec;
	uint64_t stacks;           /* set of TETHER_EVENT_BIT(): events that come with a stack (tether/stack.h) */
};

/**
 * tether_create - start a program as a victim
 * @session: it owns the handle   @opts: file and argv are required; read during the call only
 * @ret: the handle, one reference of the caller's; untouched on failure   @err: may be NULL
 * Return: 0; -TETHER_EEXEC (errno and path in @err), -TETHER_EEXITED, -TETHER_ESIGNALED,
 *         -TETHER_EUNOBSERVABLE, -TETHER_ENOMAIN, -TETHER_ECONTROLLER, -TETHER_EVERSION, -TETHER_ETIMEDOUT,
 *         -TETHER_EINVALID, -TETHER_EDEADLK (in a tether_stop_fn, but with TETHER_STOP_NONE), -ENOMEM
 * Blocks: until the stop is reached
 * Threads: any; in a handler: yes; in a forked child: -TETHER_EFORKED
 * Victim: starts as an untraced child of the calling thread would: its cwd, fds, limits, credentials, signal
 *         mask, process group, session and terminal, and the signals that were ignored when the session was
 *         opened. Its parent is the controller. It is left parked at opts->stop.
 * Release: tether_release()
 * See: execve(2), fork(2), signal(7), ptrace(2)
 */
TETHER_API int tether_create(struct tether_session *session, const struct tether_create_opts *opts,
			     struct tether **ret, struct tether_error *err);

/**
 * tether_grab - take hold of a running process
 * @session: it owns the handle   @pid: as the calling thread's pid namespace sees it; a process, not a thread
 * @opts: NULL for defaults: control, parked; read during the call only
 * @ret: the handle, one reference of the caller's; untouched on failure   @err: may be NULL
 * Return: 0; -TETHER_EGONE, -TETHER_ETRACED (by whom: in @err), -TETHER_EYAMA, -TETHER_EPRIV,
 *         -TETHER_EDUMPABLE, -TETHER_EKTHREAD, -TETHER_EZOMBIE, -TETHER_ESELF, -TETHER_ETHREAD,
 *         -TETHER_ESHARED, -TETHER_EMACHINE, -TETHER_ECONTROLLER, -TETHER_ETIMEDOUT, -TETHER_EINVALID,
 *         -TETHER_EDEADLK (in a tether_stop_fn, but with TETHER_OBSERVE or TETHER_NO_PARK), -ENOMEM
 * Blocks: until all threads are held, at most opts->timeout_ms; a thread in vfork counts as held while its
 *         child is
 * Threads: any; in a handler: yes; in a forked child: -TETHER_EFORKED
 * Victim: left parked, its text as in the file; with TETHER_NO_PARK it runs on. A process that is held
 *         already, by a grab or as a member of a family, is shared: the same handle is returned with one more
 *         reference, in the mode that it has, and not parked anew. A grab without TETHER_NO_MONITOR of one that was
 *         taken with it has its family monitored from then on. One that another thread is just taking or letting
 *         go is waited for.
 *
 * An ancestor of the calling process is refused with -TETHER_ESELF where it would be stopped: parked, or left in
 * mode hang. Watched, with TETHER_NO_PARK, it may be. With TETHER_TREE the calling process is left out.
 *
 * TETHER_OBSERVE gives a handle of its own kind, beside a control handle of the same process. After its last
 * release it stays in a cache (cache_limit of the session) and is found by the next such grab; a control grab makes
 * it out of date: it serves those who have it, and goes with their last release.
 * Release: tether_release()
 * See: ptrace(2) on PTRACE_SEIZE and access mode checks, credentials(7), pid_namespaces(7),
 *      Documentation/admin-guide/LSM/Yama.rst of the kernel
 */
TETHER_API int tether_grab(struct tether_session *session, int64_t pid, const struct tether_grab_opts *opts,
			   struct tether **ret, struct tether_error *err);

/**
 * tether_ref - one more reference
 * @process: NULL is allowed
 * Return: @process; NULL for NULL
 * Threads: any; in a handler: yes; in a forked child: nothing is touched
 * Release: tether_release()
 * See: pthreads(7)
 */
TETHER_API struct tether *tether_ref(struct tether *process);

/**
 * tether_release - give a reference back; the last one lets the victim go in its release mode
 * @process: NULL is allowed; one that this thread has locked is unlocked first
 * Return: 0, -TETHER_EFORKED (nothing touched), -TETHER_ECLOSED
 * Blocks: for the last reference, until the controller has let go
 * Threads: any; in a handler: yes, its own handle too; in a forked child: -TETHER_EFORKED
 * See: ptrace(2) on PTRACE_DETACH, kill(2)
 */
TETHER_API int tether_release(struct tether *process);

/**
 * tether_lock - keep a handle to this thread for several calls in one piece
 * @process: of any kind
 * Return: 0, -TETHER_EDEADLK (this thread has locked it already, or it is in a tether_stop_fn), -ENOMEM, -TETHER_EFORKED,
 *         -TETHER_ECLOSED
 * Blocks: while another thread has it locked, and until the library is done with an event of it
 * Threads: any; in a handler: yes, but not in a tether_stop_fn; in a forked child: -TETHER_EFORKED. The thread that locks is the one to unlock.
 *         Who locks several handles takes them in one order everywhere.
 * Victim: one that needs the library while its handle is locked (it executes a program, or loads a library) waits for
 *         it, at most the session's question_ms, and then runs on without: lock briefly
 * Release: tether_unlock(), tether_release() by the same thread, or the end of the session
 *
 * While it is locked no event of the process is acted on: its state, its objects and its memory as the library knows
 * it stay as they are, but for what this thread asks for. Calls of other threads that would change the process
 * (tether_continue(), tether_detach(), tether_set_mode(), the last tether_release()) wait; those that only read do
 * not. Answers come all the same, so every call may be made. When more than a megabyte of events has come the lock no
 * longer keeps them: tether_unlock() tells.
 * See: pthread_mutex_lock(3)
 */
TETHER_API int tether_lock(struct tether *process);

/**
 * tether_unlock - give back what tether_lock() took; what happened meanwhile is acted on before this returns
 * @process: locked by this thread
 * Return: 0; -TETHER_ELIMIT (unlocked, but too much came while it was locked: its events were acted on before),
 *         -TETHER_ESTATE (this thread has not locked it), -TETHER_EFORKED, -TETHER_ECLOSED
 * Threads: the one that locked it; in a handler: yes; in a forked child: -TETHER_EFORKED
 * See: tether_lock(3)
 */
TETHER_API int tether_unlock(struct tether *process);

/**
 * tether_continue - let a parked victim run; one that is not parked is left as it is
 * @process: a control handle
 * Return: 0, -TETHER_EGONE, -TETHER_ELOST, -TETHER_EMODE, -TETHER_EFORKED, -TETHER_ECLOSED; -TETHER_EDEADLK in a
 *         tether_stop_fn while another thread has locked the handle
 * Victim: threads that stay at a breakpoint (TETHER_ANSWER_STAY) go on too, of one that is not parked as well
 * Threads: any; in a handler: yes; in a forked child: -TETHER_EFORKED
 * See: ptrace(2) on PTRACE_CONT and group-stops
 */
TETHER_API int tether_continue(struct tether *process);

/**
 * tether_detach - let go of one process now, whatever references there are; its family stays held
 * @process: a control handle   @mode: TETHER_MODE_RUN, _KILL or _HANG; TETHER_MODE_DEFAULT takes that of the handle
 * Return: 0, -TETHER_EGONE, -TETHER_ELOST, -TETHER_EMODE, -TETHER_EINVALID, -TETHER_EFORKED, -TETHER_ECLOSED
 * Blocks: until the controller has let go; with TETHER_MODE_HANG until every thread stands in the job-control stop, at
 *         most the question time longer
 * Threads: any; in a handler: yes; in a forked child: -TETHER_EFORKED
 * See: ptrace(2) on PTRACE_DETACH, kill(2), signal(7) on job control
 */
TETHER_API int tether_detach(struct tether *process, uint32_t mode);

/**
 * tether_set_mode - what becomes of the family at the last release or at the client's death
 * @process: a control handle, of any member of the family   @mode: TETHER_MODE_RUN, _KILL or _HANG
 * Return: 0, -TETHER_EGONE, -TETHER_EINVALID, -TETHER_EMODE, -TETHER_EFORKED, -TETHER_ECLOSED
 * Threads: any; in a handler: yes; in a forked child: -TETHER_EFORKED
 * See: ptrace(2) on PTRACE_O_EXITKILL
 */
TETHER_API int tether_set_mode(struct tether *process, uint32_t mode);

enum tether_state {
	TETHER_STATE_RUNNING = 1,
	TETHER_STATE_PARKED = 2,
	TETHER_STATE_EXITED = 3,
	TETHER_STATE_LOST = 4,
	TETHER_STATE_RELEASED = 5,
};

struct tether_info {
	size_t size;
	int64_t pid;
	int64_t parent;      /* the process that forked it, as seen here; 0 when unknown */
	uint32_t state;      /* enum tether_state */
	uint32_t mode;       /* enum tether_release_mode */
	uint32_t flags;      /* enum tether_flags it was taken with */
	uint32_t reserved;
	int32_t exit_code;   /* EXITED: status, or -1 (a signal, or not known: TETHER_OBSERVE) */
	int32_t exit_signal; /* EXITED: signal, or 0 */
	int64_t controller;  /* pid of the controller that holds or held it; 0 for observe */
	uint64_t exec_serial;
};

/**
 * tether_info_get - what the library knows of a victim, without asking it
 * @process: a handle of any kind   @ret: the caller's; it sets size, no more than that is written
 * Return: 0, -TETHER_EINVALID, -TETHER_EFORKED, -TETHER_ECLOSED
 * Threads: any; in a handler: yes; in a forked child: -TETHER_EFORKED
 * See: proc(5)
 */
TETHER_API int tether_info_get(struct tether *process, struct tether_info *ret);

/**
 * tether_pid - the pid of a victim
 * @process: a handle of any kind
 * Return: as the client's pid namespace sees it; after the victim's end it may be another's
 * Threads: any; in a handler and in a forked child: yes
 * See: getpid(2), pid_namespaces(7)
 */
TETHER_API int64_t tether_pid(const struct tether *process);

#ifdef __cplusplus
}
#endif
#endif
