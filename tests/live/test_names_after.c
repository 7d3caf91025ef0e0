/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names of what a victim ran: after its exec, after its end, from the cache, and never another's.
 */
#include "names.h"

#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "process/handle.h"
#include "session/session.h"

static uint32_t idle_count(struct tether_session *session)
{
	pthread_mutex_lock(&session->table.lock);
	uint32_t count = session->table.idle_count;
	pthread_mutex_unlock(&session->table.lock);
	return count;
}

static void end(struct victim *victim)
{
	kill(victim->pid, SIGKILL);
	check_int(victim_end(victim), SIGKILL);
}

static void nap_ms(long ms)
{
	const struct timespec nap = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&nap, NULL);
}

/* Of a program in the same process: another image. */
static uint64_t execute_again(struct victim *victim)
{
	victim_say(victim, "exec");
	uint64_t address = read_address(victim, "named_function");
	while (strcmp(victim_line(victim), "ready") != 0)
		;
	return address;
}

static uint64_t start(struct victim *victim)
{
	*victim = victim_spawn("named", NULL);
	uint64_t address = read_address(victim, "named_function");
	while (strcmp(victim_line(victim), "ready") != 0)
		;
	return address;
}

TEST(addresses_of_the_images_before_are_named_and_say_which)
{
	static const uint32_t flags[] = { TETHER_OBSERVE, TETHER_NO_PARK };

	for (size_t i = 0; i < 2; i++) {
		struct victim v;
		uint64_t address[4];
		address[0] = start(&v);
		struct client c = client_open();
		struct tether *process = grab(c.session, v.pid, flags[i], TETHER_MODE_RUN);

		check_name(process, address[0], "named_function", 0);
		for (int image = 1; image < 4; image++) {
			address[image] = execute_again(&v);
			/* Whoever only observes sees the images that it is asked about. */
			check_name(process, address[image], "named_function", 0);
		}
		for (int image = 0; image < 4; image++) {
			struct tether_symbol_opts only = { .size = sizeof(only), .flags = TETHER_SYMBOL_IMAGE,
							   .image = (uint64_t)image };
			struct answer answer = name_of(process, address[image], NULL);
			check_same("named_function", answer.symbol.name);
			check_int(answer.symbol.image, image);
			check_int(answer.symbol.flags & TETHER_SYMBOL_IS_PAST, image < 3 ? TETHER_SYMBOL_IS_PAST : 0);
			answer = name_of(process, address[image], &only);
			check_int(answer.result, 0);
			check_int(address_of(process, "named_function", &only).symbol.address, address[image]);
			only.image = (uint64_t)(image + 1) % 4;
			check(name_of(process, address[image], &only).result == -TETHER_ENOTFOUND ||
			      strcmp(name_of(process, address[image], &only).symbol.name, "named_function") != 0);
		}
		check_int(address_of(process, "named_function", NULL).symbol.address, address[3]);
		int status = victim_end(&v);
		check_int(status, 0);
		if (flags[i] != TETHER_OBSERVE)
			client_await(&c, "exit", 1);
		for (int image = 0; image < 4; image++) {
			struct answer answer = name_of(process, address[image], NULL);
			check_same("named_function", answer.symbol.name);
			check_int(answer.symbol.image, image);
			check(answer.symbol.flags & TETHER_SYMBOL_IS_PAST);
		}
		check_int(address_of(process, "named_function", NULL).symbol.address, address[3]);
		tether_release(process);
		client_close(&c);
	}
}

/*
 * Whoever has just asked may be told by less than a look at the memory that the image is the same (process/check.c): not
 * when it is another, nor where everything is at the same place in it.
 */
TEST_SECONDS(an_exec_is_noticed_a_moment_after_a_question, 60)
{
	enum { ROUNDS = 12 };
	static const unsigned long drawn[] = { 0, ADDR_NO_RANDOMIZE };

	for (size_t i = 0; i < 2; i++) {
		int before = personality(PER_LINUX | (unsigned)drawn[i]);
		struct victim v;
		uint64_t address = start(&v), other;
		struct client c = client_open();
		struct tether *process = observe(&c, v.pid);

		for (uint64_t image = 0; image < ROUNDS; image++) {
			for (int asked = 0; asked < 3; asked++) {
				struct answer answer = name_of(process, address, NULL);
				check_same("named_function", answer.symbol.name);
				check_int(answer.symbol.image, image);
				check_int(answer.symbol.flags & TETHER_SYMBOL_IS_PAST, 0);
				usleep(50);
			}
			other = execute_again(&v);
			check(drawn[i] ? other == address : other != address);
			struct answer answer = name_of(process, other, NULL);
			check_same("named_function", answer.symbol.name);
			check_int(answer.symbol.image, image + 1);
			if (other != address) {
				answer = name_of(process, address, NULL);
				check_int(answer.symbol.image, image);
				check(answer.symbol.flags & TETHER_SYMBOL_IS_PAST);
			}
			address = other;
		}
		tether_release(process);
		client_close(&c);
		check_int(victim_end(&v), 0);
		personality((unsigned)before);
	}
}

