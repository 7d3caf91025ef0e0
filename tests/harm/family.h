/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * harm/family.h - the processes of one trial
 *
 * The test is a child subreaper: whatever a trial starts and loses becomes a child of the test, so nothing
 * can be left over unseen. Only these children are ever killed, by pid.
 */
#ifndef HARM_FAMILY_H
#define HARM_FAMILY_H

#include <stdbool.h>
#include <sys/types.h>

#include "scoreboard.h"

enum { MAX_CHILDREN = 256 };

/* Become the subreaper; false when the kernel refuses. */
bool family_adopt(void);
/* The pids of all children of this process; their number. */
unsigned family_children(pid_t *list, unsigned room);
/* The same of another process, whichever of its threads has made them. */
unsigned family_children_of(pid_t pid, pid_t *list, unsigned room);
/* Kill and reap every child, and theirs as they come; false when some are left after five seconds. */
bool family_sweep(void);
/* "name" or "name, zombie" of a process, for a message. */
const char *family_describe(pid_t pid, char *buffer, size_t size);

/*
 * Start argv[0] with in and out as stdin and stdout (-1: ours). Descriptors without CLOEXEC go along: that is
 * the scoreboard's alone.
 */
pid_t family_start(char *const argv[], int in, int out);

/* A new scoreboard in a memfd that children inherit; aborts when memory is out. */
struct scoreboard *board_new(int *ret_fd);
void board_free(struct scoreboard *board, int fd);

#endif
