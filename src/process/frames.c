/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/memory.h"
#include "os/sys.h"
#include "process/name.h"
#include "process/stack.h"

enum { NAME_SIZE = 64 };

/*
 * Text, and what maps shows; traps of this library in it are of no consequence here. The control thread's reader is
 * its own.
 */
static ssize_t read_victim(void *data, vaddr_t address, void *buffer, size_t length)
{
	struct tether *process = data;
	int64_t tid = __atomic_load_n(&process->live_tid, __ATOMIC_RELAXED);

	return os_read_memory(tid ? tid : process->pid, address, buffer, length);
}

int frames_begin(struct snapshot_call *call)
{
	const struct reader memory = { .read = read_victim, .data = call->process };
	int result;

	call->frames = calloc(call->opts.max_frames, sizeof(*call->frames));
	call->named = calloc(call->opts.max_frames, sizeof(*call->named));
	if (!call->frames || !call->named)
		return -ENOMEM;
	result = stack_map_read(call->process->table->stacks, process_live_tid(call->process), &memory, &call->map);
	if (result == -ESRCH)
		return -TETHER_EGONE;
	return result == -EACCES || result == -EPERM ? -TETHER_EPRIV : result;
}

/* "" for a thread that has ended since. */
static void thread_name(int64_t pid, int64_t tid, char name[NAME_SIZE])
{
	char path[64];
	long fd, got = -1;

	snprintf(path, sizeof(path), "/proc/%lld/task/%lld/comm", (long long)pid, (long long)tid);
	fd = sys(openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (fd >= 0) {
		got = sys(read, fd, name, NAME_SIZE - 1);
		sys(close, fd);
	}
	/* one newline is the kernel's; a name may hold others */
	name[got > 0 ? got - 1 : 0] = '\0';
}

/* What the map alone tells. */
static void place_address(struct snapshot_call *call, struct named_address *named)
{
	struct stack_place place;

	if (!stack_place(call->map, named->address, &place))
		return;
	named->object = place.path[0] ? strdup(place.path) : NULL;
	named->start = named->base = place.base;
}

void frames_look_up(struct tether *process, struct view *view, uint64_t image, uint32_t flags,
		    struct named_address *named)
{
	bool raw = flags & TETHER_SNAPSHOT_RAW_NAMES;
	struct tether_symbol symbol = { .size = sizeof(symbol) };
	char small[512], *text = small;
	size_t length = sizeof(small);
	int result;

	for (;;) {
		result = process_name_seen(process, view, image, named->address, raw ? TETHER_SYMBOL_RAW : 0, &symbol,
					   text, length);
		if (result < 0 || !(symbol.flags & TETHER_SYMBOL_IS_CUT) || text != small)
			break;
		length = symbol.wanted;
		text = malloc(length);
		if (!text)
			return;
	}
	if (result == 0 && (symbol.name[0] || !named->object)) {
		free(named->object);
		named->object = symbol.object[0] ? strdup(symbol.object) : NULL;
		named->symbol = symbol.name[0] ? strdup(raw ? symbol.name : symbol.demangled) : NULL;
		named->start = symbol.address;
		named->base = symbol.base;
	}
	if (text != small)
		free(text);
}

/* NULL without memory. */
static struct named_address *named_at(struct snapshot_call *call, vaddr_t address)
{
	struct named_address *named;

	HASH_FIND(hh, call->addresses, &address, sizeof(address), named);
	if (named)
		return named;
	named = calloc(1, sizeof(*named));
	if (!named)
		return NULL;
	named->address = address;
	place_address(call, named);
	if (!(call->opts.flags & TETHER_SNAPSHOT_NO_NAMES))
		frames_look_up(call->process, NULL, call->process->observe ? IMAGE_ANY : call->done.image,
			       call->opts.flags, named);
	HASH_ADD(hh, call->addresses, address, sizeof(named->address), named);
	if (named->hh.tbl)
		return named;
	free(named->object);
	free(named->symbol);
	free(named);
	return NULL;
}

static void forget_names(struct snapshot_call *call)
{
	struct named_address *named, *next;

	HASH_ITER(hh, call->addresses, named, next) {
		HASH_DEL(call->addresses, named);
		free(named->object);
		free(named->symbol);
		free(named);
	}
}

void frames_end(struct snapshot_call *call)
{
	forget_names(call);
	stack_map_free(call->map);
	free(call->frames);
	free(call->named);
}

static void name_frame(struct snapshot_call *call, const struct stack_frame *frame, struct tether_frame *ret)
{
	const struct named_address *named = named_at(call, frame->look_up);

	*ret = (struct tether_frame){ .pc = frame->pc, .cfa = frame->cfa, .offset = frame->pc, .how = frame->how };
	if (!named)
		return;
	ret->object = named->object;
	ret->symbol = named->symbol;
	ret->base = named->base;
	ret->offset = frame->pc - named->start;
}

uint32_t frames_end_of(enum stack_end end, bool cut)
{
	static const uint32_t ends[] = {
		[STACK_WHOLE] = TETHER_END_WHOLE,
		[STACK_FRAMES] = TETHER_END_FRAMES,
		[STACK_BYTES] = TETHER_END_BYTES,
		[STACK_REGISTERS] = TETHER_END_REGISTERS,
		[STACK_RULES] = TETHER_END_RULES,
	};

	/* Where the copy ends without having been cut off, what leads further is wrong, not missing. */
	return end == STACK_BYTES && !cut ? TETHER_END_RULES : ends[end];
}

int frames_visit(struct snapshot_call *call, const struct snapshot_thread *thread, const struct stack_copy *copy)
{
	char name[NAME_SIZE];
	struct tether_stack stack = {
		.size = sizeof(stack),
		.pid = call->process->pid,
		.tid = thread->tid,
		.name = name,
		.state = thread->state,
		.end = TETHER_END_RUNNING,
		.syscall = thread->syscall,
		.t_ns = thread->t_ns,
		.pause_ns = thread->pause_ns,
		.image = call->done.image,
		.frames = call->named,
	};
	enum stack_end end;

	if (thread->state != TETHER_THREAD_RUNNING) {
		stack.frame_count = stack_unwind(call->map, copy, call->frames, call->opts.max_frames, &end);
		stack.end = frames_end_of(end, thread->cut);
	}
	for (size_t i = 0; i < stack.frame_count; i++)
		name_frame(call, &call->frames[i], &call->named[i]);
	thread_name(stack.pid, stack.tid, name);
	call->done.threads++;
	call->done.blocked += thread->state == TETHER_THREAD_BLOCKED;
	call->done.running += thread->state == TETHER_THREAD_RUNNING;
	call->done.truncated += stack.end != TETHER_END_WHOLE;
	if (call->done.pause_ns < thread->pause_ns)
		call->done.pause_ns = thread->pause_ns;
	return call->visit(&stack, call->data);
}
