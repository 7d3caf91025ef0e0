/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Handles that are locked for several calls in one piece: row 12 of docs/mapping.md.
 */
#include "harness.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct rival {
	struct tether *process;
	int (*call)(struct tether *process);
	_Atomic int result; /* 1: not back yet */
};

static void *rival_main(void *data)
{
	struct rival *rival = data;

	atomic_store(&rival->result, rival->call(rival->process));
	return NULL;
}

static int lock_and_unlock(struct tether *process)
{
	int result = tether_lock(process);

	return result ? result : tether_unlock(process);
}

static bool is_back(void *data)
{
	return atomic_load(&((struct rival *)data)->result) != 1;
}

TEST(a_locked_handle_is_one_threads_and_recursion_is_an_error)
{
	struct victim v = victim_start("threads", "steady", "2", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, 0);
	static int (*const calls[])(struct tether *) = { lock_and_unlock, tether_continue };

	check_int(tether_unlock(process), -TETHER_ESTATE);
	for (size_t i = 0; i < 2; i++) {
		struct rival rival = { process, calls[i], 1 }, thief = { process, tether_unlock, 1 };
		pthread_t thread;

		check_int(tether_lock(process), 0);
		check_int(tether_lock(process), -TETHER_EDEADLK);
		pthread_create(&thread, NULL, rival_main, &thief);
		pthread_join(thread, NULL);
		check_int(thief.result, -TETHER_ESTATE);
		pthread_create(&thread, NULL, rival_main, &rival);
		check(!eventually(is_back, &rival, 50));
		/* What only reads does not wait, and what the owner asks for is done. */
		check_int(state_of(process), i ? TETHER_STATE_RUNNING : TETHER_STATE_PARKED);
		check_int(tether_continue(process), 0);
		check_int(tether_set_mode(process, TETHER_MODE_RUN), 0);
		check(!is_back(&rival));
		check_int(tether_unlock(process), 0);
		pthread_join(thread, NULL);
		check_int(rival.result, 0);
	}
	victim_ask(&v, "progress", "progress");
	client_close(&c);
	check_int(victim_end(&v), 0);
}

TEST(no_event_of_a_locked_handle_is_acted_on_before_it_is_unlocked)
{
	struct victim v = victim_start("children", NULL);
	struct victim other = victim_start("children", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);

	client_grab(&c, other.pid, TETHER_NO_PARK);
	client_drain(&c, 20);
	check_int(tether_lock(process), 0);
	victim_ask(&v, "fork", "done");
	check_int(victim_end(&v), 0);
	/* Another family is served as ever. */
	victim_ask(&other, "fork", "done");
	client_await(&c, "fork", 100);
	client_drain(&c, 20);
	check_int(client_count(&c, "fork"), 100);
	check_int(state_of(process), TETHER_STATE_RUNNING);
	check_int(tether_unlock(process), 0);
	/* In order, children's too, and without waiting for anything. */
	check_int(state_of(process), TETHER_STATE_EXITED);
	client_drain(&c, 0);
	check_int(client_count(&c, "fork"), 200);
	check_int(client_count(&c, "exit"), 201);
	check_int(client_count(&c, "exit 99"), 2);
	client_close(&c);
	check_int(victim_end(&other), 0);
}

TEST(a_release_unlocks_what_its_thread_has_locked)
{
	struct victim v = victim_start("threads", "steady", "2", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);

	check(tether_ref(process) == process);
	check_int(tether_lock(process), 0);
	check_int(tether_release(process), 0);
	check_int(tether_unlock(process), -TETHER_ESTATE);
	check_int(tether_lock(process), 0);
	check_int(tether_release(process), 0);
	check_untraced(v.pid);
	/* Held and locked to the end of the session. */
	process = client_grab(&c, v.pid, TETHER_NO_PARK);
	check_int(tether_lock(process), 0);
	client_close(&c);
	check_untraced(v.pid);
	check_int(victim_end(&v), 0);
}

TEST(a_victim_runs_on_though_its_handle_is_locked_for_long)
{
	struct victim v = victim_start("children", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	uint64_t began = now_ns();

	check_int(tether_lock(process), 0);
	victim_ask(&v, "dlopen", "done"); /* each hit waits for its deadline, or not at all after the first */
	check(now_ns() - began < UINT64_C(4000000000));
	check_int(tether_unlock(process), 0);
	victim_ask(&v, "dlopen", "done");
	client_await(&c, "load plugin-a.so", 1);
	client_close(&c);
	check_untraced(v.pid);
	check_int(victim_end(&v), 0);
}

TEST(what_is_kept_for_a_locked_handle_is_bounded)
{
	struct victim v = victim_start("children", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);

	check_int(tether_lock(process), 0);
	for (unsigned i = 0; client_count(&c, "exit 7") == 0; i++) {
		check(i < 200);
		victim_ask(&v, "spawn", "done");
		client_drain(&c, 0);
	}
	check_int(tether_unlock(process), -TETHER_ELIMIT);
	check_int(tether_lock(process), 0);
	check_int(tether_unlock(process), 0);
	client_close(&c);
	check_int(victim_end(&v), 0);
}
