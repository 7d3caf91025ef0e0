/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls from inside a callback: what could wait for itself is refused, all else works. Three kinds of callback there
 * are: the event handler, for which nobody waits; visitors; and the log callback, which the library calls on its own
 * thread while victims stand still.
 */
#include "harness.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int count_object(const struct tether_object *object, void *data)
{
	(void)object;
	++*(unsigned *)data;
	return 0;
}

static void hear(const struct tether_event *event, void *data)
{
	(void)event;
	++*(unsigned *)data;
}

/* ---- the event handler ------------------------------------------------------------------------------------ */

struct nested {
	struct tether_session *session;
	struct tether *process;
	pid_t other; /* may be grabbed */
	unsigned heard, inner;
	bool done;
};

static void wait_for_itself(const struct tether_event *event, void *data)
{
	struct nested *nested = data;

	if (nested->heard++ || !event->process)
		return;
	/* Each without bound, were it let begin. */
	check_int(tether_dispatch(nested->session, 0), -TETHER_EBUSY);
	check_int(tether_dispatch(nested->session, -1), -TETHER_EBUSY);
	check_int(tether_session_close(nested->session), -TETHER_EDEADLK);
	check_int(tether_lock(event->process), 0);
	check_int(tether_lock(event->process), -TETHER_EDEADLK);
	check_int(tether_unlock(event->process), 0);
	nested->done = true;
}

TEST(waits_in_a_handler_that_could_never_end_are_refused)
{
	struct victim v = victim_start("threads", "steady", "1", NULL);
	struct client c = client_open();
	struct nested nested = { .session = c.session };

	check_int(tether_session_set_handler(c.session, wait_for_itself, &nested), 0);
	client_grab(&c, v.pid, TETHER_NO_PARK);
	check(tether_dispatch(c.session, 5000) > 0);
	check(nested.done);
	check_same("a wait that could never end", tether_strerror(-TETHER_EDEADLK));
	check(strstr(tether_error_cure(-TETHER_EDEADLK), "outside the handler") != NULL);
	check(strstr(tether_error_cure(-TETHER_EBUSY), "one thread at a time") != NULL);
	client_close(&c);
	check_untraced(v.pid);
	check_int(victim_end(&v), 0);
}

static void create_in_handler(struct nested *nested)
{
	static const uint32_t stops[] = { TETHER_STOP_CREATE, TETHER_STOP_PREINIT, TETHER_STOP_POSTINIT, TETHER_STOP_MAIN };
	char *const argv[] = { (char[]){ "quiet" }, NULL };

	for (size_t i = 0; i < sizeof(stops) / sizeof(stops[0]); i++) {
		struct tether_create_opts opts = { .size = sizeof(opts), .file = victim_path("quiet"), .argv = argv,
						   .stop = stops[i], .mode = TETHER_MODE_KILL, .timeout_ms = 5000 };
		struct tether_error error = TETHER_ERROR_INIT;
		struct tether *process = NULL;

		if (tether_create(nested->session, &opts, &process, &error))
			fail("%s", error.message);
		check_int(state_of(process), TETHER_STATE_PARKED);
		check_int(tether_release(process), 0);
	}
}

static void grab_in_handler(struct nested *nested)
{
	struct tether_stats stats = { .size = sizeof(stats) };
	struct tether *process = grab(nested->session, nested->other, 0, TETHER_MODE_RUN), *same, *observer;
	unsigned objects = 0;
	char bytes[16];

	check_int(state_of(process), TETHER_STATE_PARKED);
	same = grab(nested->session, nested->other, 0, TETHER_MODE_RUN);
	check(same == process);
	check_int(tether_release(same), 0);
	check_int(tether_lock(process), 0);
	check_int(tether_objects(process, count_object, &objects), 0);
	check(objects > 0);
	check_int(tether_continue(process), 0);
	check_int(tether_continue(process), 0);
	check_int(tether_set_mode(process, TETHER_MODE_HANG), 0);
	check_int(tether_set_mode(process, TETHER_MODE_RUN), 0);
	check_int(tether_unlock(process), 0);
	check_int(tether_stats_get(nested->session, &stats), 0);
	check_int(tether_read(process, 1, bytes, sizeof(bytes)), -TETHER_EMEMORY);
	observer = grab(nested->session, nested->other, TETHER_OBSERVE, TETHER_MODE_RUN);
	check_int(tether_release(observer), 0);
	check(tether_ref(process) == process);
	check_int(tether_detach(process, TETHER_MODE_RUN), 0);
	check_untraced(nested->other);
	check_int(tether_release(process), 0);
	check_int(tether_release(process), 0);
	check(tether_fd(nested->session) >= 0);
	check(tether_target(nested->session) > 0);
}

