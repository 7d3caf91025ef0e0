/* SPDX-License-Identifier: BSD-2-Clause */
#include "controller/trace.h"

#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/uio.h>

#include <linux/ptrace.h>

#include "os/sys.h"

enum { CODE_KERNEL = 0x80 };

/*
 * No request used here fails with EINTR, and ENOMEM passes: once more, so that a task is not left standing
 * because one call met a bad moment.
 */
static int trace(long request, pid_t tid, uint64_t address, const void *data)
{
	long r = sys(ptrace, request, tid, address, data);

	if (r == -EINTR || r == -ENOMEM || r == -EAGAIN)
		r = sys(ptrace, request, tid, address, data);
	return r < 0 ? (int)r : 0;
}

static const void *number(uint64_t value)
{
	return (const void *)(uintptr_t)value;
}

int trace_seize(pid_t tid, uint32_t options)
{
	return trace(PTRACE_SEIZE, tid, 0, number(options));
}

int trace_options(pid_t tid, uint32_t options)
{
	return trace(PTRACE_SETOPTIONS, tid, 0, number(options));
}

int trace_interrupt(pid_t tid)
{
	return trace(PTRACE_INTERRUPT, tid, 0, NULL);
}

int trace_listen(pid_t tid)
{
	return trace(PTRACE_LISTEN, tid, 0, NULL);
}

int trace_go(pid_t tid, int signal)
{
	return trace(PTRACE_CONT, tid, 0, number((unsigned)signal));
}

int trace_step(pid_t tid, int signal)
{
	return trace(PTRACE_SINGLESTEP, tid, 0, number((unsigned)signal));
}

int trace_syscall(pid_t tid, int signal)
{
	return trace(PTRACE_SYSCALL, tid, 0, number((unsigned)signal));
}

int trace_detach(pid_t tid, int signal)
{
	return trace(PTRACE_DETACH, tid, 0, number((unsigned)signal));
}

int trace_message(pid_t tid, uint64_t *ret)
{
	unsigned long message = 0;
	int r = trace(PTRACE_GETEVENTMSG, tid, 0, &message);

	if (!r)
		*ret = message;
	return r;
}

int trace_get_info(pid_t tid, siginfo_t *ret)
{
	return trace(PTRACE_GETSIGINFO, tid, 0, ret);
}

int trace_set_info(pid_t tid, const siginfo_t *info)
{
	return trace(PTRACE_SETSIGINFO, tid, 0, info);
}

int trace_get_mask(pid_t tid, uint64_t *ret)
{
	return trace(PTRACE_GETSIGMASK, tid, sizeof(*ret), ret);
}

int trace_set_mask(pid_t tid, uint64_t mask)
{
	return trace(PTRACE_SETSIGMASK, tid, sizeof(mask), &mask);
}

int trace_shadow_stack(pid_t tid)
{
	uint64_t pointer;
	struct iovec vector = { &pointer, sizeof(pointer) };

	return trace(PTRACE_GETREGSET, tid, ARCH_SHADOW_STACK_REGSET, &vector);
}

int trace_get_regs(pid_t tid, struct arch_regs *ret)
{
	struct iovec vector = { ret->u.bytes, sizeof(ret->u.bytes) };
	int r = trace(PTRACE_GETREGSET, tid, NT_PRSTATUS, &vector);

	if (r)
		return r;
	ret->size = (uint32_t)vector.iov_len;
	ret->tag = arch_tag_of_size(vector.iov_len);
	return 0;
}

int trace_set_regs(pid_t tid, const struct arch_regs *regs)
{
	struct arch_regs copy = *regs;
	struct iovec vector = { copy.u.bytes, copy.size };

	return trace(PTRACE_SETREGSET, tid, NT_PRSTATUS, &vector);
}

int trace_get_regset(pid_t tid, uint32_t set, void *bytes, size_t *size)
{
	struct iovec vector = { bytes, *size };
	int r = trace(PTRACE_GETREGSET, tid, set, &vector);

	if (!r)
		*size = vector.iov_len;
	return r;
}

int trace_set_regset(pid_t tid, uint32_t set, const void *bytes, size_t size)
{
	struct iovec vector = { (void *)(uintptr_t)bytes, size };

	return trace(PTRACE_SETREGSET, tid, set, &vector);
}

/* Of these signals (bit n-1 = signal n), sent by the kernel. */
static int kernel_has_queued(pid_t tid, uint32_t flags, uint64_t signals)
{
	siginfo_t info[16];
	struct ptrace_peeksiginfo_args from = { .off = 0, .flags = flags, .nr = ARRAY_LEN(info) };
	/* bounded by RLIMIT_SIGPENDING, which a victim can set high */
	enum { ROUNDS = 4096 };

	for (int round = 0; round < ROUNDS; round++) {
		long n = sys(ptrace, PTRACE_PEEKSIGINFO, tid, &from, info);

		if (n == -EINTR || n == -ENOMEM)
			n = sys(ptrace, PTRACE_PEEKSIGINFO, tid, &from, info);
		if (n < 0)
			return (int)n;
		for (long i = 0; i < n; i++)
			if (info[i].si_code == CODE_KERNEL && signals >> (info[i].si_signo - 1) & 1)
				return 1;
		if (n < (long)ARRAY_LEN(info))
			return 0;
		from.off += (unsigned long)n;
	}
	return 0;
}

int trace_trap_queued(pid_t tid)
{
	return kernel_has_queued(tid, 0, UINT64_C(1) << (SIGTRAP - 1));
}

int trace_orphan_queued(pid_t tid)
{
	uint64_t mask = 0, signals = UINT64_C(1) << (SIGHUP - 1) | UINT64_C(1) << (SIGCONT - 1);
	int r = trace_get_mask(tid, &mask);

	return r ? r : kernel_has_queued(tid, PTRACE_PEEKSIGINFO_SHARED, signals & ~mask);
}

int trace_poke_byte(pid_t tid, vaddr_t address, unsigned char byte)
{
	vaddr_t word = address & ~(vaddr_t)(sizeof(long) - 1);
	unsigned char bytes[sizeof(long)] = { 0 };
	unsigned long value;
	int r;

	r = trace(PTRACE_PEEKTEXT, tid, word, bytes);
	if (r)
		return r;
	bytes[address - word] = byte;
	memcpy(&value, bytes, sizeof(value));
	return trace(PTRACE_POKETEXT, tid, word, number(value));
}
