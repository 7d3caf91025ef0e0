/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_controller.c - the controller driven raw: a socket pair, messages of proto, and no library
 *
 * The "client" whose life the controller watches is a small process of its own, so that its death can be had
 * without ours. Victims are this executable again (see victims below) and programs of the system. Prints TAP.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <tether/error.h>

#include "os/newborn.h"
#include "proto/proto.h"

/* ---- places to trap: one an emulation, one a push, one that must be stepped
 * -------------------------------- */

long place_nop(long), place_push(long), place_step(long);
__asm__(".text\n.p2align 6\n.globl place_nop, place_push, place_step\n"
	"place_nop: endbr64\n lea 1(%rdi), %rax\n ret\n.p2align 6\n"
	"place_push: push %rbp\n lea 1(%rdi), %rax\n pop %rbp\n ret\n.p2align 6\n"
	"place_step: lea 1(%rdi), %rax\n ret\n.p2align 6\n");
extern const char __executable_start[];

enum place { NOP, PUSH, STEP, SLOT };

/* ---- victims
 * ------------------------------------------------------------------------------------------------ */

static long rounds_of(long rounds)
{
	long n = 0;

	for (long i = 0; i < rounds; i++) {
		n = place_nop(n);
		n = place_push(n);
		n = place_step(n);
	}
	return n;
}

static void *thread_rounds(void *rounds)
{
	return (void *)(rounds_of((long)rounds) == 3 * (long)rounds ? 1L : 0L);
}

static int victim_rounds(int threads, long rounds)
{
	pthread_t thread[64];
	int right = 0;

	for (int i = 0; i < threads; i++)
		pthread_create(&thread[i], NULL, thread_rounds, (void *)rounds);
	for (int i = 0; i < threads; i++) {
		void *result;

		pthread_join(thread[i], &result);
		right += result == (void *)1;
	}
	return right == threads ? 0 : 1;
}

static int victim_forks(long count)
{
	for (volatile long i = 0; i < count; i++) {
		int status;
		pid_t pid = i % 2 ? fork() : vfork();

		if (!pid)
			_exit(rounds_of(3) == 9 ? 7 : 1);
		if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 7)
			return 1;
		if (rounds_of(2) != 6)
			return 2;
	}
	return 0;
}

/* Parent and child both hit; the child only runs after the parent has let its pipe go. */
static int victim_waits(void)
{
	char byte;

	while (read(0, &byte, 1) > 0)
		if (rounds_of(1) != 3)
			return 1;
	return 0;
}

static volatile sig_atomic_t signals_seen;

static void on_signal(int signal)
{
	(void)signal;
	signals_seen++;
	place_step(1);
}

static void *storm(void *target)
{
	for (int i = 0; i < 2000; i++)
		pthread_kill(*(pthread_t *)target, SIGUSR1);
	return NULL;
}

static int victim_storm(void)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	pthread_t self = pthread_self(), other;
	long n = 0;

	sigaction(SIGUSR1, &action, NULL);
	pthread_create(&other, NULL, storm, &self);
	for (int i = 0; i < 3000; i++)
		n = place_step(n);
	pthread_join(other, NULL);
	return n == 3000 && signals_seen > 0 ? 0 : 1;
}

static int victim_masked(bool ignored)
{
	sigset_t all, seen;
	struct sigaction action;

	sigfillset(&all);
	if (ignored)
		/* the signal after it is a stop at which the change is seen */
		signal(SIGTRAP, SIG_IGN), raise(SIGWINCH);
	else
		sigprocmask(SIG_SETMASK, &all, NULL);
	if (rounds_of(5) != 15)
		return 1;
	sigprocmask(SIG_SETMASK, NULL, &seen);
	sigaction(SIGTRAP, NULL, &action);
	if (ignored)
		return action.sa_handler == SIG_IGN ? 0 : 2;
	return sigismember(&seen, SIGTRAP) ? 0 : 3;
}

/* Blocked in a call that the kernel does not restart after a stop (rule 11). */
static int victim_epoll(void)
{
	struct epoll_event event = { .events = EPOLLIN };
	int epoll = epoll_create1(0);

	epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &event);
	return epoll_wait(epoll, &event, 1, -1) == 1 ? 0 : 1;
}

/* SIGTRAP caught, and blocked in this thread: the kernel forgets the handler at a trap. */
static int victim_caught(void)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	sigset_t trap;

	sigaction(SIGTRAP, &action, NULL);
	sigemptyset(&trap);
	sigaddset(&trap, SIGTRAP);
	sigprocmask(SIG_BLOCK, &trap, NULL);
	raise(SIGWINCH); /* a stop at which both are seen */
	if (rounds_of(5) != 15)
		return 1;
	sigaction(SIGTRAP, NULL, &action);
	sigprocmask(SIG_SETMASK, NULL, &trap);
	return action.sa_handler == on_signal && action.sa_flags & SA_RESTART && sigismember(&trap, SIGTRAP)
		       ? 0
		       : 2;
}

static int victim_execs(long count)
{
	char path[4096] = { 0 }, number[24];

	if (!count)
		return 0;
	if (readlink("/proc/self/exe", path, sizeof(path) - 1) < 0)
		return 1;
	snprintf(number, sizeof(number), "%ld", count - 1);
	execl(path, path, "execs", number, NULL);
	return 2;
}

static int victim(int argc, char **argv)
{
	const char *role = argv[1];

	if (!strcmp(role, "rounds"))
		return victim_rounds(atoi(argv[2]), atol(argv[3]));
	if (!strcmp(role, "forks"))
		return victim_forks(atol(argv[2]));
	if (!strcmp(role, "waits"))
		return victim_waits();
	if (!strcmp(role, "storm"))
		return victim_storm();
	if (!strcmp(role, "masked"))
		return victim_masked(false);
	if (!strcmp(role, "ignored"))
		return victim_masked(true);
	if (!strcmp(role, "execs"))
		return victim_execs(atol(argv[2]));
	if (!strcmp(role, "epoll"))
		return victim_epoll();
	if (!strcmp(role, "caught"))
		return victim_caught();
	if (!strcmp(role, "trap")) {
		/* its own trap instruction, and nobody to handle it */
		raise(SIGWINCH);
		__asm__ volatile("int3");
	}
	(void)argc;
	return 99;
}

/* ---- the line to a controller
 * ---------------------------------------------------------------------------------- */

