/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * watch -c COMMAND ARG... | watch -p PID: what `dtrace -c` and `dtrace -p` do with the layer below them
 *
 *	create or grab ──► parked at main, or where it was ──► look at it ──► continue ──► hear of loads ... of its end
 *
 * Ctrl-C lets a grabbed process go, and ends a created one. Exit status: that of the command, 0 for a process let
 * go, 128 + signal for one that a signal ended, 2 when it could not be held.
 *
 *	cc watch.c $(pkg-config --cflags --libs tether) -o watch
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tether/tether.h>

struct watch {
	int64_t pid;     /* $target: the first process created or grabbed */
	bool ended;
	int status;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int signal)
{
	(void)signal;
	interrupted = 1;
}

/* The hook for an object: here a probe would be planted; this one shows that the victim's memory can be read. */
static void look_at_object(struct tether *victim, const char *path, uint64_t low)
{
	unsigned char magic[4] = { 0 };
	int64_t got = tether_read(victim, low, magic, sizeof(magic));

	printf("object %s %s\n", path, got == sizeof(magic) && !memcmp(magic, "\177ELF", 4) ? "ELF" : "unread");
}

static int on_object(const struct tether_object *object, void *victim)
{
	look_at_object(victim, object->path, object->low);
	return 0;
}

static void on_event(const struct tether_event *event, void *data)
{
	struct watch *watch = data;

	if (event->kind == TETHER_EVENT_LOAD && !event->u.object.initial)
		look_at_object(event->process, event->u.object.path, event->u.object.low);
	else if (event->kind == TETHER_EVENT_EXEC)
		printf("exec %lld %s\n", (long long)event->pid, event->u.exec.path);
	else if (event->kind == TETHER_EVENT_FORK)
		printf("fork %lld\n", (long long)event->u.fork.child);
	if (event->pid != watch->pid)
		return;
	if (event->kind == TETHER_EVENT_EXIT) {
		watch->ended = true;
		watch->status = event->u.exit.signal ? 128 + event->u.exit.signal : event->u.exit.code;
		printf("exit %d\n", watch->status);
	} else if (event->kind == TETHER_EVENT_LOST) {
		watch->ended = true;
		printf("lost: %s\n", event->u.text.reason);
	}
}

int main(int argc, char **argv)
{
	struct tether_create_opts create = { .size = sizeof(create), .stop = TETHER_STOP_MAIN };
	struct tether_session *session;
	struct tether_error err = TETHER_ERROR_INIT;
	struct tether *victim;
	struct watch watch = { 0 };
	sigset_t interrupt, before;
	int result;

	if (argc < 3 || (strcmp(argv[1], "-c") && strcmp(argv[1], "-p"))) {
		fprintf(stderr, "usage: watch -c COMMAND [ARG...] | -p PID\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGINT, on_signal);
	result = tether_session_open(NULL, &session, &err);
	if (!result && !strcmp(argv[1], "-c")) {
		create.file = argv[2];
		create.argv = &argv[2];
		result = tether_create(session, &create, &victim, &err);
	} else if (!result) {
		result = tether_grab(session, atoll(argv[2]), NULL, &victim, &err);
	}
	if (result) {
		fprintf(stderr, "watch: %s\n", err.message);
		return 2;
	}
	watch.pid = tether_target(session);
	tether_session_set_handler(session, on_event, &watch);

	/* It is parked: nothing in it moves, and its text is whole. */
	printf("parked %lld\n", (long long)watch.pid);
	tether_objects(victim, on_object, victim);
	sigemptyset(&interrupt);
	sigaddset(&interrupt, SIGINT);
	sigprocmask(SIG_BLOCK, &interrupt, &before);
	tether_continue(victim);

	/* The signal is let in only while this waits, so none is missed. */
	struct pollfd ready = { .fd = tether_fd(session), .events = POLLIN };
	while (!watch.ended && !interrupted)
		if (ppoll(&ready, 1, NULL, &before) > 0 && tether_dispatch(session, 0) < 0)
			break;
	tether_release(victim);
	tether_session_close(session);
	return watch.status;
}
