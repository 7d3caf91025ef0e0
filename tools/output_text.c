/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * output_text.c - one line an event, for eyes
 *
 *	  0.001214     4102  exec     /usr/bin/make -j4
 *	  0.003377     4102  load     /lib/x86_64-linux-gnu/libc.so.6                      0x7f1b6a400000
 *	  0.014020     4102  fork     vfork → 4103
 *	  0.014655     4103    exec     /usr/bin/gcc -c a.c
 *	  0.091233     4103    exit     0           gcc  14.1 ms user, 5.2 ms system, 23.4 MB
 *
 * Children stand to the right of their parents. What is the same in every process (loads at the start, main)
 * is dim, what a person looks for is not. Nothing of a victim's bytes may command the terminal, and no line
 * is longer than the terminal is wide.
 */
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cmdline.h"
#include "env.h"
#include "line.h"
#include "output.h"
#include "quote.h"
#include "utf8.h"

enum { EVENT_WIDTH = 8, INDENT = 2, DEPTH_SHOWN = 12, BASE_COLUMN = 76 };

static const char *arrow(const struct line *line)
{
	return line->unicode ? "\xe2\x86\x92" : "->";
}

static void put_time(struct buffer *out, uint64_t ns)
{
	if (ns < 1000000)
		buffer_printf(out, "%.2f ms", (double)ns / 1e6);
	else if (ns < 100000000)
		buffer_printf(out, "%.1f ms", (double)ns / 1e6);
	else if (ns < 1000000000)
		buffer_printf(out, "%.0f ms", (double)ns / 1e6);
	else
		buffer_printf(out, "%.2f s", (double)ns / 1e9);
}

static void put_memory(struct buffer *out, uint64_t kb)
{
	if (kb < 1024)
		buffer_printf(out, "%llu kB", (unsigned long long)kb);
	else if (kb < 1024 * 1024)
		buffer_printf(out, "%.1f MB", (double)kb / 1024);
	else
		buffer_printf(out, "%.2f GB", (double)kb / 1024 / 1024);
}

/* ---- what stands behind the event's name --------------------------------------------------------------- */

typedef void detail_writer(struct line *line, const struct tether_event *event,
			   const struct process *process);

/* "object`symbol+offset", each as a word of its own. */
static void put_caller(struct line *line, const char *caller)
{
	const char *tick = strchr(caller, '`');
	struct buffer object = { 0 };

	line_style(line, LINE_DIM);
	line_put(line, "  by ");
	if (tick) {
		buffer_bytes(&object, caller, (size_t)(tick - caller));
		line_word(line, buffer_string(&object));
		line_put(line, "`");
		buffer_free(&object);
	}
	line_word(line, tick ? tick + 1 : caller);
	line_plain(line);
}

/* Columns that are kept for it behind the path: half of the line belongs to that in any case. */
static int caller_room(const struct line *line, const char *caller)
{
	int need = (int)sizeof("  by ") - 1 + utf8_width(caller), half = (line->limit - line->column) / 2;

	return need < half ? need : half;
}

static void put_words(struct line *line, const char *const *words)
{
	for (; words && *words && !line->full; words++) {
		line_put(line, " ");
		line_word(line, *words);
	}
}

static void text_create(struct line *line, const struct tether_event *event, const struct process *process)
{
	(void)process;
	line_word(line, event->u.create.path);
	put_words(line, event->u.create.argv && event->u.create.argv[0] ? event->u.create.argv + 1 : NULL);
}

static void text_grab(struct line *line, const struct tether_event *event, const struct process *process)
{
	(void)process;
	line_style(line, LINE_BOLD);
	line_word(line, event->u.grab.path);
	line_plain(line);
	line_printf(line, "  %u thread%s", event->u.grab.threads, event->u.grab.threads == 1 ? "" : "s");
}

/*
 * The arguments that a person gave. Of a script those begin behind its own name: the kernel puts the
 * interpreter, perhaps with an option, before it.
 */
static const char *const *arguments(const struct tether_event *event)
{
	const char *const *argv = event->u.exec.argv;

	if (!argv || !argv[0])
		return NULL;
	for (size_t i = 1; event->u.exec.interpreter && i < 3 && argv[i]; i++) {
		if (!strcmp(argv[i], event->u.exec.path))
			return argv + i + 1;
	}
	return argv + 1;
}

