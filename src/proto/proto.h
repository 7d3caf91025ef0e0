/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proto/proto.h - what library and controller say to each other
 *
 * One SOCK_SEQPACKET socket per controller. Every message is a struct proto_header followed by exactly the
 * body of its type, and for the types marked so by an array of items whose number the body tells. Receivers
 * copy out and check the exact length with proto_check(); what fails it, or comes in a state that does not
 * permit it, makes the controller lift its traps, release and exit, and makes the library give up the
 * controller (TETHER_EPROTOCOL).
 *
 *   library                                   controller
 *     hello, create|grab  ---(sent at once, before it has even started)--->
 *     <--- hello answer, create|grab answer ---
 *     plant, lift, answer, ...  --->   each with an id is answered once, in order, with that id
 *     <--- events, id 0; those with question != 0 hold the thread until `answer` or the deadline ---
 *
 * Both ends are of one build (hello compares a build id), so bodies have no version of their own.
 */
#ifndef PROTO_PROTO_H
#define PROTO_PROTO_H

#include <assert.h>

#include "base/limits.h"
#include "base/recipe.h"
#include "base/types.h"

enum { PROTO_MAGIC = 0x72687474, PROTO_VERSION = 1, PROTO_BUILD_ID = 32, PROTO_REGS = 512 };

/* The whole of one message; the socket's buffer holds several. */
enum { PROTO_MESSAGE_MAX = 65536 };

struct proto_header {
	uint32_t type; /* enum proto_type */
	uint32_t size; /* of body and items */
	uint64_t id;   /* of the request, echoed in its answer; 0: no answer is wanted; 0 in events */
};

/* What the controller is willing to hear when. */
enum proto_state {
	PROTO_S_NEW = 1 << 0,     /* started, hello not yet heard */
	PROTO_S_IDLE = 1 << 1,    /* hello heard, nothing held */
	PROTO_S_HOLDING = 1 << 2, /* a family is held */
	PROTO_S_PARENT = 1 << 3,  /* all let go, still the parent of a created process */
};

enum proto_mode { PROTO_RUN = 1, PROTO_KILL = 2, PROTO_HANG = 3 };

/* Flags of create and grab. */
enum {
	PROTO_FOLLOW = 1 << 0,     /* children stay in the family */
	PROTO_PARK = 1 << 1,       /* grab: all threads stopped and reported as parked */
	PROTO_TREE = 1 << 2,       /* grab: pids[] of descendants are grabbed in the same family */
	PROTO_READ_ONLY = 1 << 3,  /* plant is refused: no-monitor grab */
	PROTO_PARK_CRASH = 1 << 4, /* a process parks before a signal ends it with a core dump */
	PROTO_LOW_LATENCY = 1 << 5, /* processors are kept from deep sleep while stops come fast */
};

/* ---- requests and answers ------------------------------------------------------------------------------ */

struct proto_hello {
	uint32_t magic, version;
	uint32_t arch;              /* enum arch_tag of the sender */
	uint32_t pid;               /* answer: the controller's pid */
	uint8_t build_id[PROTO_BUILD_ID];
};

/* Memory as it was at a stop: length bytes behind it. */
struct proto_window {
	uint64_t address;
	uint32_t length;            /* a multiple of 8 */
	uint32_t reserved;
};

/* How the family is held from the start. */
struct proto_hold {
	uint32_t mode;              /* enum proto_mode */
	uint32_t flags;
	uint64_t events;            /* set of PROTO_WANT_*: the records that are not always sent */
	uint64_t question_ns;       /* how long a question waits; UINT64_MAX: for ever */
	uint32_t stacks;            /* set of PROTO_SAMPLE_AT_*: events that a sample precedes */
	uint32_t reserved;
};
enum {
	PROTO_SAMPLE_AT_FORK = 1 << 0,
	PROTO_SAMPLE_AT_THREAD = 1 << 1, /* of the thread that makes it */
	PROTO_SAMPLE_AT_SIGNAL = 1 << 2,
	PROTO_SAMPLE_AT_STOP = 1 << 3,
	PROTO_SAMPLE_AT_LINKER = 1 << 4, /* hits of sites that ask */
	PROTO_SAMPLE_AT_EXIT = 1 << 5,   /* of the thread that ends its process, before it is gone */
};

