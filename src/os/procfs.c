/* SPDX-License-Identifier: BSD-2-Clause */
#include "os/procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include <linux/kcmp.h>

#include "base/limits.h"
#include "os/sys.h"

/* /proc says ENOENT for a pid that is gone when it opens, ESRCH when it reads. */
static long gone(long error)
{
	return error == -ENOENT ? -ESRCH : error;
}

static long open_proc(const char *path, int flags)
{
	long fd = sys(openat, AT_FDCWD, path, flags | O_CLOEXEC, 0);

	if (fd == -EINTR || fd == -ENOMEM)
		fd = sys(openat, AT_FDCWD, path, flags | O_CLOEXEC, 0);
	return gone(fd);
}

static long read_some(long fd, void *buffer, size_t length)
{
	long n = sys(read, fd, buffer, length);

	if (n == -EINTR || n == -ENOMEM)
		n = sys(read, fd, buffer, length);
	return n;
}

/*
 * A small file that the kernel makes in one piece, NUL-ended, cut at size: length or negative errno. One read
 * with room to spare has all of it.
 */
static long read_once(const char *path, char *buffer, size_t size)
{
	long fd = open_proc(path, O_RDONLY), n;

	if (fd < 0)
		return fd;
	n = read_some(fd, buffer, size - 1);
	sys(close, fd);
	buffer[n > 0 ? n : 0] = '\0';
	return n;
}

int os_link(int64_t tid, const char *name, char *buffer, size_t size)
{
	char path[64];
	long length;

	snprintf(path, sizeof(path), "/proc/%lld/%s", (long long)tid, name);
	length = sys(readlinkat, AT_FDCWD, path, buffer, size);
	if (length == -EINTR || length == -ENOMEM)
		length = sys(readlinkat, AT_FDCWD, path, buffer, size);
	if (length < 0)
		return (int)gone(length);
	if ((size_t)length >= size)
		return -ENAMETOOLONG;
	buffer[length] = '\0';
	return (int)length;
}

const char *os_status_field(const char *status, const char *key)
{
	size_t length = strlen(key);

	for (const char *line = status; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, key, length) && line[length] == ':') {
			line += length + 1;
			return line + strspn(line, " \t");
		}
	}
	return NULL;
}

uint64_t os_status_number(const char *status, const char *key, int base)
{
	const char *value = os_status_field(status, key);

	return value ? strtoull(value, NULL, base) : 0;
}

int os_task_status(int64_t tid, struct os_task_status *ret)
{
	struct os_task_status status = { 0 };
	char path[48], text[4096];
	const char *value;
	long n;

	snprintf(path, sizeof(path), "/proc/%lld/status", (long long)tid);
	n = read_once(path, text, sizeof(text));
	if (n < 0)
		return (int)n;
	value = os_status_field(text, "State");
	status.state = value ? *value : '?';
	status.tgid = (int64_t)os_status_number(text, "Tgid", 10);
	status.ppid = (int64_t)os_status_number(text, "PPid", 10);
	status.tracer = (int64_t)os_status_number(text, "TracerPid", 10);
	status.uid = (uint32_t)os_status_number(text, "Uid", 10);
	status.gid = (uint32_t)os_status_number(text, "Gid", 10);
	status.threads = (uint32_t)os_status_number(text, "Threads", 10);
	status.sig_pending = os_status_number(text, "SigPnd", 16);
	status.sig_shared_pending = os_status_number(text, "ShdPnd", 16);
	status.sig_blocked = os_status_number(text, "SigBlk", 16);
	status.sig_ignored = os_status_number(text, "SigIgn", 16);
	status.sig_caught = os_status_number(text, "SigCgt", 16);
	status.seccomp = (uint32_t)os_status_number(text, "Seccomp", 10);
	status.dumps_core = os_status_number(text, "CoreDumping", 10) != 0;
	/* "Kthread:" is new (6.9); without it: neither a zombie nor a user of memory. */
	if (os_status_field(text, "Kthread"))
		status.kernel_thread = os_status_number(text, "Kthread", 10) != 0;
	else
		status.kernel_thread = !os_status_field(text, "VmSize") && status.state != 'Z' && status.state != 'X';
	/* One number for each namespace that sees it, its own last. */
	for (value = os_status_field(text, "NStgid"); value && *value && *value != '\n';) {
		status.is_init = strtoull(value, NULL, 10) == 1;
		value += strcspn(value, "\t\n");
		value += *value == '\t';
	}
	if (!status.tgid)
		return -ESRCH;
	*ret = status;
	return 0;
}

