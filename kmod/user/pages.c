// SPDX-License-Identifier: GPL-2.0
/*
 * The MMU as the write barrier of collected heaps: which machine pages may change
 * unseen, and what they refer to.
 *
 * A page is written from when its span is made, or its first write is seen, until
 * it is protected; where a page is not written, no process can write to it without
 * a fault.  At the snapshot all that written pages refer to is shaded.  From there
 * on, whoever writes to another page first shades what it refers to, or leaves that to
 * markers (karena_page_write()).  So each reference of the snapshot is still in its place
 * when its object is scanned, or was shaded.
 *
 *	protect (before)		page_mkwrite (any time)
 *	lock_page			lock_page
 *	  written = 0			  still the heap's?
 *	unlock_page			  armed and not written: shade
 *	write-protect the entries	  written = 1
 *	pinned? written = 1		the fault makes the entry writable, unlocks
 *
 * The lock of the page makes that one of them is first: a fault before has made the
 * entry writable by the time that it is protected; one after has set written, which
 * then stays right, protected or not.  What is pinned, by DMA or a system call in
 * flight, is written without an entry: it counts as written, and who pins it later
 * has to fault.
 *
 * Armed means that the snapshot is near or was.  It is looked at, and written set,
 * with interrupts off, so that the stopper, who interrupts each CPU after it has
 * armed the heap (stop.c), sees each bit that was set without it.
 *
 * Heaps whose programs have a barrier of their own (KARENA_SETUP_BARRIER) have none of
 * this: uh->written is NULL.
 *
 * Spans without references are left alone: their pages count as not written, with
 * writable entries.  Therefore a new span's are written.
 *
 * The bits are in the words that tell a page's memory (karena_pagemap_memory()).  For
 * each KARENA_PART_PAGES of these with one there is a bit in uh->written, which has a word for
 * a leaf, and for each such word a bit in uh->written_leaves: a walk over what is
 * written, which the stop needs too, hardly depends on the size of the heap.  Each bit
 * is cleared before what it stands for is looked at, and set after that.
 */
#include <linux/delay.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/rmap.h>
#include <linux/slab.h>

#include "kmod/compat/compat.h"
#include "user.h"

/* Rounds of protection end when one leaves so few, or after so many. */
#define FEW		16u
#define MAX_ROUNDS	8u
#define HOLD		msecs_to_jiffies(20)
#define RESCHED_PAGES	4096u
#define BATCH		512u		/* pages that are protected together */

static_assert(KARENA_SUBPAGES <= BITS_PER_LONG && KARENA_SUBPAGES <= KARENA_PAGE_SIZE);
#define WRITTEN		GENMASK(KARENA_SUBPAGES - 1, 0)

/* Whether there are references, or may be by the time that the page has a span. */
static bool may_refer(const struct karena_span *span)
{
	return !span || span->layout->kind != KARENA_LAYOUT_NOSCAN;
}

static void set_written(struct karena_uheap *uh, unsigned long page, unsigned long bits)
{
	atomic_long_or(bits, (atomic_long_t *)karena_pagemap_memory(uh->heap.map, page));
	/* Pairs with the one in walk_part(): it sees the bits, or this one is set after. */
	smp_mb__after_atomic();
	set_bit(page / KARENA_PART_PAGES, uh->written);
	/* And this with the one in walk_leaf(). */
	smp_mb__after_atomic();
	set_bit(page >> KARENA_LEAF_SHIFT, uh->written_leaves);
}

/* The pages of a span that comes count as written, and of one that goes not. */
void karena_pages_set(struct karena_uheap *uh, const struct karena_run *run, bool written)
{
	unsigned long i;

	if (!uh->written)
		return;
	for (i = run->start; i < run->start + run->npages; i++) {
		if (written)
			set_written(uh, i, WRITTEN);
		else
			atomic_long_andnot(WRITTEN, (atomic_long_t *)
					   karena_pagemap_memory(uh->heap.map, i));
		/* As in karena_pagemap_set(). */
		if ((i - run->start) % RESCHED_PAGES == RESCHED_PAGES - 1)
			cond_resched();
	}
}

