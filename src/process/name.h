/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * process/name.h - naming a victim's addresses, for the rest of the library
 */
#ifndef PROCESS_NAME_H
#define PROCESS_NAME_H

#include <tether/tether.h>

struct view;

/* Of which image an address is: a serial, or this: the one that runs now, then those before it. */
#define IMAGE_ANY UINT64_MAX

/*
 * As tether_symbol_at(); flags: TETHER_SYMBOL_RAW or 0. table->lock must not be held by the caller; it is taken for
 * moments only, never while a file is read. Any thread, the control thread too; but a table that is not made yet is
 * made here, which takes milliseconds: never while a victim waits for it.
 */
int process_name(struct tether *process, uint64_t image, uint64_t address, uint32_t flags, struct tether_symbol *ret,
		 char *buffer, size_t length);

/* The same of an address that was seen in an object of view, which may have been unloaded since. */
int process_name_seen(struct tether *process, struct view *view, uint64_t image, uint64_t address, uint32_t flags,
		      struct tether_symbol *ret, char *buffer, size_t length);

#endif