int os_signal_actions(int64_t tid, uint64_t *ret_ignored, uint64_t *ret_caught)
{
	char path[48], text[4096];
	const char *ignored, *caught;
	long n;

	snprintf(path, sizeof(path), "/proc/%lld/status", (long long)tid);
	n = read_once(path, text, sizeof(text));
	if (n < 0)
		return (int)n;
	ignored = strstr(text, "\nSigIgn:");
	caught = ignored ? strstr(ignored, "\nSigCgt:") : NULL;
	if (!caught)
		return -ESRCH;
	*ret_ignored = strtoull(ignored + sizeof("\nSigIgn:"), NULL, 16);
	*ret_caught = strtoull(caught + sizeof("\nSigCgt:"), NULL, 16);
	return 0;
}

int os_start_time(int64_t tid, uint64_t *ret)
{
	char path[64], text[1024];
	const char *p;
	long n;

	/* Its own: /proc/TID/stat adds up the times of all threads, which takes as long as 30 of these for a thousand. */
	snprintf(path, sizeof(path), "/proc/%lld/task/%lld/stat", (long long)tid, (long long)tid);
	n = read_once(path, text, sizeof(text));
	if (n < 0)
		return (int)n;
	/* Field 2 is the name in parentheses and may hold anything: count from the last one on. */
	p = strrchr(text, ')');
	for (int i = 2; p && i < 22; i++) {
		p = strchr(p, ' ');
		p = p ? p + 1 : NULL;
	}
	if (!p)
		return -ESRCH;
	*ret = strtoull(p, NULL, 10);
	return 0;
}

/* "NUMBER ARGUMENT*6 SP PC", "-1 SP PC" or "running". *rest: behind the number. */
static long blocked(char *text, long length, char **rest)
{
	long number;

	if (length < 0)
		return length;
	if (!strncmp(text, "running", 7) || !length)
		return OS_SYSCALL_RUNNING;
	number = strtol(text, rest, 10);
	return number < 0 ? OS_SYSCALL_NONE : number;
}

enum { BLOCKED_SIZE = 256, RUNS_SIZE = 96 };

static long read_blocked(int64_t pid, int64_t tid, char text[BLOCKED_SIZE], char **rest)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%lld/task/%lld/syscall", (long long)pid, (long long)tid);
	return blocked(text, read_once(path, text, BLOCKED_SIZE), rest);
}

long os_blocked_syscall(int64_t pid, int64_t tid, uint64_t argument[6])
{
	char text[BLOCKED_SIZE], *p = text;
	long number = read_blocked(pid, tid, text, &p);

	for (int i = 0; number >= 0 && argument && i < 6; i++)
		argument[i] = strtoull(p, &p, 16);
	return number;
}

static long blocked_at(long number, char *p, struct os_blocked *ret)
{
	if (number < 0 && number != OS_SYSCALL_NONE)
		return number;
	*ret = (struct os_blocked){ .sp = 0 };
	for (int i = 0; number >= 0 && i < 6; i++)
		ret->argument[i] = strtoull(p, &p, 16);
	ret->sp = strtoull(p, &p, 16);
	ret->pc = strtoull(p, &p, 16);
	return number;
}

long os_blocked_at(int64_t pid, int64_t tid, struct os_blocked *ret)
{
	char text[BLOCKED_SIZE], *p = text;
	long number = read_blocked(pid, tid, text, &p);

	return blocked_at(number, p, ret);
}

/* time on a processor, time that it waited for one, number of times */
static int runs(const char *text, long length, uint64_t *ret)
{
	char *p;

	if (length <= 0)
		return length ? (int)length : -ENOENT;
	strtoull(text, &p, 10);
	strtoull(p, &p, 10);
	*ret = strtoull(p, &p, 10);
	return 0;
}

int os_thread_runs(int64_t pid, int64_t tid, uint64_t *ret)
{
	char path[64], text[RUNS_SIZE];

	snprintf(path, sizeof(path), "/proc/%lld/task/%lld/schedstat", (long long)pid, (long long)tid);
	return runs(text, read_once(path, text, sizeof(text)), ret);
}

int os_open_threads(int64_t pid)
{
	char path[48];

	snprintf(path, sizeof(path), "/proc/%lld/task", (long long)pid);
	return (int)open_proc(path, O_RDONLY | O_DIRECTORY);
}

int os_open_thread(int threads, int64_t tid, const char *name)
{
	char path[64];
	long fd;

	snprintf(path, sizeof(path), "%lld/%s", (long long)tid, name);
	fd = sys(openat, threads, path, O_RDONLY | O_CLOEXEC, 0);
	if (fd == -EINTR || fd == -ENOMEM)
		fd = sys(openat, threads, path, O_RDONLY | O_CLOEXEC, 0);
	return (int)gone(fd);
}

