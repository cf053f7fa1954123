// SPDX-License-Identifier: GPL-2.0
/*
 * Why a heap is as big as it is: where the memory of its spans is, class by class, and
 * what it takes to know of it.  Each span is whole: what is neither free nor cached in it
 * nor behind its last object counts as live, so that the parts add up.
 */
#include "kmod/gc/gc.h"
#include "stats.h"

/* Spans of a central that are looked at for garbage, in one hold of its lock. */
#define MOST_UNSWEPT	512u

static unsigned int dead_in(const struct karena_span *span)
{
	unsigned int word, taken, dead = 0;

	for (word = 0; word < BITS_TO_LONGS(span->nelems); word++) {
		taken = min(span->nelems - word * BITS_PER_LONG, BITS_PER_LONG);
		dead += taken - hweight_long(span->free[word] | span->mark[word]);
	}
	return dead;
}

/* Objects that the last cycle found dead and nobody has swept yet; rather too few. */
static u64 count_dead(struct karena_central *central)
{
	struct karena_span *span;
	unsigned int n = 0;
	u64 dead = 0;

	/* Looked at under the lock again. */
	if (list_empty_careful(&central->unswept))
		return 0;
	spin_lock_irq(&central->lock);
	list_for_each_entry(span, &central->unswept, list) {
		if (n++ == MOST_UNSWEPT)
			break;
		dead += dead_in(span);
	}
	spin_unlock_irq(&central->lock);
	return dead;
}

static void add_central(struct karena_central *central, struct karena_explain_class *class)
{
	u64 slots, free, cached, dead = count_dead(central);
	struct karena_class_stat stat;
	u64 span_bytes;

	karena_stats_central(central, &stat);
	slots = stat.spans * karena_class_objects[central->class];
	span_bytes = stat.spans * karena_class_pages[central->class] * KARENA_PAGE_SIZE;
	free = min(stat.free_objects, slots);
	cached = min(stat.cached_objects, slots - free);
	dead = min(dead, slots - free - cached);
	class->object_size = central->size;
	class->spans += stat.spans;
	class->span_bytes += span_bytes;
	class->free_bytes += free * central->size;
	class->cached_bytes += cached * central->size;
	class->garbage_bytes += dead * central->size;
	class->live_bytes += (slots - free - cached - dead) * central->size;
	class->tail_bytes += span_bytes - slots * central->size;
}

static void add_large(struct karena_heap *heap, struct karena_explain_class *class)
{
	spin_lock_irq(&heap->lock);
	class->spans = heap->large_live;
	class->span_bytes = heap->large_bytes;
	class->live_bytes = heap->large_bytes;
	spin_unlock_irq(&heap->lock);
}

/* With the lock, no run is on its way back. */
static void add_returned(struct karena_heap *heap, struct karena_explain *out)
{
	struct karena_scavenger *s = &heap->scavenger;

	mutex_lock(&heap->reap_lock);
	/* Rough figures will do, while something happens. */
	out->free_bytes = (u64)data_race(heap->free.npages) << KARENA_PAGE_SHIFT;
	out->held_bytes = (u64)atomic_long_read(&heap->held) << KARENA_PAGE_SHIFT;
	out->returned_bytes = (u64)atomic64_read(&s->returned) << KARENA_PAGE_SHIFT;
	out->return_ns = s->ns;
	out->return_max_ns = s->max_ns;
	out->return_switches = s->switches;
	memcpy(out->return_us, s->hold_us, sizeof(out->return_us));
	mutex_unlock(&heap->reap_lock);
}

static void add_limits(struct karena_heap *heap, struct karena_explain *out)
{
	u64 goal = heap->gc ? READ_ONCE(heap->gc->goal) : U64_MAX;

	out->soft_limit = READ_ONCE(heap->soft_limit);
	out->goal_bytes = goal == U64_MAX ? 0 : goal;
	out->module_bytes = karena_all_held();
	out->module_soft_limit = karena_all_limit();
	out->group_room = karena_group_room(heap);
}

/* Of the regions the caller knows. */
static void add_meta(struct karena_heap *heap, struct karena_explain *out)
{
	struct karena_central *central;

	out->meta_span_bytes = atomic_long_read(&heap->meta);
	for (central = karena_first_central(heap); central; central = central->next)
		out->meta_class_bytes += sizeof(*central) +
					 num_possible_cpus() * sizeof(struct karena_mcache);
	if (heap->user)
		out->meta_map_bytes = karena_pagemap_bytes(heap->map);
	if (heap->gc)
		out->meta_gc_bytes = sizeof(*heap->gc) + karena_markers_bytes() +
				     (u64)atomic_read(&heap->gc->queue.nr_chunks) * SZ_4K;
}

/*
 * What the heap itself knows; @out and @classes, of KARENA_NR_CLASSES, are zeroed by the
 * caller, who adds up.
 */
void karena_explain_heap(struct karena_heap *heap, struct karena_explain *out,
			 struct karena_explain_class *classes)
{
	struct karena_central *central;

	for (central = karena_first_central(heap); central; central = central->next)
		add_central(central, &classes[central->class]);
	add_large(heap, classes);
	add_returned(heap, out);
	add_limits(heap, out);
	add_meta(heap, out);
}

KARENA_EXPORT_TEST(karena_explain_heap);
