/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lib/harness.h - live tests: real victims, the real library, one process a test
 *
 *	TEST(load_and_unload_are_reported_once_in_order)
 *	{
 *		struct victim v = victim_start("loads", "dlopen", NULL);
 *		struct client c = client_open();
 *		client_grab(&c, v.pid, TETHER_NO_PARK);
 *		char *expected = victim_expects(&v);
 *		check_same(expected, client_lines(&c, "load", "unload", NULL));
 *	}
 *
 * Each test runs in a forked child with a time-out of its own. When it returns, the child must have the
 * descriptors, threads and children that it had before (client_close() and victim_end() are called for what
 * the test opened). A failed check prints and ends the test at once; its victims die with it.
 *
 * The executable: no argument runs all tests and prints TAP; `--list` prints "NAME SECONDS" lines; names run
 * only these. Exit status 0 passed, 1 failed, 77 skipped.
 */
#ifndef LIB_HARNESS_H
#define LIB_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include <tether/tether.h>

struct test {
	const char *name;
	void (*run)(void);
	unsigned seconds;
	struct test *next;
};
void test_register(struct test *test);

#define TEST_SECONDS(function, limit)                                             \
	static void function(void);                                               \
	__attribute__((constructor)) static void register_##function(void)        \
	{                                                                         \
		static struct test test = { #function, function, (limit), NULL }; \
		test_register(&test);                                             \
	}                                                                         \
	static void function(void)
#define TEST(function) TEST_SECONDS(function, 30)

/* ---- checks: the first that fails ends the test ----------------------------------------------------------
 */

#define check(condition)                                               \
	do {                                                           \
		if (!(condition))                                      \
			fail_at(__FILE__, __LINE__, "%s", #condition); \
	} while (0)
#define check_int(got, expected)                                                                  \
	do {                                                                                      \
		long long got_ = (long long)(got), expected_ = (long long)(expected);             \
		if (got_ != expected_)                                                            \
			fail_at(__FILE__, __LINE__, "%s is %lld (%s), expected %lld", #got, got_, \
				got_ < 0 ? tether_error_name((int)got_) : "", expected_);         \
	} while (0)
/* Text, line by line; the difference is printed. */
#define check_same(expected, got) same_at(__FILE__, __LINE__, (expected), (got))
#define fail(...) fail_at(__FILE__, __LINE__, __VA_ARGS__)

__attribute__((noreturn, format(printf, 3, 4))) void fail_at(const char *file, int line, const char *format,
							     ...);
/* What this machine lacks: the test counts as skipped. */
__attribute__((noreturn, format(printf, 1, 2))) void skip(const char *format, ...);
void same_at(const char *file, int line, const char *expected, const char *got);

/* Call try() until it answers true, at most so long; the answer of the last call. */
bool eventually(bool (*try)(void *data), void *data, unsigned ms);
uint64_t now_ns(void);

/* ---- victims ------------------------------------------------------------------------------------------- */

/*
 * A program of tests/victims. It is a child of the test, in the test's process group, and dies with it. It
 * reads words from its stdin and prints lines: "ready" when it can be held, "expect WHAT" for each thing that
 * a tracer should report, "done" at the end of what it was asked, "wrong ..." when something is not as it
 * would be untraced.
 */
struct victim {
	pid_t pid;
	int in;     /* its stdin */
	FILE *out;  /* its stdout */
	bool ended; /* victim_end() was called */
	int status;
};

/* Path of a file beside the victims: an executable or a library; a whole path is left as it is. A static buffer, the last 8 calls live. */
const char *victim_path(const char *name);
/* Arguments end with NULL. The victim is not yet ready. */
struct victim victim_spawn(const char *name, ...) __attribute__((sentinel));
/* The same, and "ready" was read. */
struct victim victim_start(const char *name, ...) __attribute__((sentinel));
/* One line without its newline; fails at end-of-file. A static buffer. */
const char *victim_line(struct victim *victim);
void victim_say(struct victim *victim, const char *word);
/* Say word, and read until `answer`; "wrong" lines fail the test. */
void victim_ask(struct victim *victim, const char *word, const char *answer);
/* All "expect" lines up to "done", without the word; owned by the caller. */
char *victim_expects(struct victim *victim);
/* Close its stdin, wait for its end: wait status. Victims end with 0 when all was right for them. */
int victim_end(struct victim *victim);

/* Any process: nobody traces it, no thread is stopped. Waits a bounded time for an asynchronous end. */
void check_untraced(pid_t pid);
/* Every executable file mapping in memory equals the file. */
void check_text_whole(pid_t pid);
/* A field of /proc/PID/status of one task, as a number (base 10), -1 when it is gone. */
long task_status(pid_t pid, pid_t tid, const char *field);
unsigned count_threads(pid_t pid);
/* The letter of /proc/PID/stat, 0 when it is gone. */
char task_state(pid_t pid);
/* For eventually(); data is a pid_t. */
bool is_stopped(void *pid);
bool is_stopped_and_free(void *pid);
bool none_is_stopped(void *pid);

/* ---- the client ---------------------------------------------------------------------------------------- */

enum { CLIENT_VICTIMS = 16 };

/* A session and what it said, as text: one line an event, in order. */
struct client {
	struct tether_session *session;
	struct tether *process[CLIENT_VICTIMS];
	size_t processes;
	struct log *log;
};

/* TETHER_CONTROLLER, or the one of this build. */
struct client client_open(void);
/* The same with options; their size is set. */
struct client client_open_with(struct tether_session_opts opts);
/* Grab with these flags and mode run; the handle is process[processes - 1]. */
struct tether *client_grab(struct client *client, pid_t pid, uint32_t flags);
/* The same in any session and mode. */
struct tether *grab(struct tether_session *session, pid_t pid, uint32_t flags, uint32_t mode);
/* enum tether_state */
uint32_t state_of(struct tether *process);
/* Create a victim of tests/victims in mode kill, parked at stop; stdin and stdout are the test's own. */
struct tether *client_create(struct client *client, uint32_t flags, uint32_t stop, const char *name, ...)
	__attribute__((sentinel));
/* One that must be possible; its size is set. */
struct tether_breakpoint *breakpoint_add(struct tether *process, struct tether_breakpoint_opts opts);
struct tether_breakpoint_info breakpoint_info(struct tether_breakpoint *breakpoint);
/* Dispatch until no event came for so long. */
void client_drain(struct client *client, int quiet_ms);
/* Dispatch until a line that begins with prefix has been heard so many times; fails after 10 s. */
void client_await(struct client *client, const char *prefix, unsigned times);
/*
 * The lines of these kinds so far: "load liba.so", "fork vfork", "exec name", ... (paths by their last
 * component; pids are left out). NULL-terminated list of prefixes. Owned by the caller.
 */
char *client_lines(const struct client *client, ...) __attribute__((sentinel));
/* The same with pid and, for loads, lmid: "PID load liba.so 0". */
char *client_all(const struct client *client);
unsigned client_count(const struct client *client, const char *prefix);
/* Close the session; handles die with it. */
void client_close(struct client *client);

#endif