TEST(images_beyond_the_bound_are_forgotten_the_oldest_first)
{
	struct victim v;
	uint64_t first = start(&v), second = 0;
	struct client c = client_open();
	struct tether *process = grab(c.session, v.pid, TETHER_NO_PARK, TETHER_MODE_RUN);
	struct tether_symbol_opts only = { .size = sizeof(only), .flags = TETHER_SYMBOL_IMAGE };

	check_name(process, first, "named_function", 0);
	for (int i = 0; i < MAX_PAST_IMAGES + 1; i++) {
		uint64_t address = execute_again(&v);
		second = i == 0 ? address : second;
	}
	check_int(name_of(process, first, &only).result, -TETHER_ENOTFOUND);
	only.image = 1;
	check_int(name_of(process, second, &only).result, 0);
	check_same("named_function", name_of(process, second, &only).symbol.name);
	tether_release(process);
	client_close(&c);
	check_int(victim_end(&v), 0);
}

/* Nobody had asked before it ended. */
TEST(a_process_that_ended_unasked_is_named_by_what_was_seen_at_its_grab)
{
	static const uint32_t flags[] = { TETHER_OBSERVE, TETHER_NO_PARK };

	for (size_t i = 0; i < 2; i++) {
		struct victim v;
		uint64_t address = start(&v);
		struct client c = client_open();
		struct tether *process = grab(c.session, v.pid, flags[i], TETHER_MODE_RUN);

		end(&v);
		if (flags[i] != TETHER_OBSERVE)
			client_await(&c, "exit", 1);
		check_name(process, address, "named_function", 0);
		struct answer answer = address_of(process, "strtoull", NULL);
		check_int(answer.result, 0);
		check(answer.symbol.flags & TETHER_SYMBOL_IS_PAST);
		check_int(name_of(process, 8, NULL).result, -TETHER_ENOTFOUND);
		tether_release(process);
		client_close(&c);
	}
}

/* Neither its memory nor its pid lead anywhere, but it has not been reaped. */
TEST(a_zombie_is_named_like_one_that_is_gone)
{
	struct victim v;
	uint64_t address = start(&v);
	struct client c = client_open();
	struct tether *process = observe(&c, v.pid);

	kill(v.pid, SIGKILL);
	while (task_state(v.pid) != 'Z')
		nap_ms(1);
	check_name(process, address, "named_function", 0);
	check(name_of(process, address, NULL).symbol.flags & TETHER_SYMBOL_IS_PAST);
	end(&v);
	check_name(process, address, "named_function", 0);
	tether_release(process);
	client_close(&c);
}

TEST(a_cached_handle_answers_after_the_end_of_its_process)
{
	struct victim v;
	uint64_t address = start(&v);
	struct client c = client_open();
	struct tether *process = observe(&c, v.pid);

	tether_release(process);
	check_int(idle_count(c.session), 1);
	end(&v);
	nap_ms(30);
	struct tether *again = observe(&c, v.pid);
	check(again == process);
	check_int(idle_count(c.session), 0);
	check_int(state_of(again), TETHER_STATE_EXITED);
	check_name(again, address, "named_function", 0);
	tether_release(again);
	check_int(idle_count(c.session), 1);
	client_close(&c);
}

/* The same program under this number, waiting for a word from `in`. */
static pid_t fork_as(pid_t pid, int in)
{
	struct clone_args args = { .exit_signal = SIGCHLD, .set_tid = (uintptr_t)&pid, .set_tid_size = 1 };
	pid_t child = (pid_t)syscall(SYS_clone3, &args, sizeof(args));

	if (child == 0) {
		dup2(in, 0);
		close(1);
		execl(victim_path("named"), "named", "other", (char *)NULL);
		_exit(98);
	}
	return child;
}

/* The pid is another's: what is kept of the first is found by nobody, and says nothing of the second. */
TEST(a_recycled_pid_never_gets_the_names_of_its_forerunner)
{
	for (int held = 0; held < 2; held++) {
		struct victim v;
		uint64_t address = start(&v);
		struct client c = client_open();
		struct tether *first = observe(&c, v.pid);

		check_name(first, address, "named_function", 0);
		if (!held)
			tether_release(first);
		end(&v);
		nap_ms(30);
		int in[2];
		check_int(pipe(in), 0);
		if (fork_as(v.pid, in[0]) != v.pid)
			skip("a pid cannot be chosen here");
		/* It has executed its program when that waits for a word. */
		while (task_state(v.pid) != 'S')
			nap_ms(1);
		nap_ms(20);
		if (held) {
			check_name(first, address, "named_function", 0);
			check(name_of(first, address, NULL).symbol.flags & TETHER_SYMBOL_IS_PAST);
		}
		struct tether *second = observe(&c, v.pid);
		check(!held || second != first);
		struct answer answer = address_of(second, "named_function", NULL);
		check_int(answer.result, 0);
		check_int(answer.symbol.flags & TETHER_SYMBOL_IS_PAST, 0);
		/* Places are drawn anew for each program: by chance the same once in 2^28. */
		check(answer.symbol.address != address);
		check(name_of(second, address, NULL).result == -TETHER_ENOTFOUND ||
		      strcmp(name_of(second, address, NULL).symbol.name, "named_function") != 0);
		if (held) {
			check_int(name_of(first, answer.symbol.address, NULL).result, -TETHER_ENOTFOUND);
			check_int(address_of(first, "named_function", NULL).symbol.address, address);
			tether_release(first);
		}
		tether_release(second);
		kill(v.pid, SIGKILL);
		check_int(waitpid(v.pid, NULL, 0), v.pid);
		close(in[0]);
		close(in[1]);
		client_close(&c);
	}
}

