/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * os/sys.h - the one table of system calls of os/ and controller/
 *
 * Both call the kernel only through sys(): it returns the result or a negative errno, never touches errno, and
 * is the same under musl and glibc. In a build with -DTETHER_INJECT it counts the calls and makes the n-th
 * fail (os/inject.h), so that a test can walk n = 1, 2, ... until none is hit. In all other builds it is the
 * bare system call.
 */
#ifndef OS_SYS_H
#define OS_SYS_H

#include <sys/syscall.h>

#include "base/types.h"

/* One row per call: name in SYS_*; that is the whole list of what these rooms ask of the kernel. */
#define SYS_TABLE(X)                                                                                       \
	X(ptrace) X(wait4) X(waitid) X(kill) X(tgkill) X(openat) X(close) X(read) X(write) X(pread64) X(pwrite64)    \
	X(readlinkat) X(getdents64) X(process_vm_readv) X(process_vm_writev) X(kcmp) X(ppoll) X(recvmsg)   \
	X(sendmsg) X(signalfd4) X(rt_sigprocmask) X(rt_sigaction) X(setsid) X(close_range) X(fcntl)        \
	X(pidfd_open) X(pidfd_getfd) X(pidfd_send_signal) X(clone) X(execve) X(execveat) X(chdir) X(dup3) X(pipe2) \
	X(mmap) X(munmap) X(madvise) X(mlockall) X(newfstatat) X(faccessat) X(prctl) X(prlimit64) X(ioctl) X(getpid) \
	X(gettid) X(memfd_create) X(fstatfs) X(ftruncate) X(socketpair) X(exit_group) X(exit) X(lseek) X(sched_yield) X(setpriority) X(getpriority) X(epoll_create1) X(epoll_ctl) X(epoll_pwait) X(getsockopt) X(get_robust_list)

enum sys_call {
#define X(name) SYS_CALL_##name,
	SYS_TABLE(X)
#undef X
	SYS_CALLS
};

/* The call itself; use the macro below. */
long sys_call(enum sys_call call, long a, long b, long c, long d, long e, long f);

#define SYS_ARG(x) ((long)(x))
/* sys(openat, dir, path, flags, mode): result, or negative errno */
#define sys(name, ...) SYS_PICK(__VA_ARGS__, SYS6, SYS5, SYS4, SYS3, SYS2, SYS1, 0)(SYS_CALL_##name, __VA_ARGS__)
#define SYS_PICK(a, b, c, d, e, f, pick, ...) pick
#define SYS1(n, a) sys_call(n, SYS_ARG(a), 0, 0, 0, 0, 0)
#define SYS2(n, a, b) sys_call(n, SYS_ARG(a), SYS_ARG(b), 0, 0, 0, 0)
#define SYS3(n, a, b, c) sys_call(n, SYS_ARG(a), SYS_ARG(b), SYS_ARG(c), 0, 0, 0)
#define SYS4(n, a, b, c, d) sys_call(n, SYS_ARG(a), SYS_ARG(b), SYS_ARG(c), SYS_ARG(d), 0, 0)
#define SYS5(n, a, b, c, d, e) sys_call(n, SYS_ARG(a), SYS_ARG(b), SYS_ARG(c), SYS_ARG(d), SYS_ARG(e), 0)
#define SYS6(n, a, b, c, d, e, f) \
	sys_call(n, SYS_ARG(a), SYS_ARG(b), SYS_ARG(c), SYS_ARG(d), SYS_ARG(e), SYS_ARG(f))

/* CLOCK_MONOTONIC in nanoseconds, by the vdso: never injected. */
uint64_t os_now_ns(void);

#endif
