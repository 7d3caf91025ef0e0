/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * probe/probe.h - breakpoints that wait for their objects
 *
 * <tether/breakpoint.h> says what they are. This room decides where they stand, has the controller plant them, and turns
 * its hits into records; the session queues these and hands them over.
 *
 *	linker's hit ──► process ──hooks──► place.c: which objects are new, where in them ──► plant, before the answer
 *	hit          ──► process ──hooks──► hits.c: whose, is it to be told ──► session's queue ──► probe_deliver()
 *
 * Threads: hooks on the control thread; the rest where it says.
 */
#ifndef PROBE_PROBE_H
#define PROBE_PROBE_H

#include <tether/breakpoint.h>

#include "process/hooks.h"

extern const struct probe_hooks probe_hooks;

/* A record of it is queued; lock held. */
void probe_get(struct tether_breakpoint *breakpoint);
void probe_put(struct tether_breakpoint *breakpoint);
/* Call its handler, unless it was removed. Lock held, given up meanwhile. */
void probe_deliver(const struct tether_hit *hit);
/* The same of a hit whose thread stands, or stands no more: late. */
enum tether_answer probe_stop(const struct tether_hit *hit, bool late);
void probe_deliver_call(const struct tether_call *call);

#endif
