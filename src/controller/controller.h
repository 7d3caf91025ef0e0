/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * controller/controller.h - the records of the ptracer of one family
 *
 *	controller ──┬── process (a thread group) ──── task (a thread, what ptrace and wait know)
 *	             └── space (an address space) ──── site (one trapped address)
 *
 * A process belongs to one space; several share one after vfork and CLONE_VM. Sites belong to spaces, stops
 * to tasks. One thread, one loop (loop.c), no nested waiting: whatever takes longer than one system call is a
 * state of a task (moves.c) or of a space, and goes on when the next stop comes.
 *
 * What must hold for a victim to stay whole:
 *  1. A trap byte stands in memory only while every task that can run into it is traced by us.
 *  2. A trap is lifted for a step only while no other task of the space can run user code ("still").
 *  3. Whatever was planted is known until exec, as a tombstone after lifting: late hits have an owner.
 *  4. ESRCH from any call means that the task is dying; its end comes by wait, and only there is it cleaned up.
 */
#ifndef CONTROLLER_CONTROLLER_H
#define CONTROLLER_CONTROLLER_H

#include <signal.h>
#include <sys/queue.h>

#include "arch/arch.h"
#include "base/limits.h"
#include "base/recipe.h"
#include "controller/calls.h"
#include "controller/classify.h"
#include "controller/frames.h"
#include "controller/pool.h"
#include "controller/snapshot.h"
#include "proto/proto.h"

/* ---- tasks ------------------------------------------------------------------------------- */

enum task_state {
	TASK_EARLY, /* stopped before the event of its maker told of it: owner unknown, kept as it is */
	TASK_NEW,   /* told of by its maker, first stop to come: has run nothing */
	TASK_RUNNING,
	TASK_STOPPING, /* INTERRUPT sent, may still run user code */
	TASK_BLOCKED,  /* INTERRUPT sent and seen inside the kernel: stops before its next user instruction */
	TASK_VFORKING, /* waits in the kernel for its vfork child: stops (VFORK_DONE) before user code */
	TASK_HELD,     /* stopped, and kept so by a freeze or a park */
	TASK_ASKING,   /* stopped, a question is out */
	TASK_STEP_WAIT, /* stopped, waits for its space to be still */
	TASK_STEPPING,  /* runs one instruction in place, its space is still */
	TASK_CALLING,   /* runs one system call that we put into it */
	TASK_LISTENING, /* in a group-stop; reports when that ends */
	TASK_DRAINING,  /* being released: runs up to the SIGTRAP that is in its queue */
	TASK_GATHERED,  /* being released: has no trap behind it, and stands until all others have none (owes_ignore) */
	TASK_ENDING,    /* has shown its STOP_ENDING and was let on: runs no user code any more, and is soon gone */
	TASK_STATES
};

/*
 * What a snapshot that is under way wants of a task. LEFT_OUT: its record is that of a thread that has ended. SPARED: it is
 * copied as it is blocked in a system call, and must not run before the end (snapshot_spare.c).
 */
enum snapshot_part { SNAPSHOT_NOT, SNAPSHOT_WANTED, SNAPSHOT_COPIED, SNAPSHOT_LEFT_OUT, SNAPSHOT_SPARED };

