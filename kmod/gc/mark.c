// SPDX-License-Identifier: GPL-2.0
/*
 * Marking: the references of grey objects are followed, a slice at a time, by as
 * many markers as there is time for.  An object is marked when it is found; it is
 * grey until the bit beside the mark says that it has been scanned.
 *
 * Nearly every step is a cache miss, so that whatever the next steps read is
 * prefetched (Cher, Hosking and Vijaykumar, "Software prefetching for mark-sweep
 * garbage collection", ASPLOS 2004), in turns: some objects come from the stack and
 * are prefetched; meanwhile the references that were gathered before are looked up,
 * and those to objects without a mark go on the stack; then the references of the
 * new objects are gathered, and the one cache line that each of them costs, the
 * entry of its page with the marks (struct karena_page), is prefetched.
 *
 * Where references mostly lead to neighbours, grey objects are queued by their
 * spans, elsewhere one by one (queue.c); which of the two is looked at again all
 * the time.  Of a span all grey objects are scanned, in the order of addresses, and
 * others of it that they lead to are marked without atomic operations, in a copy of
 * the marks that is merged when the span is left.  Spans pass a short window: what
 * is known of them, their marks, and their first objects come before their turn.
 *
 * An object that was pushed is scanned once more if its span is queued for another
 * one's sake.  It costs time, little of it, and does no harm.
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

#include "mark.h"
#include "stack.h"

#define OBJECTS		16u		/* taken from the stack at a time */
#define REFS		64u		/* gathered at a time */
#define WINDOW		3u		/* spans that wait for their turn */
#define AHEAD		8u		/* grey objects of a span that are prefetched */
#define TAKE		8u		/* batches of spans taken at a time */
#define DENSE_BYTES	512u		/* prefetched where neighbours refer to each other */
#define DENSE		2u		/* more than so often its objects led to others of it */
#define CHECK		SZ_4K		/* bytes scanned between looks at the clock */
#define PIECE		SZ_4K		/* of a large object, scanned at a stretch */
#define MARGIN		4u		/* of a slice, for the time between looks: an eighth */
#define MAX_WORDS	BITS_TO_LONGS(KARENA_PAGE_SIZE / 8)	/* of a span's marks */

/* What following a reference needs, in registers. */
struct cursor {
	unsigned long base;		/* the heap's */
	unsigned long npages;		/* of its map */
	struct karena_leaf *const *leaf;
	unsigned long moved;		/* memory of what is scanned, less its address */
	u32 nr;				/* of references gathered */
	u32 near;			/* of these, those to neighbours */

	/* Of the span that is being scanned. */
	u32 word;			/* of its marks */
	unsigned long marks;		/* that word */
};

/* A reference to an object that has no mark yet. */
struct white {
	struct karena_page *page;	/* first of the span */
	unsigned long info;
	unsigned long base;		/* of the span */
	u32 index;
};

/* A reference to an object whose mark is not in the pagemap. */
struct far_ref {
	unsigned long word;
	struct karena_span *span;
};

/* Objects that are on their way into the cache. */
struct objects {
	u32 nr;
	u64 item[OBJECTS];
};

struct karena_marker {
	struct mutex lock;		/* who works with it */
	struct karena_gc *gc;
	struct karena_pagemap *map;	/* copies of the heap's */
	struct karena_shape **shapes;
	unsigned long base;
	unsigned long tag;
	bool user;			/* memory is not at its address */

	struct objects batch[2];	/* to be scanned next, and after that: */
	struct objects *next, *after;	/* these two */
	u32 nr_refs;
	struct ref refs[REFS];
	struct white white[REFS + 1];	/* and one that is none */
	u32 nr_far;
	struct far_ref far[REFS];

	/* The span that is being scanned. */
	unsigned long marks[MAX_WORDS];	/* its marks, and those found meanwhile */
	unsigned long seen[MAX_WORDS];	/* its marks, as they were read */
	bool dense;			/* the last one led to itself mostly */

