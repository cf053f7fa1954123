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

#include "kmod/observe/trace.h"
#include "internal.h"

/*
 * Free pages that are kept whatever the heap's size, and the tenth kept on top of what
 * it uses, or is about to: as Go's scavenger does.
 */
#define TRIM_MIN_PAGES	(SZ_1M / KARENA_PAGE_SIZE)
#define TRIM_SHARE	10

/* Given back at a stretch, in pages. */
#define TRIM_STEP	512UL

/* Adds to a counter unless it would pass its limit; a failure is never seen in it. */
bool karena_add_below(atomic_long_t *counter, unsigned long n, unsigned long limit)
{
	long old = atomic_long_read(counter);

	do {
		if (n > limit || old > limit - n)
			return false;
	} while (!atomic_long_try_cmpxchg(counter, &old, old + n));
	return true;
}

int karena_mheap_charge(struct karena_heap *heap, unsigned long n)
{
	int err;

	if (!karena_add_below(&heap->held, n, heap->limit))
		return -ENOMEM;
	err = heap->backing->charge ? heap->backing->charge(heap, n) : 0;
	if (err)
		atomic_long_sub(n, &heap->held);
	return err;
}

void karena_mheap_uncharge(struct karena_heap *heap, unsigned long n)
{
	if (heap->backing->uncharge)
		heap->backing->uncharge(heap, n);
	atomic_long_sub(n, &heap->held);
}

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
	if (!run)
		run = heap->backing->grow(heap, n, gfp);
	if (!run && gfpflags_allow_blocking(gfp) && n <= heap->limit) {
		karena_reclaim(heap);
		run = take_free(heap, n, gfp);
		if (!run)
			run = heap->backing->grow(heap, n, gfp);
	}
	return run;
}

static unsigned long trim_target(struct karena_heap *heap)
{
	/* Rough figures will do. */
	unsigned long used = data_race(heap->span_pages);
	unsigned long want = max(used, READ_ONCE(heap->goal_pages));

	return max_t(unsigned long, TRIM_MIN_PAGES, want - used + want / TRIM_SHARE);
}

void karena_mheap_free(struct karena_heap *heap, struct karena_run *run)
{
	unsigned long flags, npages;

	spin_lock_irqsave(&heap->lock, flags);
	karena_runs_insert(&heap->free, run);
	npages = heap->free.npages;
	spin_unlock_irqrestore(&heap->lock, flags);
	/* Twice the target, so that the worker has something to do each time. */
	if (!heap->backing->by_program && npages > 2 * trim_target(heap))
		queue_work(system_dfl_wq, &heap->trim_work);
}

static struct karena_run *take_surplus(struct karena_heap *heap, unsigned long keep)
{
	struct karena_run *spare, *run = NULL;

	/* Without one, a whole run goes: a little too much. */
	spare = karena_run_new(0, 0, GFP_NOWAIT | __GFP_NOWARN);
	spin_lock_irq(&heap->lock);
	if (heap->free.npages > keep)
		run = karena_runs_take_last(&heap->free,
					    min(heap->free.npages - keep, TRIM_STEP), spare);
	spin_unlock_irq(&heap->lock);
	if (run != spare)
		karena_run_delete(spare);
	return run;
}

/* A run to give back, if there is more than is worth keeping, or any; or NULL. */
struct karena_run *karena_mheap_take_surplus(struct karena_heap *heap, bool all)
{
	return take_surplus(heap, all ? 0 : trim_target(heap));
}

static bool trim_step(struct karena_heap *heap, unsigned long keep)
{
	struct karena_run *run;

	mutex_lock(&heap->reap_lock);
	run = take_surplus(heap, keep);
	if (run) {
		trace_karena_scavenge(heap->id, run->npages << KARENA_PAGE_SHIFT);
		heap->backing->release(heap, run);
	}
	mutex_unlock(&heap->reap_lock);
	return run;
}

/*
 * Gives memory of free runs back, from the top, until @keep pages are left.  With
 * the mutex, what the worker was about to give back is back when this returns.
 */
void karena_mheap_trim(struct karena_heap *heap, unsigned long keep)
{
	while (trim_step(heap, keep))
		cond_resched();
}

void karena_mheap_trim_work(struct work_struct *work)
{
	struct karena_heap *heap = container_of(work, struct karena_heap, trim_work);

	karena_large_reap(heap);
	if (!heap->backing->by_program)
		karena_mheap_trim(heap, trim_target(heap));
}
