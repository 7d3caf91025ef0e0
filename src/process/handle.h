/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * process/handle.h - handles, families, and the table that holds them
 *
 * Two kinds of thread meet here. *Client threads* call the public functions: they read states and counts under
 * table->lock and hand work to the control thread as an operation. The *control thread* alone owns families,
 * lines, link maps and sites; it takes the lock only to change what clients read.
 *
 *	client thread                       control thread
 *	  operation_new()
 *	  operation_submit() ──queue──────► operation->start()
 *	  operation_wait()                    requests to the controller, answers, events ...
 *	     ◄──────────condition────────── operation_finish()
 *	  operation_put()                     operation_put()
 *
 * Life of a handle: made by create, grab or a followed fork; `users` counts client references, `pins` whatever
 * keeps the memory (its family, queued events, operations, users as one). Freed when pins reach 0.
 */
#ifndef PROCESS_HANDLE_H
#define PROCESS_HANDLE_H

#include <pthread.h>
#include <sys/queue.h>

#include <tether/tether.h>

#include "arch/arch.h"
#include "base/error.h"
#include "client/line.h"
#include "object/object.h"
#include "process/hooks.h"
#include "process/names.h"
#include "rtld/rtld.h"

struct family;
struct image;
struct newborn;
struct attendance;
struct operation;
struct copies;
struct stack_pool;
struct call_stack;

/* A block of strings shared by several owners: environments. Counted atomically. */
struct blob {
	unsigned users;
	uint32_t count;
	size_t length;
	char data[];
};

/* The sites that this library planted in one address space; vfork children share their parent's. */
struct site {
	uint32_t parts;               /* enum site_part: who has it */
	vaddr_t address;
	uint8_t home[ARCH_TRAP_SIZE]; /* the victim's own bytes under the trap */
	UT_hash_handle hh;            /* by address */
};
struct space {
	unsigned users;
	struct site *sites;
	struct point *points;         /* of breakpoints (hooks.h); by address */
	struct placed *placed;        /* owned */
	size_t placed_count;
	struct caller *callers;       /* where functions return to (hooks.h); by address */
};

/* Ids of the sites that the library itself needs; clients' ids follow. */
enum { SITE_LINKER = 1, SITE_MAIN = 2, SITE_PROBE = 3, SITE_RETURN = 4, SITE_FIRST_FREE = 16 };
enum site_part { SITE_PART_OWN = 1, SITE_PART_PROBE = 2, SITE_PART_RETURN = 4 };

struct tether {
	struct table *table;
	int64_t pid;
	uint64_t start_time;         /* with pid: the identity */
	bool observe;
	int64_t live_tid;            /* atomic: a thread that /proc answers for; 0: the pid */
	/* under table->lock */
	unsigned users, pins;
	enum tether_state state;
	uint32_t mode;
	int32_t exit_code, exit_signal;
	uint64_t exec_serial;
	unsigned spare_not;      /* so many snapshots more stop all: one that spared threads lacked registers of them */
	LIST_ENTRY(tether) known;    /* in table->all */
	bool is_known;
	bool listed;                 /* in the table's hash: alive */
	bool departing;              /* it is being let go: who wants it waits for that, and takes it anew */
	bool stale;                  /* observe: a control grab came after it; its last release ends it */
	bool locked;                 /* for several calls of one thread */
	bool lock_void;              /* ... but too much came meanwhile: its events are acted on */
	pthread_t locker;
	struct operation *unlocking; /* owned; made with the lock */
	bool idle;                   /* observe: nobody holds it; in table->idle */
	TAILQ_ENTRY(tether) idler;
	uint64_t seen_ns;            /* observe: when the pid was last known to be this process's */
	uint64_t key;                /* pid and kind */
	UT_hash_handle hh;
	/* control thread; objects and sites are also read by clients, under table->lock */
	struct family *family;       /* NULL for observe and after the end */
	LIST_ENTRY(tether) sibling;
	int64_t parent, controller;
	uint32_t flags;
	struct rtld rtld;
	struct object_list objects;
	struct names names;          /* see there for who may touch it */
	struct space *space;
	struct blob *environment;    /* of its last exec, with TETHER_WANT_ENV */
	struct blob *creator_environment;
	struct tether_sample *last_stack; /* owned: what the thread that ends it had, for its exit event */
	struct operation *rendezvous; /* who waits for it to park */
	uint32_t stop;               /* where that is: enum tether_stop */
	uint64_t parked_question;
	bool monitored;
	bool preinit_seen, main_planted, main_seen;
	bool copies; /* the list may lag behind: it is told of by copies that nobody waits for (atomic) */
	bool let_go;                 /* released or to be released: further questions are answered go */
	uint64_t planting_done, planting_total; /* sites of the last or running plant, handed over; atomic */
	struct members *members;     /* src/probe: its breakpoints; NULL: none. Control thread, changed under the lock */
};