/* The parts of an image that move as a whole. */
enum proto_base { PROTO_BASE_PROGRAM, PROTO_BASE_LINKER, PROTO_BASE_VDSO, PROTO_BASES };

struct proto_create {
	struct proto_hold hold;
	uint64_t mask;              /* signal mask of the victim, bit n-1 = signal n */
	uint64_t ignored;           /* signals ignored by the victim */
	uint64_t image;             /* proto_image.id, told before: pid has executed it, its sites stand, it runs */
	uint64_t base[PROTO_BASES]; /* where it lies */
	uint32_t pid;               /* made already, the receiver's child and seized; 0: as follows */
	int32_t payload_fd;         /* memfd in the inherited table with the strings below, NUL-ended, in order */
	uint32_t candidates;        /* paths to try in turn, as execvp(3) does */
	uint32_t argc, envc;
	uint32_t payload_size;
	uint32_t has_cwd;           /* one more string at the end */
	int32_t stdio[3];           /* fds of the inherited table for 0, 1, 2; -1: as inherited */
};
/* Answered when the exec succeeded (the exec event, a question, follows) or failed. */
struct proto_created {
	int32_t result;             /* 0 or -errno of execve, chdir, dup2 */
	uint32_t pid;
	uint32_t stage;             /* enum os_stage: which step failed */
	int32_t status;             /* wait status, when it ended before its exec */
};

struct proto_grab {
	struct proto_hold hold;
	uint32_t pid;
	uint32_t items;             /* descendants of pid, for PROTO_TREE: uint32_t each */
};
struct proto_grabbed {
	int32_t result;             /* 0 or -errno or -TETHER_E* */
	uint32_t threads;           /* held now */
	uint32_t blocked;           /* of these, held through their vfork child */
	uint32_t processes;
	uint32_t stopped;           /* it was in a job-control stop */
	uint32_t tracer;            /* on -TETHER_ETRACED */
};

/* What a site does when it is hit; all of them may be combined with ONCE. */
enum {
	PROTO_SITE_REPORT = 1 << 0, /* a hit event, the thread runs on */
	PROTO_SITE_ASK = 1 << 1,    /* a hit event with a question */
	PROTO_SITE_COUNT = 1 << 2,  /* only counted */
	PROTO_SITE_ONCE = 1 << 3,   /* lifted at its first hit: the thread then runs the original instruction */
	PROTO_SITE_PARK = 1 << 5,   /* with REPORT: the process parks there, as by PROTO_STAY, without being asked for */
	PROTO_SITE_GUARD = 1 << 4,  /* report or ask only when the 32-bit word at guard equals guard_value */
	PROTO_SITE_CAPTURE = 1 << 7, /* with ASK: the first time tell what the linker lists, not ask; guard: its r_state */
	PROTO_SITE_NEWS = 1 << 10, /* with ASK: as CAPTURE, but each time, and of known objects only that they are the same */
	PROTO_SITE_LATER = 1 << 8,  /* planted when one that is ONCE is hit in its address space */
	PROTO_SITE_WITNESS = 1 << 6, /* planted only where all of recipe.home stands, whatever its length */
	/*
	 * The part that the client's breakpoints have in a site, beside the library's own: who counts there, and a hit event of
	 * its own (of the id that it was planted with) where one of them wants it. One plant or lift of a part leaves the other.
	 */
	PROTO_SITE_PROBE = 1 << 9,
	/*
	 * A third part: functions return to there. At a hit the calls of its thread that come back there are counted and told
	 * of, as the probes of these functions want it (proto_site.returns).
	 */
	PROTO_SITE_RETURN = 1 << 11,
};
/* Counters of the returns of one function, one behind the other from proto_site.returns on. */
enum {
	PROTO_RETURNS = 0,         /* how many */
	PROTO_RETURNS_MISSED,      /* calls that nobody waits for */
	PROTO_RETURNS_PLAIN,       /* so many without latencies */
	PROTO_RETURNS_NS = PROTO_RETURNS_PLAIN,
	PROTO_RETURNS_BUCKET,      /* [n]: 2^n <= ns < 2^(n+1) */
	PROTO_RETURNS_ALL = PROTO_RETURNS_BUCKET + 64,
};
/* What one breakpoint of a site wants of a hit, beside being counted. */
enum {
	PROTO_PROBE_REPORT = 1 << 0, /* a hit event */
	PROTO_PROBE_ASK = 1 << 1,    /* with a question: one for all that stand there, before the library's own part is told */
	PROTO_PROBE_FOREVER = 1 << 2, /* with ASK: without a deadline */
	PROTO_PROBE_CALL = 1 << 3,   /* a record in the ring; where returns are wanted, of these too */
	PROTO_PROBE_STACK = 1 << 4,  /* with a copy of registers and stack */
	PROTO_PROBE_LATENCY = 1 << 5, /* the counters of returns have all of PROTO_RETURNS_* */
};
struct proto_site {
	uint64_t address;
	uint64_t id;                /* the library's own, echoed in hit events */
	uint32_t flags;
	uint32_t guard_value;
	uint64_t guard;
	uint32_t counter[MAX_SITE_COUNTERS]; /* PROBE: indexes into the shared counters; 0: none */
	uint32_t thread[MAX_SITE_COUNTERS];  /* only hits of this one concern the counter beside it; 0: of all */
	uint8_t wants[MAX_SITE_COUNTERS];    /* set of PROTO_PROBE_* */
	uint32_t returns[MAX_SITE_COUNTERS]; /* PROBE: the first of PROTO_RETURNS; 0: returns are not wanted */
	struct recipe recipe;
};
/* Sites of the address space of pid. A site planted twice at one address replaces id, flags and recipe. */
struct proto_plant {
	uint32_t pid;
	uint32_t items;             /* struct proto_site each */
	uint64_t gadget;            /* a syscall instruction of the victim for its one remote mmap; 0: no slots */
};
struct proto_planted {
	int32_t result;             /* 0, or the first failure */
	uint32_t planted;
};
/*
 * An image that is met again and again: what the library would have planted if it had been asked at its exec.
 * A process that executes what has this key is planted by the controller itself, and not held for a question.
 */
