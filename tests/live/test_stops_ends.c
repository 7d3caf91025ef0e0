/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Handlers for which a thread stands: which calls they may make, how long they have, and who ends while they run.
 */
#include "stops.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- calls in a handler ---------------------------------------------------------------------------------- */

static enum tether_answer remove_and_add(const struct tether_hit *hit, void *data)
{
	struct script *s = data;
	struct tether_breakpoint_opts opts = {
		.size = sizeof(opts), .where = "a.out:stands_constant", .flags = TETHER_BREAKPOINT_COUNT,
	};

	s->result[0] = tether_breakpoint_add(hit->process, &opts, &s->breakpoint, NULL);
	s->result[1] = tether_breakpoint_remove(hit->breakpoint);
	note(s, hit);
	return TETHER_ANSWER_GO;
}

TEST(a_handler_removes_its_own_breakpoint_and_adds_another)
{
	struct victim v = victim_start("stands", "1", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct script s = { 0 };

	stop_at(process, "a.out:stands_sum", remove_and_add, &s);
	check_int(done(&v, "sum 1 2"), 3);
	check_int(done(&v, "sum 1 3"), 4);
	check_int(calls(&s), 1);
	check_int(s.result[0], 0);
	check_int(s.result[1], 0);
	check_int(done(&v, "constant"), 7);
	check_int(breakpoint_info(s.breakpoint).hits, 1);
	check_int(tether_breakpoint_remove(s.breakpoint), 0);
	end(&c, &v);
}

struct rules {
	struct script s;
	pid_t other;
	bool locked, tried;
};

static enum tether_answer try_calls(const struct tether_hit *hit, void *data)
{
	struct rules *r = data;
	struct script *s = &r->s;
	struct tether_session *session = s->client->session;
	struct tether *grabbed = NULL;
	struct tether_grab_opts parked = { .size = sizeof(parked) };
	struct tether_grab_opts running = { .size = sizeof(running), .flags = TETHER_NO_PARK };
	char *const argv[] = { (char *)(uintptr_t)"true", NULL };
	struct tether_create_opts create = { .size = sizeof(create), .file = "true", .argv = argv, .stop = TETHER_STOP_MAIN };

	s->result[0] = tether_dispatch(session, 0);
	s->result[1] = tether_session_close(session);
	s->result[2] = tether_lock(hit->process);
	s->result[3] = tether_create(session, &create, &grabbed, NULL);
	s->result[4] = tether_grab(session, r->other, &parked, &grabbed, NULL);
	s->result[5] = tether_grab(session, r->other, &running, &grabbed, NULL);
	if (s->result[5] == 0)
		s->result[5] = tether_release(grabbed);
	s->result[6] = tether_release(tether_ref(hit->process));
	s->result[7] = tether_continue(hit->process);
	note(s, hit);
	while (!__atomic_load_n(&r->locked, __ATOMIC_SEQ_CST))
		usleep(1000);
	s->value[0] = (uint64_t)tether_continue(hit->process);
	__atomic_store_n(&r->tried, true, __ATOMIC_SEQ_CST);
	return TETHER_ANSWER_GO;
}

TEST(what_would_wait_for_a_victim_is_refused_in_a_handler)
{
	struct victim v = victim_start("stands", "1", NULL), w = victim_start("stands", "1", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct rules r = { .s.client = &c, .other = w.pid };

	breakpoint_add(process, (struct tether_breakpoint_opts){ .where = "a.out:stands_sum", .stop = try_calls, .data = &r,
						      .flags = TETHER_BREAKPOINT_FOREVER });
	victim_say(&v, "sum 1 2");
	check(eventually(was_called, &r.s, 10000));
	check_int(r.s.result[0], -TETHER_EDEADLK);
	check_int(r.s.result[1], -TETHER_EDEADLK);
	check_int(r.s.result[2], -TETHER_EDEADLK);
	check_int(r.s.result[3], -TETHER_EDEADLK);
	check_int(r.s.result[4], -TETHER_EDEADLK);
	check_int(r.s.result[5], 0);
	check_int(r.s.result[6], 0);
	check_int(r.s.result[7], 0);
	/* somebody else has it: he may wait for this very handler */
	check_int(tether_lock(process), 0);
	__atomic_store_n(&r.locked, true, __ATOMIC_SEQ_CST);
	while (!__atomic_load_n(&r.tried, __ATOMIC_SEQ_CST))
		usleep(1000);
	check_int((int)r.s.value[0], -TETHER_EDEADLK);
	check_int(tether_unlock(process), 0);
	check_int(done(&v, NULL), 3);
	end(&c, &v);
	check_int(victim_end(&w), 0);
}

/* ---- several at one address ------------------------------------------------------------------------------ */

TEST(of_several_handlers_the_strongest_answer_holds_and_each_is_called)
{
	struct victim v = victim_start("stands", "1", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct script go = { 0 }, all = { .answer = TETHER_ANSWER_STOP_ALL }, stay = { .answer = TETHER_ANSWER_STAY };
	struct script once = { 0 }, later = { 0 };
	struct tether_breakpoint *one;

	stop_at(process, "a.out:stands_sum", answer, &go);
	stop_at(process, "a.out:stands_sum", answer, &all);
	stop_at(process, "a.out:stands_sum", answer, &stay);
	one = breakpoint_add(process, (struct tether_breakpoint_opts){ .where = "a.out:stands_sum", .stop = answer, .data = &once,
							    .flags = TETHER_BREAKPOINT_ONCE });
	breakpoint_add(process, (struct tether_breakpoint_opts){ .where = "a.out:stands_sum", .stop = answer, .data = &later,
						      .ignore = 2 });
	for (unsigned i = 1; i <= 4; i++) {
		victim_say(&v, "sum 1 2");
		client_await(&c, "parked", i);
		check_int(calls(&go), i);
		check_int(calls(&all), i);
		check_int(calls(&stay), i);
		check_int(calls(&once), 1);
		check_int(calls(&later), i > 2 ? i - 2 : 0);
		check_int(tether_continue(process), 0);
		check_int(done(&v, NULL), 3);
	}
	check_int(breakpoint_info(one).done, 1);
	end(&c, &v);
}

TEST(the_library_s_own_work_at_the_same_place_is_done_after_the_handlers)
{
	struct victim v = victim_start("counts", "1", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct script s = { 0 };
	struct tether_breakpoint *work = breakpoint_add(process, (struct tether_breakpoint_opts){
						.where = "counts-plugin.so:counts_work", .flags = TETHER_BREAKPOINT_COUNT });

	stop_at(process, "ld-linux*:_dl_debug_state", answer, &s);
	for (unsigned i = 1; i <= 5; i++) {
		victim_ask(&v, "plugin", "done 0");
		client_await(&c, "unload counts-plugin.so", i);
		check_int(breakpoint_info(work).hits, 10 * i);
		check(calls(&s) >= 2 * i);
	}
	client_close(&c);
	check_untraced(v.pid);
	check_text_whole(v.pid);
	check_int(victim_end(&v), 0);
}

/* ---- deadlines ------------------------------------------------------------------------------------------- */

static enum tether_answer too_slow(const struct tether_hit *hit, void *data)
{
	struct script *s = data;

	s->result[0] = set_reg(hit, "rdi", 10);
	if (s->sleep_ms)
		usleep(s->sleep_ms * 1000);
	s->sleep_ms = 0;
	s->result[1] = set_reg(hit, "rdi", 20);
	note(s, hit);
	return __atomic_load_n(&s->answer, __ATOMIC_SEQ_CST);
}

TEST(a_handler_that_takes_too_long_is_not_waited_for)
{
	struct victim v = victim_start("stands", "1", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct script s = { .sleep_ms = 1800, .answer = TETHER_ANSWER_STOP_ALL };
	struct tether_breakpoint *breakpoint = stop_at(process, "a.out:stands_sum", too_slow, &s);
	uint64_t begun = now_ns();

	check_int(done(&v, "sum 3 4"), 14);
	check(now_ns() - begun >= UINT64_C(900000000));
	/* it still sleeps: nobody is held for it */
	begun = now_ns();
	for (int i = 0; i < 10; i++)
		check_int(done(&v, "sum 3 4"), 7);
	check(now_ns() - begun < UINT64_C(500000000));
	check_int(calls(&s), 0);
	client_await(&c, "late-answer", 1);
	check_int(client_count(&c, "parked"), 0);
	check_int(calls(&s), 1);
	check_int(s.result[0], 0);
	check_int(s.result[1], -TETHER_ESTATE);
	check_int(breakpoint_info(breakpoint).hits, 11);
	check_int(breakpoint_info(breakpoint).missed, 10);
	__atomic_store_n(&s.answer, TETHER_ANSWER_GO, __ATOMIC_SEQ_CST);
	check_int(done(&v, "sum 3 4"), 24);
	check_int(calls(&s), 2);
	end(&c, &v);
}

TEST(a_handler_that_may_take_for_ever_is_waited_for)
{
	struct victim v = victim_start("stands", "1", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct script s = { .sleep_ms = 1800 };
	uint64_t begun = now_ns();

	breakpoint_add(process, (struct tether_breakpoint_opts){ .where = "a.out:stands_sum", .stop = too_slow, .data = &s,
						      .flags = TETHER_BREAKPOINT_FOREVER });
	check_int(done(&v, "sum 3 4"), 24);
	check(now_ns() - begun >= UINT64_C(1700000000));
	client_drain(&c, 50);
	check_int(client_count(&c, "late-answer"), 0);
	check_int(s.result[1], 0);
	end(&c, &v);
}

/* ---- who ends while a thread stands ---------------------------------------------------------------------- */

struct gate {
	struct script s;
	bool open, returns;
};

/* Until it is told to, and then a look at what has become of its thread. */
static enum tether_answer wait_at_gate(const struct tether_hit *hit, void *data)
{
	struct gate *g = data;

	note(&g->s, hit);
	while (!__atomic_load_n(&g->open, __ATOMIC_SEQ_CST))
		usleep(1000);
	g->s.result[0] = set_reg(hit, "rdi", 1);
	g->s.result[1] = tether_write(hit->process, hit->address, "", 1);
	__atomic_store_n(&g->returns, true, __ATOMIC_SEQ_CST);
	return TETHER_ANSWER_STOP_ALL;
}

static int64_t worker_of(pid_t pid)
{
	char path[64];
	int64_t tid = 0;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	DIR *directory = opendir(path);
	check(directory);
	for (struct dirent *entry; (entry = readdir(directory));)
		if (atoi(entry->d_name) > 0 && atoi(entry->d_name) != pid)
			tid = atoi(entry->d_name);
	closedir(directory);
	check(tid);
	return tid;
}

static struct tether_breakpoint *hold_worker(struct tether *process, struct victim *v, struct gate *gate)
{
	struct tether_breakpoint *breakpoint;

	check_int(done(v, "begin"), 0);
	breakpoint = breakpoint_add(process, (struct tether_breakpoint_opts){
					  .where = "a.out:stands_sum", .stop = wait_at_gate, .data = gate,
					  .flags = TETHER_BREAKPOINT_FOREVER | TETHER_BREAKPOINT_ONCE,
					  .tid = worker_of(v->pid) });
	check(eventually(was_called, &gate->s, 5000));
	return breakpoint;
}

static bool has_returned(void *data)
{
	return __atomic_load_n(&((struct gate *)data)->returns, __ATOMIC_SEQ_CST);
}

static void open_gate(struct gate *gate, struct tether_breakpoint *breakpoint)
{
	__atomic_store_n(&gate->open, true, __ATOMIC_SEQ_CST);
	check(eventually(has_returned, gate, 5000));
	check_int(tether_breakpoint_remove(breakpoint), 0);
}

TEST(the_process_forks_executes_and_exits_while_a_thread_of_it_stands)
{
	struct victim v = victim_start("stands", "1", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct gate first = { 0 }, second = { 0 };
	struct script s = { 0 };
	struct tether_breakpoint *breakpoint = hold_worker(process, &v, &first);

	check_int(done(&v, "fork"), 3);
	check_int(done(&v, "sum 4 5"), 9);
	victim_ask(&v, "exec", "ready");
	check_int(state_of(process), TETHER_STATE_RUNNING);
	check_int(done(&v, "sum 4 5"), 9);
	open_gate(&first, breakpoint);
	breakpoint = stop_at(process, "a.out:stands_sum", answer, &s);
	check_int(done(&v, "sum 4 5"), 9);
	check_int(calls(&s), 1);
	check_int(first.s.result[0], -TETHER_ESTATE);
	check_int(tether_breakpoint_remove(breakpoint), 0);
	client_drain(&c, 20);
	check_int(client_count(&c, "parked"), 0);

	breakpoint = hold_worker(process, &v, &second);
	victim_say(&v, "exit");
	client_await(&c, "exit 5", 1);
	open_gate(&second, breakpoint);
	client_close(&c);
	check_int(second.s.result[0], -TETHER_EGONE);
	check_int(second.s.result[1], -TETHER_EGONE);
	check_int(WEXITSTATUS(victim_end(&v)), 5);
}

TEST(a_thread_that_stands_is_killed_with_its_process)
{
	struct victim v = victim_start("stands", "1", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct gate gate = { 0 };
	struct tether_breakpoint *breakpoint = hold_worker(process, &v, &gate);

	check_int(kill(v.pid, SIGKILL), 0);
	client_await(&c, "exit", 1);
	open_gate(&gate, breakpoint);
	client_close(&c);
	check_int(WTERMSIG(victim_end(&v)), SIGKILL);
}

TEST(let_go_while_a_thread_stands_the_victim_runs_on)
{
	for (int way = 0; way < 3; way++) {
		struct victim v = victim_start("stands", "1", NULL);
		struct client c = client_open();
		struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
		struct gate gate = { 0 };

		hold_worker(process, &v, &gate);
		check_int(way == 0 ? tether_detach(process, TETHER_MODE_RUN) : way == 1 ? tether_release(process) : 0, 0);
		if (way < 2) {
			check_untraced(v.pid);
			check_text_whole(v.pid);
			check(done(&v, "end") > 0);
		}
		__atomic_store_n(&gate.open, true, __ATOMIC_SEQ_CST);
		client_close(&c);
		check_untraced(v.pid);
		check_text_whole(v.pid);
		if (way == 2)
			check(done(&v, "end") > 0);
		check_int(victim_end(&v), 0);
	}
}

static void *open_later(void *data)
{
	usleep(300000);
	__atomic_store_n(&((struct gate *)data)->open, true, __ATOMIC_SEQ_CST);
	return NULL;
}

TEST(the_session_is_closed_while_a_handler_runs)
{
	struct victim v = victim_start("stands", "1", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	struct gate gate = { 0 };
	pthread_t later;

	hold_worker(process, &v, &gate);
	check_int(pthread_create(&later, NULL, open_later, &gate), 0);
	client_close(&c);
	check_int(gate.s.result[0], -TETHER_ECLOSED);
	check_int(pthread_join(later, NULL), 0);
	check_untraced(v.pid);
	check_text_whole(v.pid);
	check(done(&v, "end") > 0);
	check_int(victim_end(&v), 0);
}

/* ---- the client ends, or stands itself ------------------------------------------------------------------- */

static enum tether_answer for_ever(const struct tether_hit *hit, void *data)
{
	(void)hit;
	check_int(write(*(int *)data, "", 1), 1);
	for (;;)
		pause();
}

static enum tether_answer say_and_answer(const struct tether_hit *hit, void *data)
{
	int *told = data;

	(void)hit;
	check_int(write(told[0], "", 1), 1);
	return (enum tether_answer)told[1];
}

/* A process that holds the victim; it says when a handler is called. */
static pid_t start_client(pid_t victim, tether_stop_fn *stop, uint32_t flags, enum tether_answer told, int *ret_fd)
{
	int fd[2];
	char byte;
	pid_t pid;

	check_int(pipe(fd), 0);
	pid = fork();
	check(pid >= 0);
	if (pid == 0) {
		struct client c = client_open();
		struct tether *process = client_grab(&c, victim, TETHER_NO_PARK);
		int data[2] = { fd[1], (int)told };

		breakpoint_add(process, (struct tether_breakpoint_opts){ .where = "a.out:stands_sum", .stop = stop, .data = data,
							      .flags = flags });
		check_int(write(fd[1], "", 1), 1);
		for (;;)
			pause();
	}
	close(fd[1]);
	check_int(read(fd[0], &byte, 1), 1);
	*ret_fd = fd[0];
	return pid;
}

static void await_call(int fd)
{
	char byte;

	check_int(read(fd, &byte, 1), 1);
}

static void kill_client(pid_t pid, int fd)
{
	check_int(kill(pid, SIGKILL), 0);
	check_int(waitpid(pid, NULL, 0), pid);
	close(fd);
}

TEST_SECONDS(a_client_that_is_killed_while_a_thread_stands_leaves_the_victim_whole, 60)
{
	static const struct {
		tether_stop_fn *stop;
		uint32_t flags;
		enum tether_answer told;
	} ways[] = {
		{ for_ever, 0, TETHER_ANSWER_GO },
		{ for_ever, TETHER_BREAKPOINT_FOREVER, TETHER_ANSWER_GO },
		{ say_and_answer, 0, TETHER_ANSWER_STAY },
		{ say_and_answer, 0, TETHER_ANSWER_STOP_ALL },
		{ say_and_answer, 0, TETHER_ANSWER_GO },
	};

	for (size_t i = 0; i < 4 * sizeof(ways) / sizeof(ways[0]); i++) {
		struct victim v = victim_start("stands", "4", NULL);
		size_t way = i % (sizeof(ways) / sizeof(ways[0]));
		int fd;

		check_int(done(&v, "begin"), 0);
		pid_t client = start_client(v.pid, ways[way].stop, ways[way].flags, ways[way].told, &fd);
		await_call(fd);
		if (i % 2)
			usleep((unsigned)(i * 531 % 3000));
		kill_client(client, fd);
		check_untraced(v.pid);
		check_text_whole(v.pid);
		check(done(&v, "end") > 0);
		check_int(done(&v, "sum 20 3"), 23);
		check_int(victim_end(&v), 0);
	}
}

TEST(a_client_that_is_stopped_holds_a_thread_for_its_question_time_or_for_ever)
{
	for (int forever = 0; forever < 2; forever++) {
		struct victim v = victim_start("stands", "1", NULL);
		int fd;
		pid_t client = start_client(v.pid, say_and_answer, forever ? TETHER_BREAKPOINT_FOREVER : 0, TETHER_ANSWER_GO, &fd);
		uint64_t begun = now_ns();

		check_int(kill(client, SIGSTOP), 0);
		victim_say(&v, "sum 1 2");
		if (forever) {
			usleep(1500000);
			check_int(kill(client, SIGCONT), 0);
			await_call(fd);
		}
		check_int(done(&v, NULL), 3);
		check(now_ns() - begun >= UINT64_C(900000000) && now_ns() - begun < UINT64_C(20000000000));
		if (!forever)
			check_int(done(&v, "sum 1 2"), 3);
		kill_client(client, fd);
		check_untraced(v.pid);
		check_text_whole(v.pid);
		check_int(victim_end(&v), 0);
	}
}
