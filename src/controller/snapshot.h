/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * controller/snapshot.h - the copies of the threads of one process that are being taken
 *
 *	snapshot.c: who is to stop, and who goes on ──► snapshot_copy.c: one thread ──► the file
 *	                                            └──► snapshot_spare.c: one that need not stop
 */
#ifndef CONTROLLER_SNAPSHOT_H
#define CONTROLLER_SNAPSHOT_H

#include "controller/classify.h"
#include "proto/proto.h"

struct controller;
struct process;
struct task;

enum snapshot_phase { SNAPSHOT_FIRST, SNAPSHOT_LAST };

enum { MAPS_UNOPENED = INT32_MIN };

struct os_blocked;

/* One at a time. */
struct snapshot {
	uint64_t request;        /* 0: none is under way */
	struct process *process; /* its tasks */
	int file;
	int maps;                /* /proc/PID/maps; MAPS_UNOPENED: nobody has asked yet; negative errno */
	uint32_t manner;         /* enum proto_manner */
	bool spares;             /* PROTO_SPARE */
	int threads_file;        /* the folder of the threads: fd + 1; 0: not open */
	unsigned spare_rounds;   /* so often was it looked at whether the spared ones have run */
	enum snapshot_phase phase;
	uint64_t stack_bytes, total_bytes;
	uint64_t bytes;          /* of the records that are written */
	uint32_t threads;
	uint64_t batch_at;       /* where those go that wait in the controller's batch */
	size_t batched;          /* so many bytes */
	int error;               /* of the first write that failed */
	unsigned running, stuck; /* tasks that may move: not asked to stop yet; nobody waits for */
	bool recount;            /* these two are out of date */
	uint64_t last_serial;    /* rolling: younger ones are not looked at, or a maker of threads would never be done */
	struct task *current;    /* rolling: whose stop is awaited, or who is next */
	uint64_t record_at;      /* rolling: where current's record is; UINT64_MAX: none yet */
	uint64_t wait_ns, begun_ns, check_ns, give_up_ns;
	unsigned seen_moving;    /* at the last check: while it falls nobody is looked at */
};

/*
 * snapshot_copy.c: one thread, as it stands or as the kernel shows it; bytes of a record that is complete; and the records
 * into the file, all of them by snapshot_flush(). s->error says whether.
 */
void snapshot_copy(struct controller *c, struct task *t, enum stop_kind kind);
void snapshot_copy_blocked(struct controller *c, struct task *t, long call, const struct os_blocked *at);
/* Not to be counted. */
void snapshot_void(struct controller *c, uint64_t record_at);
void snapshot_put(struct controller *c, uint64_t at, const void *bytes, size_t length);
void snapshot_flush(struct controller *c);
/* snapshot_spare.c: copy one that is blocked in a system call, and leave it there. False: it is not. */
bool snapshot_spare(struct controller *c, struct task *t);
/* All others stand. True: those that were spared have not run; else who has is wanted again, and not spared. */
bool snapshot_spared_stayed(struct controller *c, struct process *p);
/* A task goes. */
void spare_forget(struct controller *c, struct task *t);
/* snapshot.c: -EPROTO, or 0: it is, or will be, answered */
int snapshot_start(struct controller *c, uint64_t request, const struct proto_snapshot *body, const uint32_t *tids);
/* At a stop, before anything is done about it: copy what it shows, if it is for that. */
void snapshot_stop(struct controller *c, struct task *t, enum stop_kind kind);
/* Once a turn: the next part of it, when all have stopped that it waits for. */
void snapshot_turn(struct controller *c);
void snapshot_timers(struct controller *c, uint64_t now);
/* Its process ends, is let go, or executes: nobody is held for it any more. */
void snapshot_abandon(struct controller *c, struct process *p, int result);
/* A task goes. */
void snapshot_forget(struct controller *c, struct task *t);

#endif