/* --- what a page refers to --- */

/* A part of the heap: what of it is of interest. */
struct part {
	struct karena_uheap *uh;
	unsigned long start;
	unsigned long end;		/* in the same page */
	const void *memory;		/* where @start is */
	karena_visit_t *visit;
	void *arg;
};

/*
 * What follows is inlined where it is called from, as each page that is written in a
 * cycle has to pass here before its program goes on.
 */
static __always_inline void visit_word(const struct part *part, unsigned long addr)
{
	unsigned long word;

	/* Any value will do, as long as it is one that was there. */
	word = data_race(READ_ONCE(*(unsigned long *)(part->memory + (addr - part->start))));
	if (karena_may_refer(part->uh, word))
		part->visit(part->arg, word);
}

static __always_inline bool is_inside(const struct part *part, unsigned long addr)
{
	return addr >= part->start && addr < part->end;
}

/* The references of an object, as far as they are in the part. */
static __always_inline void visit_object(const struct part *part,
					 const struct karena_layout *layout, unsigned long addr,
					 size_t size)
{
	unsigned long at = addr, end = addr + size, word;
	const u32 *offset, *last = layout->offset + layout->nr;

	if (layout->kind == KARENA_LAYOUT_CONSERVATIVE) {
		for (at = max(at, part->start); at < min(end, part->end); at += sizeof(long))
			visit_word(part, at);
		return;
	}
	if (part->start > at)
		at += rounddown(part->start - at, layout->size);
	for (; at + layout->size <= end && at < part->end; at += layout->size)
		for (offset = layout->offset; offset < last; offset++) {
			word = at + *offset * sizeof(long);
			if (is_inside(part, word))
				visit_word(part, word);
		}
}

static __always_inline void visit_small(const struct part *part, const struct karena_span *span)
{
	u32 index = karena_span_index(span, part->start - span->base);
	u32 end = min(karena_span_index(span, part->end - 1 - span->base) + 1, span->nelems);
	unsigned long addr = span->base + (unsigned long)index * span->size;
	const struct karena_layout *layout = span->layout;
	const u8 *state = span->state;
	const u32 size = span->size;

	for (; index < end; index++, addr += size)
		if (karena_is_live(READ_ONCE(state[index])))
			visit_object(part, layout, addr, size);
}

/* The references of all objects in a part that is of one span.  Under RCU. */
static __always_inline void visit_part(struct part *part)
{
	struct karena_heap *heap = &part->uh->heap;
	struct karena_span *span = karena_span_at(heap, part->start);

	if (!span || !may_refer(span))
		return;
	part->memory = (void *)karena_memory_at(heap->map, heap->base, part->start);
	if (span->size)
		visit_small(part, span);
	else if (karena_is_live(READ_ONCE(span->state[0])))
		visit_object(part, span->layout, span->base, span->large_size);
}

static __always_inline void visit_page(struct karena_uheap *uh, pgoff_t pgoff,
				       karena_visit_t *visit, void *arg)
{
	struct part part = {
		.uh = uh, .visit = visit, .arg = arg,
		.start = uh->heap.base + (pgoff << PAGE_SHIFT),
	};

	part.end = part.start + PAGE_SIZE;
	rcu_read_lock();
	visit_part(&part);
	rcu_read_unlock();
}

/* All that the object at an address refers to, if there is one; may sleep. */
void karena_object_visit(struct karena_uheap *uh, unsigned long addr, karena_visit_t *visit,
			 void *arg)
{
	struct part part = { .uh = uh, .visit = visit, .arg = arg };
	size_t size = karena_usable_addr(&uh->heap, addr);

	for (part.start = addr; part.start < addr + size; part.start = part.end) {
		part.end = min(round_down(part.start, PAGE_SIZE) + PAGE_SIZE, addr + size);
		rcu_read_lock();
		visit_part(&part);
		rcu_read_unlock();
		cond_resched();
	}
}

/* --- writes that are seen --- */

/* Words that are to be shaded: as many as make a block of memory. */
struct shading {
	struct karena_gc *gc;
	unsigned int nr;
	unsigned long word[30];
};

