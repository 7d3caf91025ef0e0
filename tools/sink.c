/* SPDX-License-Identifier: BSD-2-Clause */
#include "sink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Enough that a flood of records costs few calls; little enough that a reader does not lag. */
enum { FLUSH_AT = 32768 };

/* A descriptor that is no standard stream, even where the caller has closed some of these. */
enum { LOWEST_FD = 3 };

int sink_open(struct sink *sink, const char *path)
{
	struct stat status;
	int fd = STDERR_FILENO;

	*sink = (struct sink){ .fd = fd };
	if (path) {
		int low = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666);

		if (low < 0)
			return -errno;
		fd = low;
		if (low < LOWEST_FD) {
			fd = fcntl(low, F_DUPFD_CLOEXEC, LOWEST_FD);
			close(low);
			if (fd < 0)
				return -errno;
		}
		sink->fd = fd;
		sink->owned = true;
		sink->whole = !fstat(fd, &status) && S_ISREG(status.st_mode);
	}
	if (!fstat(fd, &status))
		sink->piped = S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode);
	return 0;
}

/* How much goes into one write(2): whole records, at least one. */
static size_t piece(const struct sink *sink)
{
	const struct buffer *pending = &sink->pending;
	const char *end = NULL;

	if (!sink->piped || pending->length <= PIPE_BUF)
		return pending->length;
	end = memrchr(pending->data, '\n', PIPE_BUF);
	if (!end)
		end = memchr(pending->data, '\n', pending->length);
	return end ? (size_t)(end - pending->data) + 1 : pending->length;
}

static void write_whole(struct sink *sink, const char *bytes, size_t length)
{
	while (length > 0 && !sink->error) {
		ssize_t written = write(sink->fd, bytes, length);

		if (written >= 0) {
			bytes += written;
			length -= (size_t)written;
		} else if (errno == EAGAIN) {
			/* Somebody who shares the open file has made it non-blocking. */
			struct pollfd wait = { .fd = sink->fd, .events = POLLOUT };

			poll(&wait, 1, -1);
		} else if (errno != EINTR) {
			sink->error = errno;
		}
	}
}

/* The next record is written over it, and is longer. */
static void write_tail(struct sink *sink)
{
	off_t end = sink->tail && sink->whole && !sink->error ? lseek(sink->fd, 0, SEEK_CUR) : -1;

	if (end >= 0 && pwrite(sink->fd, sink->tail, strlen(sink->tail), end) < 0 && errno != EINTR)
		sink->error = errno;
}

void sink_flush(struct sink *sink)
{
	struct buffer *pending = &sink->pending;
	bool some = pending->length > 0;

	if (pending->failed && !sink->error)
		sink->error = ENOMEM;
	while (pending->length > 0 && !sink->error) {
		size_t length = piece(sink);

		write_whole(sink, pending->data, length);
		buffer_consume(pending, length);
	}
	buffer_cut(pending, 0);
	if (some)
		write_tail(sink);
}

void sink_added(struct sink *sink)
{
	if (sink->pending.length >= FLUSH_AT || sink->pending.failed)
		sink_flush(sink);
}

int sink_close(struct sink *sink)
{
	if (sink->tail)
		buffer_text(&sink->pending, sink->tail);
	sink->tail = NULL;
	sink_flush(sink);
	if (sink->owned && close(sink->fd) && !sink->error)
		sink->error = errno;
	buffer_free(&sink->pending);
	sink->fd = -1;
	sink->owned = false;
	return -sink->error;
}
