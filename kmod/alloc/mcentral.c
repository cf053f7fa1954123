// SPDX-License-Identifier: GPL-2.0
/*
 * The central of a span class: spans with free slots, and the depot of
 * magazines that goes between them and the CPUs (Bonwick and Adams, "Magazines
 * and Vmem", USENIX 2001, section 3).  Its lock protects the lists, the bitmaps
 * of free slots and the counters; see mheap.c for the order.
 *
 * The depot keeps whole magazines, so that a CPU which frees what another one
 * allocates, or a burst of either, moves 128 objects for one lock.
 */
#include <linux/slab.h>

#include "kmod/observe/trace.h"
#include "internal.h"

/* Most bytes, and most magazines, that a depot keeps; two magazines in any case. */
#define DEPOT_BYTES	SZ_1M

/* What a refill makes spans for, where it finds less free. */
#define REFILL_BYTES	SZ_64K

/* Spans that are swept in one hold of a lock. */
#define SWEEP_HOLD	32u

/* Magazines of the usual two lengths, which fit badly into kmalloc()'s sizes. */
static struct kmem_cache *long_mags, *short_mags;

/* Stands in for a magazine: nothing in it and no room. */
struct karena_magazine karena_no_magazine;

static unsigned int depot_limit(struct karena_central *central)
{
	unsigned int cap = karena_class_magazine(central->class);

	return clamp(DEPOT_BYTES / (cap * central->size), 2u, KARENA_DEPOT_MAGS);
}

static void init_caches(struct karena_central *central)
{
	struct karena_mcache *mc;
	unsigned int cpu;

	for_each_possible_cpu(cpu) {
		mc = per_cpu_ptr(central->cache, cpu);
		karena_mcache_load(mc, &karena_no_magazine);
		mc->previous = &karena_no_magazine;
	}
}

/* The central of a span class, or of one of a type's; nobody knows of it yet. */
struct karena_central *karena_central_new(struct karena_heap *heap, unsigned int spc,
					  const struct karena_layout *layout, gfp_t gfp)
{
	struct karena_central *central = kzalloc(sizeof(*central), gfp);

	if (!central)
		return NULL;
	central->cache = alloc_percpu_gfp(struct karena_mcache, gfp);
	if (!central->cache) {
		kfree(central);
		return NULL;
	}
	central->heap = heap;
	central->layout = layout;
	central->spc = spc;
	central->class = spc == KARENA_SPC_TINY ? KARENA_TINY_CLASS : spc / 2;
	central->size = karena_class_size[central->class];
	if (heap->collected && !karena_shape_new(central, gfp)) {
		free_percpu(central->cache);
		kfree(central);
		return NULL;
	}
	init_llist_head(&central->drained);
	spin_lock_init(&central->lock);
	INIT_LIST_HEAD(&central->partial);
	INIT_LIST_HEAD(&central->full);
	INIT_LIST_HEAD(&central->unswept);
	INIT_LIST_HEAD(&central->full_mags);
	INIT_LIST_HEAD(&central->empty_mags);
	init_caches(central);
	return central;
}

/* Where magazines of @cap objects come from; NULL for kmalloc(). */
static struct kmem_cache *magazine_cache(unsigned int cap)
{
	if (cap == KARENA_MAGAZINE)
		return long_mags;
	return cap == KARENA_MAGAZINE / 2 ? short_mags : NULL;
}

static void free_magazine(struct karena_central *central, struct karena_magazine *mag)
{
	struct kmem_cache *cache = magazine_cache(mag->cap);

	if (mag == &karena_no_magazine)
		return;
	atomic_long_sub(struct_size(mag, slot, mag->cap), &central->heap->meta);
	if (cache)
		kmem_cache_free(cache, mag);
	else
		kfree(mag);
}

static struct karena_magazine *new_magazine(struct karena_central *central, gfp_t gfp)
{
	unsigned int cap = karena_class_magazine(central->class);
	struct kmem_cache *cache = magazine_cache(cap);
	struct karena_magazine *mag;

	gfp |= __GFP_NOWARN;
	mag = cache ? kmem_cache_alloc(cache, gfp) : kmalloc(struct_size(mag, slot, cap), gfp);
	if (!mag)
		return NULL;
	mag->nr = 0;
	mag->cap = cap;
	atomic_long_add(struct_size(mag, slot, cap), &central->heap->meta);
	return mag;
}

