/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * process/names.c - the view that a question is answered from
 */
#include "process/names.h"

#include <errno.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#include "base/linkmap.h"
#include "os/memory.h"
#include "os/procfs.h"
#include "os/sys.h"
#include "process/handle.h"

/* A view that is of no list of the control thread's has this generation. */
#define OWN_READING UINT64_MAX

void names_init(struct names *names)
{
	STAILQ_INIT(&names->past);
	STAILQ_INIT(&names->jits);
	object_list_init(&names->objects);
	pthread_mutex_init(&names->reading, NULL);
}

static void past_free(struct past *past)
{
	view_put(past->view);
	object_list_clear(&past->objects);
	free(past);
}

void names_clear(struct names *names)
{
	struct past *past;

	while ((past = STAILQ_FIRST(&names->past)) != NULL) {
		STAILQ_REMOVE_HEAD(&names->past, next);
		past_free(past);
	}
	view_put(names->view);
	object_list_clear(&names->objects);
	names_jit_clear(names);
	pthread_mutex_destroy(&names->reading);
}

/* ---- what was --------------------------------------------------------------------------------- */

/* The oldest goes beyond the bound. Its table may still be read by who looks into it: a view is counted. */
static void shorten(struct names *names)
{
	struct past *past, *last = NULL;

	if (names->past_count <= MAX_PAST_IMAGES)
		return;
	STAILQ_FOREACH(past, &names->past, next)
		last = past;
	STAILQ_REMOVE(&names->past, last, past, next);
	names->past_count--;
	past_free(last);
}

/* Takes view and list; without memory they are lost, and addresses of that image have no name. */
static void keep_past(struct names *names, uint64_t image, struct view *view, struct object_list *objects)
{
	struct past *past = calloc(1, sizeof(*past));

	if (past == NULL) {
		view_put(view);
		return;
	}
	past->image = image;
	past->view = view;
	object_list_init(&past->objects);
	if (objects != NULL) {
		TAILQ_CONCAT(&past->objects.queue, &objects->queue, entry);
		past->objects.count = objects->count;
		object_list_init(objects);
	}
	STAILQ_INSERT_HEAD(&names->past, past, next);
	names->past_count++;
	shorten(names);
}

static bool is_of_list(const struct tether *process)
{
	const struct names *names = &process->names;

	return names->view != NULL && names->view->image == process->exec_serial &&
	       names->generation == process->objects.generation && names->count == process->objects.count;
}

void names_exec(struct tether *process)
{
	struct names *names = &process->names;
	struct view *view = names->view;

	names->view = NULL;
	/* What was read last, where the list is not kept; else the list is newer. */
	bool newest = view != NULL && (process->objects.count == 0 || names->generation == OWN_READING ||
				       names->generation == process->objects.generation);
	if (newest) {
		keep_past(names, process->exec_serial, view, NULL);
	} else if (process->objects.count != 0) {
		keep_past(names, process->exec_serial, NULL, &process->objects);
		view_put(view);
	}
}

/* ---- of a list that the control thread keeps -------------------------------------------------- */

/* A static program's vdso is in no list. Lock held or not. */
static bool find_vdso(int64_t tid, const struct reader *memory, struct elf_image *ret)
{
	uint64_t header;

	return os_auxv(tid, AT_SYSINFO_EHDR, &header) == 0 && header != 0 && elf_image_at(memory, header, ret) == 0;
}

static bool lists_vdso(const struct object_list *list)
{
	const struct object *object;

	TAILQ_FOREACH(object, &list->queue, entry)
		if (object->is_vdso)
			return true;
	return false;
}

static struct view *make_view(uint64_t image, const struct object_list *list, const struct looking *looking,
			      const struct view *before)
{
	struct elf_image vdso;
	bool found = looking->access.tid != 0 && !lists_vdso(list) &&
		     find_vdso(looking->access.tid, &looking->memory, &vdso);

	return view_new(image, list, found ? &vdso : NULL, before);
}

/* Lock held. */
static int view_of_list(struct tether *process, struct looking *looking)
{
	struct names *names = &process->names;

	if (!is_of_list(process)) {
		struct view *view = make_view(process->exec_serial, &process->objects, looking, names->view);
		if (view == NULL)
			return -ENOMEM;
		view_put(names->view);
		names->view = view;
		names->generation = process->objects.generation;
		names->count = process->objects.count;
	}
	looking->view = view_get(names->view);
	return 0;
}

/* ---- read from the victim --------------------------------------------------------------------- */

static bool read_token(const struct reader *memory, struct token *token)
{
	return memory->read(memory->data, token->at, token->bytes, sizeof(token->bytes)) ==
	       (ssize_t)sizeof(token->bytes);
}

/* False: it cannot be told; then each question surveys the image anew. */
static bool find_token(int64_t tid, const struct reader *memory, struct token *ret)
{
	return os_auxv(tid, AT_RANDOM, &ret->at) == 0 && ret->at != 0 && read_token(memory, ret);
}

static bool same_image(const struct names *names, const struct reader *memory)
{
	struct token token = names->token;

	return names->surveyed && token.at != 0 && read_token(memory, &token) &&
	       memcmp(token.bytes, names->token.bytes, sizeof(token.bytes)) == 0;
}

