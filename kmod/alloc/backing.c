// SPDX-License-Identifier: GPL-2.0
/*
 * Memory of kernel heaps: chunks of the linear mapping from the page allocator,
 * split at once, so that each machine page can go back on its own and runs of
 * neighbouring chunks may merge.
 */
#include <linux/mm.h>

#include "internal.h"

static unsigned long chunk_start(struct page *page)
{
	return ((unsigned long)page_address(page) - PAGE_OFFSET) >> KARENA_PAGE_SHIFT;
}

static void free_chunk(unsigned long start, unsigned long npages)
{
	unsigned long addr = PAGE_OFFSET + (start << KARENA_PAGE_SHIFT);
	unsigned long i;

	for (i = 0; i < npages * KARENA_SUBPAGES; i++)
		__free_page(virt_to_page((void *)(addr + i * PAGE_SIZE)));
}

static struct karena_run *get_chunk(struct karena_heap *heap, unsigned int order, gfp_t gfp)
{
	unsigned long npages = 1UL << (order - KARENA_PAGE_ORDER);
	struct karena_run *run;
	struct page *page;

	if (karena_mheap_charge(heap, npages))
		return NULL;
	run = karena_run_new(0, npages, gfp);
	if (!run)
		goto uncharge;
	page = alloc_pages(gfp, order);
	if (!page)
		goto free_run;
	split_page(page, order);
	run->start = chunk_start(page);
	/* The map is everybody's, and stays. */
	if (karena_pagemap_populate(heap->map, run->start, npages, gfp & ~__GFP_ACCOUNT) >= 0)
		return run;
	free_chunk(run->start, npages);
free_run:
	karena_run_delete(run);
uncharge:
	karena_mheap_uncharge(heap, npages);
	return NULL;
}

static struct karena_run *kernel_grow(struct karena_heap *heap, unsigned long n, gfp_t gfp)
{
	unsigned int order = get_order(n << KARENA_PAGE_SHIFT);
	struct karena_run *run = NULL, *rest;
	unsigned long flags;

	/* What stays behind for the next ones is not worth a fight for memory. */
	if (order < KARENA_CHUNK_ORDER)
		run = get_chunk(heap, KARENA_CHUNK_ORDER,
				(gfp & ~__GFP_DIRECT_RECLAIM) | __GFP_NOWARN | __GFP_NORETRY);
	if (!run)
		run = get_chunk(heap, order, gfp | __GFP_NOWARN);
	if (!run || run->npages == n)
		return run;

	rest = karena_run_new(run->start + n, run->npages - n, gfp);
	if (!rest) {
		heap->backing->release(heap, run);
		return NULL;
	}
	run->npages = n;
	spin_lock_irqsave(&heap->lock, flags);
	karena_runs_insert(&heap->free, rest);
	spin_unlock_irqrestore(&heap->lock, flags);
	return run;
}

static void kernel_release(struct karena_heap *heap, struct karena_run *run)
{
	free_chunk(run->start, run->npages);
	karena_mheap_uncharge(heap, run->npages);
	karena_run_delete(run);
}

static bool kernel_try_release(struct karena_heap *heap, struct karena_run *run)
{
	kernel_release(heap, run);
	return true;
}

static void kernel_clear(struct karena_heap *heap, unsigned long addr, size_t size)
{
	memset((void *)addr, 0, size);
}

static void kernel_destroy(struct karena_heap *heap)
{
	kfree(heap);
}

const struct karena_backing karena_kernel_backing = {
	.grow = kernel_grow,
	.release = kernel_release,
	.try_release = kernel_try_release,
	.clear = kernel_clear,
	.destroy = kernel_destroy,
};
