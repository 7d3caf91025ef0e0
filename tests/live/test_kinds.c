/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every kind of executable, at every stop: what the victim itself wrote by then tells where it stands.
 */
#include "harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- a created victim and what it writes --------------------------------------------------------------- */

struct created {
	struct tether *process;
	int in, out;
	char text[512]; /* all that it wrote so far */
	size_t length;
	int result;
	struct tether_error error;
};

/* A thread of its own goes elsewhere first, and has nothing to do with this one's folders and mounts. */
struct elsewhere {
	void (*enter)(const void *data);
	const void *data;
	struct client *client;
	const struct tether_create_opts *opts;
	struct created *created;
};

static void *create_there(void *data)
{
	struct elsewhere *there = data;
	struct created *v = there->created;

	there->enter(there->data);
	v->result = tether_create(there->client->session, there->opts, &v->process, &v->error);
	return NULL;
}

static struct created create_at(struct client *c, const char *path, uint32_t stop, uint32_t mode,
				const struct elsewhere *where)
{
	struct created v = { .error = TETHER_ERROR_INIT };
	int to[2], from[2];
	char *const argv[] = { (char *)(uintptr_t)path, NULL };

	if (pipe2(to, O_CLOEXEC) || pipe2(from, O_CLOEXEC))
		fail("pipe: %s", strerror(errno));
	struct tether_create_opts opts = {
		.size = sizeof(opts),
		.file = path,
		.argv = argv,
		.stop = stop,
		.mode = mode,
		.timeout_ms = 5000,
		.use_stdio = 3,
		.stdio = { to[0], from[1] },
	};
	if (where) {
		struct elsewhere there = { where->enter, where->data, c, &opts, &v };
		pthread_t thread;
		check_int(pthread_create(&thread, NULL, create_there, &there), 0);
		pthread_join(thread, NULL);
	} else {
		v.result = tether_create(c->session, &opts, &v.process, &v.error);
	}
	close(to[0]);
	close(from[1]);
	v.in = to[1];
	v.out = from[0];
	return v;
}

/* Read what is there, and what comes until the text is as expected, at most so long. */
static const char *wrote(struct created *v, const char *expected, int ms)
{
	const uint64_t end = now_ns() + (uint64_t)ms * 1000000u;
	struct pollfd ready = { .fd = v->out, .events = POLLIN };

	for (;;) {
		uint64_t now = now_ns();
		bool same = strcmp(v->text, expected) == 0;
		int left = same || now > end ? 0 : (int)((end - now) / 1000000u);
		if (poll(&ready, 1, left) <= 0)
			return v->text;
		ssize_t got = read(v->out, v->text + v->length, sizeof(v->text) - 1 - v->length);
		if (got <= 0)
			return v->text;
		v->length += (size_t)got;
		v->text[v->length] = 0;
	}
}

static void created_close(struct created *v)
{
	close(v->in);
	close(v->out);
	tether_release(v->process);
}

/* Its end of the pipe is closed. */
static void check_ends(struct created *v)
{
	struct pollfd gone = { .fd = v->out, .events = 0 };

	check_int(poll(&gone, 1, 5000), 1);
	check(gone.revents & POLLHUP);
}

static bool maps(pid_t pid, const char *name)
{
	char path[64], line[4096];
	bool found = false;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	FILE *file = fopen(path, "re");
	if (!file)
		fail("%s: %s", path, strerror(errno));
	while (!found && fgets(line, sizeof(line), file))
		found = strstr(line, name);
	fclose(file);
	return found;
}

static bool stands(pid_t pid, const char *tid, char *state)
{
	char path[64], text[128] = "";

	snprintf(path, sizeof(path), "/proc/%d/task/%s/stat", pid, tid);
	FILE *file = fopen(path, "re");
	size_t length = file ? fread(text, 1, sizeof(text) - 1, file) : 0;
	if (file)
		fclose(file);
	/* Its name may contain a newline, and parentheses. */
	*state = length > 0 && strrchr(text, ')') ? strrchr(text, ')')[2] : '?';
	/* The leader of a process may have ended: there is nothing to stop. */
	return *state == 't' || (*state == 'Z' && atoi(tid) == pid);
}

