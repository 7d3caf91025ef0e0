/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * raw_line.c - the line to a controller: start it, ask it, hear it; sites of the victim, and whether it is whole
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "raw.h"

const char *controller_path;
char self_path[4096];

void line_open(struct line *line)
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

uint64_t send_body(struct line *line, uint32_t type, const void *body, size_t size)
{
	return send_items(line, type, body, size, NULL, 0);
}

void answer_question(struct line *line, uint64_t question, uint32_t action)
{
	struct proto_answer body = { .question = question, .action = action };

	send_body(line, PROTO_REQ_answer, &body, sizeof(body));
}

/* The next message; false on time-out or end-of-file. */
bool receive(struct line *line, struct message *m, int timeout_ms)
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

int long_ms(void)
{
	const char *slow = getenv("TETHER_TEST_SLOW");
	double factor = slow ? atof(slow) : 1;

	return (int)(20000 * (factor > 1 ? factor : 1));
}

/* Take messages until one of this type (and request) has come. */
bool await(struct line *line, uint32_t type, uint64_t id, struct message *m)
{
	struct message mine;

	m = m ? m : &mine;
	while (receive(line, m, long_ms()))
		if (m->header.type == type && (!id || m->header.id == id))
			return true;
	FAIL(line, "no %s came", proto_name(type));
	return false;
}

struct proto_hold hold_of(uint32_t mode, uint32_t flags)
{
	return (struct proto_hold){ .mode = mode, .flags = flags, .events = ~0u, .question_ns = 1000000000u };
}

void hello(struct line *line)
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

/* A controller with a created victim that stands at its exec question, unanswered when hold_exec. */
pid_t create(struct line *line, const struct options *options, const char *const *argv,
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

uint64_t base_of(pid_t pid)
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

int plant_like(struct line *line, pid_t pid, uint32_t flags, const struct proto_site *like)
{
	struct proto_site sites[3] = { site_at(pid, NOP, flags), site_at(pid, PUSH, flags), site_at(pid, STEP, flags) };

	for (size_t i = 0; i < 3; i++) {
		memcpy(sites[i].counter, like->counter, sizeof(sites[i].counter));
		memcpy(sites[i].returns, like->returns, sizeof(sites[i].returns));
		memcpy(sites[i].wants, like->wants, sizeof(sites[i].wants));
	}
	return plant(line, pid, sites, 3, 0);
}

int plant_counted(struct line *line, pid_t pid, uint32_t flags, const uint32_t counter[MAX_SITE_COUNTERS])
{
	struct proto_site like = { .flags = flags };

	memcpy(like.counter, counter, sizeof(like.counter));
	return plant_like(line, pid, flags, &like);
}

int plant_all(struct line *line, pid_t pid, uint32_t flags, bool slots)
{
	struct proto_site sites[3] = { site_at(pid, NOP, flags), site_at(pid, PUSH, flags),
				       site_at(pid, slots ? SLOT : STEP, flags) };

	return plant(line, pid, sites, 3, slots ? gadget_of(pid) : 0);
}

int request_pid(struct line *line, uint32_t type, pid_t pid, uint32_t mode)
{
	struct proto_pid body = { .pid = (uint32_t)pid, .mode = mode };
	uint64_t id = send_body(line, type, &body, sizeof(body));
	struct message m;

	return await(line, type + 1, id, &m) ? m.u.result.result : -1;
}

struct proto_stats stats_of(struct line *line)
{
	struct proto_empty body = { 0 };
	struct message m = { 0 };
	uint64_t id = send_body(line, PROTO_REQ_stats, &body, sizeof(body));

	await(line, PROTO_ANS_stats, id, &m);
	return m.u.stats;
}

/* Text of the places in memory equals that of the file? */
/* One that ends meanwhile has no memory left, from some time before it is seen as a zombie: nothing to judge. */
bool text_is_whole(pid_t pid)
{
	unsigned char bytes[4];
	char path[64];
	bool whole = true, readable = true;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	for (enum place p = NOP; p <= STEP; p++) {
		struct proto_site site = site_at(pid, p, 0);

		if (pread(fd, bytes, site.recipe.length, (off_t)site.address) != site.recipe.length)
			readable = false;
		else if (memcmp(bytes, site.recipe.home, site.recipe.length))
			whole = false;
	}
	close(fd);
	return whole && (readable || status_field(pid, "VmSize:") < 0);
}

long status_field(pid_t pid, const char *key)
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

uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void line_close(struct line *line)
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

void expect_exit(struct line *line, pid_t pid, int code)
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

const char *const *argv_of(const char *const *role)
{
	static const char *argv[8];
	size_t n = 0;

	argv[n++] = self_path;
	while (*role)
		argv[n++] = *role++;
	argv[n] = NULL;
	return argv;
}

pid_t own_victim(const char *const *argv, int *input)
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

int grab(struct line *line, pid_t pid, uint32_t mode, uint32_t flags, struct message *m)
{
	struct proto_grab body = { .hold = hold_of(mode, flags), .pid = (uint32_t)pid };
	uint64_t id;

	line_open(line);
	hello(line);
	id = send_body(line, PROTO_REQ_grab, &body, sizeof(body));
	return await(line, PROTO_ANS_grab, id, m) ? m->u.grabbed.result : -1;
}

int status_of(pid_t pid)
{
	int status = -1;

	if (!EVENTUALLY(waitpid(pid, &status, WNOHANG) == pid))
		return -1;
	return status;
}
