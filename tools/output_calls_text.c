/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * output_calls_text.c - calls as lines, for eyes
 *
 *	  0.003377     4102     4102  main()
 *	  0.003391     4102     4102    malloc(0x18)
 *
 * and with their returns:
 *
 *	  0.003377     4102     4102           main() {
 *	  0.003391     4102     4102    1.2 µs   malloc(0x18) = 0x55d0a1b2c2a0
 *	  0.003502     4102     4102  125 µs   } main = 0x0
 *
 * Deeper calls of a thread stand to the right of those that it is inside of. A call that comes back before the thread
 * calls anything else has one line with its return; for that it is held back, but no longer than a reader would notice.
 */
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "call_stream.h"
#include "line.h"
#include "quote.h"
#include "signals.h"

enum { INDENT = 2, DEPTH_SHOWN = 40, DURATION_WIDTH = 9, HOLD_NS = 50000000 };

/* A call of a thread that is not written yet. */
struct held {
	struct held *next, **link; /* in the order of the calls; link NULL: in no list */
	struct call_thread *thread;
	struct tether_call call;   /* its pointers are not to be used */
	const struct call_name *name;
};

struct text {
	struct held *first, **end;
};

static void written(struct call_frame *frame)
{
	frame->mark = frame;
}

/* ---- lines ------------------------------------------------------------------------------------------------ */

static struct line begin_line(struct call_stream *stream, uint64_t t_ns, int64_t pid, int64_t tid)
{
	struct output *output = stream->output;
	uint64_t ns = t_ns > output->start_ns ? t_ns - output->start_ns : 0;
	struct line line = {
		.out = &output->sink.pending,
		.limit = INT_MAX,
		.color = output->color,
		.unicode = output->unicode,
	};

	line_style(&line, LINE_DIM);
	line_printf(&line, "%3" PRIu64 ".%06" PRIu64, ns / 1000000000, ns % 1000000000 / 1000);
	line_plain(&line);
	line_printf(&line, " %8" PRId64 " %8" PRId64 "  ", pid, tid);
	return line;
}

static void put_duration(struct line *line, uint64_t ns)
{
	const char *micro = line->unicode ? "\xc2\xb5s" : "us";

	if (ns < 1000000)
		line_printf(line, "%6.*f %s", ns < 100000 ? 1 : 0, (double)ns / 1e3, micro);
	else if (ns < 1000000000)
		line_printf(line, "%6.*f ms", ns < 100000000 ? 1 : 0, (double)ns / 1e6);
	else
		line_printf(line, "%6.*f s ", ns < 100000000000 ? 1 : 0, (double)ns / 1e9);
}

/* The columns up to the function: how long it took, where that is known, and its place. */
static void put_place(const struct call_stream *stream, struct line *line, const uint64_t *elapsed_ns, size_t depth)
{
	int column = line->column;

	if (stream->returns) {
		line_style(line, LINE_DIM);
		if (elapsed_ns)
			put_duration(line, *elapsed_ns);
		line_plain(line);
		column += DURATION_WIDTH + 1;
	}
	line_pad(line, column + INDENT * (int)(depth < DEPTH_SHOWN ? depth : DEPTH_SHOWN));
}

/* Not quoted as a word of sh is: demangled names are full of what that would quote. */
static void put_printable(struct line *line, const char *text)
{
	if (quote_is_printable(text))
		line_put(line, text);
	else
		line_word(line, text);
}

static void put_name(const struct call_stream *stream, struct line *line, const struct call_name *name)
{
	if (stream->objects) {
		line_style(line, LINE_DIM);
		put_printable(line, name->base);
		line_put(line, "`");
		line_plain(line);
	}
	line_style(line, LINE_BOLD);
	put_printable(line, name->shown);
	line_plain(line);
}

static void put_call(const struct call_stream *stream, struct line *line, const struct tether_call *call,
		     const struct call_name *name)
{
	bool has_parameters = name->shown[0] && name->shown[strlen(name->shown) - 1] == ')';

	put_name(stream, line, name);
	/* Those of a demangled name are types. */
	if (has_parameters && !stream->options->arguments)
		return;
	line_put(line, has_parameters ? " (" : "(");
	for (uint64_t i = 0; i < stream->options->arguments && i < TETHER_CALL_ARGUMENTS; i++)
		line_printf(line, "%s0x%" PRIx64, i ? ", " : "", call->argument[i]);
	line_put(line, ")");
}

static void write_call(struct call_stream *stream, const struct tether_call *call, const struct call_name *name,
		       const char *tail)
{
	struct line line = begin_line(stream, call->t_ns, call->pid, call->tid);

	put_place(stream, &line, NULL, call->depth);
	put_call(stream, &line, call, name);
	line_put(&line, tail);
	line_end(&line);
	sink_added(&stream->output->sink);
}

/* ---- calls that are held back ----------------------------------------------------------------------------- */

static struct held *held_of(const struct call_thread *thread)
{
	struct held *held = thread->own;

	return held && held->link ? held : NULL;
}

