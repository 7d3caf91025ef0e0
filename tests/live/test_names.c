/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names of what a victim runs: every kind of handle, object and file.
 */
#include "names.h"

#include <errno.h>
#include <fnmatch.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

/* A victim "named" that has told its addresses. */
struct named {
	struct victim victim;
	uint64_t function, object, strtoull;
};

static struct named named_start(void)
{
	struct named named = { .victim = victim_spawn("named", NULL) };

	named.function = read_address(&named.victim, "named_function");
	named.object = read_address(&named.victim, "named_object");
	named.strtoull = read_address(&named.victim, "strtoull");
	check_same("ready", victim_line(&named.victim));
	return named;
}

static void check_known(struct tether *process, const struct named *named)
{
	check_name(process, named->function, "named_function", 0);
	check_name(process, named->function + 1, "named_function", 1);
	check_name(process, named->object, "named_object", 0);
	/* An alias of it may be preferred: what counts is that the name leads back. */
	struct answer answer = name_of(process, named->strtoull, NULL);
	check_int(answer.result, 0);
	check_int(answer.symbol.offset, 0);
	check(strstr(answer.symbol.object, "libc") != NULL);
	check_int(address_of(process, answer.symbol.name, NULL).symbol.address, named->strtoull);
	check_int(address_of(process, "strtoull", NULL).symbol.address, named->strtoull);
}

TEST(every_kind_of_handle_names_addresses_and_finds_names)
{
	static const uint32_t flags[] = { TETHER_OBSERVE, TETHER_NO_PARK, TETHER_NO_PARK | TETHER_NO_MONITOR, 0 };
	struct named named = named_start();

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		struct client c = client_open();
		struct tether *process = grab(c.session, named.victim.pid, flags[i], TETHER_MODE_RUN);

		check_known(process, &named);
		struct answer answer = name_of(process, named.function, NULL);
		check_int(answer.symbol.image, 0);
		check_int(answer.symbol.flags & TETHER_SYMBOL_IS_PAST, 0);
		check_int(answer.symbol.type, 2);
		check(answer.symbol.symbol_size > 0);
		check_int(name_of(process, 8, NULL).result, -TETHER_ENOTFOUND);
		check_int(address_of(process, "no_such_name_anywhere", NULL).result, -TETHER_ENOTFOUND);
		tether_release(process);
		client_close(&c);
	}
	check_int(victim_end(&named.victim), 0);
}

TEST(answers_follow_loads_and_unloads_at_once)
{
	static const uint32_t flags[] = { TETHER_OBSERVE, TETHER_NO_PARK, TETHER_NO_PARK | TETHER_NO_MONITOR };
	struct named named = named_start();
	char word[512];

	snprintf(word, sizeof(word), "dlopen %s", victim_path("plugin-a.so"));
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		struct client c = client_open();
		struct tether *process = grab(c.session, named.victim.pid, flags[i], TETHER_MODE_RUN);

		for (int round = 0; round < 50; round++) {
			uint64_t address = ask_address(&named.victim, word, "plugin_function");
			check_name(process, address + 1, "plugin_function", 1);
			check_int(address_of(process, "plugin_function", NULL).symbol.address, address);
			/* Asked again and again: then less is looked at, if it is of what came with the program. */
			for (int asked = 0; asked < 3; asked++) {
				usleep(50);
				check_name(process, address + 1, "plugin_function", 1);
				check_name(process, named.function, "named_function", 0);
			}
			victim_ask(&named.victim, "dlclose", "done");
			check_int(name_of(process, address + 1, NULL).result, -TETHER_ENOTFOUND);
			check_int(address_of(process, "plugin_function", NULL).result, -TETHER_ENOTFOUND);
		}
		tether_release(process);
		client_close(&c);
	}
	check_int(victim_end(&named.victim), 0);
}

/* A library that is built anew and loaded again lies where its forerunner lay. */
TEST(a_file_that_replaces_another_at_the_same_place_gives_its_own_names)
{
	struct named named = named_start();
	struct client c = client_open();
	struct tether *process = observe(&c, named.victim.pid);
	const char *path = copy_of("plugin-a.so", "plugin.so");
	char word[512];

	snprintf(word, sizeof(word), "dlopen %s", path);
	for (int round = 0; round < 4; round++) {
		copy_over(round % 2 ? "plugin-b.so" : "plugin-a.so", path);
		uint64_t address = ask_address(&named.victim, word, "plugin_function");
		check_name(process, address, "plugin_function", 0);
		/* Replaced while it is mapped: the path leads to another file by now. */
		copy_over("plugin-other.so", path);
		check_name(process, address + 1, "plugin_function", 1);
		victim_ask(&named.victim, "dlclose", "done");
	}
	tether_release(process);
	client_close(&c);
	remove_copy(path);
	check_int(victim_end(&named.victim), 0);
}

