/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "os/sys.h"
#include "probe/probe.h"
#include "session/session.h"

#ifndef TETHER_CONTROLLER_PATH
#define TETHER_CONTROLLER_PATH "/usr/local/libexec/tether-controller"
#endif
#ifndef TETHER_VERSION
#define TETHER_VERSION "0.1.0"
#endif

enum { DEFAULT_QUESTION_MS = 1000, DEFAULT_QUEUE = 65536, DEFAULT_CACHE = 64 };
enum { DEFAULT_CACHE_BYTES = 128 << 20 };

struct table *start_table(struct tether_session *session)
{
	return &session->table;
}

const char *tether_version(void)
{
	return TETHER_VERSION;
}

const char *tether_event_name(uint32_t kind)
{
	switch (kind) {
#define X(value, name, text, what) \
	case value:                \
		return text;
		TETHER_EVENTS(X)
#undef X
	default:
		return "unknown";
	}
}

uint64_t tether_event_kinds_by_name(const char *name)
{
	uint64_t kinds = 0;

#define X(value, symbol, text, what)  \
	if (strcmp(name, text) == 0) \
		kinds |= TETHER_EVENT_BIT(value);
	TETHER_EVENTS(X)
#undef X
	return kinds;
}

static void log_line(struct host *host, int level, const char *format, ...)
{
	struct tether_session *session = session_of(host);
	char line[512];
	va_list arguments;

	if (!session->log)
		return;
	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	session->log(level, line, session->log_data);
}

/* rt_sigaction(2) as the kernel knows it: the handler comes first, 1 is SIG_IGN. */
static uint64_t ignored_signals(void)
{
	struct {
		unsigned long handler, flags, restorer, mask;
	} action;
	uint64_t ignored = 0;

	for (int signal = 1; signal <= 64; signal++)
		if (sys(rt_sigaction, signal, NULL, &action, sizeof(action.mask)) == 0 && action.handler == 1)
			ignored |= UINT64_C(1) << (signal - 1);
	return ignored;
}

static char *controller_path(const struct tether_session_opts *opts)
{
	const char *path = opts->controller ? opts->controller : secure_getenv("TETHER_CONTROLLER");

	return strdup(path && *path ? path : TETHER_CONTROLLER_PATH);
}

/* Only builds for fault injection give the controller further arguments: words of TETHER_CONTROLLER_ARGS. */
static void controller_arguments(struct tether_session *session)
{
#ifdef TETHER_INJECT
	char *rest = session->arguments_text;
	const char *given = secure_getenv("TETHER_CONTROLLER_ARGS");
	size_t count = 0;

	snprintf(session->arguments_text, sizeof(session->arguments_text), "%s", given ? given : "");
	while (count + 1 < ARRAY_LEN(session->arguments) && (session->arguments[count] = strsep(&rest, " ")))
		count += *session->arguments[count] != '\0';
	session->arguments[count] = NULL;
#endif
	session->host.controller_arguments = session->arguments;
}

static void session_free(struct tether_session *session)
{
	queue_destroy(session);
	handler_destroy(session);
	table_destroy(&session->table);
	close(session->event_fd);
	free(session->controller_path);
	free(session);
}

static int session_fill(struct tether_session *session, const struct tether_session_opts *opts)
{
	session->queue_limit = opts->queue_limit ? opts->queue_limit : DEFAULT_QUEUE;
	session->log = opts->log;
	session->log_data = opts->log_data;
	session->host.post = queue_post;
	session->host.post_hit = queue_post_hit;
	session->host.post_call = queue_post_call;
	session->host.purge_hits = queue_purge_hits;
	session->host.post_stop = handler_post;
	session->host.start_handler = handler_start;
	session->host.log = log_line;
	session->host.ignored = ignored_signals();
	controller_arguments(session);
	session->host.question_ns =
		UINT64_C(1000000) * (opts->question_ms ? opts->question_ms : DEFAULT_QUESTION_MS);
	session->controller_path = controller_path(opts);
	session->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uint64_t cache_bytes = opts->cache_bytes ? opts->cache_bytes : DEFAULT_CACHE_BYTES;
	if (session->event_fd < 0)
		return -errno;
	if (!session->controller_path || table_init(&session->table, &session->host, cache_bytes) < 0) {
		close(session->event_fd);
		free(session->controller_path);
		return -ENOMEM;
	}
	session->table.hooks = &probe_hooks;
	session->table.idle_limit = opts->cache_limit ? opts->cache_limit : DEFAULT_CACHE;
	queue_init(session);
	handler_init(session);
	return 0;
}

