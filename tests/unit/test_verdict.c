/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * May a process be held, by the rules of ptrace(2), on machines that are not here: the system is a table of
 * files.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "verdict/judge.h"

#define SYS_PTRACE (UINT64_C(1) << 19)
#define ROOT_CAPS UINT64_C(0x1ffffffffff)

enum { SELF = 100, VICTIM = 200, PARENT = 50 };

/* One process as /proc shows it. */
struct shown {
	int64_t pid, tgid, ppid;
	const char *name;
	char state;
	uint32_t uid[3], gid, seccomp, threads;
	uint64_t permitted, effective, bounding, ambient;
	bool kernel_thread;
};

struct system {
	struct shown self, victim, parent;
	const char *yama, *release, *victim_uid_map;
	bool hidden, gone, thirty_two;
	uint32_t owner;
	int memory;
	int64_t tracer, shared_tracer;
	enum relation relation;
};

/* A user's shell that asks about the same user's sleep, both children of one parent. */
static struct system plain_system(void)
{
	return (struct system){
		.self = { SELF,
			  SELF,
			  PARENT,
			  "tether",
			  'R',
			  { 1000, 1000, 1000 },
			  1000,
			  0,
			  1,
			  .bounding = ROOT_CAPS },
		.victim = { VICTIM,
			    VICTIM,
			    PARENT,
			    "sleep",
			    'S',
			    { 1000, 1000, 1000 },
			    1000,
			    0,
			    1,
			    .bounding = ROOT_CAPS },
		.parent = { PARENT,
			    PARENT,
			    0,
			    "bash",
			    'S',
			    { 1000, 1000, 1000 },
			    1000,
			    0,
			    1,
			    .bounding = ROOT_CAPS },
		.release = "6.18.0-test\n",
		.owner = 1000,
	};
}

static void become_root(struct shown *who)
{
	memset(who->uid, 0, sizeof(who->uid));
	who->gid = 0;
	who->permitted = who->effective = who->bounding = ROOT_CAPS;
}

static long show(const struct shown *who, char *text, size_t size)
{
	return snprintf(
		text, size,
		"Name:\t%s\nUmask:\t0022\nState:\t%c "
		"(any)\nTgid:\t%lld\nPid:\t%lld\nPPid:\t%lld\nTracerPid:\t0\n"
		"Uid:\t%u\t%u\t%u\t%u\nGid:\t%u\t%u\t%u\t%u\nVmSize:\t100 kB\nThreads:\t%u\nKthread:\t%d\n"
		"CapInh:\t0\nCapPrm:\t%016llx\nCapEff:\t%016llx\nCapBnd:\t%016llx\nCapAmb:\t%016llx\n"
		"NoNewPrivs:\t0\nSeccomp:\t%u\n",
		who->name, who->state, (long long)who->tgid, (long long)who->pid, (long long)who->ppid,
		who->uid[0], who->uid[1], who->uid[2], who->uid[1], who->gid, who->gid, who->gid, who->gid,
		who->threads, who->kernel_thread, (unsigned long long)who->permitted,
		(unsigned long long)who->effective, (unsigned long long)who->bounding,
		(unsigned long long)who->ambient, who->seccomp);
}

static long put(char *text, size_t size, const char *content)
{
	return content ? snprintf(text, size, "%s", content) : -ENOENT;
}

