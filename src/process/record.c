/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/limits.h"
#include "os/memory.h"
#include "os/procfs.h"
#include "os/sys.h"
#include "process/handle.h"

struct blob *blob_get(struct blob *blob)
{
	if (blob)
		__atomic_fetch_add(&blob->users, 1, __ATOMIC_RELAXED);
	return blob;
}

void blob_put(struct blob *blob)
{
	if (blob && __atomic_sub_fetch(&blob->users, 1, __ATOMIC_ACQ_REL) == 0)
		free(blob);
}

static uint32_t count_strings(const char *data, size_t length)
{
	uint32_t count = 0;

	for (size_t i = 0; i < length; i++)
		count += data[i] == '\0';
	return count;
}

struct blob *blob_of_strings(char *const *strings)
{
	size_t length = 0;

	for (size_t i = 0; strings[i]; i++)
		length += strlen(strings[i]) + 1;
	struct blob *blob = malloc(sizeof(*blob) + length);
	if (!blob)
		return NULL;
	blob->users = 1;
	blob->length = 0;
	blob->count = 0;
	for (; strings[blob->count]; blob->count++) {
		size_t size = strlen(strings[blob->count]) + 1;
		memcpy(blob->data + blob->length, strings[blob->count], size);
		blob->length += size;
	}
	return blob;
}

const char **blob_pointers(const struct blob *blob)
{
	const char **pointers = calloc(blob->count + 1, sizeof(*pointers));
	const char *at = blob->data;

	for (uint32_t i = 0; pointers && i < blob->count; i++) {
		pointers[i] = at;
		at += strlen(at) + 1;
	}
	return pointers;
}

/* A file of NUL-ended strings, as /proc/TID/cmdline and environ are. NULL: gone or out of memory. */
static struct blob *read_strings(int64_t tid, const char *name, bool *truncated)
{
	char path[64];
	size_t room = 4096;
	struct blob *blob;