STAILQ_HEAD(operation_queue, operation);
STAILQ_HEAD(kept_queue, kept);

/* What came before the event to come (sample.h). Control thread. */
struct sampled {
	struct proto_ev_sample registers; /* type 0: none */
	struct tether_sample *sample;     /* owned; NULL: not looked for yet, or none */
};

/* One controller and what it holds. Control thread only. */
struct family {
	LIST_ENTRY(family) entry;
	struct table *table;
	struct line line;
	int64_t controller;
	struct tether *root;         /* the first process; pinned, it may have ended */
	LIST_HEAD(, tether) members;
	LIST_HEAD(, pending) waiting; /* requests not yet answered */
	struct operation *birth;     /* the create or grab that started it */
	char *park_on_exec;
	uint64_t events;             /* kinds wanted */
	uint32_t flags, mode;
	int ended;                   /* pidfd of the controller: when it has ended, the kernel has detached all */
	struct operation *farewell;  /* who waits for that after a release */
	bool released, dead;
	bool departing;              /* its release is decided: nobody gets a handle of it any more */
	struct operation_queue settling; /* who waits for its end */
	uint64_t stacks;             /* kinds of events that have one */
	struct sampled sampled;
	struct kept_queue kept;      /* events of locked handles, to be acted on when these are unlocked */
	size_t kept_bytes;
	bool leaving;                /* released; only the end of its controller is awaited */
	bool finished;               /* to be ended once the current message is dealt with */
	bool welcomed;               /* hello checked */
	bool late;                   /* what is acted on was kept (lock.c): answers that came after it were not */
	struct counters *counters;   /* src/probe; NULL: no breakpoint was ever added */
	struct calls *calls;         /* src/probe; NULL: none that records calls */
	uint64_t heard;              /* events that have come */
	struct rtld_cache *cache;
	struct image *rehearsed;     /* owned: what the created victim's first exec is expected to be */
};

/* What to do with the answer of one request: body NULL when the line broke first. */
typedef void answer_fn(struct family *family, struct operation *operation, const void *body);
struct pending {
	LIST_ENTRY(pending) entry;
	uint64_t id;
	uint32_t type;               /* of the request */
	answer_fn *answered;
	struct operation *operation; /* owned reference, may be NULL */
};

/* Processes that are being left in a job-control stop. */
struct hanging {
	int64_t *pids; /* owned */
	size_t count;
};

