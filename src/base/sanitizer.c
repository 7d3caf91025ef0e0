/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Options of the sanitizers, for builds with one: the controller is started with an empty environment, so
 * that they cannot come by ASAN_OPTIONS. A finding must end the process with a status that its reader,
 * library or test, takes for a failure: 99.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* "default" visibility: the run time looks the functions up in the executable. */
#define EXPORTED(type, name)                                    \
	__attribute__((visibility("default"))) type name(void); \
	type name(void)

/* Both sanitizers put RLIMIT_CORE to 0 for their own process, and a created victim inherits it. */
#define KEEP_CORE_LIMIT "disable_coredump=0:"

EXPORTED(const char *, __asan_default_options)
{
	return KEEP_CORE_LIMIT "exitcode=99:detect_stack_use_after_return=1:strict_string_checks=1:detect_leaks=1";
}

EXPORTED(const char *, __ubsan_default_options)
{
	return "halt_on_error=1:exitcode=99:print_stacktrace=1";
}

EXPORTED(const char *, __tsan_default_options)
{
	return KEEP_CORE_LIMIT "exitcode=99:halt_on_error=1:second_deadlock_stack=1";
}

EXPORTED(const char *, __lsan_default_options)
{
	return "exitcode=99";
}

/*
 * ThreadSanitizer takes two descriptors of one number for one, but the library's control thread has a table
 * of its own: what it says of calls on descriptors is void.
 */
EXPORTED(const char *, __tsan_default_suppressions)
{
	return "race:^sendmsg$\nrace:^recvmsg$\nrace:^read$\nrace:^write$\nrace:^close$\n"
	       "race:^epoll_ctl$\nrace:^epoll_wait$\nrace:^epoll_create1$\nrace:^signalfd$\n"
	       "race:^eventfd$\nrace:^poll$\nrace:^pread64$\nrace:^openat$\nrace:^open$\n"
	       "race:^socketpair$\nrace:^fopen$\nrace:^fclose$\nrace:^opendir$\n"
	       "race:^closedir$\nrace:^dup2$\nrace:^pipe2$\nrace:^pipe$\n";
}

/* LeakSanitizer stops its process by ptrace and fails where another tracer is: some tests are victims
 * themselves. */
EXPORTED(int, __lsan_is_turned_off)
{
	char text[2048];
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	text[length > 0 ? length : 0] = 0;
	return strstr(text, "TracerPid:\t0\n") == NULL;
}
