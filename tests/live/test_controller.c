/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_controller.c - what a controller does for a client that speaks to it raw (raw.h). Prints TAP.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <tether/error.h>

#include "raw.h"

TEST(a_created_victim_asks_at_exec_and_its_exit_is_told)
{
	struct options o = { .mode = PROTO_KILL };
	struct message m;
	pid_t pid = create(line, &o, (const char *const[]){ "/bin/sh", "-c", "exit 3", NULL }, &m);

	CHECK(line, pid > 0, "not created: %d at %u", m.u.created.result, m.u.created.stage);
	CHECK(line, m.u.event.question != 0, "the exec event is no question");
	CHECK(line, m.u.exec.old_tid == (uint32_t)pid, "old tid %u", m.u.exec.old_tid);
	answer_question(line, m.u.event.question, PROTO_GO);
	expect_exit(line, pid, 3);
}

TEST(an_exec_that_fails_is_told_with_its_errno_and_stage)
{
	struct options o = { .mode = PROTO_KILL };
	struct message m;

	create(line, &o, (const char *const[]){ "/nonexistent/program", NULL }, &m);
	CHECK(line, m.u.created.result == -ENOENT && m.u.created.stage == OS_STAGE_EXEC, "%d at stage %u",
	      m.u.created.result, m.u.created.stage);
}

TEST(hits_are_counted_and_the_victim_computes_right)
{
	struct options o = { .mode = PROTO_KILL };
	struct message m;
	pid_t pid = create(line, &o, ROLE("rounds", "1", "1000"), &m);
	struct proto_stats stats;

	CHECK(line, !plant_all(line, pid, PROTO_SITE_COUNT, false), "not planted");
	answer_question(line, m.u.event.question, PROTO_GO);
	expect_exit(line, pid, 0);
	stats = stats_of(line);
	CHECK(line, stats.hits == 3000, "%llu hits", (unsigned long long)stats.hits);
	CHECK(line, stats.emulated == 2000, "%llu emulated", (unsigned long long)stats.emulated);
	CHECK(line, stats.in_place == 1000, "%llu stepped in place", (unsigned long long)stats.in_place);
}

TEST(a_slot_takes_the_place_of_steps)
{
	struct options o = { .mode = PROTO_KILL };
	struct message m;
	pid_t pid = create(line, &o, ROLE("rounds", "4", "1000"), &m);
	struct proto_stats stats;

	CHECK(line, !plant_all(line, pid, PROTO_SITE_COUNT, true), "not planted");
	answer_question(line, m.u.event.question, PROTO_GO);
	expect_exit(line, pid, 0);
	stats = stats_of(line);
	CHECK(line, stats.hits == 12000, "%llu hits", (unsigned long long)stats.hits);
	CHECK(line, stats.slot > 3900, "%llu in slots, %llu in place", (unsigned long long)stats.slot,
	      (unsigned long long)stats.in_place);
}

TEST(threads_step_in_place_without_missing_a_hit)
{
	struct options o = { .mode = PROTO_KILL };
	struct message m;
	pid_t pid = create(line, &o, ROLE("rounds", "4", "300"), &m);
	struct proto_stats stats;

	CHECK(line, !plant_all(line, pid, PROTO_SITE_COUNT, false), "not planted");
	answer_question(line, m.u.event.question, PROTO_GO);
	expect_exit(line, pid, 0);
	stats = stats_of(line);
	CHECK(line, stats.hits == 3600, "%llu hits", (unsigned long long)stats.hits);
}

TEST(a_signal_storm_on_a_stepped_instruction_harms_nothing)
{
	struct options o = { .mode = PROTO_KILL };

	for (int slots = 0; slots < 2; slots++) {
		struct message m;
		pid_t pid = create(line, &o, ROLE("storm"), &m);

		CHECK(line, !plant_all(line, pid, PROTO_SITE_COUNT, slots), "not planted");
		answer_question(line, m.u.event.question, PROTO_GO);
		expect_exit(line, pid, 0);
		if (!slots)
			line_close(line);
	}
}

