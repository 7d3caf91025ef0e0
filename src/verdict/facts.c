/* SPDX-License-Identifier: BSD-2-Clause */
#include "verdict/facts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/procfs.h"

enum { ANCESTORS_MAX = 4096, STATUS_SIZE = 8192 };

/* ---- one process -----------------------------------------------------------------------------------------
 */

static void ids_of(const char *status, const char *key, uint32_t ids[4])
{
	const char *value = os_status_field(status, key);
	char *end;

	for (int i = 0; value && i < 4; i++) {
		ids[i] = (uint32_t)strtoul(value, &end, 10);
		value = end;
	}
}

static void name_of(const char *status, char name[FACTS_NAME])
{
	const char *value = os_status_field(status, "Name");
	size_t length = 0;

	while (value && value[length] && value[length] != '\n' && length < FACTS_NAME - 1) {
		unsigned char byte = (unsigned char)value[length];

		name[length++] = byte < ' ' || byte >= 127 ? '?' : (char)byte;
	}
	name[length] = '\0';
}

static int who_is(const struct source *source, const char *path, struct who *ret)
{
	char text[STATUS_SIZE];
	long length = source->read(source->data, path, text, sizeof(text));
	struct who who = { 0 };
	const char *state;

	if (length < 0)
		return (int)length;
	who.pid = (int64_t)os_status_number(text, "Pid", 10);
	who.tgid = (int64_t)os_status_number(text, "Tgid", 10);
	who.ppid = (int64_t)os_status_number(text, "PPid", 10);
	if (!who.tgid)
		return -ESRCH;
	state = os_status_field(text, "State");
	who.state = state ? *state : '?';
	name_of(text, who.name);
	ids_of(text, "Uid", who.uid);
	ids_of(text, "Gid", who.gid);
	who.inheritable = os_status_number(text, "CapInh", 16);
	who.permitted = os_status_number(text, "CapPrm", 16);
	who.effective = os_status_number(text, "CapEff", 16);
	who.bounding = os_status_number(text, "CapBnd", 16);
	who.ambient = os_status_number(text, "CapAmb", 16);
	who.seccomp = (uint32_t)os_status_number(text, "Seccomp", 10);
	who.threads = (uint32_t)os_status_number(text, "Threads", 10);
	who.no_new_privileges = os_status_number(text, "NoNewPrivs", 10) != 0;
	/* "Kthread:" is new (6.9); without it: neither a zombie nor a user of memory. */
	if (os_status_field(text, "Kthread"))
		who.kernel_thread = os_status_number(text, "Kthread", 10) != 0;
	else
		who.kernel_thread = !os_status_field(text, "VmSize") && who.state != 'Z' && who.state != 'X';
	*ret = who;
	return 0;
}

static int who_has_pid(const struct source *source, int64_t pid, struct who *ret)
{
	char path[48];

	snprintf(path, sizeof(path), "/proc/%lld/status", (long long)pid);
	return who_is(source, path, ret);
}

/* ---- relations -------------------------------------------------------------------------------------------
 */

/* Parents change while they are read: the number of steps is bounded. */
static bool descends(const struct source *source, int64_t pid, int64_t from)
{
	struct who who;

	for (int i = 0; i < ANCESTORS_MAX && pid > 0; i++) {
		if (pid == from)
			return true;
		if (who_has_pid(source, pid, &who))
			return false;
		pid = who.ppid;
	}
	return false;
}

/* By its name: what it executes may be looked at by few. The kernel cuts names to 15 bytes. */
static bool is_controller(const struct who *who)
{
	return !strcmp(who->name, "tether-controll");
}

/*
 * By its auxiliary vector, pairs of words of its own size: a first type that takes up more than 32 bits is a
 * type and a value of 32. The executable would say it more plainly, but opening it may wait for a file
 * system.
 */
static bool is_other_machine(const struct source *source, int64_t tid)
{
	char path[48], text[1024];
	uint64_t first;

	snprintf(path, sizeof(path), "/proc/%lld/auxv", (long long)tid);
	if (source->read(source->data, path, text, sizeof(text)) < (long)sizeof(first))
		return false;
	memcpy(&first, text, sizeof(first));
	return first > UINT32_MAX;
}

