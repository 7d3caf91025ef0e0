/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * harm/scene.h - who takes part in one trial: the victim, the client that holds it, its controller, and what they said
 */
#ifndef HARM_SCENE_H
#define HARM_SCENE_H

#include "trial.h"

enum {
	HELD_MS = 15000,  /* for a client to say "held" on a busy machine */
	ORDER_MS = 10000, /* for release and close to return */
	SNAPSHOT_MS = 3000, /* for the first snapshot; not all get one */
	GONE_MS = 4000,   /* for the controller to end after its client */
	SETTLE_MS = 2000, /* for the last thread to be untraced */
	EXIT_MS = 5000,   /* for the victim to end when told to */
	EARLY_US = 8000,
	CRASH_US = 6000, /* from the crash to the ending */
	LATE_US = 40000,
	QUESTION_MS = 300,       /* ENDING_FROZEN: the deadline of a question */
	QUESTION_SLACK_MS = 250, /* two CPUs, up to nine busy threads */
	FROZEN_MS = 1200,
	USUAL_MS = 300,
	MAX_FORKED = 4,
};

struct scene {
	const struct lab *lab;
	const struct trial *trial;
	struct outcome *outcome;
	struct scoreboard *board;
	int board_fd;
	pid_t victim;      /* child of ours when grabbed, else as the scoreboard says; 0: not known */
	bool victim_ended; /* reaped by us */
	int victim_status;
	pid_t client, controller;
	bool client_ended;
	int client_status;
	int orders, words; /* pipes to and from the client */
	char line[2048];
	size_t line_length;
	char failure[1024]; /* what the client said before it gave up */
	bool lost, late;    /* what the client said of its victim */
	pid_t forked[MAX_FORKED];
	unsigned forked_count;
	struct signal_state signals;
	int crash_status; /* trial.crashes: what it ends with when nobody holds it */
};

#define blame(scene, harm, ...) finding_add(&(scene)->outcome->finding, harm, __VA_ARGS__)

static inline bool is_grabbed(const struct trial *trial)
{
	return trial->hold == HOLD_GRAB || trial->hold == HOLD_HANG;
}

/* Take in what has ended: victim and client are noted. */
void scene_reap(struct scene *scene);
/*
 * Wait until no child is left but those that may be: the victim, its plain parent, forked children of the client. False: some
 * are left after bound_ms.
 */
bool scene_await_nobody(struct scene *scene, bool victim_may_live, unsigned bound_ms);
/* Blame those that are left. */
void scene_describe_left(struct scene *scene);
/* False: the victim has ended, or bound_ms are over. */
bool scene_await_flag(struct scene *scene, _Atomic uint32_t *flag, unsigned bound_ms);

void scene_start_client(struct scene *scene, uint64_t *random);
/* Hear the client until it says a line that begins with word; false at its end or after bound_ms. */
bool scene_await_word(struct scene *scene, const char *word, unsigned bound_ms);
/* Hear what it has said so far. */
void scene_hear_rest(struct scene *scene);
/* A letter that tells it what to do; blames it where it does not take that. */
void scene_order(struct scene *scene, char letter);

#endif