struct task {
	struct task *hash_next;
	TAILQ_ENTRY(task) of_process;
	TAILQ_ENTRY(task) of_stopped; /* seen by wait, not yet acted on */
	TAILQ_ENTRY(task) of_steppers;
	TAILQ_ENTRY(task) of_questions;
	struct process *process; /* NULL: TASK_EARLY */
	pid_t tid;
	pid_t vfork_child;
	enum task_state state;
	int status; /* of the stop to act on */
	uint64_t serial;
	uint64_t stopped_ns; /* when that stop was seen; 0: runs */
	uint32_t options;    /* as last set by PTRACE_SETOPTIONS */
	int deliver;         /* the signal to go on with */
	bool queued;         /* on the list of_stopped */
	bool unhashed;       /* reaped: the tid may be another's by now */
	bool must_pass;      /* grab: has to show one stop before anything is planted */
	bool left;           /* final release: detached by our exit */
	bool regroup;        /* was taken out of a group-stop for a step: put it back */
	bool masked;         /* signals blocked for a step: own_mask is to be put back */
	bool has_held_info;  /* held_info waits to be delivered with `deliver` */
	bool wound_back;     /* its pc stands before the system call that our stop has interrupted (rule 11) */
	enum snapshot_part snapshot;
	bool snapshot_ran;   /* it was in no system call: stopped last, and let on first */
	bool snapshot_stuck; /* it does not stop, but runs no user code either */
	uint64_t asked_stop_ns; /* when a snapshot sent it an INTERRUPT; 0: none did */
	int call_file, runs_file; /* of /proc, open for snapshots that spare it: fd + 1; 0: none */
	uint64_t spared_runs; /* SPARED: how often it had run before it was copied */
	uint64_t spared_at;   /* and where its record is */
	uint64_t last_mask;  /* its signal mask as last seen (rule 8) */
	uint64_t blocking[8]; /* masks with SIGTRAP in them, seen since it was last seen without; 0: none */
	unsigned blocking_next;
	bool may_dump;       /* it has gone on with a signal that may have it write a core, or was found at that */
	bool crashing;       /* `deliver` will end the process: it parks before it goes on with it */
	int delivered;       /* the last signal that it went on with: its handler blocks more */
	int went_with;       /* the signal that it went on with at its last stop, the how-manieth of all */
	uint64_t went_with_at;
	uint64_t own_mask;
	const struct space *ran_in; /* the space that it was let run in last, and ... */
	uint64_t ran_at;         /* ... its edits then */
	vaddr_t over;            /* stands on this site, hit and counted: run its instruction first */
	vaddr_t rehit, rehit_sp; /* was sent away from there by a signal: the next hit is not counted */
	uint64_t question, asked_ns, deadline_ns;
	bool handled;   /* that question is for a handler of the client's: registers may be read and written */
	bool stands;    /* the handler's answer was so: until it is told to go on */
	bool own_due;   /* it has hit a site whose own part comes after that question */
	bool probes_due; /* and before that, that of the breakpoints */
	struct shadow shadow; /* calls whose returns are awaited */
	vaddr_t caller;       /* the question is whether the call that was pushed last comes back to there; 0: it is not */
	struct call *call; /* TASK_CALLING: what runs and what for */
	siginfo_t held_info;
};
TAILQ_HEAD(task_list, task);

enum { KERNEL_SIGACTION = 32 }; /* handler, flags, restorer, mask */

/* ---- processes --------------------------------------------------------------------------- */