/* Deleted or replaced before anybody asked: the file that is mapped is meant, or its image in memory. */
TEST(files_that_are_deleted_or_replaced_are_named_by_what_is_mapped)
{
	for (int replaced = 0; replaced < 2; replaced++) {
		struct named named = named_start();
		struct client c = client_open();
		const char *path = copy_of("plugin-a.so", "plugin.so");
		char word[512];

		snprintf(word, sizeof(word), "dlopen %s", path);
		uint64_t address = ask_address(&named.victim, word, "plugin_function");
		unlink(path);
		if (replaced)
			copy_over("plugin-other.so", path);
		struct tether *process = observe(&c, named.victim.pid);
		check_name(process, address, "plugin_function", 0);
		check_int(address_of(process, "other_function", NULL).result, -TETHER_ENOTFOUND);
		tether_release(process);
		client_close(&c);
		remove_copy(path);
		check_int(victim_end(&named.victim), 0);
	}
}

/* The file's own addresses are high: what is added to them is not where the object lies. */
TEST(a_library_that_was_linked_to_a_place_is_named)
{
	struct named named = named_start();
	struct client c = client_open();
	struct tether *process = observe(&c, named.victim.pid);
	char word[512];

	snprintf(word, sizeof(word), "dlopen %s", victim_path("plugin-placed.so"));
	uint64_t address = ask_address(&named.victim, word, "plugin_function");
	check_name(process, address + 1, "plugin_function", 1);
	check_int(address_of(process, "plugin_function", NULL).symbol.address, address);
	tether_release(process);
	client_close(&c);
	check_int(victim_end(&named.victim), 0);
}

TEST(an_object_that_is_only_in_memory_is_named)
{
	struct named named = named_start();
	struct client c = client_open();
	struct tether *process = observe(&c, named.victim.pid);
	char word[512];

	snprintf(word, sizeof(word), "memfd %s", victim_path("plugin-a.so"));
	uint64_t address = ask_address(&named.victim, word, "plugin_function");
	check_name(process, address, "plugin_function", 0);
	check_name(process, address + 2, "plugin_function", 2);
	tether_release(process);
	client_close(&c);
	check_int(victim_end(&named.victim), 0);
}

TEST(a_namespace_of_the_linker_is_told_apart)
{
	struct named named = named_start();
	struct client c = client_open();
	struct tether *process = observe(&c, named.victim.pid);
	struct tether_symbol_opts base = { .size = sizeof(base) };
	struct tether_symbol_opts other = { .size = sizeof(other), .lmid = 1 };
	struct tether_symbol_opts every = { .size = sizeof(every), .flags = TETHER_SYMBOL_EVERY_LMID };
	char word[512];

	snprintf(word, sizeof(word), "dlmopen %s", victim_path("plugin-b.so"));
	uint64_t address = ask_address(&named.victim, word, "plugin_function");
	struct answer answer = name_of(process, address, NULL);
	check_int(answer.result, 0);
	check_int(answer.symbol.lmid, 1);
	check_int(address_of(process, "plugin_function", &base).result, -TETHER_ENOTFOUND);
	check_int(address_of(process, "plugin_function", &other).symbol.address, address);
	check_int(address_of(process, "plugin_function", &every).symbol.address, address);
	/* It has no libc, and is not looked for in the base one. */
	check_int(address_of(process, "strtoull", &base).symbol.address, named.strtoull);
	check_int(address_of(process, "strtoull", &every).symbol.address, named.strtoull);
	check_int(address_of(process, "strtoull", &other).result, -TETHER_ENOTFOUND);
	every.lmid = 1;
	check_int(address_of(process, "strtoull", &every).result, -TETHER_EINVALID);
	tether_release(process);
	client_close(&c);
	check_int(victim_end(&named.victim), 0);
}

