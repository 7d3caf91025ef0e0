/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_controller CONTROLLER [ROUNDS [FIRST [-v]]] - messages that no library would send
 *
 *	a round, all of it drawn from its number:
 *	controller ──► hello, grab the victim, plant ──► mutated, cut, stretched, unpermitted, raw messages
 *	           ──► the last one malformed, or the line closed ──► the controller ends by itself
 *	judge: nobody traces the victim, no thread stands, its text is that of the file, it goes on and computes right
 *
 * One victim lives through all rounds: a thread that runs into traps all the time, one that sleeps between them and
 * one that forks. What a permitted message may rightly do to a victim is not drawn: mode kill, and recipes that
 * tell lies about an instruction (the controller does not decode). The latter are sent for victims that nobody
 * judges, as they must not harm the controller either.
 *
 * Status 0 when all rounds were right; else the number of the round that was not is printed, to be run alone; with a
 * fourth argument it also prints what it sends.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <dirent.h>

#include "proto/proto.h"

#include "dice.h"

/* ---- the victim ------------------------------------------------------------------------------------------ */

long place_nop(long), place_push(long), place_step(long);
__asm__(".text\n.p2align 6\n.globl place_nop, place_push, place_step\n"
	"place_nop: endbr64\n lea 1(%rdi), %rax\n ret\n.p2align 6\n"
	"place_push: push %rbp\n lea 1(%rdi), %rax\n pop %rbp\n ret\n.p2align 6\n"
	"place_step: lea 1(%rdi), %rax\n ret\n.p2align 6\n");
enum place { NOP, PUSH, STEP, SLOT, PLACES };
static long (*const function_at[PLACES])(long) = { place_nop, place_push, place_step, place_step };

/* What the victim shows of itself: shared memory, so that no call of it is needed. */
struct board {
	unsigned long rounds[3]; /* of each thread */
	int wrong;
};
static struct board *board;

static bool computes(void)
{
	return place_step(place_push(place_nop(1))) == 4;
}

static void note(int thread, bool right)
{
	if (!right)
		__atomic_store_n(&board->wrong, thread + 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&board->rounds[thread], 1, __ATOMIC_RELAXED);
}

static void *hot(void *nothing)
{
	for (;;)
		note(0, computes());
	return nothing;
}

static void *sleepy(void *nothing)
{
	const struct timespec little = { .tv_nsec = 200000 };

	for (;;) {
		nanosleep(&little, NULL);
		note(1, computes());
	}
	return nothing;
}

static bool child_computes(bool shares_memory)
{
	int status;
	pid_t child = shares_memory ? vfork() : fork();

	if (!child)
		_exit(computes() ? 7 : 1);
	return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 7;
}

static void forking(void)
{
	const struct timespec little = { .tv_nsec = 1000000 };

	for (;;) {
		note(2, child_computes(false) && child_computes(true) && computes());
		nanosleep(&little, NULL);
	}
}

static pid_t victim_start(void)
{
	pid_t pid = fork();
	pthread_t thread[2];

	if (pid) {
		setpgid(pid, pid);
		return pid;
	}
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
	syscall(SYS_close_range, 3, ~0U, 0);
	if (pthread_create(&thread[0], NULL, hot, NULL) || pthread_create(&thread[1], NULL, sleepy, NULL))
		_exit(9);
	forking();
	_exit(9);
}

/* ---- one round ------------------------------------------------------------------------------------------- */

struct round {
	unsigned long number;
	struct dice dice;
	pid_t victim, controller;
	pid_t client;    /* whose life the controller watches */
	bool disposable; /* a victim that may be lied about */
	int socket;
	bool holds;      /* the controller was told to grab */
	bool ready;      /* set up: from here on anything may be sent */
	bool ended;      /* the controller has closed the line */
	bool hang;       /* a message that may leave the victim in a job-control stop was sent */
	uint64_t question;
	unsigned long sent;
};

static bool failed(struct round *r, const char *format, ...)
{
	va_list arguments;

	printf("round %lu, after %lu messages: ", r->number, r->sent);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf("\n");
	return false;
}