	struct karena_span *window[WINDOW];
	struct karena_hand hand;
	bool by_span;			/* how grey objects are queued */
	u32 near;			/* references to neighbours lately */
	u32 scanned;			/* objects lately */
	u64 check;			/* scanned bytes at which to look at the clock */
	u64 end;			/* of the slice */
	bool over;			/* it is */
	struct karena_mark_work work;
};

static __always_inline void count_objects(struct karena_marker *m, unsigned int n, size_t size)
{
	m->work.objects += n;
	m->work.bytes += (u64)n * size;
}

static __always_inline u64 make_item(const struct karena_marker *m, unsigned long addr, u32 shape)
{
	return (u64)(addr - m->base) << KARENA_ITEM_SHIFT | shape;
}

static __always_inline unsigned long item_addr(const struct karena_marker *m, u64 item)
{
	return m->base + (item >> KARENA_ITEM_SHIFT);
}

static __always_inline const struct karena_shape *item_shape(struct karena_marker *m, u64 item)
{
	u32 nr = item & (BIT(KARENA_ITEM_SHIFT) - 1);

	/* The block was there when the object was. */
	return &READ_ONCE(m->shapes[nr / KARENA_SHAPE_BLOCK])[nr % KARENA_SHAPE_BLOCK];
}

/* --- marks --- */

/* An object is grey, and not on the stack. */
static void queue_span(struct karena_marker *m, struct karena_span *span)
{
	if (own_span(span->info))
		karena_hand_add(&m->hand, span);
}

/* Whether an object that has been marked is on the stack; else its span is to be queued. */
static __always_inline bool push_object(struct karena_marker *m, unsigned long addr, u32 shape)
{
	return !m->by_span && karena_push(&m->gc->queue, &m->hand, make_item(m, addr, shape));
}

/* The marks are not in the pagemap. */
static noinline void mark_far(struct karena_marker *m, unsigned long word,
			      struct karena_span *span)
{
	u32 index;

	if (!span || span->heap != m->gc->heap || !span->mark)
		return;
	index = karena_span_index(span, word - span->base);
	if (index >= span->nelems || !mark_object(span, index))
		return;
	count_objects(m, 1, object_size(span));
	if (test_bit(KARENA_INFO_NOSCAN, span->info))
		return;
	if (!span->size || !push_object(m, span->base + (unsigned long)index * span->size,
					span->central->shape))
		queue_span(m, span);
}

/* Its span is next, and what that leads to. */
static noinline void put_far(struct karena_marker *m, const struct ref *ref)
{
	struct karena_span *span;

	/* As in is_white(); NULL if it has gone, then it was no reference. */
	smp_rmb();
	span = READ_ONCE(ref->page->span);
	if (!span)
		return;
	prefetch(span);
	m->far[m->nr_far++] = (struct far_ref){ ref->word, span };
}

/* Each pass reads what the one before has prefetched. */
static noinline void mark_all_far(struct karena_marker *m)
{
	struct karena_span *span;
	unsigned int i;
	u32 index;

	for (i = 0; i < m->nr_far; i++) {
		span = m->far[i].span;
		index = karena_span_index(span, m->far[i].word - span->base);
		if (span->mark && index < span->nelems)
			prefetch(&span->mark[index / BITS_PER_LONG]);
	}
	for (i = 0; i < m->nr_far; i++)
		mark_far(m, m->far[i].word, m->far[i].span);
	m->nr_far = 0;
}

/* The object that a reference leads to, if it is one to a small object without a mark. */
static __always_inline bool is_white(struct karena_marker *m, const struct ref *ref,
				     struct white *white)
{
	/*
	 * Pairs with smp_store_release() in karena_pagemap_set(): a mark is set in
	 * dependence of it, and the span looked at behind the full barrier of that.
	 */
	unsigned long offset, info = READ_ONCE(ref->page->info);
	struct karena_page *page;
	u32 index;

