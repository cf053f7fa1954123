/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The fast paths, and the structures that they touch.  Inline, as every cycle
 * counts: they are compiled into karena_alloc() and karena_free(), and into the
 * kernel callers of karena_new() and karena_del().  Nothing here is for them to
 * use in any other way.
 *
 * Two magazines a CPU and span class: an allocation pops from the loaded one, a
 * free pushes to it; when it is empty or full the two change places, and only
 * when the other is no better a magazine goes to the depot.  So no sequence of
 * operations goes to the depot more often than once in a magazine's length
 * (Bonwick and Adams, "Magazines and Vmem", USENIX 2001, section 3.1).
 *
 * What makes it safe, with preemption off and without masking interrupts:
 * mc->busy.  An interrupt handler that finds it set has interrupted the fast
 * path and goes to the depot instead; one that finds it clear runs to its end
 * before the interrupted code goes on, which sees all of it or nothing.  Nobody
 * touches another CPU's cache, but for that of a dead one.
 */
#ifndef _KARENA_ALLOC_FAST_H
#define _KARENA_ALLOC_FAST_H

#include <linux/bits.h>
#include <linux/list.h>
#include <linux/llist.h>
#include <linux/percpu.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/types.h>

#define KARENA_PAGE_SHIFT	13

struct karena_central;
struct karena_heap;
struct karena_run;

/*
 * What is known of one slot of a span, a byte each, so that the fast path
 * changes it by a plain store:
 *
 *	state    bitmap  who has it            changed by
 *	FREE     1       the span              central lock
 *	CACHED   0       a magazine or depot   who holds the magazine
 *	LIVE     0       the user              free: LIVE -> CACHED
 *	TINY     0       the user, in parts    last part: TINY -> CACHED
 *
 * In a user heap LIVE -> CACHED is an atomic exchange, as two processes may
 * well free one object at the same time.  Kernel callers are trusted not to do
 * that at the very same instant on two CPUs; any other double free is seen.
 */
enum karena_state {
	KARENA_FREE,
	KARENA_CACHED,
	KARENA_LIVE,
	KARENA_TINY,
};

/*
 * A run of pages holding objects of one class.  Found without a lock through
 * the pagemap, hence freed by RCU.  The first line is all that a free reads.
 */
struct karena_span {
	struct karena_heap *heap;
	unsigned long base;		/* address of the first object */
	u8 *state;			/* nelems of enum karena_state */
	struct karena_central *central;	/* NULL for a large object */
	u32 size;			/* of an object; 0: see large_size */
	u32 magic;			/* offset * magic >> 32 is the index */
	u32 nelems;

	u32 nfree;			/* central lock */
	u32 hint;			/* first word of free that may have a bit */
	struct list_head list;		/* central->partial, central lock */
	struct list_head all;		/* heap->spans, mheap lock */
	struct karena_run *run;
	size_t large_size;		/* bytes of a large object */
	struct llist_node retired;	/* heap->retired: to be unmapped */
	bool mapped;			/* a large object from vmalloc() */
	u16 *tiny;			/* see tiny.c */
	struct rcu_head rcu;
	unsigned long free[];		/* bitmap of free slots, central lock */
};

/* One page of the pagemap. */
struct karena_page {
	struct karena_span *span;	/* NULL: not in a span */
	struct page *page;		/* user heaps: its first machine page */
};

#define KARENA_LEAF_SHIFT	9
#define KARENA_LEAF_PAGES	BIT(KARENA_LEAF_SHIFT)

struct karena_leaf {
	struct karena_page page[KARENA_LEAF_PAGES];
};

struct karena_pagemap {
	unsigned long npages;
	struct karena_leaf *leaf[];
};

struct karena_slot {
	unsigned long addr;
	u8 *state;
};

struct karena_magazine {
	u32 nr;
	u32 cap;
	union {
		struct list_head list;		/* in the depot */
		struct llist_node drained;	/* on its way there, from a CPU */
	};
	struct karena_slot slot[];
};

/*
 * What one CPU keeps of one span class.  Owned by who set busy, with preemption
 * off; an interrupt that finds it set goes to the central instead.
 */
struct karena_mcache {
	u32 busy;
	struct karena_magazine *loaded;
	struct karena_magazine *previous;
	u64 allocs;
	u64 frees;
};

/* Entry of a page, NULL when nothing was ever there. */
static __always_inline struct karena_page *
karena_pagemap_get(struct karena_pagemap *map, unsigned long page)
{
	struct karena_leaf *leaf;

	if (unlikely(page >= map->npages))
		return NULL;
	/* Pairs with the cmpxchg in karena_pagemap_populate(). */
	leaf = READ_ONCE(map->leaf[page >> KARENA_LEAF_SHIFT]);
	if (unlikely(!leaf))
		return NULL;
	return &leaf->page[page & (KARENA_LEAF_PAGES - 1)];
}

