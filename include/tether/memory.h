/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * tether/memory.h - read and write a victim's memory
 */
#ifndef TETHER_MEMORY_H
#define TETHER_MEMORY_H

#include <tether/process.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * tether_read - copy memory of a victim, with every trap of this library replaced by the victim's own bytes
 * @process: a handle of any kind   @address: in the victim
 * @buffer: the caller's; contents undefined past the returned count   @length: bytes wanted, at most INT64_MAX
 * Return: bytes copied (short at the end of mapped memory), -TETHER_EMEMORY (nothing mapped at @address),
 *         -TETHER_EGONE, -TETHER_EPRIV, -TETHER_EFORKED
 * Threads: any; in a handler: yes; in a forked child: -TETHER_EFORKED
 * See: process_vm_readv(2), proc(5) on /proc/PID/mem, ptrace(2) on access mode checks
 *
 * Needs no stop of the victim: what runs may change between two bytes.
 */
TETHER_API int64_t tether_read(struct tether *process, uint64_t address, void *buffer, size_t length);

/* The longest piece that one tether_write() takes. */
enum { TETHER_WRITE_MAX = 32768 };

/**
 * tether_write - change memory of a victim that stands
 * @process: a control handle, not one taken with TETHER_NO_MONITOR; parked, or with a thread that stands at a breakpoint
 *           (tether_stop_fn, TETHER_ANSWER_STAY)
 * @address: in the victim   @bytes: the caller's   @length: at most TETHER_WRITE_MAX
 * Return: 0: all of it is written; else nothing: -TETHER_EMEMORY (not all of it is mapped, or a part is shared with others
 *         and not writable), -TETHER_ESTATE (it runs), -TETHER_EINVALID (a trap instruction where a breakpoint
 *         stands), -TETHER_ELIMIT (too long), -TETHER_EMODE, -TETHER_EMONITOR, -TETHER_EGONE, -TETHER_ELOST,
 *         -TETHER_EFORKED, -TETHER_ECLOSED, -ENOMEM
 * Blocks: until the controller has answered
 * Threads: any; in a handler: yes; in a forked child: -TETHER_EFORKED
 * Victim: private memory is written whatever its protection is, as debuggers do. Where a breakpoint stands it stands on,
 *         over the new instruction. Threads that run may see a part of it before the rest.
 * See: tether_read(3), proc(5) on /proc/PID/mem
 */
TETHER_API int tether_write(struct tether *process, uint64_t address, const void *bytes, size_t length);

#ifdef __cplusplus
}
#endif
#endif
