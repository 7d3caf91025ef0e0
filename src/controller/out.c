/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * controller/out.c - what goes to the client, without ever waiting for it
 *
 * Messages go out at once while the socket takes them, else into a ring that grows up to a bound. Beyond
 * SOFT_LIMIT records that may be dropped are dropped and counted; beyond HARD_LIMIT hits and forks are too: a
 * stopped client must not make the controller eat the machine's memory.
 */
#include "controller/controller.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "os/sys.h"

enum { FIRST_SIZE = 32 << 10, WARM_SIZE = 24 << 10, SOFT_LIMIT = 256 << 10, HARD_LIMIT = 16 << 20 };

/* What may be dropped, and when it is wanted at all. */
static bool kept(uint32_t type)
{
	switch (type) {
#define X(number, name, body, item, want, keep, now) \
	case (number):                    \
		return keep;
		PROTO_EVENTS(X)
#undef X
	default:
		return true;
	}
}

static bool last_word(uint32_t type)
{
	return type < 256 || type == PROTO_EV_exit || type == PROTO_EV_lost || type == PROTO_EV_released;
}

static uint64_t wanted(uint32_t type)
{
	switch (type) {
#define X(number, name, body, item, want, keep, now) \
	case (number):                    \
		return want;
		PROTO_EVENTS(X)
#undef X
	default:
		return 0;
	}
}

/* An event that nobody waits for may wait itself a little, for others to come along. */
static bool urgent(uint32_t type)
{
	switch (type) {
#define X(number, name, body, item, want, keep, now) \
	case (number):                               \
		return now;
		PROTO_EVENTS(X)
#undef X
	default:
		return true;
	}
}

/* ---- the ring: messages in order, each behind its length --------------------------------- */

static void ring_copy_in(struct out *out, size_t at, const void *from, size_t length)
{
	size_t first = out->size - at < length ? out->size - at : length;

	memcpy(out->ring + at, from, first);
	memcpy(out->ring, (const unsigned char *)from + first, length - first);
}

static bool ring_grow(struct out *out, size_t need)
{
	size_t size = out->size ? out->size : FIRST_SIZE, first;
	unsigned char *ring;

	while (size < need)
		size *= 2;
	if (size == out->size)
		return true;
	ring = pages_get(size);
	if (!ring)
		return false;
	first = out->size - out->head < out->used ? out->size - out->head : out->used;
	if (out->used) {
		memcpy(ring, out->ring + out->head, first);
		memcpy(ring + first, out->ring, out->used - first);
	}
	pages_put(out->ring, out->size);
	out->ring = ring;
	out->size = size;
	out->head = 0;
	return true;
}

void out_warm(struct controller *c)
{
	volatile unsigned char *page;

	if (!ring_grow(&c->out, FIRST_SIZE))
		return;
	page = c->out.ring;
	for (size_t at = 0; at < WARM_SIZE; at += PROTO_KEY_PAGE)
		page[at] = page[at];
}

void out_cool(struct controller *c)
{
	if (c->out.used)
		return;
	pages_put(c->out.ring, c->out.size);
	c->out.ring = NULL;
	c->out.size = c->out.head = 0;
}

static void ring_add(struct out *out, const void *bytes, size_t size)
{
	ring_copy_in(out, (out->head + out->used) % out->size, bytes, size);
	out->used += size;
}

static bool queue_put(struct out *out, const struct iovec *piece, size_t pieces)
{
	uint32_t length = 0;

	for (size_t i = 0; i < pieces; i++)
		length += (uint32_t)piece[i].iov_len;
	if (!ring_grow(out, out->used + sizeof(length) + length))
		return false;
	ring_add(out, &length, sizeof(length));
	for (size_t i = 0; i < pieces; i++)
		ring_add(out, piece[i].iov_base, piece[i].iov_len);
	return true;
}

static void ring_peek(const struct out *out, size_t offset, void *to, size_t length)
{
	size_t at = (out->head + offset) % out->size;
	size_t first = out->size - at < length ? out->size - at : length;

	memcpy(to, out->ring + at, first);
	memcpy((unsigned char *)to + first, out->ring, length - first);
}

/* The first message of the ring, as it lies. */
static long send_first(struct controller *c, uint32_t length)
{
	const struct out *out = &c->out;
	size_t at = (out->head + sizeof(length)) % out->size;
	size_t first = out->size - at < length ? out->size - at : length;
	struct iovec piece[2] = {
		{ out->ring + at, first },
		{ out->ring, length - first },
	};
	struct msghdr message = { .msg_iov = piece, .msg_iovlen = first < length ? 2 : 1 };
	long r = sys(sendmsg, c->socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);

	return r == -EINTR || r == -ENOMEM ? sys(sendmsg, c->socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL)
					   : r;
}