static bool start_controller(struct round *r, const char *path)
{
	int ends[2];
	char number[2][16];

	r->client = fork();
	if (!r->client) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	int self = (int)syscall(SYS_pidfd_open, r->client, 0);

	if (self < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return failed(r, "no socket: %s", strerror(errno));
	r->socket = ends[0];
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	fflush(stdout);
	r->controller = vfork();
	if (!r->controller) {
		sigset_t all;

		sigfillset(&all);
		sigprocmask(SIG_SETMASK, &all, NULL);
		fcntl(ends[1], F_SETFD, 0);
		fcntl(self, F_SETFD, 0);
		snprintf(number[0], sizeof(number[0]), "%d", ends[1]);
		snprintf(number[1], sizeof(number[1]), "%d", self);
		execle(path, "tether-controller", number[0], number[1], NULL, (char *[]){ NULL });
		_exit(127);
	}
	close(ends[1]);
	close(self);
	return true;
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static bool verbose;

static void show(const struct round *r, const unsigned char *bytes, size_t length)
{
	struct proto_header header = { 0 };
	uint32_t word[4] = { 0 };

	memcpy(&header, bytes, length < sizeof(header) ? length : sizeof(header));
	if (length > sizeof(header))
		memcpy(word, bytes + sizeof(header), length - sizeof(header) < sizeof(word) ? length - sizeof(header) : sizeof(word));
	printf("%lu: %s, %zu bytes, %s, body %x %x %x %x\n", r->sent, proto_name(header.type), length,
	       proto_check(bytes, length) ? "malformed" : "well-formed", word[0], word[1], word[2], word[3]);
}

/* Bytes as they are, now and then with a descriptor that nobody asked for. */
static void put(struct round *r, const void *bytes, size_t length)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .header = { .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS } };
	struct iovec piece = { (void *)(uintptr_t)bytes, length };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };
	uint64_t until = now_ms() + 5000;

	if (verbose)
		show(r, bytes, length);
	if (r->ready && chance(&r->dice, 1, 200)) {
		memcpy(CMSG_DATA(&control.header), &r->socket, sizeof(int));
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
	}
	while (!r->ended && sendmsg(r->socket, &message, MSG_NOSIGNAL) < 0) {
		struct pollfd room = { .fd = r->socket, .events = POLLOUT };

		if (errno != EAGAIN || now_ms() > until)
			r->ended = true;
		else
			poll(&room, 1, 100);
	}
	r->sent++;
}

static void put_request(struct round *r, uint32_t type, const void *body, size_t size, const void *items, size_t items_size)
{
	unsigned char bytes[4096];
	struct proto_header header = { .type = type, .size = (uint32_t)(size + items_size), .id = r->sent + 1 };

	memcpy(bytes, &header, sizeof(header));
	memcpy(bytes + sizeof(header), body, size);
	memcpy(bytes + sizeof(header) + size, items, items_size);
	put(r, bytes, sizeof(header) + size + items_size);
}

/* Take what has come, answer most questions. True when an answer of this type was among it. */
static bool take(struct round *r, uint32_t type)
{
	static _Alignas(8) unsigned char bytes[PROTO_MESSAGE_MAX];
	bool found = false;

	for (;;) {
		struct proto_header header;
		struct proto_event event;
		ssize_t n = recv(r->socket, bytes, sizeof(bytes), 0);

		if (n < 0 && errno == EAGAIN)
			return found;
		if (n <= 0) {
			r->ended = true;
			return found;
		}
		if (proto_check(bytes, (size_t)n))
			return failed(r, "the controller sent a malformed message of %zd bytes", n);
		memcpy(&header, bytes, sizeof(header));
		found = found || header.type == type;
		if (header.type < 256)
			continue;
		memcpy(&event, bytes + sizeof(header), sizeof(event));
		if (!event.question)
			continue;
		r->question = event.question;
		if (chance(&r->dice, 7, 8)) {
			struct proto_answer go = { .question = event.question, .action = PROTO_GO };
			put_request(r, PROTO_REQ_answer, &go, sizeof(go), NULL, 0);
		}
	}
}

static bool await_answer(struct round *r, uint32_t type)
{
	uint64_t until = now_ms() + 10000;

	while (!take(r, type)) {
		struct pollfd ready = { .fd = r->socket, .events = POLLIN };

		if (r->ended || now_ms() > until)
			return false;
		poll(&ready, 1, 100);
	}
	return true;
}