/* A session of its own has events, a handler and an end of its own. */
static void open_in_handler(struct nested *nested)
{
	struct client inner = client_open();

	check_int(tether_session_set_handler(inner.session, hear, &nested->inner), 0);
	client_grab(&inner, nested->other, TETHER_NO_PARK);
	check(tether_dispatch(inner.session, 5000) > 0);
	check(nested->inner > 0);
	client_close(&inner);
	check_untraced(nested->other);
}

static void call_everything(const struct tether_event *event, void *data)
{
	struct nested *nested = data;

	if (nested->done || !event->process)
		return;
	nested->done = true;
	create_in_handler(nested);
	grab_in_handler(nested);
	open_in_handler(nested);
	/* At last its own. */
	check_int(tether_release(nested->process), 0);
}

TEST_SECONDS(every_other_call_may_be_made_in_a_handler_and_waits_there, 60)
{
	struct victim v = victim_start("threads", "steady", "1", NULL);
	struct victim other = victim_start("threads", "steady", "4", NULL);
	struct client c = client_open();
	struct nested nested = { .session = c.session, .other = other.pid };

	check_int(tether_session_set_handler(c.session, call_everything, &nested), 0);
	nested.process = grab(c.session, v.pid, TETHER_NO_PARK, TETHER_MODE_RUN);
	check(tether_dispatch(c.session, 5000) > 0);
	check(nested.done);
	check_untraced(v.pid);
	client_close(&c);
	check_text_whole(v.pid);
	check_text_whole(other.pid);
	victim_ask(&v, "progress", "progress");
	victim_ask(&other, "progress", "progress");
	check_int(victim_end(&v), 0);
	check_int(victim_end(&other), 0);
}

static void release_in_handler(const struct tether_event *event, void *data)
{
	struct tether **process = data;

	if (event->kind == TETHER_EVENT_LOAD && *process) {
		check_int(tether_release(*process), 0);
		*process = NULL;
	}
}

TEST(a_handler_may_release_the_handle_of_its_own_event)
{
	struct victim v = victim_start("loads", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);

	client_drain(&c, 50);
	check_int(tether_session_set_handler(c.session, release_in_handler, &process), 0);
	victim_ask(&v, "dlopen", "done");
	for (int i = 0; i < 100 && process; i++)
		check(tether_dispatch(c.session, 100) >= 0);
	check(process == NULL);
	check_untraced(v.pid);
	check_int(tether_session_close(c.session), 0);
	check_int(victim_end(&v), 0);
}

struct slow_handler {
	struct victim *victim;
	struct tether *process;
	pthread_mutex_t lock;
	bool inside, leave;
};

static void stay_in_handler(const struct tether_event *event, void *data)
{
	struct slow_handler *slow = data;
	bool leave = false;

	(void)event;
	pthread_mutex_lock(&slow->lock);
	slow->inside = true;
	while (!leave) {
		pthread_mutex_unlock(&slow->lock);
		usleep(1000);
		pthread_mutex_lock(&slow->lock);
		leave = slow->leave;
	}
	pthread_mutex_unlock(&slow->lock);
}

