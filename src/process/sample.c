/* SPDX-License-Identifier: BSD-2-Clause */
#include "process/sample.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "os/memory.h"
#include "os/sys.h"
#include "process/call_stack.h"
#include "process/names.h"
#include "process/stack.h"

enum { RED_ZONE = 128 };

/* One frame: where it is, and what it takes to name it. */
struct place {
	vaddr_t pc, cfa, look_up, base;
	const char *path; /* of its file, in the sample; NULL: none */
	uint32_t how;
};

struct tether_sample {
	unsigned users;
	int64_t tid;
	uint64_t t_ns, image;
	uint32_t end; /* enum tether_stack_end */
	size_t count;
	char *paths;  /* owned */
	struct view *view; /* the objects there were; a reference, NULL: not known */
	struct place place[];
};

struct tether_sample *sample_get(struct tether_sample *sample)
{
	if (sample)
		__atomic_fetch_add(&sample->users, 1, __ATOMIC_RELAXED);
	return sample;
}

void sample_put(struct tether_sample *sample)
{
	if (!sample || __atomic_sub_fetch(&sample->users, 1, __ATOMIC_ACQ_REL))
		return;
	view_put(sample->view);
	free(sample->paths);
	free(sample);
}

/* ---- control thread -------------------------------------------------------------------------------------- */

/* The thread that is known to live, since it stands. */
struct standing {
	int64_t tid;
};

static ssize_t read_standing(void *data, vaddr_t address, void *buffer, size_t length)
{
	const struct standing *standing = data;

	return os_read_memory(standing->tid, address, buffer, length);
}

static size_t path_bytes(struct stack_map *map, const struct stack_frame *frames, size_t count)
{
	struct stack_place place;
	size_t bytes = 0;

	for (size_t i = 0; i < count; i++)
		bytes += stack_place(map, frames[i].look_up, &place) ? strlen(place.path) + 1 : 0;
	return bytes;
}

static void fill(struct tether_sample *sample, struct stack_map *map, const struct stack_frame *frames)
{
	char *at = sample->paths;
	struct stack_place where;

	for (size_t i = 0; i < sample->count; i++) {
		struct place *place = &sample->place[i];

		*place = (struct place){
			.pc = frames[i].pc,
			.cfa = frames[i].cfa,
			.look_up = frames[i].look_up,
			.how = frames[i].how,
		};
		if (!stack_place(map, frames[i].look_up, &where))
			continue;
		place->base = where.base;
		if (!where.path[0])
			continue;
		place->path = strcpy(at, where.path);
		at += strlen(at) + 1;
	}
}

static struct tether_sample *make(int64_t tid, uint64_t t_ns, uint64_t image, struct stack_map *map,
				  const struct stack_copy *copy, bool cut, struct stack_frame *frames)
{
	enum stack_end end = STACK_WHOLE;
	size_t count = stack_unwind(map, copy, frames, MAX_EVENT_FRAMES, &end);
	struct tether_sample *sample = calloc(1, sizeof(*sample) + count * sizeof(sample->place[0]));

	if (!sample)
		return NULL;
	sample->users = 1;
	sample->tid = tid;
	sample->t_ns = t_ns;
	sample->image = image;
	sample->end = frames_end_of(end, cut);
	sample->count = count;
	sample->paths = malloc(path_bytes(map, frames, count) + 1);
	if (!sample->paths) {
		free(sample);
		return NULL;
	}
	fill(sample, map, frames);
	return sample;
}

/* What lies below sp may be mapped otherwise, or not at all. */
static size_t copy_window(int64_t tid, vaddr_t sp, unsigned char *bytes, size_t room, struct stack_window *ret)
{
	vaddr_t low = (sp - RED_ZONE) & ~UINT64_C(7);
	ssize_t got = os_read_memory(tid, low, bytes, room);

	if (got <= 0) {
		low = sp & ~UINT64_C(7);
		got = os_read_memory(tid, low, bytes, room);
	}
	*ret = (struct stack_window){ low, got > 0 ? (size_t)got & ~(size_t)7 : 0, bytes };
	return ret->length;
}

