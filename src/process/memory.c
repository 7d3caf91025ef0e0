/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <string.h>
#include <sys/uio.h>

#include "os/memory.h"
#include "os/procfs.h"
#include "os/sys.h"
#include "process/handle.h"

/* One vectored read: IOV_MAX pieces at most. */
enum { READ_PIECES = 1024 };

/*
 * A process whose main thread has ended shows no memory under its pid; any thread that lives does. The one that
 * served last is tried first.
 */
struct attempt {
	struct tether *process;
	vaddr_t address;
	void *buffer;
	size_t length;
	ssize_t result;
};

static int attempt_thread(int64_t tid, void *data)
{
	struct attempt *attempt = data;

	attempt->result = os_read_memory(tid, attempt->address, attempt->buffer, attempt->length);
	if (attempt->result == -ESRCH)
		return 0;
	__atomic_store_n(&attempt->process->live_tid, tid, __ATOMIC_RELAXED);
	return 1;
}

static ssize_t read_alive(struct tether *process, vaddr_t address, void *buffer, size_t length)
{
	struct attempt attempt = { process, address, buffer, length, -ESRCH };
	int64_t tid = __atomic_load_n(&process->live_tid, __ATOMIC_RELAXED);
	ssize_t got = os_read_memory(tid ? tid : process->pid, address, buffer, length);

	if (got != -ESRCH)
		return got;
	os_each_thread(process->pid, attempt_thread, &attempt);
	return attempt.result;
}

int64_t process_live_tid(struct tether *process)
{
	char byte;

	/* Whatever is there: only whether somebody answers counts. */
	(void)read_alive(process, 0, &byte, 1);
	int64_t tid = __atomic_load_n(&process->live_tid, __ATOMIC_RELAXED);
	return tid ? tid : process->pid;
}

/*
 * The reader of the control thread. It runs with and without table->lock held (a scan holds it), so it hides
 * traps without locking: only the control thread changes a space.
 */
static ssize_t control_read(void *data, vaddr_t address, void *buffer, size_t length)
{
	struct tether *process = data;
	ssize_t got = read_alive(process, address, buffer, length);

	if (got > 0)
		plant_hide(process, address, buffer, (size_t)got);
	return got;
}

static ssize_t control_read_many(void *data, const struct reader_piece *pieces, size_t count)
{
	struct tether *process = data;
	struct iovec local[READ_PIECES], remote[READ_PIECES];
	size_t done = 0;

	while (done < count) {
		size_t batch = count - done < READ_PIECES ? count - done : READ_PIECES;
		for (size_t i = 0; i < batch; i++) {
			local[i] = (struct iovec){ pieces[done + i].buffer, pieces[done + i].length };
			remote[i] = (struct iovec){ (void *)(uintptr_t)pieces[done + i].address,
						    pieces[done + i].length };
		}
		int64_t tid = __atomic_load_n(&process->live_tid, __ATOMIC_RELAXED);
		long got = sys(process_vm_readv, tid ? tid : process->pid, local, batch, remote, batch, 0);
		if (got < 0)
			return done ? (ssize_t)done : got;
		size_t whole = 0;
		for (; whole < batch && (size_t)got >= local[whole].iov_len; whole++)
			got -= (long)local[whole].iov_len;
		done += whole;
		if (whole < batch)
			break;
	}
	return (ssize_t)done;
}

struct reader process_reader(struct tether *process)
{
	return (struct reader){ control_read, control_read_many, process };
}

static ssize_t plain_read(void *data, vaddr_t address, void *buffer, size_t length)
{
	return read_alive(data, address, buffer, length);
}

struct reader process_plain_reader(struct tether *process)
{
	return (struct reader){ plain_read, control_read_many, process };
}

/* From address on, what the windows show of it; 0: nothing. */
static size_t read_windows(const struct captured *captured, vaddr_t address, void *buffer, size_t length)
{
	for (size_t at = 0; captured->length - at >= sizeof(struct proto_window);) {
		struct proto_window window;

		memcpy(&window, captured->bytes + at, sizeof(window));
		at += sizeof(window);
		if (window.length > captured->length - at)
			break;
		if (address >= window.address && address - window.address < window.length) {
			size_t offset = (size_t)(address - window.address), left = window.length - offset;

			memcpy(buffer, captured->bytes + at + offset, left < length ? left : length);
			return left < length ? left : length;
		}
		at += window.length;
	}
	return 0;
}

static ssize_t captured_read(void *data, vaddr_t address, void *buffer, size_t length)
{
	const struct captured *captured = data;
	size_t got = read_windows(captured, address, buffer, length);

	if (!got)
		return control_read(captured->process, address, buffer, length);
	plant_hide(captured->process, address, buffer, got);
	return (ssize_t)got;
}

struct reader captured_reader(struct captured *captured)
{
	return captured->length ? (struct reader){ captured_read, NULL, captured } : process_reader(captured->process);
}

int64_t tether_read(struct tether *process, uint64_t address, void *buffer, size_t length)
{
	struct table *table = process->table;
	int result = table_enter(table);

	if (result < 0)
		return result;
	/*
	 * The lock is kept over the read: what is planted or lifted meanwhile would show half hidden. One that only
	 * observes may read what another handle of the session has planted.
	 */
	ssize_t got = read_alive(process, address, buffer, length);
	if (got > 0)
		plant_hide(observe_owner(process), address, buffer, (size_t)got);
	table_leave(table);
	if (got == -ESRCH)
		return -TETHER_EGONE;
	if (got == -EFAULT || got == -EIO || (got == 0 && length))
		return -TETHER_EMEMORY;
	return got == -EPERM || got == -EACCES ? -TETHER_EPRIV : got;
}
