/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * output.h - events as records: for eyes (text) or for programs (jsonl)
 *
 * The header record is first and the summary is last. Events that were not asked for are left out here, so a
 * caller hands in all that it gets. Diagnostics for people go to standard error in any case; where jsonl goes
 * there too, they are error records instead, so that a reader of it meets nothing else.
 */
#ifndef TOOLS_OUTPUT_H
#define TOOLS_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>
#include <tether/tether.h>

#include "family.h"
#include "sink.h"

enum output_format { OUTPUT_TEXT, OUTPUT_JSONL, OUTPUT_FOLDED /* of stacks alone */, OUTPUT_CHROME /* of calls */ };
enum output_color { OUTPUT_COLOR_AUTO, OUTPUT_COLOR_ALWAYS, OUTPUT_COLOR_NEVER };

struct output_options {
	const char *path; /* NULL: standard error */
	enum output_format format;
	enum output_color color;
	uint64_t events; /* set of TETHER_EVENT_BIT(); 0: those that the format shows by itself */
	uint64_t stacks; /* the same: shown with their stack */
	bool quiet;      /* errors only */
	bool env;        /* with each exec, what its environment changed */
	bool cmdline;    /* with each exec, a line for sh */
};

struct output_sources;

struct output {
	const struct output_writer *writer;
	struct output_options options;
	struct sink sink;
	uint64_t start_ns; /* CLOCK_MONOTONIC of the header record */
	uint64_t last_ns;  /* t_ns of the newest record */
	uint64_t wanted;   /* set of TETHER_EVENT_BIT() that is written */
	const char *caller; /* of the event that is being shown, who has asked for it; NULL: not known */
	bool color, unicode;
	bool complained; /* the sink's failure was reported */
	bool begun;      /* chrome: a record was written */
	/* Source lines of the frames of stacks (output_symbol.h). NULL: without. */
	void (*ask_sources)(const struct output *output, const struct tether_frame *frame, struct output_sources *ret);
	struct tether *sources_of; /* for it: whose frames they are */
	uint32_t sources_flags; /* enum tether_symbol_opt, for it */
	int columns;     /* of text */
};

/* How a process ended that nobody held. */
struct output_ending {
	int64_t pid;
	uint64_t t_ns;      /* CLOCK_MONOTONIC */
	const char *name;   /* of the process, "" when it is not known */
	const char *unknown; /* why it is not known how it ended, NULL: it is */
	int code, signal;
	bool core;
};

/* A process that a command has started, as it is now. */
struct output_process {
	int64_t pid, parent;
	uint64_t t_ns;           /* CLOCK_MONOTONIC */
	unsigned depth;          /* steps below the command */
	char state;              /* letter of proc(5) */
	const char *const *argv; /* NULL-terminated; its name alone where it has no arguments any more */
};

/* One reason of a verdict, kept. */
struct output_reason {
	const char *cause; /* static */
	uint32_t forbids;
	char *detail, *cure;
};

struct output_verdict {
	int64_t pid;      /* 0: the machine */
	const char *name; /* of the process, "" when it is not known */
	uint32_t access;  /* set of enum tether_access */
	const struct output_reason *reasons;
	size_t count;
};

/* What a format is. process is what the command knows of the event's process, before the event; it may be
 * NULL. */
struct output_writer {
	uint64_t shows; /* without -e */
	void (*header)(struct output *output, char *const *argv);
	void (*event)(struct output *output, const struct tether_event *event, const struct process *process);
	void (*ending)(struct output *output, const struct output_ending *ending);
	void (*process)(struct output *output, const struct output_process *process);
	/* A command has not ended in its time: how many processes it has started that live. */
	void (*overdue)(struct output *output, const struct output_process *command, uint64_t timeout_ns, size_t count);
	void (*object)(struct output *output, int64_t pid, const struct tether_object *object);
	void (*verdict)(struct output *output, const struct output_verdict *verdict);
	void (*summary)(struct output *output, const struct tether_stats *stats);
	void (*error)(struct output *output, const char *code, const char *message, const char *cure);
};

extern const struct output_writer output_text, output_jsonl, output_folded, output_chrome;

/* Says itself what is wrong. False: nothing was opened. argv: of this program, for the header. */
bool output_open(struct output *output, const struct output_options *options, char *const *argv);
void output_event(struct output *output, const struct tether_event *event, const struct process *process);
/* Results of the subcommands that follow nobody; none with -q. */
void output_ending(struct output *output, const struct output_ending *ending);
void output_process(struct output *output, const struct output_process *process);
void output_overdue(struct output *output, const struct output_process *command, uint64_t timeout_ns, size_t count);
void output_object(struct output *output, int64_t pid, const struct tether_object *object);
void output_verdict(struct output *output, const struct output_verdict *verdict);
void output_summary(struct output *output, const struct tether_stats *stats);
/* A failure of the library: code as it returned it, error with the details or NULL. */
void output_failure(struct output *output, const char *what, int code, const struct tether_error *error);
/* A failure in our own words. */
void output_error(struct output *output, const char *code, const char *message, const char *cure);
/* For people, not a record: left out with -q and where it would stand between records for programs. */
void output_note(struct output *output, const char *format, ...) __attribute__((format(printf, 2, 3)));
void output_flush(struct output *output);
/* Records can no longer be written. */
bool output_broken(const struct output *output);
/* False: not all records were written. */
bool output_close(struct output *output);

/* What all formats say the same way. */
const char *signal_name(int signal, char room[16]);
const char *fork_kind_name(uint32_t kind);
const char *mode_name(uint32_t mode);

#endif
