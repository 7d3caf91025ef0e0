/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * process/call_stack.h - the registers and the stack that a thread had at a call, as the controller has copied them
 */
#ifndef PROCESS_CALL_STACK_H
#define PROCESS_CALL_STACK_H

#include "process/handle.h"

/* What was mapped at the time: the process may have ended when its stack is asked for. Counted atomically. */
struct call_map;
/* Of a process that lives. NULL: it cannot be read. */
struct call_map *call_map_read(struct tether *process);
struct call_map *call_map_get(struct call_map *map);
void call_map_put(struct call_map *map);

struct call_stack {
	struct proto_call_stack head;
	const unsigned char *bytes; /* registers, then head.length bytes of the stack */
	struct call_map *map;       /* NULL: none was read */
};

#endif
