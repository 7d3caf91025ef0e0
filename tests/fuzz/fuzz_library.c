/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fuzz_library LIAR CONTROLLER PLUGIN [ROUNDS [FIRST]] - the library under a controller that lies (liar.c)
 *
 * Each round opens a session, grabs the victim or creates one, calls this and that, and closes. Nothing may crash,
 * every call comes back in bounded time with a code that has a name, a failed call leaves its output untouched, and
 * what an event points to can be read. The victim, which loads and unloads a library all the time, is free
 * afterwards and goes on: the real controller behind the liar sees to that.
 */
#include <dlfcn.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <tether/tether.h>

#include "dice.h"

enum { ROUND_SECONDS = 60 };

static unsigned long *loaded; /* by the victim, shared */
static unsigned long number;
static unsigned lost, protocol, failures;
static struct dice dice;

static bool failed(const char *format, ...)
{
	va_list arguments;

	printf("round %lu: ", number);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf("\n");
	fflush(stdout);
	return false;
}

static void on_alarm(int signal)
{
	static const char text[] = "a round does not end: ";
	char digits[24];
	size_t n = sizeof(digits);

	(void)signal;
	digits[--n] = '\n';
	for (unsigned long left = number; n && (left || n == sizeof(digits) - 1); left /= 10)
		digits[--n] = (char)('0' + left % 10);
	if (write(1, text, sizeof(text) - 1) < 0 || write(1, digits + n, sizeof(digits) - n) < 0)
		_exit(2);
	_exit(1);
}

static pid_t victim_start(const char *plugin)
{
	const struct timespec little = { .tv_nsec = 300000 };
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
	alarm(0);
	for (;;) {
		void *handle = dlopen(plugin, RTLD_NOW);

		if (!handle || dlclose(handle))
			_exit(9);
		__atomic_fetch_add(loaded, 1, __ATOMIC_RELAXED);
		nanosleep(&little, NULL);
	}
}

/* ---- the client ------------------------------------------------------------------------------------------ */

static size_t bytes_read; /* so that no compiler leaves the reading out */

static void read_text(const char *text)
{
	bytes_read += text ? strlen(text) : 0;
}

static void read_list(const char *const *list)
{
	for (; list && *list; list++)
		read_text(*list);
}

static int on_stack(const struct tether_stack *stack, void *data)
{
	(void)data;
	read_text(stack->name);
	for (size_t i = 0; i < stack->frame_count; i++) {
		read_text(stack->frames[i].object);
		read_text(stack->frames[i].symbol);
	}
	return 0;
}

static void on_event(const struct tether_event *event, void *data)
{
	(void)data;
	if (event->stack)
		tether_event_stack(event, 0, on_stack, NULL);
	read_text(tether_event_name(event->kind));
	if (event->process)
		bytes_read += (size_t)tether_pid(event->process);
	switch (event->kind) {
	case TETHER_EVENT_CREATE:
		read_text(event->u.create.path);
		read_list(event->u.create.argv);
		break;
	case TETHER_EVENT_GRAB:
		read_text(event->u.grab.path);
		break;
	case TETHER_EVENT_EXEC:
		read_text(event->u.exec.path);
		read_text(event->u.exec.cwd);
		read_text(event->u.exec.interpreter);
		read_list(event->u.exec.argv);
		read_list(event->u.exec.env);
		read_list(event->u.exec.creator_env);
		break;
	case TETHER_EVENT_LOAD:
	case TETHER_EVENT_UNLOAD:
		read_text(event->u.object.path);
		for (uint32_t i = 0; i < event->u.object.build_id_size; i++)
			bytes_read += event->u.object.build_id[i];
		break;
	case TETHER_EVENT_LOST:
		lost++;
		read_text(event->u.text.reason);
		break;
	case TETHER_EVENT_FORK:
		if (event->u.fork.child_process)
			bytes_read += (size_t)tether_pid(event->u.fork.child_process);
		break;
	default:
		break;
	}
}

static void on_log(int level, const char *message, void *data)
{
	(void)level;
	(void)data;
	read_text(message);
}

static int on_object(const struct tether_object *object, void *data)
{
	(void)data;
	read_text(object->path);
	return 0;
}

/* What the controller says must not come out as a code that nobody knows. */
static bool named(const char *call, int64_t result)
{
	failures += result < 0;
	protocol += result == -TETHER_EPROTOCOL;
	if (result < 0 && result < -4095 && !strcmp(tether_error_name((int)result), "EUNKNOWN"))
		return failed("%s returned %lld", call, (long long)result);
	return true;
}

static bool call_some(struct tether_session *session, struct tether *process)
{
	struct tether_info info = { .size = sizeof(info) };
	struct tether_stats stats = { .size = sizeof(stats) };
	unsigned calls = draw(&dice) % 8;
	bool right = true;
	char bytes[64];

	for (unsigned i = 0; right && i < calls; i++) {
		switch (draw(&dice) % 9) {
		case 0:
			right = named("continue", tether_continue(process));
			break;
		case 1:
		case 2:
		case 3:
			right = named("dispatch", tether_dispatch(session, (int)(draw(&dice) % 8)));
			break;
		case 4:
			right = named("info", tether_info_get(process, &info));
			break;
		case 5:
			right = named("read", tether_read(process, (uint64_t)(uintptr_t)&call_some, bytes, sizeof(bytes)));
			break;
		case 6:
			right = named("objects", tether_objects(process, on_object, NULL));
			break;
		case 7:
			right = named("stats", tether_stats_get(session, &stats));
			break;
		case 8:
			right = named("set_mode", tether_set_mode(process, TETHER_MODE_RUN));
			break;
		}
	}
	if (right && chance(&dice, 1, 4))
		right = named("detach", tether_detach(process, TETHER_MODE_RUN));
	if (right && chance(&dice, 1, 2))
		right = named("release", tether_release(process));
	return right;
}

