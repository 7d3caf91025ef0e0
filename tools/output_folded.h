/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * output_folded.h - stacks as flame graph programs read them: thread;outermost;...;innermost COUNT
 */
#ifndef TOOLS_OUTPUT_FOLDED_H
#define TOOLS_OUTPUT_FOLDED_H

#include <tether/stack.h>

#include "buffer.h"

/* A name as a part of a line: what would end the part, or the line, is shown as something else. */
void folded_bytes(struct buffer *out, const char *text);
/* A stack, without its count. */
void folded_stack(struct buffer *out, const struct tether_stack *stack);

#endif
