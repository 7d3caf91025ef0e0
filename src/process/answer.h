/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * process/answer.h - what the calls of <tether/symbol.h> share
 */
#ifndef PROCESS_ANSWER_H
#define PROCESS_ANSWER_H

#include "process/handle.h"
#include "process/names.h"

/* What a caller hands in for an answer. */
struct request {
	uint32_t flags;
	struct tether_symbol *ret;
	char *buffer;
	size_t length;
	const struct symbol_fetching *fetching; /* or NULL */
};
enum { SMALLEST_ANSWER = offsetof(struct tether_symbol, address) };

/* symbol NULL: none covers the address. object NULL: code made at run time. Strings are left NULL. */
void answer_describe(struct tether_symbol *answer, const struct looking *looking, const struct view_object *object,
		     const struct symbol *symbol, uint64_t address);
/* The same into the caller's struct, strings into its buffer. */
void answer(const struct request *request, const struct looking *looking, const struct view_object *object,
	    const struct symbol *symbol, uint64_t address);
bool answer_is_global(const struct symbol *symbol);

/* 0 or -TETHER_EINVALID. */
int answer_options(struct tether_symbol_opts *opts, const struct tether_symbol_opts *given);
/*
 * A public call: counted, so that the session stays; the lock is not kept, as files are read. As table_enter(), and
 * -TETHER_ESTATE: the flags want to fetch while the session holds a process. fetching: the caller's, until answer_end().
 */
int answer_begin(struct tether *process, uint32_t flags, struct symbol_fetching *fetching);
void answer_let_fetch(struct looking *looking, const struct symbol_fetching *fetching);
void answer_end(struct tether *process);

#endif
