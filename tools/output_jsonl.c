/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * output_jsonl.c - one record a line, for programs
 *
 * Keys and their order are part of the interface (tether(1), "RECORDS"): a key is added at the end of the
 * members of its event, and `schema` is raised when one goes or changes its meaning.
 */
#include <string.h>
#include <time.h>

#include "cmdline.h"
#include "env.h"
#include "json.h"
#include "output.h"

enum { SCHEMA = 1 };

typedef void member_writer(struct json *json, const struct output *output, const struct tether_event *event);

static void write_create(struct json *json, const struct output *output, const struct tether_event *event)
{
	(void)output;
	json_signed(json, "ppid", event->u.create.ppid);
	json_bytes(json, "path", event->u.create.path);
	json_list(json, "argv", event->u.create.argv);
}

static void write_grab(struct json *json, const struct output *output, const struct tether_event *event)
{
	(void)output;
	json_bytes(json, "path", event->u.grab.path);
	json_unsigned(json, "threads", event->u.grab.threads);
}

static void write_env_set(void *data, const char *name, const char *value)
{
	if (value)
		json_bytes(data, name, value);
	else
		json_null(data, name);
}

static void write_env_unset(void *data, const char *name, const char *value)
{
	(void)value;
	json_bytes(data, NULL, name);
}

static void write_env(struct json *json, const struct tether_event *event)
{
	json_open(json, "env", '{');
	json_open(json, "set", '{');
	env_set(event->u.exec.creator_env, event->u.exec.env, write_env_set, json);
	json_close(json, '}');
	json_open(json, "unset", '[');
	env_unset(event->u.exec.creator_env, event->u.exec.env, write_env_unset, json);
	json_close(json, ']');
	json_close(json, '}');
}

static void write_cmdline(struct json *json, const struct tether_event *event)
{
	struct cmdline exec = cmdline_of(event);
	struct buffer line = { 0 };

	cmdline_write(&line, &exec);
	json->out->failed |= line.failed;
	json_bytes(json, "cmdline", buffer_string(&line));
	buffer_free(&line);
}

static void write_exec(struct json *json, const struct output *output, const struct tether_event *event)
{
	json_bytes(json, "path", event->u.exec.path);
	json_list(json, "argv", event->u.exec.argv);
	json_bytes(json, "cwd", event->u.exec.cwd ? event->u.exec.cwd : "");
	if (event->u.exec.interpreter)
		json_bytes(json, "interpreter", event->u.exec.interpreter);
	if (output->options.env && event->u.exec.env)
		write_env(json, event);
	json_bool(json, "suppressed", event->u.exec.suppressed);
	if (event->u.exec.truncated)
		json_bool(json, "truncated", true);
	if (output->options.cmdline && event->u.exec.env)
		write_cmdline(json, event);
}

static void write_fork(struct json *json, const struct output *output, const struct tether_event *event)
{
	(void)output;
	json_signed(json, "child", event->u.fork.child);
	json_bytes(json, "kind", fork_kind_name(event->u.fork.kind));
	json_bool(json, "followed", event->u.fork.followed);
}

static void write_thread(struct json *json, const struct output *output, const struct tether_event *event)
{
	(void)output;
	json_bytes(json, "state", event->kind == TETHER_EVENT_THREAD_START ? "start" : "exit");
}

static void write_object(struct json *json, const struct output *output, const struct tether_event *event)
{
	json_bytes(json, "object", event->u.object.path);
	json_hex(json, "base", event->u.object.base);
	json_signed(json, "lmid", event->u.object.lmid);
	if (event->kind != TETHER_EVENT_LOAD)
		return;
	if (event->u.object.build_id_size)
		json_digest(json, "build_id", event->u.object.build_id, event->u.object.build_id_size);
	json_bool(json, "initial", event->u.object.initial);
	if (output->caller)
		json_bytes(json, "caller", output->caller);
}

static void write_signal_name(struct json *json, int signal)
{
	char room[16];

	json_bytes(json, "signal", signal_name(signal, room));
}

static void write_signal(struct json *json, const struct output *output, const struct tether_event *event)
{
	(void)output;
	write_signal_name(json, event->u.signal.signal);
	json_signed(json, "code", event->u.signal.code);
	json_signed(json, "sender", event->u.signal.sender);
}

static void write_crash(struct json *json, const struct output *output, const struct tether_event *event)
{
	write_signal(json, output, event);
	if (event->u.signal.address)
		json_hex(json, "address", event->u.signal.address);
}

static void write_stop(struct json *json, const struct output *output, const struct tether_event *event)
{
	(void)output;
	write_signal_name(json, event->u.signal.signal);
}

static void write_signal_state(struct json *json, const struct output *output,
			       const struct tether_event *event)
{
	(void)output;
	write_signal_name(json, event->u.signal.signal);
	json_bytes(json, "detail", event->u.signal.detail ? event->u.signal.detail : "");
}

