/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * caller.h - who has asked for an object to be loaded: the first frame that is neither the linker's nor the C library's
 */
#ifndef TOOLS_CALLER_H
#define TOOLS_CALLER_H

#include <stdbool.h>
#include <tether/tether.h>

#include "buffer.h"

/* "python3.11`_PyImport_LoadDynamicModuleWithSpec+0x1b4". False: nothing is written, nobody is found. */
bool caller_write(struct buffer *out, const struct tether_stack *stack);

#endif
