/* SPDX-License-Identifier: BSD-2-Clause */
#include "call_stream.h"

#include <stdlib.h>
#include <string.h>

#include "proc.h"

/* Deeper ones are shown, and not remembered. */
enum { NESTING = 65536 };

/* ---- names ------------------------------------------------------------------------------------------------ */

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

static struct call_name *new_name(const struct call_stream *stream, const char *object, const char *symbol)
{
	size_t object_size = strlen(object) + 1, symbol_size = strlen(symbol) + 1, shown_size = 0;
	int wanted = stream->options->raw ? 0 : tether_demangle(symbol, NULL, 0);
	struct call_name *name;

	if (wanted > 0)
		shown_size = (size_t)wanted;
	name = malloc(sizeof(*name) + object_size + symbol_size + shown_size);
	if (!name)
		return NULL;
	memcpy(name->key, object, object_size);
	memcpy(name->key + object_size, symbol, symbol_size);
	name->object = name->key;
	name->base = base_name(name->object);
	name->shown = name->key + object_size;
	if (shown_size && tether_demangle(symbol, name->key + object_size + symbol_size, shown_size) == wanted)
		name->shown += symbol_size;
	return name;
}

const struct call_name *stream_name(struct call_stream *stream, const char *object, const char *symbol)
{
	size_t object_size = strlen(object) + 1, symbol_size = strlen(symbol) + 1;
	struct call_name *name = NULL;
	struct buffer key = { 0 };

	buffer_bytes(&key, object, object_size);
	buffer_bytes(&key, symbol, symbol_size);
	if (!key.failed)
		HASH_FIND(hh, stream->names, key.data, key.length, name);
	if (!key.failed && !name && (name = new_name(stream, object, symbol))) {
		HASH_ADD(hh, stream->names, key, object_size + symbol_size, name);
		if (!name->hh.tbl) {
			free(name);
			name = NULL;
		}
	}
	buffer_free(&key);
	stream->failed |= !name;
	return name;
}

const char *stream_process_name(const struct call_stream *stream, int64_t pid)
{
	/* A search only: it changes nothing. */
	struct process *process = family_find((struct family *)(uintptr_t)stream->family, pid);

	return process && process->name[0] ? process->name : "?";
}

bool stream_stack(const struct call_stream *stream, const struct tether_call *call, tether_stack_fn *visit, void *data)
{
	return tether_call_stack(call, stream->options->raw ? TETHER_SNAPSHOT_RAW_NAMES : 0, visit, data) >= 0;
}

/* ---- what a thread is inside of --------------------------------------------------------------------------- */

static struct call_thread *thread_of(struct call_stream *stream, int64_t tid)
{
	struct call_thread *thread;

	HASH_FIND(hh, stream->threads, &tid, sizeof(tid), thread);
	if (thread)
		return thread;
	thread = calloc(1, sizeof(*thread));
	if (!thread)
		return NULL;
	thread->tid = tid;
	HASH_ADD(hh, stream->threads, tid, sizeof(tid), thread);
	if (thread->hh.tbl)
		return thread;
	free(thread);
	return NULL;
}

/* Until it is inside of `depth` calls. */
static void leave(struct call_stream *stream, struct call_thread *thread, size_t depth, uint64_t t_ns, bool finally)
{
	while (thread->depth > depth) {
		struct call_frame frame = thread->frames[--thread->depth];

		if (stream->writer->left)
			stream->writer->left(stream, thread, &frame, thread->depth, t_ns, finally);
	}
}

static struct call_frame *enter(struct call_thread *thread, size_t depth)
{
	if (depth >= NESTING)
		return NULL;
	if (depth >= thread->room) {
		size_t room = depth < 8 ? 16 : 2 * depth;
		struct call_frame *more = reallocarray(thread->frames, room, sizeof(*more));

		if (!more)
			return NULL;
		thread->frames = more;
		thread->room = room;
	}
	while (thread->depth <= depth)
		thread->frames[thread->depth++] = (struct call_frame){ 0 };
	return &thread->frames[depth];
}

static bool is_duplicate(struct call_thread *thread, const struct tether_call *call)
{
	bool duplicate = thread->seen_by && thread->seen_by != call->breakpoint && thread->seen_ns == call->t_ns &&
			 thread->seen_address == call->address && thread->seen_kind == call->kind;

	if (!duplicate) {
		thread->seen_by = call->breakpoint;
		thread->seen_ns = call->t_ns;
		thread->seen_address = call->address;
		thread->seen_kind = call->kind;
	}
	return duplicate;
}

bool stream_lost(const struct call_stream *stream, const struct call_frame *frame)
{
	return frame->t_ns < stream->dropped_ns;
}

/* ---- records ---------------------------------------------------------------------------------------------- */

static void record_call(struct call_stream *stream, const struct tether_call *call, struct call_thread *thread,
			const struct call_name *name)
{
	struct call_frame *frame;

	leave(stream, thread, call->depth, call->t_ns, false);
	frame = enter(thread, call->depth);
	if (frame)
		*frame = (struct call_frame){ .name = name, .t_ns = call->t_ns };
	stream->writer->call(stream, call, thread, frame, name);
}

