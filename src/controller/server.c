/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * controller/server.c - what the client asks
 *
 * One handler per request, by table. Whatever is malformed, or comes when it is not permitted, ends the hold:
 * a client that cannot be understood must not keep its victims under traps.
 */
#include "controller/controller.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <tether/error.h>

#include "controller/site.h"
#include "controller/trace.h"
#include "os/sys.h"

/* Requests taken in one turn of the loop, so that a talkative client does not starve the stops. */
enum { REQUESTS_A_TURN = 16 };

/* A request as received: body copied out by the handler, items behind it. 0, or -EPROTO. */
typedef int handler(struct controller *c, uint64_t id, const unsigned char *body, size_t size);

static int do_hello(struct controller *c, uint64_t id, const unsigned char *bytes, size_t size)
{
	struct proto_hello theirs,
		ours = { .magic = PROTO_MAGIC, .version = PROTO_VERSION, .arch = ARCH_X86_64 };

	(void)size;
	memcpy(&theirs, bytes, sizeof(theirs));
	ours.pid = (uint32_t)sys(getpid, 0);
	memcpy(ours.build_id, proto_build_id, sizeof(ours.build_id));
	/* Answered even when it does not fit: the library then names both. */
	out_answer(c, id, PROTO_REQ_hello, &ours, sizeof(ours));
	if (theirs.magic != PROTO_MAGIC || theirs.version != PROTO_VERSION ||
	    (theirs.arch != ours.arch && theirs.arch != ARCH_UNKNOWN) ||
	    memcmp(theirs.build_id, ours.build_id, sizeof(ours.build_id))) {
		out_flush(c); /* a client of another build is told so, and is not listened to any more */
		return -EPROTO;
	}
	c->state = PROTO_S_IDLE;
	return 0;
}

static int take_hold(struct controller *c, const struct proto_hold *hold)
{
	if (hold->mode < PROTO_RUN || hold->mode > PROTO_HANG)
		return -EPROTO;
	c->hold = *hold;
	c->state = PROTO_S_HOLDING;
	return 0;
}

static int do_create(struct controller *c, uint64_t id, const unsigned char *bytes, size_t size)
{
	struct proto_create body;

	(void)size;
	memcpy(&body, bytes, sizeof(body));
	c->created = true;
	return take_hold(c, &body.hold) ? -EPROTO : create_start(c, id, &body);
}

static int do_grab(struct controller *c, uint64_t id, const unsigned char *bytes, size_t size)
{
	struct proto_grab body;

	(void)size;
	memcpy(&body, bytes, sizeof(body));
	if (take_hold(c, &body.hold))
		return -EPROTO;
	grab_start(c, id, &body, (const uint32_t *)(const void *)(bytes + sizeof(body)));
	return 0;
}

int plant(struct controller *c, struct process *p, const void *sites, uint32_t count, uint64_t gadget,
	  uint32_t *ret_planted)
{
	if (!p)
		return -ESRCH;
	if (c->hold.flags & PROTO_READ_ONLY)
		return -EPERM;
	if (p->release || p->space->closed || c->grab.request)
		return -TETHER_ESTATE;
	if (gadget)
		p->space->gadget = gadget;
	signals_learn_first(c, p);
	return space_plant(c, p, sites, count, ret_planted);
}

static int do_plant(struct controller *c, uint64_t id, const unsigned char *bytes, size_t size)
{
	struct proto_plant body;
	struct proto_planted result = { 0 };

	(void)size;
	memcpy(&body, bytes, sizeof(body));
	questions_postpone(c);
	result.result = plant(c, process_find(c, (pid_t)body.pid), bytes + sizeof(body), body.items, body.gadget,
			      &result.planted);
	out_answer(c, id, PROTO_REQ_plant, &result, sizeof(result));
	return 0;
}

static int do_lift(struct controller *c, uint64_t id, const unsigned char *bytes, size_t size)
{
	struct proto_lift body;
	struct process *p;
	uint32_t lifted = 0;
	int result = 0;

	(void)size;
	memcpy(&body, bytes, sizeof(body));
	p = process_find(c, (pid_t)body.pid);
	questions_postpone(c);
	if (p)
		result = space_lift_sites(p->space, bytes + sizeof(body), body.items, body.parts, &lifted);
	out_result(c, id, PROTO_REQ_lift, p ? result : -ESRCH, lifted);
	return 0;
}

/* What has kept sites from being planted this time, and may not the next. */
static bool passes(int result)
{
	return !result || result == -TETHER_ESTATE || result == -ENOMEM || result == -ESRCH;
}