struct process {
	TAILQ_ENTRY(process) entry;
	TAILQ_ENTRY(process) of_space;
	struct space *space;
	struct task_list tasks;
	unsigned task_count;
	pid_t pid;
	bool followed;          /* its events are told; else it is only kept until it shares no memory */
	bool created;           /* our child: the one that create made */
	bool executed;          /* create: the exec has succeeded */
	bool fresh;             /* fork child that has not yet run: its copy of the text is to be put right */
	bool exact;             /* ... and nothing of ours was written while it was copied */
	bool parked, announced; /* asked to park / told that it stands */
	bool group_stopped;     /* told that job control stopped it */
	struct task *taker;     /* takes what the kernel sends to an orphaned group, before its stop; NULL: nobody */
	bool stays;             /* let go so: what the client's death sends to its group must not continue it */
	bool ours_to_kill;      /* EXITKILL applies: belongs to a created family */
	bool released;          /* told that it was let go; tasks that cannot stop yet may be left */
	uint32_t release;       /* enum proto_mode: being let go; 0: held */
	uint64_t release_id;    /* request to answer then, 0: none */
	uint64_t release_by_ns; /* not later, whatever cannot stop */
	pid_t park_tid;
	/* A snapshot holds those of its tasks that stop: none, those that are wanted, or every one. */
	enum { SNAPSHOT_HOLDS_NONE, SNAPSHOT_HOLDS_SOME, SNAPSHOT_HOLDS_ALL } snapshot;
	unsigned moving;        /* of its tasks, as in its space */
	/* SIGTRAP's disposition as last seen (rule 8), and the kernel's struct sigaction of a handler. */
	bool trap_ignored, trap_caught, trap_action_known;
	bool owes_ignore;       /* a trap has made the default of an ignored SIGTRAP: put back when it is let go */
	enum { GATHER_NOT, GATHERING, GATHER_DONE } gather; /* being let go: tasks in TASK_GATHERED; all were there */
	unsigned char trap_action[KERNEL_SIGACTION];
	struct task *learner; /* finds the handler out; NULL: nobody does */
	bool learn_first;     /* its other threads stand until then */
	bool unlearnable;     /* seccomp, or the call failed */
	bool actions_known;   /* stands at the exec that create made it for: trap_ignored is right */
	bool crashed;         /* a signal that ends it was, or is being, held: crash.c */
	struct task *crasher; /* for whom it is being held, or who has gone on to end it; NULL: nobody */
	bool crash_goes;      /* the latter: its other threads stand until they are ended too */
	bool threaded;        /* has had a second thread since its last exec */
	uint64_t user_ns, system_ns, max_rss_kb;
};
TAILQ_HEAD(process_list, process);

/* ---- sites and spaces -------------------------------------------------------------------- */

struct site {
	vaddr_t address;
	uint64_t id;
	uint32_t flags;
	uint32_t guard_value;
	uint64_t guard;
	uint64_t hits;
	bool own;           /* the library's own part: id, flags and guard hold */
	bool probe;         /* the breakpoints' part holds: */
	uint64_t probe_id;
	struct probe {
		uint32_t counter; /* 0: none */
		uint32_t wants;   /* set of PROTO_PROBE_* */
		uint32_t returns; /* as in proto_site */
		uint32_t since;   /* controller.plants when it came */
		pid_t thread;     /* 0: hits of all */
		uint64_t serial;  /* of that thread: tids recur; 0: it was gone already */
	} probes[MAX_SITE_COUNTERS];
	bool calls, awaits; /* of these: something is told of calls; returns are awaited */
	bool back;          /* the part where functions return to */
	bool refused;       /* ... which the library would not have here */
	bool planted; /* wanted: the trap is in memory, but for parks and steps; else a tombstone */
	bool known;   /* original holds: it was planted once since exec */
	unsigned char original[ARCH_TRAP_SIZE];
	/* The mapping it was planted in; it is lifted from no other (rule 4). */
	uint64_t offset, inode;
	uint32_t device_major, device_minor;
	vaddr_t slot; /* 0: none yet */
	bool no_slot; /* none can be had: step in place */
	struct recipe recipe;
};

struct site_table {
	struct site **index; /* open addressing, size a power of two */
	size_t size, used;
};

enum { SPACE_AREAS_MAX = 16 };
struct slot_area {
	vaddr_t start, end, next;
};