	if (unlikely(!is_near(info, m->tag))) {
		if ((info & KARENA_INFO_TAG) == m->tag)
			put_far(m, ref);
		return false;
	}
	offset = span_offset(ref->word, info);
	index = near_index(offset, info);
	if (unlikely(index >= near_objects(info)))
		return false;
	page = first_page(ref->page, info);
	*white = (struct white){ page, info, ref->word - offset, index };
	return !test_bit(index, page->mark);
}

static __always_inline void mark_white(struct karena_marker *m, const struct white *white,
				       struct karena_mark_work *work)
{
	unsigned long info = white->info;
	u32 size;

	if (unlikely(test_and_set_bit(white->index, white->page->mark)))
		return;
	size = karena_class_size[FIELD_GET(KARENA_INFO_CLASS, info)];
	work->objects++;
	work->bytes += size;
	if (unlikely(info & BIT(KARENA_INFO_NOSCAN)))
		return;
	if (!push_object(m, white->base + white->index * size, FIELD_GET(KARENA_INFO_SHAPE, info)))
		queue_span(m, white->page->span);
}

/*
 * Looks up @n references that were gathered.  First those to objects with a mark
 * are left out, without a branch that nobody could predict.
 */
static noinline void mark_refs(struct karena_marker *m, unsigned int n)
{
	struct karena_mark_work work = {};
	unsigned int i, nr = 0;

	for (i = 0; i < n; i++)
		nr += is_white(m, &m->refs[i], &m->white[nr]);
	for (i = 0; i < nr; i++)
		mark_white(m, &m->white[i], &work);
	m->work.objects += work.objects;
	m->work.bytes += work.bytes;
	m->nr_refs = 0;
	if (m->nr_far)
		mark_all_far(m);
}

/* --- references --- */

/* Outside of the linear mapping: a large object's, or none. */
static noinline void follow_mapped(struct karena_marker *m, unsigned long word)
{
	if (is_vmalloc_addr((void *)word))
		mark_far(m, word, karena_large_at(m->gc->heap, word));
}

/* A word that may be a reference, in the object at @from. */
static __always_inline void follow(struct karena_marker *m, struct cursor *c, unsigned long word,
				   unsigned long from)
{
	unsigned long nr = (word - c->base) >> KARENA_PAGE_SHIFT;
	struct karena_leaf *leaf = NULL;
	struct karena_page *page;

	if (!word)
		return;
	c->near += (word ^ from) < KARENA_PAGE_SIZE;
	/* As in karena_map_page(). */
	if (likely(nr < c->npages))
		leaf = READ_ONCE(c->leaf[nr >> KARENA_LEAF_SHIFT]);
	if (unlikely(!leaf)) {
		follow_mapped(m, word);
		return;
	}
	page = &leaf->page[nr & (KARENA_LEAF_PAGES - 1)];
	/* Most are marked already: not for writing. */
	prefetch(page);
	m->refs[c->nr++] = (struct ref){ word, page };
	if (unlikely(c->nr == REFS)) {
		mark_refs(m, REFS);
		c->nr = 0;
	}
}

static __always_inline struct cursor get_cursor(const struct karena_marker *m)
{
	return (struct cursor){
		.base = m->base, .npages = m->map->npages, .leaf = m->map->leaf,
		.nr = m->nr_refs, .near = m->near,
	};
}

static __always_inline void put_cursor(struct karena_marker *m, const struct cursor *c)
{
	m->nr_refs = c->nr;
	m->near = c->near;
}

/* How far the memory at an address of the heap is from there. */
static __always_inline unsigned long moved_at(const struct karena_marker *m, unsigned long addr)
{
	return m->user ? karena_memory_at(m->map, m->base, addr) - addr : 0;
}

/* Its user may be writing, or even have freed it and got it again. */
static __always_inline unsigned long read_word(const struct cursor *c, unsigned long addr)
{
	/* What it reads was there, now or a little ago, or leads nowhere. */
	return data_race(READ_ONCE(*(unsigned long *)(addr + c->moved)));
}

