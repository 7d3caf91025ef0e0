/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pool of symbol tables, separate debug files, perf maps and demangling.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <zlib.h>

#include "forge_elf.h"
#include "symbol/table.h"

enum { IN_TEXT = 1 };

/* ---- the pool -------------------------------------------------------------------------------------------- */

struct made {
	const char *id, *name;
	uint64_t base;       /* of the file's segment */
	const char *link;    /* bytes of .gnu_debuglink, or NULL */
	size_t link_size;
	bool stripped;
};

static struct buffer make(const struct made *made)
{
	struct forged_table table = { 0 };
	struct forged elf;

	forge_begin(&elf);
	elf.base = made->base;
	forge_section(&elf, ".text", SHT_NOBITS, SHF_ALLOC | SHF_EXECINSTR, made->base + 0x1000, NULL, 0x1000);
	if (made->id)
		forge_build_id(&elf, made->id, strlen(made->id));
	if (made->link)
		forge_section(&elf, ".gnu_debuglink", SHT_PROGBITS, 0, 0, made->link, made->link_size);
	forge_symbol(&table, "exported", made->base + 0x1000, 0x10, STB_GLOBAL, STT_FUNC, IN_TEXT);
	forge_table(&elf, &table, SHT_DYNSYM);
	if (!made->stripped) {
		forge_symbol(&table, "exported", made->base + 0x1000, 0x10, STB_GLOBAL, STT_FUNC, IN_TEXT);
		forge_symbol(&table, made->name, made->base + 0x1100, 0x10, STB_GLOBAL, STT_FUNC, IN_TEXT);
		forge_table(&elf, &table, SHT_SYMTAB);
	}
	return forge_bytes(&elf);
}

static int make_fd(const struct made *made)
{
	struct buffer bytes = make(made);
	int fd = forge_file(bytes.data, bytes.length);

	assert_true(fd >= 0);
	buffer_free(&bytes);
	return fd;
}

static struct symbol_file *get_fd(struct symbol_pool *pool, int fd)
{
	struct symbol_source source = { .size = sizeof(source), .fd = fd, .root_fd = -1 };
	struct symbol_file *file = NULL;

	assert_int_equal(symbol_file_get(pool, &source, &file), 0);
	return file;
}

static void one_file_has_one_table_and_a_copy_with_its_build_id_too(void **state)
{
	struct symbol_pool *pool = symbol_pool_new(NULL);
	const struct made made = { .id = "abcdefgh", .name = "f" };
	int fd = make_fd(&made), copy = make_fd(&made);
	int without = make_fd(&(struct made){ .name = "f" }), other = make_fd(&(struct made){ .name = "f" });
	int stripped = make_fd(&(struct made){ .id = "abcdefgh", .stripped = true });
	int moved = make_fd(&(struct made){ .id = "abcdefgh", .name = "f", .base = 0x10000 });
	struct symbol_file *a = get_fd(pool, fd), *b = get_fd(pool, fd), *c = get_fd(pool, copy);
	struct symbol_file *d = get_fd(pool, without), *e = get_fd(pool, other);
	struct symbol_file *f = get_fd(pool, stripped), *g = get_fd(pool, moved);
	struct symbol_pool_state now;

	(void)state;
	assert_ptr_equal(a, b);
	assert_ptr_equal(a, c);
	assert_ptr_equal(a, get_fd(pool, copy));
	assert_ptr_not_equal(d, e); /* nothing says that they are the same */
	assert_ptr_not_equal(a, f); /* fewer symbols under the same build-id */
	assert_ptr_not_equal(a, g); /* as prelink leaves it: other addresses */
	assert_int_equal(symbol_file_build_id(a)->size, 8);
	assert_memory_equal(symbol_file_build_id(a)->bytes, "abcdefgh", 8);
	symbol_pool_state(pool, &now);
	assert_int_equal(now.files, 5);
	assert_int_equal(now.builds, 5);
	assert_int_equal(now.hits, 3);
	assert_int_equal(now.idle_files, 0);
	symbol_file_put(a);
	symbol_file_put(b);
	symbol_file_put(c);
	symbol_pool_state(pool, &now);
	assert_int_equal(now.idle_files, 0); /* one reference is left */
	symbol_file_put(a);
	symbol_file_put(d);
	symbol_file_put(e);
	symbol_file_put(f);
	symbol_file_put(g);
	symbol_pool_state(pool, &now);
	assert_int_equal(now.idle_files, 5);
	assert_int_equal(now.idle_bytes, now.bytes);
	assert_ptr_equal(get_fd(pool, fd), a); /* idle, and found again */
	symbol_file_put(a);
	symbol_pool_free(pool);
	for (int i = fd; i <= moved; i++)
		close(i);
}