TEST(a_site_that_is_lifted_at_its_first_hit_is_hit_once)
{
	struct options o = { .mode = PROTO_KILL };
	struct message m;
	pid_t pid = create(line, &o, ROLE("rounds", "1", "100"), &m);

	plant_all(line, pid, PROTO_SITE_ASK | PROTO_SITE_ONCE, false);
	answer_question(line, m.u.event.question, PROTO_GO);
	expect_exit(line, pid, 0);
	CHECK(line, line->count[PROTO_EV_hit] == 3, "%u hits told", line->count[PROTO_EV_hit]);
	CHECK(line, stats_of(line).hits == 3, "more hits than sites");
}

TEST(a_park_at_a_hit_shows_the_text_of_the_file)
{
	struct options o = { .mode = PROTO_KILL };
	struct message m;
	pid_t pid = create(line, &o, ROLE("rounds", "3", "50"), &m);

	plant_all(line, pid, PROTO_SITE_ASK, false);
	line->answer_questions = false;
	answer_question(line, m.u.event.question, PROTO_GO);
	await(line, PROTO_EV_hit, 0, &m);
	CHECK(line, !text_is_whole(pid), "no trap stands");
	answer_question(line, m.u.event.question, PROTO_STAY);
	line->answer_questions = true;
	await(line, PROTO_EV_parked, 0, &m);
	CHECK(line, text_is_whole(pid), "a trap stands at a park");
	CHECK(line, !request_pid(line, PROTO_REQ_resume, pid, 0), "resume");
	CHECK(line, !request_pid(line, PROTO_REQ_resume, pid, 0), "a second resume");
	expect_exit(line, pid, 0);
	CHECK(line, line->count[PROTO_EV_hit] == 450, "%u hits told", line->count[PROTO_EV_hit]);
}

TEST(a_park_that_meets_an_exec_ends_with_its_resume)
{
	struct options o = { .mode = PROTO_KILL };
	struct message m;
	pid_t pid = create(line, &o, ROLE("execs", "100"), &m);

	answer_question(line, m.u.event.question, PROTO_GO);
	for (int i = 0; i < 40 && !line->failed && !line->count[PROTO_EV_exit]; i++) {
		unsigned before = line->count[PROTO_EV_parked];

		if (request_pid(line, PROTO_REQ_park, pid, 0))
			break; /* it has ended */
		while (line->count[PROTO_EV_parked] == before && !line->count[PROTO_EV_exit])
			if (!receive(line, &m, long_ms())) {
				FAIL(line, "it does not park, try %d", i);
				return;
			}
		request_pid(line, PROTO_REQ_resume, pid, 0);
	}
	if (!line->count[PROTO_EV_exit])
		expect_exit(line, pid, 0);
	CHECK(line, line->count[PROTO_EV_exec] == 101, "%u execs", line->count[PROTO_EV_exec]);
}

TEST(forked_children_are_followed_with_their_sites)
{
	struct options o = { .mode = PROTO_KILL, .flags = PROTO_FOLLOW };
	struct message m;
	pid_t pid = create(line, &o, ROLE("forks", "40"), &m);
	struct proto_stats stats;

	plant_all(line, pid, PROTO_SITE_COUNT, false);
	answer_question(line, m.u.event.question, PROTO_GO);
	expect_exit(line, pid, 0);
	stats = stats_of(line);
	CHECK(line, stats.hits == 40 * (9 + 6), "%llu hits", (unsigned long long)stats.hits);
	CHECK(line, line->count[PROTO_EV_fork] == 40 && line->count[PROTO_EV_exit] == 41,
	      "%u forks, %u exits", line->count[PROTO_EV_fork], line->count[PROTO_EV_exit]);
}