static bool is_inside(void *data)
{
	struct slow_handler *slow = data;

	pthread_mutex_lock(&slow->lock);
	bool inside = slow->inside;
	pthread_mutex_unlock(&slow->lock);
	return inside;
}

static void *dispatch_once(void *data)
{
	check(tether_dispatch(data, 5000) > 0);
	return NULL;
}

TEST(a_handler_that_does_not_return_holds_up_neither_its_victim_nor_other_threads)
{
	struct victim v = victim_start("loads", NULL);
	struct client c = client_open();
	struct slow_handler slow = { .victim = &v, .lock = PTHREAD_MUTEX_INITIALIZER };
	struct tether_stats stats = { .size = sizeof(stats) };
	pthread_t thread;

	check_int(tether_session_set_handler(c.session, stay_in_handler, &slow), 0);
	slow.process = client_grab(&c, v.pid, TETHER_NO_PARK);
	check_int(pthread_create(&thread, NULL, dispatch_once, c.session), 0);
	check(eventually(is_inside, &slow, 5000));
	/* Its linker's breakpoint asks the library each time. */
	for (int i = 0; i < 5; i++)
		victim_ask(&v, "dlopen", "done");
	check_int(tether_stats_get(c.session, &stats), 0);
	check(stats.pause_ns_max < UINT64_C(1000000000));
	check_int(tether_dispatch(c.session, 0), -TETHER_EBUSY);
	check_int(tether_set_mode(slow.process, TETHER_MODE_RUN), 0);
	check_int(tether_detach(slow.process, TETHER_MODE_RUN), 0);
	check_untraced(v.pid);
	pthread_mutex_lock(&slow.lock);
	slow.leave = true;
	pthread_mutex_unlock(&slow.lock);
	pthread_join(thread, NULL);
	client_close(&c);
	check_int(victim_end(&v), 0);
}

/* ---- visitors --------------------------------------------------------------------------------------------- */

struct visitor {
	struct client *client;
	struct tether *process;
	unsigned visits;
};

static int call_from_visitor(const struct tether_object *object, void *data)
{
	struct visitor *visitor = data;
	unsigned objects = 0;

	check(object->path != NULL);
	if (visitor->visits++)
		return 0;
	check_int(tether_objects(visitor->process, count_object, &objects), 0);
	check_int(tether_lock(visitor->process), 0);
	check_int(tether_continue(visitor->process), 0);
	check_int(tether_unlock(visitor->process), 0);
	check(tether_dispatch(visitor->client->session, 0) >= 0);
	check_int(tether_detach(visitor->process, TETHER_MODE_RUN), 0);
	return 0;
}

TEST(a_visitor_of_objects_may_call_what_it_likes)
{
	struct victim v = victim_start("threads", "steady", "2", NULL);
	struct client c = client_open();
	struct visitor visitor = { .client = &c, .process = client_grab(&c, v.pid, 0) };

	check_int(tether_objects(visitor.process, call_from_visitor, &visitor), 0);
	check(visitor.visits > 2); /* the list is the one that it was when the visit began */
	check_untraced(v.pid);
	client_close(&c);
	check_int(victim_end(&v), 0);
}

static int call_from_reason(const struct tether_reason *reason, void *data)
{
	struct visitor *visitor = data;

	check(reason->name != NULL);
	visitor->visits++;
	check_int(tether_continue(visitor->process), 0);
	check_int(tether_release(visitor->process), 0);
	return 0;
}

TEST(a_visitor_of_reasons_may_call_what_it_likes)
{
	struct victim v = victim_start("threads", "steady", "2", NULL);
	struct client c = client_open();
	struct tether_verdict verdict = { .size = sizeof(verdict) };
	struct visitor visitor = { .client = &c, .process = grab(c.session, v.pid, 0, TETHER_MODE_RUN) };

	/* Held by us: one reason, that it is traced. */
	check_int(tether_diagnose(v.pid, &verdict, call_from_reason, &visitor), 0);
	check_int(visitor.visits, 1);
	check_untraced(v.pid);
	client_close(&c);
	check_int(victim_end(&v), 0);
}

