/* SPDX-License-Identifier: BSD-2-Clause */
/* Part of a program whose main comes from a library. */
extern int nothing;
int nothing;