static void a_file_that_changed_has_a_new_table(void **state)
{
	struct symbol_pool *pool = symbol_pool_new(NULL);
	int fd = make_fd(&(struct made){ .name = "before" });
	struct symbol_file *old = get_fd(pool, fd), *new;
	struct buffer bytes = make(&(struct made){ .name = "behind" });
	struct timespec times[2] = { { 1, 0 }, { 1, 0 } };
	struct symbol symbol;

	(void)state;
	assert_int_equal(pwrite(fd, bytes.data, bytes.length, 0), (ssize_t)bytes.length);
	futimens(fd, times);
	new = get_fd(pool, fd);
	assert_ptr_not_equal(old, new);
	assert_int_equal(symbol_file_at(old, 0x1100, &symbol), 0);
	assert_string_equal(symbol.name, "before");
	assert_int_equal(symbol_file_at(new, 0x1100, &symbol), 0);
	assert_string_equal(symbol.name, "behind");
	symbol_file_put(old);
	symbol_file_put(new);
	symbol_pool_free(pool);
	buffer_free(&bytes);
	close(fd);
}

static void idle_tables_beyond_the_budget_go_least_recent_first(void **state)
{
	struct symbol_limits limits = { .size = sizeof(limits), .idle_files = 3 };
	struct symbol_pool *pool = symbol_pool_new(&limits);
	struct symbol_pool_state now;
	int fd[5];

	(void)state;
	for (int i = 0; i < 5; i++) {
		char name[] = { 'f', (char)('0' + i), 0 };
		fd[i] = make_fd(&(struct made){ .name = name });
		symbol_file_put(get_fd(pool, fd[i]));
		if (i == 2) /* the first is used again */
			symbol_file_put(get_fd(pool, fd[0]));
	}
	symbol_pool_state(pool, &now);
	assert_int_equal(now.idle_files, 3);
	assert_int_equal(now.evictions, 2);
	assert_int_equal(now.builds, 5);
	symbol_file_put(get_fd(pool, fd[0]));
	symbol_pool_state(pool, &now);
	assert_int_equal(now.builds, 5);
	symbol_file_put(get_fd(pool, fd[1]));
	symbol_pool_state(pool, &now);
	assert_int_equal(now.builds, 6);
	symbol_pool_trim(pool);
	symbol_pool_state(pool, &now);
	assert_int_equal(now.files, 0);
	assert_int_equal(now.bytes, 0);
	symbol_pool_free(pool);

	limits = (struct symbol_limits){ .size = sizeof(limits), .idle_bytes = 1 };
	pool = symbol_pool_new(&limits);
	struct symbol_file *file = get_fd(pool, fd[0]);
	symbol_pool_state(pool, &now);
	assert_int_equal(now.files, 1); /* referenced: no budget counts */
	symbol_file_put(symbol_file_ref(file));
	symbol_file_put(file);
	symbol_pool_state(pool, &now);
	assert_int_equal(now.files, 0);
	symbol_pool_free(pool);
	for (int i = 0; i < 5; i++)
		close(fd[i]);
}

static void a_table_outlives_its_pool(void **state)
{
	struct symbol_pool *pool = symbol_pool_new(NULL);
	int fd = make_fd(&(struct made){ .id = "abcdefgh", .name = "f" });
	struct symbol_file *file = get_fd(pool, fd);
	struct symbol symbol;

	(void)state;
	symbol_pool_free(pool);
	assert_int_equal(symbol_file_find(file, "f", &symbol), 0);
	assert_int_equal(symbol.address, 0x1100);
	symbol_file_put(file);
	symbol_file_put(NULL);
	symbol_pool_free(NULL);
	close(fd);
}

