/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * controller/counter.c - hits of breakpoints, counted without a message
 *
 *	client: memfd, sealed against shrinking ──► `counters` ──► mapped by both
 *	hit ──► the site's indexes ──► one more in each
 *
 * The file is the client's and the client may lie: to touch a page behind the end of a file is SIGBUS, and the end of
 * the controller is the one unprotected death. So only what the kernel itself vouches for is mapped: memory of shmem
 * (a file of a file system can be cut short, one of huge pages can find none), sealed, and as long as it says.
 */
#include "controller/controller.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <tether/error.h>

#include "os/sys.h"

static bool can_be_trusted(int fd, uint64_t size)
{
	long seals = sys(fcntl, fd, F_GET_SEALS, 0);
	struct statfs what;

	return seals >= 0 && seals & F_SEAL_SHRINK && sys(fstatfs, fd, &what) == 0 &&
	       what.f_type == TMPFS_MAGIC && sys(lseek, fd, 0, SEEK_END) >= (long)size;
}

/* Where memory is locked, what is mapped counts against the limit at once, though it is locked page by page. */
static long map(int fd, uint64_t size)
{
	long at = sys(mmap, NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (at != -EAGAIN)
		return at;
	sys(mlockall, MCL_CURRENT | MCL_ONFAULT);
	return sys(mmap, NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
}

int shared_take(struct controller *c, uint64_t size, void **ret)
{
	long at;

	if (c->received < 0 || !can_be_trusted(c->received, size))
		return -TETHER_EINVALID;
	at = map(c->received, size);
	if (at < 0)
		return (int)at;
	*ret = (void *)at;
	return 0;
}

int counters_take(struct controller *c, const struct proto_counters *body)
{
	void *at;
	int r;

	if (c->counters)
		return -EEXIST;
	if (body->count == 0 || body->count > MAX_COUNTERS)
		return -TETHER_EINVALID;
	r = shared_take(c, body->count * sizeof(*c->counters), &at);
	if (r)
		return r;
	c->counters = at;
	c->counter_count = body->count;
	c->asks = true;
	return 0;
}

void counter_add(struct controller *c, uint64_t index, uint64_t value)
{
	/* Nobody else writes; a client that does spoils its own counts. */
	if (index && index < c->counter_count)
		__atomic_store_n(&c->counters[index], __atomic_load_n(&c->counters[index], __ATOMIC_RELAXED) + value,
				 __ATOMIC_RELAXED);
}
