/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>

#include <tether/error.h>

#include "client/line.h"
#include "os/sys.h"

/* A controller that does not read for so long is broken: it never waits for anything but the kernel. */
enum { LINE_SEND_SECONDS = 2 };

enum { MAX_ERRNO = 4095 }; /* the kernel's */

/* Room for one descriptor. */
union along {
	struct cmsghdr head;
	unsigned char bytes[CMSG_SPACE(sizeof(int))];
};

static void add_descriptor(struct msghdr *message, union along *along, int fd)
{
	memset(along, 0, sizeof(*along));
	along->head = (struct cmsghdr){
		.cmsg_len = CMSG_LEN(sizeof(fd)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS
	};
	memcpy(CMSG_DATA(&along->head), &fd, sizeof(fd));
	message->msg_control = along;
	message->msg_controllen = sizeof(*along);
}

int line_send(struct line *line, uint32_t type, const void *body, const void *items, size_t item_size,
	      size_t count, uint64_t *id)
{
	return line_send_with(line, type, body, items, item_size, count, -1, id);
}

int line_send_with(struct line *line, uint32_t type, const void *body, const void *items, size_t item_size,
		   size_t count, int fd, uint64_t *id)
{
	struct proto_header header = { .type = type, .id = id ? ++line->last_id : 0 };
	size_t body_size = proto_body_size(type);
	struct iovec pieces[3] = {
		{ &header, sizeof(header) },
		{ (void *)(uintptr_t)body, body_size },
		{ (void *)(uintptr_t)items, item_size * count },
	};

	if (sizeof(header) + body_size + item_size * count > PROTO_MESSAGE_MAX)
		return -EMSGSIZE;
	header.size = (uint32_t)(body_size + item_size * count);

	struct msghdr message = { .msg_iov = pieces, .msg_iovlen = count ? 3 : 2 };
	union along along;
	if (fd >= 0)
		add_descriptor(&message, &along, fd);
	for (;;) {
		long sent = sys(sendmsg, line->socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent >= 0)
			break;
		if (sent == -EINTR)
			continue;
		if (sent != -EAGAIN)
			return sent == -ECONNRESET ? -EPIPE : (int)sent;
		struct pollfd room = { .fd = line->socket, .events = POLLOUT };
		struct timespec patience = { .tv_sec = LINE_SEND_SECONDS };
		if (sys(ppoll, &room, 1, &patience, NULL, 0) == 0)
			return -ETIMEDOUT;
	}
	if (id)
		*id = header.id;
	return 0;
}

void line_head(struct line *line, uint32_t type, struct proto_header *header)
{
	*header = (struct proto_header){
		.type = type, .size = (uint32_t)proto_body_size(type), .id = ++line->last_id
	};
}

/*
 * What a controller answers is handed to the client as it is, so it has to be a code: of the system, or of the
 * library. Only these begin otherwise: hello, sync, stats.
 */
static bool has_a_known_result(const void *message)
{
	struct proto_header header;
	int32_t result;

	memcpy(&header, message, sizeof(header));
	if (header.type > 256 || header.type == PROTO_ANS_hello || header.type == PROTO_ANS_sync ||
	    header.type == PROTO_ANS_stats)
		return true;
	memcpy(&result, (const char *)message + sizeof(header), sizeof(result));
	if (result <= 0 && result >= -MAX_ERRNO)
		return true;
	return result < 0 && strcmp(tether_error_name(result), "EUNKNOWN") != 0;
}

ssize_t line_receive(struct line *line, void *buffer)
{
	bool reset = false;

	for (;;) {
		struct iovec piece = { buffer, PROTO_MESSAGE_MAX };
		struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };
		ssize_t length = sys(recvmsg, line->socket, &message, MSG_DONTWAIT);

		if (length == -EINTR)
			continue;
		/*
		 * A controller that ended with requests unread: the kernel says so once, and before what it
		 * had sent. That may be the very message that tells why.
		 */
		if (length == -ECONNRESET && !reset) {
			reset = true;
			continue;
		}
		if (length < 0)
			return length == -ECONNRESET ? 0 : length;
		if (length == 0)
			return 0;
		if (message.msg_flags & MSG_TRUNC)
			return -EPROTO;
		if (proto_check(buffer, (size_t)length) || proto_permitted(((struct proto_header *)buffer)->type) ||
		    !has_a_known_result(buffer))
			return -EPROTO;
		return length;
	}
}

void line_fill_hello(struct proto_hello *hello)
{
	memset(hello, 0, sizeof(*hello));
	hello->magic = PROTO_MAGIC;
	hello->version = PROTO_VERSION;
	memcpy(hello->build_id, proto_build_id, sizeof(hello->build_id));
}

int line_check_hello(const struct proto_hello *hello)
{
	return hello->magic == PROTO_MAGIC && hello->version == PROTO_VERSION &&
			       memcmp(hello->build_id, proto_build_id, sizeof(hello->build_id)) == 0
		       ? 0
		       : -TETHER_EVERSION;
}