static void record_return(struct call_stream *stream, const struct tether_call *call, struct call_thread *thread,
			  const struct call_name *name)
{
	struct call_frame frame = { 0 };

	leave(stream, thread, (size_t)call->depth + 1, call->t_ns, false);
	/* Another call's, whose return was dropped, and with it the call that this one is of. */
	if (thread->depth > call->depth && thread->frames[call->depth].name != name)
		leave(stream, thread, call->depth, call->t_ns, false);
	if (thread->depth > call->depth)
		frame = thread->frames[--thread->depth];
	if (stream->writer->back)
		stream->writer->back(stream, call, thread, &frame, name);
}

static void record(struct call_stream *stream, const struct tether_call *call)
{
	const struct call_name *name = stream_name(stream, call->object, call->symbol);
	struct call_thread *thread = thread_of(stream, call->tid);

	if (!name || !thread) {
		stream->failed = true;
		return;
	}
	if (is_duplicate(thread, call))
		return;
	/* What came before that end and is told of after it is still of the old one. */
	if (thread->ended_ns && (call->t_ns > thread->ended_ns || call->pid != thread->pid)) {
		leave(stream, thread, 0, thread->ended_ns, true);
		thread->ended_ns = 0;
	}
	thread->pid = call->pid;
	thread->last_ns = call->t_ns;
	stream->told++;
	if (call->kind == TETHER_CALL)
		record_call(stream, call, thread, name);
	else
		record_return(stream, call, thread, name);
}

void stream_record(const struct tether_call *call, void *data)
{
	struct call_stream *stream = data;
	struct output *output = stream->output;

	if (call->kind == TETHER_CALLS_DROPPED) {
		stream->dropped += call->dropped;
		stream->dropped_ns = call->t_ns;
	}
	if (output->options.quiet || output->sink.error)
		return;
	if (call->t_ns > stream->last_ns)
		stream->last_ns = call->t_ns;
	if (call->kind == TETHER_CALL || call->kind == TETHER_RETURN)
		record(stream, call);
	else if (call->kind == TETHER_CALLS_DROPPED && stream->writer->dropped)
		stream->writer->dropped(stream, call);
	sink_added(&output->sink);
}

void stream_ended(struct call_stream *stream, int64_t pid, uint64_t t_ns)
{
	struct call_thread *thread, *next;

	HASH_ITER(hh, stream->threads, thread, next) {
		if (thread->pid == pid && !thread->ended_ns)
			thread->ended_ns = t_ns > thread->last_ns ? t_ns : thread->last_ns;
	}
}

uint64_t stream_rest(struct call_stream *stream)
{
	uint64_t wanted = stream->writer->rest ? stream->writer->rest(stream) : 0;

	sink_added(&stream->output->sink);
	return wanted;
}

/* ---- open and close --------------------------------------------------------------------------------------- */

/* Of one object alone its name says nothing. */
static bool of_several_objects(const struct words *functions)
{
	size_t length = 0;

	for (size_t i = 0; i < functions->count; i++) {
		const char *word = functions->word[i];
		size_t own = (size_t)(strrchr(word, ':') - word);

		if (strcspn(word, "*?[") < own || (i && (own != length || strncmp(word, functions->word[0], own) != 0)))
			return true;
		length = own;
	}
	return false;
}

void stream_begin(struct call_stream *stream, const struct calls_options *options, struct output *output,
		  const struct family *family)
{
	static const struct call_writer *const writers[] = {
		[OUTPUT_TEXT] = &calls_text,
		[OUTPUT_JSONL] = &calls_jsonl,
		[OUTPUT_FOLDED] = &calls_folded,
		[OUTPUT_CHROME] = &calls_chrome,
	};

	*stream = (struct call_stream){
		.output = output,
		.options = options,
		.writer = writers[options->common.output.format],
		.family = family,
		.calls = options->kinds & CALLS_CALL,
		.returns = options->kinds & CALLS_RETURN,
		.objects = of_several_objects(&options->functions),
	};
	if (stream->writer->begin)
		stream->failed = !stream->writer->begin(stream);
}

static void say_what_is_missing(struct call_stream *stream)
{
	if (stream->dropped)
		output_note(stream->output, "%llu calls and returns are not shown: they came faster than they could be written",
			    (unsigned long long)stream->dropped);
	if (stream->failed)
		output_error(stream->output, "ENOMEM", "out of memory: not all calls are shown", "");
}

bool stream_end(struct call_stream *stream)
{
	bool silent = stream->output->options.quiet || stream->output->sink.error;
	struct call_thread *thread, *next_thread;
	struct call_name *name, *next_name;

	HASH_ITER(hh, stream->threads, thread, next_thread) {
		uint64_t end = thread->ended_ns ? thread->ended_ns : stream->last_ns;

		if (!silent)
			leave(stream, thread, 0, end, true);
		if (stream->writer->forget)
			stream->writer->forget(stream, thread);
		HASH_DEL(stream->threads, thread);
		free(thread->frames);
		free(thread);
	}
	if (stream->writer->end)
		stream->writer->end(stream);
	HASH_ITER(hh, stream->names, name, next_name) {
		HASH_DEL(stream->names, name);
		free(name);
	}
	sink_added(&stream->output->sink);
	say_what_is_missing(stream);
	return !stream->failed;
}