static void check_all_stand(pid_t pid)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	DIR *folder = opendir(path);
	unsigned seen = 0;

	for (struct dirent *entry; folder && (entry = readdir(folder));) {
		const uint64_t end = now_ns() + 2000000000u;
		char state;
		if (entry->d_name[0] == '.')
			continue;
		/*
		 * One that waited uninterruptibly, for a page of a file, was not waited for (TETHER_EVENT_BLOCKED): it is
		 * seen on its way from there to its stop, without a user instruction between.
		 */
		while (!stands(pid, entry->d_name, &state) && now_ns() < end)
			poll(NULL, 0, 1);
		if (!stands(pid, entry->d_name, &state))
			fail("thread %s of a parked process is in state %c", entry->d_name, state);
		seen++;
	}
	if (folder)
		closedir(folder);
	check(seen > 0);
}

/* ---- one kind, all stops ------------------------------------------------------------------------------- */

struct kind {
	const char *name;
	const char *before_main; /* what its constructors write */
	const char *library;     /* mapped by its linker, NULL: by the kernel at exec, or none */
	bool is_static, no_main;
	const struct elsewhere *where; /* from where it is created, NULL: from here */
};

static const struct {
	uint32_t stop;
	const char *name;
	bool main_next, preinit, main;
} stops[] = {
	{ TETHER_STOP_CREATE, "create", false, false, false },
	{ TETHER_STOP_PREINIT, "preinit", false, true, false },
	{ TETHER_STOP_POSTINIT, "postinit", true, true, true },
	{ TETHER_STOP_MAIN, "main", true, true, true },
};

static void check_before_main(const struct kind *kind, size_t i, struct created *v, struct client *c)
{
	const pid_t pid = (pid_t)tether_pid(v->process);
	const char *by_now = stops[i].main_next ? kind->before_main : "";

	check_int(state_of(v->process), TETHER_STATE_PARKED);
	check_all_stand(pid);
	check_text_whole(pid);
	/* What it should not write yet has had time to come. */
	client_drain(c, 15);
	if (strcmp(by_now, wrote(v, by_now, 0)) != 0)
		fail("%s at %s had written '%s', expected '%s'", kind->name, stops[i].name, v->text, by_now);
	/* What has no linker is at its preinit from the beginning. */
	if (client_count(c, "preinit") != (stops[i].preinit || kind->is_static) || client_count(c, "main") != stops[i].main ||
	    client_count(c, "postinit") != stops[i].main)
		fail("%s at %s: heard\n%s", kind->name, stops[i].name, client_all(c));
	if (kind->library && maps(pid, kind->library) != (stops[i].stop != TETHER_STOP_CREATE))
		fail("%s at %s: %s is %smapped", kind->name, stops[i].name, kind->library,
		     maps(pid, kind->library) ? "" : "not ");
}

static void check_rest(const struct kind *kind, struct created *v, struct client *c)
{
	char expected[512];
	int length = snprintf(expected, sizeof(expected), "%s%sready\n", kind->before_main,
			      kind->no_main ? "" : "main\n");

	check_int(tether_continue(v->process), 0);
	check_same(expected, wrote(v, expected, 5000));
	for (int i = 0; i < 3; i++) {
		check_int(write(v->in, "x\n", 2), 2);
		length += snprintf(expected + length, sizeof(expected) - (size_t)length, "done\n");
		check_same(expected, wrote(v, expected, 5000));
	}
	close(v->in);
	v->in = -1;
	client_await(c, "exit 0", 1);
	client_drain(c, 0);
	check_int(client_count(c, "exit"), 1);
	check_int(client_count(c, "lost"), 0);
	check_int(client_count(c, "main"), !kind->no_main);
	check_int(client_count(c, "preinit"), 1);
}

/* Nobody has a handle of what was not created, so nobody else can let it go. */
static void check_let_go(struct client *c)
{
	client_await(c, "release", 1);
	client_drain(c, 0);
	check_int(client_count(c, "lost"), 0);
}