/* Its stack, and the one that it has left for a signal handler's. False: there is nothing. */
static bool copy_stacks(struct stack_copy *copy, int64_t tid, unsigned char *bytes, bool *whole)
{
	size_t room = MAX_EVENT_STACK;

	for (vaddr_t sp = copy->sp; sp && room && copy->windows < STACK_WINDOWS;) {
		size_t got = copy_window(tid, sp, bytes, room, &copy->window[copy->windows]);

		if (!got)
			break;
		sp = arch_interrupted_sp(bytes, got, copy->window[copy->windows++].address);
		bytes += got;
		room -= got;
	}
	*whole = room != 0;
	return copy->windows;
}

static struct tether_sample *look(struct tether *process, const struct proto_ev_sample *from, unsigned char *bytes,
				  struct stack_frame *frames)
{
	struct standing standing = { from->event.tid };
	const struct reader memory = { .read = read_standing, .data = &standing };
	struct stack_copy copy = { .known = STACK_ALL_REGISTERS };
	struct tether_sample *sample;
	struct stack_map *map;
	bool whole;

	if (from->tag != ARCH_X86_64 || from->size > sizeof(copy.regs.u.bytes))
		return NULL;
	copy.regs.tag = from->tag;
	copy.regs.size = from->size;
	memcpy(copy.regs.u.bytes, from->bytes, from->size);
	copy.pc = arch_pc(&copy.regs);
	copy.sp = arch_sp(&copy.regs);
	if (!copy_stacks(&copy, from->event.tid, bytes, &whole) ||
	    stack_map_read(process->table->stacks, from->event.tid, &memory, &map) < 0)
		return NULL;
	sample = make(from->event.tid, from->event.t_ns, process->exec_serial, map, &copy, !whole, frames);
	stack_map_free(map);
	return sample;
}

/*
 * Names are given when the client asks: it may have ended by then, or have unloaded what it was in. Where loads are followed
 * its objects are known; else its link maps are read now that the thread stands, anew where a frame lies in what was not there.
 */
static void keep_objects(struct tether *process, struct tether_sample *sample)
{
	for (int fresh = 0; fresh < 2; fresh++) {
		struct looking looking;
		bool missed = false;

		if (names_look(process, fresh, &looking) < 0)
			return;
		for (size_t i = 0; i < sample->count && !looking.current && !missed; i++)
			missed = sample->place[i].path && !view_object_at(looking.view, sample->place[i].look_up);
		view_put(sample->view);
		sample->view = view_get(looking.view);
		names_put(&looking);
		if (!missed)
			return;
	}
}

static struct tether_sample *sample_make(struct tether *process, const struct proto_ev_sample *from)
{
	unsigned char *bytes = malloc(MAX_EVENT_STACK);
	struct stack_frame *frames = calloc(MAX_EVENT_FRAMES, sizeof(*frames));
	/* It stands until it is answered. Of the others each may be ending, and what /proc tells of it with it. */
	int64_t before = __atomic_exchange_n(&process->live_tid, (int64_t)from->event.tid, __ATOMIC_RELAXED);
	struct tether_sample *sample = bytes && frames ? look(process, from, bytes, frames) : NULL;

	free(frames);
	free(bytes);
	if (sample)
		keep_objects(process, sample);
	/* Answered it may end, and its number be another's. */
	__atomic_store_n(&process->live_tid, before, __ATOMIC_RELAXED);
	return sample;
}

void sampled_drop(struct family *family)
{
	sample_put(family->sampled.sample);
	family->sampled = (struct sampled){ 0 };
}

void sampled_take(struct family *family, struct tether *process, const struct proto_ev_sample *from)
{
	if (process && from->type == PROTO_EV_exit) {
		sampled_forget_last(process);
		process->last_stack = from->event.question ? sample_make(process, from) : NULL;
		return;
	}
	sampled_drop(family);
	/* Who does not wait for an answer has another stack by now; a stopped process has its own. */
	if (!process || (!from->event.question && from->type != PROTO_EV_stop && from->type != PROTO_EV_hit))
		return;
	family->sampled.registers = *from;
	/* A hit's thread stands for the hit, and what is to be done at that decides whether its stack is wanted. */
	if (from->type != PROTO_EV_hit)
		family->sampled.sample = sample_make(process, from);
}

