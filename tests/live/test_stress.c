/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ten handles on one process from ten threads, in any order.
 */
#include "harness.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

enum { STRESSERS = 10, STRESS_HANDLES = 3 };

struct stresser {
	struct tether_session *session;
	pid_t pid;
	uint64_t until_ns, random;
	unsigned grabs, parks, observes, locks, detaches;
};

static unsigned draw(struct stresser *s, unsigned below)
{
	s->random = s->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (unsigned)(s->random >> 33) % below;
}

/* Somebody else may have detached it meanwhile. */
static void check_done(int result)
{
	if (result != -TETHER_EGONE)
		check_int(result, 0);
}

static struct tether *stress_grab(struct stresser *s)
{
	static const uint32_t flags[] = { TETHER_NO_PARK, TETHER_NO_PARK | TETHER_NO_MONITOR, TETHER_OBSERVE, 0 };
	unsigned kind = draw(s, 4);
	struct tether *process = grab(s->session, s->pid, flags[kind], TETHER_MODE_RUN);

	s->grabs++;
	s->observes += kind == 2;
	s->parks += kind == 3;
	if (kind == 3)
		check_done(tether_continue(process));
	return process;
}

static int count_object(const struct tether_object *object, void *data)
{
	(void)object;
	++*(unsigned *)data;
	return 0;
}

static void stress_use(struct stresser *s, struct tether *process)
{
	struct tether_info info = { .size = sizeof(info) };
	bool locks = draw(s, 2);
	unsigned objects = 0;
	char bytes[16];
	int64_t got;

	if (locks) {
		check_int(tether_lock(process), 0);
		s->locks++;
	}
	check_int(tether_info_get(process, &info), 0);
	check_int(info.pid, s->pid);
	got = tether_objects(process, count_object, &objects);
	if (got != -TETHER_EGONE)
		check(got >= 0);
	got = tether_read(process, (uintptr_t)&count_object, bytes, sizeof(bytes));
	check(got == sizeof(bytes) || got == -TETHER_EMEMORY);
	if (!(info.flags & TETHER_OBSERVE)) {
		check_done(tether_continue(process));
		check_done(tether_set_mode(process, TETHER_MODE_RUN));
		if (draw(s, 16) == 0) {
			check_done(tether_detach(process, TETHER_MODE_RUN));
			s->detaches++;
		}
	}
	if (locks)
		check_int(tether_unlock(process), 0);
}

static void *stress(void *data)
{
	struct stresser *s = data;
	struct tether *held[STRESS_HANDLES] = { NULL };

	while (now_ns() < s->until_ns) {
		struct tether **one = &held[draw(s, STRESS_HANDLES)];

		if (!*one) {
			*one = stress_grab(s);
		} else if (draw(s, 3)) {
			stress_use(s, *one);
		} else if (draw(s, 4) == 0) {
			check(tether_ref(*one) == *one);
			check_int(tether_release(*one), 0);
		} else {
			if (draw(s, 4) == 0)
				check_int(tether_lock(*one), 0);
			check_int(tether_release(*one), 0);
			*one = NULL;
		}
	}
	for (int i = 0; i < STRESS_HANDLES; i++)
		check_int(tether_release(held[i]), 0);
	return NULL;
}

static void *feed(void *data)
{
	struct stresser *s = data;

	while (now_ns() < s->until_ns)
		check(tether_dispatch(s->session, 10) >= 0);
	return NULL;
}

#if defined(__SANITIZE_THREAD__)
enum { STRESS_SECONDS = 30 };
#else
enum { STRESS_SECONDS = 5 };
#endif

/* So long, or TETHER_STRESS_SECONDS: the victim loads libraries in eight threads all the time. */
TEST_SECONDS(ten_handles_from_ten_threads_in_any_order_leave_the_victim_whole, 120)
{
	const char *seconds = getenv("TETHER_STRESS_SECONDS");
	struct victim v = victim_start("loads", NULL);
	struct client c = client_open();
	uint64_t until_ns = now_ns() + UINT64_C(1000000000) * (seconds ? strtoul(seconds, NULL, 10) : STRESS_SECONDS);
	struct stresser s[STRESSERS + 1];
	pthread_t thread[STRESSERS + 1];
	struct stresser sum = { 0 };

	for (unsigned i = 0; i <= STRESSERS; i++) {
		s[i] = (struct stresser){ c.session, v.pid, until_ns, 1000 + i, 0, 0, 0, 0, 0 };
		pthread_create(&thread[i], NULL, i < STRESSERS ? stress : feed, &s[i]);
	}
	while (now_ns() < until_ns)
		victim_ask(&v, "threads", "done");
	for (unsigned i = 0; i <= STRESSERS; i++) {
		pthread_join(thread[i], NULL);
		sum.grabs += s[i].grabs;
		sum.parks += s[i].parks;
		sum.observes += s[i].observes;
		sum.locks += s[i].locks;
		sum.detaches += s[i].detaches;
	}
	printf("# %u grabs, %u of them to park, %u to observe; %u locks, %u detaches\n", sum.grabs, sum.parks,
	       sum.observes, sum.locks, sum.detaches);
	check(sum.parks > 10 && sum.observes > 10 && sum.locks > 10 && sum.detaches > 0);
	check_untraced(v.pid);
	check_text_whole(v.pid);
	victim_ask(&v, "threads", "done");
	client_close(&c);
	check_int(victim_end(&v), 0);
}