/* A stop that a program without a C main can not have: it is refused, and the program is none the worse. */
static void check_no_main(const struct kind *kind, size_t i, const char *path)
{
	struct client c = client_open();
	struct created v = create_at(&c, path, stops[i].stop, TETHER_MODE_RUN, NULL);

	if (v.result != -TETHER_ENOMAIN)
		fail("%s at %s: %d, '%s'", kind->name, stops[i].name, v.result, v.error.message);
	check(strstr(v.error.message, "no C main") != NULL);
	check(v.process == NULL);
	check_same("ready\n", wrote(&v, "ready\n", 5000));
	check_int(write(v.in, "x\n", 2), 2);
	check_same("ready\ndone\n", wrote(&v, "ready\ndone\n", 5000));
	close(v.in);
	/* It has ended when its end of the pipe is closed. */
	check_let_go(&c);
	check_ends(&v);
	close(v.out);
	client_close(&c);
}

static void grab_running_one(const struct kind *kind, struct victim *v)
{
	struct client c = client_open();
	struct pollfd answer = { .fd = fileno(v->out), .events = POLLIN };
	struct tether *process = client_grab(&c, v->pid, 0);

	check_all_stand(v->pid);
	check_text_whole(v->pid);
	victim_say(v, "x");
	if (poll(&answer, 1, 15) != 0)
		fail("%s answers while it is parked", kind->name);
	check_int(tether_continue(process), 0);
	check_same("done", victim_line(v));
	victim_ask(v, "x", "done");
	check_int(tether_release(process), 0);
	check_untraced(v->pid);
	check_text_whole(v->pid);
	victim_ask(v, "x", "done");
	client_close(&c);
	check_int(victim_end(v), 0);
}

static void grab_running(const struct kind *kind, const char *path)
{
	struct victim v = victim_start(path, NULL);

	grab_running_one(kind, &v);
}

static void create_all(const struct kind *kind, const char *path)
{
	for (size_t i = 0; i < sizeof(stops) / sizeof(stops[0]); i++) {
		if (kind->no_main && stops[i].main) {
			check_no_main(kind, i, path);
			continue;
		}
		struct client c = client_open();
		struct created v = create_at(&c, path, stops[i].stop, TETHER_MODE_KILL, kind->where);
		if (v.result)
			fail("%s at %s: %s", kind->name, stops[i].name, v.error.message);
		check_before_main(kind, i, &v, &c);
		check_rest(kind, &v, &c);
		created_close(&v);
		client_close(&c);
	}
}

static void all_stops(const struct kind *kind)
{
	const char *path = victim_path(kind->name);

	if (access(path, X_OK) != 0)
		skip("%s could not be linked on this machine", kind->name);
	create_all(kind, path);
	grab_running(kind, path);
}

