/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * harm/victim.c - a program that runs into traps all the time and checks every result
 *
 *	harm-victim BOARD_FD KIND [TINY PLUGIN0 PLUGIN1]
 *
 * It knows nothing of being traced. It ends when the scoreboard says stop: status 0 when all was right, 1
 * when a result was wrong. What is counted in the scoreboard and what it dies of is the harm.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "scoreboard.h"

long site_push(long n), site_endbr(long n), site_lea(long n), site_slot(long n), site_slot_rip(long n),
	site_slot_branch(long n), site_far(long n), site_syscall(void);
void site_return(void);
extern const char site_far_at[], site_syscall_at[];

struct worker;

struct kind {
	const char *name;
	unsigned workers;
	void (*turn)(struct worker *worker, long n);
	bool steps;        /* plant the sites that must be stepped too */
	bool signals;      /* a thread sends signals to all workers */
	bool child_hits;   /* the child of a vfork runs into traps before its exec */
	bool no_sites;     /* the linker's breakpoint is the trap */
	bool blocks_trap;  /* SIGTRAP is blocked in every other worker */
	bool catches_trap; /* it has a handler, which must never run */
	bool ignores_trap;
	int crash; /* the signal that one of the threads dies of when the judge says so; 0: none */
};

/* All that the threads share; one object in main's frame, but for the handler's pointer to it. */
struct victim {
	struct scoreboard *board;
	const struct kind *kind;
	const char *tiny;
	const char *plugin[2];
	pid_t pid;
};

struct worker {
	struct victim *victim;
	unsigned number;
	pthread_t thread;
};

/* A signal handler and a constructor get no argument. */
static struct scoreboard *the_board;

