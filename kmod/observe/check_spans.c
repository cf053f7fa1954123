// SPDX-License-Identifier: GPL-2.0
/*
 * The check of spans: that of each central with its lock, one after the other, and that
 * of the list of all of them with the heap's.
 *
 * Where a walk has left a list it goes on from the span that it looked at last, if that
 * is still there: the map leads to it from the page that it had.
 */
#include <linux/mm.h>
#include <linux/sched/signal.h>

#include "check.h"
#include "kmod/user/user.h"

#define SPANS_LOOKED_AT	32u		/* in one hold of a lock, with all that is in them */
#define SPANS_COUNTED	512u		/* without */
#define PAGES		512u		/* of a large object, at a stretch */
#define MOST_LOST	8u		/* times that a list is begun anew */

/* --- walking --- */

struct walk {
	struct karena_checker *c;
	struct karena_central *central;	/* NULL: all spans of the heap */
	spinlock_t *lock;
	const u64 *changes;
	struct list_head *lists[3];
	unsigned int nr_lists;
	size_t link;			/* of a span, into one of the lists */
	unsigned int piece;		/* spans in one hold of the lock */
	void (*look)(struct walk *walk, struct karena_span *span);

	/* Where it is. */
	unsigned int list;
	struct karena_span *span;	/* NULL: at the begin of the list */
	unsigned long base;		/* the span's */
	unsigned int lost;
	u64 seen;			/* changes */
	bool steady;			/* there were none */
	bool sure;			/* what follows is on this list: none since its begin */
	bool torn;

	/* What it has found. */
	u64 spans;
	u64 nfree;
	u64 empty;
	u64 pages;
	u64 large;
	u64 large_bytes;
	bool was_empty;			/* the span before */
	struct karena_span *big;	/* to be looked at without the lock */
	unsigned long big_start;
	unsigned long big_pages;
};

static struct list_head *link_of(const struct walk *w, struct karena_span *span)
{
	return (void *)span + w->link;
}

static bool is_end(const struct walk *w, const struct list_head *node)
{
	unsigned int i;

	for (i = 0; i < w->nr_lists; i++)
		if (node == w->lists[i])
			return true;
	return false;
}

/* Whether there is a span of the heap: no more of it has been looked at. */
bool karena_is_span_of(const struct karena_heap *heap, const struct karena_span *span)
{
	const struct karena_run *run;

	if (!karena_is_sound(span, sizeof(*span)) || span->heap != heap)
		return false;
	run = span->run;
	if (!karena_is_sound(run, sizeof(*run)) || !run->npages)
		return false;
	return span->mapped || (run->start < heap->map->npages &&
				run->npages <= heap->map->npages - run->start);
}

static void tear(struct walk *w)
{
	karena_damaged(w->c, &(struct karena_damage_record){
		.kind = KARENA_DAMAGE_LINK, .found = w->spans,
		.wanted = w->central ? w->central->nr_spans : w->c->heap->nr_spans,
		.object_size = w->central ? w->central->size : 0,
	});
	w->torn = true;
}

/* The span behind a link; NULL at the end of the list, or if there is none. */
static struct karena_span *next_span(struct walk *w, const struct list_head *node)
{
	struct list_head *next = node->next;
	struct karena_span *span = (void *)next - w->link;

	if (!karena_is_sound(next, sizeof(*next)) || next->prev != node) {
		tear(w);
		return NULL;
	}
	if (is_end(w, next))
		return NULL;
	if (!karena_is_span_of(w->c->heap, span)) {
		tear(w);
		return NULL;
	}
	return span;
}

/* Whether the span that was looked at last is on one of the lists still. */
static bool is_there(const struct walk *w)
{
	struct karena_heap *heap = w->c->heap;

	if (karena_span_at(heap, w->base) == w->span)
		return !w->central || w->span->central == w->central;
	return !w->central && !heap->user && mtree_load(&heap->mapped, w->base) == w->span;
}