/* What a cut of a long command line must not take away. */
static void put_exec_remarks(struct buffer *out, const struct line *line, const struct tether_event *event,
			     const struct process *process)
{
	const char *argv0 = event->u.exec.argv && event->u.exec.argv[0] ? event->u.exec.argv[0] : "";
	const char *slash = strrchr(event->u.exec.path, '/');
	const char *base = slash ? slash + 1 : event->u.exec.path;
	const char *slash0 = strrchr(argv0, '/');
	bool unicode = line->unicode;

	if (event->u.exec.interpreter) {
		buffer_text(out, "  by ");
		quote_display(out, event->u.exec.interpreter, unicode);
	} else if (strcmp(slash0 ? slash0 + 1 : argv0, base) != 0) {
		buffer_text(out, "  as ");
		quote_display(out, argv0, unicode);
	}
	if (event->u.exec.cwd && process && directory_hash(event->u.exec.cwd) != process->directory) {
		buffer_text(out, "  in ");
		quote_display(out, event->u.exec.cwd, unicode);
	}
	if (event->u.exec.truncated)
		buffer_text(out, "  (truncated)");
}

static void text_exec(struct line *line, const struct tether_event *event, const struct process *process)
{
	static const char suppressed[] = "  set-id suppressed";
	struct buffer remarks = { 0 };
	int limit = line->limit, need;

	put_exec_remarks(&remarks, line, event, process);
	need = utf8_width(buffer_string(&remarks)) +
	       (event->u.exec.suppressed ? (int)sizeof(suppressed) - 1 : 0);
	/* Half of the room is the command's in any case. */
	if (need > (limit - line->column) / 2)
		need = (limit - line->column) / 2;
	line->limit -= need;
	line_style(line, LINE_BOLD);
	line_word(line, event->u.exec.path);
	line_plain(line);
	put_words(line, arguments(event));
	line_limit(line, limit);
	line_styled(line, LINE_DIM, buffer_string(&remarks));
	if (event->u.exec.suppressed)
		line_styled(line, LINE_YELLOW, suppressed);
	buffer_free(&remarks);
}

static void text_fork(struct line *line, const struct tether_event *event, const struct process *process)
{
	(void)process;
	line_printf(line, "%s %s %lld", fork_kind_name(event->u.fork.kind), arrow(line),
		    (long long)event->u.fork.child);
	if (!event->u.fork.followed)
		line_styled(line, LINE_DIM, "  not followed");
}

static void text_thread(struct line *line, const struct tether_event *event, const struct process *process)
{
	(void)process;
	line_printf(line, "%lld %s", (long long)event->tid,
		    event->kind == TETHER_EVENT_THREAD_START ? "started" : "ended");
}

static void text_object(struct line *line, const struct tether_event *event, const struct process *process)
{
	(void)process;
	line_path(line, event->u.object.path);
	if (event->u.object.lmid)
		line_printf(line, "  namespace %lld", (long long)event->u.object.lmid);
	/* The address is worth a look only where there is room for it, and beside a caller not even that. */
	if (line->full || event->stack || line->column + 2 + 14 > line->limit)
		return;
	line_pad(line, BASE_COLUMN);
	line_style(line, LINE_DIM);
	line_printf(line, "  0x%llx", (unsigned long long)event->u.object.base);
	line_plain(line);
}

static void text_signal(struct line *line, const struct tether_event *event, const struct process *process)
{
	char room[16];

	(void)process;
	line_put(line, signal_name(event->u.signal.signal, room));
	if (event->u.signal.sender)
		line_printf(line, " from %lld", (long long)event->u.signal.sender);
	else if (event->u.signal.code > 0)
		line_printf(line, " from the kernel");
	if (event->tid != event->pid) {
		line_style(line, LINE_DIM);
		line_printf(line, "  thread %lld", (long long)event->tid);
		line_plain(line);
	}
}

static void text_crash(struct line *line, const struct tether_event *event, const struct process *process)
{
	text_signal(line, event, process);
	if (event->u.signal.address)
		line_printf(line, " at 0x%llx", (unsigned long long)event->u.signal.address);
}