TEST(forked_children_that_are_not_followed_run_clean)
{
	struct options o = { .mode = PROTO_KILL };
	struct message m;
	pid_t pid = create(line, &o, ROLE("forks", "40"), &m);
	struct proto_stats stats;

	plant_all(line, pid, PROTO_SITE_COUNT, false);
	answer_question(line, m.u.event.question, PROTO_GO);
	expect_exit(line, pid, 0);
	stats = stats_of(line);
	/* The vfork children share the parent's traps, the forked ones are scrubbed. */
#if defined(__SANITIZE_THREAD__)
	const uint64_t in_vfork = 0; /* ThreadSanitizer turns the victim's vfork into a fork */
#else
	const uint64_t in_vfork = 20 * 9;
#endif
	CHECK(line, stats.hits == 40 * 6 + in_vfork, "%llu hits", (unsigned long long)stats.hits);
	CHECK(line, line->count[PROTO_EV_exit] == 1, "%u exits", line->count[PROTO_EV_exit]);
}

TEST(a_victims_own_trap_kills_it_as_untraced)
{
	struct options o = { .mode = PROTO_KILL };
	struct message m;
	pid_t pid = create(line, &o, ROLE("trap"), &m);

	answer_question(line, m.u.event.question, PROTO_GO);
	await(line, PROTO_EV_exit, 0, &m);
	CHECK(line,
	      (pid_t)m.u.event.pid == pid && WIFSIGNALED(m.u.exit.status) &&
		      WTERMSIG(m.u.exit.status) == SIGTRAP,
	      "status %x", m.u.exit.status);
	CHECK(line, line->count[PROTO_EV_signal] == 2, "%u signals told", line->count[PROTO_EV_signal]);
}

/* ---- questions
 * ------------------------------------------------------------------------------------------------ */

TEST(an_unanswered_question_is_answered_by_its_deadline)
{
	struct options o = { .mode = PROTO_KILL, .question_ns = 50000000 };
	struct message m;
	pid_t pid = create(line, &o, ROLE("rounds", "1", "20"), &m);
	uint64_t question = m.u.event.question, begin;

	plant_all(line, pid, PROTO_SITE_ASK, false);
	line->answer_questions = false;
	begin = now_ms();
	answer_question(line, question, PROTO_GO);
	expect_exit(line, pid, 0);
	/* one deadline is waited for; after it the silent client is asked no more */
	CHECK(line, now_ms() - begin < 1000, "it took %llu ms", (unsigned long long)(now_ms() - begin));
	CHECK(line, line->count[PROTO_EV_hit] == 60, "%u hits", line->count[PROTO_EV_hit]);
}

static uint64_t first_question;
static void remember_first(struct line *line, const struct message *m)
{
	if (!first_question)
		first_question = m->u.event.question;
	else
		answer_question(line, m->u.event.question, PROTO_GO);
}

TEST(a_late_answer_is_told_as_such)
{
	struct options o = { .mode = PROTO_KILL, /* long enough for a loaded machine to answer the other questions in time */
			     .question_ns = 500000000 };
	struct message m;
	pid_t pid;
	int input[2];

	if (pipe2(input, O_CLOEXEC))
		abort();
	o.input = input[0];
	pid = create(line, &o, ROLE("waits"), &m);
	close(input[0]);
	first_question = 0;
	plant_all(line, pid, PROTO_SITE_ASK, false);
	line->on_question = remember_first;
	answer_question(line, m.u.event.question, PROTO_GO);
	if (write(input[1], "x", 1) != 1)
		abort();
	await(line, PROTO_EV_hit, 0, &m);
	poll(NULL, 0, 1000); /* the deadline, twice */
	/*
	 * A machine that has stood still for all of that wakes us and the controller together, and an answer that is read
	 * before the clock is looked at is in time: until the thread is seen to have gone on without.
	 */
	while (await(line, PROTO_EV_hit, 0, &m) && m.u.event.question)
		;
	answer_question(line, first_question, PROTO_GO);
	await(line, PROTO_EV_late, 0, &m);
	CHECK(line, m.u.plain.value >= 1000000000 && (pid_t)m.u.event.pid == pid, "waited %llu ns",
	      (unsigned long long)m.u.plain.value);
	close(input[1]);
	expect_exit(line, pid, 0);
}

