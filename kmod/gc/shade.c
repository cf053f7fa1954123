// SPDX-License-Identifier: GPL-2.0
/*
 * Shading: objects that a word leads to live through the cycle that marks.  By roots, by
 * barriers, by first writes to a page.  They are marked, and their spans queued, as these
 * callers have no stack for objects (queue.c).
 *
 * Nobody needs the marks before marking ends.  So where there are many words, each a cache
 * miss, and a program that waits, markers get a copy of the words and do the rest, as with
 * the buffer of Go's write barrier (runtime/mwbbuf.go).
 */
#include <linux/mm.h>
#include <linux/prefetch.h>
#include <linux/slab.h>

#include "mark.h"

#define FEW	4u		/* words that are not worth a block */

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

static struct karena_span *shade_near(const struct ref *ref, unsigned long info, u64 *bytes)
{
	struct karena_page *page = first_page(ref->page, info);
	u32 index = near_index(span_offset(ref->word, info), info);

	if (index >= near_objects(info) || test_bit(index, page->mark) ||
	    test_and_set_bit(index, page->mark))
		return NULL;
	*bytes += near_size(info);
	return info & BIT(KARENA_INFO_NOSCAN) ? NULL : page->span;
}

static struct karena_span *shade_far(struct karena_heap *heap, unsigned long word, u64 *bytes)
{
	struct karena_span *span;
	u32 index;

	span = word ? karena_find_object(heap, word, &index) : NULL;
	if (!span || !mark_object(span, index))
		return NULL;
	*bytes += object_size(span);
	return test_bit(KARENA_INFO_NOSCAN, span->info) ? NULL : span;
}

/* The span of what a word leads to, if that is grey from here on. */
static __always_inline struct karena_span *shade(struct karena_heap *heap, const struct ref *ref,
						 u64 *bytes)
{
	/* As in is_white(). */
	unsigned long info = ref->page ? READ_ONCE(ref->page->info) : 0;

	if (ref->page && is_near(info, FIELD_PREP(KARENA_INFO_TAG, heap->tag)))
		return shade_near(ref, info, bytes);
	return shade_far(heap, ref->word, bytes);
}

/*
 * Makes sure that what a word leads to lives through this cycle, while it marks.
 * Any context.
 */
void karena_shade(struct karena_gc *gc, unsigned long word)
{
	struct karena_heap *heap = gc->heap;
	struct karena_span *span;
	u64 bytes = 0;
	struct ref ref;

	rcu_read_lock();
	ref = (struct ref){ word, karena_map_page(heap->map, heap->base, word) };
	span = shade(heap, &ref, &bytes);
	if (bytes)
		atomic64_add(bytes, &gc->shaded_bytes);
	if (span && own_span(span->info))
		karena_queue_shade(&gc->queue, span);
	rcu_read_unlock();
}

/* --- words that are left for markers --- */

static void shade_words(struct karena_gc *gc, const unsigned long *words, unsigned int nr)
{
	struct karena_heap *heap = gc->heap;
	unsigned int i;

	for (i = 0; i < nr; i++)
		prefetch(karena_map_page(heap->map, heap->base, words[i]));
	for (i = 0; i < nr; i++)
		karena_shade(gc, words[i]);
}

static struct karena_words *new_block(struct karena_queue *queue, unsigned int nr)
{
	struct karena_words *block;

	if (!atomic_add_unless(&queue->words_left, -1, 0))
		return NULL;
	block = kmalloc(struct_size(block, word, nr),
			GFP_NOWAIT | __GFP_NOWARN | __GFP_ACCOUNT);
	if (!block)
		atomic_inc(&queue->words_left);
	return block;
}

static void free_block(struct karena_queue *queue, struct karena_words *block)
{
	kfree(block);
	atomic_inc(&queue->words_left);
}

/*
 * karena_shade() of words, by whoever marks next.  In a section, or under RCU.  Process
 * context; does not sleep.
 */
void karena_shade_later(struct karena_gc *gc, const unsigned long *words, unsigned int nr)
{
	struct karena_words *block = nr > FEW ? new_block(&gc->queue, nr) : NULL;

	if (!block) {
		shade_words(gc, words, nr);
		return;
	}
	block->nr = nr;
	memcpy(block->word, words, nr * sizeof(*words));
	karena_queue_words(&gc->queue, block);
}

KARENA_EXPORT_TEST(karena_shade_later);

/* A block of those that a marker has taken; how many words. */
unsigned int karena_shade_taken(struct karena_gc *gc, struct karena_hand *hand)
{
	struct karena_words *block = llist_entry(hand->words, struct karena_words, node);
	unsigned int nr = block->nr;

	hand->words = block->node.next;
	shade_words(gc, block->word, nr);
	free_block(&gc->queue, block);
	return nr;
}