/* Where to go on, with the lock; in a list that has changed maybe from its begin. */
static struct list_head *resume(struct walk *w)
{
	if (*w->changes != w->seen) {
		w->seen = *w->changes;
		w->steady = false;
		w->sure = !w->span;
		w->was_empty = false;
		if (w->span && !is_there(w)) {
			w->span = NULL;
			w->sure = true;
			w->lost++;
		}
	}
	return w->span ? link_of(w, w->span) : w->lists[w->list];
}

/* Some spans; false at the end. */
static bool walk_piece(struct walk *w)
{
	struct list_head *node = resume(w);
	unsigned int n;

	for (n = 0; n < w->piece && !w->big; n++) {
		w->span = w->lost < MOST_LOST ? next_span(w, node) : NULL;
		if (w->span) {
			w->base = w->span->base;
			w->look(w, w->span);
			node = link_of(w, w->span);
			continue;
		}
		if (++w->list == w->nr_lists)
			return false;
		node = w->lists[w->list];
		w->sure = true;
	}
	return true;
}

static void look_at_big(struct walk *w);

/* All lists; -EINTR if killed. */
static int walk(struct walk *w)
{
	bool more;

	w->steady = true;
	w->sure = true;
	spin_lock_irq(w->lock);
	w->seen = *w->changes;
	spin_unlock_irq(w->lock);
	do {
		/* What is found stays as long as that. */
		rcu_read_lock();
		spin_lock_irq(w->lock);
		more = walk_piece(w);
		spin_unlock_irq(w->lock);
		if (w->big)
			look_at_big(w);
		rcu_read_unlock();
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	} while (more);
	w->steady &= !w->lost;
	return 0;
}

/* --- what is in a span --- */

/* What is wrong with something that belongs to a span, or whose place it has. */
static void wrong(struct walk *w, u32 kind, const struct karena_span *span, unsigned long at,
		  u64 found, u64 wanted)
{
	karena_damaged(w->c, &(struct karena_damage_record){
		.kind = kind, .at = at, .found = found, .wanted = wanted,
		.object_size = span->size,
	});
}

/* What programs are to be told of a page of a span. */
static u16 value_of(const struct karena_span *span, unsigned long npages)
{
	const struct karena_uheap *uh = to_uheap(span->heap);
	unsigned int number = uh->private && !span->central ? karena_magazine_of_pages(npages) : 0;

	/* See make_paged(); it is looked at again whether the object is live. */
	return data_race(span->sample) ? 0 : number ?: karena_span_value(span);
}

/* What is wrong with a page of a span: KARENA_DAMAGE_*, or 0. */
static u32 look_at_page(const struct karena_span *span, unsigned long page, u16 value)
{
	struct karena_heap *heap = span->heap;
	const struct karena_page *entry = karena_pagemap_get(heap->map, page);
	const unsigned long *word;

	if (!entry || READ_ONCE(entry->span) != span)
		return KARENA_DAMAGE_MAP;
	if (!heap->user)
		return 0;
	/* Without a lock the leaf may be gone by now, as the span is then. */
	word = karena_pagemap_memory(heap->map, page);
	if (!to_uheap(heap)->private && !(word && karena_memory_of(READ_ONCE(*word))))
		return KARENA_DAMAGE_MEMORY;
	return (karena_control_value(to_uheap(heap), page) & ~KARENA_MAP_SPECIAL) == value ?
	       0 : KARENA_DAMAGE_CLASS;
}

static void look_at_pages(struct walk *w, const struct karena_span *span)
{
	u16 value = w->c->heap->user ? value_of(span, span->run->npages) : 0;
	unsigned long i;
	u32 kind;

	for (i = 0; i < span->run->npages; i++) {
		kind = look_at_page(span, span->run->start + i, value);
		if (kind)
			wrong(w, kind, span, span->base + (i << KARENA_PAGE_SHIFT), 0, 1);
	}
}

