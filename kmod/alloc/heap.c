// SPDX-License-Identifier: GPL-2.0
/*
 * A heap as a whole: its making and end, and the registry of all heaps.
 */
#include <linux/export.h>
#include <linux/idr.h>
#include <linux/mm.h>
#include <linux/pid.h>
#include <linux/slab.h>

#include "internal.h"

struct xarray karena_heaps = XARRAY_INIT(karena_heaps, XA_FLAGS_ALLOC1);
static u32 next_id;
static DEFINE_IDA(tags);
static struct workqueue_struct *put_wq;	/* emptied when the module goes */

static void put_work(struct work_struct *work)
{
	struct karena_heap *heap = container_of(work, struct karena_heap, put_work);

	karena_heap_teardown(heap);
	heap->backing->destroy(heap);
}

int karena_heap_init(struct karena_heap *heap, const char *name,
		     const struct karena_backing *backing)
{
	heap->tiny = alloc_percpu_gfp(struct karena_tiny_cache, GFP_KERNEL | heap->gfp);
	if (!heap->tiny)
		return -ENOMEM;
	heap->backing = backing;
	spin_lock_init(&heap->lock);
	INIT_LIST_HEAD(&heap->pools);
	INIT_LIST_HEAD(&heap->spans);
	INIT_LIST_HEAD(&heap->large);
	INIT_LIST_HEAD(&heap->large_unswept);
	mt_init_flags(&heap->mapped, MT_FLAGS_USE_RCU);
	INIT_WORK(&heap->reap_work, karena_reap_work);
	karena_scavenger_init(heap);
	INIT_WORK(&heap->put_work, put_work);
	init_llist_head(&heap->retired);
	mutex_init(&heap->reap_lock);
	refcount_set(&heap->ref, 1);
	heap->uid = current_uid();
	heap->pid = get_pid(task_tgid(current));
	strscpy(heap->name, name, sizeof(heap->name));
	return 0;
}

/* Shows a complete heap to others, under a number of its own. */
int karena_heap_register(struct karena_heap *heap)
{
	int err = xa_alloc_cyclic(&karena_heaps, &heap->id, heap, xa_limit_31b,
				  &next_id, GFP_KERNEL);

	if (err < 0) {
		/* It may have been set before it failed. */
		heap->id = 0;
		return err;
	}
	return 0;
}

/* What tells the spans of a collected heap from those of others, until it goes. */
int karena_heap_take_tag(struct karena_heap *heap)
{
	int tag = ida_alloc_range(&tags, 1, U16_MAX, GFP_KERNEL);

	if (tag < 0)
		return tag;
	heap->tag = tag;
	return 0;
}

/* Heap number @id, or with @next the first one above it, with a reference. */
struct karena_heap *karena_heap_find(u32 id, bool next)
{
	unsigned long index = id;
	struct karena_heap *heap;

	xa_lock(&karena_heaps);
	heap = xa_load(&karena_heaps, index);
	if (next)
		heap = xa_find_after(&karena_heaps, &index, ULONG_MAX, XA_PRESENT);
	while (heap && !refcount_inc_not_zero(&heap->ref))
		heap = next ? xa_find_after(&karena_heaps, &index, ULONG_MAX, XA_PRESENT) : NULL;
	xa_unlock(&karena_heaps);
	return heap;
}

KARENA_EXPORT_TEST(karena_heap_find);

/* Gives back all that karena_heap_init() and use have brought.  May sleep. */
void karena_heap_teardown(struct karena_heap *heap)
{
	struct karena_central *central, *following;
	struct karena_span *span, *next;

	if (heap->id)
		xa_erase(&karena_heaps, heap->id);
	karena_gc_exit(heap);
	WRITE_ONCE(heap->closing, true);
	cancel_work_sync(&heap->reap_work);
	cancel_delayed_work_sync(&heap->scavenger.work);
	for (central = heap->centrals; central; central = following) {
		following = central->next;
		karena_central_delete(central);
	}
	karena_types_delete(heap);
	karena_shapes_exit(heap);
	/* Nobody looks anything up any more. */
	mtree_destroy(&heap->mapped);
	karena_large_reap(heap);
	list_for_each_entry_safe(span, next, &heap->spans, all) {
		karena_span_discard(span);
		cond_resched();
	}
	if (heap->tag)
		ida_free(&tags, heap->tag);
	karena_scavenge_now(heap, 0);
	karena_profile_exit(heap);
	karena_group_forget(heap);
	free_percpu(heap->tiny);
	put_pid(heap->pid);
	WARN_ON_ONCE(atomic_long_read(&heap->held));
}

/**
 * karena_heap_create - make a heap for kernel use
 * @name: shown by tools; cut to 31 characters
 * @attr: limit, accounting and collection, NULL for none of these
 *
 * Context: process context, may sleep.
 * Return: the heap, with one reference; ERR_PTR(-ENOMEM), or ERR_PTR(-ENOSPC) for
 * the 65,536th that is collected.
 */
struct karena_heap *karena_heap_create(const char *name, const struct karena_heap_attr *attr)
{
	struct karena_heap *heap = kzalloc(sizeof(*heap), GFP_KERNEL);
	int err;

	if (!heap)
		return ERR_PTR(-ENOMEM);
	heap->base = PAGE_OFFSET;
	heap->map = karena_kernel_map;
	heap->limit = attr && attr->limit ? attr->limit >> KARENA_PAGE_SHIFT : LONG_MAX;
	heap->gfp = attr && attr->account ? __GFP_ACCOUNT : 0;
	err = karena_heap_init(heap, name, &karena_kernel_backing);
	if (err)
		goto free_heap;
	err = attr && attr->collect ? karena_gc_init(heap) : 0;
	if (!err)
		err = karena_heap_register(heap);
	if (!err)
		return heap;
	karena_heap_teardown(heap);
free_heap:
	kfree(heap);
	return ERR_PTR(err);
}
EXPORT_SYMBOL_GPL(karena_heap_create);

/**
 * karena_heap_get - take one more reference to a heap
 * @heap: heap of which the caller holds a reference
 *
 * Context: any.
 * Return: @heap.
 */
struct karena_heap *karena_heap_get(struct karena_heap *heap)
{
	refcount_inc(&heap->ref);
	return heap;
}
EXPORT_SYMBOL_GPL(karena_heap_get);

/**
 * karena_heap_put - drop a reference to a heap
 * @heap: heap, or NULL
 *
 * With the last one the heap goes, and all of its objects with it.
 *
 * Context: process context, may sleep.
 */
void karena_heap_put(struct karena_heap *heap)
{
	if (!heap || !refcount_dec_and_test(&heap->ref))
		return;
	put_work(&heap->put_work);
}
EXPORT_SYMBOL_GPL(karena_heap_put);

/* The same for a caller who holds locks that the end of a heap needs. */
void karena_heap_put_later(struct karena_heap *heap)
{
	if (refcount_dec_and_test(&heap->ref))
		queue_work(put_wq, &heap->put_work);
}

int karena_heaps_init(void)
{
	put_wq = alloc_workqueue("karena_put", WQ_UNBOUND, 0);
	return put_wq ? 0 : -ENOMEM;
}

void karena_heaps_exit(void)
{
	destroy_workqueue(put_wq);
}
