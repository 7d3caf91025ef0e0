/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A victim that serves its own library by FUSE and stands: nothing waits for it, and what memory shows is there.
 */
#include "names.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char library[] = "served-by-fuse.so";

struct served {
	struct victim victim;
	uint64_t function;
	char *folder; /* owned */
};

static struct served served_start(void)
{
	struct served served = { .folder = strdup("/tmp/tether-served-XXXXXX") };
	const char *line;

	check(served.folder && mkdtemp(served.folder));
	served.victim = victim_spawn("serves", served.folder, NULL);
	line = victim_line(&served.victim);
	if (!strncmp(line, "cannot", 6)) {
		victim_end(&served.victim);
		rmdir(served.folder);
		skip("a victim %s", line);
	}
	check(sscanf(line, "address served_function %lx", &served.function) == 1);
	check_same("ready", victim_line(&served.victim));
	return served;
}

static void served_end(struct served *served, int status)
{
	victim_say(&served->victim, "end");
	check_int(victim_end(&served->victim), status);
	check_int(rmdir(served->folder), 0);
	free(served->folder);
}

/* Does a stack lead through the library and out of it again, to main's caller? */
static int look(const struct tether_stack *stack, void *data)
{
	unsigned *through = data;

	for (size_t i = 0; i + 2 < stack->frame_count; i++) {
		const struct tether_frame *frame = &stack->frames[i];

		*through += frame->object && strstr(frame->object, library) && frame->symbol &&
			    !strcmp(frame->symbol, "served_function");
	}
	return 0;
}

static void check_snapshot(struct tether *process, uint32_t manner)
{
	struct tether_snapshot_opts opts = { .size = sizeof(opts), .manner = manner };
	unsigned through = 0;

	check_int(tether_snapshot(process, &opts, look, &through, NULL), 0);
	check(manner == TETHER_STILL ? through <= 1 : through == 1);
}

static int count_library(const struct tether_object *object, void *data)
{
	*(unsigned *)data += strstr(object->path, library) != NULL;
	return 0;
}

static int no_line(const struct tether_source *source, void *data)
{
	(void)source;
	(void)data;
	return 0;
}

static void check_names(struct tether *process, const struct served *served)
{
	unsigned count = 0;

	check_int(tether_objects(process, count_library, &count), 0);
	check_int(count, 1);
	check_name(process, served->function, "served_function", 0);
	check_int(address_of(process, "served_function", NULL).symbol.address, served->function);
	(void)tether_source_at(process, served->function, NULL, no_line, NULL);
}

TEST(parked_it_is_asked_for_nothing)
{
	struct served served = served_start();
	struct client c = client_open();
	struct tether *process = client_grab(&c, served.victim.pid, 0);

	client_await(&c, "parked", 1);
	check_snapshot(process, TETHER_TOGETHER);
	check_snapshot(process, TETHER_ROLLING);
	check_names(process, &served);
	check_int(tether_continue(process), 0);
	check_snapshot(process, TETHER_TOGETHER);
	check_names(process, &served);
	client_close(&c);
	served_end(&served, 0);
}

/* By a signal, and held by nobody. */
TEST(stopped_it_is_asked_for_nothing)
{
	struct served served = served_start();
	struct client c = client_open();
	struct tether *process = observe(&c, served.victim.pid);

	check_int(kill(served.victim.pid, SIGSTOP), 0);
	while (task_state(served.victim.pid) != 'T')
		usleep(1000);
	check_names(process, &served);
	check_snapshot(process, TETHER_STILL);
	check_int(kill(served.victim.pid, SIGCONT), 0);
	client_close(&c);
	served_end(&served, 0);
}

struct crash {
	unsigned through, stacks;
};

static void on_event(const struct tether_event *event, void *data)
{
	struct crash *crash = data;

	if (event->kind == TETHER_EVENT_SIGNAL && event->stack) {
		crash->stacks++;
		check_int(tether_event_stack(event, 0, look, &crash->through), 0);
	}
	if (event->kind != TETHER_EVENT_PARKED)
		return;
	check_snapshot(event->process, TETHER_TOGETHER);
	check_int(tether_continue(event->process), 0);
}

/* The control thread makes that stack, and who would let the victim go on is the same. */
TEST(the_stacks_of_its_crash_wait_for_nothing)
{
	struct served served = served_start();
	struct crash crash = { 0, 0 };
	struct tether_session *session = NULL;
	struct tether *process = NULL;
	struct tether_grab_opts opts = {
		.size = sizeof(opts),
		.flags = TETHER_NO_PARK | TETHER_PARK_ON_CRASH,
		.stacks = TETHER_EVENT_BIT(TETHER_EVENT_SIGNAL),
	};

	check_int(tether_session_open(NULL, &session, NULL), 0);
	check_int(tether_grab(session, served.victim.pid, &opts, &process, NULL), 0);
	tether_session_set_handler(session, on_event, &crash);
	check_int(kill(served.victim.pid, SIGQUIT), 0);
	while (tether_dispatch(session, 50) >= 0 && state_of(process) != TETHER_STATE_EXITED)
		;
	while (tether_dispatch(session, 0) > 0)
		;
	check_int((int)crash.stacks, 1);
	check_int((int)crash.through, 1);
	check_int(tether_session_close(session), 0);
	check_int(WTERMSIG(victim_end(&served.victim)), SIGQUIT);
	check_int(rmdir(served.folder), 0);
	free(served.folder);
}
