/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where a reference is when it is in one place only: programs in assembler that
 * take it out of a spot in memory, where it is inverted, and keep it nowhere else.
 * The spot is at an address that needs no register.
 */
#ifndef _TESTS_USER_SPOT_H
#define _TESTS_USER_SPOT_H

#include <linux/types.h>

#define SPOT_ADDRESS	0x10000000
#define SPOT_STR_(x)	#x
#define SPOT_STR(x)	SPOT_STR_(x)
#define SPOT		SPOT_STR(SPOT_ADDRESS)

/* What the assembler knows of struct spot. */
#define HIDDEN		SPOT " "
#define HELD		SPOT " + 8"
#define RELEASED	SPOT " + 12"
#define BACK		SPOT " + 16"
#define SAVED		SPOT " + 24"

struct spot {
	__u64 hidden;			/* address of the object, inverted */
	__u32 held;			/* it is in its place, and nowhere else */
	__u32 released;			/* and need not be any longer */
	__u64 back;			/* what was found there in the end */
	__u64 saved;			/* the register that it is in, before */
};

/* Waits to be released, in user mode. */
#define SPIN \
	"movl $1, " HELD "\n" \
	"1: pause\n" \
	"cmpl $0, " RELEASED "\n" \
	"je 1b\n"

/* The same in futex(RELEASED, FUTEX_WAIT, 0, NULL). */
#define SLEEP \
	"movl $1, " HELD "\n" \
	"1: movl $202, %%eax\n" \
	"movl $" RELEASED ", %%edi\n" \
	"xorl %%esi, %%esi\n" \
	"xorl %%edx, %%edx\n" \
	"xorl %%r10d, %%r10d\n" \
	"syscall\n" \
	"cmpl $0, " RELEASED "\n" \
	"je 1b\n"

#define CLOBBERS "rax", "rcx", "rdx", "rsi", "rdi", "r10", "r11", "memory", "cc"

#endif /* _TESTS_USER_SPOT_H */