static long fake_read(void *data, const char *path, char *text, size_t size)
{
	const struct system *system = data;

	if (!strcmp(path, "/proc/thread-self/status") || !strcmp(path, "/proc/100/status"))
		return show(&system->self, text, size);
	if (!strcmp(path, "/proc/200/status"))
		return system->gone || system->hidden ? -ENOENT : show(&system->victim, text, size);
	if (!strcmp(path, "/proc/50/status"))
		return show(&system->parent, text, size);
	if (!strcmp(path, "/proc/sys/kernel/yama/ptrace_scope"))
		return put(text, size, system->yama);
	if (!strcmp(path, "/proc/sys/kernel/osrelease"))
		return put(text, size, system->release);
	if (!strcmp(path, "/proc/self/uid_map"))
		return put(text, size, "0 0 4294967295\n");
	if (!strcmp(path, "/proc/200/uid_map"))
		return put(text, size, system->victim_uid_map);
	if (!strcmp(path, "/proc/200/auxv")) {
		uint64_t words[2] = { system->thirty_two ? UINT64_C(32) | UINT64_C(0xf7fc1000) << 32 : 33,
				      1 };

		memcpy(text, words, sizeof(words));
		return sizeof(words);
	}
	return -ENOENT;
}

static int fake_owner(void *data, const char *path, uint32_t *ret_uid)
{
	const struct system *system = data;

	*ret_uid = strcmp(path, "/proc/200/stat") ? system->self.uid[1] : system->owner;
	return 0;
}

static bool fake_exists(void *data, int64_t pid)
{
	(void)pid;
	return !((struct system *)data)->gone;
}

static int fake_may_read(void *data, int64_t tid)
{
	(void)tid;
	return ((struct system *)data)->memory;
}

static int64_t fake_other_thread(void *data, int64_t pid)
{
	(void)data;
	return pid;
}

static int64_t fake_tracer(void *data, int64_t pid)
{
	const struct system *system = data;

	return pid == VICTIM ? system->tracer : system->shared_tracer;
}

static enum relation fake_relation(void *data, int64_t pid, uint32_t uid)
{
	(void)pid;
	(void)uid;
	return ((struct system *)data)->relation;
}

static bool fake_same_memory(void *data, int64_t pid, int64_t other)
{
	(void)pid;
	return other == PARENT && ((struct system *)data)->shared_tracer != 0;
}

static int64_t fake_self(void *data)
{
	(void)data;
	return SELF;
}

static struct judgement judged(struct system *system, int64_t pid)
{
	const struct source source = {
		fake_read,   fake_owner,    fake_exists,      fake_may_read, fake_other_thread,
		fake_tracer, fake_relation, fake_same_memory, fake_self,     system,
	};
	struct judgement judgement;
	struct facts facts;

	assert_int_equal(facts_gather(&facts, &source, pid), 0);
	judge(&judgement, &facts);
	for (size_t i = 0; i < judgement.count; i++) {
		assert_true(judgement.reasons[i].detail[0]);
		assert_int_equal(judgement.reasons[i].forbids != 0, judgement.reasons[i].code != 0);
	}
	return judgement;
}

static const struct reason *find(const struct judgement *judgement, enum tether_cause cause)
{
	for (size_t i = 0; i < judgement->count; i++) {
		if (judgement->reasons[i].cause == cause)
			return &judgement->reasons[i];
	}
	return NULL;
}

#define BOTH (TETHER_ACCESS_CONTROL | TETHER_ACCESS_OBSERVE)
#define CONTROL TETHER_ACCESS_CONTROL
#define OBSERVE TETHER_ACCESS_OBSERVE

/* Exactly this one refusal, with its code and words in detail and cure. */
static void only(struct system *system, uint32_t access, enum tether_cause cause, int code, const char *word,
		 const char *cure)
{
	struct judgement judgement = judged(system, VICTIM);
	const struct reason *reason = find(&judgement, cause);

	assert_int_equal(judgement.access, access);
	assert_non_null(reason);
	assert_int_equal(reason->forbids, BOTH & ~access);
	assert_int_equal(reason->code, code);
	assert_non_null(strstr(reason->detail, word));
	assert_non_null(strstr(reason->cure, cure));
	for (size_t i = 0; i < judgement.count; i++)
		assert_true(&judgement.reasons[i] == reason || !judgement.reasons[i].forbids);
}

