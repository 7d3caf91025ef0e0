/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The client: a session whose events are kept as lines of text.
 */
#include "harness.h"

#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct line {
	int64_t pid, lmid;
	char *text; /* "load liba.so" */
};

struct log {
	struct line *line;
	size_t count, room;
};

static const char *last_component(const char *path)
{
	if (!path)
		return "(null)";
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

static void describe(const struct tether_event *event, char *text, size_t room)
{
	const char *name = tether_event_name(event->kind);
	static const char *const fork_kinds[] = { "?", "fork", "vfork", "clone" };
	switch (event->kind) {
	case TETHER_EVENT_LOAD:
	case TETHER_EVENT_UNLOAD:
		snprintf(text, room, "%s %s", name, last_component(event->u.object.path));
		break;
	case TETHER_EVENT_EXEC:
		snprintf(text, room, "%s %s", name, last_component(event->u.exec.path));
		break;
	case TETHER_EVENT_FORK:
		snprintf(text, room, "%s %s%s", name, fork_kinds[event->u.fork.kind & 3],
			 event->u.fork.followed ? "" : " unfollowed");
		break;
	case TETHER_EVENT_THREAD_START:
		snprintf(text, room, "thread start");
		break;
	case TETHER_EVENT_THREAD_EXIT:
		snprintf(text, room, "thread exit");
		break;
	case TETHER_EVENT_SIGNAL:
	case TETHER_EVENT_STOP:
		snprintf(text, room, "%s SIG%s", name, sigabbrev_np(event->u.signal.signal));
		break;
	case TETHER_EVENT_EXIT:
		if (event->u.exit.signal)
			snprintf(text, room, "exit SIG%s", sigabbrev_np(event->u.exit.signal));
		else
			snprintf(text, room, "exit %d", event->u.exit.code);
		break;
	case TETHER_EVENT_LOST:
	case TETHER_EVENT_BLOCKED:
		snprintf(text, room, "%s %s", name, event->u.text.reason);
		break;
	default:
		snprintf(text, room, "%s", name);
		break;
	}
}

static void on_event(const struct tether_event *event, void *data)
{
	struct log *log = data;
	char text[PATH_MAX + 64];
	bool object = event->kind == TETHER_EVENT_LOAD || event->kind == TETHER_EVENT_UNLOAD;
	describe(event, text, sizeof(text));
	if (log->count == log->room) {
		log->room = log->room ? 2 * log->room : 256;
		log->line = realloc(log->line, log->room * sizeof(*log->line));
		if (!log->line)
			fail("out of memory");
	}
	log->line[log->count++] =
		(struct line){ event->pid, object ? event->u.object.lmid : 0, strdup(text) };
}

static void print_log(int level, const char *message, void *data)
{
	(void)level;
	(void)data;
	fprintf(stderr, "# %s\n", message);
}

static const char *controller_path(void)
{
	static char path[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
	path[length < 0 ? 0 : length] = 0;
	/* BUILD/tests/live/test_x -> BUILD/src/controller/tether-controller, wherever the build puts it */
	for (int up = 0; up < 3; up++)
		*strrchr(path, '/') = 0;
	size_t used = strlen(path);
	static const char *const places[] = { "/src/controller/tether-controller", "/src/tether-controller" };
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		snprintf(path + used, sizeof(path) - used, "%s", places[i]);
		if (access(path, X_OK) == 0)
			return path;
	}
	skip("tether-controller is not built");
}

struct client client_open(void)
{
	return client_open_with((struct tether_session_opts){ 0 });
}

struct client client_open_with(struct tether_session_opts opts)
{
	struct client client = { .log = calloc(1, sizeof(struct log)) };
	struct tether_error err = TETHER_ERROR_INIT;

	opts.size = sizeof(opts);
	if (!getenv("TETHER_CONTROLLER"))
		opts.controller = controller_path();
	if (getenv("TETHER_TEST_LOG"))
		opts.log = print_log;
	if (tether_session_open(&opts, &client.session, &err))
		fail("session: %s", err.message);
	check_int(tether_session_set_handler(client.session, on_event, client.log), 0);
	return client;
}

static struct tether *keep(struct client *client, struct tether *process)
{
	if (client->processes == CLIENT_VICTIMS)
		fail("too many victims");
	client->process[client->processes++] = process;
	return process;
}

struct tether *client_grab(struct client *client, pid_t pid, uint32_t flags)
{
	struct tether_grab_opts opts = {
		.size = sizeof(opts),
		.flags = flags,
		.mode = TETHER_MODE_RUN,
		.timeout_ms = 5000,
	};
	struct tether_error err = TETHER_ERROR_INIT;
	struct tether *process = NULL;
	if (tether_grab(client->session, pid, &opts, &process, &err))
		fail("grab of %d: %s", pid, err.message);
	check(process != NULL);
	return keep(client, process);
}

struct tether *client_create(struct client *client, uint32_t flags, uint32_t stop, const char *name, ...)
{
	char *argv[32] = { (char *)(uintptr_t)name };
	va_list args;
	va_start(args, name);
	for (size_t n = 1; n < 31 && (argv[n] = va_arg(args, char *)); n++)
		;
	va_end(args);
	struct tether_create_opts opts = {
		.size = sizeof(opts),
		.file = victim_path(name),
		.argv = argv,
		.flags = flags,
		.stop = stop,
		.timeout_ms = 10000,
	};
	struct tether_error err = TETHER_ERROR_INIT;
	struct tether *process = NULL;
	if (tether_create(client->session, &opts, &process, &err))
		fail("create of %s: %s", name, err.message);
	check(process != NULL);
	return keep(client, process);
}

void client_drain(struct client *client, int quiet_ms)
{
	int handled;
	do
		handled = tether_dispatch(client->session, quiet_ms);
	while (handled > 0);
	check_int(handled, 0);
}

static bool begins(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

unsigned client_count(const struct client *client, const char *prefix)
{
	unsigned count = 0;
	for (size_t i = 0; i < client->log->count; i++)
		count += begins(client->log->line[i].text, prefix);
	return count;
}

void client_await(struct client *client, const char *prefix, unsigned times)
{
	const uint64_t end = now_ns() + UINT64_C(10000000000);
	while (client_count(client, prefix) < times) {
		if (now_ns() > end)
			fail("heard '%s' %u times, expected %u; all that was heard:\n%.6000s", prefix,
			     client_count(client, prefix), times, client_all(client));
		int handled = tether_dispatch(client->session, 200);
		if (handled < 0)
			fail("dispatch: %s", tether_strerror(handled));
	}
}

char *client_lines(const struct client *client, ...)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	for (size_t i = 0; i < client->log->count; i++) {
		va_list kinds;
		bool wanted = false;
		va_start(kinds, client);
		for (const char *kind; !wanted && (kind = va_arg(kinds, const char *));)
			wanted = begins(client->log->line[i].text, kind);
		va_end(kinds);
		if (wanted)
			fprintf(out, "%s\n", client->log->line[i].text);
	}
	fclose(out);
	return text;
}

char *client_all(const struct client *client)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	for (size_t i = 0; i < client->log->count; i++) {
		const struct line *line = &client->log->line[i];
		fprintf(out, "%lld %s %lld\n", (long long)line->pid, line->text, (long long)line->lmid);
	}
	fclose(out);
	return text;
}

