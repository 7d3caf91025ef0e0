/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host of the library is left alone: its children, signals, descriptors and threads are its own, and it
 * may close and fork what it likes.
 */
#include "harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { VICTIMS = 10 };

static _Atomic unsigned sigchlds;

static void on_sigchld(int signal)
{
	(void)signal;
	atomic_fetch_add(&sigchlds, 1);
}

/* Signal state of every thread of this process but the library's own, and of the process. */
struct signals {
	sigset_t mask;
	struct sigaction action[NSIG];
};

static struct signals signals_now(void)
{
	struct signals now;
	memset(&now, 0, sizeof(now));
	pthread_sigmask(SIG_SETMASK, NULL, &now.mask);
	for (int number = 1; number < NSIG; number++)
		sigaction(number, NULL, &now.action[number]);
	return now;
}

static void check_signals(const struct signals *before)
{
	const struct signals now = signals_now();
	for (int number = 1; number < NSIG; number++) {
		if (now.action[number].sa_handler != before->action[number].sa_handler)
			fail("the handler of signal %d was changed", number);
		if (sigismember(&now.mask, number) != sigismember(&before->mask, number))
			fail("the mask of signal %d was changed", number);
	}
}

TEST_SECONDS(a_host_of_ten_victims_keeps_its_children_signals_and_waits, 60)
{
	struct sigaction action = { .sa_handler = on_sigchld };
	sigaction(SIGCHLD, &action, NULL);
	const struct signals before = signals_now();

	/* Victims by create: as children of the host they would be found by its waits. */
	struct client c = client_open();
	struct tether *process[VICTIMS];
	for (int i = 0; i < VICTIMS; i++)
		process[i] = client_create(&c, 0, TETHER_STOP_MAIN, "threads", "steady", "2", NULL);
	check_int(atomic_load(&sigchlds), 0);
	check_int(waitpid(-1, NULL, WNOHANG), -1);
	check_int(errno, ECHILD);
	check_int(waitpid(-1, NULL, WNOHANG | __WALL), -1);
	check_int(errno, ECHILD);
	check_signals(&before);

	/* The host's own child: exactly one signal, exactly one wait, its own status. */
	pid_t child = fork();
	if (child == 0)
		_exit(23);
	int status;
	pid_t waited;
	while ((waited = waitpid(-1, &status, 0)) < 0 && errno == EINTR)
		;
	check_int(waited, child);
	check(WIFEXITED(status) && WEXITSTATUS(status) == 23);
	check_int(atomic_load(&sigchlds), 1);

	for (int i = 0; i < VICTIMS; i++)
		check_int(tether_continue(process[i]), 0);
	client_drain(&c, 100);
	check_signals(&before);
	client_close(&c);
	check_int(atomic_load(&sigchlds), 1);
	check_int(waitpid(-1, NULL, WNOHANG | __WALL), -1);
	check_signals(&before);
}

TEST(the_environment_of_the_host_is_not_changed)
{
	extern char **environ;
	char **before = environ;
	size_t count = 0;
	while (environ[count])
		count++;
	struct client c = client_open();
	client_create(&c, 0, TETHER_STOP_MAIN, "quiet", NULL);
	check(environ == before);
	size_t after = 0;
	while (environ[after])
		after++;
	check_int(after, count);
	client_close(&c);
}

TEST(closefrom_does_not_cut_the_line)
{
	struct victim v = victim_start("loads", NULL);
	struct client c = client_open();
	client_grab(&c, v.pid, TETHER_NO_PARK);
	/* What a daemon does: everything but what it knows. */
	int wanted = tether_fd(c.session);
	for (int fd = 3; fd < 1024; fd++) {
		if (fd != wanted && fd != v.in && fd != fileno(v.out))
			close(fd);
	}
	victim_ask(&v, "dlopen", "done");
	client_await(&c, "unload plugin-b.so", 1);
	client_close(&c);
	check_untraced(v.pid);
	check_int(victim_end(&v), 0);
}

