/* SPDX-License-Identifier: BSD-2-Clause */
/* A library that holds main, for a program that holds nothing. */
#include "main_address.c"
