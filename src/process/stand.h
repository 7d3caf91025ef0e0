/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * process/stand.h - whole register sets of a thread that stands (registers.c)
 */
#ifndef PROCESS_STAND_H
#define PROCESS_STAND_H

#include "process/handle.h"

/* Any thread. As tether_registers_get() and tether_registers_set(); length: PROTO_REGSET_MAX at most. */
int stand_get(struct tether *process, int64_t tid, uint32_t set, struct proto_regset *ret);
int stand_set(struct tether *process, int64_t tid, uint32_t set, const void *bytes, size_t length);

#endif
