/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A victim of a create from its exec to its main: nobody waits for the library on the way, and nothing is missed.
 */
#include "harness.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct tether *create(struct client *c, const char *file, char *const argv[], char *const envp[], uint32_t stop)
{
	struct tether_create_opts opts = {
		.size = sizeof(opts), .file = file, .argv = argv, .envp = (void *)(uintptr_t)envp, .stop = stop
	};
	struct tether_error error = TETHER_ERROR_INIT;
	struct tether *process = NULL;
	int result = tether_create(c->session, &opts, &process, &error);

	if (result < 0)
		fail("create: %s", error.message);
	return process;
}

/* Its linker's list is told of from what was seen at the time: by now it may be gone, with its memory. */
static void check_told(const char *how, char *const envp[], const char *expected)
{
	char word[8], *const argv[] = { (char[]){ "early" }, word, NULL };
	struct client c = client_open();

	snprintf(word, sizeof(word), "%s", how);
	struct tether *process = create(&c, victim_path("early"), argv, envp, TETHER_STOP_NONE);
	client_await(&c, "exit", 1);
	char *got = client_lines(&c, "exec", "load", "preinit", "main", "exit", NULL);
	check_same(expected, got);
	free(got);
	tether_release(process);
	client_close(&c);
}

TEST_SECONDS(what_ends_in_a_constructor_is_told_of_with_all_that_it_loaded, 60)
{
	for (int i = 0; i < 40; i++)
		check_told("exit", NULL, "exec early\nload libc.so.6\npreinit\nexit 3\n");
}

TEST_SECONDS(what_executes_another_in_a_constructor_is_told_of_before_it, 60)
{
	for (int i = 0; i < 40; i++)
		check_told("exec", NULL,
			   "exec early\nload libc.so.6\npreinit\nexec true\nload libc.so.6\npreinit\nmain\nexit 0\n");
}

static int take_program(const struct tether_object *object, void *data)
{
	char *path = data;

	if (!path[0])
		snprintf(path, 4096, "%s", object->path);
	return 0;
}

/* The name is the kernel's, not that which was called. */
TEST(a_program_called_by_a_link_has_its_own_name)
{
	char directory[] = "/tmp/tether-launch-XXXXXX", link[64], real[4096], got[4096] = "";
	char *const argv[] = { (char[]){ "quiet" }, (char[]){ "0" }, NULL };
	struct client c = client_open();

	check(mkdtemp(directory) != NULL);
	snprintf(link, sizeof(link), "%s/called", directory);
	check_int(symlink(victim_path("quiet"), link), 0);
	struct tether *process = create(&c, link, argv, NULL, TETHER_STOP_MAIN);
	check(realpath(link, real) != NULL);
	check_int(tether_objects(process, take_program, got), 0);
	check_same(real, got);
	check_text_whole((pid_t)tether_pid(process));
	unlink(link);
	rmdir(directory);
	client_close(&c);
}

/* What does not fit into a message is asked for: more arguments, or more libraries. */
TEST(a_stack_too_long_to_be_told_is_read_while_the_victim_stands)
{
	enum { LENGTH = 60000 };
	char *big = calloc(1, LENGTH + 1);
	char *const envp[] = { big, NULL };

	memset(big, 'x', LENGTH);
	memcpy(big, "X=", 2);
	check_told("exit", envp, "exec early\nload libc.so.6\npreinit\nexit 3\n");
	free(big);
}

static int count_object(const struct tether_object *object, void *data)
{
	(void)object;
	++*(unsigned *)data;
	return 0;
}

TEST(more_libraries_than_are_captured_are_told_of_all_the_same)
{
	enum { COPIES = 20 };
	char directory[] = "/tmp/tether-launch-XXXXXX", preload[COPIES * 64] = "LD_PRELOAD=", command[256];
	char *const argv[] = { (char[]){ "early" }, (char[]){ "exit" }, NULL }, *const envp[] = { preload, NULL };
	struct client c = client_open();
	unsigned objects = 0;

	check(mkdtemp(directory) != NULL);
	for (int i = 0; i < COPIES; i++) {
		size_t used = strlen(preload);

		snprintf(command, sizeof(command), "cp %s %s/p%d.so", victim_path("plugin-a.so"), directory, i);
		check_int(system(command), 0);
		snprintf(preload + used, sizeof(preload) - used, "%s/p%d.so ", directory, i);
	}
	struct tether *process = create(&c, victim_path("early"), argv, envp, TETHER_STOP_NONE);
	client_await(&c, "exit", 1);
	check_int(client_count(&c, "load p"), COPIES);
	check_int(client_count(&c, "load libc.so.6"), 1);
	tether_release(process);

	char *const waits[] = { (char[]){ "quiet" }, (char[]){ "0" }, NULL };
	process = create(&c, victim_path("quiet"), waits, envp, TETHER_STOP_MAIN);
	check_int(tether_objects(process, count_object, &objects), 0);
	check(objects >= COPIES + 4);
	client_close(&c);
	snprintf(command, sizeof(command), "rm -r %s", directory);
	check_int(system(command), 0);
}

