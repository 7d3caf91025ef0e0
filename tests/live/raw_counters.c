/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * raw_counters.c - counters that the client shares with the controller, a client that lies about them, and sites that
 * come and go under load
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <tether/error.h>

#include "raw.h"

enum { COUNT = 8192 };

/* The result; fd -1: none goes along. The body of either request is one number. */
static int tell_of(struct line *line, uint32_t type, uint64_t count, int fd)
{
	struct {
		struct proto_header header;
		struct proto_counters body;
	} request = { { type, sizeof(request.body), ++line->id }, { count } };
	union {
		struct cmsghdr head;
		unsigned char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec piece = { &request, sizeof(request) };
	struct msghdr header = { .msg_iov = &piece, .msg_iovlen = 1 };
	struct message m;

	if (fd >= 0) {
		header.msg_control = &control;
		header.msg_controllen = sizeof(control);
		control.head = (struct cmsghdr){ CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
		memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
	}
	if (sendmsg(line->socket, &header, MSG_NOSIGNAL) < 0 || !await(line, type + 1, request.header.id, &m))
		return -EPIPE;
	return m.u.result.result;
}

static int tell(struct line *line, uint64_t count, int fd)
{
	return tell_of(line, PROTO_REQ_counters, count, fd);
}

static int tell_ring(struct line *line, int fd)
{
	return tell_of(line, PROTO_REQ_ring, 0, fd);
}

static int memory_file(size_t size, int seals)
{
	int fd = memfd_create("counters", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)size) < 0 || (seals && fcntl(fd, F_ADD_SEALS, seals) < 0))
		abort();
	return fd;
}

static int plain_file(size_t size)
{
	char path[] = "/tmp/tether-counters-XXXXXX";
	int fd = mkostemp(path, O_CLOEXEC);

	if (fd < 0 || unlink(path) < 0 || ftruncate(fd, (off_t)size) < 0)
		abort();
	return fd;
}

/* SIGBUS in the controller would be the one death that nobody makes good. */
TEST(counters_that_could_be_cut_short_are_not_mapped)
{
	const size_t size = COUNT * sizeof(uint64_t);
	struct options o = { .mode = PROTO_KILL };
	struct message m;
	pid_t pid = create(line, &o, ROLE("rounds", "1", "100"), &m);
	int whole = memory_file(size, F_SEAL_SHRINK), pipes[2];
	struct {
		int fd;
		uint64_t count;
	} lies[] = {
		{ -1, COUNT },
		{ plain_file(size), COUNT },
		{ memory_file(size, 0), COUNT },
		{ memory_file(size, F_SEAL_GROW), COUNT },
		{ memory_file(size - 1, F_SEAL_SHRINK), COUNT },
		{ memory_file(0, F_SEAL_SHRINK), 1 },
		{ whole, 0 },
		{ whole, UINT64_MAX },
		{ whole, (UINT64_MAX >> 3) + 2 },
		{ memory_file(size, F_SEAL_SHRINK | F_SEAL_WRITE), COUNT },
	};

	if (pipe2(pipes, O_CLOEXEC) < 0)
		abort();
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		int r = tell(line, lies[i].count, lies[i].fd);

		CHECK(line, r < 0 && r != -EPIPE, "lie %zu: %d", i, r);
		if (lies[i].fd != whole)
			close(lies[i].fd);
	}
	CHECK(line, tell(line, COUNT, pipes[0]) == -TETHER_EINVALID, "a pipe");
	CHECK(line, !tell(line, COUNT, whole), "whole");
	CHECK(line, tell(line, COUNT, whole) == -EEXIST, "twice");
	close(pipes[0]);
	close(pipes[1]);
	close(whole);
	answer_question(line, m.u.event.question, PROTO_GO);
	expect_exit(line, pid, 0);
}

TEST(hits_are_counted_in_the_counters_of_a_site_and_nowhere_else)
{
	static const uint32_t counter[MAX_SITE_COUNTERS] = { 1, COUNT - 1, COUNT, UINT32_MAX, 0, 5, 1 << 31, 0 };
	struct options o = { .mode = PROTO_KILL };
	struct message m;
	pid_t pid = create(line, &o, ROLE("rounds", "4", "200"), &m);
	int fd = memory_file(COUNT * sizeof(uint64_t), F_SEAL_SHRINK);
	uint64_t *value = mmap(NULL, COUNT * sizeof(*value), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), sum = 0;

	CHECK(line, !tell(line, COUNT, fd), "counters");
	CHECK(line, ftruncate(fd, 0) < 0 && errno == EPERM, "it can be cut short");
	close(fd);
	CHECK(line, !plant_counted(line, pid, PROTO_SITE_PROBE, counter), "plant");
	answer_question(line, m.u.event.question, PROTO_GO);
	expect_exit(line, pid, 0);
	for (size_t i = 0; i < COUNT; i++)
		sum += value[i];
	CHECK(line, value[1] == 3 * 4 * 200 && value[1] == value[5] && value[1] == value[COUNT - 1], "%lu, %lu, %lu", value[1], value[5],
	      value[COUNT - 1]);
	CHECK(line, sum == 3 * value[1], "%lu in all, three times %lu", sum, value[1]);
	CHECK(line, !line->count[PROTO_EV_hit], "%u hits were told of", line->count[PROTO_EV_hit]);
	munmap(value, COUNT * sizeof(*value));
}