struct space {
	TAILQ_ENTRY(space) entry;
	TAILQ_HEAD(, process) processes;
	struct site_table sites;
	int memory; /* /proc/TID/mem, -1: not open */
	bool poke;  /* that one may not write text here: POKETEXT (rule 14) */
	bool probed;
	uint64_t edits; /* how often anything was written into its memory */
	bool lifted;               /* parked: no trap stands in memory though sites are planted */
	bool closed;               /* a process of it is released: nothing is planted any more */
	bool freezing, still;      /* all tasks are to stop / have stopped */
	unsigned moving;           /* tasks that may run user code */
	unsigned parks;            /* processes that are parked */
	struct task *stepper;      /* in TASK_STEPPING */
	struct task_list steppers; /* in TASK_STEP_WAIT */
	uint64_t check_ns;         /* when to look again at what does not stop */
	vaddr_t gadget;            /* a syscall instruction, for the mmap of slots; 0: none */
	struct slot_area area[SPACE_AREAS_MAX];
	unsigned areas;
	struct listed *listed; /* capture.c: what its linker had listed when it was looked at last; NULL: it was not */
	struct task *caller; /* maps an area */
	bool no_areas;       /* seccomp, or the call failed: step in place */
	uint32_t refused;    /* sites that are only known not to be returned to */
};
TAILQ_HEAD(space_list, space);

/* ---- the controller ---------------------------------------------------------------------- */

struct out {
	unsigned char *ring;
	size_t size, head, used; /* bytes */
	uint64_t dropped, dropped_told;
	uint64_t last_ns; /* of the last event */
	uint64_t sent_ns; /* when something was sent last */
	uint64_t soon_ns; /* when to send what somebody will ask for; 0: nothing such */
	uint64_t events;  /* how many were put into the ring */
	bool urgent;      /* somebody waits for what is in the ring */
	bool full;        /* the socket did not take it all */
};

/* More than that unsent: a client that lags behind is asked, so that it sets the pace. */
enum { UNSENT_MAX = 64 << 10 };

struct late {
	uint64_t question, asked_ns, serial;
	pid_t pid, tid;
};
enum { LATE_KEPT = 32 };

/* A child that ended before its maker's event told of it. */
struct early_end {
	pid_t tid;
	int status;
};
enum { EARLY_ENDS = 16 };

/* Sites of spaces that have ended, for children born of them of whom nobody has told. */
enum { GHOSTS = 8 };

enum { TASK_HASH = 1024, IMAGES = 64 };

struct create {
	uint64_t request;
	struct process *process; /* NULL: no create is under way */
	int report;              /* pipe: stage and errno of a failure */
	uint64_t ignored;        /* signals that it was made to ignore */
};

struct grab {
	uint64_t request; /* 0: no grab is under way */
	uint32_t type;    /* PROTO_REQ_*: what is answered when it is done; 0: nothing */
	pid_t pid;
	unsigned passing; /* tasks that must still show a stop */
	uint64_t check_ns, give_up_ns;
	unsigned rounds;
};

