/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * message.h - one line to a person on standard error, "tether: …", with a single write(2)
 */
#ifndef TOOLS_MESSAGE_H
#define TOOLS_MESSAGE_H

void message(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
