/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * os/mounts.h - which files a process may serve itself
 *
 * A file system in user space (FUSE) answers from a process, and that may be the very one whose file is to be opened: held, it
 * would never answer. Not even statfs(2) may be asked of such a file. The list of mounts touches none of them.
 */
#ifndef OS_MOUNTS_H
#define OS_MOUNTS_H

#include "base/types.h"

struct os_served {
	bool any;  /* there are such mounts in its namespace */
	bool here; /* one of them is the device that was asked for */
};

/*
 * The device as /proc/TID/maps tells it. A mount that was detached (umount -l) is in no list. When the list cannot be read: as
 * if all were served.
 */
struct os_served os_served(int64_t tid, uint32_t device_major, uint32_t device_minor);

#endif
