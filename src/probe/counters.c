/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * probe/counters.c - hits are counted by the controller, and read here without asking it
 *
 * A file in memory that both map, as long as all the counters that there may ever be: pages that nobody has counted in
 * cost nothing. It is sealed, since a controller maps no file that could be cut short under it. Indexes are not used
 * again: a late hit of a breakpoint that is gone spoils no other's count.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "os/sys.h"
#include "probe/inside.h"

int sealed_file(const char *name, size_t bytes)
{
	long file = sys(memfd_create, name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (file < 0)
		return file == -EMFILE || file == -ENFILE ? (int)file : -ENOMEM;
	long result = sys(ftruncate, file, bytes);
	if (result == 0)
		result = sys(fcntl, file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	if (result == 0)
		return (int)file;
	sys(close, file);
	return -ENOMEM;
}

void *sealed_map(int file, size_t bytes, int protection)
{
	void *at = mmap(NULL, bytes, protection, MAP_SHARED, file, 0);

	if (at == MAP_FAILED)
		return NULL;
	/* A forked child of the host has no use for it. */
	(void)madvise(at, bytes, MADV_DONTFORK);
	return at;
}

static struct counters *map(int file)
{
	struct counters *counters = calloc(1, sizeof(*counters));
	void *at;

	if (counters == NULL)
		return NULL;
	at = sealed_map(file, COUNTERS_BYTES, PROT_READ);
	if (at == NULL) {
		free(counters);
		return NULL;
	}
	counters->users = 1;
	counters->value = at;
	counters->used = 1; /* 0 is none */
	return counters;
}

int counters_make(struct family *family, answer_fn *answered, struct operation *operation)
{
	struct proto_counters body = { .count = MAX_COUNTERS };
	int file, result;

	if (family->counters)
		return 0;
	file = sealed_file("tether-counters", COUNTERS_BYTES);
	if (file < 0)
		return file;
	struct counters *counters = map(file);
	if (counters == NULL) {
		sys(close, file);
		return -ENOMEM;
	}
	result = family_send_with(family, PROTO_REQ_counters, &body, NULL, 0, file, answered, operation);
	sys(close, file);
	pthread_mutex_lock(&family->table->lock);
	if (result < 0)
		counters_put(counters);
	else
		family->counters = counters;
	pthread_mutex_unlock(&family->table->lock);
	return result < 0 ? result : 1;
}

void counters_put(struct counters *counters)
{
	if (counters == NULL || --counters->users)
		return;
	munmap(counters->value, COUNTERS_BYTES);
	free(counters);
}

uint32_t counters_next(struct counters *counters, uint32_t count)
{
	uint32_t first = counters->used;

	if (count > MAX_COUNTERS - first)
		return 0;
	counters->used += count;
	return first;
}

uint64_t counters_read(const struct counters *counters, uint32_t index)
{
	return __atomic_load_n(&counters->value[index], __ATOMIC_RELAXED);
}
