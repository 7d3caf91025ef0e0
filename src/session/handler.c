/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * session/handler.c - the thread that calls handlers for which a victim's thread stands
 *
 *	control thread ──post──► stops ──► handler thread: the client's code ──operation──► control thread ──► answer
 *
 * It is not the control thread, on which no code of the client runs, so what else the victims need goes on meanwhile. It is
 * started by the first client thread that adds such a breakpoint, and so has the host's descriptors.
 */
#include <errno.h>
#include <signal.h>

#include "os/sys.h"
#include "probe/probe.h"
#include "session/session.h"

/* One handler after the other; the strongest answer. Lock held, given up for each. */
static enum tether_answer call_all(struct tether_session *session, const struct stop *stop)
{
	enum tether_answer strongest = TETHER_ANSWER_GO;

	for (size_t i = 0; i < stop->count; i++) {
		bool late = stop->missed_ns != UINT64_MAX && os_now_ns() >= stop->missed_ns;
		enum tether_answer answer = session->table.closing ? TETHER_ANSWER_GO : probe_stop(&stop->hit[i], late);

		if (answer > strongest)
			strongest = answer;
	}
	return strongest;
}

static uint32_t action_of(enum tether_answer answer)
{
	switch (answer) {
	case TETHER_ANSWER_STAY:
		return PROTO_STAND;
	case TETHER_ANSWER_STOP_ALL:
		return PROTO_STAY;
	default:
		return PROTO_GO;
	}
}

/* Lock held, given up meanwhile. The end of the session lets all victims go without an answer. */
static void finish(struct tether_session *session, struct stop *stop)
{
	struct table *table = &session->table;

	if (!table->closing)
		operation_submit(&stop->operation);
	for (size_t i = 0; i < stop->count; i++)
		probe_put(stop->hit[i].breakpoint);
	pthread_mutex_unlock(&table->lock);
	operation_put(&stop->operation);
	pthread_mutex_lock(&table->lock);
}

static void *handler_main(void *data)
{
	struct tether_session *session = data;
	struct table *table = &session->table;
	struct stop *stop;

	pthread_mutex_lock(&table->lock);
	while (!table->closing) {
		stop = STAILQ_FIRST(&session->stops);
		if (!stop) {
			pthread_cond_wait(&session->stopped, &table->lock);
			continue;
		}
		STAILQ_REMOVE_HEAD(&session->stops, next);
		stop->action = action_of(call_all(session, stop));
		finish(session, stop);
	}
	pthread_mutex_unlock(&table->lock);
	return NULL;
}

int handler_start(struct host *host)
{
	struct tether_session *session = session_of(host);
	struct table *table = &session->table;
	int result = table_enter(table);
	sigset_t all, before;

	if (result < 0)
		return result;
	if (!table->has_handler) {
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &before);
		result = -pthread_create(&table->handler, NULL, handler_main, session);
		pthread_sigmask(SIG_SETMASK, &before, NULL);
		table->has_handler = result == 0;
	}
	table_leave(table);
	return result;
}

void handler_post(struct host *host, struct stop *stop)
{
	struct tether_session *session = session_of(host);

	STAILQ_INSERT_TAIL(&session->stops, stop, next);
	pthread_cond_signal(&session->stopped);
}

void handler_init(struct tether_session *session)
{
	STAILQ_INIT(&session->stops);
	pthread_cond_init(&session->stopped, NULL);
}

void handler_end(struct tether_session *session)
{
	struct stop *stop;

	if (session->table.has_handler)
		pthread_join(session->table.handler, NULL);
	pthread_mutex_lock(&session->table.lock);
	while ((stop = STAILQ_FIRST(&session->stops))) {
		STAILQ_REMOVE_HEAD(&session->stops, next);
		finish(session, stop);
	}
	pthread_mutex_unlock(&session->table.lock);
}

void handler_destroy(struct tether_session *session)
{
	pthread_cond_destroy(&session->stopped);
}
