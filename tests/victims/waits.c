/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A thread in each system call that can wait, and then what it waited for: the one call that was made must give
 * what it gives when nobody disturbs it. At "finish" each call gets what ends it; then one line a call comes,
 * "NAME: RESULT ERRNO, WHAT IT GOT", and "done". The lines are the same in every run, but for a call that this
 * kernel does not have, which says so in every run too.
 */
#include "waits.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>

enum { EVENTUALLY_MS = 10000 };

static void *run(void *data)
{
	struct call *call = data;

	errno = 0;
	call->result = call->wait(call);
	call->error = call->result < 0 ? errno : 0;
	atomic_store(&call->left, 1);
	return NULL;
}

static void start(struct call *call)
{
	if (pipe2(call->end, O_CLOEXEC))
		exit(98);
	if (call->prepare)
		call->prepare(call);
	if (pthread_create(&call->thread, NULL, run, call))
		exit(98);
}

static void finish(struct call *call)
{
	call->finish(call);
}

static void tell(struct call *call)
{
	for (int ms = 0; !atomic_load(&call->left) && ms < EVENTUALLY_MS; ms++)
		usleep(1000);
	if (!atomic_load(&call->left))
		say("%s: still waits", call->name);
	else
		say("%s: %ld %d, %s", call->name, call->result, call->error, call->found);
}

static void tidy(struct call *call)
{
	if (call->tidy)
		call->tidy(call);
}

static void each(void (*visit)(struct call *call))
{
	for (struct call *call = waits_files; call->name; call++)
		visit(call);
	for (struct call *call = waits_rest; call->name; call++)
		visit(call);
}

/* A thread that is not in its call yet makes it after whatever comes: nothing is lost, only less is looked at. */
static void let_them_in(void)
{
	usleep(50000);
}

int main(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 5);
	sigaddset(&set, SIGRTMIN + 7);
	sigprocmask(SIG_BLOCK, &set, NULL);
	each(start);
	let_them_in();
	say("ready");
	while (*hear()) {
		each(finish);
		each(tell);
		each(tidy);
		say("done");
	}
	return 0;
}