static long read_again(int fd, char *buffer, size_t size)
{
	long n = sys(pread64, fd, buffer, size - 1, 0);

	if (n == -EINTR || n == -ENOMEM)
		n = sys(pread64, fd, buffer, size - 1, 0);
	buffer[n > 0 ? n : 0] = '\0';
	return n;
}

long os_blocked_of(int fd, struct os_blocked *ret)
{
	char text[BLOCKED_SIZE], *p = text;
	long number = blocked(text, read_again(fd, text, sizeof(text)), &p);

	return blocked_at(number, p, ret);
}

int os_runs_of(int fd, uint64_t *ret)
{
	char text[RUNS_SIZE];

	return runs(text, read_again(fd, text, sizeof(text)), ret);
}

/* ---- directories ----------------------------------------------------------------------------------------
 */

struct dirent64 {
	uint64_t ino;
	int64_t off;
	unsigned short reclen;
	unsigned char type;
	char name[];
};

static int each_number(const char *path, int (*visit)(int64_t number, void *data), void *data)
{
	_Alignas(struct dirent64) char buffer[4096];
	long fd = open_proc(path, O_RDONLY | O_DIRECTORY), n;
	int r = 0;

	if (fd < 0)
		return (int)fd;
	while (!r) {
		n = sys(getdents64, fd, buffer, sizeof(buffer));
		if (n == -EINTR || n == -ENOMEM)
			n = sys(getdents64, fd, buffer, sizeof(buffer));
		if (n <= 0) {
			r = (int)gone(n);
			break;
		}
		for (long at = 0; at < n && !r;) {
			const struct dirent64 *entry = (const void *)(buffer + at);

			if (entry->name[0] >= '1' && entry->name[0] <= '9')
				r = visit(strtoll(entry->name, NULL, 10), data);
			at += entry->reclen;
		}
	}
	sys(close, fd);
	return r;
}

int os_each_thread(int64_t pid, int (*visit)(int64_t tid, void *data), void *data)
{
	char path[48];

	snprintf(path, sizeof(path), "/proc/%lld/task", (long long)pid);
	return each_number(path, visit, data);
}

int os_each_process(int (*visit)(int64_t pid, void *data), void *data)
{
	return each_number("/proc", visit, data);
}

int os_each_child(int64_t pid, int64_t tid, int (*visit)(int64_t child, void *data), void *data)
{
	char path[64], buffer[1024];
	int64_t child = 0;
	long fd, n;
	int r = 0;

	snprintf(path, sizeof(path), "/proc/%lld/task/%lld/children", (long long)pid, (long long)tid);
	fd = open_proc(path, O_RDONLY);
	if (fd < 0)
		return (int)fd;
	/* "12 345 ": a number may be cut by the end of a buffer, so it counts only at its blank. */
	while (!r && (n = read_some(fd, buffer, sizeof(buffer))) != 0) {
		if (n < 0) {
			r = (int)gone(n);
			break;
		}
		for (long i = 0; i < n && !r; i++) {
			if (buffer[i] >= '0' && buffer[i] <= '9') {
				child = child * 10 + (buffer[i] - '0');
			} else {
				r = child ? visit(child, data) : 0;
				child = 0;
			}
		}
	}
	sys(close, fd);
	return r;
}

/* ---- mappings -------------------------------------------------------------------------------------------
 */

/* "\012" to a newline: the one escape of /proc/PID/maps. In place. */
static void unescape(char *path)
{
	char *to = path;

	for (const char *from = path; *from;) {
		if (!strncmp(from, "\\012", 4)) {
			*to++ = '\n';
			from += 4;
		} else {
			*to++ = *from++;
		}
	}
	*to = '\0';
}

static bool parse_mapping(char *line, struct os_mapping *mapping)
{
	static const char deleted[] = " (deleted)";
	char *p, *path;
	size_t length;

	*mapping = (struct os_mapping){ .start = strtoull(line, &p, 16) };
	if (*p++ != '-')
		return false;
	mapping->end = strtoull(p, &p, 16);
	if (*p++ != ' ' || strlen(p) < 5)
		return false;
	mapping->readable = p[0] == 'r';
	mapping->writable = p[1] == 'w';
	mapping->executable = p[2] == 'x';
	mapping->shared = p[3] == 's';
	mapping->offset = strtoull(p + 4, &p, 16);
	mapping->device_major = (uint32_t)strtoul(p, &p, 16);
	if (*p++ != ':')
		return false;
	mapping->device_minor = (uint32_t)strtoul(p, &p, 16);
	mapping->inode = strtoull(p, &path, 10);
	path += strspn(path, " ");
	length = strlen(path);
	if (length >= sizeof(deleted) - 1 && !strcmp(path + length - (sizeof(deleted) - 1), deleted)) {
		path[length - (sizeof(deleted) - 1)] = '\0';
		mapping->deleted = true;
	}
	unescape(path);
	mapping->path = path;
	return true;
}

