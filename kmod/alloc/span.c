// SPDX-License-Identifier: GPL-2.0
/*
 * Spans: a run of pages cut into objects of one class, and what is known of
 * each of them.  The pagemap leads to a span from when it is complete until
 * its last object is back; it goes away by RCU, so that a wrong free that is
 * just looking at it stays harmless.
 */
#include <linux/slab.h>

#include "kmod/observe/trace.h"
#include "internal.h"

const struct karena_layout karena_layout_conservative = {
	.kind = KARENA_LAYOUT_CONSERVATIVE,
};

const struct karena_layout karena_layout_noscan = {
	.kind = KARENA_LAYOUT_NOSCAN,
};

static_assert(offsetof(struct karena_span, nfree) == 64);
static_assert(offsetof(struct karena_span, far_info) == 128);

/* Objects of a span with its marks in the pagemap. */
#define NEAR_MARKS	(8 * sizeof_field(struct karena_page, mark))

/* See enum karena_state; a large object has one too. */
static bool has_states(const struct karena_central *central)
{
	return !central || central->heap->user || central->spc == KARENA_SPC_TINY;
}

/* What programs know of a span, as struct karena_control says. */
unsigned int karena_span_value(const struct karena_span *span)
{
	return (1 + (span->central ? span->central->spc : 0)) |
	       (karena_layout_has_refs(span->layout) ? KARENA_MAP_TYPED : 0);
}

/* Where the states begin in a span. */
static size_t state_offset(u32 nelems, bool tiny)
{
	size_t offset = struct_size_t(struct karena_span, free, BITS_TO_LONGS(nelems));

	if (tiny)
		offset += (nelems + 1) * sizeof(u16);
	return ALIGN(offset, sizeof(long));
}

/* Where the collector's bitmaps begin, if there are any. */
static size_t marks_offset(u32 nelems, bool tiny, bool states)
{
	/* One state more, never LIVE: of what is behind the last object. */
	return ALIGN(state_offset(nelems, tiny) + (states ? nelems + 1 : 0), sizeof(long));
}

static size_t span_bytes(struct karena_heap *heap, u32 nelems, bool tiny, bool states)
{
	size_t bytes = marks_offset(nelems, tiny, states);

	/* What has been scanned, and the marks if they are not in the pagemap. */
	if (heap->collected)
		bytes += 2 * BITS_TO_LONGS(nelems) * sizeof(long);
	return bytes;
}

/* Whether a span's marks are in the pagemap: in one leaf, where one entry leads to the next. */
static bool is_near(const struct karena_span *span)
{
	const struct karena_run *run = span->run;
	unsigned long last = run->start + run->npages - 1;

	return span->central && span->nelems <= NEAR_MARKS &&
	       run->start >> KARENA_LEAF_SHIFT == last >> KARENA_LEAF_SHIFT;
}

static void init_marks(struct karena_span *span, unsigned long *bits)
{
	struct karena_page *first = karena_pagemap_get(span->heap->map, span->run->start);

	span->scanned = bits;
	if (is_near(span)) {
		span->mark = first->mark;
		span->info = &first->info;
		return;
	}
	span->mark = bits + BITS_TO_LONGS(span->nelems);
	span->info = &span->far_info;
	if (span->layout->kind == KARENA_LAYOUT_NOSCAN)
		__set_bit(KARENA_INFO_NOSCAN, &span->far_info);
}

/* Seals all objects, and what is behind the last one. */
static void seal_all(struct karena_span *span)
{
	unsigned long end = span->base + (span->run->npages << KARENA_PAGE_SHIFT);
	unsigned long addr = span->base;
	u32 i;

	for (i = 0; i <= span->nelems && addr < end; i++, addr += span->size)
		karena_seal(addr, karena_secret);
}

static void span_init_small(struct karena_span *span, struct karena_central *central)
{
	u32 nelems = karena_class_objects[central->class];
	bool tiny = central->spc == KARENA_SPC_TINY;

	span->central = central;
	span->size = central->size;
	span->magic = karena_class_magic[central->class];
	span->nelems = nelems;
	span->nfree = nelems;
	bitmap_set(span->free, 0, nelems);
	if (tiny)
		span->tiny = (u16 *)&span->free[BITS_TO_LONGS(nelems)];
	if (has_states(central))
		span->state = (u8 *)span + state_offset(nelems, tiny);
	if (!central->heap->user)
		seal_all(span);
}

static void span_init_large(struct karena_span *span, size_t size)
{
	span->large_size = size;
	span->nelems = 1;
	span->state = (u8 *)span + state_offset(1, false);
}

