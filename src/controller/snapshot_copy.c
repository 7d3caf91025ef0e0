/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * controller/snapshot_copy.c - the registers and stack bytes of one thread, into the file of a snapshot
 *
 * What a thread stands for is no more than this: nothing is parsed here.
 */
#include "controller/controller.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/uio.h>

#include "controller/site.h"
#include "controller/trace.h"
#include "os/procfs.h"
#include "os/sys.h"

enum {
	RED_ZONE = 128, /* below sp, and still in use */
	STACKS = 4,     /* one, and those that signal handlers have interrupted */
};
/* The scratch memory: a record, its first window, and what that shows. */
enum { HEAD = sizeof(struct proto_stack) + sizeof(struct proto_window), CHUNK = PROTO_MESSAGE_MAX - HEAD };
/* So much is copied without asking where the stack ends: most are shorter, and end at a hole. */
enum { FIRST_CHUNK = 16384 };
static_assert(HEAD % 8 == 0 && CHUNK % 8 == 0 && (int)FIRST_CHUNK <= (int)CHUNK, "windows are made of words");
static_assert(sizeof(((struct proto_stack *)0)->regs) >= ARCH_REGS_MAX, "registers do not fit");

/* ---- writing ----------------------------------------------------------------------------- */

static void put(struct snapshot *s, uint64_t at, const void *bytes, size_t length)
{
	const unsigned char *from = bytes;

	while (length && !s->error) {
		long n = sys(pwrite64, s->file, from, length, at);

		if (n == -EINTR || n == -ENOMEM)
			n = sys(pwrite64, s->file, from, length, at);
		if (n <= 0) {
			s->error = n ? (int)n : -EIO;
			return;
		}
		from += n;
		at += (uint64_t)n;
		length -= (size_t)n;
	}
}

void snapshot_flush(struct controller *c)
{
	struct snapshot *s = &c->snapshot;

	put(s, s->batch_at, c->batch, s->batched);
	s->batched = 0;
}

void snapshot_put(struct controller *c, uint64_t at, const void *bytes, size_t length)
{
	struct snapshot *s = &c->snapshot;

	if (at >= s->batch_at && at + length <= s->batch_at + s->batched)
		memcpy(c->batch + (at - s->batch_at), bytes, length);
	else
		put(s, at, bytes, length);
}

/* To the others, when there is room; each write costs as much as the copying of a thread. */
static void batch(struct controller *c, uint64_t at, const void *bytes, size_t length)
{
	struct snapshot *s = &c->snapshot;

	if (s->batched + length > PROTO_MESSAGE_MAX || at != s->batch_at + s->batched) {
		snapshot_flush(c);
		s->batch_at = at;
	}
	memcpy(c->batch + s->batched, bytes, length);
	s->batched += length;
}

/* As much as is there in one piece, in whole words; short where the mapping ends. */
static size_t take(pid_t tid, vaddr_t from, void *bytes, size_t length)
{
	struct iovec here = { bytes, length }, there = { (void *)(uintptr_t)from, length };
	long n = sys(process_vm_readv, tid, &here, 1, &there, 1, 0);

	if (n == -EINTR || n == -ENOMEM)
		n = sys(process_vm_readv, tid, &here, 1, &there, 1, 0);
	return n > 0 ? (size_t)n & ~(size_t)7 : 0;
}

/* One record under way. */
struct copy {
	struct controller *c;
	struct proto_stack record;
	pid_t tid;
	uint64_t at;    /* where the record goes */
	uint64_t left;  /* bytes of stack that may still be copied */
	bool in_memory; /* all of it is one window, in the scratch memory, not yet written */
};

/* How much of what lies from address on belongs to the stack with that sp; the red zone may lie in something else. */
static uint64_t length_of(struct copy *copy, vaddr_t address, vaddr_t sp)
{
	struct snapshot *s = &copy->c->snapshot;
	vaddr_t end;

	if (s->maps == MAPS_UNOPENED)
		s->maps = os_open_maps(copy->tid);
	end = os_stack_end(s->maps, sp > address ? sp : address);
	return end > address ? (end - address) & ~UINT64_C(7) : UINT64_MAX;
}

