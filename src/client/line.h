/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * client/line.h - the library's end of the line to one controller
 *
 * The only library room that includes proto/: the others know messages through this header. One stub per
 * request; each sends and returns at once, the answer comes by line_receive() with the same id.
 * Threads: the control thread only.
 */
#ifndef CLIENT_LINE_H
#define CLIENT_LINE_H

#include "proto/proto.h"

struct line {
	int socket;       /* in the control thread's private table */
	uint64_t last_id;
};

/* id NULL: no answer is wanted. The longest message of a request with so many items fits, or -EMSGSIZE; -EPIPE: the controller is gone. */
int line_send(struct line *line, uint32_t type, const void *body, const void *items, size_t item_size,
	      size_t count, uint64_t *id);

/* With a descriptor that goes along; -1: none. */
int line_send_with(struct line *line, uint32_t type, const void *body, const void *items, size_t item_size,
		   size_t count, int fd, uint64_t *id);

/* The header of such a message without items, to be sent by somebody else in its turn. */
void line_head(struct line *line, uint32_t type, struct proto_header *header);

/* line_hello(line, &body, items, count, &id), line_create(...), ... for each row of PROTO_REQUESTS */
#define X(number, name, body, item, answer, when)                                                     \
	static inline int line_##name(struct line *line, const body *request, const void *items,      \
				      size_t count, uint64_t *id)                                     \
	{                                                                                             \
		return line_send(line, PROTO_REQ_##name, request, items, item, count, id);            \
	}
PROTO_REQUESTS(X)
#undef X

/*
 * One whole message into buffer (PROTO_MESSAGE_MAX bytes). Its length; -EAGAIN: none there; 0: the controller
 * has closed the line; -EPROTO: it broke the protocol; other negative errno.
 */
ssize_t line_receive(struct line *line, void *buffer);

/* What hello must say, filled for this build. */
void line_fill_hello(struct proto_hello *hello);
/* 0, or -TETHER_EVERSION when the other end is of another build. */
int line_check_hello(const struct proto_hello *hello);

#endif
