// SPDX-License-Identifier: GPL-2.0
/*
 * What a heap needs to be collected, from its creation to its end.
 */
#include <linux/export.h>
#include <linux/ktime.h>
#include <linux/slab.h>

#include "gc.h"

/**
 * karena_gc_stats - what the collector has done
 * @heap: heap that is collected
 * @stats: gets the numbers
 *
 * Context: process context.
 */
void karena_gc_stats(struct karena_heap *heap, struct karena_gc_stats *stats)
{
	struct karena_gc *gc = heap->gc;
	struct karena_central *central;

	*stats = (struct karena_gc_stats){};
	if (!gc)
		return;
	spin_lock(&gc->stats_lock);
	*stats = gc->stats;
	spin_unlock(&gc->stats_lock);
	stats->live_bytes = READ_ONCE(gc->live_bytes);
	stats->cleanups_due = READ_ONCE(gc->specials.nr_due);
	stats->goal_bytes = READ_ONCE(gc->goal);
	stats->stack_peak = (u64)atomic_read(&gc->queue.most_chunks) * SZ_4K;
	for (central = karena_first_central(heap); central; central = central->next) {
		spin_lock_irq(&central->lock);
		stats->freed_objects += central->swept_objects;
		stats->freed_bytes += central->swept_objects * central->size;
		spin_unlock_irq(&central->lock);
	}
}
EXPORT_SYMBOL_GPL(karena_gc_stats);

static int init_workers(struct karena_gc *gc)
{
	unsigned int i;

	gc->workers = kcalloc(gc->nr_markers, sizeof(*gc->workers), GFP_KERNEL);
	if (!gc->workers)
		return -ENOMEM;
	for (i = 0; i < gc->nr_markers; i++) {
		gc->workers[i].gc = gc;
		INIT_WORK(&gc->workers[i].work, karena_mark_work);
	}
	return 0;
}

static void free_parts(struct karena_gc *gc)
{
	karena_roots_exit(gc);
	kfree(gc->workers);
	karena_markers_exit(gc);
	cleanup_srcu_struct(&gc->sections);
	kfree(gc);
}

/* Makes a heap that is new a collected one. */
int karena_gc_init(struct karena_heap *heap)
{
	struct karena_gc *gc = kzalloc(sizeof(*gc), GFP_KERNEL | heap->gfp);
	int err;

	if (!gc)
		return -ENOMEM;
	/* An item of a stack has 48 bits for where an object is. */
	if (heap->map->npages > BIT(48 - KARENA_PAGE_SHIFT)) {
		kfree(gc);
		return -EOPNOTSUPP;
	}
	err = init_srcu_struct(&gc->sections);
	if (err) {
		kfree(gc);
		return err;
	}
	gc->heap = heap;
	gc->born = ktime_get_mono_fast_ns();
	mutex_init(&gc->cycle_lock);
	init_waitqueue_head(&gc->done_wait);
	spin_lock_init(&gc->stats_lock);
	INIT_WORK(&gc->cycle_work, karena_cycle_work);
	INIT_DELAYED_WORK(&gc->period_work, karena_period_work);
	INIT_DELAYED_WORK(&gc->stuck_work, karena_stuck_work);
	karena_roots_init(gc);
	karena_specials_init(gc);
	karena_queue_init(&gc->queue);
	err = karena_params_init(&gc->params);
	if (!err)
		err = karena_heap_take_tag(heap);
	if (!err)
		err = karena_shapes_init(heap);
	if (!err)
		err = karena_markers_init(gc);
	if (!err)
		err = init_workers(gc);
	if (err) {
		free_parts(gc);
		return err;
	}
	heap->soft_limit = gc->params.mem_limit;
	karena_pacer_set(gc);
	/* Programs have another barrier, and may not have code patched at will. */
	if (!heap->user)
		static_branch_inc(&karena_barrier_key);
	heap->collected = true;
	heap->gc = gc;
	heap->paced = karena_pacer_refill;
	if (gc->params.period_ms)
		queue_delayed_work(system_dfl_wq, &gc->period_work,
				   msecs_to_jiffies(gc->params.period_ms));
	return 0;
}

/* Ends the collector of a heap that nobody uses any more.  May sleep. */
void karena_gc_exit(struct karena_heap *heap)
{
	struct karena_gc *gc = heap->gc;

	if (!gc)
		return;
	cancel_delayed_work_sync(&gc->period_work);
	cancel_work_sync(&gc->cycle_work);
	cancel_delayed_work_sync(&gc->stuck_work);
	karena_specials_exit(gc);
	if (!heap->user)
		static_branch_dec(&karena_barrier_key);
	free_parts(gc);
	heap->gc = NULL;
}