/* A piece of work for the control thread that a client thread waits for. */
struct operation {
	struct table *table;
	STAILQ_ENTRY(operation) queued;
	void (*start)(struct operation *operation); /* on the control thread */
	unsigned users;                              /* under table->lock */
	bool submitted, done, abandoned;
	int result;
	struct tether_error error;
	/* in and out of the several kinds of work */
	struct tether *process;      /* owned reference */
	struct operation *other;     /* the one this is about, or a part of */
	int socket;                  /* a new controller's line in the host's table */
	int64_t controller;
	bool taken;                  /* the control thread has its own of it, or never will */
	int64_t caller;              /* tid of the calling thread */
	uint64_t asked_ns;
	int64_t pid;
	uint32_t mode, flags, stop;
	uint64_t events, stacks;
	char *park_on_exec;          /* owned */
	const char *deed;            /* "grab", for messages */
	struct proto_create create;
	struct image *rehearsed;     /* owned, of create: what its exec is expected to be, or NULL */
	struct attendance *attendance; /* owned, with it: how it went */
	bool unrunnable;             /* of create: execve(2) itself has failed */
	bool said;                   /* the caller has sent hello and create itself */
	struct newborn *newborn;     /* of create, while its caller waits; under table->lock */
	char **argv;                 /* of create, for the record; borrowed from the waiting caller */
	char *path;                  /* owned */
	struct blob *environment;    /* owned */
	const vaddr_t *addresses;
	size_t count;
	struct tether_stats stats;
	unsigned outstanding;        /* answers and arrivals still to come */
	struct copies *copies;       /* owned: of a snapshot, see stack.h */
	struct hanging hanging;      /* what the caller is to see stopped before it returns */
	LIST_ENTRY(operation) birth; /* in table->births, from before its controller starts to the call's end */
};

/*
 * A thread that stands at a breakpoint, for one or more handlers. The handler thread calls them, and hands the operation,
 * which carries the answer, to the control thread. Allocated whole: an answer must not fail for want of memory.
 */
struct stop {
	struct operation operation; /* process: pinned */
	STAILQ_ENTRY(stop) next;
	uint64_t question;
	uint64_t missed_ns;         /* when the controller has stopped waiting; UINT64_MAX: never */
	uint32_t action;            /* enum proto_action */
	size_t count;
	struct tether_hit hit[MAX_SITE_COUNTERS]; /* each with a reference of its breakpoint's */
};

/* What the session gives to this room. */
struct host {
	/* Wake the control thread; any thread. */
	void (*wake)(struct host *host);
	/* Queue an event; called with table->lock held. The event's strings are copied. */
	void (*post)(struct host *host, const struct tether_event *event);
	/* Watch or forget a line; control thread. */
	int (*watch)(struct host *host, struct family *family, int fd);
	void (*forget)(struct host *host, int fd);
	/* The socket of the waiting caller into the private table; control thread. fd or negative errno. */
	int (*take_socket)(struct host *host, int64_t caller, int fd);
	/* The controller's executable for the calling thread: O_PATH fd to be closed, or negative code. */
	int (*open_controller)(struct host *host);
	const char *const *controller_arguments;
	/* Queue a hit of a breakpoint; take back those of one. Lock held. */
	void (*post_hit)(struct host *host, const struct tether_hit *hit);
	/* The same of a call, with its stack: length bytes of a struct proto_call_stack. False: there is no room for it. */
	bool (*post_call)(struct host *host, const struct tether_call *call, const struct call_stack *stack);
	void (*purge_hits)(struct host *host, const struct tether_breakpoint *breakpoint);
	/* Have the handlers of a stop called; takes it. Lock held. */
	void (*post_stop)(struct host *host, struct stop *stop);
	/* Before the first breakpoint that has such a handler; client thread, lock not held. 0, -EAGAIN. */
	int (*start_handler)(struct host *host);
	void (*log)(struct host *host, int level, const char *format, ...) PRINTF_LIKE(3, 4);
	uint64_t question_ns;
	uint64_t ignored;            /* signals that were ignored when the session was opened */
};

STAILQ_HEAD(image_list, image);

