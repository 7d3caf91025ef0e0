/* SPDX-License-Identifier: BSD-2-Clause */
#include "handover.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "buffer.h"

static void put_command(struct buffer *out, const char *text, int64_t pid)
{
	static const char hole[] = "{pid}";
	const char *at;

	while ((at = strstr(text, hole))) {
		buffer_bytes(out, text, (size_t)(at - text));
		buffer_printf(out, "%lld", (long long)pid);
		text = at + sizeof(hole) - 1;
	}
	buffer_text(out, text);
}

int handover_start(struct handover *handover, const char *text, int64_t pid, int pidfd,
		   const struct signals *signals)
{
	struct buffer command = { 0 };
	pid_t child;
	int error;

	put_command(&command, text, pid);
	child = command.failed ? -1 : fork();
	error = command.failed ? ENOMEM : errno;
	if (child == 0) {
		signals_restore(signals);
		execl("/bin/sh", "sh", "-c", buffer_string(&command), (char *)NULL);
		_exit(127);
	}
	buffer_free(&command);
	if (child < 0) {
		close(pidfd);
		return -error;
	}
	*handover = (struct handover){ .command = child, .pid = pid, .pidfd = pidfd };
	return 0;
}

enum handover_news handover_look(struct handover *handover, int *status)
{
	int wait_status;
	pid_t got;

	if (!handover->command)
		return HANDOVER_NOTHING;
	do
		got = waitpid(handover->command, &wait_status, WNOHANG | WUNTRACED);
	while (got < 0 && errno == EINTR);
	if (got != handover->command)
		return HANDOVER_NOTHING;
	if (WIFSTOPPED(wait_status))
		return HANDOVER_STOPPED;
	*status = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
	if (process_state(handover->pid) == 'T')
		pidfd_send_signal(handover->pidfd, SIGCONT, NULL, 0);
	close(handover->pidfd);
	*handover = (struct handover){ 0 };
	return HANDOVER_ENDED;
}