enum { FILES = 4, THREADS = 4, TURNS = 300 };

struct shared {
	struct symbol_pool *pool;
	int fd[FILES];
};

static void *use(void *data)
{
	struct shared *shared = data;

	for (int turn = 0; turn < TURNS; turn++) {
		struct symbol_source source = { .size = sizeof(source), .fd = shared->fd[turn % FILES], .root_fd = -1 };
		struct symbol_file *file;
		struct symbol symbol;
		if (symbol_file_get(shared->pool, &source, &file) || symbol_file_at(file, 0x1100, &symbol) ||
		    symbol_file_find(file, symbol.name, &symbol) || symbol.address != 0x1100)
			return shared;
		symbol_file_put(file);
	}
	return NULL;
}

static void many_threads_share_tables_that_come_and_go(void **state)
{
	struct symbol_limits limits = { .size = sizeof(limits), .idle_files = 1 };
	struct shared shared = { .pool = symbol_pool_new(&limits) };
	pthread_t thread[THREADS];
	struct symbol_pool_state now;

	(void)state;
	for (int i = 0; i < FILES; i++) {
		char name[] = { 'f', (char)('0' + i), 0 };
		shared.fd[i] = make_fd(&(struct made){ .name = name, .id = i % 2 ? "abcdefgh" : NULL });
	}
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, use, &shared), 0);
	for (int i = 0; i < THREADS; i++) {
		void *failed = &shared;
		pthread_join(thread[i], &failed);
		assert_null(failed);
	}
	symbol_pool_state(shared.pool, &now);
	assert_int_equal(now.files, now.idle_files);
	assert_true(now.idle_files <= 1);
	symbol_pool_free(shared.pool);
	for (int i = 0; i < FILES; i++)
		close(shared.fd[i]);
}

/* ---- debug files ----------------------------------------------------------------------------------------- */

static char folder[64];

static void put_file(const char *path, const struct buffer *bytes)
{
	char whole[512];
	int fd;

	snprintf(whole, sizeof(whole), "%s%s", folder, path);
	for (char *slash = whole + strlen(folder) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		mkdir(whole, 0700);
		*slash = '/';
	}
	fd = open(whole, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes->data, bytes->length), (ssize_t)bytes->length);
	close(fd);
}

static int make_folder(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "%s/tether-symbol-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	return mkdtemp(folder) ? 0 : -1;
}

static int drop_folder(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	return system(command);
}

/* The origin of the table of a stripped file under the root of the test, and the name at 0x1100 beyond its base. */
static void expect(const struct made *made, const char *path, uint32_t flags, const char *origin, const char *name)
{
	int fd = make_fd(made), root = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct symbol_source source = { .size = sizeof(source), .fd = fd, .root_fd = root, .path = path, .flags = flags };
	struct symbol_pool *pool = symbol_pool_new(NULL);
	struct symbol_file *file = NULL;
	struct symbol symbol = { .name = "-" };

	assert_int_equal(symbol_file_get(pool, &source, &file), 0);
	assert_string_equal(symbol_file_origin(file), origin);
	if (symbol_file_at(file, made->base + 0x1100, &symbol))
		symbol.name = "-";
	assert_string_equal(symbol.name, name);
	assert_int_equal(symbol_file_is_partial(file), flags != 0);
	if (flags) { /* Asked again without them: now they may be opened. */
		struct symbol_file *more = NULL;
		assert_int_equal(symbol_file_get(pool, &source, &more), 0);
		assert_ptr_equal(more, file);
		symbol_file_put(more);
		source.flags = 0;
		assert_int_equal(symbol_file_get(pool, &source, &more), 0);
		assert_ptr_not_equal(more, file);
		assert_false(symbol_file_is_partial(more));
		symbol_file_put(more);
	}
	symbol_file_put(file);
	symbol_pool_free(pool);
	close(root);
	close(fd);
}

