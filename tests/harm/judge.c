/* SPDX-License-Identifier: BSD-2-Clause */
#include "judge.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const names[HARM_KINDS] = {
#define X(name, text, what) [HARM_KIND_##name] = text,
	HARMS(X)
#undef X
};

const char *harm_name(unsigned kind)
{
	return kind < HARM_KINDS ? names[kind] : "?";
}

const char *harm_names(unsigned set, char *buffer, size_t size)
{
	size_t used = 0;

	buffer[0] = '\0';
	for (unsigned kind = 0; kind < HARM_KINDS && used < size; kind++)
		if (set & 1U << kind)
			used += (size_t)snprintf(buffer + used, size - used, "%s%s", used ? "," : "",
						 names[kind]);
	return buffer;
}

void finding_add(struct finding *finding, unsigned harms, const char *format, ...)
{
	size_t used = strlen(finding->detail);
	va_list arguments;

	finding->harms |= harms;
	if (used + 3 >= sizeof(finding->detail))
		return;
	if (used)
		used += (size_t)snprintf(finding->detail + used, sizeof(finding->detail) - used, "; ");
	va_start(arguments, format);
	vsnprintf(finding->detail + used, sizeof(finding->detail) - used, format, arguments);
	va_end(arguments);
}

/* splitmix64 */
uint64_t random_next(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

void pause_us(unsigned us)
{
	struct timespec t = { us / 1000000, us % 1000000 * 1000L };

	while (nanosleep(&t, &t) && errno == EINTR)
		;
}

/* The whole of a small file of /proc; bytes read or -1. */
static ssize_t slurp(const char *path, char *buffer, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length;

	if (fd < 0)
		return -1;
	length = read(fd, buffer, size - 1);
	close(fd);
	if (length >= 0)
		buffer[length] = '\0';
	return length;
}

bool is_gone(pid_t pid)
{
	char path[64], text[512];
	const char *state;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (slurp(path, text, sizeof(text)) <= 0)
		return true;
	state = strrchr(text, ')');
	return !state || state[2] == 'Z' || state[2] == 'X';
}

/* Call visit with the status file of each living thread; the number of threads, -1 when it is gone. */
static int each_status(pid_t pid, void (*visit)(const char *status, void *data), void *data)
{
	char path[320], text[4096];
	struct dirent *entry;
	int threads = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	if (!dir)
		return -1;
	while ((entry = readdir(dir))) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%s/status", pid, entry->d_name);
		if (slurp(path, text, sizeof(text)) <= 0)
			continue;
		threads++;
		visit(text, data);
	}
	closedir(dir);
	return threads;
}

static const char *field(const char *status, const char *name)
{
	const char *at = strstr(status, name);

	return at ? at + strlen(name) + strspn(at + strlen(name), " \t") : "";
}

static void look_at_task(const char *status, void *data)
{
	unsigned *harms = data;
	char state = field(status, "\nState:")[0];

	if (state == 'Z' || state == 'X')
		return;
	*harms &= ~(unsigned)HARM_DIED;
	if (atoi(field(status, "\nTracerPid:")))
		*harms |= HARM_TRACED;
	if (state == 't' || state == 'T')
		*harms |= HARM_STOPPED;
}

unsigned judge_tasks(pid_t pid)
{
	unsigned harms = HARM_DIED;

	each_status(pid, look_at_task, &harms);
	return harms;
}

static void look_for_movers(const char *status, void *data)
{
	unsigned *movers = data;
	char state = field(status, "\nState:")[0];

	if (state == 'Z' || state == 'X')
		return;
	if (state != 'D')
		*movers &= ~1U; /* one that really stands */
	if ((state != 'T' && state != 'D') || atoi(field(status, "\nTracerPid:")))
		*movers |= 2;
}

bool judge_stands(pid_t pid)
{
	unsigned movers = 1;

	each_status(pid, look_for_movers, &movers);
	return !movers;
}

/* A thread that is just ending has given its dispositions back and shows none. */
static void look_at_signals(const char *status, void *data)
{
	struct signal_state *state = data;

	state->ignored |= strtoull(field(status, "\nSigIgn:"), NULL, 16);
	state->caught |= strtoull(field(status, "\nSigCgt:"), NULL, 16);
}

int signal_state_read(pid_t pid, struct signal_state *ret)
{
	*ret = (struct signal_state){ 0 };
	return each_status(pid, look_at_signals, ret) > 0 ? 0 : -1;
}

/* ---- text ---------------------------------------------------------------------------------------------- */

struct text_mapping {
	uint64_t start, end, offset, inode;
	char path[512];
};

/* One line of maps; false for what is not an executable, unwritable mapping of a file. */
static bool parse_mapping(const char *line, struct text_mapping *ret)
{
	char rights[8];
	int at = 0;

	memset(ret, 0, sizeof(*ret));
	if (sscanf(line, "%lx-%lx %7s %lx %*s %lu %n", &ret->start, &ret->end, rights, &ret->offset,
		   &ret->inode, &at) < 5)
		return false;
	if (rights[1] == 'w' || rights[2] != 'x' || line[at] != '/')
		return false;
	snprintf(ret->path, sizeof(ret->path), "%.*s", (int)strcspn(line + at, "\n"), line + at);
	return true;
}

