/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What single and bulk calls share: which way a request goes, and making the
 * object at an address the caller's.  Inline, for the same reason as fast.h.
 */
#ifndef _KARENA_ALLOC_OBJECT_H
#define _KARENA_ALLOC_OBJECT_H

#include <linux/mm.h>

#include "internal.h"

static __always_inline bool wants_zero(unsigned int flags, gfp_t gfp)
{
	return !(flags & KARENA_NOZERO) || want_init_on_alloc(gfp);
}

static __always_inline void clear(struct karena_heap *heap, unsigned long addr,
				  size_t size, bool user)
{
	if (user)
		heap->backing->clear(heap, addr, size);
	else
		memset((void *)addr, 0, size);
}

/* What of a caller's flags is for the page allocator and the like. */
static inline gfp_t karena_gfp(const struct karena_heap *heap, gfp_t gfp)
{
	return (gfp & ~(GFP_ZONEMASK | __GFP_COMP | __GFP_NOFAIL | __GFP_ZERO)) | heap->gfp;
}

static __always_inline bool is_unusual(size_t size, unsigned int flags)
{
	return size > KARENA_MAX_SMALL ||
	       (flags & KARENA_NOSCAN && size < KARENA_TINY_SIZE);
}

static __always_inline unsigned int spc_of(size_t size, unsigned int flags)
{
	return KARENA_SPC(karena_size_to_class(size), flags & KARENA_NOSCAN);
}

/* What is to be freed: a slot that is the caller's. */
struct claim {
	u8 *state;
	struct karena_central *central;
};

/*
 * Makes the object of a size class that begins at @addr the caller's, CACHED.
 * If it is anything else, nothing is changed and false comes back.  Call with
 * preemption off, which keeps the span.
 */
static __always_inline bool claim_fast(struct karena_heap *heap, unsigned long addr,
				       struct claim *c, bool user)
{
	struct karena_span *span = karena_span_at(heap, addr);

	if (unlikely(!span || span->heap != heap || !span->central))
		return false;
	c->central = span->central;
	c->state = karena_span_state(span, addr);
	if (unlikely(!c->state))
		return false;
	if (user)
		return cmpxchg(c->state, KARENA_LIVE, KARENA_CACHED) == KARENA_LIVE;
	return karena_claim(c->state);
}

#endif /* _KARENA_ALLOC_OBJECT_H */
