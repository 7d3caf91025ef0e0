/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bad input to the library: a stable code, outputs untouched, and one sentence that names the cause and the cure.
 */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Every word must be in the message; NULL-terminated. */
static void check_message(const struct tether_error *error, int code, const char *const *words)
{
	check_int(error->code, code);
	for (; *words; words++)
		if (!strstr(error->message, *words))
			fail("%s: '%s' does not say '%s'", tether_error_name(code), error->message, *words);
	if (strchr(error->message, '\n') || strlen(error->message) + 1 == sizeof(error->message))
		fail("no whole sentence: '%s'", error->message);
}
#define check_says(error, code, ...) check_message((error), (code), (const char *const[]){ __VA_ARGS__, NULL })

#define check_refused(client, pid, flags, code, ...) \
	check_refused_in(__LINE__, client, pid, flags, 0, code, (const char *const[]){ __VA_ARGS__, NULL })

static void check_refused_in(int line, struct client *c, int64_t pid, uint32_t flags, uint32_t mode, int code,
			     const char *const *words)
{
	struct tether_grab_opts opts = { .size = sizeof(opts), .flags = flags, .mode = mode };
	struct tether_error error = TETHER_ERROR_INIT;
	struct tether *untouched = (struct tether *)&opts, *process = untouched;
	char number[32];

	snprintf(number, sizeof(number), "%lld", (long long)pid);
	int result = tether_grab(c->session, pid, &opts, &process, &error);
	if (result != -code)
		fail("line %d: a grab of %s is %d (%s), not %s: %s", line, number, result,
		     result < 0 ? tether_error_name(result) : "", tether_error_name(code), error.message);
	check(process == untouched);
	check_int(error.pid, pid);
	check(strstr(error.message, number) != NULL);
	check_message(&error, code, words);
}

static void become_ordinary(void)
{
	if (geteuid() != 0)
		return;
	if (setgroups(0, NULL) || setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534))
		fail("cannot become an ordinary user: %s", strerror(errno));
	prctl(PR_SET_DUMPABLE, 1); /* as a user's programs are; a change of identity takes it away */
}

/* A client in a process of its own, which may change what it is: 0 or the test fails. */
static void check_child(pid_t child)
{
	int status;

	check(child > 0);
	check_int(waitpid(child, &status, 0), child);
	check_int(status, 0);
}

/* ---- what is asked for ----------------------------------------------------------------------------------- */

TEST(what_is_no_process_of_its_own_is_refused)
{
	static const uint32_t kinds[] = { 0, TETHER_NO_PARK, TETHER_OBSERVE };
	struct victim v = victim_start("threads", "steady", "2", NULL);
	struct client c = client_open();
	pid_t ended = fork(), tid = 0;
	siginfo_t info;

	if (ended == 0)
		_exit(0);
	check_int(waitid(P_PID, (id_t)ended, &info, WEXITED | WNOWAIT), 0);
	for (tid = v.pid + 1; task_status(v.pid, tid, "Tgid") != v.pid; tid++)
		check(tid < v.pid + 10000);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		check_refused(&c, tid, kinds[i], TETHER_ETHREAD, "a thread, not a process", "use the pid of its process");
		check_refused(&c, ended, kinds[i], TETHER_EZOMBIE, "it has ended", "nothing is left to hold");
		check_refused(&c, getpid(), kinds[i], TETHER_ESELF, "the calling process", "ask from another process");
		check_refused(&c, 0, kinds[i], TETHER_EGONE, "no such process", "check the pid");
		check_refused(&c, -1, kinds[i], TETHER_EGONE, "no such process", "check the pid");
		check_refused(&c, INT64_MAX, kinds[i], TETHER_EGONE, "no such process", "check the pid");
	}
	check_int(waitpid(ended, NULL, 0), ended);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		check_refused(&c, ended, kinds[i], TETHER_EGONE, "no such process", "the process may have ended");
	check_int(tether_target(c.session), 0);
	client_close(&c);
	check_untraced(v.pid);
	check_int(victim_end(&v), 0);
}