static void a_process_of_the_same_user_may_be_held(void **state)
{
	struct system system = plain_system();
	struct judgement judgement = judged(&system, VICTIM);

	(void)state;
	assert_int_equal(judgement.access, BOTH);
	assert_int_equal(judgement.count, 0);
}

static void what_is_no_process_is_told_apart(void **state)
{
	struct system system = plain_system();

	(void)state;
	system.gone = true;
	only(&system, 0, TETHER_CAUSE_GONE, TETHER_EGONE, "200", "pid");
	system = plain_system();
	system.hidden = true;
	only(&system, 0, TETHER_CAUSE_HIDDEN, TETHER_EPRIV, "hidepid", "hidepid=0");
	system = plain_system();
	system.victim.tgid = 190;
	only(&system, 0, TETHER_CAUSE_THREAD, TETHER_ETHREAD, "190", "190");
	system = plain_system();
	system.victim.tgid = SELF;
	only(&system, 0, TETHER_CAUSE_THREAD, TETHER_ETHREAD, "100", "100");
	system = plain_system();
	system.victim.kernel_thread = true;
	only(&system, 0, TETHER_CAUSE_KERNEL_THREAD, TETHER_EKTHREAD, "kernel", "");
	system = plain_system();
	system.victim.state = 'Z';
	only(&system, 0, TETHER_CAUSE_ZOMBIE, TETHER_EZOMBIE, "parent, pid 50", "");
}

static void a_process_whose_leader_has_ended_lives(void **state)
{
	struct system system = plain_system();

	(void)state;
	system.victim.state = 'Z';
	system.victim.threads = 2;
	assert_int_equal(judged(&system, VICTIM).access, BOTH);
}

static void itself_and_parts_of_tether_are_named(void **state)
{
	struct system system = plain_system();
	struct judgement judgement = judged(&system, SELF);

	(void)state;
	assert_int_equal(judgement.access, 0);
	assert_int_equal(judgement.reasons[0].cause, TETHER_CAUSE_SELF);
	assert_int_equal(judgement.reasons[0].code, TETHER_ESELF);
	system.victim.name = "tether-controll";
	only(&system, OBSERVE, TETHER_CAUSE_CONTROLLER, TETHER_ESELF, "tether-controller", "");
	system = plain_system();
	system.self.ppid = VICTIM;
	judgement = judged(&system, VICTIM);
	assert_int_equal(judgement.access, BOTH);
	assert_non_null(find(&judgement, TETHER_CAUSE_ANCESTOR));
}

static void the_tracer_is_named(void **state)
{
	struct system system = plain_system();
	struct judgement judgement;

	(void)state;
	system.tracer = PARENT;
	only(&system, OBSERVE, TETHER_CAUSE_TRACED, TETHER_ETRACED, "by bash, pid 50", "bash (pid 50)");
	judgement = judged(&system, VICTIM);
	assert_int_equal(find(&judgement, TETHER_CAUSE_TRACED)->other_pid, PARENT);
	system.tracer = 0;
	system.shared_tracer = PARENT;
	only(&system, OBSERVE, TETHER_CAUSE_SHARED, TETHER_ETRACED, "memory of its parent", "");
}

static void a_name_cannot_command_a_terminal(void **state)
{
	struct system system = plain_system();

	(void)state;
	system.tracer = PARENT;
	system.parent.name = "a\033[31m\xff";
	only(&system, OBSERVE, TETHER_CAUSE_TRACED, TETHER_ETRACED, "by a?[31m?, pid 50", "");
}