/* It is on its way, with traps in it, when it turns out that nobody will hold it. */
TEST(a_controller_that_cannot_run_leaves_no_victim)
{
	static const char *const controllers[] = { "/bin/false", "/etc/passwd" };

	for (size_t i = 0; i < 2; i++) {
		struct tether_session_opts opts = { .size = sizeof(opts), .controller = controllers[i] };
		char *const argv[] = { (char[]){ "quiet" }, (char[]){ "0" }, NULL };
		struct tether_create_opts create = {
			.size = sizeof(create), .file = victim_path("quiet"), .argv = argv, .stop = TETHER_STOP_MAIN
		};
		struct tether_session *session;
		struct tether *process = NULL;

		/* the harness looks for what is left */
		if (tether_session_open(&opts, &session, NULL) < 0)
			continue;
		check(tether_create(session, &create, &process, NULL) < 0);
		check(process == NULL);
		tether_session_close(session);
	}
}

/* Its controller is executed when the operation is the control thread's already, which sees an end and no reason. */
TEST(why_a_controller_cannot_run_is_told)
{
	char path[] = "/tmp/tether-launch-XXXXXX";
	int fd = mkstemp(path);

	check(fd >= 0 && write(fd, "nonsense", 8) == 8 && fchmod(fd, 0755) == 0 && close(fd) == 0);
	struct tether_session_opts opts = { .size = sizeof(opts), .controller = path };
	char *const argv[] = { (char[]){ "quiet" }, (char[]){ "0" }, NULL };
	struct tether_create_opts create = {
		.size = sizeof(create), .file = victim_path("quiet"), .argv = argv, .stop = TETHER_STOP_MAIN
	};
	struct tether_error error = TETHER_ERROR_INIT;
	struct tether_session *session;
	struct tether *process = NULL;

	check_int(tether_session_open(&opts, &session, NULL), 0);
	check_int(tether_create(session, &create, &process, &error), -TETHER_ECONTROLLER);
	check_int(error.system_error, ENOEXEC);
	check(process == NULL);
	tether_session_close(session);
	unlink(path);
}

enum { CREATES = 60 };

static _Noreturn void create_again_and_again(void)
{
	for (int i = 0; i < CREATES; i++) {
		char *const argv[] = { (char[]){ "early" }, (char[]){ "none" }, NULL };
		struct client c = client_open();
		struct tether *process = create(&c, victim_path("early"), argv, NULL, TETHER_STOP_MAIN);

		if (tether_continue(process) < 0)
			_exit(2);
		client_await(&c, "exit 0", 1);
		tether_release(process);
		client_close(&c);
	}
	_exit(0);
}

/* The victim and its controller-to-be run on, and wait for what the caller has to say, but not for as long as this. */
TEST_SECONDS(a_client_that_is_stopped_while_it_creates_has_its_victims_all_the_same, 60)
{
	pid_t child = fork();
	int status = 0;

	if (child == 0)
		create_again_and_again();
	check(child > 0);
	for (unsigned i = 0; waitpid(child, &status, WNOHANG) == 0; i++) {
		usleep(500 + i * 37 % 3000);
		kill(child, SIGSTOP);
		usleep(8000);
		kill(child, SIGCONT);
	}
	check(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* What waits for main to be told with it does not wait for long: this one stays in its constructor. */
TEST(what_hangs_in_a_constructor_is_told_of)
{
	char *const argv[] = { (char[]){ "early" }, (char[]){ "hang" }, NULL };
	struct client c = client_open();
	struct tether *process = create(&c, victim_path("early"), argv, NULL, TETHER_STOP_NONE);

	client_await(&c, "preinit", 1);
	char *got = client_lines(&c, "exec", "load", "preinit", "main", "exit", NULL);
	check_same("exec early\nload libc.so.6\npreinit\n", got);
	free(got);
	check_int(kill((pid_t)tether_pid(process), SIGKILL), 0);
	client_await(&c, "exit", 1);
	tether_release(process);
	client_close(&c);
}

/* A trap under a blocked or ignored SIGTRAP would kill (rule 8): then the controller plants, which looks after that. */
TEST(a_victim_that_is_born_with_a_blocked_or_ignored_trap_signal_reaches_its_main)
{
	char *const argv[] = { (char[]){ "early" }, (char[]){ "none" }, NULL };
	struct client c = client_open();
	sigset_t trap, before;

	sigemptyset(&trap);
	sigaddset(&trap, SIGTRAP);
	sigprocmask(SIG_BLOCK, &trap, &before);
	struct tether *process = create(&c, victim_path("early"), argv, NULL, TETHER_STOP_MAIN);
	sigprocmask(SIG_SETMASK, &before, NULL);
	check_int(tether_continue(process), 0);
	client_await(&c, "exit 0", 1);
	tether_release(process);
	client_close(&c);
}
