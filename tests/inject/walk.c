/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * inject/walk.c - let the n-th system call of the controller fail, n = 1, 2, ... until none is hit
 *
 *	inject-walk --hold grab|create --error ESRCH|EINTR|ENOMEM [--from N] [--to N] [--step N] [--tries N]
 *
 * --events: of a session that has the stacks of all events and parks what is about to crash.
 * --calls: of one that has breakpoints of the public kind in its victim.
 * --tries: so many n, spread evenly over all calls of a session, from another first one each time; the calls
 * of the controller's start are all tried.
 *
 * For each n a session (inject-session) holds a victim (inject-victim) under a controller whose n-th call
 * fails. Required each time: the client ends by itself and in an orderly way, nothing of the controller is
 * left, and the victim ends whole: untraced, text as in the file, right result. An injected ESRCH on a ptrace
 * call is made true by a SIGKILL of that task first; then the victim may end by that signal, or have a child
 * that did, and nothing else may be harmed.
 *
 * How many calls a session makes differs from run to run (the controller looks for stops as long as they come
 * fast), so the walk ends after three n in a row that were not reached.
 */
#include <fcntl.h>
#include <getopt.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "family.h"
#include "judge.h"

enum {
	CLIENT_MS = 15000, /* for a whole session, the time-outs that a failed call causes included */
	SETTLE_MS = 2000,
	EXIT_MS = 3000,
	READY_MS = 5000,
	UNREACHED_END = 3,
	CALLS_SEEN_MAX = 64,
	START_CALLS = 60, /* hello, set-up, the first request: each of these is tried */
};

/* Exit statuses of inject-session. */
enum { SESSION_WELL = 0, SESSION_CLEAN_FAILURE = 3, SESSION_LOST = 4 };

struct walk {
	const char *session, *victim, *tiny, *plugin, *controller;
	const char *error;
	bool grab, verbose, events, calls;
	unsigned long from, to, step, tries, first;
	char report[PATH_MAX];
};

struct step {
	struct finding finding;
	bool reached;
	unsigned long calls; /* that the controller made */
	char call[32];
	int client_status;
	char said[512];
};

/* What the children that ended were. */
struct endings {
	pid_t client, victim;
	bool client_ended, victim_ended;
	int client_status, victim_status;
};

static void reap(struct endings *endings)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0) {
		if (pid == endings->client) {
			endings->client_ended = true;
			endings->client_status = status;
		}
		if (pid == endings->victim) {
			endings->victim_ended = true;
			endings->victim_status = status;
		}
	}
}

static bool await(struct endings *endings, const bool *flag, unsigned bound_ms)
{
	uint64_t end = now_ns() + bound_ms * UINT64_C(1000000);

	for (reap(endings); !*flag && now_ns() < end; reap(endings))
		pause_us(200);
	return *flag;
}

/* The last line of the report: "N CALLS REACHED NAME". */
static void read_report(const struct walk *walk, struct step *step)
{
	FILE *file = fopen(walk->report, "re");
	char line[128];
	int reached;

	snprintf(step->call, sizeof(step->call), "?");
	if (!file)
		return;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "%*u %lu %d %31s", &step->calls, &reached, step->call) == 3)
			step->reached = reached != 0;
	fclose(file);
	unlink(walk->report);
}

static void start_victim(const struct walk *walk, struct endings *endings, struct scoreboard *board, int fd)
{
	char number[16];
	const char *argv[] = { walk->victim, number, walk->tiny, walk->plugin, NULL };
	uint64_t end = now_ns() + READY_MS * UINT64_C(1000000);

	snprintf(number, sizeof(number), "%d", fd);
	endings->victim = family_start((char *const *)(uintptr_t)argv, -1, -1);
	while (!atomic_load(&board->ready) && now_ns() < end)
		pause_us(100);
}

static pid_t start_client(const struct walk *walk, const struct endings *endings, int fd, unsigned long n,
			  int *ret_said)
{
	char number[16], pid[16], inject[PATH_MAX + 64];
	const char *argv[] = { walk->session,
			       number,
			       walk->grab ? "grab" : "create",
			       walk->grab ? pid : walk->victim,
			       NULL,
			       NULL,
			       NULL,
			       NULL };
	int said[2];
	pid_t client;

	snprintf(number, sizeof(number), "%d", fd);
	snprintf(pid, sizeof(pid), "%d", endings->victim);
	snprintf(inject, sizeof(inject), "%lu:%s:%s", n, walk->error, walk->report);
	if (!walk->grab) {
		argv[4] = number;
		argv[5] = walk->tiny;
		argv[6] = walk->plugin;
	}
	setenv("TETHER_INJECT", inject, 1);
	if (pipe2(said, O_CLOEXEC))
		abort();
	client = family_start((char *const *)(uintptr_t)argv, -1, said[1]);
	close(said[1]);
	*ret_said = said[0];
	return client;
}