/* Is exactly this mapping still there? A victim may unload a library between maps and mem. */
static bool still_mapped(pid_t pid, const struct text_mapping *wanted)
{
	struct text_mapping mapping;
	char path[64], line[1024];
	bool found = false;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	maps = fopen(path, "re");
	if (!maps)
		return false;
	while (!found && fgets(line, sizeof(line), maps))
		found = parse_mapping(line, &mapping) && mapping.start == wanted->start &&
			mapping.end == wanted->end && mapping.offset == wanted->offset &&
			mapping.inode == wanted->inode;
	fclose(maps);
	return found;
}

/* Bytes of one mapping that differ; 0 when either side cannot be read. */
static long mapping_difference(int memory, const struct text_mapping *mapping, uint64_t *first)
{
	enum { PIECE = 1 << 16 };
	unsigned char mine[PIECE], file_bytes[PIECE];
	int file = open(mapping->path, O_RDONLY | O_CLOEXEC);
	long different = 0;

	if (file < 0)
		return 0;
	for (uint64_t at = mapping->start; at < mapping->end; at += PIECE) {
		size_t want = mapping->end - at < PIECE ? mapping->end - at : PIECE;
		ssize_t got = pread(memory, mine, want, (off_t)at);
		ssize_t has = pread(file, file_bytes, want, (off_t)(mapping->offset + (at - mapping->start)));

		if (got <= 0 || has <= 0)
			break;
		if (has < got)
			got = has;
		if (!memcmp(mine, file_bytes, (size_t)got))
			continue;
		for (ssize_t i = 0; i < got; i++)
			if (mine[i] != file_bytes[i] && !different++)
				*first = at + (uint64_t)i;
	}
	close(file);
	return different;
}

static long text_difference_once(pid_t pid, char *where, size_t size)
{
	char path[64], line[1024];
	struct text_mapping mapping;
	long total = 0;
	FILE *maps;
	int memory;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	maps = fopen(path, "re");
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	memory = open(path, O_RDONLY | O_CLOEXEC);
	if (!maps || memory < 0) {
		if (maps)
			fclose(maps);
		if (memory >= 0)
			close(memory);
		return -1;
	}
	while (fgets(line, sizeof(line), maps)) {
		uint64_t first = 0;
		long different;

		if (!parse_mapping(line, &mapping))
			continue;
		different = mapping_difference(memory, &mapping, &first);
		if (different && still_mapped(pid, &mapping)) {
			total += different;
			snprintf(where, size, "%ld bytes, first at %s+0x%lx", different, mapping.path,
				 first - mapping.start + mapping.offset);
		}
	}
	fclose(maps);
	close(memory);
	return total;
}

/*
 * A library unloaded and another loaded at its place and then the first one again would look like a
 * difference once; a trap left behind looks like one each time.
 */
long judge_text_difference(pid_t pid, char *where, size_t size)
{
	long least = -1;

	for (int attempt = 0; attempt < 5 && least != 0; attempt++) {
		long different = text_difference_once(pid, where, size);

		if (different < 0)
			return least;
		if (least < 0 || different < least)
			least = different;
	}
	return least;
}

/* ---- life ---------------------------------------------------------------------------------------------- */

bool judge_progress(struct scoreboard *board, pid_t pid, unsigned bound_ms)
{
	uint64_t before[BOARD_WORKERS], end = now_ns() + bound_ms * UINT64_C(1000000);
	unsigned moving;

	for (unsigned i = 0; i < board->workers; i++)
		before[i] = atomic_load(&board->progress[i]);
	do {
		pause_us(500);
		moving = 0;
		for (unsigned i = 0; i < board->workers; i++)
			moving += atomic_load(&board->progress[i]) > before[i];
	} while (moving < board->workers && !is_gone(pid) && now_ns() < end);
	return moving == board->workers;
}

void judge_living(struct finding *finding, pid_t pid, struct scoreboard *board,
		  const struct signal_state *before, unsigned settle_ms)
{
	uint64_t end = now_ns() + settle_ms * UINT64_C(1000000);
	char where[640] = "";
	unsigned tasks;
	long different;

	while ((tasks = judge_tasks(pid)) && !(tasks & HARM_DIED) && now_ns() < end)
		pause_us(200);
	if (tasks & HARM_DIED || is_gone(pid)) {
		finding_add(finding, HARM_DIED, "process %d is gone", pid);
		return;
	}
	if (tasks & HARM_TRACED)
		finding_add(finding, HARM_TRACED, "traced after %u ms", settle_ms);
	if (tasks & HARM_STOPPED)
		finding_add(finding, HARM_STOPPED, "stopped after %u ms", settle_ms);
	different = judge_text_difference(pid, where, sizeof(where));
	if (different > 0)
		finding_add(finding, HARM_TEXT, "%s", where);
	if (!judge_progress(board, pid, 2000))
		finding_add(finding, is_gone(pid) ? HARM_DIED : HARM_STUCK, "not all workers move");
	/* What was on its way may have come meanwhile: a stop signal, a late INTERRUPT. */
	tasks = judge_tasks(pid) & ~finding->harms;
	if (tasks)
		finding_add(finding, tasks, "seen later");
	if (before) {
		struct signal_state after;

		if (!signal_state_read(pid, &after) &&
		    (after.ignored != before->ignored || after.caught != before->caught))
			finding_add(finding, HARM_SIGNALS, "ignored %lx->%lx caught %lx->%lx",
				    before->ignored, after.ignored, before->caught, after.caught);
	}
	if (atomic_load(&board->errors))
		finding_add(finding, HARM_WRONG, "%lu errors, last %x", atomic_load(&board->errors),
			    atomic_load(&board->last_error));
}
