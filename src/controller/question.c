/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * controller/question.c - what a thread waits to be told
 *
 * Every question has a deadline and the default answer "go": a client that is stopped, frozen or in a
 * debugger must not stall its victims. After one missed deadline all further questions are answered so at
 * once, until the client speaks again.
 */
#include "controller/controller.h"

#include <errno.h>

#include "os/sys.h"

static struct task_list *list_of(struct controller *c, const struct task *t)
{
	return t->deadline_ns == UINT64_MAX ? &c->open_questions : &c->questions;
}

static void put(struct controller *c, struct task *t, struct proto_event *event, uint64_t wait_ns)
{
	t->question = ++c->next_question;
	t->asked_ns = os_now_ns();
	t->deadline_ns = wait_ns < UINT64_MAX - t->asked_ns ? t->asked_ns + wait_ns : UINT64_MAX;
	/* One length for all, so the list is in the order of the deadlines. */
	TAILQ_INSERT_TAIL(list_of(c, t), t, of_questions);
	event->question = t->question;
}

/* False: nobody to ask; the event goes out as a mere record. */
bool ask(struct controller *c, struct task *t, struct proto_event *event)
{
	t->caller = 0;
	if (c->client_gone || c->silent || t->process->release)
		return false;
	t->handled = false;
	put(c, t, event, c->hold.question_ns);
	return true;
}

/* A handler that takes too long is no client that is stopped: the library's own questions go on. */
bool ask_handler(struct controller *c, struct task *t, struct proto_event *event, bool forever)
{
	if (c->client_gone || t->process->release || (!forever && (c->silent || c->handler_silent)))
		return false;
	t->handled = true;
	put(c, t, event, forever ? UINT64_MAX : c->hold.question_ns);
	return true;
}

void question_cancel(struct controller *c, struct task *t)
{
	if (!t->question)
		return;
	TAILQ_REMOVE(list_of(c, t), t, of_questions);
	t->question = 0;
	t->handled = false;
}

static void expire(struct controller *c, struct task *t)
{
	struct late *late = &c->late[c->late_next++ % LATE_KEPT];

	*late = (struct late){
		.question = t->question,
		.asked_ns = t->asked_ns,
		.serial = t->serial,
		.pid = t->process->pid,
		.tid = t->tid,
	};
	question_cancel(c, t);
	returns_answered(c, t, false);
	settle(c, t);
}

void question_timers(struct controller *c, uint64_t now)
{
	struct task *t;

	while ((t = TAILQ_FIRST(&c->questions)) && t->deadline_ns <= now) {
		if (t->handled)
			c->handler_silent = true;
		else
			c->silent = true;
		expire(c, t);
	}
}

/* Its client works at what it was asked for. All of them, for the list is in the order of the deadlines. */
void questions_postpone(struct controller *c)
{
	uint64_t now = TAILQ_EMPTY(&c->questions) ? 0 : os_now_ns();
	uint64_t until = c->hold.question_ns < UINT64_MAX - now ? now + c->hold.question_ns : UINT64_MAX;
	struct task *t;

	TAILQ_FOREACH(t, &c->questions, of_questions) {
		t->deadline_ns = until;
	}
}

static int too_late(struct controller *c, uint64_t question)
{
	c->handler_silent = false;
	for (size_t i = 0; i < LATE_KEPT; i++) {
		struct late *late = &c->late[i];

		if (late->question != question)
			continue;
		out_plain(c, PROTO_EV_late, late->pid, late->tid, late->serial, os_now_ns() - late->asked_ns);
		late->question = 0;
		return -ETIMEDOUT;
	}
	return -ESRCH;
}

static struct task *asker(struct controller *c, uint64_t question)
{
	struct task *t;

	TAILQ_FOREACH(t, &c->questions, of_questions) {
		if (t->question == question)
			return t;
	}
	TAILQ_FOREACH(t, &c->open_questions, of_questions) {
		if (t->question == question)
			return t;
	}
	return NULL;
}

struct process *question_process(struct controller *c, uint64_t question)
{
	struct task *t = asker(c, question);

	return t ? t->process : NULL;
}

int question_answer(struct controller *c, uint64_t question, uint32_t action, bool refuses)
{
	struct task *t = asker(c, question);

	if (!question)
		return -EINVAL;
	if (!t)
		return too_late(c, question);
	question_cancel(c, t);
	returns_answered(c, t, refuses);
	if (is_ending(t)) {
		settle(c, t);
		return 0;
	}
	switch (action) {
	case PROTO_STAY:
		task_set_state(t, TASK_HELD);
		park(c, t->process, t->tid);
		return 0;
	case PROTO_STAND:
		t->stands = true;
		settle(c, t);
		return 0;
	case PROTO_LET_GO:
		task_set_state(t, TASK_HELD);
		release_process(c, t->process, PROTO_RUN, 0);
		return 0;
	default:
		settle(c, t);
		return 0;
	}
}