/* ESRCH was made true: this process, or a child of it, was killed. */
static bool was_killed(const struct walk *walk, const struct scoreboard *board)
{
	uint32_t last = atomic_load(&board->last_error);

	return !strcmp(walk->error, "ESRCH") &&
	       (!last || ((last & 0xffff) == WRONG_CHILD && last >> 16 == SIGKILL));
}

static void judge_victim(const struct walk *walk, struct step *step, struct endings *endings,
			 struct scoreboard *board)
{
	pid_t victim = walk->grab ? endings->victim : atomic_load(&board->pid);
	uint64_t end;

	/* A session that failed early never said it. */
	atomic_store(&board->begin, 1);
	/* A create that failed made no victim, or one that never reached its main and is gone. */
	if (!victim || is_gone(victim)) {
		bool clean = WIFEXITED(endings->client_status) && WEXITSTATUS(endings->client_status) != 0;

		if (walk->grab || (atomic_load(&board->ready) && !clean))
			if (!was_killed(walk, board))
				finding_add(&step->finding, HARM_DIED, "it is gone, status 0x%x",
					    endings->victim_status);
		return;
	}
	judge_living(&step->finding, victim, board, NULL, SETTLE_MS);
	/* It may have told of its child's end before, or after, it was looked at. */
	if (was_killed(walk, board) &&
	    (step->finding.harms == HARM_DIED ||
	     (step->finding.harms == HARM_WRONG && atomic_load(&board->errors) == 1)))
		step->finding = (struct finding){ .harms = HARM_NONE };
	atomic_store(&board->stop, 1);
	end = now_ns() + EXIT_MS * UINT64_C(1000000);
	while (!is_gone(victim) && now_ns() < end)
		pause_us(200);
	reap(endings);
	if (!is_gone(victim))
		finding_add(&step->finding, HARM_STUCK, "it does not end");
	else if (!atomic_load(&board->finished) && !was_killed(walk, board))
		finding_add(&step->finding, HARM_WRONG, "no right result: %lu errors, last 0x%x, status 0x%x",
			    atomic_load(&board->errors), atomic_load(&board->last_error),
			    endings->victim_status);
}

static void judge_client(struct step *step, const struct endings *endings)
{
	int status = endings->client_status;

	if (!endings->client_ended)
		finding_add(&step->finding, HARM_SILENT, "the client hangs");
	else if (!WIFEXITED(status) ||
		 (WEXITSTATUS(status) != SESSION_WELL && WEXITSTATUS(status) != SESSION_CLEAN_FAILURE &&
		  WEXITSTATUS(status) != SESSION_LOST))
		finding_add(&step->finding, HARM_SILENT, "the client ended with status 0x%x", status);
}

static void judge_rest(struct step *step, struct endings *endings)
{
	uint64_t end = now_ns() + SETTLE_MS * UINT64_C(1000000);
	pid_t list[MAX_CHILDREN];
	char what[96];

	while (reap(endings), family_children(list, MAX_CHILDREN) && now_ns() < end)
		pause_us(200);
	for (unsigned i = family_children(list, MAX_CHILDREN); i-- > 0;)
		if (list[i] != endings->client)
			finding_add(&step->finding, HARM_LEFT, "left over: %d (%s)", list[i],
				    family_describe(list[i], what, sizeof(what)));
}

static void take_step(const struct walk *walk, unsigned long n, struct step *step)
{
	struct endings endings = { .client = 0 };
	ssize_t length;
	int fd, said;
	struct scoreboard *board = board_new(&fd);

	*step = (struct step){ .reached = false };
	if (walk->grab)
		start_victim(walk, &endings, board, fd);
	endings.client = start_client(walk, &endings, fd, n, &said);
	await(&endings, &endings.client_ended, CLIENT_MS);
	step->client_status = endings.client_status;
	fcntl(said, F_SETFL, O_NONBLOCK);
	length = read(said, step->said, sizeof(step->said) - 1);
	step->said[length > 0 ? length : 0] = '\0';
	step->said[strcspn(step->said, "\n")] = '\0';
	close(said);
	judge_client(step, &endings);
	judge_victim(walk, step, &endings, board);
	judge_rest(step, &endings);
	if (!family_sweep())
		finding_add(&step->finding, HARM_LEFT, "something cannot be killed");
	board_free(board, fd);
	read_report(walk, step);
}

/* Count a name among those seen; their number. */
static unsigned see_call(char seen[CALLS_SEEN_MAX][32], unsigned count, const char *name)
{
	for (unsigned i = 0; i < count; i++)
		if (!strcmp(seen[i], name))
			return count;
	if (count < CALLS_SEEN_MAX)
		snprintf(seen[count++], sizeof(seen[0]), "%s", name);
	return count;
}

static unsigned long next_of(const struct walk *walk, unsigned long n)
{
	if (n < START_CALLS)
		return n + 1;
	return n == START_CALLS ? n + 1 + walk->first : n + walk->step;
}

