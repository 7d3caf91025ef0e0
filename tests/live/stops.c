/* SPDX-License-Identifier: BSD-2-Clause */
#include "stops.h"

#include <unistd.h>

struct tether_breakpoint *stop_at(struct tether *process, const char *where, tether_stop_fn *stop, void *data)
{
	return breakpoint_add(process, (struct tether_breakpoint_opts){ .where = where, .stop = stop, .data = data });
}

long done(struct victim *v, const char *word)
{
	long number;

	if (word)
		victim_say(v, word);
	const char *line = victim_line(v);
	if (sscanf(line, "done %ld", &number) != 1)
		fail("the victim says '%s'", line);
	return number;
}

void end(struct client *c, struct victim *v)
{
	client_close(c);
	check_untraced(v->pid);
	check_text_whole(v->pid);
	check_int(done(v, "sum 20 3"), 23);
	check_int(victim_end(v), 0);
}

void note(struct script *s, const struct tether_hit *hit)
{
	unsigned now = __atomic_add_fetch(&s->at_once, 1, __ATOMIC_SEQ_CST);

	if (now > s->most_at_once)
		s->most_at_once = now;
	s->tid = hit->tid;
	s->pid = hit->pid;
	s->address = hit->address;
	if (s->sleep_ms)
		usleep(s->sleep_ms * 1000);
	__atomic_sub_fetch(&s->at_once, 1, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&s->calls, 1, __ATOMIC_SEQ_CST);
}

enum tether_answer answer(const struct tether_hit *hit, void *data)
{
	struct script *s = data;
	enum tether_answer told = __atomic_load_n(&s->answer, __ATOMIC_SEQ_CST);

	note(s, hit);
	return told;
}

unsigned calls(struct script *s)
{
	return __atomic_load_n(&s->calls, __ATOMIC_SEQ_CST);
}

bool was_called(void *data)
{
	return calls(data) != 0;
}

uint64_t reg(const struct tether_hit *hit, const char *name)
{
	uint64_t value = 0;

	if (tether_register_get(hit->process, hit->tid, name, &value, sizeof(value)) < 0)
		return 0xdeadbeef;
	return value;
}

int set_reg(const struct tether_hit *hit, const char *name, uint64_t value)
{
	return tether_register_set(hit->process, hit->tid, name, &value, sizeof(value));
}