/* In a user heap, what goes over the end of a page goes on anywhere. */
static __always_inline bool is_split(const struct karena_marker *m, unsigned long addr,
				     unsigned long end)
{
	return m->user && (addr ^ (end - 1)) >= KARENA_PAGE_SIZE;
}

static noinline void scan_split(struct karena_marker *m, const struct karena_layout *layout,
				unsigned long addr, unsigned long end)
{
	struct cursor c = get_cursor(m);
	unsigned long at;
	u32 i;

	if (layout->kind == KARENA_LAYOUT_CONSERVATIVE)
		for (; addr < end; addr += sizeof(long)) {
			c.moved = moved_at(m, addr);
			follow(m, &c, read_word(&c, addr), addr);
		}
	else
		for (; addr + layout->size <= end; addr += layout->size)
			for (i = 0; i < layout->nr; i++) {
				at = addr + layout->offset[i] * sizeof(long);
				c.moved = moved_at(m, at);
				follow(m, &c, read_word(&c, at), addr);
			}
	put_cursor(m, &c);
}

/* Any layout but the most usual one. */
static noinline void scan_other(struct karena_marker *m, const struct karena_layout *layout,
				unsigned long addr, unsigned long end)
{
	struct cursor c = get_cursor(m);
	unsigned long at;
	u32 i;

	c.moved = moved_at(m, addr);
	if (layout->kind == KARENA_LAYOUT_CONSERVATIVE)
		for (; addr < end; addr += sizeof(long))
			follow(m, &c, read_word(&c, addr), addr);
	else if (layout->kind == KARENA_LAYOUT_OFFSETS)
		for (; addr + layout->size <= end; addr += layout->size)
			for (i = 0; i < layout->nr; i++) {
				at = addr + layout->offset[i] * sizeof(long);
				follow(m, &c, read_word(&c, at), addr);
			}
	put_cursor(m, &c);
}

static __always_inline void scan(struct karena_marker *m, struct cursor *c,
				 const struct karena_layout *layout,
				 unsigned long addr, unsigned long end)
{
	bool split = is_split(m, addr, end);
	u64 mask;

	if (unlikely(split || layout->kind != KARENA_LAYOUT_MASK)) {
		put_cursor(m, c);
		if (split)
			scan_split(m, layout, addr, end);
		else
			scan_other(m, layout, addr, end);
		c->nr = m->nr_refs;
		c->near = m->near;
		return;
	}
	c->moved = moved_at(m, addr);
	for (; addr + layout->size <= end; addr += layout->size)
		for (mask = layout->mask; mask; mask &= mask - 1)
			follow(m, c, read_word(c, addr + __ffs64(mask) * sizeof(long)), addr);
}

/* --- objects from the stack --- */

static void gather_refs(struct karena_marker *m, struct objects *objects)
{
	struct cursor c = get_cursor(m);
	const struct karena_shape *shape;
	unsigned long addr;
	unsigned int i;

	for (i = 0; i < objects->nr; i++) {
		addr = item_addr(m, objects->item[i]);
		shape = item_shape(m, objects->item[i]);
		m->work.scanned += shape->size;
		scan(m, &c, shape->layout, addr, addr + shape->size);
	}
	m->scanned += objects->nr;
	objects->nr = 0;
	put_cursor(m, &c);
}

/* The batch after the next one, on its way to the cache. */
static void take_objects(struct karena_marker *m, struct objects *objects)
{
	unsigned long addr;
	unsigned int n;
	u64 item;

	for (n = 0; n < OBJECTS; n++) {
		item = karena_pop(&m->gc->queue, &m->hand);
		if (!item)
			break;
		addr = item_addr(m, item);
		/* For one use: entries are to stay in the cache. */
		__builtin_prefetch((void *)(addr + moved_at(m, addr)), 0, 0);
		objects->item[n] = item;
	}
	objects->nr = n;
}

