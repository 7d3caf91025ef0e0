/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Victims that forge their own link maps: nothing of it takes long, harms the victim or the client, or goes unsaid.
 */
#include "harness.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { QUESTION_MS = 1000, SLOW_MS = 4000, MEMORY_MB = 200 };

/* The victim waits for no more than the question's time, however slow the machine; the client may. */
static uint64_t slow_ms(void)
{
	const char *slow = getenv("TETHER_TEST_SLOW");

	return (uint64_t)(SLOW_MS * (slow && atof(slow) > 1 ? atof(slow) : 1));
}

/* What the library logged; it does so on its own thread. */
static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static char log_text[65536];

static void on_log(int level, const char *message, void *data)
{
	(void)level;
	(void)data;
	pthread_mutex_lock(&log_lock);
	size_t used = strlen(log_text);
	snprintf(log_text + used, sizeof(log_text) - used, "%s\n", message);
	pthread_mutex_unlock(&log_lock);
}

static bool is_logged(void *text)
{
	pthread_mutex_lock(&log_lock);
	bool found = strstr(log_text, text) != NULL;
	pthread_mutex_unlock(&log_lock);
	return found;
}

struct heard {
	unsigned loads, unloads; /* of plugin-a.so */
};

static void on_event(const struct tether_event *event, void *data)
{
	struct heard *heard = data;

	if ((event->kind != TETHER_EVENT_LOAD && event->kind != TETHER_EVENT_UNLOAD) ||
	    !strstr(event->u.object.path, "plugin-a.so"))
		return;
	if (event->kind == TETHER_EVENT_LOAD)
		heard->loads++;
	else
		heard->unloads++;
}

static struct tether_session *open_session(struct heard *heard)
{
	struct tether_session_opts opts = { .size = sizeof(opts), .log = on_log, .question_ms = QUESTION_MS };
	struct tether_session *session;

	log_text[0] = '\0';
	check_int(tether_session_open(&opts, &session, NULL), 0);
	tether_session_set_handler(session, on_event, heard);
	return session;
}

static void ask(struct victim *victim, const char *word)
{
	const char *line;
	long took = -1;

	victim_say(victim, word);
	while (strcmp(line = victim_line(victim), "done") != 0) {
		if (strncmp(line, "wrong", 5) == 0)
			fail("%s: %s", word, line);
		sscanf(line, "took %ld", &took);
	}
	if (took < 0 || took > SLOW_MS)
		fail("%s kept the victim for %ld ms", word, took);
}

static int count_object(const struct tether_object *object, void *data)
{
	(void)object;
	++*(unsigned *)data;
	return 0;
}

/* After the truth is back, loads are seen as ever. */
static void check_recovers(struct tether_session *session, struct victim *victim, struct heard *heard)
{
	ask(victim, "undo");
	while (tether_dispatch(session, 0) > 0)
		;
	*heard = (struct heard){ 0 };
	ask(victim, "dlopen");
	for (int i = 0; i < 200 && !heard->unloads; i++)
		tether_dispatch(session, 50);
	check_int(heard->loads, 1);
	check_int(heard->unloads, 1);
}

static long memory_mb(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	usage.ru_maxrss = 0; /* most of it is the sanitizer's */
#endif
	return usage.ru_maxrss / 1024;
}

/* Held while it lies, looked at by a handle of either kind, then itself again. */
static void held_while_it_lies(const char *word, const char *logged)
{
	struct victim v = victim_start("forger", NULL);
	struct heard heard = { 0 };
	struct tether_session *session = open_session(&heard);
	struct tether_grab_opts control = { .size = sizeof(control), .flags = TETHER_NO_PARK },
				observe = { .size = sizeof(observe), .flags = TETHER_OBSERVE };
	struct tether *process, *seen;
	unsigned objects = 0;

	check_int(tether_grab(session, v.pid, &control, &process, NULL), 0);
	ask(&v, word);
	if (logged && !eventually(is_logged, (void *)(uintptr_t)logged, 5000))
		fail("%s: '%s' is not in the log:\n%s", word, logged, log_text);
	uint64_t begin = now_ns();
	check_int(tether_objects(process, count_object, &objects), 0);
	check_int(tether_grab(session, v.pid, &observe, &seen, NULL), 0);
	int result = tether_objects(seen, count_object, &objects);
	if (result < 0 && result != -EOVERFLOW)
		fail("%s: objects of an observe handle: %s", word, tether_error_name(result));
	if (now_ns() - begin > slow_ms() * 1000000)
		fail("%s: asking for the objects took long", word);
	tether_release(seen);
	check_recovers(session, &v, &heard);
	check_int(tether_session_close(session), 0);
	check_untraced(v.pid);
	check_text_whole(v.pid);
	check_int(victim_end(&v), 0);
	if (memory_mb() > MEMORY_MB)
		fail("%s: the client took %ld MB", word, memory_mb());
}

/* It lied before anybody looked. */
static void grabbed_while_it_lies(const char *word)
{
	struct victim v = victim_start("forger", NULL);
	struct heard heard = { 0 };
	struct tether_session *session = open_session(&heard);
	struct tether *process;
	uint64_t begin;

	ask(&v, word);
	begin = now_ns();
	check_int(tether_grab(session, v.pid, NULL, &process, NULL), 0);
	if (now_ns() - begin > slow_ms() * 1000000)
		fail("%s: the grab took long", word);
	check_text_whole(v.pid);
	check_int(tether_continue(process), 0);
	check_recovers(session, &v, &heard);
	check_int(tether_session_close(session), 0);
	check_untraced(v.pid);
	check_int(victim_end(&v), 0);
}

TEST(lists_that_lead_in_a_ring_are_refused)
{
	held_while_it_lies("ring", "does not lead back");
	held_while_it_lies("inner-ring", "does not lead back");
	grabbed_while_it_lies("ring");
}

TEST(lists_that_lead_nowhere_are_refused)
{
	held_while_it_lies("nowhere", "not mapped");
	held_while_it_lies("broken", "not mapped");
	grabbed_while_it_lies("broken");
}

TEST(entries_that_point_nowhere_do_no_harm)
{
	held_while_it_lies("pointers", NULL);
	grabbed_while_it_lies("pointers");
}

TEST(a_million_entries_are_read_up_to_a_bound)
{
	held_while_it_lies("million", "bound");
	grabbed_while_it_lies("million");
}

TEST(names_without_end_are_cut)
{
	held_while_it_lies("names", "bound");
	grabbed_while_it_lies("names");
}

TEST(lists_of_lists_end)
{
	held_while_it_lies("namespaces", "bound");
	held_while_it_lies("many-lists", "bound");
	held_while_it_lies("twice", "in two lists");
	grabbed_while_it_lies("namespaces");
}

TEST(a_state_that_there_is_not_is_no_list)
{
	held_while_it_lies("state", NULL);
	grabbed_while_it_lies("state");
}
