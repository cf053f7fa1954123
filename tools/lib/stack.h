/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0 */
/* libkarena and libkarena-malloc, sampled objects: stack.c. */
#ifndef KARENA_STACK_H
#define KARENA_STACK_H

#include <stdint.h>
#include <linux/karena.h>

/* Tells the kernel which calls have led to an object that it samples. */
__attribute__((visibility("hidden"))) void karena_tell_stack(int fd, const void *object);

/* Whether an object that the kernel has just given may be sampled: it lies so then. */
static inline int karena_may_be_sampled(const void *object)
{
	return (uintptr_t)object % KARENA_PAGE_SIZE == 0;
}

#endif /* KARENA_STACK_H */
