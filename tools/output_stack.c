/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * output_stack.c - stacks as records
 *
 *	4102 python3, blocked
 *	    0x00007f1b6a4f2c4f  libc.so.6`__poll+0x4f
 *	    0x000055d0a1b2c3d4  python3.11`_PyEval_EvalFrameDefault+0x3a14
 *	    …
 *	12 threads of 4102 at one instant; the longest pause 214 µs, 2.1 ms in all
 */
#include "output_stack.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "json.h"
#include "line.h"
#include "output_folded.h"
#include "output_symbol.h"

enum { INDENT = 4, SOURCE_INDENT = 24 };

struct stacks_kept {
	UT_hash_handle hh;
	void *key;
	size_t key_length;
	uint64_t count;
	struct tether_stack stack; /* with copies of its strings; of folded ones not kept */
	int64_t *tids;
	size_t tid_count, tid_room;
};

/* ---- words ------------------------------------------------------------------------------------------------ */

static const char *state_name(uint32_t state)
{
	static const char *const names[] = {
		[TETHER_THREAD_STOPPED] = "stopped",
		[TETHER_THREAD_BLOCKED] = "blocked",
		[TETHER_THREAD_RUNNING] = "running",
	};

	return state >= TETHER_THREAD_STOPPED && state <= TETHER_THREAD_RUNNING ? names[state] : "unknown";
}

static const char *how_name(uint32_t how)
{
	static const char *const names[] = {
		[TETHER_HOW_PC] = "pc",         [TETHER_HOW_CFI] = "cfi",   [TETHER_HOW_FP] = "fp",
		[TETHER_HOW_SIGNAL] = "signal", [TETHER_HOW_SCAN] = "scan",
	};

	return how >= TETHER_HOW_PC && how <= TETHER_HOW_SCAN ? names[how] : "unknown";
}

static const char *end_name(uint32_t end)
{
	static const char *const names[] = {
		[TETHER_END_WHOLE] = "whole",         [TETHER_END_FRAMES] = "frames",
		[TETHER_END_BYTES] = "bytes",         [TETHER_END_REGISTERS] = "registers",
		[TETHER_END_RULES] = "rules",         [TETHER_END_RUNNING] = "running",
	};

	return end <= TETHER_END_RUNNING ? names[end] : "unknown";
}

/* Behind the last frame that is shown. NULL: it is the outermost. */
static const char *end_remark(uint32_t end)
{
	static const char *const remarks[] = {
		[TETHER_END_FRAMES] = "more frames than were asked for",
		[TETHER_END_BYTES] = "more of the stack than was copied",
		[TETHER_END_REGISTERS] = "what leads further is in registers, and the thread was not stopped",
		[TETHER_END_RULES] = "nothing tells how to go on from here",
		[TETHER_END_RUNNING] = "it ran, and was not stopped",
	};

	return end <= TETHER_END_RUNNING ? remarks[end] : NULL;
}