TEST(idle_handles_go_when_their_tables_take_more_than_the_budget)
{
	struct tether_session_opts small = { .size = sizeof(small), .cache_bytes = 1 };
	struct tether_session *session;
	struct tether_error error = TETHER_ERROR_INIT;
	struct victim v;
	uint64_t address = start(&v);

	if (tether_session_open(&small, &session, &error) < 0)
		fail("%s", error.message);
	struct tether *process = grab(session, v.pid, TETHER_OBSERVE, 0);
	check_name(process, address, "named_function", 0);
	/* Held: it keeps what it has, whatever the budget. */
	check_name(process, address + 1, "named_function", 1);
	tether_release(process);
	check_int(idle_count(session), 0);
	struct symbol_pool_state state;
	symbol_pool_state(session->table.symbols, &state);
	check_int(state.bytes, 0);
	/* One that has no table takes nothing. */
	process = grab(session, v.pid, TETHER_OBSERVE, 0);
	tether_release(process);
	check_int(idle_count(session), 1);
	tether_session_close(session);
	check_int(victim_end(&v), 0);
}

TEST(handles_of_one_session_share_the_tables_of_files)
{
	struct victim v[4];
	uint64_t address[4];
	struct client c = client_open();
	struct symbol_pool_state one, all;

	for (int i = 0; i < 4; i++) {
		address[i] = start(&v[i]);
		check_name(observe(&c, v[i].pid), address[i], "named_function", 0);
		symbol_pool_state(c.session->table.symbols, i == 0 ? &one : &all);
	}
	check_int(one.files, 1);
	check_int(all.files, 1);
	check_int(all.bytes, one.bytes);
	check_int(all.builds, 1);
	client_close(&c);
	for (int i = 0; i < 4; i++)
		check_int(victim_end(&v[i]), 0);
}

/* ---- many short lives ------------------------------------------------------------------------------------------ */

/* A sanitizer makes each start many times as long. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { LIVES = 100 };
#else
enum { LIVES = 1000 };
#endif

struct life {
	struct tether *process;
	uint64_t address;
	unsigned *told;
};

/* Where the program of an exec begins is told by its own start code in any case; here by what it prints. */
static uint64_t read_told(int fd)
{
	char text[256];
	unsigned long long address;
	ssize_t got = read(fd, text, sizeof(text) - 1);

	text[got > 0 ? got : 0] = '\0';
	if (sscanf(text, "address named_function 0x%llx", &address) != 1)
		fail("it said '%s'", text);
	return address;
}

/* The reason for its length is that a thousand programs are started; each is held, as none of them lives to be found. */
TEST_SECONDS(a_thousand_processes_that_live_a_moment_are_named_after_their_end, 120)
{
	static struct life life[LIVES];
	struct client c = client_open();
	char *const argv[] = { (char[]){ "named" }, NULL };
	int empty[2], out[2];

	/* It ends when it finds no word to hear. */
	check_int(pipe(empty), 0);
	close(empty[1]);
	for (int i = 0; i < LIVES; i++) {
		check_int(pipe(out), 0);
		struct tether_create_opts opts = {
			.size = sizeof(opts), .file = victim_path("named"), .argv = argv, .stop = TETHER_STOP_NONE,
			.use_stdio = 3, .stdio = { empty[0], out[1], 0 }, .events = TETHER_EVENT_BIT(TETHER_EVENT_EXIT),
		};
		struct tether_error error = TETHER_ERROR_INIT;

		if (tether_create(c.session, &opts, &life[i].process, &error) < 0)
			fail("%d: %s", i, error.message);
		close(out[1]);
		life[i].address = read_told(out[0]);
		close(out[0]);
	}
	client_await(&c, "exit", LIVES);
	for (int i = 0; i < LIVES; i++) {
		struct answer answer = name_of(life[i].process, life[i].address, NULL);
		check_int(answer.result, 0);
		check_same("named_function", answer.symbol.name);
		check_int(answer.symbol.image, 1);
		check(answer.symbol.flags & TETHER_SYMBOL_IS_PAST);
		answer = address_of(life[i].process, "strtoull", NULL);
		check_int(answer.result, 0);
		tether_release(life[i].process);
	}
	close(empty[0]);
	client_close(&c);
}