struct table {
	pthread_mutex_t lock;
	pthread_cond_t changed;      /* an operation is done, the session closes */
	int64_t owner;               /* pid that opened the session: others are forked children */
	const volatile uint32_t *here; /* not 0 in that process; 0 in its forked children; NULL: by the pid */
	pthread_t control;           /* the control thread, set before anybody has the session: it waits for nobody */
	pthread_t handler;           /* who calls the handlers of stops, if has_handler */
	bool has_handler;
	struct tether *handles;      /* uthash by pid and kind; only live processes, so a recycled pid is never taken for its forerunner */
	LIST_HEAD(, tether) all;     /* ended ones too, while somebody keeps them */
	struct operation_queue queue;
	LIST_HEAD(, operation) births; /* grabs and creates under way */
	TAILQ_HEAD(idle_queue, tether) idle; /* observe handles without a reference, the latest first */
	uint32_t idle_count, idle_limit;
	uint64_t idle_bytes;         /* symbol tables in use beyond which idle handles go */
	struct symbol_pool *symbols; /* any thread */
	struct tether *acting;       /* whose event the control thread acts on */
	unsigned lockers;            /* who waits to lock */
	bool snapshotting;           /* a caller is taking copies of stacks */
	bool fetch_failed;           /* atomic: no debuginfod server could be asked */
	bool closing;
	unsigned calls;              /* client threads inside */
	int64_t target;
	uint64_t processes;
	struct proto_stats retired;  /* of controllers that ended */
	struct stack_pool *stacks;   /* rules of files; has a lock of its own */
	const struct probe_hooks *hooks;
	LIST_HEAD(, tether_breakpoint) breakpoints;
	struct host *host;
	/* control thread */
	LIST_HEAD(, family) families;
	struct rtld_cache *cache;
	struct image_list images;
	uint64_t image_count;
};

/* ---- table.c ---- */
/* idle_bytes: of symbol tables that nobody uses, and of those that only idle handles use. */
int table_init(struct table *table, struct host *host, uint64_t idle_bytes);
void table_destroy(struct table *table);
/* Is this another process than the one that opened the session? Lock held or not. */
bool table_forked(const struct table *table);
/*
 * Enter and leave a public call: 0 with the lock held, -TETHER_EFORKED, -TETHER_ECLOSED, or -TETHER_EDEADLK: the log
 * callback calls, on the control thread, for which victims stand still.
 */
int table_enter(struct table *table);
void table_leave(struct table *table);
/* Lock held. Is this the handler thread, for which a victim's thread stands? What it would wait for might never come. */
bool table_in_stop(const struct table *table);
/*
 * Lock held: wait for the next change, at most until a moment of CLOCK_MONOTONIC (0: without bound). 0,
 * -TETHER_ETIMEDOUT or -TETHER_ECLOSED.
 */
int table_wait(struct table *table, uint64_t until_ns);
/* Lock held: the first that a caller got is $target. */
void table_target(struct table *table, int64_t pid);

struct tether *handle_new(struct table *table, int64_t pid, uint64_t start_time, bool observe);
/* Both with the lock held. */
struct tether *handle_find(struct table *table, int64_t pid, bool observe);
void handle_list(struct tether *process);
void handle_unlist(struct tether *process);
void handle_pin(struct tether *process);
void handle_unpin(struct tether *process);
void handle_set_state(struct tether *process, enum tether_state state);

struct operation *operation_new(struct table *table, void (*start)(struct operation *));
/* The beginning of a larger one, of so many bytes; freed with it. */
struct operation *operation_new_sized(struct table *table, void (*start)(struct operation *), size_t size);
void operation_get(struct operation *operation);
void operation_put(struct operation *operation);
/* Called with the lock held; waits at most timeout_ms (0: without bound) and returns the result. */
int operation_run(struct operation *operation, uint32_t timeout_ms);
/* With the lock held; nobody waits for it. */
void operation_submit(struct operation *operation);
/* Lock not held: before operation_run(), which then only waits. The control thread does not wake up to the lock. */
void operation_hand_over(struct operation *operation);
/* One of the things that it waits for is there; the last one finishes it, with the first failure or 0. Control thread. */
void operation_arrive(struct operation *operation, int result);
/* Control thread, lock not held. Further calls do nothing. */
void operation_finish(struct operation *operation, int result);

