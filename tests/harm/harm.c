/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * harm/harm.c - end a hold at a random moment, over and over, and count the victims that were harmed
 *
 *	harm [--kinds K,..] [--holds H,..] [--endings E,..] [--count N] [--seed S] [--seconds N]
 *
 * --count is the number of victims of each row (kind x hold x ending; --spread: of all rows of an ending
 * together). With --seconds the rows are run round-robin for as long as told. Prints TAP; a victim that was
 * harmed is printed with the seed that tries it again: harm --kinds K --holds H --endings E --count 1 --seed
 * S
 * --parks: the client parks and continues its victims all the time. When they were hardly parked, or no trap was seen
 * between two parks, nothing was proved, and that fails.
 * --stacks: the client takes snapshots of their stacks all the time; that hardly any was taken fails too.
 * --events: the client has the stack of every event, and what is about to crash parks.
 * --crashes: the same with victims that crash by themselves around the ending. They have to end by the signal, and with the core,
 * of a victim that nobody holds.
 * --probes: what the client plants are public breakpoints (tether/breakpoint.h), with and without a handler, which may hold the
 *    thread; it removes, adds, disables and enables them all the time.
 * --calls: the same of calls and returns.
 * --sabotage H takes a client that does this harm on purpose and passes when each victim is judged so.
 */
#include <errno.h>
#include <getopt.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "family.h"
#include "trial.h"

static const char *const all_kinds[] = { "hot",    "sig", "step", "dl", "unload", "fork", "vfork",
					 "vforkc", "thr", "mask", "masksig", "caught", "ignored", "both",
					 "bothsig", "slow", "segv", "abrt", "segvsig" };

enum { KINDS = sizeof(all_kinds) / sizeof(all_kinds[0]), CRASHES = 3 };

struct plan {
	struct lab lab;
	bool kinds[KINDS], holds[HOLD_COUNT], endings[ENDING_COUNT];
	unsigned count, seconds;
	uint64_t deadline_ns; /* 0: none */
	bool spread, parks, stacks, events, crashes, probes, calls;
	uint64_t seed;
	unsigned expect; /* set of enum harm that each victim has to show; none: no harm at all */
	const char *sabotage;
};

struct tally {
	unsigned victims, harmed, early, not_held;
	unsigned parks, traps_seen, snapshots, stacks;
	uint64_t hits, returns;
	unsigned of_kind[HARM_KINDS];
	uint64_t let_go_max_ns, gap_max_ns;
	uint64_t looks, glimpses;
};

