/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * output_chrome.h - the Trace Event Format: an array of objects, that Perfetto and chrome://tracing open
 */
#ifndef TOOLS_OUTPUT_CHROME_H
#define TOOLS_OUTPUT_CHROME_H

#include "json.h"
#include "output.h"

/* json_begin() of the next object of the array. */
void chrome_begin(struct json *json, struct output *output);

#endif
