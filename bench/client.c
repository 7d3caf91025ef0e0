/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench/client.c - the same work done through the library's public interface
 *
 *	bench-client launch ROUNDS VICTIM [MARKER] plain posix_spawn and tether_create in turn, to main; MARKER: what
 *	                                           is preloaded into a program that does not measure itself
 *	bench-client follow VICTIM ARG...          hold it to its end, count the events
 *	bench-client grab PID ROUNDS [no-park]     grab and release
 *	bench-client plant PID OBJECT:FUNCTION FILE    count functions, and not any more; FILE: gets their addresses
 *	bench-client many COUNT TURNS VICTIM PLUGIN    so many victims at once: memory, cost of an event
 *
 * Each prints one line of JSON on stderr (stdout is the victim's).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tether/tether.h>

#include "measure.h"

extern char **environ;

enum { EVENT_KINDS = 64, MANY_MAX = 1024 };

struct counter {
	int64_t pid;
	bool over;
	unsigned long events[EVENT_KINDS];
};

static _Noreturn void give_up(const char *what, int code, const struct tether_error *error)
{
	fprintf(stderr, "bench-client: %s: %s\n", what,
		error && error->message[0] ? error->message : tether_strerror(code));
	exit(1);
}

static void count_event(const struct tether_event *event, void *data)
{
	struct counter *counter = data;

	if (event->kind < EVENT_KINDS)
		counter->events[event->kind]++;
	if (event->pid == counter->pid &&
	    (event->kind == TETHER_EVENT_EXIT || event->kind == TETHER_EVENT_LOST))
		counter->over = true;
}

static struct bench_page *page_new(char number[16])
{
	int fd = memfd_create("page", 0);
	struct bench_page *page;

	if (fd < 0 || ftruncate(fd, sizeof(*page)))
		give_up("page", -errno, NULL);
	page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	snprintf(number, 16, "%d", fd);
	return page;
}

static struct tether_session *session_new(struct counter *counter)
{
	struct tether_error error = TETHER_ERROR_INIT;
	struct tether_session *session;
	int result = tether_session_open(NULL, &session, &error);

	if (result)
		give_up("session", result, &error);
	tether_session_set_handler(session, count_event, counter);
	return session;
}

static struct tether *create(struct tether_session *session, char **argv, uint32_t stop)
{
	struct tether_create_opts opts = {
		.size = sizeof(opts), .file = argv[0], .argv = argv, .stop = stop
	};
	struct tether_error error = TETHER_ERROR_INIT;
	struct tether *victim;
	int result = tether_create(session, &opts, &victim, &error);

	if (result)
		give_up("create", result, &error);
	return victim;
}

static void dispatch_to_end(struct tether_session *session, struct counter *counter)
{
	while (!counter->over)
		if (tether_dispatch(session, -1) < 0)
			give_up("dispatch", 0, NULL);
}

/* Until the caller knows that main has begun, as tether_create() has it. */
static uint64_t spawn_to_main(struct bench_page *page, const char *path, char **argv)
{
	int ends[2];
	char byte;
	pid_t child;

	if (pipe2(ends, 0))
		give_up("pipe", -errno, NULL);
	fcntl(ends[0], F_SETFD, FD_CLOEXEC);
	atomic_store(&page->tell, ends[1]);
	uint64_t start = now_ns();
	if (posix_spawn(&child, path, NULL, NULL, argv, environ))
		give_up("posix_spawn", -errno, NULL);
	if (read(ends[0], &byte, 1) != 1)
		give_up("main", -EPIPE, NULL);
	start = now_ns() - start;
	atomic_store(&page->tell, 0);
	waitpid(child, NULL, 0);
	close(ends[0]);
	close(ends[1]);
	return start;
}

static int launch(long rounds, const char *path, const char *marker)
{
	uint64_t *plain = calloc((size_t)rounds, sizeof(uint64_t)),
		 *held = calloc((size_t)rounds, sizeof(uint64_t));
	char number[16];
	struct bench_page *page = page_new(number);
	char *argv[] = { (char *)(uintptr_t)path, (char[]){ "launch" }, number, NULL };

	if (marker && (setenv("LD_PRELOAD", marker, 1) || setenv("BENCH_PAGE", number, 1)))
		give_up("environment", -errno, NULL);

	for (long i = 0; plain && held && i < rounds; i++) {
		struct counter counter = { .over = false };
		struct tether_session *session = session_new(&counter);
		struct tether *victim;
		uint64_t start;

		plain[i] = spawn_to_main(page, path, argv);
		start = now_ns();
		victim = create(session, argv, TETHER_STOP_MAIN);
		held[i] = now_ns() - start;
		counter.pid = tether_pid(victim);
		tether_continue(victim);
		dispatch_to_end(session, &counter);
		tether_release(victim);
		tether_session_close(session);
	}
	fprintf(stderr, "{\"plain_ns\": %lu, \"tether_ns\": %lu}\n", median(plain, (size_t)rounds),
		median(held, (size_t)rounds));
	return 0;
}

static int follow(char **argv)
{
	struct counter counter = { .over = false };
	struct tether_session *session = session_new(&counter);
	struct tether *victim = create(session, argv, TETHER_STOP_MAIN);
	struct tether_stats stats = { .size = sizeof(stats) };

	counter.pid = tether_pid(victim);
	tether_continue(victim);
	dispatch_to_end(session, &counter);
	tether_stats_get(session, &stats);
	fprintf(stderr,
		"{\"forks\": %lu, \"execs\": %lu, \"exits\": %lu, \"loads\": %lu, \"unloads\": %lu, "
		"\"stops\": %lu, "
		"\"hits\": %lu}\n",
		counter.events[TETHER_EVENT_FORK], counter.events[TETHER_EVENT_EXEC],
		counter.events[TETHER_EVENT_EXIT], counter.events[TETHER_EVENT_LOAD],
		counter.events[TETHER_EVENT_UNLOAD], stats.stops, stats.hits);
	tether_release(victim);
	tether_session_close(session);
	return 0;
}

static int grab(int64_t pid, long rounds, bool park)
{
	struct counter counter = { .pid = 0 };
	struct tether_session *session = session_new(&counter);
	struct tether_grab_opts opts = { .size = sizeof(opts), .flags = park ? 0 : TETHER_NO_PARK };
	struct tether_error error = TETHER_ERROR_INIT;
	uint64_t *sample = calloc((size_t)rounds, sizeof(*sample));

	for (long i = 0; sample && i < rounds; i++) {
		uint64_t start = now_ns();
		struct tether *victim;
		int result = tether_grab(session, pid, &opts, &victim, &error);

		if (!result)
			result = tether_release(victim);
		if (result)
			give_up("grab", result, &error);
		sample[i] = now_ns() - start;
		while (tether_dispatch(session, 0) > 0)
			;
	}
	fprintf(stderr, "{\"grab_release_ns\": %lu}\n", sample ? median(sample, (size_t)rounds) : 0);
	tether_session_close(session);
	return 0;
}

/* Private_Clean + Private_Dirty of a process, in kB. */
static uint64_t private_kb(int64_t pid)
{
	char path[64], line[256];
	uint64_t sum = 0, value;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%ld/smaps_rollup", pid);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "Private_Clean: %lu", &value) == 1 ||
		    sscanf(line, "Private_Dirty: %lu", &value) == 1)
			sum += value;
	if (file)
		fclose(file);
	return sum;
}