/* ---- the ring of calls ---------------------------------------------------------------------------------- */

enum { SHARED = PROTO_RING_PAGE + RING_BYTES };

TEST(a_ring_that_could_be_cut_short_is_not_mapped)
{
	struct options o = { .mode = PROTO_KILL };
	struct message m;
	pid_t pid = create(line, &o, ROLE("rounds", "1", "100"), &m);
	int whole = memory_file(SHARED, F_SEAL_SHRINK);
	int lies[] = { -1, plain_file(SHARED), memory_file(SHARED, 0), memory_file(SHARED, F_SEAL_GROW),
		       memory_file(SHARED - 1, F_SEAL_SHRINK), memory_file(SHARED, F_SEAL_SHRINK | F_SEAL_WRITE) };

	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		int r = tell_ring(line, lies[i]);

		CHECK(line, r < 0 && r != -EPIPE, "lie %zu: %d", i, r);
		close(lies[i]);
	}
	CHECK(line, !tell_ring(line, whole), "whole");
	CHECK(line, tell_ring(line, whole) == -EEXIST, "twice");
	close(whole);
	answer_question(line, m.u.event.question, PROTO_GO);
	expect_exit(line, pid, 0);
}

static int plant_calls(struct line *line, pid_t pid, uint32_t returns)
{
	struct proto_site like = { .counter = { 1 }, .returns = { returns }, .wants = { PROTO_PROBE_CALL | PROTO_PROBE_STACK } };

	return plant_like(line, pid, PROTO_SITE_PROBE, &like);
}

