// SPDX-License-Identifier: GPL-2.0
/*
 * Limits of what heaps hold.  The hard one, of each heap, is never passed: memory is
 * counted before it is asked for.  Soft ones, of a heap and of all together, are what
 * collection and the return of memory work for (gc/pacer.c, scavenge.c); above them a
 * heap is over, which programs can wait for, and its policy says what becomes of calls.
 */
#include <linux/moduleparam.h>
#include <linux/wait.h>

#include "internal.h"

static unsigned long soft_limit;
module_param(soft_limit, ulong, 0644);
MODULE_PARM_DESC(soft_limit, "bytes that all heaps together are to hold at most, 0: any (0)");

static atomic_long_t all_held;		/* pages of all heaps */

/* For any heap to be over, or not any more; there is little of either. */
DECLARE_WAIT_QUEUE_HEAD(karena_over_wait);

u64 karena_all_held(void)
{
	return (u64)atomic_long_read(&all_held) << KARENA_PAGE_SHIFT;
}

u64 karena_all_limit(void)
{
	return READ_ONCE(soft_limit);
}

/* Whose limit a heap is over just now: KARENA_OVER_*. */
unsigned int karena_over(struct karena_heap *heap)
{
	u64 held = (u64)atomic_long_read(&heap->held) << KARENA_PAGE_SHIFT;
	u64 limit = READ_ONCE(heap->soft_limit), all = karena_all_limit();
	unsigned int over = 0;

	if (limit && held > limit)
		over |= KARENA_OVER_HEAP;
	/* One that holds nothing has nothing to do with it. */
	if (all && held && karena_all_held() > all)
		over |= KARENA_OVER_MODULE;
	return over;
}

KARENA_EXPORT_TEST(karena_over);

/* What it holds, or a limit, has changed; any context. */
void karena_over_look(struct karena_heap *heap)
{
	unsigned int over = karena_over(heap);

	if (xchg(&heap->over, over) == over)
		return;
	/* The xchg() orders it before: who waits adds itself, and looks again. */
	if (wq_has_sleeper(&karena_over_wait))
		wake_up_all(&karena_over_wait);
	if (over)
		karena_scavenge_want(heap);
}

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

/* Where it ends, in pages. */
static unsigned long end_of(struct karena_heap *heap)
{
	u64 limit = READ_ONCE(heap->soft_limit) >> KARENA_PAGE_SHIFT;

	if (READ_ONCE(heap->policy) != KARENA_OVER_FAIL)
		return heap->limit;
	if (karena_over(heap) & KARENA_OVER_MODULE)
		return 0;
	return limit ? min_t(u64, limit, heap->limit) : heap->limit;
}

int karena_mheap_charge(struct karena_heap *heap, unsigned long n)
{
	int err;

	if (!karena_add_below(&heap->held, n, end_of(heap)))
		return -ENOMEM;
	err = heap->backing->charge ? heap->backing->charge(heap, n) : 0;
	if (err) {
		atomic_long_sub(n, &heap->held);
		return err;
	}
	atomic_long_add(n, &all_held);
	karena_over_look(heap);
	return 0;
}

void karena_mheap_uncharge(struct karena_heap *heap, unsigned long n)
{
	if (heap->backing->uncharge)
		heap->backing->uncharge(heap, n);
	atomic_long_sub(n, &all_held);
	atomic_long_sub(n, &heap->held);
	karena_over_look(heap);
}
