/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tether-controller SOCKET CLIENT-PIDFD: the ptracer of one family, started by the library
 *
 * hello and create, or grab, are the first that is said. All signals are blocked from birth; the environment
 * is empty; the client's fds are inherited for the victim of a create, and closed once that is made.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>

#include "controller/controller.h"
#include "controller/site.h"
#include "os/inject.h"
#include "os/sys.h"

static void default_action(int signal)
{
	struct {
		uint64_t handler, flags, restorer, mask;
	} action = { 0, 0, 0, 0 };

	sys(rt_sigaction, signal, &action, 0, sizeof(uint64_t));
}

/* An ignored SIGCHLD, inherited, would reap our tasks unseen; an ignored signal never reaches a signalfd. */
static int open_signals(void)
{
	static const int wanted[] = { SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGQUIT };
	uint64_t mask = 0, all = ~UINT64_C(0);

	sys(rt_sigprocmask, SIG_SETMASK, &all, 0, sizeof(all));
	for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
		default_action(wanted[i]);
		mask |= UINT64_C(1) << (wanted[i] - 1);
	}
	return (int)sys(signalfd4, -1, &mask, sizeof(mask), SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Nothing is held any more: what it all cost goes to whoever still listens. */
static void last_words(struct controller *c)
{
	struct proto_ev_stats words = { .event = { .t_ns = os_now_ns() }, .stats = c->stats };

	out_event(c, PROTO_EV_stats, &words, sizeof(words));
}

/* A created victim is on its way to its main, perhaps on this very processor: what can wait comes after. */
enum { SETTLE_NS = 10000000, LAUNCH_NS = 3000000 /* within which most programs are there */ };

static int number(const char *text)
{
	char *end;
	long value = strtol(text, &end, 10);

	return *text && !*end && value >= 0 && value <= 1 << 30 ? (int)value : -1;
}

int main(int argc, char **argv)
{
	static _Alignas(8) unsigned char scratch[PROTO_MESSAGE_MAX], batch[PROTO_MESSAGE_MAX];
	static struct controller controller;
	struct controller *c = &controller;

	if (argc < 3)
		return 2;
#ifdef TETHER_INJECT
	if (argc > 3 && !strncmp(argv[3], "inject=", 7) && inject_configure(argv[3] + 7))
		return 2;
#endif
	records_init(c);
	c->scratch = scratch;
	c->batch = batch;
	c->received = -1;
	c->socket = number(argv[1]);
	c->client = number(argv[2]);
	c->create.report = -1;
	c->state = PROTO_S_NEW;
	if (sys(fcntl, c->socket, F_SETFD, FD_CLOEXEC) < 0 || sys(fcntl, c->client, F_SETFD, FD_CLOEXEC) < 0)
		return 2;
	c->signals = open_signals();
	if (c->signals < 0)
		return 2;
	/* Nothing of our own may change before the victim is made from it. */
	while (!c->client_gone && !c->done && c->state != PROTO_S_HOLDING) {
		out_flush_due(c);
		look_at_client(c, -1, 0);
	}
	if (c->created) {
		leave_client(c);
		if (!c->create.process && TAILQ_FIRST(&c->spaces))
			space_ready(TAILQ_FIRST(&c->spaces));
		c->settle_ns = os_now_ns() + SETTLE_NS;
		c->launch_ns = os_now_ns() + LAUNCH_NS;
		out_flush(c);
		capture_warm(c);
		out_warm(c);
	}
	if (!c->client_gone || c->hold.mode)
		loop(c);
	last_words(c);
	out_flush(c);
#ifdef TETHER_INJECT
	return inject_finish();
#else
	return 0;
#endif
}
