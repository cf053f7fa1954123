// SPDX-License-Identifier: GPL-2.0
/*
 * Damages that tests plant into a heap that nobody uses meanwhile, one of each kind that
 * the check knows, to see that it finds them.  All of them can be mended.  Unit tests call
 * this; for others see KARENA_PLANT_DAMAGE.  As plant.h says, nothing of it is in a module
 * that users have.
 */
#include "kmod/gc/gc.h"
#include "kmod/user/user.h"
#include "check.h"

#ifdef KARENA_CAN_PLANT

/* Makes something else of what is at an address. */
static bool hurt(struct karena_wound *wound, void *at, unsigned int size, u64 value)
{
	wound->at = at;
	wound->size = size;
	memcpy(&wound->was, at, size);
	memcpy(at, &value, size);
	return true;
}

/* The first span of a class that has free objects, and others. */
static struct karena_span *find_span(struct karena_heap *heap)
{
	struct karena_central *central;
	struct karena_span *span;

	for (central = karena_first_central(heap); central; central = central->next) {
		span = list_first_entry_or_null(&central->partial, struct karena_span, list);
		/* With some bits to spare. */
		if (span && span->nfree < span->nelems && span->nelems % BITS_PER_LONG &&
		    !span->tiny)
			return span;
	}
	return NULL;
}

/* A magazine of a depot that has two objects at least. */
static struct karena_magazine *find_magazine(struct karena_heap *heap)
{
	struct karena_central *central;
	struct karena_magazine *mag;

	for (central = karena_first_central(heap); central; central = central->next) {
		mag = list_first_entry_or_null(&central->full_mags, struct karena_magazine, list);
		if (mag && mag->nr > 1)
			return mag;
	}
	return NULL;
}

static bool hurt_slot(struct karena_wound *wound, bool twice)
{
	struct karena_magazine *mag = find_magazine(wound->heap);

	return mag && hurt(wound, &mag->slot[0], sizeof(long),
			   twice ? mag->slot[1] : mag->slot[0] + 8);
}

static bool hurt_run(struct karena_wound *wound)
{
	struct rb_node *node = wound->heap->free.root.rb_node;
	struct karena_run *run;

	if (!node && wound->heap->user)
		node = to_uheap(wound->heap)->bare.root.rb_node;
	run = rb_entry_safe(node, struct karena_run, node);
	return run && hurt(wound, &run->subtree_max, sizeof(long), run->subtree_max + 1);
}

static bool hurt_map(struct karena_wound *wound, const struct karena_span *span)
{
	struct karena_page *entry = karena_pagemap_get(wound->heap->map, span->run->start);

	return hurt(wound, &entry->span, sizeof(long), 0);
}

static bool hurt_memory(struct karena_wound *wound, const struct karena_span *span)
{
	struct karena_heap *heap = wound->heap;
	unsigned long *memory = karena_pagemap_memory(heap->map, span->run->start);

	return heap->user && !to_uheap(heap)->private &&
	       hurt(wound, memory, sizeof(long), *memory & KARENA_PAGE_MASK);
}

static u32 first_free(const struct karena_span *span)
{
	return find_first_bit(span->free, span->nelems);
}

static bool hurt_state(struct karena_wound *wound, const struct karena_span *span)
{
	return span->state && hurt(wound, &span->state[first_free(span)], 1, KARENA_LIVE);
}

/* As somebody who has freed an object, and goes on to use it. */
static bool hurt_free(struct karena_wound *wound, const struct karena_span *span)
{
	unsigned long addr = span->base + (unsigned long)first_free(span) * span->size;

	return !wound->heap->user && hurt(wound, (void *)addr, sizeof(long), 42);
}

static bool hurt_place(struct karena_wound *wound, struct karena_span *span)
{
	wound->moved = span;
	wound->from = &span->central->partial;
	list_move(&span->list, &span->central->full);
	return true;
}