	snprintf(path, sizeof(path), "/proc/%lld/%s", (long long)tid, name);
	long fd = sys(openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return NULL;
	blob = malloc(sizeof(*blob) + room);
	if (blob)
		blob->length = 0;
	while (blob) {
		/* One byte stays free for the NUL of a last string that was cut off. */
		long got = sys(read, fd, blob->data + blob->length, room - blob->length - 1);
		if (got <= 0)
			break;
		blob->length += (size_t)got;
		/* The kernel fills the buffer as far as there is something. */
		if (blob->length < room - 1)
			break;
		if (room >= MAX_ARGS_BYTES) {
			*truncated = true;
			break;
		}
		struct blob *larger = realloc(blob, sizeof(*blob) + 2 * room);
		if (!larger)
			break;
		blob = larger;
		room *= 2;
	}
	sys(close, fd);
	if (!blob)
		return NULL;
	if (blob->length && blob->data[blob->length - 1] != '\0')
		blob->data[blob->length++] = '\0';
	blob->users = 1;
	blob->count = count_strings(blob->data, blob->length);
	return blob;
}

static char *read_link(int64_t tid, const char *name)
{
	char text[PATH_MAX + 1];

	return os_link(tid, name, text, sizeof(text)) < 0 ? NULL : strdup(text);
}

/* The string that AT_EXECFN points to: the name that execve was called with. */
static char *read_execfn(int64_t tid)
{
	char text[PATH_MAX];
	uint64_t address;
	size_t length = 0;

	if (os_auxv(tid, AT_EXECFN, &address) < 0)
		return NULL;
	while (length < sizeof(text)) {
		/* Up to the page's end: what follows need not be mapped. */
		size_t piece = 4096 - ((address + length) & 4095);
		if (piece > sizeof(text) - length)
			piece = sizeof(text) - length;
		ssize_t got = os_read_memory(tid, address + length, text + length, piece);
		if (got <= 0)
			break;
		char *end = memchr(text + length, '\0', (size_t)got);
		if (end)
			return strdup(text);
		length += (size_t)got;
	}
	return length ? strndup(text, length) : NULL;
}

static bool stat_in(int64_t tid, const char *place, const char *path, struct stat *ret)
{
	char full[PATH_MAX + 64];

	snprintf(full, sizeof(full), "/proc/%lld/%s%s%s", (long long)tid, place, *place && *path ? "/" : "", path);
	return stat(full, ret) == 0;
}

/*
 * A script's AT_EXECFN is the script, its /proc/PID/exe the interpreter. The same file under another name (a
 * symbolic link) is no interpreter.
 */
static char *find_interpreter(int64_t tid, const char *path, const char *executable, const struct stat *mapped)
{
	struct stat called;

	if (!path || !executable || strcmp(path, executable) == 0)
		return NULL;
	if (!stat_in(tid, path[0] == '/' ? "root" : "cwd", path, &called))
		return strdup(executable);
	if (called.st_dev == mapped->st_dev && called.st_ino == mapped->st_ino)
		return NULL;
	return strdup(executable);
}

/*
 * The kernel withholds set-id privilege from a traced process unless its tracer might have it too
 * (execve(2)): the file has the bit, but the ids did not change to its owner's.
 */
static bool was_suppressed(int64_t tid, const struct stat *file)
{
	char path[64], text[1024];
	unsigned uid, effective_uid, gid, effective_gid;

	if (!(file->st_mode & (S_ISUID | S_ISGID)))
		return false;
	snprintf(path, sizeof(path), "/proc/%lld/status", (long long)tid);
	long fd = sys(openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return false;
	long got = sys(read, fd, text, sizeof(text) - 1);
	sys(close, fd);
	text[got > 0 ? got : 0] = '\0';
	const char *uids = strstr(text, "\nUid:"), *gids = strstr(text, "\nGid:");
	if (!uids || !gids || sscanf(uids, "\nUid:%u%u", &uid, &effective_uid) != 2 ||
	    sscanf(gids, "\nGid:%u%u", &gid, &effective_gid) != 2)
		return false;
	return ((file->st_mode & S_ISUID) && effective_uid != file->st_uid) ||
	       ((file->st_mode & S_ISGID) && (file->st_mode & S_IXGRP) && effective_gid != file->st_gid);
}

/* ---- the initial stack ------------------------------------------------------------------------------------
 *
 *	sp ─► argc │ argv[0] … argv[argc-1] │ 0 │ envp[0] … │ 0 │ auxv pairs … AT_NULL │ … strings … │ end of the stack
 *
 * At the exec event nothing has run yet, so all of it is as the kernel has laid it out (execve(2), the processor's
 * ABI). One read of memory has what would take four files of /proc, each of them new for a new process.
 */
struct initial_stack {
	vaddr_t sp;
	const char *bytes;
	size_t length;
};

enum { STACK_FIRST = 65536 };

/* Up to the end of the mapping, or as far as the limits go; to be freed. */
static char *stack_read(struct initial_stack *stack, const struct reader *memory, bool *truncated)
{
	size_t room = STACK_FIRST;
	char *bytes = NULL;

	for (;;) {
		char *more = realloc(bytes, room);
		ssize_t got = more ? memory->read(memory->data, stack->sp, more, room) : -ENOMEM;
		bytes = more ? more : bytes;
		if (got <= 0)
			break;
		stack->bytes = bytes;
		stack->length = (size_t)got;
		if (stack->length < room)
			return bytes;
		if (room >= MAX_ARGS_BYTES) {
			*truncated = true;
			return bytes;
		}
		room *= 2;
	}
	free(bytes);
	return NULL;
}

static bool stack_word(const struct initial_stack *stack, size_t index, uint64_t *ret)
{
	if ((index + 1) * sizeof(*ret) > stack->length)
		return false;
	memcpy(ret, stack->bytes + index * sizeof(*ret), sizeof(*ret));
	return true;
}

/* A string on the stack, or NULL when it is not whole there. */
static const char *stack_string(const struct initial_stack *stack, vaddr_t address)
{
	if (address < stack->sp || address - stack->sp >= stack->length)
		return NULL;
	const char *string = stack->bytes + (address - stack->sp);
	return memchr(string, '\0', stack->length - (address - stack->sp)) ? string : NULL;
}

/* The strings that a NULL-ended array of pointers at index names; index goes behind its NULL. */
static struct blob *stack_strings(const struct initial_stack *stack, size_t *index, bool wanted)
{
	struct buffer text = BUFFER_INIT;
	struct blob head = { .users = 1 };
	uint64_t address;

	buffer_add(&text, &head, sizeof(head));
	while (stack_word(stack, (*index)++, &address) && address) {
		const char *string = wanted ? stack_string(stack, address) : NULL;
		if (!string)
			continue;
		buffer_add_string(&text, string);
		head.count++;
	}
	struct blob *blob = (struct blob *)(void *)text.data;
	if (!wanted || text.failed) {
		buffer_free(&text);
		return NULL;
	}
	blob->count = head.count;
	blob->length = text.length - sizeof(*blob);
	return blob;
}

/* False: this is no stack of a 64-bit image. */
static bool take_stack(struct exec_record *record, const struct initial_stack *stack, bool environment)
{
	uint64_t argc, pair[2];
	size_t index = 1;

	if (!stack_word(stack, 0, &argc) || argc >= stack->length / sizeof(uint64_t))
		return false;
	record->argv = stack_strings(stack, &index, true);
	record->environment = stack_strings(stack, &index, environment);
	if (!record->argv || record->argv->count != argc)
		return false;
	while (record->auxv_count < RECORD_AUXV && stack_word(stack, index, &pair[0]) &&
	       stack_word(stack, index + 1, &pair[1]) && pair[0] != AT_NULL) {
		memcpy(record->auxv[record->auxv_count++], pair, sizeof(pair));
		index += 2;
		const char *path = pair[0] == AT_EXECFN ? stack_string(stack, pair[1]) : NULL;
		if (path)
			record->path = strdup(path);
	}
	return record->path;
}

static void read_files(struct exec_record *record, int64_t tid, bool environment)
{
	record->argv = read_strings(tid, "cmdline", &record->truncated);
	if (environment)
		record->environment = read_strings(tid, "environ", &record->truncated);
	record->path = read_execfn(tid);
}

/* What the files of /proc tell, where the stack did not. */
static int complete(struct exec_record *record, int64_t tid, bool environment)
{
	struct stat mapped = { 0 };

	if (!record->path) {
		record_clear(record);
		read_files(record, tid, environment);
	}
	if (!record->cwd)
		record->cwd = read_link(tid, "cwd");
	char *executable = read_link(tid, "exe");
	if (stat_in(tid, "exe", "", &mapped)) {
		record->interpreter = find_interpreter(tid, record->path, executable, &mapped);
		record->suppressed = was_suppressed(tid, &mapped);
		record->set_id = mapped.st_mode & (S_ISUID | S_ISGID);
	}
	if (!record->path)
		record->path = executable;
	else
		free(executable);
	return record->argv && record->path ? 0 : -ESRCH;
}

int record_read(struct exec_record *record, int64_t tid, bool environment)
{
	memset(record, 0, sizeof(*record));
	return complete(record, tid, environment);
}

int record_take(struct exec_record *record, struct tether *process, const struct proto_ev_exec *from,
		const struct image *image, bool environment)
{
	const char *items = (const char *)(from + 1);
	struct initial_stack stack = { .sp = from->sp, .bytes = items, .length = from->stack_size };
	struct reader memory = process_reader(process);
	char *bytes = NULL;

	memset(record, 0, sizeof(*record));
	if (from->items > from->stack_size && items[from->items - 1] == '\0')
		record->cwd = strdup(items + from->stack_size);
	else
		stack.length = 0;
	if (!stack.length && from->sp)
		bytes = stack_read(&stack, &memory, &record->truncated);
	bool good = take_stack(record, &stack, environment);
	free(bytes);
	if (good && image) {
		const char *interpreter = image_interpreter(image);
		record->interpreter = interpreter ? strdup(interpreter) : NULL;
		return 0;
	}
	if (!good) {
		free(record->path);
		record->path = NULL;
	}
	return complete(record, from->event.tid, environment);
}

void record_clear(struct exec_record *record)
{
	blob_put(record->argv);
	blob_put(record->environment);
	free(record->path);
	free(record->cwd);
	free(record->interpreter);
	memset(record, 0, sizeof(*record));
}
