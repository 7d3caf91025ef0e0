/* SPDX-License-Identifier: BSD-2-Clause */
#include "signals.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Those that tether changes for itself and that a program it starts must find as they were. */
static const int kept[SIGNALS_KEPT] = {
	SIGINT, SIGQUIT, SIGTSTP, SIGTTIN, SIGTTOU, SIGHUP, SIGPIPE, SIGTERM, SIGCHLD
};

/* Ignored while a victim has the terminal. SIGHUP: a terminal that hangs up tells the whole job. */
static const int job_signals[] = { SIGINT, SIGQUIT, SIGTSTP, SIGTTIN, SIGTTOU, SIGHUP };

uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void signals_save(struct signals *signals)
{
	signals->fd = -1;
	sigprocmask(SIG_BLOCK, NULL, &signals->mask);
	for (size_t i = 0; i < SIGNALS_KEPT; i++)
		sigaction(kept[i], NULL, &signals->action[i]);
}

static void set_action(int signal, void (*handler)(int))
{
	struct sigaction action = { .sa_handler = handler };

	sigaction(signal, &action, NULL);
}

void signals_survive_readers(void)
{
	set_action(SIGPIPE, SIG_IGN);
}

void signals_step_aside(void)
{
	for (size_t i = 0; i < sizeof(job_signals) / sizeof(job_signals[0]); i++)
		set_action(job_signals[i], SIG_IGN);
	/* Ignored, it would make the kernel reap our children before we can ask how they ended. */
	set_action(SIGCHLD, SIG_DFL);
}

static bool was_ignored(const struct signals *signals, int signal)
{
	for (size_t i = 0; i < SIGNALS_KEPT; i++) {
		if (kept[i] == signal)
			return signals->action[i].sa_handler == SIG_IGN;
	}
	return false;
}

int signals_listen(struct signals *signals, const int *list)
{
	sigset_t set;

	sigemptyset(&set);
	for (; *list; list++) {
		if (*list == SIGCHLD || !was_ignored(signals, *list))
			sigaddset(&set, *list);
	}
	signals->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals->fd < 0)
		return -errno;
	sigprocmask(SIG_BLOCK, &set, NULL);
	return 0;
}

int signals_next(struct signals *signals)
{
	struct signalfd_siginfo info;

	if (signals->fd < 0 || read(signals->fd, &info, sizeof(info)) != sizeof(info))
		return 0;
	return (int)info.ssi_signo;
}

void signals_restore(const struct signals *signals)
{
	for (size_t i = 0; i < SIGNALS_KEPT; i++)
		sigaction(kept[i], &signals->action[i], NULL);
	sigprocmask(SIG_SETMASK, &signals->mask, NULL);
}

void die_of(int signal)
{
	const struct rlimit none = { 0, 0 };
	sigset_t set;

	/* A core_pattern with a pipe takes no notice of the limit, but does of this. */
	prctl(PR_SET_DUMPABLE, 0);
	setrlimit(RLIMIT_CORE, &none);
	set_action(signal, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, signal);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	kill(getpid(), signal);
	/* A signal whose default is not to kill: what a shell would say of it. */
	_exit(128 + signal);
}

char process_state(int64_t pid)
{
	char path[40] = "/proc/", digits[24], text[512];
	size_t length = strlen(path), count = 0;
	const char *after;
	ssize_t got;
	int fd;

	/* No snprintf(3): the watcher below runs between fork and _exit in a process with threads. */
	for (; pid > 0 && count < sizeof(digits); pid /= 10)
		digits[count++] = (char)('0' + pid % 10);
	while (count > 0)
		path[length++] = digits[--count];
	memcpy(path + length, "/stat", sizeof("/stat"));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	got = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (got <= 0)
		return 0;
	text[got] = '\0';
	/* The name stands in parentheses and may hold any. */
	after = strrchr(text, ')');
	return after && after[1] == ' ' ? after[2] : '\0';
}

/* T: a job-control stop; t: the same under a tracer. */
static bool is_stopped(int64_t pid)
{
	char state = process_state(pid);

	return state == 'T' || state == 't';
}

void await_stop(int64_t pid)
{
	const struct timespec pause = { .tv_nsec = 200000 };
	uint64_t until = now_ns() + 1000000000;

	while (process_state(pid) != 0 && process_state(pid) != 'T' && now_ns() < until)
		nanosleep(&pause, NULL);
}

/*
 * While we are stopped somebody may continue the victim by its pid, or kill it, and nobody would continue us:
 * a caller that waits for us would wait for ever. A stopped process cannot look, so a child does, ten times a
 * second, and only for as long as the stop lasts. It is killed when we go on.
 */
static _Noreturn void watch(pid_t parent, int64_t pid, uint64_t deadline_ns)
{
	const struct timespec pause = { .tv_nsec = 100000000 };

	while (getppid() == parent) {
		bool due = deadline_ns && now_ns() >= deadline_ns;

		/* Not before it has stopped: a SIGCONT that comes first would be lost. */
		if (process_state(parent) == 'T' && (due || !is_stopped(pid)))
			kill(parent, SIGCONT);
		nanosleep(&pause, NULL);
	}
	_exit(0);
}

void stop_along_with(int64_t pid, uint64_t deadline_ns)
{
	pid_t self = getpid(), watcher = fork();

	if (watcher == 0)
		watch(self, pid, deadline_ns);
	kill(self, SIGSTOP);
	if (watcher > 0) {
		kill(watcher, SIGKILL);
		while (waitpid(watcher, NULL, 0) < 0 && errno == EINTR)
			;
	}
}
