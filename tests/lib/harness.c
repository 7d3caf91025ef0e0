/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The test executable's main: list, fork, time out, compare what the test left behind, report as TAP.
 */
#include "harness.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { FAILED = 1, SKIPPED = 77 };

static struct test *tests;

void test_register(struct test *test)
{
	struct test **end = &tests;
	while (*end)
		end = &(*end)->next;
	*end = test;
}

uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

bool eventually(bool (*try)(void *data), void *data, unsigned ms)
{
	const uint64_t end = now_ns() + ms * UINT64_C(1000000);
	const struct timespec pause = { 0, 2000000 };
	while (!try(data)) {
		if (now_ns() > end)
			return try(data);
		nanosleep(&pause, NULL);
	}
	return true;
}

void fail_at(const char *file, int line, const char *format, ...)
{
	const char *base = strrchr(file, '/');
	va_list args;
	fflush(stdout);
	fprintf(stderr, "%s:%d: ", base ? base + 1 : file, line);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	/* Not exit(): the client's threads and the victims are in an unknown state; they end with this
	 * process. */
	_exit(FAILED);
}

void skip(const char *format, ...)
{
	va_list args;
	fprintf(stderr, "skip: ");
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	_exit(SKIPPED);
}

static size_t line_length(const char *text)
{
	return strcspn(text, "\n");
}

void same_at(const char *file, int line, const char *expected, const char *got)
{
	if (strcmp(expected, got) == 0)
		return;
	unsigned number = 1;
	const char *a = expected, *b = got;
	while (*a && *b && line_length(a) == line_length(b) && memcmp(a, b, line_length(a)) == 0) {
		a += line_length(a) + (a[line_length(a)] == '\n');
		b += line_length(b) + (b[line_length(b)] == '\n');
		number++;
	}
	fail_at(file, line, "line %u differs\n- %.*s\n+ %.*s\n--- expected\n%.4000s\n--- got\n%.4000s",
		number, (int)line_length(a), a, (int)line_length(b), b, expected, got);
}

/* ---- what a test may not leave behind ------------------------------------------------------------------ */

static int count_entries(const char *path)
{
	DIR *folder = opendir(path);
	int count = 0;
	if (!folder)
		return -1;
	for (struct dirent *entry; (entry = readdir(folder));)
		count += entry->d_name[0] != '.';
	closedir(folder);
	return count;
}

struct belongings {
	int descriptors, threads;
};

static struct belongings belongings_now(void)
{
	return (struct belongings){ count_entries("/proc/self/fd"), count_entries("/proc/self/task") };
}

static bool as_before(void *data)
{
	const struct belongings *before = data, now = belongings_now();
	return now.threads == before->threads && now.descriptors == before->descriptors;
}

#if defined(__SANITIZE_THREAD__)
static void *nothing(void *data)
{
	return data;
}
#endif

/* ThreadSanitizer starts a thread of its own beside the first that a forked child makes: let it come now. */
static void settle_sanitizer(void)
{
#if defined(__SANITIZE_THREAD__)
	pthread_t thread;

	if (pthread_create(&thread, NULL, nothing, NULL) == 0)
		pthread_join(thread, NULL);
#endif
}

static void run_in_child(const struct test *test)
{
	setpgid(0, 0);
	/* A stream's buffer must not be printed once more by every child. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	alarm(test->seconds + 5); /* should the parent be killed */
	settle_sanitizer();
	struct belongings before = belongings_now();
	test->run();
	/* A joined thread may still stand in /proc for a moment. */
	if (!eventually(as_before, &before, 1000)) {
		struct belongings after = belongings_now();
		fail("left behind: %d descriptors, %d threads", after.descriptors - before.descriptors,
		     after.threads - before.threads);
	}
	if (waitpid(-1, NULL, WNOHANG | __WALL) != -1 || errno != ECHILD)
		fail("left behind: a child");
	fflush(stdout);
	_exit(0);
}

/* A build with a sanitizer is slower, and the runner says by how much. */
static unsigned seconds_of(const struct test *test)
{
	const char *slow = getenv("TETHER_TEST_SLOW");
	double factor = slow ? atof(slow) : 1;

	return (unsigned)((factor > 1 ? factor : 1) * test->seconds);
}

/* Exit status, or 128 + signal; -1 after a time-out. */
static int run_test(const struct test *test)
{
	fflush(NULL);
	pid_t child = fork();
	if (child == 0)
		run_in_child(test);
	if (child < 0)
		return FAILED;
	setpgid(child, child);
	int fd = (int)syscall(SYS_pidfd_open, child, 0), status = 0;
	struct pollfd poll_child = { .fd = fd, .events = POLLIN };
	int ready;
	do
		ready = poll(&poll_child, 1, (int)seconds_of(test) * 1000);
	while (ready < 0 && errno == EINTR);
	/* The victims are of the group and go with it; not before the leader has told its own end. */
	if (ready == 0)
		kill(-child, SIGKILL);
	waitpid(child, &status, 0);
	kill(-child, SIGKILL);
	close(fd);
	if (ready == 0) {
		fprintf(stderr, "%s: not finished after %u s\n", test->name, seconds_of(test));
		return -1;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static bool chosen(const struct test *test, char **names)
{
	if (!*names)
		return true;
	for (; *names; names++) {
		if (strcmp(*names, test->name) == 0)
			return true;
	}
	return false;
}

int main(int argc, char **argv)
{
	(void)argc;
	unsigned count = 0, failed = 0, skipped = 0;
	if (argv[1] && strcmp(argv[1], "--list") == 0) {
		for (const struct test *test = tests; test; test = test->next)
			printf("%s %u\n", test->name, test->seconds);
		return 0;
	}
	signal(SIGPIPE, SIG_IGN);
	for (const struct test *test = tests; test; test = test->next) {
		if (!chosen(test, argv + 1))
			continue;
		int result = run_test(test);
		count++;
		failed += result != 0 && result != SKIPPED;
		skipped += result == SKIPPED;
		if (result > 128)
			fprintf(stderr, "%s: ended by signal %d (%s)\n", test->name, result - 128,
				strsignal(result - 128));
		printf("%s %u - %s%s\n", result == 0 || result == SKIPPED ? "ok" : "not ok", count,
		       test->name, result == SKIPPED ? " # SKIP" : "");
		fflush(stdout);
	}
	printf("1..%u\n", count);
	if (count == 0)
		fprintf(stderr, "no such test\n");
	if (failed || count == 0)
		return FAILED;
	return skipped == count ? SKIPPED : 0;
}
