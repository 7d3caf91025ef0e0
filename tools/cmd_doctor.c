/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cmd_doctor.c - can a process be held; if not, exactly why and what would allow it
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common.h"
#include "proc.h"
#include "select.h"

struct doctor_options {
	struct common_options common;
	struct selection selection;
};

static const struct option_row rows[] = {
	SELECT_OPTIONS(struct doctor_options, selection),
	RECORD_OPTIONS(struct doctor_options, common),
	LAST_OPTIONS,
};

static const struct option_table table = {
	.usage = "doctor [options] [-p PID[,PID...] | -n NAME]",
	.sentence = "Say whether processes can be held, why not, and what would allow it; without one, what\n"
		    "this machine and this user allow.",
	.rows = rows,
	.epilogue = "Exit status: 0 when all can be held; 1 when one cannot; 125 when tether failed.\n"
		    "Example: tether doctor -n nginx --tree",
};

enum { REASONS = 16 };

struct collected {
	struct output_reason reasons[REASONS];
	size_t count;
};

static int collect(const struct tether_reason *reason, void *data)
{
	struct collected *all = data;
	struct output_reason *kept = &all->reasons[all->count];

	if (all->count == REASONS)
		return 0;
	*kept = (struct output_reason){ reason->name, reason->forbids, strdup(reason->detail),
					strdup(reason->cure) };
	if (!kept->detail || !kept->cure) {
		free(kept->detail);
		free(kept->cure);
		return -ENOMEM;
	}
	all->count++;
	return 0;
}

/* True: it may be held. *failed: no verdict. */
static bool examine(struct output *output, int64_t pid, bool *failed)
{
	struct tether_verdict found = { .size = sizeof(found) };
	struct collected all = { .count = 0 };
	char name[PROC_NAME] = "";
	int result = tether_diagnose(pid, &found, collect, &all);

	*failed = result < 0;
	if (result < 0) {
		output_failure(output, "no verdict can be had", result, NULL);
	} else {
		struct output_verdict verdict = { pid, name, found.access, all.reasons, all.count };

		if (pid)
			proc_name(pid, name);
		output_verdict(output, &verdict);
	}
	for (size_t i = 0; i < all.count; i++) {
		free(all.reasons[i].detail);
		free(all.reasons[i].cure);
	}
	return result >= 0 && found.access & TETHER_ACCESS_CONTROL;
}

/* The library judges what the system allows; that tether itself is whole shows when a session is opened. */
static int examine_machine(struct output *output)
{
	struct tether_error error = TETHER_ERROR_INIT;
	struct tether_session *session;
	bool failed, good = examine(output, 0, &failed);
	int result = tether_session_open(NULL, &session, &error);

	if (result < 0)
		output_failure(output, "cannot open a session", result, &error);
	else
		tether_session_close(session);
	return failed || result < 0 ? STATUS_TETHER : good ? 0 : STATUS_NO;
}

static int examine_all(const void *given, struct output *output)
{
	const struct doctor_options *options = given;
	int status = 0;

	for (size_t i = 0; i < options->selection.count; i++) {
		bool failed;

		if (examine(output, options->selection.pids[i], &failed))
			continue;
		status = failed || status == STATUS_TETHER ? STATUS_TETHER : STATUS_NO;
	}
	return status;
}

static int doctor_of_machine(const struct doctor_options *options, const struct invocation *invocation)
{
	struct output output;
	int status;

	if (!output_open(&output, &options->common.output, invocation->whole_argv))
		return STATUS_TETHER;
	status = examine_machine(&output);
	return output_close(&output) ? status : STATUS_TETHER;
}

int command_doctor(const struct invocation *invocation)
{
	struct doctor_options options = { 0 };
	int operands, status;

	if (!common_parse(&table, invocation, &options, &operands, &status)) {
		select_free(&options.selection);
		return status;
	}
	/* --tree or a word alone is a mistake, and said to be one. */
	if (!select_given(&options.selection) && !options.selection.tree && !invocation->argv[operands])
		return doctor_of_machine(&options, invocation);
	return select_run(invocation, operands, &options.selection, &options.common.output, true, examine_all,
			  &options);
}