static bool has_objects(struct karena_marker *m)
{
	return m->batch[0].nr || m->batch[1].nr || karena_has_objects(&m->hand);
}

/*
 * Scans objects until there are none, or it is time to look around.  What one batch
 * leads to is on its way while the other is scanned.
 */
static void scan_objects(struct karena_marker *m)
{
	do {
		swap(m->next, m->after);
		take_objects(m, m->after);
		gather_refs(m, m->next);
		mark_refs(m, m->nr_refs);
	} while (m->work.scanned < m->check && has_objects(m));
}

/* Puts what is to be scanned soon back on the stack. */
static void unfill(struct karena_marker *m)
{
	struct objects *batch;
	struct karena_span *span;
	unsigned long addr;

	for (batch = m->batch; batch < m->batch + ARRAY_SIZE(m->batch); batch++) {
		while (batch->nr) {
			addr = item_addr(m, batch->item[--batch->nr]);
			if (karena_push(&m->gc->queue, &m->hand, batch->item[batch->nr]))
				continue;
			span = karena_map_span(m->map, m->base, addr);
			queue_span(m, span);
		}
	}
}

/* --- spans --- */

static unsigned long grey_bits(const struct karena_span *span, unsigned int word)
{
	/* Set by anybody, at any time. */
	return READ_ONCE(span->mark[word]) & ~span->scanned[word];
}

static bool has_grey(struct karena_span *span)
{
	unsigned int word;

	for (word = 0; word < BITS_TO_LONGS(span->nelems); word++)
		if (grey_bits(span, word))
			return true;
	return false;
}

/* The span is nobody's, unless an object of it became grey meanwhile. */
static void release_span(struct karena_marker *m, struct karena_span *span)
{
	/* What was scanned is seen by who sets it next. */
	clear_bit_unlock(KARENA_INFO_QUEUED, span->info);
	/* Pairs with the setting of a mark before own_span(). */
	smp_mb__after_atomic();
	if (has_grey(span))
		queue_span(m, span);
}

/* The next piece of a large object; first of all, others may have the one after it. */
static void scan_piece(struct karena_marker *m, struct karena_span *span)
{
	unsigned long element = max_t(u32, span->layout->size, sizeof(long));
	size_t piece = max_t(size_t, rounddown(PIECE, element), element);
	size_t begin = span->scan_at, end = min(begin + piece, span->large_size);
	struct cursor c = get_cursor(m);

	span->scan_at = end;
	if (end < span->large_size) {
		karena_hand_add(&m->hand, span);
		karena_queue_share(&m->gc->queue, &m->hand);
	} else {
		*span->scanned = 1;
		release_span(m, span);
	}
	m->work.scanned += end - begin;
	m->scanned++;
	scan(m, &c, span->layout, span->base + begin, span->base + end);
	put_cursor(m, &c);
}

/* A reference in a span that is being scanned: to an object of it, or not. */
static __always_inline void follow_in(struct karena_marker *m, struct cursor *c,
				      const struct karena_span *span, unsigned long bytes,
				      unsigned long word)
{
	unsigned long offset = word - span->base;
	u32 index;

	if (offset >= bytes) {
		follow(m, c, word, span->base);
		return;
	}
	index = offset * span->magic >> 32;
	/* More of them, if they were allocated one after the other. */
	prefetch((void *)word + c->moved + DENSE_BYTES);
	c->near++;
	if (index / BITS_PER_LONG == c->word)
		c->marks |= BIT(index % BITS_PER_LONG);
	else
		m->marks[index / BITS_PER_LONG] |= BIT(index % BITS_PER_LONG);
}