static void wrong(enum victim_error error, int status)
{
	atomic_store(&the_board->last_error, (uint32_t)error | (uint32_t)status << 16);
	atomic_fetch_add(&the_board->errors, 1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

/* 0, or the first error. Called by workers, vfork children and handlers: touches no shared data. */
static enum victim_error run_emulated(long n)
{
	if (site_push(n) != n + 7)
		return WRONG_PUSH;
	if (site_endbr(n) != n + 7)
		return WRONG_ENDBR;
	site_return();
	if (site_lea(n) != n + 7)
		return WRONG_LEA;
	return 0;
}

static void hot_turn(struct worker *worker, long n)
{
	enum victim_error error = run_emulated(n);

	(void)worker;
	if (error)
		wrong(error, 0);
}

/* A trap now and then: time for somebody to take it out. */
static void slow_turn(struct worker *worker, long n)
{
	const struct timespec pause = { .tv_nsec = 5000000 };

	nanosleep(&pause, NULL);
	hot_turn(worker, n);
}

static void step_turn(struct worker *worker, long n)
{
	if (site_slot(n) != n + 7)
		wrong(WRONG_SLOT, 0);
	if (site_slot_rip(n) != n + 7)
		wrong(WRONG_SLOT_RIP, 0);
	if (site_slot_branch(n) != n + 7)
		wrong(WRONG_SLOT_BRANCH, 0);
	if (site_far(n) != n + 7)
		wrong(WRONG_IN_PLACE, 0);
	if (site_syscall() != worker->victim->pid)
		wrong(WRONG_SYSCALL, 0);
	hot_turn(worker, n);
}

/*
 * Who lets go of the linker's lock may have it again before the others are awake, turn after turn. Where it is measured
 * how long a worker stands still, two take turns: what is left is the time for which somebody is kept by a tracer.
 */
static void take_turns(const struct worker *worker)
{
	const struct timespec moment = { .tv_nsec = 100000 };
	struct scoreboard *board = worker->victim->board;
	_Atomic uint64_t *other = &board->progress[worker->number ^ 1];
	uint64_t mine = atomic_load(&board->progress[worker->number]);

	while (atomic_load_explicit(&board->measure, memory_order_relaxed) && !atomic_load(&board->stop) &&
	       atomic_load(other) < mine)
		nanosleep(&moment, NULL);
}

struct plugin {
	void *handle;
	long (*answer)(long);
	long which;
};

static bool open_plugin(const struct worker *worker, struct plugin *ret)
{
	ret->which = worker->number % 2;
	ret->handle = dlopen(worker->victim->plugin[ret->which], RTLD_NOW | RTLD_LOCAL);
	if (!ret->handle) {
		wrong(WRONG_OPEN, 0);
		return false;
	}
	*(void **)&ret->answer = dlsym(ret->handle, "plugin_answer");
	return true;
}

static void ask_plugin(const struct plugin *plugin, long n)
{
	if (!plugin->answer || plugin->answer(n) != 3 * n + plugin->which)
		wrong(WRONG_SYMBOL, 0);
}

static void close_plugin(const struct plugin *plugin)
{
	if (dlclose(plugin->handle))
		wrong(WRONG_CLOSE, 0);
}

static void dl_turn(struct worker *worker, long n)
{
	struct plugin plugin;

	if (!open_plugin(worker, &plugin))
		return;
	ask_plugin(&plugin, n);
	close_plugin(&plugin);
	take_turns(worker);
}

/* Several have it loaded now and then, so whoever closes it last does so just after others were in it. */
static void unload_turn(struct worker *worker, long n)
{
	enum { CALLS = 8 };
	/* So that who waits for the linker's lock has it next, and not who has just had it. */
	const struct timespec moment = { .tv_nsec = 200000 };
	struct plugin plugin;

	if (!open_plugin(worker, &plugin))
		return;
	for (long i = n; i < n + CALLS; i++)
		ask_plugin(&plugin, i);
	close_plugin(&plugin);
	nanosleep(&moment, NULL);
}

static void await_child(pid_t child)
{
	int status;

	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR) {
			wrong(WRONG_CHILD, errno);
			return;
		}
	if (status)
		wrong(WRONG_CHILD, status);
}

static void fork_turn(struct worker *worker, long n)
{
	char *argv[] = { strdup(worker->victim->tiny), NULL };
	pid_t child = fork();

	if (child == 0) {
		if (run_emulated(n))
			_exit(99);
		execv(argv[0], argv);
		_exit(127);
	}
	free(argv[0]);
	if (child < 0) {
		wrong(WRONG_FORK, errno);
		return;
	}
	hot_turn(worker, n);
	await_child(child);
}

/* The child borrows this frame: nothing in it may change between the two returns of vfork. */
static void vfork_turn(struct worker *worker, long n)
{
	char *const path = (char *)(uintptr_t)worker->victim->tiny;
	char *const argv[] = { path, NULL };
	const bool child_hits = worker->victim->kind->child_hits;
	const pid_t child = vfork();

	if (child == 0) {
		if (child_hits && run_emulated(n))
			_exit(99);
		execv(path, argv);
		_exit(127);
	}
	if (child < 0) {
		wrong(WRONG_FORK, errno);
		return;
	}
	hot_turn(worker, n);
	await_child(child);
}

/* A thread in the middle of the others, which go on running into traps meanwhile. */
static void crash_turn(struct worker *worker, long n)
{
	enum { UNLUCKY = 3 };

	hot_turn(worker, n);
	if (worker->number != UNLUCKY || !atomic_load_explicit(&the_board->crash, memory_order_relaxed))
		return;
	if (worker->victim->kind->crash == SIGABRT)
		abort();
	*(volatile int *)NULL = 0;
}

static void *leaf(void *token)
{
	for (long n = 0; n < 5; n++)
		if (run_emulated(n))
			return NULL;
	return token;
}

static void thread_turn(struct worker *worker, long n)
{
	enum { CHILDREN = 3 };
	pthread_t thread[CHILDREN];
	unsigned made = 0;
	void *token = worker, *back;

	for (; made < CHILDREN; made++)
		if (pthread_create(&thread[made], NULL, leaf, token))
			break;
	if (made < CHILDREN)
		wrong(WRONG_THREAD, 1);
	for (unsigned i = 0; i < made; i++)
		if (pthread_join(thread[i], &back) || back != token)
			wrong(WRONG_THREAD, 2);
	hot_turn(worker, n);
}

static void on_trap(int signal)
{
	(void)signal;
	wrong(WRONG_SIGNAL_STATE, 1);
}

static bool blocks_trap(const struct worker *worker)
{
	return worker->victim->kind->blocks_trap && worker->number % 2 == 0;
}

static bool disposition_is_right(const struct kind *kind)
{
	struct sigaction action;

	sigaction(SIGTRAP, NULL, &action);
	return action.sa_handler == (kind->catches_trap ? on_trap : kind->ignores_trap ? SIG_IGN : SIG_DFL);
}

static void check_disposition(const struct kind *kind)
{
	if (!disposition_is_right(kind))
		wrong(WRONG_SIGNAL_STATE, 2);
}

/*
 * A trap under a blocked SIGTRAP makes the kernel unblock it and forget the handler. The mask is a thread's
 * own and must be right whenever it looks. The disposition is put back at the stop, so another thread that
 * looks between can see it gone: with both, or where it is ignored, such glimpses are counted, and it has to be right in
 * the end.
 */
static void check_signal_state(struct worker *worker)
{
	const struct kind *kind = worker->victim->kind;
	sigset_t mask;

	if (kind->ignores_trap || (kind->blocks_trap && kind->catches_trap)) {
		atomic_fetch_add(&the_board->looks, 1);
		atomic_fetch_add(&the_board->glimpses, !disposition_is_right(kind));
	} else {
		check_disposition(kind);
	}
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	if (sigismember(&mask, SIGTRAP) != blocks_trap(worker))
		wrong(WRONG_SIGNAL_STATE, 3);
}

/*
 * What a thread blocks between two stops no tracer can see. This makes a stop: a signal that is ignored by
 * default is still shown to a tracer.
 */
static void block_trap(void)
{
	sigset_t trap;

	sigemptyset(&trap);
	sigaddset(&trap, SIGTRAP);
	pthread_sigmask(SIG_BLOCK, &trap, NULL);
	raise(SIGURG);
}

static const struct kind kinds[] = {
	{ .name = "hot", .workers = 8, .turn = hot_turn },
	{ .name = "slow", .workers = 2, .turn = slow_turn },
	{ .name = "sig", .workers = 8, .turn = hot_turn, .signals = true },
	{ .name = "step", .workers = 8, .turn = step_turn, .steps = true },
	{ .name = "dl", .workers = 2, .turn = dl_turn, .no_sites = true },
	{ .name = "unload", .workers = 8, .turn = unload_turn, .no_sites = true },
	{ .name = "fork", .workers = 3, .turn = fork_turn },
	{ .name = "vfork", .workers = 3, .turn = vfork_turn },
	{ .name = "vforkc", .workers = 3, .turn = vfork_turn, .child_hits = true },
	{ .name = "thr", .workers = 4, .turn = thread_turn },
	{ .name = "mask", .workers = 4, .turn = hot_turn, .blocks_trap = true },
	{ .name = "masksig", .workers = 8, .turn = hot_turn, .signals = true, .blocks_trap = true },
	{ .name = "caught", .workers = 4, .turn = hot_turn, .catches_trap = true },
	{ .name = "both", .workers = 4, .turn = hot_turn, .blocks_trap = true, .catches_trap = true },
	{ .name = "ignored", .workers = 8, .turn = hot_turn, .signals = true, .ignores_trap = true },
	{ .name = "segv", .workers = 8, .turn = crash_turn, .crash = SIGSEGV },
	{ .name = "abrt", .workers = 8, .turn = crash_turn, .crash = SIGABRT },
	{ .name = "segvsig", .workers = 8, .turn = crash_turn, .crash = SIGSEGV, .signals = true },
	{ .name = "bothsig", .workers = 8, .turn = hot_turn, .signals = true, .blocks_trap = true, .catches_trap = true },
};

static const struct kind *kind_by_name(const char *name)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strcmp(kinds[i].name, name))
			return &kinds[i];
	return NULL;
}

