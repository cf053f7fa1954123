// SPDX-License-Identifier: GPL-2.0
/*
 * How heaps are collected: parameters of the module for heaps to come, and of each
 * heap.
 */
#include <linux/export.h>
#include <linux/moduleparam.h>

#include "gc.h"

static int gc_percent = 100;
module_param(gc_percent, int, 0644);
MODULE_PARM_DESC(gc_percent, "new heaps: growth over what is alive until a cycle ends, -1: never (100)");

static unsigned long gc_min_heap = SZ_4M;
module_param(gc_min_heap, ulong, 0644);
MODULE_PARM_DESC(gc_min_heap, "new heaps: least goal at 100 percent, in bytes (4 MiB)");

static unsigned long gc_mem_limit;
module_param(gc_mem_limit, ulong, 0644);
MODULE_PARM_DESC(gc_mem_limit, "new heaps: memory to stay below by collecting, in bytes, 0: none (0)");

static unsigned int gc_period_ms = 120 * MSEC_PER_SEC;
module_param(gc_period_ms, uint, 0644);
MODULE_PARM_DESC(gc_period_ms, "new heaps: a cycle at least so often, in ms, 0: no (120000)");

static unsigned int gc_slice_us = 100;
module_param(gc_slice_us, uint, 0644);
MODULE_PARM_DESC(gc_slice_us, "new heaps: marking at a stretch, in us, 10 to 100000 (100)");

static unsigned int gc_share = 25;
module_param(gc_share, uint, 0644);
MODULE_PARM_DESC(gc_share, "new heaps: of all CPUs for marking in the background, in percent (25)");

static unsigned int gc_assist_us = 100;
module_param(gc_assist_us, uint, 0644);
MODULE_PARM_DESC(gc_assist_us, "new heaps: most that an allocation helps at a time, in us, 0: no (100)");

static bool gctrace;
module_param(gctrace, bool, 0644);
MODULE_PARM_DESC(gctrace, "new heaps: a line in the log for each cycle (N)");

static bool gccheck;
module_param(gccheck, bool, 0644);
MODULE_PARM_DESC(gccheck, "new heaps: check each cycle's marks by other means (N)");

static bool params_good(const struct karena_gc_params *p)
{
	return p->percent >= -1 && p->percent <= 1000000 && p->slice_us >= 10 &&
	       p->slice_us <= 100000 && p->share >= 1 && p->share <= 100 &&
	       p->assist_us <= 100000;
}

/* What a new heap begins with; -EINVAL if a parameter of the module is out of range. */
int karena_params_init(struct karena_gc_params *params)
{
	*params = (struct karena_gc_params) {
		.percent = gc_percent,
		.min_heap = gc_min_heap,
		.mem_limit = gc_mem_limit,
		.period_ms = gc_period_ms,
		.slice_us = gc_slice_us,
		.share = gc_share,
		.assist_us = gc_assist_us,
		.trace = gctrace,
		.check = gccheck,
	};
	return params_good(params) ? 0 : -EINVAL;
}

/**
 * karena_gc_get - how a heap is collected
 * @heap: heap that is collected
 * @params: gets the parameters
 *
 * Context: process context, may sleep; not in a mutator section.
 * Return: 0, -EINVAL if the heap is not collected, -EINTR if the caller is killed.
 */
int karena_gc_get(struct karena_heap *heap, struct karena_gc_params *params)
{
	struct karena_gc *gc = heap->gc;

	if (!gc)
		return -EINVAL;
	if (mutex_lock_killable(&gc->cycle_lock))
		return -EINTR;
	*params = gc->params;
	mutex_unlock(&gc->cycle_lock);
	return 0;
}
EXPORT_SYMBOL_GPL(karena_gc_get);

/**
 * karena_gc_set - change how a heap is collected
 * @heap: heap that is collected
 * @params: the parameters, best gotten by karena_gc_get() and changed
 *
 * Waits for a cycle that runs.
 *
 * Context: process context, may sleep; not in a mutator section.
 * Return: 0, -EINVAL if one of them is out of range or the heap not collected, -EINTR
 * if the caller is killed before the cycle is over.
 */
int karena_gc_set(struct karena_heap *heap, const struct karena_gc_params *params)
{
	struct karena_gc *gc = heap->gc;

	if (!gc || !params_good(params))
		return -EINVAL;
	if (mutex_lock_killable(&gc->cycle_lock))
		return -EINTR;
	gc->params = *params;
	WRITE_ONCE(heap->soft_limit, params->mem_limit);
	karena_over_look(heap);
	karena_pacer_set(gc);
	mutex_unlock(&gc->cycle_lock);
	if (params->period_ms)
		mod_delayed_work(system_dfl_wq, &gc->period_work,
				 msecs_to_jiffies(params->period_ms));
	else
		cancel_delayed_work(&gc->period_work);
	return 0;
}
EXPORT_SYMBOL_GPL(karena_gc_set);