static __always_inline void scan_in(struct karena_marker *m, struct cursor *c,
				    const struct karena_span *span, unsigned long bytes,
				    unsigned long addr)
{
	const struct karena_layout *layout = span->layout;
	unsigned long end = addr + span->size;
	u64 mask;

	if (unlikely(layout->kind != KARENA_LAYOUT_MASK || is_split(m, addr, end))) {
		scan(m, c, layout, addr, end);
		return;
	}
	c->moved = moved_at(m, addr);
	for (; addr + layout->size <= end; addr += layout->size)
		for (mask = layout->mask; mask; mask &= mask - 1)
			follow_in(m, c, span, bytes,
				  read_word(c, addr + __ffs64(mask) * sizeof(long)));
}

/* The grey objects of one word of the marks, and what they add to it. */
static __always_inline void scan_grey(struct karena_marker *m, struct cursor *c,
				      struct karena_span *span, unsigned int word)
{
	unsigned long base = span->base + (unsigned long)word * BITS_PER_LONG * span->size;
	unsigned long memory = base + c->moved;	/* of the first page: a hint */
	unsigned long bytes = (unsigned long)span->nelems * span->size;
	unsigned long scanned = span->scanned[word], bits = m->marks[word] & ~scanned;
	unsigned long ahead = bits;
	unsigned int i;

