/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * symbol/fetch.c - a debug file from the servers that DEBUGINFOD_URLS names, by build-id
 *
 * By elfutils' client, which is loaded when it is first asked for: it brings a whole network library along, which
 * nobody shall have in their process who fetches nothing. It keeps what it fetches, and what it has not found, in a cache of
 * its own on disk. The thread that calls waits; nothing else does, so no lock is held here.
 */
#include "symbol/table.h"

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char library[] = "libdebuginfod.so.1";

/* As <elfutils/debuginfod.h> declares them. */
struct client {
	void *(*begin)(void);
	int (*find_debuginfo)(void *client, const unsigned char *build_id, int length, char **path);
	void (*end)(void *client);
	void (*set_progressfn)(void *client, int (*progress)(void *client, long done, long all));
	void (*set_user_data)(void *client, void *data);
	void *(*get_user_data)(void *client);
};

static bool take(void *from, const char *name, void *to)
{
	void *found = dlsym(from, name);

	memcpy(to, &found, sizeof(found)); /* ISO C has no cast from an object to a function */
	return found;
}

static bool load(struct client *client)
{
	/* Never closed: what it has started may not be ended. */
	void *loaded = dlopen(library, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);

	return loaded && take(loaded, "debuginfod_begin", &client->begin) &&
	       take(loaded, "debuginfod_find_debuginfo", &client->find_debuginfo) &&
	       take(loaded, "debuginfod_end", &client->end) &&
	       take(loaded, "debuginfod_set_progressfn", &client->set_progressfn) &&
	       take(loaded, "debuginfod_set_user_data", &client->set_user_data) &&
	       take(loaded, "debuginfod_get_user_data", &client->get_user_data);
}

int symbol_fetch_check(void)
{
	const char *servers = getenv("DEBUGINFOD_URLS");
	struct client client;

	if (!servers || !servers[strspn(servers, " ")])
		return -EDESTADDRREQ;
	return load(&client) ? 0 : -ELIBACC;
}

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

struct waiting {
	struct client client;
	const struct symbol_fetching *fetching;
	uint64_t until_ns;
	bool refused;
};

/* Called by the client about once a second at least; not 0: it gives up. */
static int progress(void *client, long done, long all)
{
	/* The one pointer that it hands out; which of its functions does so is found anew, for there is no other data. */
	struct waiting *waiting;
	struct client functions;

	(void)done;
	(void)all;
	if (!load(&functions))
		return 1;
	waiting = functions.get_user_data(client);
	waiting->refused = waiting->refused || !waiting->fetching->may(waiting->fetching->data);
	return waiting->refused || now() >= waiting->until_ns;
}

static int find(struct waiting *waiting, const struct elf_build_id *id, char **ret)
{
	void *client = waiting->client.begin();
	int fd;

	if (!client)
		return -ENOMEM;
	waiting->client.set_user_data(client, waiting);
	waiting->client.set_progressfn(client, progress);
	fd = waiting->client.find_debuginfo(client, id->bytes, (int)id->size, ret);
	waiting->client.end(client);
	if (fd < 0)
		return waiting->refused ? -ECANCELED : fd;
	symbol_close(fd);
	return *ret ? 0 : -ENOENT;
}

int symbol_fetch(const struct symbol_fetching *fetching, const struct elf_build_id *id, char **ret)
{
	struct waiting waiting = { .fetching = fetching,
				   .until_ns = now() + UINT64_C(1000000000) * MAX_FETCH_SECONDS };
	const struct timespec at_once = { 0, 0 };
	sigset_t pipe, before, pending;
	int result = symbol_fetch_check();

	*ret = NULL;
	if (result || !load(&waiting.client))
		return result ? result : -ELIBACC;
	if (!fetching->may(fetching->data))
		return -ECANCELED;
	/* Else each of a hundred objects would wait for a server that is silent. */
	if (__atomic_load_n(fetching->failed, __ATOMIC_RELAXED))
		return -EHOSTDOWN;
	/* A server that hangs up may raise it, in whatever the network library is built on. */
	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	sigpending(&pending);
	pthread_sigmask(SIG_BLOCK, &pipe, &before);
	result = find(&waiting, id, ret);
	if (!sigismember(&pending, SIGPIPE))
		while (sigtimedwait(&pipe, NULL, &at_once) < 0 && errno == EINTR)
			;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (result && result != -ENOENT && result != -ECANCELED)
		__atomic_store_n(fetching->failed, true, __ATOMIC_RELAXED);
	return result;
}
