/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * process/jit.c - names of code that a victim makes at run time
 *
 * The map is a file in the victim's own /tmp under the pid that the victim sees itself by. What was read of it is kept,
 * so that it answers when the victim has ended.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/procfs.h"
#include "process/handle.h"
#include "process/names.h"

struct owner {
	int64_t pid; /* in its own pid namespace */
	uint32_t uid;
};

/* The last number of NSpid is the innermost namespace's. */
static bool read_owner(int64_t tid, struct owner *ret)
{
	struct os_task_status status;
	char path[48], line[256];
	FILE *file;

	if (os_task_status(tid, &status) < 0)
		return false;
	*ret = (struct owner){ status.tgid, status.uid };
	snprintf(path, sizeof(path), "/proc/%lld/status", (long long)status.tgid);
	file = fopen(path, "re");
	if (file == NULL)
		return false;
	while (fgets(line, sizeof(line), file) != NULL) {
		const char *last = strncmp(line, "NStgid:", 7) == 0 ? strrchr(line, '\t') : NULL;
		if (last == NULL)
			continue;
		ret->pid = strtoll(last, NULL, 10);
		break;
	}
	fclose(file);
	return true;
}

/* What is kept of images before: as much as a process that changes its program now and then needs. */
enum { KEPT_MAPS = 4 };

static void jit_free(struct jit *jit)
{
	symbol_jit_free(jit->map);
	free(jit);
}

void names_jit_clear(struct names *names)
{
	struct jit *jit;

	while ((jit = STAILQ_FIRST(&names->jits)) != NULL) {
		STAILQ_REMOVE_HEAD(&names->jits, next);
		jit_free(jit);
	}
}

static struct jit *find(const struct names *names, uint64_t image)
{
	struct jit *jit;

	STAILQ_FOREACH(jit, &names->jits, next)
		if (jit->image == image)
			break;
	return jit;
}

static void drop_oldest(struct names *names)
{
	struct jit *jit, *last = NULL;
	int count = 0;

	STAILQ_FOREACH(jit, &names->jits, next) {
		last = jit;
		count++;
	}
	if (count <= KEPT_MAPS)
		return;
	STAILQ_REMOVE(&names->jits, last, jit, next);
	jit_free(last);
}

/* NULL: out of memory. */
static struct jit *add(struct names *names, uint64_t image)
{
	struct jit *jit = calloc(1, sizeof(*jit));

	if (jit != NULL)
		jit->map = symbol_jit_new();
	if (jit == NULL || jit->map == NULL) {
		free(jit);
		return NULL;
	}
	jit->image = image;
	STAILQ_INSERT_HEAD(&names->jits, jit, next);
	drop_oldest(names);
	return jit;
}

/* Reading held. Any failure leaves what is known already. */
static void read_map(struct names *names, uint64_t image, int64_t tid)
{
	struct owner owner;
	char path[48];
	int root;

	if (!read_owner(tid, &owner))
		return;
	snprintf(path, sizeof(path), "/proc/%lld/root", (long long)tid);
	root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return;
	struct jit *jit = find(names, image);
	bool made = jit == NULL;
	if (made)
		jit = add(names, image);
	if (jit != NULL && symbol_jit_read(jit->map, root, owner.pid, (uid_t)owner.uid) < 0 && made) {
		STAILQ_REMOVE_HEAD(&names->jits, next);
		jit_free(jit);
	}
	close(root);
}

int names_jit(struct looking *looking, vaddr_t address, struct symbol *ret)
{
	struct names *names = &looking->process->names;
	struct symbol symbol;
	int result = -ENOENT;

	pthread_mutex_lock(&names->reading);
	/* Not while it stands still, as it may serve its /tmp itself. */
	if (!looking->past && looking->access.memory != NULL && !looking->access.parked)
		read_map(names, looking->view->image, looking->access.tid);
	const struct jit *jit = find(names, looking->view->image);
	if (jit != NULL)
		result = symbol_jit_at(jit->map, address, &symbol);
	if (result == 0) {
		free(looking->jit_name);
		looking->jit_name = strdup(symbol.name);
		result = looking->jit_name != NULL ? 0 : -ENOMEM;
	}
	pthread_mutex_unlock(&names->reading);
	if (result != 0)
		return result;
	symbol.name = looking->jit_name;
	*ret = symbol;
	return 0;
}
