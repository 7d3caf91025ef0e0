/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Victims: started, spoken to, listened to, judged.
 */
#include "harness.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { VICTIM_ARGS = 32, LINE_ROOM = 4096 };

const char *victim_path(const char *name)
{
	static char room[8][PATH_MAX];
	static unsigned next;
	char *path = room[next++ % 8];
	if (name[0] == '/') {
		snprintf(path, PATH_MAX, "%s", name);
		return path;
	}
	ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - 1);
	if (length < 0)
		fail("cannot read /proc/self/exe: %s", strerror(errno));
	path[length] = 0;
	/* BUILD/tests/live/test_x -> BUILD/tests/victims/NAME */
	for (int up = 0; up < 2; up++)
		*strrchr(path, '/') = 0;
	size_t used = strlen(path);
	snprintf(path + used, PATH_MAX - used, "/victims/%s", name);
	return path;
}

static struct victim spawn(const char *path, char **argv)
{
	struct victim v = { .pid = -1 };
	int to[2], from[2];
	if (pipe2(to, O_CLOEXEC) || pipe2(from, O_CLOEXEC))
		fail("pipe: %s", strerror(errno));
	pid_t parent = getpid();
	v.pid = fork();
	if (v.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(127);
		dup2(to[0], 0);
		dup2(from[1], 1);
		signal(SIGPIPE, SIG_DFL);
		execv(path, argv);
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		_exit(127);
	}
	if (v.pid < 0)
		fail("fork: %s", strerror(errno));
	close(to[0]);
	close(from[1]);
	v.in = to[1];
	v.out = fdopen(from[0], "r");
	return v;
}

/* Collect the arguments up to NULL; false when there are too many. */
static void collect(char **argv, const char *name, va_list args)
{
	size_t n = 0;
	argv[n++] = (char *)(uintptr_t)name;
	while ((argv[n] = va_arg(args, char *))) {
		if (++n == VICTIM_ARGS - 1)
			fail("too many arguments for a victim");
	}
}

struct victim victim_spawn(const char *name, ...)
{
	char *argv[VICTIM_ARGS];
	va_list args;
	va_start(args, name);
	collect(argv, name, args);
	va_end(args);
	return spawn(victim_path(name), argv);
}

static void await_word(struct victim *victim, const char *word)
{
	for (;;) {
		const char *line = victim_line(victim);
		if (strcmp(line, word) == 0)
			return;
		if (strncmp(line, "wrong", 5) == 0)
			fail("the victim says: %s", line);
	}
}

struct victim victim_start(const char *name, ...)
{
	char *argv[VICTIM_ARGS];
	va_list args;
	va_start(args, name);
	collect(argv, name, args);
	va_end(args);
	struct victim v = spawn(victim_path(name), argv);
	await_word(&v, "ready");
	return v;
}

const char *victim_line(struct victim *victim)
{
	static char line[LINE_ROOM];
	if (!fgets(line, sizeof(line), victim->out)) {
		int status = 0;
		waitpid(victim->pid, &status, WNOHANG);
		fail("the victim ended its output (wait status %#x)", (unsigned)status);
	}
	line[strcspn(line, "\n")] = 0;
	return line;
}

void victim_say(struct victim *victim, const char *word)
{
	char line[256];
	int length = snprintf(line, sizeof(line), "%s\n", word);
	if (write(victim->in, line, (size_t)length) != length)
		fail("cannot speak to the victim: %s", strerror(errno));
}

void victim_ask(struct victim *victim, const char *word, const char *answer)
{
	victim_say(victim, word);
	await_word(victim, answer);
}

char *victim_expects(struct victim *victim)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	for (;;) {
		const char *line = victim_line(victim);
		if (strcmp(line, "done") == 0)
			break;
		if (strncmp(line, "wrong", 5) == 0)
			fail("the victim says: %s", line);
		if (strncmp(line, "expect ", 7) == 0)
			fprintf(out, "%s\n", line + 7);
	}
	fclose(out);
	return text;
}

int victim_end(struct victim *victim)
{
	if (victim->ended)
		return victim->status;
	close(victim->in);
	/* What it still says is read, so that it does not block on a full pipe. */
	char line[LINE_ROOM];
	while (fgets(line, sizeof(line), victim->out)) {
		if (strncmp(line, "wrong", 5) == 0)
			fail("the victim says: %s", line);
	}
	fclose(victim->out);
	while (waitpid(victim->pid, &victim->status, 0) < 0 && errno == EINTR)
		;
	victim->ended = true;
	return victim->status;
}

/* ---- judging any process ------------------------------------------------------------------------------- */

static bool status_line(pid_t pid, pid_t tid, const char *field, char *line, size_t room)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/task/%d/status", pid, tid);
	FILE *file = fopen(path, "re");
	if (!file)
		return false;
	size_t length = strlen(field);
	bool found = false;
	while (!found && fgets(line, (int)room, file))
		found = strncmp(line, field, length) == 0 && line[length] == ':';
	fclose(file);
	return found;
}

