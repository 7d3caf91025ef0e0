/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ending.h - how a process ended that is no child of ours
 *
 * A pidfd becomes readable at the death of a process. How it ended the kernel tells to all who hold one from
 * Linux 6.15 on, but only when the parent has reaped it; before that, /proc tells it of the zombie to those
 * who may look at the process. Where neither is to be had it is not known, and is said to be so.
 */
#ifndef TOOLS_ENDING_H
#define TOOLS_ENDING_H

#include <stdbool.h>
#include <stdint.h>

struct ending {
	int code;   /* exit status, when signal is 0 */
	int signal; /* that killed it, or 0 */
	bool core;  /* and it left a core file */
};

enum ending_news {
	ENDING_ALIVE,
	ENDING_TOLD,
	ENDING_LATER,   /* it has ended, and may become known when its parent takes notice */
	ENDING_UNKNOWN, /* it has ended, and nobody will tell */
};

/* revents: what poll(2) said of the pidfd. ret: set for ENDING_TOLD. */
enum ending_news ending_look(int pidfd, int64_t pid, short revents, struct ending *ret);

#endif