static void another_user_needs_the_capability(void **state)
{
	struct system system = plain_system();

	(void)state;
	system.memory = -EPERM;
	system.victim.uid[0] = system.victim.uid[1] = system.victim.uid[2] = 7;
	system.owner = 7;
	only(&system, 0, TETHER_CAUSE_USER, TETHER_EPRIV, "user 7", "as that user");
	/* Set-id: the real user is the same. */
	system = plain_system();
	system.memory = -EPERM;
	system.victim.uid[1] = system.victim.uid[2] = 0;
	system.owner = 0;
	only(&system, 0, TETHER_CAUSE_USER, TETHER_EPRIV, "set-id", "CAP_SYS_PTRACE");
	/* A group alone is enough. */
	system = plain_system();
	system.memory = -EPERM;
	system.victim.gid = 7;
	only(&system, 0, TETHER_CAUSE_USER, TETHER_EPRIV, "group 7", "CAP_SYS_PTRACE");
	become_root(&system.self);
	system.memory = 0;
	assert_int_equal(judged(&system, VICTIM).access, BOTH);
}

static void a_capability_that_exec_drops_serves_the_caller_only(void **state)
{
	struct system system = plain_system();

	(void)state;
	system.victim.uid[0] = system.victim.uid[1] = system.victim.uid[2] = 7;
	system.owner = 7;
	/* A file capability of the client: its controller has none. */
	system.self.permitted = system.self.effective = SYS_PTRACE;
	only(&system, OBSERVE, TETHER_CAUSE_USER, TETHER_EPRIV, "user 7", "");
	system.self.ambient = SYS_PTRACE;
	assert_int_equal(judged(&system, VICTIM).access, BOTH);
	/* Root in a container whose bounding set lacks it. */
	system.self.ambient = 0;
	become_root(&system.self);
	system.self.bounding = system.self.permitted = system.self.effective = ROOT_CAPS & ~SYS_PTRACE;
	system.memory = -EPERM;
	only(&system, 0, TETHER_CAUSE_USER, TETHER_EPRIV, "user 7", "");
}

static void a_process_that_is_not_dumpable_needs_the_capability(void **state)
{
	struct system system = plain_system();

	(void)state;
	system.owner = 0;
	system.memory = -EPERM;
	only(&system, 0, TETHER_CAUSE_DUMPABLE, TETHER_EDUMPABLE, "not dumpable", "CAP_SYS_PTRACE");
	become_root(&system.self);
	system.memory = 0;
	assert_int_equal(judged(&system, VICTIM).access, BOTH);
}

static void more_capabilities_than_the_tracer_has_are_named(void **state)
{
	struct system system = plain_system();

	(void)state;
	system.memory = -EPERM;
	system.victim.permitted = 1 << 10;
	only(&system, 0, TETHER_CAUSE_CAPABILITIES, TETHER_EPRIV, "0x400", "CAP_SYS_PTRACE");
}

static void user_namespaces_have_an_above_and_a_below(void **state)
{
	struct system system = plain_system();

	(void)state;
	system.memory = -EPERM;
	system.relation = RELATION_OTHER;
	only(&system, 0, TETHER_CAUSE_USER_NAMESPACE, TETHER_EPRIV, "not ours", "nsenter");
	/* Even with every capability here. */
	system.self.permitted = system.self.effective = system.self.ambient = ROOT_CAPS;
	only(&system, 0, TETHER_CAUSE_USER_NAMESPACE, TETHER_EPRIV, "not ours", "nsenter");
	system = plain_system();
	system.memory = -EPERM;
	system.relation = RELATION_BELOW;
	only(&system, 0, TETHER_CAUSE_USER_NAMESPACE, TETHER_EPRIV, "below ours", "CAP_SYS_PTRACE");
	system.memory = 0;
	system.relation = RELATION_OWNED;
	system.victim.permitted = ROOT_CAPS; /* in there */
	system.owner = 0;
	assert_int_equal(judged(&system, VICTIM).access, BOTH);
	/* It may not be looked at, but its map of users is not ours. */
	system = plain_system();
	system.memory = -EPERM;
	system.relation = RELATION_UNKNOWN;
	system.victim_uid_map = "0 1000 1\n";
	only(&system, 0, TETHER_CAUSE_USER_NAMESPACE, TETHER_EPRIV, "not ours", "");
}