/* ---- letting go
 * ------------------------------------------------------------------------------------------------ */

TEST(a_grabbed_process_is_parked_whole_resumed_and_released)
{
	struct message m;
	int input, status;
	pid_t pid = own_victim(ROLE("waits"), &input);
	int r = grab(line, pid, PROTO_RUN, PROTO_PARK, &m);

	CHECK(line, !r, "grab: %d", r);
	CHECK(line, m.u.grabbed.threads == 1 && m.u.grabbed.processes == 1, "%u threads",
	      m.u.grabbed.threads);
	if (!line->count[PROTO_EV_parked])
		await(line, PROTO_EV_parked, 0, &m);
	plant_all(line, pid, PROTO_SITE_REPORT, false);
	CHECK(line, text_is_whole(pid), "planted into a parked process");
	CHECK(line, !request_pid(line, PROTO_REQ_resume, pid, 0), "resume");
	CHECK(line, EVENTUALLY(!text_is_whole(pid)), "not planted at resume");
	if (write(input, "xx", 2) != 2)
		abort();
	for (int i = 0; i < 6; i++)
		await(line, PROTO_EV_hit, 0, &m);
	CHECK(line, !request_pid(line, PROTO_REQ_release, pid, PROTO_RUN), "release");
	CHECK(line, line->count[PROTO_EV_released] == 1, "released %u times", line->count[PROTO_EV_released]);
	CHECK(line, text_is_whole(pid), "a trap is left");
	CHECK(line, EVENTUALLY(status_field(pid, "TracerPid:") == 0), "still traced");
	close(input);
	status = status_of(pid);
	CHECK(line, !status, "it ended with %x", status);
}

TEST(a_call_that_the_kernel_does_not_restart_goes_on_after_a_park)
{
	struct message m;
	int input, status;
	pid_t pid = own_victim(ROLE("epoll"), &input);

	/* it blocks where it is to be found */
	poll(NULL, 0, 50);
	CHECK(line, !grab(line, pid, PROTO_RUN, PROTO_PARK, &m), "grab");
	CHECK(line, !request_pid(line, PROTO_REQ_resume, pid, 0), "resume");
	CHECK(line, !request_pid(line, PROTO_REQ_release, pid, PROTO_RUN), "release");
	if (write(input, "x", 1) != 1)
		abort();
	status = status_of(pid);
	CHECK(line, !status, "it ended with %x", status);
	close(input);
}

TEST(a_client_that_dies_during_a_grab_leaves_no_controller)
{
	/* what is let go must not be seized again by the next scan of the grab */
	for (int i = 0; i < 40; i++) {
		struct proto_grab body = { .hold = hold_of(PROTO_RUN, 0) };
		pid_t pid = own_victim(ROLE("rounds", "16", "20000000"), NULL);
		int status;

		poll(NULL, 0, 5);
		body.pid = (uint32_t)pid;
		line_open(line);
		hello(line);
		send_body(line, PROTO_REQ_grab, &body, sizeof(body));
		kill(line->client, SIGKILL);
		CHECK(line, EVENTUALLY(waitpid(line->controller, &status, WNOHANG) == line->controller),
		      "the controller stays");
		kill(pid, SIGKILL);
		status_of(pid);
		line->controller = fork();
		if (!line->controller)
			_exit(0);
		if (i < 39)
			line_close(line);
	}
}