struct controller {
	int socket, client, signals; /* client: its pidfd */
	bool client_gone;            /* end-of-file, its death, or a signal to end */
	bool client_dead;            /* it has certainly ended: its pidfd says so */
	bool silent;                 /* it missed a deadline and has not spoken since */
	bool handler_silent;         /* its handlers missed one and have not answered since */
	bool broken;                 /* it broke the protocol */
	bool finishing;              /* the last release is under way: exit when it is done */
	bool created;                /* the family was created: mode kill means EXITKILL */
	bool done;                   /* leave the loop */
	bool sweep;                  /* some process has no task left */
	bool light;                  /* nothing was let pass, and no mask is known: nothing may be planted */
	struct site **spare_index;   /* site.c: of a table that was cleared */
	bool no_shadow_stacks;       /* step.c: this machine has none */
	bool hurried;                /* at the highest priority, for a grab or a release */
	int nice;                    /* else */
	uint64_t settle_ns;          /* when to settle_down(); 0: it is done */
	struct {
		int file;            /* fd + 1; 0: not held */
		bool refused;
		uint64_t stops, check_ns;
	} latency;                   /* latency.c */
	pid_t warm;                  /* a child that may execute soon (image_warm()); 0: none */
	uint64_t launch_ns;          /* until then a created victim is on its way to its first stops; 0: no more */
	uint32_t state;              /* enum proto_state */
	struct proto_hold hold;
	uint64_t finish_id; /* request to answer before the exit */
	uint64_t linger_ns;     /* hang: until then the client's end is waited for, after all is let go */
	uint64_t finish_by_ns;
	uint64_t release_check_ns; /* when to look again at what is let go and does not stop; 0: nothing */
	struct task *hash[TASK_HASH];
	struct process_list processes;
	struct space_list spaces;
	struct task_list stopped, questions;
	struct task_list open_questions; /* without a deadline */
	unsigned early; /* tasks in TASK_EARLY */
	struct early_end early_end[EARLY_ENDS];
	unsigned early_end_next;
	uint64_t early_check_ns; /* when to look for early tasks whose maker does not tell; 0: not */
	struct site_table ghost[GHOSTS];
	unsigned ghost_next;
	pid_t kept_child;  /* the created victim after its release: ours to reap */
	unsigned freezing; /* spaces that are freezing */
	struct pool task_pool, process_pool, space_pool, site_pool, call_pool, image_pool, listed_pool, frame_pool;
	struct image *image[IMAGES]; /* image.c */
	uint64_t image_clock;
	unsigned char *scratch; /* PROTO_MESSAGE_MAX bytes, free between two stops and between two requests */
	unsigned char *batch;   /* as many, of a snapshot: records that are not written yet */
	/* The registers of the stop that is acted on, before anything was done about it; of: NULL, not read yet. */
	struct {
		const struct task *of;
		struct arch_regs regs;
	} seen;
	uint64_t next_serial, next_question, deliveries;
	struct create create;
	struct grab grab;
	struct snapshot snapshot;
	uint64_t *counters;       /* counter.c: shared with the client; NULL: none */
	uint64_t counter_count;
	struct call_ring ring;
	uint32_t plants;          /* of breakpoints' parts, so far */
	bool asks;                /* about every exec and every list: breakpoints may wait for them */
	int received; /* fd that came with the message that is being served, -1: none */
	struct out out;
	struct late late[LATE_KEPT];
	unsigned late_next;
	struct proto_stats stats;
};

/* records.c */
void records_init(struct controller *c);
struct task *task_find(const struct controller *c, pid_t tid);
/* Hashed, in state; NULL without memory. process may be NULL for TASK_EARLY. */
struct task *task_new(struct controller *c, struct process *process, pid_t tid, enum task_state state);
void task_adopt(struct controller *c, struct task *t, struct process *process);
void task_unhash(struct controller *c, struct task *t);
void task_free(struct controller *c, struct task *t);
void task_set_state(struct task *t, enum task_state state);
struct process *process_find(const struct controller *c, pid_t pid);
struct process *process_new(struct controller *c, pid_t pid, struct space *space);
/* swallowed: what ends the old space may have ended a thread on its way out of fork, whose event nobody shows. */
void process_move(struct controller *c, struct process *p, struct space *space, bool swallowed);
void process_free(struct controller *c, struct process *p, bool swallowed);
/* Free the records of processes without tasks: between stops, when nobody stands on one. */
void processes_sweep(struct controller *c);
struct space *space_new(struct controller *c);
/* A task of it that is in a ptrace-stop, any other living one, or NULL. */
struct task *space_task(const struct space *space, bool stopped);
bool task_is_stopped(const struct task *t);

/* hold.c: what goes on after a stop */
void settle(struct controller *c, struct task *t);
/* At its STOP_ENDING, and not yet gone on from there? It is let on whatever else holds its process. */
bool is_ending(const struct task *t);
void task_end(struct controller *c, struct task *t);
/* Would settle() let it run? */
bool may_go_on(const struct task *t);
void task_run(struct controller *c, struct task *t);
void task_stop(struct controller *c, struct task *t);
void freeze(struct controller *c, struct space *s);
void check_still(struct controller *c, struct space *s);
void thaw(struct controller *c, struct space *s);
/* After anything that kept it still has ended: the next step, the park's announcement, or thaw. */
void space_go_on(struct controller *c, struct space *s);
/* Inside the kernel, with an interrupt pending: it stops before it runs user code. */
bool task_cannot_run(const struct task *t);
void freeze_timers(struct controller *c, uint64_t now);
void park(struct controller *c, struct process *p, pid_t tid);
void unpark(struct controller *c, struct process *p);

