/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * process/loads.c - what came and went among a process's load objects, as events
 *
 * Clients read the list under the lock, so it is held while the list changes; the walk is bounded. A stack is looked for
 * without it, since files are opened for that: then the events wait until the walk is over.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "process/handle.h"
#include "process/sample.h"

struct news {
	STAILQ_ENTRY(news) next;
	uint32_t kind;
	struct object object; /* with a path of its own */
};
STAILQ_HEAD(news_queue, news);

struct scan {
	struct tether *process;
	int64_t tid;
	uint64_t t_ns;
	bool stacks; /* events wait for them */
	struct news_queue news;
};

/* Lock held. */
static void post(const struct scan *scan, const struct object *object, uint32_t kind, struct tether_sample *stack)
{
	struct table *table = scan->process->family->table;
	struct tether_event event = {
		.size = sizeof(event),
		.kind = kind,
		.pid = scan->process->pid,
		.tid = scan->tid,
		.t_ns = scan->t_ns,
		.process = scan->process,
		.u.object = {
			.path = object->path,
			.base = object->bias,
			.low = object->low,
			.high = object->high,
			.lmid = object->lmid,
			.build_id = object->build_id.bytes,
			.build_id_size = object->build_id.size,
			.initial = object->initial,
		},
		.stack = stack,
	};

	table->host->post(table->host, &event);
}

static bool keep(struct scan *scan, const struct object *object, uint32_t kind)
{
	struct news *news = scan->stacks ? malloc(sizeof(*news)) : NULL;

	if (!news)
		return false;
	*news = (struct news){ .kind = kind, .object = *object };
	news->object.path = strdup(object->path);
	if (!news->object.path) {
		free(news);
		return false;
	}
	STAILQ_INSERT_TAIL(&scan->news, news, next);
	return true;
}

static void changed(const struct object *object, struct scan *scan, uint32_t kind)
{
	const struct family *family = scan->process->family;

	if (object->is_program || object->is_linker || object->is_vdso)
		return;
	if (family->events && !(family->events & TETHER_EVENT_BIT(kind)))
		return;
	if (!keep(scan, object, kind))
		post(scan, object, kind, NULL);
}

static void object_added(struct object *object, void *data)
{
	changed(object, data, TETHER_EVENT_LOAD);
}

static void object_removed(struct object *object, void *data)
{
	changed(object, data, TETHER_EVENT_UNLOAD);
}

/* Of what was there from the start nobody has called for. */
static bool has_caller(const struct family *family, const struct news *news)
{
	return family->stacks & TETHER_EVENT_BIT(news->kind) && !news->object.initial;
}

static void post_kept(struct scan *scan)
{
	struct family *family = scan->process->family;
	struct tether_sample *sample = NULL;
	struct news *news;

	STAILQ_FOREACH(news, &scan->news, next) {
		if (has_caller(family, news))
			sample = sampled_frames(family, scan->process);
	}
	pthread_mutex_lock(&scan->process->table->lock);
	while ((news = STAILQ_FIRST(&scan->news))) {
		STAILQ_REMOVE_HEAD(&scan->news, next);
		post(scan, &news->object, news->kind, has_caller(family, news) ? sample : NULL);
		free(news->object.path);
		free(news);
	}
	pthread_mutex_unlock(&scan->process->table->lock);
}

int follow_scan_by(struct tether *process, int64_t tid, uint64_t t_ns, const struct reader *memory)
{
	struct scan scan = { .process = process, .tid = tid, .t_ns = t_ns };
	struct rtld_changes changes = { object_added, object_removed, &scan };

	STAILQ_INIT(&scan.news);
	scan.stacks = process->family && process->family->sampled.registers.type == PROTO_EV_hit;
	pthread_mutex_lock(&process->table->lock);
	int result = rtld_scan(&process->rtld, tid, memory, &process->objects, &changes);
	pthread_mutex_unlock(&process->table->lock);
	if (scan.stacks)
		post_kept(&scan);
	if (result < 0 || process->rtld.refused)
		process->table->host->log(process->table->host, 1, "link maps of %lld: %s", (long long)process->pid,
					  result == -EOVERFLOW ? "more than the bounds allow, the rest is left out" :
					  result < 0           ? tether_strerror(result) :
								 process->rtld.refused);
	return result;
}

int follow_scan(struct tether *process, int64_t tid, uint64_t t_ns)
{
	struct reader memory = process_reader(process);

	return follow_scan_by(process, tid, t_ns, &memory);
}
