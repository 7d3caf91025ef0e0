/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The survey and the link maps of this very process, and of programs stopped at their start.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fake_memory.h"
#include "rtld/rtld.h"
#include "scan_record.h"

/* ---- this process ---------------------------------------------------------------------------------- */

struct own {
	pid_t self;
	struct reader memory;
	struct rtld rtld;
	struct object_list list;
	struct record record;
};

static struct own *own_new(struct rtld_cache *cache)
{
	struct own *own = calloc(1, sizeof(*own));

	assert_non_null(own);
	own->self = getpid();
	own->memory = process_reader_of(&own->self);
	object_list_init(&own->list);
	assert_int_equal(rtld_survey(&own->rtld, own->self, &own->memory, cache), 0);
	return own;
}

static int own_scan(struct own *own)
{
	struct rtld_changes changes = { added, removed, &own->record };

	own->record = (struct record){ 0 };
	return rtld_scan(&own->rtld, own->self, &own->memory, &own->list, &changes);
}

static void own_free(struct own *own)
{
	object_list_clear(&own->list);
	free(own);
}

int main(void);

static void main_linker_and_gadget_of_this_process_are_found(void **state)
{
	struct own *own = own_new(NULL);
	uint8_t bytes[2];

	(void)state;
	assert_int_equal(own->rtld.main, (uintptr_t)main);
	assert_int_equal(own->rtld.flavour, RTLD_GLIBC);
	uint64_t debug = 0;
	assert_int_equal(elf_dynamic_value(&own->memory, &own->rtld.program, DT_DEBUG, &debug), 0);
	assert_int_equal(own->rtld.r_debug, debug);
	assert_int_equal(own->rtld.r_brk, ((const struct r_debug *)(uintptr_t)debug)->r_brk);
	assert_int_equal(own->rtld.r_state, debug + offsetof(struct r_debug, r_state));
	assert_true(own->rtld.gadget != 0);
	memcpy(bytes, (const void *)(uintptr_t)own->rtld.gadget, sizeof(bytes));
	assert_int_equal(bytes[0], 0x0f);
	assert_int_equal(bytes[1], 0x05);
	assert_true(own->rtld.gadget >= own->rtld.vdso && own->rtld.gadget < own->rtld.vdso_end);
	own_free(own);
}

static int count_object(struct dl_phdr_info *info, size_t size, void *data)
{
	struct object_list *list = data;
	struct object *object;
	unsigned found = 0;

	(void)size;
	TAILQ_FOREACH(object, &list->queue, entry) {
		if (object->bias != info->dlpi_addr || object->lmid != 0)
			continue;
		found++;
		if (info->dlpi_name[0] != '\0')
			assert_string_equal(object->path, info->dlpi_name);
		else
			assert_true(object->is_program);
		assert_int_equal(object->is_vdso, object->low == getauxval(AT_SYSINFO_EHDR));
		assert_int_equal(object->is_linker, object->bias == getauxval(AT_BASE));
		assert_true(object->low < object->high);
	}
	assert_int_equal(found, 1);
	list->generation++;
	return 0;
}

static void the_objects_are_those_that_the_linker_itself_tells(void **state)
{
	struct own *own = own_new(NULL);
	char path[4096];

	(void)state;
	assert_int_equal(own_scan(own), 1);
	uint64_t before = own->list.generation;
	dl_iterate_phdr(count_object, &own->list);
	assert_int_equal(own->list.generation - before, own->list.count);
	ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
	assert_true(length > 0);
	path[length] = '\0';
	assert_string_equal(TAILQ_FIRST(&own->list.queue)->path, path);
	own_free(own);
}

static int64_t lmid_of(void *library)
{
	Lmid_t lmid = -1;

	assert_int_equal(dlinfo(library, RTLD_DI_LMID, &lmid), 0);
	return lmid;
}

