// SPDX-License-Identifier: GPL-2.0
/*
 * Large objects, above 32 KiB: a span each, straight from the page heap.  In a
 * kernel heap those above 64 KiB come from vmalloc() instead, as physically
 * contiguous memory of that size is hard to get; they are in a tree by address
 * and not in the pagemap.
 */
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/vmalloc.h>

#include "internal.h"

/* Cleared at a stretch, as in Go. */
#define CLEAR_BYTES	SZ_256K

static void clear_large(struct karena_heap *heap, unsigned long addr, size_t size, gfp_t gfp)
{
	size_t part;

	for (; size; size -= part, addr += part) {
		part = min_t(size_t, size, CLEAR_BYTES);
		heap->backing->clear(heap, addr, part);
		if (gfpflags_allow_blocking(gfp))
			cond_resched();
	}
}

/* With @sample of an object that is sampled: the span's then. */
static unsigned long make_paged(struct karena_heap *heap, size_t size,
				const struct karena_layout *layout, unsigned int flags,
				gfp_t gfp, struct karena_sample *sample)
{
	unsigned long npages = DIV_ROUND_UP(size, KARENA_PAGE_SIZE);
	struct karena_span *span;
	struct karena_run *run;
	unsigned long base;

	run = karena_mheap_alloc(heap, npages, gfp);
	if (!run)
		return 0;
	size = npages << KARENA_PAGE_SHIFT;
	if (heap->paced)
		heap->paced(heap, size, gfp);
	span = karena_span_new(heap, NULL, layout, run, size, gfp);
	if (!span) {
		karena_mheap_free(heap, run);
		return 0;
	}
	span->sample = sample;
	/* As if nothing were there: whoever frees it asks the kernel. */
	if (sample && heap->backing->publish)
		heap->backing->publish(heap, run, 0);
	if (!run->zeroed && (!(flags & KARENA_NOZERO) || want_init_on_alloc(gfp)))
		clear_large(heap, span->base, size, gfp);
	base = span->base;
	karena_pagemap_set(heap->map, run, span);
	/* Last of all: from here on a wrong free may take it away. */
	smp_store_release(&span->state[0], KARENA_LIVE);
	return base;
}

static unsigned long paged_alloc(struct karena_heap *heap, size_t size,
				 const struct karena_layout *layout, unsigned int flags,
				 gfp_t gfp, struct karena_sample *sample)
{
	unsigned long addr;

	karena_move_begin(heap);
	addr = make_paged(heap, size, layout, flags, gfp, sample);
	karena_move_end(heap);
	return addr;
}

/* At the limit, what is cached or about to be unmapped makes room. */
static int charge_mapped(struct karena_heap *heap, unsigned long npages)
{
	if (!karena_mheap_charge(heap, npages))
		return 0;
	karena_reclaim(heap);
	return karena_mheap_charge(heap, npages);
}

static struct karena_span *mapped_span(struct karena_heap *heap, unsigned long npages,
				       const struct karena_layout *layout, gfp_t gfp)
{
	struct karena_span *span;
	struct karena_run *run;

	if (charge_mapped(heap, npages))
		return NULL;
	run = karena_run_new(0, npages, gfp);
	if (!run)
		goto uncharge;
	span = karena_span_new(heap, NULL, layout, run, npages << KARENA_PAGE_SHIFT, gfp);
	if (!span)
		goto free_run;
	span->mapped = true;
	return span;
free_run:
	karena_run_delete(run);
uncharge:
	karena_mheap_uncharge(heap, npages);
	return NULL;
}

/*
 * Takes a span out of the tree; up to 6.1 that may fail for lack of memory, and
 * is tried again the next time.
 */
static bool mapped_forget(struct karena_span *span)
{
	struct maple_tree *mapped = &span->heap->mapped;

	if (mtree_load(mapped, span->base) != span)
		return true;
	mtree_erase(mapped, span->base);
	return mtree_load(mapped, span->base) != span;
}

static void mapped_delete(struct karena_span *span)
{
	struct karena_heap *heap = span->heap;
	struct karena_run *run;

	if (span->base && !mapped_forget(span)) {
		llist_add(&span->retired, &heap->retired);
		return;
	}
	vfree((void *)span->base);
	karena_move_begin(heap);
	run = karena_span_retire(span);
	karena_mheap_uncharge(heap, run->npages);
	karena_move_end(heap);
	karena_run_delete(run);
}

static unsigned long mapped_alloc(struct karena_heap *heap, size_t size,
				  const struct karena_layout *layout, unsigned int flags,
				  gfp_t gfp)
{
	unsigned long npages = DIV_ROUND_UP(size, KARENA_PAGE_SIZE);
	struct karena_span *span;
	unsigned long base;

	/* vmalloc() takes spinlocks that are not for interrupts. */
	if (!gfpflags_allow_blocking(gfp))
		return 0;
	if (heap->paced)
		heap->paced(heap, size, gfp);
	karena_move_begin(heap);
	span = mapped_span(heap, npages, layout, gfp);
	karena_move_end(heap);
	if (!span)
		return 0;
	base = (unsigned long)__vmalloc(span->large_size, gfp | __GFP_NOWARN |
					(flags & KARENA_NOZERO ? 0 : __GFP_ZERO));
	span->base = base;
	if (!base || mtree_insert_range(&heap->mapped, base, base + span->large_size - 1,
					span, gfp)) {
		mapped_delete(span);
		return 0;
	}
	/* Last of all, as in paged_alloc(). */
	smp_store_release(&span->state[0], KARENA_LIVE);
	return base;
}

