/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * controller/masks.c - did this thread block SIGTRAP before it ran into a trap?
 *
 * The trap has made the kernel unblock it (force_sig), so only what was seen earlier tells: masks with SIGTRAP in them, at
 * stops and in /proc. A thread that is seen inside a signal handler blocks more than it will when that returns:
 *
 *	seized here                           the next trap is hit there
 *	handler: blocks TRAP, USR1  ──sigreturn──►  blocks TRAP, or nothing: the kernel has just changed it
 *
 * What it will block lies in the frame that sigreturn(2) reads, so that is looked for, wherever SIGTRAP is seen blocked.
 */
#include "controller/controller.h"

#include <string.h>

#include "controller/site.h"
#include "controller/trace.h"
#include "os/memory.h"
#include "os/procfs.h"

#define BIT(signal) (UINT64_C(1) << ((signal)-1))

static bool blocks_all_others(uint64_t mask)
{
	/* a C library keeps these for itself and leaves them out of a full mask: glibc two, musl three */
	const uint64_t libc = BIT(32) | BIT(33) | BIT(34);

	return (mask | libc | BIT(SIGKILL) | BIT(SIGSTOP) | BIT(SIGTRAP)) == ~UINT64_C(0);
}

/* True: it was not known. A thread is born with all blocked by its C library: that is recognized, and tells nothing of later. */
static bool remember(struct task *t, uint64_t mask)
{
	if (!(mask & BIT(SIGTRAP)) || blocks_all_others(mask))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(t->blocking); i++)
		if (t->blocking[i] == mask)
			return false;
	t->blocking[t->blocking_next++ % ARRAY_LEN(t->blocking)] = mask;
	return true;
}

static bool returns_by_sigreturn(struct task *t, vaddr_t restorer)
{
	unsigned char bytes[ARCH_SIGRETURN_BYTES];

	return !task_read(t, restorer, bytes, sizeof(bytes)) && arch_is_sigreturn(bytes);
}

/* The first frame from here on. Bytes looked through; ret->restorer is 0 when there is none. */
static size_t next_frame(struct task *t, vaddr_t sp, size_t budget, struct arch_signal_frame *ret)
{
	enum { CHUNK = 8192 };
	unsigned char bytes[CHUNK + ARCH_SIGNAL_FRAME_SIZE];
	vaddr_t at = ((sp + 7) & ~UINT64_C(15)) + ARCH_SIGNAL_FRAME_REST;
	size_t searched = 0;

	ret->restorer = 0;
	while (searched < budget) {
		ssize_t n = os_read_memory(t->tid, at, bytes, sizeof(bytes));

		for (ssize_t i = 0; i < CHUNK && i + ARCH_SIGNAL_FRAME_SIZE <= n; i += ARCH_SIGNAL_FRAME_STEP) {
			if (arch_signal_frame(bytes + i, ret) && returns_by_sigreturn(t, ret->restorer))
				return searched + (size_t)i + ARCH_SIGNAL_FRAME_SIZE;
			ret->restorer = 0;
		}
		searched += CHUNK;
		at += CHUNK;
		if (n < (ssize_t)sizeof(bytes))
			break; /* the stack ends */
	}
	return searched;
}

static void search_frames(struct task *t, vaddr_t sp)
{
	struct arch_signal_frame frame;

	for (size_t searched = 0; searched < MAX_FRAME_SEARCH; sp = frame.sp) {
		searched += next_frame(t, sp, MAX_FRAME_SEARCH - searched, &frame);
		if (!frame.restorer)
			return;
		remember(t, frame.mask);
	}
}

void mask_saw(struct task *t, uint64_t mask)
{
	t->last_mask = mask;
	if (!(mask & BIT(SIGTRAP)))
		memset(t->blocking, 0, sizeof(t->blocking));
	remember(t, mask);
}

void mask_saw_at_stop(struct task *t, uint64_t mask, bool search)
{
	struct arch_regs regs;
	bool fresh;

	if (!(mask & BIT(SIGTRAP)) || !search) {
		mask_saw(t, mask);
		return;
	}
	t->last_mask = mask;
	fresh = remember(t, mask);
	/* All blocked by a handler of its own: there the frame is the only thing that tells. */
	if ((fresh || (blocks_all_others(mask) && !t->blocking[0])) && !trace_get_regs(t->tid, &regs))
		search_frames(t, arch_sp(&regs));
}

void mask_saw_seized(struct task *t, uint64_t mask)
{
	struct os_blocked at;
	long call;

	t->last_mask = mask;
	if (!(mask & BIT(SIGTRAP)))
		return;
	call = os_blocked_at(t->process->pid, t->tid, &at);
	/* One that runs shows a stop before anything is planted (rule 5), and its mask is seen there. */
	if (call < 0 && call != OS_SYSCALL_NONE)
		return;
	remember(t, mask);
	search_frames(t, at.sp);
}

/*
 * It did when all others are blocked, since nobody blocks all signals but this one; when it was so whenever else these were
 * blocked; and inside a signal handler, which blocks more than what it has interrupted and nothing less.
 */
bool mask_had_trap(const struct task *t, uint64_t mask)
{
	const uint64_t others = ~BIT(SIGTRAP);

	if (blocks_all_others(mask))
		return true;
	for (size_t i = 0; i < ARRAY_LEN(t->blocking); i++) {
		uint64_t seen = t->blocking[i];

		if (seen && (((seen ^ mask) & others) == 0 ||
			     (t->delivered && mask & BIT(t->delivered) && !(seen & ~mask & others))))
			return true;
	}
	return false;
}
