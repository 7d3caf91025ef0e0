/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * tether/memory.h - read a victim's memory
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

#ifdef __cplusplus
}
#endif
#endif