void sampled_last(struct family *family, struct tether *process)
{
	sampled_drop(family);
	family->sampled.sample = process->last_stack;
	process->last_stack = NULL;
}

void sampled_forget_last(struct tether *process)
{
	sample_put(process->last_stack);
	process->last_stack = NULL;
}

bool sampled_is_for(struct family *family, const struct proto_header *header, const struct proto_event *event)
{
	const struct proto_ev_sample *from = &family->sampled.registers;

	if (!from->type)
		return false;
	/* A new thread's event is about that one, the stack is its maker's. */
	if (from->type == header->type && from->event.pid == event->pid &&
	    (from->event.serial == event->serial || header->type == PROTO_EV_thread))
		return true;
	sampled_drop(family);
	return false;
}

struct tether_sample *sampled_frames(struct family *family, struct tether *process)
{
	struct sampled *sampled = &family->sampled;

	if (!sampled->sample && sampled->registers.type)
		sampled->sample = sample_make(process, &sampled->registers);
	return sampled->sample;
}

uint32_t sampled_kinds(uint64_t kinds)
{
	static const struct {
		uint64_t kinds;
		uint32_t at;
	} rows[] = {
		{ TETHER_EVENT_BIT(TETHER_EVENT_FORK), PROTO_SAMPLE_AT_FORK },
		{ TETHER_EVENT_BIT(TETHER_EVENT_THREAD_START), PROTO_SAMPLE_AT_THREAD },
		{ TETHER_EVENT_BIT(TETHER_EVENT_SIGNAL), PROTO_SAMPLE_AT_SIGNAL },
		{ TETHER_EVENT_BIT(TETHER_EVENT_STOP), PROTO_SAMPLE_AT_STOP },
		{ TETHER_EVENT_BIT(TETHER_EVENT_EXIT), PROTO_SAMPLE_AT_EXIT },
		{ TETHER_EVENT_BIT(TETHER_EVENT_LOAD) | TETHER_EVENT_BIT(TETHER_EVENT_UNLOAD), PROTO_SAMPLE_AT_LINKER },
	};
	uint32_t at = 0;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		at |= kinds & rows[i].kinds ? rows[i].at : 0;
	return at;
}

/* ---- calling thread -------------------------------------------------------------------------------------- */

/* Its strings are owned by named. */
static void name_place(struct tether *process, const struct tether_sample *sample, const struct place *place,
		       uint32_t flags, struct named_address *named, struct tether_frame *ret)
{
	*named = (struct named_address){
		.address = place->look_up,
		.object = place->path ? strdup(place->path) : NULL,
		.start = place->base,
		.base = place->base,
	};
	if (!(flags & TETHER_SNAPSHOT_NO_NAMES))
		frames_look_up(process, sample->view, sample->image, flags, named);
	*ret = (struct tether_frame){
		.pc = place->pc,
		.cfa = place->cfa,
		.object = named->object,
		.symbol = named->symbol,
		.offset = place->pc - named->start,
		.base = named->base,
		.how = place->how,
	};
}

static int visit_sample(const struct tether_event *event, uint32_t flags, struct named_address *named,
			struct tether_frame *frames, tether_stack_fn *visit, void *data)
{
	const struct tether_sample *sample = event->stack;
	struct tether_stack stack = {
		.size = sizeof(stack),
		.pid = event->pid,
		.tid = sample->tid,
		.name = "",
		.state = TETHER_THREAD_STOPPED,
		.end = sample->end,
		.syscall = -1,
		.t_ns = sample->t_ns,
		.image = sample->image,
		.frames = frames,
		.frame_count = sample->count,
	};
	int result;

	for (size_t i = 0; i < sample->count; i++)
		name_place(event->process, sample, &sample->place[i], flags, &named[i], &frames[i]);
	result = visit(&stack, data);
	for (size_t i = 0; i < sample->count; i++) {
		free(named[i].object);
		free(named[i].symbol);
	}
	return result;
}