TEST(a_kernel_thread_is_refused)
{
	struct client c = client_open();
	char name[32] = "";
	FILE *comm = fopen("/proc/2/comm", "re");

	if (comm) {
		check(fgets(name, sizeof(name), comm) != NULL);
		fclose(comm);
	}
	if (strcmp(name, "kthreadd\n") != 0)
		skip("no kernel thread is to be seen in this pid namespace");
	check_refused(&c, 2, 0, TETHER_EKTHREAD, "a kernel thread", "cannot be held");
	check_refused(&c, 2, TETHER_OBSERVE, TETHER_EKTHREAD, "a kernel thread", "cannot be held");
	client_close(&c);
}

static int64_t controller_of(struct tether *process)
{
	struct tether_info info = { .size = sizeof(info) };

	check_int(tether_info_get(process, &info), 0);
	check(info.controller > 0);
	return info.controller;
}

/* Its children would be numbered elsewhere, and the first of them be the init there. */
TEST(a_thread_that_has_unshared_its_pid_namespace_is_told_so)
{
	if (geteuid() != 0)
		skip("needs root, to unshare a pid namespace");
	pid_t pid = fork();

	if (pid == 0) {
		struct tether_error error = TETHER_ERROR_INIT;
		char *const argv[] = { (char[]){ "true" }, NULL };
		struct tether_create_opts opts = { .size = sizeof(opts), .file = "/bin/true", .argv = argv };
		struct tether_session *session;
		struct tether *process;

		if (tether_session_open(NULL, &session, NULL) < 0 || unshare(CLONE_NEWPID) < 0)
			_exit(2);
		for (int i = 0; i < 2; i++)
			if (tether_create(session, &opts, &process, &error) != -TETHER_ECONTROLLER ||
			    !strstr(error.message, "another pid namespace") || !strstr(error.message, "CLONE_NEWPID"))
				_exit(3);
		/* it is still there for the host's own first child */
		pid_t first = fork();
		if (first == 0)
			_exit(getpid() == 1 ? 7 : 8);
		int status;
		if (waitpid(first, &status, 0) != first || WEXITSTATUS(status) != 7)
			_exit(4);
		tether_session_close(session);
		_exit(0);
	}
	int status;
	check_int(waitpid(pid, &status, 0), pid);
	check_int(status, 0);
}

TEST(controllers_of_this_session_and_of_others_are_refused)
{
	struct victim v = victim_start("threads", "steady", "2", NULL), w = victim_start("threads", "steady", "2", NULL);
	struct client c = client_open(), other = client_open();
	int64_t own = controller_of(client_grab(&c, v.pid, TETHER_NO_PARK));
	int64_t others = controller_of(client_grab(&other, w.pid, TETHER_NO_PARK));

	for (int i = 0; i < 2; i++) {
		const uint32_t flags = i ? TETHER_NO_PARK : 0;

		check_refused(&c, own, flags, TETHER_ESELF, "a part of tether", "ask from another process");
		check_refused(&c, others, flags, TETHER_ESELF, "a part of tether", "ask from another process");
	}
	check_untraced((pid_t)own);
	victim_ask(&v, "progress", "progress");
	victim_ask(&w, "progress", "progress");
	client_close(&c);
	client_close(&other);
	check_int(victim_end(&v), 0);
	check_int(victim_end(&w), 0);
}

/* The test is the ancestor: it would stand still, and this client with it that it waits for. */
TEST(an_ancestor_is_refused_where_it_would_be_stopped)
{
	struct victim v = victim_start("threads", "steady", "2", NULL);
	pid_t child = fork();

	if (child == 0) {
		const int64_t parent = getppid();
		const char *const words[] = { "descends from it", "from a process that does not", NULL };
		struct client c = client_open();

		for (int i = 0; i < 2; i++) {
			const uint32_t tree = i ? TETHER_TREE : 0;

			check_refused_in(__LINE__, &c, parent, tree, 0, TETHER_ESELF, words);
			check_refused_in(__LINE__, &c, parent, tree | TETHER_NO_MONITOR, TETHER_MODE_HANG, TETHER_ESELF, words);
			check_refused_in(__LINE__, &c, parent, tree | TETHER_NO_PARK, TETHER_MODE_HANG, TETHER_ESELF, words);
		}
		check_int(task_status((pid_t)parent, (pid_t)parent, "TracerPid"), 0);
		tether_release(client_grab(&c, (pid_t)parent, TETHER_OBSERVE));
		/* Watched it may be, and all of its tree but the one that asks. */
		struct tether *process = client_grab(&c, (pid_t)parent, TETHER_NO_PARK | TETHER_TREE);
		check(task_status((pid_t)parent, (pid_t)parent, "TracerPid") > 0);
		check(task_status(v.pid, v.pid, "TracerPid") > 0);
		check_int(task_status(getpid(), getpid(), "TracerPid"), 0);
		check_int(tether_release(process), 0);
		client_close(&c);
		_exit(0);
	}
	check_child(child);
	check_untraced(getpid());
	check_int(victim_end(&v), 0);
}

