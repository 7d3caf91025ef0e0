/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * process/follow.c - the code of a process: what it executes, what its linker lists, and where the library's own sites stand
 *
 * An event with a question holds one thread of the victim until it is answered, so every path through here answers, and
 * does its work before the answer only where the victim must not run meanwhile:
 *
 *	exec  ──► read the record, survey the image, plant ──► answer
 *	hit of the linker's breakpoint ──► walk the link maps ──► answer
 *
 * Requests and answers are handled by the controller in order, so what is planted before an answer is in place
 * when the thread runs.
 */
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "os/procfs.h"
#include "os/sys.h"
#include "process/handle.h"
#include "process/sample.h"

/* ---- images ---------------------------------------------------------------------------------------------- */

static bool stops_at_main(const struct tether *process)
{
	return process->rendezvous &&
	       (process->stop == TETHER_STOP_POSTINIT || process->stop == TETHER_STOP_MAIN);
}

static struct site_request main_site(const struct rtld *rtld, bool parks)
{
	return (struct site_request){
		.address = rtld->main,
		.id = SITE_MAIN,
		.flags = PROTO_SITE_ONCE | PROTO_SITE_REPORT | (parks ? PROTO_SITE_PARK : 0),
	};
}

static bool begins(const struct rtld *rtld)
{
	return rtld->begin && !rtld->linker_is_program;
}

size_t follow_sites(const struct rtld *rtld, bool fresh, bool parks, struct site_request sites[OWN_SITES])
{
	/* Before it has begun, the linker passes r_brk for nothing. */
	bool later = fresh && begins(rtld);
	size_t count = 0;

	if (later) {
		sites[count++] = (struct site_request){
			.address = rtld->begin,
			.id = SITE_LINKER,
			.flags = PROTO_SITE_ASK | PROTO_SITE_ONCE,
			.guard = rtld->r_state,
		};
	}
	if (rtld->r_brk) {
		sites[count++] = (struct site_request){
			.address = rtld->r_brk,
			.id = SITE_LINKER,
			.flags = PROTO_SITE_ASK | (rtld->r_state ? PROTO_SITE_GUARD : 0) |
				 (later ? PROTO_SITE_LATER | PROTO_SITE_NEWS : 0),
			.guard = rtld->r_state,
			.guard_value = rtld->consistent,
		};
	}
	if (fresh && rtld->main)
		sites[count++] = main_site(rtld, parks);
	return count;
}

/* Is the rest of what it loads told of by copies? */
void follow_copies(struct tether *process)
{
	__atomic_store_n(&process->copies, begins(&process->rtld), __ATOMIC_RELAXED);
}

static size_t own_sites(struct tether *process, bool fresh, struct site_request sites[OWN_SITES])
{
	if (!process->monitored)
		return 0;
	process->main_planted = process->main_planted || (fresh && process->rtld.main);
	if (fresh)
		follow_copies(process);
	return follow_sites(&process->rtld, fresh, stops_at_main(process), sites);
}

int follow_plant(struct tether *process, answer_fn *answered, struct operation *operation)
{
	struct site_request sites[OWN_SITES];
	size_t count = own_sites(process, false, sites);

	return count ? plant_sites(process, sites, count, answered, operation) : 0;
}

/* A main that lives in a library, or in a program that the linker was run on, is known when that is mapped. */
static bool main_may_come(const struct rtld *rtld)
{
	return rtld->main || rtld->main_slot || rtld->linker_is_program;
}

static void plant_late_main(struct tether *process)
{
	struct site_request site;

	if (process->main_planted || !process->rtld.main)
		return;
	process->main_planted = true;
	site = main_site(&process->rtld, stops_at_main(process));
	plant_sites(process, &site, 1, NULL, NULL);
}

static bool parks_here(const struct family *family, const char *path)
{
	const char *base = strrchr(path, '/');

	return family->park_on_exec && (fnmatch(family->park_on_exec, path, 0) == 0 ||
					fnmatch(family->park_on_exec, base ? base + 1 : path, 0) == 0);
}

