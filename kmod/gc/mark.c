// SPDX-License-Identifier: GPL-2.0
/*
 * Marking: the references of grey objects are followed, a slice at a time, by as
 * many markers as there is time for.  An object is marked when it is found; it is
 * grey until the bit beside the mark says that it has been scanned.
 *
 * Nearly every step is a cache miss, so whatever the next steps read is prefetched
 * (Cher, Hosking and Vijaykumar, "Software prefetching for mark-sweep garbage
 * collection", ASPLOS 2004).  A reference waits in a ring for the one cache line
 * that it costs, the entry of its page with the marks (struct karena_page).  Spans
 * pass a short window: what is known of them, their marks, and their first grey
 * objects come before their turn does.  Grey objects of a span are scanned in the
 * order of their addresses, and their neighbours in the span are marked without
 * atomic operations, in a copy of the marks that is merged when the span is left.
 *
 * Spans stay while a cycle marks (karena_span_emptied()), so that they can be on a
 * queue, and their marks in the pagemap.  A word that is no reference may lead to a
 * span of another heap that is just going away: hence the tag, and RCU.
 */
#include <linux/bitfield.h>
#include <linux/mm.h>
#include <linux/prefetch.h>
#include <linux/slab.h>
#include <linux/ktime.h>

#include "gc.h"

#define RING		16u		/* references that wait for their entry */
#define WINDOW		3u		/* spans that wait for their turn */
#define AHEAD		8u		/* grey objects of a span that are prefetched */
#define TAKE		8u		/* batches of spans taken at a time */
#define DENSE_BYTES	512u		/* prefetched where neighbours refer to each other */
#define DENSE		2u		/* more than so often its objects led to others of it */
#define CHECK		SZ_8K		/* bytes scanned between looks at the clock */
#define PIECE		SZ_32K		/* of a large object, scanned at a stretch */
#define MARGIN		8u		/* of a slice, for the time between looks: an eighth */
#define MAX_WORDS	BITS_TO_LONGS(KARENA_PAGE_SIZE / 8)	/* of a span's marks */

/* A word that may be a reference, and the entry of its page. */
struct ref {
	unsigned long word;
	struct karena_page *page;
};

struct karena_marker {
	struct mutex lock;		/* who works with it */
	struct karena_gc *gc;
	struct karena_pagemap *map;	/* copies of the heap's */
	unsigned long base;
	unsigned long tag;

	/* The span that is being scanned; bytes is 0 if it is none. */
	unsigned long span_base;
	unsigned long span_bytes;
	bool dense;			/* the last one led to itself mostly */
	u32 magic;
	u32 at;				/* oldest in the ring */
	unsigned long marks[MAX_WORDS];	/* its marks, and those found meanwhile */
	unsigned long seen[MAX_WORDS];	/* its marks, as they were read */
	struct ref ring[RING];

	struct karena_span *window[WINDOW];
	struct karena_hand hand;
	struct karena_mark_work work;
};

static __always_inline size_t object_size(const struct karena_span *span)
{
	return span->size ? span->size : span->large_size;
}

/* --- references --- */

/*
 * An object of a span is grey: whether it is the caller's to queue.  The full
 * barrier of setting the mark is between that and the look at the flag, and pairs
 * with the one in release_span().
 */
static __always_inline bool own_span(unsigned long *info)
{
	return !test_bit(KARENA_INFO_QUEUED, info) &&
	       !test_and_set_bit(KARENA_INFO_QUEUED, info);
}

static __always_inline void queue_span(struct karena_marker *m, struct karena_span *span)
{
	karena_hand_add(&m->hand, span);
}

static __always_inline void count_object(struct karena_marker *m, size_t size)
{
	m->work.objects++;
	m->work.bytes += size;
}

/*
 * Marks an object; whether its span is the caller's to queue.  What is not scanned
 * is counted here, and all else when it is.
 */
static bool mark_object(struct karena_span *span, u32 index, bool *counts)
{
	*counts = false;
	if (test_bit(index, span->mark) || test_and_set_bit(index, span->mark))
		return false;
	/* Large ones are scanned in pieces, from the first on. */
	if (!span->size)
		span->scan_at = 0;
	*counts = test_bit(KARENA_INFO_NOSCAN, span->info);
	return !*counts && own_span(span->info);
}

