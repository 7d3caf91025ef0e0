/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sample PID [SECONDS [HERTZ]]: where a process spends its time, as folded stacks: "outermost;...;innermost" a line and
 * snapshot, for flamegraph.pl or `sort | uniq -c`. Each thread stands for the moment in which its stack is copied.
 *
 *	cc sample.c $(pkg-config --cflags --libs tether) -o sample
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <tether/tether.h>

static int fold(const struct tether_stack *stack, void *data)
{
	(void)data;
	printf("%s", stack->name);
	for (size_t i = stack->frame_count; i-- > 0;) {
		const struct tether_frame *frame = &stack->frames[i];

		if (frame->symbol)
			printf(";%s", frame->symbol);
		else
			printf(";[%s]", frame->object ? frame->object : "unknown");
	}
	printf(" 1\n");
	return 0;
}

int main(int argc, char **argv)
{
	struct tether_grab_opts grab = { .size = sizeof(grab),
					 .flags = TETHER_NO_PARK | TETHER_NO_MONITOR | TETHER_NO_FOLLOW,
					 .mode = TETHER_MODE_RUN };
	struct tether_snapshot_opts opts = { .size = sizeof(opts), .manner = TETHER_ROLLING };
	long seconds = argc > 2 ? atol(argv[2]) : 1, hertz = argc > 3 ? atol(argv[3]) : 100;
	struct tether_error err = TETHER_ERROR_INIT;
	struct tether_session *session;
	struct tether *process;
	int result;

	if (argc < 2 || seconds < 1 || hertz < 1 || hertz > 1000) {
		fprintf(stderr, "usage: sample PID [SECONDS [HERTZ]]\n");
		return 2;
	}
	result = tether_session_open(NULL, &session, &err);
	if (!result)
		result = tether_grab(session, atoll(argv[1]), &grab, &process, &err);
	if (result) {
		fprintf(stderr, "sample: %s\n", err.message);
		return 2;
	}
	for (long i = 0; i < seconds * hertz && result == 0; i++) {
		result = tether_snapshot(process, &opts, fold, NULL, NULL);
		nanosleep(&(struct timespec){ .tv_nsec = 999999999 / hertz }, NULL);
	}
	tether_release(process);
	tether_session_close(session);
	return result && result != -TETHER_EGONE;
}
