/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * os/memory.h - memory of another process
 */
#ifndef OS_MEMORY_H
#define OS_MEMORY_H

#include "base/types.h"

/* Copy from another process: bytes read (short where the mapping ends), -EFAULT, -ESRCH, -EPERM. */
ssize_t os_read_memory(int64_t tid, vaddr_t address, void *buffer, size_t length);
/* Data (not text) of another process; writes only what is writable to it. Bytes written or negative errno. */
/* The same by one call, where it is the mapping that ends before the buffer does. */
ssize_t os_read_to_end(int64_t tid, vaddr_t address, void *buffer, size_t length);
ssize_t os_write_memory(int64_t tid, vaddr_t address, const void *buffer, size_t length);
/* /proc/TID/mem, O_RDWR|O_CLOEXEC or O_RDONLY: an fd or negative errno. */
int os_open_memory(int64_t tid, bool writable);
/* The auxiliary vector: value of one type (getauxval(3)); 0, -ENOENT, -ESRCH. */
int os_auxv(int64_t tid, uint64_t type, uint64_t *ret);
/* Many types by one read: those that are missing are 0. 0, or -ESRCH, -EACCES. */
int os_auxv_many(int64_t tid, const uint64_t *types, size_t count, uint64_t *ret);
/*
 * Does the kernel draw the places of what it maps into this process, at its next exec too? False also where that
 * cannot be told.
 */
bool os_draws_places(int64_t tid);
/* Where a thread keeps its list of robust futexes (get_robust_list(2)); 0: nowhere. 0 or negative errno. */
int os_robust_list(int64_t tid, vaddr_t *ret);

#endif
