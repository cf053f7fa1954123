// SPDX-License-Identifier: GPL-2.0
/*
 * From a page to its span, in O(1) and without a lock: two levels of tables, as
 * Go's heapArena map.  A leaf covers 4 MiB; once there it stays as long as anybody
 * has one of its pages, and then goes by RCU, so that a reader needs no more than an
 * address dependency, and RCU if it does not know that somebody has the page.
 *
 * Kernel heaps share one map of the linear mapping (a page belongs to one span
 * of one heap); a user heap has its own, of its window.
 */
#include <linux/bitfield.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "internal.h"

struct karena_pagemap *karena_kernel_map;

#define RESCHED_PAGES	4096

/* Of a leaf, as it is charged. */
size_t karena_leaf_bytes(const struct karena_pagemap *map)
{
	struct karena_leaf *leaf;

	return struct_size(leaf, memory, map->has_memory ? KARENA_LEAF_PAGES : 0);
}

struct karena_pagemap *karena_pagemap_new(unsigned long npages, bool has_memory, gfp_t gfp)
{
	unsigned long leaves = DIV_ROUND_UP(npages, KARENA_LEAF_PAGES);
	struct karena_pagemap *map;

	map = kvzalloc(struct_size(map, leaf, leaves), gfp);
	if (!map)
		return NULL;
	map->npages = leaves * KARENA_LEAF_PAGES;
	map->has_memory = has_memory;
	return map;
}

/* Whole pages: a size that kmalloc() would nearly double. */
static struct karena_leaf *new_leaf(struct karena_pagemap *map, gfp_t gfp)
{
	return alloc_pages_exact(karena_leaf_bytes(map), gfp | __GFP_ZERO);
}

static void free_leaf(struct karena_pagemap *map, struct karena_leaf *leaf)
{
	if (leaf)
		free_pages_exact(leaf, karena_leaf_bytes(map));
}

void karena_pagemap_delete(struct karena_pagemap *map)
{
	unsigned long i;

	if (!map)
		return;
	for (i = 0; i < map->npages / KARENA_LEAF_PAGES; i++)
		free_leaf(map, map->leaf[i]);
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
		leaf = new_leaf(map, gfp);
		if (!leaf) {
			atomic_long_add(made, &map->nr_leaves);
			return -ENOMEM;
		}
		/* Full barrier; readers depend on the address they loaded. */
		if (cmpxchg(&map->leaf[i], NULL, leaf))
			free_leaf(map, leaf);
		else
			made++;
	}
	atomic_long_add(made, &map->nr_leaves);
	return made;
}

/* A leaf that nobody can find any more. */
struct dead_leaf {
	struct rcu_head rcu;
	struct karena_leaf *leaf;
	size_t bytes;
};

static void bury(struct rcu_head *rcu)
{
	struct dead_leaf *dead = container_of(rcu, struct dead_leaf, rcu);

	free_pages_exact(dead->leaf, dead->bytes);
	kfree(dead);
}

/* Takes off a leaf whose pages nobody has, nor can get meanwhile; it is the caller's. */
struct karena_leaf *karena_pagemap_cut(struct karena_pagemap *map, unsigned long index)
{
	struct karena_leaf *leaf = map->leaf[index];

	/* Who has looked before is under RCU. */
	WRITE_ONCE(map->leaf[index], NULL);
	atomic_long_dec(&map->nr_leaves);
	return leaf;
}

/* Frees one that was taken off, when nobody looks at it any more.  May sleep. */
void karena_leaf_delete(struct karena_pagemap *map, struct karena_leaf *leaf)
{
	struct dead_leaf *dead = kmalloc(sizeof(*dead), GFP_KERNEL | __GFP_NOWARN);

	if (!dead) {
		synchronize_rcu();
		free_leaf(map, leaf);
		return;
	}
	dead->leaf = leaf;
	dead->bytes = karena_leaf_bytes(map);
	call_rcu(&dead->rcu, bury);
}

/* Memory that a map takes, all together. */
size_t karena_pagemap_bytes(struct karena_pagemap *map)
{
	return struct_size(map, leaf, map->npages / KARENA_LEAF_PAGES) +
	       atomic_long_read(&map->nr_leaves) * karena_leaf_bytes(map);
}

/* What a marker finds in the entries of a span's pages, but for which of them it is. */
static unsigned long span_info(const struct karena_span *span)
{
	unsigned long info;

	if (!span || !span->mark)
		return 0;
	info = FIELD_PREP(KARENA_INFO_TAG, span->heap->tag);
	if (span->info == &span->far_info)
		return info | BIT(KARENA_INFO_FAR);
	if (span->layout->kind == KARENA_LAYOUT_NOSCAN)
		info |= BIT(KARENA_INFO_NOSCAN);
	return info | FIELD_PREP(KARENA_INFO_CLASS, span->central->class) |
	       FIELD_PREP(KARENA_INFO_SHAPE, span->central->shape);
}

static void set_entry(struct karena_page *entry, struct karena_span *span, unsigned long info)
{
	/* Marks are of who has the tag: nobody from here, and then the new span. */
	WRITE_ONCE(entry->info, 0);
	WRITE_ONCE(entry->mark[0], 0);
	WRITE_ONCE(entry->mark[1], 0);
	/* Pairs with READ_ONCE() in karena_map_span(): the span is complete. */
	smp_store_release(&entry->span, span);
	/* Pairs with mark_ref() in gc/mark.c: so is all of the entry. */
	smp_store_release(&entry->info, info);
}

void karena_pagemap_set(struct karena_pagemap *map, const struct karena_run *run,
			struct karena_span *span)
{
	unsigned long info = span_info(span), i;

	for (i = 0; i < run->npages; i++) {
		set_entry(karena_pagemap_get(map, run->start + i), span,
			  info & KARENA_INFO_CLASS ? info | FIELD_PREP(KARENA_INFO_PAGE, i) : info);
		/* Only user heaps have runs that long, and may sleep here. */
		if (i % RESCHED_PAGES == RESCHED_PAGES - 1)
			cond_resched();
	}
}
