// SPDX-License-Identifier: GPL-2.0
/*
 * Calls about the memory that a heap holds: to give it back, to limit it, and to explain
 * it; and what becomes of programs that allocate above a limit.
 */
#include <linux/mm.h>
#include <linux/poll.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "kmod/observe/stats.h"
#include "user.h"

#define MOST_WAIT	1000u		/* ms; a clone may have to wait for it */

/* --- to give back --- */

static u64 meta_of(struct karena_heap *heap)
{
	return atomic_long_read(&heap->meta) + (heap->user ? karena_pagemap_bytes(heap->map) : 0);
}

static int reclaim(struct karena_heap *heap, struct karena_reclaim *req)
{
	u64 meta = meta_of(heap), now;
	int err = 0;

	if (req->flags & KARENA_RECLAIM_COLLECT)
		err = karena_collect(heap, true);
	if (err)
		return err;
	req->returned = karena_heap_reclaim(heap);
	now = meta_of(heap);
	req->meta = meta - min(now, meta);
	return 0;
}

/* With a reference to the heap that the caller names. */
int karena_do_reclaim(struct karena_heap *heap, struct karena_reclaim *req)
{
	struct karena_uheap *uh = heap->user ? to_uheap(heap) : NULL;
	int err;

	if (req->flags & ~KARENA_RECLAIM_COLLECT || req->reserved)
		return -EINVAL;
	if (uh && karena_calls_enter(uh))
		return -EINTR;
	err = reclaim(heap, req);
	if (uh)
		karena_calls_exit(uh);
	return err;
}

/* --- limits --- */

static int set_soft_limit(struct karena_heap *heap, u64 limit)
{
	struct karena_gc_params params;
	int err;

	if (!heap->gc) {
		WRITE_ONCE(heap->soft_limit, limit);
		karena_over_look(heap);
		return 0;
	}
	err = karena_gc_get(heap, &params);
	params.mem_limit = limit;
	return err ? err : karena_gc_set(heap, &params);
}

static int set_memory(struct karena_heap *heap, const struct karena_memory *req)
{
	bool waits = req->policy == KARENA_OVER_WAIT;
	int err;

	if (req->eager > 1 || req->policy > KARENA_OVER_FAIL || req->over ||
	    req->wait_ms > MOST_WAIT || (req->wait_ms && !waits))
		return -EINVAL;
	err = set_soft_limit(heap, req->soft_limit);
	if (err)
		return err;
	WRITE_ONCE(heap->wait_ms, req->wait_ms);
	WRITE_ONCE(heap->policy, req->policy);
	WRITE_ONCE(heap->scavenger.eager, req->eager);
	karena_scavenge_want(heap);
	return 0;
}

int karena_do_memory(struct karena_heap *heap, struct karena_memory *req)
{
	if (req->flags & ~KARENA_MEMORY_SET || req->reserved)
		return -EINVAL;
	if (req->flags & KARENA_MEMORY_SET)
		return set_memory(heap, req);
	req->eager = READ_ONCE(heap->scavenger.eager);
	req->policy = READ_ONCE(heap->policy);
	req->wait_ms = READ_ONCE(heap->wait_ms);
	req->soft_limit = READ_ONCE(heap->soft_limit);
	req->over = karena_over(heap);
	return 0;
}

/*
 * Before a call allocates, not in a section: above a limit it waits, if that is the heap's
 * policy, for room or for long enough.
 */
void karena_admit(struct karena_uheap *uh)
{
	struct karena_heap *heap = &uh->heap;

	if (READ_ONCE(heap->policy) != KARENA_OVER_WAIT || !karena_over(heap))
		return;
	if (heap->gc && karena_pacer_has_garbage(heap->gc))
		karena_collect(heap, false);
	karena_scavenge_want(heap);
	wait_event_killable_timeout(karena_over_wait, !karena_over(heap),
				    msecs_to_jiffies(READ_ONCE(heap->wait_ms)));
}

__poll_t karena_over_poll(struct karena_uheap *uh, struct file *file, poll_table *wait)
{
	poll_wait(file, &karena_over_wait, wait);
	return karena_over(&uh->heap) ? EPOLLPRI : 0;
}

/* --- to explain --- */

static void add_up(struct karena_explain *out, const struct karena_explain_class *class)
{
	out->live_bytes += class->live_bytes;
	out->garbage_bytes += class->garbage_bytes;
	out->cached_bytes += class->cached_bytes;
	out->slot_bytes += class->free_bytes;
	out->tail_bytes += class->tail_bytes;
}

/* All that there is to tell; both are zeroed by the caller. */
void karena_explain_all(struct karena_heap *heap, struct karena_explain *out,
			struct karena_explain_class *classes)
{
	unsigned int i;

	karena_explain_heap(heap, out, classes);
	if (heap->user) {
		karena_magazines_explain(to_uheap(heap), classes);
		out->meta_region_bytes = karena_region_bytes(&to_uheap(heap)->control) +
					 karena_region_bytes(&to_uheap(heap)->magazines);
		/* Counted among the others. */
		out->meta_span_bytes -= min(out->meta_span_bytes, out->meta_region_bytes);
	}
	for (i = 0; i < KARENA_NR_CLASSES; i++)
		add_up(out, &classes[i]);
	out->meta_bytes = out->meta_span_bytes + out->meta_map_bytes + out->meta_region_bytes +
			  out->meta_class_bytes + out->meta_gc_bytes;
}

/* Those in use, as many as there is room for. */
static int tell_classes(struct karena_explain *out, const struct karena_explain_class *classes,
			u32 room)
{
	struct karena_explain_class __user *to = u64_to_user_ptr(out->classes);
	unsigned int i;

	for (i = 0; i < KARENA_NR_CLASSES; i++) {
		if (!classes[i].spans)
			continue;
		if (out->count < room && copy_to_user(to + out->count, &classes[i], sizeof(*to)))
			return -EFAULT;
		out->count++;
	}
	return 0;
}

int karena_do_explain(struct karena_heap *heap, struct karena_explain *req)
{
	struct karena_explain_class *classes;
	u32 room = req->count;
	int err;

	if (req->reserved)
		return -EINVAL;
	classes = kcalloc(KARENA_NR_CLASSES, sizeof(*classes), GFP_KERNEL_ACCOUNT);
	if (!classes)
		return -ENOMEM;
	*req = (struct karena_explain) {
		.size = req->size,
		.id = heap->id,
		.classes = req->classes,
	};
	karena_explain_all(heap, req, classes);
	err = tell_classes(req, classes, room);
	kfree(classes);
	return err;
}