static void post_exec(struct tether *process, const struct proto_ev_exec *from, const struct exec_record *record,
		      bool parked)
{
	const char **argv = record->argv ? blob_pointers(record->argv) : NULL;
	const char **env = record->environment ? blob_pointers(record->environment) : NULL;
	const char **creator = process->creator_environment ? blob_pointers(process->creator_environment) : NULL;
	struct tether_event event = follow_event_of(&from->event, process, TETHER_EVENT_EXEC);

	event.tid = from->old_tid ? from->old_tid : from->event.tid;
	event.u.exec.path = record->path;
	event.u.exec.argv = argv;
	event.u.exec.env = env;
	event.u.exec.creator_env = env ? creator : NULL;
	event.u.exec.cwd = record->cwd;
	event.u.exec.interpreter = record->interpreter;
	event.u.exec.serial = process->exec_serial;
	event.u.exec.suppressed = record->suppressed;
	event.u.exec.truncated = record->truncated;
	event.u.exec.parked = parked;
	if (argv && record->path)
		follow_post(process->family, &event);
	free(argv);
	free(env);
	free(creator);
}

/* What was known of the old image is void: its memory, sites and link maps are gone. */
static void forget_image(struct tether *process)
{
	struct space *fresh = space_new();

	pthread_mutex_lock(&process->table->lock);
	names_exec(process);
	process->exec_serial++;
	object_list_clear(&process->objects);
	if (fresh) {
		space_put(process->space);
		process->space = fresh;
	}
	pthread_mutex_unlock(&process->table->lock);
	sampled_forget_last(process);
	if (process->members)
		process->table->hooks->executed(process);
	memset(&process->rtld, 0, sizeof(process->rtld));
	process->preinit_seen = process->main_planted = process->main_seen = false;
	__atomic_store_n(&process->copies, false, __ATOMIC_RELAXED);
}

/* Before it runs, if it waits. */
static void new_code(struct tether *process)
{
	if (process->members)
		process->table->hooks->new_code(process);
}

static void post_preinit(struct tether *process, const struct proto_event *from)
{
	struct tether_event event = follow_event_of(from, process, TETHER_EVENT_PREINIT);

	process->preinit_seen = true;
	follow_post(process->family, &event);
}

/* An executable that may not be read may not be held either: it runs on, and the hold is over. */
static void lose_unobservable(struct tether *process, const struct proto_event *from)
{
	struct tether_event event = follow_event_of(from, process, TETHER_EVENT_LOST);

	event.u.text.reason = "it runs an executable that may not be read";
	follow_post(process->family, &event);
	handle_set_state(process, TETHER_STATE_LOST);
	follow_rendezvous_failed(process, TETHER_EUNOBSERVABLE, 0, NULL);
}

/* Survey and plant; tells whether the process parks here, or must be let go. */
static enum proto_action enter_image(struct tether *process, const struct proto_ev_exec *from,
				     const struct exec_record *record, bool parked)
{
	struct reader memory = process_reader(process);
	struct rtld_cache *cache = process->table->cache;
	int result = record->auxv_count
			     ? rtld_survey_auxv(&process->rtld, from->event.tid, &memory, cache, record->auxv,
						record->auxv_count)
			     : rtld_survey(&process->rtld, from->event.tid, &memory, cache);

	if (result == -EACCES || result == -EPERM) {
		lose_unobservable(process, &from->event);
		return PROTO_LET_GO;
	}
	if (result < 0) {
		process->table->host->log(process->table->host, 1, "image of %lld: %s", (long long)process->pid,
					  tether_strerror(result));
		if (result != -EMEDIUMTYPE || !process->rendezvous)
			return parked ? PROTO_STAY : PROTO_GO;
		/* No stop but this one would ever come, and the next grab would be refused. */
		follow_rendezvous_failed(process, TETHER_EMACHINE, 0, NULL);
		return PROTO_GO;
	}
	if (stops_at_main(process) && !main_may_come(&process->rtld))
		follow_rendezvous_failed(process, TETHER_ENOMAIN, 0, NULL);
	if (process->rtld.flavour == RTLD_STATIC && process->monitored) {
		post_preinit(process, &from->event);
		new_code(process);
		parked = parked || (process->rendezvous && process->stop == TETHER_STOP_PREINIT);
	}
	return parked ? PROTO_STAY : PROTO_GO;
}

/* The controller has planted it as it was told to, and its process runs. */
static void known_image(struct tether *process, const struct image *image, const struct proto_ev_exec *from)
{
	image_enter(process, image, from);
	if (process->rtld.flavour != RTLD_STATIC || !process->monitored)
		return;
	post_preinit(process, &from->event);
	new_code(process);
}