static struct recipe recipe_of(enum place place)
{
	struct recipe recipe = { .length = place == PUSH ? 1 : 4, .width = 8 };

	memcpy(recipe.home, (const void *)function_at[place], recipe.length);
	recipe.reg_a = recipe.reg_b = RECIPE_REG_NONE;
	if (place == NOP)
		recipe.op = RECIPE_NOP;
	if (place == PUSH) {
		recipe.op = RECIPE_PUSH_REG;
		recipe.reg_a = 5;
	}
	if (place == SLOT) {
		memcpy(recipe.code, (const void *)place_step, 4);
		recipe.code[4] = 0xe9; /* jmp rel32 */
		recipe.code_length = 9;
		recipe.boundary = 4;
		recipe.fixups = 1;
		recipe.fixup[0] = (struct recipe_fixup){ .offset = 5, .target = (uint64_t)(uintptr_t)place_step + 4 };
	}
	return recipe;
}

static uint64_t gadget(void)
{
	static uint64_t found;
	char text[512];
	uint64_t start = 0, end = 0;
	FILE *maps = found ? NULL : fopen("/proc/self/maps", "re");

	while (maps && fgets(text, sizeof(text), maps))
		if (strstr(text, "[vdso]"))
			sscanf(text, "%lx-%lx", &start, &end);
	if (maps)
		fclose(maps);
	for (const unsigned char *at = (void *)(uintptr_t)start; !found && at + 1 < (unsigned char *)(uintptr_t)end; at++)
		if (at[0] == 0x0f && at[1] == 0x05)
			found = (uint64_t)(uintptr_t)at;
	return found;
}

static uint64_t address_at(enum place place)
{
	return (uint64_t)(uintptr_t)function_at[place];
}

enum { PID_NOWHERE = 1 << 23 }; /* above the kernel's largest pid_max */

static uint64_t some_value(struct round *r)
{
	const uint64_t mine[] = { 0, 1, ~UINT64_C(0), UINT64_C(1) << 63, INT32_MAX, UINT32_MAX, 4095, (uint64_t)r->victim,
				  r->question, address_at(NOP), address_at(PUSH) + 1, address_at(STEP),
				  (uint64_t)(uintptr_t)r, (uint64_t)(uintptr_t)board, (uint64_t)(uintptr_t)&printf, gadget() };

	if (chance(&r->dice, 1, 3))
		return draw(&r->dice) >> draw(&r->dice) % 64;
	return mine[draw(&r->dice) % (sizeof(mine) / sizeof(mine[0]))];
}

static uint32_t some_site_flags(struct round *r)
{
	uint32_t flags = chance(&r->dice, 1, 3) ? PROTO_SITE_COUNT : chance(&r->dice, 1, 2) ? PROTO_SITE_ASK : PROTO_SITE_REPORT;

	return flags | (chance(&r->dice, 1, 8) ? PROTO_SITE_ONCE : 0) | (chance(&r->dice, 1, 8) ? PROTO_SITE_GUARD : 0);
}

static void plant(struct round *r)
{
	bool slots = chance(&r->dice, 1, 4);
	enum place places[3] = { NOP, PUSH, slots ? SLOT : STEP };
	struct proto_plant body = { .pid = (uint32_t)r->victim, .items = 3, .gadget = slots ? gadget() : 0 };
	struct proto_site site[3] = { 0 };

	if (slots && chance(&r->dice, 1, 2))
		body.gadget = chance(&r->dice, 1, 2) ? some_value(r) : address_at(STEP) + 4; /* a lie: there is a ret */
	for (int i = 0; i < 3; i++)
		site[i] = (struct proto_site){ .address = address_at(places[i]), .id = places[i] + 1,
					       .flags = some_site_flags(r), .guard = (uint64_t)(uintptr_t)&board->wrong,
					       .recipe = recipe_of(places[i]) };
	put_request(r, PROTO_REQ_plant, &body, sizeof(body), site, sizeof(site));
}

