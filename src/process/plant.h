/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * process/plant.h - breakpoints by address, for the library's own use and for tests that link the rooms
 *
 * Beside the public breakpoints (src/probe), whose part of a site stays apart from these; not exported. Threads: any.
 */
#ifndef PROCESS_PLANT_H
#define PROCESS_PLANT_H

#include "base/types.h"

struct tether;

/*
 * Plant a trap that is only counted at each address (recipe made by src/decode). 0, or the first failure as a
 * negative code; those planted before it stay.
 */
int process_plant(struct tether *process, const vaddr_t *address, size_t count);
/* Take them out again. Hits already on their way are owned by the controller and harmless. */
int process_lift(struct tether *process, const vaddr_t *address, size_t count);

#endif
