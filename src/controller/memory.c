/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * controller/memory.c - the memory of an address space, read and written
 *
 * By the file where it is open: that stays the memory it was opened on, whereas a tid may be another image's by the time
 * of a call, and a trap that is looked for there would be taken for one that somebody has removed.
 */
#include "controller/site.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

#include "controller/trace.h"
#include "os/memory.h"
#include "os/sys.h"

static int open_memory(struct space *s)
{
	struct process *p;
	struct task *t;

	if (s->memory >= 0)
		return 0;
	/* The file belongs to the memory it was opened on, so any living task of the space will do, for good.
	 */
	TAILQ_FOREACH(p, &s->processes, of_space)
		TAILQ_FOREACH(t, &p->tasks, of_process) {
			int fd = t->unhashed ? -ESRCH : os_open_memory(t->tid, true);

			if (fd == -EINTR || fd == -ENOMEM)
				fd = os_open_memory(t->tid, true);
			if (fd >= 0) {
				s->memory = fd;
				return 0;
			}
			if (fd != -ESRCH && fd != -ENOENT)
				return fd;
		}
	return -ESRCH;
}

void space_ready(struct space *s)
{
	(void)open_memory(s);
}

/* Text that may only be executed is read through the file alone; most processes never need it opened. */
int space_read(struct space *s, vaddr_t address, void *buffer, size_t length)
{
	struct task *t = space_task(s, false);
	long n = s->memory < 0 && t ? os_read_memory(t->tid, address, buffer, length) : -EFAULT;
	int r;

	if (n == (long)length)
		return 0;
	r = open_memory(s);
	if (r)
		return n < 0 && n != -EFAULT ? (int)n : r;
	n = sys(pread64, s->memory, buffer, length, address);
	if (n == -EINTR || n == -ENOMEM)
		n = sys(pread64, s->memory, buffer, length, address);
	if (n == (long)length)
		return 0;
	/* 0: the memory has no user any more */
	return n < 0 ? (int)n : n ? -EFAULT : -ESRCH;
}

static int poke(struct space *s, vaddr_t address, const unsigned char *bytes, size_t length)
{
	struct task *t = space_task(s, true);
	int r = t ? 0 : -EAGAIN;

	for (size_t i = 0; i < length && !r; i++)
		r = trace_poke_byte(t->tid, address + i, bytes[i]);
	return r;
}

int space_write(struct space *s, vaddr_t address, const unsigned char *bytes, size_t length)
{
	long n;
	int r = s->poke ? -EPERM : open_memory(s);

	s->edits++;
	if (r && r != -ESRCH)
		return poke(s, address, bytes, length);
	if (r)
		return r;
	n = sys(pwrite64, s->memory, bytes, length, address);
	if (n == -EINTR || n == -ENOMEM)
		n = sys(pwrite64, s->memory, bytes, length, address);
	if (n == (long)length)
		return 0;
	if (n == 0)
		return -ESRCH;
	/* proc_mem.force_override=never answers EIO where the victim itself may not write */
	r = poke(s, address, bytes, length);
	if (!r)
		s->poke = true;
	return r == -EAGAIN ? (n < 0 ? (int)n : -EFAULT) : r;
}

int task_read(void *task, vaddr_t address, void *buffer, size_t length)
{
	struct task *t = task;
	ssize_t n = os_read_memory(t->tid, address, buffer, length);

	return n == (ssize_t)length ? 0 : n < 0 ? (int)n : -EFAULT;
}

int task_write(void *task, vaddr_t address, const void *buffer, size_t length)
{
	struct task *t = task;
	ssize_t n = os_write_memory(t->tid, address, buffer, length);

	return n == (ssize_t)length ? 0 : n < 0 ? (int)n : -EFAULT;
}

/* ---- text of many sites at once ---------------------------------------------------------- */

/* How many of them, from the first on, lie so near each other that one read costs less than several. */
static size_t neighbours(const struct text *text, size_t count, size_t *ret_length)
{
	size_t i = 1, length = text->wanted;

	while (i < count && text[i].address - text[i - 1].address <= TEXT_NEAR &&
	       text[i].address + sizeof(text->bytes) - text->address <= TEXT_WINDOW) {
		size_t end = (size_t)(text[i].address - text->address) + text[i].wanted;

		length = end > length ? end : length;
		i++;
	}
	*ret_length = length;
	return i;
}

enum { FEW = 8 };

/* All of them by one call, without the file: a child that is made has but few to be looked at. */
static bool read_few(struct space *s, struct text *text, size_t count)
{
	struct iovec into[FEW], from[FEW];
	const struct task *t = space_task(s, false);
	size_t wanted = 0;

	if (s->memory >= 0 || !t || count > FEW)
		return false;
	for (size_t i = 0; i < count; i++) {
		into[i] = (struct iovec){ text[i].bytes, text[i].wanted };
		from[i] = (struct iovec){ (void *)(uintptr_t)text[i].address, text[i].wanted };
		wanted += text[i].wanted;
		text[i].error = 0;
	}
	return sys(process_vm_readv, t->tid, into, count, from, count, 0) == (long)wanted;
}

void space_read_text(struct space *s, struct text *text, size_t count)
{
	unsigned char window[TEXT_WINDOW];

	if (!count || read_few(s, text, count))
		return;
	/* Few are read as space_read() does it: most processes never need the file opened. */
	if (count > FEW)
		(void)open_memory(s);
	for (size_t at = 0; at < count;) {
		struct text *first = &text[at];
		size_t length, some = neighbours(first, count - at, &length);

		if (some > 1 && space_read(s, first->address, window, length))
			some = 1; /* not all of it can be read */
		for (size_t i = 0; i < some; i++) {
			struct text *one = &first[i];

			one->error = 0;
			if (some > 1)
				memcpy(one->bytes, window + (one->address - first->address), one->wanted);
			else
				one->error = space_read(s, one->address, one->bytes, one->wanted);
		}
		at += some;
	}
}
