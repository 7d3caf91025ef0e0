/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads whose stacks are to be taken: `stacks KIND [N]`. Each kind stands at one place when it says "ready", or does
 * one thing again and again, and ends at end-of-file on stdin.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "victim.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

enum { DEFAULT_COUNT = 4 };

/* The main thread of all kinds that stand elsewhere: here, so that end-of-file ends them. */
__attribute__((noinline)) static void stand(void)
{
	say("ready");
	while (*hear())
		;
	fflush(stdout);
	if (getpid())
		_exit(0);
}

static void start(void *(*run)(void *), void *data)
{
	pthread_t thread;
	pthread_attr_t attributes;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 256 << 10);
	if (pthread_create(&thread, &attributes, run, data))
		exit(98);
	pthread_attr_destroy(&attributes);
}

/* ---- blocked: one thread after the other in another call ------------------------------------------------------- */

static void *blocked(void *data)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static pthread_cond_t never = PTHREAD_COND_INITIALIZER;
	struct pollfd nothing = { .fd = -1 };
	struct epoll_event event;
	char byte;
	int ends[2];

	switch ((uintptr_t)data % 5) {
	case 0:
		for (;;)
			poll(&nothing, 1, -1);
	case 1:
		pthread_mutex_lock(&lock);
		for (;;)
			pthread_cond_wait(&never, &lock);
	case 2:
		for (;;)
			sleep(1000);
	case 3:
		if (pipe(ends))
			exit(98);
		for (;;)
			if (read(ends[0], &byte, 1) < 0)
				exit(97);
	default:
		ends[0] = epoll_create1(EPOLL_CLOEXEC);
		for (;;)
			if (epoll_wait(ends[0], &event, 1, -1) >= 0 || errno != EINTR)
				exit(97);
	}
	return NULL;
}

static void kind_blocked(long count)
{
	for (long i = 0; i < count; i++)
		start(blocked, (void *)(uintptr_t)i);
	usleep(100000);
	stand();
}

/* ---- deep ------------------------------------------------------------------------------------------------------- */

__attribute__((noinline)) static long deep(long left)
{
	volatile long here = left;

	if (left == 0) {
		stand();
		return 0;
	}
	here += deep(left - 1);
	return here + left;
}

/* ---- in signal handlers ------------------------------------------------------------------------------------------ */

static volatile long turns;

static void second_handler(int signal)
{
	(void)signal;
	stand();
}

static void first_handler(int signal)
{
	raise(SIGUSR2);
	turns += signal;
}

__attribute__((noinline)) static void loop_until_signal(void)
{
	for (turns = 0;; turns++)
		if (turns == 1000)
			kill(getpid(), SIGUSR1);
}

static void handle(int signal, void (*handler)(int), int flags)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = flags };

	sigaction(signal, &action, NULL);
}

static void kind_signal(long count)
{
	(void)count;
	handle(SIGUSR1, first_handler, 0);
	handle(SIGUSR2, second_handler, 0);
	loop_until_signal();
}

static void kind_altstack(long count)
{
	static char memory[1 << 16];
	stack_t stack = { .ss_sp = memory, .ss_size = sizeof(memory) };

	(void)count;
	sigaltstack(&stack, NULL);
	handle(SIGUSR1, first_handler, SA_ONSTACK);
	handle(SIGUSR2, second_handler, SA_ONSTACK);
	loop_until_signal();
}

/* ---- where a function has not set up its frame, and where nothing tells of it ------------------------------------- */