/* Mark the comma-separated names in set; false for a name that is not there. */
static bool choose(const char *names, const char *(*name_of)(unsigned), unsigned count, bool *set)
{
	char *copy = strdup(names), *save = NULL;
	bool known = true;

	memset(set, 0, count);
	for (char *word = strtok_r(copy, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
		unsigned i = 0;

		while (i < count && strcmp(word, name_of(i)))
			i++;
		if (i < count)
			set[i] = true;
		else
			known = false;
	}
	free(copy);
	return known;
}

static const char *kind_at(unsigned i)
{
	return all_kinds[i];
}

static const char *hold_at(unsigned i)
{
	return hold_name((enum hold)i);
}

static const char *ending_at(unsigned i)
{
	return ending_name((enum ending)i);
}

/*
 * The one ending that is known to do harm: nobody is left to lift the traps. What it does to a victim that
 * lives on is measured and printed; that the client hears of it and that created victims die is required.
 */
static unsigned excused(const struct trial *trial, unsigned harms)
{
	if (trial->ending != ENDING_CONTROLLER_KILL || trial->hold == HOLD_KILL)
		return 0;
	/* One that lives on must have got its text back from the client. */
	return HARM_LOOSE | HARM_DIED | HARM_WRONG | HARM_STUCK | HARM_SIGNALS | HARM_STOPPED |
	       (harms & HARM_DIED ? (unsigned)HARM_TEXT : 0);
}

static void count_outcome(const struct plan *plan, struct tally *tally, const struct trial *trial,
			  const struct outcome *outcome)
{
	unsigned harms = outcome->finding.harms;
	char names[128];

	if (plan->sabotage) {
		bool seen = plan->expect ? (harms & plan->expect) == plan->expect : !harms;

		tally->victims++;
		tally->harmed += !seen;
		if (!seen)
			printf("# judged as '%s': %s\n", harm_names(harms, names, sizeof(names)),
			       outcome->finding.detail);
		return;
	}

	tally->victims++;
	tally->early += outcome->early;
	tally->not_held += !outcome->held;
	tally->parks += outcome->parks;
	tally->traps_seen += outcome->traps_seen;
	tally->snapshots += outcome->snapshots;
	tally->stacks += outcome->stacks;
	tally->hits += outcome->hits;
	tally->returns += outcome->returns;
	tally->looks += outcome->looks;
	tally->glimpses += outcome->glimpses;
	if (outcome->let_go_ns > tally->let_go_max_ns)
		tally->let_go_max_ns = outcome->let_go_ns;
	if (outcome->longest_gap_ns > tally->gap_max_ns)
		tally->gap_max_ns = outcome->longest_gap_ns;
	if (!harms)
		return;
	for (unsigned kind = 0; kind < HARM_KINDS; kind++)
		tally->of_kind[kind] += harms >> kind & 1;
	if (harms & ~excused(trial, harms))
		tally->harmed++;
	printf("# %s %s%s--kinds %s --holds %s --endings %s --count 1 --seed %lu (%u us after %s): %s: %s\n",
	       harms & ~excused(trial, harms) ? "HARMED" : "the known risk", trial->parks ? "--parks " : trial->stacks ? "--stacks " : trial->probes ? "--probes " : trial->calls ? "--calls " : "",
	       trial->crashes ? "--crashes " : trial->events ? "--events " : "",
	       trial->kind, hold_name(trial->hold), ending_name(trial->ending), trial->seed, outcome->moment_us,
	       outcome->early ? "the client's start" : "held", harm_names(harms, names, sizeof(names)),
	       outcome->finding.detail);
	fflush(stdout);
}

static void add_tally(struct tally *sum, const struct tally *more)
{
	sum->victims += more->victims;
	sum->harmed += more->harmed;
	sum->early += more->early;
	sum->not_held += more->not_held;
	sum->parks += more->parks;
	sum->traps_seen += more->traps_seen;
	sum->snapshots += more->snapshots;
	sum->stacks += more->stacks;
	sum->hits += more->hits;
	sum->returns += more->returns;
	for (unsigned kind = 0; kind < HARM_KINDS; kind++)
		sum->of_kind[kind] += more->of_kind[kind];
}

static void report(const struct plan *plan, unsigned number, enum ending ending, const char *kind,
		   enum hold hold, const struct tally *tally)
{
	unsigned risk = 0;

	for (unsigned i = 0; i < HARM_KINDS; i++)
		if (tally->of_kind[i])
			risk = tally->of_kind[i] > risk ? tally->of_kind[i] : risk;
	if (plan->sabotage) {
		printf("%s %u - %s of %s is seen: %u of %u victims judged so\n",
		       tally->harmed ? "not ok" : "ok", number, plan->sabotage, kind,
		       tally->victims - tally->harmed, tally->victims);
		return;
	}
	printf("%s %u - %s, %s, %s: %u of %u victims harmed", tally->harmed ? "not ok" : "ok", number,
	       ending_text(ending), kind, hold_text(hold), tally->harmed, tally->victims);
	if (ending == ENDING_CONTROLLER_KILL && hold != HOLD_KILL)
		printf(" beyond the known risk, which hit %u", risk);
	if (plan->parks || plan->crashes)
		printf(", %u parks", tally->parks);
	if (plan->events)
		printf(", %u stacks of events", tally->stacks);
	if (plan->stacks)
		printf(", %u snapshots", tally->snapshots);
	if (plan->probes || plan->calls)
		printf(", %lu hits and %lu returns told", tally->hits, tally->returns);
	if (ending == ENDING_FROZEN)
		printf(", longest gap %lu ms", tally->gap_max_ns / 1000000);
	if (tally->looks)
		printf(", %lu of %lu looks met the default", tally->glimpses, tally->looks);
	printf(" (%u before it held; all gone within %lu.%lu ms)\n", tally->not_held,
	       tally->let_go_max_ns / 1000000, tally->let_go_max_ns / 100000 % 10);
	fflush(stdout);
}

/* Rows of one ending; a created victim cannot be released to live in mode kill, but must then be gone. */
static unsigned rows_of(const struct plan *plan)
{
	unsigned kinds = 0, holds = 0;

	for (unsigned i = 0; i < KINDS; i++)
		kinds += plan->kinds[i];
	for (unsigned i = 0; i < HOLD_COUNT; i++)
		holds += plan->holds[i];
	return kinds * holds;
}

/* One victim alone is one to be tried again: its own seed. Several with one seed would all be ended at one moment. */
static bool is_repetition(const struct plan *plan)
{
	unsigned endings = 0;

	for (unsigned i = 0; i < ENDING_COUNT; i++)
		endings += plan->endings[i];
	return plan->count == 1 && !plan->seconds && endings == 1 && rows_of(plan) == 1;
}

static struct tally run_row(const struct plan *plan, unsigned kind, unsigned hold, unsigned ending,
			    unsigned count, uint64_t *seeds)
{
	struct tally tally = { 0 };

	for (unsigned i = 0; i < count; i++) {
		struct trial trial = {
			.kind = all_kinds[kind],
			.hold = (enum hold)hold,
			.ending = (enum ending)ending,
			.parks = plan->parks,
			.stacks = plan->stacks,
			.events = plan->events,
			.crashes = plan->crashes,
			.probes = plan->probes,
			.calls = plan->calls,
		};
		struct outcome outcome;

		trial.seed = is_repetition(plan) ? plan->seed : random_next(seeds) >> 16;
		trial_run(&plan->lab, &trial, &outcome);
		(void)unlink("core");
		count_outcome(plan, &tally, &trial, &outcome);
	}
	return tally;
}

/* All rows once; number counts the TAP lines, 0: none are printed. */
static struct tally run_all(const struct plan *plan, unsigned *number, uint64_t *seeds)
{
	struct tally sum = { 0 };
	unsigned rows = rows_of(plan);

	for (unsigned ending = 0; ending < ENDING_COUNT; ending++) {
		unsigned row = 0;

		for (unsigned kind = 0; kind < KINDS; kind++)
			for (unsigned hold = 0; hold < HOLD_COUNT; hold++) {
				unsigned count = plan->count;
				struct tally tally;

				if (!plan->kinds[kind] || !plan->holds[hold] || !plan->endings[ending])
					continue;
				/* A client that stands still leaves parked what it has parked. */
				if (plan->parks && ending == ENDING_FROZEN)
					continue;
				/* Spread evenly: the remainder goes to the first rows. */
				if (plan->spread)
					count = plan->count / rows + (row < plan->count % rows);
				row++;
				if (!count || (plan->deadline_ns && now_ns() > plan->deadline_ns))
					continue;
				tally = run_row(plan, kind, hold, ending, count, seeds);
				add_tally(&sum, &tally);
				if (number)
					report(plan, ++*number, (enum ending)ending, all_kinds[kind],
					       (enum hold)hold, &tally);
			}
	}
	return sum;
}

/*
 * Victims were parked, and between two parks they had traps in their text: else nothing was shown. A few may all have
 * lost their clients before that.
 */
static bool parks_prove_nothing(const struct plan *plan, const struct tally *sum)
{
	if (plan->stacks && !plan->sabotage && sum->victims >= 8 && sum->snapshots < sum->victims / 4)
		return true;
	if ((plan->probes || plan->calls) && !plan->sabotage && sum->victims >= 8 &&
	    (sum->hits < sum->victims || (plan->calls && sum->returns < sum->victims)))
		return true;
	if (plan->crashes)
		return sum->victims >= 8 && sum->parks < sum->victims / 8;
	if (plan->events && !plan->sabotage && sum->victims >= 8 && sum->stacks < sum->victims)
		return true;
	if (!plan->parks || plan->sabotage)
		return false;
	printf("# %u parks with whole text, %u traps seen between them\n", sum->parks, sum->traps_seen);
	return sum->victims >= 8 && (sum->parks < sum->victims / 2 || !sum->traps_seen);
}

static int soak(struct plan *plan, uint64_t *seeds)
{
	struct tally sum = { 0 };
	unsigned rounds = 0;

	plan->count = 1;
	plan->deadline_ns = now_ns() + plan->seconds * UINT64_C(1000000000);
	while (now_ns() < plan->deadline_ns) {
		struct tally round = run_all(plan, NULL, seeds);

		add_tally(&sum, &round);
		printf("# round %u: %u victims, %u harmed so far\n", ++rounds, sum.victims, sum.harmed);
		fflush(stdout);
	}
	bool idle = parks_prove_nothing(plan, &sum);
	printf("%s 1 - soak: %u of %u victims harmed%s\n1..1\n", sum.harmed || idle ? "not ok" : "ok", sum.harmed,
	       sum.victims, idle ? ", but hardly parked" : "");
	return sum.harmed || idle;
}

/* Paths live as long as the program. */
static const char *beside(const char *folder, const char *name)
{
	enum { PATHS = 8 };
	static char paths[PATHS][PATH_MAX];
	static unsigned used;
	char *path = paths[used++ % PATHS];

	snprintf(path, PATH_MAX, "%s/%s", folder, name);
	if (access(path, R_OK)) {
		fprintf(stderr, "harm: %s is not there\n", path);
		exit(2);
	}
	return path;
}

static void find_lab(struct lab *lab, const char *sabotage)
{
	char path[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
	const char *folder;

	if (length < 0)
		exit(2);
	path[length] = '\0';
	folder = dirname(path);
	/* That of the same build, unless the runner names another. */
	setenv("TETHER_CONTROLLER", beside(folder, "../../src/controller/tether-controller"), 0);
	lab->victim = beside(folder, "harm-victim");
	lab->holder = beside(folder, sabotage ? "harm-saboteur" : "harm-holder");
	if (sabotage)
		setenv("SABOTAGE", sabotage, 1);
	lab->tiny = beside(folder, "harm-tiny");
	lab->plugin[0] = beside(folder, "harm-plugin0.so");
	lab->plugin[1] = beside(folder, "harm-plugin1.so");
}

static void usage(void)
{
	fputs("usage: harm [--kinds K,..] [--holds H,..] [--endings E,..] [--count N] [--spread] [--seed S]\n"
	      "            [--seconds N] [--parks | --stacks | --probes | --calls] [--events | --crashes] [--verbose] [--keep] [--sabotage HARM]\n"
	      "kinds:",
	      stderr);
	for (unsigned i = 0; i < KINDS; i++)
		fprintf(stderr, " %s", all_kinds[i]);
	fputs("\nholds:", stderr);
	for (unsigned i = 0; i < HOLD_COUNT; i++)
		fprintf(stderr, " %s", hold_at(i));
	fputs("\nendings:", stderr);
	for (unsigned i = 0; i < ENDING_COUNT; i++)
		fprintf(stderr, " %s", ending_at(i));
	fputs("\n", stderr);
	exit(2);
}

static bool choose_sabotage(const char *name, struct plan *plan)
{
	bool set[HARM_KINDS] = { false };

	if (strcmp(name, "none") && !choose(name, harm_name, HARM_KINDS, set))
		return false;
	for (unsigned kind = 0; kind < HARM_KINDS; kind++)
		plan->expect |= (unsigned)set[kind] << kind;
	plan->sabotage = name;
	return true;
}

static void parse(struct plan *plan, int argc, char **argv)
{
	static const struct option options[] = {
		{ "kinds", required_argument, NULL, 'k' },    { "holds", required_argument, NULL, 'h' },
		{ "endings", required_argument, NULL, 'e' },  { "count", required_argument, NULL, 'n' },
		{ "seed", required_argument, NULL, 's' },     { "seconds", required_argument, NULL, 't' },
		{ "spread", no_argument, NULL, 'p' },         { "verbose", no_argument, NULL, 'v' },
		{ "sabotage", required_argument, NULL, 'x' }, { "parks", no_argument, NULL, 'P' },
		{ "keep", no_argument, NULL, 'K' },           { "stacks", no_argument, NULL, 'S' },
		{ "events", no_argument, NULL, 'E' },         { "crashes", no_argument, NULL, 'C' },
		{ "probes", no_argument, NULL, 'B' },        { "calls", no_argument, NULL, 'L' },
		{ 0 }
	};
	bool known = true;

	for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;)
		switch (option) {
		case 'k':
			known &= choose(optarg, kind_at, KINDS, plan->kinds);
			break;
		case 'h':
			known &= choose(optarg, hold_at, HOLD_COUNT, plan->holds);
			break;
		case 'e':
			known &= choose(optarg, ending_at, ENDING_COUNT, plan->endings);
			break;
		case 'n':
			plan->count = (unsigned)atoi(optarg);
			break;
		case 's':
			plan->seed = strtoull(optarg, NULL, 0);
			break;
		case 't':
			plan->seconds = (unsigned)atoi(optarg);
			break;
		case 'p':
			plan->spread = true;
			break;
		case 'v':
			plan->lab.verbose = true;
			break;
		case 'K':
			plan->lab.keep = true;
			break;
		case 'P':
			plan->parks = true;
			break;
		case 'S':
			plan->stacks = true;
			break;
		case 'C':
			plan->crashes = true;
			/* fall through */
		case 'E':
			plan->events = true;
			break;
		case 'B':
			plan->probes = true;
			break;
		case 'L':
			plan->calls = true;
			break;
		case 'x':
			known &= choose_sabotage(optarg, plan);
			break;
		default:
			known = false;
		}
	if (!known || optind < argc)
		usage();
	/* Each kind where it belongs: who crashes has no other end, who does not has another. */
	for (unsigned i = 0; i < KINDS; i++)
		plan->kinds[i] = plan->kinds[i] && (i >= KINDS - CRASHES) == plan->crashes;
	/* One that is to be left stopped and crashes stands with its signal: live-crashes. A client that stands still is no end. */
	if (plan->crashes)
		plan->holds[HOLD_HANG] = plan->endings[ENDING_FROZEN] = plan->endings[ENDING_CONTROLLER_KILL] = false;
}

int main(int argc, char **argv)
{
	struct plan plan = { .count = 10, .seed = now_ns() >> 10 & 0xffffff };
	unsigned number = 0;
	struct tally sum;
	uint64_t seeds;

	memset(plan.kinds, true, sizeof(plan.kinds));
	memset(plan.holds, true, sizeof(plan.holds));
	memset(plan.endings, true, sizeof(plan.endings));
	parse(&plan, argc, argv);
	find_lab(&plan.lab, plan.sabotage);
	seeds = plan.seed;
	/* Controllers and victims whose client is gone become our children: nothing can hide from the count.
	 */
	if (!family_adopt())
		return 2;
	signal(SIGPIPE, SIG_IGN);
	printf("# seed %lu\n", plan.seed);
	if (plan.seconds)
		return soak(&plan, &seeds);
	sum = run_all(&plan, &number, &seeds);
	bool idle = parks_prove_nothing(&plan, &sum);
	if (plan.stacks && !plan.sabotage)
		printf("%s %u - stacks of victims with traps were taken\n", idle ? "not ok" : "ok", ++number);
	if (plan.events && !plan.sabotage)
		printf("%s %u - stacks of events%s were there\n", idle ? "not ok" : "ok", ++number,
		       plan.crashes ? ", and parks at a crash," : "");
	if ((plan.probes || plan.calls) && !plan.sabotage)
		printf("%s %u - hits%s were told of\n", idle ? "not ok" : "ok", ++number, plan.calls ? " and returns" : "");
	if (plan.parks && !plan.sabotage)
		printf("%s %u - victims with traps were parked\n", idle ? "not ok" : "ok", ++number);
	printf("1..%u\n# %u victims, %u harmed\n", number, sum.victims, sum.harmed);
	return sum.harmed || idle ? 1 : 0;
}