/* Where to put a trap, and what for. */
struct site_request {
	vaddr_t address, guard;
	uint64_t id;
	uint32_t flags, guard_value;
};

/* ---- observe.c, lock held ---- */
/* One reference for the caller. As tether_grab(). */
int observe_grab(struct table *table, int64_t pid, struct tether **ret, struct tether_error *err);
/* One that is known already, held or idle, also when its process has ended meanwhile: true with one more reference. */
bool observe_again(struct table *table, int64_t pid, struct tether **ret);
/* Its last reference went. */
void observe_rest(struct tether *process);
/* A control grab of this process has succeeded: what only observes it is out of date. */
void observe_supersede(struct table *table, int64_t pid);
/* Whose traps may be in this memory: an observe handle's process may be held by another handle. */
const struct tether *observe_owner(const struct tether *process);
/* Has the process of this handle ended? */
bool observe_ended(const struct tether *process);

/* ---- hang.c ---- */
void hanging_add(struct hanging *hanging, int64_t pid);
void hanging_clear(struct hanging *hanging);
/* Until each thread of them stands, at most until then; lock not held. */
void hanging_await(const struct hanging *hanging, uint64_t until_ns);

/* ---- lock.c ---- */
/* Calling thread, lock held, given up meanwhile: wait until no other thread has locked it. 0 or -TETHER_ECLOSED. */
int lock_wait(struct tether *process);
/* As tether_unlock(). */
int lock_give_back(struct tether *process);
/* Control thread: act on an event, or keep it while its handle is locked. */
void lock_event(struct family *family, const void *message, size_t length);
/* Control thread: no more will come; what is kept is acted on. */
void lock_family_ends(struct family *family);

/* ---- release.c (calling thread, lock held; given up meanwhile) ---- */
/* Have start run with the process; mode as the operation's. Its result. */
int release_run_on(struct tether *process, void (*start)(struct operation *), uint32_t mode);

/* ---- family.c (control thread) ---- */
/* What of it is left stopped, if that is its mode. */
void family_hanging(struct family *family, struct hanging *hanging);
/* All of it is being let go, or one of it; or not, for its release could not be asked for. */
void family_depart(struct family *family, struct tether *only, bool departing);
/*
 * Finish the operation when all that the controller operation->pid had to tell by now is dealt with; one that is
 * letting go: when it has ended. Count 0: no family has such a controller.
 */
void family_settle(struct operation *operation);
/*
 * Calling thread, lock held, but for a moment: all that the controller had told of is acted on. 1; 0: no such controller is
 * ours; negative code.
 */
int family_catch_up(struct table *table, int64_t controller);
/* Finish the operation when the family's controller has ended. */
void family_await_end(struct family *family, struct operation *operation);
struct family *family_new(struct operation *birth);
/*
 * Send a request and remember who waits for the answer; answered NULL: none is wanted. 0 or negative; on
 * failure answered is not called.
 */
int family_send(struct family *family, uint32_t type, const void *body, const void *items, size_t count,
		answer_fn *answered, struct operation *operation);
/* With a descriptor that goes along (-1: none); it stays the caller's. */
int family_send_with(struct family *family, uint32_t type, const void *body, const void *items, size_t count, int fd,
		     answer_fn *answered, struct operation *operation);
/* The same for a request that the caller of the operation has sent itself, in the order in which it did. */
int family_expect(struct family *family, uint32_t type, answer_fn *answered, struct operation *operation);
/* Everything that its line, or the end of the controller, has to tell. */
void family_receive(struct family *family);
/*
 * The controller has answered the release of the whole family. What it has left to its own exit to detach is
 * free only then: operation (may be NULL) is finished at that moment.
 */
