/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * progress.c - a line on the terminal, by a thread that looks on while the one that called waits
 */
#include "progress.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* Shorter work is over before anybody has wondered. */
enum { FIRST_MS = 500, THEN_MS = 100 };

struct watcher {
	struct tether *process;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool over, shown;
};

/* True: it is over. Lock held. */
static bool wait_a_while(struct watcher *watcher, unsigned milliseconds)
{
	struct timespec until;
	int error = 0;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += (long)milliseconds * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	while (!watcher->over && !error)
		error = pthread_cond_timedwait(&watcher->changed, &watcher->lock, &until);
	return watcher->over;
}

/* "46,276" */
static const char *grouped(uint64_t value, char text[32])
{
	char *at = text + 31;

	*at = '\0';
	for (unsigned digits = 0; !digits || value; digits++, value /= 10) {
		if (digits && digits % 3 == 0)
			*--at = ',';
		*--at = (char)('0' + value % 10);
	}
	return at;
}

static void show(struct watcher *watcher)
{
	char one[32], other[32];
	uint64_t done, total;

	if (tether_breakpoint_progress(watcher->process, &done, &total) < 0 || !total || done == total)
		return;
	fprintf(stderr, "\rplanting %s of %s\033[K", grouped(done, one), grouped(total, other));
	fflush(stderr);
	watcher->shown = true;
}

static void *watch(void *data)
{
	struct watcher *watcher = data;

	pthread_mutex_lock(&watcher->lock);
	for (bool over = wait_a_while(watcher, FIRST_MS); !over; over = wait_a_while(watcher, THEN_MS))
		show(watcher);
	pthread_mutex_unlock(&watcher->lock);
	return NULL;
}

/* Signals are for the thread that is there anyway. */
static bool begin(struct watcher *watcher, struct tether *process, pthread_t *ret)
{
	pthread_condattr_t attributes;
	sigset_t all, before;

	if (!isatty(STDERR_FILENO))
		return false;
	*watcher = (struct watcher){ .process = process, .lock = PTHREAD_MUTEX_INITIALIZER };
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&watcher->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int error = pthread_create(ret, NULL, watch, watcher);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return !error;
}

static void end(struct watcher *watcher, pthread_t thread)
{
	pthread_mutex_lock(&watcher->lock);
	watcher->over = true;
	pthread_cond_signal(&watcher->changed);
	pthread_mutex_unlock(&watcher->lock);
	pthread_join(thread, NULL);
	if (watcher->shown) {
		fputs("\r\033[K", stderr);
		fflush(stderr);
	}
}

int progress_breakpoint_add(struct tether *process, const struct tether_breakpoint_opts *opts,
			    struct tether_breakpoint **ret, struct tether_error *err)
{
	struct watcher watcher;
	pthread_t thread;
	bool watched = begin(&watcher, process, &thread);
	int result = tether_breakpoint_add(process, opts, ret, err);

	if (watched)
		end(&watcher, thread);
	return result;
}
