/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bench/trap.c - what a trap that is counted costs at least: a bare loop of one stop, with the instruction emulated
 *
 *	bench-trap [--pin] [--returns] bench-called CALLS THREADS
 *
 * --pin: tracer and victim on one processor. --returns: the first instruction behind the call is trapped as well, and is
 * stepped over by the loop as it is known: the address is found at the first hit. x86-64, no safety of any kind.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "measure.h"

struct trap {
	pid_t victim;
	uint64_t leaf;     /* in memory */
	uint64_t behind;   /* where it comes back to; 0: not known yet */
	uint8_t original[8]; /* there: mov %rax, REGISTER */
	bool returns;
	unsigned long hits, backs;
};

static _Noreturn void give_up(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t value_of(const char *path, const char *name)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat status;

	if (fd < 0 || fstat(fd, &status))
		give_up(path);
	const uint8_t *file = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (file == MAP_FAILED)
		give_up(path);
	const Elf64_Ehdr *head = (const void *)file;
	const Elf64_Shdr *section = (const void *)(file + head->e_shoff);
	for (unsigned i = 0; i < head->e_shnum; i++) {
		if (section[i].sh_type != SHT_SYMTAB)
			continue;
		const char *names = (const char *)file + section[section[i].sh_link].sh_offset;
		const Elf64_Sym *symbol = (const void *)(file + section[i].sh_offset);
		for (size_t k = 0; k < section[i].sh_size / sizeof(*symbol); k++)
			if (!strcmp(names + symbol[k].st_name, name))
				return symbol[k].st_value;
	}
	give_up(name);
}

static uint64_t base_of(pid_t pid)
{
	char path[64];
	unsigned long base = 0;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	FILE *maps = fopen(path, "r");
	if (!maps || fscanf(maps, "%lx", &base) != 1)
		give_up("maps");
	fclose(maps);
	return base;
}

/* By a thread that stands. */
static void plant(pid_t tid, uint64_t address)
{
	long word = ptrace(PTRACE_PEEKTEXT, tid, (void *)address, NULL);

	ptrace(PTRACE_POKETEXT, tid, (void *)address, (word & ~0xffL) | 0xcc);
}

/* The only instruction that it can run there is a move of the result: REX.W 89 /r. */
static void come_back(struct trap *trap, struct user_regs_struct *regs)
{
	unsigned to = (trap->original[2] & 7u) | (trap->original[0] & 1u) << 3;
	unsigned long long *const at[] = { &regs->rax, &regs->rcx, &regs->rdx, &regs->rbx, &regs->rsp, &regs->rbp,
					   &regs->rsi, &regs->rdi, &regs->r8,  &regs->r9,  &regs->r10, &regs->r11,
					   &regs->r12, &regs->r13, &regs->r14, &regs->r15 };

	*at[to] = regs->rax;
	regs->rip = trap->behind + 3;
	trap->backs++;
}

static void find_behind(struct trap *trap, pid_t tid, uint64_t address)
{
	long word = ptrace(PTRACE_PEEKTEXT, tid, (void *)address, NULL);

	memcpy(trap->original, &word, sizeof(word));
	if ((trap->original[0] & 0xfe) != 0x48 || trap->original[1] != 0x89 || (trap->original[2] & 0xf8) < 0xc0) {
		fprintf(stderr, "bench-trap: %02x %02x %02x follows the call\n", trap->original[0], trap->original[1],
			trap->original[2]);
		exit(1);
	}
	trap->behind = address;
	plant(tid, address);
}

static void hit(struct trap *trap, pid_t tid)
{
	struct user_regs_struct regs;

	if (ptrace(PTRACE_GETREGS, tid, NULL, &regs))
		return;
	if (regs.rip == trap->behind + 1) {
		come_back(trap, &regs);
	} else {
		struct iovec mine = { &regs.rbp, 8 }, its = { (void *)(uintptr_t)(regs.rsp - 8), 8 };

		if (trap->returns) {
			uint64_t back;
			struct iovec word = { &back, 8 }, slot = { (void *)(uintptr_t)regs.rsp, 8 };

			/* at every hit, as whoever wants to know the caller does */
			if (process_vm_readv(tid, &word, 1, &slot, 1, 0) != 8)
				give_up("the stack");
			if (!trap->behind)
				find_behind(trap, tid, back);
		}
		process_vm_writev(tid, &mine, 1, &its, 1, 0);
		regs.rsp -= 8;
		regs.rip = trap->leaf + 1;
		trap->hits++;
	}
	ptrace(PTRACE_SETREGS, tid, NULL, &regs);
}

static pid_t start(char **argv)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		raise(SIGSTOP);
		execv(argv[0], argv);
		_exit(127);
	}
	if (child < 0 || waitpid(child, &status, WUNTRACED) != child)
		give_up("fork");
	if (ptrace(PTRACE_SEIZE, child, NULL, PTRACE_O_EXITKILL | PTRACE_O_TRACEEXEC | PTRACE_O_TRACECLONE))
		give_up("seize");
	kill(child, SIGCONT);
	return child;
}

int main(int argc, char **argv)
{
	struct trap trap = { .victim = 0 };
	int first = 1, status;

	for (; first < argc && argv[first][0] == '-'; first++) {
		cpu_set_t one;

		CPU_ZERO(&one);
		CPU_SET(0, &one);
		if (!strcmp(argv[first], "--returns"))
			trap.returns = true;
		else if (strcmp(argv[first], "--pin") || sched_setaffinity(0, sizeof(one), &one))
			give_up(argv[first]);
	}
	if (argc - first < 3)
		return 2;
	trap.victim = start(argv + first);
	for (pid_t pid; (pid = waitpid(-1, &status, __WALL)) > 0;) {
		if (!WIFSTOPPED(status))
			continue;
		int event = status >> 16, signal = event ? 0 : WSTOPSIG(status);
		if (event == PTRACE_EVENT_EXEC) {
			trap.leaf = base_of(pid) + value_of(argv[first], "bench_leaf");
			plant(pid, trap.leaf);
		} else if (signal == SIGTRAP) {
			signal = 0;
			hit(&trap, pid);
		}
		ptrace(PTRACE_CONT, pid, NULL, (long)signal);
	}
	fprintf(stderr, "{\"hits\": %lu, \"backs\": %lu}\n", trap.hits, trap.backs);
	return 0;
}
