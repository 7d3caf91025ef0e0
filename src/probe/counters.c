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

static int sealed_file(void)
{
	long file = sys(memfd_create, "tether-counters", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (file < 0)
		return (int)file;
	long result = sys(ftruncate, file, COUNTERS_BYTES);
	if (result == 0)
		result = sys(fcntl, file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	if (result == 0)
		return (int)file;
	sys(close, file);
	return (int)result;
}

static struct counters *map(int file)
{
	struct counters *counters = calloc(1, sizeof(*counters));
	void *at;

	if (counters == NULL)
		return NULL;
	at = mmap(NULL, COUNTERS_BYTES, PROT_READ, MAP_SHARED, file, 0);
	if (at == MAP_FAILED) {
		free(counters);
		return NULL;
	}
	/* A forked child of the host has no use for it. */
	(void)madvise(at, COUNTERS_BYTES, MADV_DONTFORK);
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
	file = sealed_file();
	if (file < 0)
		return file == -EMFILE || file == -ENFILE ? file : -ENOMEM;
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

uint32_t counters_next(struct counters *counters)
{
	return counters->used < MAX_COUNTERS ? counters->used++ : 0;
}

uint64_t counters_read(const struct counters *counters, uint32_t index)
{
	return __atomic_load_n(&counters->value[index], __ATOMIC_RELAXED);
}