/* Everything up to a victim with traps in it. */
static bool set_up(struct round *r, uint32_t state)
{
	struct proto_hello hello = { .magic = PROTO_MAGIC, .version = PROTO_VERSION, .arch = chance(&r->dice, 1, 2) };
	struct proto_grab grab = { .pid = (uint32_t)r->victim };

	memcpy(hello.build_id, proto_build_id, sizeof(hello.build_id));
	grab.hold = (struct proto_hold){
		.mode = PROTO_RUN,
		.flags = (chance(&r->dice, 2, 3) ? PROTO_FOLLOW : 0) | (chance(&r->dice, 1, 4) ? PROTO_PARK : 0) |
			 (chance(&r->dice, 1, 4) ? PROTO_PARK_CRASH : 0),
		.stacks = (uint32_t)draw(&r->dice) & (uint32_t)draw(&r->dice),
		.events = draw(&r->dice),
		.question_ns = UINT64_C(1000000) << draw(&r->dice) % 5,
	};
	if (state == PROTO_S_NEW)
		return true;
	put_request(r, PROTO_REQ_hello, &hello, sizeof(hello), NULL, 0);
	if (!await_answer(r, PROTO_ANS_hello))
		return failed(r, "no answer to hello");
	if (state == PROTO_S_IDLE)
		return true;
	put_request(r, PROTO_REQ_grab, &grab, sizeof(grab), NULL, 0);
	if (!await_answer(r, PROTO_ANS_grab))
		return failed(r, "no answer to grab");
	plant(r);
	if (!await_answer(r, PROTO_ANS_plant))
		return failed(r, "no answer to plant");
	/* Some rounds let the victim run into what was planted first. */
	for (uint64_t until = now_ms() + 5; chance(&r->dice, 1, 4) && now_ms() < until; poll(NULL, 0, 1))
		take(r, 0);
	return true;
}

/* ---- messages -------------------------------------------------------------------------------------------- */

static const uint32_t types[] = {
#define X(number, name, body, item, answer, when) (number), (number) + 1,
	PROTO_REQUESTS(X)
#undef X
#define X(number, name, body, item, want, keep, now) (number),
	PROTO_EVENTS(X)
#undef X
};
static const uint32_t requests[] = {
#define X(number, name, body, item, answer, when) (number),
	PROTO_REQUESTS(X)
#undef X
};

/* A request of some type with values that mean something, mostly. */
static size_t compose(struct round *r, uint32_t type, unsigned char *bytes)
{
	size_t size = proto_body_size(type);
	size_t item = proto_item_size(type);
	uint32_t count = item ? (uint32_t)(draw(&r->dice) % 5) : 0;
	unsigned char *body = bytes + sizeof(struct proto_header);

	for (size_t i = 0; i < size + count * item; i += 4) {
		uint32_t value = chance(&r->dice, 1, 2) ? 0 : (uint32_t)some_value(r);
		memcpy(body + i, &value, sizeof(value));
	}
	if (type == PROTO_REQ_answer) {
		struct proto_answer answer = { .question = r->question, .action = 1 + (uint32_t)(draw(&r->dice) % 4), .items = count };
		memcpy(body, &answer, sizeof(answer));
	} else if (type == PROTO_REQ_plant || type == PROTO_REQ_lift) {
		struct proto_lift head = { .pid = (uint32_t)r->victim, .items = count };
		memcpy(body, &head, offsetof(struct proto_lift, parts)); /* what follows is another thing in a plant */
	} else if (type == PROTO_REQ_grab) {
		struct proto_grab grab = { .hold = { .mode = PROTO_RUN }, .pid = (uint32_t)r->victim, .items = count };
		memcpy(body, &grab, sizeof(grab));
		r->holds = true;
	} else if (type == PROTO_REQ_create) {
		struct proto_create create = { .hold = { .mode = PROTO_RUN }, .pid = (uint32_t)some_value(r) };
		memcpy(body, &create, sizeof(create));
	} else if (type == PROTO_REQ_image) {
		struct proto_image image = { .id = some_value(r), .items = count };
		fill(&r->dice, &image.key, sizeof(image.key));
		memcpy(body, &image, sizeof(image));
	} else if (type == PROTO_REQ_get_regset || type == PROTO_REQ_set_regset) {
		static const uint32_t sets[] = { 1, 2, 0x202, 0x201 };
		struct proto_set_regset set = {
			(uint32_t)r->victim, (uint32_t)r->victim, sets[draw(&r->dice) % 4], type == PROTO_REQ_set_regset ? count : 0,
		};
		static_assert(sizeof(set) == sizeof(struct proto_get_regset), "one head for both");
		memcpy(body, &set, sizeof(set));
	} else if (type == PROTO_REQ_write) {
		struct proto_write write = { (uint32_t)r->victim, count, some_value(r) };
		memcpy(body, &write, sizeof(write));
	} else if (type == PROTO_REQ_go) {
		struct proto_task task = { (uint32_t)r->victim, chance(&r->dice, 1, 2) ? (uint32_t)r->victim : 0 };
		memcpy(body, &task, sizeof(task));
	} else if (size == sizeof(struct proto_pid) && type < 256) {
		struct proto_pid pid = { .pid = chance(&r->dice, 1, 4) ? 0 : (uint32_t)r->victim, .mode = (uint32_t)(draw(&r->dice) % 5) };
		memcpy(body, &pid, sizeof(pid));
	}
	for (uint32_t i = 0; i < count && item > sizeof(uint32_t); i++) {
		uint64_t address = some_value(r);
		memcpy(body + size + i * item, &address, sizeof(address));
	}
	struct proto_header header = { .type = type, .size = (uint32_t)(size + count * item), .id = r->sent + 1 };
	memcpy(bytes, &header, sizeof(header));
	return sizeof(header) + header.size;
}

