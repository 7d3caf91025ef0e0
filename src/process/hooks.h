/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * process/hooks.h - what this room tells those who plant breakpoints, and what they keep at its processes and spaces
 *
 *	exec ──► the space is another ──► static: new_code() ──► answer
 *	hit of the linker's breakpoint ──► list walked ──► new_code() ──► answer
 *
 * Requests are handled in order: what new_code() plants stands before its thread goes on. All of them are called on the
 * control thread, without the lock. One table for a session, filled by src/probe.
 */
#ifndef PROCESS_HOOKS_H
#define PROCESS_HOOKS_H

#include <stdbool.h>
/* Else uthash ends the host's process when memory is short. After an add, hh.tbl tells: NULL is not added. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "base/limits.h"
#include "base/types.h"
#include "client/line.h"

struct tether;
struct table;
struct family;
struct tether_breakpoint;
struct spot;
struct members;
struct call_stack;

/* An address of one space, and who has a breakpoint there. Changed by the control thread under table->lock. */
struct point {
	vaddr_t address;
	struct use {
		struct tether_breakpoint *breakpoint;
		struct spot *spot;
	} use[MAX_SITE_COUNTERS];
	uint8_t uses;     /* 0: lifted; kept until that is answered */
	bool planted;     /* as last answered */
	bool changed;     /* the controller is to be told of its uses */
	unsigned waiting; /* requests about it that are not answered */
	UT_hash_handle hh;
};

/*
 * Where functions of one space return to, and a site stands or has been asked for. Until nothing there waits for returns,
 * or its object goes. As a point.
 */
struct caller {
	vaddr_t address;
	UT_hash_handle hh;
};

/* An object whose functions have been looked through. */
struct placed {
	vaddr_t low, high, bias, link_map;
};

struct probe_hooks {
	/* Something was loaded or unloaded. */
	void (*new_code)(struct tether *process);
	/* Its space is a fresh one. */
	void (*executed)(struct tether *process);
	/* A followed child, in its space already. late: other answers may have come since it was made. */
	void (*forked)(struct tether *child, struct tether *parent, bool shares_memory, bool late);
	/* True: its thread stands until a handler has answered (host->post_stop). */
	bool (*hit)(struct tether *process, const struct proto_ev_hit *from);
	/* A thread stands until it is answered where its call will come back to. */
	void (*caller)(struct tether *process, const struct proto_ev_caller *from);
	/* Records of calls, as far as they were made before that many events had come; sleeps: none is waited for awake. */
	void (*calls)(struct family *family, uint64_t heard, bool sleeps);
	/* Ended, lost or let go: lock held. */
	void (*gone)(struct tether *process);
	/* A family that has no member any more. */
	void (*ended)(struct family *family);
	/* The session ends; nobody else is there. */
	void (*end)(struct table *table);
};

#endif
