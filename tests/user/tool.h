/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Running karenactl, and looking at what it says.  No output of it may have an address of
 * the kernel: each is searched.
 */
#ifndef _TESTS_USER_TOOL_H
#define _TESTS_USER_TOOL_H

#include <stdbool.h>

/* What the last command has written, errors too. */
extern char tool_text[4 << 20];

/* Exit status of a command. */
int run(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Whether it has written that, with a check. */
bool says(const char *what);
/* The first number of its JSON with this name, or -1. */
long long json(const char *name);

#endif /* _TESTS_USER_TOOL_H */
