// SPDX-License-Identifier: GPL-2.0
/*
 * Regions of a heap beside its window: pages that the kernel and programs share, made
 * when they are first needed.  Each counts as a page of the user's.
 */
#include <linux/mm.h>

#include "user.h"

#define REGION_GFP	(GFP_KERNEL_ACCOUNT | __GFP_ZERO | __GFP_RETRY_MAYFAIL | __GFP_NOWARN)

void karena_region_init(struct karena_region *region, unsigned long size,
			void (*fill)(struct karena_uheap *uh, void *memory, pgoff_t pgoff))
{
	xa_init(&region->pages);
	region->size = size;
	region->fill = fill;
}

/* Page @pgoff, with no reference of the caller's; NULL if there is none yet. */
void *karena_region_find(struct karena_region *region, pgoff_t pgoff)
{
	struct page *page = xa_load(&region->pages, pgoff);

	return page ? page_address(page) : NULL;
}

/* The same, made if there is none; NULL without memory. */
struct page *karena_region_page(struct karena_uheap *uh, struct karena_region *region,
				pgoff_t pgoff)
{
	struct page *page = xa_load(&region->pages, pgoff), *old;

	if (page)
		return page;
	if (karena_user_charge(uh->user, 1))
		return NULL;
	page = alloc_page(REGION_GFP);
	if (!page)
		goto uncharge;
	if (region->fill)
		region->fill(uh, page_address(page), pgoff);
	old = xa_cmpxchg(&region->pages, pgoff, NULL, page, REGION_GFP & ~__GFP_ZERO);
	if (!old) {
		atomic_long_add(PAGE_SIZE, &uh->heap.meta);
		return page;
	}
	__free_page(page);
	page = xa_is_err(old) ? NULL : old;
uncharge:
	karena_user_uncharge(uh->user, 1);
	return page;
}

/* Memory that it takes. */
size_t karena_region_bytes(struct karena_region *region)
{
	struct page *page;
	size_t bytes = 0;
	unsigned long i;

	xa_for_each(&region->pages, i, page)
		bytes += PAGE_SIZE;
	return bytes;
}

void karena_region_destroy(struct karena_uheap *uh, struct karena_region *region)
{
	struct page *page;
	unsigned long i;

	xa_for_each(&region->pages, i, page) {
		put_page(page);
		karena_user_uncharge(uh->user, 1);
	}
	xa_destroy(&region->pages);
}