TEST(a_stopped_process_is_grabbed_and_released_stopped)
{
	struct message m;
	int input, status;
	pid_t pid = own_victim(ROLE("waits"), &input);

	kill(pid, SIGSTOP);
	EVENTUALLY(status_field(pid, "State:") == 'T');
	CHECK(line, !grab(line, pid, PROTO_RUN, PROTO_PARK, &m), "grab");
	CHECK(line, m.u.grabbed.stopped == 1, "it is not told to be stopped");
	CHECK(line, !request_pid(line, PROTO_REQ_resume, pid, 0), "resume");
	CHECK(line, !request_pid(line, PROTO_REQ_release, pid, PROTO_RUN), "release");
	CHECK(line, EVENTUALLY(status_field(pid, "TracerPid:") == 0), "still traced");
	CHECK(line, EVENTUALLY(status_field(pid, "State:") == 'T'), "not stopped: %c",
	      (char)status_field(pid, "State:"));
	kill(pid, SIGCONT);
	close(input);
	while ((status = status_of(pid)) != -1 && WIFSTOPPED(status))
		;
	CHECK(line, !status, "it ended with %x", status);
}

TEST(job_control_stops_and_continues_are_honoured_and_told)
{
	struct message m;
	int input, status;
	pid_t pid = own_victim(ROLE("waits"), &input);

	CHECK(line, !grab(line, pid, PROTO_RUN, 0, &m), "grab");
	kill(pid, SIGSTOP); /* an orphaned process group, as a test's can be, ignores SIGTSTP */
	await(line, PROTO_EV_stop, 0, &m);
	CHECK(line, m.u.signal.signal == SIGSTOP, "signal %d", m.u.signal.signal);
	kill(pid, SIGCONT);
	await(line, PROTO_EV_cont, 0, &m);
	close(input);
	expect_exit(line, pid, 0);
	status = status_of(pid);
	CHECK(line, !status, "it ended with %x", status);
}

static void kill_the_client(struct line *line)
{
	kill(line->client, SIGKILL);
}
static void close_the_socket(struct line *line)
{
	shutdown(line->socket, SHUT_RDWR);
}
static void terminate_the_controller(struct line *line)
{
	kill(line->controller, SIGTERM);
}
static void break_the_protocol(struct line *line)
{
	if (send(line->socket, "rubbish", 7, 0) != 7)
		abort();
}
static void (*const endings[])(struct line *) = { kill_the_client, close_the_socket, terminate_the_controller,
						  break_the_protocol };

TEST(whatever_ends_the_client_leaves_a_grabbed_victim_whole)
{
	for (int i = 0; i < 24; i++) {
		struct message m;
		pid_t pid = own_victim(ROLE("rounds", "4", "20000000"), NULL);
		int status;

		CHECK(line, !grab(line, pid, PROTO_RUN, i & 8 ? PROTO_PARK : 0, &m), "grab: %d",
		      m.u.grabbed.result);
		CHECK(line, !plant_all(line, pid, PROTO_SITE_COUNT, i & 4), "not planted");
		if (i & 8)
			request_pid(line, PROTO_REQ_resume, pid, 0);
		poll(NULL, 0, i * 2);
		endings[i % 4](line);
		CHECK(line, EVENTUALLY(status_field(pid, "TracerPid:") <= 0), "still traced");
		CHECK(line, text_is_whole(pid), "a trap is left");
		status = status_of(pid);
		CHECK(line, !status, "try %d: it ended with %x", i, status);
		if (line->failed)
			kill(pid, SIGKILL);
		if (i < 23)
			line_close(line);
	}
}

TEST(mode_run_leaves_a_created_victim_with_its_parent)
{
	struct options o = { .mode = PROTO_RUN };
	struct message m;
	pid_t pid;
	int input[2];

	if (pipe2(input, O_CLOEXEC))
		abort();
	o.input = input[0];
	pid = create(line, &o, ROLE("waits"), &m);
	close(input[0]);
	plant_all(line, pid, PROTO_SITE_COUNT, false);
	answer_question(line, m.u.event.question, PROTO_GO);
	if (write(input[1], "xxx", 3) != 3)
		abort();
	kill(line->client, SIGKILL);
	CHECK(line, EVENTUALLY(status_field(pid, "TracerPid:") == 0), "still traced");
	CHECK(line, text_is_whole(pid), "a trap is left");
	CHECK(line, status_field(pid, "PPid:") == line->controller, "its parent is %ld",
	      status_field(pid, "PPid:"));
	close(input[1]);
	CHECK(line, EVENTUALLY(status_field(pid, "State:") < 0), "not reaped");
}