/* The marks are not in the pagemap. */
static noinline void mark_far(struct karena_marker *m, unsigned long word,
			      struct karena_span *span)
{
	bool counts;
	u32 index;

	if (!span || span->heap != m->gc->heap || !span->mark)
		return;
	index = karena_span_index(span, word - span->base);
	if (index >= span->nelems)
		return;
	if (mark_object(span, index, &counts))
		queue_span(m, span);
	else if (counts)
		count_object(m, object_size(span));
}

/* The entry is there. */
static __always_inline void mark_ref(struct karena_marker *m, struct ref ref)
{
	struct karena_page *page = ref.page;
	unsigned long info, nr, offset;
	u32 index;

	if (!page)
		return;
	/*
	 * Pairs with smp_store_release() in karena_pagemap_set(): a mark is set in
	 * dependence of it, and the span looked at behind the full barrier of that.
	 */
	info = READ_ONCE(page->info);
	if (info >> KARENA_INFO_TAG_SHIFT != m->tag)
		return;
	if (unlikely(info & BIT(KARENA_INFO_FAR))) {
		/* As above; NULL if it has gone, then it was no reference. */
		smp_rmb();
		mark_far(m, ref.word, READ_ONCE(page->span));
		return;
	}
	nr = FIELD_GET(KARENA_INFO_PAGE, info);
	offset = (nr << KARENA_PAGE_SHIFT) + (ref.word & (KARENA_PAGE_SIZE - 1));
	/* Or the tail's, which nobody looks at. */
	index = offset * (u32)info >> 32;
	page -= nr;
	if (test_bit(index, page->mark) || test_and_set_bit(index, page->mark))
		return;
	if (info & BIT(KARENA_INFO_NOSCAN))
		count_object(m, karena_class_size[FIELD_GET(KARENA_INFO_CLASS, info)]);
	else if (own_span(&page->info))
		queue_span(m, page->span);
}

/* Outside of the linear mapping: a large object's, or none. */
static noinline void follow_mapped(struct karena_marker *m, unsigned long word)
{
	if (is_vmalloc_addr((void *)word))
		mark_far(m, word, karena_large_at(m->gc->heap, word));
}

/* A word that may be a reference. */
static __always_inline void follow(struct karena_marker *m, unsigned long word)
{
	struct karena_page *page;
	struct ref *oldest;
	struct ref ref;
	u32 index;

	if (!word)
		return;
	if (word - m->span_base < m->span_bytes) {
		index = (word - m->span_base) * m->magic >> 32;
		/* More of them, if they were allocated one after the other. */
		prefetch((void *)word + DENSE_BYTES);
		m->marks[index / BITS_PER_LONG] |= BIT(index % BITS_PER_LONG);
		return;
	}
	page = karena_map_page(m->map, m->base, word);
	if (unlikely(!page)) {
		follow_mapped(m, word);
		return;
	}
	prefetchw(page);
	oldest = &m->ring[m->at++ % RING];
	ref = *oldest;
	*oldest = (struct ref){ word, page };
	mark_ref(m, ref);
}

/* Empties the ring. */
static void follow_rest(struct karena_marker *m)
{
	unsigned int i;

	for (i = 0; i < RING; i++) {
		mark_ref(m, m->ring[i]);
		m->ring[i].page = NULL;
	}
}

/* --- objects --- */

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
	if (likely(layout->kind == KARENA_LAYOUT_MASK))
		scan_mask(m, layout, addr, end);
	else if (layout->kind == KARENA_LAYOUT_CONSERVATIVE)
		scan_words(m, addr, end);
	else if (layout->kind == KARENA_LAYOUT_OFFSETS)
		scan_offsets(m, layout, addr, end);
}

/* --- spans --- */

