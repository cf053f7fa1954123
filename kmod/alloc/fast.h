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
struct karena_sample;

/*
 * Who has a slot of a span.  In a user heap that is told by a byte for each:
 *
 *	state    bitmap  who has it            changed by
 *	FREE     1       the span              central lock
 *	CACHED   0       a magazine or depot   who holds the magazine
 *	LIVE     0       the user              free: LIVE -> CACHED
 *	SPECIAL  0       the user              gc/special.c: LIVE <-> SPECIAL
 *	TINY     0       the user, in parts    last part: TINY -> CACHED
 *
 * LIVE -> CACHED is an atomic exchange, as two processes may well free one
 * object at the same time.  One that is SPECIAL is not free before the collector has
 * been told.
 *
 * In a kernel heap such bytes would share cache lines that CPUs fight for at
 * each allocation and free, and nothing untrusted writes to the objects.  So what
 * is free there has a seal in its first word, on a line that its user has just
 * had: its own address, and a secret.  A double free is seen by the seal, unless
 * the object was written to after the first one; that is seen when it is to be
 * handed out.  Kernel callers are trusted not to free an object twice at the very
 * same instant on two CPUs; that too is seen as late as when it is handed out.
 * Only spans of the tiny allocator have states in a kernel heap, to tell a block
 * that is in use from an object.
 */
enum karena_state {
	KARENA_FREE,
	KARENA_CACHED,
	KARENA_LIVE,
	KARENA_TINY,
	KARENA_SPECIAL,
};

/* Of a whole object: it is the user's. */
static inline bool karena_is_live(u8 state)
{
	return state == KARENA_LIVE || state == KARENA_SPECIAL;
}

/*
 * A run of pages holding objects of one class.  Found without a lock through
 * the pagemap, hence freed by RCU.  The first line is all that a free reads.
 */
struct karena_span {
	struct karena_heap *heap;
	unsigned long base;		/* address of the first object */
	u8 *state;			/* nelems + 1 of enum karena_state, or NULL */
	struct karena_central *central;	/* NULL for a large object */
	u32 size;			/* of an object; 0: see large_size */
	u32 magic;			/* offset * magic >> 32 is the index */
	u32 nelems;
	bool mapped;			/* a large object from vmalloc() */
	const struct karena_layout *layout;
	unsigned long *mark;		/* bits of objects; NULL if never collected */

	/* Written by refill and flush: on another line than what a free reads. */
	u32 nfree;			/* central lock */
	u32 hint;			/* first word of free that may have a bit */
	u32 swept;			/* cycle after which it was, central lock */
	u32 born;			/* cycle that began last when it was made */
	u16 *tiny;			/* see tiny.c */

	/* Of the collector, see gc/queue.c; but for info all is of who has set QUEUED. */
	struct llist_node grey;		/* in a batch of spans with grey objects */
	struct list_head batch;		/* of the first in a batch */
	unsigned long *info;		/* of its first page, or far_info */
	unsigned long *scanned;		/* bits of objects that have been */

	unsigned long far_info;
	size_t scan_at;			/* how far a large object has been scanned */
	struct karena_run *run;
	struct list_head list;		/* of the central, central lock */
	struct list_head all;		/* heap->spans, mheap lock */
	size_t large_size;		/* bytes of a large object */
	struct llist_node retired;	/* heap->retired: to be unmapped */
	struct karena_sample *sample;	/* observe/profile.c; NULL if it is not sampled */
	struct rcu_head rcu;
	unsigned long free[];		/* bitmap of free slots, central lock */
};

/*
 * One page of the pagemap.  A reference that is followed costs one cache line, this
 * one: what a marker wants to know of the page is in info, and the marks of spans
 * with up to 128 objects are in the entry of their first page.
 */
struct karena_page {
	struct karena_span *span;	/* NULL: not in a span */
	unsigned long info;		/* 0 unless a collected heap's */
	unsigned long mark[2];
};

/* Of info. */
#define KARENA_INFO_CLASS	GENMASK_ULL(7, 0)
#define KARENA_INFO_PAGE	GENMASK_ULL(11, 8)	/* of the span */
#define KARENA_INFO_SHAPE	GENMASK_ULL(47, 32)	/* of the central */
#define KARENA_INFO_TAG		GENMASK_ULL(63, 48)	/* of the heap */
enum karena_info_bits {
	KARENA_INFO_FAR = 12,		/* no more than this and the tag: see the span */
	KARENA_INFO_NOSCAN,		/* layout says so */
	KARENA_INFO_QUEUED,		/* of the first page, or of far_info: atomic */
};

#define KARENA_LEAF_SHIFT	9
#define KARENA_LEAF_PAGES	BIT(KARENA_LEAF_SHIFT)

struct karena_leaf {
	struct karena_page page[KARENA_LEAF_PAGES];
	unsigned long memory[];		/* user heaps, see karena_memory_of() */
};

/*
 * What the collector does with a heap, see gc/cycle.c.  Until a span is swept
 * after a cycle, its mark bits tell what of it is live.
 */