static void text_stop(struct line *line, const struct tether_event *event, const struct process *process)
{
	char room[16];

	(void)process;
	line_put(line, signal_name(event->u.signal.signal, room));
}

static void text_signal_state(struct line *line, const struct tether_event *event,
			      const struct process *process)
{
	text_stop(line, event, process);
	if (event->u.signal.detail)
		line_printf(line, ": %s", event->u.signal.detail);
}

static void text_exit(struct line *line, const struct tether_event *event, const struct process *process)
{
	int status_column = line->column + 10;
	struct buffer cost = { 0 };
	char room[16];

	if (event->u.exit.signal) {
		line_style(line, LINE_BOLD_RED);
		line_printf(line, "%s%s", signal_name(event->u.exit.signal, room),
			    event->u.exit.core ? ", core dumped" : "");
	} else {
		line_style(line, event->u.exit.code ? LINE_BOLD_RED : LINE_GREEN);
		line_printf(line, "%d", event->u.exit.code);
	}
	line_plain(line);
	line_pad(line, status_column);
	line_put(line, "  ");
	if (process && process->name[0])
		line_word(line, process->name);
	buffer_text(&cost, "  ");
	put_time(&cost, event->u.exit.user_ns);
	buffer_text(&cost, " user, ");
	put_time(&cost, event->u.exit.system_ns);
	buffer_text(&cost, " system, ");
	put_memory(&cost, event->u.exit.max_rss_kb);
	line_styled(line, LINE_DIM, buffer_string(&cost));
	buffer_free(&cost);
}

static void text_reason(struct line *line, const struct tether_event *event, const struct process *process)
{
	(void)process;
	if (event->u.text.reason)
		line_put(line, event->u.text.reason);
}

static void text_release(struct line *line, const struct tether_event *event, const struct process *process)
{
	static const char *const left[] = {
		[TETHER_MODE_DEFAULT] = "",
		[TETHER_MODE_RUN] = "left running",
		[TETHER_MODE_KILL] = "killed",
		[TETHER_MODE_HANG] = "left stopped",
	};

	(void)process;
	if (event->u.release.mode <= TETHER_MODE_HANG)
		line_put(line, left[event->u.release.mode]);
}

static void text_late(struct line *line, const struct tether_event *event, const struct process *process)
{
	struct buffer time = { 0 };

	(void)process;
	put_time(&time, event->u.late.waited_ns);
	line_printf(line, "the process went on after %s", buffer_string(&time));
	buffer_free(&time);
}

static void text_dropped(struct line *line, const struct tether_event *event, const struct process *process)
{
	(void)process;
	line_printf(line, "%llu events", (unsigned long long)event->u.dropped.count);
}

struct look {
	const char *style; /* of the event's name; NULL: plain */
	bool dim;          /* of the whole line behind the pid */
	detail_writer *detail;
};

static const struct look looks[] = {
	[TETHER_EVENT_CREATE] = { LINE_GREEN, false, text_create },
	[TETHER_EVENT_GRAB] = { LINE_BOLD_GREEN, false, text_grab },
	[TETHER_EVENT_EXEC] = { LINE_BOLD_GREEN, false, text_exec },
	[TETHER_EVENT_FORK] = { LINE_CYAN, false, text_fork },
	[TETHER_EVENT_THREAD_START] = { NULL, true, text_thread },
	[TETHER_EVENT_THREAD_EXIT] = { NULL, true, text_thread },
	[TETHER_EVENT_LOAD] = { NULL, false, text_object },
	[TETHER_EVENT_UNLOAD] = { NULL, false, text_object },
	[TETHER_EVENT_PREINIT] = { NULL, true, NULL },
	[TETHER_EVENT_POSTINIT] = { NULL, true, NULL },
	[TETHER_EVENT_MAIN] = { NULL, true, NULL },
	[TETHER_EVENT_SIGNAL] = { LINE_YELLOW, false, text_signal },
	[TETHER_EVENT_STOP] = { LINE_YELLOW, false, text_stop },
	[TETHER_EVENT_CONTINUE] = { LINE_YELLOW, false, NULL },
	[TETHER_EVENT_EXIT] = { LINE_BOLD, false, text_exit },
	[TETHER_EVENT_LOST] = { LINE_BOLD_RED, false, text_reason },
	[TETHER_EVENT_RELEASE] = { LINE_CYAN, false, text_release },
	[TETHER_EVENT_SIGNAL_STATE] = { LINE_BOLD_RED, false, text_signal_state },
	[TETHER_EVENT_LATE_ANSWER] = { LINE_BOLD_RED, false, text_late },
	[TETHER_EVENT_DROPPED] = { LINE_BOLD_RED, false, text_dropped },
	[TETHER_EVENT_PARKED] = { LINE_YELLOW, false, NULL },
	[TETHER_EVENT_BLOCKED] = { LINE_YELLOW, false, text_reason },
	[TETHER_EVENT_CRASH] = { LINE_BOLD_RED, false, text_crash },
};

