/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench/floor.c - bare ptrace programs that do just the one thing: what the same work costs at least
 *
 *	bench-floor fork VICTIM ARG...    follow fork and exec
 *	bench-floor dl VICTIM ARG...      trap the linker, emulate its `ret`, read the link map when consistent
 *	bench-floor grab PID ROUNDS       seize, stop and detach all threads; prints {"grab_release_ns": median}
 *	bench-floor plant PID FILE        write a trap at each address of FILE (uint64_t each) and the old byte again
 *	bench-floor stacks PID            stop all threads, copy registers and stacks of one instant, let go; no frame, no name
 *
 * x86-64 only, no error handling beyond giving up, no safety of any kind: a floor, not an example.
 */
#include <dirent.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "measure.h"

enum { TASKS_MAX = 4096 };

static _Noreturn void give_up(const char *what)
{
	perror(what);
	exit(1);
}

/* Start it seized and running, with the page that its PAGE_FD argument (the second) is replaced by. */
static pid_t start_seized(char **argv, long options, struct bench_page **ret_page)
{
	static char number[16];
	int fd = memfd_create("page", 0), gate[2];
	pid_t child;

	if (fd < 0 || ftruncate(fd, sizeof(struct bench_page)) || pipe(gate))
		give_up("page");
	*ret_page = mmap(NULL, sizeof(struct bench_page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	snprintf(number, sizeof(number), "%d", fd);
	argv[2] = number;
	child = fork();
	if (child == 0) {
		char byte;

		close(gate[1]);
		if (read(gate[0], &byte, 1) == 0) {
			close(gate[0]);
			execv(argv[0], argv);
		}
		_exit(127);
	}
	if (ptrace(PTRACE_SEIZE, child, NULL, options | PTRACE_O_EXITKILL))
		give_up("seize");
	close(gate[0]);
	close(gate[1]);
	return child;
}

static int follow_forks(char **argv)
{
	unsigned long forks = 0, execs = 0, ends = 0;
	struct bench_page *page;
	pid_t victim = start_seized(
		argv, PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC,
		&page);

	atomic_store(&page->begin, 1);
	for (;;) {
		int status, event;
		pid_t pid = waitpid(-1, &status, __WALL);

		if (pid < 0)
			break;
		if (!WIFSTOPPED(status)) {
			ends++;
			if (pid == victim)
				break;
			continue;
		}
		event = status >> 16;
		forks += event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK ||
			 event == PTRACE_EVENT_CLONE;
		execs += event == PTRACE_EVENT_EXEC;
		ptrace(PTRACE_CONT, pid, NULL, event ? 0L : (long)WSTOPSIG(status));
	}
	fprintf(stderr, "{\"forks\": %lu, \"execs\": %lu, \"ends\": %lu}\n", forks, execs, ends);
	return 0;
}

static bool read_victim(pid_t pid, uint64_t address, void *buffer, size_t length)
{
	struct iovec mine = { buffer, length }, its = { (void *)address, length };

	return process_vm_readv(pid, &mine, 1, &its, 1, 0) == (ssize_t)length;
}

static unsigned long read_link_map(pid_t pid, uint64_t r_debug)
{
	struct r_debug debug;
	struct link_map map;
	unsigned long count = 0;

	if (!read_victim(pid, r_debug, &debug, sizeof(debug)) || debug.r_state != RT_CONSISTENT)
		return 0;
	for (uint64_t at = (uintptr_t)debug.r_map; at && count < 4096; at = (uintptr_t)map.l_next, count++)
		if (!read_victim(pid, at, &map, sizeof(map)))
			break;
	return count;
}

/* Wait for the next stop of the only task; false at its end. */
static bool next_stop(pid_t pid, int *ret_signal)
{
	int status;

	if (waitpid(pid, &status, __WALL) != pid || !WIFSTOPPED(status))
		return false;
	*ret_signal = status >> 16 ? 0 : WSTOPSIG(status);
	return true;
}

static int trap_linker(char **argv)
{
	unsigned long hits = 0, maps = 0;
	struct user_regs_struct regs;
	struct bench_page *page;
	pid_t victim = start_seized(argv, 0, &page);
	uint64_t r_brk;
	long word;
	int signal;

	while (!atomic_load(&page->ready))
		;
	r_brk = atomic_load(&page->r_brk);
	ptrace(PTRACE_INTERRUPT, victim, NULL, NULL);
	if (!next_stop(victim, &signal))
		give_up("interrupt");
	word = ptrace(PTRACE_PEEKTEXT, victim, (void *)r_brk, NULL);
	if ((word & 0xff) != 0xc3 && (word & 0xffffffff) != 0xfa1e0ff3)
		give_up("r_brk is neither ret nor endbr64");
	ptrace(PTRACE_POKETEXT, victim, (void *)r_brk, (word & ~0xffL) | 0xcc);
	atomic_store(&page->begin, 1);
	ptrace(PTRACE_CONT, victim, NULL, NULL);
	while (next_stop(victim, &signal)) {
		if (signal != SIGTRAP) {
			ptrace(PTRACE_CONT, victim, NULL, (long)signal);
			continue;
		}
		hits++;
		ptrace(PTRACE_GETREGS, victim, NULL, &regs);
		maps += read_link_map(victim, atomic_load(&page->r_debug));
		if ((word & 0xff) == 0xc3) {
			read_victim(victim, regs.rsp, &regs.rip, sizeof(regs.rip));
			regs.rsp += 8;
		} else {
			regs.rip = r_brk + 4;
		}
		ptrace(PTRACE_SETREGS, victim, NULL, &regs);
		ptrace(PTRACE_CONT, victim, NULL, NULL);
	}
	fprintf(stderr, "{\"hits\": %lu, \"maps\": %lu}\n", hits, maps);
	return 0;
}

static unsigned seize_all(pid_t pid, pid_t *list)
{
	char path[64];
	unsigned count = 0, before;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	do {
		DIR *dir = opendir(path);

		before = count;
		for (struct dirent *entry; dir && (entry = readdir(dir)) && count < TASKS_MAX;) {
			pid_t tid = atoi(entry->d_name);

			if (tid && ptrace(PTRACE_SEIZE, tid, NULL, NULL) == 0)
				list[count++] = tid;
		}
		if (dir)
			closedir(dir);
	} while (count != before);
	return count;
}

static void stop_all(const pid_t *list, unsigned count)
{
	for (unsigned k = 0; k < count; k++)
		ptrace(PTRACE_INTERRUPT, list[k], NULL, NULL);
	for (unsigned k = 0; k < count; k++)
		waitpid(list[k], NULL, __WALL);
}

static int grab(pid_t pid, long rounds)
{
	static pid_t list[TASKS_MAX];
	uint64_t *sample = calloc((size_t)rounds, sizeof(*sample));
	unsigned count = 0;

	for (long i = 0; sample && i < rounds; i++) {
		uint64_t start = now_ns();

		count = seize_all(pid, list);
		stop_all(list, count);
		for (unsigned k = 0; k < count; k++)
			ptrace(PTRACE_DETACH, list[k], NULL, NULL);
		sample[i] = now_ns() - start;
	}
	printf("{\"grab_release_ns\": %lu, \"threads\": %u}\n", sample ? median(sample, (size_t)rounds) : 0,
	       count);
	return 0;
}

static int copy_stacks(pid_t pid)
{
	enum { STACK = 16384 };
	static pid_t list[TASKS_MAX];
	struct user_regs_struct regs;
	unsigned count = seize_all(pid, list);
	size_t bytes = 0;
	char *copy = malloc((size_t)count * STACK);

	stop_all(list, count);
	for (unsigned k = 0; copy && k < count; k++) {
		struct iovec mine = { copy + (size_t)k * STACK, STACK }, its = { NULL, STACK };

		if (ptrace(PTRACE_GETREGS, list[k], NULL, &regs))
			continue;
		its.iov_base = (void *)(uintptr_t)regs.rsp;
		ssize_t got = process_vm_readv(pid, &mine, 1, &its, 1, 0);
		bytes += got > 0 ? (size_t)got : 0;
	}
	for (unsigned k = 0; k < count; k++)
		ptrace(PTRACE_DETACH, list[k], NULL, NULL);
	printf("{\"threads\": %u, \"bytes\": %zu}\n", count, bytes);
	free(copy);
	return count ? 0 : 2;
}

/* {"plant_ns", "lift_ns"}: the old byte read and a trap written at each; and back. Nobody is stopped for it. */
static int write_traps(pid_t pid, const char *path)
{
	static uint64_t address[1 << 18];
	static unsigned char old[1 << 18];
	const unsigned char trap = 0xcc;
	FILE *file = fopen(path, "re");
	size_t count = file ? fread(address, sizeof(*address), sizeof(old), file) : 0;
	char memory_path[64];

	snprintf(memory_path, sizeof(memory_path), "/proc/%d/mem", pid);
	int memory = open(memory_path, O_RDWR | O_CLOEXEC);
	if (memory < 0 || !count || ptrace(PTRACE_SEIZE, pid, NULL, NULL))
		give_up("plant");
	fclose(file);
	uint64_t begun = now_ns();
	for (size_t i = 0; i < count; i++)
		if (pread(memory, &old[i], 1, (off_t)address[i]) != 1 || pwrite(memory, &trap, 1, (off_t)address[i]) != 1)
			give_up("plant");
	uint64_t planted = now_ns();
	for (size_t i = 0; i < count; i++)
		if (pwrite(memory, &old[i], 1, (off_t)address[i]) != 1)
			give_up("lift");
	printf("{\"plant_ns\": %lu, \"lift_ns\": %lu}\n", planted - begun, now_ns() - planted);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 4 && !strcmp(argv[1], "fork"))
		return follow_forks(argv + 2);
	if (argc > 4 && !strcmp(argv[1], "dl"))
		return trap_linker(argv + 2);
	if (argc == 4 && !strcmp(argv[1], "grab"))
		return grab(atoi(argv[2]), atol(argv[3]));
	if (argc == 3 && !strcmp(argv[1], "stacks"))
		return copy_stacks(atoi(argv[2]));
	if (argc == 4 && !strcmp(argv[1], "plant"))
		return write_traps(atoi(argv[2]), argv[3]);
	fputs("usage: bench-floor fork|dl VICTIM ARG... | grab PID ROUNDS | plant PID FILE | stacks PID\n", stderr);
	return 2;
}