TEST(mode_kill_takes_the_whole_family)
{
	struct options o = { .mode = PROTO_KILL, .flags = PROTO_FOLLOW };
	struct message m;
	pid_t pid = create(line, &o,
			   (const char *const[]){ "/bin/sh", "-c", "sleep 1000 & sleep 1000; :", NULL }, &m);
	pid_t child;

	answer_question(line, m.u.event.question, PROTO_GO);
	await(line, PROTO_EV_fork, 0, &m);
	child = (pid_t)m.u.fork.child;
	await(line, PROTO_EV_exec, 0, &m);
	kill(line->client, SIGKILL);
	CHECK(line, EVENTUALLY(status_field(pid, "State:") < 0), "the first process lives");
	CHECK(line, EVENTUALLY(status_field(child, "State:") < 0 || status_field(child, "State:") == 'Z'),
	      "its child lives");
}

TEST(mode_hang_leaves_a_stopped_process)
{
	struct message m;
	int input, status;
	pid_t pid = own_victim(ROLE("waits"), &input);

	CHECK(line, !grab(line, pid, PROTO_HANG, 0, &m), "grab");
	plant_all(line, pid, PROTO_SITE_COUNT, false);
	kill(line->client, SIGKILL);
	CHECK(line, EVENTUALLY(status_field(pid, "TracerPid:") == 0), "still traced");
	CHECK(line, EVENTUALLY(status_field(pid, "State:") == 'T'), "not stopped");
	CHECK(line, text_is_whole(pid), "a trap is left");
	kill(pid, SIGCONT);
	close(input);
	while ((status = status_of(pid)) != -1 && WIFSTOPPED(status))
		;
	CHECK(line, !status, "it ended with %x", status);
}

TEST(refusals_say_why)
{
	struct message m;
	int input, r;
	pid_t pid = own_victim(ROLE("waits"), &input), gone;
	struct line other = { 0 };

	CHECK(line, !grab(line, pid, PROTO_RUN, 0, &m), "grab");
	r = grab(&other, pid, PROTO_RUN, 0, &m);
	CHECK(line, r == -TETHER_ETRACED && (pid_t)m.u.grabbed.tracer == line->controller, "%d by %u", r,
	      m.u.grabbed.tracer);
	line_close(&other);
	r = grab(&other, 2, PROTO_RUN, 0, &m);
	CHECK(line, r == -TETHER_EKTHREAD || r == -TETHER_EGONE || r == -TETHER_EPRIV, "kernel thread: %d",
	      r);
	line_close(&other);
	gone = fork();
	if (!gone)
		_exit(0);
	EVENTUALLY(status_field(gone, "State:") == 'Z');
	r = grab(&other, gone, PROTO_RUN, 0, &m);
	CHECK(line, r == -TETHER_EZOMBIE, "zombie: %d", r);
	line_close(&other);
	waitpid(gone, NULL, 0);
	r = grab(&other, gone, PROTO_RUN, 0, &m);
	CHECK(line, r == -TETHER_EGONE, "gone: %d", r);
	line_close(&other);
	close(input);
	expect_exit(line, pid, 0);
	status_of(pid);
}

TEST(real_programs_run_as_ever)
{
	static const char *const commands[][4] = {
		{ "/bin/sh", "-c",
		  "for i in 1 2 3 4 5 6 7 8; do (/bin/true; /bin/true) & done; wait; test -d / && exit 0",
		  NULL },
		{ "/usr/bin/python3", "-c",
		  "import subprocess, threading, ssl, sqlite3\n"
		  "t = [threading.Thread(target=lambda: subprocess.run(['/bin/true'], check=True)) for _ in "
		  "range(6)]\n"
		  "[x.start() for x in t]; [x.join() for x in t]",
		  NULL },
	};

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		struct options o = { .mode = PROTO_KILL, .flags = PROTO_FOLLOW };
		struct message m;
		pid_t pid;

		if (access(commands[i][0], X_OK))
			continue;
		if (i)
			line_close(line);
		pid = create(line, &o, commands[i], &m);
		answer_question(line, m.u.event.question, PROTO_GO);
		expect_exit(line, pid, 0);
		CHECK(line, line->count[PROTO_EV_exec] >= 6, "%u execs", line->count[PROTO_EV_exec]);
		CHECK(line, line->count[PROTO_EV_exit] >= line->count[PROTO_EV_fork], "%u exits of %u forks",
		      line->count[PROTO_EV_exit], line->count[PROTO_EV_fork]);
	}
}