/*
 * The files of a process that is not dumpable belong to root; of root's own processes that says nothing. Not
 * so its folder: that belongs to its user whatever it is (fs/proc/base.c, task_dump_owner()).
 */
static enum known dumpable(const struct source *source, int64_t tid, const struct who *who)
{
	char path[48];
	uint32_t owner;

	snprintf(path, sizeof(path), "/proc/%lld/stat", (long long)tid);
	if (source->owner(source->data, path, &owner))
		return KNOWN_NOT;
	if (owner != who->uid[1])
		return KNOWN_NO;
	return owner == 0 ? KNOWN_NOT : KNOWN_YES;
}

/* Where the namespace itself may not be looked at its map of users still tells two apart. */
static enum relation relation_of(const struct source *source, int64_t pid, const struct who *caller)
{
	enum relation relation = source->relation(source->data, pid, caller->uid[1]);
	char ours[4096], theirs[4096], path[48];

	if (relation != RELATION_UNKNOWN)
		return relation;
	snprintf(path, sizeof(path), "/proc/%lld/uid_map", (long long)pid);
	if (source->read(source->data, "/proc/self/uid_map", ours, sizeof(ours)) < 0 ||
	    source->read(source->data, path, theirs, sizeof(theirs)) < 0)
		return RELATION_UNKNOWN;
	return strcmp(ours, theirs) ? RELATION_OTHER : RELATION_SAME;
}

static void gather_tracers(struct facts *facts, const struct source *source)
{
	struct who tracer;
	int64_t parent = facts->victim.ppid;

	facts->tracer = source->tracer(source->data, facts->pid);
	if (!facts->tracer && parent > 0 && source->same_memory(source->data, facts->pid, parent))
		facts->shared_tracer = source->tracer(source->data, parent);
	if ((facts->tracer || facts->shared_tracer) &&
	    !who_has_pid(source, facts->tracer ? facts->tracer : facts->shared_tracer, &tracer))
		memcpy(facts->tracer_name, tracer.name, sizeof(tracer.name));
}

static void gather_process(struct facts *facts, const struct source *source)
{
	int64_t self = source->self(source->data), live = facts->pid;
	const struct who *victim = &facts->victim;

	facts->visible = !who_has_pid(source, facts->pid, &facts->victim);
	facts->exists = facts->visible || source->exists(source->data, facts->pid);
	if (!facts->visible)
		return;
	if (victim->state == 'Z' && victim->threads > 1) {
		/* Of a leader that has ended /proc tells nothing; its process lives on in its other threads.
		 */
		live = source->other_thread(source->data, facts->pid);
		live = live ? live : facts->pid;
	}
	facts->self = victim->tgid == self;
	facts->controller = is_controller(victim);
	facts->ancestor = !facts->self && descends(source, self, victim->tgid);
	facts->descendant = !facts->self && descends(source, victim->tgid, self);
	gather_tracers(facts, source);
	facts->other_machine = is_other_machine(source, live);
	facts->dumpable = dumpable(source, live, victim);
	facts->relation = relation_of(source, live, &facts->caller);
	/* A filter of our own may kill who asks. */
	facts->memory = facts->caller.seccomp ? 1 : source->may_read(source->data, live);
}

static int yama_scope(const struct source *source)
{
	char text[32];
	long length = source->read(source->data, "/proc/sys/kernel/yama/ptrace_scope", text, sizeof(text));

	return length > 0 && *text >= '0' && *text <= '9' ? (int)strtol(text, NULL, 10) : -1;
}

static void kernel_version(struct facts *facts, const struct source *source)
{
	char text[128], *end;

	if (source->read(source->data, "/proc/sys/kernel/osrelease", text, sizeof(text)) <= 0)
		return;
	facts->kernel_major = (uint32_t)strtoul(text, &end, 10);
	if (*end == '.')
		facts->kernel_minor = (uint32_t)strtoul(end + 1, NULL, 10);
}

int facts_gather(struct facts *ret, const struct source *source, int64_t pid)
{
	struct facts facts = { .pid = pid, .memory = 1, .relation = RELATION_SAME };

	if (who_is(source, "/proc/thread-self/status", &facts.caller))
		return -ENOENT;
	facts.yama = yama_scope(source);
	kernel_version(&facts, source);
	if (pid)
		gather_process(&facts, source);
	*ret = facts;
	return 0;
}