static uint32_t harmless_mode(struct round *r, uint32_t mode)
{
	r->hang = r->hang || mode == PROTO_HANG;
	return mode == PROTO_KILL ? PROTO_RUN : mode;
}

static uint32_t harmless_pid(const struct round *r, uint32_t pid)
{
	return pid == (uint32_t)r->victim ? pid : pid | PID_NOWHERE;
}

static void tame_sites(const struct round *r, unsigned char *items, uint32_t count)
{
	for (uint32_t i = 0; i < count && !r->disposable; i++) {
		struct proto_site site;
		enum place place = NOP;

		memcpy(&site, items + i * sizeof(site), sizeof(site));
		for (enum place p = NOP; p < PLACES; p++)
			if (site.address == address_at(p))
				place = p;
		/* Elsewhere it fits a function that begins with endbr64, or is refused. */
		site.recipe = recipe_of(place);
		memcpy(items + i * sizeof(site), &site, sizeof(site));
	}
}

/* What a permitted message may rightly do is not to be judged as harm: see above. */
static void tame(struct round *r, unsigned char *bytes, size_t length)
{
	struct proto_header header;
	unsigned char *body = bytes + sizeof(header);

	if (proto_check(bytes, length))
		return;
	memcpy(&header, bytes, sizeof(header));
	if (header.type == PROTO_REQ_set_mode || header.type == PROTO_REQ_release) {
		struct proto_pid *pid = (void *)body;
		pid->mode = harmless_mode(r, pid->mode);
	} else if (header.type == PROTO_REQ_grab) {
		struct proto_grab *grab = (void *)body;
		grab->hold.mode = harmless_mode(r, grab->hold.mode);
		grab->pid = harmless_pid(r, grab->pid);
		for (uint32_t i = 0; i < grab->items; i++)
			((uint32_t *)(grab + 1))[i] = harmless_pid(r, ((uint32_t *)(grab + 1))[i]);
	} else if (header.type == PROTO_REQ_create) {
		struct proto_create *create = (void *)body;
		create->hold.mode = harmless_mode(r, create->hold.mode);
		create->pid = chance(&r->dice, 1, 2) ? 0 : harmless_pid(r, create->pid | 1); /* which is no child of it */
		create->payload_fd |= 1 << 20; /* no file of ours is a list of programs to run */
	} else if (header.type == PROTO_REQ_plant) {
		tame_sites(r, body + sizeof(struct proto_plant), ((struct proto_plant *)body)->items);
	} else if (header.type == PROTO_REQ_write && !r->disposable) {
		((struct proto_write *)body)->address |= UINT64_C(1) << 62; /* nowhere */
	} else if (header.type == PROTO_REQ_answer) {
		tame_sites(r, body + sizeof(struct proto_answer), ((struct proto_answer *)body)->items);
	}
}