static bool has_marks(const struct karena_span *span)
{
	bool tiny = span->central->spc == KARENA_SPC_TINY;
	const unsigned long *bits = (void *)span + marks_offset(span->nelems, tiny, span->state);

	if (!span->heap->collected)
		return !span->mark;
	if (span->scanned != bits)
		return false;
	return is_near(span) ? span->mark == karena_pagemap_get(span->heap->map,
								span->run->start)->mark :
			       span->mark == bits + BITS_TO_LONGS(span->nelems);
}

/*
 * Whether what does not change in a span of a class is as it was made: what it says can
 * be relied upon.  Its heap, central and run are what they have to be.
 */
bool karena_span_is_whole(const struct karena_span *span)
{
	const struct karena_central *central = span->central;
	u32 nelems = karena_class_objects[central->class];
	bool tiny = central->spc == KARENA_SPC_TINY;
	const void *state = has_states(central) ? (void *)span + state_offset(nelems, tiny) : NULL;

	return span->size == central->size && span->nelems == nelems &&
	       span->magic == karena_class_magic[central->class] &&
	       span->layout == central->layout && !span->mapped && span->state == state &&
	       span->tiny == (tiny ? (u16 *)&span->free[BITS_TO_LONGS(nelems)] : NULL) &&
	       has_marks(span);
}

/* Makes @run a span: of @central's class, or without one, a large object. */
struct karena_span *karena_span_new(struct karena_heap *heap, struct karena_central *central,
				    const struct karena_layout *layout,
				    struct karena_run *run, size_t large_size, gfp_t gfp)
{
	u32 nelems = central ? karena_class_objects[central->class] : 1;
	bool tiny = central && central->spc == KARENA_SPC_TINY;
	size_t bytes = span_bytes(heap, nelems, tiny, has_states(central));
	struct karena_span *span;
	unsigned long flags;

	span = kzalloc(bytes, gfp);
	if (!span)
		return NULL;
	span->heap = heap;
	span->run = run;
	span->layout = layout;
	span->born = READ_ONCE(heap->cycle);
	span->base = heap->base + (run->start << KARENA_PAGE_SHIFT);
	if (central)
		span_init_small(span, central);
	else
		span_init_large(span, large_size);
	if (heap->collected)
		init_marks(span, (void *)span +
			   marks_offset(nelems, tiny, has_states(central)));
	if (heap->backing->publish && heap->backing->publish(heap, run, karena_span_value(span))) {
		kfree(span);
		return NULL;
	}
	atomic_long_add(bytes, &heap->meta);

	spin_lock_irqsave(&heap->lock, flags);
	/* Read without the lock by gc/mark.c. */
	list_add_rcu(&span->all, &heap->spans);
	heap->nr_spans++;
	heap->changes++;
	heap->span_pages += run->npages;
	heap->scavenger.peak = max(heap->scavenger.peak, heap->span_pages);
	if (!central) {
		list_add(&span->list, &heap->large);
		/* See gc/cycle.c; together with the list that it will be swept on. */
		if (heap->large_births)
			__set_bit(0, span->mark);
		heap->large_live++;
		heap->large_allocs++;
		heap->large_bytes += large_size;
		atomic64_add(large_size, &heap->used);
	}
	spin_unlock_irqrestore(&heap->lock, flags);
	trace_karena_span_new(heap->id, karena_traced(heap, span->base),
			      run->npages << KARENA_PAGE_SHIFT, span->size);
	return span;
}

/*
 * Takes a span out of the books; its run is the caller's again.  The caller has
 * made sure that no object of it is anywhere.
 */
struct karena_run *karena_span_retire(struct karena_span *span)
{
	struct karena_heap *heap = span->heap;
	struct karena_run *run = span->run;
	unsigned long flags;

	if (span->sample)
		heap->gone(heap, span);
	trace_karena_span_gone(heap->id, karena_traced(heap, span->base),
			       run->npages << KARENA_PAGE_SHIFT, span->size);
	if (heap->backing->publish)
		heap->backing->publish(heap, run, 0);
	spin_lock_irqsave(&heap->lock, flags);
	list_del(&span->all);
	heap->nr_spans--;
	heap->changes++;
	heap->span_pages -= run->npages;
	if (!span->central) {
		list_del(&span->list);
		heap->large_live--;
		heap->large_frees++;
		heap->large_bytes -= span->large_size;
		atomic64_sub(span->large_size, &heap->used);
	}
	spin_unlock_irqrestore(&heap->lock, flags);
	atomic_long_sub(span_bytes(heap, span->nelems, span->tiny, span->state),
			&heap->meta);
	kfree_rcu(span, rcu);
	return run;
}

/* For a span that is not to be found by its pages any more. */
void karena_span_delete(struct karena_span *span)
{
	struct karena_heap *heap = span->heap;

	karena_move_begin(heap);
	karena_mheap_free(heap, karena_span_retire(span));
	karena_move_end(heap);
}