static const char *controller_path;
static char self_path[4096];

enum { EVENTS_MAX = 65536 };
struct message {
	struct proto_header header;
	union {
		unsigned char bytes[600];
		struct proto_event event;
		struct proto_ev_exec exec;
		struct proto_ev_fork fork;
		struct proto_ev_thread thread;
		struct proto_ev_exit exit;
		struct proto_ev_signal signal;
		struct proto_ev_hit hit;
		struct proto_ev_plain plain;
		struct proto_hello hello;
		struct proto_created created;
		struct proto_grabbed grabbed;
		struct proto_planted planted;
		struct proto_result result;
		struct proto_stats stats;
		struct proto_regs regs;
	} u;
};

struct line {
	int socket;
	pid_t controller, client;
	int client_pidfd;
	uint64_t id;
	bool answer_questions; /* with GO, as they come */
	void (*on_question)(struct line *line, const struct message *m);
	unsigned count[400]; /* events by type */
	struct message last[400];
	const char *failed;
};

#define FAIL(line, ...)                                  \
	do {                                             \
		printf("# %s:%d: ", __func__, __LINE__); \
		printf(__VA_ARGS__);                     \
		printf("\n");                            \
		(line)->failed = "failed";               \
	} while (0)
#define CHECK(line, condition, ...)              \
	do {                                     \
		if (!(condition))                \
			FAIL(line, __VA_ARGS__); \
	} while (0)

static void line_open(struct line *line)
{
	int ends[2];
	char number[2][16];
	sigset_t all;

	const char *failed = line->failed;

	memset(line, 0, sizeof(*line));
	line->failed = failed;
	line->answer_questions = true;
	line->client = fork();
	if (!line->client) {
		/* it must not hold open what tells victims to end */
		syscall(SYS_close_range, 3, ~0u, 0);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	line->client_pidfd = (int)syscall(SYS_pidfd_open, line->client, 0);
	socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends);
	line->socket = ends[0];
	fflush(stdout);
	line->controller = fork();
	if (!line->controller) {
		sigfillset(&all);
		sigprocmask(SIG_SETMASK, &all, NULL);
		fcntl(ends[1], F_SETFD, 0);
		fcntl(line->client_pidfd, F_SETFD, 0);
		snprintf(number[0], sizeof(number[0]), "%d", ends[1]);
		snprintf(number[1], sizeof(number[1]), "%d", line->client_pidfd);
		execle(controller_path, "tether-controller", number[0], number[1], NULL, (char *[]){ NULL });
		_exit(127);
	}
	close(ends[1]);
}

static uint64_t send_items(struct line *line, uint32_t type, const void *body, size_t size, const void *items,
			   size_t items_size)
{
	static unsigned char bytes[PROTO_MESSAGE_MAX];
	struct proto_header header = { .type = type,
				       .size = (uint32_t)(size + items_size),
				       .id = ++line->id };

	memcpy(bytes, &header, sizeof(header));
	memcpy(bytes + sizeof(header), body, size);
	if (items_size)
		memcpy(bytes + sizeof(header) + size, items, items_size);
	if (send(line->socket, bytes, sizeof(header) + size + items_size, MSG_NOSIGNAL) < 0)
		return 0;
	return line->id;
}

static uint64_t send_body(struct line *line, uint32_t type, const void *body, size_t size)
{
	return send_items(line, type, body, size, NULL, 0);
}

static void answer_question(struct line *line, uint64_t question, uint32_t action)
{
	struct proto_answer body = { .question = question, .action = action };

	send_body(line, PROTO_REQ_answer, &body, sizeof(body));
}

/* The next message; false on time-out or end-of-file. */
static bool receive(struct line *line, struct message *m, int timeout_ms)
{
	static _Alignas(8) unsigned char whole[PROTO_MESSAGE_MAX];
	struct pollfd fd = { .fd = line->socket, .events = POLLIN };
	ssize_t n;

	if (poll(&fd, 1, timeout_ms) <= 0)
		return false;
	n = recv(line->socket, whole, sizeof(whole), 0);
	if (n <= 0)
		return false;
	memset(m, 0, sizeof(*m));
	memcpy(m, whole, (size_t)n < sizeof(*m) ? (size_t)n : sizeof(*m));
	if (proto_check(whole, (size_t)n)) {
		FAIL(line, "a malformed message of type %u, %zd bytes", m->header.type, n);
		return false;
	}
	if (m->header.type > 256) {
		line->count[m->header.type]++;
		line->last[m->header.type] = *m;
		if (m->u.event.question) {
			if (line->on_question)
				line->on_question(line, m);
			else if (line->answer_questions)
				answer_question(line, m->u.event.question, PROTO_GO);
		}
	}
	return true;
}

enum { LONG_MS = 20000 };

/* Take messages until one of this type (and request) has come. */
static bool await(struct line *line, uint32_t type, uint64_t id, struct message *m)
{
	struct message mine;

	m = m ? m : &mine;
	while (receive(line, m, LONG_MS))
		if (m->header.type == type && (!id || m->header.id == id))
			return true;
	FAIL(line, "no %s came", proto_name(type));
	return false;
}

static struct proto_hold hold_of(uint32_t mode, uint32_t flags)
{
	return (struct proto_hold){ .mode = mode, .flags = flags, .events = ~0u, .question_ns = 1000000000u };
}

static void hello(struct line *line)
{
	struct proto_hello body = { .magic = PROTO_MAGIC, .version = PROTO_VERSION, .arch = 1 };

	memcpy(body.build_id, proto_build_id, sizeof(body.build_id));
	send_body(line, PROTO_REQ_hello, &body, sizeof(body));
}

/* Strings in the order of the request. The fd is inherited by the controller, so it comes before line_open().
 */
static int payload_of(const char *const *argv, struct proto_create *body)
{
	int fd = (int)syscall(SYS_memfd_create, "payload", 0);
	char bytes[8192];
	size_t n = 0;

	n += (size_t)sprintf(bytes + n, "%s", argv[0]) + 1;
	body->candidates = 1;
	for (; argv[body->argc]; body->argc++)
		n += (size_t)sprintf(bytes + n, "%s", argv[body->argc]) + 1;
	n += (size_t)sprintf(bytes + n, "PATH=/usr/bin:/bin") + 1;
	body->envc = 1;
	body->payload_size = (uint32_t)n;
	body->payload_fd = fd;
	if (write(fd, bytes, n) != (ssize_t)n)
		abort();
	return fd;
}

