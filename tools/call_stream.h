/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * call_stream.h - the library's records of calls, on their way to a format
 *
 *	controller ──► tether_dispatch() ──► stream_record() ──► writer: text, jsonl, chrome, folded
 *	                                         names, and which calls each thread is inside of
 *
 * A thread's nesting follows the depth of its records alone: what a longjmp, an exception or an exec has left has no
 * return, and shows by the next record being less deep; what was dropped shows by one being deeper, and has no name.
 */
#ifndef TOOLS_CALL_STREAM_H
#define TOOLS_CALL_STREAM_H

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "calls.h"
#include "output_stack.h"

/* A function, once. */
struct call_name {
	UT_hash_handle hh;
	const char *object; /* path */
	const char *base;   /* of the object */
	const char *shown;  /* demangled, but with --raw-names */
	char key[];         /* object, NUL, symbol, NUL, and what is shown where it is another */
};

/* A call that its thread is inside of. */
struct call_frame {
	const struct call_name *name; /* NULL: its record was dropped */
	uint64_t t_ns;
	void *mark; /* the writer's; NULL at first */
};

struct call_thread {
	UT_hash_handle hh;
	int64_t tid, pid;
	struct call_frame *frames;
	size_t depth, room;
	uint64_t last_ns;  /* of its newest record */
	uint64_t ended_ns; /* its process has ended, or executed another program, and nothing came of it since; 0: no */
	/* A duplicate: two patterns that meet at one function. */
	uint64_t seen_ns, seen_address;
	uint32_t seen_kind;
	const struct tether_breakpoint *seen_by;
	void *own; /* the writer's */
};

struct call_stream;

struct call_writer {
	/* Each but call may be missing. */
	bool (*begin)(struct call_stream *stream);
	/* frame: of the thread, innermost; NULL: it is too deep to be kept. */
	void (*call)(struct call_stream *stream, const struct tether_call *call, struct call_thread *thread,
		     struct call_frame *frame, const struct call_name *name);
	/* frame: of the call, out of the thread's already; its name may be NULL. */
	void (*back)(struct call_stream *stream, const struct tether_call *call, struct call_thread *thread,
		     const struct call_frame *frame, const struct call_name *name);
	/* A call that has ended without a return. finally: nothing more will come of the thread. */
	void (*left)(struct call_stream *stream, struct call_thread *thread, const struct call_frame *frame, size_t depth,
		     uint64_t t_ns, bool finally);
	void (*dropped)(struct call_stream *stream, const struct tether_call *call);
	/* Nothing waits to be dispatched: when to be called again at the latest, 0: it need not be. */
	uint64_t (*rest)(struct call_stream *stream);
	void (*forget)(struct call_stream *stream, struct call_thread *thread);
	void (*end)(struct call_stream *stream);
};

extern const struct call_writer calls_text, calls_jsonl, calls_chrome, calls_folded;

struct call_stream {
	struct output *output;
	const struct calls_options *options;
	const struct call_writer *writer;
	const struct family *family; /* names of processes */
	bool calls, returns;         /* are shown */
	bool objects;                /* text: functions are shown with their object */
	struct call_name *names;
	struct call_thread *threads;
	uint64_t told, dropped;
	uint64_t dropped_ns;         /* until when records are missing */
	uint64_t last_ns;            /* of the newest record */
	void *own;                   /* the writer's */
	bool failed;                 /* without memory for some */
};

void stream_begin(struct call_stream *stream, const struct calls_options *options, struct output *output,
		  const struct family *family);
/* A tether_call_fn; data is the stream. */
void stream_record(const struct tether_call *call, void *data);
/* A process has ended, or executes another program: what its threads were inside of has ended. */
void stream_ended(struct call_stream *stream, int64_t pid, uint64_t t_ns);
uint64_t stream_rest(struct call_stream *stream);
/* False: not all was shown, as was said. */
bool stream_end(struct call_stream *stream);

const char *stream_process_name(const struct call_stream *stream, int64_t pid);
/* Whether the return of a call may have been dropped. */
bool stream_lost(const struct call_stream *stream, const struct call_frame *frame);
/* NULL without memory, which is remembered. */
const struct call_name *stream_name(struct call_stream *stream, const char *object, const char *symbol);
/* Hand the stack of a call to visit; false: it has none. */
bool stream_stack(const struct call_stream *stream, const struct tether_call *call, tether_stack_fn *visit, void *data);

#endif
