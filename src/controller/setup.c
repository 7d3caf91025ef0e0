/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * controller/setup.c - leave the client's surroundings, once the victim has inherited what it must from them
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <linux/close_range.h>

#include "controller/controller.h"
#include "os/sys.h"

/* All but our own: what the victim needed it has by now, and a kept fd would keep the client's pipes open. */
static void close_inherited(struct controller *c)
{
	int keep[] = { c->socket, c->client, c->signals, c->create.process ? c->create.report : -1 };
	int from = 0;

	for (;;) {
		int next = -1;

		for (size_t i = 0; i < ARRAY_LEN(keep); i++)
			if (keep[i] >= from && (next < 0 || keep[i] < next))
				next = keep[i];
		if (next < 0)
			break;
		if (next > from)
			sys(close_range, from, next - 1, 0);
		from = next + 1;
	}
	sys(close_range, from, ~0U, 0);
}

static void write_file(const char *path, const char *text)
{
	long fd = sys(openat, AT_FDCWD, path, O_WRONLY | O_CLOEXEC, 0);

	if (fd < 0)
		return;
	sys(write, fd, text, strlen(text));
	sys(close, fd);
}

/* One fd for the memory of each space: as many as may be had. */
static void raise_fd_limit(void)
{
	struct {
		uint64_t soft, hard;
	} limit;

	if (sys(prlimit64, 0, RLIMIT_NOFILE, 0, &limit))
		return;
	limit.soft = limit.hard;
	sys(prlimit64, 0, RLIMIT_NOFILE, &limit, 0);
}

/*
 * Among a thousand threads that all want to run, the one that stops them needs its turn; at all other times it
 * must not take theirs. Where that is not allowed it takes longer.
 */
void hurry(struct controller *c, bool now)
{
	if (now && !c->hurried) {
		/* getpriority(2) as the kernel has it: 20 - nice */
		long priority = sys(getpriority, PRIO_PROCESS, 0);

		c->nice = priority > 0 ? 20 - (int)priority : 0;
	}
	c->hurried = now;
	sys(setpriority, PRIO_PROCESS, 0, now ? -20 : c->nice);
}

/* Away from the client's files, session and terminal. The victim, which is made before, has them. */
void leave_client(struct controller *c)
{
	close_inherited(c);
	sys(setsid, 0);
}

/*
 * Away from its cwd too, and hard to kill or swap out: with us die the victims that hit traps. All of it is a
 * gain where allowed, no more, and can wait until nobody does.
 */
void settle_down(struct controller *c)
{
	c->settle_ns = 0;
	capture_cool(c);
	out_cool(c);
	sys(chdir, "/");
	raise_fd_limit();
	write_file("/proc/self/oom_score_adj", "-999");
	if (sys(mlockall, MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) < 0)
		return;
}