struct proto_key {
	uint64_t word[2];           /* as proto_key_of() makes it of what the new image shows; 0, 0: none */
};
struct proto_image {
	uint64_t id;                /* the library's own, echoed in exec events; not 0 */
	struct proto_key key;
	uint64_t gadget;            /* offset in the vdso; 0: none */
	uint32_t items;             /* struct proto_image_site each, PROTO_IMAGE_SITES at most */
	uint32_t reserved;
};
enum { PROTO_IMAGE_SITES = 3 };
struct proto_image_site {
	struct proto_site site;     /* address, guard and recipe as if the base were at 0 */
	uint32_t base, guard_base;  /* enum proto_base */
};
struct proto_lift {
	uint32_t pid;
	uint32_t items;             /* uint64_t addresses */
	uint64_t parts;             /* PROTO_SITE_PROBE, PROTO_SITE_RETURN: only that part; 0: all */
};
/*
 * Counters of breakpoints, uint64_t each, in the memfd that comes along with the message, which is closed then: it must
 * be sealed against shrinking, for the controller maps it and adds to them. From then on the controller asks about every
 * exec and every list, whatever images it has learned: there may be something to plant before new code runs.
 */
struct proto_counters {
	uint64_t count;
};
/*
 * Where records of calls go, without a message each: a memfd that comes along, sealed as that of the counters. One page
 * that begins with a struct proto_ring, and RING_BYTES of records, one behind the other; none goes around the end.
 *
 *	controller: record, then head ──► library: from tail to head, then tail
 *	library: `waiting`, looks once more, sleeps ──► controller: an event `calls`, after a moment or when it fills
 *
 * Neither believes the other: the controller's head is its own, and what the library says of its tail is bounded by that.
 */
enum { PROTO_RING_PAGE = 4096 };
struct proto_ring {
	uint64_t head;              /* bytes written so far */
	uint64_t lost;              /* records that found no room, so far */
	uint64_t reserved[6];
	uint64_t tail;              /* bytes taken so far; the library's, as is what follows */
	uint32_t waiting;
};
enum proto_call_kind { PROTO_CALL_FILLER, PROTO_CALL, PROTO_CALL_RETURN };
/* One record; stack_bytes of a struct proto_call_stack and what it says follow. */
struct proto_call {
	uint32_t size;              /* of all of it: a multiple of 8 */
	uint32_t kind;              /* FILLER: up to the end; only size and kind are there */
	uint64_t events;            /* so many events have been sent before it */
	uint64_t lost;              /* as in the ring, when it was written */
	uint64_t t_ns;
	uint32_t pid, tid;
	uint32_t depth, stack_bytes;
	uint64_t function, caller;
	uint64_t value, elapsed_ns;
	uint64_t argument[6];
	uint32_t counter[MAX_SITE_COUNTERS]; /* whom it concerns, from the first on; 0: no more */
};
struct proto_call_stack {
	uint32_t tag, regs_size;    /* as in struct arch_regs; a multiple of 8 */
	uint64_t address;           /* of the bytes behind the registers */
	uint64_t length;            /* a multiple of 8 */
	uint64_t whole;             /* there is no more of it */
};

