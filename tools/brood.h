/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * brood.h - everything that this process has started, and everything that was started by that
 *
 * It is a subreaper (prctl(2)), so that whoever loses its parent becomes our child: the tree of parents has them all,
 * those too that have made themselves daemons. What else is below us is left alone: children that we were born with
 * (a shell that has executed us), and the controllers that we start.
 *
 * A list is of its moment. Who acts on a member by brood_signal() meets that very process or nobody.
 */
#ifndef TOOLS_BROOD_H
#define TOOLS_BROOD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct brood_member {
	int64_t pid, parent;
	uint64_t start; /* with pid: the identity */
	char state;     /* letter of proc(5) */
	unsigned depth; /* 0: our child */
};

/* Below us, and not of it. */
struct stranger {
	int64_t pid;
	uint64_t start;
};

struct brood {
	struct brood_member *list; /* parents before their children */
	size_t count;
	struct stranger *strangers;
	size_t stranger_count;
	size_t strangers_seen; /* of them, at the last look */
};

/* Before the first is started. 0, or a negated errno. */
int brood_begin(struct brood *brood);
/* One of our children is none of the brood. */
void brood_exclude(struct brood *brood, int64_t pid);
/* Look again. False without memory or /proc: the list is empty. */
bool brood_look(struct brood *brood);
/* How many of the list have not ended. */
size_t brood_living(const struct brood *brood);
/* 0, or a negated errno: -ESRCH, it has ended meanwhile. */
int brood_signal(const struct brood_member *member, int signal);
void brood_free(struct brood *brood);

#endif