/* Held with the tree that they happen to stand in, controllers could not put back what they hold. */
TEST(a_tree_is_taken_without_the_controllers_in_it)
{
	struct victim held = victim_start("threads", "steady", "2", NULL);
	int ready[2], end[2];
	int64_t controller = 0;
	char byte;

	check_int(pipe(ready) | pipe(end), 0);
	check_int(prctl(PR_SET_CHILD_SUBREAPER, 1), 0); /* controllers become children of this process */
	pid_t holder = fork();
	if (holder == 0) {
		close(end[1]);
		struct client c = client_open();
		controller = controller_of(client_grab(&c, held.pid, TETHER_NO_PARK));
		check_int(write(ready[1], &controller, sizeof(controller)), sizeof(controller));
		check_int(read(end[0], &byte, 1), 0);
		client_close(&c);
		_exit(0);
	}
	check_int(read(ready[0], &controller, sizeof(controller)), sizeof(controller));
	check_int(task_status((pid_t)controller, (pid_t)controller, "PPid"), getpid());
	pid_t client = fork();
	if (client == 0) {
		close(end[1]);
		struct client c = client_open();
		client_grab(&c, getppid(), TETHER_NO_PARK | TETHER_TREE);
		check(task_status(holder, holder, "TracerPid") > 0);
		check_int(task_status((pid_t)controller, (pid_t)controller, "TracerPid"), 0);
		check_int(task_status(held.pid, held.pid, "TracerPid"), controller);
		client_close(&c);
		_exit(0);
	}
	check_child(client);
	close(end[1]);
	check_child(holder);
	close(end[0]);
	close(ready[0]);
	close(ready[1]);
	check_untraced(held.pid);
	check_untraced(getpid());
	check_int(victim_end(&held), 0);
	/* The controllers end by themselves, and are this process's to reap. */
	while (waitpid(-1, NULL, 0) > 0)
		;
	check_int(errno, ECHILD);
}

TEST(the_one_that_traces_it_already_is_named)
{
	struct victim v = victim_start("threads", "steady", "2", NULL);
	int ready[2], end[2];
	char byte, number[32];

	check_int(pipe(ready) | pipe(end), 0);
	pid_t tracer = fork();
	if (tracer == 0) {
		close(end[1]);
		close(v.in);
		if (ptrace(PTRACE_SEIZE, v.pid, 0, 0) < 0 || write(ready[1], "r", 1) != 1)
			_exit(1);
		_exit(read(end[0], &byte, 1) != 0); /* its death lets go */
	}
	check_int(read(ready[0], &byte, 1), 1);
	snprintf(number, sizeof(number), "process %d", tracer);
	struct client c = client_open();
	check_refused(&c, v.pid, 0, TETHER_ETRACED, "traced by", number, "detach the other tracer");
	struct tether_error error = TETHER_ERROR_INIT;
	struct tether *process = NULL;
	check_int(tether_grab(c.session, v.pid, NULL, &process, &error), -TETHER_ETRACED);
	check_int(error.other_pid, tracer);
	check_int(task_status(v.pid, v.pid, "TracerPid"), tracer);
	close(end[1]);
	check_child(tracer);
	/* The cure cures. */
	client_grab(&c, v.pid, 0);
	client_close(&c);
	close(end[0]);
	close(ready[0]);
	close(ready[1]);
	check_untraced(v.pid);
	check_int(victim_end(&v), 0);
}