enum proto_action {
	PROTO_GO = 1,               /* the thread runs on */
	PROTO_STAY = 2,             /* the process parks: all its threads stop, traps are lifted */
	PROTO_LET_GO = 3,           /* detach this process, in mode run; its text is whole */
	PROTO_STAND = 4,            /* the thread stays as it is, until `go` or `resume`; all others run */
};
/* Sites that come with it are planted in the thread's address space before it goes on, as by `plant`. */
struct proto_answer {
	uint64_t question;
	uint32_t action;
	uint32_t items;             /* struct proto_site each */
	uint64_t gadget;            /* as in plant */
};
struct proto_pid {
	uint32_t pid;               /* 0: the whole family */
	uint32_t mode;              /* release, set_mode: enum proto_mode; else 0 */
};
struct proto_result {
	int32_t result;
	uint32_t value;             /* release of the family: the child whose parent the controller stays, or 0 */
};
struct proto_empty {
	uint64_t reserved;
};
struct proto_stats {
	uint64_t stops, hits, events, dropped;
	uint64_t emulated, slot, in_place;
	uint64_t pause_ns_max, pause_ns_total;
	uint64_t tasks, processes, spaces, sites;
};
struct proto_task {
	uint32_t pid, tid;
};
/*
 * One register set (NT_* of <elf.h>) of a thread that stands for a `wants` question, for STAND, or in a process that is
 * parked. As PTRACE_GETREGSET has it; a thread that runs an instruction elsewhere is told to be at home.
 */
enum { PROTO_REGSET_MAX = 16384 };
struct proto_get_regset {
	uint32_t pid, tid;
	uint32_t set;
	uint32_t reserved;
};
struct proto_regset {
	int32_t result;             /* -TETHER_ESTATE: it does not stand so */
	uint32_t tag;               /* enum arch_tag, of the general ones */
	uint32_t size;              /* bytes valid */
	uint32_t reserved;
	uint8_t bytes[PROTO_REGSET_MAX];
};
/* All of it, or nothing. */
struct proto_set_regset {
	uint32_t pid, tid;
	uint32_t set;
	uint32_t items;             /* bytes */
};
/*
 * Memory of a process of which a thread stands so: all of it, or nothing. Where a trap stands the trap stays, and what is
 * under it is changed.
 */
enum { PROTO_WRITE_MAX = 32768 };
struct proto_write {
	uint32_t pid;
	uint32_t items;             /* bytes */
	uint64_t address;
};
/*
 * Copies of the threads of one process, one record (struct proto_stack) behind the other from its start on, into the
 * memfd that comes along with the message, which is closed then.
 */
enum proto_manner { PROTO_TOGETHER = 1, PROTO_ROLLING = 2 };
/* Together: who is blocked in a system call is not stopped, and recorded as blocked, as long as it does not run meanwhile. */
enum { PROTO_SPARE = 1 };
struct proto_snapshot {
	uint32_t pid;
	uint32_t manner;            /* enum proto_manner */
	uint64_t wait_ns;           /* who has not stopped then is recorded as running */
	uint64_t stack_bytes;       /* of one thread's stack, at most */
	uint64_t total_bytes;       /* of all records, at most */
	uint32_t items;             /* uint32_t each: only these threads; 0: all */
	uint32_t flags;             /* PROTO_SPARE */
};
/* Answered when everybody was let go on. */
struct proto_snapshot_taken {
	int32_t result;             /* 0; -ESRCH: it has ended; -EAGAIN: it has executed another program; ... */
	uint32_t threads;           /* records */
	uint64_t bytes;             /* of them all */
	uint64_t begun_ns;          /* CLOCK_MONOTONIC */
	uint64_t resumed_ns[2];     /* together: when those that ran at the beginning went on, and all others */
};
enum proto_stack_state { PROTO_STACK_STOPPED = 1, PROTO_STACK_BLOCKED = 2, PROTO_STACK_RUNNING = 3 };
enum {
	PROTO_STACK_CUT = 1 << 0,    /* there is more of the stack than was to be copied */
	PROTO_STACK_RAN = 1 << 1,    /* goes on at resumed_ns[0] */
	PROTO_STACK_STAYED = 1 << 2, /* stands for other reasons: the snapshot has not stopped it */
};
/*
 * One thread, in the file, or none: tid 0, where a thread that was copied did not stay as it was and is copied again.
 * Followed by size bytes of windows (struct proto_window), each followed by what it shows.
 */
