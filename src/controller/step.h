/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * controller/step.h - what running one foreign instruction, in place or injected, has in common
 */
#ifndef CONTROLLER_STEP_H
#define CONTROLLER_STEP_H

#include "base/types.h"

/* Signals that are kept away meanwhile: all but those that an instruction itself can raise. */
uint64_t step_mask(void);

#endif