TEST(an_object_is_chosen_by_path_base_name_pattern_or_as_the_program)
{
	static const char *const right[] = { "a.out", "named", "na?ed", "*/named" };
	static const char *const wrong[] = { "libc.so.6", "ame", "named.so", "nam" };
	struct named named = named_start();
	struct client c = client_open();
	struct tether *process = observe(&c, named.victim.pid);

	for (size_t i = 0; i < 4; i++) {
		struct tether_symbol_opts opts = { .size = sizeof(opts), .object = right[i] };
		check_int(address_of(process, "named_function", &opts).symbol.address, named.function);
		opts.object = wrong[i];
		check_int(address_of(process, "named_function", &opts).result, -TETHER_ENOTFOUND);
	}
	struct tether_symbol_opts whole = { .size = sizeof(whole), .object = victim_path("named") };
	check_int(address_of(process, "named_function", &whole).symbol.address, named.function);
	tether_release(process);
	client_close(&c);
	check_int(victim_end(&named.victim), 0);
}

/* Another file under the same path, seen by the victim alone. */
TEST(a_victim_in_a_mount_namespace_of_its_own_is_named_by_what_it_sees)
{
	const char *shown = copy_of("plugin-other.so", "plugin.so"), *hidden = copy_of("plugin-a.so", "plugin.so");
	int done[2];
	char word[512];

	check_int(pipe(done), 0);
	pid_t builder = fork();
	if (builder == 0) {
		close(done[0]);
		if (unshare(geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWNS | CLONE_NEWUSER) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		    mount(hidden, shown, NULL, MS_BIND, NULL) < 0)
			_exit(77);
		struct victim victim = victim_spawn("named", NULL);
		while (strcmp(victim_line(&victim), "ready") != 0)
			;
		snprintf(word, sizeof(word), "dlopen %s", shown);
		uint64_t address = ask_address(&victim, word, "plugin_function");
		long long told[2] = { victim.pid, (long long)address };
		if (write(done[1], told, sizeof(told)) != sizeof(told))
			_exit(1);
		pause();
		_exit(0);
	}
	long long told[2] = { 0, 0 };
	close(done[1]);
	bool made = read(done[0], told, sizeof(told)) == sizeof(told);
	close(done[0]);
	if (made) {
		struct client c = client_open();
		struct tether *process = observe(&c, (pid_t)told[0]);
		check_name(process, (uint64_t)told[1], "plugin_function", 0);
		check_int(address_of(process, "other_function", NULL).result, -TETHER_ENOTFOUND);
		tether_release(process);
		client_close(&c);
		kill((pid_t)told[0], SIGKILL);
	}
	kill(builder, SIGKILL);
	check_int(waitpid(builder, NULL, 0), builder);
	remove_copy(shown);
	remove_copy(hidden);
	if (!made)
		skip("no mount namespace can be made here");
}

TEST(code_made_at_run_time_is_named_by_its_perf_map)
{
	struct named named = named_start();
	struct client c = client_open();
	struct tether *process = observe(&c, named.victim.pid);
	char path[64];

	uint64_t address = ask_address(&named.victim, "jit", "made_second");
	struct answer answer = name_of(process, address + 5, NULL);
	check_int(answer.result, 0);
	check_same("made_second", answer.symbol.name);
	check_int(answer.symbol.offset, 5);
	check(answer.symbol.flags & TETHER_SYMBOL_IS_JIT);
	check_same("", answer.symbol.object);
	check_same("made first", name_of(process, address - 1, NULL).symbol.name);
	pid_t pid = named.victim.pid;
	check_int(victim_end(&named.victim), 0);
	/* What was read of it stays. */
	check_same("made_second", name_of(process, address + 5, NULL).symbol.name);
	tether_release(process);
	client_close(&c);
	snprintf(path, sizeof(path), "/tmp/perf-%d.map", (int)pid);
	unlink(path);
}

