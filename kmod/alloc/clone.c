// SPDX-License-Identifier: GPL-2.0
/*
 * A heap that has the same objects as another one at the same addresses, as far as the
 * metadata goes; what is in them is up to the backing.
 *
 * Spans are looked at one after the other, by their addresses, without stopping anybody:
 * who wants them all of one moment lets nobody allocate or free meanwhile.  Objects in
 * magazines of the kernel are free in the clone, as are runs of pages, which it has none.
 * Blocks of tiny objects that a CPU cuts from are not in the clone.
 */
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "internal.h"

#define MOST_OBJECTS	(KARENA_PAGE_SIZE / 8)	/* of a span */

/* What is known of a span. */
struct picture {
	unsigned long start;		/* pages */
	unsigned long npages;
	size_t large_size;		/* 0 if it is of a class */
	unsigned int spc;
	enum karena_layout_kind kind;
	u32 type;
	u32 age;			/* cycles since it was made */
	unsigned int size;		/* of an object */
	unsigned int live;		/* how many objects */
	u16 tiny[KARENA_PAGE_SIZE / KARENA_TINY_SIZE];	/* see tiny.c */
	DECLARE_BITMAP(free, MOST_OBJECTS);
};

static void look_at_objects(const struct karena_span *span, struct picture *picture)
{
	u32 i;

	bitmap_zero(picture->free, MOST_OBJECTS);
	for (i = 0; i < span->nelems; i++) {
		u8 state = READ_ONCE(span->state[i]);

		if (state == KARENA_TINY)
			picture->tiny[i] = karena_tiny_starts(READ_ONCE(span->tiny[i]));
		if (karena_is_live(state) || (state == KARENA_TINY && picture->tiny[i]))
			picture->live++;
		else
			__set_bit(i, picture->free);
	}
}

/* The span that begins at a page, if one does. */
static bool look_at(struct karena_heap *heap, unsigned long page, struct picture *picture)
{
	struct karena_span *span;

	picture->live = 0;
	rcu_read_lock();
	span = karena_span_at(heap, heap->base + (page << KARENA_PAGE_SHIFT));
	if (span && span->base == heap->base + (page << KARENA_PAGE_SHIFT) && span->state) {
		picture->start = page;
		picture->large_size = span->central ? 0 : span->large_size;
		picture->npages = span->central ? karena_class_pages[span->central->class] :
				  span->large_size >> KARENA_PAGE_SHIFT;
		picture->spc = span->central ? span->central->spc : 0;
		picture->kind = span->layout->kind;
		picture->type = span->layout->type;
		picture->age = READ_ONCE(heap->cycle) - span->born;
		picture->size = span->size;
		look_at_objects(span, picture);
	}
	rcu_read_unlock();
	return picture->live;
}

static void paint_objects(struct karena_span *span, const struct picture *picture)
{
	u32 i;

	if (span->central) {
		bitmap_copy(span->free, picture->free, span->nelems);
		span->nfree = span->nelems - picture->live;
	}
	for (i = 0; i < span->nelems; i++) {
		if (test_bit(i, picture->free))
			continue;
		span->state[i] = span->tiny ? KARENA_TINY : KARENA_LIVE;
		if (span->tiny) {
			span->tiny[i] = picture->tiny[i];
			atomic64_add(karena_tiny_count(span->tiny[i]), &span->heap->tiny_allocs);
		}
	}
}

/* The clone's type; or NULL. */
static struct karena_type *type_of(struct karena_cloner *cloner,
				   const struct picture *picture)
{
	return cloner->type ? cloner->type(cloner, picture->type) : NULL;
}

static struct karena_central *central_of(struct karena_cloner *cloner,
					 const struct picture *picture, gfp_t gfp)
{
	struct karena_type *type = type_of(cloner, picture);

	return type ? karena_type_central(type, picture->size, gfp) :
		      karena_central_get(cloner->to, picture->spc, gfp);
}

/* Of a large object: never the other heap's own, which goes with it. */
static const struct karena_layout *layout_of(struct karena_cloner *cloner,
					     const struct picture *picture)
{
	struct karena_type *type = type_of(cloner, picture);

	if (type)
		return type->layout;
	return picture->kind == KARENA_LAYOUT_NOSCAN ? &karena_layout_noscan :
						       &karena_layout_conservative;
}

static int paint(struct karena_cloner *cloner, const struct picture *picture,
		 struct karena_run *run, gfp_t gfp)
{
	struct karena_central *central = NULL;
	struct karena_heap *heap = cloner->to;
	struct karena_span *span;

	if (!picture->large_size) {
		central = central_of(cloner, picture, gfp);
		if (!central)
			return -ENOMEM;
	}
	span = karena_span_new(heap, central, central ? central->layout :
			       layout_of(cloner, picture), run, picture->large_size, gfp);
	if (!span)
		return -ENOMEM;
	paint_objects(span, picture);
	span->born = READ_ONCE(heap->cycle) - picture->age;
	if (central)
		karena_central_adopt(central, span);
	else
		karena_pagemap_set(heap->map, run, span);
	return 0;
}

/*
 * Makes the spans of a heap those of another one as well, which is new.  Sleeps.  What
 * there is after an error goes with the heap.
 */
int karena_heap_clone(struct karena_cloner *cloner)
{
	struct picture *picture = kmalloc(sizeof(*picture), GFP_KERNEL);
	struct karena_heap *from = cloner->from, *to = cloner->to;
	gfp_t gfp = GFP_KERNEL | to->gfp;
	struct karena_run *run;
	unsigned long page = 0;
	int err = picture ? 0 : -ENOMEM;

	while (!err && page < from->map->npages) {
		if (page % KARENA_LEAF_PAGES == 0)
			cond_resched();
		if (fatal_signal_pending(current)) {
			err = -EINTR;
			break;
		}
		if (!READ_ONCE(from->map->leaf[page >> KARENA_LEAF_SHIFT])) {
			page = round_down(page, KARENA_LEAF_PAGES) + KARENA_LEAF_PAGES;
			continue;
		}
		if (!look_at(from, page++, picture))
			continue;
		page = picture->start + picture->npages;
		karena_move_begin(to);
		run = cloner->take(cloner, picture->start, picture->npages, gfp);
		err = run ? paint(cloner, picture, run, gfp) : -ENOMEM;
		if (err && run)
			karena_mheap_free(to, run);
		karena_move_end(to);
		cond_resched();
	}
	kfree(picture);
	return err;
}
