/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0 */
/*
 * libkarena, memory that scopes take their objects from: what programs have inline of
 * it.
 *
 * The layout is that of the library's version; nothing of it is for programs to use.
 */
#ifndef KARENA_SCOPE_H
#define KARENA_SCOPE_H

#include <stddef.h>

#define KARENA_SCOPE_UNIT	16	/* objects begin at multiples of it */

struct karena_scope;
struct karena_tail;

/*
 * Zeroed memory, from @next to @end.  For scopes with a promise it is that of one scope,
 * with what has to be done at its close; else that of a thread.
 */
struct karena_region {
	char *next;
	char *end;
	struct karena_tail *own;	/* chunks, that with @next first */
	struct karena_tail *large;	/* objects with a chunk of their own */
	const struct karena_scope *scope;	/* NULL: there is none */
	int stores;		/* karena_store() tells what lives on */
	int escaped;		/* and it has told of something */
};

/* Whether an object fits; of a size that the compiler knows, no sum can overflow. */
static inline int karena_region_has(const struct karena_region *region, size_t size, size_t bytes)
{
	if (__builtin_constant_p(size) && size - 1 < KARENA_PAGE_SIZE)
		return (__UINTPTR_TYPE__)region->next + bytes <= (__UINTPTR_TYPE__)region->end;
	return size - 1 < (size_t)(region->end - region->next);
}

/* NULL if it does not fit, which 0 bytes never do. */
static inline void *karena_region_take(struct karena_region *region, size_t size)
{
	size_t bytes = (size + KARENA_SCOPE_UNIT - 1) & -(size_t)KARENA_SCOPE_UNIT;
	char *object = region->next;

	if (__builtin_expect(!karena_region_has(region, size, bytes), 0))
		return NULL;
	/* In a register before the region is beyond it. */
	__asm__ __volatile__("" : "+r"(object) : : "memory");
	region->next = object + bytes;
	if (!object)
		__builtin_unreachable();
	return object;
}

#endif /* KARENA_SCOPE_H */