static const struct raw_test tests[] = {
	RAW_TEST(a_created_victim_asks_at_exec_and_its_exit_is_told),
	RAW_TEST(an_exec_that_fails_is_told_with_its_errno_and_stage),
	RAW_TEST(hits_are_counted_and_the_victim_computes_right),
	RAW_TEST(a_slot_takes_the_place_of_steps),
	RAW_TEST(threads_step_in_place_without_missing_a_hit),
	RAW_TEST(a_signal_storm_on_a_stepped_instruction_harms_nothing),
	RAW_TEST(a_site_that_is_lifted_at_its_first_hit_is_hit_once),
	RAW_TEST(a_park_at_a_hit_shows_the_text_of_the_file),
	RAW_TEST(a_park_that_meets_an_exec_ends_with_its_resume),
	RAW_TEST(forked_children_are_followed_with_their_sites),
	RAW_TEST(forked_children_that_are_not_followed_run_clean),
	RAW_TEST(a_victims_own_trap_kills_it_as_untraced),
	RAW_TEST(an_unanswered_question_is_answered_by_its_deadline),
	RAW_TEST(a_late_answer_is_told_as_such),
	RAW_TEST(a_grabbed_process_is_parked_whole_resumed_and_released),
	RAW_TEST(a_call_that_the_kernel_does_not_restart_goes_on_after_a_park),
	RAW_TEST(a_client_that_dies_during_a_grab_leaves_no_controller),
	RAW_TEST(a_stopped_process_is_grabbed_and_released_stopped),
	RAW_TEST(job_control_stops_and_continues_are_honoured_and_told),
	RAW_TEST(whatever_ends_the_client_leaves_a_grabbed_victim_whole),
	RAW_TEST(mode_run_leaves_a_created_victim_with_its_parent),
	RAW_TEST(mode_kill_takes_the_whole_family),
	RAW_TEST(mode_hang_leaves_a_stopped_process),
	RAW_TEST(refusals_say_why),
	RAW_TEST(real_programs_run_as_ever),
};

static int run(const struct raw_test *test, size_t number)
{
	static struct line line;

	memset(&line, 0, sizeof(line));
	test->run(&line);
	line_close(&line);
	printf("%sok %zu - %s\n", line.failed ? "not " : "", number, test->name);
	return line.failed != NULL;
}

int main(int argc, char **argv)
{
	const size_t own = sizeof(tests) / sizeof(tests[0]), traps = own + sigtrap_test_count,
		     count = traps + counter_test_count;
	const char *only = getenv("ONLY");
	int failed = 0;

	if (argc > 1 && strcmp(argv[1], "--"))
		return victim(argc, argv);
	setvbuf(stdout, NULL, _IOLBF, 0);
	controller_path = getenv("TETHER_CONTROLLER");
	if (!controller_path)
		controller_path = TEST_CONTROLLER;
	if (readlink("/proc/self/exe", self_path, sizeof(self_path) - 1) < 0)
		return 1;
	printf("1..%zu\n", only ? 1 : count);
	for (size_t i = 0; i < count; i++) {
		const struct raw_test *test = i < own ? &tests[i] : i < traps ? &sigtrap_tests[i - own] : &counter_tests[i - traps];

		if (!only || !strcmp(only, test->name))
			failed += run(test, i + 1);
	}
	return failed ? 1 : 0;
}
