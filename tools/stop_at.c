/* SPDX-License-Identifier: BSD-2-Clause */
#include "stop_at.h"

#include "output_stack.h"

static enum tether_answer stop(const struct tether_hit *hit, void *data)
{
	(void)hit;
	(void)data;
	return TETHER_ANSWER_STOP_ALL;
}

/* The first of its threads that came: others may have before all of them stood. */
static void on_hit(const struct tether_hit *hit, void *data)
{
	struct timeline *timeline = data;
	struct process *process = family_find(&timeline->family, hit->pid);

	if (process && !process->stopped)
		process->stopped = hit->tid;
}

int stop_at_function(struct timeline *timeline, struct tether *handle, const char *where, struct tether_error *error)
{
	struct tether_breakpoint_opts opts = {
		.size = sizeof(opts), .where = where, .handler = on_hit, .stop = stop, .data = timeline,
	};
	int result = tether_breakpoint_add(handle, &opts, &timeline->stop_at, error);

	if (result == -TETHER_EGONE)
		return 0; /* its end is told as any other */
	timeline->stop_where = where;
	timeline->start_due = result == 0;
	return result;
}

void stop_at_show(struct timeline *timeline, struct tether *handle, int64_t tid)
{
	struct tether_snapshot_opts opts = { .size = sizeof(opts), .tid_count = 1, .tids = &tid };
	struct stacks stacks;
	int result;

	if (timeline->output->options.quiet)
		return;
	stacks_begin(&stacks, timeline->output, false);
	result = tether_snapshot(handle, &opts, stacks_add, &stacks, NULL);
	stacks_end(&stacks);
	if (result < 0 && result != -TETHER_EGONE)
		output_failure(timeline->output, "cannot take the stack", result, NULL);
}

void stop_at_end(struct timeline *timeline)
{
	struct tether_breakpoint_info info = { .size = sizeof(info) };

	if (timeline->stop_at && tether_breakpoint_info_get(timeline->stop_at, &info) == 0 && !info.functions)
		output_note(timeline->output, "nothing that was loaded has a function '%s'", timeline->stop_where);
}
