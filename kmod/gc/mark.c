// SPDX-License-Identifier: GPL-2.0
/*
 * Marking: the references of grey objects are followed, a slice at a time, by as
 * many markers as there is time for.  An object is marked when it is found; it is
 * grey until the bit beside the mark says that it has been scanned.
 *
 * Nearly every step is a cache miss, so a reference passes two short queues, and
 * what the next step reads is prefetched when it enters one (Cher, Hosking and
 * Vijaykumar, "Software prefetching for mark-sweep garbage collection", ASPLOS
 * 2004): first it waits for its span, then for its mark.  The grey objects of a
 * span are scanned in the order of their addresses, some prefetched ahead.
 *
 * Spans stay while a cycle marks (karena_span_emptied()), so that they can be on a
 * queue.  A word that is no reference may lead to a span of another heap that is
 * just going away: hence RCU.
 */
#include <linux/mm.h>
#include <linux/prefetch.h>
#include <linux/slab.h>
#include <linux/ktime.h>

#include "gc.h"

#define QUEUE		8u		/* length of each queue of references */
#define BATCH		8u		/* spans taken at a time */
#define AHEAD		4u		/* objects prefetched */
#define MOST_FOUND	32u		/* spans found until others may have them */
#define PIECE		SZ_32K		/* of a large object, scanned at a stretch */

/* A word that may be a reference, and the span that it leads to. */
struct ref {
	unsigned long addr;
	struct karena_span *span;
};

struct karena_marker {
	struct mutex lock;		/* who works with it */
	struct karena_gc *gc;
	struct karena_pagemap *map;	/* copies of the heap's */
	unsigned long base;
	const struct karena_span *current_span;
	bool inside;			/* a queue may have a reference to the current span */
	u32 at[2];			/* oldest of each queue */
	struct ref found[QUEUE];	/* waits for its span */
	struct ref checked[QUEUE];	/* waits for its mark */
	struct list_head spans;		/* that it has found grey */
	unsigned int nr_spans;
	struct karena_mark_work work;
};

static __always_inline struct ref exchange(struct ref *queue, u32 *at, struct ref ref)
{
	swap(queue[*at], ref);
	*at = (*at + 1) % QUEUE;
	return ref;
}

static __always_inline size_t object_size(const struct karena_span *span)
{
	return span->size ? span->size : span->large_size;
}

static void hand_over(struct karena_marker *m)
{
	karena_queue_add(&m->gc->queue, &m->spans, m->nr_spans);
	m->nr_spans = 0;
}

/*
 * An object of a span is grey: whether it is the caller's to queue.  The full
 * barrier of setting the mark is between that and the look at the flag, and pairs
 * with the one in release_span().
 */
static __always_inline bool own_span(struct karena_span *span)
{
	unsigned long *flags = &karena_colours(span)->flags;

	return !test_bit(KARENA_SPAN_QUEUED, flags) &&
	       !test_and_set_bit(KARENA_SPAN_QUEUED, flags);
}

/* Marks an object; false if it was marked, or there is nothing to scan in it. */
static __always_inline bool set_mark(struct karena_span *span, u32 index)
{
	if (test_bit(index, span->mark) || test_and_set_bit(index, span->mark))
		return false;
	/* Large ones are scanned in pieces, from the first on. */
	if (!span->size)
		span->scan_at = 0;
	return !test_bit(KARENA_SPAN_NOSCAN, &karena_colours(span)->flags);
}

/* Second queue: the mark is there. */
static __always_inline void mark_ref(struct karena_marker *m, struct ref ref)
{
	struct karena_span *span = ref.span;
	u32 index;

	if (!span)
		return;
	index = karena_span_index(span, ref.addr - span->base);
	if (test_bit(index, span->mark))
		return;
	m->work.objects++;
	m->work.bytes += object_size(span);
	if (!set_mark(span, index) || !own_span(span))
		return;
	list_add_tail(&karena_colours(span)->grey, &m->spans);
	if (++m->nr_spans == MOST_FOUND)
		hand_over(m);
}

/* First queue: the span is there. */
static __always_inline void check_ref(struct karena_marker *m, struct ref ref)
{
	struct karena_span *span = ref.span;
	u32 index;

	if (!span || span->heap != m->gc->heap || !span->mark)
		return;
	index = karena_span_index(span, ref.addr - span->base);
	if (unlikely(index >= span->nelems))
		return;
	prefetchw(&span->mark[index / BITS_PER_LONG]);
	mark_ref(m, exchange(m->checked, &m->at[1], ref));
}

/* Outside of the linear mapping: a large object's, or none. */
static noinline struct karena_span *find_mapped(struct karena_gc *gc, unsigned long word)
{
	return is_vmalloc_addr((void *)word) ? karena_large_at(gc->heap, word) : NULL;
}