enum karena_phase {
	KARENA_IDLE,
	KARENA_MARK,			/* what leaves a span is marked */
	KARENA_SWEEP,
};

/* The begin of struct karena_heap. */
struct karena_heap_head {
	u8 phase;			/* enum karena_phase */
};

struct karena_pagemap {
	unsigned long npages;
	bool has_memory;		/* leaves do */
	atomic_long_t nr_leaves;
	struct karena_leaf *leaf[];
};

struct karena_magazine {
	u32 nr;				/* while it is not loaded */
	u32 cap;
	union {
		struct list_head list;		/* in the depot */
		struct llist_node drained;	/* on its way there, from a CPU */
	};
	unsigned long slot[];		/* addresses of objects */
};

/*
 * What one CPU keeps of one span class.  Owned by who set busy, with preemption
 * off; an interrupt that finds it set goes to the central instead.
 */
struct karena_mcache {
	u32 busy;
	unsigned long *top;		/* behind the last slot in use of loaded */
	unsigned long *end;		/* behind its last one; before top: no frees */
	struct karena_magazine *loaded;
	struct karena_magazine *previous;
	u32 nr_previous;		/* for those who look from outside */
	u64 allocs;
} __aligned(64);

/* Entry of the page at an address, NULL if there never was anything. */
static __always_inline struct karena_page *
karena_map_page(struct karena_pagemap *map, unsigned long base, unsigned long addr)
{
	unsigned long page = (addr - base) >> KARENA_PAGE_SHIFT;
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
	struct karena_page *page = karena_map_page(map, base, addr);

	/* Pairs with smp_store_release() in karena_pagemap_set(). */
	return likely(page) ? READ_ONCE(page->span) : NULL;
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

/* Takes the last object of the loaded magazine; 0 if there is none. */
static __always_inline unsigned long mcache_pop(struct karena_mcache *mc)
{
	unsigned long *top = mc->top;

	if (unlikely(top == mc->loaded->slot))
		return 0;
	mc->top = top - 1;
	mc->allocs++;
	return top[-1];
}

/* Gives an object to the loaded magazine, if that has room. */
static __always_inline bool mcache_push(struct karena_mcache *mc, unsigned long addr)
{
	unsigned long *top = mc->top;

	if (unlikely(top >= mc->end))
		return false;
	*top = addr;
	mc->top = top + 1;
	return true;
}

/* Takes an object from this CPU's loaded magazine; 0 if that is empty or busy. */
static __always_inline unsigned long karena_take_fast(struct karena_mcache __percpu *cache)
{
	struct karena_mcache *mc;
	unsigned long addr = 0;

	preempt_disable();
	mc = this_cpu_ptr(cache);
	if (likely(mcache_enter(mc))) {
		addr = mcache_pop(mc);
		mcache_exit(mc);
	}
	preempt_enable();
	return addr;
}

/* Gives a free object to this CPU's magazine; call with preemption off. */
static __always_inline bool karena_give_fast(struct karena_mcache __percpu *cache,
					     unsigned long addr)
{
	struct karena_mcache *mc = this_cpu_ptr(cache);
	bool given;

	if (unlikely(!mcache_enter(mc)))
		return false;
	given = mcache_push(mc, addr);
	mcache_exit(mc);
	return given;
}

/*
 * Whether an object begins at an offset of a span: a multiple of the size leaves a
 * remainder below the magic (Lemire, Kaser and Kurz, "Faster remainder by direct
 * computation", 2019; exact here, as offset * size fits into 32 bits).  What is
 * behind the last object looks like one that is free.
 */
static __always_inline bool karena_is_start(u32 offset, u32 magic)
{
	return offset * magic < magic;
}

/*
 * The seal of what is free: see enum karena_state.  READ_ONCE and
 * WRITE_ONCE: a wrong free may come at any time.
 */
#define KARENA_SEAL_SIZE	sizeof(unsigned long)

static __always_inline bool karena_is_sealed(unsigned long addr, unsigned long secret)
{
	return READ_ONCE(*(unsigned long *)addr) == (addr ^ secret);
}

static __always_inline void karena_seal(unsigned long addr, unsigned long secret)
{
	WRITE_ONCE(*(unsigned long *)addr, addr ^ secret);
}

/* Makes an object from a magazine the caller's, unless it is somebody's already. */
static __always_inline bool karena_unseal(unsigned long addr, unsigned long secret)
{
	if (unlikely(!karena_is_sealed(addr, secret)))
		return false;
	WRITE_ONCE(*(unsigned long *)addr, 0);
	return true;
}

/*
 * Makes the object of a size class that begins at @addr in @span free, so that
 * it can go to a magazine; false if there is no such object.
 */
static __always_inline bool karena_claim(const struct karena_span *span, unsigned long addr,
					 unsigned long secret)
{
	if (unlikely(!karena_is_start(addr - span->base, span->magic) ||
		     karena_is_sealed(addr, secret)))
		return false;
	karena_seal(addr, secret);
	return true;
}

#endif /* _KARENA_ALLOC_FAST_H */