/* ---- lines --------------------------------------------------------------------------------------------- */

static struct line line_new(struct output *output)
{
	return (struct line){
		.out = &output->sink.pending,
		.limit = output->columns,
		.color = output->color,
		.unicode = output->unicode,
	};
}

static int depth_indent(unsigned depth)
{
	return (int)(depth < DEPTH_SHOWN ? depth : DEPTH_SHOWN) * INDENT;
}

static int indent_of(const struct process *process)
{
	return depth_indent(process ? process->depth : 0);
}
/* Time and pid, and blanks for the depth. */
static struct line line_begin(struct output *output, uint64_t t_ns, int64_t pid, int indent)
{
	struct line line = line_new(output);
	uint64_t ns = t_ns > output->start_ns ? t_ns - output->start_ns : 0;

	line_style(&line, LINE_DIM);
	line_printf(&line, "%3llu.%06llu", (unsigned long long)(ns / 1000000000),
		    (unsigned long long)(ns % 1000000000 / 1000));
	line_plain(&line);
	line_printf(&line, " %8lld  %*s", (long long)pid, indent, "");
	return line;
}

struct env_lines {
	struct output *output;
	int column;
	char sign;
};

static void put_env_line(void *data, const char *name, const char *value)
{
	const struct env_lines *lines = data;
	struct output *output = lines->output;
	struct line line = line_new(output);

	line_pad(&line, lines->column);
	line_style(&line, lines->sign == '+' ? LINE_GREEN : LINE_RED);
	line_printf(&line, "%c ", lines->sign);
	line_plain(&line);
	line_word(&line, name);
	if (value) {
		line_put(&line, "=");
		if (*value)
			line_word(&line, value);
	}
	line_end(&line);
}

/* What was asked for beyond the exec line: the command line whole, as it is there to be copied. */
static void put_exec_extras(struct output *output, const struct tether_event *event, int column)
{
	struct buffer *out = &output->sink.pending;

	if (!event->u.exec.env)
		return;
	if (output->options.env) {
		struct env_lines lines = { output, column, '+' };

		env_set(event->u.exec.creator_env, event->u.exec.env, put_env_line, &lines);
		lines.sign = '-';
		env_unset(event->u.exec.creator_env, event->u.exec.env, put_env_line, &lines);
	}
	if (output->options.cmdline) {
		struct cmdline exec = cmdline_of(event);

		buffer_repeat(out, ' ', (size_t)column);
		cmdline_write(out, &exec);
		buffer_char(out, '\n');
	}
}

/* Without -e, what happens at every end of a child says nothing that the child's own exit line does not. */
static bool is_noise(const struct output *output, const struct tether_event *event)
{
	return !output->options.events && event->kind == TETHER_EVENT_SIGNAL &&
	       event->u.signal.signal == SIGCHLD;
}