long task_status(pid_t pid, pid_t tid, const char *field)
{
	char line[256];
	return status_line(pid, tid, field, line, sizeof(line)) ? strtol(strchr(line, ':') + 1, NULL, 10)
								: -1;
}

typedef bool thread_fn(pid_t pid, pid_t tid);

static unsigned threads_that(pid_t pid, thread_fn *test)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	DIR *folder = opendir(path);
	unsigned count = 0;
	if (!folder)
		return 0;
	for (struct dirent *entry; (entry = readdir(folder));) {
		if (isdigit((unsigned char)entry->d_name[0]))
			count += test(pid, (pid_t)atoi(entry->d_name));
	}
	closedir(folder);
	return count;
}

static bool any_thread(pid_t pid, pid_t tid)
{
	(void)pid;
	(void)tid;
	return true;
}

unsigned count_threads(pid_t pid)
{
	return threads_that(pid, any_thread);
}

static bool thread_is_stopped(pid_t pid, pid_t tid)
{
	char line[256];
	if (!status_line(pid, tid, "State", line, sizeof(line)))
		return false;
	return strstr(line, "\tt") || strstr(line, "\tT");
}

bool none_is_stopped(void *pid)
{
	return threads_that(*(pid_t *)pid, thread_is_stopped) == 0;
}

static bool is_held(pid_t pid, pid_t tid)
{
	return task_status(pid, tid, "TracerPid") > 0 || thread_is_stopped(pid, tid);
}

static bool none_is_held(void *data)
{
	return threads_that(*(pid_t *)data, is_held) == 0;
}

void check_untraced(pid_t pid)
{
	if (!eventually(none_is_held, &pid, 2000))
		fail("%d: %u of %u threads are traced or stopped", pid, threads_that(pid, is_held),
		     count_threads(pid));
}

/* What is mapped, whatever its path leads to by now or from here; only root may ask for it so. */
static int open_mapped(pid_t pid, uint64_t start, uint64_t end, const char *path)
{
	char link[96];
	snprintf(link, sizeof(link), "/proc/%d/map_files/%llx-%llx", pid, (unsigned long long)start,
		 (unsigned long long)end);
	int file = open(link, O_RDONLY | O_CLOEXEC);
	return file >= 0 ? file : open(path, O_RDONLY | O_CLOEXEC);
}

static void compare_mapping(pid_t pid, int memory, uint64_t start, uint64_t end, uint64_t offset,
			    const char *path)
{
	enum { PIECE = 1 << 16 };
	static unsigned char here[PIECE], there[PIECE];
	int file = open_mapped(pid, start, end, path);
	if (file < 0)
		return; /* deleted since: nothing to compare with */
	for (uint64_t at = start; at < end;) {
		size_t want = end - at < PIECE ? (size_t)(end - at) : PIECE;
		ssize_t in_file = pread(file, here, want, (off_t)(offset + (at - start)));
		if (in_file <= 0)
			break;
		ssize_t in_memory = pread(memory, there, (size_t)in_file, (off_t)at);
		for (ssize_t i = 0; i < in_memory; i++) {
			if (here[i] != there[i])
				fail("text of %s differs at %#llx: %02x in memory, %02x in the file", path,
				     (unsigned long long)(at + (uint64_t)i), there[i], here[i]);
		}
		at += (uint64_t)in_file;
	}
	close(file);
}

void check_text_whole(pid_t pid)
{
	char path[64], line[PATH_MAX + 128], file[PATH_MAX];
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	int memory = open(path, O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	FILE *maps = fopen(path, "re");
	unsigned compared = 0;
	if (memory < 0 || !maps)
		fail("cannot read the memory of %d: %s", pid, strerror(errno));
	while (fgets(line, sizeof(line), maps)) {
		unsigned long long start, end, offset;
		char flags[5];
		file[0] = 0;
		if (sscanf(line, "%llx-%llx %4s %llx %*s %*s %4095[^\n]", &start, &end, flags, &offset,
			   file) < 4)
			continue;
		if (flags[2] != 'x' || file[0] != '/')
			continue;
		compare_mapping(pid, memory, start, end, offset, file);
		compared++;
	}
	fclose(maps);
	close(memory);
	if (compared == 0)
		fail("%d has no text to compare", pid);
}

char task_state(pid_t pid)
{
	char path[64], text[512] = "", *end, state = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	FILE *file = fopen(path, "re");
	/* Its name may hold parentheses. */
	if (file && fgets(text, sizeof(text), file) && (end = strrchr(text, ')')))
		state = end[2];
	if (file)
		fclose(file);
	return state;
}

bool is_stopped(void *pid)
{
	char state = task_state(*(pid_t *)pid);

	return state == 'T' || state == 't';
}

bool is_stopped_and_free(void *pid)
{
	pid_t it = *(pid_t *)pid;

	return task_state(it) == 'T' && task_status(it, it, "TracerPid") == 0;
}