/* Span at an address; call with preemption off or under RCU. */
static __always_inline struct karena_span *
karena_map_span(struct karena_pagemap *map, unsigned long base, unsigned long addr)
{
	struct karena_page *entry;

	entry = karena_pagemap_get(map, (addr - base) >> KARENA_PAGE_SHIFT);
	if (unlikely(!entry))
		return NULL;
	/* Pairs with smp_store_release() in karena_pagemap_set(). */
	return READ_ONCE(entry->span);
}

/* Index of the object that an offset in its span falls into. */
static __always_inline u32 karena_span_index(const struct karena_span *span, u32 offset)
{
	return ((u64)offset * span->magic) >> 32;
}

static __always_inline bool mcache_enter(struct karena_mcache *mc)
{
	/* READ_ONCE and WRITE_ONCE: shared with this CPU's interrupts. */
	if (unlikely(READ_ONCE(mc->busy)))
		return false;
	WRITE_ONCE(mc->busy, 1);
	barrier();
	return true;
}

static __always_inline void mcache_exit(struct karena_mcache *mc)
{
	barrier();
	WRITE_ONCE(mc->busy, 0);
}

/* A magazine with something in it, if this CPU has one; else NULL. */
static __always_inline struct karena_magazine *mcache_full(struct karena_mcache *mc)
{
	struct karena_magazine *mag = mc->loaded;

	if (likely(mag->nr))
		return mag;
	swap(mc->loaded, mc->previous);
	return mc->loaded->nr ? mc->loaded : NULL;
}

/* A magazine with room in it, if this CPU has one; else NULL. */
static __always_inline struct karena_magazine *mcache_room(struct karena_mcache *mc)
{
	struct karena_magazine *mag = mc->loaded;

	if (likely(mag->nr != mag->cap))
		return mag;
	swap(mc->loaded, mc->previous);
	return mc->loaded->nr != mc->loaded->cap ? mc->loaded : NULL;
}

/*
 * Takes the last slot of a magazine that has one, unless it is not sound: then
 * nothing is changed and its address is 0.  The counters of a cache are read by
 * statistics, from other CPUs.
 */
static __always_inline struct karena_slot mcache_pop(struct karena_mcache *mc,
						     struct karena_magazine *mag)
{
	u32 nr = mag->nr - 1;
	struct karena_slot slot = mag->slot[nr];

	if (unlikely(READ_ONCE(*slot.state) != KARENA_CACHED))
		return (struct karena_slot){};
	mag->nr = nr;
	WRITE_ONCE(mc->allocs, mc->allocs + 1);
	return slot;
}

static __always_inline void mcache_push(struct karena_mcache *mc, struct karena_magazine *mag,
					unsigned long addr, u8 *state)
{
	u32 nr = mag->nr;

	mag->slot[nr] = (struct karena_slot){ addr, state };
	mag->nr = nr + 1;
	WRITE_ONCE(mc->frees, mc->frees + 1);
}

/*
 * Takes an object from this CPU's magazine, if it has one, is not busy and the
 * slot is sound; else nothing is changed and the address is 0.
 */
static __always_inline struct karena_slot
karena_take_fast(struct karena_mcache __percpu *cache)
{
	struct karena_slot slot = {};
	struct karena_magazine *mag;
	struct karena_mcache *mc;

	preempt_disable();
	mc = this_cpu_ptr(cache);
	if (likely(mcache_enter(mc))) {
		mag = mcache_full(mc);
		if (likely(mag))
			slot = mcache_pop(mc, mag);
		mcache_exit(mc);
	}
	preempt_enable();
	return slot;
}

/* Gives a slot that is CACHED to this CPU's magazine; call with preemption off. */
static __always_inline bool karena_give_fast(struct karena_mcache __percpu *cache,
					     unsigned long addr, u8 *state)
{
	struct karena_magazine *mag = NULL;
	struct karena_mcache *mc;

	mc = this_cpu_ptr(cache);
	if (likely(mcache_enter(mc))) {
		mag = mcache_room(mc);
		if (likely(mag))
			mcache_push(mc, mag, addr, state);
		mcache_exit(mc);
	}
	return mag;
}

/*
 * State of the object of a size class that begins at @addr in @span; NULL if
 * none does.  What is behind the last object has a state too, never LIVE.
 */
static __always_inline u8 *karena_span_state(const struct karena_span *span,
					     unsigned long addr)
{
	u32 offset = addr - span->base;
	u32 index = karena_span_index(span, offset);

	return likely(index * span->size == offset) ? &span->state[index] : NULL;
}

/* LIVE -> CACHED, for trusted callers: see enum karena_state. */
static __always_inline bool karena_claim(u8 *state)
{
	if (unlikely(READ_ONCE(*state) != KARENA_LIVE))
		return false;
	WRITE_ONCE(*state, KARENA_CACHED);
	return true;
}

#endif /* _KARENA_ALLOC_FAST_H */
