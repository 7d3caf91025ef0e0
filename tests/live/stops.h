/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stops.h - what the tests of handlers for which a thread stands share; the victim is tests/victims/stands.c
 */
#ifndef LIVE_STOPS_H
#define LIVE_STOPS_H

#include "harness.h"

/* What a handler is to do, and what it has seen; read by the test's thread when the victim has answered. */
struct script {
	struct client *client;
	struct tether_breakpoint *breakpoint; /* one that it has added */
	enum tether_answer answer;
	unsigned calls, at_once, most_at_once;
	int64_t tid, pid;
	uint64_t address;
	int result[8];
	uint64_t value[8];
	unsigned sleep_ms;
};

struct tether_breakpoint *stop_at(struct tether *process, const char *where, tether_stop_fn *stop, void *data);
/* Say word (NULL: it was said), and the number that the victim answers. */
long done(struct victim *v, const char *word);
/* Let go, and the victim is whole. */
void end(struct client *c, struct victim *v);

/* What a handler has seen; it sleeps if that is in its script. */
void note(struct script *s, const struct tether_hit *hit);
/* A handler that does just this, and answers as its script says. */
enum tether_answer answer(const struct tether_hit *hit, void *data);
/* How often it was called; what it has noted until then may be read afterwards. */
unsigned calls(struct script *s);
/* For eventually(). */
bool was_called(void *data);
uint64_t reg(const struct tether_hit *hit, const char *name);
int set_reg(const struct tether_hit *hit, const char *name, uint64_t value);

#endif
