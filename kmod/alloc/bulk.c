// SPDX-License-Identifier: GPL-2.0
/*
 * Bulk calls, of kernel code and for programs: many objects for one entry into a CPU's
 * cache, or one hold of a central's lock.
 */
#include <linux/export.h>
#include <linux/nospec.h>

#include "object.h"

/* Longest stretch with preemption off, in objects. */
#define BATCH	128u

/* Takes up to @count sound objects from the loaded magazine. */
static __always_inline unsigned int take_slots(struct karena_mcache *mc, unsigned int count,
					       unsigned long *addrs)
{
	unsigned int n, most = min_t(unsigned long, count, mc->top - mc->loaded->slot);
	unsigned long addr, secret = karena_secret, *top = mc->top;

	for (n = 0; n < most; n++) {
		addr = *(top - n - 1);
		if (unlikely(!karena_unseal(addr, secret)))
			break;
		addrs[n] = addr;
	}
	mc->top = top - n;
	mc->allocs += n;
	return n;
}

/* Objects from this CPU's magazine, as many as are there and sound. */
static unsigned int take_batch(struct karena_central *central, unsigned int count,
			       unsigned long *addrs)
{
	struct karena_mcache *mc;
	unsigned int n = 0;

	preempt_disable();
	mc = this_cpu_ptr(central->cache);
	if (mcache_enter(mc)) {
		if (karena_mcache_get_full(central, mc))
			n = take_slots(mc, count, addrs);
		mcache_exit(mc);
	}
	preempt_enable();
	return n;
}

/* Objects in one go, cleared if need be; none if the fast path has none. */
static unsigned int alloc_batch(struct karena_heap *heap, size_t size, unsigned int flags,
				gfp_t gfp, unsigned int count, unsigned long *addrs)
{
	struct karena_central *central;
	unsigned int n, i;

	if (is_unusual(size, flags))
		return 0;
	/* Pairs with the cmpxchg in karena_central_get(). */
	central = READ_ONCE(heap->central[spc_of(size, flags)]);
	if (!central)
		return 0;
	n = take_batch(central, min(count, BATCH), addrs);
	if (wants_zero(flags, gfp))
		for (i = 0; i < n; i++)
			clear(heap, addrs[i], central->size, false);
	return n;
}

/**
 * karena_alloc_bulk - allocate objects of one size
 * @heap: heap to take them from
 * @size: size of each, as for karena_alloc()
 * @flags: as for karena_alloc()
 * @gfp: as for karena_alloc()
 * @count: how many
 * @objects: gets them
 *
 * Context: as karena_alloc().
 * Return: @count, or 0 if there were not that many; then none is allocated.
 */
unsigned int karena_alloc_bulk(struct karena_heap *heap, size_t size, unsigned int flags,
			       gfp_t gfp, unsigned int count, void **objects)
{
	unsigned long *addrs = (unsigned long *)objects;
	unsigned int n = 0, got;

	while (n < count) {
		got = alloc_batch(heap, size, flags, gfp, count - n, addrs + n);
		if (!got) {
			objects[n] = karena_alloc(heap, size, flags, gfp);
			got = !!objects[n];
		}
		if (!got) {
			karena_free_bulk(heap, n, objects);
			return 0;
		}
		n += got;
	}
	return n;
}
EXPORT_SYMBOL_GPL(karena_alloc_bulk);

/*
 * Puts up to @count objects, of which the first is in @span, into the loaded
 * magazine, which has room for them; returns how many, up to the first that is
 * not of the same central.  Objects freed together are often neighbours, so the
 * span of the last one is tried first.
 */
static __always_inline unsigned int give_slots(struct karena_mcache *mc, struct karena_span *span,
					       unsigned int count, void **objects)
{
	const struct karena_central *central = span->central;
	struct karena_pagemap *map = central->heap->map;
	unsigned long map_base = central->heap->base, secret = karena_secret;
	unsigned long addr, base = span->base, *slot = mc->top;
	u32 magic = span->magic, bytes = span->size * span->nelems;
	unsigned int n;

	for (n = 0; n < count; n++) {
		addr = (unsigned long)objects[n];
		if (addr - base >= bytes) {
			span = karena_map_span(map, map_base, addr);
			if (unlikely(!span || span->central != central))
				break;
			base = span->base;
		}
		if (unlikely(!karena_is_start(addr - base, magic) ||
			     karena_is_sealed(addr, secret)))
			break;
		karena_seal(addr, secret);
		*slot++ = addr;
	}
	mc->top = slot;
	return n;
}

/* Frees objects while they are of the first one's central and this CPU has room. */
static unsigned int give_batch(struct karena_heap *heap, unsigned int count, void **objects)
{
	struct karena_span *span;
	struct karena_mcache *mc;
	unsigned int n = 0;

	preempt_disable();
	span = karena_span_at(heap, (unsigned long)objects[0]);
	if (!span || span->heap != heap || !span->central || span->state)
		goto out;
	mc = this_cpu_ptr(span->central->cache);
	if (mcache_enter(mc)) {
		if (karena_mcache_get_room(span->central, mc))
			n = give_slots(mc, span, min_t(unsigned long, count, mc->end - mc->top),
				       objects);
		mcache_exit(mc);
	}
out:
	preempt_enable();
	return n;
}