#define LOOP_AT(name, before, cfi)                                                       \
	__asm__(".text\n.globl " #name "\n.type " #name ",@function\n" #name ":\n"       \
		".cfi_startproc\n" before "\n" cfi "\n1: pause\n jmp 1b\n"              \
		".cfi_endproc\n.size " #name ", .-" #name "\n");                         \
	void name(void)
LOOP_AT(loop_at_entry, "", "");
LOOP_AT(loop_when_pushed, "push %rbp", ".cfi_def_cfa_offset 16\n.cfi_offset 6,-16");
LOOP_AT(loop_with_room, "sub $72,%rsp", ".cfi_def_cfa_offset 80");

/* No call frame information, but a frame pointer: calls what is in its argument. */
__asm__(".text\n.globl without_rules\n.type without_rules,@function\nwithout_rules:\n"
	"push %rbp\nmov %rsp,%rbp\nsub $32,%rsp\ncall *%rdi\nleave\nret\n"
	".size without_rules, .-without_rules\n");
void without_rules(void (*then)(void));

static void *run_function(void *data)
{
	void (*function)(void) = (void (*)(void))data;

	function();
	return NULL;
}

static void kind_loops(long count)
{
	(void)count;
	start(run_function, (void *)loop_at_entry);
	start(run_function, (void *)loop_when_pushed);
	start(run_function, (void *)loop_with_room);
	usleep(100000);
	stand();
}

static void kind_norules(long count)
{
	(void)count;
	without_rules(stand);
}

/* The same from memory of no file. */
static void kind_jit(long count)
{
	static const unsigned char code[] = { 0x55, 0x48, 0x89, 0xe5, 0x48, 0x83, 0xec, 0x20, 0xff, 0xd7, 0xc9, 0xc3 };
	void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)count;
	if (at == MAP_FAILED)
		exit(98);
	memcpy(at, code, sizeof(code));
	((void (*)(void (*)(void)))at)(stand);
}

/* ---- in a stub of the procedure linkage table, in the vdso ---------------------------------------------------------- */

/* Whoever comes here stays: jmp to itself. */
static void make_a_loop(void *at)
{
	static const unsigned char loop[] = { 0xeb, 0xfe };
	uintptr_t page = (uintptr_t)at & ~(uintptr_t)4095;

	if (mprotect((void *)page, 8192, PROT_READ | PROT_WRITE | PROT_EXEC) &&
	    mprotect((void *)page, 4096, PROT_READ | PROT_WRITE | PROT_EXEC))
		exit(96);
	memcpy(at, loop, sizeof(loop));
}

/* The stub that a call instruction of this function leads to. */
__attribute__((noinline)) static void call_stub(void)
{
	__asm__ volatile("call getppid@PLT" ::: "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory");
	__asm__ volatile("" ::: "memory");
}

static void kind_plt(long count)
{
	const unsigned char *at = (const unsigned char *)call_stub;
	int32_t distance;

	(void)count;
	for (int i = 0; i < 64; i++, at++) {
		if (*at != 0xe8)
			continue;
		memcpy(&distance, at + 1, sizeof(distance));
		make_a_loop((void *)((uintptr_t)at + 5 + (uintptr_t)(intptr_t)distance));
		start(run_function, (void *)call_stub);
		usleep(100000);
		stand();
	}
	exit(95);
}

static void *vdso_function(const char *name)
{
	const char *base = (const char *)getauxval(AT_SYSINFO_EHDR);
	const Elf64_Ehdr *header = (const void *)base;
	const Elf64_Phdr *phdr = (const void *)(base + header->e_phoff);
	const Elf64_Dyn *dynamic = NULL;
	const Elf64_Sym *symbols = NULL;
	const char *strings = NULL;
	size_t size = 0;

	for (int i = 0; i < header->e_phnum; i++)
		if (phdr[i].p_type == PT_DYNAMIC)
			dynamic = (const void *)(base + phdr[i].p_offset);
	for (; dynamic && dynamic->d_tag != DT_NULL; dynamic++) {
		if (dynamic->d_tag == DT_SYMTAB)
			symbols = (const void *)(base + dynamic->d_un.d_ptr);
		if (dynamic->d_tag == DT_STRTAB)
			strings = base + dynamic->d_un.d_ptr;
		if (dynamic->d_tag == DT_STRSZ)
			size = dynamic->d_un.d_val;
	}
	/* the strings stand behind the symbols */
	for (int i = 0; symbols && (const char *)&symbols[i + 1] <= strings && size; i++)
		if (symbols[i].st_shndx && !strcmp(strings + symbols[i].st_name, name))
			return (void *)((uintptr_t)base + symbols[i].st_value);
	exit(94);
}

static void kind_vdso(long count)
{
	void *function = vdso_function("__vdso_getcpu");

	(void)count;
	make_a_loop(function);
	start(run_function, function);
	usleep(100000);
	stand();
}

/* ---- vfork ---------------------------------------------------------------------------------------------------------- */

static int release_child[2];

static void *in_vfork(void *data)
{
	char byte;

	(void)data;
	if (vfork() == 0) {
		while (read(release_child[0], &byte, 1) < 0)
			;
		_exit(0);
	}
	return NULL;
}

