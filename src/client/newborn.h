/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * client/newborn.h - a victim that the client makes, until its controller takes it over
 *
 * The task that will be the controller makes it, and attends to its exec: where the image is as the caller has
 * found the file to be, it plants what the caller tells, and lets it run. So the victim goes through its linker
 * while the controller starts. Whatever is not as it was told is left to the controller, which asks.
 *
 * EXITKILL is set all the while: should the client or the controller-to-be die, nobody would know of the traps.
 */
#ifndef CLIENT_NEWBORN_H
#define CLIENT_NEWBORN_H

#include "base/types.h"
#include "os/newborn.h"
#include "proto/proto.h"

/* Room behind an exec event for the initial stack and the working directory. */
enum { ATTENDED_STACK = 40 << 10, ATTENDED_CWD = 4096 };

/* What is to be found at the exec, and what was. On the heap; whoever has it frees it. */
struct attendance {
	/* the caller's; set before newborn_tell() */
	const char *name; /* AT_EXECFN */
	struct proto_image told;
	struct proto_image_site site[PROTO_IMAGE_SITES];
	bool has_linker;
	uint8_t program_page[PROTO_KEY_PAGE], linker_page[PROTO_KEY_PAGE]; /* the first of each, as mapped */
	/* what came of it: all sites stand, it runs, and event is its exec event */
	bool planted;
	/* scratch */
	_Alignas(8) uint8_t page[2][PROTO_KEY_PAGE], text[PROTO_IMAGE_SITES][RECIPE_INSN_MAX];
	struct proto_ev_exec event;
	char items[ATTENDED_STACK + ATTENDED_CWD];
};
static_assert(offsetof(struct attendance, items) ==
		      offsetof(struct attendance, event) + sizeof(struct proto_ev_exec),
	      "the items of an event follow it");

enum newborn_told {
	NEWBORN_UNTOLD,
	NEWBORN_TOLD,   /* attendance and request are set: the controller-to-be sends it */
	NEWBORN_MISSED, /* that waits no longer: whoever comes too late sends it */
};

/* A victim on its way to its exec. */
struct newborn {
	struct os_plan plan;
	/* what became of it */
	pid_t pid;                 /* 0: it was not made */
	int error;                 /* why: errno of clone or PTRACE_SEIZE */
	struct os_failure failure; /* of its own steps, when it has ended without an exec */
	/* What tells the controller of it, but for the pid: from the caller. */
	struct newborn_request {
		struct proto_header header;
		struct proto_create create;
	} request;
	bool said; /* it is sent */
	/* inside */
	int socket; /* the library's end of the line */
	struct attendance *attendance; /* NULL: none; valid when told */
	uint32_t told; /* futex, enum newborn_told */
	uint32_t go;   /* futex: 1: it is held and may begin */
	uint32_t here; /* futex: 1: it runs in this memory; the kernel sets it to 0 */
	char *stack;
	size_t stack_size;
};

/*
 * Where that is not to be had, the controller makes the victim itself: it cannot seize what runs in the memory
 * of a client that is not dumpable (ptrace(2), access mode checking).
 */
bool newborn_possible(void);
/* Everything but the plan is set. stacks: so many bytes more for other tasks, above its own. 0 or -ENOMEM. */
int newborn_init(struct newborn *newborn, size_t stacks);
/*
 * What to plant at its exec, or NULL: nothing. Once, by the caller, when the request is filled and all that comes
 * before it is sent; attendance stays until spawn_end(). False: too late, so the caller is to say it, after
 * spawn_victim().
 */
bool newborn_tell(struct newborn *newborn, struct attendance *attendance);
/* When it is made: send the request. */
void newborn_say(struct newborn *newborn);
/*
 * Let go of it: true: it has left this memory, which may be freed; false: it is stuck in its exec, and all that
 * the plan points to must stay. Waits up to timeout_ms for it.
 */
bool newborn_end(struct newborn *newborn, int timeout_ms);

/* ---- the controller-to-be, on a borrowed thread: bare system calls only, nothing instrumented ---- */

enum { NEWBORN_STACK = 65536 };

/* Make it, seize it, let it go to its exec. */
void newborn_make(struct newborn *newborn);
void newborn_undo(struct newborn *newborn);
/*
 * Wait for its exec, not for long, plant, and send the request: the caller may not get a processor before the
 * victim stops again. False: it was told in time and cannot be sent, so that nobody would know of the victim.
 */
bool newborn_attend(struct newborn *newborn);

#endif
