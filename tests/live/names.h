/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * names.h - asking for names of what a victim "named" tells
 */
#ifndef LIVE_NAMES_H
#define LIVE_NAMES_H

#include "harness.h"

/* One answer. */
struct answer {
	struct tether_symbol symbol; /* strings in static buffers, the last 8 live */
	int result;
};

struct answer name_of(struct tether *process, uint64_t address, const struct tether_symbol_opts *opts);
struct answer address_of(struct tether *process, const char *name, const struct tether_symbol_opts *opts);
/* The name of address is this one, at this offset. */
void check_name(struct tether *process, uint64_t address, const char *name, uint64_t offset);
/* The victim's next line is "address WHAT 0x...". */
uint64_t read_address(struct victim *victim, const char *what);
/* Say word, read the address that it tells, and "done". */
uint64_t ask_address(struct victim *victim, const char *word, const char *what);
struct tether *observe(struct client *client, pid_t pid);
/* A copy of a file beside the victims in a fresh folder of the test; static buffers, the last 4 live. */
const char *copy_of(const char *name, const char *as);
void copy_over(const char *name, const char *path);
/* The copy, if it is there still, and its folder. */
void remove_copy(const char *path);

#endif