	c->word = word;
	c->marks = m->marks[word];
	for (i = 0; ahead && i < AHEAD; i++, ahead &= ahead - 1)
		prefetch((void *)(memory + __ffs(ahead) * span->size));
	for (; bits; bits = c->marks & ~scanned) {
		if (ahead) {
			prefetch((void *)(memory + __ffs(ahead) * span->size));
			ahead &= ahead - 1;
		}
		scanned |= bits & -bits;
		scan_in(m, c, span, bytes, base + __ffs(bits) * span->size);
	}
	m->marks[word] = c->marks;
	i = hweight_long(scanned & ~span->scanned[word]);
	m->work.scanned += i * span->size;
	m->scanned += i;
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

/* The marks of neighbours become everybody's. */
static void merge_marks(struct karena_marker *m, struct karena_span *span, unsigned int word)
{
	unsigned long bits = m->marks[word] & ~m->seen[word];

	if (!bits)
		return;
	bits &= ~atomic_long_fetch_or(bits, (atomic_long_t *)&span->mark[word]);
	count_objects(m, hweight_long(bits), span->size);
}

static void scan_span(struct karena_marker *m, struct karena_span *span)
{
	unsigned int words = BITS_TO_LONGS(span->nelems), word, grey = 0;
	struct cursor c = get_cursor(m);
	u64 before = m->work.scanned;

	c.moved = moved_at(m, span->base);
	for (word = 0; word < words; word++) {
		m->seen[word] = READ_ONCE(span->mark[word]);
		m->marks[word] = m->seen[word];
		grey += hweight_long(m->seen[word] & ~span->scanned[word]);
	}
	do {
		for (word = 0; word < words; word++)
			scan_grey(m, &c, span, word);
	} while (has_more(m, span, words));
	put_cursor(m, &c);
	m->dense = m->work.scanned - before > (u64)DENSE * grey * span->size;
	for (word = 0; word < words; word++)
		merge_marks(m, span, word);
	release_span(m, span);
}

static void scan_any(struct karena_marker *m, struct karena_span *span)
{
	if (span->size)
		scan_span(m, span);
	else
		scan_piece(m, span);
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
	unsigned long base = span->base + moved_at(m, span->base);
	unsigned int i;

	if (m->dense) {
		first = base + (bits ? __ffs(bits) * span->size : 0);
		for (i = 0; i < DENSE_BYTES; i += SMP_CACHE_BYTES)
			prefetch((void *)(first + i));
		return;
	}
	for (i = 0; bits && i < AHEAD; i++, bits &= bits - 1)
		prefetch((void *)(base + __ffs(bits) * span->size));
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

static void fill_window(struct karena_marker *m)
{
	unsigned int i;

	for (i = 0; i < WINDOW; i++)
		next_span(m);
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

/* --- slices --- */

/* Looks after itself and others from time to time. */
static void check(struct karena_marker *m)
{
	struct karena_queue *queue = &m->gc->queue;

	m->check = m->work.scanned + CHECK;
	m->by_span = 2 * m->near > m->scanned;
	m->near = 0;
	m->scanned = 0;
	/* Hints: somebody who waits may have what this one keeps. */
	if (waitqueue_active(&queue->wait) && !READ_ONCE(queue->some))
		karena_queue_share(queue, &m->hand);
	m->over = ktime_get_mono_fast_ns() >= m->end;
}

/* Scans what has been taken, and what it leads to; false if the slice is over before. */
static bool scan_taken(struct karena_marker *m)
{
	struct karena_span *span;

	fill_window(m);
	while (!m->over) {
		if (m->work.scanned >= m->check)
			check(m);
		if (m->hand.words) {
			m->work.scanned += karena_shade_taken(m->gc, &m->hand) * sizeof(long);
			continue;
		}
		if (has_objects(m)) {
			scan_objects(m);
			continue;
		}
		span = next_span(m);
		if (span) {
			scan_any(m, span);
			continue;
		}
		mark_refs(m, m->nr_refs);
		if (!has_objects(m))
			break;
	}
	return !m->over;
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
	u64 end = ktime_get_mono_fast_ns() + budget - budget / MARGIN;
	struct karena_marker *m = get_marker(gc);
	bool some = false, more = true;

	*work = (struct karena_mark_work){};
	if (!m)
		return false;
	m->work = *work;
	m->check = CHECK;
	m->end = end;
	m->over = false;
	rcu_read_lock();
	while (more && karena_queue_trade(&gc->queue, &m->hand, TAKE)) {
		some = true;
		more = scan_taken(m);
	}
	if (!more) {
		mark_refs(m, m->nr_refs);
		unfill(m);
		empty_window(m);
		karena_queue_trade(&gc->queue, &m->hand, 0);
	}
	karena_stack_free(&gc->queue, &m->hand);
	rcu_read_unlock();
	*work = m->work;
	mutex_unlock(&m->lock);
	return some;
}

KARENA_EXPORT_TEST(karena_mark_slice);

/*
 * After the snapshot of programs: what was born before it has a mark, but its page may
 * have been protected since, so that nobody has looked at its references.  Its span is
 * queued.  Spans stay, and new ones come at the head of the list.  May sleep.
 */
void karena_queue_born(struct karena_gc *gc)
{
	struct karena_span *span;

	list_for_each_entry_rcu(span, &gc->heap->spans, all, true) {
		if (span->layout->kind != KARENA_LAYOUT_NOSCAN && has_grey(span) &&
		    own_span(span->info))
			karena_queue_shade(&gc->queue, span);
		cond_resched();
	}
}

/* One for each CPU, and for one who has been preempted there. */
static unsigned int most_markers(void)
{
	return min(2 * num_possible_cpus(), 64u);
}

/* Of all markers of a heap. */
size_t karena_markers_bytes(void)
{
	return most_markers() * sizeof(struct karena_marker);
}

int karena_markers_init(struct karena_gc *gc)
{
	struct karena_marker *m;
	unsigned int i;

	gc->nr_markers = most_markers();
	gc->markers = kvcalloc(gc->nr_markers, sizeof(*gc->markers), GFP_KERNEL | gc->heap->gfp);
	if (!gc->markers)
		return -ENOMEM;
	for (i = 0; i < gc->nr_markers; i++) {
		m = &gc->markers[i];
		mutex_init(&m->lock);
		karena_hand_init(&m->hand);
		m->gc = gc;
		m->map = gc->heap->map;
		m->base = gc->heap->base;
		m->user = gc->heap->user;
		m->tag = FIELD_PREP(KARENA_INFO_TAG, gc->heap->tag);
		m->shapes = gc->heap->shapes;
		m->next = &m->batch[0];
		m->after = &m->batch[1];
	}
	return 0;
}

void karena_markers_exit(struct karena_gc *gc)
{
	kvfree(gc->markers);
}