struct options {
	uint32_t mode, flags;
	int input; /* stdin of the victim, -1: as it is */
	uint64_t question_ns;
	void (*on_question)(struct line *line, const struct message *m);
};

/* A controller with a created victim that stands at its exec question, unanswered when hold_exec. */
static pid_t create(struct line *line, const struct options *options, const char *const *argv,
		    struct message *m)
{
	struct proto_create body = { .stdio = { -1, -1, -1 } };
	int fd = payload_of(argv, &body), input = -1;
	uint64_t id;

	if (options->input > 0) {
		input = fcntl(options->input, F_DUPFD, 3);
		body.stdio[0] = input;
	}
	body.hold = hold_of(options->mode, options->flags);
	if (options->question_ns)
		body.hold.question_ns = options->question_ns;
	line_open(line);
	line->answer_questions = false;
	line->on_question = options->on_question;
	hello(line);
	id = send_body(line, PROTO_REQ_create, &body, sizeof(body));
	close(fd);
	if (input >= 0)
		close(input);
	if (!await(line, PROTO_ANS_create, id, m))
		return -1;
	if (m->u.created.result)
		return -1;
	await(line, PROTO_EV_exec, 0, m);
	line->answer_questions = true;
	return (pid_t)m->u.event.pid;
}

static uint64_t base_of(pid_t pid)
{
	char path[64], text[4096], target[4096];
	FILE *maps;
	uint64_t base = 0;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	n = readlink(path, target, sizeof(target) - 1);
	target[n < 0 ? 0 : n] = '\0';
	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	maps = fopen(path, "r");
	while (maps && !base && fgets(text, sizeof(text), maps))
		if (strstr(text, target))
			base = strtoull(text, NULL, 16);
	if (maps)
		fclose(maps);
	return base;
}

static uint64_t address_in(pid_t pid, const void *here)
{
	return base_of(pid) + (uint64_t)((const char *)here - __executable_start);
}

static struct proto_site site_at(pid_t pid, enum place place, uint32_t flags)
{
	static long (*const function[])(long) = { place_nop, place_push, place_step, place_step };
	struct proto_site site = { .address = address_in(pid, (const void *)function[place]),
				   .flags = flags,
				   .id = 1000 + place };
	struct recipe *recipe = &site.recipe;

	recipe->length = place == PUSH ? 1 : 4;
	memcpy(recipe->home, (const void *)function[place], recipe->length);
	recipe->reg_a = recipe->reg_b = RECIPE_REG_NONE;
	recipe->width = 8;
	if (place == NOP)
		recipe->op = RECIPE_NOP;
	if (place == PUSH) {
		recipe->op = RECIPE_PUSH_REG;
		recipe->reg_a = 5;
	}
	if (place == SLOT) {
		memcpy(recipe->code, (const void *)place_step, 4);
		recipe->code[4] = 0xe9; /* jmp rel32 */
		recipe->code_length = 9;
		recipe->boundary = 4;
		recipe->fixups = 1;
		recipe->fixup[0] = (struct recipe_fixup){ .offset = 5, .target = site.address + 4 };
	}
	return site;
}

/* A syscall instruction in the victim's vdso. */
static uint64_t gadget_of(pid_t pid)
{
	char path[64], text[512];
	unsigned char bytes[16384];
	uint64_t start = 0, end = 0, found = 0;
	FILE *maps;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	maps = fopen(path, "r");
	while (maps && fgets(text, sizeof(text), maps))
		if (strstr(text, "[vdso]"))
			sscanf(text, "%lx-%lx", &start, &end);
	if (maps)
		fclose(maps);
	if (end - start > sizeof(bytes) || !start)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (pread(fd, bytes, end - start, (off_t)start) == (ssize_t)(end - start))
		for (uint64_t i = 0; i + 1 < end - start && !found; i++)
			if (bytes[i] == 0x0f && bytes[i + 1] == 0x05)
				found = start + i;
	close(fd);
	return found;
}

static int plant(struct line *line, pid_t pid, const struct proto_site *sites, uint32_t count,
		 uint64_t gadget)
{
	struct proto_plant body = { .pid = (uint32_t)pid, .items = count, .gadget = gadget };
	struct message m;
	uint64_t id = send_items(line, PROTO_REQ_plant, &body, sizeof(body), sites, count * sizeof(*sites));

	if (!await(line, PROTO_ANS_plant, id, &m))
		return -1;
	if (m.u.planted.result)
		printf("# plant: %d, planted %u\n", m.u.planted.result, m.u.planted.planted);
	return m.u.planted.result;
}

static int plant_all(struct line *line, pid_t pid, uint32_t flags, bool slots)
{
	struct proto_site sites[3] = { site_at(pid, NOP, flags), site_at(pid, PUSH, flags),
				       site_at(pid, slots ? SLOT : STEP, flags) };

	return plant(line, pid, sites, 3, slots ? gadget_of(pid) : 0);
}

static int request_pid(struct line *line, uint32_t type, pid_t pid, uint32_t mode)
{
	struct proto_pid body = { .pid = (uint32_t)pid, .mode = mode };
	uint64_t id = send_body(line, type, &body, sizeof(body));
	struct message m;

	return await(line, type + 1, id, &m) ? m.u.result.result : -1;
}

static struct proto_stats stats_of(struct line *line)
{
	struct proto_empty body = { 0 };
	struct message m = { 0 };
	uint64_t id = send_body(line, PROTO_REQ_stats, &body, sizeof(body));

	await(line, PROTO_ANS_stats, id, &m);
	return m.u.stats;
}

/* Text of the places in memory equals that of the file? */
static bool text_is_whole(pid_t pid)
{
	unsigned char bytes[4];
	char path[64];
	bool whole = true;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	for (enum place p = NOP; p <= STEP; p++) {
		struct proto_site site = site_at(pid, p, 0);

		whole = whole &&
			pread(fd, bytes, site.recipe.length, (off_t)site.address) == site.recipe.length &&
			!memcmp(bytes, site.recipe.home, site.recipe.length);
	}
	close(fd);
	return whole;
}