/* A word that may be a reference. */
static __always_inline void follow(struct karena_marker *m, unsigned long word)
{
	struct karena_span *span;

	if (!word)
		return;
	span = karena_map_span(m->map, m->base, word);
	if (unlikely(!span)) {
		span = find_mapped(m->gc, word);
		if (!span)
			return;
	}
	prefetch(span);
	m->inside |= span == m->current_span;
	check_ref(m, exchange(m->found, &m->at[0], (struct ref){ word, span }));
}

/* Empties the queues. */
static void follow_rest(struct karena_marker *m)
{
	const struct ref none = {};
	unsigned int i;

	for (i = 0; i < QUEUE; i++)
		check_ref(m, exchange(m->found, &m->at[0], none));
	for (i = 0; i < QUEUE; i++)
		mark_ref(m, exchange(m->checked, &m->at[1], none));
}

/* Its user may be writing, or even have freed it and got it again. */
static __always_inline unsigned long read_word(const unsigned long *word)
{
	/* What it reads was there, now or a little ago, or leads nowhere. */
	return data_race(READ_ONCE(*word));
}

static __always_inline void scan_mask(struct karena_marker *m, const struct karena_layout *layout,
				      unsigned long addr, unsigned long end)
{
	u64 mask;

	for (; addr + layout->size <= end; addr += layout->size)
		for (mask = layout->mask; mask; mask &= mask - 1)
			follow(m, read_word((unsigned long *)addr + __ffs64(mask)));
}

static void scan_offsets(struct karena_marker *m, const struct karena_layout *layout,
			 unsigned long addr, unsigned long end)
{
	u32 i;

	for (; addr + layout->size <= end; addr += layout->size)
		for (i = 0; i < layout->nr; i++)
			follow(m, read_word((unsigned long *)addr + layout->offset[i]));
}

static void scan_words(struct karena_marker *m, unsigned long addr, unsigned long end)
{
	for (; addr < end; addr += sizeof(long))
		follow(m, read_word((unsigned long *)addr));
}

static __always_inline void scan(struct karena_marker *m, const struct karena_layout *layout,
				 unsigned long addr, unsigned long end)
{
	m->work.scanned += end - addr;
	if (likely(layout->kind == KARENA_LAYOUT_MASK))
		scan_mask(m, layout, addr, end);
	else if (layout->kind == KARENA_LAYOUT_CONSERVATIVE)
		scan_words(m, addr, end);
	else if (layout->kind == KARENA_LAYOUT_OFFSETS)
		scan_offsets(m, layout, addr, end);
}

static unsigned long grey_bits(struct karena_span *span, unsigned int word)
{
	/* Set by anybody, at any time. */
	return READ_ONCE(span->mark[word]) & ~karena_scanned(span)[word];
}

/* The grey objects of one word of the bitmaps. */
static void scan_bits(struct karena_marker *m, struct karena_span *span, unsigned int word,
		      unsigned long bits)
{
	unsigned long base = span->base + (unsigned long)word * BITS_PER_LONG * span->size;
	const struct karena_layout *layout = span->layout;
	unsigned long ahead = bits, addr;
	unsigned int i;

	karena_scanned(span)[word] |= bits;
	for (i = 0; ahead && i < AHEAD; i++, ahead &= ahead - 1)
		prefetch((void *)(base + __ffs(ahead) * span->size));
	for (; bits; bits &= bits - 1) {
		if (ahead) {
			prefetch((void *)(base + __ffs(ahead) * span->size));
			ahead &= ahead - 1;
		}
		addr = base + __ffs(bits) * span->size;
		scan(m, layout, addr, addr + span->size);
	}
}

static bool has_grey(struct karena_span *span)
{
	unsigned int word;

	for (word = 0; word < BITS_TO_LONGS(span->nelems); word++)
		if (grey_bits(span, word))
			return true;
	return false;
}

static void requeue(struct karena_marker *m, struct karena_span *span)
{
	list_add_tail(&karena_colours(span)->grey, &m->spans);
	m->nr_spans++;
}

/* The span is nobody's, unless an object of it became grey meanwhile. */
static void release_span(struct karena_marker *m, struct karena_span *span)
{
	clear_bit(KARENA_SPAN_QUEUED, &karena_colours(span)->flags);
	/* Pairs with the setting of a mark before own_span(). */
	smp_mb__after_atomic();
	if (has_grey(span) && own_span(span))
		requeue(m, span);
}

/* The next piece of a large object; first of all, others may have the one after it. */
static void scan_piece(struct karena_marker *m, struct karena_span *span)
{
	unsigned long element = max_t(u32, span->layout->size, sizeof(long));
	size_t piece = max_t(size_t, rounddown(PIECE, element), element);
	size_t begin = span->scan_at, end = min(begin + piece, span->large_size);

	span->scan_at = end;
	if (end < span->large_size) {
		requeue(m, span);
		hand_over(m);
	} else {
		*karena_scanned(span) = 1;
		release_span(m, span);
	}
	scan(m, span->layout, span->base + begin, span->base + end);
}