static void drop(struct text *text, struct held *held)
{
	*held->link = held->next;
	if (held->next)
		held->next->link = held->link;
	else
		text->end = held->link;
	held->link = NULL;
}

/* It is inside of it by now. */
static void write_held(struct call_stream *stream, struct held *held)
{
	struct call_thread *thread = held->thread;

	drop(stream->own, held);
	write_call(stream, &held->call, held->name, " {");
	if (held->call.depth < thread->depth)
		written(&thread->frames[held->call.depth]);
}

static bool hold(struct call_stream *stream, const struct tether_call *call, struct call_thread *thread,
		 const struct call_name *name)
{
	struct text *text = stream->own;
	struct held *held = thread->own;

	if (!held)
		held = thread->own = calloc(1, sizeof(*held));
	if (!held)
		return false;
	*held = (struct held){ .link = text->end, .thread = thread, .call = *call, .name = name };
	*text->end = held;
	text->end = &held->next;
	return true;
}

/* ---- what the stream tells -------------------------------------------------------------------------------- */

static bool text_begin(struct call_stream *stream)
{
	struct text *text = calloc(1, sizeof(*text));

	if (text)
		text->end = &text->first;
	stream->own = text;
	return text != NULL;
}

static void write_stack(struct call_stream *stream, const struct tether_call *call)
{
	struct stacks stacks;

	stacks_begin(&stacks, stream->output, false);
	stacks.bare = true;
	stream_stack(stream, call, stacks_add, &stacks);
	stacks_end(&stacks);
}

static void text_call(struct call_stream *stream, const struct tether_call *call, struct call_thread *thread,
		      struct call_frame *frame, const struct call_name *name)
{
	struct held *held = held_of(thread);

	if (held)
		write_held(stream, held);
	if (!stream->calls)
		return;
	if (stream->returns && frame && !stream->options->stacks && stream->own && hold(stream, call, thread, name))
		return;
	write_call(stream, call, name, stream->returns ? " {" : "");
	if (frame)
		written(frame);
	if (stream->options->stacks)
		write_stack(stream, call);
}

static void text_back(struct call_stream *stream, const struct tether_call *call, struct call_thread *thread,
		      const struct call_frame *frame, const struct call_name *name)
{
	struct held *held = held_of(thread);
	struct line line;

	if (!stream->returns)
		return;
	if (held && held->call.depth == call->depth && held->name == frame->name) {
		drop(stream->own, held);
		line = begin_line(stream, held->call.t_ns, call->pid, call->tid);
		put_place(stream, &line, &call->elapsed_ns, call->depth);
		put_call(stream, &line, &held->call, name);
	} else {
		if (held)
			write_held(stream, held);
		line = begin_line(stream, call->t_ns, call->pid, call->tid);
		put_place(stream, &line, &call->elapsed_ns, call->depth);
		if (stream->calls)
			line_put(&line, "} ");
		put_name(stream, &line, name);
	}
	line_printf(&line, " = 0x%" PRIx64, call->value);
	line_end(&line);
}

static void text_left(struct call_stream *stream, struct call_thread *thread, const struct call_frame *frame, size_t depth,
		      uint64_t t_ns, bool finally)
{
	const char *end = finally ? "  <unfinished>" : stream_lost(stream, frame) ? "  <dropped>" : "  <unwound>";
	struct held *held = held_of(thread);
	struct line line;

	if (held && held->call.depth == depth) {
		drop(stream->own, held);
		write_call(stream, &held->call, held->name, end);
		return;
	}
	/* What a program was inside of at its end is all but news. */
	if (!frame->mark || finally || !stream->returns)
		return;
	line = begin_line(stream, t_ns, thread->pid, thread->tid);
	put_place(stream, &line, NULL, depth);
	line_put(&line, "} ");
	put_name(stream, &line, frame->name);
	line_put(&line, end);
	line_end(&line);
}

static void text_dropped(struct call_stream *stream, const struct tether_call *call)
{
	struct line line = begin_line(stream, call->t_ns, 0, 0);

	line_printf(&line, "%" PRIu64 " calls and returns dropped: they came faster than they could be written", call->dropped);
	line_end(&line);
}

static uint64_t text_rest(struct call_stream *stream)
{
	struct text *text = stream->own;
	uint64_t now = now_ns();

	while (text && text->first && text->first->call.t_ns + HOLD_NS <= now)
		write_held(stream, text->first);
	return text && text->first ? text->first->call.t_ns + HOLD_NS : 0;
}

static void text_forget(struct call_stream *stream, struct call_thread *thread)
{
	struct held *held = held_of(thread);

	if (held)
		drop(stream->own, held);
	free(thread->own);
}

static void text_end(struct call_stream *stream)
{
	free(stream->own);
}

const struct call_writer calls_text = {
	.begin = text_begin,
	.call = text_call,
	.back = text_back,
	.left = text_left,
	.dropped = text_dropped,
	.rest = text_rest,
	.forget = text_forget,
	.end = text_end,
};