/* Is the library that the linker calls by this handle in the list, with the number that dlinfo(3) gives? */
static void assert_listed(struct own *own, void *library)
{
	struct link_map *map = NULL;
	struct object *object;

	assert_int_equal(dlinfo(library, RTLD_DI_LINKMAP, &map), 0);
	TAILQ_FOREACH(object, &own->list.queue, entry) {
		if (object->link_map == (vaddr_t)(uintptr_t)map) {
			assert_int_equal(object->lmid, lmid_of(library));
			assert_string_equal(object->path, map->l_name);
			assert_true(object->build_id.size > 0);
			return;
		}
	}
	fail_msg("%s of namespace %d is not listed", map->l_name, (int)lmid_of(library));
}

static void namespaces_have_the_numbers_that_dlinfo_gives(void **state)
{
	struct own *own = own_new(NULL);
	void *library[3];

	(void)state;
	assert_int_equal(own_scan(own), 1);
	for (int i = 0; i < 3; i++) {
		library[i] = dlmopen(LM_ID_NEWLM, "libm.so.6", RTLD_NOW);
		if (library[i] == NULL)
			skip();
	}
	assert_int_equal(own_scan(own), 1);
	for (int i = 0; i < 3; i++)
		assert_listed(own, library[i]);
	/* A middle one is emptied, and taken again. */
	int64_t emptied = lmid_of(library[1]);
	dlclose(library[1]);
	assert_int_equal(own_scan(own), 1);
	assert_true(own->record.removed >= 1);
	assert_int_equal(own->record.added, 0);
	assert_listed(own, library[0]);
	assert_listed(own, library[2]);
	library[1] = dlmopen(LM_ID_NEWLM, "libm.so.6", RTLD_NOW);
	assert_int_equal(lmid_of(library[1]), emptied);
	assert_int_equal(own_scan(own), 1);
	for (int i = 0; i < 3; i++)
		assert_listed(own, library[i]);
	for (int i = 0; i < 3; i++)
		dlclose(library[i]);
	assert_int_equal(own_scan(own), 1);
	assert_true(own->record.removed >= 3);
	own_free(own);
}