static bool run_round(const char *liar, pid_t victim)
{
	static char name[] = "true";
	char *const argv[] = { name, NULL };
	struct tether_session_opts opts = { .size = sizeof(opts), .log = on_log, .controller = liar, .question_ms = 300 };
	struct tether_create_opts create = { .size = sizeof(create), .file = "true", .argv = argv, .flags = TETHER_WANT_ENV,
					     .stacks = draw(&dice) & TETHER_EVENTS_WITH_STACK,
					     .stop = (uint32_t)(draw(&dice) % (TETHER_STOP_NONE + 1)) };
	struct tether_grab_opts grab = { .size = sizeof(grab), .flags = chance(&dice, 1, 2) ? TETHER_NO_PARK : 0,
					 .stacks = draw(&dice) & TETHER_EVENTS_WITH_STACK };
	struct tether *const nobody = (struct tether *)&opts, *process = nobody;
	struct tether_error err = TETHER_ERROR_INIT;
	struct tether_session *session;
	bool right;
	int result;

	if (tether_session_open(&opts, &session, &err))
		return failed("%s", err.message);
	tether_session_set_handler(session, on_event, NULL);
	result = chance(&dice, 1, 3) ? tether_create(session, &create, &process, &err) :
				       tether_grab(session, victim, &grab, &process, &err);
	right = named("create or grab", result);
	read_text(err.message);
	if (right && result < 0 && process != nobody)
		right = failed("a failed call has written its output");
	if (right && result < 0 && err.code != -result)
		right = failed("the call says %d, its details %d", result, err.code);
	if (right && result == 0)
		right = call_some(session, process);
	while (tether_dispatch(session, 0) > 0)
		;
	result = tether_session_close(session);
	return named("close", result) && right;
}

/* ---- the judge ------------------------------------------------------------------------------------------- */

static bool is_held(pid_t pid)
{
	char path[64], text[256];
	int tracer = -1;
	char state = 0;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	FILE *file = fopen(path, "re");
	while (file && fgets(text, sizeof(text), file))
		if (sscanf(text, "State: %c", &state) != 1 && sscanf(text, "TracerPid: %d", &tracer) == 1)
			break;
	if (file)
		fclose(file);
	return tracer != 0 || state == 't' || state == 'T';
}

static bool judge(pid_t victim)
{
	unsigned long before;
	int status;

	for (int i = 0; i < 10000 && is_held(victim); i++)
		poll(NULL, 0, 1);
	if (waitpid(victim, &status, WNOHANG) != 0)
		return failed("the victim ended with status %x", status);
	if (is_held(victim))
		return failed("the victim is held");
	before = __atomic_load_n(loaded, __ATOMIC_RELAXED);
	for (int i = 0; i < 10000 && __atomic_load_n(loaded, __ATOMIC_RELAXED) < before + 2; i++)
		poll(NULL, 0, 1);
	if (__atomic_load_n(loaded, __ATOMIC_RELAXED) < before + 2)
		return failed("the victim does not go on");
	return true;
}

/* The library starts what it is told; what that is to do stands beside it. */
static bool write_conf(const char *liar, const char *controller)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s.conf", liar);
	FILE *conf = fopen(path, "we");
	if (!conf)
		return false;
	fprintf(conf, "%lu %s\n", number, controller);
	return fclose(conf) == 0;
}

static bool copy(const char *from, const char *to)
{
	char bytes[65536];
	size_t n;
	FILE *in = fopen(from, "re"), *out = in ? fopen(to, "we") : NULL;

	while (out && (n = fread(bytes, 1, sizeof(bytes), in)) > 0)
		fwrite(bytes, 1, n, out);
	if (in)
		fclose(in);
	return out && fclose(out) == 0 && chmod(to, 0755) == 0;
}

int main(int argc, char **argv)
{
	char liar[64], conf[80];
	unsigned long rounds, first;
	bool right = true;

	if (argc < 4)
		return 2;
	rounds = argc > 4 ? strtoul(argv[4], NULL, 10) : 200;
	first = argc > 5 ? strtoul(argv[5], NULL, 10) : 0;
	snprintf(liar, sizeof(liar), "liar.%d", getpid());
	snprintf(conf, sizeof(conf), "%s.conf", liar);
	loaded = mmap(NULL, sizeof(*loaded), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (loaded == MAP_FAILED || !copy(argv[1], liar))
		return 2;
	signal(SIGALRM, on_alarm);
	pid_t victim = victim_start(argv[3]);
	for (number = first; right && number < first + rounds; number++) {
		alarm(ROUND_SECONDS);
		dice_begin(&dice, ~number);
		right = write_conf(liar, argv[2]) && run_round(liar, victim) && judge(victim);
		if (!right)
			break;
	}
	kill(victim, SIGKILL);
	waitpid(victim, NULL, 0);
	unlink(liar);
	unlink(conf);
	printf("%u calls failed, %u of them named the protocol, %u victims lost\n", failures, protocol, lost);
	/* Lies that nobody noticed would be no test. */
	return right && (rounds < 100 || (failures && lost)) ? 0 : 1;
}