TEST(what_another_user_owns_or_has_closed_is_refused)
{
	struct victim v = victim_start("threads", "steady", "1", NULL);
	int ready[2], end[2];
	char byte;

	check_int(pipe(ready) | pipe(end), 0);
	pid_t closed = fork();
	if (closed == 0) {
		close(end[1]);
		close(v.in);
		become_ordinary();
		prctl(PR_SET_DUMPABLE, 0);
		_exit(write(ready[1], "r", 1) != 1 || read(end[0], &byte, 1) != 0);
	}
	check_int(read(ready[0], &byte, 1), 1);
	pid_t child = fork();
	if (child == 0) {
		/* For who is no other user than this one there is that of the first process. */
		const pid_t other = geteuid() ? 1 : v.pid;

		become_ordinary();
		struct client c = client_open();
		check_refused(&c, other, TETHER_NO_PARK, TETHER_EPRIV, "no permission", "run as the same user, or with CAP_SYS_PTRACE");
		check_refused(&c, closed, TETHER_NO_PARK, TETHER_EDUMPABLE, "non-dumpable", "run with CAP_SYS_PTRACE");
		check_refused(&c, closed, 0, TETHER_EDUMPABLE, "non-dumpable", "run with CAP_SYS_PTRACE");
		client_close(&c);
		_exit(0);
	}
	check_child(child);
	close(end[1]);
	check_child(closed);
	close(end[0]);
	close(ready[0]);
	close(ready[1]);
	check_untraced(v.pid);
	check_int(victim_end(&v), 0);
}

TEST(options_that_are_not_valid_are_refused_before_anything_is_done)
{
	struct victim v = victim_start("threads", "steady", "1", NULL);
	struct client c = client_open();
	char *const argv[] = { (char[]){ "true" }, NULL };
	const struct tether_create_opts wrong[] = {
		{ .size = sizeof(wrong[0]), .argv = argv },
		{ .size = sizeof(wrong[0]), .file = "", .argv = argv },
		{ .size = sizeof(wrong[0]), .file = "true" },
		{ .size = sizeof(wrong[0]), .file = "true", .argv = argv, .flags = TETHER_OBSERVE },
		{ .size = sizeof(wrong[0]), .file = "true", .argv = argv, .stop = TETHER_STOP_NONE + 1 },
		{ .size = sizeof(wrong[0]), .file = "true", .argv = argv, .mode = TETHER_MODE_HANG + 1 },
		{ .size = sizeof(wrong[0]), .file = "true", .argv = argv, .use_stdio = 8 },
		{ .size = sizeof(wrong[0]), .file = "true", .argv = argv, .flags = TETHER_NO_MONITOR, .stop = TETHER_STOP_MAIN },
		{ .size = 1, .file = "true", .argv = argv },
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct tether_error error = TETHER_ERROR_INIT;
		struct tether *process = NULL;

		check_int(tether_create(c.session, &wrong[i], &process, &error), -TETHER_EINVALID);
		check(process == NULL);
		check_says(&error, TETHER_EINVALID, "cannot create", "option", "see the function's manual page");
	}
	static const struct tether_grab_opts grabs[] = {
		{ .size = sizeof(grabs[0]), .flags = 1U << 31 },
		{ .size = sizeof(grabs[0]), .mode = TETHER_MODE_HANG + 1 },
		{ .size = 1 },
	};
	for (size_t i = 0; i < sizeof(grabs) / sizeof(grabs[0]); i++) {
		struct tether_error error = TETHER_ERROR_INIT;
		struct tether *process = NULL;

		check_int(tether_grab(c.session, v.pid, &grabs[i], &process, &error), -TETHER_EINVALID);
		check(process == NULL);
		check_says(&error, TETHER_EINVALID, "cannot grab", "option", "see the function's manual page");
	}
	/* An error of unknown size is not written to. */
	struct tether_error error = { .size = 8, .code = 77 };
	struct tether *process = NULL;
	check_int(tether_grab(c.session, v.pid, NULL, &process, &error), -TETHER_EINVALID);
	check_int(error.code, 77);
	check(process == NULL);
	client_close(&c);
	check_untraced(v.pid);
	check_int(victim_end(&v), 0);
}

TEST(a_controller_that_cannot_be_used_is_named)
{
	static const struct {
		const char *path;
		int error;
	} rows[] = {
		{ "/no/such/controller", ENOENT },
		{ "/etc/passwd", EACCES },
		{ "/etc", EACCES },
		{ "/etc/passwd/below", ENOTDIR },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct tether_session_opts opts = { .size = sizeof(opts), .controller = rows[i].path };
		struct tether_error error = TETHER_ERROR_INIT;
		struct tether_session *session = NULL;

		check_int(tether_session_open(&opts, &session, &error), -TETHER_ECONTROLLER);
		check(session == NULL);
		check_int(error.system_error, rows[i].error);
		check_same(rows[i].path, error.path);
		check_says(&error, TETHER_ECONTROLLER, rows[i].path, strerror(rows[i].error), "TETHER_CONTROLLER");
	}
}