static void text_event(struct output *output, const struct tether_event *event, const struct process *process)
{
	static const struct look unknown = { 0 };
	const struct look *look =
		event->kind < sizeof(looks) / sizeof(looks[0]) ? &looks[event->kind] : &unknown;
	bool dim = look->dim || (event->kind == TETHER_EVENT_LOAD && event->u.object.initial);
	int indent = indent_of(process), detail_column;
	struct line line;

	if (is_noise(output, event))
		return;
	line = line_begin(output, event->t_ns, event->pid, indent);
	if (dim) {
		/* One style for the rest of the line: the parts must not end it. */
		line_style(&line, LINE_DIM);
		line.color = false;
	} else if (look->style) {
		line_style(&line, look->style);
	}
	detail_column = line.column + EVENT_WIDTH + 1;
	line_put(&line, tether_event_name(event->kind));
	if (look->style)
		line_plain(&line);
	line_put(&line, " ");
	line_pad(&line, detail_column);
	if (output->caller)
		line.limit -= caller_room(&line, output->caller);
	if (look->detail)
		look->detail(&line, event, process);
	if (output->caller) {
		line_limit(&line, output->columns);
		put_caller(&line, output->caller);
	}
	line.color = output->color;
	if (dim)
		line_plain(&line);
	line_end(&line);
	if (event->kind == TETHER_EVENT_EXEC)
		put_exec_extras(output, event, detail_column);
}

/* ---- results of subcommands that follow nobody --------------------------------------------------------- */

static void text_ending(struct output *output, const struct output_ending *ending)
{
	struct line line = line_begin(output, ending->t_ns, ending->pid, 0);
	int detail_column = line.column + EVENT_WIDTH + 1, name_column = detail_column + 10;
	char room[16], number[16];

	snprintf(number, sizeof(number), "%d", ending->code);
	line_styled(&line, LINE_BOLD, tether_event_name(TETHER_EVENT_EXIT));
	line_put(&line, " ");
	line_pad(&line, detail_column);
	if (ending->unknown)
		line_styled(&line, LINE_YELLOW, "?");
	else if (ending->signal)
		line_styled(&line, LINE_BOLD_RED, signal_name(ending->signal, room));
	else
		line_styled(&line, ending->code ? LINE_BOLD_RED : LINE_GREEN, number);
	if (!ending->unknown && ending->signal && ending->core)
		line_put(&line, ", core dumped");
	line_put(&line, " ");
	line_pad(&line, name_column);
	if (*ending->name)
		line_word(&line, ending->name);
	if (ending->unknown) {
		line_put(&line, *ending->name ? "  " : "");
		line_put(&line, ending->unknown);
	}
	line_end(&line);
}

static void text_process(struct output *output, const struct output_process *process)
{
	struct line line = line_begin(output, process->t_ns, process->pid, depth_indent(process->depth));
	const char *const *argv = process->argv;

	line_style(&line, LINE_BOLD);
	line_word(&line, argv && argv[0] ? argv[0] : "?");
	line_plain(&line);
	put_words(&line, argv && argv[0] ? argv + 1 : NULL);
	if (process->state == 'Z' || process->state == 'X')
		line_styled(&line, LINE_YELLOW, "  ended, its parent has not taken notice");
	else if (process->state == 'T' || process->state == 't')
		line_styled(&line, LINE_YELLOW, process->state == 'T' ? "  stopped" : "  traced");
	line_end(&line);
}

static void text_overdue(struct output *output, const struct output_process *command, uint64_t timeout_ns,
			 size_t count)
{
	struct line line = line_begin(output, command->t_ns, command->pid, 0);
	int detail_column = line.column + EVENT_WIDTH + 1;

	line_styled(&line, LINE_BOLD_RED, "timeout");
	line_pad(&line, detail_column);
	line_printf(&line, "not ended after %.*f s; ", timeout_ns % 1000000000 ? 3 : 0, (double)timeout_ns / 1e9);
	line_printf(&line, "%zu process%s", count, count == 1 ? "" : "es");
	line_end(&line);
}

enum { BUILD_ID_SHOWN = 8 };

/* Addresses first, as their width is known; of a path that is too long the end is what counts. */
static void text_result_object(struct output *output, int64_t pid, const struct tether_object *object)
{
	struct line line = line_new(output);
	int after_id;

	line_printf(&line, " %8lld  %012llx-%012llx  ", (long long)pid, (unsigned long long)object->low,
		    (unsigned long long)object->high);
	after_id = line.column + 2 * BUILD_ID_SHOWN;
	line_style(&line, LINE_DIM);
	for (uint32_t i = 0; i < object->build_id_size && i < BUILD_ID_SHOWN; i++)
		line_printf(&line, "%02x", object->build_id[i]);
	line_plain(&line);
	line_pad(&line, after_id);
	line_put(&line, "  ");
	if (object->lmid)
		line_printf(&line, "[%lld] ", (long long)object->lmid);
	line_path(&line, object->path);
	line_end(&line);
}