/* Throws magazines away, whatever is in them; the heap is going. */
void karena_central_delete(struct karena_central *central)
{
	struct karena_magazine *mag, *next;
	struct karena_mcache *mc;
	unsigned int cpu;

	for_each_possible_cpu(cpu) {
		mc = per_cpu_ptr(central->cache, cpu);
		free_magazine(central, mc->loaded);
		free_magazine(central, mc->previous);
	}
	list_for_each_entry_safe(mag, next, &central->full_mags, list)
		free_magazine(central, mag);
	list_for_each_entry_safe(mag, next, &central->empty_mags, list)
		free_magazine(central, mag);
	free_percpu(central->cache);
	kfree(central);
}

/*
 * Shows a central to those who walk all of them, before anybody can allocate from
 * it.  With births looked at under the lock, marking is right whether a walk that
 * changes it comes before or after.  It stays until the heap goes.
 */
void karena_central_add(struct karena_central *central)
{
	struct karena_heap *heap = central->heap;
	unsigned long flags;

	do {
		central->next = READ_ONCE(heap->centrals);
		/* Pairs with karena_first_central(). */
	} while (cmpxchg(&heap->centrals, central->next, central) != central->next);
	spin_lock_irqsave(&central->lock, flags);
	central->marking = READ_ONCE(heap->births);
	spin_unlock_irqrestore(&central->lock, flags);
}

static const struct karena_layout *layout_of(unsigned int spc)
{
	return spc == KARENA_SPC_TINY || spc & 1 ? &karena_layout_noscan :
						   &karena_layout_conservative;
}

/* The central of a span class, made on first use; NULL without memory. */
struct karena_central *karena_central_get(struct karena_heap *heap, unsigned int spc, gfp_t gfp)
{
	struct karena_central *central, *old;

	/* Pairs with the cmpxchg below: a central is complete when it is seen. */
	central = READ_ONCE(heap->central[spc]);
	if (likely(central))
		return central;
	central = karena_central_new(heap, spc, layout_of(spc), gfp);
	if (!central)
		return NULL;
	karena_central_add(central);
	/* One that comes too late stays, unused. */
	old = cmpxchg(&heap->central[spc], NULL, central);
	return old ? old : central;
}

KARENA_EXPORT_TEST(karena_central_get);

static unsigned long take_slot(struct karena_span *span, u32 index)
{
	unsigned long addr = span->base + (unsigned long)index * span->size;

	/* Plain to who gets it: that is through a lock or a magazine. */
	if (span->state)
		WRITE_ONCE(span->state[index], KARENA_CACHED);
	/* Born marked: see gc/cycle.c. */
	if (span->central->marking && !karena_is_planted(KARENA_PLANT_WHITE_ALLOC))
		set_bit(index, span->mark);
	return addr;
}

/* Up to @n free slots of a span. */
static unsigned int span_take(struct karena_span *span, unsigned long *slots, unsigned int n)
{
	unsigned int got = 0, word = span->hint;
	unsigned long bits;

	n = min(n, span->nfree);
	for (; got < n; word++) {
		for (bits = span->free[word]; bits && got < n; bits &= bits - 1)
			slots[got++] = take_slot(span, word * BITS_PER_LONG + __ffs(bits));
		span->free[word] = bits;
		span->hint = word;
	}
	span->nfree -= got;
	return got;
}

/* Sweeps a span that is needed, empty or not. */
static void sweep_span(struct karena_central *central, struct karena_span *span)
{
	if (!karena_span_sweep(central, span))
		return;
	central->nr_empty_spans++;
	list_move_tail(&span->list, &central->partial);
}

/* Sweeps a span, so that it may have free slots; false if none is left to sweep. */
static bool sweep_one(struct karena_central *central)
{
	struct karena_span *span;

	span = list_first_entry_or_null(&central->unswept, struct karena_span, list);
	if (span)
		sweep_span(central, span);
	return span;
}

/*
 * A span with free slots, of which the caller takes some; or NULL.  Sweeps @sweeps spans
 * at most, and leaves how many it did not: at 0 there may be more after a pause.
 */