/* hit.c, step.c, slot.c, call.c */
void hit_ours(struct controller *c, struct task *t);
void hit(struct controller *c, struct task *t);
/* The handlers have answered: what the library itself has there. */
void hit_own_due(struct controller *c, struct task *t);
void step_over(struct controller *c, struct task *t);
/* The same with its registers at hand, the pc on the site, not written back yet. */
void step_over_with(struct controller *c, struct task *t, struct site *site, struct arch_regs *regs);
void step_next(struct controller *c, struct space *s);
void step_finish(struct controller *c, struct task *t);
void step_timer(struct controller *c, struct space *s);
bool slot_go(struct controller *c, struct task *t, struct site *site, struct arch_regs *regs);
bool slot_leave(struct controller *c, struct task *t);
/* Of registers in a slot: where it would stand without us. Else they are left as they are. */
void slot_home(struct space *s, struct arch_regs *regs);
void call_moved(struct controller *c, struct task *t);
void call_done(struct controller *c, struct task *t);
void call_abandon(struct controller *c, struct task *t);

/* moves.c: deliver the signal of this stop as untraced */
void pass_signal(struct controller *c, struct task *t);

/* masks.c: what a thread blocks, seen at moments when no trap of ours can have changed that */
void mask_saw(struct task *t, uint64_t mask);
/* At a stop; search: also for what it will block again when the handlers return that it is in. */
void mask_saw_at_stop(struct task *t, uint64_t mask, bool search);
/* At its seizure: what /proc says. */
void mask_saw_seized(struct task *t, uint64_t mask);
/* At a trap, whose mask this is: did it block SIGTRAP before? */
bool mask_had_trap(const struct task *t, uint64_t mask);

/* signals.c */
void signals_refresh(struct controller *c, struct task *t, bool dispositions);
/* At a trap stop, before anything else. True: a call is under way, and hit_ours() comes after it. */
bool signals_repair(struct controller *c, struct task *t);
/* After a single step, whose SIGTRAP does the same. True: a call is under way, step_left() comes after it. */
bool signals_repair_step(struct controller *c, struct task *t);
void step_left(struct controller *c, struct task *t);
/* Nobody else has a trap behind it. True: it is busy with putting back what is owed; else that cannot be. */
bool signals_ignore_again(struct controller *c, struct task *t);
/* Would the SIGTRAP that it stops for do nothing to it untraced? */
bool signals_ignored(const struct task *t);
/* A handler of SIGTRAP is found out before it can be lost. True: the task is busy with it. */
bool signals_learn(struct controller *c, struct task *t);
bool signals_must_learn(const struct process *p);
/* Before sites are planted into a running process. */
void signals_learn_first(struct controller *c, struct process *p);
/* The learner is done, stopped for something else, or gone. True: what stood because of it goes on. */
bool signals_unlearn(struct controller *c, struct process *p);
void thaw_process(struct controller *c, struct process *p);
void signals_wind_back(struct controller *c, struct task *t);

/* moves.c: the registers at the stop that is acted on. Whoever changes them may not ask any more. */
int stop_regs(struct controller *c, const struct task *t, struct arch_regs *ret);

/* release.c: the client is dead, or was waited for long enough: the stopped are let go stopped */
void release_stays(struct controller *c);

/* family.c: fork, exec, exit */
void fork_event(struct controller *c, struct task *t);
void first_stop(struct controller *c, struct task *t);
void exec_event(struct controller *c, struct task *t);
/* Take in early tasks whose maker tells no more: it is dying (may be NULL), or their time has passed. */
void early_resolve(struct controller *c, const struct process *dying);
void early_timers(struct controller *c, uint64_t now);
void exit_task(struct controller *c, struct task *t);

