/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * output_hist.h - how long calls took, by powers of two
 */
#ifndef TOOLS_OUTPUT_HIST_H
#define TOOLS_OUTPUT_HIST_H

#include "json.h"
#include "output_count.h"

/* Lines below that of the function. */
void hist_text(struct output *output, const struct output_count *count);
/* Members of its record. */
void hist_json(struct json *json, const struct output_count *count);

#endif
