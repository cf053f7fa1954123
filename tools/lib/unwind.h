/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0 */
/* libkarena and libkarena-malloc, which calls have led here: unwind.c. */
#ifndef KARENA_UNWIND_H
#define KARENA_UNWIND_H

#include <linux/types.h>

/*
 * The calls that led to the caller's call of it, from the inside, @room at most; how many.
 * Async-signal-safe, if what reads tables for exceptions is.
 */
__attribute__((visibility("hidden")))
unsigned int karena_backtrace(__u64 *frame, unsigned int room);

#endif /* KARENA_UNWIND_H */
