/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * process/sample.h - the stack that a thread has at an event, found while it stands (controller/sample.c)
 *
 * Made by the control thread: the frames, and in which file each is. Their names are looked up when the client asks for
 * them, from within its event handler.
 */
#ifndef PROCESS_SAMPLE_H
#define PROCESS_SAMPLE_H

#include "process/handle.h"

/* Never changed once it is made; counted atomically. */
struct tether_sample;
struct tether_sample *sample_get(struct tether_sample *sample);
void sample_put(struct tether_sample *sample);

/* ---- control thread: struct sampled of a family (handle.h) ---- */
/* Its thread stands until this returns, if its question says so; the caller answers that. */
void sampled_take(struct family *family, struct tether *process, const struct proto_ev_sample *from);
/* Does it belong to this event? Else it is dropped. */
bool sampled_is_for(struct family *family, const struct proto_header *header, const struct proto_event *event);
/* The frames, looked for at the first call: the thread must stand. Borrowed; NULL: none can be had. */
struct tether_sample *sampled_frames(struct family *family, struct tether *process);
void sampled_drop(struct family *family);
/* At the exit event: the stack that was taken when its thread began to end. */
void sampled_last(struct family *family, struct tether *process);
void sampled_forget_last(struct tether *process);
/* The registers that are to be told before events of these kinds: set of PROTO_SAMPLE_AT_*. */
uint32_t sampled_kinds(uint64_t kinds);

#endif