/* It stands until it is answered for. */
static void new_image(struct tether *process, const struct proto_ev_exec *from, const struct exec_record *record,
		      bool stays)
{
	bool awaited = process->rendezvous;
	bool parked = stays || (awaited && process->stop == TETHER_STOP_CREATE);
	struct site_request sites[OWN_SITES];
	enum proto_action action = enter_image(process, from, record, parked);
	size_t count = action == PROTO_LET_GO ? 0 : own_sites(process, true, sites);

	/* Where it parks, or whom it parks for, is decided at each exec anew. */
	bool again = action == PROTO_GO && !awaited && process->monitored && process->rtld.flavour;

	if (from->event.question)
		plant_and_answer(process, sites, count, from->event.question, action);
	else if (count)
		plant_sites(process, sites, count, NULL, NULL);
	if (again)
		image_keep(process, from, record, sites, count);
}

void follow_exec(struct family *family, struct tether *process, const struct proto_ev_exec *from)
{
	const struct image *image = from->image ? image_find(family, from->image) : NULL;
	struct exec_record record;

	forget_image(process);
	int result = record_take(&record, process, from, image, family->flags & TETHER_WANT_ENV);
	bool stays = !image && record.path && parks_here(family, record.path);

	if (result == 0)
		post_exec(process, from, &record, stays);
	blob_put(process->environment);
	process->environment = blob_get(record.environment);
	if (image)
		known_image(process, image, from);
	else
		new_image(process, from, &record, stays);
	record_clear(&record);
	image_free(family->rehearsed);
	family->rehearsed = NULL;
}

void follow_attended(struct tether *process, const struct proto_ev_exec *event)
{
	follow_exec(process->family, process, event);
}

/* ---- hits ------------------------------------------------------------------------------------------------ */

/*
 * Where the linker's breakpoint was planted before it was known that its process has begun, the next ones ask until here:
 * what is to be done at the beginning has been done.
 */
static void copy_from_now_on(struct tether *process)
{
	struct site_request sites[OWN_SITES];
	size_t count = follow_sites(&process->rtld, false, false, sites);

	if (__atomic_load_n(&process->copies, __ATOMIC_RELAXED) || !process->rtld.r_state || count != 1)
		return;
	sites[0].flags |= PROTO_SITE_NEWS;
	if (plant_sites(process, sites, count, NULL, NULL) == 0)
		__atomic_store_n(&process->copies, true, __ATOMIC_RELAXED);
}

static enum proto_action linker_hit(struct tether *process, const struct proto_ev_hit *from)
{
	struct captured captured = { process, (const unsigned char *)(from + 1), from->items };
	struct reader memory = captured_reader(&captured);

	/* Who does not wait for an answer has a stack of another moment by now. */
	if (!from->event.question)
		sampled_drop(process->family);

	if (follow_scan_by(process, from->event.tid, from->event.t_ns, &memory) <= 0)
		return PROTO_GO;
	new_code(process);
	if (process->preinit_seen && process->rtld.started && from->event.question)
		copy_from_now_on(process);
	if (process->preinit_seen || !process->rtld.started)
		return PROTO_GO;
	post_preinit(process, &from->event);
	plant_late_main(process);
	if (stops_at_main(process) && !process->main_planted)
		follow_rendezvous_failed(process, TETHER_ENOMAIN, 0, NULL);
	return process->rendezvous && process->stop == TETHER_STOP_PREINIT ? PROTO_STAY : PROTO_GO;
}

static void main_hit(struct tether *process, const struct proto_ev_hit *from)
{
	if (process->main_seen)
		return;
	process->main_seen = true;

	struct tether_event event = follow_event_of(&from->event, process, TETHER_EVENT_POSTINIT);
	follow_post(process->family, &event);
	event.kind = TETHER_EVENT_MAIN;
	follow_post(process->family, &event);
}

void follow_hit(struct family *family, struct tether *process, const struct proto_ev_hit *from)
{
	enum proto_action action = PROTO_GO;
	bool stands = false;

	if (from->site == SITE_LINKER)
		action = linker_hit(process, from);
	else if (from->site == SITE_MAIN)
		main_hit(process, from);
	else if (from->site == SITE_PROBE && process->members)
		stands = process->table->hooks->hit(process, from);
	if (from->event.question && !stands)
		family_answer(family, from->event.question, action);
}