static struct karena_span *begin_take(struct karena_central *central, unsigned int *sweeps)
{
	struct karena_span *span;

	for (;;) {
		span = list_first_entry_or_null(&central->partial, struct karena_span, list);
		if (span || !*sweeps || !sweep_one(central))
			break;
		--*sweeps;
	}
	if (span && span->nfree == span->nelems)
		central->nr_empty_spans--;
	return span;
}

static void end_take(struct karena_central *central, struct karena_span *span, unsigned int n)
{
	central->nr_free -= n;
	if (!span->nfree)
		list_move(&span->list, &central->full);
}

static unsigned int take_locked(struct karena_central *central, unsigned long *slots,
				unsigned int n, unsigned int *sweeps)
{
	struct karena_span *span;
	unsigned int got = 0, some;

	central->changes++;
	while (got < n && (span = begin_take(central, sweeps))) {
		some = span_take(span, slots + got, n - got);
		end_take(central, span, some);
		got += some;
	}
	return got;
}

/* Shows a span, of which the central knows nothing yet, and whose objects are live or free. */
void karena_central_adopt(struct karena_central *central, struct karena_span *span)
{
	unsigned long flags;

	spin_lock_irqsave(&central->lock, flags);
	/* Found from here on, and swept from here on: marks are not left behind. */
	karena_pagemap_set(central->heap->map, span->run, span);
	span->swept = central->swept;
	list_add_tail(&span->list, span->nfree ? &central->partial : &central->full);
	central->nr_empty_spans += span->nfree == span->nelems;
	central->nr_spans++;
	central->changes++;
	central->nr_free += span->nfree;
	central->allocs += span->nelems - span->nfree;
	atomic64_add((u64)(span->nelems - span->nfree) * central->size, &central->heap->used);
	spin_unlock_irqrestore(&central->lock, flags);
}

static bool make_span(struct karena_central *central, gfp_t gfp)
{
	struct karena_heap *heap = central->heap;
	struct karena_span *span;
	struct karena_run *run;

	run = karena_mheap_alloc(heap, karena_class_pages[central->class], gfp);
	if (!run)
		return false;
	span = karena_span_new(heap, central, central->layout, run, 0, gfp);
	if (!span) {
		karena_mheap_free(heap, run);
		return false;
	}
	karena_central_adopt(central, span);
	return true;
}

static bool add_span(struct karena_central *central, gfp_t gfp)
{
	bool made;

	karena_move_begin(central->heap);
	made = make_span(central, gfp);
	karena_move_end(central->heap);
	return made;
}

/* Between two holds of a central's lock. */
static void pause(gfp_t gfp)
{
	if (gfpflags_allow_blocking(gfp))
		cond_resched();
}

static unsigned int take(struct karena_central *central, unsigned long *slots,
			 unsigned int n, gfp_t gfp)
{
	unsigned int got = 0, some, sweeps;
	unsigned long flags;

	do {
		sweeps = SWEEP_HOLD;
		spin_lock_irqsave(&central->lock, flags);
		some = take_locked(central, slots + got, n - got, &sweeps);
		central->refills += some && !got;
		got += some;
		spin_unlock_irqrestore(&central->lock, flags);
		pause(gfp);
	} while (got < n && !sweeps);
	return got;
}

static void count_used(struct karena_central *central, unsigned int n, gfp_t gfp)
{
	size_t bytes = (size_t)n * central->size;

	atomic64_add(bytes, &central->heap->used);
	if (central->heap->paced)
		central->heap->paced(central->heap, bytes, gfp);
}

/*
 * Takes up to @n slots from spans, at least one unless memory is out.  The spans
 * that are not needed for the first slot are asked for without a fight.
 */
unsigned int karena_central_take(struct karena_central *central, unsigned long *slots,
				 unsigned int n, gfp_t gfp)
{
	unsigned int enough = clamp(REFILL_BYTES / central->size, 1u, n);
	unsigned int got = take(central, slots, n, gfp);
	gfp_t easy = (gfp & ~__GFP_DIRECT_RECLAIM) | __GFP_NOWARN;

	while (got < enough && add_span(central, got ? easy : gfp))
		got += take(central, slots + got, n - got, gfp);
	trace_karena_refill(central->heap->id, central->size, got);
	count_used(central, got, gfp);
	return got;
}