/* Bits of a word of its bitmaps that are of objects. */
static unsigned long valid_bits(const struct karena_span *span, unsigned int word)
{
	unsigned int left = span->nelems - word * BITS_PER_LONG;

	return left >= BITS_PER_LONG ? ~0UL : BIT(left) - 1;
}

static void look_at_bits(struct walk *w, const struct karena_span *span)
{
	unsigned int word, n = 0, behind = 0, early = 0;

	for (word = 0; word < BITS_TO_LONGS(span->nelems); word++) {
		n += hweight_long(span->free[word]);
		behind += hweight_long(span->free[word] & ~valid_bits(span, word));
		early += word < span->hint && span->free[word];
	}
	if (n != span->nfree)
		wrong(w, KARENA_DAMAGE_FREE, span, span->base, n, span->nfree);
	/* Some will never be had if there are any below the hint. */
	if (behind || early)
		wrong(w, KARENA_DAMAGE_FREE, span, span->base, n, n - behind - !!early);
}

/* Markers may be at work; they mark objects only. */
static void look_at_marks(struct walk *w, const struct karena_span *span)
{
	unsigned int last = BITS_TO_LONGS(span->nelems) - 1;
	unsigned long bits;

	if (!span->mark)
		return;
	/* As above. */
	bits = data_race(READ_ONCE(span->mark[last])) & ~valid_bits(span, last);
	if (bits)
		wrong(w, KARENA_DAMAGE_MARK, span, span->base, hweight_long(bits), 0);
}

/* An object that is free, or what looks like one behind the last. */
static void look_at_free(struct walk *w, const struct karena_span *span, u32 index)
{
	unsigned long addr = span->base + (unsigned long)index * span->size;
	u8 state = span->state ? READ_ONCE(span->state[index]) : KARENA_FREE;

	if (state != KARENA_FREE)
		wrong(w, KARENA_DAMAGE_STATE, span, addr, state, KARENA_FREE);
	else if (!span->heap->user && !karena_is_sealed(addr, karena_secret))
		wrong(w, KARENA_DAMAGE_WRITTEN, span, addr, 1, 0);
}

static void look_at_objects(struct walk *w, const struct karena_span *span)
{
	unsigned long end = span->base + (span->run->npages << KARENA_PAGE_SHIFT);
	u32 i;

	for (i = 0; i < span->nelems; i++) {
		u8 state = span->state ? READ_ONCE(span->state[i]) : KARENA_FREE;

		if (test_bit(i, span->free))
			look_at_free(w, span, i);
		else if (state > KARENA_SPECIAL || (state == KARENA_TINY && !span->tiny))
			wrong(w, KARENA_DAMAGE_STATE, span,
			      span->base + (unsigned long)i * span->size, state, KARENA_LIVE);
	}
	if (span->base + (unsigned long)span->nelems * span->size < end)
		look_at_free(w, span, span->nelems);
}

/* Whether its list is the right one. */
static bool is_in_place(const struct walk *w, const struct karena_span *span)
{
	const struct list_head *list = w->lists[w->list];

	/* What is neither of the other two has not been swept. */
	if (list == &w->central->unswept)
		return span->swept != w->central->swept;
	if (span->swept != w->central->swept)
		return false;
	return list == &w->central->full ? !span->nfree : span->nfree;
}

/* Whether what is said of a span may be relied upon. */
static bool is_whole(const struct walk *w, const struct karena_span *span)
{
	const struct karena_run *run = span->run;

	return span->central == w->central &&
	       run->npages == karena_class_pages[w->central->class] &&
	       span->base == w->c->heap->base + (run->start << KARENA_PAGE_SHIFT) &&
	       karena_span_is_whole(span);
}

