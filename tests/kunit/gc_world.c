// SPDX-License-Identifier: GPL-2.0
/* Heaps and nodes for the suites of the collector: gc.h. */
#include "gc.h"

static const u32 node_refs[] = { 0, 8, 16, 24 };

struct karena_heap *gc_heap(struct kunit *test)
{
	const struct karena_heap_attr attr = { .collect = true };
	struct karena_heap *heap = karena_heap_create("gc", &attr);
	struct karena_gc_params params;

	KUNIT_ASSERT_FALSE(test, IS_ERR(heap));
	KUNIT_ASSERT_EQ(test, karena_gc_get(heap, &params), 0);
	params.percent = -1;
	params.check = true;
	KUNIT_ASSERT_EQ(test, karena_gc_set(heap, &params), 0);
	return heap;
}

static bool is_clean(struct karena_span *span)
{
	unsigned int words = BITS_TO_LONGS(span->nelems);

	return !memchr_inv(span->mark, 0, words * sizeof(long)) &&
	       !memchr_inv(span->scanned, 0, words * sizeof(long)) &&
	       !test_bit(KARENA_INFO_QUEUED, span->info);
}

void gc_expect_clean(struct kunit *test, struct karena_heap *heap)
{
	struct karena_central *central;
	struct karena_span *span;
	unsigned int dirty = 0;

	mutex_lock(&heap->gc->cycle_lock);
	for (central = karena_first_central(heap); central; central = central->next)
		dirty += central->marking;
	spin_lock_irq(&heap->lock);
	list_for_each_entry(span, &heap->spans, all)
		dirty += !is_clean(span);
	spin_unlock_irq(&heap->lock);
	mutex_unlock(&heap->gc->cycle_lock);
	KUNIT_EXPECT_EQ(test, dirty, 0);
}

void gc_heap_end(struct kunit *test, struct karena_heap *heap)
{
	struct karena_gc_stats stats;

	karena_gc_stats(heap, &stats);
	KUNIT_EXPECT_EQ(test, stats.lost, 0);
	gc_expect_clean(test, heap);
	karena_heap_put(heap);
}

struct karena_type *node_type(struct kunit *test, struct karena_heap *heap)
{
	const struct karena_layout_attr attr = {
		.name = "node",
		.size = sizeof(struct node),
		.refs = node_refs,
		.nr_refs = ARRAY_SIZE(node_refs),
	};
	struct karena_type *type = karena_type_register(heap, &attr, NULL);

	KUNIT_ASSERT_FALSE(test, IS_ERR(type));
	return type;
}

u64 live_objects(struct karena_heap *heap)
{
	struct karena_heap_info info;

	/* Of those that wait for it, too. */
	karena_reclaim(heap);
	kt_info(heap, &info);
	return info.live_objects;
}