KARENA_EXPORT_TEST(karena_central_take);

/* The first free slots of a span that are next to each other, up to @n of them. */
static unsigned int span_take_extent(struct karena_span *span, struct karena_extent *extent,
				     unsigned int n)
{
	u32 first, end, i;

	first = find_next_bit(span->free, span->nelems, span->hint * BITS_PER_LONG);
	end = find_next_zero_bit(span->free, min(span->nelems, first + n), first);
	/* As in take_slot(); no cycle begins before they are LIVE. */
	for (i = first; i < end && span->central->marking; i++)
		set_bit(i, span->mark);
	bitmap_clear(span->free, first, end - first);
	span->hint = end / BITS_PER_LONG;
	span->nfree -= end - first;
	extent->start = span->base + (unsigned long)first * span->size;
	extent->end = span->base + (unsigned long)end * span->size;
	return end - first;
}

static unsigned int take_extents_locked(struct karena_central *central,
					struct karena_extents *to, unsigned int most,
					unsigned int *sweeps)
{
	struct karena_span *span;
	unsigned int got = 0, some;

	central->changes++;
	while (got < most && to->nr < to->room && (span = begin_take(central, sweeps))) {
		some = span_take_extent(span, &to->extent[to->nr++], most - got);
		end_take(central, span, some);
		got += some;
	}
	central->allocs += got;
	return got;
}

static unsigned int take_extents(struct karena_central *central, struct karena_extents *to,
				 unsigned int most, gfp_t gfp)
{
	unsigned int got = 0, some, sweeps;
	unsigned long flags;

	do {
		sweeps = SWEEP_HOLD;
		spin_lock_irqsave(&central->lock, flags);
		some = take_extents_locked(central, to, most - got, &sweeps);
		central->refills += some && !got;
		got += some;
		spin_unlock_irqrestore(&central->lock, flags);
		pause(gfp);
	} while (got < most && to->nr < to->room && !sweeps);
	return got;
}

/* As karena_central_take(): up to @most objects; how many. */
unsigned int karena_central_take_extents(struct karena_central *central,
					 struct karena_extents *to, unsigned int most, gfp_t gfp)
{
	unsigned int enough = clamp(REFILL_BYTES / central->size, 1u, most);
	unsigned int got = take_extents(central, to, most, gfp);
	gfp_t easy = (gfp & ~__GFP_DIRECT_RECLAIM) | __GFP_NOWARN;

	while (got < enough && to->nr < to->room && add_span(central, got ? easy : gfp))
		got += take_extents(central, to, most - got, gfp);
	trace_karena_refill(central->heap->id, central->size, got);
	count_used(central, got, gfp);
	return got;
}

KARENA_EXPORT_TEST(karena_central_take_extents);

/*
 * The span that an object from a magazine is of; NULL if the object is somebody's
 * or the span's already (see karena_take()), when the span may be gone.
 */
static struct karena_span *cached_in(struct karena_central *central, unsigned long addr)
{
	struct karena_span *span = karena_span_at(central->heap, addr);
	u32 index;

	if (!span || span->central != central)
		return NULL;
	index = karena_span_index(span, addr - span->base);
	/* It has a place on the right list then, and dead slots are free. */
	if (span->swept != central->swept)
		sweep_span(central, span);
	if (test_bit(index, span->free))
		return NULL;
	if (!central->heap->user && !karena_is_sealed(addr, karena_secret))
		return NULL;
	return span;
}

/* Gives one slot back to its span; true if the span has all of its slots then. */
static bool put_slot(struct karena_central *central, struct karena_span *span, unsigned long addr)
{
	u32 index = karena_span_index(span, addr - span->base);

	__set_bit(index, span->free);
	if (span->state)
		WRITE_ONCE(span->state[index], KARENA_FREE);
	span->hint = min_t(u32, span->hint, index / BITS_PER_LONG);
	central->nr_free++;
	if (!span->nfree++)
		list_move(&span->list, &central->partial);
	return span->nfree == span->nelems;
}