#define KIND(title, ...)                                           \
	TEST(all_five_stops_of_##title)                            \
	{                                                          \
		all_stops(&(const struct kind){ __VA_ARGS__ });    \
	}

KIND(a_pie, "kind-pie", "library\nconstructor\n", "libkind.so", .where = NULL)
KIND(a_program_that_is_not_pie, "kind-nopie", "constructor\n", "libc.so", .where = NULL)
KIND(a_static_program, "kind-static", "constructor\n", .is_static = true)
KIND(a_static_pie, "kind-static-pie", "constructor\n", .is_static = true)
KIND(a_stripped_program, "kind-stripped", "constructor\n", "libc.so", .where = NULL)
KIND(a_musl_program, "kind-musl", "constructor\n", NULL, .where = NULL)
KIND(a_static_musl_program, "kind-musl-static", "constructor\n", .is_static = true)
KIND(a_static_pie_of_musl, "kind-musl-static-pie", "constructor\n", .is_static = true)
KIND(a_script, "script", "library\nconstructor\n", "libkind.so", .where = NULL)
KIND(a_program_without_a_c_main, "bare", "", .is_static = true, .no_main = true)
KIND(a_dynamic_program_without_a_c_main, "bare-dynamic", "", "libc.so", .no_main = true)

static int is_this_path(const struct tether_object *object, void *data)
{
	return strcmp(object->path, data) == 0;
}

/* ---- libraries of musl ----------------------------------------------------------------------------------- */

static void load_under_musl(struct victim *v, struct client *c)
{
	client_await(c, "load plugin-musl.so", 1);
	check_int(tether_objects(c->process[0], is_this_path, (void *)(uintptr_t)victim_path("plugin-musl.so")), 1);
	victim_ask(v, "load", "done");
	client_drain(c, 20);
	check_int(client_count(c, "load plugin-musl.so"), 1);
	check_int(client_count(c, "unload"), 0);
	client_close(c);
	check_untraced(v->pid);
	check_text_whole(v->pid);
	victim_ask(v, "load", "done");
	check_int(victim_end(v), 0);
}

TEST(a_musl_program_tells_what_it_loads_while_it_is_held)
{
	if (access(victim_path("musl-loads"), X_OK) != 0)
		skip("there is no musl-gcc");
	struct victim v = victim_start("musl-loads", NULL);
	struct client c = client_open();

	client_grab(&c, v.pid, TETHER_NO_PARK);
	client_drain(&c, 20);
	check_int(client_count(&c, "load plugin-musl.so"), 0);
	victim_ask(&v, "load", "constructed");
	check_same("done", victim_line(&v));
	load_under_musl(&v, &c);
}

TEST(what_a_musl_program_has_loaded_before_is_told_at_the_grab)
{
	if (access(victim_path("musl-loads"), X_OK) != 0)
		skip("there is no musl-gcc");
	struct victim v = victim_start("musl-loads", NULL);
	victim_ask(&v, "load", "done");
	struct client c = client_open();

	client_grab(&c, v.pid, TETHER_NO_PARK);
	load_under_musl(&v, &c);
}

/* ---- names --------------------------------------------------------------------------------------------- */

/* A copy of a victim in a new folder of its own. */
struct copy {
	char folder[64], path[256];
};

static struct copy copy_as(const char *victim, const char *name, mode_t mode)
{
	struct copy copy = { "/tmp/tether-kinds-XXXXXX", "" };
	char buffer[65536];
	ssize_t got;

	if (!mkdtemp(copy.folder) || chmod(copy.folder, 0755))
		fail("mkdtemp: %s", strerror(errno));
	snprintf(copy.path, sizeof(copy.path), "%s/%s", copy.folder, name);
	int from = open(victim_path(victim), O_RDONLY | O_CLOEXEC);
	int to = open(copy.path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
	if (from < 0 || to < 0)
		fail("%s: %s", copy.path, strerror(errno));
	while ((got = read(from, buffer, sizeof(buffer))) > 0)
		check_int(write(to, buffer, (size_t)got), got);
	close(from);
	check_int(fchmod(to, mode), 0);
	close(to);
	return copy;
}

static void remove_copy(const struct copy *copy)
{
	unlink(copy->path);
	rmdir(copy->folder);
}

/* One of the bytes is escaped in /proc/PID/maps, and the escape itself is part of the name. */
TEST(all_five_stops_of_a_path_with_spaces_and_a_newline)
{
	struct copy copy = copy_as("kind-nopie", " a  b\n\\012 c ", 0755);
	const struct kind kind = { "kind-nopie", "constructor\n", "libc.so", false, false, NULL };

	create_all(&kind, copy.path);
	grab_running(&kind, copy.path);

	struct client c = client_open();
	struct created v = create_at(&c, copy.path, TETHER_STOP_MAIN, TETHER_MODE_KILL, NULL);
	check_int(v.result, 0);
	client_drain(&c, 0);
	check_int(client_count(&c, "exec  a  b\n\\012 c "), 1);
	check_int(tether_objects(v.process, is_this_path, copy.path), 1);
	created_close(&v);
	client_close(&c);

	struct victim running = victim_start(copy.path, NULL);
	c = client_open();
	check_int(tether_objects(client_grab(&c, running.pid, 0), is_this_path, copy.path), 1);
	client_close(&c);
	check_int(victim_end(&running), 0);
	remove_copy(&copy);
}

TEST(a_process_whose_executable_was_deleted)
{
	struct copy copy = copy_as("kind-nopie", "deleted", 0755);
	struct victim v = victim_start(copy.path, NULL);
	unlink(copy.path);
	struct client c = client_open();
	struct pollfd answer = { .fd = fileno(v.out), .events = POLLIN };

	for (int i = 0; i < 2; i++) {
		struct tether *process = client_grab(&c, v.pid, 0);
		check_all_stand(v.pid);
		/* The name is told without the kernel's remark behind it. */
		check_int(tether_objects(process, is_this_path, copy.path), 1);
		victim_say(&v, "x");
		check_int(poll(&answer, 1, 15), 0);
		check_int(tether_continue(process), 0);
		check_same("done", victim_line(&v));
		check_int(tether_release(process), 0);
		check_untraced(v.pid);
		victim_ask(&v, "x", "done");
		/* The second time another program stands at its place. */
		if (i == 0)
			check_int(symlink("/bin/true", copy.path), 0);
	}
	client_close(&c);
	check_text_whole(v.pid);
	check_int(victim_end(&v), 0);
	remove_copy(&copy);
}

/* ---- what may not be read ------------------------------------------------------------------------------ */

static void become_ordinary(void)
{
	if (geteuid() != 0)
		return;
	if (setgroups(0, NULL) || setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534))
		fail("cannot become an ordinary user: %s", strerror(errno));
	/* As a user's programs are; a change of identity takes it away. */
	prctl(PR_SET_DUMPABLE, 1);
}

/* Let go at once, and never killed: what create did not get runs as it would have. */
static void check_runs_alone(struct created *v)
{
	check_same("constructor\nmain\nready\n", wrote(v, "constructor\nmain\nready\n", 5000));
	check_int(write(v->in, "x\n", 2), 2);
	check_same("constructor\nmain\nready\ndone\n", wrote(v, "constructor\nmain\nready\ndone\n", 5000));
	close(v->in);
	v->in = -1;
	check_ends(v);
}

/* Its owner may not read it either. */
static struct copy unreadable(void)
{
	struct copy copy = copy_as("kind-nopie", "unreadable", geteuid() == 0 ? 0711 : 0111);

	/* Who becomes an ordinary user must be able to remove it. */
	if (geteuid() == 0)
		check_int(chown(copy.folder, 65534, 65534), 0);
	become_ordinary();
	return copy;
}

TEST(an_executable_that_may_not_be_read_is_let_go_and_runs)
{
	struct copy copy = unreadable();
	const char *path = copy.path;

	for (size_t i = 0; i < sizeof(stops) / sizeof(stops[0]); i++) {
		for (uint32_t mode = TETHER_MODE_RUN; mode <= TETHER_MODE_KILL; mode++) {
			struct client c = client_open();
			struct created v = create_at(&c, path, stops[i].stop, mode, NULL);
			if (v.result != -TETHER_EUNOBSERVABLE)
				fail("at %s: %d, '%s'", stops[i].name, v.result, v.error.message);
			check(strstr(v.error.message, "read the executable") != NULL);
			check_runs_alone(&v);
			created_close(&v);
			client_close(&c);
		}
	}
	struct client c = client_open();
	struct created v = create_at(&c, path, TETHER_STOP_NONE, TETHER_MODE_KILL, NULL);
	check_int(v.result, 0);
	client_await(&c, "lost", 1);
	check_int(state_of(v.process), TETHER_STATE_LOST);
	check_runs_alone(&v);
	created_close(&v);
	client_close(&c);
	remove_copy(&copy);
}

TEST(a_process_of_an_executable_that_may_not_be_read_is_refused_with_the_cause)
{
	struct copy copy = unreadable();
	struct victim v = victim_start(copy.path, NULL);
	struct client c = client_open();
	struct tether_error error = TETHER_ERROR_INIT;
	struct tether *process = NULL;
	int result = tether_grab(c.session, v.pid, NULL, &process, &error);

	if (result != -TETHER_EDUMPABLE && result != -TETHER_EUNOBSERVABLE)
		fail("%d, '%s'", result, error.message);
	check(strstr(error.message, "CAP_SYS_PTRACE") != NULL);
	check(process == NULL);
	victim_ask(&v, "x", "done");
	client_close(&c);
	check_int(victim_end(&v), 0);
	remove_copy(&copy);
}

TEST(root_holds_an_executable_that_others_may_not_read)
{
	if (geteuid() != 0)
		skip("only root can");
	struct copy copy = copy_as("kind-nopie", "unreadable", 0711);
	const struct kind kind = { "kind-nopie", "constructor\n", "libc.so", false, false, NULL };

	create_all(&kind, copy.path);
	grab_running(&kind, copy.path);
	remove_copy(&copy);
}

/* ---- another machine ----------------------------------------------------------------------------------- */

static bool runs(const char *path)
{
	char *argv[] = { (char *)(uintptr_t)path, NULL };
	posix_spawn_file_actions_t actions;
	pid_t pid;
	int error;

	/* It reads its input until that ends. */
	check_int(posix_spawn_file_actions_init(&actions), 0);
	check_int(posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0), 0);
	check_int(posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0), 0);
	error = posix_spawn(&pid, path, &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (!error)
		check_int(waitpid(pid, NULL, 0), pid);
	return error != ENOEXEC;
}

