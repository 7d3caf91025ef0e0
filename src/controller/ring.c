/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * controller/ring.c - records of calls, without a message each (proto.h says how it looks)
 *
 * A record that finds no room is counted and gone: no thread of the victim waits for the client. The client is woken when
 * it sleeps, and not for each record: a moment later, or when the ring has filled to a part.
 */
#include "controller/controller.h"

#include <errno.h>
#include <string.h>

#include "os/memory.h"
#include "os/sys.h"

/* A wake-up costs as much as ten stops, on a processor that the victim may need. */
enum { WAKE_NS = 2000000, WAKE_BYTES = RING_BYTES / 16 };

int ring_take(struct controller *c)
{
	void *at;
	int r;

	if (c->ring.shared)
		return -EEXIST;
	r = shared_take(c, PROTO_RING_PAGE + (uint64_t)RING_BYTES, &at);
	if (r)
		return r;
	c->ring.shared = at;
	c->ring.bytes = (unsigned char *)at + PROTO_RING_PAGE;
	return 0;
}

/* Bytes that are not taken yet, as the client says: what cannot be is as full. */
static uint64_t untaken(const struct call_ring *ring)
{
	uint64_t used = ring->head - __atomic_load_n(&ring->shared->tail, __ATOMIC_ACQUIRE);

	return used <= RING_BYTES ? used : RING_BYTES;
}

static void wake(struct controller *c)
{
	struct proto_ev_plain body = { .event = { .t_ns = os_now_ns() } };

	c->ring.due_ns = 0;
	if (!__atomic_exchange_n(&c->ring.shared->waiting, 0, __ATOMIC_SEQ_CST))
		return;
	out_event(c, PROTO_EV_calls, &body, sizeof(body));
}

static void published(struct controller *c)
{
	struct call_ring *ring = &c->ring;

	/* head, then waiting; the client: waiting, then head. One of them sees the other's. */
	__atomic_store_n(&ring->shared->head, ring->head, __ATOMIC_SEQ_CST);
	if (ring->due_ns ? untaken(ring) < WAKE_BYTES : !__atomic_load_n(&ring->shared->waiting, __ATOMIC_SEQ_CST))
		return;
	if (untaken(ring) >= WAKE_BYTES)
		wake(c);
	else
		ring->due_ns = os_now_ns() + WAKE_NS;
}

void ring_timer(struct controller *c, uint64_t now)
{
	if (c->ring.due_ns && c->ring.due_ns <= now)
		wake(c);
}

/* What lies below sp may be mapped otherwise, or not at all. As many bytes as there are. */
static size_t copy_stack(const struct task *t, vaddr_t sp, unsigned char *bytes, size_t room, uint64_t *ret_address)
{
	enum { RED_ZONE = 128 };
	vaddr_t low = (sp - RED_ZONE) & ~UINT64_C(7);
	long got = os_read_memory(t->tid, low, bytes, room);

	if (got <= 0) {
		low = sp & ~UINT64_C(7);
		got = os_read_memory(t->tid, low, bytes, room);
	}
	*ret_address = low;
	return got > 0 ? (size_t)got & ~(size_t)7 : 0;
}

/* Into the scratch memory: how many bytes. */
static uint32_t take_stack(struct controller *c, const struct task *t, const struct arch_regs *regs)
{
	struct proto_call_stack head = { .tag = regs->tag, .regs_size = (regs->size + 7) & ~7u };
	unsigned char *at = c->scratch + sizeof(head);

	memcpy(at, regs->u.bytes, head.regs_size);
	at += head.regs_size;
	head.length = copy_stack(t, arch_sp(regs), at, MAX_CALL_STACK, &head.address);
	head.whole = head.length < MAX_CALL_STACK;
	memcpy(c->scratch, &head, sizeof(head));
	return (uint32_t)(sizeof(head) + head.regs_size + head.length);
}

/* Room for a record in one piece; NULL: there is none. */
static unsigned char *reserve(struct call_ring *ring, uint32_t size)
{
	uint64_t at = ring->head % RING_BYTES, rest = RING_BYTES - at, used = untaken(ring);
	const struct proto_call filler = { .size = (uint32_t)rest, .kind = PROTO_CALL_FILLER };

	if (rest < size) {
		if (used + rest + size > RING_BYTES)
			return NULL;
		memcpy(ring->bytes + at, &filler, 2 * sizeof(uint32_t));
		ring->head += rest;
		return ring->bytes;
	}
	return used + size > RING_BYTES ? NULL : ring->bytes + at;
}

void ring_put(struct controller *c, struct proto_call *record, const struct task *stack, const struct arch_regs *regs)
{
	struct call_ring *ring = &c->ring;
	unsigned char *to;

	if (!ring->shared)
		return;
	static_assert(sizeof(*record) % 8 == 0 && RING_BYTES % 8 == 0, "records begin at multiples of 8");
	record->stack_bytes = stack ? take_stack(c, stack, regs) : 0;
	record->size = (uint32_t)sizeof(*record) + record->stack_bytes;
	record->events = c->out.events;
	record->lost = ring->lost;
	to = reserve(ring, record->size);
	if (!to) {
		__atomic_store_n(&ring->shared->lost, ++ring->lost, __ATOMIC_RELAXED);
	} else {
		memcpy(to, record, sizeof(*record));
		memcpy(to + sizeof(*record), c->scratch, record->stack_bytes);
		ring->head += record->size;
	}
	published(c);
}
