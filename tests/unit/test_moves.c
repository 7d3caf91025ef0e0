/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_moves.c - the state machine of a task: every cell is filled, or says why it cannot come
 */
#include <dirent.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "controller/moves.h"
#include "os/procfs.h"
#include "os/sys.h"

static const char *where(enum task_state state, enum stop_kind kind)
{
	static char text[64];

	snprintf(text, sizeof(text), "%s x %s", task_state_name(state), stop_kind_name(kind));
	return text;
}

static void every_cell_is_filled_or_named_impossible(void **state)
{
	(void)state;
	for (enum task_state s = 0; s < TASK_STATES; s++)
		for (enum stop_kind k = 0; k < STOP_KINDS; k++) {
			const struct move *move = &moves[s][k];

			if ((move->act != NULL) == (move->impossible != NULL))
				fail_msg("%s: neither filled nor named, or both", where(s, k));
			if (move->impossible && strlen(move->impossible) < 10)
				fail_msg("%s: impossible without a reason", where(s, k));
			if ((unsigned)move->next >= TASK_STATES)
				fail_msg("%s: leads nowhere", where(s, k));
		}
}

/* SIGKILL overtakes any stop. */
static void every_state_takes_an_exit(void **state)
{
	(void)state;
	for (enum task_state s = 0; s < TASK_STATES; s++)
		if (!moves[s][STOP_EXIT].act)
			fail_msg("%s takes no exit", task_state_name(s));
}

/* Another thread's exec takes over the leader's tid, whatever the leader was doing. */
static void every_state_of_a_leader_takes_an_exec(void **state)
{
	(void)state;
	for (enum task_state s = 0; s < TASK_STATES; s++)
		if (s != TASK_EARLY && s != TASK_NEW && !moves[s][STOP_EXEC].act)
			fail_msg("%s takes no exec", task_state_name(s));
}

/* An INTERRUPT that met a stop not yet waited for is answered after it. */
static void every_running_state_takes_an_interrupt_that_nobody_waits_for(void **state)
{
	static const enum task_state running[] = { TASK_NEW,     TASK_RUNNING,   TASK_STOPPING,
						   TASK_BLOCKED, TASK_VFORKING,  TASK_STEPPING,
						   TASK_CALLING, TASK_LISTENING, TASK_DRAINING };

	(void)state;
	for (size_t i = 0; i < sizeof(running) / sizeof(running[0]); i++)
		for (int group = 0; group < 2; group++)
			if (!moves[running[i]][group ? STOP_GROUP : STOP_INTERRUPT].act)
				fail_msg("%s", where(running[i], group ? STOP_GROUP : STOP_INTERRUPT));
}

/* No stop may leave a task in a state in which it runs: that is the business of what is done at it. */
static void a_stop_leads_to_a_standing_state(void **state)
{
	(void)state;
	for (enum task_state s = 0; s < TASK_STATES; s++)
		for (enum stop_kind k = 0; k < STOP_KINDS; k++) {
			const struct move *move = &moves[s][k];

			if (move->act && move->next != TASK_HELD && move->next != TASK_LISTENING &&
			    move->next != TASK_EARLY)
				fail_msg("%s leads to %s", where(s, k), task_state_name(move->next));
		}
}

/* Its last stop, where it was asked for: SIGKILL overtakes any other, and nothing is waited for but its end. */
static void every_state_but_the_last_takes_the_stop_before_the_end(void **state)
{
	(void)state;
	for (enum task_state s = 0; s < TASK_STATES; s++)
		if ((s != TASK_ENDING) != (moves[s][STOP_ENDING].act != NULL))
			fail_msg("%s", where(s, STOP_ENDING));
}

static void every_state_has_a_name(void **state)
{
	(void)state;
	for (enum task_state s = 0; s < TASK_STATES; s++)
		assert_string_not_equal(task_state_name(s), "?");
	assert_string_equal(task_state_name(TASK_STATES), "?");
}

/* A grab may have seen the child of a vfork before its maker's event: that event alone says whose it is. */
static void a_vfork_is_heard_of_in_every_state_that_runs(void **state)
{
	static const enum task_state running[] = { TASK_RUNNING, TASK_STOPPING, TASK_BLOCKED, TASK_VFORKING,
						   TASK_STEPPING };

	(void)state;
	for (size_t i = 0; i < sizeof(running) / sizeof(running[0]); i++)
		if (!moves[running[i]][STOP_VFORK].act)
			fail_msg("%s", where(running[i], STOP_VFORK));
}