static const char *path_of_32_bits(void)
{
	const char *path = victim_path("kind-32");

	if (access(path, X_OK) != 0)
		skip("this machine links no 32-bit programs");
	if (!runs(path))
		skip("this kernel runs no 32-bit programs");
	return path;
}

TEST(a_32_bit_program_is_refused_as_such_and_runs)
{
	const char *path = path_of_32_bits();

	for (size_t i = 0; i < sizeof(stops) / sizeof(stops[0]); i++) {
		for (uint32_t mode = TETHER_MODE_RUN; mode <= TETHER_MODE_KILL; mode++) {
			struct client c = client_open();
			struct created v = create_at(&c, path, stops[i].stop, mode, NULL);
			if (v.result != -TETHER_EMACHINE)
				fail("at %s: %d, '%s'", stops[i].name, v.result, v.error.message);
			check(strstr(v.error.message, "another machine") != NULL);
			check(v.process == NULL);
			check_let_go(&c);
			if (mode == TETHER_MODE_RUN)
				check_runs_alone(&v);
			else
				check_ends(&v);
			created_close(&v);
			client_close(&c);
		}
	}
}

TEST(a_32_bit_process_is_refused_as_such_and_can_be_observed)
{
	struct victim v = victim_start(path_of_32_bits(), NULL);
	struct client c = client_open();
	struct tether_error error = TETHER_ERROR_INIT;
	struct tether *process = NULL;
	char magic[4];

	check_int(tether_grab(c.session, v.pid, NULL, &process, &error), -TETHER_EMACHINE);
	check(strstr(error.message, "another machine") != NULL);
	check(process == NULL);
	check_untraced(v.pid);
	process = client_grab(&c, v.pid, TETHER_OBSERVE);
	unsigned long long start = 0;
	char maps_path[64];
	snprintf(maps_path, sizeof(maps_path), "/proc/%d/maps", v.pid);
	FILE *file = fopen(maps_path, "re");
	check(file && fscanf(file, "%llx", &start) == 1);
	fclose(file);
	check_int(tether_read(process, start, magic, sizeof(magic)), sizeof(magic));
	check(memcmp(magic, "\177ELF", 4) == 0);
	victim_ask(&v, "x", "done");
	client_close(&c);
	check_int(victim_end(&v), 0);
}

