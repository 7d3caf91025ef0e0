/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every signal in every way, and all that a process has from its maker: the same program, untraced, is the
 * witness. What differs by a line fails.
 */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- the matrix ------------------------------------------------------------------------------------------ */

static char *rows_of(FILE *from)
{
	char *text = NULL, line[512];
	size_t size;
	FILE *out = open_memstream(&text, &size);

	do {
		if (!fgets(line, sizeof(line), from))
			fail("it ended in the middle");
		if (strncmp(line, "wrong", 5) == 0)
			fail("the victim says: %s", line);
		fputs(line, out);
	} while (strcmp(line, "done\n") != 0);
	fclose(out);
	return text;
}

static char *matrix_of(struct victim *v)
{
	victim_say(v, "go");
	return rows_of(v->out);
}

static char *untraced_matrix(void)
{
	struct victim v = victim_start("matrix", NULL);
	char *rows = matrix_of(&v);

	check_int(victim_end(&v), 0);
	/* It is worth something only where much was looked at. */
	check(strstr(rows, "blocked 64 unblocked") != NULL && strstr(rows, "default 19: status 0x137f") != NULL);
	return rows;
}

static void matrix_under(uint32_t flags)
{
	char *expected = untraced_matrix();
	struct victim v = victim_start("matrix", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, flags);
	struct tether_stats stats = { .size = sizeof(stats) };

	check_int(tether_continue(process), 0);
	char *rows = matrix_of(&v);
	check_same(expected, rows);
	check_int(tether_stats_get(c.session, &stats), 0);
	/* One loaded library is two hits at least, and four are loaded for each signal. */
	check(stats.hits > 64 * 8);
	client_close(&c);
	check_untraced(v.pid);
	check_text_whole(v.pid);
	free(rows);
	rows = matrix_of(&v); /* and afterwards */
	check_same(expected, rows);
	free(rows);
	free(expected);
	check_int(victim_end(&v), 0);
}

TEST(every_signal_in_every_way_under_a_grab)
{
	matrix_under(TETHER_NO_PARK);
}

TEST(every_signal_in_every_way_after_a_park)
{
	matrix_under(0);
}

TEST(every_signal_in_every_way_without_following_children)
{
	matrix_under(TETHER_NO_PARK | TETHER_NO_FOLLOW);
}

/* A program started with pipes for its input and output. */
struct started {
	struct tether *process;
	int in;
	FILE *out;
};

static struct started start(struct client *c, char *const argv[], uint32_t stop, uint32_t mode)
{
	struct started s = { 0 };
	int to[2], from[2];

	if (pipe2(to, O_CLOEXEC) || pipe2(from, O_CLOEXEC))
		fail("pipe: %s", strerror(errno));
	struct tether_create_opts opts = {
		.size = sizeof(opts), .file = argv[0], .argv = argv, .stop = stop, .mode = mode,
		.timeout_ms = 5000, .use_stdio = 3, .stdio = { to[0], from[1] },
	};
	struct tether_error error = TETHER_ERROR_INIT;
	if (tether_create(c->session, &opts, &s.process, &error))
		fail("%s", error.message);
	close(to[0]);
	close(from[1]);
	s.in = to[1];
	s.out = fdopen(from[0], "r");
	return s;
}

TEST(every_signal_in_every_way_of_a_created_program)
{
	char *expected = untraced_matrix(), line[64];
	char *const argv[] = { (char *)(uintptr_t)victim_path("matrix"), NULL };
	struct client c = client_open();
	struct started s = start(&c, argv, TETHER_STOP_MAIN, TETHER_MODE_KILL);

	check_int(tether_continue(s.process), 0);
	check(fgets(line, sizeof(line), s.out) && strcmp(line, "ready\n") == 0);
	check_int(write(s.in, "go\n", 3), 3);
	char *rows = rows_of(s.out);
	check_same(expected, rows);
	close(s.in);
	fclose(s.out);
	client_await(&c, "exit 0", 1);
	tether_release(s.process);
	client_close(&c);
	free(rows);
	free(expected);
}

/* ---- what a process has from its maker ------------------------------------------------------------------- */

static char *all_of(FILE *from)
{
	char *text = NULL, line[4096];
	size_t size;
	FILE *out = open_memstream(&text, &size);

	while (fgets(line, sizeof(line), from))
		fputs(line, out);
	fclose(out);
	fclose(from);
	return text;
}

/* By fork and exec: the C library's posix_spawn ignores two signals of its own in the child. */
static char *spawned(char *const argv[])
{
	int to[2], from[2], status;

	if (pipe2(to, O_CLOEXEC) || pipe2(from, O_CLOEXEC))
		fail("pipe: %s", strerror(errno));
	pid_t pid = fork();
	if (pid == 0) {
		dup2(to[0], 0);
		dup2(from[1], 1);
		execv(argv[0], argv);
		_exit(127);
	}
	close(to[0]);
	close(to[1]);
	close(from[1]);
	char *text = all_of(fdopen(from[0], "r"));
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	check_int(status, 0);
	return text;
}

static char *created(char *const argv[], uint32_t stop, uint32_t mode, bool release)
{
	struct client c = client_open();
	struct started s = start(&c, argv, stop, mode);

	close(s.in);
	/* One that was not stopped may have come to its end. */
	if (release)
		tether_release(s.process);
	else if (stop != TETHER_STOP_NONE)
		check_int(tether_continue(s.process), 0);
	char *text = all_of(s.out);
	if (!release) {
		client_await(&c, "exit 0", 1);
		tether_release(s.process);
	}
	client_close(&c);
	return text;
}