/**
 * karena_free_bulk - free objects
 * @heap: heap that they are of
 * @count: how many
 * @objects: the objects; NULL among them is skipped
 *
 * Context: as karena_free().
 * Return: how many of them were wrong frees.
 */
unsigned int karena_free_bulk(struct karena_heap *heap, unsigned int count, void **objects)
{
	unsigned int n = 0, got, wrong = 0;

	while (n < count) {
		got = want_init_on_free() ? 0 :
		      give_batch(heap, min(count - n, BATCH), objects + n);
		if (!got) {
			wrong += !karena_free(heap, objects[n]);
			got = 1;
		}
		n += got;
	}
	return wrong;
}
EXPORT_SYMBOL_GPL(karena_free_bulk);

/* --- for programs --- */

/* Objects from this CPU's magazine, as they are. */
static unsigned int take_cached(struct karena_central *central, unsigned int count,
				unsigned long *addrs)
{
	struct karena_mcache *mc;
	unsigned int n = 0;

	preempt_disable();
	mc = this_cpu_ptr(central->cache);
	if (mcache_enter(mc)) {
		if (karena_mcache_get_full(central, mc))
			n = min_t(unsigned long, count, mc->top - mc->loaded->slot);
		mc->top -= n;
		mc->allocs += n;
		/* In the order of a refill: neighbours one after the other. */
		memcpy(addrs, mc->top, n * sizeof(*addrs));
		mcache_exit(mc);
	}
	preempt_enable();
	return n;
}

/* Span at an address that a program gave, whatever the CPU guesses. */
static struct karena_span *span_at_given(struct karena_heap *heap, unsigned long addr)
{
	unsigned long size = heap->map->npages << KARENA_PAGE_SHIFT, offset = addr - heap->base;

	if (offset >= size)
		return NULL;
	return karena_span_at(heap, heap->base + array_index_nospec(offset, size));
}

/* Makes the live object at @addr in @span one for a magazine, as claim_live(). */
static __always_inline bool claim_in(struct karena_span *span, unsigned long addr)
{
	u32 offset = addr - span->base, index;

	if (unlikely(!karena_is_start(offset, span->magic)))
		return false;
	index = array_index_nospec(karena_span_index(span, offset), span->nelems + 1);
	return cmpxchg(&span->state[index], KARENA_LIVE, KARENA_CACHED) == KARENA_LIVE;
}

/* As give_slots(), for objects with states. */
static unsigned int give_live(struct karena_mcache *mc, struct karena_span *span,
			      unsigned int count, const unsigned long *addrs)
{
	struct karena_central *central = span->central;
	unsigned long base = span->base, bytes = (unsigned long)span->size * span->nelems;
	unsigned int n;

	for (n = 0; n < count; n++) {
		if (addrs[n] - base >= bytes) {
			span = span_at_given(central->heap, addrs[n]);
			if (!span || span->central != central)
				break;
			base = span->base;
		}
		if (unlikely(!claim_in(span, addrs[n])))
			break;
		mc->top[n] = addrs[n];
	}
	mc->top += n;
	return n;
}

/*
 * Frees objects of a user heap, while they are of the first one's central and this CPU has
 * room, as karena_free_addr() each; how many.  It is for that to free the next one, or to
 * say what is wrong with it.
 */
unsigned int karena_free_some(struct karena_heap *heap, unsigned int count,
			      const unsigned long *addrs)
{
	struct karena_span *span;
	struct karena_mcache *mc;
	unsigned int n = 0;

	if (want_init_on_free())
		return 0;
	preempt_disable();
	span = span_at_given(heap, addrs[0]);
	if (!span || span->heap != heap || !span->central)
		goto out;
	mc = this_cpu_ptr(span->central->cache);
	if (mcache_enter(mc)) {
		if (karena_mcache_get_room(span->central, mc))
			n = give_live(mc, span, min3((unsigned long)count, (unsigned long)BATCH,
						     (unsigned long)(mc->end - mc->top)), addrs);
		mcache_exit(mc);
	}
out:
	preempt_enable();
	return n;
}

/* How many of the objects are neighbours in a span, the first being @index, and cached. */
static unsigned int run_length(const struct karena_span *span, u32 index, unsigned int count,
			       const unsigned long *addrs)
{
	unsigned int most = min(count, span->nelems - index), n;

	for (n = 0; n < most; n++)
		if (addrs[n] != addrs[0] + (unsigned long)n * span->size ||
		    READ_ONCE(span->state[index + n]) != KARENA_CACHED)
			break;
	return n;
}