int tether_session_open(const struct tether_session_opts *given, struct tether_session **ret,
			struct tether_error *err)
{
	struct tether_session_opts opts;
	struct tether_session *session;
	int result = error_check(err);

	if (result < 0 || options_copy(&opts, sizeof(opts), given) < 0 || opts.flags)
		return error_fill(err, TETHER_EINVALID, NULL, "cannot open a session");
	session = calloc(1, sizeof(*session));
	if (!session)
		return error_fill(err, ENOMEM, NULL, "cannot open a session");
	result = session_fill(session, &opts);
	if (result < 0) {
		free(session);
		return error_fill(err, result, NULL, "cannot open a session");
	}
	result = control_start(session);
	if (result < 0) {
		struct error_details details = { .path = session->controller_path, .system_error = -result };
		int code = result == -ENOENT || result == -EACCES || result == -ENOTDIR ? TETHER_ECONTROLLER
										      : -result;
		error_fill(err, code, &details, "cannot use the controller '%s'", session->controller_path);
		session_free(session);
		return -code;
	}
	*ret = session;
	return 0;
}

int tether_session_close(struct tether_session *session)
{
	struct table *table;
	int result;

	if (!session)
		return 0;
	table = &session->table;
	result = table_enter(table);
	if (result < 0)
		return result;
	if (table_in_stop(table) || (session->dispatching && pthread_equal(session->dispatcher, pthread_self()))) {
		table_leave(table);
		return -TETHER_EDEADLK;
	}
	table->calls--;
	table->closing = true;
	pthread_cond_broadcast(&table->changed);
	pthread_cond_broadcast(&session->arrived);
	pthread_cond_broadcast(&session->stopped);
	while (table->calls)
		pthread_cond_wait(&table->changed, &table->lock);
	pthread_mutex_unlock(&table->lock);
	control_end(session);
	handler_end(session);
	session_free(session);
	return 0;
}

int tether_session_set_handler(struct tether_session *session, tether_event_fn *handler, void *data)
{
	int result = table_enter(&session->table);

	if (result < 0)
		return result;
	session->handler = handler;
	session->handler_data = data;
	table_leave(&session->table);
	return 0;
}

int64_t tether_target(struct tether_session *session)
{
	int64_t result = table_enter(&session->table);

	if (result < 0)
		return result;
	result = session->table.target;
	table_leave(&session->table);
	return result;
}

int tether_stats_get(struct tether_session *session, struct tether_stats *ret)
{
	struct table *table = &session->table;
	size_t size = ret->size;
	int result;

	if (size < sizeof(size_t) + sizeof(uint64_t))
		return -TETHER_EINVALID;
	result = table_enter(table);
	if (result < 0)
		return result;
	struct operation *operation = operation_new(table, stats_start);
	if (!operation) {
		table_leave(table);
		return -ENOMEM;
	}
	result = operation_run(operation, 0);
	struct tether_stats stats = operation->stats;
	stats.events = session->handled;
	stats.dropped += session->dropped_total;
	table_leave(table);
	operation_put(operation);
	if (result < 0)
		return result;
	stats.size = size;
	memcpy(ret, &stats, size < sizeof(stats) ? size : sizeof(stats));
	return 0;
}