/* A span of a central, with its lock. */
static void look_at_span(struct walk *w, struct karena_span *span)
{
	w->spans++;
	w->c->told.spans++;
	if (!is_whole(w, span)) {
		wrong(w, KARENA_DAMAGE_SPAN, span, span->base, 0, 1);
		return;
	}
	w->c->told.objects += span->nelems;
	if (w->sure && !is_in_place(w, span))
		wrong(w, KARENA_DAMAGE_PLACE, span, span->base, span->nfree, span->nelems);
	look_at_pages(w, span);
	look_at_bits(w, span);
	look_at_objects(w, span);
	look_at_marks(w, span);
}

/* --- the sums of a central --- */

static void count_span(struct walk *w, struct karena_span *span)
{
	bool partial = w->lists[w->list] == &w->central->partial;

	w->spans++;
	w->nfree += span->nfree;
	if (!partial)
		return;
	w->empty += span->nfree == span->nelems;
	/* Empty ones are at the end, from where they are given back. */
	if (w->sure && w->was_empty && span->nfree != span->nelems)
		wrong(w, KARENA_DAMAGE_PLACE, span, span->base, span->nfree, span->nelems);
	w->was_empty = span->nfree == span->nelems;
}

static void walk_central(struct walk *w, struct karena_checker *c,
			 struct karena_central *central)
{
	*w = (struct walk){
		.c = c, .central = central, .lock = &central->lock,
		.changes = &central->changes, .nr_lists = 3,
		.lists = { &central->partial, &central->full, &central->unswept },
		.link = offsetof(struct karena_span, list),
	};
}

static void count_is(struct walk *w, u64 found, u64 wanted)
{
	if (found != wanted)
		karena_damaged(w->c, &(struct karena_damage_record){
			.kind = KARENA_DAMAGE_COUNT, .found = found, .wanted = wanted,
			.object_size = w->central ? w->central->size : 0,
		});
}

/* What the central says, if it is what was counted. */
static bool compare_central(struct walk *w)
{
	struct karena_central *central = w->central;
	u64 spans, nfree, empty;

	spin_lock_irq(&central->lock);
	w->steady &= w->seen == central->changes;
	spans = central->nr_spans;
	nfree = central->nr_free;
	empty = central->nr_empty_spans;
	spin_unlock_irq(&central->lock);
	if (!w->steady || w->torn)
		return w->torn;
	count_is(w, w->spans, spans);
	count_is(w, w->nfree, nfree);
	count_is(w, w->empty, empty);
	return true;
}

static int count_central(struct karena_checker *c, struct karena_central *central)
{
	unsigned int try;
	struct walk w;
	int err;

	for (try = 0; try < KARENA_CHECK_TRIES; try++) {
		walk_central(&w, c, central);
		w.piece = SPANS_COUNTED;
		w.look = count_span;
		err = walk(&w);
		if (err || compare_central(&w))
			return err;
	}
	c->told.unsettled++;
	return 0;
}

/* The spans of a central, and what it says of them. */
int karena_check_central(struct karena_checker *c, struct karena_central *central)
{
	struct walk w;
	int err;

	walk_central(&w, c, central);
	w.piece = SPANS_LOOKED_AT;
	w.look = look_at_span;
	err = walk(&w);
	c->told.unsettled += w.lost >= MOST_LOST;
	return err ?: count_central(c, central);
}

/* --- all spans of a heap --- */

static bool is_live(const struct karena_span *span)
{
	/* Pairs with smp_store_release() of who has allocated it. */
	return karena_is_live(smp_load_acquire(&span->state[0]));
}

/*
 * Up to @n pages of a large object from page @i on; under RCU.  What is wrong is wrong if it
 * is live after that as well: its pages lead to it until it has been freed.
 */
