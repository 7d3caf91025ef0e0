/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * arch/x86_64_syscall.c - which system calls are which
 *
 * Numbers are written out: <sys/syscall.h> knows only those of the ABI that is compiled for, and a 64-bit
 * kernel serves three (x86-64, x32, i386) to one process.
 */
#include "arch/x86_64.h"

enum { X32_BIT = 0x40000000, UNKNOWN_CALL = -1 };

/* Where a call's time-out stands. */
enum timeout {
	TIMEOUT_NONE,    /* the call has none */
	TIMEOUT_MS,      /* int of milliseconds, negative: none */
	TIMEOUT_POINTER, /* struct timespec *, NULL: none */
	TIMEOUT_SOCKET,  /* a property of the socket */
	TIMEOUT_URING,   /* behind arg when flags say so */
	TIMEOUT_IPC,     /* i386 ipc(2): by its sub-call */
};

struct disturbed {
	uint16_t number;
	uint8_t timeout;  /* enum timeout */
	uint8_t argument; /* its number */
};

/* Calls that a ptrace stop ends with EINTR although no handler ran. Measured: tests/live shows the list. */
static const struct disturbed disturbed_x86_64[] = {
	{ 232, TIMEOUT_MS, 3 },      /* epoll_wait */
	{ 281, TIMEOUT_MS, 3 },      /* epoll_pwait */
	{ 441, TIMEOUT_POINTER, 3 }, /* epoll_pwait2 */
	{ 128, TIMEOUT_POINTER, 2 }, /* rt_sigtimedwait */
	{ 208, TIMEOUT_POINTER, 4 }, /* io_getevents */
	{ 333, TIMEOUT_POINTER, 4 }, /* io_pgetevents */
	{ 65, TIMEOUT_NONE, 0 },     /* semop */
	{ 220, TIMEOUT_POINTER, 3 }, /* semtimedop */
	{ 426, TIMEOUT_URING, 3 },   /* io_uring_enter */
	{ 42, TIMEOUT_SOCKET, 0 },   /* connect */
	{ 43, TIMEOUT_SOCKET, 0 },   /* accept */
	{ 288, TIMEOUT_SOCKET, 0 },  /* accept4 */
	{ 44, TIMEOUT_SOCKET, 0 },   /* sendto */
	{ 46, TIMEOUT_SOCKET, 0 },   /* sendmsg */
	{ 307, TIMEOUT_SOCKET, 0 },  /* sendmmsg */
	{ 45, TIMEOUT_SOCKET, 0 },   /* recvfrom */
	{ 47, TIMEOUT_SOCKET, 0 },   /* recvmsg */
	{ 299, TIMEOUT_SOCKET, 0 },  /* recvmmsg */
};

static const struct disturbed disturbed_i386[] = {
	{ 256, TIMEOUT_MS, 3 },      /* epoll_wait */
	{ 319, TIMEOUT_MS, 3 },      /* epoll_pwait */
	{ 441, TIMEOUT_POINTER, 3 }, /* epoll_pwait2 */
	{ 177, TIMEOUT_POINTER, 2 }, /* rt_sigtimedwait */
	{ 421, TIMEOUT_POINTER, 2 }, /* rt_sigtimedwait_time64 */
	{ 247, TIMEOUT_POINTER, 4 }, /* io_getevents */
	{ 385, TIMEOUT_POINTER, 4 }, /* io_pgetevents */
	{ 416, TIMEOUT_POINTER, 4 }, /* io_pgetevents_time64 */
	{ 117, TIMEOUT_IPC, 0 },     /* ipc: semop, semtimedop */
	{ 420, TIMEOUT_POINTER, 3 }, /* semtimedop_time64 */
	{ 426, TIMEOUT_URING, 3 },   /* io_uring_enter */
	{ 102, TIMEOUT_SOCKET, 0 },  /* socketcall */
	{ 362, TIMEOUT_SOCKET, 0 },  /* connect */
	{ 364, TIMEOUT_SOCKET, 0 },  /* accept4 */
	{ 369, TIMEOUT_SOCKET, 0 },  /* sendto */
	{ 370, TIMEOUT_SOCKET, 0 },  /* sendmsg */
	{ 345, TIMEOUT_SOCKET, 0 },  /* sendmmsg */
	{ 371, TIMEOUT_SOCKET, 0 },  /* recvfrom */
	{ 372, TIMEOUT_SOCKET, 0 },  /* recvmsg */
	{ 337, TIMEOUT_SOCKET, 0 },  /* recvmmsg */
	{ 417, TIMEOUT_SOCKET, 0 },  /* recvmmsg_time64 */
};