static const char *manner_name(uint32_t manner)
{
	static const char *const names[] = {
		[TETHER_TOGETHER] = "together", [TETHER_ROLLING] = "rolling", [TETHER_STILL] = "still"
	};

	return manner <= TETHER_STILL ? names[manner] : "unknown";
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

static uint64_t since(const struct output *output, uint64_t t_ns)
{
	return t_ns > output->start_ns ? t_ns - output->start_ns : 0;
}

/* ---- text ------------------------------------------------------------------------------------------------- */

static struct line new_line(struct output *output)
{
	return (struct line){
		.out = &output->sink.pending,
		.limit = output->columns,
		.color = output->color,
		.unicode = output->unicode,
	};
}

static void text_frame(struct output *output, const struct tether_frame *frame)
{
	struct output_sources sources;
	struct line line = new_line(output);

	line_pad(&line, INDENT);
	line_style(&line, LINE_DIM);
	line_printf(&line, "0x%016" PRIx64, frame->pc);
	line_plain(&line);
	line_put(&line, "  ");
	if (frame->object) {
		line_word(&line, base_name(frame->object));
		line_put(&line, "`");
	}
	if (frame->symbol) {
		line_style(&line, LINE_BOLD);
		line_word(&line, frame->symbol);
		line_plain(&line);
	}
	if (frame->symbol ? frame->offset : frame->object != NULL)
		line_printf(&line, "%s0x%" PRIx64, frame->symbol ? "+" : "", frame->offset);
	if (frame->how == TETHER_HOW_SIGNAL)
		line_styled(&line, LINE_YELLOW, "  interrupted by a signal");
	else if (frame->how == TETHER_HOW_FP)
		line_styled(&line, LINE_DIM, "  by frame pointer");
	else if (frame->how == TETHER_HOW_SCAN)
		line_styled(&line, LINE_DIM, "  a guess");
	line_end(&line);
	if (!output->ask_sources)
		return;
	output->ask_sources(output, frame, &sources);
	output_sources_text(output, &sources, SOURCE_INDENT);
	output_sources_free(&sources);
}

static void text_threads(struct line *line, const struct stacks_kept *kept)
{
	line_printf(line, "%" PRIu64 " thread%s:", kept->count, kept->count == 1 ? "" : "s");
	for (size_t i = 0; i < kept->tid_count && !line->full; i++)
		line_printf(line, " %" PRId64, kept->tids[i]);
}

static void text_head(struct output *output, const struct tether_stack *stack, const struct stacks_kept *kept)
{
	struct line line = new_line(output);

	if (kept) {
		text_threads(&line, kept);
	} else {
		line_printf(&line, "%" PRId64 " ", stack->tid);
		line_style(&line, LINE_BOLD);
		line_word(&line, stack->name);
		line_plain(&line);
		line_printf(&line, ", %s", state_name(stack->state));
	}
	line_end(&line);
}

static void text_frames(struct output *output, const struct tether_stack *stack)
{
	const char *remark = end_remark(stack->end);
	struct line line;

	for (size_t i = 0; i < stack->frame_count; i++)
		text_frame(output, &stack->frames[i]);
	if (!remark)
		return;
	line = new_line(output);
	line_pad(&line, INDENT);
	line_styled(&line, LINE_YELLOW, remark);
	line_end(&line);
}

static void text_stack(const struct stacks *stacks, const struct tether_stack *stack, const struct stacks_kept *kept)
{
	if (!stacks->bare)
		text_head(stacks->output, stack, kept);
	text_frames(stacks->output, stack);
}

static void put_pause(struct line *line, uint64_t ns)
{
	if (ns < 10000000)
		line_printf(line, "%" PRIu64 " %s", (ns + 500) / 1000, line->unicode ? "\xc2\xb5s" : "us");
	else
		line_printf(line, "%.1f ms", (double)ns / 1e6);
}

static void text_snapshot(struct output *output, const struct tether_snapshot *snapshot)
{
	static const char *const manners[] = {
		[TETHER_TOGETHER] = "at one instant",
		[TETHER_ROLLING] = "one after the other",
		[TETHER_STILL] = "without a stop",
	};
	struct line line = new_line(output);

	line_style(&line, LINE_DIM);
	line_printf(&line, "%u thread%s of %" PRId64 " %s", snapshot->threads, snapshot->threads == 1 ? "" : "s",
		    snapshot->pid, snapshot->manner <= TETHER_STILL ? manners[snapshot->manner] : "");
	if (snapshot->manner != TETHER_STILL) {
		line_put(&line, "; the longest pause ");
		put_pause(&line, snapshot->pause_ns);
	}
	line_put(&line, ", ");
	put_pause(&line, snapshot->total_ns);
	line_put(&line, " in all");
	if (snapshot->truncated)
		line_printf(&line, "; %u truncated", snapshot->truncated);
	line_plain(&line);
	line_end(&line);
}

/* ---- jsonl ------------------------------------------------------------------------------------------------ */

static void json_frames(struct json *json, const struct output *output, const struct tether_stack *stack)
{
	json_open(json, "frames", '[');
	for (size_t i = 0; i < stack->frame_count; i++) {
		const struct tether_frame *frame = &stack->frames[i];

		json_open(json, NULL, '{');
		json_hex(json, "pc", frame->pc);
		if (frame->object)
			json_bytes(json, "object", frame->object);
		if (frame->symbol)
			json_bytes(json, "symbol", frame->symbol);
		json_unsigned(json, "offset", frame->offset);
		json_bytes(json, "how", how_name(frame->how));
		if (output->ask_sources) {
			struct output_sources sources;

			output->ask_sources(output, frame, &sources);
			output_sources_json(json, &sources);
			output_sources_free(&sources);
		}
		json_close(json, '}');
	}
	json_close(json, ']');
}

static void jsonl_stack(struct output *output, const struct tether_stack *stack, const struct stacks_kept *kept)
{
	struct json json;

	json_begin(&json, &output->sink.pending);
	do {
		json_bytes(&json, "event", "stack");
		json_unsigned(&json, "t_ns", since(output, stack->t_ns));
		json_signed(&json, "pid", stack->pid);
		json_signed(&json, "tid", stack->tid);
		json_bytes(&json, "name", stack->name);
		json_bytes(&json, "state", state_name(stack->state));
		if (stack->syscall >= 0)
			json_signed(&json, "syscall", stack->syscall);
		json_unsigned(&json, "pause_ns", stack->pause_ns);
		json_bool(&json, "truncated", stack->end != TETHER_END_WHOLE);
		json_bytes(&json, "end", end_name(stack->end));
		json_unsigned(&json, "image", stack->image);
		if (kept) {
			json_unsigned(&json, "count", kept->count);
			json_open(&json, "tids", '[');
			for (size_t i = 0; i < kept->tid_count; i++)
				json_signed(&json, NULL, kept->tids[i]);
			json_close(&json, ']');
		}
		json_frames(&json, output, stack);
	} while (json_end(&json) == JSON_AGAIN);
}

static void jsonl_snapshot(struct output *output, const struct tether_snapshot *snapshot)
{
	struct json json;

	json_begin(&json, &output->sink.pending);
	do {
		json_bytes(&json, "event", "snapshot");
		json_unsigned(&json, "t_ns", since(output, snapshot->t_ns));
		json_signed(&json, "pid", snapshot->pid);
		json_unsigned(&json, "threads", snapshot->threads);
		json_unsigned(&json, "blocked", snapshot->blocked);
		json_unsigned(&json, "running", snapshot->running);
		json_unsigned(&json, "truncated", snapshot->truncated);
		json_bytes(&json, "manner", manner_name(snapshot->manner));
		json_unsigned(&json, "pause_ns", snapshot->pause_ns);
		json_unsigned(&json, "total_ns", snapshot->total_ns);
	} while (json_end(&json) == JSON_AGAIN);
}

/* ---- gathering -------------------------------------------------------------------------------------------- */

static void free_stack(struct tether_stack *stack)
{
	struct tether_frame *frames = (struct tether_frame *)(uintptr_t)stack->frames;

	for (size_t i = 0; frames && i < stack->frame_count; i++) {
		free((void *)(uintptr_t)frames[i].object);
		free((void *)(uintptr_t)frames[i].symbol);
	}
	free(frames);
	free((void *)(uintptr_t)stack->name);
}

static void free_kept(struct stacks_kept *kept)
{
	free_stack(&kept->stack);
	free(kept->key);
	free(kept->tids);
	free(kept);
}

static bool copy_stack(struct tether_stack *to, const struct tether_stack *from)
{
	struct tether_frame *frames = calloc(from->frame_count + 1, sizeof(*frames));
	bool failed = !frames;

	*to = *from;
	to->frames = frames;
	to->name = strdup(from->name);
	for (size_t i = 0; frames && i < from->frame_count; i++) {
		frames[i] = from->frames[i];
		if (frames[i].object)
			failed = !(frames[i].object = strdup(frames[i].object)) || failed;
		if (frames[i].symbol)
			failed = !(frames[i].symbol = strdup(frames[i].symbol)) || failed;
	}
	return !failed && to->name;
}

/* Same places, found to the same end. */
static void make_key(struct buffer *key, const struct stacks *stacks, const struct tether_stack *stack)
{
	if (stacks->output->options.format == OUTPUT_FOLDED) {
		folded_stack(key, stack);
		return;
	}
	buffer_bytes(key, &stack->pid, sizeof(stack->pid));
	buffer_bytes(key, &stack->image, sizeof(stack->image));
	buffer_bytes(key, &stack->end, sizeof(stack->end));
	for (size_t i = 0; i < stack->frame_count; i++)
		buffer_bytes(key, &stack->frames[i].pc, sizeof(stack->frames[i].pc));
}

static struct stacks_kept *keep(struct stacks *stacks, const struct buffer *key, const struct tether_stack *stack)
{
	struct stacks_kept *kept = calloc(1, sizeof(*kept));

	if (!kept)
		return NULL;
	kept->key = malloc(key->length);
	kept->key_length = key->length;
	if (!kept->key || (stacks->output->options.format != OUTPUT_FOLDED && !copy_stack(&kept->stack, stack))) {
		free_kept(kept);
		return NULL;
	}
	memcpy(kept->key, key->data, key->length);
	HASH_ADD_KEYPTR(hh, stacks->kept, kept->key, kept->key_length, kept);
	if (kept->hh.tbl)
		return kept;
	free_kept(kept);
	return NULL;
}

/* Of a thread that is seen again and again the number goes up, and its tid is told once. */
static bool add_tid(struct stacks_kept *kept, int64_t tid)
{
	if (kept->tid_count && kept->tids[kept->tid_count - 1] == tid)
		return true;
	if (kept->tid_count == kept->tid_room) {
		size_t room = kept->tid_room ? 2 * kept->tid_room : 8;
		int64_t *more = reallocarray(kept->tids, room, sizeof(*more));

		if (!more)
			return false;
		kept->tids = more;
		kept->tid_room = room;
	}
	kept->tids[kept->tid_count++] = tid;
	return true;
}

static void gather(struct stacks *stacks, const struct tether_stack *stack)
{
	bool folded = stacks->output->options.format == OUTPUT_FOLDED;
	struct buffer key = { 0 };
	struct stacks_kept *kept = NULL;

	make_key(&key, stacks, stack);
	if (!key.failed) {
		HASH_FIND(hh, stacks->kept, key.data, key.length, kept);
		if (!kept)
			kept = keep(stacks, &key, stack);
	}
	if (!kept || (!folded && !add_tid(kept, stack->tid)))
		stacks->failed = true;
	else
		kept->count++;
	buffer_free(&key);
}

/* ---- to be called ----------------------------------------------------------------------------------------- */

static void write_folded(struct output *output, const struct stacks_kept *kept)
{
	buffer_bytes(&output->sink.pending, kept->key, kept->key_length);
	buffer_printf(&output->sink.pending, " %" PRIu64 "\n", kept->count);
}

static void write_stack(const struct stacks *stacks, const struct tether_stack *stack, const struct stacks_kept *kept)
{
	struct output *output = stacks->output;

	if (output->options.format == OUTPUT_FOLDED)
		write_folded(output, kept);
	else if (output->options.format == OUTPUT_JSONL)
		jsonl_stack(output, stack, kept);
	else
		text_stack(stacks, stack, kept);
	sink_added(&output->sink);
}

static bool silent(const struct output *output)
{
	return output->options.quiet || output->sink.error;
}

void stacks_begin(struct stacks *stacks, struct output *output, bool merge)
{
	*stacks = (struct stacks){ .output = output, .merge = merge };
}

int stacks_add(const struct tether_stack *stack, void *data)
{
	struct stacks *stacks = data;

	if (silent(stacks->output))
		return 0;
	if (stacks->merge || stacks->output->options.format == OUTPUT_FOLDED)
		gather(stacks, stack);
	else
		write_stack(stacks, stack, NULL);
	return 0;
}

void stacks_snapshot(struct stacks *stacks, const struct tether_snapshot *snapshot)
{
	struct output *output = stacks->output;

	if (silent(output) || output->options.format == OUTPUT_FOLDED)
		return;
	if (output->options.format == OUTPUT_JSONL)
		jsonl_snapshot(output, snapshot);
	else
		text_snapshot(output, snapshot);
	sink_added(&output->sink);
}

/* Most frequent first; of equal ones, as they came: the sort is stable. */
static int more_often(const struct stacks_kept *a, const struct stacks_kept *b)
{
	return a->count < b->count ? 1 : a->count > b->count ? -1 : 0;
}

bool stacks_end(struct stacks *stacks)
{
	struct stacks_kept *kept, *next;

	HASH_SORT(stacks->kept, more_often);
	HASH_ITER(hh, stacks->kept, kept, next) {
		if (!silent(stacks->output))
			write_stack(stacks, &kept->stack, kept);
		HASH_DEL(stacks->kept, kept);
		free_kept(kept);
	}
	if (stacks->failed)
		output_failure(stacks->output, "not all stacks could be gathered", -ENOMEM, NULL);
	return !stacks->failed;
}
