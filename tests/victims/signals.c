/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Signals, at each word it hears:
 *
 *	"default" "ignored" "caught" "blocked" "ignored-blocked" "caught-blocked" "all-blocked"
 *	           SIGTRAP is put so, a library is loaded (where a tracer traps), and SIGTRAP must still be so
 *	"own"      this program's own int3 and raise(SIGTRAP) reach its handler
 *	"queued"   SIGRTMIN with a value, sent to itself, arrives with that value
 *	"storm"    ten thousand signals to itself, all counted
 *
 * Each ends with "done".
 */
#include "victim.h"

#include <dlfcn.h>
#include <signal.h>

static volatile sig_atomic_t hits, code, value;

static void on_signal(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)context;
	hits++;
	code = info->si_code;
	value = info->si_value.sival_int;
}

static void put(int number, const char *how)
{
	struct sigaction action = { .sa_flags = SA_SIGINFO | SA_RESTART };
	action.sa_sigaction = on_signal;
	if (strncmp(how, "caught", 6) != 0) {
		action.sa_flags = 0;
		action.sa_handler = strncmp(how, "ignored", 7) == 0 ? SIG_IGN : SIG_DFL;
	}
	sigaction(number, &action, NULL);
	/* A tracer learns of a change at the next stop that is made anyway; a trap comes too late for it. */
	raise(SIGURG);
	sigset_t set;
	sigemptyset(&set);
	if (strcmp(how, "all-blocked") == 0)
		sigfillset(&set);
	else if (strstr(how, "blocked"))
		sigaddset(&set, number);
	sigprocmask(SIG_SETMASK, &set, NULL);
	raise(SIGURG); /* stays pending where all is blocked: that a tracer must tell without */
}

static void check_put(int number, const char *how, const struct sigaction *before)
{
	struct sigaction now;
	sigset_t mask;
	sigaction(number, NULL, &now);
	sigprocmask(SIG_SETMASK, NULL, &mask);
	if (now.sa_handler != before->sa_handler)
		say("wrong: %s: the disposition is now %s", how,
		    now.sa_handler == SIG_DFL   ? "default"
		    : now.sa_handler == SIG_IGN ? "ignored"
						: "caught");
	else if (now.sa_flags != before->sa_flags && now.sa_handler != SIG_IGN) /* they mean nothing there */
		say("wrong: %s: flags %#x, were %#x", how, (unsigned)now.sa_flags,
		    (unsigned)before->sa_flags);
	if (sigismember(&mask, number) != (strstr(how, "blocked") != NULL))
		say("wrong: %s: it is %s", how, sigismember(&mask, number) ? "blocked" : "not blocked");
}

static void load_while(const char *how)
{
	struct sigaction before;
	char *path = beside("plugin-a.so");
	put(SIGTRAP, how);
	sigaction(SIGTRAP, NULL, &before);
	for (int i = 0; i < 3; i++) {
		void *handle = dlopen(path, RTLD_NOW);
		if (!handle || dlclose(handle))
			say("wrong: %s", dlerror());
		check_put(SIGTRAP, how, &before);
	}
	if (hits)
		say("wrong: the handler ran %d times", (int)hits);
	hits = 0;
	put(SIGTRAP, "default");
	free(path);
}

static void own_trap(void)
{
	put(SIGTRAP, "caught");
	hits = 0;
#if defined(__x86_64__) || defined(__i386__)
	__asm__ volatile("int3");
	if (hits != 1 || code != 0x80 /* SI_KERNEL */)
		say("wrong: int3: %d hits, code %#x", (int)hits, (unsigned)code);
	hits = 0;
#endif
	raise(SIGTRAP);
	if (hits != 1 || code != SI_TKILL)
		say("wrong: raise: %d hits, code %#x", (int)hits, (unsigned)code);
	hits = 0;
	put(SIGTRAP, "default");
}

static void queued(void)
{
	const union sigval data = { .sival_int = 4711 };
	put(SIGRTMIN, "caught");
	hits = 0;
	sigqueue(getpid(), SIGRTMIN, data);
	if (hits != 1 || code != SI_QUEUE || value != 4711)
		say("wrong: queued: %d hits, code %d, value %d", (int)hits, (int)code, (int)value);
	hits = 0;
}

static void storm(void)
{
	enum { TIMES = 10000 };
	const union sigval data = { .sival_int = 1 };
	put(SIGRTMIN, "caught");
	hits = 0;
	for (int i = 0; i < TIMES; i++)
		sigqueue(getpid(), SIGRTMIN, data);
	if (hits != TIMES)
		say("wrong: %d of %d signals arrived", (int)hits, TIMES);
	hits = 0;
}

int main(void)
{
	say("ready");
	for (;;) {
		const char *word = hear();
		if (!*word)
			return 0;
		if (strcmp(word, "own") == 0)
			own_trap();
		else if (strcmp(word, "queued") == 0)
			queued();
		else if (strcmp(word, "storm") == 0)
			storm();
		else
			load_while(word);
		say("done");
	}
}