/* ---- the log callback ------------------------------------------------------------------------------------- */

struct logger {
	struct tether_session *session;
	struct tether *process;
	pid_t pid;
	pthread_mutex_t lock;
	unsigned logged;
	int wrong_line, wrong_value; /* of the first call that was answered otherwise: nothing can be printed there */
};

static void expect_at(int line, struct logger *logger, int64_t got, int64_t expected)
{
	if (got == expected || logger->wrong_line)
		return;
	logger->wrong_line = line;
	logger->wrong_value = (int)got;
}
#define expect(got, expected) expect_at(__LINE__, logger, (got), (expected))

static void call_from_log(int level, const char *message, void *data)
{
	struct logger *logger = data;
	struct tether_info info = { .size = sizeof(info) };
	struct tether_stats stats = { .size = sizeof(stats) };
	struct tether_error error = TETHER_ERROR_INIT;
	struct tether *other = NULL;
	char *const argv[] = { (char[]){ "true" }, NULL };
	struct tether_create_opts opts = { .size = sizeof(opts), .file = "/bin/true", .argv = argv };
	unsigned objects = 0;
	char byte;

	(void)level;
	(void)message;
	/* The main thread has written down what there is to be called with. */
	pthread_mutex_lock(&logger->lock);
	pthread_mutex_unlock(&logger->lock);
	expect(tether_dispatch(logger->session, -1), -TETHER_EDEADLK);
	expect(tether_session_close(logger->session), -TETHER_EDEADLK);
	expect(tether_session_set_handler(logger->session, NULL, NULL), -TETHER_EDEADLK);
	expect(tether_fd(logger->session), -TETHER_EDEADLK);
	expect(tether_target(logger->session), -TETHER_EDEADLK);
	expect(tether_stats_get(logger->session, &stats), -TETHER_EDEADLK);
	expect(tether_create(logger->session, &opts, &other, &error), -TETHER_EDEADLK);
	expect(strstr(error.message, "outside the handler") != NULL, true);
	expect(tether_grab(logger->session, logger->pid, NULL, &other, &error), -TETHER_EDEADLK);
	expect(other == NULL && strstr(error.message, "could never end") != NULL, true);
	expect(tether_continue(logger->process), -TETHER_EDEADLK);
	expect(tether_detach(logger->process, TETHER_MODE_RUN), -TETHER_EDEADLK);
	expect(tether_set_mode(logger->process, TETHER_MODE_KILL), -TETHER_EDEADLK);
	expect(tether_lock(logger->process), -TETHER_EDEADLK);
	expect(tether_unlock(logger->process), -TETHER_EDEADLK);
	expect(tether_objects(logger->process, count_object, &objects), -TETHER_EDEADLK);
	expect(tether_read(logger->process, 0, &byte, 1), -TETHER_EDEADLK);
	expect(tether_info_get(logger->process, &info), -TETHER_EDEADLK);
	expect(tether_release(tether_ref(logger->process)), -TETHER_EDEADLK);
	expect(tether_pid(logger->process), logger->pid);
	pthread_mutex_lock(&logger->lock);
	logger->logged++;
	pthread_mutex_unlock(&logger->lock);
}

static bool is_logged(void *data)
{
	struct logger *logger = data;

	pthread_mutex_lock(&logger->lock);
	bool logged = logger->logged;
	pthread_mutex_unlock(&logger->lock);
	return logged;
}