static void write_exit(struct json *json, const struct output *output, const struct tether_event *event)
{
	(void)output;
	if (event->u.exit.signal) {
		write_signal_name(json, event->u.exit.signal);
		json_bool(json, "core", event->u.exit.core);
	} else {
		json_signed(json, "code", event->u.exit.code);
	}
	json_unsigned(json, "user_ns", event->u.exit.user_ns);
	json_unsigned(json, "sys_ns", event->u.exit.system_ns);
	json_unsigned(json, "maxrss_kb", event->u.exit.max_rss_kb);
}

static void write_reason(struct json *json, const struct output *output, const struct tether_event *event)
{
	(void)output;
	json_bytes(json, "reason", event->u.text.reason ? event->u.text.reason : "");
}

static void write_release(struct json *json, const struct output *output, const struct tether_event *event)
{
	(void)output;
	json_bytes(json, "mode", mode_name(event->u.release.mode));
}

static void write_late(struct json *json, const struct output *output, const struct tether_event *event)
{
	(void)output;
	json_unsigned(json, "waited_ns", event->u.late.waited_ns);
}

static void write_dropped(struct json *json, const struct output *output, const struct tether_event *event)
{
	(void)output;
	json_unsigned(json, "count", event->u.dropped.count);
}

/* What follows pid and tid; nothing for the kinds that are not here. */
static member_writer *const members[] = {
	[TETHER_EVENT_CREATE] = write_create,       [TETHER_EVENT_GRAB] = write_grab,
	[TETHER_EVENT_EXEC] = write_exec,           [TETHER_EVENT_FORK] = write_fork,
	[TETHER_EVENT_THREAD_START] = write_thread, [TETHER_EVENT_THREAD_EXIT] = write_thread,
	[TETHER_EVENT_LOAD] = write_object,         [TETHER_EVENT_UNLOAD] = write_object,
	[TETHER_EVENT_SIGNAL] = write_signal,       [TETHER_EVENT_STOP] = write_stop,
	[TETHER_EVENT_EXIT] = write_exit,           [TETHER_EVENT_LOST] = write_reason,
	[TETHER_EVENT_RELEASE] = write_release,     [TETHER_EVENT_SIGNAL_STATE] = write_signal_state,
	[TETHER_EVENT_LATE_ANSWER] = write_late,    [TETHER_EVENT_DROPPED] = write_dropped,
	[TETHER_EVENT_BLOCKED] = write_reason,      [TETHER_EVENT_CRASH] = write_crash,
};

static uint64_t since_start(const struct output *output, uint64_t t_ns)
{
	return t_ns > output->start_ns ? t_ns - output->start_ns : 0;
}

static void jsonl_event(struct output *output, const struct tether_event *event,
			const struct process *process)
{
	member_writer *write =
		event->kind < sizeof(members) / sizeof(members[0]) ? members[event->kind] : NULL;
	struct json json;

	(void)process;
	json_begin(&json, &output->sink.pending);
	do {
		json_bytes(&json, "event", tether_event_name(event->kind));
		json_unsigned(&json, "t_ns", since_start(output, event->t_ns));
		json_signed(&json, "pid", event->pid);
		json_signed(&json, "tid", event->tid);
		if (write)
			write(&json, output, event);
	} while (json_end(&json) == JSON_AGAIN);
}

static void jsonl_ending(struct output *output, const struct output_ending *ending)
{
	struct json json;

	json_begin(&json, &output->sink.pending);
	do {
		json_bytes(&json, "event", "exit");
		json_unsigned(&json, "t_ns", since_start(output, ending->t_ns));
		json_signed(&json, "pid", ending->pid);
		json_signed(&json, "tid", ending->pid);
		if (ending->unknown) {
			json_bytes(&json, "unknown", ending->unknown);
		} else if (ending->signal) {
			write_signal_name(&json, ending->signal);
			json_bool(&json, "core", ending->core);
		} else {
			json_signed(&json, "code", ending->code);
		}
	} while (json_end(&json) == JSON_AGAIN);
}

static void jsonl_process(struct output *output, const struct output_process *process)
{
	const char state[2] = { process->state };
	struct json json;

	json_begin(&json, &output->sink.pending);
	do {
		json_bytes(&json, "event", "process");
		json_unsigned(&json, "t_ns", since_start(output, process->t_ns));
		json_signed(&json, "pid", process->pid);
		json_signed(&json, "tid", process->pid);
		json_signed(&json, "ppid", process->parent);
		json_bytes(&json, "state", state);
		json_list(&json, "argv", process->argv);
	} while (json_end(&json) == JSON_AGAIN);
}