/* Keeps one empty span for the next refill, takes any other off into @gone. */
void karena_span_emptied(struct karena_central *central, struct karena_span *span,
			 struct list_head *gone)
{
	/* Set before this lock is taken once: karena_keep_begin(). */
	if (!central->nr_empty_spans || READ_ONCE(central->heap->keep)) {
		central->nr_empty_spans++;
		list_move_tail(&span->list, &central->partial);
		return;
	}
	list_move(&span->list, gone);
	central->nr_spans--;
	central->nr_free -= span->nelems;
	/* Not to be found from here on: a cycle that begins takes the lock after. */
	karena_pagemap_set(central->heap->map, span->run, NULL);
}

void karena_spans_delete(struct list_head *gone)
{
	struct karena_span *span, *next;

	list_for_each_entry_safe(span, next, gone, list)
		karena_span_delete(span);
}

/* Gives slots back to their spans, and whole free spans to the page heap. */
void karena_central_put(struct karena_central *central, unsigned long *slots,
			unsigned int n)
{
	struct karena_span *span;
	unsigned long flags;
	LIST_HEAD(gone);
	unsigned int i;

	spin_lock_irqsave(&central->lock, flags);
	for (i = 0; i < n; i++) {
		span = cached_in(central, slots[i]);
		if (!span)
			karena_reject(central->heap, slots[i], KARENA_REJECT_DOUBLE);
		else if (put_slot(central, span, slots[i]))
			karena_span_emptied(central, span, &gone);
	}
	central->flushes++;
	central->changes++;
	spin_unlock_irqrestore(&central->lock, flags);
	trace_karena_flush(central->heap->id, central->size, n);
	atomic64_sub((u64)n * central->size, &central->heap->used);
	karena_spans_delete(&gone);
}

KARENA_EXPORT_TEST(karena_central_put);

static struct karena_magazine *pop_magazine(struct list_head *list, u32 *nr)
{
	struct karena_magazine *mag;

	mag = list_first_entry_or_null(list, struct karena_magazine, list);
	if (mag) {
		list_del(&mag->list);
		(*nr)--;
	}
	return mag;
}

static struct karena_magazine *pop_full(struct karena_central *central)
{
	struct karena_magazine *mag = pop_magazine(&central->full_mags, &central->nr_full_mags);

	if (mag) {
		central->nr_cached -= mag->nr;
		central->trades++;
	}
	return mag;
}

static struct karena_magazine *pop_empty(struct karena_central *central)
{
	return pop_magazine(&central->empty_mags, &central->nr_empty_mags);
}

/* An empty magazine; NULL without memory. */
struct karena_magazine *karena_depot_get_empty(struct karena_central *central, gfp_t gfp)
{
	struct karena_magazine *mag;
	unsigned long flags;

	spin_lock_irqsave(&central->lock, flags);
	mag = pop_empty(central);
	spin_unlock_irqrestore(&central->lock, flags);
	return mag ? mag : new_magazine(central, gfp);
}

KARENA_EXPORT_TEST(karena_depot_get_empty);

/* Magazines are emptied from the top: objects come out in the order of addresses then. */
static void reverse(unsigned long *slots, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n / 2; i++)
		swap(slots[i], slots[n - 1 - i]);
}

/* A magazine with at least one object, from the depot or filled from spans. */
struct karena_magazine *karena_depot_get_full(struct karena_central *central, gfp_t gfp)
{
	struct karena_magazine *mag;
	unsigned long flags;

	spin_lock_irqsave(&central->lock, flags);
	mag = pop_full(central);
	spin_unlock_irqrestore(&central->lock, flags);
	if (mag)
		return mag;
	mag = karena_depot_get_empty(central, gfp);
	if (!mag)
		return NULL;
	mag->nr = karena_central_take(central, mag->slot, mag->cap, gfp);
	reverse(mag->slot, mag->nr);
	if (mag->nr)
		return mag;
	karena_depot_put(central, mag);
	return NULL;
}

static bool keep_locked(struct karena_central *central, struct karena_magazine *mag)
{
	struct list_head *list = mag->nr ? &central->full_mags : &central->empty_mags;
	u32 *nr = mag->nr ? &central->nr_full_mags : &central->nr_empty_mags;

	if (*nr >= depot_limit(central))
		return false;
	list_add(&mag->list, list);
	(*nr)++;
	central->nr_cached += mag->nr;
	central->trades += !!mag->nr;
	return true;
}

