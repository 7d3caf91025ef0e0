/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * controller/calls.h - what breakpoints count and record without a message: counters, calls, returns
 *
 *	hit ──► counter.c: the site's counters
 *	    ──► returns.c: frames (frames.h), what comes back ──► counter.c, ring.c
 */
#ifndef CONTROLLER_CALLS_H
#define CONTROLLER_CALLS_H

#include "arch/arch.h"
#include "controller/frames.h"
#include "proto/proto.h"

/* hit.c: is it a hit of that breakpoint, which may be of one thread? */
struct probe;
struct task;
bool probe_concerns(const struct probe *probe, const struct task *t);

struct controller;
struct site;

/* ring.c: records of calls, shared with the client. */
struct call_ring {
	struct proto_ring *shared; /* NULL: there is none */
	unsigned char *bytes;
	uint64_t head, lost;
	uint64_t due_ns; /* when to wake the client for what is in it; 0: it has nothing, or is awake */
};

/* counter.c: take the file that came along. 0, or why it is none that can be trusted. */
int counters_take(struct controller *c, const struct proto_counters *body);
/* So much of the file that came along, mapped, in *ret. */
int shared_take(struct controller *c, uint64_t size, void **ret);
/* Add to one of them; 0, or beyond their end: none. */
void counter_add(struct controller *c, uint64_t index, uint64_t value);

/* ring.c: take the file that came along, as above. */
int ring_take(struct controller *c);
/* One record, with events, lost and size filled in; stack: also of that thread's registers and stack. */
void ring_put(struct controller *c, struct proto_call *record, const struct task *stack, const struct arch_regs *regs);
void ring_timer(struct controller *c, uint64_t now);

/*
 * returns.c: a hit of a function's breakpoints. True: the thread is to wait for an answer; returns_answered() comes when that
 * is there, or is waited for no more.
 */
bool calls_enter(struct controller *c, struct task *t, const struct site *site, const struct arch_regs *regs);
void returns_answered(struct controller *c, struct task *t, bool refused);
/* A thread has come to where functions return to. */
void calls_return(struct controller *c, struct task *t, const struct site *site, const struct arch_regs *regs);

#endif