/* One session without a failure tells how many calls there are to spread the tries over. */
static void spread(struct walk *walk)
{
	struct step step;

	take_step(walk, ULONG_MAX, &step);
	if (step.calls > START_CALLS + walk->tries)
		walk->step = (step.calls - START_CALLS) / walk->tries;
	walk->to = step.calls * 2; /* spinning for stops, a session can make many more */
	walk->first = now_ns() / 1024 % walk->step;
}

static int run_walk(const struct walk *walk)
{
	char seen[CALLS_SEEN_MAX][32], names[160];
	unsigned harmed = 0, tried = 0, calls = 0, unreached = 0;
	unsigned long n = walk->from, last = n;

	for (; n <= walk->to && unreached < UNREACHED_END; n = next_of(walk, n)) {
		struct step step;

		last = n;
		take_step(walk, n, &step);
		tried++;
		unreached = step.reached ? 0 : unreached + 1;
		if (step.reached)
			calls = see_call(seen, calls, step.call);
		if (step.finding.harms || walk->verbose) {
			printf("# %s--hold %s --error %s --from %lu --to %lu (%s%s): %s: %s; client 0x%x "
			       "'%s'\n",
			       walk->events ? "--events " : walk->calls ? "--calls " : "", walk->grab ? "grab" : "create", walk->error, n, n, step.call,
			       step.reached ? "" : ", not reached",
			       step.finding.harms ? harm_names(step.finding.harms, names, sizeof(names))
						  : "whole",
			       step.finding.detail, step.client_status, step.said);
			fflush(stdout);
		}
		harmed += step.finding.harms != 0;
	}
	printf("%s 1 - %s, %s by the n-th call: %u of %u victims harmed, %u different calls failed, n up to "
	       "%lu%s\n",
	       harmed || !calls ? "not ok" : "ok", walk->grab ? "grab" : "create", walk->error, harmed, tried,
	       calls, last, unreached < UNREACHED_END ? " (not walked to the end)" : "");
	printf("1..1\n");
	return harmed || !calls;
}

/* Paths live as long as the program. */
static const char *beside(const char *folder, const char *name)
{
	enum { PATHS = 8 };
	static char paths[PATHS][PATH_MAX];
	static unsigned used;
	char *path = paths[used++ % PATHS];

	snprintf(path, PATH_MAX, "%s/%s", folder, name);
	if (access(path, R_OK)) {
		fprintf(stderr, "inject-walk: %s is not there\n", path);
		exit(2);
	}
	return path;
}

static void find_programs(struct walk *walk)
{
	char path[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
	const char *folder;

	if (length < 0)
		exit(2);
	path[length] = '\0';
	folder = dirname(path);
	walk->session = beside(folder, "inject-session");
	walk->victim = beside(folder, "inject-victim");
	walk->controller = beside(folder, "inject-controller");
	walk->tiny = beside(folder, "../harm/harm-tiny");
	walk->plugin = beside(folder, "../harm/harm-plugin0.so");
	setenv("TETHER_CONTROLLER", walk->controller, 1);
	snprintf(walk->report, sizeof(walk->report), "%s/inject-report.%d",
		 getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp", getpid());
}

static void parse(struct walk *walk, int argc, char **argv)
{
	static const struct option options[] = {
		{ "hold", required_argument, NULL, 'h' }, { "error", required_argument, NULL, 'e' },
		{ "from", required_argument, NULL, 'f' }, { "to", required_argument, NULL, 't' },
		{ "step", required_argument, NULL, 's' }, { "tries", required_argument, NULL, 'n' },
		{ "verbose", no_argument, NULL, 'v' },    { "events", no_argument, NULL, 'E' },
		{ "calls", no_argument, NULL, 'C' },
		{ 0 },
	};

	for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;)
		switch (option) {
		case 'h':
			walk->grab = !strcmp(optarg, "grab");
			break;
		case 'e':
			walk->error = optarg;
			break;
		case 'f':
			walk->from = strtoul(optarg, NULL, 0);
			break;
		case 't':
			walk->to = strtoul(optarg, NULL, 0);
			break;
		case 's':
			walk->step = strtoul(optarg, NULL, 0);
			break;
		case 'n':
			walk->tries = strtoul(optarg, NULL, 0);
			break;
		case 'v':
			walk->verbose = true;
			break;
		case 'E':
			walk->events = true;
			setenv("INJECT_EVENTS", "1", 1);
			break;
		case 'C':
			walk->calls = true;
			setenv("INJECT_CALLS", "1", 1);
			break;
		default:
			exit(2);
		}
	if (!walk->step)
		walk->step = 1;
}

int main(int argc, char **argv)
{
	struct walk walk = { .error = "EINTR", .from = 1, .to = ULONG_MAX, .step = 1 };

	parse(&walk, argc, argv);
	find_programs(&walk);
	if (!family_adopt())
		return 2;
	if (walk.tries)
		spread(&walk);
	return run_walk(&walk);
}
