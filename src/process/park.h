/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * process/park.h - parks whenever they are wanted, for the library's own use and for tests that link the rooms
 *
 * The public breakpoint interface stands on this; it is not exported. Threads: any.
 */
#ifndef PROCESS_PARK_H
#define PROCESS_PARK_H

struct tether;

/*
 * Have a running victim parked; one that is parked stays so. Returns as soon as the controller has begun: the PARKED
 * event tells when every thread stands, and not before it may tether_continue() be called, which would find a victim
 * that is not parked yet and leave it to park. 0 or a negative code, as tether_continue().
 */
int process_park(struct tether *process);

#endif