/* Whatever the client writes into it, the controller writes into the ring only, and goes on. */
TEST(a_client_that_lies_about_what_it_has_taken_harms_nobody)
{
	struct options o = { .mode = PROTO_KILL };
	struct message m;
	pid_t pid = create(line, &o, ROLE("rounds", "4", "1000"), &m);
	int fd = memory_file(SHARED, F_SEAL_SHRINK), counters = memory_file(COUNT * sizeof(uint64_t), F_SEAL_SHRINK);
	struct proto_ring *ring = mmap(NULL, SHARED, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	uint64_t *value = mmap(NULL, COUNT * sizeof(*value), PROT_READ | PROT_WRITE, MAP_SHARED, counters, 0);

	CHECK(line, !tell(line, COUNT, counters) && !tell_ring(line, fd), "shared");
	close(fd);
	close(counters);
	CHECK(line, !plant_calls(line, pid, 0), "plant");
	answer_question(line, m.u.event.question, PROTO_GO);
	for (uint64_t i = 0; !line->failed && !line->count[PROTO_EV_exit]; i++) {
		static const uint64_t lies[] = { 0, 1, 7, RING_BYTES, UINT64_MAX, UINT64_MAX / 2, 1 << 20 };

		ring->tail = lies[i % 7] + (i % 3 ? ring->head : 0);
		ring->head = i % 5 ? ring->head : lies[i % 7];
		ring->waiting = i % 2;
		ring->lost = i;
		if (i % 64 == 0)
			(void)stats_of(line);
	}
	CHECK(line, !line->last[PROTO_EV_exit].u.exit.status, "it ended with %x", line->last[PROTO_EV_exit].u.exit.status);
	CHECK(line, value[1] == 3 * 4 * 1000, "%lu", value[1]);
	munmap(ring, SHARED);
	munmap(value, COUNT * sizeof(*value));
}

/* Nobody reads: what finds no room is counted, and the victim does not wait. */
TEST(a_ring_that_is_full_stalls_nobody_and_counts)
{
	struct options o = { .mode = PROTO_KILL };
	struct message m;
	pid_t pid = create(line, &o, ROLE("rounds", "4", "2000"), &m);
	int fd = memory_file(SHARED, F_SEAL_SHRINK), counters = memory_file(COUNT * sizeof(uint64_t), F_SEAL_SHRINK);
	struct proto_ring *ring = mmap(NULL, SHARED, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	const unsigned char *bytes = (const unsigned char *)ring + PROTO_RING_PAGE;
	uint64_t records = 0;

	CHECK(line, !tell(line, COUNT, counters) && !tell_ring(line, fd), "shared");
	close(fd);
	close(counters);
	CHECK(line, !plant_calls(line, pid, 0), "plant");
	answer_question(line, m.u.event.question, PROTO_GO);
	expect_exit(line, pid, 0);
	CHECK(line, ring->head <= RING_BYTES, "%lu bytes", ring->head);
	for (uint64_t at = 0; at < ring->head && !line->failed; records++) {
		struct proto_call call;

		memcpy(&call, bytes + at, sizeof(call));
		CHECK(line, call.kind == PROTO_CALL && call.size >= sizeof(call) && call.size % 8 == 0 && call.counter[0] == 1,
		      "record %lu", records);
		if (line->failed)
			break;
		at += call.size;
	}
	CHECK(line, ring->lost > 0 && ring->lost + records == 3 * 4 * 2000, "%lu lost, %lu records", ring->lost, records);
	munmap(ring, SHARED);
}

/* The question where a call comes back to has a deadline; what nobody answers is missed, and said to be. */
TEST(callers_that_nobody_answers_for_are_missed)
{
	struct options o = { .mode = PROTO_KILL, .question_ns = 20000000 };
	struct message m;
	pid_t pid = create(line, &o, ROLE("rounds", "2", "50"), &m);
	int counters = memory_file(COUNT * sizeof(uint64_t), F_SEAL_SHRINK);
	uint64_t *value = mmap(NULL, COUNT * sizeof(*value), PROT_READ | PROT_WRITE, MAP_SHARED, counters, 0);

	CHECK(line, !tell(line, COUNT, counters), "shared");
	close(counters);
	CHECK(line, !plant_calls(line, pid, 10), "plant");
	answer_question(line, m.u.event.question, PROTO_GO);
	expect_exit(line, pid, 0);
	CHECK(line, line->count[PROTO_EV_caller] >= 1, "nothing was asked");
	CHECK(line, value[10 + PROTO_RETURNS] == 0 && value[10 + PROTO_RETURNS_MISSED] == 3 * 2 * 50, "%lu, %lu missed", value[10],
	      value[11]);
	munmap(value, COUNT * sizeof(*value));
}

/* One that must be stepped in place: the original stands for the one that steps, whatever is planted meanwhile. */
TEST(sites_planted_again_while_threads_step_over_them_harm_nobody)
{
	struct options o = { .mode = PROTO_KILL };
	struct message m;
	pid_t pid = create(line, &o, ROLE("rounds", "4", "4000"), &m);
	struct {
		struct proto_lift body;
		uint64_t address;
	} lift = { .body = { .pid = (uint32_t)pid, .items = 1 } };

	CHECK(line, !plant_all(line, pid, PROTO_SITE_COUNT, false), "plant");
	lift.address = (uint64_t)(uintptr_t)place_step - (uint64_t)(uintptr_t)__executable_start + base_of(pid);
	answer_question(line, m.u.event.question, PROTO_GO);
	for (int i = 0; i < 2000 && !line->count[PROTO_EV_exit] && !line->failed; i++) {
		send_body(line, PROTO_REQ_lift, &lift, sizeof(lift));
		/* It may have ended meanwhile. */
		(void)plant_all(line, pid, PROTO_SITE_COUNT, false);
	}
	if (line->count[PROTO_EV_exit])
		CHECK(line, !line->last[PROTO_EV_exit].u.exit.status, "it ended with %x", line->last[PROTO_EV_exit].u.exit.status);
	else
		expect_exit(line, pid, 0);
}

const struct raw_test counter_tests[] = {
	RAW_TEST(sites_planted_again_while_threads_step_over_them_harm_nobody),
	RAW_TEST(counters_that_could_be_cut_short_are_not_mapped),
	RAW_TEST(a_ring_that_could_be_cut_short_is_not_mapped),
	RAW_TEST(a_client_that_lies_about_what_it_has_taken_harms_nobody),
	RAW_TEST(a_ring_that_is_full_stalls_nobody_and_counts),
	RAW_TEST(callers_that_nobody_answers_for_are_missed),
	RAW_TEST(hits_are_counted_in_the_counters_of_a_site_and_nowhere_else),
};
const size_t counter_test_count = sizeof(counter_tests) / sizeof(counter_tests[0]);