static void on_signal(int signal)
{
	enum victim_error error = run_emulated(signal);

	if (error)
		wrong(error, 1);
	atomic_fetch_add(&the_board->signals, 1);
}

static void add_site(struct scoreboard *board, const void *address)
{
	board->site[board->sites++] = (uintptr_t)address;
}

/*
 * Before main, so that a client that parks its victim at main can plant there. glibc and musl pass the
 * arguments to constructors.
 */
__attribute__((constructor)) static void publish_sites(int argc, char **argv)
{
	const struct kind *kind = argc > 2 ? kind_by_name(argv[2]) : NULL;
	struct scoreboard *board;

	if (!kind)
		return;
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED, atoi(argv[1]), 0);
	if (board == MAP_FAILED)
		return;
	board->workers = kind->workers;
	if (!kind->no_sites) {
		add_site(board, (const void *)site_push);
		add_site(board, (const void *)site_endbr);
		add_site(board, (const void *)site_lea);
		add_site(board, (const void *)site_return);
	}
	if (kind->steps) {
		add_site(board, (const void *)site_slot);
		add_site(board, (const void *)site_slot_rip);
		add_site(board, (const void *)site_slot_branch);
		add_site(board, site_far_at);
		add_site(board, site_syscall_at);
	}
	the_board = board;
	atomic_store(&board->pid, getpid());
	atomic_store(&board->sites_known, 1);
}