static int do_answer(struct controller *c, uint64_t id, const unsigned char *bytes, size_t size)
{
	struct proto_answer body;
	int r = 0;

	(void)size;
	memcpy(&body, bytes, sizeof(body));
	if (body.action < PROTO_GO || body.action > PROTO_STAND)
		return -EPROTO;
	if (body.items) {
		struct process *p = question_process(c, body.question);
		uint32_t planted = 0;

		r = plant(c, p, bytes + sizeof(body), body.items, body.gadget, &planted);
	}
	out_result(c, id, PROTO_REQ_answer, question_answer(c, body.question, body.action, !body.items || !passes(r)), 0);
	return 0;
}

/* Do something to one process, or to all of them. How many there were. */
static uint32_t for_each(struct controller *c, uint32_t pid,
			 void (*visit)(struct controller *, struct process *))
{
	struct process *p, *next;
	uint32_t count = 0;

	for (p = TAILQ_FIRST(&c->processes); p; p = next) {
		next = TAILQ_NEXT(p, entry);
		if (!p->followed || p->release || (pid && (pid_t)pid != p->pid))
			continue;
		visit(c, p);
		count++;
	}
	return count;
}

static void park_one(struct controller *c, struct process *p)
{
	park(c, p, p->pid);
}

static int do_park(struct controller *c, uint64_t id, const unsigned char *bytes, size_t size)
{
	struct proto_pid body;

	(void)size;
	memcpy(&body, bytes, sizeof(body));
	out_result(c, id, PROTO_REQ_park, for_each(c, body.pid, park_one) || !body.pid ? 0 : -ESRCH, 0);
	/* It is told of when nobody runs any more, also of those that a clone under way had not made yet. */
	if (c->light)
		grab_complete(c, UINT64_MAX, 0);
	return 0;
}

static int do_resume(struct controller *c, uint64_t id, const unsigned char *bytes, size_t size)
{
	struct proto_pid body;

	(void)size;
	memcpy(&body, bytes, sizeof(body));
	out_result(c, id, PROTO_REQ_resume, for_each(c, body.pid, unpark) || !body.pid ? 0 : -ESRCH, 0);
	return 0;
}

/* Answered when it is done: other answers may come before. */
static int do_release(struct controller *c, uint64_t id, const unsigned char *bytes, size_t size)
{
	struct proto_pid body;
	struct process *p;

	(void)size;
	memcpy(&body, bytes, sizeof(body));
	if (!body.mode)
		body.mode = c->hold.mode;
	if (body.mode > PROTO_HANG)
		return -EPROTO;
	if (!body.pid) {
		c->hold.mode = body.mode;
		release_all(c, body.mode, id);
		return 0;
	}
	p = process_find(c, (pid_t)body.pid);
	if (p)
		release_process(c, p, body.mode, id);
	else
		out_result(c, id, PROTO_REQ_release, -ESRCH, 0);
	return 0;
}

/* Those that a handler has left standing. */
static int do_go(struct controller *c, uint64_t id, const unsigned char *bytes, size_t size)
{
	struct proto_task body;
	struct process *p;
	uint32_t count;

	(void)size;
	memcpy(&body, bytes, sizeof(body));
	p = process_find(c, (pid_t)body.pid);
	count = p ? stand_no_more(c, p, (pid_t)body.tid) : 0;
	out_result(c, id, PROTO_REQ_go, !p ? -ESRCH : body.tid && !count ? -TETHER_ESTATE : 0, count);
	return 0;
}

static int do_set_mode(struct controller *c, uint64_t id, const unsigned char *bytes, size_t size)
{
	struct proto_pid body;

	(void)size;
	memcpy(&body, bytes, sizeof(body));
	if (body.mode < PROTO_RUN || body.mode > PROTO_HANG)
		return -EPROTO;
	/* One mode for the family. EXITKILL follows at each task's next stop. */
	c->hold.mode = body.mode;
	out_result(c, id, PROTO_REQ_set_mode, 0, 0);
	return 0;
}

/* From now on it may be planted: a family taken without is to be watched after all. */
static int do_monitor(struct controller *c, uint64_t id, const unsigned char *bytes, size_t size)
{
	(void)bytes;
	(void)size;
	c->hold.flags &= ~(uint32_t)PROTO_READ_ONLY;
	if (c->light)
		grab_complete(c, id, PROTO_REQ_monitor);
	else
		out_result(c, id, PROTO_REQ_monitor, 0, 0);
	return 0;
}

static int do_sync(struct controller *c, uint64_t id, const unsigned char *bytes, size_t size)
{
	struct proto_empty body = { 0 };

	(void)bytes;
	(void)size;
	out_answer(c, id, PROTO_REQ_sync, &body, sizeof(body));
	return 0;
}

static int do_stats(struct controller *c, uint64_t id, const unsigned char *bytes, size_t size)
{
	(void)bytes;
	(void)size;
	out_answer(c, id, PROTO_REQ_stats, &c->stats, sizeof(c->stats));
	return 0;
}

