/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * raw.h - a controller driven raw: a socket pair, messages of proto, and no library
 *
 * The "client" whose life the controller watches is a small process of its own, so that its death can be had
 * without ours. Victims are the test's own executable again, in a role (raw_victim.c).
 */
#ifndef TESTS_LIVE_RAW_H
#define TESTS_LIVE_RAW_H

#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#include "os/newborn.h"
#include "proto/proto.h"

/* Places to trap: one an emulation, one a push, one that must be stepped. */
long place_nop(long), place_push(long), place_step(long);
enum place { NOP, PUSH, STEP, SLOT };
/* The linker's: where this executable lies. */
extern const char __executable_start[];

/* What main does when this executable is started as a victim; its exit status. */
int victim(int argc, char **argv);

/* The controller to be driven, and this executable; set by main. */
extern const char *controller_path;
extern char self_path[4096];

enum { EVENTS_MAX = 65536 };
struct message {
	struct proto_header header;
	union {
		unsigned char bytes[600];
		struct proto_event event;
		struct proto_ev_exec exec;
		struct proto_ev_fork fork;
		struct proto_ev_thread thread;
		struct proto_ev_exit exit;
		struct proto_ev_signal signal;
		struct proto_ev_hit hit;
		struct proto_ev_plain plain;
		struct proto_hello hello;
		struct proto_created created;
		struct proto_grabbed grabbed;
		struct proto_planted planted;
		struct proto_result result;
		struct proto_stats stats;
	} u;
};

struct line {
	int socket;
	pid_t controller, client;
	int client_pidfd;
	uint64_t id;
	bool answer_questions; /* with GO, as they come */
	void (*on_question)(struct line *line, const struct message *m);
	unsigned count[400]; /* events by type */
	struct message last[400];
	const char *failed;
};

#define FAIL(line, ...)                                  \
	do {                                             \
		printf("# %s:%d: ", __func__, __LINE__); \
		printf(__VA_ARGS__);                     \
		printf("\n");                            \
		(line)->failed = "failed";               \
	} while (0)
#define CHECK(line, condition, ...)              \
	do {                                     \
		if (!(condition))                \
			FAIL(line, __VA_ARGS__); \
	} while (0)

/* How long something is waited for that has to come; a build with a sanitizer has more. */
int long_ms(void);

struct options {
	uint32_t mode, flags;
	int input; /* stdin of the victim, -1: as it is */
	uint64_t question_ns;
	void (*on_question)(struct line *line, const struct message *m);
};

/* Poll for a condition of another process; the bound is generous, the step short. */
#define EVENTUALLY(condition)                                      \
	({                                                         \
		uint64_t until_ = now_ms() + (uint64_t)long_ms();  \
		bool met_;                                         \
		while (!(met_ = (condition)) && now_ms() < until_) \
			poll(NULL, 0, 1);                          \
		met_;                                              \
	})

void line_open(struct line *line);
uint64_t send_body(struct line *line, uint32_t type, const void *body, size_t size);
void answer_question(struct line *line, uint64_t question, uint32_t action);
bool receive(struct line *line, struct message *m, int timeout_ms);
bool await(struct line *line, uint32_t type, uint64_t id, struct message *m);
struct proto_hold hold_of(uint32_t mode, uint32_t flags);
void hello(struct line *line);
pid_t create(struct line *line, const struct options *options, const char *const *argv, struct message *m);
uint64_t base_of(pid_t pid);
int plant_all(struct line *line, pid_t pid, uint32_t flags, bool slots);
/* As PROTO_SITE_PROBE, with these counters. */
/* The same with counters, returns and tells as of that one. */
int plant_like(struct line *line, pid_t pid, uint32_t flags, const struct proto_site *like);
int plant_counted(struct line *line, pid_t pid, uint32_t flags, const uint32_t counter[MAX_SITE_COUNTERS]);
int request_pid(struct line *line, uint32_t type, pid_t pid, uint32_t mode);
struct proto_stats stats_of(struct line *line);
bool text_is_whole(pid_t pid);
long status_field(pid_t pid, const char *key);
uint64_t now_ms(void);
void line_close(struct line *line);
void expect_exit(struct line *line, pid_t pid, int code);

/* The arguments of this executable as a victim; one list at a time. */
const char *const *argv_of(const char *const *role);
#define ROLE(...) argv_of((const char *const[]){ __VA_ARGS__, NULL })
/* A child of ours, so that its end can be seen here; it prints nothing and exits 0 when it computed right. */
pid_t own_victim(const char *const *argv, int *input);
/* By a line of its own, which it opens. */
int grab(struct line *line, pid_t pid, uint32_t mode, uint32_t flags, struct message *m);
int status_of(pid_t pid);

struct raw_test {
	const char *name;
	void (*run)(struct line *line);
};
#define TEST(name) static void test_##name(struct line *line)
#define RAW_TEST(name)             \
	{                          \
#name, test_##name \
	}
/* raw_sigtrap.c, raw_counters.c */
extern const struct raw_test sigtrap_tests[], counter_tests[];
extern const size_t sigtrap_test_count, counter_test_count;

#endif
