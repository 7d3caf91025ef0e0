/* SPDX-License-Identifier: BSD-2-Clause */
#include "client/newborn.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#include <linux/futex.h>
#include <linux/ptrace.h>

#include "arch/arch.h"
#include "base/initial.h"
#include "client/borrowed.h"

BORROWED_THREAD static int become_victim(void *data)
{
	struct newborn *newborn = data;

	/* Should the controller-to-be die before its word: it is its child. */
	kernel(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	while (!__atomic_load_n(&newborn->go, __ATOMIC_ACQUIRE))
		kernel(SYS_futex, &newborn->go, FUTEX_WAIT, 0, 0, 0);
	kernel(SYS_prctl, PR_SET_PDEATHSIG, 0, 0, 0, 0);
	os_become(&newborn->plan, &newborn->failure);
	return 127;
}

BORROWED_THREAD void newborn_undo(struct newborn *newborn)
{
	kernel(SYS_kill, newborn->pid, SIGKILL, 0, 0, 0);
	kernel(SYS_wait4, newborn->pid, 0, __WALL, 0, 0);
	newborn->pid = 0;
}

/*
 * The tracer is this very task, and stays it over its exec. Whatever the mode: should no controller come of
 * it, nobody would know of the victim, so that ends too. At its exec the controller sets what the mode says.
 */
BORROWED_THREAD void newborn_make(struct newborn *newborn)
{
	long pid, error;

	newborn->here = 1;
	pid = arch_clone(become_victim, newborn, newborn->stack + NEWBORN_STACK,
			 CLONE_VM | CLONE_CHILD_CLEARTID | SIGCHLD, &newborn->here);
	if (pid < 0) {
		newborn->here = 0;
		newborn->error = (int)-pid;
		return;
	}
	newborn->pid = (pid_t)pid;
	error = kernel(SYS_ptrace, PTRACE_SEIZE, pid, 0, os_trace_options(true), 0);
	if (error < 0) {
		newborn->error = (int)-error;
		newborn_undo(newborn);
		return;
	}
	__atomic_store_n(&newborn->go, 1, __ATOMIC_RELEASE);
	kernel(SYS_futex, &newborn->go, FUTEX_WAKE, 1, 0, 0);
}

/* ---- its exec -------------------------------------------------------------------------------------------- */

/* A disk that must be read takes longer, and then the controller is there in time. */
enum { PATIENCE_NS = 5000000 };

BORROWED_THREAD static uint64_t clock_ns(void)
{
	struct timespec t = { 0 };

	kernel(SYS_clock_gettime, CLOCK_MONOTONIC, &t, 0, 0, 0);
	return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

/*
 * True: it stands at its exec. Whatever else happens is left where it is, for the controller: so the stop is
 * looked at and not taken, and SIGCHLD, which is blocked here, may stay pending.
 */
BORROWED_THREAD static bool executed(const struct newborn *newborn, uint64_t until)
{
	const uint64_t child_signal = UINT64_C(1) << (SIGCHLD - 1);
	struct {
		uint64_t handler, flags, restorer, mask;
	} plain = { 0, 0, 0, 0 };

	/* Ignored, it would not be sent. */
	kernel(SYS_rt_sigaction, SIGCHLD, &plain, 0, sizeof(uint64_t), 0);
	for (;;) {
		siginfo_t info;
		long error;

		info.si_pid = 0;
		error = kernel(SYS_waitid, P_PID, newborn->pid, &info,
			       WEXITED | WSTOPPED | WNOHANG | WNOWAIT | __WALL, 0);
		if (error < 0)
			return false;
		if (info.si_pid)
			return info.si_code == CLD_TRAPPED && info.si_status == (SIGTRAP | PTRACE_EVENT_EXEC << 8);

		uint64_t now = clock_ns();
		const struct timespec left = { .tv_nsec = (long)(until - now) };

		if (now >= until)
			return false;
		kernel(SYS_rt_sigtimedwait, &child_signal, 0, &left, sizeof(child_signal), 0);
	}
}

/* Its caller looks at the file meanwhile. */
BORROWED_THREAD static bool told(struct newborn *newborn, uint64_t until)
{
	while (__atomic_load_n(&newborn->told, __ATOMIC_ACQUIRE) == NEWBORN_UNTOLD) {
		uint64_t now = clock_ns();
		const struct timespec left = { .tv_nsec = (long)(until - now) };

		if (now >= until) {
			uint32_t untold = NEWBORN_UNTOLD;

			return !__atomic_compare_exchange_n(&newborn->told, &untold, NEWBORN_MISSED, false,
							    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
		}
		kernel(SYS_futex, &newborn->told, FUTEX_WAIT, NEWBORN_UNTOLD, &left, 0);
	}
	return true;
}

BORROWED_THREAD static long read_memory(pid_t pid, struct iovec *into, struct iovec *from, size_t count)
{
	return arch_kernel(SYS_process_vm_readv, pid, (long)into, (long)count, (long)from, (long)count, 0);
}

BORROWED_THREAD static struct iovec piece(uint64_t address, size_t length)
{
	return (struct iovec){ (void *)(uintptr_t)address, length };
}

/* Of whole words; memcmp(3) may be somebody else's. */
BORROWED_THREAD static bool same_words(const void *one, const void *other, size_t length)
{
	const uint64_t *a = one, *b = other;

	for (size_t i = 0; i < length / sizeof(*a); i++)
		if (a[i] != b[i])
			return false;
	return true;
}

BORROWED_THREAD static bool same_name(const char *a, const char *b, const char *end)
{
	for (; b < end; a++, b++) {
		if (*a != *b)
			return false;
		if (!*a)
			return true;
	}
	return false;
}

/* Where the image lies; and whether it is the file of that name. */
BORROWED_THREAD static bool read_vector(struct attendance *attendance)
{
	const uint32_t size = attendance->event.stack_size;
	uint64_t *base = attendance->event.base, name;
	struct initial_vector shown;

	if (!initial_vector((const uint64_t *)(const void *)attendance->items, size / sizeof(uint64_t), &shown))
		return false;
	base[PROTO_BASE_PROGRAM] = shown.phdr & ~(uint64_t)(PROTO_KEY_PAGE - 1);
	base[PROTO_BASE_LINKER] = shown.linker;
	base[PROTO_BASE_VDSO] = shown.vdso;
	name = shown.name - attendance->event.sp;
	return !shown.linker == !attendance->has_linker && name < size &&
	       same_name(attendance->name, attendance->items + name, attendance->items + size);
}

BORROWED_THREAD static bool read_stack(pid_t pid, struct attendance *attendance)
{
	uint64_t regs[ARCH_REGS_MAX / sizeof(uint64_t)];
	struct iovec set = { regs, sizeof(regs) }, from, into = { attendance->items, ATTENDED_STACK };
	long length;

	if (kernel(SYS_ptrace, PTRACE_GETREGSET, pid, NT_PRSTATUS, &set, 0) < 0)
		return false;
	attendance->event.sp = arch_stack_of(regs, set.iov_len);
	from = piece(attendance->event.sp, ATTENDED_STACK);
	length = attendance->event.sp ? read_memory(pid, &into, &from, 1) : 0;
	/* More than fits is for the library to read, while the victim stands. */
	if (length <= 0 || length == ATTENDED_STACK)
		return false;
	attendance->event.stack_size = (uint32_t)length;
	return true;
}

BORROWED_THREAD static uint64_t address_of(const struct attendance *attendance, uint32_t i)
{
	return attendance->site[i].site.address + attendance->event.base[attendance->site[i].base];
}

/* Its first pages and the text at the sites are those of the files that the caller has looked at. */
BORROWED_THREAD static bool as_expected(pid_t pid, struct attendance *attendance)
{
	enum { PIECES = ARRAY_LEN(attendance->page) + PROTO_IMAGE_SITES };
	struct iovec into[PIECES], from[PIECES];
	const uint64_t *base = attendance->event.base;
	size_t count = 0;
	long wanted = 0;

	for (int i = 0; i < 1 + attendance->has_linker; i++, count++) {
		from[count] = piece(base[i ? PROTO_BASE_LINKER : PROTO_BASE_PROGRAM], PROTO_KEY_PAGE);
		into[count] = piece((uintptr_t)attendance->page[i], PROTO_KEY_PAGE);
		wanted += PROTO_KEY_PAGE;
	}
	for (uint32_t i = 0; i < attendance->told.items; i++, count++) {
		from[count] = piece(address_of(attendance, i), RECIPE_INSN_MAX);
		into[count] = piece((uintptr_t)attendance->text[i], RECIPE_INSN_MAX);
		wanted += RECIPE_INSN_MAX;
	}
	if (read_memory(pid, into, from, count) != wanted ||
	    !same_words(attendance->page[0], attendance->program_page, PROTO_KEY_PAGE) ||
	    (attendance->has_linker && !same_words(attendance->page[1], attendance->linker_page, PROTO_KEY_PAGE)))
		return false;
	for (uint32_t i = 0; i < attendance->told.items; i++)
		if (!attendance->event.base[attendance->site[i].base] ||
		    !same_words(attendance->text[i], attendance->site[i].site.recipe.home, RECIPE_INSN_MAX))
			return false;
	return true;
}

/* One word of text; POKEDATA writes where the victim itself may not. */
BORROWED_THREAD static long write_site(pid_t pid, const struct attendance *attendance, uint32_t i, bool trap)
{
	union {
		uint8_t bytes[sizeof(uint64_t)];
		uint64_t word;
	} text;

	for (size_t at = 0; at < sizeof(text.bytes); at++)
		text.bytes[at] = trap && at < ARCH_TRAP_SIZE ? arch_trap[at] :
							       attendance->site[i].site.recipe.home[at];
	return kernel(SYS_ptrace, PTRACE_POKEDATA, pid, address_of(attendance, i), text.word, 0);
}

/* All or none. */
BORROWED_THREAD static bool plant_sites(pid_t pid, const struct attendance *attendance)
{
	for (uint32_t i = 0; i < attendance->told.items; i++) {
		if (attendance->site[i].site.flags & PROTO_SITE_LATER || write_site(pid, attendance, i, true) >= 0)
			continue;
		while (i-- > 0)
			write_site(pid, attendance, i, false);
		return false;
	}
	return true;
}

/* The victim has inherited what this task has. Where it cannot be told, all is asked for (proto_ev_exec). */
BORROWED_THREAD static void read_directory(struct attendance *attendance)
{
	char *at = attendance->items + attendance->event.stack_size;
	long length = kernel(SYS_readlink, "/proc/self/cwd", at, ATTENDED_CWD - 1, 0, 0);

	if (length <= 0)
		return;
	at[length] = '\0';
	attendance->event.items = attendance->event.stack_size + (uint32_t)length + 1;
}

/*
 * Where a task last ran: the 39th word of its stat, the 37th behind the name in parentheses (proc(5)). -1: not to be
 * known.
 */
BORROWED_THREAD static int processor_of(pid_t pid)
{
	enum { WORD = 37, DIGITS = 12 };
	char path[sizeof("/proc//stat") + DIGITS], text[512], digits[DIGITS];
	static const char head[] = "/proc/", tail[] = "/stat";
	int words = 0, count = 0, processor = -1;
	size_t to = 0;
	long fd, length, at;

	for (; pid; pid /= 10)
		digits[count++] = (char)('0' + pid % 10);
	for (at = 0; head[at]; at++)
		path[to++] = head[at];
	while (count)
		path[to++] = digits[--count];
	for (at = 0; at < (long)sizeof(tail); at++)
		path[to++] = tail[at];
	fd = kernel(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0, 0);
	if (fd < 0)
		return -1;
	length = kernel(SYS_read, fd, text, sizeof(text), 0, 0);
	kernel(SYS_close, fd, 0, 0, 0, 0);
	for (at = length; at > 0 && text[at - 1] != ')'; at--)
		;
	for (; at > 0 && at < length && words < WORD + 1; at++) {
		words += text[at] == ' ';
		if (words == WORD && text[at] != ' ')
			processor = (processor < 0 ? 0 : processor * 10) + (text[at] - '0');
	}
	return words > WORD ? processor : -1;
}

/*
 * The victim that was let go may have been put behind this task, which goes on to its own exec: there it would wait for
 * all of that while another processor idles, for the kernel moves a task when it wakes up and seldom else; and one that a
 * hypervisor has put to sleep is not idle enough to be chosen. So this task makes room, if it may.
 */
struct processors {
	uint64_t allowed[16]; /* what more there may be is not asked about */
	long size;
	bool aside;
};

BORROWED_THREAD static void step_aside(pid_t pid, struct processors *processors)
{
	uint64_t *word, bit, others = 0;
	uint32_t here;

	processors->aside = false;
	if (kernel(SYS_getcpu, &here, 0, 0, 0, 0) < 0 || processor_of(pid) != (int)here)
		return;
	processors->size =
		kernel(SYS_sched_getaffinity, 0, sizeof(processors->allowed), processors->allowed, 0, 0);
	if (processors->size <= 0 || here / 8 >= (size_t)processors->size)
		return;
	word = &processors->allowed[here / 64];
	bit = UINT64_C(1) << here % 64;
	*word &= ~bit;
	for (size_t i = 0; i < (size_t)processors->size / sizeof(*word); i++)
		others |= processors->allowed[i];
	if (others)
		processors->aside =
			kernel(SYS_sched_setaffinity, 0, processors->size, processors->allowed, 0, 0) >= 0;
	*word |= bit;
}

BORROWED_THREAD static void step_back(const struct processors *processors)
{
	if (processors->aside)
		kernel(SYS_sched_setaffinity, 0, processors->size, processors->allowed, 0, 0);
}

BORROWED_THREAD static void attend(const struct newborn *newborn, struct processors *processors)
{
	struct attendance *attendance = newborn->attendance;
	pid_t pid = newborn->pid;

	attendance->event.event.t_ns = clock_ns();
	if (!read_stack(pid, attendance) || !read_vector(attendance) || !as_expected(pid, attendance) ||
	    !plant_sites(pid, attendance))
		return;
	attendance->planted = true;
	attendance->event.image = attendance->told.id;
	/* Should it have been killed, its end is what the controller hears. */
	kernel(SYS_ptrace, PTRACE_CONT, pid, 0, 0, 0);
	step_aside(pid, processors);
	read_directory(attendance);
}

BORROWED_THREAD void newborn_say(struct newborn *newborn)
{
	struct proto_create *create = &newborn->request.create;
	const struct attendance *attendance = newborn->attendance;

	create->pid = (uint32_t)newborn->pid;
	if (attendance && attendance->planted) {
		create->image = attendance->told.id;
		for (int i = 0; i < PROTO_BASES; i++)
			create->base[i] = attendance->event.base[i];
	}
	newborn->said = arch_kernel(SYS_sendto, newborn->socket, (long)&newborn->request, sizeof(newborn->request),
				    MSG_DONTWAIT | MSG_NOSIGNAL, 0, 0) == sizeof(newborn->request);
}

BORROWED_THREAD bool newborn_attend(struct newborn *newborn)
{
	const uint64_t until = clock_ns() + PATIENCE_NS;
	struct processors processors = { .aside = false };

	if (!told(newborn, until))
		return true;
	if (newborn->attendance && executed(newborn, until))
		attend(newborn, &processors);
	step_back(&processors);
	newborn_say(newborn);
	return newborn->said;
}

/* ---- the caller ------------------------------------------------------------------------------------------ */

bool newborn_possible(void)
{
	enum { DUMPABLE = 1 };

	return prctl(PR_GET_DUMPABLE) == DUMPABLE;
}

int newborn_init(struct newborn *newborn, size_t stacks)
{
	memset(newborn, 0, sizeof(*newborn));
	newborn->stack_size = NEWBORN_STACK + stacks;
	newborn->stack = mmap(NULL, newborn->stack_size, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	return newborn->stack == MAP_FAILED ? -ENOMEM : 0;
}

bool newborn_tell(struct newborn *newborn, struct attendance *attendance)
{
	uint32_t untold = NEWBORN_UNTOLD;

	newborn->attendance = attendance;
	if (!__atomic_compare_exchange_n(&newborn->told, &untold, NEWBORN_TOLD, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_ACQUIRE))
		return false;
	arch_kernel(SYS_futex, (long)&newborn->told, FUTEX_WAKE, 1, 0, 0, 0);
	return true;
}

bool newborn_end(struct newborn *newborn, int timeout_ms)
{
	const struct timespec patience = { .tv_sec = timeout_ms / 1000,
					   .tv_nsec = (long)(timeout_ms % 1000) * 1000000 };

	while (__atomic_load_n(&newborn->here, __ATOMIC_ACQUIRE))
		if (arch_kernel(SYS_futex, (long)&newborn->here, FUTEX_WAIT, 1, (long)&patience, 0, 0) == -ETIMEDOUT)
			return false;
	munmap(newborn->stack, newborn->stack_size);
	newborn->stack = NULL;
	return true;
}
