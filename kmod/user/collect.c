// SPDX-License-Identifier: GPL-2.0
/*
 * The collector and programs: what a cycle of a user heap needs of its processes
 * (struct karena_world), and the calls about it.
 *
 *  1. Sections are waited for and magazines emptied as for a kernel heap
 *     (gc/cycle.c); calls of programs allocate in sections.
 *  2. Protection: pages.c, in rounds, while programs run.
 *  3. The heap is armed, and all threads stop: stop.c.  While they stand, these are
 *     shaded: what calls have allocated and not given to their program yet; what
 *     pages refer to that are still written; what registers, stacks and registered
 *     ranges refer to: scan.c.
 *  4. They go on, and marking begins.  Who writes to a page for the first time shades
 *     what it refers to.  A free shades what the object refers to.
 *
 * What is born from 1. on has a mark.  What is born before the snapshot is scanned like
 * all that was there: it may hold references from before (karena_queue_born()).
 *
 * Programs with a barrier of their own (KARENA_SETUP_BARRIER) shade what they are about
 * to overwrite, by a call; 2. is not done then, and pages are of no interest in 3.
 *
 * So each object that was reachable at the snapshot is found: the references to it
 * are where they were, or were shaded.  New objects are born marked.
 */
#include <linux/sched/signal.h>
#include <linux/uaccess.h>

#include "user.h"

/* What is on a list is a root, in a heap that has such. */
void karena_inflight_add(struct karena_uheap *uh, struct karena_inflight *inflight)
{
	if (!uh->heap.gc)
		return;
	mutex_lock(&uh->inflight_lock);
	list_add(&inflight->node, &uh->inflight);
	mutex_unlock(&uh->inflight_lock);
}

void karena_inflight_del(struct karena_uheap *uh, struct karena_inflight *inflight)
{
	if (!uh->heap.gc)
		return;
	mutex_lock(&uh->inflight_lock);
	list_del(&inflight->node);
	mutex_unlock(&uh->inflight_lock);
}

static void shade(void *arg, unsigned long word)
{
	karena_shade(arg, word);
}

/* It may be where an object ends: struct karena_visitor. */
static void shade_thread(void *arg, unsigned long word)
{
	karena_shade(arg, word);
	if (!karena_is_planted(KARENA_PLANT_NO_PAST_END))
		karena_shade(arg, word - 1);
}

static void phase(struct karena_heap *heap)
{
	karena_control_phase(heap);
	if (READ_ONCE(heap->head.phase) == KARENA_IDLE)
		karena_stale_drop(to_uheap(heap));
}

static void protect(struct karena_heap *heap)
{
	WRITE_ONCE(to_uheap(heap)->armed, false);
	karena_pages_protect(to_uheap(heap));
}

static void snapshot(struct karena_heap *heap)
{
	const struct karena_visitor visitor = { shade, shade_thread, heap->gc };

	/* Seen by all CPUs before they stand: pages.c. */
	WRITE_ONCE(to_uheap(heap)->armed, true);
	karena_stopped(heap, &visitor, true);
}

static void visit_roots(struct karena_heap *heap, const struct karena_visitor *visitor)
{
	karena_stopped(heap, visitor, false);
}

static const struct karena_world world = {
	.phase = phase,
	.protect = protect,
	.snapshot = snapshot,
	.visit = visit_roots,
	.weak_clear = karena_weak_clear,
	.special_free = karena_special_free,
};

/* What the object at an address refers to lives through this cycle, as it is freed. */
void karena_free_shade(struct karena_uheap *uh, unsigned long addr)
{
	if (READ_ONCE(uh->heap.head.phase) == KARENA_MARK &&
	    !karena_is_planted(KARENA_PLANT_FREE_UNSHADED))
		karena_object_visit(uh, addr, shade, uh->heap.gc);
}

/* Makes a heap that is complete, but for being registered, a collected one. */
int karena_collect_init(struct karena_uheap *uh, const struct karena_setup *setup)
{
	int err;

	err = karena_uheap_charge_meta(uh, karena_markers_bytes());
	if (!err && !(setup->flags & KARENA_SETUP_BARRIER))
		err = karena_pages_init(uh);
	if (!err)
		err = karena_mapped_init(uh);
	if (!err)
		err = karena_stop_init(uh);
	if (!err)
		err = karena_gc_init(&uh->heap);
	if (!err)
		uh->heap.gc->world = &world;
	return err;
}

/* After the collector has ended. */
void karena_collect_exit(struct karena_uheap *uh)
{
	karena_stop_exit(uh);
	karena_mapped_exit(uh);
	karena_pages_exit(uh);
}

/* --- calls --- */

int karena_do_collect(struct karena_heap *heap, const struct karena_collect *req)
{
	if (req->flags & ~KARENA_COLLECT_WAIT || req->reserved)
		return -EINVAL;
	return karena_collect(heap, req->flags & KARENA_COLLECT_WAIT);
}

int karena_do_step(struct karena_uheap *uh, struct karena_step *req)
{
	if (req->flags || !uh->heap.gc)
		return -EINVAL;
	req->ns = karena_gc_step(&uh->heap, req->ns);
	return 0;
}

