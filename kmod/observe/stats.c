// SPDX-License-Identifier: GPL-2.0
/*
 * Numbers of a heap.  The fast path counts allocations for each CPU; everything
 * else follows from them, from what the spans know and from how full the
 * magazines are.  Nobody is stopped, so a sum may miss what happens meanwhile,
 * or what is just on its way between a CPU and the depot; it is exact while
 * nothing happens, and never below zero.
 */
#include <linux/export.h>

#include "stats.h"

struct tally {
	u64 allocs;
	u64 live;
	u64 cached;
	u64 nr_free;
	u64 refills;
	u64 flushes;
	u64 spans;
};

static u64 minus(u64 a, u64 b)
{
	return a > b ? a - b : 0;
}

/* Objects in the magazines of a CPU, which may be changing them. */
static unsigned int cached_on(struct karena_mcache *mc, unsigned int cap)
{
	struct karena_magazine *loaded;
	unsigned long n;

	/* Not followed: it may be gone already. */
	loaded = data_race(mc->loaded);
	/* Of another magazine, maybe. */
	n = data_race(mc->top) - loaded->slot;
	return (n <= cap ? n : 0) + READ_ONCE(mc->nr_previous);
}

/* The same for others. */
unsigned int karena_stats_cached(struct karena_central *central, unsigned int cpu)
{
	return cached_on(per_cpu_ptr(central->cache, cpu), karena_class_magazine(central->class));
}

static void tally_central(struct karena_central *central, struct tally *t)
{
	unsigned int cpu, cap = karena_class_magazine(central->class);
	struct karena_mcache *mc;

	spin_lock_irq(&central->lock);
	t->allocs = central->allocs;
	t->cached = central->nr_cached;
	t->nr_free = central->nr_free;
	t->refills = central->refills;
	t->flushes = central->flushes;
	t->spans = central->nr_spans;
	spin_unlock_irq(&central->lock);
	for_each_possible_cpu(cpu)
		t->cached += cached_on(per_cpu_ptr(central->cache, cpu), cap);
	/* Later than what is live, or there would be less of them. */
	for_each_possible_cpu(cpu) {
		mc = per_cpu_ptr(central->cache, cpu);
		/* Its CPU may be counting on. */
		t->allocs += data_race(mc->allocs);
	}
	t->live = min(t->allocs, minus(t->spans * karena_class_objects[central->class],
				       t->nr_free + t->cached));
}

static struct karena_central *central_at(struct karena_heap *heap, unsigned int spc)
{
	/* Pairs with the cmpxchg in karena_central_get(). */
	return READ_ONCE(heap->central[spc]);
}

static unsigned int large_class(struct karena_heap *heap, struct karena_class_stat *stat)
{
	*stat = (struct karena_class_stat){};
	spin_lock_irq(&heap->lock);
	stat->spans = heap->large_live;
	stat->live_objects = heap->large_live;
	stat->allocs = heap->large_allocs;
	spin_unlock_irq(&heap->lock);
	return stat->allocs != 0;
}

/* Numbers of a central. */
void karena_stats_central(struct karena_central *central, struct karena_class_stat *stat)
{
	struct tally t = {};

	tally_central(central, &t);
	*stat = (struct karena_class_stat) {
		.object_size = central->size,
		.noscan = central->spc == KARENA_SPC_TINY || central->spc & 1,
		.spans = t.spans,
		.live_objects = t.live,
		.free_objects = t.nr_free,
		.cached_objects = t.cached,
		.allocs = t.allocs,
	};
}

/* Numbers of one span class, 0 for large objects; 0 if the heap has never used it. */
unsigned int karena_stats_class(struct karena_heap *heap, unsigned int spc,
				struct karena_class_stat *stat)
{
	struct karena_central *central = central_at(heap, spc);

	if (!spc)
		return large_class(heap, stat);
	if (!central)
		return 0;
	karena_stats_central(central, stat);
	return 1;
}

/*
 * Slots that hold something of the user's.  A block of the tiny allocator may be
 * out to a CPU and empty; there cannot be more of them in use than objects.
 */
