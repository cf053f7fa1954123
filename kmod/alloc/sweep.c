// SPDX-License-Identifier: GPL-2.0
/*
 * Sweeping: what of a span has no mark after a cycle is free, and the marks are
 * cleared for the next one.  Go's sweep: lazy, when a span class needs slots; by
 * a worker; and in proportion to allocation (gc/pacer.c).  Each span is swept once,
 * under its central's lock.
 */
#include <linux/kernel.h>
#include <linux/sched.h>

#include "internal.h"

/* Spans swept under one hold of a lock. */
#define SWEEP_BATCH	4u

/* Whether a slot without a mark is free from here on: unless somebody is about to free it. */
static bool sweep_slot(struct karena_span *span, unsigned int bit)
{
	u8 state;

	if (span->state) {
		/* A program may free what it cannot reach, or say that it is special. */
		state = READ_ONCE(span->state[bit]);
		if (state == KARENA_CACHED || state == KARENA_SPECIAL ||
		    cmpxchg(&span->state[bit], state, KARENA_FREE) != state)
			return false;
	}
	if (!span->heap->user)
		karena_seal(span->base + (unsigned long)bit * span->size, karena_secret);
	if (span->tiny)
		karena_tiny_swept(span, bit);
	return true;
}

/* The same of eight slots together, of programs that may be alive as far as they know. */
static bool sweep_eight(struct karena_span *span, unsigned int bit)
{
	const u64 live = REPEAT_BYTE(KARENA_LIVE), free = REPEAT_BYTE(KARENA_FREE);

	return span->heap->user && !span->tiny &&
	       cmpxchg64((u64 *)&span->state[bit], live, free) == live;
}

/* Of @dead, which is one word of the bitmaps, from slot @first on: what is free now. */
static unsigned long sweep_dead(struct karena_span *span, unsigned int first, unsigned long dead)
{
	unsigned long bits = dead;
	unsigned int bit;

	while (bits) {
		bit = __ffs(bits);
		if (bit % 8 == 0 && (u8)(bits >> bit) == 0xff && sweep_eight(span, first + bit)) {
			bits &= ~(0xffUL << bit);
			continue;
		}
		if (!sweep_slot(span, first + bit))
			dead &= ~BIT(bit);
		bits &= bits - 1;
	}
	return dead;
}

/* Slots of one word of the bitmaps that are neither free nor marked become free. */
static unsigned int sweep_word(struct karena_span *span, unsigned int word)
{
	unsigned int first = word * BITS_PER_LONG;
	unsigned long valid = span->nelems - first >= BITS_PER_LONG ? ~0UL :
			      BIT(span->nelems - first) - 1;
	unsigned long dead = valid & ~span->free[word] & ~span->mark[word];

	span->mark[word] = 0;
	span->scanned[word] = 0;
	dead = sweep_dead(span, first, dead);
	span->free[word] |= dead;
	return hweight_long(dead);
}

/*
 * Sweeps a span, call with its central's lock.  It is on the list of partial or
 * full ones then; true if it is empty, and what becomes of it the caller's.
 */
bool karena_span_sweep(struct karena_central *central, struct karena_span *span)
{
	unsigned int word, dead = 0;

	for (word = 0; word < BITS_TO_LONGS(span->nelems); word++)
		dead += sweep_word(span, word);
	span->swept = central->swept;
	span->hint = 0;
	span->nfree += dead;
	central->nr_free += dead;
	central->swept_objects += dead;
	atomic64_sub((u64)dead * span->size, &span->heap->used);
	list_move(&span->list, span->nfree ? &central->partial : &central->full);
	return span->nfree == span->nelems;
}