struct proto_stack {
	uint32_t size;
	uint32_t tid;
	uint64_t serial;
	uint32_t state;             /* enum proto_stack_state */
	uint32_t flags;             /* PROTO_STACK_* */
	uint64_t t_ns;              /* of the copy */
	uint64_t stopped_ns;        /* when it was asked to stop; 0: it was not */
	uint64_t resumed_ns;        /* rolling: when it went on; 0: as the answer says */
	int64_t call;               /* the system call that it is inside of, -1: none */
	uint64_t pc, sp;            /* 0: not known */
	uint32_t regs_tag, regs_size; /* as in struct arch_regs; blocked: as arch_blocked_registers() makes them */
	uint8_t regs[PROTO_REGS];
};

/* id, name, body, items behind the body (size of one, 0: none), answer, states that permit it */
#define PROTO_REQUESTS(X)                                                                              \
	X(2, hello, struct proto_hello, 0, struct proto_hello, PROTO_S_NEW)                            \
	X(4, create, struct proto_create, 0, struct proto_created, PROTO_S_IDLE)                       \
	X(6, grab, struct proto_grab, sizeof(uint32_t), struct proto_grabbed, PROTO_S_IDLE)            \
	X(8, plant, struct proto_plant, sizeof(struct proto_site), struct proto_planted,               \
	  PROTO_S_HOLDING | PROTO_S_PARENT)                                                            \
	X(10, lift, struct proto_lift, sizeof(uint64_t), struct proto_result,                          \
	  PROTO_S_HOLDING | PROTO_S_PARENT)                                                            \
	X(12, answer, struct proto_answer, sizeof(struct proto_site), struct proto_result,             \
	  PROTO_S_HOLDING | PROTO_S_PARENT)                                                            \
	X(14, park, struct proto_pid, 0, struct proto_result, PROTO_S_HOLDING | PROTO_S_PARENT)        \
	X(16, resume, struct proto_pid, 0, struct proto_result, PROTO_S_HOLDING | PROTO_S_PARENT)      \
	X(18, release, struct proto_pid, 0, struct proto_result, PROTO_S_HOLDING | PROTO_S_PARENT)     \
	X(20, set_mode, struct proto_pid, 0, struct proto_result, PROTO_S_HOLDING | PROTO_S_PARENT)    \
	X(22, sync, struct proto_empty, 0, struct proto_empty,                                         \
	  PROTO_S_IDLE | PROTO_S_HOLDING | PROTO_S_PARENT)                                             \
	X(24, stats, struct proto_empty, 0, struct proto_stats,                                        \
	  PROTO_S_IDLE | PROTO_S_HOLDING | PROTO_S_PARENT)                                             \
	X(28, image, struct proto_image, sizeof(struct proto_image_site), struct proto_result,         \
	  PROTO_S_IDLE | PROTO_S_HOLDING | PROTO_S_PARENT)                                             \
	X(30, monitor, struct proto_empty, 0, struct proto_result, PROTO_S_HOLDING | PROTO_S_PARENT)   \
	X(32, snapshot, struct proto_snapshot, sizeof(uint32_t), struct proto_snapshot_taken,          \
	  PROTO_S_HOLDING | PROTO_S_PARENT)                                                            \
	X(34, counters, struct proto_counters, 0, struct proto_result, PROTO_S_HOLDING | PROTO_S_PARENT) \
	X(36, ring, struct proto_empty, 0, struct proto_result, PROTO_S_HOLDING | PROTO_S_PARENT)      \
	X(40, go, struct proto_task, 0, struct proto_result, PROTO_S_HOLDING | PROTO_S_PARENT)         \
	X(42, get_regset, struct proto_get_regset, 0, struct proto_regset, PROTO_S_HOLDING | PROTO_S_PARENT) \
	X(44, set_regset, struct proto_set_regset, 1, struct proto_result, PROTO_S_HOLDING | PROTO_S_PARENT) \
	X(46, write, struct proto_write, 1, struct proto_result, PROTO_S_HOLDING | PROTO_S_PARENT)