/* Nanoseconds of one dlopen and dlclose, both reported, by the busy victim. */
static uint64_t busy_turn_ns(struct tether_session *session, struct bench_page *page, unsigned turns)
{
	uint64_t start, from, target = atomic_load(&page->turns) + turns;

	from = atomic_load(&page->turns);
	start = now_ns();
	while (atomic_load(&page->turns) < target)
		tether_dispatch(session, 1);
	return (now_ns() - start) / (atomic_load(&page->turns) - from);
}

static int many(unsigned count, unsigned turns, const char *path, const char *plugin)
{
	static struct tether *victim[MANY_MAX];
	static struct bench_page *page[MANY_MAX];
	static uint64_t kb[MANY_MAX];
	struct counter counter = { .pid = 0 };
	struct tether_session *session = session_new(&counter);
	uint64_t alone = 0, together = 0, total = 0, start;

	if (count > MANY_MAX)
		count = MANY_MAX;
	start = now_ns();
	for (unsigned i = 0; i < count; i++) {
		char number[16];
		char *argv[] = { (char *)(uintptr_t)path, (char[]){ "dl" },          number,
				 (char[]){ "1000000" },   (char *)(uintptr_t)plugin, NULL };
		int fd;

		page[i] = page_new(number);
		fd = atoi(number);
		victim[i] = create(session, argv, TETHER_STOP_MAIN);
		close(fd);
		tether_continue(victim[i]);
		while (!atomic_load(&page[i]->ready))
			tether_dispatch(session, 1);
		if (i == 0) {
			atomic_store(&page[0]->begin, 1);
			busy_turn_ns(session, page[0], turns / 10);
			alone = busy_turn_ns(session, page[0], turns);
		}
	}
	start = now_ns() - start;
	together = busy_turn_ns(session, page[0], turns);
	for (unsigned i = 0; i < count; i++) {
		struct tether_info info = { .size = sizeof(info) };

		tether_info_get(victim[i], &info);
		kb[i] = private_kb(info.controller);
		total += kb[i];
	}
	fprintf(stderr,
		"{\"victims\": %u, \"controller_kb\": %lu, \"controller_kb_max\": %lu, \"total_kb\": %lu, "
		"\"alone_ns\": %lu, \"together_ns\": %lu}\n",
		count, median(kb, count), kb[count - 1], total, alone, together);
	tether_session_close(session);
	return 0;
}

