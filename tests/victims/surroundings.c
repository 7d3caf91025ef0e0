/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * All that a process has from its maker, written down: the same for whoever is made the same way. What is each
 * one's own (pids, addresses, its first two descriptors) is left out.
 */
#include "victim.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>

extern char **environ;

struct action {
	uintptr_t handler;
	unsigned long flags;
	uintptr_t restorer;
	uint64_t mask;
};

static void signals(void)
{
	uint64_t set = 0;

	syscall(SYS_rt_sigprocmask, SIG_SETMASK, NULL, &set, sizeof(set));
	say("mask %#llx", (unsigned long long)set);
	syscall(SYS_rt_sigpending, &set, sizeof(set));
	say("pending %#llx", (unsigned long long)set);
	for (int number = 1; number <= 64; number++) {
		struct action action = { 0 };
		/* glibc's own: a maker with threads has handlers, whatever it was started with */
		if (number == 32 || number == 33)
			continue;
		syscall(SYS_rt_sigaction, number, NULL, &action, 8);
		say("signal %d: %s flags %#lx mask %#llx", number,
		    action.handler == (uintptr_t)SIG_DFL   ? "default"
		    : action.handler == (uintptr_t)SIG_IGN ? "ignored"
							   : "caught",
		    action.flags, (unsigned long long)action.mask);
	}
	stack_t stack;
	sigaltstack(NULL, &stack);
	say("signal stack %d", stack.ss_flags);
	for (int which = ITIMER_REAL; which <= ITIMER_PROF; which++) {
		struct itimerval timer;
		getitimer(which, &timer);
		say("timer %d: %ld", which, (long)timer.it_value.tv_sec);
	}
}

static void descriptors(void)
{
	for (int fd = 0; fd < 1024; fd++) {
		struct stat status;
		int flags = fcntl(fd, F_GETFD);
		if (flags < 0)
			continue;
		fstat(fd, &status);
		say("fd %d flags %#x %#x mode %#o inode %llu at %lld", fd, (unsigned)flags,
		    (unsigned)fcntl(fd, F_GETFL), (unsigned)status.st_mode,
		    fd < 2 ? 0ULL : (unsigned long long)status.st_ino,
		    fd < 2 ? 0LL : (long long)lseek(fd, 0, SEEK_CUR));
	}
}

static void from_status(const char *path, const char *const *fields)
{
	char line[1024];
	FILE *file = fopen(path, "re");

	while (file && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = 0;
		for (size_t i = 0; fields[i]; i++)
			if (strncmp(line, fields[i], strlen(fields[i])) == 0)
				say("%s", line);
	}
	if (file)
		fclose(file);
}

static void file_says(const char *path)
{
	char text[256] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	text[length < 0 ? 0 : length] = 0;
	text[strcspn(text, "\n")] = 0;
	say("%s: %s", path, text);
}

static void link_says(const char *path)
{
	char text[PATH_MAX] = "";
	ssize_t length = readlink(path, text, sizeof(text) - 1);

	say("%s: %.*s", path, (int)(length < 0 ? 0 : length), text);
}

int main(int argc, char **argv)
{
	static const char *const fields[] = { "Name:",	 "Umask:",  "Uid:",    "Gid:",	 "Groups:", "Threads:",
					      "CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:", "NoNewPrivs:",
					      "Seccomp", "Cpus_allowed", "Mems_allowed", "CoreDumping:", "VmLck:",
					      "THP_enabled:", NULL };
	static const char *const links[] = { "/proc/self/cwd",	  "/proc/self/root",	"/proc/self/exe",
					     "/proc/self/ns/mnt", "/proc/self/ns/pid",	"/proc/self/ns/net",
					     "/proc/self/ns/user", "/proc/self/ns/cgroup", "/proc/self/ns/pid_for_children" };
	static const char *const files[] = { "/proc/self/oom_score_adj", "/proc/self/loginuid", "/proc/self/sessionid",
					     "/proc/self/cgroup", "/proc/self/coredump_filter", "/proc/self/comm",
					     "/proc/self/timerslack_ns", "/proc/self/autogroup" };
	int death = 0, keep = 0;

	signals();
	descriptors();
	for (int which = 0; which < RLIM_NLIMITS; which++) {
		struct rlimit limit;
		getrlimit(which, &limit);
		say("limit %d: %lld %lld", which, (long long)limit.rlim_cur, (long long)limit.rlim_max);
	}
	for (int i = 0; i < argc; i++)
		say("argument %d: '%s'", i, argv[i]);
	for (char **entry = environ; *entry; entry++)
		say("environment '%s'", *entry);
	say("session %d group %d terminal %d", getsid(0), getpgid(0), open("/dev/tty", O_RDONLY | O_CLOEXEC) >= 0);
	errno = 0;
	say("nice %d policy %d io %ld", getpriority(PRIO_PROCESS, 0), sched_getscheduler(0),
	    syscall(SYS_ioprio_get, 1, 0));
	prctl(PR_GET_PDEATHSIG, &death);
	prctl(PR_GET_CHILD_SUBREAPER, &keep);
	say("death signal %d subreaper %d dumpable %d keepcaps %d securebits %d slack %d personality %#x", death, keep,
	    prctl(PR_GET_DUMPABLE), prctl(PR_GET_KEEPCAPS), prctl(PR_GET_SECUREBITS), prctl(PR_GET_TIMERSLACK),
	    (unsigned)personality(0xffffffff));
	say("secure %lu execfn %s", getauxval(AT_SECURE), (const char *)getauxval(AT_EXECFN));
	from_status("/proc/self/status", fields);
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
		link_says(links[i]);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		file_says(files[i]);
	return 0;
}