/* A word of the marks, without those of the tail behind the last object. */
static unsigned long read_marks(const struct karena_span *span, unsigned int word)
{
	unsigned int left = span->nelems - word * BITS_PER_LONG;

	/* Set by anybody, at any time. */
	return READ_ONCE(span->mark[word]) & (left < BITS_PER_LONG ? BIT(left) - 1 : ~0UL);
}

static bool has_grey(struct karena_span *span)
{
	unsigned int word;

	for (word = 0; word < BITS_TO_LONGS(span->nelems); word++)
		if (read_marks(span, word) & ~span->scanned[word])
			return true;
	return false;
}

/* The span is nobody's, unless an object of it became grey meanwhile. */
static void release_span(struct karena_marker *m, struct karena_span *span)
{
	clear_bit(KARENA_INFO_QUEUED, span->info);
	/* Pairs with the setting of a mark before own_span(). */
	smp_mb__after_atomic();
	if (has_grey(span) && own_span(span->info))
		queue_span(m, span);
}

/* The next piece of a large object; first of all, others may have the one after it. */
static void scan_piece(struct karena_marker *m, struct karena_span *span)
{
	unsigned long element = max_t(u32, span->layout->size, sizeof(long));
	size_t piece = max_t(size_t, rounddown(PIECE, element), element);
	size_t begin = span->scan_at, end = min(begin + piece, span->large_size);

	if (!begin)
		count_object(m, span->large_size);
	span->scan_at = end;
	if (end < span->large_size) {
		queue_span(m, span);
		karena_queue_give(&m->gc->queue, &m->hand);
	} else {
		*span->scanned = 1;
		release_span(m, span);
	}
	scan(m, span->layout, span->base + begin, span->base + end);
	m->work.scanned += end - begin;
}

/* The grey objects of one word of the marks, and what they add to it. */
static void scan_grey(struct karena_marker *m, struct karena_span *span, unsigned int word)
{
	unsigned long base = span->base + (unsigned long)word * BITS_PER_LONG * span->size;
	unsigned long scanned = span->scanned[word], bits = m->marks[word] & ~scanned;
	const struct karena_layout *layout = span->layout;
	unsigned long ahead = bits, addr;
	unsigned int i;

	for (i = 0; ahead && i < AHEAD; i++, ahead &= ahead - 1)
		prefetch((void *)(base + __ffs(ahead) * span->size));
	for (; bits; bits = m->marks[word] & ~scanned) {
		if (ahead) {
			prefetch((void *)(base + __ffs(ahead) * span->size));
			ahead &= ahead - 1;
		}
		scanned |= bits & -bits;
		addr = base + __ffs(bits) * span->size;
		scan(m, layout, addr, addr + span->size);
	}
	i = hweight_long(scanned & ~span->scanned[word]);
	m->work.objects += i;
	m->work.scanned += i * span->size;
	m->work.bytes += i * span->size;
	span->scanned[word] = scanned;
}

static bool has_more(struct karena_marker *m, struct karena_span *span, unsigned int words)
{
	unsigned int word;

	for (word = 0; word < words; word++)
		if (m->marks[word] & ~span->scanned[word])
			return true;
	return false;
}

static void scan_span(struct karena_marker *m, struct karena_span *span)
{
	unsigned int words = BITS_TO_LONGS(span->nelems), word, grey = 0;
	u64 before = m->work.objects;

	for (word = 0; word < words; word++) {
		m->marks[word] = m->seen[word] = read_marks(span, word);
		grey += hweight_long(m->seen[word] & ~span->scanned[word]);
	}
	m->span_base = span->base;
	m->span_bytes = (unsigned long)span->nelems * span->size;
	m->magic = span->magic;
	do {
		for (word = 0; word < words; word++)
			scan_grey(m, span, word);
	} while (has_more(m, span, words));
	m->span_bytes = 0;
	m->dense = m->work.objects - before > DENSE * grey;
	for (word = 0; word < words; word++)
		if (m->marks[word] != m->seen[word])
			atomic_long_or(m->marks[word] & ~m->seen[word],
				       (atomic_long_t *)&span->mark[word]);
	release_span(m, span);
}

/* --- the window: what spans need comes before their turn --- */

static struct karena_span *next_batch(struct karena_marker *m)
{
	struct karena_span *first;

