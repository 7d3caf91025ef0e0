/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * output_calls_chrome.c - calls as the Trace Event Format: an array that Perfetto and chrome://tracing open
 *
 *	[
 *	{"name":"process_name","ph":"M","pid":4102,"tid":4102,"args":{"name":"python3"}}
 *	,{"name":"malloc","cat":"libc.so.6","ph":"B","ts":3391.204,"pid":4102,"tid":4102,"args":{"arg0":"0x18"}}
 *	,{"name":"malloc","cat":"libc.so.6","ph":"E","ts":3392.401,"pid":4102,"tid":4102,"args":{"value":"0x55d0a1b2c2a0"}}
 *	]
 *
 * Every B has its E, on the same thread and in the order of a stack: what has no return ends where its thread goes on without
 * it, and says so. In a file the array is whole at any time (sink.h).
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "call_stream.h"
#include "output_chrome.h"
#include "proc.h"

/* Whose name was written; tid 0: of the process. */
struct chrome_key {
	int64_t pid, tid;
};

struct named {
	UT_hash_handle hh;
	struct chrome_key key;
	char name[PROC_NAME];
};

/* Microseconds, with what they lack. */
static void put_time(struct json *json, const struct output *output, uint64_t t_ns)
{
	uint64_t ns = t_ns > output->start_ns ? t_ns - output->start_ns : 0;
	char text[40];

	snprintf(text, sizeof(text), "%" PRIu64 ".%03u", ns / 1000, (unsigned)(ns % 1000));
	json_number(json, "ts", text);
}

static void put_head(struct json *json, const struct output *output, const struct call_name *name, const char *phase,
		     uint64_t t_ns, const struct call_thread *thread)
{
	json_bytes(json, "name", name->shown);
	json_bytes(json, "cat", name->base);
	json_bytes(json, "ph", phase);
	put_time(json, output, t_ns);
	json_signed(json, "pid", thread->pid);
	json_signed(json, "tid", thread->tid);
}

/* ---- names of processes and threads ----------------------------------------------------------------------- */

static void write_name(struct output *output, const char *what, int64_t pid, int64_t tid, const char *name)
{
	struct json json;

	chrome_begin(&json, output);
	do {
		json_bytes(&json, "name", what);
		json_bytes(&json, "ph", "M");
		json_signed(&json, "pid", pid);
		json_signed(&json, "tid", tid);
		json_open(&json, "args", '{');
		json_bytes(&json, "name", name);
		json_close(&json, '}');
	} while (json_end(&json) == JSON_AGAIN);
}

static struct named *named_of(struct call_stream *stream, int64_t pid, int64_t tid)
{
	struct named *all = stream->own, *named;
	struct chrome_key key = { pid, tid };

	HASH_FIND(hh, all, &key, sizeof(key), named);
	if (named)
		return named;
	named = calloc(1, sizeof(*named));
	if (!named)
		return NULL;
	named->key = key;
	HASH_ADD(hh, all, key, sizeof(key), named);
	if (!named->hh.tbl) {
		free(named);
		return NULL;
	}
	stream->own = all;
	return named;
}

/* One that executes another program has another name from there on. */
static void name_process(struct call_stream *stream, const struct call_thread *thread)
{
	struct named *named = named_of(stream, thread->pid, 0);
	const char *name = stream_process_name(stream, thread->pid);

	if (!named || !strncmp(named->name, name, sizeof(named->name) - 1))
		return;
	snprintf(named->name, sizeof(named->name), "%s", name);
	write_name(stream->output, "process_name", thread->pid, thread->pid, name);
}

static void name_thread(struct call_stream *stream, const struct call_thread *thread)
{
	struct named *named = named_of(stream, thread->pid, thread->tid);

	if (!named || named->name[0])
		return;
	proc_name(thread->tid, named->name);
	/* Gone already: not to be asked for again. */
	if (!named->name[0])
		snprintf(named->name, sizeof(named->name), "%s", stream_process_name(stream, thread->pid));
	write_name(stream->output, "thread_name", thread->pid, thread->tid, named->name);
}