static void scan_span(struct karena_marker *m, struct karena_span *span)
{
	unsigned int word;
	unsigned long bits;

	if (!span->size) {
		scan_piece(m, span);
		return;
	}
	m->current_span = span;
	do {
		m->inside = false;
		for (word = 0; word < BITS_TO_LONGS(span->nelems); word++)
			while ((bits = grey_bits(span, word)))
				scan_bits(m, span, word, bits);
		/* Objects may well refer to their neighbours. */
		if (m->inside)
			follow_rest(m);
	} while (m->inside);
	m->current_span = NULL;
	release_span(m, span);
}

/* Scans spans until there are none, or it is @end. */
static void scan_spans(struct karena_marker *m, struct list_head *spans, u64 end)
{
	struct karena_colours *first;
	unsigned int n = 0;

	do {
		first = list_first_entry_or_null(spans, struct karena_colours, grey);
		if (!first)
			break;
		list_del(&first->grey);
		scan_span(m, first->span);
	} while (ktime_get_mono_fast_ns() < end);
	/* In the order of the queue, as if they had not been taken. */
	for (; !list_empty(spans); n++)
		list_move_tail(spans->next, &m->spans);
	m->nr_spans += n;
	follow_rest(m);
	hand_over(m);
}

/* A marker that nobody uses. */
static struct karena_marker *get_marker(struct karena_gc *gc)
{
	unsigned int i;

	for (i = 0; i < gc->nr_markers; i++)
		if (mutex_trylock(&gc->markers[i].lock))
			return &gc->markers[i];
	return NULL;
}

/*
 * Marks for about @budget nanoseconds, or until nothing is queued; false if nothing
 * was, or if all markers are busy.  What was found and not followed is queued when
 * it returns.  Process context; does not sleep.
 */
bool karena_mark_slice(struct karena_gc *gc, u64 budget, struct karena_mark_work *work)
{
	u64 end = ktime_get_mono_fast_ns() + budget;
	struct karena_marker *m = get_marker(gc);
	bool some = false;
	LIST_HEAD(spans);

	*work = (struct karena_mark_work){};
	if (!m)
		return false;
	m->work = *work;
	rcu_read_lock();
	while (karena_queue_take(&gc->queue, &spans, BATCH)) {
		some = true;
		scan_spans(m, &spans, end);
		karena_queue_leave(&gc->queue);
		if (ktime_get_mono_fast_ns() >= end)
			break;
	}
	rcu_read_unlock();
	*work = m->work;
	mutex_unlock(&m->lock);
	return some;
}

/* The object that a word points into, and its index; NULL if none.  Under RCU. */
struct karena_span *karena_find_object(struct karena_heap *heap, unsigned long word, u32 *index)
{
	struct karena_span *span = karena_span_at(heap, word);

	if (!span)
		span = find_mapped(heap->gc, word);
	if (!span || span->heap != heap || !span->mark)
		return NULL;
	*index = karena_span_index(span, word - span->base);
	return *index < span->nelems ? span : NULL;
}

/*
 * Makes sure that what a word refers to lives through this cycle, while it marks.
 * Any context.
 */
void karena_shade(struct karena_gc *gc, unsigned long word)
{
	struct karena_span *span;
	LIST_HEAD(spans);
	u32 index;

	if (!word)
		return;
	rcu_read_lock();
	span = karena_find_object(gc->heap, word, &index);
	if (span && !test_bit(index, span->mark)) {
		atomic64_add(object_size(span), &gc->shaded_bytes);
		if (set_mark(span, index) && own_span(span)) {
			list_add(&karena_colours(span)->grey, &spans);
			karena_queue_add(&gc->queue, &spans, 1);
		}
	}
	rcu_read_unlock();
}

int karena_markers_init(struct karena_gc *gc)
{
	struct karena_marker *m;
	unsigned int i;

	/* One for each CPU, and for one who has been preempted there. */
	gc->nr_markers = min(2 * num_possible_cpus(), 64u);
	gc->markers = kvcalloc(gc->nr_markers, sizeof(*gc->markers), GFP_KERNEL);
	if (!gc->markers)
		return -ENOMEM;
	for (i = 0; i < gc->nr_markers; i++) {
		m = &gc->markers[i];
		mutex_init(&m->lock);
		INIT_LIST_HEAD(&m->spans);
		m->gc = gc;
		m->map = gc->heap->map;
		m->base = gc->heap->base;
	}
	return 0;
}

void karena_markers_exit(struct karena_gc *gc)
{
	kvfree(gc->markers);
}