/* From here on no span goes away.  May sleep. */
void karena_keep_begin(struct karena_heap *heap)
{
	struct karena_central *central;

	WRITE_ONCE(heap->keep, true);
	/* Pairs with the cmpxchg in karena_central_add(): it is on the list, or sees it. */
	smp_mb();
	for (central = karena_first_central(heap); central; central = central->next) {
		/* Who has looked at it before is done. */
		spin_lock_irq(&central->lock);
		spin_unlock_irq(&central->lock);
	}
	/* The same of those who unmap. */
	mutex_lock(&heap->reap_lock);
	mutex_unlock(&heap->reap_lock);
}

/* From here on what leaves a span is marked. */
void karena_marks_begin(struct karena_heap *heap)
{
	struct karena_central *central;

	WRITE_ONCE(heap->births, true);
	/* As in karena_keep_begin(). */
	smp_mb();
	spin_lock_irq(&heap->lock);
	heap->large_births = true;
	spin_unlock_irq(&heap->lock);
	for (central = karena_first_central(heap); central; central = central->next) {
		spin_lock_irq(&central->lock);
		central->marking = true;
		spin_unlock_irq(&central->lock);
	}
}

/*
 * After a cycle has marked all: from here on no span of before has free slots.  What
 * was born until now has a mark and a span that is swept, what comes later neither.
 */
void karena_sweep_begin(struct karena_heap *heap)
{
	struct karena_central *central;

	WRITE_ONCE(heap->births, false);
	/* As in karena_keep_begin(). */
	smp_mb();
	for (central = karena_first_central(heap); central; central = central->next) {
		spin_lock_irq(&central->lock);
		central->swept = heap->cycle;
		central->marking = false;
		list_splice_tail_init(&central->partial, &central->unswept);
		list_splice_tail_init(&central->full, &central->unswept);
		central->nr_empty_spans = 0;
		central->changes++;
		spin_unlock_irq(&central->lock);
	}
	spin_lock_irq(&heap->lock);
	heap->large_births = false;
	list_splice_tail_init(&heap->large, &heap->large_unswept);
	spin_unlock_irq(&heap->lock);
}

static unsigned int sweep_central(struct karena_central *central, unsigned int most)
{
	struct karena_span *span;
	unsigned int n = 0;
	LIST_HEAD(gone);

	spin_lock_irq(&central->lock);
	central->changes++;
	for (; n < most && !list_empty(&central->unswept); n++) {
		span = list_first_entry(&central->unswept, struct karena_span, list);
		if (karena_span_sweep(central, span))
			karena_span_emptied(central, span, &gone);
	}
	spin_unlock_irq(&central->lock);
	karena_spans_delete(&gone);
	return n;
}

/* The next large object to sweep, dead and the caller's to free; else NULL. */
static struct karena_span *next_dead(struct karena_heap *heap)
{
	struct karena_span *span, *dead = NULL;

	spin_lock_irq(&heap->lock);
	span = list_first_entry_or_null(&heap->large_unswept, struct karena_span, list);
	if (span) {
		list_move(&span->list, &heap->large);
		*span->scanned = 0;
		if (!test_and_clear_bit(0, span->mark) &&
		    cmpxchg(&span->state[0], KARENA_LIVE, KARENA_CACHED) == KARENA_LIVE)
			dead = span;
	}
	spin_unlock_irq(&heap->lock);
	return dead;
}

static unsigned int sweep_large(struct karena_heap *heap, unsigned int most)
{
	struct karena_span *dead;
	unsigned int n = 0;

	for (; n < most && !list_empty_careful(&heap->large_unswept); n++) {
		dead = next_dead(heap);
		if (dead)
			karena_large_retire(dead);
	}
	return n;
}

/* Sweeps up to @most spans; how many.  May sleep. */
unsigned int karena_sweep_some(struct karena_heap *heap, unsigned int most)
{
	struct karena_central *central;
	unsigned int n = sweep_large(heap, most);

	for (central = karena_first_central(heap); central; central = central->next) {
		if (n >= most)
			break;
		/* Looked at under the lock again. */
		if (!list_empty_careful(&central->unswept))
			n += sweep_central(central, min(most - n, SWEEP_BATCH));
	}
	return n;
}