/* Is the pid still this process's? Asked after reading: then all that was read was its own. */
static bool has_ended(const struct tether *process)
{
	return process->start_time != 0 && observe_ended(process);
}

static void set_ended(struct tether *process)
{
	pthread_mutex_lock(&process->table->lock);
	process->names.ended = true;
	pthread_mutex_unlock(&process->table->lock);
}

static int public_code(int result)
{
	switch (result) {
	case -ESRCH: return -TETHER_EGONE;
	case -EMEDIUMTYPE: return -TETHER_EMACHINE;
	case -EACCES:
	case -EPERM: return -TETHER_EPRIV;
	case -EOVERFLOW: return 0; /* what was read up to the bounds counts */
	default: return result < 0 ? result : 0;
	}
}

/* Reading held. A program that was not seen before: what was known of the last one goes with the past. */
static int survey_anew(struct tether *process, const struct looking *looking, struct rtld *rtld, struct token *token)
{
	int result = rtld_survey(rtld, looking->access.tid, &looking->memory, process->table->cache);

	if (result == 0 && !find_token(looking->access.tid, &looking->memory, token))
		*token = (struct token){ 0 };
	return result;
}

/* Reading held; everything has been read and was the victim's own. */
static void enter_image(struct tether *process, const struct looking *looking, const struct rtld *rtld,
			const struct token *token)
{
	struct names *names = &process->names;
	bool another = names->surveyed;
	struct mark mark = check_mark_of(rtld, looking->access.tid);

	pthread_mutex_lock(&process->table->lock);
	/* Of a held process the exec event tells, before or after. */
	if (another && process->observe) {
		names_exec(process);
		process->exec_serial++;
	}
	names->token = *token;
	names->mark = mark;
	pthread_mutex_unlock(&process->table->lock);
	names->rtld = *rtld;
	names->surveyed = true;
	object_list_clear(&names->objects);
}

/* Reading held. */
static int scan(struct tether *process, const struct looking *looking)
{
	struct names *names = &process->names;
	uint64_t changes = names->rtld.seen_changes;
	uint32_t count = names->objects.count;
	struct view *view = NULL;

	int result = public_code(rtld_scan(&names->rtld, looking->access.tid, &looking->memory, &names->objects, NULL));
	if (result < 0)
		return result;
	pthread_mutex_lock(&process->table->lock);
	struct view *before = view_get(names->view);
	uint64_t image = process->exec_serial;
	pthread_mutex_unlock(&process->table->lock);
	bool same = before != NULL && before->image == image && names->rtld.seen_changes == changes &&
		    names->objects.count == count;
	if (!same)
		view = make_view(image, &names->objects, looking, before);
	view_put(before);
	if (has_ended(process)) {
		view_put(view);
		return -TETHER_EGONE;
	}
	if (same)
		return 0;
	if (view == NULL)
		return -ENOMEM;
	pthread_mutex_lock(&process->table->lock);
	before = names->view;
	names->view = view;
	names->generation = OWN_READING;
	pthread_mutex_unlock(&process->table->lock);
	view_put(before);
	return 0;
}

/* Reading held. */
static int read_lists(struct tether *process, const struct looking *looking)
{
	struct names *names = &process->names;
	struct token token;
	struct rtld rtld;

	if (!same_image(names, &looking->memory)) {
		int result = survey_anew(process, looking, &rtld, &token);
		if (result < 0 || has_ended(process))
			return result < 0 ? public_code(result) : -TETHER_EGONE;
		enter_image(process, looking, &rtld, &token);
	}
	return scan(process, looking);
}

/* To those who are not root, what is left of a process reads as if it were not theirs. */
static bool is_zombie(const struct tether *process)
{
	struct os_task_status status;

	return os_task_status(process->pid, &status) == 0 && status.state == 'Z' && status.threads <= 1;
}

/* Bring names.view up to date with what the victim's own lists say. */
static int read_names(struct tether *process, const struct looking *looking)
{
	struct names *names = &process->names;

	pthread_mutex_lock(&names->reading);
	int result = read_lists(process, looking);
	pthread_mutex_unlock(&names->reading);
	if (result == -TETHER_EPRIV && is_zombie(process))
		result = -TETHER_EGONE;
	if (result == -TETHER_EGONE && has_ended(process))
		set_ended(process);
	return result;
}

/* ---- looking ---------------------------------------------------------------------------------- */

/* Lock held. Does the control thread hear of all that is loaded? */
static bool is_followed(const struct tether *process)
{
	return !process->observe && process->monitored && process->objects.count != 0 &&
	       (process->state == TETHER_STATE_RUNNING || process->state == TETHER_STATE_PARKED);
}

/* Lock held. Nothing can be read of it any more. */
static bool is_over(const struct tether *process)
{
	return process->names.ended || process->state == TETHER_STATE_EXITED;
}

static void begin(struct tether *process, struct looking *looking)
{
	*looking = (struct looking){ .process = process, .memory = process_plain_reader(process) };
	looking->access.pool = process->table->symbols;
}

