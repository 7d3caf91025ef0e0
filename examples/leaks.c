/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * leaks PID | leaks COMMAND [ARG...]: what a process has got of malloc(3) and its like and has not freed at its end, or at
 * Ctrl-C, by the stack that has asked for it. The program need not be made for it, nor be started by it.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tether/tether.h>
#include <uthash.h>

enum { MALLOC, CALLOC, REALLOC, FREE, KINDS };
static const char *where[KINDS] = { "libc.so.6:malloc", "libc.so.6:calloc", "libc.so.6:realloc", "libc.so.6:free" };
struct stack { UT_hash_handle hh; size_t bytes, blocks; char text[8192]; };
/* Got, with its address and 0; or asked for by a call that has not come back, with its thread and depth + 1. */
struct key { uint64_t address_or_thread, depth; };
struct block { UT_hash_handle hh; struct key key; size_t size; struct stack *stack; };
static struct stack *stacks;
static struct block *blocks;
static volatile sig_atomic_t over;

static int take_stack(const struct tether_stack *from, void *data)
{
	struct stack *new = calloc(1, sizeof(*new)), *known;

	for (size_t i = 0, at = 0; i < from->frame_count && at + 512 < sizeof(new->text); i++)
		at += (size_t)snprintf(new->text + at, 512, "    %.480s+0x%llx\n", from->frames[i].symbol ? from->frames[i].symbol :
				       from->frames[i].object, (unsigned long long)from->frames[i].offset);
	HASH_FIND_STR(stacks, new->text, known);
	if (known)
		free(new);
	else
		HASH_ADD_STR(stacks, text, new);
	((struct block *)data)->stack = known ? known : new;
	return 0;
}

static struct block *take(struct key key)
{
	struct block *block;

	HASH_FIND(hh, blocks, &key, sizeof(key), block);
	if (block)
		HASH_DEL(blocks, block);
	return block;
}

static void on_call(const struct tether_call *call, void *data)
{
	long kind = (const char **)data - where;
	struct key thread = { (uint64_t)call->tid, call->depth + UINT64_C(1) };
	struct block *block = call->kind == TETHER_CALLS_DROPPED || kind == FREE ? NULL : take(thread);

	if (call->kind == TETHER_CALLS_DROPPED)
		fprintf(stderr, "%llu calls were not seen\n", (unsigned long long)call->dropped);
	/* At the call: when it comes back, another thread may have been given the memory. */
	if (call->kind == TETHER_CALL && (kind == FREE || kind == REALLOC))
		free(take((struct key){ call->argument[0], 0 }));
	if (call->kind == TETHER_CALL && kind != FREE && (block || (block = calloc(1, sizeof(*block))))) {
		block->key = thread;
		block->size = call->argument[kind == REALLOC] * (kind == CALLOC ? call->argument[1] : 1);
		tether_call_stack(call, 0, take_stack, block);
	} else if (call->kind == TETHER_RETURN && block) {
		block->key = (struct key){ call->value, 0 };
		free(take(block->key)); /* of a call within this one: they have got one block */
	}
	if (block)
		HASH_ADD(hh, blocks, key, sizeof(block->key), block);
}

static void on_event(const struct tether_event *event, void *session)
{
	if (event->kind == TETHER_EVENT_EXEC && event->pid == tether_target(session))
		HASH_CLEAR(hh, blocks);
	over |= event->kind == TETHER_EVENT_EXIT && event->pid == tether_target(session);
}

static void on_signal(int number)
{
	over = number;
}

int main(int argc, char **argv)
{
	struct tether_create_opts run = { .size = sizeof(run), .file = argv[1], .argv = argv + 1, .flags = TETHER_NO_FOLLOW };
	struct tether_grab_opts grab = { .size = sizeof(grab), .flags = TETHER_NO_FOLLOW };
	struct tether_breakpoint_opts opts = { .size = sizeof(opts), .call = on_call };
	struct tether_error err = { .size = sizeof(err), .message = "usage: leaks PID | leaks COMMAND [ARG...]" };
	struct tether_breakpoint *ignored;
	struct tether_session *session;
	struct tether *process;
	int result = argc < 2 || tether_session_open(NULL, &session, &err);

	if (!result)
		result = atoll(argv[1]) ? tether_grab(session, atoll(argv[1]), &grab, &process, &err)
					: tether_create(session, &run, &process, &err);
	for (int kind = 0; !result && kind < KINDS; kind++) {
		opts.data = &where[kind];
		opts.where = where[kind];
		opts.flags = kind == FREE ? 0 : TETHER_BREAKPOINT_RETURN | TETHER_BREAKPOINT_STACK;
		result = tether_breakpoint_add(process, &opts, &ignored, &err);
	}
	if (result)
		return fprintf(stderr, "%s\n", err.message), 2;
	signal(SIGINT, on_signal);
	tether_session_set_handler(session, on_event, session);
	for (tether_continue(process); !over && tether_dispatch(session, 100) >= 0;)
		;
	tether_release(process);
	while (tether_dispatch(session, 0) > 0)
		;
	for (struct block *block = blocks; block; block = block->hh.next)
		if (!block->key.depth && block->key.address_or_thread && block->stack)
			block->stack->bytes += block->size, block->stack->blocks++;
	for (struct stack *stack = stacks; stack; stack = stack->hh.next)
		if (stack->blocks)
			printf("%zu bytes in %zu blocks, from\n%s", stack->bytes, stack->blocks, stack->text);
}
