/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * handover.h - a process that was stopped at a place is handed to another tool
 *
 * It was let go in a job-control stop, so any tool may attach to it. The command runs in our own process
 * group with our terminal, as the victim does. When it ends and has left the process stopped and untraced,
 * the process is continued.
 */
#ifndef TOOLS_HANDOVER_H
#define TOOLS_HANDOVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "signals.h"

struct handover {
	pid_t command; /* of the shell that runs it; 0: none runs */
	int64_t pid;   /* of the process handed over */
	int pidfd;     /* the same: its pid may be another's by the time the command ends */
};

enum handover_news { HANDOVER_NOTHING, HANDOVER_STOPPED, HANDOVER_ENDED };

/* Takes pidfd over, on failure too. {pid} in text is replaced. 0, or a negated errno. */
int handover_start(struct handover *handover, const char *text, int64_t pid, int pidfd,
		   const struct signals *signals);
/* Look after a SIGCHLD. *status: the exit status of the command as a shell would have it, once it ended. */
enum handover_news handover_look(struct handover *handover, int *status);

#endif