void family_released(struct family *family, struct operation *operation, const void *body);
/* The line is gone or is given up: every member not yet let go is lost, every waiting operation fails. */
void family_end(struct family *family, const char *reason);
/* Its family: also of a first process that has ended. */
struct family *family_of(struct tether *process);
void family_add(struct family *family, struct tether *process);
void family_remove(struct tether *process);
struct tether *family_member(struct family *family, int64_t pid);
void family_answer(struct family *family, uint64_t question, enum proto_action action);

/* ---- stand.c ---- */
/* For a thread of process that waits for the answer to that question. NULL: no memory. Control thread. */
struct stop *stop_new(struct tether *process, uint64_t question, uint64_t missed_ns);
/* Control thread: those that handlers have left standing go on (tid 0: all of them). */
void stand_send_go(struct operation *operation, int64_t tid, answer_fn *answered);

/* ---- events.c (control thread): what each event means ---- */
void follow_event(struct family *family, const struct proto_header *header, const void *body);
/* Queue an event of a process, if its family wants the kind. */
void follow_post(struct family *family, struct tether_event *event);
/* The common beginning of an event that the controller told of. */
struct tether_event follow_event_of(const struct proto_event *from, struct tether *process, uint32_t kind);
/* Who waits for it to park is told why it does not. status: of an exit, or a signal. */
void follow_rendezvous_failed(struct tether *process, int code, int status, const char *path);
/* A handle for a process that is now held: pinned once for the caller. NULL: out of memory. */
struct tether *follow_admit(struct family *family, int64_t pid);

/* ---- follow.c (control thread): the code of a process ---- */
/* Of an exec, and of a hit of any site: answered, if it asks, or its thread stands for a handler. */
void follow_exec(struct family *family, struct tether *process, const struct proto_ev_exec *from);
void follow_hit(struct family *family, struct tether *process, const struct proto_ev_hit *from);
/* Of an image whose linker has not run yet. Control thread. */
void follow_copies(struct tether *process);
/* The linker's breakpoint, and main's for a fresh image. How many. */
enum { OWN_SITES = 3 };
size_t follow_sites(const struct rtld *rtld, bool fresh, bool parks, struct site_request sites[OWN_SITES]);
/* Plant the linker's breakpoint in a running image. As plant_sites(). */
int follow_plant(struct tether *process, answer_fn *answered, struct operation *operation);
/* Walk the link maps and post what came and went. As rtld_scan(). */
int follow_scan(struct tether *process, int64_t tid, uint64_t t_ns);
/* The same through another reader. */
int follow_scan_by(struct tether *process, int64_t tid, uint64_t t_ns, const struct reader *memory);
/* The exec of a victim that was attended to (client/newborn.h). */
void follow_attended(struct tether *process, const struct proto_ev_exec *event);

/* ---- record.c: what a new image is, read from /proc while the process is held ---- */
enum { RECORD_AUXV = 40 };
struct exec_record {
	struct blob *argv, *environment; /* environment only where wanted */
	char *path, *cwd, *interpreter;  /* interpreter NULL: the executable itself */
	bool suppressed, truncated;
	bool set_id;                     /* the executable has such a bit */
	uint64_t auxv[RECORD_AUXV][2];   /* of a fresh image */
	size_t auxv_count;
};
/* Of a running process. 0 or -ESRCH. */
int record_read(struct exec_record *record, int64_t tid, bool environment);
/*
 * Of a fresh image, from what its exec event brought along as far as that goes. image: it is known, and may
 * have run on or ended since; NULL: it stands.
 */
int record_take(struct exec_record *record, struct tether *process, const struct proto_ev_exec *from,
		const struct image *image, bool environment);
void record_clear(struct exec_record *record);
struct blob *blob_get(struct blob *blob);
void blob_put(struct blob *blob);
struct blob *blob_of_strings(char *const *strings);
/* NULL-terminated pointers into the blob; free() the array. */
const char **blob_pointers(const struct blob *blob);

/* ---- images.c (control thread): images that controllers plant without asking ---- */
struct image *image_find(const struct family *family, uint64_t id);
/*
 * Any thread: look at the file that a victim is about to execute. park: it is to stop at main. To be freed, as is
 * *ret, which borrows path; NULL where it cannot be told beforehand.
 */