int karena_do_root(struct karena_uheap *uh, const struct karena_root_range *req)
{
	u8 shift = req->flags / KARENA_ROOT_STACKS(1) & 0x1f;
	const struct karena_range range = {
		.start = req->start,
		/* Empty if it does not fit into the address space. */
		.end = max(req->start + req->length, req->start),
		.extents = req->flags & KARENA_ROOT_EXTENTS,
		.stack_shift = shift,
	};

	if (req->flags & ~(KARENA_ROOT_DEL | KARENA_ROOT_EXTENTS | KARENA_ROOT_STACKS(0x1f)) ||
	    !uh->heap.gc)
		return -EINVAL;
	if (shift && (range.extents || shift < KARENA_MIN_STACK_SHIFT ||
		      shift > KARENA_MAX_STACK_SHIFT))
		return -EINVAL;
	return karena_range_change(uh, &range, !(req->flags & KARENA_ROOT_DEL));
}

/* Words of a program that are about to be overwritten. */
static void shade_words(struct karena_uheap *uh, const u64 *words, u32 count)
{
	/* The end of marking waits for the section. */
	int section = karena_enter(&uh->heap);
	u32 i;

	if (READ_ONCE(uh->heap.head.phase) == KARENA_MARK)
		for (i = 0; i < count; i++)
			karena_shade(uh->heap.gc, words[i]);
	karena_exit(&uh->heap, section);
}

int karena_do_shade(struct karena_uheap *uh, const struct karena_shade *req)
{
	const u64 __user *from = u64_to_user_ptr(req->addrs);
	u32 done, n;
	u64 words[32];

	if (req->flags || req->reserved || !req->count || req->count > KARENA_MAX_BULK ||
	    !uh->heap.gc || uh->written)
		return -EINVAL;
	for (done = 0; done < req->count; done += n) {
		n = min_t(u32, req->count - done, ARRAY_SIZE(words));
		/* Not in a section: it may take as long as the program likes. */
		if (copy_from_user(words, from + done, n * sizeof(*words)))
			return -EFAULT;
		shade_words(uh, words, n);
		karena_stand(uh);
	}
	return 0;
}

static int set_control(struct karena_heap *heap, const struct karena_gc_control *req)
{
	const struct karena_gc_params params = {
		.percent = req->percent,
		.workers = req->workers,
		.min_heap = req->min_heap,
		.mem_limit = req->mem_limit,
		.period_ms = req->period_ms,
		.slice_us = req->slice_us,
		.share = req->share,
		.assist_us = req->assist_us,
		.trace = req->trace,
		.check = req->check,
	};

	return karena_gc_set(heap, &params);
}

int karena_do_gc_control(struct karena_heap *heap, struct karena_gc_control *req)
{
	struct karena_gc_params params;
	int err;

	if (req->flags & ~KARENA_GC_SET || req->trace > 1 || req->check > 1 || req->reserved)
		return -EINVAL;
	if (req->flags & KARENA_GC_SET)
		return set_control(heap, req);
	err = karena_gc_get(heap, &params);
	if (err)
		return err;
	*req = (struct karena_gc_control) {
		.size = req->size,
		.percent = params.percent,
		.workers = params.workers,
		.min_heap = params.min_heap,
		.mem_limit = params.mem_limit,
		.period_ms = params.period_ms,
		.slice_us = params.slice_us,
		.share = params.share,
		.assist_us = params.assist_us,
		.trace = params.trace,
		.check = params.check,
		.id = req->id,
	};
	return 0;
}

int karena_do_gc_info(struct karena_heap *heap, struct karena_gc_info *info)
{
	struct karena_gc_stats stats;

	if (!heap->gc)
		return -EINVAL;
	karena_gc_stats(heap, &stats);
	*info = (struct karena_gc_info) {
		.size = info->size,
		.id = info->id,
		.phase = READ_ONCE(heap->head.phase),
		.cycles = stats.cycles,
		.forced = stats.forced,
		.freed_objects = stats.freed_objects,
		.freed_bytes = stats.freed_bytes,
		.live_bytes = stats.live_bytes,
		.goal_bytes = stats.goal_bytes,
		.marked_objects = stats.marked_objects,
		.marked_bytes = stats.marked_bytes,
		.mark_ns = stats.mark_ns,
		.assist_ns = stats.assist_ns,
		.slices = stats.slices,
		.assists = stats.assists,
		.lost = stats.lost,
		.stops = stats.stops,
		.put_off = stats.put_off,
		.stop_ns = stats.stop_ns,
		.stop_max_ns = stats.stop_max_ns,
		.protect_ns = stats.protect_ns,
		.cleanups = stats.cleanups,
		.cleanups_due = stats.cleanups_due,
		.cleanups_done = stats.cleanups_done,
		.weak = stats.weak,
		.weak_cleared = stats.weak_cleared,
	};
	static_assert(sizeof(info->slice_us) == sizeof(stats.slice_us));
	memcpy(info->slice_us, stats.slice_us, sizeof(info->slice_us));
	memcpy(info->stop_us, stats.stop_us, sizeof(info->stop_us));
	memcpy(info->assist_us, stats.assist_us, sizeof(info->assist_us));
	return 0;
}