/* x32 marks a bit; where it has numbers of its own (512 and on) they are not in the lists: EINTR is kept. */
static int64_t plain_number(enum arch_tag tag, int64_t number)
{
	return tag == ARCH_X86_64 && number >= X32_BIT ? number - X32_BIT : number;
}

bool arch_syscall_forks(enum arch_tag tag, int64_t number)
{
	number = plain_number(tag, number);
	if (tag == ARCH_I386)
		return number == 2 || number == 120 || number == 190 || number == 435;
	/* clone, fork, vfork, clone3 */
	return number == 56 || number == 57 || number == 58 || number == 435;
}

enum arch_ends arch_syscall_ends(enum arch_tag tag, int64_t number)
{
	number = plain_number(tag, number);
	if (number == (tag == ARCH_I386 ? 252 : 231))
		return ARCH_ENDS_PROCESS;
	return number == (tag == ARCH_I386 ? 1 : 60) ? ARCH_ENDS_THREAD : ARCH_ENDS_NOBODY;
}

/* io_uring_enter(fd, to_submit, min_complete, flags, arg, size): EINTR says that nothing was submitted. */
static enum arch_eintr uring_eintr(const struct arch_regs *regs)
{
	enum { ENTER_EXT_ARG = 1 << 3 };

	/* The time-out is in the victim's memory then, which is not looked at: taken for finite. */
	bool timed = (arch_syscall_argument(regs, 3) & ENTER_EXT_ARG) && arch_syscall_argument(regs, 4) != 0;
	return timed ? ARCH_EINTR_TIMED : ARCH_EINTR_INFINITE;
}

/* ipc(call, first, second, third, pointer, fifth); version in the upper half of call. */
static enum arch_eintr ipc_eintr(const struct arch_regs *regs)
{
	enum { IPC_SEMOP = 1, IPC_SEMTIMEDOP = 4 };

	switch (arch_syscall_argument(regs, 0) & 0xffff) {
	case IPC_SEMOP:
		return ARCH_EINTR_INFINITE;
	case IPC_SEMTIMEDOP:
		return arch_syscall_argument(regs, 5) ? ARCH_EINTR_TIMED : ARCH_EINTR_INFINITE;
	default:
		return ARCH_EINTR_NEVER;
	}
}

static enum arch_eintr eintr_of(const struct disturbed *call, const struct arch_regs *regs)
{
	uint64_t argument = arch_syscall_argument(regs, call->argument);

	switch ((enum timeout)call->timeout) {
	case TIMEOUT_NONE:
		return ARCH_EINTR_INFINITE;
	case TIMEOUT_MS:
		/* an int: the upper half of the register is not the kernel's to look at */
		return (int32_t)argument < 0 ? ARCH_EINTR_INFINITE : ARCH_EINTR_TIMED;
	case TIMEOUT_POINTER:
		return argument == 0 ? ARCH_EINTR_INFINITE : ARCH_EINTR_TIMED;
	case TIMEOUT_SOCKET:
		return ARCH_EINTR_SOCKET;
	case TIMEOUT_URING:
		return uring_eintr(regs);
	case TIMEOUT_IPC:
		return ipc_eintr(regs);
	}
	return ARCH_EINTR_NEVER;
}

enum arch_eintr arch_syscall_eintr(const struct arch_regs *regs)
{
	bool narrow = regs->tag == ARCH_I386;
	const struct disturbed *list = narrow ? disturbed_i386 : disturbed_x86_64;
	size_t count = narrow ? ARRAY_LEN(disturbed_i386) : ARRAY_LEN(disturbed_x86_64);
	int64_t number = plain_number(regs->tag, arch_syscall_number(regs));

	for (size_t i = 0; i < count; i++)
		if (list[i].number == number)
			return eintr_of(&list[i], regs);
	return ARCH_EINTR_NEVER;
}

int64_t arch_call_number(enum arch_tag tag, enum arch_call call)
{
	/* i386: mmap2, whose offset is in pages: nothing is mapped from a file, so both take 0. */
	static const int16_t numbers[][2] = {
		[ARCH_CALL_MMAP] = { 9, 192 },
		[ARCH_CALL_MUNMAP] = { 11, 91 },
		[ARCH_CALL_RT_SIGACTION] = { 13, 174 },
	};

	if ((size_t)call >= ARRAY_LEN(numbers))
		return UNKNOWN_CALL;
	switch (tag) {
	case ARCH_X86_64:
		return numbers[call][0];
	case ARCH_I386:
		return numbers[call][1];
	default:
		return UNKNOWN_CALL;
	}
}