/* Clears neighbours and makes them the caller's. */
static void own_run(struct karena_span *span, u32 index, unsigned int n)
{
	u32 i = index, end = index + n;

	clear(span->heap, span->base + (unsigned long)index * span->size,
	      (size_t)n * span->size, true);
	/* As in set_live(). */
	smp_wmb();
	for (; i < end && i % 8; i++)
		WRITE_ONCE(span->state[i], KARENA_LIVE);
	for (; i + 8 <= end; i += 8)
		WRITE_ONCE(*(u64 *)&span->state[i], REPEAT_BYTE(KARENA_LIVE));
	for (; i < end; i++)
		WRITE_ONCE(span->state[i], KARENA_LIVE);
}

/* Clears objects that nobody has, and makes them the caller's; how many: see karena_take(). */
static unsigned int own_cleared(struct karena_heap *heap, unsigned int count, unsigned long *addrs)
{
	unsigned int i, n, sound = 0;
	struct karena_span *span;
	u32 index;

	for (i = 0; i < count; i += max(n, 1u)) {
		/* It stays: objects of it are cached. */
		span = karena_span_at(heap, addrs[i]);
		index = karena_span_index(span, addrs[i] - span->base);
		n = run_length(span, index, count - i, addrs + i);
		if (!n)
			karena_reject(heap, addrs[i], KARENA_REJECT_DOUBLE);
		own_run(span, index, n);
		if (sound < i)
			memmove(addrs + sound, addrs + i, n * sizeof(*addrs));
		sound += n;
	}
	return sound;
}

/* The same as they are: one by one, as those that were freed last are in no order. */
static unsigned int own_as_they_are(struct karena_heap *heap, unsigned int count,
				    unsigned long *addrs)
{
	unsigned int i, sound = 0;
	struct karena_span *span = NULL;
	unsigned long bytes = 0;
	u8 *state;

	for (i = 0; i < count; i++) {
		if (!span || addrs[i] - span->base >= bytes) {
			/* It stays, as above. */
			span = karena_span_at(heap, addrs[i]);
			bytes = (unsigned long)span->size * span->nelems;
		}
		state = &span->state[karena_span_index(span, addrs[i] - span->base)];
		if (likely(READ_ONCE(*state) == KARENA_CACHED)) {
			WRITE_ONCE(*state, KARENA_LIVE);
			addrs[sound++] = addrs[i];
		} else {
			karena_reject(heap, addrs[i], KARENA_REJECT_DOUBLE);
		}
	}
	return sound;
}

/*
 * Objects of a span class in a user heap: up to @count, and some unless memory is out.
 * As karena_alloc_addr() else.
 */
unsigned int karena_alloc_some(struct karena_central *central, unsigned int flags, gfp_t gfp,
			       unsigned int count, unsigned long *addrs)
{
	struct karena_heap *heap = central->heap;
	unsigned int n, sound;

	gfp = karena_gfp(heap, gfp);
	do {
		n = take_cached(central, count, addrs);
		if (!n) {
			n = karena_central_take(central, addrs, count, gfp);
			karena_central_count(central, n);
		}
		sound = wants_zero(flags, gfp) ? own_cleared(heap, n, addrs) :
						 own_as_they_are(heap, n, addrs);
	} while (n && !sound);
	if (!n)
		atomic64_inc(&heap->failed);
	return sound;
}

/* What this CPU's magazine has, each an extent of its own. */
static unsigned int cached_extents(struct karena_central *central, unsigned int most,
				   struct karena_extents *to)
{
	unsigned long addrs[KARENA_MAX_EXTENTS];
	unsigned int n, i;

	n = take_cached(central, min(most, to->room), addrs);
	n = own_cleared(central->heap, n, addrs);
	for (i = 0; i < n; i++)
		to->extent[i] = (struct karena_extent){ addrs[i], addrs[i] + central->size };
	to->nr = n;
	return n;
}

static void own_extent(struct karena_heap *heap, const struct karena_extent *extent)
{
	/* It stays, as in own_cleared(). */
	struct karena_span *span = karena_span_at(heap, extent->start);
	u32 index = karena_span_index(span, extent->start - span->base);
	u32 end = karena_span_index(span, extent->end - span->base);

	own_run(span, index, end - index);
}

/*
 * Objects of a span class in a user heap: up to @most in as many extents as there is
 * room for, cleared, and some unless memory is out; how many.
 */
unsigned int karena_alloc_extents(struct karena_central *central, gfp_t gfp,
				  unsigned int most, struct karena_extents *to)
{
	struct karena_heap *heap = central->heap;
	unsigned int n, i;

	n = cached_extents(central, most, to);
	if (n)
		return n;
	n = karena_central_take_extents(central, to, most, karena_gfp(heap, gfp));
	for (i = 0; i < to->nr; i++)
		own_extent(heap, &to->extent[i]);
	if (!n)
		atomic64_inc(&heap->failed);
	return n;
}