/* capture.c: what is listed, into the scratch memory, as windows (proto_ev_hit). Bytes; 0: it is to be read by the library. */
size_t capture_list(struct controller *c, struct task *t, const struct site *site);
/* The space goes, or has another image. */
void capture_forget(struct controller *c, struct space *s);
/* Touch the scratch memory that it takes, before somebody stands for that; and give it back. */
void capture_warm(struct controller *c);
void capture_cool(struct controller *c);

/* image.c: 0, -EPROTO, -ENOMEM */
int image_learn(struct controller *c, const struct proto_image *told, const struct proto_image_site *sites);
void image_warm(struct controller *c);
/* The sites of an image that was learned and stands there, trapped already. 0, -ENOENT: not learned; as space_adopt(). */
int image_adopt(struct controller *c, struct process *p, uint64_t id, const uint64_t base[PROTO_BASES]);
/*
 * After exec: fill in what the image shows; body->items bytes of it lie in the scratch memory then. True: it
 * is known and planted, nobody need be asked.
 */
bool image_show(struct controller *c, struct task *t, struct proto_ev_exec *body);

/* crash.c: would that signal have a core written, if nobody catches it? */
bool crash_dumps(int signal);
/* Will the signal that it goes on with end its process, and is that to be told before? */
bool crash_comes(const struct controller *c, const struct task *t);
/* Tell, and park. False: there is nobody to continue it. */
bool crash_park(struct controller *c, struct task *t);
void crash_goes_on(struct process *p);
/* It has stopped once more: it was not ended. */
void crash_survived(struct controller *c, struct task *t);
/* Let go while it is held. True: the signal ends it, and its other threads with it. */
bool crash_released(struct controller *c, struct task *t);

/*
 * sample.c: before an event of that type, where its stack is wanted. sample_held(): it asks, and settle() keeps it until
 * the answer.
 */
void sample(struct controller *c, struct task *t, uint32_t wanted, uint32_t type);
void sample_held(struct controller *c, struct task *t, uint32_t wanted, uint32_t type);
/* Its last stop: is it the one that ends its process? Then with a question, as above. */
void sample_ending(struct controller *c, struct task *t);
/* The event is a hit with a question of its own; regs as they are to be. */
void sample_hit(struct controller *c, struct task *t, const struct arch_regs *regs);

/* stand.c: a thread that stands for a handler, or for its answer */
bool stand_for_handler(const struct task *t);
/* A thread, or all that stand in a process (tid 0). How many. */
uint32_t stand_no_more(struct controller *c, struct process *p, pid_t tid);
int stand_get_regset(struct controller *c, const struct proto_get_regset *body, struct proto_regset *ret);
int stand_set_regset(struct controller *c, const struct proto_set_regset *body, const unsigned char *bytes);
int stand_write(struct controller *c, const struct proto_write *body, const unsigned char *bytes);
/* The process goes on; its tasks are settled by who says so. */
void stand_clear(struct process *p);

/* question.c */
bool ask(struct controller *c, struct task *t, struct proto_event *event);
/* For a handler of the client's, which may take as long as it likes. */
bool ask_handler(struct controller *c, struct task *t, struct proto_event *event, bool forever);
void question_cancel(struct controller *c, struct task *t);
/* Who waits for that answer; NULL: nobody any more. */
struct process *question_process(struct controller *c, uint64_t question);
/* refuses: nothing is planted for it, and will not be the next time. */
int question_answer(struct controller *c, uint64_t question, uint32_t action, bool refuses);
/* Whoever waits for an answer waits no longer than a whole question time from now. */
void questions_postpone(struct controller *c);
void question_timers(struct controller *c, uint64_t now);