/* ---- what cannot be executed ----------------------------------------------------------------------------- */

static void put(const char *path, const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	check(fd >= 0);
	check_int(write(fd, text, strlen(text)), (long long)strlen(text));
	check_int(fchmod(fd, mode), 0);
	close(fd);
}

static void check_unrunnable(struct client *c, const char *file, char *const *argv, const char *cwd, int error_number,
			     const char *cause, const char *cure)
{
	/* Asked by who waits for the exec, and by who does not. */
	static const uint32_t stops[] = { TETHER_STOP_MAIN, TETHER_STOP_NONE, TETHER_STOP_CREATE };

	for (size_t i = 0; i < sizeof(stops) / sizeof(stops[0]); i++) {
		struct tether_create_opts opts = {
			.size = sizeof(opts), .file = file, .argv = argv, .stop = stops[i], .cwd = cwd
		};
		struct tether_error error = TETHER_ERROR_INIT;
		struct tether *process = NULL;

		check_int(tether_create(c->session, &opts, &process, &error), -TETHER_EEXEC);
		check(process == NULL);
		check_int(error.system_error, error_number);
		check_says(&error, TETHER_EEXEC, file, strerror(error_number), cause, cure);
		check_same(file, error.path);
	}
	check_int(tether_target(c->session), 0);
}