static void kind_vfork(long count)
{
	(void)count;
	if (pipe(release_child))
		exit(98);
	start(in_vfork, NULL);
	usleep(100000);
	say("ready");
	while (*hear())
		;
	/* the child has an end of its own: it would wait for ever for this one's */
	if (write(release_child[1], "", 1) < 0)
		_exit(1);
}

/* ---- an event that comes but once ------------------------------------------------------------------------------------- */

static void kind_epoll(long count)
{
	int event_fd = eventfd(0, EFD_CLOEXEC), poll_fd = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = { .events = EPOLLIN, .data.u32 = 1 }, got;
	int result;

	(void)count;
	epoll_ctl(poll_fd, EPOLL_CTL_ADD, event_fd, &event);
	event.data.u32 = 0;
	event.events = EPOLLIN;
	epoll_ctl(poll_fd, EPOLL_CTL_ADD, 0, &event);
	say("ready");
	result = epoll_wait(poll_fd, &got, 1, -1);
	say("epoll_wait %d %d", result, result < 0 ? errno : (int)got.data.u32);
	hear();
}

/* ---- running: turns are counted, and the longest time between two looks at the clock ------------------------------------ */

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void *spin(void *data)
{
	volatile long *count = data;

	for (;;)
		++*count;
	return NULL;
}

static void kind_spin(long count)
{
	static volatile long counts[256];

	for (long i = 0; i < count && i < 256; i++)
		start(spin, (void *)(uintptr_t)&counts[i]);
	/* Each is where it will be seen. */
	for (long i = 0; i < count && i < 256; i++)
		while (!counts[i])
			sched_yield();
	stand();
}

static _Atomic uint64_t longest, looks;

static void *watch_clock(void *data)
{
	uint64_t before = now();

	(void)data;
	for (;;) {
		uint64_t here = now();

		if (here - before > longest)
			longest = here - before;
		before = here;
		looks++;
	}
	return NULL;
}

/* One that looks at the clock, and others that are blocked: at each word its numbers, which begin anew. */
static void kind_clock(long count)
{
	for (long i = 0; i + 2 < count; i++)
		start(blocked, (void *)(uintptr_t)i);
	start(watch_clock, NULL);
	usleep(100000);
	say("ready");
	while (*hear()) {
		say("longest %llu looks %llu", (unsigned long long)longest, (unsigned long long)looks);
		longest = looks = 0;
	}
	exit(0);
}

/* ---- a baton: at any moment at most one thread is in with_baton(), and it is blocked there now and then ---------------- */

static int hands[64][2];

__attribute__((noinline)) static void with_baton(void)
{
	struct timespec moment = { 0, 20000 };

	nanosleep(&moment, NULL);
	__asm__ volatile("" ::: "memory");
}

static void *pass_on(void *data)
{
	const int *mine = data, *next = mine + 2;
	char baton;

	for (;;) {
		if (read(mine[0], &baton, 1) != 1)
			exit(97);
		with_baton();
		if (write(next[1], &baton, 1) != 1)
			exit(97);
	}
	return NULL;
}

static void kind_baton(long count)
{
	if (count < 1 || count >= 64)
		exit(99);
	for (long i = 0; i < count; i++)
		if (pipe(hands[i]))
			exit(98);
	memcpy(hands[count], hands[0], sizeof(hands[0]));
	for (long i = 0; i < count; i++)
		start(pass_on, hands[i]);
	if (write(hands[0][1], "", 1) != 1)
		exit(98);
	stand();
}

static void kind_deep(long count)
{
	deep(count);
}

static const struct {
	const char *name;
	void (*run)(long count);
} kinds[] = {
	{ "blocked", kind_blocked }, { "deep", kind_deep },	  { "signal", kind_signal }, { "altstack", kind_altstack },
	{ "loops", kind_loops },     { "norules", kind_norules }, { "jit", kind_jit },	     { "plt", kind_plt },
	{ "vdso", kind_vdso },	     { "vfork", kind_vfork },	  { "epoll", kind_epoll },   { "spin", kind_spin },
	{ "clock", kind_clock },     { "baton", kind_baton },
};

int main(int argc, char **argv)
{
	long count = argc > 2 ? atol(argv[2]) : DEFAULT_COUNT;

	for (size_t i = 0; argc > 1 && i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strcmp(argv[1], kinds[i].name)) {
			kinds[i].run(count);
			return 0;
		}
	return 99;
}
