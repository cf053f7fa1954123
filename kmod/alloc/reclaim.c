// SPDX-License-Identifier: GPL-2.0
/*
 * Getting memory out of caches: of all CPUs when a heap is at its limit, and of
 * a CPU that went offline.
 */
#include <linux/cpuhotplug.h>
#include <linux/sched/mm.h>
#include <linux/smp.h>

#include "internal.h"

static enum cpuhp_state hotplug_state;

/* The central of a span class; pairs with the cmpxchg in karena_central_get(). */
static struct karena_central *central_at(struct karena_heap *heap, unsigned int spc)
{
	return READ_ONCE(heap->central[spc]);
}

/* Whether a CPU is worth an interrupt; a look from outside, which may be wrong. */
static bool has_tiny(int cpu, void *data)
{
	struct karena_heap *heap = data;

	/* Its CPU may be changing it. */
	return data_race(per_cpu_ptr(heap->tiny, cpu)->block);
}

static bool has_magazines(int cpu, void *data)
{
	struct karena_central *central;
	struct karena_mcache *mc;
	unsigned int spc;

	for (spc = 0; spc < KARENA_NR_SPC; spc++) {
		central = central_at(data, spc);
		if (!central)
			continue;
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

static void drain_cpu(struct karena_heap *heap, unsigned int cpu)
{
	unsigned int spc;

	for (spc = 0; spc < KARENA_NR_SPC; spc++)
		if (central_at(heap, spc))
			karena_mcache_drain(central_at(heap, spc), cpu);
}

static void drain_this_cpu(void *heap)
{
	drain_cpu(heap, smp_processor_id());
}

static void collect(struct karena_heap *heap)
{
	unsigned int spc;

	for (spc = 0; spc < KARENA_NR_SPC; spc++)
		if (central_at(heap, spc))
			karena_mcache_collect(central_at(heap, spc));
}

/* The blocks of the tiny allocator go to magazines, so they come first. */
static void collect_tiny(struct karena_heap *heap)
{
	unsigned int cpu;

	for_each_possible_cpu(cpu)
		karena_tiny_collect(heap, cpu);
}

/*
 * Brings everything that is cached and not in use back to the page heap, and
 * its memory back to the backing.  May sleep; interrupts are on.  The caller may
 * be in the middle of reclaim itself, so nothing in here may go there.
 */
void karena_reclaim(struct karena_heap *heap)
{
	unsigned int noio = memalloc_noio_save();
	unsigned int spc;

	if (central_at(heap, KARENA_SPC_TINY)) {
		on_each_cpu_cond(has_tiny, drain_tiny, heap, true);
		collect_tiny(heap);
	}
	on_each_cpu_cond(has_magazines, drain_this_cpu, heap, true);
	collect(heap);
	for (spc = 0; spc < KARENA_NR_SPC; spc++) {
		if (central_at(heap, spc))
			karena_central_drain(central_at(heap, spc));
		cond_resched();
	}
	karena_large_reap(heap);
	karena_mheap_trim(heap, 0);
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
		karena_heap_put(heap);
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