static void a_debug_file_is_found_by_build_id(void **state)
{
	const char path[] = "/usr/lib/debug/.build-id/ab/6364656667.debug"; /* the bytes 0xab, 'c' to 'g' */
	const struct made stripped = { .id = "\xab" "cdefg", .stripped = true };
	struct buffer whole = make(&(struct made){ .id = "\xab" "cdefg", .name = "hidden" });
	struct buffer other = make(&(struct made){ .id = "\xab" "cdefh", .name = "wrong" });
	char whole_path[256], outside[256];

	(void)state;
	expect(&stripped, "/x", 0, ".dynsym", "-");
	put_file(path, &other);
	expect(&stripped, "/x", 0, ".dynsym", "-");
	put_file(path, &whole);
	expect(&stripped, "/x", 0, "debug file", "hidden");
	expect(&stripped, NULL, 0, "debug file", "hidden");
	expect(&stripped, "/x", SYMBOL_NO_DEBUG_FILES, ".dynsym", "-");
	/* A link leads to where the root says, not out of it. */
	snprintf(whole_path, sizeof(whole_path), "%s%s", folder, path);
	put_file("/elsewhere", &whole);
	unlink(whole_path);
	assert_int_equal(symlink("/elsewhere", whole_path), 0);
	expect(&stripped, "/x", 0, "debug file", "hidden");
	unlink(whole_path);
	snprintf(outside, sizeof(outside), "%s/elsewhere", folder);
	assert_int_equal(symlink(outside, whole_path), 0);
	expect(&stripped, "/x", 0, ".dynsym", "-");
	/* Nobody waits for a FIFO. */
	unlink(whole_path);
	assert_int_equal(mkfifo(whole_path, 0600), 0);
	expect(&stripped, "/x", 0, ".dynsym", "-");
	unlink(whole_path);
	buffer_free(&whole);
	buffer_free(&other);
}

static void a_debug_file_is_found_by_link_and_its_checksum(void **state)
{
	static const char *const places[] = { "/opt/app/a.debug", "/opt/app/.debug/a.debug", "/usr/lib/debug/opt/app/a.debug" };
	struct buffer whole = make(&(struct made){ .name = "hidden" });
	struct buffer wrong = make(&(struct made){ .name = "wrong!" });
	uint32_t sum = (uint32_t)crc32(0, (const Bytef *)whole.data, (uInt)whole.length);
	char link[16] = "a.debug\0\0\0\0\0";
	char path[256];

	(void)state;
	memcpy(link + 8, &sum, sizeof(sum));
	const struct made stripped = { .stripped = true, .link = link, .link_size = 12 };
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		put_file(places[i], &whole);
		expect(&stripped, "/opt/app/program", 0, "debug file", "hidden");
		expect(&stripped, "/opt/other/program", 0, ".dynsym", "-");
		expect(&stripped, NULL, 0, ".dynsym", "-");
		put_file(places[i], &wrong);
		expect(&stripped, "/opt/app/program", 0, ".dynsym", "-");
		snprintf(path, sizeof(path), "%s%s", folder, places[i]);
		unlink(path);
	}
	expect(&stripped, "/opt/app/program", SYMBOL_NO_DEBUG_FILES, ".dynsym", "-");
	/* Cut short, without an end, or a path. */
	const struct {
		const char *bytes;
		size_t size;
	} row[] = { { "a.debug", 7 }, { "a.debug\0\1\2\3", 11 }, { "../../x\0\1\2\3\4", 12 }, { "\0\0\0\0\0\0\0\0", 8 } };
	for (size_t i = 0; i < ARRAY_LEN(row); i++)
		expect(&(struct made){ .stripped = true, .link = row[i].bytes, .link_size = row[i].size }, "/opt/app/program", 0,
		       ".dynsym", "-");
	buffer_free(&whole);
	buffer_free(&wrong);
}

static void a_prelinked_file_has_moved_away_from_its_debug_file(void **state)
{
	struct buffer whole = make(&(struct made){ .id = "\xab" "cprel", .name = "hidden" });

	(void)state;
	put_file("/usr/lib/debug/.build-id/ab/637072656c.debug", &whole);
	expect(&(struct made){ .id = "\xab" "cprel", .stripped = true, .base = 0x40000000 }, "/x", 0, "debug file", "hidden");
	buffer_free(&whole);
}