	first = list_first_entry_or_null(&m->hand.taken, struct karena_span, batch);
	if (first)
		list_del(&first->batch);
	return first;
}

static struct karena_span *span_behind(struct karena_marker *m, struct karena_span *span)
{
	if (!span || !span->grey.next)
		return next_batch(m);
	return llist_entry(span->grey.next, struct karena_span, grey);
}

static void prefetch_objects(struct karena_marker *m, const struct karena_span *span)
{
	unsigned long bits = span->mark[0] & ~span->scanned[0], first;
	unsigned int i;

	if (m->dense) {
		first = span->base + (bits ? __ffs(bits) * span->size : 0);
		for (i = 0; i < DENSE_BYTES; i += SMP_CACHE_BYTES)
			prefetch((void *)(first + i));
		return;
	}
	for (i = 0; bits && i < AHEAD; i++, bits &= bits - 1)
		prefetch((void *)(span->base + __ffs(bits) * span->size));
}

/* The span whose turn it is; all others come a step nearer. */
static struct karena_span *next_span(struct karena_marker *m)
{
	struct karena_span **w = m->window, *span = w[0];

	w[0] = w[1];
	w[1] = w[2];
	w[2] = span_behind(m, w[1]);
	if (w[2]) {
		prefetch(w[2]);
		prefetch(&w[2]->nfree);
	}
	if (w[1]) {
		prefetch(w[1]->mark);
		prefetch(w[1]->scanned);
	}
	if (w[0])
		prefetch_objects(m, w[0]);
	return span;
}

static bool fill_window(struct karena_marker *m)
{
	unsigned int i;

	for (i = 0; i < WINDOW; i++)
		next_span(m);
	return m->window[0];
}

/* What is in the window, and behind it in its batch, is a batch to be taken. */
static void empty_window(struct karena_marker *m)
{
	struct karena_span **w = m->window;
	unsigned int i;

	if (w[0])
		list_add(&w[0]->batch, &m->hand.taken);
	for (i = 0; i + 1 < WINDOW && w[i + 1]; i++)
		w[i]->grey.next = &w[i + 1]->grey;
	memset(w, 0, sizeof(m->window));
}

/* Scans what has been taken, or until it is @end; false in that case. */
static bool scan_taken(struct karena_marker *m, u64 end)
{
	u64 check = m->work.scanned + CHECK;
	struct karena_span *span;

	if (!fill_window(m))
		return true;
	while ((span = next_span(m))) {
		if (span->size)
			scan_span(m, span);
		else
			scan_piece(m, span);
		if (m->work.scanned < check)
			continue;
		if (ktime_get_mono_fast_ns() >= end)
			return false;
		check = m->work.scanned + CHECK;
	}
	return true;
}

/* --- slices --- */

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
	u64 end = ktime_get_mono_fast_ns() + budget - budget / MARGIN;
	struct karena_marker *m = get_marker(gc);
	bool some = false, more = true;

	*work = (struct karena_mark_work){};
	if (!m)
		return false;
	m->work = *work;
	rcu_read_lock();
	while (more && karena_queue_trade(&gc->queue, &m->hand, TAKE)) {
		some = true;
		more = scan_taken(m, end);
		follow_rest(m);
	}
	empty_window(m);
	if (some)
		karena_queue_trade(&gc->queue, &m->hand, 0);
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
		span = is_vmalloc_addr((void *)word) ? karena_large_at(heap, word) : NULL;
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
	bool counts;
	u32 index;

	if (!word)
		return;
	rcu_read_lock();
	span = karena_find_object(gc->heap, word, &index);
	if (span && mark_object(span, index, &counts))
		karena_queue_shade(&gc->queue, span);
	else if (span && counts)
		atomic64_add(object_size(span), &gc->shaded_bytes);
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
		karena_hand_init(&m->hand);
		m->gc = gc;
		m->map = gc->heap->map;
		m->base = gc->heap->base;
		m->tag = gc->heap->tag;
	}
	return 0;
}

void karena_markers_exit(struct karena_gc *gc)
{
	kvfree(gc->markers);
}
