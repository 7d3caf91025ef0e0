/* SPDX-License-Identifier: BSD-2-Clause */
#include "probing.h"

#include <stddef.h>

#include "judge.h"

static int see_stack(const struct tether_stack *stack, void *data)
{
	(void)stack;
	(void)data;
	return 0;
}

static void on_hit(const struct tether_hit *hit, void *data)
{
	struct probed *probed = data;

	(void)hit;
	atomic_fetch_add(&probed->all->board->hits, 1);
}

/* Its thread stands meanwhile: what it has is looked at, and written as it was. Now and then it stays, or all are stopped. */
static enum tether_answer on_stop(const struct tether_hit *hit, void *data)
{
	struct probed *probed = data;
	uint64_t pc;

	atomic_fetch_add(&probed->all->board->hits, 1);
	if (hit->number % 4 == 0 && tether_register_get(hit->process, hit->tid, "pc", &pc, sizeof(pc)) > 0)
		(void)tether_register_set(hit->process, hit->tid, "pc", &pc, sizeof(pc));
	if (hit->process != probed->all->victim)
		return TETHER_ANSWER_GO; /* nobody would let it go on */
	if (hit->number % 16 == 5 && !atomic_load(&probed->all->stays)) {
		atomic_store(&probed->all->stays, hit->tid);
		return TETHER_ANSWER_STAY;
	}
	if (hit->number % 64 == 7 && !atomic_exchange(&probed->all->stopped, true))
		return TETHER_ANSWER_STOP_ALL;
	return TETHER_ANSWER_GO;
}

/* A call that it comes back from is told of twice. */
static void on_call(const struct tether_call *call, void *data)
{
	struct probed *probed = data;

	if (call->kind == TETHER_RETURN)
		atomic_fetch_add(&probed->all->board->returns, 1);
	else
		atomic_fetch_add(&probed->all->board->hits, 1);
	if (call->kind == TETHER_CALL && probed->opts.flags & TETHER_BREAKPOINT_STACK)
		(void)tether_call_stack(call, TETHER_SNAPSHOT_NO_NAMES, see_stack, NULL);
}

static struct probed *probe(struct probing *probing)
{
	struct probed *probed = &probing->probed[probing->count++];

	probed->all = probing;
	probed->opts.size = sizeof(probed->opts);
	probed->opts.data = probed;
	return probed;
}

/* Half of them are told of, half of those for a thread that stands. */
static void add_sites(struct probing *probing)
{
	for (uint32_t i = 0; i < probing->board->sites; i++) {
		struct probed *probed = probe(probing);

		probed->opts.address = probing->board->site[i];
		probed->opts.flags = i % 2 ? 0 : TETHER_BREAKPOINT_COUNT;
		probed->opts.handler = i % 4 == 1 ? on_hit : NULL;
		probed->opts.stop = i % 4 == 3 ? on_stop : NULL;
	}
}

static void add_function(struct probing *probing, const char *where, uint32_t flags)
{
	struct probed *probed = probe(probing);

	probed->opts.where = where;
	probed->opts.flags = flags;
	if (flags & TETHER_BREAKPOINT_COUNT)
		return;
	if (probing->calls)
		probed->opts.call = on_call;
	else
		probed->opts.handler = on_hit;
}

static void choose(struct probing *probing)
{
	const uint32_t counted = TETHER_BREAKPOINT_COUNT;

	if (!probing->calls) {
		add_sites(probing);
		add_function(probing, "harm-plugin?.so:plugin_answer", 0);
		return;
	}
	add_function(probing, "a.out:site_*", TETHER_BREAKPOINT_RETURN);
	add_function(probing, "a.out:site_push", TETHER_BREAKPOINT_STACK);
	add_function(probing, "a.out:site_lea", counted | TETHER_BREAKPOINT_RETURN | TETHER_BREAKPOINT_LATENCY);
	add_function(probing, "a.out:*_turn", counted | TETHER_BREAKPOINT_RETURN | TETHER_BREAKPOINT_LATENCY);
	add_function(probing, "harm-plugin?.so:plugin_answer", TETHER_BREAKPOINT_RETURN);
	add_function(probing, "libc.so.6:*vfork", counted | TETHER_BREAKPOINT_RETURN);
	add_function(probing, "libc.so.6:dlopen*", TETHER_BREAKPOINT_RETURN);
	add_function(probing, "libc.so.6:*alloc", TETHER_BREAKPOINT_RETURN);
}

static int add(struct probing *probing, struct probed *probed, struct tether_error *error)
{
	probed->disabled = false;
	return tether_breakpoint_add(probing->victim, &probed->opts, &probed->breakpoint, error);
}

int probing_begin(struct probing *probing, struct tether_error *error)
{
	int result = 0;

	choose(probing);
	for (unsigned i = 0; i < probing->count && result == 0; i++)
		result = add(probing, &probing->probed[i], error);
	return result;
}

/* The answer may not have arrived yet: then the next time. */
static void let_go_on(struct probing *probing)
{
	int64_t tid = atomic_load(&probing->stays);
	struct tether_info info = { .size = sizeof(info) };

	if (tid && tether_thread_continue(probing->victim, tid) != -TETHER_ESTATE)
		atomic_store(&probing->stays, 0);
	if (!atomic_load(&probing->stopped) || tether_info_get(probing->victim, &info) || info.state != TETHER_STATE_PARKED)
		return;
	atomic_store(&probing->stays, 0);
	atomic_store(&probing->stopped, false);
	(void)tether_continue(probing->victim);
}

int probing_change(struct probing *probing)
{
	uint64_t bits = random_next(&probing->random);
	struct probed *probed = &probing->probed[(bits >> 8) % probing->count];
	int result;

	let_go_on(probing);
	if (!probed->breakpoint)
		return add(probing, probed, NULL);
	if (bits & 1) {
		result = tether_breakpoint_enable(probed->breakpoint, probed->disabled);
		probed->disabled = !probed->disabled;
		return result;
	}
	result = tether_breakpoint_remove(probed->breakpoint);
	if (result == 0)
		probed->breakpoint = NULL;
	return result;
}