int os_each_mapping(int64_t tid, int (*visit)(const struct os_mapping *mapping, void *data), void *data)
{
	/* One line: numbers, and a path of at most PATH_MAX bytes with each newline escaped to four. */
	char buffer[8192 + 256], path[48];
	size_t held = 0, total = 0;
	long fd, n;
	int r = 0;

	snprintf(path, sizeof(path), "/proc/%lld/maps", (long long)tid);
	fd = open_proc(path, O_RDONLY);
	if (fd < 0)
		return (int)fd;
	while (!r && (n = read_some(fd, buffer + held, sizeof(buffer) - 1 - held)) != 0) {
		char *line = buffer, *end;

		if (n < 0) {
			r = (int)gone(n);
			break;
		}
		held += (size_t)n;
		total += (size_t)n;
		if (total > MAX_PROC_FILE) {
			r = -EOVERFLOW;
			break;
		}
		buffer[held] = '\0';
		while (!r && (end = memchr(line, '\n', held - (size_t)(line - buffer)))) {
			struct os_mapping mapping;

			*end = '\0';
			if (parse_mapping(line, &mapping))
				r = visit(&mapping, data);
			line = end + 1;
		}
		held -= (size_t)(line - buffer);
		/* A line longer than the buffer cannot come from the kernel; drop it rather than spin. */
		if (held == sizeof(buffer) - 1)
			held = 0;
		memmove(buffer, line, held);
	}
	sys(close, fd);
	return r;
}

/* PROCMAP_QUERY of <linux/fs.h>, which is newer than many a system's headers. */
struct map_query {
	uint64_t size, flags, address;
	uint64_t start, end, vma_flags, page_size, offset, inode;
	uint32_t device_major, device_minor, name_size, build_id_size;
	uint64_t name, build_id;
};
#define MAP_QUERY _IOWR('f', 17, struct map_query)
enum { MAP_READABLE = 1, MAP_WRITABLE = 2, MAP_EXECUTABLE = 4, MAP_SHARED_WITH = 8 };

int os_open_maps(int64_t tid)
{
	char path[48];

	snprintf(path, sizeof(path), "/proc/%lld/maps", (long long)tid);
	return (int)open_proc(path, O_RDONLY);
}

/* -ENOENT: nothing is mapped there. */
static int mapping_at(int maps, vaddr_t address, struct os_mapping *ret)
{
	struct map_query query = { .size = sizeof(query), .address = address };
	long r = sys(ioctl, maps, MAP_QUERY, &query);

	if (r)
		return (int)r;
	*ret = (struct os_mapping){
		.start = query.start,
		.end = query.end,
		.offset = query.offset,
		.inode = query.inode,
		.device_major = query.device_major,
		.device_minor = query.device_minor,
		.readable = query.vma_flags & MAP_READABLE,
		.writable = query.vma_flags & MAP_WRITABLE,
		.executable = query.vma_flags & MAP_EXECUTABLE,
		.shared = query.vma_flags & MAP_SHARED_WITH,
		.path = "",
	};
	return 0;
}

int os_mappings_at(int64_t tid, const vaddr_t *address, size_t count,
		   int (*visit)(const struct os_mapping *mapping, void *data), void *data)
{
	struct os_mapping mapping = { 0 };
	int maps = os_open_maps(tid), r = 0;

	if (maps < 0)
		return maps;
	for (size_t i = 0; i < count && r == 0; i++) {
		if (address[i] >= mapping.start && address[i] < mapping.end)
			continue;
		r = mapping_at(maps, address[i], &mapping);
		if (r == -ENOENT)
			r = 0;
		else if (r == 0)
			r = visit(&mapping, data);
	}
	sys(close, maps);
	return r;
}

vaddr_t os_stack_end(int maps, vaddr_t address)
{
	enum { PIECES = 256 };
	struct os_mapping first = { 0 }, next = { 0 }; /* for compilers that do not see that mapping_at() fills them */
	vaddr_t end;

	if (maps < 0 || mapping_at(maps, address, &first))
		return 0;
	end = first.end;
	for (int i = 0; i < PIECES && !mapping_at(maps, end, &next); i++) {
		if (!next.writable || next.inode != first.inode || next.device_major != first.device_major ||
		    next.device_minor != first.device_minor)
			break;
		end = next.end;
	}
	return end;
}

int os_same_memory(int64_t tid, int64_t other)
{
	long r = sys(kcmp, tid, other, KCMP_VM, 0, 0);

	return r < 0 ? (int)r : r == 0;
}
