/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * base/types.h - words that every room uses
 */
#ifndef BASE_TYPES_H
#define BASE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* An address in a victim. Never a pointer here: nothing may dereference it by accident. */
typedef uint64_t vaddr_t;

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define PRINTF_LIKE(string, first) __attribute__((format(printf, string, first)))

#endif