/* ---- letting go -------------------------------------------------------------------------- */

/* A controller that holds one process of one thread. */
struct one {
	struct controller controller;
	struct process *process;
	struct task *task;
};

static struct one *one_task(pid_t tid, enum task_state state)
{
	static struct one one;
	struct controller *c = &one.controller;

	memset(&one, 0, sizeof(one));
	records_init(c);
	one.process = process_new(c, tid, space_new(c));
	assert_non_null(one.process);
	one.task = task_new(c, one.process, tid, state);
	assert_non_null(one.task);
	return &one;
}

static pid_t child(bool trap)
{
	pid_t pid = fork();

	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		for (;;)
			trap ? (void)raise(SIGTRAP) : (void)pause();
	}
	assert_true(pid > 0);
	return pid;
}

/* The exit after the last turn would leave it with its SIGTRAP, and it would die of it. */
static void a_thread_that_drains_at_the_end_is_waited_for(void **state)
{
	pid_t pid = child(false);
	struct one *one = one_task(pid, TASK_DRAINING);
	struct controller *c = &one->controller;

	(void)state;
	c->finishing = c->done = true;
	c->finish_by_ns = os_now_ns() + UINT64_C(60000000000);
	one->process->release = PROTO_RUN;
	assert_false(finish_holds(c));
	assert_false(c->done);
	task_set_state(one->task, TASK_BLOCKED);
	c->done = true;
	assert_true(finish_holds(c));
	assert_true(c->done);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* A stop that is not yet waited for may be that at a trap: its thread is not one that sleeps. */
static void a_thread_in_a_stop_is_not_taken_for_blocked(void **state)
{
	pid_t pid = child(true);
	struct one *one = one_task(pid, TASK_STOPPING);
	siginfo_t info;

	(void)state;
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WSTOPPED | WNOWAIT), 0);
	assert_false(task_cannot_run(one->task));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);

	pid = child(false);
	one = one_task(pid, TASK_STOPPING);
	for (int i = 0; i < 5000 && !task_cannot_run(one->task); i++)
		usleep(1000);
	assert_true(task_cannot_run(one->task));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* An exec or the end of a process takes threads that never show a stop of their own. */
static void a_grab_does_not_wait_for_a_thread_that_is_gone(void **state)
{
	struct one *one = one_task(1, TASK_STOPPING);
	struct controller *c = &one->controller;

	(void)state;
	c->grab = (struct grab){ .request = 1, .passing = 1 };
	one->task->must_pass = true;
	task_free(c, one->task);
	assert_int_equal(c->grab.passing, 0);
	assert_int_equal(c->grab.check_ns, 1);
}

/* Stops that are taken together are acted on in another order than they came in. */
static void time_does_not_go_back_from_event_to_event(void **state)
{
	struct one *one = one_task(1, TASK_HELD);
	struct proto_event first, second;

	(void)state;
	one->task->stopped_ns = 2000;
	event_of(&one->controller, &first, one->task);
	one->task->stopped_ns = 1000;
	event_of(&one->controller, &second, one->task);
	assert_int_equal(first.t_ns, 2000);
	assert_int_equal(second.t_ns, 2000);
}

/* ---- a step whose instruction is a fork --------------------------------------------------- */

static int end_at_once(void *data)
{
	(void)data;
	return (int)syscall(SYS_exit_group, 0);
}