static int write_place(const struct tether_breakpoint_place *place, void *data)
{
	return fwrite(&place->address, sizeof(place->address), 1, data) != 1;
}

/* Count functions of a running process, and not any more: {"plant_ns", "lift_ns", "functions"}; their addresses into path. */
static int plant(int64_t pid, const char *where, const char *path)
{
	struct counter counter = { .pid = 0 };
	struct tether_session *session = session_new(&counter);
	struct tether_grab_opts opts = { .size = sizeof(opts), .flags = TETHER_NO_PARK };
	struct tether_breakpoint_opts wish = { .size = sizeof(wish), .where = "*:no function is called this",
					       .flags = TETHER_BREAKPOINT_COUNT };
	struct tether_breakpoint_info info = { .size = sizeof(info) };
	struct tether_error error = TETHER_ERROR_INIT;
	struct tether_breakpoint *breakpoint;
	FILE *file = fopen(path, "we");
	struct tether *victim;
	int result = tether_grab(session, pid, &opts, &victim, &error);

	/* Tables of names are built by the first who asks, and have a row of their own. */
	if (!result)
		result = tether_breakpoint_add(victim, &wish, &breakpoint, &error);
	wish.where = where;
	uint64_t begun = now_ns();
	if (!result)
		result = tether_breakpoint_add(victim, &wish, &breakpoint, &error);
	uint64_t planted = now_ns();
	if (result || !file)
		give_up("plant", result, &error);
	tether_breakpoint_info_get(breakpoint, &info);
	tether_breakpoint_places(breakpoint, write_place, file);
	fclose(file);
	uint64_t lifting = now_ns();
	tether_breakpoint_remove(breakpoint);
	fprintf(stderr, "{\"plant_ns\": %lu, \"lift_ns\": %lu, \"functions\": %lu}\n", planted - begun,
		now_ns() - lifting, info.standing);
	tether_session_close(session);
	return 0;
}

int main(int argc, char **argv)
{
	if ((argc == 4 || argc == 5) && !strcmp(argv[1], "launch"))
		return launch(atol(argv[2]), argv[3], argv[4]);
	if (argc > 3 && !strcmp(argv[1], "follow"))
		return follow(argv + 2);
	if (argc >= 4 && !strcmp(argv[1], "grab"))
		return grab(atoll(argv[2]), atol(argv[3]), argc == 4);
	if (argc == 6 && !strcmp(argv[1], "many"))
		return many((unsigned)atoi(argv[2]), (unsigned)atoi(argv[3]), argv[4], argv[5]);
	if (argc == 5 && !strcmp(argv[1], "plant"))
		return plant(atoll(argv[2]), argv[3], argv[4]);
	fputs("usage: bench-client launch|follow|grab|many|plant ...\n", stderr);
	return 2;
}
