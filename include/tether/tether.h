/* SPDX-License-Identifier: BSD-2-Clause */
/**
 * tether/tether.h - hold a process without harming it: includes every public header
 */
#ifndef TETHER_TETHER_H
#define TETHER_TETHER_H

#include <tether/breakpoint.h>
#include <tether/diagnose.h>
#include <tether/error.h>
#include <tether/event.h>
#include <tether/memory.h>
#include <tether/object.h>
#include <tether/process.h>
#include <tether/registers.h>
#include <tether/session.h>
#include <tether/stack.h>
#include <tether/symbol.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * tether_version - the version of the library, "0.1.0"
 * Return: a static string
 * Threads: any; in a handler and in a forked child: yes
 * See: tether(1)
 */
TETHER_API const char *tether_version(void);

#ifdef __cplusplus
}
#endif
#endif
