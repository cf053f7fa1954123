/* SPDX-License-Identifier: GPL-2.0 */
/* A control group with little memory, and files of one number. */
#ifndef _TESTS_USER_GROUP_H
#define _TESTS_USER_GROUP_H

#include <linux/types.h>
#include <stdbool.h>

bool write_number(const char *path, __u64 number);
/* Value behind @key ("" for a file of one number), -1 without. */
__s64 read_number(const char *path, const char *key);

/* A fresh group with @max bytes and no swap; skips the case where there can be none. */
bool group_open(__u64 max);
/* Nobody is in it any more, and nobody was killed for lack of memory. */
void group_close(void);
/* Path of a file of it, until the next call. */
const char *in_group(const char *file);
/* The caller goes there, with all of its memory in place. */
bool enter_group(void);

#endif /* _TESTS_USER_GROUP_H */
