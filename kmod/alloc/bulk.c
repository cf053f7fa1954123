// SPDX-License-Identifier: GPL-2.0
/*
 * Bulk calls for kernel code: many objects for one entry into a CPU's cache.
 */
#include <linux/export.h>

#include "object.h"

/* Longest stretch with preemption off, in objects. */
#define BATCH	128u

/* Takes up to @count sound slots from a magazine; they are LIVE then. */
static __always_inline unsigned int take_slots(struct karena_magazine *mag,
					       unsigned int count, unsigned long *addrs)
{
	struct karena_slot *slot = &mag->slot[mag->nr];
	unsigned int n, most = min(count, mag->nr);

	for (n = 0; n < most; n++) {
		slot--;
		if (unlikely(READ_ONCE(*slot->state) != KARENA_CACHED))
			break;
		WRITE_ONCE(*slot->state, KARENA_LIVE);
		addrs[n] = slot->addr;
	}
	mag->nr -= n;
	return n;
}

/* Objects from this CPU's magazines, as many as are there and sound. */
static unsigned int take_batch(struct karena_central *central, unsigned int count,
			       unsigned long *addrs)
{
	struct karena_magazine *mag;
	struct karena_mcache *mc;
	unsigned int n = 0;

	preempt_disable();
	mc = this_cpu_ptr(central->cache);
	if (mcache_enter(mc)) {
		mag = mcache_full(mc);
		if (mag)
			n = take_slots(mag, count, addrs);
		WRITE_ONCE(mc->allocs, mc->allocs + n);
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

/* The span of an object that seems to be of @central; NULL if it is not. */
static __always_inline struct karena_span *span_in(struct karena_central *central, void *object)
{
	struct karena_heap *heap = central->heap;
	struct karena_span *span;

	span = karena_map_span(heap->map, heap->base, (unsigned long)object);
	return likely(span && span->central == central) ? span : NULL;
}

/*
 * Puts up to @count objects of one central into a magazine, which has room for
 * them; returns how many, up to the first that is none of them.
 */
static __always_inline unsigned int give_slots(struct karena_central *central,
					       struct karena_magazine *mag,
					       unsigned int count, void **objects)
{
	struct karena_slot *slot = &mag->slot[mag->nr];
	struct karena_span *span;
	unsigned int n;
	u8 *state;

	for (n = 0; n < count; n++) {
		span = span_in(central, objects[n]);
		if (unlikely(!span))
			break;
		state = karena_span_state(span, (unsigned long)objects[n]);
		if (unlikely(!state || !karena_claim(state)))
			break;
		*slot++ = (struct karena_slot){ (unsigned long)objects[n], state };
	}
	mag->nr += n;
	return n;
}

/* Frees objects while they are of the first one's central and this CPU has room. */
static unsigned int give_batch(struct karena_heap *heap, unsigned int count, void **objects)
{
	struct karena_magazine *mag;
	struct karena_span *span;
	struct karena_mcache *mc;
	unsigned int n = 0;

	preempt_disable();
	span = karena_span_at(heap, (unsigned long)objects[0]);
	if (!span || span->heap != heap || !span->central)
		goto out;
	mc = this_cpu_ptr(span->central->cache);
	if (mcache_enter(mc)) {
		mag = mcache_room(mc);
		if (mag)
			n = give_slots(span->central, mag, min(count, mag->cap - mag->nr),
				       objects);
		WRITE_ONCE(mc->frees, mc->frees + n);
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