unsigned long karena_large_alloc(struct karena_heap *heap, size_t size,
				 const struct karena_layout *layout, unsigned int flags,
				 gfp_t gfp)
{
	/* Also keeps the rounding below from overflowing. */
	if (size > (u64)heap->limit << KARENA_PAGE_SHIFT)
		return 0;
	if (!heap->user && size > KARENA_CHUNK_PAGES * KARENA_PAGE_SIZE)
		return mapped_alloc(heap, size, layout, flags, gfp);
	return paged_alloc(heap, size, layout, flags, gfp, NULL);
}

/* The same in a program's heap of any size, of which @sample is the sample. */
unsigned long karena_large_alloc_sampled(struct karena_heap *heap, size_t size,
					 const struct karena_layout *layout, unsigned int flags,
					 gfp_t gfp, struct karena_sample *sample)
{
	return paged_alloc(heap, size, layout, flags, gfp, sample);
}

/* Span of the large object that @addr is in; call under RCU. */
struct karena_span *karena_large_at(struct karena_heap *heap, unsigned long addr)
{
	struct karena_span *span = karena_span_at(heap, addr);

	if (!span && !heap->user)
		span = mtree_load(&heap->mapped, addr);
	return span && span->heap == heap && !span->central ? span : NULL;
}

static enum karena_reject claim_large(struct karena_span *span, unsigned long addr)
{
	if (!span)
		return KARENA_REJECT_NOT_OBJECT;
	if (addr != span->base)
		return KARENA_REJECT_INTERIOR;
	if (cmpxchg(&span->state[0], KARENA_LIVE, KARENA_CACHED) != KARENA_LIVE)
		return KARENA_REJECT_DOUBLE;
	return KARENA_REJECT_NONE;
}

/*
 * Gives back the span of an object that is nobody's: by the worker if it is
 * mapped, as vfree() may sleep, or if the collector may have its eyes on it.
 */
void karena_large_retire(struct karena_span *span)
{
	struct karena_heap *heap = span->heap;

	if (span->sample)
		heap->gone(heap, span);
	if (!span->mapped && !heap->collected) {
		karena_pagemap_set(heap->map, span->run, NULL);
		karena_span_delete(span);
		return;
	}
	llist_add(&span->retired, &heap->retired);
	karena_reap_want(heap);
}

enum karena_reject karena_large_free(struct karena_heap *heap, unsigned long addr)
{
	struct karena_span *span;
	enum karena_reject why;

	rcu_read_lock();
	span = karena_large_at(heap, addr);
	why = claim_large(span, addr);
	rcu_read_unlock();
	if (why != KARENA_REJECT_NONE)
		return why;
	karena_large_retire(span);
	return KARENA_REJECT_NONE;
}

size_t karena_large_usable(struct karena_heap *heap, unsigned long addr)
{
	struct karena_span *span;
	size_t usable = 0;

	rcu_read_lock();
	span = karena_large_at(heap, addr);
	if (span && addr == span->base && karena_is_live(READ_ONCE(span->state[0])))
		usable = span->large_size;
	rcu_read_unlock();
	return usable;
}

/*
 * Unmaps what was freed.  May sleep; with the mutex, its memory is back even if
 * the worker had begun already.
 */
void karena_large_reap(struct karena_heap *heap)
{
	/* Who waits for the mutex may be in the middle of reclaim. */
	unsigned int noio = memalloc_noio_save();
	struct karena_span *span, *next;
	struct llist_node *list;

	mutex_lock(&heap->reap_lock);
	/* Set before this mutex is taken once: karena_keep_begin(). */
	list = READ_ONCE(heap->keep) ? NULL : llist_del_all(&heap->retired);
	llist_for_each_entry_safe(span, next, list, retired) {
		if (span->mapped) {
			mapped_delete(span);
		} else {
			karena_pagemap_set(heap->map, span->run, NULL);
			karena_span_delete(span);
		}
	}
	mutex_unlock(&heap->reap_lock);
	memalloc_noio_restore(noio);
}

void karena_reap_work(struct work_struct *work)
{
	struct karena_heap *heap = container_of(work, struct karena_heap, reap_work);

	karena_large_reap(heap);
	/* Rough figures will do: what is worth keeping may be less than before. */
	karena_scavenge_look(heap, data_race(heap->free.npages));
}

/* There is something to unmap; any context. */
void karena_reap_want(struct karena_heap *heap)
{
	if (!READ_ONCE(heap->closing))
		queue_work(system_dfl_wq, &heap->reap_work);
}

/* Gives back a span of any kind when its heap goes. */
void karena_span_discard(struct karena_span *span)
{
	struct karena_heap *heap = span->heap;
	struct karena_run *run;

	if (span->mapped) {
		mapped_delete(span);
		return;
	}
	karena_pagemap_set(heap->map, span->run, NULL);
	run = karena_span_retire(span);
	spin_lock_irq(&heap->lock);
	karena_runs_insert(&heap->free, run);
	spin_unlock_irq(&heap->lock);
}