/* A list that leads in a ring is logged while its victim stands for the library's answer. */
TEST(a_call_from_the_log_callback_is_refused_where_it_would_wait_for_itself)
{
	struct victim v = victim_start("forger", NULL);
	struct logger logger = { .pid = v.pid, .lock = PTHREAD_MUTEX_INITIALIZER };
	struct tether_session_opts opts = { .size = sizeof(opts), .log = call_from_log, .log_data = &logger };
	struct tether_error error = TETHER_ERROR_INIT;

	if (tether_session_open(&opts, &logger.session, &error))
		fail("%s", error.message);
	logger.process = grab(logger.session, v.pid, TETHER_NO_PARK, TETHER_MODE_RUN);
	pthread_mutex_lock(&logger.lock);
	pthread_mutex_unlock(&logger.lock);
	victim_ask(&v, "ring", "done");
	check(eventually(is_logged, &logger, 5000));
	if (logger.wrong_line)
		fail("line %d was answered with %d", logger.wrong_line, logger.wrong_value);
	check_int(tether_release(logger.process), 0);
	check_int(tether_session_close(logger.session), 0);
	check_untraced(v.pid);
	check_int(victim_end(&v), 0);
}

/* ---- a controller that does not answer ---------------------------------------------------------------------- */

struct waiting {
	struct tether *process;
	struct tether_session *session;
	int (*call)(struct waiting *waiting);
	int result;
	pthread_t thread;
};

static int wait_to_continue(struct waiting *waiting)
{
	return tether_continue(waiting->process);
}

static int wait_for_mode(struct waiting *waiting)
{
	return tether_set_mode(waiting->process, TETHER_MODE_RUN);
}

static int wait_for_stats(struct waiting *waiting)
{
	struct tether_stats stats = { .size = sizeof(stats) };

	return tether_stats_get(waiting->session, &stats);
}

static void *wait_in_thread(void *data)
{
	struct waiting *waiting = data;

	waiting->result = waiting->call(waiting);
	return NULL;
}

static int64_t controller_of(struct tether *process)
{
	struct tether_info info = { .size = sizeof(info) };

	check_int(tether_info_get(process, &info), 0);
	return info.controller;
}

/* Somebody stopped it: who waits for it is free again when the session is closed, and the victim when it goes on. */
TEST(calls_that_wait_for_a_stopped_controller_end_when_the_session_is_closed)
{
	static int (*const calls[])(struct waiting *waiting) = { wait_to_continue, wait_for_mode, wait_for_stats };
	enum { CALLS = sizeof(calls) / sizeof(calls[0]) };
	struct victim v = victim_start("threads", "steady", "4", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, 0);
	pid_t controller = (pid_t)controller_of(process);
	struct waiting waiting[CALLS];

	check_int(kill(controller, SIGSTOP), 0);
	for (int i = 0; i < CALLS; i++) {
		waiting[i] = (struct waiting){ .process = process, .session = c.session, .call = calls[i], .result = 1 };
		check_int(pthread_create(&waiting[i].thread, NULL, wait_in_thread, &waiting[i]), 0);
	}
	usleep(50000);
	uint64_t began = now_ns();
	client_close(&c);
	for (int i = 0; i < CALLS; i++) {
		check_int(pthread_join(waiting[i].thread, NULL), 0);
		check_int(waiting[i].result, -TETHER_ECLOSED);
	}
	check(now_ns() - began < UINT64_C(5000000000));
	check_int(kill(controller, SIGCONT), 0);
	check_untraced(v.pid);
	check_text_whole(v.pid);
	victim_ask(&v, "progress", "progress");
	check_int(victim_end(&v), 0);
}

/* And one that goes on answers as ever. */
TEST(a_call_waits_for_a_stopped_controller_that_goes_on)
{
	struct victim v = victim_start("threads", "steady", "4", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, 0);
	pid_t controller = (pid_t)controller_of(process);
	struct waiting waiting = { .process = process, .session = c.session, .call = wait_to_continue, .result = 1 };

	check_int(kill(controller, SIGSTOP), 0);
	check_int(pthread_create(&waiting.thread, NULL, wait_in_thread, &waiting), 0);
	usleep(50000);
	check_int(kill(controller, SIGCONT), 0);
	check_int(pthread_join(waiting.thread, NULL), 0);
	check_int(waiting.result, 0);
	victim_ask(&v, "progress", "progress");
	client_close(&c);
	check_int(victim_end(&v), 0);
}
