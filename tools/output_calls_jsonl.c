/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * output_calls_jsonl.c - calls and returns as records; with -k the stack of a call is the record behind it
 */
#include "call_stream.h"
#include "json.h"

static uint64_t since_start(const struct output *output, uint64_t t_ns)
{
	return t_ns > output->start_ns ? t_ns - output->start_ns : 0;
}

static void begin_record(struct json *json, const struct call_stream *stream, const struct tether_call *call,
			 const struct call_name *name, const char *event)
{
	json_bytes(json, "event", event);
	json_unsigned(json, "t_ns", since_start(stream->output, call->t_ns));
	json_signed(json, "pid", call->pid);
	json_signed(json, "tid", call->tid);
	json_bytes(json, "object", name->object);
	json_bytes(json, "symbol", name->shown);
	json_unsigned(json, "depth", call->depth);
}

static void jsonl_call(struct call_stream *stream, const struct tether_call *call, struct call_thread *thread,
		       struct call_frame *frame, const struct call_name *name)
{
	struct stacks stacks;
	struct json json;

	(void)thread;
	(void)frame;
	if (!stream->calls)
		return;
	json_begin(&json, &stream->output->sink.pending);
	do {
		begin_record(&json, stream, call, name, "call");
		json_open(&json, "args", '[');
		for (uint64_t i = 0; i < stream->options->arguments && i < TETHER_CALL_ARGUMENTS; i++)
			json_hex(&json, NULL, call->argument[i]);
		json_close(&json, ']');
	} while (json_end(&json) == JSON_AGAIN);
	if (!stream->options->stacks)
		return;
	stacks_begin(&stacks, stream->output, false);
	stream_stack(stream, call, stacks_add, &stacks);
	stacks_end(&stacks);
}

static void jsonl_back(struct call_stream *stream, const struct tether_call *call, struct call_thread *thread,
		       const struct call_frame *frame, const struct call_name *name)
{
	struct json json;

	(void)thread;
	(void)frame;
	if (!stream->returns)
		return;
	json_begin(&json, &stream->output->sink.pending);
	do {
		begin_record(&json, stream, call, name, "return");
		json_hex(&json, "value", call->value);
		json_unsigned(&json, "elapsed_ns", call->elapsed_ns);
	} while (json_end(&json) == JSON_AGAIN);
}

static void jsonl_dropped(struct call_stream *stream, const struct tether_call *call)
{
	struct json json;

	json_begin(&json, &stream->output->sink.pending);
	do {
		json_bytes(&json, "event", "dropped");
		json_unsigned(&json, "t_ns", since_start(stream->output, call->t_ns));
		json_unsigned(&json, "count", call->dropped);
		json_bytes(&json, "what", "calls");
	} while (json_end(&json) == JSON_AGAIN);
}

const struct call_writer calls_jsonl = {
	.call = jsonl_call,
	.back = jsonl_back,
	.dropped = jsonl_dropped,
};