static void yama_scope_1_allows_descendants_only(void **state)
{
	struct system system = plain_system();

	(void)state;
	system.yama = "1\n";
	system.memory = -EPERM;
	only(&system, 0, TETHER_CAUSE_YAMA, TETHER_EYAMA, "ptrace_scope is 1", "tether run");
	/* A child of the caller is none of the controller. */
	system.victim.ppid = SELF;
	system.memory = 0;
	only(&system, OBSERVE, TETHER_CAUSE_YAMA, TETHER_EYAMA, "the controller", "PR_SET_PTRACER_ANY");
	/* It has allowed everybody: the kernel's own answer shows it. */
	system.victim.ppid = PARENT;
	assert_int_equal(judged(&system, VICTIM).access, BOTH);
	become_root(&system.self);
	system.victim.ppid = SELF;
	assert_int_equal(judged(&system, VICTIM).access, BOTH);
}

static void yama_scopes_2_and_3_need_more(void **state)
{
	struct system system = plain_system();

	(void)state;
	system.yama = "2\n";
	system.memory = -EPERM;
	only(&system, 0, TETHER_CAUSE_YAMA, TETHER_EYAMA, "ptrace_scope is 2", "CAP_SYS_PTRACE");
	become_root(&system.self);
	system.memory = 0;
	assert_int_equal(judged(&system, VICTIM).access, BOTH);
	system.yama = "3\n";
	system.memory = -EPERM;
	only(&system, 0, TETHER_CAUSE_YAMA, TETHER_EYAMA, "ptrace_scope is 3", "boot");
}

static void scope_0_is_no_restriction(void **state)
{
	struct system system = plain_system();

	(void)state;
	system.yama = "0\n";
	assert_int_equal(judged(&system, VICTIM).access, BOTH);
}

static void a_refusal_without_a_rule_is_said_to_be_one(void **state)
{
	struct system system = plain_system();

	(void)state;
	system.memory = -EPERM;
	only(&system, 0, TETHER_CAUSE_SECURITY, TETHER_EPRIV, "security module", "");
}

static void a_filter_of_our_own_keeps_the_kernel_from_being_asked(void **state)
{
	struct system system = plain_system();
	struct judgement judgement;

	(void)state;
	system.self.seccomp = 2;
	system.memory = -EPERM; /* were it asked */
	judgement = judged(&system, VICTIM);
	assert_int_equal(judgement.access, BOTH);
	assert_non_null(strstr(find(&judgement, TETHER_CAUSE_SECCOMP)->detail, "this process"));
}

static void notes_forbid_nothing(void **state)
{
	struct system system = plain_system();
	struct judgement judgement;

	(void)state;
	system.victim.seccomp = 2;
	system.victim.state = 'T';
	judgement = judged(&system, VICTIM);
	assert_int_equal(judgement.access, BOTH);
	assert_non_null(find(&judgement, TETHER_CAUSE_SECCOMP));
	assert_non_null(strstr(find(&judgement, TETHER_CAUSE_STOPPED)->cure, "tether resume -p 200"));
	system.victim.state = 'D';
	judgement = judged(&system, VICTIM);
	assert_non_null(find(&judgement, TETHER_CAUSE_UNINTERRUPTIBLE));
}

static void a_32_bit_program_is_observed_only(void **state)
{
	struct system system = plain_system();

	(void)state;
	system.thirty_two = true;
	only(&system, OBSERVE, TETHER_CAUSE_MACHINE, TETHER_EMACHINE, "32-bit", "64-bit");
}