/* In the family of a 64-bit program it is followed: exec, signals, its own children, exit. */
TEST(a_32_bit_program_in_a_family_goes_its_way)
{
	char script[512];
	const char *path = path_of_32_bits();
	char *const argv[] = { (char[]){ "sh" }, (char[]){ "-c" }, script, NULL };
	struct tether_create_opts opts = { .size = sizeof(opts), .file = "/bin/sh", .argv = argv,
					   .stop = TETHER_STOP_NONE, .timeout_ms = 5000 };
	struct client c = client_open();
	struct tether *process;
	int pair[2];

	if (pipe2(pair, O_CLOEXEC))
		fail("pipe: %s", strerror(errno));
	/* The second is awaited where it reads, with a pipe for its input that nobody writes to. */
	snprintf(script, sizeof(script),
		 "exec 2> /dev/null; [ \"$(echo x | %s | tr '\\n' ' ')\" = 'constructor main ready done ' ] || exit 1;"
		 "exec 3<&0; %s <&3 > /dev/null & kill -STOP $!; kill -CONT $!; kill -USR1 $!;"
		 "wait $!; [ $? = 138 ] || exit 2; exec %s < /dev/null > /dev/null",
		 path, path, path);
	opts.use_stdio = 1;
	opts.stdio[0] = pair[0];
	check_int(tether_create(c.session, &opts, &process, NULL), 0);
	client_await(&c, "signal SIGUSR1", 1);
	client_await(&c, "exec kind-32", 2);
	const uint64_t until = now_ns() + UINT64_C(5000000000);
	while (state_of(process) != TETHER_STATE_EXITED && now_ns() < until)
		client_drain(&c, 20);
	struct tether_info info = { .size = sizeof(info) };
	check_int(tether_info_get(process, &info), 0);
	check_int(info.state, TETHER_STATE_EXITED);
	check_int(info.exit_code, 0);
	check_int(client_count(&c, "lost"), 0);
	close(pair[0]);
	close(pair[1]);
	tether_release(process);
	client_close(&c);
}

