// SPDX-License-Identifier: GPL-2.0
/*
 * When memory is short: the machine's, by a shrinker, or somebody asks for it back.
 *
 * The shrinker runs where memory is being reclaimed, below whatever locks its caller has.
 * So it gives back free pages only, takes no lock that it would have to wait for but those
 * which reclaim itself takes, and does nothing for callers who may not enter a file
 * system (GFP_NOFS, GFP_NOIO: ours among them, alloc/reclaim.c).  The rest is done by a
 * worker, once in a while: caches are emptied, and heaps collected that may have garbage.
 */
#include <linux/export.h>
#include <linux/jiffies.h>
#include <linux/mm.h>
#include <linux/shrinker.h>

#include "gc.h"

/* The worker is for when less than this share of the machine's memory is to be had. */
#define LOW_SHARE	16

/* It rests for so long. */
#define REST		HZ

static struct shrinker *shrinker;
static unsigned long rested = INITIAL_JIFFIES;	/* when it may work again */

/* --- giving back --- */

/* All that a heap can do without, but for what is garbage; bytes.  May sleep. */
static u64 give_back(struct karena_heap *heap)
{
	u64 before = atomic64_read(&heap->scavenger.returned);

	if (heap->backing->drain)
		heap->backing->drain(heap);
	karena_reclaim(heap);
	return (atomic64_read(&heap->scavenger.returned) - before) << KARENA_PAGE_SHIFT;
}

/**
 * karena_heap_reclaim - give memory back now
 * @heap: the heap
 *
 * Magazines of all CPUs are emptied, and all that is free goes, whatever is worth keeping.
 * What is garbage stays: karena_collect() before is for that.
 *
 * Context: process context, may sleep.
 * Return: bytes of memory that went back to the kernel, background work meanwhile included.
 */
u64 karena_heap_reclaim(struct karena_heap *heap)
{
	return give_back(heap);
}
EXPORT_SYMBOL_GPL(karena_heap_reclaim);

/* --- pressure --- */

/* Once for all heaps. */
static void pressure_work(struct work_struct *work)
{
	struct karena_heap *heap;
	u32 id = 0;

	while ((heap = karena_heap_find(id, true))) {
		id = heap->id;
		/* What is found dead goes the next time, or in the background. */
		if (heap->gc && karena_pacer_has_garbage(heap->gc))
			karena_collect(heap, false);
		give_back(heap);
		karena_heap_put_later(heap);
		cond_resched();
	}
	WRITE_ONCE(rested, jiffies + REST);
}

static DECLARE_WORK(pressure, pressure_work);

static void want_more(void)
{
	if (time_after_eq(jiffies, READ_ONCE(rested)))
		queue_work(system_dfl_wq, &pressure);
}

/* --- the shrinker --- */

/* Free pages of all heaps, in those of the machine. */
static unsigned long count(struct shrinker *s, struct shrink_control *sc)
{
	struct karena_heap *heap;
	unsigned long sum = 0;
	u32 id = 0;

	while ((heap = karena_heap_find(id, true))) {
		id = heap->id;
		if (!heap->backing->by_program)
			/* Rough figures will do. */
			sum += data_race(heap->free.npages) * KARENA_SUBPAGES;
		karena_heap_put_later(heap);
	}
	/* Caches and garbage do not count: they cost more than a file that is read again. */
	if (si_mem_available() < totalram_pages() / LOW_SHARE)
		want_more();
	return sum ? sum : SHRINK_EMPTY;
}

/* Gives back up to @most pages for somebody who needs memory as @gfp says; how many. */
unsigned long karena_shrink(gfp_t gfp, unsigned long most)
{
	struct karena_heap *heap;
	unsigned long sum = 0;
	u32 id = 0;

	if (!(gfp & __GFP_FS))
		return 0;
	while (sum < most && (heap = karena_heap_find(id, true))) {
		id = heap->id;
		sum += karena_scavenge_try(heap, most - sum);
		karena_heap_put_later(heap);
	}
	return sum;
}

KARENA_EXPORT_TEST(karena_shrink);

static unsigned long scan(struct shrinker *s, struct shrink_control *sc)
{
	unsigned long n = karena_shrink(sc->gfp_mask,
					DIV_ROUND_UP(sc->nr_to_scan, KARENA_SUBPAGES));

	return n ? n * KARENA_SUBPAGES : SHRINK_STOP;
}

int karena_pressure_init(void)
{
	shrinker = karena_shrinker_new("karena", count, scan);
	return shrinker ? 0 : -ENOMEM;
}

void karena_pressure_exit(void)
{
	karena_shrinker_delete(shrinker);
	cancel_work_sync(&pressure);
}