static void jsonl_overdue(struct output *output, const struct output_process *command, uint64_t timeout_ns,
			  size_t count)
{
	struct json json;

	json_begin(&json, &output->sink.pending);
	do {
		json_bytes(&json, "event", "timeout");
		json_unsigned(&json, "t_ns", since_start(output, command->t_ns));
		json_signed(&json, "pid", command->pid);
		json_signed(&json, "tid", command->pid);
		json_unsigned(&json, "timeout_ns", timeout_ns);
		json_unsigned(&json, "processes", count);
	} while (json_end(&json) == JSON_AGAIN);
}

static void jsonl_object(struct output *output, int64_t pid, const struct tether_object *object)
{
	struct json json;

	json_begin(&json, &output->sink.pending);
	do {
		json_bytes(&json, "event", "object");
		json_signed(&json, "pid", pid);
		json_bytes(&json, "object", object->path);
		json_hex(&json, "base", object->base);
		json_hex(&json, "low", object->low);
		json_hex(&json, "end", object->high);
		json_signed(&json, "lmid", object->lmid);
		if (object->build_id_size)
			json_digest(&json, "build_id", object->build_id, object->build_id_size);
	} while (json_end(&json) == JSON_AGAIN);
}

static void write_access(struct json *json, const char *key, uint32_t access, uint32_t bit)
{
	json_bool(json, key, access & bit);
}

static void write_verdict_reason(struct json *json, const struct output_reason *reason)
{
	static const struct {
		uint32_t bit;
		const char *name;
	} words[] = {
		{ TETHER_ACCESS_CREATE, "create" },
		{ TETHER_ACCESS_CONTROL, "control" },
		{ TETHER_ACCESS_OBSERVE, "observe" },
	};

	json_open(json, NULL, '{');
	json_bytes(json, "cause", reason->cause);
	json_bytes(json, "detail", reason->detail);
	json_bytes(json, "cure", reason->cure);
	json_open(json, "forbids", '[');
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (reason->forbids & words[i].bit)
			json_bytes(json, NULL, words[i].name);
	}
	json_close(json, ']');
	json_close(json, '}');
}

static void jsonl_verdict(struct output *output, const struct output_verdict *verdict)
{
	struct json json;

	json_begin(&json, &output->sink.pending);
	do {
		json_bytes(&json, "event", "verdict");
		if (verdict->pid)
			json_signed(&json, "pid", verdict->pid);
		else
			write_access(&json, "create", verdict->access, TETHER_ACCESS_CREATE);
		write_access(&json, "control", verdict->access, TETHER_ACCESS_CONTROL);
		write_access(&json, "observe", verdict->access, TETHER_ACCESS_OBSERVE);
		json_open(&json, "reasons", '[');
		for (size_t i = 0; i < verdict->count; i++)
			write_verdict_reason(&json, &verdict->reasons[i]);
		json_close(&json, ']');
	} while (json_end(&json) == JSON_AGAIN);
}

static void jsonl_header(struct output *output, char *const *argv)
{
	struct timespec now;
	struct json json;

	clock_gettime(CLOCK_REALTIME, &now);
	json_begin(&json, &output->sink.pending);
	do {
		json_bytes(&json, "event", "header");
		json_unsigned(&json, "schema", SCHEMA);
		json_bytes(&json, "tool", "tether");
		json_bytes(&json, "version", tether_version());
		json_unsigned(&json, "start_realtime_ns",
			      (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec);
		json_list(&json, "argv", (const char *const *)argv);
	} while (json_end(&json) == JSON_AGAIN);
}

static void jsonl_summary(struct output *output, const struct tether_stats *stats)
{
	struct json json;

	json_begin(&json, &output->sink.pending);
	do {
		json_bytes(&json, "event", "summary");
		json_unsigned(&json, "t_ns", since_start(output, output->last_ns));
		json_unsigned(&json, "events", stats->events);
		json_unsigned(&json, "dropped", stats->dropped);
		json_unsigned(&json, "processes", stats->processes);
		json_unsigned(&json, "pause_ns_max", stats->pause_ns_max);
		json_unsigned(&json, "pause_ns_total", stats->pause_ns_total);
	} while (json_end(&json) == JSON_AGAIN);
}

static void jsonl_error(struct output *output, const char *code, const char *message, const char *cure)
{
	struct json json;

	json_begin(&json, &output->sink.pending);
	do {
		json_bytes(&json, "event", "error");
		json_bytes(&json, "code", code);
		json_bytes(&json, "message", message);
		json_bytes(&json, "cure", cure);
	} while (json_end(&json) == JSON_AGAIN);
}

const struct output_writer output_jsonl = {
	.shows = TETHER_EVENT_ALL,
	.header = jsonl_header,
	.event = jsonl_event,
	.ending = jsonl_ending,
	.process = jsonl_process,
	.overdue = jsonl_overdue,
	.object = jsonl_object,
	.verdict = jsonl_verdict,
	.summary = jsonl_summary,
	.error = jsonl_error,
};
