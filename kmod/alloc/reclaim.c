// SPDX-License-Identifier: GPL-2.0
/*
 * Getting memory out of caches: of all CPUs when a heap is at its limit, and of
 * a CPU that went offline.
 */
#include <linux/cpuhotplug.h>
#include <linux/sched/mm.h>
#include <linux/smp.h>

#include "internal.h"

#define RECLAIM_SPANS	32	/* swept at a stretch */

static enum cpuhp_state hotplug_state;

/* Whether a CPU is worth an interrupt; a look from outside, which may be wrong. */
static bool has_tiny(int cpu, void *data)
{
	struct karena_heap *heap = data;

	/* Its CPU may be changing it. */
	return data_race(per_cpu_ptr(heap->tiny, cpu)->block);
}

static bool has_magazines(int cpu, void *data)
{
	struct karena_heap *heap = data;
	struct karena_central *central;
	struct karena_mcache *mc;

	for (central = karena_first_central(heap); central; central = central->next) {
		mc = per_cpu_ptr(central->cache, cpu);
		/* Its CPU may be changing it. */
		if (data_race(mc->loaded) != &karena_no_magazine)
			return true;
		/* As above. */
		if (data_race(mc->previous) != &karena_no_magazine)
			return true;
	}
	return false;
}

static void drain_tiny(void *heap)
{
	karena_tiny_drain(heap, smp_processor_id());
}

/* False if one of the caches is busy. */
static bool drain_cpu(struct karena_heap *heap, unsigned int cpu)
{
	struct karena_central *central;
	bool all = true;

	for (central = karena_first_central(heap); central; central = central->next)
		all &= karena_mcache_drain(per_cpu_ptr(central->cache, cpu), &central->drained);
	return all;
}

static void drain_this_cpu(void *heap)
{
	drain_cpu(heap, smp_processor_id());
}

static void collect(struct karena_heap *heap)
{
	struct karena_central *central;

	for (central = karena_first_central(heap); central; central = central->next)
		karena_mcache_collect(central);
}

struct drain {
	struct karena_heap *heap;
	atomic_t busy;
};

static void drain_surely(void *data)
{
	struct drain *drain = data;

	if (!drain_cpu(drain->heap, smp_processor_id()))
		atomic_inc(&drain->busy);
}

/* Empties the depots into the spans.  May sleep. */
void karena_depots_drain(struct karena_heap *heap)
{
	struct karena_central *central;

	for (central = karena_first_central(heap); central; central = central->next) {
		karena_central_drain(central);
		cond_resched();
	}
}

/* Empties the magazines of all CPUs into the spans.  May sleep. */
void karena_caches_drain(struct karena_heap *heap)
{
	struct drain drain = { .heap = heap };

	do {
		atomic_set(&drain.busy, 0);
		on_each_cpu(drain_surely, &drain, true);
		cond_resched();
	} while (atomic_read(&drain.busy));
	collect(heap);
	karena_depots_drain(heap);
}

KARENA_EXPORT_TEST(karena_caches_drain);

/*
 * The blocks of the tiny allocator go to magazines, so they come first.  In a
 * section, as a block is nobody's on its way.
 */
static void collect_tiny(struct karena_heap *heap)
{
	unsigned int cpu;
	int section;

	for_each_possible_cpu(cpu) {
		if (heap->collected) {
			section = karena_enter(heap);
			karena_tiny_collect(heap, cpu);
			karena_exit(heap, section);
		} else {
			karena_tiny_collect(heap, cpu);
		}
	}
}

/*
 * Brings everything that is cached and not in use back to the page heap, and
 * its memory back to the backing.  May sleep; interrupts are on.  The caller may
 * be in the middle of reclaim itself, so nothing in here may go there.
 */
void karena_reclaim(struct karena_heap *heap)
{
	unsigned int noio = memalloc_noio_save();

	/* What the last cycle has found dead. */
	while (karena_sweep_some(heap, RECLAIM_SPANS))
		cond_resched();
	/* Pairs with the cmpxchg in karena_central_get(). */
	if (READ_ONCE(heap->central[KARENA_SPC_TINY])) {
		on_each_cpu_cond(has_tiny, drain_tiny, heap, true);
		collect_tiny(heap);
	}
	on_each_cpu_cond(has_magazines, drain_this_cpu, heap, true);
	collect(heap);
	karena_depots_drain(heap);
	karena_large_reap(heap);
	if (!heap->backing->by_program)
		karena_scavenge_now(heap, 0);
	if (heap->backing->forget)
		heap->backing->forget(heap);
	memalloc_noio_restore(noio);
}

KARENA_EXPORT_TEST(karena_reclaim);

/* Runs on another CPU, after @cpu has stopped. */
static int cpu_dead(unsigned int cpu)
{
	struct karena_heap *heap;
	u32 id = 0;

	while ((heap = karena_heap_find(id, true))) {
		id = heap->id;
		/* Before as well: a reclaim may be half way. */
		collect_tiny(heap);
		karena_tiny_drain(heap, cpu);
		collect_tiny(heap);
		drain_cpu(heap, cpu);
		collect(heap);
		karena_heap_put_later(heap);
	}
	return 0;
}

int karena_hotplug_init(void)
{
	int ret = cpuhp_setup_state_nocalls(CPUHP_BP_PREPARE_DYN, "karena:dead",
					    NULL, cpu_dead);

	if (ret < 0)
		return ret;
	hotplug_state = ret;
	return 0;
}

void karena_hotplug_exit(void)
{
	cpuhp_remove_state_nocalls(hotplug_state);
}
