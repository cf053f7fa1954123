// SPDX-License-Identifier: GPL-2.0
/*
 * The page heap: runs of pages for spans, first from what the heap has got and
 * does not use, then from its backing.
 *
 * Lock order of a heap, outermost first:
 *
 *	karena_heaps.xa_lock	the registry; nothing is taken inside
 *	file mutex		(user heaps) set-up of a descriptor's heap
 *	inflight_lock		(user heaps) objects on their way to a program
 *	reap_lock		large objects and free runs on their way out; sleeps
 *	page lock		(user heaps) of a machine page in the window: a page
 *				goes away, or gets mapped, under it
 *	central lock		spans with free slots and the depot of one span class;
 *				not the states, which belong to who has the slot
 *	heap->lock		free runs, list of spans, page entries of the pagemap
 *				(written; read without)
 *
 * No memory is allocated under a spinlock.  The spinlocks are taken with
 * interrupts off, as kernel heaps are used from hardirq context.
 *
 * held counts the pages of memory that the heap has, in spans or free; it is
 * raised before memory is asked for and so never passes the limit.
 */
#include <linux/mm.h>
#include <linux/slab.h>

#include "internal.h"

static struct karena_run *take_free(struct karena_heap *heap, unsigned long n, gfp_t gfp)
{
	struct karena_run *spare, *run;
	unsigned long flags;

	/* A hint, which spares the spare. */
	if (data_race(heap->free.npages) < n)
		return NULL;
	spare = karena_run_new(0, 0, gfp);
	if (!spare)
		return NULL;
	spin_lock_irqsave(&heap->lock, flags);
	run = karena_runs_take(&heap->free, n, spare);
	spin_unlock_irqrestore(&heap->lock, flags);
	if (run != spare)
		karena_run_delete(spare);
	if (run)
		run->zeroed = false;
	return run;
}

/*
 * @n contiguous pages.  Their memory may hold what the heap had there before.
 * At the limit, what caches and free runs hold is given back first, if @gfp
 * allows to sleep.
 */
struct karena_run *karena_mheap_alloc(struct karena_heap *heap, unsigned long n, gfp_t gfp)
{
	struct karena_run *run;

	run = take_free(heap, n, gfp);
	if (run)
		return run;
	run = heap->backing->grow(heap, n, gfp);
	if (!run && gfpflags_allow_blocking(gfp) && n <= heap->limit) {
		karena_reclaim(heap);
		run = take_free(heap, n, gfp);
		if (!run)
			run = heap->backing->grow(heap, n, gfp);
	}
	if (run)
		karena_group_note(heap);
	return run;
}

void karena_mheap_free(struct karena_heap *heap, struct karena_run *run)
{
	unsigned long flags, npages;

	spin_lock_irqsave(&heap->lock, flags);
	karena_runs_insert(&heap->free, run);
	npages = heap->free.npages;
	spin_unlock_irqrestore(&heap->lock, flags);
	karena_scavenge_look(heap, npages);
}
