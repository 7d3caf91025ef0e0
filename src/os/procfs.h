/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * os/procfs.h - what /proc tells of a process
 *
 * Every reader takes a tid that is alive: with a zombie leader, /proc/PID/{maps,mem,...} of the process are
 * empty while those of any living thread work. Linked into both binaries: no allocation but where said.
 */
#ifndef OS_PROCFS_H
#define OS_PROCFS_H

#include "base/types.h"

/* Fields of /proc/TID/status and stat that decide whether and how a process can be held. */
struct os_task_status {
	int64_t tgid, ppid, tracer;
	char state;                       /* R S D T t Z X I */
	uint32_t uid, gid;                /* real */
	uint64_t sig_blocked, sig_ignored, sig_caught, sig_pending, sig_shared_pending;
	uint32_t seccomp;                 /* 0 none, 1 strict, 2 filter */
	uint32_t threads;
	bool kernel_thread;
	bool is_init;                     /* in its process, of its pid namespace */
	bool dumps_core;                  /* its process does: it has ended but for that */
};
/* 0, -ESRCH (gone), or negative errno. */
int os_task_status(int64_t tid, struct os_task_status *ret);

/*
 * The value behind "\nKey:\t" in the text of such a file, or NULL; as a number, 0 when it is missing. The kernel
 * escapes a newline in the name, so no line can be forged.
 */
const char *os_status_field(const char *status, const char *key);
uint64_t os_status_number(const char *status, const char *key, int base);

/* Only the process's ignored and caught signals: cheap enough for every stop. 0, -ESRCH or negative errno. */
int os_signal_actions(int64_t tid, uint64_t *ret_ignored, uint64_t *ret_caught);

/* Where the symbolic link /proc/TID/name points, NUL-ended: its length, or -ESRCH, -ENAMETOOLONG, ... */
int os_link(int64_t tid, const char *name, char *buffer, size_t size);

/* Start time in clock ticks since boot (field 22 of stat): with the pid it is an identity. */
int os_start_time(int64_t tid, uint64_t *ret);

/*
 * /proc/PID/task/TID/syscall: -ESRCH; OS_SYSCALL_RUNNING: it runs; OS_SYSCALL_NONE: blocked outside any call;
 * else the number of the call in which it is blocked, arguments in ret (may be NULL).
 */
enum { OS_SYSCALL_RUNNING = -4096, OS_SYSCALL_NONE = -4097 };
long os_blocked_syscall(int64_t pid, int64_t tid, uint64_t argument[6]);
/* The same, with where it stands; untouched where it runs. Arguments are 0 outside any call. */
struct os_blocked {
	vaddr_t sp, pc;
	uint64_t argument[6];
};
long os_blocked_at(int64_t pid, int64_t tid, struct os_blocked *ret);

/*
 * How often it was given a processor: unchanged between two moments, it has not run meanwhile. 0, -ESRCH, -ENOENT (a
 * kernel that does not count), or another negative errno.
 */
int os_thread_runs(int64_t pid, int64_t tid, uint64_t *ret);

/*
 * The same again and again, and of many: the folder of a process's threads, and in it "syscall", "schedstat" and the like of
 * one. Files, to be closed, or negative errno. The way from the root to there is a third of the work.
 */
int os_open_threads(int64_t pid);
int os_open_thread(int threads, int64_t tid, const char *name);
long os_blocked_of(int fd, struct os_blocked *ret);
int os_runs_of(int fd, uint64_t *ret);

/* Call visit for each tid of a process / each child of a task; a non-zero return ends it and is returned. */
int os_each_thread(int64_t pid, int (*visit)(int64_t tid, void *data), void *data);
int os_each_child(int64_t pid, int64_t tid, int (*visit)(int64_t child, void *data), void *data);
/* Each process of the system, by readdir of /proc. */
int os_each_process(int (*visit)(int64_t pid, void *data), void *data);

/* One mapping of /proc/TID/maps; path is unescaped (\012), a trailing " (deleted)" stripped and told apart. */
struct os_mapping {
	vaddr_t start, end;
	uint64_t offset, inode;
	uint32_t device_major, device_minor;
	bool readable, writable, executable, shared, deleted;
	const char *path; /* "" for none; "[vdso]" and the like as they are */
};
int os_each_mapping(int64_t tid, int (*visit)(const struct os_mapping *mapping, void *data), void *data);

/*
 * Only the mappings that cover these addresses, asked one by one (PROCMAP_QUERY, 6.11): cheaper than the whole list where
 * they are few. Of addresses that ascend each mapping is told once. Paths are not told (""). -ENOTTY: this kernel cannot.
 */
int os_mappings_at(int64_t tid, const vaddr_t *address, size_t count,
		   int (*visit)(const struct os_mapping *mapping, void *data), void *data);

/* For os_stack_end(): an fd, to be closed, or negative errno. It is of the image that there is now. */
int os_open_maps(int64_t tid);
/*
 * Where the stack that has this address ends: its mapping, and those that go on from there and are of the same kind
 * (parts of a stack may be named or bound otherwise). What lies behind may be anything: behind the stack of a program's
 * first thread it is the C library. 0: this kernel cannot tell (before 6.11).
 */
vaddr_t os_stack_end(int maps, vaddr_t address);

/* Do two tasks share their memory? 1, 0, -ESRCH, or -ENOSYS/-EPERM where kcmp(2) is not to be had. */
int os_same_memory(int64_t tid, int64_t other);

#endif
