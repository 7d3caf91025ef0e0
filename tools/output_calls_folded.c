/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * output_calls_folded.c - calls counted by where they came from, as flame graph programs read it
 *
 * With -k that is the stack, behind the name of the process; without, what of the functions that are shown the thread was inside of. The latter is a tree
 * of functions for each name of a process; a call finds its place from that of the call around it.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "call_stream.h"
#include "output_folded.h"

struct fold_key {
	const struct fold *above;      /* NULL: the process */
	const struct call_name *name;  /* NULL: its record was dropped */
};

struct fold {
	UT_hash_handle hh;
	struct fold_key key;
	uint64_t count;
};

struct folded {
	struct stacks stacks;
	struct fold *folds;
};

static bool folded_begin(struct call_stream *stream)
{
	struct folded *folded = calloc(1, sizeof(*folded));

	if (folded)
		stacks_begin(&folded->stacks, stream->output, true);
	stream->own = folded;
	return folded != NULL;
}

static struct fold *find(struct call_stream *stream, const struct fold *above, const struct call_name *name)
{
	struct folded *folded = stream->own;
	struct fold_key key = { .above = above, .name = name };
	struct fold *fold;

	HASH_FIND(hh, folded->folds, &key, sizeof(key), fold);
	if (fold)
		return fold;
	fold = calloc(1, sizeof(*fold));
	if (fold) {
		fold->key = key;
		HASH_ADD(hh, folded->folds, key, sizeof(key), fold);
	}
	if (fold && !fold->hh.tbl) {
		free(fold);
		fold = NULL;
	}
	stream->failed |= !fold;
	return fold;
}

/* Of the calls around it too, where these were dropped and have no place yet. */
static struct fold *place(struct call_stream *stream, struct call_thread *thread, size_t depth)
{
	struct fold *fold = NULL;

	for (size_t i = 0; i <= depth; i++) {
		struct call_frame *frame = &thread->frames[i];

		if (!i && !frame->mark) {
			/* The process is a function without an object. */
			const struct call_name *process =
				stream_name(stream, "", stream_process_name(stream, thread->pid));

			fold = process ? find(stream, NULL, process) : NULL;
		}
		if (!frame->mark && (fold || i))
			frame->mark = find(stream, fold, frame->name);
		fold = frame->mark;
		if (!fold)
			return NULL;
	}
	return fold;
}

struct gathering {
	struct stacks *stacks;
	const char *process;
};

/* By the name of the process, as the nesting is: the thread may have ended by now, and have none. */
static int gather(const struct tether_stack *stack, void *data)
{
	const struct gathering *gathering = data;
	struct tether_stack named = *stack;

	named.name = gathering->process;
	return stacks_add(&named, gathering->stacks);
}

static void folded_call(struct call_stream *stream, const struct tether_call *call, struct call_thread *thread,
			struct call_frame *frame, const struct call_name *name)
{
	struct folded *folded = stream->own;
	struct gathering gathering;
	struct fold *fold = NULL;

	(void)name;
	if (!folded)
		return;
	gathering = (struct gathering){ &folded->stacks, stream_process_name(stream, thread->pid) };
	if (stream->options->stacks && stream_stack(stream, call, gather, &gathering))
		return;
	if (frame)
		fold = place(stream, thread, (size_t)(frame - thread->frames));
	if (fold)
		fold->count++;
	else
		stream->failed = true;
}

static int more_often(const struct fold *a, const struct fold *b)
{
	return a->count < b->count ? 1 : a->count > b->count ? -1 : 0;
}

/* Outermost first, and no deeper than memory has room for: the tree is not walked by recursion. */
static void write_fold(struct buffer *out, const struct fold *fold)
{
	size_t count = 0, i;
	const struct fold *at, **path;

	for (at = fold; at; at = at->key.above)
		count++;
	path = calloc(count, sizeof(*path));
	if (!path) {
		out->failed = true;
		return;
	}
	for (at = fold, i = count; at; at = at->key.above)
		path[--i] = at;
	for (i = 0; i < count; i++) {
		if (i)
			buffer_char(out, ';');
		folded_bytes(out, path[i]->key.name ? path[i]->key.name->shown : "[dropped]");
	}
	buffer_printf(out, " %" PRIu64 "\n", fold->count);
	free(path);
}

static void folded_end(struct call_stream *stream)
{
	bool silent = stream->output->options.quiet || stream->output->sink.error;
	struct folded *folded = stream->own;
	struct fold *fold, *next;

	if (!folded)
		return;
	stream->failed |= !stacks_end(&folded->stacks);
	HASH_SORT(folded->folds, more_often);
	for (fold = folded->folds; fold && !silent; fold = fold->hh.next) {
		if (!fold->count)
			break;
		write_fold(&stream->output->sink.pending, fold);
		sink_added(&stream->output->sink);
	}
	HASH_ITER(hh, folded->folds, fold, next) {
		HASH_DEL(folded->folds, fold);
		free(fold);
	}
	free(folded);
}

const struct call_writer calls_folded = { .begin = folded_begin, .call = folded_call, .end = folded_end };