/* create.c, grab.c, release.c */
int create_start(struct controller *c, uint64_t request, const struct proto_create *body);
/* runs: it was planted and let go by who made it. */
void create_executed(struct controller *c, struct process *p, bool runs);
void create_ended(struct controller *c, struct process *p, int status);
void grab_start(struct controller *c, uint64_t request, const struct proto_grab *body, const uint32_t *pids);
void grab_passed(struct controller *c, struct task *t);
/* What a light hold has left out. Answered as a request of that type, 0: not, when it is done. */
void grab_complete(struct controller *c, uint64_t request, uint32_t type);
/* Of a light hold: has it threads that nobody held, and does hold now? For certain only when all that are held stand. */
bool grab_missed(struct controller *c, struct process *p);
/* Of one that is blocked in such a call: does it wait for a child that runs in its memory? Then it is recorded so. */
bool grab_vforking(struct task *t);
/* Else its next scan would seize again what is being let go. */
void grab_cancel(struct controller *c);
void grab_timers(struct controller *c, uint64_t now);
void release_process(struct controller *c, struct process *p, uint32_t mode, uint64_t request);
void release_unfollowed(struct controller *c, struct space *s);
void release_all(struct controller *c, uint32_t mode, uint64_t request);
void release_stopped(struct controller *c, struct task *t);
/* SIGTRAP is ignored again, or cannot be: who has waited for that goes. */
void release_gathered(struct controller *c, struct process *p);
void release_check(struct controller *c, struct process *p);
void release_timers(struct controller *c, uint64_t now);
void finish_check(struct controller *c);
/* After the last turn: is all let go that was to be? Else the loop goes on. */
bool finish_holds(struct controller *c);
uint32_t wanted_options(const struct controller *c, const struct process *p);

/* out.c */
void out_answer(struct controller *c, uint64_t request, uint32_t type, const void *body, size_t size);
/* With what goes next, or after a moment. */
void out_answer_soon(struct controller *c, uint64_t request, uint32_t type, const void *body, size_t size);
void out_result(struct controller *c, uint64_t request, uint32_t type, int32_t result, uint32_t value);
/* Fills in who, when and the serial. p may be NULL when t has a process. */
void event_of(struct controller *c, struct proto_event *event, const struct task *t);
/* body begins with its struct proto_event. */
void out_event(struct controller *c, uint32_t type, const void *body, size_t size);
void out_event_with(struct controller *c, uint32_t type, const void *body, size_t size, const void *items,
		    size_t items_size);
void out_plain(struct controller *c, uint32_t type, pid_t pid, pid_t tid, uint64_t serial, uint64_t value);
/* What goes next, and all before it, waits for less than a start without constructors takes. */
void out_soon(struct controller *c);
/* Have room for what a created victim's linker lists, before it stands for that; and give it back. */
void out_warm(struct controller *c);
void out_cool(struct controller *c);
void out_flush(struct controller *c);
/* When that is to be done: 0: there is nothing to do. */
uint64_t out_due_ns(const struct controller *c);
void out_flush_due(struct controller *c);

/* setup.c: a victim that is to be created is made before, and nothing of ours is open yet that is not kept */
void leave_client(struct controller *c);
void settle_down(struct controller *c);
void hurry(struct controller *c, bool now);

/* latency.c: stops come as fast as they can; is it over? */
void latency_hold(struct controller *c);
void latency_timer(struct controller *c, uint64_t now);

/* server.c, loop.c */
int plant(struct controller *c, struct process *p, const void *sites, uint32_t count, uint64_t gadget,
	  uint32_t *ret_planted);
void server_read(struct controller *c);
void act(struct controller *c, struct task *t);
void loop(struct controller *c);
/* Requests, its death, room in the socket. Waits for timeout_ns; without bound when timeout_ms is -1. */
void look_at_client(struct controller *c, int timeout_ms, uint64_t timeout_ns);
/* Has it gone? Asked where a stop may come from that very end. */
bool client_went(struct controller *c);
/* Take every stop there is now; true when there was one. */
bool drain(struct controller *c);
void act_all(struct controller *c);

#endif
