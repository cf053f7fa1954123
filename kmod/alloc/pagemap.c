// SPDX-License-Identifier: GPL-2.0
/*
 * From a page to its span, in O(1) and without a lock: two levels of tables, as
 * Go's heapArena map.  A leaf covers 4 MiB; once there it stays as long as the
 * map does, so that a reader needs no more than an address dependency.
 *
 * Kernel heaps share one map of the linear mapping (a page belongs to one span
 * of one heap); a user heap has its own, of its window.
 */
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "internal.h"

struct karena_pagemap *karena_kernel_map;

#define RESCHED_PAGES	4096

struct karena_pagemap *karena_pagemap_new(unsigned long npages, gfp_t gfp)
{
	unsigned long leaves = DIV_ROUND_UP(npages, KARENA_LEAF_PAGES);
	struct karena_pagemap *map;

	map = kvzalloc(struct_size(map, leaf, leaves), gfp);
	if (map)
		map->npages = leaves * KARENA_LEAF_PAGES;
	return map;
}

void karena_pagemap_delete(struct karena_pagemap *map)
{
	unsigned long i;

	if (!map)
		return;
	for (i = 0; i < map->npages / KARENA_LEAF_PAGES; i++)
		kfree(map->leaf[i]);
	kvfree(map);
}

/*
 * Makes the leaves for @n pages from @start on; returns how many were missing,
 * -ENOMEM without memory, -ERANGE outside of the map.
 */
int karena_pagemap_populate(struct karena_pagemap *map, unsigned long start,
			    unsigned long n, gfp_t gfp)
{
	struct karena_leaf *leaf;
	unsigned long i;
	int made = 0;

	if (start >= map->npages || n > map->npages - start)
		return -ERANGE;
	for (i = start >> KARENA_LEAF_SHIFT; i <= (start + n - 1) >> KARENA_LEAF_SHIFT; i++) {
		if (READ_ONCE(map->leaf[i]))
			continue;
		leaf = kzalloc(sizeof(*leaf), gfp);
		if (!leaf)
			return -ENOMEM;
		/* Full barrier; readers depend on the address they loaded. */
		if (cmpxchg(&map->leaf[i], NULL, leaf))
			kfree(leaf);
		else
			made++;
	}
	return made;
}

void karena_pagemap_set(struct karena_pagemap *map, const struct karena_run *run,
			struct karena_span *span)
{
	unsigned long i;

	for (i = run->start; i < run->start + run->npages; i++) {
		/* Pairs with READ_ONCE() in karena_map_span(): the span is complete. */
		smp_store_release(&karena_pagemap_get(map, i)->span, span);
		/* Only user heaps have runs that long, and may sleep here. */
		if ((i - run->start) % RESCHED_PAGES == RESCHED_PAGES - 1)
			cond_resched();
	}
}
