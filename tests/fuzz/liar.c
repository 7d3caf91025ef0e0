/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * liar - stands between the library and a real controller, and falsifies what the controller says
 *
 *	library ◄──── mutated, cut, doubled, lost, invented ──── liar ◄──── controller
 *	        ─────────────────── as it is ──────────────────►      ────►
 *
 * Started by the library in the controller's place, with nothing but two descriptors: the file liar.conf beside it (its
 * own name and .conf) tells the number that all is drawn from, and where the controller is. Some time after its first lie it closes the
 * line, as an answer that was lost would be waited for. The controller then sees its client gone, and lets go.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "proto/proto.h"

#include "dice.h"

static struct dice dice;
static long victim; /* as the grab or create was answered */
static _Alignas(8) unsigned char message[2 * PROTO_MESSAGE_MAX];

static const uint32_t types[] = {
#define X(number, name, body, item, answer, when) (number), (number) + 1,
	PROTO_REQUESTS(X)
#undef X
#define X(number, name, body, item, want, keep, now) (number),
	PROTO_EVENTS(X)
#undef X
};
static const uint32_t events[] = {
#define X(number, name, body, item, want, keep, now) (number),
	PROTO_EVENTS(X)
#undef X
};

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static uint64_t some_value(void)
{
	const uint64_t some[] = { 0, 1, ~UINT64_C(0), UINT64_C(1) << 63, UINT32_C(1) << 31, INT32_MAX, 4096, 4125,
				  (uint64_t)-4097, (uint64_t)victim, (uint64_t)getpid(), 0x400000 };

	return chance(&dice, 1, 3) ? draw(&dice) >> draw(&dice) % 64 : some[draw(&dice) % (sizeof(some) / sizeof(some[0]))];
}

static void put(int to, size_t length)
{
	send(to, message, length, MSG_NOSIGNAL); /* the library may have given up: it shows at the next receive */
}

/* An event that the controller did not see. */
static void invent(int to)
{
	struct proto_header header = { .type = events[draw(&dice) % (sizeof(events) / sizeof(events[0]))] };
	unsigned char *body = message + sizeof(header);
	struct proto_event event = { .pid = (uint32_t)victim, .tid = (uint32_t)victim, .question = chance(&dice, 1, 2) };

	header.size = (uint32_t)proto_body_size(header.type);
	for (size_t i = 0; i < header.size; i += 4) {
		uint32_t value = (uint32_t)some_value();
		memcpy(body + i, &value, sizeof(value));
	}
	if (chance(&dice, 7, 8))
		memcpy(body, &event, sizeof(event));
	memcpy(message, &header, sizeof(header));
	put(to, sizeof(header) + header.size);
}

static void lie(int to, size_t length)
{
	uint64_t value = some_value();
	size_t at = sizeof(struct proto_header) + draw(&dice) % (length - sizeof(struct proto_header));

	switch (draw(&dice) % 10) {
	case 0: /* a bit, anywhere */
		message[draw(&dice) % length] ^= (unsigned char)(1u << draw(&dice) % 8);
		break;
	case 1:
	case 2: /* a word of the body */
		memcpy(message + (at & ~(size_t)3), &value, 4);
		break;
	case 3: /* a long word of the body */
		memcpy(message + (at & ~(size_t)7), &value, 8);
		break;
	case 4: /* cut */
		length = draw(&dice) % length;
		break;
	case 5: /* stretched */
		length += 1 + draw(&dice) % 4096;
		break;
	case 6: /* another type */
		memcpy(message, &types[draw(&dice) % (sizeof(types) / sizeof(types[0]))], 4);
		break;
	case 7: /* twice */
		put(to, length);
		break;
	case 8: /* never */
		return;
	case 9: /* raw */
		length = 1 + draw(&dice) % (chance(&dice, 1, 4) ? sizeof(message) - 1 : 200);
		fill(&dice, message, length);
		break;
	}
	put(to, length);
}

static void note_victim(void)
{
	struct proto_header header;
	struct proto_created created;

	memcpy(&header, message, sizeof(header));
	memcpy(&created, message + sizeof(header), sizeof(created));
	if (header.type == PROTO_ANS_create)
		victim = created.pid;
}

/* What the library asks is handed on; what it asks to grab is remembered. */
static bool forward(int from, int to)
{
	ssize_t n = recv(from, message, sizeof(message), 0);
	struct proto_header header;
	struct proto_grab grab;

	if (n <= 0)
		return false;
	memcpy(&header, message, sizeof(header));
	if (header.type == PROTO_REQ_grab) {
		memcpy(&grab, message + sizeof(header), sizeof(grab));
		victim = grab.pid;
	}
	put(to, (size_t)n);
	return true;
}

static void stand_between(int library, int controller)
{
	unsigned truths = (unsigned)(draw(&dice) % 12); /* before the first lie */
	uint64_t end = UINT64_MAX;

	for (;;) {
		struct pollfd fd[2] = { { .fd = library, .events = POLLIN }, { .fd = controller, .events = POLLIN } };
		uint64_t now = now_ms();

		if (now >= end)
			return;
		poll(fd, 2, end == UINT64_MAX ? -1 : (int)(end - now));
		if (fd[0].revents && !forward(library, controller))
			return;
		if (!fd[1].revents)
			continue;
		ssize_t n = recv(controller, message, PROTO_MESSAGE_MAX, 0);
		if (n <= (ssize_t)sizeof(struct proto_header))
			return;
		note_victim();
		if (truths) {
			truths--;
			put(library, (size_t)n);
			continue;
		}
		if (end == UINT64_MAX)
			end = now_ms() + 1 + draw(&dice) % 40;
		if (chance(&dice, 1, 2))
			put(library, (size_t)n);
		else
			lie(library, (size_t)n);
		if (chance(&dice, 1, 3))
			invent(library);
	}
}

int main(int argc, char **argv)
{
	char path[4096] = "", real[4096];
	unsigned long long seed;
	int ends[2];
	FILE *conf;

	if (argc < 3 || readlink("/proc/self/exe", path, sizeof(path) - 6) < 0)
		return 2;
	strcat(path, ".conf");
	conf = fopen(path, "re");
	if (!conf || fscanf(conf, "%llu %4095s", &seed, real) != 2 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return 2;
	fclose(conf);
	dice_begin(&dice, seed);
	/* A victim that was made on the way is the child and the tracee of this very process: it turns into the controller. */
	if (fork() == 0) {
		close(ends[1]);
		stand_between(atoi(argv[1]), ends[0]);
		_exit(0);
	}
	char number[16];

	snprintf(number, sizeof(number), "%d", ends[1]);
	fcntl(ends[1], F_SETFD, 0);
	close(atoi(argv[1]));
	close(ends[0]);
	execle(real, "tether-controller", number, argv[2], NULL, (char *[]){ NULL });
	return 127;
}