static void mutate(struct round *r, unsigned char *bytes, size_t *length)
{
	unsigned times = 1 + draw(&r->dice) % 4;

	for (unsigned i = 0; i < times; i++) {
		uint64_t value = some_value(r);

		switch (draw(&r->dice) % 7) {
		case 0: /* a bit */
			bytes[draw(&r->dice) % *length] ^= (unsigned char)(1u << draw(&r->dice) % 8);
			break;
		case 1: /* a word */
			memcpy(bytes + (draw(&r->dice) % *length & ~(uint64_t)3), &value, 4);
			break;
		case 2: /* a long word */
			memcpy(bytes + (draw(&r->dice) % *length & ~(uint64_t)7), &value, 8);
			break;
		case 3: /* cut */
			*length = 1 + draw(&r->dice) % *length;
			break;
		case 4: /* stretched */
			*length += draw(&r->dice) % 64;
			break;
		case 5: /* another type */
			memcpy(bytes, &types[draw(&r->dice) % (sizeof(types) / sizeof(types[0]))], 4);
			break;
		case 6: /* a word of the body, where numbers of items are told */
			memcpy(bytes + sizeof(struct proto_header) + 4 * (draw(&r->dice) % 12), &value, 4);
			break;
		}
	}
}

static _Alignas(8) unsigned char buffer[2 * PROTO_MESSAGE_MAX];

static void put_one(struct round *r)
{
	size_t length;

	if (chance(&r->dice, 1, 40)) { /* raw, up to more than a message may have */
		length = draw(&r->dice) % (chance(&r->dice, 1, 4) ? sizeof(buffer) : 256);
		fill(&r->dice, buffer, length);
	} else {
		uint32_t type = requests[draw(&r->dice) % (sizeof(requests) / sizeof(requests[0]))];
		length = compose(r, type, buffer);
		if (chance(&r->dice, 1, 4))
			mutate(r, buffer, &length);
	}
	tame(r, buffer, length);
	put(r, buffer, length);
}

/* Whatever came before, this one is malformed. */
static void put_malformed(struct round *r)
{
	size_t length = compose(r, requests[draw(&r->dice) % (sizeof(requests) / sizeof(requests[0]))], buffer);

	do
		mutate(r, buffer, &length);
	while (!proto_check(buffer, length));
	put(r, buffer, length);
}

/* ---- the judge ------------------------------------------------------------------------------------------- */

static bool controller_ends(struct round *r)
{
	int status, pidfd = (int)syscall(SYS_pidfd_open, r->controller, 0);
	struct pollfd end = { .fd = pidfd, .events = POLLIN };

	/* Rule 9: with a victim left hanging it stays for what the kernel does at the client's death. */
	if (r->hang)
		kill(r->client, SIGKILL);
	/* Where nothing is held, there is nothing to wait for. */
	bool ended = poll(&end, 1, r->holds ? 10000 : 4000) == 1;
	close(pidfd);
	kill(r->client, SIGKILL);
	waitpid(r->client, NULL, 0);
	if (!ended) {
		failed(r, "the controller does not end");
		kill(r->controller, SIGKILL);
	}
	waitpid(r->controller, &status, 0);
	if (ended && (!WIFEXITED(status) || WEXITSTATUS(status)))
		return failed(r, "the controller ended with status %x", status);
	return ended;
}

/* The first thread that is traced or stands; 0: none. */
static int held_thread(pid_t pid)
{
	char path[64], text[4096];
	struct dirent *entry;
	int held = 0;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	DIR *folder = opendir(path);
	while (folder && !held && (entry = readdir(folder))) {
		int tid = atoi(entry->d_name), tracer = 0;
		char state = 0;

		snprintf(path, sizeof(path), "/proc/%d/task/%d/status", pid, tid);
		FILE *file = tid ? fopen(path, "re") : NULL;
		while (file && fgets(text, sizeof(text), file))
			if (sscanf(text, "State: %c", &state) != 1 && sscanf(text, "TracerPid: %d", &tracer) == 1)
				break;
		if (file)
			fclose(file);
		if (tracer || state == 't' || state == 'T')
			held = tid;
	}
	if (folder)
		closedir(folder);
	return held;
}