static long status_field(pid_t pid, const char *key)
{
	char path[64], text[512];
	long value = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	file = fopen(path, "r");
	while (file && fgets(text, sizeof(text), file))
		if (!strncmp(text, key, strlen(key)))
			value = strcmp(key, "State:") ? atol(text + strlen(key)) : text[7];
	if (file)
		fclose(file);
	return value;
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Poll for a condition of another process; the bound is generous, the step short. */
#define EVENTUALLY(condition)                                      \
	({                                                         \
		uint64_t until_ = now_ms() + LONG_MS;              \
		bool met_;                                         \
		while (!(met_ = (condition)) && now_ms() < until_) \
			poll(NULL, 0, 1);                          \
		met_;                                              \
	})

static void line_close(struct line *line)
{
	int status;

	close(line->socket);
	kill(line->client, SIGKILL);
	waitpid(line->client, &status, 0);
	close(line->client_pidfd);
	if (!EVENTUALLY(waitpid(line->controller, &status, WNOHANG) != 0)) {
		FAIL(line, "the controller does not end");
		kill(line->controller, SIGKILL);
		waitpid(line->controller, &status, 0);
	} else if (WIFSIGNALED(status)) {
		FAIL(line, "the controller died of signal %d", WTERMSIG(status));
	}
}

static void expect_exit(struct line *line, pid_t pid, int code)
{
	struct message m;

	while (await(line, PROTO_EV_exit, 0, &m)) {
		if ((pid_t)m.u.event.pid != pid)
			continue;
		CHECK(line, WIFEXITED(m.u.exit.status) && WEXITSTATUS(m.u.exit.status) == code,
		      "exit status %x, expected code %d", m.u.exit.status, code);
		return;
	}
}

/* ---- tests
 * --------------------------------------------------------------------------------------------------- */

#define TEST(name) static void test_##name(struct line *line)

static const char *const *argv_of(const char *const *role)
{
	static const char *argv[8];
	size_t n = 0;

	argv[n++] = self_path;
	while (*role)
		argv[n++] = *role++;
	argv[n] = NULL;
	return argv;
}
#define ROLE(...) argv_of((const char *const[]){ __VA_ARGS__, NULL })

TEST(a_created_victim_asks_at_exec_and_its_exit_is_told)
{
	struct options o = { .mode = PROTO_KILL };
	struct message m;
	pid_t pid = create(line, &o, (const char *const[]){ "/bin/sh", "-c", "exit 3", NULL }, &m);

	CHECK(line, pid > 0, "not created: %d at %u", m.u.created.result, m.u.created.stage);
	CHECK(line, m.u.event.question != 0, "the exec event is no question");
	CHECK(line, m.u.exec.old_tid == (uint32_t)pid, "old tid %u", m.u.exec.old_tid);
	answer_question(line, m.u.event.question, PROTO_GO);
	expect_exit(line, pid, 3);
}

TEST(an_exec_that_fails_is_told_with_its_errno_and_stage)
{
	struct options o = { .mode = PROTO_KILL };
	struct message m;

	create(line, &o, (const char *const[]){ "/nonexistent/program", NULL }, &m);
	CHECK(line, m.u.created.result == -ENOENT && m.u.created.stage == OS_STAGE_EXEC, "%d at stage %u",
	      m.u.created.result, m.u.created.stage);
}

TEST(hits_are_counted_and_the_victim_computes_right)
{
	struct options o = { .mode = PROTO_KILL };
	struct message m;
	pid_t pid = create(line, &o, ROLE("rounds", "1", "1000"), &m);
	struct proto_stats stats;

	CHECK(line, !plant_all(line, pid, PROTO_SITE_COUNT, false), "not planted");
	answer_question(line, m.u.event.question, PROTO_GO);
	expect_exit(line, pid, 0);
	stats = stats_of(line);
	CHECK(line, stats.hits == 3000, "%llu hits", (unsigned long long)stats.hits);
	CHECK(line, stats.emulated == 2000, "%llu emulated", (unsigned long long)stats.emulated);
	CHECK(line, stats.in_place == 1000, "%llu stepped in place", (unsigned long long)stats.in_place);
}

TEST(a_slot_takes_the_place_of_steps)
{
	struct options o = { .mode = PROTO_KILL };
	struct message m;
	pid_t pid = create(line, &o, ROLE("rounds", "4", "1000"), &m);
	struct proto_stats stats;

	CHECK(line, !plant_all(line, pid, PROTO_SITE_COUNT, true), "not planted");
	answer_question(line, m.u.event.question, PROTO_GO);
	expect_exit(line, pid, 0);
	stats = stats_of(line);
	CHECK(line, stats.hits == 12000, "%llu hits", (unsigned long long)stats.hits);
	CHECK(line, stats.slot > 3900, "%llu in slots, %llu in place", (unsigned long long)stats.slot,
	      (unsigned long long)stats.in_place);
}

TEST(threads_step_in_place_without_missing_a_hit)
{
	struct options o = { .mode = PROTO_KILL };
	struct message m;
	pid_t pid = create(line, &o, ROLE("rounds", "4", "300"), &m);
	struct proto_stats stats;

	CHECK(line, !plant_all(line, pid, PROTO_SITE_COUNT, false), "not planted");
	answer_question(line, m.u.event.question, PROTO_GO);
	expect_exit(line, pid, 0);
	stats = stats_of(line);
	CHECK(line, stats.hits == 3600, "%llu hits", (unsigned long long)stats.hits);
}

TEST(a_signal_storm_on_a_stepped_instruction_harms_nothing)
{
	struct options o = { .mode = PROTO_KILL };

	for (int slots = 0; slots < 2; slots++) {
		struct message m;
		pid_t pid = create(line, &o, ROLE("storm"), &m);

		CHECK(line, !plant_all(line, pid, PROTO_SITE_COUNT, slots), "not planted");
		answer_question(line, m.u.event.question, PROTO_GO);
		expect_exit(line, pid, 0);
		if (!slots)
			line_close(line);
	}
}

TEST(a_site_that_is_lifted_at_its_first_hit_is_hit_once)
{
	struct options o = { .mode = PROTO_KILL };
	struct message m;
	pid_t pid = create(line, &o, ROLE("rounds", "1", "100"), &m);

	plant_all(line, pid, PROTO_SITE_ASK | PROTO_SITE_ONCE, false);
	answer_question(line, m.u.event.question, PROTO_GO);
	expect_exit(line, pid, 0);
	CHECK(line, line->count[PROTO_EV_hit] == 3, "%u hits told", line->count[PROTO_EV_hit]);
	CHECK(line, stats_of(line).hits == 3, "more hits than sites");
}

TEST(a_park_at_a_hit_shows_the_text_of_the_file)
{
	struct options o = { .mode = PROTO_KILL };
	struct message m;
	pid_t pid = create(line, &o, ROLE("rounds", "3", "50"), &m);

	plant_all(line, pid, PROTO_SITE_ASK, false);
	line->answer_questions = false;
	answer_question(line, m.u.event.question, PROTO_GO);
	await(line, PROTO_EV_hit, 0, &m);
	CHECK(line, !text_is_whole(pid), "no trap stands");
	answer_question(line, m.u.event.question, PROTO_STAY);
	line->answer_questions = true;
	await(line, PROTO_EV_parked, 0, &m);
	CHECK(line, text_is_whole(pid), "a trap stands at a park");
	CHECK(line, !request_pid(line, PROTO_REQ_resume, pid, 0), "resume");
	CHECK(line, !request_pid(line, PROTO_REQ_resume, pid, 0), "a second resume");
	expect_exit(line, pid, 0);
	CHECK(line, line->count[PROTO_EV_hit] == 450, "%u hits told", line->count[PROTO_EV_hit]);
}

TEST(a_park_that_meets_an_exec_ends_with_its_resume)
{
	struct options o = { .mode = PROTO_KILL };
	struct message m;
	pid_t pid = create(line, &o, ROLE("execs", "100"), &m);

	answer_question(line, m.u.event.question, PROTO_GO);
	for (int i = 0; i < 40 && !line->failed && !line->count[PROTO_EV_exit]; i++) {
		unsigned before = line->count[PROTO_EV_parked];

		if (request_pid(line, PROTO_REQ_park, pid, 0))
			break; /* it has ended */
		while (line->count[PROTO_EV_parked] == before && !line->count[PROTO_EV_exit])
			if (!receive(line, &m, LONG_MS)) {
				FAIL(line, "it does not park, try %d", i);
				return;
			}
		request_pid(line, PROTO_REQ_resume, pid, 0);
	}
	if (!line->count[PROTO_EV_exit])
		expect_exit(line, pid, 0);
	CHECK(line, line->count[PROTO_EV_exec] == 101, "%u execs", line->count[PROTO_EV_exec]);
}

TEST(forked_children_are_followed_with_their_sites)
{
	struct options o = { .mode = PROTO_KILL, .flags = PROTO_FOLLOW };
	struct message m;
	pid_t pid = create(line, &o, ROLE("forks", "40"), &m);
	struct proto_stats stats;

	plant_all(line, pid, PROTO_SITE_COUNT, false);
	answer_question(line, m.u.event.question, PROTO_GO);
	expect_exit(line, pid, 0);
	stats = stats_of(line);
	CHECK(line, stats.hits == 40 * (9 + 6), "%llu hits", (unsigned long long)stats.hits);
	CHECK(line, line->count[PROTO_EV_fork] == 40 && line->count[PROTO_EV_exit] == 41,
	      "%u forks, %u exits", line->count[PROTO_EV_fork], line->count[PROTO_EV_exit]);
}

TEST(forked_children_that_are_not_followed_run_clean)
{
	struct options o = { .mode = PROTO_KILL };
	struct message m;
	pid_t pid = create(line, &o, ROLE("forks", "40"), &m);
	struct proto_stats stats;

	plant_all(line, pid, PROTO_SITE_COUNT, false);
	answer_question(line, m.u.event.question, PROTO_GO);
	expect_exit(line, pid, 0);
	stats = stats_of(line);
	/* The vfork children share the parent's traps, the forked ones are scrubbed. */
#if defined(__SANITIZE_THREAD__)
	const uint64_t in_vfork = 0; /* ThreadSanitizer turns the victim's vfork into a fork */
#else
	const uint64_t in_vfork = 20 * 9;
#endif
	CHECK(line, stats.hits == 40 * 6 + in_vfork, "%llu hits", (unsigned long long)stats.hits);
	CHECK(line, line->count[PROTO_EV_exit] == 1, "%u exits", line->count[PROTO_EV_exit]);
}

TEST(a_victims_own_trap_kills_it_as_untraced)
{
	struct options o = { .mode = PROTO_KILL };
	struct message m;
	pid_t pid = create(line, &o, ROLE("trap"), &m);

	answer_question(line, m.u.event.question, PROTO_GO);
	await(line, PROTO_EV_exit, 0, &m);
	CHECK(line,
	      (pid_t)m.u.event.pid == pid && WIFSIGNALED(m.u.exit.status) &&
		      WTERMSIG(m.u.exit.status) == SIGTRAP,
	      "status %x", m.u.exit.status);
	CHECK(line, line->count[PROTO_EV_signal] == 2, "%u signals told", line->count[PROTO_EV_signal]);
}

TEST(a_blocked_sigtrap_stays_blocked)
{
	struct options o = { .mode = PROTO_KILL };
	struct message m;
	pid_t pid = create(line, &o, ROLE("masked"), &m);

	plant_all(line, pid, PROTO_SITE_COUNT, false);
	answer_question(line, m.u.event.question, PROTO_GO);
	expect_exit(line, pid, 0);
}

TEST(an_ignored_sigtrap_stays_ignored)
{
	struct options o = { .mode = PROTO_KILL };
	struct message m;
	pid_t pid = create(line, &o, ROLE("ignored"), &m);

	plant_all(line, pid, PROTO_SITE_COUNT, true);
	answer_question(line, m.u.event.question, PROTO_GO);
	expect_exit(line, pid, 0);
}

TEST(a_caught_and_blocked_sigtrap_keeps_its_handler)
{
	struct options o = { .mode = PROTO_KILL };
	struct message m;
	pid_t pid = create(line, &o, ROLE("caught"), &m);

	plant_all(line, pid, PROTO_SITE_COUNT, true);
	answer_question(line, m.u.event.question, PROTO_GO);
	expect_exit(line, pid, 0);
}

/* ---- questions
 * ------------------------------------------------------------------------------------------------ */

TEST(an_unanswered_question_is_answered_by_its_deadline)
{
	struct options o = { .mode = PROTO_KILL, .question_ns = 50000000 };
	struct message m;
	pid_t pid = create(line, &o, ROLE("rounds", "1", "20"), &m);
	uint64_t question = m.u.event.question, begin;

	plant_all(line, pid, PROTO_SITE_ASK, false);
	line->answer_questions = false;
	begin = now_ms();
	answer_question(line, question, PROTO_GO);
	expect_exit(line, pid, 0);
	/* one deadline is waited for; after it the silent client is asked no more */
	CHECK(line, now_ms() - begin < 1000, "it took %llu ms", (unsigned long long)(now_ms() - begin));
	CHECK(line, line->count[PROTO_EV_hit] == 60, "%u hits", line->count[PROTO_EV_hit]);
}

static uint64_t first_question;
static void remember_first(struct line *line, const struct message *m)
{
	if (!first_question)
		first_question = m->u.event.question;
	else
		answer_question(line, m->u.event.question, PROTO_GO);
}

TEST(a_late_answer_is_told_as_such)
{
	struct options o = { .mode = PROTO_KILL, /* long enough for a loaded machine to answer the other questions in time */
			     .question_ns = 500000000 };
	struct message m;
	pid_t pid;
	int input[2];

	if (pipe2(input, O_CLOEXEC))
		abort();
	o.input = input[0];
	pid = create(line, &o, ROLE("waits"), &m);
	close(input[0]);
	first_question = 0;
	plant_all(line, pid, PROTO_SITE_ASK, false);
	line->on_question = remember_first;
	answer_question(line, m.u.event.question, PROTO_GO);
	if (write(input[1], "x", 1) != 1)
		abort();
	await(line, PROTO_EV_hit, 0, &m);
	poll(NULL, 0, 1000); /* the deadline, twice */
	answer_question(line, first_question, PROTO_GO);
	await(line, PROTO_EV_late, 0, &m);
	CHECK(line, m.u.plain.value >= 1000000000 && (pid_t)m.u.event.pid == pid, "waited %llu ns",
	      (unsigned long long)m.u.plain.value);
	close(input[1]);
	expect_exit(line, pid, 0);
}

/* ---- letting go
 * ------------------------------------------------------------------------------------------------ */

/* A victim of ours, so that its end can be seen here; it prints nothing and exits 0 when it computed right.
 */
static pid_t own_victim(const char *const *argv, int *input)
{
	int ends[2] = { -1, -1 };
	pid_t pid;

	if (input && pipe2(ends, O_CLOEXEC))
		abort();
	fflush(stdout);
	pid = fork();
	if (!pid) {
		if (input)
			dup2(ends[0], 0);
		execv(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	if (input) {
		close(ends[0]);
		*input = ends[1];
	}
	/* it has executed when its image is ours by another pid's maps */
	EVENTUALLY(base_of(pid) != (uint64_t)__executable_start && base_of(pid));
	return pid;
}

static int grab(struct line *line, pid_t pid, uint32_t mode, uint32_t flags, struct message *m)
{
	struct proto_grab body = { .hold = hold_of(mode, flags), .pid = (uint32_t)pid };
	uint64_t id;

	line_open(line);
	hello(line);
	id = send_body(line, PROTO_REQ_grab, &body, sizeof(body));
	return await(line, PROTO_ANS_grab, id, m) ? m->u.grabbed.result : -1;
}

static int status_of(pid_t pid)
{
	int status = -1;

	if (!EVENTUALLY(waitpid(pid, &status, WNOHANG) == pid))
		return -1;
	return status;
}

TEST(a_grabbed_process_is_parked_whole_resumed_and_released)
{
	struct message m;
	int input, status;
	pid_t pid = own_victim(ROLE("waits"), &input);
	int r = grab(line, pid, PROTO_RUN, PROTO_PARK, &m);

	CHECK(line, !r, "grab: %d", r);
	CHECK(line, m.u.grabbed.threads == 1 && m.u.grabbed.processes == 1, "%u threads",
	      m.u.grabbed.threads);
	if (!line->count[PROTO_EV_parked])
		await(line, PROTO_EV_parked, 0, &m);
	plant_all(line, pid, PROTO_SITE_REPORT, false);
	CHECK(line, text_is_whole(pid), "planted into a parked process");
	CHECK(line, !request_pid(line, PROTO_REQ_resume, pid, 0), "resume");
	CHECK(line, EVENTUALLY(!text_is_whole(pid)), "not planted at resume");
	if (write(input, "xx", 2) != 2)
		abort();
	for (int i = 0; i < 6; i++)
		await(line, PROTO_EV_hit, 0, &m);
	CHECK(line, !request_pid(line, PROTO_REQ_release, pid, PROTO_RUN), "release");
	CHECK(line, line->count[PROTO_EV_released] == 1, "released %u times", line->count[PROTO_EV_released]);
	CHECK(line, text_is_whole(pid), "a trap is left");
	CHECK(line, EVENTUALLY(status_field(pid, "TracerPid:") == 0), "still traced");
	close(input);
	status = status_of(pid);
	CHECK(line, !status, "it ended with %x", status);
}

TEST(a_call_that_the_kernel_does_not_restart_goes_on_after_a_park)
{
	struct message m;
	int input, status;
	pid_t pid = own_victim(ROLE("epoll"), &input);

	/* it blocks where it is to be found */
	poll(NULL, 0, 50);
	CHECK(line, !grab(line, pid, PROTO_RUN, PROTO_PARK, &m), "grab");
	CHECK(line, !request_pid(line, PROTO_REQ_resume, pid, 0), "resume");
	CHECK(line, !request_pid(line, PROTO_REQ_release, pid, PROTO_RUN), "release");
	if (write(input, "x", 1) != 1)
		abort();
	status = status_of(pid);
	CHECK(line, !status, "it ended with %x", status);
	close(input);
}

TEST(a_client_that_dies_during_a_grab_leaves_no_controller)
{
	/* what is let go must not be seized again by the next scan of the grab */
	for (int i = 0; i < 40; i++) {
		struct proto_grab body = { .hold = hold_of(PROTO_RUN, 0) };
		pid_t pid = own_victim(ROLE("rounds", "16", "20000000"), NULL);
		int status;

		poll(NULL, 0, 5);
		body.pid = (uint32_t)pid;
		line_open(line);
		hello(line);
		send_body(line, PROTO_REQ_grab, &body, sizeof(body));
		kill(line->client, SIGKILL);
		CHECK(line, EVENTUALLY(waitpid(line->controller, &status, WNOHANG) == line->controller),
		      "the controller stays");
		kill(pid, SIGKILL);
		status_of(pid);
		line->controller = fork();
		if (!line->controller)
			_exit(0);
		if (i < 39)
			line_close(line);
	}
}

TEST(a_stopped_process_is_grabbed_and_released_stopped)
{
	struct message m;
	int input, status;
	pid_t pid = own_victim(ROLE("waits"), &input);

	kill(pid, SIGSTOP);
	EVENTUALLY(status_field(pid, "State:") == 'T');
	CHECK(line, !grab(line, pid, PROTO_RUN, PROTO_PARK, &m), "grab");
	CHECK(line, m.u.grabbed.stopped == 1, "it is not told to be stopped");
	CHECK(line, !request_pid(line, PROTO_REQ_resume, pid, 0), "resume");
	CHECK(line, !request_pid(line, PROTO_REQ_release, pid, PROTO_RUN), "release");
	CHECK(line, EVENTUALLY(status_field(pid, "TracerPid:") == 0), "still traced");
	CHECK(line, EVENTUALLY(status_field(pid, "State:") == 'T'), "not stopped: %c",
	      (char)status_field(pid, "State:"));
	kill(pid, SIGCONT);
	close(input);
	while ((status = status_of(pid)) != -1 && WIFSTOPPED(status))
		;
	CHECK(line, !status, "it ended with %x", status);
}

TEST(job_control_stops_and_continues_are_honoured_and_told)
{
	struct message m;
	int input, status;
	pid_t pid = own_victim(ROLE("waits"), &input);

	CHECK(line, !grab(line, pid, PROTO_RUN, 0, &m), "grab");
	kill(pid, SIGSTOP); /* an orphaned process group, as a test's can be, ignores SIGTSTP */
	await(line, PROTO_EV_stop, 0, &m);
	CHECK(line, m.u.signal.signal == SIGSTOP, "signal %d", m.u.signal.signal);
	kill(pid, SIGCONT);
	await(line, PROTO_EV_cont, 0, &m);
	close(input);
	expect_exit(line, pid, 0);
	status = status_of(pid);
	CHECK(line, !status, "it ended with %x", status);
}

static void kill_the_client(struct line *line)
{
	kill(line->client, SIGKILL);
}
static void close_the_socket(struct line *line)
{
	shutdown(line->socket, SHUT_RDWR);
}
static void terminate_the_controller(struct line *line)
{
	kill(line->controller, SIGTERM);
}
static void break_the_protocol(struct line *line)
{
	if (send(line->socket, "rubbish", 7, 0) != 7)
		abort();
}
static void (*const endings[])(struct line *) = { kill_the_client, close_the_socket, terminate_the_controller,
						  break_the_protocol };

TEST(whatever_ends_the_client_leaves_a_grabbed_victim_whole)
{
	for (int i = 0; i < 24; i++) {
		struct message m;
		pid_t pid = own_victim(ROLE("rounds", "4", "20000000"), NULL);
		int status;

		CHECK(line, !grab(line, pid, PROTO_RUN, i & 8 ? PROTO_PARK : 0, &m), "grab: %d",
		      m.u.grabbed.result);
		CHECK(line, !plant_all(line, pid, PROTO_SITE_COUNT, i & 4), "not planted");
		if (i & 8)
			request_pid(line, PROTO_REQ_resume, pid, 0);
		poll(NULL, 0, i * 2);
		endings[i % 4](line);
		CHECK(line, EVENTUALLY(status_field(pid, "TracerPid:") <= 0), "still traced");
		CHECK(line,
		      status_field(pid, "State:") <= 0 || status_field(pid, "State:") == 'Z' ||
			      text_is_whole(pid),
		      "a trap is left");
		status = status_of(pid);
		CHECK(line, !status, "try %d: it ended with %x", i, status);
		if (line->failed)
			kill(pid, SIGKILL);
		if (i < 23)
			line_close(line);
	}
}

TEST(mode_run_leaves_a_created_victim_with_its_parent)
{
	struct options o = { .mode = PROTO_RUN };
	struct message m;
	pid_t pid;
	int input[2];

	if (pipe2(input, O_CLOEXEC))
		abort();
	o.input = input[0];
	pid = create(line, &o, ROLE("waits"), &m);
	close(input[0]);
	plant_all(line, pid, PROTO_SITE_COUNT, false);
	answer_question(line, m.u.event.question, PROTO_GO);
	if (write(input[1], "xxx", 3) != 3)
		abort();
	kill(line->client, SIGKILL);
	CHECK(line, EVENTUALLY(status_field(pid, "TracerPid:") == 0), "still traced");
	CHECK(line, text_is_whole(pid), "a trap is left");
	CHECK(line, status_field(pid, "PPid:") == line->controller, "its parent is %ld",
	      status_field(pid, "PPid:"));
	close(input[1]);
	CHECK(line, EVENTUALLY(status_field(pid, "State:") < 0), "not reaped");
}

TEST(mode_kill_takes_the_whole_family)
{
	struct options o = { .mode = PROTO_KILL, .flags = PROTO_FOLLOW };
	struct message m;
	pid_t pid = create(line, &o,
			   (const char *const[]){ "/bin/sh", "-c", "sleep 1000 & sleep 1000; :", NULL }, &m);
	pid_t child;

	answer_question(line, m.u.event.question, PROTO_GO);
	await(line, PROTO_EV_fork, 0, &m);
	child = (pid_t)m.u.fork.child;
	await(line, PROTO_EV_exec, 0, &m);
	kill(line->client, SIGKILL);
	CHECK(line, EVENTUALLY(status_field(pid, "State:") < 0), "the first process lives");
	CHECK(line, EVENTUALLY(status_field(child, "State:") < 0 || status_field(child, "State:") == 'Z'),
	      "its child lives");
}

TEST(mode_hang_leaves_a_stopped_process)
{
	struct message m;
	int input, status;
	pid_t pid = own_victim(ROLE("waits"), &input);

	CHECK(line, !grab(line, pid, PROTO_HANG, 0, &m), "grab");
	plant_all(line, pid, PROTO_SITE_COUNT, false);
	kill(line->client, SIGKILL);
	CHECK(line, EVENTUALLY(status_field(pid, "TracerPid:") == 0), "still traced");
	CHECK(line, EVENTUALLY(status_field(pid, "State:") == 'T'), "not stopped");
	CHECK(line, text_is_whole(pid), "a trap is left");
	kill(pid, SIGCONT);
	close(input);
	while ((status = status_of(pid)) != -1 && WIFSTOPPED(status))
		;
	CHECK(line, !status, "it ended with %x", status);
}

TEST(refusals_say_why)
{
	struct message m;
	int input, r;
	pid_t pid = own_victim(ROLE("waits"), &input), gone;
	struct line other = { 0 };

	CHECK(line, !grab(line, pid, PROTO_RUN, 0, &m), "grab");
	r = grab(&other, pid, PROTO_RUN, 0, &m);
	CHECK(line, r == -TETHER_ETRACED && (pid_t)m.u.grabbed.tracer == line->controller, "%d by %u", r,
	      m.u.grabbed.tracer);
	line_close(&other);
	r = grab(&other, 2, PROTO_RUN, 0, &m);
	CHECK(line, r == -TETHER_EKTHREAD || r == -TETHER_EGONE || r == -TETHER_EPRIV, "kernel thread: %d",
	      r);
	line_close(&other);
	gone = fork();
	if (!gone)
		_exit(0);
	EVENTUALLY(status_field(gone, "State:") == 'Z');
	r = grab(&other, gone, PROTO_RUN, 0, &m);
	CHECK(line, r == -TETHER_EZOMBIE, "zombie: %d", r);
	line_close(&other);
	waitpid(gone, NULL, 0);
	r = grab(&other, gone, PROTO_RUN, 0, &m);
	CHECK(line, r == -TETHER_EGONE, "gone: %d", r);
	line_close(&other);
	close(input);
	expect_exit(line, pid, 0);
	status_of(pid);
}

TEST(real_programs_run_as_ever)
{
	static const char *const commands[][4] = {
		{ "/bin/sh", "-c",
		  "for i in 1 2 3 4 5 6 7 8; do (/bin/true; /bin/true) & done; wait; test -d / && exit 0",
		  NULL },
		{ "/usr/bin/python3", "-c",
		  "import subprocess, threading, ssl, sqlite3\n"
		  "t = [threading.Thread(target=lambda: subprocess.run(['/bin/true'], check=True)) for _ in "
		  "range(6)]\n"
		  "[x.start() for x in t]; [x.join() for x in t]",
		  NULL },
	};

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		struct options o = { .mode = PROTO_KILL, .flags = PROTO_FOLLOW };
		struct message m;
		pid_t pid;

		if (access(commands[i][0], X_OK))
			continue;
		if (i)
			line_close(line);
		pid = create(line, &o, commands[i], &m);
		answer_question(line, m.u.event.question, PROTO_GO);
		expect_exit(line, pid, 0);
		CHECK(line, line->count[PROTO_EV_exec] >= 6, "%u execs", line->count[PROTO_EV_exec]);
		CHECK(line, line->count[PROTO_EV_exit] >= line->count[PROTO_EV_fork], "%u exits of %u forks",
		      line->count[PROTO_EV_exit], line->count[PROTO_EV_fork]);
	}
}

static const struct {
	const char *name;
	void (*run)(struct line *line);
} tests[] = {
#define ROW(name)                  \
	{                          \
#name, test_##name \
	}
	ROW(a_created_victim_asks_at_exec_and_its_exit_is_told),
	ROW(an_exec_that_fails_is_told_with_its_errno_and_stage),
	ROW(hits_are_counted_and_the_victim_computes_right),
	ROW(a_slot_takes_the_place_of_steps),
	ROW(threads_step_in_place_without_missing_a_hit),
	ROW(a_signal_storm_on_a_stepped_instruction_harms_nothing),
	ROW(a_site_that_is_lifted_at_its_first_hit_is_hit_once),
	ROW(a_park_at_a_hit_shows_the_text_of_the_file),
	ROW(a_park_that_meets_an_exec_ends_with_its_resume),
	ROW(forked_children_are_followed_with_their_sites),
	ROW(forked_children_that_are_not_followed_run_clean),
	ROW(a_victims_own_trap_kills_it_as_untraced),
	ROW(a_blocked_sigtrap_stays_blocked),
	ROW(an_ignored_sigtrap_stays_ignored),
	ROW(a_caught_and_blocked_sigtrap_keeps_its_handler),
	ROW(an_unanswered_question_is_answered_by_its_deadline),
	ROW(a_late_answer_is_told_as_such),
	ROW(a_grabbed_process_is_parked_whole_resumed_and_released),
	ROW(a_call_that_the_kernel_does_not_restart_goes_on_after_a_park),
	ROW(a_client_that_dies_during_a_grab_leaves_no_controller),
	ROW(a_stopped_process_is_grabbed_and_released_stopped),
	ROW(job_control_stops_and_continues_are_honoured_and_told),
	ROW(whatever_ends_the_client_leaves_a_grabbed_victim_whole),
	ROW(mode_run_leaves_a_created_victim_with_its_parent),
	ROW(mode_kill_takes_the_whole_family),
	ROW(mode_hang_leaves_a_stopped_process),
	ROW(refusals_say_why),
	ROW(real_programs_run_as_ever),
};

int main(int argc, char **argv)
{
	size_t count = sizeof(tests) / sizeof(tests[0]);
	int failed = 0;
	const char *only = getenv("ONLY");

	if (argc > 1 && strcmp(argv[1], "--"))
		return victim(argc, argv);
	setvbuf(stdout, NULL, _IOLBF, 0);
	controller_path = getenv("TETHER_CONTROLLER");
	if (!controller_path)
		controller_path = TEST_CONTROLLER;
	if (readlink("/proc/self/exe", self_path, sizeof(self_path) - 1) < 0)
		return 1;
	printf("1..%zu\n", only ? 1 : count);
	for (size_t i = 0; i < count; i++) {
		static struct line line;

		if (only && strcmp(only, tests[i].name))
			continue;
		memset(&line, 0, sizeof(line));
		tests[i].run(&line);
		line_close(&line);
		printf("%sok %zu - %s\n", line.failed ? "not " : "", i + 1, tests[i].name);
		failed += line.failed != NULL;
	}
	return failed ? 1 : 0;
}