static void shade_block(struct shading *shading)
{
	karena_shade_later(shading->gc, shading->word, shading->nr);
	shading->nr = 0;
}

static __always_inline void shade(void *arg, unsigned long word)
{
	struct shading *shading = arg;

	shading->word[shading->nr++] = word;
	if (shading->nr == ARRAY_SIZE(shading->word))
		shade_block(shading);
}

/* All that a page refers to.  Under RCU. */
static void shade_page(struct karena_uheap *uh, pgoff_t pgoff)
{
	struct shading shading = { .gc = uh->heap.gc };

	visit_page(uh, pgoff, shade, &shading);
	shade_block(&shading);
}

/* Written from here on, unless what it refers to has to be shaded before. */
static bool write_unarmed(struct karena_uheap *uh, unsigned long page, unsigned long bit)
{
	unsigned long flags;
	bool armed;

	local_irq_save(flags);
	/* See at the top. */
	armed = READ_ONCE(uh->armed);
	if (!armed && karena_is_planted(KARENA_PLANT_NOT_INTERRUPTED))
		mdelay(2);
	if (!armed)
		set_written(uh, page, bit);
	local_irq_restore(flags);
	return !armed;
}

/* Page @pgoff of the window is about to be written, and locked.  May sleep. */
void karena_page_write(struct karena_uheap *uh, pgoff_t pgoff)
{
	unsigned long page = pgoff / KARENA_SUBPAGES, bit = BIT(pgoff % KARENA_SUBPAGES);
	struct karena_heap *heap = &uh->heap;
	bool references;
	int section;

	if (!uh->written || READ_ONCE(*karena_pagemap_memory(heap->map, page)) & bit)
		return;
	rcu_read_lock();
	references = may_refer(karena_span_at(heap, heap->base + (pgoff << PAGE_SHIFT)));
	rcu_read_unlock();
	/* One that it gets later makes it written. */
	if (!references || write_unarmed(uh, page, bit))
		return;
	/* The end of marking waits for it. */
	section = karena_enter(heap);
	rcu_read_lock();
	if (READ_ONCE(heap->head.phase) == KARENA_MARK &&
	    !karena_is_planted(KARENA_PLANT_WRITE_UNSHADED))
		shade_page(uh, pgoff);
	rcu_read_unlock();
	set_written(uh, page, bit);
	karena_exit(heap, section);
}

/* --- protection --- */

/* Who else has the page: not the heap, not a process that maps it, not the caller. */
static bool is_pinned(struct folio *folio)
{
	int mapped = folio_mapcount(folio), refs;

	/* A fault has one as well, and would be rescued by that. */
	if (karena_is_planted(KARENA_PLANT_PINS_IGNORED) ||
	    karena_is_planted(KARENA_PLANT_WRITE_UNLOCKED))
		return false;
	/* Who maps it just now may hide one: these have no order that would help. */
	smp_rmb();
	refs = folio_ref_count(folio);
	/* As above. */
	smp_rmb();
	return refs > 2 + mapped || folio_mapcount(folio) != mapped;
}

static void clear_written(struct karena_uheap *uh, pgoff_t pgoff)
{
	atomic_long_andnot(BIT(pgoff % KARENA_SUBPAGES), (atomic_long_t *)
			   karena_pagemap_memory(uh->heap.map, pgoff / KARENA_SUBPAGES));
}

/* Pages next to each other that are being protected, each with a reference. */
struct karena_batch {
	pgoff_t first;
	unsigned int nr;
	unsigned int done;		/* pages so far whose writes are seen from here on */
	DECLARE_BITMAP(dirty, BATCH);
	struct folio *folio[BATCH];
};

static void end_page(struct karena_uheap *uh, unsigned int i)
{
	struct folio *folio = uh->batch->folio[i];
	pgoff_t pgoff = uh->batch->first + i;

	if (test_bit(i, uh->batch->dirty) || is_pinned(folio))
		set_written(uh, pgoff / KARENA_SUBPAGES, BIT(pgoff % KARENA_SUBPAGES));
	else
		uh->batch->done++;
	folio_put(folio);
}