TEST_SECONDS(what_cannot_be_executed_is_refused_with_cause_and_cure, 60)
{
	enum { TOO_LONG = 1 << 18, FAR_TOO_LONG = 65 << 20 };
	static const struct {
		const char *file;
		int error;
		const char *cause, *cure;
	} rows[] = {
		{ "./nowhere", ENOENT, "cannot execute", "check the path" },
		{ "no-such-command-anywhere", ENOENT, "no directory of PATH has it", "extend PATH" },
		{ "./bad", ENOENT, "the interpreter that it asks for does not exist", "correct its first line" },
		{ "./plain", EACCES, "this user may not execute it", "chmod +x" },
		{ "./folder", EACCES, "it is a directory", "give the path of a program" },
		{ "/dev/null", EACCES, "it is no regular file", "give the path of a program" },
		{ "./noformat", ENOEXEC, "knows no such format", "#!/bin/sh" },
		{ "./empty", ENOEXEC, "knows no such format", "#!/bin/sh" },
		{ "./plain/below", ENOTDIR, "cannot execute", "see the error of execve(2)" },
		{ "./circle", ELOOP, "in a circle", "correct the links" },
	};
	char *const argv[] = { (char[]){ "x" }, NULL };
	char *text = calloc(1, FAR_TOO_LONG), *const long_argv[] = { (char[]){ "true" }, text, NULL };
	char folder[] = "/tmp/tether-refusals-XXXXXX";
	struct client c = client_open();

	check(text && mkdtemp(folder));
	check_int(chdir(folder), 0);
	put("plain", "#!/bin/sh\n", 0644);
	put("bad", "#!/no/such/interpreter\n", 0755);
	put("noformat", "\x7f""no such format", 0755);
	put("empty", "", 0755);
	check_int(mkdir("folder", 0755), 0);
	check_int(symlink("circle", "circle"), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check_unrunnable(&c, rows[i].file, argv, NULL, rows[i].error, rows[i].cause, rows[i].cure);
	memset(text, 'x', TOO_LONG);
	check_unrunnable(&c, "true", long_argv, NULL, E2BIG, "too long together", "pass less");
	memset(text, 'x', FAR_TOO_LONG - 1);
	check_unrunnable(&c, "true", long_argv, NULL, E2BIG, "too long together", "pass less");
	/* Of another directory's file nothing is known here, and nothing is made up. */
	check_unrunnable(&c, "./folder", argv, "/", ENOENT, "cannot execute", "see the error of execve(2)");
	check_unrunnable(&c, "true", argv, "/no/such/directory", ENOENT, "cannot change directory for", "execve(2)");
	check_int(tether_create(c.session, &(struct tether_create_opts){ .size = sizeof(struct tether_create_opts),
									 .file = "./plain", .argv = argv },
				&c.process[0], NULL),
		  -TETHER_EEXEC);
	client_close(&c);
	free(text);
	check_int(unlink("plain") | unlink("bad") | unlink("noformat") | unlink("empty") | unlink("circle") |
			  rmdir("folder") | chdir("/") | rmdir(folder),
		  0);
}

/* ---- whose call it is ------------------------------------------------------------------------------------ */

TEST(a_forked_child_is_told_to_open_a_session_of_its_own)
{
	struct victim v = victim_start("threads", "steady", "1", NULL);
	struct client c = client_open();
	pid_t child = fork();

	if (child == 0) {
		char *const argv[] = { (char[]){ "true" }, NULL };
		struct tether_create_opts opts = { .size = sizeof(opts), .file = "true", .argv = argv };
		struct tether_error error = TETHER_ERROR_INIT;
		struct tether *process = NULL;

		check_refused(&c, getpid(), 0, TETHER_EFORKED, "the parent of this process", "open a session");
		check_refused(&c, getppid(), 0, TETHER_EFORKED, "the parent of this process", "open a session");
		check_refused(&c, v.pid, 0, TETHER_EFORKED, "the parent of this process", "open a session");
		check_refused(&c, v.pid, TETHER_OBSERVE, TETHER_EFORKED, "the parent of this process", "open a session");
		check_int(tether_create(c.session, &opts, &process, &error), -TETHER_EFORKED);
		check_says(&error, TETHER_EFORKED, "true", "the parent of this process", "open a session");
		check_int(tether_target(c.session), -TETHER_EFORKED);
		check_int(tether_dispatch(c.session, 0), -TETHER_EFORKED);
#if !defined(__SANITIZE_THREAD__) /* it allows no threads after such a fork */
		/* The cure cures. */
		struct client own = client_open();
		client_grab(&own, v.pid, 0);
		client_close(&own);
#endif
		_exit(0);
	}
	check_child(child);
	client_grab(&c, v.pid, 0);
	client_close(&c);
	check_untraced(v.pid);
	check_int(victim_end(&v), 0);
}

struct running_call {
	struct client *client;
	struct tether *process; /* a handle that another thread has locked, NULL: create */
	int result;
	struct tether_error error;
	pthread_t thread;
};

static void *create_what_never_stops(void *data)
{
	struct running_call *call = data;
	char *const argv[] = { (char[]){ "early" }, (char[]){ "hang" }, NULL };
	struct tether_create_opts opts = { .size = sizeof(opts), .file = victim_path("early"), .argv = argv,
					   .stop = TETHER_STOP_MAIN };
	struct tether *process = NULL;

	call->result = tether_create(call->client->session, &opts, &process, &call->error);
	check(process == NULL);
	return NULL;
}

static void *continue_what_is_locked(void *data)
{
	struct running_call *call = data;

	call->result = tether_continue(call->process);
	return NULL;
}

static bool is_running_early(void *data)
{
	return client_count(data, "exec early") == 1;
}

TEST(calls_that_a_close_meets_end_with_why)
{
	struct victim v = victim_start("threads", "steady", "2", NULL);
	struct client c = client_open();
	struct running_call create = { .client = &c, .error = TETHER_ERROR_INIT };
	struct running_call locked = { .client = &c, .process = client_grab(&c, v.pid, 0) };

	check_int(tether_lock(locked.process), 0);
	check_int(pthread_create(&locked.thread, NULL, continue_what_is_locked, &locked), 0);
	check_int(pthread_create(&create.thread, NULL, create_what_never_stops, &create), 0);
	/* Its program runs: the call waits for a stop that never comes. */
	client_await(&c, "exec early", 1);
	check(is_running_early(&c));
	client_close(&c);
	check_int(pthread_join(create.thread, NULL), 0);
	check_int(pthread_join(locked.thread, NULL), 0);
	check_int(create.result, -TETHER_ECLOSED);
	check_says(&create.error, TETHER_ECLOSED, "the session is closed", "open a new session");
	check_int(locked.result, -TETHER_ECLOSED);
	check_untraced(v.pid);
	check_int(victim_end(&v), 0);
}