void client_close(struct client *client)
{
	check_int(tether_session_close(client->session), 0);
	for (size_t i = 0; i < client->log->count; i++)
		free(client->log->line[i].text);
	free(client->log->line);
	free(client->log);
	client->log = NULL;
}

struct tether *grab(struct tether_session *session, pid_t pid, uint32_t flags, uint32_t mode)
{
	struct tether_grab_opts opts = { .size = sizeof(opts), .flags = flags, .mode = mode, .timeout_ms = 10000 };
	struct tether_error error = TETHER_ERROR_INIT;
	struct tether *process = NULL;

	if (tether_grab(session, pid, &opts, &process, &error) < 0)
		fail("grab of %d: %s", pid, error.message);
	check(process != NULL);
	return process;
}

uint32_t state_of(struct tether *process)
{
	struct tether_info info = { .size = sizeof(info) };

	check_int(tether_info_get(process, &info), 0);
	return info.state;
}

struct tether_breakpoint *breakpoint_add(struct tether *process, struct tether_breakpoint_opts opts)
{
	struct tether_error error = TETHER_ERROR_INIT;
	struct tether_breakpoint *breakpoint = NULL;

	opts.size = sizeof(opts);
	if (tether_breakpoint_add(process, &opts, &breakpoint, &error) < 0)
		fail("%s", error.message);
	return breakpoint;
}

struct tether_breakpoint_info breakpoint_info(struct tether_breakpoint *breakpoint)
{
	struct tether_breakpoint_info info = { .size = sizeof(info) };

	check_int(tether_breakpoint_info_get(breakpoint, &info), 0);
	return info;
}