static double now_us(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

static void a_cached_survey_equals_a_fresh_one(void **state)
{
	struct rtld_cache *cache = rtld_cache_new();
	struct own *fresh = own_new(NULL), *first = own_new(cache), *cached = own_new(cache);
	double best[2] = { 1e9, 1e9 };

	(void)state;
	assert_memory_equal(&fresh->rtld, &first->rtld, sizeof(struct rtld));
	assert_memory_equal(&fresh->rtld, &cached->rtld, sizeof(struct rtld));
	for (int n = 0; n < 200; n++) {
		for (int with = 0; with < 2; with++) {
			struct rtld rtld;
			double start = now_us();
			rtld_survey(&rtld, fresh->self, &fresh->memory, with ? cache : NULL);
			double took = now_us() - start;
			best[with] = took < best[with] ? took : best[with];
		}
	}
	print_message("survey: %.1f us, cached %.1f us\n", best[0], best[1]);
	own_free(fresh);
	own_free(first);
	own_free(cached);
	rtld_cache_free(cache);
	rtld_cache_free(NULL);
}

/* ---- programs stopped at their start ------------------------------------------------------------------ */

struct started {
	pid_t pid;
	int output;
};

static bool start_stopped(struct started *started, char *const argv[])
{
	int pipes[2], status;

	assert_int_equal(pipe(pipes), 0);
	started->pid = fork();
	if (started->pid == 0) {
		dup2(pipes[1], STDOUT_FILENO);
		close(pipes[0]);
		close(pipes[1]);
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		execv(argv[0], argv);
		_exit(127);
	}
	close(pipes[1]);
	started->output = pipes[0];
	assert_int_equal(waitpid(started->pid, &status, 0), started->pid);
	return WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP;
}

static long plant(pid_t pid, vaddr_t address)
{
	long word = ptrace(PTRACE_PEEKTEXT, pid, address, 0);

	assert_int_equal(ptrace(PTRACE_POKETEXT, pid, address, (word & ~0xffL) | 0xcc), 0);
	return word;
}

/* Run to the trap at address and take it out: true when it was hit. */
static bool run_to(pid_t pid, vaddr_t address)
{
	struct user_regs_struct regs;
	long word = plant(pid, address);
	int status;

	ptrace(PTRACE_CONT, pid, 0, 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFSTOPPED(status) || ptrace(PTRACE_GETREGS, pid, 0, &regs) != 0 || regs.rip != address + 1)
		return false;
	regs.rip = address;
	assert_int_equal(ptrace(PTRACE_SETREGS, pid, 0, &regs), 0);
	assert_int_equal(ptrace(PTRACE_POKETEXT, pid, address, word), 0);
	return true;
}

/* Step over what stands at r_brk: one instruction. */
static void step(pid_t pid)
{
	int status;

	ptrace(PTRACE_SINGLESTEP, pid, 0, 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
}

static void finish(struct started *started)
{
	kill(started->pid, SIGKILL);
	waitpid(started->pid, NULL, 0);
	close(started->output);
}

static int exit_code(struct started *started)
{
	int status;

	ptrace(PTRACE_CONT, started->pid, 0, 0);
	assert_int_equal(waitpid(started->pid, &status, 0), started->pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Hits of r_brk until the initial objects are complete. */
static void run_to_preinit(struct started *started, struct rtld *rtld, struct reader *memory,
			   struct object_list *list, struct record *record)
{
	struct rtld_changes changes = { added, removed, record };

	for (int hits = 0; hits < 8 && rtld->r_brk != 0 && !rtld->started; hits++) {
		assert_true(run_to(started->pid, rtld->r_brk));
		rtld_scan(rtld, started->pid, memory, list, &changes);
		step(started->pid);
	}
	if (rtld->flavour == RTLD_STATIC)
		assert_int_equal(rtld_scan(rtld, started->pid, memory, list, &changes), 1);
	assert_true(rtld->started);
}

static void check_program(const char *path, struct rtld_cache *cache)
{
	char *argv[] = { (char *)(uintptr_t)path, (char[]){ "one" }, NULL };
	struct started started;
	struct rtld rtld;
	struct object_list list;
	struct record record = { 0 };
	char line[64] = "", real[4096];

	assert_int_equal(access(path, X_OK), 0);
	if (!start_stopped(&started, argv))
		skip();
	struct reader memory = process_reader_of(&started.pid);
	object_list_init(&list);
	assert_int_equal(rtld_survey(&rtld, started.pid, &memory, cache), 0);
	run_to_preinit(&started, &rtld, &memory, &list, &record);
	if (!run_to(started.pid, rtld.main))
		fail_msg("%s: main %#lx is not reached", path, (unsigned long)rtld.main);
	assert_int_equal(exit_code(&started), 1);
	assert_true(read(started.output, line, sizeof(line) - 1) > 0);
	if (strtoull(line, NULL, 16) != rtld.main)
		fail_msg("%s: main is %s, not %#lx", path, line, (unsigned long)rtld.main);

	struct object *program = TAILQ_FIRST(&list.queue);
	assert_non_null(realpath(path, real));
	assert_string_equal(program->path, real);
	assert_true(program->is_program);
	assert_int_equal(list.count, record.added);
	assert_int_equal(record.removed, 0);
	object_list_clear(&list);
	close(started.output);
}

static void main_is_found_in_all_kinds_of_c_programs(void **state)
{
	struct rtld_cache *cache = rtld_cache_new();
	char *programs = strdup(PROGRAMS), *rest = programs, *path;
	unsigned checked = 0;

	(void)state;
	while ((path = strsep(&rest, ":")) != NULL) {
		check_program(path, cache);
		checked++;
	}
	assert_true(checked > 2);
	free(programs);
	rtld_cache_free(cache);
}

/* Programs of other makers, mostly stripped: what is found is reached once, before they do anything. */
static void main_of_installed_programs_is_found_and_reached(void **state)
{
	static const char *const paths[] = { "/bin/bash",        "/bin/dash",     "/usr/bin/perl",
					     "/usr/bin/python3", "/usr/bin/git",  "/usr/bin/node",
					     "/usr/bin/gcc",     "/usr/bin/make", "/bin/true" };
	unsigned checked = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		char *argv[] = { (char *)(uintptr_t)paths[i], (char[]){ "--version" }, NULL };
		struct started started;
		struct rtld rtld;
		if (access(paths[i], X_OK) != 0)
			continue;
		if (!start_stopped(&started, argv))
			skip();
		struct reader memory = process_reader_of(&started.pid);
		assert_int_equal(rtld_survey(&rtld, started.pid, &memory, NULL), 0);
		if (rtld.main == 0 || !run_to(started.pid, rtld.main))
			fail_msg("%s: main %#lx", paths[i], (unsigned long)rtld.main);
		finish(&started);
		checked++;
	}
	print_message("%u programs\n", checked);
}

/* Where the linker hands over, all that the program needs is listed, at once, and not before. */
static void the_start_of_a_glibc_program_is_complete_where_its_linker_hands_over(void **state)
{
	static const char *const paths[] = { "/bin/bash", "/usr/bin/perl", "/usr/bin/git", "/bin/true" };
	unsigned checked = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		char *argv[] = { (char *)(uintptr_t)paths[i], (char[]){ "--version" }, NULL };
		struct record record = { 0 };
		struct rtld_changes changes = { added, removed, &record };
		struct object_list list, later;
		struct started started;
		struct rtld rtld, fresh;
		if (access(paths[i], X_OK) != 0)
			continue;
		if (!start_stopped(&started, argv))
			skip();
		struct reader memory = process_reader_of(&started.pid);
		object_list_init(&list);
		object_list_init(&later);
		assert_int_equal(rtld_survey(&rtld, started.pid, &memory, NULL), 0);
		fresh = rtld;
		if (rtld.flavour != RTLD_GLIBC || rtld.begin == 0 || !run_to(started.pid, rtld.begin))
			fail_msg("%s: the start of its linker ends at %#lx", paths[i], (unsigned long)rtld.begin);
		assert_int_equal(rtld_scan(&rtld, started.pid, &memory, &list, &changes), 1);
		assert_true(rtld.started);
		assert_true(run_to(started.pid, rtld.main));
		assert_int_equal(rtld_scan(&fresh, started.pid, &memory, &later, &changes), 1);
		assert_int_equal(list.count, later.count);
		object_list_clear(&list);
		object_list_clear(&later);
		finish(&started);
		checked++;
	}
	assert_true(checked > 0);
}

static void a_program_that_is_no_c_program_has_no_main(void **state)
{
	char *argv[] = { (char[]){ NO_MAIN }, NULL };
	struct started started;
	struct rtld rtld;

	(void)state;
	if (!start_stopped(&started, argv))
		skip();
	struct reader memory = process_reader_of(&started.pid);
	assert_int_equal(rtld_survey(&rtld, started.pid, &memory, NULL), 0);
	assert_int_equal(rtld.main, 0);
	assert_int_equal(rtld.main_slot, 0);
	assert_int_equal(rtld.flavour, RTLD_STATIC);
	assert_true(rtld.gadget != 0);
	finish(&started);
}

static void a_32_bit_program_is_refused(void **state)
{
	char *argv[] = { (char[]){ NARROW }, NULL };
	struct started started;
	struct rtld rtld;

	(void)state;
	assert_int_equal(access(argv[0], X_OK), 0);
	if (!start_stopped(&started, argv)) /* a kernel without them */
		skip();
	struct reader memory = process_reader_of(&started.pid);
	assert_int_equal(rtld_survey(&rtld, started.pid, &memory, NULL), -EMEDIUMTYPE);
	finish(&started);
}

/* `ld.so PROGRAM`: what the kernel started is the linker. */
static void a_program_started_by_its_linker_as_a_command_is_followed(void **state)
{
	static const char linker[] = "/lib64/ld-linux-x86-64.so.2";
	char *argv[] = { (char *)(uintptr_t)linker, (char[]){ "/bin/true" }, NULL };
	struct started started;
	struct rtld rtld;
	struct object_list list;
	struct record record = { 0 };

	(void)state;
	if (access(linker, X_OK) != 0 || !start_stopped(&started, argv))
		skip();
	struct reader memory = process_reader_of(&started.pid);
	object_list_init(&list);
	assert_int_equal(rtld_survey(&rtld, started.pid, &memory, NULL), 0);
	assert_int_equal(rtld.main, 0);
	assert_true(rtld.linker_is_program);
	run_to_preinit(&started, &rtld, &memory, &list, &record);
	struct object *object;
	unsigned programs = 0, linkers = 0;
	TAILQ_FOREACH(object, &list.queue, entry) {
		programs += object->is_program;
		linkers += object->is_linker;
	}
	assert_int_equal(programs, 1);
	assert_int_equal(linkers, 1);
	assert_true(rtld.main != 0);
	assert_true(run_to(started.pid, rtld.main));
	assert_int_equal(exit_code(&started), 0);
	close(started.output);
	object_list_clear(&list);
}

/* The base namespace reads as consistent while it holds the program alone. */
static void auditing_libraries_do_not_make_the_start_complete(void **state)
{
	char *argv[] = { (char[]){ MAIN_PIE }, NULL };
	struct started started;
	struct rtld rtld;
	struct object_list list;
	struct record record = { 0 };
	struct object *object;
	unsigned auditors = 0, libraries = 0;

	(void)state;
	setenv("LD_AUDIT", AUDIT, 1);
	bool stopped = start_stopped(&started, argv);
	unsetenv("LD_AUDIT");
	if (!stopped)
		skip();
	struct reader memory = process_reader_of(&started.pid);
	object_list_init(&list);
	assert_int_equal(rtld_survey(&rtld, started.pid, &memory, NULL), 0);
	run_to_preinit(&started, &rtld, &memory, &list, &record);
	TAILQ_FOREACH(object, &list.queue, entry) {
		assert_true(object->initial);
		auditors += strcmp(object->path, AUDIT) == 0 && object->lmid > 0;
		libraries += strstr(object->path, "libc.so") != NULL && object->lmid == 0;
	}
	assert_int_equal(auditors, 1);
	assert_int_equal(libraries, 1);
	assert_true(run_to(started.pid, rtld.main));
	finish(&started);
	object_list_clear(&list);
}

static void a_process_that_has_ended_cannot_be_surveyed(void **state)
{
	pid_t pid = fork();
	struct reader memory = process_reader_of(&pid);
	struct rtld rtld;
	siginfo_t info;

	(void)state;
	if (pid == 0)
		_exit(0);
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	assert_int_equal(rtld_survey(&rtld, pid, &memory, NULL), -ESRCH); /* a zombie */
	waitpid(pid, NULL, 0);
	assert_int_equal(rtld_survey(&rtld, pid, &memory, NULL), -ESRCH);
}

/* ---- before the exec, and elsewhere ----------------------------------------------------------------- */

static vaddr_t page_of(vaddr_t address)
{
	return address & ~(vaddr_t)4095;
}

static void check_same_survey(const struct rtld *moved, const struct rtld *real)
{
	assert_int_equal(moved->flavour, real->flavour);
	assert_int_equal(moved->entry, real->entry);
	assert_int_equal(moved->main, real->main);
	assert_int_equal(moved->main_slot, real->main_slot);
	assert_int_equal(moved->r_brk, real->r_brk);
	assert_int_equal(moved->begin, real->begin);
	assert_int_equal(moved->r_debug, real->r_debug);
	assert_int_equal(moved->r_state, real->r_state);
	assert_int_equal(moved->debug_pointer, real->debug_pointer);
	assert_int_equal(moved->gadget, real->gadget);
	assert_int_equal(moved->vdso_end, real->vdso_end);
	assert_memory_equal(&moved->program, &real->program, sizeof(real->program));
	assert_memory_equal(&moved->linker, &real->linker, sizeof(real->linker));
}

/* A file looked at before its exec shows what the image shows afterwards. */
static void a_file_is_surveyed_as_its_image_will_be(void **state)
{
	struct rtld_preview preview;
	struct rtld moved;
	struct own *own = own_new(NULL);
	vaddr_t phdrs = getauxval(AT_PHDR), linker = getauxval(AT_BASE), vdso = getauxval(AT_SYSINFO_EHDR);
	char path[4096] = { 0 };

	(void)state;
	assert_true(readlink("/proc/self/exe", path, sizeof(path) - 1) > 0);
	assert_int_equal(rtld_preview(&preview, path, NULL), 0);
	assert_memory_equal(preview.program_page, (void *)page_of(phdrs), 4096);
	assert_memory_equal(preview.linker_page, (void *)linker, 4096);
	struct rtld_distance by = { page_of(phdrs) - preview.program, linker - preview.linker,
				    vdso - preview.vdso };
	rtld_move(&moved, &preview.rtld, &by);
	check_same_survey(&moved, &own->rtld);
	uint8_t expected[16], got[16];
	memcpy(expected, (void *)own->rtld.r_brk, sizeof(expected));
	assert_int_equal(preview.memory.read(preview.memory.data, preview.rtld.r_brk, got, sizeof(got)), 16);
	assert_memory_equal(got, expected, sizeof(got));
	rtld_preview_end(&preview);
	own_free(own);
}

static void what_is_no_program_of_this_kind_has_no_preview(void **state)
{
	struct rtld_preview preview;
	static const char *const paths[] = { "/dev/null", "/etc/passwd", "/", "/nonexistent", "/proc/self/maps" };

	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		assert_true(rtld_preview(&preview, paths[i], NULL) < 0);
		rtld_preview_end(&preview);
	}
}

/* Headers that lie, and a file that ends anywhere: refused or read, within bounds. */
static void a_file_with_wrong_headers_is_survived(void **state)
{
	static uint8_t bytes[65536];
	char path[] = "/tmp/tether-preview-XXXXXX", self[4096] = { 0 };
	int fd = mkstemp(path);
	ssize_t size;

	(void)state;
	assert_true(fd >= 0);
	assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	FILE *file = fopen(self, "r");
	assert_non_null(file);
	size = (ssize_t)fread(bytes, 1, sizeof(bytes), file);
	fclose(file);
	srand(7);
	for (int round = 0; round < 3000; round++) {
		size_t at = (size_t)rand() % 1024;
		uint8_t old = bytes[at];
		struct rtld_preview preview;

		bytes[at] = (uint8_t)(rand() % 3 ? rand() : 0xff);
		assert_int_equal(ftruncate(fd, round % 5 ? size : rand() % 2048), 0);
		assert_true(pwrite(fd, bytes, round % 5 ? (size_t)size : 512, 0) > 0);
		rtld_preview(&preview, path, NULL);
		rtld_preview_end(&preview);
		bytes[at] = old;
	}
	close(fd);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(main_linker_and_gadget_of_this_process_are_found),
		cmocka_unit_test(the_objects_are_those_that_the_linker_itself_tells),
		cmocka_unit_test(namespaces_have_the_numbers_that_dlinfo_gives),
		cmocka_unit_test(a_cached_survey_equals_a_fresh_one),
		cmocka_unit_test(main_is_found_in_all_kinds_of_c_programs),
		cmocka_unit_test(main_of_installed_programs_is_found_and_reached),
		cmocka_unit_test(the_start_of_a_glibc_program_is_complete_where_its_linker_hands_over),
		cmocka_unit_test(a_program_that_is_no_c_program_has_no_main),
		cmocka_unit_test(a_32_bit_program_is_refused),
		cmocka_unit_test(a_program_started_by_its_linker_as_a_command_is_followed),
		cmocka_unit_test(auditing_libraries_do_not_make_the_start_complete),
		cmocka_unit_test(a_process_that_has_ended_cannot_be_surveyed),
		cmocka_unit_test(a_file_is_surveyed_as_its_image_will_be),
		cmocka_unit_test(what_is_no_program_of_this_kind_has_no_preview),
		cmocka_unit_test(a_file_with_wrong_headers_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
