/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inject/victim.c - a program that does once everything that a controller must follow
 *
 *	inject-victim BOARD_FD TINY PLUGIN [again]
 *
 * It waits for the scoreboard's "begin", runs its script, executes itself ("again") to run the script's
 *second half as a new image, says "done", and ends when told to stop. Its result is right or it says so.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "scoreboard.h"

long site_push(long n), site_slot(long n), site_far(long n);
extern const char site_far_at[];

static void wrong(struct scoreboard *board, enum victim_error error, int status)
{
	atomic_store(&board->last_error, (uint32_t)error | (uint32_t)status << 16);
	atomic_fetch_add(&board->errors, 1);
}

static void hit_sites(struct scoreboard *board)
{
	for (long n = 0; n < 3; n++) {
		if (site_push(n) != n + 7)
			wrong(board, WRONG_PUSH, 0);
		if (site_slot(n) != n + 7)
			wrong(board, WRONG_SLOT, 0);
		if (site_far(n) != n + 7)
			wrong(board, WRONG_IN_PLACE, 0);
	}
}

static void *short_thread(void *data)
{
	hit_sites(data);
	return data;
}

/* Stays blocked in a system call through it all: the thread that a hold must not disturb. */
static void *blocked_thread(void *data)
{
	int fd = *(int *)data;
	char byte;

	while (read(fd, &byte, 1) < 0 && errno == EINTR)
		;
	return NULL;
}

static void run_thread(struct scoreboard *board)
{
	pthread_t thread;
	void *back;

	if (pthread_create(&thread, NULL, short_thread, board) || pthread_join(thread, &back) ||
	    back != board)
		wrong(board, WRONG_THREAD, 0);
}

static void run_child(struct scoreboard *board, const char *tiny, int by_vfork)
{
	char *const argv[] = { (char *)(uintptr_t)tiny, NULL };
	const pid_t child = by_vfork ? vfork() : fork();
	int status = 0;

	if (child == 0) {
		execv(tiny, argv);
		_exit(127);
	}
	if (child < 0) {
		wrong(board, WRONG_FORK, errno);
		return;
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (status)
		wrong(board, WRONG_CHILD, status);
}

/* It ends by its own signal, whoever looks at it before. */
static void run_crash(struct scoreboard *board)
{
	const struct rlimit none = { 0, 0 };
	const pid_t child = fork();
	int status = 0;

	if (child == 0) {
		setrlimit(RLIMIT_CORE, &none);
		abort();
	}
	if (child < 0) {
		wrong(board, WRONG_FORK, errno);
		return;
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (status != SIGABRT)
		wrong(board, WRONG_CHILD, status);
}

static void run_plugin(struct scoreboard *board, const char *path)
{
	void *plugin = dlopen(path, RTLD_NOW);
	long (*answer)(long);

	if (!plugin) {
		wrong(board, WRONG_OPEN, 0);
		return;
	}
	*(void **)&answer = dlsym(plugin, "plugin_answer");
	if (!answer || answer(5) != 15)
		wrong(board, WRONG_SYMBOL, 0);
	if (dlclose(plugin))
		wrong(board, WRONG_CLOSE, 0);
}

/* A handler gets no argument. */
static struct scoreboard *handler_board;

static void on_signal(int signal)
{
	(void)signal;
	atomic_fetch_add(&handler_board->signals, 1);
}

static void run_signal(struct scoreboard *board)
{
	const struct sigaction action = { .sa_handler = on_signal };
	uint64_t before = atomic_load(&board->signals);

	handler_board = board;
	sigaction(SIGUSR1, &action, NULL);
	raise(SIGUSR1);
	if (atomic_load(&board->signals) != before + 1)
		wrong(board, WRONG_SIGNAL_STATE, 0);
}

static void run_script(struct scoreboard *board, const char *tiny, const char *plugin)
{
	hit_sites(board);
	run_thread(board);
	run_plugin(board, plugin);
	run_child(board, tiny, 0);
	run_child(board, tiny, 1);
	run_crash(board);
	run_signal(board);
	atomic_fetch_add(&board->progress[0], 1);
}

static void await(_Atomic uint32_t *flag)
{
	const struct timespec pause = { .tv_nsec = 1000000 };

	while (!atomic_load(flag))
		nanosleep(&pause, NULL);
}

__attribute__((constructor)) static void publish_sites(int argc, char **argv)
{
	struct scoreboard *board;

	if (argc < 4)
		return;
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED, atoi(argv[1]), 0);
	if (board == MAP_FAILED)
		return;
	board->workers = 0;
	board->site[0] = (uintptr_t)site_push;
	board->site[1] = (uintptr_t)site_slot;
	board->site[2] = (uintptr_t)site_far_at;
	board->sites = 3;
	handler_board = board;
	atomic_store(&board->pid, getpid());
	atomic_store(&board->sites_known, 1);
}

int main(int argc, char **argv)
{
	struct scoreboard *board = handler_board;
	char *again[] = { argv[0], argv[1], argv[2], argv[3], (char[]){ "again" }, NULL };
	pthread_t blocked;
	int line[2];

	if (argc < 4 || !board || pipe(line) || pthread_create(&blocked, NULL, blocked_thread, &line[0]))
		return 2;
	atomic_store(&board->ready, 1);
	if (argc == 4)
		await(&board->begin);
	run_script(board, argv[2], argv[3]);
	if (argc == 4) {
		/* With its second thread still there: the exec must take it away. */
		execv("/proc/self/exe", again);
		return 2;
	}
	atomic_store(&board->done, 1);
	await(&board->stop);
	close(line[1]);
	pthread_join(blocked, NULL);
	if (atomic_load(&board->errors) || atomic_load(&board->progress[0]) != 2)
		return 1;
	atomic_store(&board->finished, 1);
	return 0;
}
