/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Load objects: reported once, in order, from any thread, in every namespace.
 */
#include "harness.h"

#include <stdlib.h>
#include <string.h>

TEST(load_and_unload_are_reported_once_in_order)
{
	struct victim v = victim_start("loads", NULL);
	struct client c = client_open();
	client_grab(&c, v.pid, TETHER_NO_PARK);
	victim_say(&v, "dlopen");
	char *expected = victim_expects(&v);
	client_await(&c, "unload plugin-b.so", 1);
	char *got = client_lines(&c, "load plugin", "unload plugin", NULL);
	check_same(expected, got);
	free(expected);
	free(got);
	client_close(&c);
	check_untraced(v.pid);
	check_text_whole(v.pid);
	check_int(victim_end(&v), 0);
}

TEST(a_library_that_is_not_found_is_not_reported)
{
	struct victim v = victim_start("loads", NULL);
	struct client c = client_open();
	client_grab(&c, v.pid, TETHER_NO_PARK);
	victim_ask(&v, "unknown", "done");
	victim_ask(&v, "dlopen", "done");
	client_await(&c, "unload plugin-b.so", 1);
	char *got = client_lines(&c, "load plugin", "load at-all", "unload", NULL);
	check_same("load plugin-a.so\nunload plugin-a.so\nload plugin-b.so\nunload plugin-b.so\n", got);
	free(got);
	client_close(&c);
	check_int(victim_end(&v), 0);
}

/* Each library's own order is kept though eight threads load at once, none of them the leader. */
TEST_SECONDS(loads_by_eight_threads_at_once_are_all_reported, 60)
{
	struct victim v = victim_start("loads", NULL);
	struct client c = client_open();
	client_grab(&c, v.pid, TETHER_NO_PARK);
	victim_ask(&v, "threads", "done");
	client_await(&c, "unload plugin-t", 8 * 20);
	for (int i = 0; i < 8; i++) {
		char load[32], unload[32], expected[20 * 64 + 1] = "";
		snprintf(load, sizeof(load), "load plugin-t%d.so", i);
		snprintf(unload, sizeof(unload), "unload plugin-t%d.so", i);
		for (int n = 0; n < 20; n++) {
			size_t used = strlen(expected);
			snprintf(expected + used, sizeof(expected) - used, "%s\n%s\n", load, unload);
		}
		char *got = client_lines(&c, load, unload, NULL);
		check_same(expected, got);
		free(got);
	}
	client_close(&c);
	check_untraced(v.pid);
	check_text_whole(v.pid);
	check_int(victim_end(&v), 0);
}

/* The link-map id of each plugin-a.so that was reported: one line each. */
static char *namespaces(const struct client *client)
{
	char *all = client_all(client), *text = NULL, *rest = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	for (char *line = strtok_r(all, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		if (strstr(line, " load plugin-a.so"))
			fprintf(out, "%s\n", strrchr(line, ' ') + 1);
	}
	fclose(out);
	free(all);
	return text;
}

TEST(namespaces_of_dlmopen_are_told_apart)
{
	struct victim v = victim_start("loads", NULL);
	struct client c = client_open();
	client_grab(&c, v.pid, TETHER_NO_PARK);
	victim_ask(&v, "namespace", "done");
	victim_ask(&v, "namespace", "done");
	victim_ask(&v, "dlopen", "done");
	client_await(&c, "unload plugin-b.so", 1);
	char *got = namespaces(&c);
	check_same("1\n2\n0\n", got);
	free(got);
	client_close(&c);
	check_text_whole(v.pid);
	check_int(victim_end(&v), 0);
}

struct seen {
	unsigned in_namespace[4];
};

static int count_plugin(const struct tether_object *object, void *data)
{
	struct seen *seen = data;
	if (object->path && strstr(object->path, "plugin-a.so") && object->lmid >= 0 && object->lmid < 4)
		seen->in_namespace[object->lmid]++;
	return 0;
}

TEST(namespaces_made_before_the_grab_are_found)
{
	struct victim v = victim_start("loads", NULL);
	victim_ask(&v, "namespace", "done");
	victim_ask(&v, "namespace", "done");
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct seen seen = { { 0 } };
	check_int(tether_objects(process, count_plugin, &seen), 0);
	check_int(seen.in_namespace[0], 0);
	check_int(seen.in_namespace[1], 1);
	check_int(seen.in_namespace[2], 1);
	/* And those made after it. */
	victim_ask(&v, "namespace", "done");
	victim_ask(&v, "dlopen", "done");
	client_await(&c, "unload plugin-b.so", 1);
	check_int(tether_objects(process, count_plugin, &seen), 0);
	check_int(seen.in_namespace[3], 1);
	client_close(&c);
	check_untraced(v.pid);
	check_int(victim_end(&v), 0);
}

TEST(a_created_process_reports_its_initial_objects_before_main)
{
	struct client c = client_open();
	struct tether *process = client_create(&c, 0, TETHER_STOP_MAIN, "quiet", "3", NULL);
	client_drain(&c, 100);
	char *got = client_lines(&c, "create", "exec", "load", "preinit", "postinit", "main", NULL);
	check_same("create\nexec quiet\nload libc.so.6\npreinit\npostinit\nmain\n", got);
	free(got);
	check_int(tether_continue(process), 0);
	client_await(&c, "exit 3", 1);
	client_close(&c);
}

struct told {
	unsigned loads, unloads, named;
};

static void note_told(const struct tether_event *event, void *data)
{
	struct told *told = data;

	if ((event->kind != TETHER_EVENT_LOAD && event->kind != TETHER_EVENT_UNLOAD) ||
	    !strstr(event->u.object.path, "plugin-"))
		return;
	told->loads += event->kind == TETHER_EVENT_LOAD;
	told->unloads += event->kind == TETHER_EVENT_UNLOAD;
	told->named += event->u.object.high > event->u.object.low && event->u.object.build_id_size > 0;
}

/*
 * The library acts on nothing of a locked handle, and a question would wait for ten minutes. By the time that it looks all is
 * unloaded again, so what it tells is of the copies.
 */
TEST(who_loads_does_not_wait_for_the_library_and_is_told_of_all_the_same)
{
	struct tether_session_opts session_opts = { .size = sizeof(session_opts), .question_ms = 600000 };
	struct tether_grab_opts opts = { .size = sizeof(opts), .flags = TETHER_NO_PARK };
	struct victim v = victim_start("loads", NULL);
	struct told told = { 0 };
	struct tether_session *session;
	struct tether *process;

	check_int(tether_session_open(&session_opts, &session, NULL), 0);
	tether_session_set_handler(session, note_told, &told);
	check_int(tether_grab(session, v.pid, &opts, &process, NULL), 0);
	/* From the first answer on. */
	victim_ask(&v, "dlopen", "done");
	check_int(tether_lock(process), 0);
	for (int i = 0; i < 5; i++)
		victim_ask(&v, "dlopen", "done");
	check_int(tether_unlock(process), 0);
	while (told.unloads < 12 && tether_dispatch(session, 10000) > 0)
		;
	check_int(told.loads, 12);
	check_int(told.unloads, 12);
	check_int(told.named, 24);
	tether_release(process);
	tether_session_close(session);
	check_untraced(v.pid);
	check_text_whole(v.pid);
	check_int(victim_end(&v), 0);
}
