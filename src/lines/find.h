/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lines/find.h - where the debug information of a stripped file is kept
 */
#ifndef LINES_FIND_H
#define LINES_FIND_H

#include "lines/lines.h"

/* The usual places, the victim's root before our own; each may hold nothing, or another's. */
enum { FIND_PLACES = 8 };
/* A descriptor of the file in one of them, verified by build-id or by the checksum of .gnu_debuglink; or -1. */
int find_debug_file(const struct lines_source *source, unsigned place);

#endif