/* ---- perf maps ------------------------------------------------------------------------------------------- */

static const char *jit_name(const struct symbol_jit *jit, uint64_t address)
{
	struct symbol symbol;

	return symbol_jit_at(jit, address, &symbol) ? "-" : symbol.name;
}

static void append(const char *text, bool anew)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/tmp", folder);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/tmp/perf-77.map", folder);
	if (anew)
		unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static void a_perf_map_names_code_and_the_last_word_counts(void **state)
{
	int root = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct symbol_jit *jit = symbol_jit_new();
	struct symbol symbol;

	(void)state;
	assert_int_equal(symbol_jit_read(jit, root, 77, getuid()), -ENOENT);
	append("1000 100 LazyCompile:~main /a b.js:1\n2000 20 two\n0x3000 0x10 three\nnonsense\n4000 0 empty\n5000 10\n50 ", true);
	assert_int_equal(symbol_jit_read(jit, root, 77, getuid()), 3);
	assert_string_equal(jit_name(jit, 0x10ff), "LazyCompile:~main /a b.js:1");
	assert_string_equal(jit_name(jit, 0x1100), "-");
	assert_string_equal(jit_name(jit, 0x201f), "two");
	assert_string_equal(jit_name(jit, 0x3000), "three");
	assert_string_equal(jit_name(jit, 0x5000), "-");
	assert_int_equal(symbol_jit_at(jit, 0x1004, &symbol), 0);
	assert_int_equal(symbol.address, 0x1000);
	assert_int_equal(symbol.size, 0x100);
	assert_int_equal(symbol.flags, SYMBOL_IS_JIT);
	const char *kept = symbol.name;
	/* The rest of the line, and code that took the place of some. */
	append("8 half\n1010 10 inside\nff0 20 before\n1018 4000 over all\n", false);
	assert_int_equal(symbol_jit_read(jit, root, 77, getuid()), 4);
	assert_string_equal(jit_name(jit, 0x50), "half");
	assert_string_equal(jit_name(jit, 0xff0), "before");
	assert_string_equal(jit_name(jit, 0x100f), "before");
	assert_string_equal(jit_name(jit, 0x1010), "inside");
	assert_string_equal(jit_name(jit, 0x1017), "inside");
	assert_string_equal(jit_name(jit, 0x1018), "over all");
	assert_string_equal(jit_name(jit, 0x2000), "over all");
	assert_string_equal(jit_name(jit, 0x5017), "over all");
	assert_string_equal(jit_name(jit, 0x5018), "-");
	assert_int_equal(symbol_jit_read(jit, root, 77, getuid()), 0);
	assert_int_equal(symbol_jit_count(jit), 7);
	append("1000 10 another file\n", true);
	assert_int_equal(symbol_jit_read(jit, root, 77, getuid()), 1);
	assert_string_equal(jit_name(jit, 0x1000), "another file");
	assert_string_equal(jit_name(jit, 0x1010), "-");
	assert_string_equal(kept, "LazyCompile:~main /a b.js:1");
	/* Somebody else's: root's would do. */
	int answer = symbol_jit_read(jit, root, 77, getuid() + 1);
	assert_int_equal(answer, getuid() ? -EPERM : 0);
	symbol_jit_free(jit);
	symbol_jit_free(NULL);
	close(root);
}

static void lines_of_a_perf_map_have_a_bound(void **state)
{
	enum { LONG = 300000 };
	int root = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct symbol_jit *jit = symbol_jit_new();
	char *line = malloc(LONG + 64);

	(void)state;
	memset(line, 'x', LONG);
	memcpy(line, "1000 10 ", 8);
	strcpy(line + LONG, "\n2000 10 two\n");
	append("3000 10 before\n", true);
	append(line, false);
	assert_int_equal(symbol_jit_read(jit, root, 77, getuid()), 2);
	assert_string_equal(jit_name(jit, 0x1000), "-");
	assert_string_equal(jit_name(jit, 0x2000), "two");
	assert_string_equal(jit_name(jit, 0x3000), "before");
	free(line);
	symbol_jit_free(jit);
	close(root);
}