/* ---- a process whose leader has ended ------------------------------------------------------------------ */

TEST(a_process_with_a_zombie_leader_is_held_as_any_other)
{
	struct victim v = victim_start("leaderless", NULL);
	struct client c = client_open();
	struct pollfd answer = { .fd = fileno(v.out), .events = POLLIN };
	struct tether *process;

	for (int i = 0; i < 3; i++) {
		process = client_grab(&c, v.pid, 0);
		check_all_stand(v.pid);
		victim_say(&v, "load");
		check_int(poll(&answer, 1, 15), 0);
		check_int(tether_continue(process), 0);
		free(victim_expects(&v));
		client_await(&c, "load plugin-a.so", (unsigned)i + 1);
		client_await(&c, "unload plugin-a.so", (unsigned)i + 1);
		victim_ask(&v, "fork", "done");
		client_await(&c, "exit 5", (unsigned)i + 1);
		check_int(tether_release(process), 0);
		victim_ask(&v, "load", "done");
	}
	/* The thread that is left takes the place of the leader. */
	client_grab(&c, v.pid, TETHER_NO_PARK);
	victim_say(&v, "exec");
	client_await(&c, "exec quiet", 1);
	client_await(&c, "exit 7", 1);
	check_int(client_count(&c, "lost"), 0);
	client_close(&c);
	check_int(victim_end(&v), 7 << 8);
}

/* Its leader, whose end is a process's end, had ended before it was held. */
TEST(the_end_of_a_process_with_a_zombie_leader_is_told)
{
	struct victim v = victim_start("leaderless", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);

	close(v.in);
	v.in = -1;
	client_await(&c, "exit 0", 1);
	check_int(state_of(process), TETHER_STATE_EXITED);
	check_int(client_count(&c, "exit"), 1);
	client_close(&c);
	check_int(victim_end(&v), 0);
}

/* ---- elsewhere ----------------------------------------------------------------------------------------- */

/* A file of this machine at the same place below a folder. */
static void take_along(const char *folder, const char *file)
{
	char command[1024];

	snprintf(command, sizeof(command), "mkdir -p '%s%.*s' && cp -L '%s' '%s%s'", folder,
		 (int)(strrchr(file, '/') - file), file, file, folder, file);
	check_int(system(command), 0);
}

/* kind-pie with all that it needs. */
static struct copy other_root(void)
{
	struct copy copy = copy_as("kind-pie", "kind-pie", 0755);
	char proc[256];

	take_along(copy.folder, victim_path("libkind.so"));
	take_along(copy.folder, "/lib64/ld-linux-x86-64.so.2");
	take_along(copy.folder, "/lib/x86_64-linux-gnu/libc.so.6");
	snprintf(proc, sizeof(proc), "%s/proc", copy.folder);
	check_int(mkdir(proc, 0755), 0);
	return copy;
}

static void remove_root(const struct copy *copy)
{
	char command[256];

	snprintf(command, sizeof(command), "rm -rf '%s'", copy->folder);
	check_int(system(command), 0);
}

static void need_root(void)
{
	if (geteuid() != 0)
		skip("only root can make one");
}

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { CONTROLLER_NEEDS_MORE = 1 };
#else
enum { CONTROLLER_NEEDS_MORE = 0 };
#endif