/* The rest of a stack that is longer than what was read first; window is written when its length is known. */
static void go_on(struct copy *copy, struct proto_window *window, uint64_t at, uint64_t length)
{
	unsigned char *bytes = copy->c->scratch + HEAD;
	size_t got, want;

	do {
		uint64_t rest = length - window->length;

		rest = copy->left < rest ? copy->left & ~UINT64_C(7) : rest;
		want = rest < CHUNK ? (size_t)rest : CHUNK;
		got = want ? take(copy->tid, window->address + window->length, bytes, want) : 0;
		put(&copy->c->snapshot, at + sizeof(*window) + window->length, bytes, got);
		window->length += (uint32_t)got;
		copy->left -= got;
	} while (got && got == want);
	if (!want && window->length < length)
		copy->record.flags |= PROTO_STACK_CUT;
}

/*
 * A stack that has overflowed: sp points below what is mapped, by a frame at most. *address: the first page above that
 * is. Bytes, 0: none.
 */
static size_t take_above(pid_t tid, vaddr_t *address, void *bytes, size_t length)
{
	enum { PAGE = 4096, PAGES = 256 };
	vaddr_t page = (*address + PAGE) & ~(vaddr_t)(PAGE - 1);
	size_t got = 0;

	for (int i = 0; i < PAGES && !got; i++, page += PAGE) {
		got = take(tid, page, bytes, length);
		*address = got ? page : *address;
	}
	return got;
}

/*
 * The stack from sp on. The red zone may lie in another mapping, or none. Where it goes on when this is a signal
 * handler's own one, or 0.
 */
static vaddr_t copy_window(struct copy *copy, vaddr_t sp)
{
	uint64_t at = copy->at + sizeof(copy->record) + copy->record.size;
	unsigned char *bytes = copy->c->scratch + HEAD;
	struct proto_window window = { .address = (sp - RED_ZONE) & ~UINT64_C(7) };
	size_t want = copy->left < FIRST_CHUNK ? (size_t)copy->left & ~(size_t)7 : FIRST_CHUNK;
	size_t got = take(copy->tid, window.address, bytes, want);
	uint64_t length;
	vaddr_t more;

	if (!got) {
		window.address = sp & ~UINT64_C(7);
		got = take(copy->tid, window.address, bytes, want);
	}
	if (!got)
		got = take_above(copy->tid, &window.address, bytes, want);
	if (!got)
		return 0;
	length = got == want ? length_of(copy, window.address, sp) : got;
	got = length < got ? (size_t)length : got;
	more = arch_interrupted_sp(bytes, got, window.address);
	window.length = (uint32_t)got;
	copy->left -= got;
	if (got == length && !copy->record.size && !more) {
		memcpy(bytes - sizeof(window), &window, sizeof(window));
		copy->in_memory = true;
	} else {
		put(&copy->c->snapshot, at + sizeof(window), bytes, got);
		if (got < length)
			go_on(copy, &window, at, length);
		put(&copy->c->snapshot, at, &window, sizeof(window));
	}
	copy->record.size += (uint32_t)sizeof(window) + window.length;
	return more;
}

static void copy_stacks(struct copy *copy, vaddr_t sp)
{
	for (int i = 0; i < STACKS && sp && copy->left >= sizeof(uint64_t); i++)
		sp = copy_window(copy, sp);
}

static void finish_record(struct copy *copy)
{
	struct snapshot *s = &copy->c->snapshot;
	unsigned char *head = copy->c->scratch;

	memcpy(head, &copy->record, sizeof(copy->record));
	if (copy->in_memory)
		batch(copy->c, copy->at, head, sizeof(copy->record) + copy->record.size);
	else
		put(s, copy->at, head, sizeof(copy->record));
	if (s->error)
		return;
	s->bytes += sizeof(copy->record) + copy->record.size;
	s->threads++;
}

/* ---- one thread -------------------------------------------------------------------------- */