/* ---- calls ------------------------------------------------------------------------------------------------ */

static int put_frames(const struct tether_stack *stack, void *data)
{
	struct json *json = data;

	json_open(json, "stack", '[');
	for (size_t i = 0; i < stack->frame_count; i++) {
		const struct tether_frame *frame = &stack->frames[i];

		if (frame->symbol || frame->object)
			json_bytes(json, NULL, frame->symbol ? frame->symbol : frame->object);
		else
			json_hex(json, NULL, frame->pc);
	}
	json_close(json, ']');
	return 0;
}

static void chrome_call(struct call_stream *stream, const struct tether_call *call, struct call_thread *thread,
			struct call_frame *frame, const struct call_name *name)
{
	char key[] = "arg0";
	struct json json;

	if (!frame)
		return;
	name_process(stream, thread);
	name_thread(stream, thread);
	chrome_begin(&json, stream->output);
	do {
		put_head(&json, stream->output, name, "B", call->t_ns, thread);
		json_open(&json, "args", '{');
		for (uint64_t i = 0; i < stream->options->arguments && i < TETHER_CALL_ARGUMENTS; i++) {
			key[3] = (char)('0' + i);
			json_hex(&json, key, call->argument[i]);
		}
		if (stream->options->stacks)
			stream_stack(stream, call, put_frames, &json);
		json_close(&json, '}');
	} while (json_end(&json) == JSON_AGAIN);
	frame->mark = frame;
}

static void chrome_back(struct call_stream *stream, const struct tether_call *call, struct call_thread *thread,
			const struct call_frame *frame, const struct call_name *name)
{
	struct json json;

	if (!frame->mark)
		return;
	chrome_begin(&json, stream->output);
	do {
		put_head(&json, stream->output, name, "E", call->t_ns, thread);
		json_open(&json, "args", '{');
		json_hex(&json, "value", call->value);
		json_close(&json, '}');
	} while (json_end(&json) == JSON_AGAIN);
}

static void chrome_left(struct call_stream *stream, struct call_thread *thread, const struct call_frame *frame,
			size_t depth, uint64_t t_ns, bool finally)
{
	struct json json;

	(void)depth;
	if (!frame->mark)
		return;
	chrome_begin(&json, stream->output);
	do {
		put_head(&json, stream->output, frame->name, "E", t_ns, thread);
		json_open(&json, "args", '{');
		json_bytes(&json, "end", finally ? "unfinished" : stream_lost(stream, frame) ? "dropped" : "unwound");
		json_close(&json, '}');
	} while (json_end(&json) == JSON_AGAIN);
	sink_added(&stream->output->sink);
}

/* Where calls are missing stands a mark across all processes. */
static void chrome_dropped(struct call_stream *stream, const struct tether_call *call)
{
	struct json json;

	chrome_begin(&json, stream->output);
	do {
		json_bytes(&json, "name", "dropped");
		json_bytes(&json, "ph", "i");
		json_bytes(&json, "s", "g");
		put_time(&json, stream->output, call->t_ns);
		json_signed(&json, "pid", 0);
		json_signed(&json, "tid", 0);
		json_open(&json, "args", '{');
		json_unsigned(&json, "count", call->dropped);
		json_close(&json, '}');
	} while (json_end(&json) == JSON_AGAIN);
}

static void chrome_end(struct call_stream *stream)
{
	struct named *all = stream->own, *named, *next;

	HASH_ITER(hh, all, named, next) {
		HASH_DEL(all, named);
		free(named);
	}
	stream->own = NULL;
}

const struct call_writer calls_chrome = {
	.call = chrome_call,
	.back = chrome_back,
	.left = chrome_left,
	.dropped = chrome_dropped,
	.end = chrome_end,
};