static int do_get_regset(struct controller *c, uint64_t id, const unsigned char *bytes, size_t size)
{
	struct proto_get_regset body;
	struct proto_regset *answer = (struct proto_regset *)(void *)c->scratch;

	(void)size;
	/* The request lies where the answer is made. */
	memcpy(&body, bytes, sizeof(body));
	memset(answer, 0, sizeof(*answer));
	answer->result = stand_get_regset(c, &body, answer);
	out_answer(c, id, PROTO_REQ_get_regset, answer, sizeof(*answer));
	return 0;
}

static int do_set_regset(struct controller *c, uint64_t id, const unsigned char *bytes, size_t size)
{
	struct proto_set_regset body;

	(void)size;
	memcpy(&body, bytes, sizeof(body));
	out_result(c, id, PROTO_REQ_set_regset, stand_set_regset(c, &body, bytes + sizeof(body)), 0);
	return 0;
}

static int do_write(struct controller *c, uint64_t id, const unsigned char *bytes, size_t size)
{
	struct proto_write body;

	(void)size;
	memcpy(&body, bytes, sizeof(body));
	out_result(c, id, PROTO_REQ_write, stand_write(c, &body, bytes + sizeof(body)), 0);
	return 0;
}

static int do_image(struct controller *c, uint64_t id, const unsigned char *bytes, size_t size)
{
	struct proto_image body;
	int r;

	(void)size;
	memcpy(&body, bytes, sizeof(body));
	r = image_learn(c, &body, (const struct proto_image_site *)(const void *)(bytes + sizeof(body)));
	if (r == -EPROTO)
		return r;
	out_result(c, id, PROTO_REQ_image, r, 0);
	return 0;
}

static int do_snapshot(struct controller *c, uint64_t id, const unsigned char *bytes, size_t size)
{
	struct proto_snapshot body;

	(void)size;
	memcpy(&body, bytes, sizeof(body));
	return snapshot_start(c, id, &body, (const uint32_t *)(const void *)(bytes + sizeof(body)));
}

static int do_counters(struct controller *c, uint64_t id, const unsigned char *bytes, size_t size)
{
	struct proto_counters body;

	(void)size;
	memcpy(&body, bytes, sizeof(body));
	out_result(c, id, PROTO_REQ_counters, counters_take(c, &body), 0);
	return 0;
}

static int do_ring(struct controller *c, uint64_t id, const unsigned char *bytes, size_t size)
{
	(void)bytes;
	(void)size;
	out_result(c, id, PROTO_REQ_ring, ring_take(c), 0);
	return 0;
}

static handler *const handlers[] = {
#define X(number, name, body, item, answer, when) [number] = do_##name,
	PROTO_REQUESTS(X)
#undef X
};

static int serve(struct controller *c, const unsigned char *message, size_t length)
{
	struct proto_header header;

	if (proto_check(message, length))
		return -EPROTO;
	memcpy(&header, message, sizeof(header));
	/* An answer or an event has no state that permits it. */
	if (!(proto_permitted(header.type) & c->state) || header.type >= ARRAY_LEN(handlers) ||
	    !handlers[header.type])
		return -EPROTO;
	c->silent = false;
	return handlers[header.type](c, header.id, message + sizeof(header), header.size);
}

/* One fd may come along with a message; a second one is not taken, and MSG_CTRUNC says so. */
union received {
	struct cmsghdr head;
	unsigned char bytes[CMSG_SPACE(sizeof(int))];
};

static int received_fd(const struct msghdr *header)
{
	const struct cmsghdr *head = CMSG_FIRSTHDR(header);
	int fd = -1;

	if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS &&
	    head->cmsg_len == CMSG_LEN(sizeof(fd)))
		memcpy(&fd, CMSG_DATA(head), sizeof(fd));
	return fd;
}

static int serve_with_fd(struct controller *c, size_t length, int fd)
{
	int r;

	c->received = fd;
	r = serve(c, c->scratch, length);
	if (c->received >= 0)
		sys(close, c->received); /* nobody has asked for it */
	c->received = -1;
	return r;
}

void server_read(struct controller *c)
{
	for (int i = 0; i < REQUESTS_A_TURN && !c->client_gone && !c->done; i++) {
		struct iovec piece = { c->scratch, PROTO_MESSAGE_MAX };
		union received received;
		struct msghdr header = {
			.msg_iov = &piece,
			.msg_iovlen = 1,
			.msg_control = &received,
			.msg_controllen = sizeof(received),
		};
		long n = sys(recvmsg, c->socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

		if (n == -EAGAIN)
			return;
		if (n == -EINTR || n == -ENOMEM)
			continue;
		if (n <= 0 || header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
			if (n > 0 && received_fd(&header) >= 0)
				sys(close, received_fd(&header));
			c->client_gone = true;
			return;
		}
		if (serve_with_fd(c, (size_t)n, received_fd(&header))) {
			c->broken = c->client_gone = true;
			return;
		}
	}
}