static void enter_root(const void *data)
{
	char proc[256];

	snprintf(proc, sizeof(proc), "%s/proc", (const char *)data);
	/* The library and its controller need /proc where they are. */
	if (unshare(CLONE_FS | CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("proc", proc, "proc", 0, NULL) || chroot(data) || chdir("/"))
		fail("%s: %s", (const char *)data, strerror(errno));
}

TEST(all_five_stops_of_a_program_in_another_root)
{
	need_root();
	struct copy copy = other_root();
	const struct elsewhere where = { .enter = enter_root, .data = copy.folder };

	/* The controller of a sanitized build needs libraries that are not there. */
	if (!CONTROLLER_NEEDS_MORE)
		create_all(&(const struct kind){ "kind-pie", "library\nconstructor\n", "libkind.so",
						 .where = &where },
			   "/kind-pie");

	/* Who is there already needs none. */
	struct victim v = victim_start("/usr/sbin/chroot", copy.folder, "/kind-pie", NULL);
	grab_running_one(&(const struct kind){ .name = "kind-pie" }, &v);
	remove_root(&copy);
}

/* A file system that this process does not see, with the program on it. */
static void enter_mounts(const void *data)
{
	const struct copy *copy = data;
	char command[1024];

	snprintf(command, sizeof(command),
		 "mount -t tmpfs tmpfs '%s' && cp '%s' '%s'", copy->folder, victim_path("kind-pie"), copy->path);
	if (unshare(CLONE_FS | CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    system(command) != 0)
		fail("mounts of our own: %s", strerror(errno));
}

TEST(all_five_stops_of_a_program_in_another_mount_namespace)
{
	need_root();
	struct copy copy = copy_as("quiet", "hidden", 0755);
	const struct elsewhere where = { .enter = enter_mounts, .data = &copy };
	char command[1024];

	create_all(&(const struct kind){ "kind-pie", "library\nconstructor\n", "libkind.so", .where = &where },
		   copy.path);

	snprintf(command, sizeof(command), "mount -t tmpfs tmpfs '%s' && cp '%s' '%s' && exec '%s'", copy.folder,
		 victim_path("kind-pie"), copy.path, copy.path);
	struct victim v = victim_start("/usr/bin/unshare", "-m", "/bin/sh", "-c", command, NULL);
	grab_running_one(&(const struct kind){ .name = "kind-pie" }, &v);
	remove_copy(&copy);
}

static pid_t first_child(pid_t pid)
{
	char path[64];
	int child = 0;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
	FILE *file = fopen(path, "re");
	if (!file || fscanf(file, "%d", &child) != 1)
		fail("%d has no child", pid);
	fclose(file);
	return child;
}

/* It knows itself by another number than we do, and so do its children. */
TEST(a_process_in_another_pid_namespace)
{
	need_root();
	struct victim v = victim_start("/usr/bin/unshare", "-pf", "--kill-child", victim_path("leaderless"), NULL);
	struct victim inner = v;
	struct client c = client_open();

	inner.pid = first_child(v.pid);
	for (int i = 0; i < 3; i++) {
		struct tether *process = client_grab(&c, inner.pid, 0);
		check_all_stand(inner.pid);
		check_int(tether_continue(process), 0);
		victim_ask(&inner, "load", "done");
		client_await(&c, "unload plugin-a.so", (unsigned)i + 1);
		victim_ask(&inner, "fork", "done");
		client_await(&c, "exit 5", (unsigned)i + 1);
		check_int(tether_release(process), 0);
		check_untraced(inner.pid);
		victim_ask(&inner, "load", "done");
	}
	client_close(&c);
	check_int(victim_end(&v), 0);
}

/* The family goes on into it: exec, loads, stops and exit are told as we number them. */
TEST(a_family_goes_into_another_pid_and_mount_namespace)
{
	need_root();
	struct client c = client_open();
	char *const argv[] = { (char[]){ "unshare" }, (char[]){ "-pf" }, (char[]){ "--mount-proc" },
			       (char[]){ "/bin/sh" }, (char[]){ "-c" },
			       (char[]){ "[ $$ = 1 ] || exit 3; /bin/true & wait; exec "
					 "bash -c 'exit $(($$ + 40))'" }, NULL };
	struct tether_create_opts opts = { .size = sizeof(opts), .file = "unshare", .argv = argv,
					   .stop = TETHER_STOP_NONE, .timeout_ms = 5000 };
	struct tether *process;

	check_int(tether_create(c.session, &opts, &process, NULL), 0);
	client_await(&c, "exit 41", 2);
	check_int(client_count(&c, "exec true"), 1);
	check_int(client_count(&c, "exec bash"), 1);
	check_int(client_count(&c, "lost"), 0);
	tether_release(process);
	client_close(&c);
}
