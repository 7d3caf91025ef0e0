/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "process/handle.h"
#include "process/names.h"

static void ignore_object(struct object *object, void *data)
{
	(void)object;
	(void)data;
}

/* An observe handle keeps nothing: what is mapped is read when it is asked for. */
static int read_afresh(struct tether *process, struct object_list *list)
{
	struct rtld_changes changes = { ignore_object, ignore_object, NULL };
	struct reader memory = process_reader(process);
	struct rtld rtld = { 0 };
	int64_t tid = process_live_tid(process);
	int result = rtld_survey(&rtld, tid, &memory, NULL);

	if (result == 0)
		result = rtld_scan(&rtld, tid, &memory, list, &changes);
	if (result == -ESRCH)
		return -TETHER_EGONE;
	if (result == -EMEDIUMTYPE)
		return -TETHER_EMACHINE;
	return result == -EACCES || result == -EPERM ? -TETHER_EPRIV : result < 0 ? result : 0;
}

static int visit_list(const struct object_list *list, tether_object_fn *visit, void *data)
{
	const struct object *object;
	int result = 0;

	TAILQ_FOREACH(object, &list->queue, entry) {
		struct tether_object seen = {
			.size = sizeof(seen),
			.path = object->path,
			.base = object->bias,
			.low = object->low,
			.high = object->high,
			.lmid = object->lmid,
			.build_id = object->build_id.bytes,
			.build_id_size = object->build_id.size,
		};
		result = visit(&seen, data);
		if (result)
			break;
	}
	return result;
}

int tether_objects(struct tether *process, tether_object_fn *visit, void *data)
{
	struct table *table = process->table;
	struct object_list list;
	int result = table_enter(table);

	if (result < 0)
		return result;
	pthread_mutex_unlock(&table->lock);
	(void)names_catch_up(process);
	pthread_mutex_lock(&table->lock);
	object_list_init(&list);
	if (process->observe) {
		/* Nothing of the session is looked at, and a list that lies is long: others need not wait for it. */
		pthread_mutex_unlock(&table->lock);
		result = read_afresh(process, &list);
		pthread_mutex_lock(&table->lock);
	} else {
		result = object_list_copy(&list, &process->objects);
	}
	table_leave(table);
	if (result == 0)
		result = visit_list(&list, visit, data);
	object_list_clear(&list);
	return result;
}