enum { HIGH = 200 };

/* Nothing of a fresh process is as it is by default. Three descriptors are opened, the last is HIGH. */
static void be_peculiar(int opened[2])
{
	sigset_t set;
	cpu_set_t cpus;

	opened[0] = open("/dev/null", O_WRONLY | O_APPEND);
	opened[1] = open("/etc/passwd", O_RDONLY);
	check(opened[0] >= 0 && opened[1] >= 0);
	check_int(fcntl(opened[1], F_DUPFD, HIGH), HIGH);
	for (int number = 1; number <= 64; number += 3)
		if (number != SIGKILL && number != SIGSTOP && number != SIGCHLD)
			signal(number, SIG_IGN);
	signal(SIGUSR2, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGTRAP);
	sigaddset(&set, SIGRTMIN + 7);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_SETMASK, &set, NULL);
	umask(0137);
	check_int(chdir("/usr/lib"), 0);
	check_int(setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 512, 700 }), 0);
	check_int(setrlimit(RLIMIT_CORE, &(struct rlimit){ 4096, 8192 }), 0);
	check_int(setrlimit(RLIMIT_STACK, &(struct rlimit){ 4 << 20, 64 << 20 }), 0);
	check_int(setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){ 32768, 32768 }), 0);
	check_int(setpriority(PRIO_PROCESS, 0, 12), 0);
	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
	prctl(PR_SET_TIMERSLACK, 123456, 0, 0, 0);
	prctl(PR_SET_NAME, "peculiar");
	setenv("PECULIAR", "a=b\nc", 1);
	setenv("EMPTY", "", 1);
}

TEST(a_created_program_has_what_an_untraced_child_has)
{
	char *const argv[] = { (char *)(uintptr_t)victim_path("surroundings"), (char[]){ "" }, (char[]){ "two words" },
			       NULL };
	int opened[2];

	be_peculiar(opened);
	char *expected = spawned(argv);
	check(strstr(expected, "PECULIAR=a=b") && strstr(expected, "fd 200 ") && strstr(expected, "limit 7: 512 700") &&
	      strstr(expected, "signal 1: ignored"));
	for (uint32_t stop = TETHER_STOP_CREATE; stop <= TETHER_STOP_NONE; stop++) {
		for (uint32_t mode = TETHER_MODE_RUN; mode <= TETHER_MODE_KILL; mode++) {
			char *got = created(argv, stop, mode, false);
			check_same(expected, got);
			free(got);
		}
		char *got = created(argv, stop, TETHER_MODE_RUN, true);
		check_same(expected, got);
		free(got);
	}
	free(expected);
	close(opened[0]);
	close(opened[1]);
	close(HIGH);
}

/* ---- job control ----------------------------------------------------------------------------------------- */

static bool is_no_more_stopped(void *data)
{
	return !is_stopped(data);
}

/* The client is a process of its own, and is killed; "x" tells that it holds the victim. */
static pid_t client_of_its_own(pid_t victim, uint32_t flags)
{
	int ready[2];
	char byte;

	if (pipe2(ready, O_CLOEXEC))
		fail("pipe: %s", strerror(errno));
	pid_t pid = fork();
	if (pid == 0) {
		struct client c = client_open();
		tether_continue(client_grab(&c, victim, flags));
		if (write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			tether_dispatch(c.session, 1000);
	}
	close(ready[1]);
	check_int(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

static void stopped_while_held(int signal, bool before)
{
	struct victim v = victim_start("threads", "steady", "4", NULL);

	/* A group of its own, whose members have a parent outside: not orphaned by the end of the client. */
	setpgid(v.pid, v.pid);
	if (before) {
		kill(v.pid, signal);
		check(eventually(is_stopped, &v.pid, 2000));
	}
	pid_t client = client_of_its_own(v.pid, TETHER_NO_PARK);
	if (!before) {
		kill(v.pid, signal);
		check(eventually(is_stopped, &v.pid, 2000));
	}
	kill(client, SIGKILL);
	waitpid(client, NULL, 0);
	check(eventually(is_stopped_and_free, &v.pid, 2000));
	check_text_whole(v.pid);
	/* It is no passing state. */
	check(!eventually(is_no_more_stopped, &v.pid, 100));
	kill(v.pid, SIGCONT);
	victim_ask(&v, "progress", "progress");
	check_int(victim_end(&v), 0);
}

TEST(stopped_while_held_it_stays_stopped_when_the_client_is_killed)
{
	static const int signals[] = { SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU };

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		stopped_while_held(signals[i], false);
}

TEST(stopped_before_the_grab_it_stays_stopped_when_the_client_is_killed)
{
	static const int signals[] = { SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU };

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		stopped_while_held(signals[i], true);
}

/* Its controller is told to end while the client lives: nobody hangs up anything, and nobody is waited for long. */
TEST(stopped_while_held_it_is_let_go_stopped_when_only_the_controller_ends)
{
	struct victim v = victim_start("threads", "steady", "4", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct tether_info info = { .size = sizeof(info) };

	kill(v.pid, SIGSTOP);
	client_await(&c, "stop SIGSTOP", 1);
	check_int(tether_info_get(process, &info), 0);
	kill((pid_t)info.controller, SIGTERM);
	check(eventually(is_stopped_and_free, &v.pid, 3000));
	check_text_whole(v.pid);
	kill(v.pid, SIGCONT);
	victim_ask(&v, "progress", "progress");
	client_close(&c);
	check_int(victim_end(&v), 0);
}