/* ---- names as people write them -------------------------------------------------------------------------- */

static void names_of_cxx_and_rust_are_demangled(void **state)
{
	static const struct {
		const char *mangled, *plain;
	} row[] = {
		{ "_ZNSt6vectorIiSaIiEE9push_backERKi", "std::vector<int, std::allocator<int> >::push_back(int const&)" },
		{ "_ZN2v88internal7Isolate4InitEv", "v8::internal::Isolate::Init()" },
		{ "_ZL6hiddeni", "hidden(int)" },
		{ "_ZN4core3fmt9Formatter9write_str17h0123456789abcdefE", "core::fmt::Formatter::write_str" },
		{ "_RNvCs1234_7mycrate3foo", "mycrate::foo" },
		{ "_RNvC7mycrate3bar", "mycrate::bar" },
		{ "main", NULL },
		{ "_start", NULL },
		{ "_Z", NULL },
		{ "_ZN", NULL },
		{ "_R", NULL },
		{ "", NULL },
		{ "_ZTV3Foo", "vtable for Foo" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(row); i++) {
		char *plain = symbol_demangle(row[i].mangled);
		if (!row[i].plain)
			assert_null(plain);
		else
			assert_non_null(plain);
		if (plain)
			assert_string_equal(plain, row[i].plain);
		free(plain);
	}
}

/* Each argument is a pair of the one before: twice as long, forty times. */
static void a_name_that_stands_for_gigabytes_is_left_as_it_is(void **state)
{
	char cxx[1024] = "_Z1f", rust[4096] = "_RMC0";
	char *long_name = malloc(MAX_MANGLED + 100);

	(void)state;
	/* S_ is A; each pair of the last substitution is the next one: S0_, S1_, ... */
	strcat(cxx, "1AIiiE");
	for (int i = 0; i < 30; i++) {
		char piece[32], last[8];
		if (i)
			snprintf(last, sizeof(last), "S%c_", i < 11 ? '0' + i - 1 : 'A' + i - 11);
		else
			strcpy(last, "S0_");
		snprintf(piece, sizeof(piece), "S_I%s%sE", last, last);
		strcat(cxx, piece);
	}
	free(symbol_demangle(cxx)); /* whatever it is: it ends */
	/* A tuple of the tuple before it, twice: T B<where> B<where> E. */
	for (int i = 0; i < 24; i++)
		strcat(rust, "T");
	strcat(rust, "u");
	for (int i = 0; i < 24; i++)
		strcat(rust, "B4_E");
	free(symbol_demangle(rust));
	memset(long_name, 'A', MAX_MANGLED + 99);
	long_name[MAX_MANGLED + 99] = '\0';
	memcpy(long_name, "_Z", 2);
	assert_null(symbol_demangle(long_name));
	free(long_name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_file_has_one_table_and_a_copy_with_its_build_id_too),
		cmocka_unit_test(a_file_that_changed_has_a_new_table),
		cmocka_unit_test(idle_tables_beyond_the_budget_go_least_recent_first),
		cmocka_unit_test(a_table_outlives_its_pool),
		cmocka_unit_test(many_threads_share_tables_that_come_and_go),
		cmocka_unit_test_setup_teardown(a_debug_file_is_found_by_build_id, make_folder, drop_folder),
		cmocka_unit_test_setup_teardown(a_debug_file_is_found_by_link_and_its_checksum, make_folder, drop_folder),
		cmocka_unit_test_setup_teardown(a_prelinked_file_has_moved_away_from_its_debug_file, make_folder, drop_folder),
		cmocka_unit_test_setup_teardown(a_perf_map_names_code_and_the_last_word_counts, make_folder, drop_folder),
		cmocka_unit_test_setup_teardown(lines_of_a_perf_map_have_a_bound, make_folder, drop_folder),
		cmocka_unit_test(names_of_cxx_and_rust_are_demangled),
		cmocka_unit_test(a_name_that_stands_for_gigabytes_is_left_as_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
