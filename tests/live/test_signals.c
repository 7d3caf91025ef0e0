/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Signals, job control, and system calls that a stop disturbs: as untraced.
 */
#include "harness.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const dispositions[] = {
	"default", "ignored", "caught", "blocked", "ignored-blocked", "caught-blocked", "all-blocked",
};

static void through_all_dispositions(uint32_t flags)
{
	struct victim v = victim_start("signals", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, flags);
	check_int(tether_continue(process), 0);
	for (size_t i = 0; i < sizeof(dispositions) / sizeof(dispositions[0]); i++)
		victim_ask(&v, dispositions[i], "done");
	client_close(&c);
	check_untraced(v.pid);
	victim_ask(&v, "own", "done");
	check_int(victim_end(&v), 0);
}

TEST(traps_leave_the_disposition_and_mask_of_sigtrap_as_they_were)
{
	through_all_dispositions(TETHER_NO_PARK);
}

TEST(a_park_leaves_the_disposition_and_mask_of_sigtrap_as_they_were)
{
	through_all_dispositions(0);
}

TEST(a_sigtrap_that_is_the_victims_own_reaches_its_handler)
{
	struct victim v = victim_start("signals", NULL);
	struct client c = client_open();
	client_grab(&c, v.pid, TETHER_NO_PARK);
	victim_ask(&v, "own", "done");
	client_await(&c, "signal SIGTRAP", 2);
	victim_ask(&v, "default", "done");
	client_close(&c);
	check_int(victim_end(&v), 0);
}

TEST(a_queued_signal_keeps_its_value)
{
	struct victim v = victim_start("signals", NULL);
	struct client c = client_open();
	client_grab(&c, v.pid, TETHER_NO_PARK);
	victim_ask(&v, "queued", "done");
	client_close(&c);
	check_int(victim_end(&v), 0);
}

TEST_SECONDS(ten_thousand_signals_all_arrive, 60)
{
	struct victim v = victim_start("signals", NULL);
	struct client c = client_open();
	client_grab(&c, v.pid, TETHER_NO_PARK);
	victim_ask(&v, "storm", "done");
	client_close(&c);
	check_int(victim_end(&v), 0);
}

/* ---- job control --------------------------------------------------------------------------------------- */

TEST(a_stop_from_outside_is_reported_and_lasts_until_sigcont)
{
	struct victim v = victim_start("threads", "steady", "4", NULL);
	struct client c = client_open();
	client_grab(&c, v.pid, TETHER_NO_PARK);
	kill(v.pid, SIGSTOP);
	client_await(&c, "stop SIGSTOP", 1);
	check(eventually(is_stopped, &v.pid, 2000));
	client_drain(&c, 200);
	check(is_stopped(&v.pid));
	kill(v.pid, SIGCONT);
	client_await(&c, "continue", 1);
	victim_ask(&v, "progress", "progress");
	check_int(client_count(&c, "stop"), 1);
	client_close(&c);
	check_int(victim_end(&v), 0);
}

TEST(a_victim_stopped_when_grabbed_is_stopped_when_released)
{
	struct victim v = victim_start("threads", "steady", "4", NULL);
	kill(v.pid, SIGSTOP);
	check(eventually(is_stopped, &v.pid, 2000));
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	check(is_stopped(&v.pid));
	check_int(tether_release(process), 0);
	check(eventually(is_stopped_and_free, &v.pid, 2000));
	client_close(&c);
	check_text_whole(v.pid);
	kill(v.pid, SIGCONT);
	victim_ask(&v, "progress", "progress");
	check_int(victim_end(&v), 0);
}

TEST(a_victim_stopped_while_held_stays_stopped_at_release)
{
	struct victim v = victim_start("threads", "steady", "4", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	kill(v.pid, SIGSTOP);
	client_await(&c, "stop SIGSTOP", 1);
	check_int(tether_release(process), 0);
	check(eventually(is_stopped_and_free, &v.pid, 2000));
	client_close(&c);
	kill(v.pid, SIGCONT);
	victim_ask(&v, "progress", "progress");
	check_int(victim_end(&v), 0);
}

TEST(detach_in_mode_hang_leaves_the_victim_stopped_and_free)
{
	struct victim v = victim_start("threads", "steady", "4", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	check_int(tether_detach(process, TETHER_MODE_HANG), 0);
	check(eventually(is_stopped_and_free, &v.pid, 2000));
	check_text_whole(v.pid);
	client_close(&c);
	check(is_stopped_and_free(&v.pid));
	kill(v.pid, SIGCONT);
	victim_ask(&v, "progress", "progress");
	check_int(victim_end(&v), 0);
}

/* ---- system calls -------------------------------------------------------------------------------------- */

static char *interrupted(struct victim *v)
{
	victim_say(v, "counts");
	return victim_expects(v);
}

/* What the kernel does without us: rule 11's list. The other tests compare with it. */
TEST(an_untraced_stop_and_continue_disturbs_the_known_calls)
{
	struct victim v = victim_start("calls", NULL);
	kill(v.pid, SIGSTOP);
	check(eventually(is_stopped, &v.pid, 2000));
	kill(v.pid, SIGCONT);
	char *got = interrupted(&v);
	check_same("epoll_wait\nepoll_pwait\nsigwaitinfo\nio_getevents\nsemtimedop\ntimed epoll_wait\n"
		   "timed sigtimedwait\ntimed semtimedop\ntimed recv\n",
		   got);
	free(got);
	check_int(victim_end(&v), 0);
}

TEST(a_park_disturbs_no_call_that_has_no_time_limit)
{
	struct victim v = victim_start("calls", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, 0);
	check_int(tether_continue(process), 0);
	check_int(tether_release(process), 0);
	client_close(&c);
	check_untraced(v.pid);
	char *got = interrupted(&v);
	check_same("timed epoll_wait\ntimed sigtimedwait\ntimed semtimedop\ntimed recv\n", got);
	free(got);
	check_int(victim_end(&v), 0);
}

TEST(a_grab_without_a_park_disturbs_no_call_at_all)
{
	struct victim v = victim_start("calls", NULL);
	struct client c = client_open();
	struct tether *process = client_grab(&c, v.pid, TETHER_NO_PARK);
	char *got = interrupted(&v);
	check_same("", got);
	free(got);
	check_int(tether_release(process), 0);
	client_close(&c);
	check_untraced(v.pid);
	got = interrupted(&v);
	check_same("", got);
	free(got);
	check_int(victim_end(&v), 0);
}
