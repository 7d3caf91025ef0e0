/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

struct error_row {
	int value;
	const char *name, *text, *cure;
};

static const struct error_row rows[] = {
#define X(value, name, text, cure) { value, #name, text, cure },
	TETHER_ERRORS(X)
#undef X
};

/* A caller may hand in anything: INT_MIN has no positive counterpart. */
static int positive(int code)
{
	return code == INT_MIN ? INT_MAX : abs(code);
}

static const struct error_row *row_of(int code)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].value == positive(code))
			return &rows[i];
	return NULL;
}

const char *tether_strerror(int code)
{
	const struct error_row *row = row_of(code);
	const char *text = row ? row->text : strerrordesc_np(positive(code));

	return text ? text : "unknown error";
}

const char *tether_error_name(int code)
{
	const struct error_row *row = row_of(code);
	const char *name = row ? row->name : strerrorname_np(positive(code));

	return name ? name : "EUNKNOWN";
}

const char *tether_error_cure(int code)
{
	const struct error_row *row = row_of(code);

	return row ? row->cure : "";
}

int error_check(const struct tether_error *err)
{
	return !err || err->size >= sizeof(*err) ? 0 : -TETHER_EINVALID;
}

int error_fill(struct tether_error *err, int code, const struct error_details *details, const char *what, ...)
{
	code = positive(code);
	if (!err || error_check(err))
		return -code;

	size_t size = err->size;
	memset(err, 0, sizeof(*err));
	err->size = size;
	err->code = code;
	if (details) {
		err->pid = details->pid;
		err->other_pid = details->other_pid;
		err->system_error = details->system_error;
		err->status = details->status;
		if (details->path)
			snprintf(err->path, sizeof(err->path), "%s", details->path);
	}

	va_list arguments;
	va_start(arguments, what);
	int used = vsnprintf(err->message, sizeof(err->message), what, arguments);
	va_end(arguments);
	if (used < 0 || (size_t)used >= sizeof(err->message))
		return -code;

	const char *cure = details && details->cure ? details->cure : tether_error_cure(code);
	char *rest = err->message + used;
	size_t room = sizeof(err->message) - (size_t)used;
	if (err->system_error && err->system_error != code)
		snprintf(rest, room, ": %s: %s%s%s", tether_strerror(code), tether_strerror(err->system_error),
			 *cure ? "; " : "", cure);
	else
		snprintf(rest, room, ": %s%s%s", tether_strerror(code), *cure ? "; " : "", cure);
	return -code;
}

int options_copy(void *to, size_t known, const void *from)
{
	memset(to, 0, known);
	if (!from)
		return 0;

	size_t given;
	memcpy(&given, from, sizeof(given));
	if (given < sizeof(given))
		return -TETHER_EINVALID;
	for (size_t i = known; i < given; i++)
		if (((const unsigned char *)from)[i])
			return -TETHER_EINVALID;
	memcpy(to, from, given < known ? given : known);
	memcpy(to, &known, sizeof(known));
	return 0;
}