static bool hurt_class(struct karena_wound *wound, const struct karena_span *span)
{
	if (!wound->heap->user)
		return false;
	wound->run = span->run;
	wound->value = karena_control_value(to_uheap(wound->heap), span->run->start);
	return !karena_control_publish(wound->heap, span->run, wound->value + 2);
}

static bool hurt_mark(struct karena_wound *wound, const struct karena_span *span)
{
	unsigned int last = span->nelems / BITS_PER_LONG;

	return span->mark && hurt(wound, &span->mark[last], sizeof(long),
				  span->mark[last] | BIT(BITS_PER_LONG - 1));
}

/* As if an object that has specials were free, or not known to have any. */
static bool hurt_special(struct karena_wound *wound)
{
	struct karena_heap *heap = wound->heap;
	unsigned long key = 0, addr;
	struct karena_span *span;

	if (!heap->gc || !xa_find(&heap->gc->specials.objects, &key, ULONG_MAX, XA_PRESENT))
		return false;
	addr = key * sizeof(u64);
	if (!heap->user)
		return hurt(wound, (void *)addr, sizeof(long), addr ^ karena_secret);
	span = karena_span_at(heap, addr);
	return hurt(wound, &span->state[karena_span_index(span, addr - span->base)], 1,
		    KARENA_LIVE);
}

static bool hurt_span(struct karena_wound *wound, u32 kind, struct karena_span *span)
{
	switch (kind) {
	case KARENA_DAMAGE_LINK:
		return hurt(wound, &span->list.prev, sizeof(long), (u64)&span->list);
	case KARENA_DAMAGE_SPAN:
		return hurt(wound, &span->size, sizeof(span->size), span->size + 8);
	case KARENA_DAMAGE_MAP:
		return hurt_map(wound, span);
	case KARENA_DAMAGE_FREE:
		return hurt(wound, &span->nfree, sizeof(span->nfree), span->nfree + 1);
	case KARENA_DAMAGE_STATE:
		return hurt_state(wound, span);
	case KARENA_DAMAGE_WRITTEN:
		return hurt_free(wound, span);
	case KARENA_DAMAGE_PLACE:
		return hurt_place(wound, span);
	case KARENA_DAMAGE_COUNT:
		return hurt(wound, &span->central->nr_free, sizeof(u64),
			    span->central->nr_free + 1);
	case KARENA_DAMAGE_MEMORY:
		return hurt_memory(wound, span);
	case KARENA_DAMAGE_CLASS:
		return hurt_class(wound, span);
	default:
		return hurt_mark(wound, span);
	}
}

/* Damages a heap; false if it has nothing of that kind.  May sleep. */
bool karena_wound(struct karena_heap *heap, u32 kind, struct karena_wound *wound)
{
	struct karena_span *span = find_span(heap);

	*wound = (struct karena_wound){ .heap = heap };
	switch (kind) {
	case 0:
		return false;
	case KARENA_DAMAGE_CACHE:
		return hurt_slot(wound, false);
	case KARENA_DAMAGE_TWICE:
		return hurt_slot(wound, true);
	case KARENA_DAMAGE_RUN:
		return hurt_run(wound);
	case KARENA_DAMAGE_SUM:
		return hurt(wound, &heap->span_pages, sizeof(u64), heap->span_pages + 1);
	case KARENA_DAMAGE_SPECIAL:
		return hurt_special(wound);
	default:
		return span && hurt_span(wound, kind, span);
	}
}

KARENA_EXPORT_TEST(karena_wound);

/* All is as it was. */
void karena_mend(struct karena_wound *wound)
{
	if (wound->at)
		memcpy(wound->at, &wound->was, wound->size);
	if (wound->moved)
		list_move(&wound->moved->list, wound->from);
	if (wound->run)
		karena_control_publish(wound->heap, wound->run, wound->value);
}

KARENA_EXPORT_TEST(karena_mend);

#endif /* KARENA_CAN_PLANT */