/* For the planted bug: a fault meanwhile has made an entry writable again. */
static void clear_late(struct karena_uheap *uh)
{
	unsigned int i;

	usleep_range(300, 400);
	for (i = 0; i < uh->batch->nr; i++)
		clear_written(uh, uh->batch->first + i);
}

static void end_batch(struct karena_uheap *uh)
{
	struct karena_batch *batch = uh->batch;
	unsigned int i;

	if (batch->nr)
		karena_protect_some(uh->inode->i_mapping, batch->first, batch->nr, batch->dirty);
	if (karena_is_planted(KARENA_PLANT_PROTECT_UNLOCKED))
		clear_late(uh);
	/*
	 * After that: who pins a page without a fault looks at its entry once more
	 * when it has it (mm/gup.c).
	 */
	smp_mb();
	for (i = 0; i < batch->nr; i++)
		end_page(uh, i);
	batch->nr = 0;
}

/*
 * Whether the page is the heap's, which makes it not written from here on.  One that it
 * has together with a clone is not: who gets it a copy, and writes there, waits for the
 * lock before.
 */
static bool begin_page(struct karena_uheap *uh, struct folio *folio)
{
	bool ours;

	folio_lock(folio);
	ours = folio->mapping == uh->inode->i_mapping;
	if (!ours && karena_page_is_shared(uh, folio->index / KARENA_SUBPAGES)) {
		clear_written(uh, folio->index);
	} else if (ours) {
		if (!karena_is_planted(KARENA_PLANT_PROTECT_UNLOCKED))
			clear_written(uh, folio->index);
		karena_protect_locked(folio);
	}
	folio_unlock(folio);
	return ours;
}

static void protect_page(struct karena_uheap *uh, pgoff_t pgoff, void *arg)
{
	struct page *page = karena_window_page(uh, pgoff);
	struct karena_batch *batch = uh->batch;
	struct folio *folio;

	if (!page)
		return;
	folio = page_folio(page);
	if (!begin_page(uh, folio)) {
		folio_put(folio);
		return;
	}
	if (batch->nr == BATCH || batch->first + batch->nr != pgoff)
		end_batch(uh);
	if (!batch->nr)
		batch->first = pgoff;
	batch->folio[batch->nr++] = folio;
}

/* What to do with a machine page that is written, of a span with references. */
typedef void written_fn(struct karena_uheap *uh, pgoff_t pgoff, void *arg);

static void walk_page(struct karena_uheap *uh, unsigned long page, written_fn *fn, void *arg)
{
	unsigned long *memory = karena_pagemap_memory(uh->heap.map, page);
	unsigned long bits = READ_ONCE(*memory) & WRITTEN;
	struct karena_span *span;
	unsigned int sub;
	bool references;

	if (!bits)
		return;
	rcu_read_lock();
	span = karena_span_at(&uh->heap, uh->heap.base + (page << KARENA_PAGE_SHIFT));
	references = may_refer(span);
	rcu_read_unlock();
	if (!references) {
		atomic_long_andnot(WRITTEN, (atomic_long_t *)memory);
		return;
	}
	for_each_set_bit(sub, &bits, KARENA_SUBPAGES)
		fn(uh, page * KARENA_SUBPAGES + sub, arg);
}

/* The pages of one bit of uh->written; whether there are still some that are. */
static bool walk_part(struct karena_uheap *uh, unsigned long part, written_fn *fn, void *arg)
{
	unsigned long left = 0, i;

	clear_bit(part, uh->written);
	/* Pairs with the one in set_written(). */
	smp_mb__after_atomic();
	for (i = part * KARENA_PART_PAGES; i < (part + 1) * KARENA_PART_PAGES; i++) {
		walk_page(uh, i, fn, arg);
		left |= READ_ONCE(*karena_pagemap_memory(uh->heap.map, i)) & WRITTEN;
	}
	if (left)
		set_bit(part, uh->written);
	return left;
}