/* pie, not, static, stripped, musl: what main is called in each that has names. */
TEST(every_kind_of_program_has_its_main_named)
{
	static const char *const kinds[] = { "kind-pie", "kind-nopie", "kind-static", "kind-static-pie", "kind-musl",
					     "kind-musl-static" };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		static const uint32_t stops[] = { TETHER_STOP_CREATE, TETHER_STOP_PREINIT, TETHER_STOP_MAIN };
		if (access(victim_path(kinds[i]), X_OK) < 0)
			continue;
		for (size_t k = 0; k < 3; k++) {
			struct client c = client_open();
			struct tether *process = client_create(&c, 0, stops[k], kinds[i], NULL);
			struct tether_symbol_opts program = { .size = sizeof(program), .object = "a.out" };
			/* kind-pie has its main in a library. */
			struct answer answer = address_of(process, "_start", &program);
			check_int(answer.result, 0);
			check_int(answer.symbol.image, 1);
			check_name(process, answer.symbol.address, "_start", 0);
			check_int(name_of(process, answer.symbol.address, NULL).symbol.base, answer.symbol.base);
			/* The vdso is nobody's file. */
			answer = address_of(process, "__vdso_clock_gettime", NULL);
			check_int(answer.result, 0);
			client_close(&c);
		}
	}
}

TEST(a_buffer_that_is_too_small_cuts_and_tells)
{
	struct named named = named_start();
	struct client c = client_open();
	struct tether *process = observe(&c, named.victim.pid);
	struct tether_symbol symbol = { .size = sizeof(symbol) }, none = { .size = sizeof(none) };
	char room[64], small[6];

	check_int(tether_symbol_at(process, named.function, NULL, &symbol, small, sizeof(small)), 0);
	check_same("named", symbol.name);
	check_same("", symbol.object);
	check(symbol.flags & TETHER_SYMBOL_IS_CUT);
	check(symbol.wanted > sizeof("named_function") && symbol.wanted < 4096);
	check_int(tether_symbol_at(process, named.function, NULL, &none, NULL, 0), 0);
	check_same("", none.name);
	check_int(none.address, named.function);
	check_int(none.flags & TETHER_SYMBOL_IS_CUT, 0);
	/* A caller of an older library knows less of the struct. */
	memset(room, 'x', sizeof(room));
	size_t less = offsetof(struct tether_symbol, symbol_size);
	struct tether_symbol old;
	memset(&old, 0x55, sizeof(old));
	old.size = less;
	check_int(tether_symbol_at(process, named.function, NULL, &old, room, sizeof(room)), 0);
	check_int(old.size, less);
	check_int(old.address, named.function);
	check_int(old.symbol_size, 0x5555555555555555);
	old.size = 8;
	check_int(tether_symbol_at(process, named.function, NULL, &old, room, sizeof(room)), -TETHER_EINVALID);
	tether_release(process);
	client_close(&c);
	check_int(victim_end(&named.victim), 0);
}

struct seen {
	struct tether *process;
	unsigned count, matching;
	uint64_t last;
};

/* It may ask from within. */
static int visit(const struct tether_symbol *symbol, void *data)
{
	struct seen *seen = data;
	struct answer answer = name_of(seen->process, symbol->address, NULL);

	check(symbol->address >= seen->last);
	seen->last = symbol->address;
	seen->count++;
	seen->matching += fnmatch("named_*", symbol->name, 0) == 0;
	check_int(answer.result, 0);
	return 0;
}

static int stop_at_third(const struct tether_symbol *symbol, void *data)
{
	(void)symbol;
	return ++((struct seen *)data)->count == 3 ? 33 : 0;
}

TEST(symbols_are_visited_by_pattern_in_order_until_the_visitor_ends_it)
{
	struct named named = named_start();
	struct client c = client_open();
	struct tether *process = observe(&c, named.victim.pid);
	struct tether_symbol_opts program = { .size = sizeof(program), .object = "a.out" };
	struct seen seen = { .process = process };

	check_int(tether_symbols(process, "named_*", &program, visit, &seen), 0);
	check_int(seen.count, 2);
	check_int(seen.matching, 2);
	seen = (struct seen){ .process = process };
	check_int(tether_symbols(process, NULL, &program, visit, &seen), 0);
	check(seen.count > 5);
	seen = (struct seen){ .process = process };
	check_int(tether_symbols(process, NULL, NULL, stop_at_third, &seen), 33);
	check_int(tether_symbols(process, "no_such_*", NULL, visit, &seen), 0);
	program.object = "no-such-object";
	check_int(tether_symbols(process, NULL, &program, visit, &seen), -TETHER_ENOTFOUND);
	tether_release(process);
	client_close(&c);
	check_int(victim_end(&named.victim), 0);
}

struct asking {
	struct tether *process;
	uint64_t address;
	bool stop;
	unsigned named, missed;
};