static bool depot_keep(struct karena_central *central, struct karena_magazine *mag)
{
	unsigned long flags;
	bool kept;

	spin_lock_irqsave(&central->lock, flags);
	kept = keep_locked(central, mag);
	spin_unlock_irqrestore(&central->lock, flags);
	return kept;
}

/*
 * Takes an empty magazine for one with objects (@full) or a full one for an empty
 * one: what a CPU needs most of the time, for one lock.  NULL if the depot has
 * none of the kind or no room for @mag, which is the caller's still then.
 */
struct karena_magazine *karena_depot_trade(struct karena_central *central,
					   struct karena_magazine *mag, bool full)
{
	struct karena_magazine *other = NULL;
	unsigned long flags;

	/* A hint, which spares the lock. */
	if (!data_race(full ? central->nr_full_mags : central->nr_empty_mags))
		return NULL;
	spin_lock_irqsave(&central->lock, flags);
	if (full ? !central->nr_full_mags : !central->nr_empty_mags)
		goto unlock;
	if (mag != &karena_no_magazine && !keep_locked(central, mag))
		goto unlock;
	other = full ? pop_full(central) : pop_empty(central);
unlock:
	spin_unlock_irqrestore(&central->lock, flags);
	return other;
}

/* Takes a magazine back; what the depot has no room for goes to the spans. */
void karena_depot_put(struct karena_central *central, struct karena_magazine *mag)
{
	if (mag == &karena_no_magazine || depot_keep(central, mag))
		return;
	if (mag->nr) {
		karena_central_put(central, mag->slot, mag->nr);
		mag->nr = 0;
		if (depot_keep(central, mag))
			return;
	}
	free_magazine(central, mag);
}

KARENA_EXPORT_TEST(karena_depot_put);

static struct karena_magazine *pop_any(struct karena_central *central)
{
	struct karena_magazine *mag;
	unsigned long flags;

	spin_lock_irqsave(&central->lock, flags);
	mag = pop_full(central);
	if (!mag)
		mag = pop_empty(central);
	spin_unlock_irqrestore(&central->lock, flags);
	return mag;
}

/* Empty spans are behind all others on the list: new ones, and kept ones. */
static struct karena_span *pop_empty_span(struct karena_central *central)
{
	struct karena_span *span = NULL;
	unsigned long flags;

	spin_lock_irqsave(&central->lock, flags);
	/* As in karena_span_emptied(). */
	if (central->nr_empty_spans && !READ_ONCE(central->heap->keep)) {
		span = list_last_entry(&central->partial, struct karena_span, list);
		list_del(&span->list);
		central->nr_empty_spans--;
		central->nr_spans--;
		central->changes++;
		central->nr_free -= span->nelems;
		karena_pagemap_set(central->heap->map, span->run, NULL);
	}
	spin_unlock_irqrestore(&central->lock, flags);
	return span;
}

/* Empties the depot into the spans, and gives all empty spans back. */
void karena_central_drain(struct karena_central *central)
{
	struct karena_magazine *mag;
	struct karena_span *span;

	while ((mag = pop_any(central))) {
		if (mag->nr)
			karena_central_put(central, mag->slot, mag->nr);
		free_magazine(central, mag);
	}
	while ((span = pop_empty_span(central)))
		karena_span_delete(span);
}

static struct kmem_cache *mags_create(const char *name, unsigned int cap)
{
	return kmem_cache_create(name, struct_size_t(struct karena_magazine, slot, cap),
				 0, 0, NULL);
}

int karena_centrals_init(void)
{
	long_mags = mags_create("karena_magazine_128", KARENA_MAGAZINE);
	short_mags = mags_create("karena_magazine_64", KARENA_MAGAZINE / 2);
	if (long_mags && short_mags)
		return 0;
	karena_centrals_exit();
	return -ENOMEM;
}

void karena_centrals_exit(void)
{
	kmem_cache_destroy(long_mags);
	kmem_cache_destroy(short_mags);
}
