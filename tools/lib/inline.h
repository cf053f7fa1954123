/* SPDX-License-Identifier: LGPL-2.1-or-later OR GPL-2.0 */
/*
 * libkarena, what programs have inline: objects of sizes that the compiler knows, and of
 * registered types, without a call.  <karena.h> brings it where the compiler can do it;
 * KARENA_NO_INLINE, defined before, keeps it out.
 */
#ifndef KARENA_INLINE_H
#define KARENA_INLINE_H

#include "cache.h"
#include "scope.h"

#if defined(KARENA_HAS_FAST) && defined(__OPTIMIZE__)

#define KARENA_MOST_INLINE	1024	/* bytes, to be cleared where it is asked for */

static inline __attribute__((__always_inline__, __alloc_size__(2), __warn_unused_result__))
KARENA_ESCAPE(karena_allocator, karena_noescape(1), karena_scoped("karena_frame_alloc")) void *
karena_alloc_inline(struct karena *heap, size_t size)
{
	/* It is the first member of a heap. */
	const struct karena_fast *fast = (const struct karena_fast *)(const void *)heap;
	void *object = NULL;

	if (__builtin_constant_p(size) && size - 1 < KARENA_MOST_INLINE && fast->magazines)
		object = karena_fast_take(fast, karena_magazine_for(size));
	if (__builtin_expect(!object, 0))
		return (karena_alloc)(heap, size);
	if (!fast->collected)
		__builtin_memset(object, 0, size);
	return object;
}

#define karena_alloc(...)	karena_alloc_inline(__VA_ARGS__)

static inline KARENA_ESCAPE(karena_allocator(2), karena_noescape(1),
			    karena_scoped("karena_frame_new")) void *
karena_new_inline(struct karena *heap, struct karena_type type)
{
	const struct karena_fast *fast = (const struct karena_fast *)(const void *)heap;
	void *object = karena_cache_take(fast, type.id);

	return __builtin_expect(!object, 0) ? (karena_new)(heap, type) : object;
}

#define karena_new(...)		karena_new_inline(__VA_ARGS__)

#endif

#if defined(__OPTIMIZE__)

static inline __attribute__((__always_inline__, __alloc_size__(2), __warn_unused_result__))
KARENA_ESCAPE(karena_allocator("fixed"), karena_noescape(1)) void *
karena_scope_alloc_inline(struct karena_scope *scope, size_t size)
{
	void *object = karena_region_take(scope->region, size);

	return __builtin_expect(!object, 0) ? (karena_scope_alloc)(scope, size) : object;
}

#define karena_scope_alloc(...)	karena_scope_alloc_inline(__VA_ARGS__)

static inline KARENA_ESCAPE(karena_allocator("fixed"), karena_noescape(1)) void *
karena_scope_new_inline(struct karena_scope *scope, struct karena_type type)
{
	void *object = karena_region_take(scope->region, type.element);

	return __builtin_expect(!object, 0) ? (karena_scope_new)(scope, type) : object;
}

#define karena_scope_new(...)	karena_scope_new_inline(__VA_ARGS__)

#endif

#endif /* KARENA_INLINE_H */
