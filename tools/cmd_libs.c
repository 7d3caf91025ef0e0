/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_libs.c - the load objects of running processes, read and never stopped
 */
#include "common.h"
#include "refusal.h"
#include "select.h"

struct libs_options {
	struct common_options common;
	struct selection selection;
};

static const struct option_row rows[] = {
	SELECT_OPTIONS(struct libs_options, selection),
	RECORD_OPTIONS(struct libs_options, common),
	LAST_OPTIONS,
};

static const struct option_table table = {
	.usage = "libs [options] -p PID[,PID...] | -n NAME",
	.sentence = "Show what running processes have loaded: executable, linker and libraries of every\n"
		    "namespace, with addresses and build-ids. Nothing is stopped.",
	.rows = rows,
	.epilogue = "Exit status: 0; 125 when a process could not be read.\n"
		    "Example: tether libs -n postgres --format=jsonl -o /dev/stdout",
};

struct listing {
	struct output *output;
	int64_t pid;
};

static int show(const struct tether_object *object, void *data)
{
	const struct listing *listing = data;

	output_object(listing->output, listing->pid, object);
	return 0;
}

static int list(struct tether_session *session, struct output *output, int64_t pid, const void *data)
{
	struct tether_grab_opts observe = { .size = sizeof(observe), .flags = TETHER_OBSERVE };
	struct tether_error error = TETHER_ERROR_INIT;
	struct listing listing = { output, pid };
	struct tether *handle;
	int result = tether_grab(session, pid, &observe, &handle, &error);

	(void)data;
	if (result == 0) {
		result = tether_objects(handle, show, &listing);
		tether_release(handle);
	}
	if (result < 0)
		refusal(output, "read the libraries of", pid, TETHER_ACCESS_OBSERVE, result, &error);
	return result < 0 ? STATUS_TETHER : 0;
}

static int libs(const void *given, struct output *output)
{
	const struct libs_options *options = given;

	return select_ask_each(&options->selection, output, list, options);
}

int command_libs(const struct invocation *invocation)
{
	struct libs_options options = { 0 };
	int operands, status;

	if (common_parse(&table, invocation, &options, &operands, &status))
		return select_run(invocation, operands, &options.selection, &options.common.output, true,
				  libs, &options);
	select_free(&options.selection);
	return status;
}