static void look_at_some(struct walk *w, const struct karena_span *span, unsigned long i,
			 unsigned long n)
{
	u16 value = w->c->heap->user ? value_of(span, w->big_pages) : 0;
	u32 kind = 0;

	for (; n && !kind; n--, i++)
		kind = look_at_page(span, w->big_start + i, value);
	/* Pairs with the full barrier of the cmpxchg() in claim_large(). */
	smp_rmb();
	if (kind && is_live(span))
		wrong(w, kind, span, span->base + ((i - 1) << KARENA_PAGE_SHIFT), 0, 1);
}

static void look_at_mapped(struct walk *w, const struct karena_span *span)
{
	bool found = mtree_load(&w->c->heap->mapped, span->base) == span;

	/* As above. */
	smp_rmb();
	if (!found && is_live(span))
		wrong(w, KARENA_DAMAGE_MAP, span, span->base, 0, 1);
}

/* Whether the large object that is at an address is the one that is being looked at. */
static bool is_big(const struct walk *w, const struct karena_span *span, unsigned long base)
{
	return karena_span_at(w->c->heap, base) == span && !span->central &&
	       DIV_ROUND_UP(span->large_size, KARENA_PAGE_SIZE) == w->big_pages &&
	       is_live(span);
}

/* A large object that the walk has come to; leaves the RCU section now and then. */
static void look_at_big(struct walk *w)
	__must_hold(RCU)
{
	struct karena_span *span = w->big;
	unsigned long i = 0, base;

	w->big = NULL;
	if (!is_live(span))
		return;
	if (span->mapped) {
		look_at_mapped(w, span);
		return;
	}
	base = span->base;
	do {
		look_at_some(w, span, i, min_t(unsigned long, PAGES, w->big_pages - i));
		i += PAGES;
		rcu_read_unlock();
		cond_resched();
		rcu_read_lock();
	} while (i < w->big_pages && is_big(w, span, base));
}

/* A span of any kind, with the heap's lock. */
static void look_at_any(struct walk *w, struct karena_span *span)
{
	w->spans++;
	w->pages += span->run->npages;
	if (span->central)
		return;
	w->large++;
	w->large_bytes += span->large_size;
	if (READ_ONCE(span->state[0]) > KARENA_SPECIAL)
		wrong(w, KARENA_DAMAGE_STATE, span, span->base, span->state[0], KARENA_LIVE);
	w->big = span;
	w->big_start = span->run->start;
	w->big_pages = span->run->npages;
}

static void sum_is(struct walk *w, u64 found, u64 wanted)
{
	if (found != wanted)
		karena_damaged(w->c, &(struct karena_damage_record){
			.kind = KARENA_DAMAGE_SUM, .found = found, .wanted = wanted,
		});
}

static bool compare_heap(struct walk *w)
{
	struct karena_heap *heap = w->c->heap;
	u64 spans, pages, large, bytes;

	spin_lock_irq(&heap->lock);
	w->steady &= w->seen == heap->changes;
	spans = heap->nr_spans;
	pages = heap->span_pages;
	large = heap->large_live;
	bytes = heap->large_bytes;
	spin_unlock_irq(&heap->lock);
	if (!w->steady || w->torn)
		return w->torn;
	sum_is(w, w->spans, spans);
	sum_is(w, w->pages, pages);
	sum_is(w, w->large, large);
	sum_is(w, w->large_bytes, bytes);
	w->c->told.spans += w->large;
	w->c->told.objects += w->large;
	return true;
}

/* The list of all spans, what the heap says of them, and the large ones. */
int karena_check_spans(struct karena_checker *c)
{
	unsigned int try;
	struct walk w;
	int err;

	for (try = 0; try < KARENA_CHECK_TRIES; try++) {
		w = (struct walk){
			.c = c, .lock = &c->heap->lock, .changes = &c->heap->changes,
			.nr_lists = 1, .lists = { &c->heap->spans },
			.link = offsetof(struct karena_span, all),
			.piece = SPANS_COUNTED, .look = look_at_any,
		};
		err = walk(&w);
		if (err || compare_heap(&w))
			return err;
	}
	c->told.unsettled++;
	return 0;
}