struct image *image_rehearse(struct table *table, const char *path, bool park, struct attendance **ret);
void image_free(struct image *image);
/* To its controller; nobody waits for the answer. 0, or as line_send(). Any thread. */
int image_tell(struct line *line, const struct image *image);
/* The script's interpreter that a record of it names, or NULL. */
const char *image_interpreter(const struct image *image);
/* As after a survey and the planting of its sites. */
void image_enter(struct tether *process, const struct image *image, const struct proto_ev_exec *from);
/* Tell the controller what to do next time, where that can be told. */
void image_keep(struct tether *process, const struct proto_ev_exec *from, const struct exec_record *record,
		const struct site_request *sites, size_t count);
void images_free(struct table *table);

/* ---- plant.c ---- */
struct space *space_new(void);
struct space *space_get(struct space *space);
void space_put(struct space *space);
struct space *space_copy(const struct space *space);
/* An answer that is a struct proto_result, and one of the things that operation waits for. */
answer_fn plain_answer;
/* Remember one that the controller has planted by itself. */
void plant_note(struct tether *process, vaddr_t address, uint64_t id, const uint8_t *home);
/* Remember and tell the controller. Control thread. */
int plant_sites(struct tether *process, const struct site_request *sites, size_t count, answer_fn *answered,
		struct operation *operation);
/* Answer a question, and have these planted before its thread goes on: one message instead of two. */
void plant_and_answer(struct tether *process, const struct site_request *sites, size_t count, uint64_t question,
		      enum proto_action action);
/*
 * The controller has died with its traps in this memory: put back what may still be put back. Control thread.
 */
void plant_restore(const struct tether *process);
/* Replace traps of this library in bytes just read; lock held. */
void plant_hide(const struct tether *process, vaddr_t address, uint8_t *bytes, size_t length);

/*
 * Plant the breakpoints' part of sites, PROTO_SITES_MAX at most, by one message. bad[i]: no instruction can be read
 * there, and it is left out. How many were sent (0: none, and no answer comes), or negative.
 */
struct probe_site {
	vaddr_t address;
	uint32_t counter[MAX_SITE_COUNTERS], returns[MAX_SITE_COUNTERS];
	uint32_t thread[MAX_SITE_COUNTERS]; /* 0: any */
	uint8_t wants[MAX_SITE_COUNTERS];   /* set of PROTO_PROBE_* */
};
int plant_probe(struct tether *process, const struct probe_site *sites, size_t count, bool *bad, answer_fn *answered,
		struct operation *operation);
/* Lock held: these bytes of the victim's are others now, under its traps too. */
void plant_changed(struct space *space, vaddr_t address, const uint8_t *bytes, size_t length);
/* That part of a site is lifted, and where there is no other, the victim's bytes stand. Lock held. */
void plant_forget(struct space *space, vaddr_t address, enum site_part part);
/* Long before the first plant: who waits for an answer is to wait on. */
void plant_comes(struct tether *process);

/* ---- stats.c ---- */
void stats_add(struct proto_stats *sum, const struct proto_stats *more);
/* Fill operation->stats from every controller. */
void stats_start(struct operation *operation);

/* ---- memory.c ---- */
/* Read through process_vm_readv, traps hidden: data is the struct tether. */
struct reader process_reader(struct tether *process);
/* The same without the hiding: for what is no code. Any thread; the lock does not matter. */
struct reader process_plain_reader(struct tether *process);
/* Memory as windows of a message show it (proto_window), and where they do not, as it is. */
struct captured {
	struct tether *process;
	const unsigned char *bytes;
	size_t length;
};
struct reader captured_reader(struct captured *captured);
/* A thread that lives: with a zombie leader, /proc/PID of the process itself is empty. */
int64_t process_live_tid(struct tether *process);

#endif