static void *work(void *data)
{
	struct worker *worker = data;
	struct scoreboard *board = worker->victim->board;
	_Atomic uint64_t *gap = &board->gap_ns[worker->number];
	uint64_t last = 0;

	if (blocks_trap(worker))
		block_trap();
	for (long n = 0; !atomic_load(&board->stop); n++) {
		worker->victim->kind->turn(worker, n);
		if (n % 64 == 63)
			check_signal_state(worker);
		atomic_fetch_add(&board->progress[worker->number], 1);
		if (atomic_load_explicit(&board->measure, memory_order_relaxed)) {
			uint64_t now = now_ns();

			if (last && now - last > atomic_load(gap))
				atomic_store(gap, now - last);
			last = now;
		}
	}
	return NULL;
}

/*
 * A signal to each worker every 200 us, or once a turn where traps make a turn longer than that: else the
 * handler alone, which runs into traps too, could fill all its time.
 */
static void storm(struct victim *victim, struct worker *worker)
{
	const struct timespec pause = { .tv_nsec = 200000 };
	uint64_t before[BOARD_WORKERS] = { 0 };

	while (!atomic_load(&victim->board->stop)) {
		for (unsigned i = 0; i < victim->kind->workers; i++) {
			uint64_t now = atomic_load(&victim->board->progress[i]);

			if (now != before[i])
				pthread_kill(worker[i].thread, SIGUSR1);
			before[i] = now;
		}
		/* To the process: one that waits in a thread's own queue takes the place of the next trap's (safety.md). */
		if (victim->kind->ignores_trap)
			kill(victim->pid, SIGTRAP);
		nanosleep(&pause, NULL);
	}
}

int main(int argc, char **argv)
{
	struct victim victim = { .board = the_board, .pid = getpid() };
	struct worker worker[BOARD_WORKERS] = { { 0 } };
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

	if (!the_board || argc != 6) {
		fputs("usage: harm-victim BOARD_FD KIND TINY PLUGIN0 PLUGIN1\n", stderr);
		return 2;
	}
	victim.kind = kind_by_name(argv[2]);
	victim.tiny = argv[3];
	victim.plugin[0] = argv[4];
	victim.plugin[1] = argv[5];
	if (victim.kind->signals)
		sigaction(SIGUSR1, &action, NULL);
	action.sa_handler = on_trap;
	if (victim.kind->catches_trap)
		sigaction(SIGTRAP, &action, NULL);
	action.sa_handler = SIG_IGN;
	if (victim.kind->ignores_trap) {
		sigaction(SIGTRAP, &action, NULL);
		raise(SIGURG); /* a stop, as for what is blocked */
	}
	for (unsigned i = 0; i < victim.kind->workers; i++) {
		worker[i] = (struct worker){ .victim = &victim, .number = i };
		if (pthread_create(&worker[i].thread, NULL, work, &worker[i]))
			return 3;
	}
	atomic_store(&victim.board->ready, 1);
	if (victim.kind->signals)
		storm(&victim, worker);
	for (unsigned i = 0; i < victim.kind->workers; i++)
		pthread_join(worker[i].thread, NULL);
	check_disposition(victim.kind);
	if (atomic_load(&victim.board->errors))
		return 1;
	atomic_store(&victim.board->finished, 1);
	return 0;
}