/* Lock held. */
static void let_read(struct looking *looking)
{
	struct tether *process = looking->process;
	int64_t tid = __atomic_load_n(&process->live_tid, __ATOMIC_RELAXED);

	looking->access.tid = tid ? tid : process->pid;
	looking->access.memory = &looking->memory;
	looking->access.parked = process->state == TETHER_STATE_PARKED;
	looking->access.may_park = !process->observe && process->flags & TETHER_PARK_ON_CRASH;
}

/* Who has locked it has asked for this very state. */
static bool may_lag(const struct tether *process)
{
	return is_followed(process) && __atomic_load_n(&process->copies, __ATOMIC_RELAXED) &&
	       process->state == TETHER_STATE_RUNNING && !process->locked;
}

bool names_catch_up(struct tether *process)
{
	pthread_mutex_lock(&process->table->lock);
	bool lags = may_lag(process) && family_catch_up(process->table, process->controller) > 0;
	pthread_mutex_unlock(&process->table->lock);
	return lags;
}

bool names_listed(const struct looking *looking, const struct view_object *object)
{
	struct link_map_words words;
	const struct reader *memory = looking->access.memory;

	if (memory == NULL || object->stays || object->link_map == 0 ||
	    !__atomic_load_n(&looking->process->copies, __ATOMIC_RELAXED))
		return true;
	return memory->read(memory->data, object->link_map, &words, sizeof(words)) == (ssize_t)sizeof(words) &&
	       words.addr == object->bias && words.name == object->name && words.ld == object->dynamic;
}

/* Lock held. The list as it was when it ended. */
static int view_of_ended(struct tether *process, struct looking *looking)
{
	struct names *names = &process->names;

	looking->past = looking->current = true;
	if (process->objects.count != 0 && names->generation != OWN_READING)
		return view_of_list(process, looking);
	looking->view = view_get(names->view);
	return looking->view != NULL ? 0 : -TETHER_EGONE;
}

/* Lock held. 1: its lists must be read. */
static int look(struct tether *process, bool fresh, struct looking *looking)
{
	if (is_over(process))
		return view_of_ended(process, looking);
	let_read(looking);
	if (is_followed(process)) {
		looking->current = true;
		return view_of_list(process, looking);
	}
	if (fresh || process->names.view == NULL)
		return 1;
	looking->token = process->names.token;
	looking->mark = process->names.mark;
	looking->view = view_get(process->names.view);
	return 0;
}

int names_look(struct tether *process, bool fresh, struct looking *ret)
{
	struct table *table = process->table;
	int read = 0;

	begin(process, ret);
	pthread_mutex_lock(&table->lock);
	int result = look(process, fresh, ret);
	pthread_mutex_unlock(&table->lock);
	if (result <= 0)
		return result;
	ret->access.tid = process_live_tid(process);
	read = read_names(process, ret);

	pthread_mutex_lock(&table->lock);
	if (is_over(process)) {
		ret->access = (struct view_access){ .pool = table->symbols };
		result = view_of_ended(process, ret);
	} else if (read == 0 || (read == -TETHER_EGONE && process->names.view != NULL)) {
		/* A zombie's memory is gone though its pid is not. */
		ret->view = view_get(process->names.view);
		ret->current = true;
		ret->past = read != 0;
		if (ret->past)
			ret->access.memory = NULL;
		result = ret->view != NULL ? 0 : -TETHER_ENOTFOUND;
	} else {
		result = read;
	}
	pthread_mutex_unlock(&table->lock);
	return result;
}

/* Lock held. */
static struct past *find_past(struct names *names, const uint64_t *image, unsigned skip)
{
	struct past *past;

	STAILQ_FOREACH(past, &names->past, next)
		if (image != NULL ? past->image == *image : skip-- == 0)
			return past;
	return NULL;
}

int names_past(struct tether *process, const uint64_t *image, unsigned skip, struct looking *ret)
{
	struct table *table = process->table;
	int result = -ENOENT;

	begin(process, ret);
	pthread_mutex_lock(&table->lock);
	struct past *past = find_past(&process->names, image, skip);
	if (past != NULL && past->view == NULL)
		past->view = view_new(past->image, &past->objects, NULL, NULL);
	if (past != NULL) {
		ret->view = view_get(past->view);
		result = ret->view != NULL ? 0 : -ENOMEM;
		if (!is_over(process))
			let_read(ret);
	}
	pthread_mutex_unlock(&table->lock);
	ret->access.memory = NULL; /* it has others' by now */
	ret->past = ret->current = true;
	return result;
}

void names_seen(struct tether *process, struct view *view, struct looking *ret)
{
	struct table *table = process->table;

	begin(process, ret);
	pthread_mutex_lock(&table->lock);
	if (!is_over(process))
		let_read(ret);
	pthread_mutex_unlock(&table->lock);
	ret->access.memory = NULL;
	ret->view = view_get(view);
	ret->current = true;
}

void names_put(struct looking *looking)
{
	free(looking->jit_name);
	looking->jit_name = NULL;
	view_put(looking->view);
	looking->view = NULL;
}