void out_flush(struct controller *c)
{
	struct out *out = &c->out;

	out->full = false;
	out->urgent = false;
	out->soon_ns = 0;
	if (out->used)
		out->sent_ns = os_now_ns();
	while (out->used && !c->client_gone) {
		uint32_t length;
		long r;

		ring_peek(out, 0, &length, sizeof(length));
		r = send_first(c, length);
		if (r == -EAGAIN) {
			out->full = true;
			return;
		}
		if (r < 0) {
			out->used = 0;
			return; /* its end is seen by the loop */
		}
		out->head = (out->head + sizeof(length) + length) % out->size;
		out->used -= sizeof(length) + length;
	}
	if (!out->used)
		out->head = 0; /* the next messages find the same warm page */
	if (out->dropped != out->dropped_told && !out->used) {
		uint64_t count = out->dropped - out->dropped_told;

		out->dropped_told = out->dropped;
		out_plain(c, PROTO_EV_dropped, 0, 0, 0, count);
	}
}

/*
 * Each send wakes the client, which costs as much as a fork does. So what nobody waits for is held back while
 * messages come faster than this, and goes out together.
 */
enum { TOGETHER_NS = 3000000, TOGETHER_BYTES = 32 << 10, COPY_NS = 60000 };

uint64_t out_due_ns(const struct controller *c)
{
	const struct out *out = &c->out;

	/* A full socket tells itself when it takes more. */
	if (!out->used || out->full || c->client_gone)
		return 0;
	if (out->urgent || out->used > TOGETHER_BYTES)
		return 1;
	return out->soon_ns ? out->soon_ns : out->sent_ns + TOGETHER_NS;
}

void out_flush_due(struct controller *c)
{
	uint64_t due = out_due_ns(c);

	if (due && (due == 1 || due <= os_now_ns()))
		out_flush(c);
}

/* Sent at the end of the turn: a send wakes the client, and the victim's thread is let go before that. */
static void out_message(struct controller *c, uint64_t id, uint32_t type, const void *body, size_t size,
			const void *items, size_t items_size, bool at_once)
{
	struct proto_header header = { .type = type, .size = (uint32_t)(size + items_size), .id = id };
	struct iovec piece[3] = {
		{ &header, sizeof(header) },
		{ (void *)(uintptr_t)body, size },
		{ (void *)(uintptr_t)items, items_size },
	};
	struct out *out = &c->out;

	if (c->client_gone)
		return;
	if ((out->used > SOFT_LIMIT && !kept(type)) || (out->used > HARD_LIMIT && !last_word(type))) {
		out->dropped++;
		c->stats.dropped++;
		return;
	}
	if (!queue_put(out, piece, items_size ? 3 : 2)) {
		out->dropped++;
		return;
	}
	out->events += type > 256;
	if (at_once)
		out->urgent = true;
}

void out_answer(struct controller *c, uint64_t request, uint32_t type, const void *body, size_t size)
{
	if (request)
		out_message(c, request, type + 1, body, size, NULL, 0, true);
}

void out_answer_soon(struct controller *c, uint64_t request, uint32_t type, const void *body, size_t size)
{
	if (request)
		out_message(c, request, type + 1, body, size, NULL, 0, false);
}

void out_result(struct controller *c, uint64_t request, uint32_t type, int32_t result, uint32_t value)
{
	struct proto_result body = { .result = result, .value = value };

	out_answer(c, request, type, &body, sizeof(body));
}

/*
 * When it happened, but not before what has been told already: threads whose stops were taken together are
 * acted on in another order than they stopped in, and a client must not see time go back.
 */
static uint64_t told_at(struct controller *c, uint64_t t_ns)
{
	if (t_ns > c->out.last_ns)
		c->out.last_ns = t_ns;
	return c->out.last_ns;
}

void event_of(struct controller *c, struct proto_event *event, const struct task *t)
{
	*event = (struct proto_event){
		.pid = (uint32_t)(t->process ? t->process->pid : t->tid),
		.tid = (uint32_t)t->tid,
		.serial = t->serial,
		.t_ns = told_at(c, t->stopped_ns ? t->stopped_ns : os_now_ns()),
	};
}

void out_event_with(struct controller *c, uint32_t type, const void *body, size_t size, const void *items,
		    size_t items_size)
{
	const struct proto_event *event = body;
	uint64_t want = wanted(type);

	if (want && !(c->hold.events & want))
		return;
	c->stats.events++;
	out_message(c, 0, type, body, size, items, items_size, urgent(type) || event->question);
}

/* A copy of memory is read while its victim goes on; but where that is at main by then, all is read at once. */
void out_soon(struct controller *c)
{
	if (!c->out.soon_ns)
		c->out.soon_ns = os_now_ns() + COPY_NS;
}

void out_event(struct controller *c, uint32_t type, const void *body, size_t size)
{
	out_event_with(c, type, body, size, NULL, 0);
}

void out_plain(struct controller *c, uint32_t type, pid_t pid, pid_t tid, uint64_t serial, uint64_t value)
{
	struct proto_ev_plain body = {
		.event = { .pid = (uint32_t)pid,
			   .tid = (uint32_t)tid,
			   .serial = serial,
			   .t_ns = told_at(c, os_now_ns()) },
		.value = value,
	};

	out_event(c, type, &body, sizeof(body));
}