/* Where it would stand without us. */
static void undo_ours(const struct task *t, enum stop_kind kind, struct arch_regs *regs)
{
	struct space *space = t->process->space;
	const struct site *site;

	if (t->wound_back) {
		arch_set_pc(regs, arch_pc(regs) + ARCH_SYSCALL_SIZE);
		return;
	}
	if (kind == STOP_TRAP) {
		site = site_find(&space->sites, arch_pc(regs) - ARCH_TRAP_PC_AFTER);
		if (site && site->known)
			arch_set_pc(regs, site->address);
		return;
	}
	slot_home(space, regs);
}

static void put_registers(struct proto_stack *record, const struct arch_regs *regs)
{
	record->pc = arch_pc(regs);
	record->sp = arch_sp(regs);
	record->regs_tag = regs->tag;
	record->regs_size = regs->size;
	memcpy(record->regs, regs->u.bytes, regs->size);
}

static void fill_registers(struct copy *copy, const struct task *t, enum stop_kind kind, struct arch_regs *regs)
{
	struct proto_stack *record = &copy->record;

	record->state = PROTO_STACK_STOPPED;
	/* before the pc of a call that was wound back is set: the call's number is then gone from the registers */
	record->call = arch_syscall_number(regs);
	undo_ours(t, kind, regs);
	put_registers(record, regs);
}

static void fill_shown(struct copy *copy, long call, const struct os_blocked *at)
{
	struct proto_stack *record = &copy->record;
	struct arch_regs regs;

	record->state = PROTO_STACK_BLOCKED;
	record->call = call < 0 ? -1 : call;
	arch_blocked_registers(&regs, at->argument, at->sp, at->pc);
	put_registers(record, &regs);
}

/* What does not stand for us, but inside the kernel, shows where. */
static void fill_blocked(struct copy *copy, const struct task *t)
{
	struct os_blocked at;
	long call = os_blocked_at(t->process->pid, t->tid, &at);

	if (call >= 0 || call == OS_SYSCALL_NONE)
		fill_shown(copy, call, &at);
}

/* False: total_bytes is reached. There is no record then, and the answer's number of threads says so. */
static bool begin(struct controller *c, struct task *t, struct copy *copy)
{
	struct snapshot *s = &c->snapshot;

	*copy = (struct copy){
		.c = c,
		.tid = t->tid,
		.at = s->bytes,
		.record = {
			.tid = (uint32_t)t->tid,
			.serial = t->serial,
			.state = PROTO_STACK_RUNNING,
			.flags = (t->snapshot_ran ? PROTO_STACK_RAN : 0) | (t->asked_stop_ns ? 0 : PROTO_STACK_STAYED),
			.stopped_ns = t->asked_stop_ns,
			.t_ns = os_now_ns(),
			.call = -1,
		},
	};
	t->snapshot = SNAPSHOT_COPIED;
	s->record_at = UINT64_MAX;
	copy->left = s->total_bytes - s->bytes < s->stack_bytes + HEAD ? s->total_bytes - s->bytes : s->stack_bytes + HEAD;
	if (copy->left < HEAD)
		return false;
	copy->left -= HEAD;
	return true;
}

static void end(struct copy *copy)
{
	copy_stacks(copy, copy->record.sp);
	copy->c->snapshot.record_at = copy->at;
	finish_record(copy);
}

void snapshot_copy(struct controller *c, struct task *t, enum stop_kind kind)
{
	struct arch_regs regs;
	struct copy copy;

	if (!begin(c, t, &copy))
		return;
	/* Also of one whose stop was not waited for yet; of others the kernel says -ESRCH, and nothing happens. */
	if (!(c->seen.of == t ? stop_regs(c, t, &regs) : trace_get_regs(t->tid, &regs)))
		fill_registers(&copy, t, kind, &regs);
	else
		fill_blocked(&copy, t);
	end(&copy);
}

void snapshot_copy_blocked(struct controller *c, struct task *t, long call, const struct os_blocked *at)
{
	struct copy copy;

	if (!begin(c, t, &copy))
		return;
	fill_shown(&copy, call, at);
	end(&copy);
}

void snapshot_void(struct controller *c, uint64_t record_at)
{
	const uint32_t nobody = 0;

	if (record_at == UINT64_MAX)
		return;
	snapshot_put(c, record_at + offsetof(struct proto_stack, tid), &nobody, sizeof(nobody));
	c->snapshot.threads--;
}