static void walk_leaf(struct karena_uheap *uh, unsigned long leaf, written_fn *fn, void *arg)
{
	unsigned long parts, part;
	bool left = false;

	clear_bit(leaf, uh->written_leaves);
	/* As above. */
	smp_mb__after_atomic();
	/* None goes from before a cycle begins: karena_window_forget(). */
	if (!READ_ONCE(uh->heap.map->leaf[leaf]))
		return;
	parts = READ_ONCE(uh->written[leaf]);
	for_each_set_bit(part, &parts, BITS_PER_LONG)
		left |= walk_part(uh, leaf * BITS_PER_LONG + part, fn, arg);
	if (left)
		set_bit(leaf, uh->written_leaves);
}

/* All pages that are written. */
static void walk(struct karena_uheap *uh, written_fn *fn, void *arg)
{
	unsigned long leaves = uh->heap.map->npages / KARENA_LEAF_PAGES, leaf;

	for_each_set_bit(leaf, uh->written_leaves, leaves) {
		walk_leaf(uh, leaf, fn, arg);
		karena_rest(uh);
	}
}

/* One round; how many pages. */
static unsigned int protect_all(struct karena_uheap *uh)
{
	uh->batch->nr = 0;
	uh->batch->done = 0;
	walk(uh, protect_page, NULL);
	end_batch(uh);
	return uh->batch->done;
}

/* Whoever is about to write to a page for the first time waits, or goes on again. */
static void hold_writers(struct karena_uheap *uh, bool hold)
{
	WRITE_ONCE(uh->held, hold);
	if (!hold)
		wake_up_all(&uh->held_wait);
}

/*
 * Protects what is written, in rounds, as live migration does: each leaves fewer pages
 * that were written meanwhile than the one before, or is the reason why the next ones
 * are done while nobody begins to write to any more.
 */
void karena_pages_protect(struct karena_uheap *uh)
{
	unsigned int last = UINT_MAX, n, round;

	if (!uh->written)
		return;
	for (round = 0; round < MAX_ROUNDS; round++) {
		n = protect_all(uh);
		if (n < FEW)
			break;
		if (n > last / 2)
			hold_writers(uh, true);
		last = n;
	}
	hold_writers(uh, false);
}

/*
 * For who is about to write to pages that are protected, or to make new ones, and has
 * no page locked: not while that would never come to an end.  Sleeps.
 */
void karena_pages_hold(struct karena_uheap *uh)
{
	/* It says when it is over, but a fault is not to wait for long, come what may. */
	if (READ_ONCE(uh->held))
		wait_event_killable_timeout(uh->held_wait, !READ_ONCE(uh->held), HOLD);
}

struct visit {
	karena_visit_t *fn;
	void *arg;
	unsigned int most;
	unsigned int nr;
};

static void visit_one(struct karena_uheap *uh, pgoff_t pgoff, void *arg)
{
	struct visit *visit = arg;

	if (visit->nr++ < visit->most)
		visit_page(uh, pgoff, visit->fn, visit->arg);
}

/* All that written pages refer to; false if there are more than @most of them. */
bool karena_pages_visit(struct karena_uheap *uh, karena_visit_t *fn, void *arg,
			unsigned int most)
{
	struct visit visit = { .fn = fn, .arg = arg, .most = most };

	if (uh->written)
		walk(uh, visit_one, &visit);
	return visit.nr <= most;
}

int karena_pages_init(struct karena_uheap *uh)
{
	unsigned long leaves = uh->heap.map->npages / KARENA_LEAF_PAGES;

	init_waitqueue_head(&uh->held_wait);
	uh->written = kvcalloc(leaves, sizeof(long), GFP_KERNEL_ACCOUNT);
	uh->written_leaves = kvcalloc(BITS_TO_LONGS(leaves), sizeof(long), GFP_KERNEL_ACCOUNT);
	uh->batch = kvzalloc(sizeof(*uh->batch), GFP_KERNEL_ACCOUNT);
	return uh->written && uh->written_leaves && uh->batch ? 0 : -ENOMEM;
}

void karena_pages_exit(struct karena_uheap *uh)
{
	kvfree(uh->written_leaves);
	kvfree(uh->written);
	kvfree(uh->batch);
}
