/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * base/error.h - filling the caller's struct tether_error
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <tether/error.h>

#include "base/types.h"

struct error_details {
	int64_t pid, other_pid;
	int system_error, status;
	const char *path;
	const char *cure; /* one for this very case; NULL: that of the code */
};

/*
 * Compose "<what>: <text of code>; <cure>" and fill err (NULL is allowed, details may be NULL). what is a
 * printf format that names the deed: "cannot grab %d". code may be given with either sign.
 * Return: -|code|, so that a function can end with `return error_fill(...)`.
 */
int error_fill(struct tether_error *err, int code, const struct error_details *details, const char *what, ...)
	PRINTF_LIKE(4, 5);

/* Is err usable: NULL or with a size we know? 0 or -TETHER_EINVALID. */
int error_check(const struct tether_error *err);

/* Option structs: copy what the caller has, refuse unknown bytes that are not zero. 0 or -TETHER_EINVALID. */
int options_copy(void *to, size_t known, const void *from);

#endif