/* Of vfork(3) a sanitizer makes a fork. */
static void make_child(bool by_vfork)
{
	static char stack[65536] __attribute__((aligned(16)));

	if (by_vfork)
		clone(end_at_once, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
	else if (fork() == 0)
		end_at_once(NULL);
}

/* Stopped at the event of that fork, traced by us as its child is. */
static pid_t maker(bool by_vfork, int *ret_status)
{
	const long options = PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK;
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		make_child(by_vfork);
		for (;;)
			pause();
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(ptrace(PTRACE_SETOPTIONS, pid, NULL, options), 0);
	assert_int_equal(ptrace(PTRACE_CONT, pid, NULL, NULL), 0);
	assert_int_equal(waitpid(pid, ret_status, 0), pid);
	assert_int_equal(*ret_status >> 8, SIGTRAP | (by_vfork ? PTRACE_EVENT_VFORK : PTRACE_EVENT_FORK) << 8);
	return pid;
}

/*
 * The step has held the whole space still: when it goes on, so does the maker, and one that runs tells no more whom it
 * has made. Its child would be nobody's, and be taken for an orphan.
 */
static void a_child_made_by_a_stepped_instruction_has_its_maker(void **state)
{
	(void)state;
	for (int by_vfork = 0; by_vfork < 2; by_vfork++) {
		int status;
		pid_t pid = maker(by_vfork, &status);
		struct one *one = one_task(pid, TASK_STEPPING);
		struct space *space = one->process->space;
		unsigned long made = 0;
		const struct process *child;

		assert_int_equal(ptrace(PTRACE_GETEVENTMSG, pid, NULL, &made), 0);
		space->still = true;
		space->stepper = one->task;
		one->task->status = status;
		act(&one->controller, one->task);
		child = process_find(&one->controller, (pid_t)made);
		assert_non_null(child);
		assert_int_equal(child->space == space, by_vfork);
		/* And it did go on. */
		assert_null(space->stepper);
		assert_false(space->still);
		assert_int_equal(one->task->state, by_vfork ? TASK_VFORKING : TASK_RUNNING);
		kill(pid, SIGKILL);
		kill((pid_t)made, SIGKILL);
		assert_int_equal(waitpid((pid_t)made, NULL, __WALL), made);
		waitpid(pid, NULL, __WALL);
	}
}

/* ---- a core that is being written -------------------------------------------------------- */

enum { DUMPED = 96 << 20 };

static pid_t dumper(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		const struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };
		char *bytes = mmap(NULL, DUMPED, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (bytes == MAP_FAILED || setrlimit(RLIMIT_CORE, &all))
			_exit(1);
		memset(bytes, 1, DUMPED);
		signal(SIGQUIT, SIG_DFL);
		raise(SIGQUIT);
		_exit(1);
	}
	assert_true(pid > 0);
	return pid;
}

static void remove_all(const char *folder)
{
	char path[512];
	const struct dirent *entry;
	DIR *list = opendir(folder);

	while (list && (entry = readdir(list))) {
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		unlink(path);
	}
	closedir(list);
	rmdir(folder);
}

/* An INTERRUPT would wake it as a signal does, and it has no user code to run. */
static void who_writes_a_core_is_not_interrupted(void **state)
{
	char folder[] = "/tmp/tether-core-XXXXXX", back[4096];
	struct os_task_status status = { .dumps_core = false };
	bool seen;
	struct one *one;
	pid_t pid;

	(void)state;
	assert_non_null(getcwd(back, sizeof(back)));
	assert_non_null(mkdtemp(folder));
	assert_int_equal(chdir(folder), 0);
	pid = dumper();
	while (!os_task_status(pid, &status) && !status.dumps_core && status.state != 'Z')
		;
	seen = status.dumps_core;
	if (seen) {
		one = one_task(pid, TASK_RUNNING);
		one->task->may_dump = true;
		task_stop(&one->controller, one->task);
		/* It may have come to its end between the two looks. */
		if (!os_task_status(pid, &status) && status.dumps_core)
			assert_int_equal(one->task->state, TASK_BLOCKED);
		assert_int_equal(one->process->moving, one->task->state == TASK_BLOCKED ? 0 : 1);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	remove_all(folder);
	assert_int_equal(chdir(back), 0);
	if (!seen)
		skip(); /* no core is written here, or into too fast a place */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_cell_is_filled_or_named_impossible),
		cmocka_unit_test(every_state_takes_an_exit),
		cmocka_unit_test(every_state_of_a_leader_takes_an_exec),
		cmocka_unit_test(every_running_state_takes_an_interrupt_that_nobody_waits_for),
		cmocka_unit_test(a_stop_leads_to_a_standing_state),
		cmocka_unit_test(every_state_but_the_last_takes_the_stop_before_the_end),
		cmocka_unit_test(every_state_has_a_name),
		cmocka_unit_test(a_vfork_is_heard_of_in_every_state_that_runs),
		cmocka_unit_test(a_thread_that_drains_at_the_end_is_waited_for),
		cmocka_unit_test(a_thread_in_a_stop_is_not_taken_for_blocked),
		cmocka_unit_test(a_grab_does_not_wait_for_a_thread_that_is_gone),
		cmocka_unit_test(time_does_not_go_back_from_event_to_event),
		cmocka_unit_test(a_child_made_by_a_stepped_instruction_has_its_maker),
		cmocka_unit_test(who_writes_a_core_is_not_interrupted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