/* Of a process: what can be done with it. Sentences are not cut: the cure may stand at their end. */
static const char *verdict_words(const struct output_verdict *verdict, const char **style)
{
	bool control = verdict->access & TETHER_ACCESS_CONTROL, observe = verdict->access & TETHER_ACCESS_OBSERVE;

	*style = control && observe ? LINE_GREEN : control || observe ? LINE_YELLOW : LINE_BOLD_RED;
	if (verdict->pid)
		return control && observe ? "may be held and observed"
		       : control	  ? "may be held, but not observed by this user"
		       : observe	  ? "may be observed, but not held"
					  : "may be neither held nor observed";
	return control && observe				? "processes may be held and observed"
	       : verdict->access & TETHER_ACCESS_CREATE ? "programs may be started, but running processes not held"
							: "nothing may be held here";
}

static void text_verdict(struct output *output, const struct output_verdict *verdict)
{
	struct line line = line_new(output);
	const char *style, *words = verdict_words(verdict, &style);

	line.limit = INT_MAX;
	if (verdict->pid)
		line_printf(&line, "%lld%s", (long long)verdict->pid, *verdict->name ? " " : "");
	if (*verdict->name)
		line_word(&line, verdict->name);
	if (verdict->pid)
		line_put(&line, ": ");
	line_styled(&line, style, words);
	line_end(&line);
	for (size_t i = 0; i < verdict->count; i++) {
		const struct output_reason *reason = &verdict->reasons[i];

		line = line_new(output);
		line.limit = INT_MAX;
		line_put(&line, "  ");
		line_styled(&line, reason->forbids ? LINE_BOLD : LINE_DIM, reason->forbids ? reason->cause : "note");
		line_printf(&line, ": %s", reason->detail);
		line_end(&line);
		if (!*reason->cure)
			continue;
		line = line_new(output);
		line.limit = INT_MAX;
		line_printf(&line, "    cure: %s", reason->cure);
		line_end(&line);
	}
}

static void text_header(struct output *output, char *const *argv)
{
	(void)output;
	(void)argv;
}

static void text_summary(struct output *output, const struct tether_stats *stats)
{
	struct buffer pauses = { 0 };
	struct line line = line_new(output);

	/* Nothing came to be held: the error said all. */
	if (!stats->processes)
		return;
	line_style(&line, LINE_DIM);
	line_printf(&line, "%llu process%s, %llu events", (unsigned long long)stats->processes,
		    stats->processes == 1 ? "" : "es", (unsigned long long)stats->events);
	if (stats->dropped)
		line_printf(&line, " (%llu more were lost)", (unsigned long long)stats->dropped);
	buffer_text(&pauses, "; longest pause ");
	put_time(&pauses, stats->pause_ns_max);
	buffer_text(&pauses, ", all pauses ");
	put_time(&pauses, stats->pause_ns_total);
	line_put(&line, buffer_string(&pauses));
	buffer_free(&pauses);
	line_plain(&line);
	line_end(&line);
}

/* Errors in text go to standard error as messages, which output.c does for every format. */
static void text_error(struct output *output, const char *code, const char *message, const char *cure)
{
	(void)output;
	(void)code;
	(void)message;
	(void)cure;
}

#define BIT(kind) TETHER_EVENT_BIT(TETHER_EVENT_##kind)

const struct output_writer output_text = {
	/* The exec line says what create says, the first loads what preinit says, and main stands where
	   postinit does. */
	.shows = ~(BIT(CREATE) | BIT(THREAD_START) | BIT(THREAD_EXIT) | BIT(PREINIT) | BIT(POSTINIT)),
	.header = text_header,
	.event = text_event,
	.ending = text_ending,
	.process = text_process,
	.overdue = text_overdue,
	.object = text_result_object,
	.verdict = text_verdict,
	.summary = text_summary,
	.error = text_error,
};
