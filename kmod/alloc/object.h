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

/* State of an object that is out of its span, which therefore stays. */
static __always_inline u8 *state_of(struct karena_heap *heap, unsigned long addr)
{
	struct karena_span *span = karena_span_at(heap, addr);

	return &span->state[karena_span_index(span, addr - span->base)];
}

/*
 * The object is whole.  In a user heap not before it is clear, as a wrong free
 * may make it another's at once.
 */
static __always_inline void set_live(struct karena_heap *heap, unsigned long addr, bool user)
{
	if (!user)
		return;
	/* Pairs with the cmpxchg in claim_live(). */
	smp_store_release(state_of(heap, addr), KARENA_LIVE);
}

/* Makes an object from a magazine the caller's, unless it is somebody's already. */
static __always_inline bool claim_cached(struct karena_heap *heap, unsigned long addr, bool user)
{
	if (user)
		return READ_ONCE(*state_of(heap, addr)) == KARENA_CACHED;
	return karena_unseal(addr, karena_secret);
}

/*
 * Makes the object of a size class that begins at @addr the caller's, to be put
 * into a magazine; returns its central.  If it is anything else, nothing is
 * changed and NULL comes back.  Call with preemption off, which keeps the span.
 */
static __always_inline struct karena_central *claim_live(struct karena_heap *heap,
							 unsigned long addr, bool user)
{
	struct karena_span *span = karena_span_at(heap, addr);
	bool claimed;
	u32 offset;

	if (unlikely(!span || span->heap != heap || !span->central))
		return NULL;
	offset = addr - span->base;
	if (user)
		claimed = karena_is_start(offset, span->magic) &&
			  cmpxchg(&span->state[karena_span_index(span, offset)],
				  KARENA_LIVE, KARENA_CACHED) == KARENA_LIVE;
	else
		claimed = !span->state && karena_claim(span, addr, karena_secret);
	return likely(claimed) ? span->central : NULL;
}

#endif /* _KARENA_ALLOC_OBJECT_H */