static void several_reasons_are_all_told(void **state)
{
	struct system system = plain_system();
	struct judgement judgement;

	(void)state;
	system.memory = -EPERM;
	system.tracer = PARENT;
	system.owner = 0;
	system.yama = "2\n";
	judgement = judged(&system, VICTIM);
	assert_int_equal(judgement.access, 0);
	assert_int_equal(find(&judgement, TETHER_CAUSE_TRACED)->forbids, CONTROL);
	assert_int_equal(find(&judgement, TETHER_CAUSE_DUMPABLE)->forbids, BOTH);
	assert_int_equal(find(&judgement, TETHER_CAUSE_YAMA)->forbids, BOTH);
}

static void the_machine_is_judged_by_its_scope(void **state)
{
	const uint32_t all = BOTH | TETHER_ACCESS_CREATE;
	static const struct {
		const char *yama;
		uint32_t user, root;
	} rows[] = {
		{ NULL, BOTH | TETHER_ACCESS_CREATE, BOTH | TETHER_ACCESS_CREATE },
		{ "0\n", BOTH | TETHER_ACCESS_CREATE, BOTH | TETHER_ACCESS_CREATE },
		{ "1\n", TETHER_ACCESS_CREATE, BOTH | TETHER_ACCESS_CREATE },
		{ "2\n", 0, BOTH | TETHER_ACCESS_CREATE },
		{ "3\n", 0, 0 },
	};
	struct judgement judgement;
	struct system system;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		system = plain_system();
		system.yama = rows[i].yama;
		assert_int_equal(judged(&system, 0).access, rows[i].user);
		become_root(&system.self);
		assert_int_equal(judged(&system, 0).access, rows[i].root);
	}
	system = plain_system();
	system.release = "5.4.0\n";
	judgement = judged(&system, 0);
	assert_int_equal(judgement.access, all);
	assert_non_null(strstr(find(&judgement, TETHER_CAUSE_KERNEL)->detail, "5.10"));
	system.release = "6.1.0-44-amd64\n";
	judgement = judged(&system, 0);
	assert_non_null(strstr(find(&judgement, TETHER_CAUSE_KERNEL)->detail, "6.15"));
}

static void the_real_system_answers_too(void **state)
{
	struct tether_verdict verdict = { .size = sizeof(verdict) };

	(void)state;
	assert_int_equal(tether_diagnose(0, &verdict, NULL, NULL), 0);
	assert_int_equal(verdict.pid, 0);
	assert_int_equal(tether_diagnose(-1, &verdict, NULL, NULL), -TETHER_EINVALID);
	verdict.size = 4;
	assert_int_equal(tether_diagnose(0, &verdict, NULL, NULL), -TETHER_EINVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_process_of_the_same_user_may_be_held),
		cmocka_unit_test(what_is_no_process_is_told_apart),
		cmocka_unit_test(a_process_whose_leader_has_ended_lives),
		cmocka_unit_test(itself_and_parts_of_tether_are_named),
		cmocka_unit_test(the_tracer_is_named),
		cmocka_unit_test(a_name_cannot_command_a_terminal),
		cmocka_unit_test(another_user_needs_the_capability),
		cmocka_unit_test(a_capability_that_exec_drops_serves_the_caller_only),
		cmocka_unit_test(a_process_that_is_not_dumpable_needs_the_capability),
		cmocka_unit_test(more_capabilities_than_the_tracer_has_are_named),
		cmocka_unit_test(user_namespaces_have_an_above_and_a_below),
		cmocka_unit_test(yama_scope_1_allows_descendants_only),
		cmocka_unit_test(yama_scopes_2_and_3_need_more),
		cmocka_unit_test(scope_0_is_no_restriction),
		cmocka_unit_test(a_refusal_without_a_rule_is_said_to_be_one),
		cmocka_unit_test(a_filter_of_our_own_keeps_the_kernel_from_being_asked),
		cmocka_unit_test(notes_forbid_nothing),
		cmocka_unit_test(a_32_bit_program_is_observed_only),
		cmocka_unit_test(several_reasons_are_all_told),
		cmocka_unit_test(the_machine_is_judged_by_its_scope),
		cmocka_unit_test(the_real_system_answers_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
