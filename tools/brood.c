/* SPDX-License-Identifier: BSD-2-Clause */
#include "brood.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "proc.h"

static bool is_stranger(const struct brood *brood, int64_t pid, uint64_t start)
{
	for (size_t i = 0; i < brood->stranger_count; i++) {
		if (brood->strangers[i].pid == pid && brood->strangers[i].start == start)
			return true;
	}
	return false;
}

void brood_exclude(struct brood *brood, int64_t pid)
{
	struct stranger *more, one = { pid, proc_start(pid) };

	if (!one.start || is_stranger(brood, pid, one.start))
		return;
	more = reallocarray(brood->strangers, brood->stranger_count + 1, sizeof(*more));
	if (!more)
		return;
	brood->strangers = more;
	brood->strangers[brood->stranger_count++] = one;
}

static bool has(const struct brood *brood, int64_t pid)
{
	for (size_t i = 0; i < brood->count; i++) {
		if (brood->list[i].pid == pid)
			return true;
	}
	return false;
}

static bool add(struct brood *brood, const struct parentage *from, unsigned depth)
{
	struct brood_member *more;

	if (is_stranger(brood, from->pid, from->start)) {
		brood->strangers_seen++;
		return true;
	}
	if (has(brood, from->pid))
		return true;
	more = reallocarray(brood->list, brood->count + 1, sizeof(*more));
	if (!more)
		return false;
	brood->list = more;
	brood->list[brood->count++] = (struct brood_member){
		.pid = from->pid,
		.parent = from->parent,
		.start = from->start,
		.state = from->state,
		.depth = depth,
	};
	return true;
}

static bool add_children(struct brood *brood, const struct parentage *list, size_t count, int64_t parent, unsigned depth)
{
	bool good = true;

	for (size_t i = 0; i < count && good; i++) {
		if (list[i].parent == parent)
			good = add(brood, &list[i], depth);
	}
	return good;
}

/* Each behind its parent, before that one's next brother. The kernel bounds neither depth nor width: no recursion. */
static bool order(struct brood *brood)
{
	struct brood_member *ordered = calloc(brood->count + 1, sizeof(*ordered));
	size_t *next = calloc(brood->count + 1, sizeof(*next)), waiting = 0, count = 0;

	for (size_t i = brood->count; next && i-- > 0;) {
		if (!brood->list[i].depth)
			next[waiting++] = i;
	}
	while (ordered && next && waiting) {
		size_t parent = next[--waiting];

		ordered[count++] = brood->list[parent];
		for (size_t i = brood->count; --i > parent;) {
			if (brood->list[i].parent == brood->list[parent].pid)
				next[waiting++] = i;
		}
	}
	free(next);
	if (!ordered)
		return false;
	free(brood->list);
	brood->list = ordered;
	brood->count = count;
	return true;
}

bool brood_look(struct brood *brood)
{
	struct parentage *list;
	size_t count;
	bool good;

	brood->count = brood->strangers_seen = 0;
	if (!proc_parents(&list, &count))
		return false;
	good = add_children(brood, list, count, getpid(), 0);
	/* It grows at its end while it is walked. */
	for (size_t i = 0; i < brood->count && good; i++)
		good = add_children(brood, list, count, brood->list[i].pid, brood->list[i].depth + 1);
	free(list);
	good = good && order(brood);
	if (!good)
		brood->count = 0;
	return good;
}

int brood_begin(struct brood *brood)
{
	*brood = (struct brood){ 0 };
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
		return -errno;
	if (!brood_look(brood))
		return -ENOMEM;
	for (size_t i = 0; i < brood->count; i++)
		brood_exclude(brood, brood->list[i].pid);
	brood->count = 0;
	return 0;
}

size_t brood_living(const struct brood *brood)
{
	size_t count = 0;

	for (size_t i = 0; i < brood->count; i++)
		count += brood->list[i].state != 'Z' && brood->list[i].state != 'X';
	return count;
}

int brood_signal(const struct brood_member *member, int signal)
{
	int fd = pidfd_open((pid_t)member->pid, 0), result = 0;

	if (fd < 0)
		return -errno;
	/* With the descriptor at hand it cannot be another's any more. */
	if (proc_start(member->pid) != member->start)
		result = -ESRCH;
	else if (pidfd_send_signal(fd, signal, NULL, 0))
		result = -errno;
	close(fd);
	return result;
}

void brood_free(struct brood *brood)
{
	free(brood->list);
	free(brood->strangers);
	*brood = (struct brood){ 0 };
}