int tether_event_stack(const struct tether_event *event, uint32_t flags, tether_stack_fn *visit, void *data)
{
	struct tether_frame *frames;
	struct named_address *named;
	int result = -ENOMEM;

	if (flags & ~(uint32_t)(TETHER_SNAPSHOT_NO_NAMES | TETHER_SNAPSHOT_RAW_NAMES) || !visit)
		return -TETHER_EINVALID;
	if (!event->stack || !event->process)
		return -TETHER_ENOTFOUND;
	frames = calloc(event->stack->count + 1, sizeof(*frames));
	named = calloc(event->stack->count + 1, sizeof(*named));
	if (frames && named)
		result = visit_sample(event, flags, named, frames, visit, data);
	free(named);
	free(frames);
	return result;
}

/* ---- calls ----------------------------------------------------------------------------------------------- */

struct call_map {
	unsigned users;
	int64_t pid;
	uint64_t image;
	struct view *view; /* a reference; NULL: not known */
	struct stack_map *map;
};

static ssize_t read_process(void *data, vaddr_t address, void *buffer, size_t length)
{
	const struct call_map *map = data;

	return os_read_memory(map->pid, address, buffer, length);
}

struct call_map *call_map_read(struct tether *process)
{
	struct call_map *map = calloc(1, sizeof(*map));
	const struct reader memory = { .read = read_process, .data = map };
	struct looking looking;

	if (!map)
		return NULL;
	map->users = 1;
	map->pid = process->pid;
	map->image = process->exec_serial;
	if (stack_map_read(process->table->stacks, process->pid, &memory, &map->map) < 0) {
		free(map);
		return NULL;
	}
	stack_map_open(map->map);
	if (names_look(process, false, &looking) == 0)
		map->view = view_get(looking.view);
	names_put(&looking);
	return map;
}

struct call_map *call_map_get(struct call_map *map)
{
	if (map)
		__atomic_fetch_add(&map->users, 1, __ATOMIC_RELAXED);
	return map;
}

void call_map_put(struct call_map *map)
{
	if (!map || __atomic_sub_fetch(&map->users, 1, __ATOMIC_ACQ_REL))
		return;
	stack_map_free(map->map);
	view_put(map->view);
	free(map);
}

/* Unwound by who asks for it. */
static struct tether_sample *sample_of_call(const struct tether_call *call, const struct call_stack *stack,
					    struct stack_frame *frames)
{
	const struct proto_call_stack *head = &stack->head;
	struct stack_copy copy = { .known = STACK_ALL_REGISTERS, .windows = head->length != 0 };
	struct tether_sample *sample;

	if (head->tag != ARCH_X86_64 || head->regs_size > sizeof(copy.regs.u.bytes) || !stack->map)
		return NULL;
	copy.regs.tag = head->tag;
	copy.regs.size = head->regs_size;
	memcpy(copy.regs.u.bytes, stack->bytes, head->regs_size);
	copy.pc = arch_pc(&copy.regs);
	copy.sp = arch_sp(&copy.regs);
	copy.window[0] = (struct stack_window){ head->address, head->length, stack->bytes + head->regs_size };
	sample = make(call->tid, call->t_ns, stack->map->image, stack->map->map, &copy, !head->whole, frames);
	if (sample)
		sample->view = view_get(stack->map->view);
	return sample;
}

static int call_stack_visit(const struct tether_call *call, const struct call_stack *stack, uint32_t flags,
			    tether_stack_fn *visit, void *data)
{
	struct stack_frame *frames = calloc(MAX_EVENT_FRAMES, sizeof(*frames));
	struct tether_event event = { .pid = call->pid, .tid = call->tid, .process = call->process };
	int result;

	if (!frames)
		return -ENOMEM;
	event.stack = sample_of_call(call, stack, frames);
	free(frames);
	result = tether_event_stack(&event, flags, visit, data);
	sample_put(event.stack);
	return result;
}

int tether_call_stack(const struct tether_call *call, uint32_t flags, tether_stack_fn *visit, void *data)
{
	const struct call_stack *stack = (const struct call_stack *)(uintptr_t)call->reserved;

	if (flags & ~(uint32_t)(TETHER_SNAPSHOT_NO_NAMES | TETHER_SNAPSHOT_RAW_NAMES) || !visit)
		return -TETHER_EINVALID;
	return stack ? call_stack_visit(call, stack, flags, visit, data) : -TETHER_ENOTFOUND;
}