static void *keep_asking(void *data)
{
	struct asking *asking = data;
	char text[256];

	while (!__atomic_load_n(&asking->stop, __ATOMIC_RELAXED)) {
		struct tether_symbol symbol = { .size = sizeof(symbol) };
		int result = tether_symbol_at(asking->process, asking->address, NULL, &symbol, text, sizeof(text));
		if (result == 0 && strcmp(symbol.name, "named_function") != 0)
			fail("named '%s'", symbol.name);
		asking->named += result == 0;
		asking->missed += result != 0;
	}
	return NULL;
}

static void ask_while_it_changes(uint32_t flags)
{
	struct named named = named_start();
	struct client c = client_open();
	struct asking asking[4];
	pthread_t thread[4];
	char word[512];
	struct tether *process = grab(c.session, named.victim.pid, flags, TETHER_MODE_RUN);

	for (int i = 0; i < 4; i++) {
		asking[i] = (struct asking){ .process = process, .address = named.function + 1 };
		check_int(pthread_create(&thread[i], NULL, keep_asking, &asking[i]), 0);
	}
	snprintf(word, sizeof(word), "dlopen %s", victim_path("plugin-a.so"));
	for (int round = 0; round < 30; round++) {
		ask_address(&named.victim, word, "plugin_function");
		victim_ask(&named.victim, "dlclose", "done");
		if (round % 10 != 9)
			continue;
		/* The same program elsewhere: the old address is that of an image before. */
		victim_say(&named.victim, "exec");
		while (strcmp(victim_line(&named.victim), "ready") != 0)
			;
	}
	for (int i = 0; i < 4; i++) {
		__atomic_store_n(&asking[i].stop, true, __ATOMIC_RELAXED);
		pthread_join(thread[i], NULL);
		check(asking[i].named > 0);
	}
	tether_release(process);
	client_close(&c);
	check_int(victim_end(&named.victim), 0);
}

TEST_SECONDS(many_threads_ask_while_the_victim_loads_unloads_and_executes, 60)
{
	ask_while_it_changes(TETHER_OBSERVE);
	ask_while_it_changes(TETHER_NO_PARK);
}

/* A held victim never waits for a server, and neither does the program that holds it. */
TEST(debug_files_are_not_fetched_while_a_process_is_held)
{
	struct tether_symbol_opts fetch = { .size = sizeof(fetch), .flags = TETHER_SYMBOL_FETCH };
	struct named named = named_start();
	struct client c = client_open();
	struct tether_error error = TETHER_ERROR_INIT;

	unsetenv("DEBUGINFOD_URLS");
	check_int(tether_fetch_check(&error), -EDESTADDRREQ);
	check(strstr(error.message, "set DEBUGINFOD_URLS") != NULL);
	struct tether *reader = observe(&c, named.victim.pid);
	check_int(name_of(reader, named.function, &fetch).result, 0);
	struct tether *process = grab(c.session, named.victim.pid, TETHER_NO_PARK, TETHER_MODE_RUN);
	struct tether *handles[] = { reader, process };
	for (int i = 0; i < 2; i++) {
		check_int(name_of(handles[i], named.function, &fetch).result, -TETHER_ESTATE);
		check_int(address_of(handles[i], "strtoull", &fetch).result, -TETHER_ESTATE);
		check_int(tether_symbols(handles[i], NULL, &fetch, visit, NULL), -TETHER_ESTATE);
		check_int(name_of(handles[i], named.function, NULL).result, 0);
	}
	tether_release(process);
	check_int(name_of(reader, named.function, &fetch).result, 0);
	tether_release(reader);
	client_close(&c);
	check_int(victim_end(&named.victim), 0);
}

TEST(a_forked_child_is_told_so)
{
	struct named named = named_start();
	struct client c = client_open();
	struct tether *process = observe(&c, named.victim.pid);
	int status;

	check_int(name_of(process, named.function, NULL).result, 0);
	pid_t child = fork();
	if (child == 0) {
		bool good = name_of(process, named.function, NULL).result == -TETHER_EFORKED &&
			    address_of(process, "strtoull", NULL).result == -TETHER_EFORKED &&
			    tether_symbols(process, NULL, NULL, visit, NULL) == -TETHER_EFORKED;
		_exit(good ? 0 : 1);
	}
	check_int(waitpid(child, &status, 0), child);
	check_int(status, 0);
	tether_release(process);
	client_close(&c);
	check_int(victim_end(&named.victim), 0);
}
