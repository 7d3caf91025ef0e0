/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench-observe PID NAME ROUNDS - grab, name one address, release, of a process that is in the cache
 *
 * The floor is one process_vm_readv(2) of three words of the process: what it takes to see that an answer still holds, but
 * for an address of what came with the program, where less does most of the time.
 * "at once": one after the other, where a look is not repeated within 10 us; "checked": each waits for longer than that
 * first, so that each looks. Printed are medians of rounds.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <tether/tether.h>
#include <time.h>

enum { MOST_ROUNDS = 101, TURNS = 2000, APART_NS = 15000 };

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/* It does not sleep: a processor that has slept is slow for a while. */
static void pass(uint64_t ns)
{
	for (uint64_t until = now() + ns; now() < until;)
		;
}

struct bench {
	struct tether_session *session;
	int64_t pid;
	uint64_t address;
};

static int name_once(const struct bench *bench)
{
	struct tether_grab_opts opts = { .size = sizeof(opts), .flags = TETHER_OBSERVE };
	struct tether_symbol symbol = { .size = sizeof(symbol) };
	struct tether *process;
	char text[512];
	int result = tether_grab(bench->session, bench->pid, &opts, &process, NULL);

	if (result == 0) {
		result = tether_symbol_at(process, bench->address, NULL, &symbol, text, sizeof(text));
		tether_release(process);
	}
	return result;
}

static int read_once(const struct bench *bench)
{
	uint64_t words[3];
	struct iovec local[3], remote[3];

	for (int i = 0; i < 3; i++) {
		local[i] = (struct iovec){ &words[i], sizeof(words[i]) };
		remote[i] = (struct iovec){ (char *)(uintptr_t)(bench->address & ~UINT64_C(4095)), sizeof(words[i]) };
	}
	return process_vm_readv((pid_t)bench->pid, local, 3, remote, 3, 0) == sizeof(words) ? 0 : -1;
}

/* Nanoseconds of one, without the time between; 0: it fails. */
static uint64_t measure(const struct bench *bench, int (*once)(const struct bench *), uint64_t apart)
{
	uint64_t total = 0, begin = now();

	for (int i = 0; i < TURNS; i++) {
		if (apart) {
			pass(apart);
			begin = now();
		}
		if (once(bench) != 0)
			return 0;
		if (apart)
			total += now() - begin;
	}
	return (apart ? total : now() - begin) / TURNS;
}

static int by_value(const void *a, const void *b)
{
	uint64_t one = *(const uint64_t *)a, other = *(const uint64_t *)b;

	return (one > other) - (one < other);
}

static int find(struct bench *bench, const char *name)
{
	struct tether_grab_opts opts = { .size = sizeof(opts), .flags = TETHER_OBSERVE };
	struct tether_symbol symbol = { .size = sizeof(symbol) };
	struct tether *process;
	int result = tether_grab(bench->session, bench->pid, &opts, &process, NULL);

	if (result < 0)
		return result;
	result = tether_symbol_find(process, name, NULL, &symbol, NULL, 0);
	bench->address = symbol.address + 1;
	tether_release(process);
	return result;
}

int main(int argc, char **argv)
{
	enum { FLOOR, AT_ONCE, CHECKED, MEASURES };
	static const char *const keys[MEASURES] = { "floor_ns", "at_once_ns", "checked_ns" };
	uint64_t values[MEASURES][MOST_ROUNDS];
	int rounds = argc == 4 ? atoi(argv[3]) : 0;
	struct bench bench = { .pid = argc > 1 ? atoll(argv[1]) : 0 };

	if (rounds < 1 || rounds > MOST_ROUNDS || tether_session_open(NULL, &bench.session, NULL) < 0 ||
	    find(&bench, argv[2]) < 0) {
		fprintf(stderr, "bench-observe PID NAME ROUNDS\n");
		return 1;
	}
	for (int i = 0; i < rounds; i++) {
		values[FLOOR][i] = measure(&bench, read_once, APART_NS);
		values[AT_ONCE][i] = measure(&bench, name_once, 0);
		values[CHECKED][i] = measure(&bench, name_once, APART_NS);
	}
	for (int i = 0; i < MEASURES; i++) {
		qsort(values[i], (size_t)rounds, sizeof(values[i][0]), by_value);
		printf("{\"%s\":%" PRIu64 "}\n", keys[i], values[i][rounds / 2]);
	}
	tether_session_close(bench.session);
	return 0;
}