/* ---- events -------------------------------------------------------------------------------------------- */

/* Begins every event. */
struct proto_event {
	uint32_t pid, tid;
	uint64_t serial;            /* of the task: tids recur */
	uint64_t t_ns;              /* CLOCK_MONOTONIC at the stop */
	uint64_t question;          /* 0: a record; else the thread waits for `answer` with this number */
};
/*
 * What a new image is can only be read while it stands, so it comes along: items bytes, of which stack_size are
 * the initial stack from sp on, and the rest its working directory, with a NUL. items is 0 when that is too
 * much for a message, or could not be read; then it is asked for.
 */
struct proto_ev_exec {
	struct proto_event event;
	uint32_t old_tid;           /* the thread that called execve; the leader's tid is taken over */
	uint32_t items;
	uint64_t sp;                /* at the argument count of the new image; 0: not known */
	uint32_t stack_size;
	uint32_t reserved;
	uint64_t image;             /* proto_image.id: planted already; 0: not known */
	struct proto_key key;       /* of an image that is not known, 0, 0: it has none */
	uint64_t base[PROTO_BASES]; /* where it lies, by enum proto_base */
};
struct proto_ev_fork {
	struct proto_event event;
	uint32_t child;
	uint32_t kind;              /* 1 fork, 2 vfork, 3 clone */
	uint32_t followed;
	uint32_t shares_memory;     /* one address space, one set of sites */
};
struct proto_ev_thread {
	struct proto_event event;   /* tid: the thread that starts or ends */
	uint32_t started;           /* 1 start, 0 exit */
	uint32_t by;                /* start: the thread that made it */
};
struct proto_ev_exit {
	struct proto_event event;
	int32_t status;             /* as wait4(2) */
	uint32_t reserved;
	uint64_t user_ns, system_ns, max_rss_kb;
};
struct proto_ev_signal {
	struct proto_event event;
	int32_t signal, code;
	uint32_t sender;
	uint32_t reserved;
};
/* It is about to end the process, which parks first: `parked` follows when all its threads stand. */
struct proto_ev_crash {
	struct proto_event event;
	int32_t signal, code;
	uint32_t sender;
	uint32_t reserved;
	uint64_t address;           /* si_addr, of what the processor or the kernel has raised; else 0 */
};
/*
 * The registers of a thread at the event that comes next, which has the same t_ns and pid. With a question it stands
 * until that is answered. Of an exit: the event comes later, when all of the process has ended; it belongs to the last
 * sample before, and to none where the process has executed another image between.
 */
struct proto_ev_sample {
	struct proto_event event;
	uint32_t type;              /* of the event: enum proto_type */
	uint32_t tag, size, reserved;
	uint8_t bytes[PROTO_REGS];
};
struct proto_ev_hit {
	struct proto_event event;
	uint32_t items;             /* bytes: windows, each followed by what it shows, where site captures; else 0 */
	uint32_t reserved;
	uint64_t site;              /* proto_site.id */
	uint64_t address;
	uint64_t hits;
	uint64_t arg0, arg1;        /* first integer arguments at this place */
};
/* A function will come back to there, and nothing stands there yet: with a question. */
struct proto_ev_caller {
	struct proto_event event;
	uint64_t address;
};
struct proto_ev_plain {
	struct proto_event event;
	uint64_t value;             /* late: ns waited; dropped: how many; released: enum proto_mode; blocked: why */
};

/* The last words of a controller: what it did in its life. pid and tid are 0. */
struct proto_ev_stats {
	struct proto_event event;
	struct proto_stats stats;
};

/*
 * id, name, body, items behind the body (size of one, 0: none), the PROTO_WANT_* that it needs (0: always
 * sent), never dropped, sent at once (else soon: several together)
 */