TEST(closefrom_of_everything_lets_victims_be_held_and_released)
{
	struct victim v = victim_start("threads", "steady", "4", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, 0);
	int in = dup2(v.in, 0), out = fileno(v.out);
	char answer[64] = "";
	check_int(in, 0);
	check_int(dup2(out, 1), 1);
	closefrom(3);
	/* tether_fd() went too; the calls go on working. */
	check_int(tether_continue(process), 0);
	check_int(write(0, "progress\n", 9), 9);
	check(read(1, answer, sizeof(answer) - 1) > 0);
	check_same("progress\n", answer);
	check_int(tether_release(process), 0);
	check_untraced(v.pid);
	check_int(tether_session_close(c.session), 0);
	close(0);
	int status;
	check_int(waitpid(v.pid, &status, 0), v.pid);
	check_int(status, 0);
	/* This test closed what it began with. */
	_exit(0);
}

TEST(a_forked_child_of_the_host_is_refused_and_does_no_harm)
{
	struct victim v = victim_start("loads", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	pid_t child = fork();
	if (child == 0) {
		struct tether *other = NULL;
		char byte;
		int wrong = 0;
		wrong |= tether_continue(process) != -TETHER_EFORKED;
		wrong |= (tether_read(process, 0x1000, &byte, 1) != -TETHER_EFORKED) << 1;
		wrong |= (tether_dispatch(c.session, 0) != -TETHER_EFORKED) << 2;
		wrong |= (tether_grab(c.session, getppid(), NULL, &other, NULL) != -TETHER_EFORKED) << 3;
		wrong |= (tether_release(process) != -TETHER_EFORKED) << 4;
		wrong |= (tether_session_close(c.session) != -TETHER_EFORKED) << 5;
		_exit(wrong);
	}
	int status;
	check_int(waitpid(child, &status, 0), child);
	check_int(status, 0);
	victim_ask(&v, "dlopen", "done");
	client_await(&c, "unload plugin-b.so", 1);
	client_close(&c);
	check_untraced(v.pid);
	check_int(victim_end(&v), 0);
}

/* A forked child holds whatever was open at the fork; the victim must be let go all the same. */
TEST(a_child_that_outlives_the_host_does_not_keep_the_victim)
{
	struct victim v = victim_start("threads", "steady", "4", NULL);
	int pipe_end[2];
	check_int(pipe(pipe_end), 0);
	pid_t host = fork();
	if (host == 0) {
		struct client c = client_open();
		client_grab(&c, v.pid, TETHER_NO_PARK);
		if (fork() == 0) {
			close(pipe_end[1]);
			close(v.in); /* or the victim would never see its end */
			for (;;)
				pause(); /* ends with the test's process group */
		}
		check_int(write(pipe_end[1], "h", 1), 1);
		for (;;)
			pause();
	}
	char byte;
	close(pipe_end[1]);
	check_int(read(pipe_end[0], &byte, 1), 1);
	close(pipe_end[0]);
	check(task_status(v.pid, v.pid, "TracerPid") > 0);
	kill(host, SIGKILL);
	int status;
	check_int(waitpid(host, &status, 0), host);
	check_untraced(v.pid);
	check_text_whole(v.pid);
	victim_ask(&v, "progress", "progress");
	check_int(victim_end(&v), 0);
}

TEST(two_hosts_cannot_hold_one_victim)
{
	struct victim v = victim_start("loads", NULL);
	struct client c = client_open();
	client_grab(&c, v.pid, TETHER_NO_PARK);
	struct client other = client_open();
	struct tether_error err = TETHER_ERROR_INIT;
	struct tether *process = NULL;
	check_int(tether_grab(other.session, v.pid, NULL, &process, &err), -TETHER_ETRACED);
	check(process == NULL);
	check(err.other_pid == task_status(v.pid, v.pid, "TracerPid"));
	check_int(err.pid, v.pid);
	client_close(&other);
	victim_ask(&v, "dlopen", "done");
	client_await(&c, "unload plugin-b.so", 1);
	client_close(&c);
	check_int(victim_end(&v), 0);
}

TEST(a_second_grab_of_the_same_process_shares_the_handle)
{
	struct victim v = victim_start("loads", NULL);
	struct client c = client_open();
	struct tether *first = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct tether *second = client_grab(&c, v.pid, 0);
	check(first == second);
	check_int(tether_release(first), 0);
	check(task_status(v.pid, v.pid, "TracerPid") > 0);
	victim_ask(&v, "dlopen", "done");
	check_int(tether_release(second), 0);
	check_untraced(v.pid);
	client_close(&c);
	check_int(victim_end(&v), 0);
}

TEST(the_fd_of_a_session_polls_readable_while_dispatch_has_work)
{
	struct victim v = victim_start("loads", NULL);
	struct client c = client_open();
	client_grab(&c, v.pid, TETHER_NO_PARK);
	client_drain(&c, 50);
	struct pollfd ready = { .fd = tether_fd(c.session), .events = POLLIN };
	check_int(poll(&ready, 1, 0), 0);
	victim_ask(&v, "dlopen", "done");
	check_int(poll(&ready, 1, 5000), 1);
	client_await(&c, "unload plugin-b.so", 1);
	client_drain(&c, 50);
	check_int(poll(&ready, 1, 0), 0);
	client_close(&c);
	check_int(victim_end(&v), 0);
}

TEST(sessions_opened_and_closed_leave_nothing_behind)
{
	for (int i = 0; i < 50; i++) {
		struct client c = client_open();
		client_close(&c);
	}
}

TEST(opts_of_null_are_the_defaults)
{
	struct tether_session *session = NULL;
	if (!getenv("TETHER_CONTROLLER"))
		skip("TETHER_CONTROLLER is not set");
	check_int(tether_session_open(NULL, &session, NULL), 0);
	check_int(tether_target(session), 0);
	check_int(tether_dispatch(session, 0), 0);
	check_int(tether_session_close(session), 0);
	check_int(tether_session_close(NULL), 0);
	check_int(tether_release(NULL), 0);
	check(tether_ref(NULL) == NULL);
}

/*
 * A controller of another build: this very executable, for the library may be given any. It answers hello as
 * one would, and ends at once: before the next request is sent, after that, or with it unread.
 */
enum { HELLO_BYTES = 256, HELLO_VERSION = 20 }; /* behind the header's 16 bytes and the magic */

__attribute__((constructor)) static void be_a_controller_of_another_build(int argc, char **argv)
{
	unsigned char message[HELLO_BYTES];
	struct pollfd line = { .events = POLLIN };
	ssize_t length;

	if (argc < 3 || strcmp(argv[0], "tether-controller"))
		return;
	line.fd = atoi(argv[1]);
	poll(&line, 1, -1);
	length = read(line.fd, message, sizeof(message));
	if (length > HELLO_VERSION) {
		message[0]++; /* the answer's type is the request's plus one */
		message[HELLO_VERSION] ^= 0x40;
		if (write(line.fd, message, (size_t)length) != length)
			_exit(1);
	}
	_exit(0);
}

TEST(a_controller_of_another_build_is_named_so_however_soon_it_ends)
{
	struct tether_session_opts opts = { .size = sizeof(opts), .controller = "/proc/self/exe" };
	struct tether_session *session = NULL;
	struct victim v = victim_start("loads", NULL);

	check_int(tether_session_open(&opts, &session, NULL), 0);
	for (int i = 0; i < 100; i++) {
		struct tether *process = NULL;

		check_int(tether_grab(session, v.pid, NULL, &process, NULL), -TETHER_EVERSION);
	}
	check_int(tether_session_close(session), 0);
	check_int(victim_end(&v), 0);
}

/* What nobody else can do any more, the client does: the trap at the linker's breakpoint goes. */
TEST(the_text_is_put_back_by_the_client_when_its_controller_is_killed)
{
	struct victim v = victim_start("loads", NULL);
	struct client c = client_open();
	struct tether_info info = { .size = sizeof(info) };

	check_int(tether_info_get(client_grab(&c, v.pid, TETHER_NO_PARK), &info), 0);
	check(info.controller > 0);
	kill((pid_t)info.controller, SIGKILL);
	client_await(&c, "lost", 1);
	check_untraced(v.pid);
	check_text_whole(v.pid);
	victim_say(&v, "dlopen");
	free(victim_expects(&v));
	client_close(&c);
	check_int(victim_end(&v), 0);
}