/* Our own text is what the victim's was forked from, and nobody traces us. */
static const char *text_that_differs(pid_t pid)
{
	static char text[512];
	static unsigned char theirs[1 << 20];
	const char *differs = NULL;
	FILE *maps = fopen("/proc/self/maps", "re");

	while (maps && !differs && fgets(text, sizeof(text), maps)) {
		uint64_t start, end, inode = 0;
		char mode[8];

		if (sscanf(text, "%lx-%lx %7s %*s %*s %lu", &start, &end, mode, &inode) < 4 || !inode || mode[2] != 'x')
			continue;
		for (uint64_t at = start; at < end && !differs; at += sizeof(theirs)) {
			size_t length = end - at < sizeof(theirs) ? end - at : sizeof(theirs);
			struct iovec to = { theirs, length }, from = { (void *)(uintptr_t)at, length };

			if (process_vm_readv(pid, &to, 1, &from, 1, 0) != (ssize_t)length ||
			    memcmp(theirs, (void *)(uintptr_t)at, length))
				differs = text;
		}
	}
	if (maps)
		fclose(maps);
	return differs;
}

static bool goes_on(struct round *r)
{
	unsigned long before[3];
	uint64_t until = now_ms() + 10000;

	for (int i = 0; i < 3; i++)
		before[i] = __atomic_load_n(&board->rounds[i], __ATOMIC_RELAXED);
	for (int i = 0; i < 3; i++)
		while (__atomic_load_n(&board->rounds[i], __ATOMIC_RELAXED) < before[i] + 2) {
			if (now_ms() > until)
				return failed(r, "thread %d of the victim does not go on", i);
			poll(NULL, 0, 1);
		}
	if (board->wrong)
		return failed(r, "thread %d of the victim computed wrong", board->wrong - 1);
	return true;
}

static bool judge(struct round *r)
{
	uint64_t until = now_ms() + 5000;
	int status, held;
	const char *text;

	if (r->hang)
		kill(-r->victim, SIGCONT); /* its children hang with it */
	while ((held = held_thread(r->victim)) && now_ms() < until)
		poll(NULL, 0, 1);
	if (waitpid(r->victim, &status, WNOHANG) != 0)
		return failed(r, "the victim ended with status %x", status);
	if (held)
		return failed(r, "thread %d of the victim is held", held);
	text = text_that_differs(r->victim);
	if (text)
		return failed(r, "text differs from the file: %s", text);
	return goes_on(r);
}

static bool run_round(struct round *r, const char *controller)
{
	const uint32_t state = chance(&r->dice, 4, 5) ? PROTO_S_HOLDING : chance(&r->dice, 1, 2) ? PROTO_S_IDLE : PROTO_S_NEW;
	unsigned count = draw(&r->dice) % 40;
	bool malformed = chance(&r->dice, 3, 4);
	bool right;

	r->holds = state == PROTO_S_HOLDING;
	if (!start_controller(r, controller))
		return false;
	right = set_up(r, state);
	r->ready = true;
	for (unsigned i = 0; right && i < count && !r->ended; i++) {
		put_one(r);
		take(r, 0);
	}
	if (malformed && !r->ended)
		put_malformed(r); /* the line stays open: it must end by itself */
	else
		close(r->socket);
	right = controller_ends(r) && right;
	if (malformed && !r->ended)
		close(r->socket);
	return right;
}

int main(int argc, char **argv)
{
	unsigned long rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 1000, first = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;
	unsigned long messages = 0;
	bool right = true;
	pid_t victim;

	if (argc < 2)
		return 2;
	verbose = argc > 4;
	board = mmap(NULL, 2 * sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (board == MAP_FAILED)
		return 2;
	victim = victim_start();
	for (unsigned long i = first; right && i < first + rounds; i++) {
		struct round r = { .number = i, .victim = victim };

		dice_begin(&r.dice, i);
		r.disposable = chance(&r.dice, 1, 12);
		if (r.disposable) {
			board++;
			r.victim = victim_start();
			right = run_round(&r, argv[1]);
			kill(r.victim, SIGKILL);
			waitpid(r.victim, NULL, 0);
			board--;
		} else {
			right = run_round(&r, argv[1]) && judge(&r);
		}
		messages += r.sent;
	}
	kill(victim, SIGKILL);
	waitpid(victim, NULL, 0);
	printf("%lu messages\n", messages);
	return right ? 0 : 1;
}