#define PROTO_EVENTS(X)                                                       \
	X(257, exec, struct proto_ev_exec, 1, 0, 1, 0)                        \
	X(259, fork, struct proto_ev_fork, 0, 0, 1, 0)                        \
	X(261, thread, struct proto_ev_thread, 0, PROTO_WANT_THREAD, 0, 0)    \
	X(263, exit, struct proto_ev_exit, 0, 0, 1, 0)                        \
	X(265, signal, struct proto_ev_signal, 0, PROTO_WANT_SIGNAL, 0, 0)    \
	X(267, stop, struct proto_ev_signal, 0, PROTO_WANT_STOP, 0, 0)        \
	X(269, cont, struct proto_ev_signal, 0, PROTO_WANT_STOP, 0, 0)        \
	X(271, hit, struct proto_ev_hit, 1, 0, 1, 0)                          \
	X(273, lost, struct proto_ev_plain, 0, 0, 1, 1)                       \
	X(275, released, struct proto_ev_plain, 0, 0, 1, 1)                   \
	X(277, parked, struct proto_ev_plain, 0, 0, 1, 1)                     \
	X(279, late, struct proto_ev_plain, 0, 0, 0, 1)                       \
	X(281, dropped, struct proto_ev_plain, 0, 0, 0, 1)                    \
	X(283, blocked, struct proto_ev_plain, 0, 0, 0, 1)                    \
	X(285, sigstate, struct proto_ev_signal, 0, 0, 0, 1)                  \
	X(287, stats, struct proto_ev_stats, 0, 0, 1, 1)                      \
	X(301, crash, struct proto_ev_crash, 0, 0, 1, 1)                      \
	X(303, sample, struct proto_ev_sample, 0, 0, 0, 0)                    \
	X(305, caller, struct proto_ev_caller, 0, 0, 1, 0)                    \
	X(307, calls, struct proto_ev_plain, 0, 0, 0, 1)

enum { PROTO_WANT_THREAD = 1, PROTO_WANT_SIGNAL = 2, PROTO_WANT_STOP = 4 };

enum proto_type {
#define X(number, name, body, item, answer, when) PROTO_REQ_##name = (number), PROTO_ANS_##name = (number) + 1,
	PROTO_REQUESTS(X)
#undef X
#define X(number, name, body, item, want, keep, now) PROTO_EV_##name = (number),
	PROTO_EVENTS(X)
#undef X
};

/* Requests are even, answers odd, events odd and above 256: held by the compiler, not by care. */
#define X(number, name, body, item, answer, when)                                                       \
	static_assert((number) % 2 == 0 && (number) < 256, #name);                                      \
	static_assert(sizeof(body) % 8 == 0 && sizeof(answer) % 8 == 0, #name " has padding at its end");
PROTO_REQUESTS(X)
#undef X
#define X(number, name, body, item, want, keep, now)                          \
	static_assert((number) % 2 == 1 && (number) > 256, #name); \
	static_assert(sizeof(body) % 8 == 0, #name " has padding at its end");
PROTO_EVENTS(X)
#undef X

/* The longest list of sites that fits into one plant message. */
enum {
	PROTO_SITES_MAX = (PROTO_MESSAGE_MAX - sizeof(struct proto_header) - sizeof(struct proto_plant)) /
			  sizeof(struct proto_site)
};

/*
 * Is this a whole, well-formed message? length is what recvmsg(2) returned, truncated messages included.
 * 0, or -EPROTO. Checks type, exact body length and the number of items against the length.
 */
int proto_check(const void *message, size_t length);
/*
 * The key of an image, for both ends the same: of the name that it was called by (by another one, a script may run
 * the same interpreter), of the directory that a relative name starts from, of the page with its program headers
 * and of the first one of its linker (NULL: it has none).
 */
enum { PROTO_KEY_PAGE = 4096 };
struct proto_key proto_key_of(const char *name, const char *cwd, const void *program_page, const void *linker_page);
/* Size of the body of a type without items; 0 for a type nobody knows. */
size_t proto_body_size(uint32_t type);
/* Size of one of the items behind the body; 0: it has none. */
size_t proto_item_size(uint32_t type);
/* "plant", "exec"; "?" for a type nobody knows. */
const char *proto_name(uint32_t type);
/* States that permit a request; 0 for what is no request. */
uint32_t proto_permitted(uint32_t type);
/* The hash made at build time and compiled into both binaries. */
extern const uint8_t proto_build_id[PROTO_BUILD_ID];

#endif