static u64 live_slots(struct karena_central *central, const struct tally *t)
{
	if (central->spc != KARENA_SPC_TINY)
		return t->live;
	return min(t->live, minus(atomic64_read(&central->heap->tiny_allocs),
				  atomic64_read(&central->heap->tiny_frees)));
}

static void add_central(struct karena_central *central, struct karena_heap_info *info)
{
	struct tally t = {};
	u64 live;

	tally_central(central, &t);
	live = live_slots(central, &t);
	info->live_bytes += live * central->size;
	info->cached_bytes += (t.cached + t.live - live) * central->size;
	info->refills += t.refills;
	info->flushes += t.flushes;
	info->meta_bytes += sizeof(*central);
	info->meta_bytes += num_possible_cpus() * sizeof(struct karena_mcache);
	/* The blocks of the tiny allocator are no objects of the user's. */
	if (central->spc == KARENA_SPC_TINY)
		return;
	info->live_objects += live;
	info->allocs += t.allocs;
	info->frees += t.allocs - t.live;
}

static void add_tiny(struct karena_heap *heap, struct karena_heap_info *info)
{
	u64 frees = atomic64_read(&heap->tiny_frees);
	u64 allocs = atomic64_read(&heap->tiny_allocs);

	info->allocs += allocs;
	info->frees += frees;
	info->live_objects += minus(allocs, frees);
}

static void add_page_heap(struct karena_heap *heap, struct karena_heap_info *info)
{
	spin_lock_irq(&heap->lock);
	info->span_bytes = heap->span_pages << KARENA_PAGE_SHIFT;
	info->free_bytes = heap->free.npages << KARENA_PAGE_SHIFT;
	info->nr_spans = heap->nr_spans;
	info->live_objects += heap->large_live;
	info->live_bytes += heap->large_bytes;
	info->allocs += heap->large_allocs;
	info->frees += heap->large_frees;
	spin_unlock_irq(&heap->lock);
	info->held_bytes = (u64)atomic_long_read(&heap->held) << KARENA_PAGE_SHIFT;
	info->limit = heap->limit == LONG_MAX ? U64_MAX :
		      (u64)heap->limit << KARENA_PAGE_SHIFT;
	info->meta_bytes += atomic_long_read(&heap->meta) + sizeof(*heap);
}

/* Fills in all that the heap itself knows; @info is zeroed by the caller. */
void karena_stats_heap(struct karena_heap *heap, struct karena_heap_info *info)
{
	struct karena_central *central;
	unsigned int why;

	for (central = karena_first_central(heap); central; central = central->next)
		add_central(central, info);
	add_tiny(heap, info);
	add_page_heap(heap, info);
	info->failed = atomic64_read(&heap->failed);
	for (why = 0; why < KARENA_NR_REJECT; why++)
		info->rejects[why] = atomic64_read(&heap->rejects[why]);
	strscpy(info->name, heap->name, sizeof(info->name));
}

KARENA_EXPORT_TEST(karena_stats_heap);

/**
 * karena_heap_stats - numbers of a heap
 * @heap: the heap
 * @stats: gets them
 *
 * Context: process context; takes and drops the heap's locks.
 */
void karena_heap_stats(struct karena_heap *heap, struct karena_heap_stats *stats)
{
	struct karena_heap_info info = {};
	struct karena_class_stat class;
	unsigned int i;

	karena_stats_heap(heap, &info);
	*stats = (struct karena_heap_stats) {
		.held_bytes = info.held_bytes,
		.span_bytes = info.span_bytes,
		.live_objects = info.live_objects,
		.live_bytes = info.live_bytes,
		.allocs = info.allocs,
		.frees = info.frees,
		.failed = info.failed,
		.meta_bytes = info.meta_bytes,
	};
	for (i = 0; i < KARENA_NR_REJECT; i++)
		stats->rejects += info.rejects[i];
	for (i = 0; i < KARENA_NR_SPC; i++)
		if (karena_stats_class(heap, i, &class))
			stats->cached_objects += class.cached_objects;
}
EXPORT_SYMBOL_GPL(karena_heap_stats);
